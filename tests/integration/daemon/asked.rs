//! Runs that people ask for: each request is answered by a run that begins after it, whatever else
//! goes on and whoever dies.

use simulator::{Options, Shape, Simulator};
use sqlx::{Connection, PgConnection};

use super::{DEADLINE, SUCCEEDED, says, start, start_all, stop_all, until};
use crate::support::{Mirror, Program, tenant};

/// A small tenant, and daemons that do nothing by themselves.
async fn setting() -> (Simulator, Mirror, Program) {
    let simulator = tenant(Options {
        shape: Shape {
            people: 20,
            ..Shape::default()
        },
        ..Options::default()
    })
    .await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror).users_when_asked();
    program.run(&["migrate"]).await.expect(0);
    (simulator, mirror, program)
}

async fn ask(mirror: &Mirror, full_scan: bool) {
    mirror
        .execute(&format!(
            "insert into triggers (trigger_id, job, full_scan, requested_by) values (gen_random_uuid(), 'users', {full_scan}, 'a test')"
        ))
        .await;
}

/// What is to be answered yet: requests for what is due, and for everything.
async fn open(mirror: &Mirror) -> String {
    let sql = "select concat(count(*) filter (where not full_scan), ' ', count(*) filter (where full_scan)) from triggers";
    mirror.value(sql).await
}

const RUNS: &str = "select count(*) from runs";

/// Takes the lease of users for a test, as the last statement of a transaction that is open: nobody
/// sees it yet, and whoever takes it too waits.
async fn take_lease(session: &mut PgConnection) {
    sqlx::query("begin")
        .execute(&mut *session)
        .await
        .expect("a transaction");
    sqlx::query(
        "insert into leases (resource, token, holder, session_pid, expires_at)
         values ('users', 1, 'a test', pg_backend_pid(), now() + interval '1 hour')
         returning pg_advisory_lock_shared(session_lock('users 1'))",
    )
    .execute(session)
    .await
    .expect("a lease");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_daemons_answer_a_request_once() {
    let (_simulator, mirror, program) = setting().await;
    let mut daemons = start_all(&program, &mirror, 3).await;
    until(&mirror, "select count(*) = 3 from daemons where places > 0").await;
    let mut holder = mirror.connect().await;
    take_lease(&mut holder).await;
    ask(&mirror, true).await;
    // All of them are about to answer it, and the lease goes from one to the next.
    for daemon in &mut daemons {
        says(daemon, &["run starts"]).await;
    }
    holder.close().await.expect("the lease is given up");
    for daemon in &mut daemons {
        let answered =
            |line: &str| line.contains("run ended") || line.contains("another daemon has this run");
        let answered = tokio::time::timeout(DEADLINE, daemon.until(answered)).await;
        assert_eq!(answered.ok(), Some(true), "{}", daemon.log());
    }
    stop_all(daemons).await;
    until(&mirror, "select every(status = 'succeeded') from runs").await;
    assert_eq!(mirror.value::<i64>(RUNS).await, 1);
    assert_eq!(open(&mirror).await, "0 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_outlives_the_daemon_that_was_about_to_answer_it() {
    let (_simulator, mirror, program) = setting().await;
    let mut holder = mirror.connect().await;
    take_lease(&mut holder).await;
    let mut daemon = start(&program);
    ask(&mirror, false).await;
    says(&mut daemon, &["run starts"]).await;
    daemon.kill().await;
    holder.close().await.expect("the lease is given up");
    assert_eq!(mirror.value::<i64>(RUNS).await, 0, "it had begun already");
    let mut daemon = start(&program);
    says(&mut daemon, &SUCCEEDED).await;
    stop_all(vec![daemon]).await;
    assert_eq!(open(&mirror).await, "0 0");
}

/// Somebody else takes the lease just before the run that was asked for, and keeps it for longer
/// than anybody waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_for_who_has_the_lease_and_says_so() {
    let (_simulator, mirror, program) = setting().await;
    let mut holder = mirror.connect().await;
    take_lease(&mut holder).await;
    let mut daemon = start(&program);
    ask(&mirror, false).await;
    says(&mut daemon, &["run starts"]).await;
    sqlx::query("commit")
        .execute(&mut holder)
        .await
        .expect("the lease is taken");
    says(&mut daemon, &["a run was asked for; it waits"]).await;
    assert_eq!(open(&mirror).await, "1 0");
    assert_eq!(mirror.value::<i64>(RUNS).await, 0);
    holder.close().await.expect("the lease is given up");
    says(&mut daemon, &SUCCEEDED).await;
    let log = stop_all(vec![daemon]).await.remove(0);
    assert_eq!(log.matches("it waits").count(), 1, "{log}");
    assert_eq!(open(&mirror).await, "0 0");
    assert_eq!(mirror.value::<i64>(RUNS).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_run_that_reads_as_much_as_was_asked_for_is_an_answer() {
    let (_simulator, mirror, program) = setting().await;
    let program = program.job(
        "users",
        "resource = \"users\"\nmode = \"incremental\"\nfull_every = \"7d\"\n",
    );
    program.run(&["sync", "users"]).await.expect(0);
    ask(&mirror, false).await;
    ask(&mirror, true).await;
    program
        .run(&["sync", "users", "--limit", "5"])
        .await
        .expect(0);
    assert_eq!(open(&mirror).await, "1 1", "a sample answers nobody");
    program.run(&["sync", "users"]).await.expect(0);
    assert_eq!(open(&mirror).await, "0 1", "what changed is not everything");
    ask(&mirror, false).await;
    let mut daemon = start(&program);
    says(&mut daemon, &SUCCEEDED).await;
    stop_all(vec![daemon]).await;
    assert_eq!(open(&mirror).await, "0 0");
    let modes = "select string_agg(mode, ' ' order by started_at) from runs";
    assert_eq!(
        mirror.value::<String>(modes).await,
        "full full incremental full"
    );
}
