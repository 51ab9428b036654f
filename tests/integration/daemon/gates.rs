//! Slots that came while no daemon was there, and jobs that come after others.

use simulator::{Options, Shape};

use super::{start, stop_all, until};
use crate::support::{Mirror, Program, people, tenant};

async fn program(mirror: &Mirror) -> (simulator::Simulator, Program) {
    let simulator = tenant(Options {
        shape: Shape {
            people: 20,
            ..Shape::default()
        },
        ..Options::default()
    })
    .await;
    let program = Program::between(&simulator, mirror).users_every("1h");
    program.run(&["migrate"]).await.expect(0);
    (simulator, program)
}

/// As if a daemon had seen this schedule some hours ago.
async fn known_for_hours(mirror: &Mirror) {
    mirror
        .execute("insert into schedules (job, schedule, known_since) values ('users', 'every 1h', now() - interval '5 hours')")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_slots_that_were_missed_the_latest_is_run_once() {
    let mirror = Mirror::new().await;
    let (_simulator, program) = program(&mirror).await;
    known_for_hours(&mirror).await;
    let daemons = vec![start(&program), start(&program)];
    until(
        &mirror,
        "select count(*) = 1 from runs where status = 'succeeded'",
    )
    .await;
    until(&mirror, "select count(*) = 2 from daemons where places > 0").await;
    let logs = stop_all(daemons).await.concat();
    let latest = "select count(*) from runs where scheduled_at = date_trunc('hour', started_at)";
    assert_eq!(mirror.value::<i64>(latest).await, 1);
    assert_eq!(mirror.value::<i64>("select count(*) from runs").await, 1);
    let told = logs.matches("missed slots skipped").count();
    assert_eq!(told, 1, "{logs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_that_were_missed_are_left_out_where_the_job_says_so() {
    let mirror = Mirror::new().await;
    let (_simulator, program) = program(&mirror).await;
    known_for_hours(&mirror).await;
    let program = program.job(
        "users",
        "resource = \"users\"\nevery = \"1h\"\nmode = \"full\"\nmissed = \"skip\"\n",
    );
    let daemon = start(&program);
    until(
        &mirror,
        "select coalesce(max(settled_to) > now() - interval '1 hour', false) from schedules where job = 'users'",
    )
    .await;
    stop_all(vec![daemon]).await;
    assert_eq!(mirror.value::<i64>("select count(*) from runs").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_comes_after_another_runs_for_the_same_slot_and_never_before() {
    let mirror = Mirror::new().await;
    let (_simulator, program) = program(&mirror).await;
    let program = program.users_every("4s").job(
        "schema",
        "resource = \"schema\"\nmode = \"full\"\nafter = [\"users\"]\n",
    );
    let daemons = vec![start(&program), start(&program)];
    until(
        &mirror,
        "select count(*) >= 3 from runs where job = 'schema' and status = 'succeeded'",
    )
    .await;
    stop_all(daemons).await;
    let early = "select count(*) from runs s where s.job = 'schema' and not exists (
        select from runs u where u.job = 'users' and u.scheduled_at = s.scheduled_at and u.status = 'succeeded' and u.finished_at <= s.started_at)";
    assert_eq!(mirror.value::<i64>(early).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_reads_anew_what_somebody_truncated() {
    let (simulator, mirror) = (people(100).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror).users_when_asked();
    let program = program.job(
        "users",
        "resource = \"users\"\nevery = \"2s\"\nmode = \"incremental\"\n",
    );
    let daemon = start(&program);
    until(&mirror, "select to_regclass('runs') is not null").await;
    until(
        &mirror,
        "select exists (select from runs where mode = 'incremental' and status = 'succeeded')",
    )
    .await;
    mirror.execute("truncate users").await;

    until(
        &mirror,
        "select exists (select from runs where mode = 'full' and status = 'succeeded' and verdict_reason like '%users was truncated%')",
    )
    .await;

    assert_eq!(mirror.value::<i64>("select count(*) from users").await, 100);
    stop_all(vec![daemon]).await;
}
