//! Who is told how runs went, and what runs after a success.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;
use zephr_sync::simulator::{Options, Shape};

use super::{DEADLINE, start, stop_all, until};
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

#[tokio::test(flavor = "multi_thread")]
async fn a_late_slot_is_told_once_by_three_daemons() {
    let simulator = tenant(few()).await;
    let mirror = Mirror::new().await;
    let (url, mut told) = receiver::start().await;
    let program = Program::between(&simulator, &mirror)
        .configured(&format!("[[notify]]\nurl = \"{url}\"\non = [\"late\"]\n"))
        .users_every("1h");
    program.run(&["migrate"]).await.expect(0);
    // Somebody works on the users for as long as the test lasts, and the slot came before any daemon did.
    let mut holder = mirror.connect().await;
    sqlx::query(
        "insert into leases (resource, token, holder, session_pid, session_started_at, expires_at)
         select 'users', 1, 'a test', pid, backend_start, now() + interval '1 hour' from pg_stat_activity where pid = pg_backend_pid()",
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
