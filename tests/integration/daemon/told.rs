//! Who is told how runs went, and what runs after a success.

use std::time::Duration;

use serde_json::Value;
use simulator::{Options, Shape};
use tokio::sync::mpsc::UnboundedReceiver;

use super::{DEADLINE, start, start_all, stop_all, until};
use crate::support::running::Running;
use crate::support::scripted::{self, Scripted};
use crate::support::{Mirror, Program, receiver, tenant};

fn few() -> Options {
    Options {
        shape: Shape {
            people: 20,
            ..Shape::default()
        },
        ..Options::default()
    }
}

async fn next(told: &mut UnboundedReceiver<Value>) -> Value {
    let next = tokio::time::timeout(DEADLINE, told.recv()).await;
    next.expect("something is told")
        .expect("the receiver is there")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_told_when_no_attempt_follows_and_a_recovery_after_it() {
    let simulator = tenant(few()).await;
    let mirror = Mirror::new().await;
    let (url, mut told) = receiver::start().await;
    let program = Program::between(&simulator, &mirror)
        .configured(&format!("[[notify]]\nurl = \"{url}\"\n"))
        .with("ZEPHR_SECRET_KEY", "not the one that is let in");
    let program = program.users_every("1h").job(
        "users",
        "resource = \"users\"\nevery = \"10s\"\nmode = \"full\"\nretries = 1\nretry_after = \"1s\"\n",
    );
    let daemon = start(&program);
    let failure = next(&mut told).await;
    assert_eq!(failure["event"], "failed", "{failure}");
    assert_eq!(
        failure["run"]["attempt"], 2,
        "the first attempt was told: {failure}"
    );
    assert_eq!(failure["run"]["job"], "users");
    stop_all(vec![daemon]).await;

    // Another daemon, which knows nothing of the one before, tells that it is over.
    let program = program.with("ZEPHR_SECRET_KEY", &simulator.keys().secret);
    let daemon = start(&program);
    let mut recovery = next(&mut told).await;
    while recovery["event"] == "failed" {
        recovery = next(&mut told).await;
    }
    assert_eq!(recovery["event"], "recovered", "{recovery}");
    stop_all(vec![daemon]).await;
    let keys = simulator.keys();
    assert!(!format!("{failure}{recovery}").contains(&*keys.secret));
}

/// What becomes of the daemon that has told a receiver of a failed run, and has no answer yet.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    /// It is killed, and another one starts.
    Killed,
    /// It is told to stop, and another one starts.
    Stopped,
    /// It is killed, and another one has been there all the time.
    Survived,
}

/// The daemon that tells, by its place among those that run.
async fn teller(mirror: &Mirror, daemons: &[Running]) -> usize {
    until(
        mirror,
        "select count(*) = 1 from notices where teller is not null",
    )
    .await;
    let holder = "select holder from daemons join notices on teller = daemon_id";
    let holder: String = mirror.value(holder).await;
    let of = |daemon: &Running| format!("process {}", daemon.pid().as_raw_nonzero());
    let place = daemons
        .iter()
        .position(|daemon| holder.ends_with(&of(daemon)));
    place.expect("one of them")
}

async fn told_again(fate: Fate) {
    let simulator = tenant(few()).await;
    let mirror = Mirror::new().await;
    let (url, mut told, answers) = receiver::silent().await;
    let program = Program::between(&simulator, &mirror)
        .configured(&format!("[[notify]]\nurl = \"{url}\"\n"))
        .with("ZEPHR_SECRET_KEY", "not the one that is let in")
        .users_when_asked();
    let count = if fate == Fate::Survived { 2 } else { 1 };
    let mut daemons = start_all(&program, &mirror, count).await;
    mirror
        .execute("insert into triggers (trigger_id, job, full_scan, requested_by) values (gen_random_uuid(), 'users', true, 'a test')")
        .await;
    let first = next(&mut told).await;
    assert_eq!(first["event"], "failed", "{fate:?}: {first}");
    let teller = daemons.remove(teller(&mirror, &daemons).await);
    match fate {
        Fate::Killed | Fate::Survived => drop(teller.kill().await),
        Fate::Stopped => {
            let log = stop_all(vec![teller]).await.concat();
            assert!(log.contains("were not delivered"), "{log}");
        }
    }
    answers.send_replace(true);
    if daemons.is_empty() {
        daemons.push(start(&program));
    }
    let second = next(&mut told).await;
    assert_eq!(first, second, "{fate:?}: not the same event");
    until(&mirror, "select count(*) = 0 from notices").await;
    stop_all(daemons).await;
    // On a slow machine it may have been told more often; it is one event all the same.
    while let Ok(more) = told.try_recv() {
        assert_eq!(first, more, "{fate:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_daemon_had_to_tell_the_next_one_tells() {
    told_again(Fate::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stopped_daemon_had_to_tell_the_next_one_tells() {
    told_again(Fate::Stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_daemon_had_to_tell_another_one_tells() {
    told_again(Fate::Survived).await;
}

/// A run has ended, and nobody has begun to tell it: it was the last thing that a daemon did.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_end_nobody_has_told_is_told_by_who_has_receivers() {
    let simulator = tenant(few()).await;
    let mirror = Mirror::new().await;
    let (url, mut told) = receiver::start().await;
    let program = Program::between(&simulator, &mirror)
        .with("ZEPHR_SECRET_KEY", "not the one that is let in")
        .users_when_asked();
    // This one tells nobody.
    let daemons = start_all(&program, &mirror, 1).await;
    mirror
        .execute("insert into triggers (trigger_id, job, full_scan, requested_by) values (gen_random_uuid(), 'users', true, 'a test')")
        .await;
    until(
        &mirror,
        "select exists (select from runs where status = 'failed')",
    )
    .await;
    for daemon in daemons {
        daemon.kill().await;
    }
    let program = program.configured(&format!("[[notify]]\nurl = \"{url}\"\n"));
    let daemon = start(&program);
    let failure = next(&mut told).await;
    let run: String = mirror.value("select run_id::text from runs").await;
    assert_eq!(failure["run"]["run_id"], run.as_str(), "{failure}");
    stop_all(vec![daemon]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_slot_is_told_once_by_three_daemons() {
    let simulator = tenant(few()).await;
    let mirror = Mirror::new().await;
    let (url, mut told) = receiver::start().await;
    let program = Program::between(&simulator, &mirror)
        .configured(&format!("[[notify]]\nurl = \"{url}\"\non = [\"late\"]\n"))
        .users_every("1h");
    program.run(&["migrate"]).await.expect(0);
    // Somebody works on the users for as long as the test lasts, and the slot came before any
    // daemon did.
    let mut holder = mirror.connect().await;
    sqlx::query(
        "insert into leases (resource, token, holder, session_pid, expires_at)
         values ('users', 1, 'a test', pg_backend_pid(), now() + interval '1 hour')
         returning pg_advisory_lock_shared(session_lock('users 1'))",
    )
    .execute(&mut holder)
    .await
    .expect("a lease");
    mirror
        .execute("insert into schedules (job, schedule, known_since) values ('users', 'every 2s', now() - interval '1 minute')")
        .await;
    let program = program.job(
        "users",
        "resource = \"users\"\nevery = \"2s\"\nmode = \"full\"\nlate_after = \"1s\"\nmissed = \"once\"\n",
    );
    let daemons = vec![start(&program), start(&program), start(&program)];
    until(&mirror, "select count(*) = 3 from daemons").await;
    let first = next(&mut told).await;
    assert_eq!(first["event"], "late", "{first}");
    assert_eq!(first["slot"]["job"], "users");
    let mut slots = vec![first["slot"]["scheduled_at"].clone()];
    while slots.len() < 3 {
        slots.push(next(&mut told).await["slot"]["scheduled_at"].clone());
    }
    stop_all(daemons).await;
    while let Ok(more) = told.try_recv() {
        slots.push(more["slot"]["scheduled_at"].clone());
    }
    let mut once = slots.clone();
    once.dedup();
    assert_eq!(slots, once);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_follows_each_success_and_sees_no_secret() {
    let simulator = tenant(few()).await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror).users_every("2s");
    let seen = program.directory().join("seen");
    let command = format!("env >> '{}'", seen.display());
    let program = program.configured(&format!(
        "[hooks]\nafter_success = [\"sh\", \"-c\", {command:?}]\n"
    ));
    let daemon = start(&program);
    until(&mirror, "select to_regclass('runs') is not null").await;
    until(
        &mirror,
        "select count(*) >= 2 from runs where status = 'succeeded'",
    )
    .await;
    let text = || std::fs::read_to_string(&seen).unwrap_or_default();
    let mut waited = Duration::ZERO;
    while text().matches("ZEPHR_SYNC_JOB=users").count() < 2 {
        assert!(waited < DEADLINE, "{}", text());
        waited += Duration::from_millis(100);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stop_all(vec![daemon]).await;
    assert!(text().contains("ZEPHR_SYNC_VERDICT=proven"), "{}", text());
    assert!(
        !text().contains("ZEPHR_SECRET_KEY="),
        "a secret is handed on"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_whose_values_do_not_fit_any_more_is_told_once() {
    let (url, mut told) = receiver::start().await;
    let users = (1..=20).map(|id| scripted::user(id, "yesterday".into()));
    let server = Scripted::start(users.collect(), Box::new(|_, _| None)).await;
    let mirror = Mirror::new().await;
    let program = server
        .program(&mirror)
        .configured(&format!("[[notify]]\nurl = \"{url}\"\n"))
        .users_every("1s");
    let daemon = start(&program);

    let event = next(&mut told).await;

    assert_eq!(event["event"], "unfit", "{event:#}");
    assert_eq!(event["run"]["unfit"][0]["column"], "registered_at");
    // Runs that find the same are not told.
    let three = "select count(*) >= 3 from runs where status = 'succeeded'";
    until(&mirror, three).await;
    stop_all(vec![daemon]).await;
    assert!(told.try_recv().is_err());
}
