//! Every scheduled run happens exactly once, whoever is killed or stopped meanwhile.

use std::time::{Duration, Instant};

use mirror::state::leases::LEASE;
use rustix::process::Signal;
use simulator::{Edits, Faults, Options, Shape, Simulator};
use sqlx::Row;
use zephr_sync::sync::progress::Phase;

use super::{DEADLINE, says, start, start_all, stop_all, until};
use crate::support::running::Running;
use crate::support::{Mirror, Program, tenant, truth};

/// Runs of users that were under way at the same time.
const TOGETHER: &str = "select count(*) from runs a join runs b on a.run_id < b.run_id
    and tstzrange(a.started_at, coalesce(a.finished_at, 'infinity')) && tstzrange(b.started_at, coalesce(b.finished_at, 'infinity'))";

/// Slots between the first run and the last that nobody ran.
const LEFT_OUT: &str = "select count(*) from (
    select generate_series(min(scheduled_at), max(scheduled_at), make_interval(secs => $every)) as slot from runs
) slots where not exists (select from runs where scheduled_at = slot)";

fn left_out(every: u32) -> String {
    LEFT_OUT.replace("$every", &every.to_string())
}

async fn simulator(people: u32, latency_ms: u64) -> Simulator {
    tenant(Options {
        shape: Shape {
            people,
            ..Shape::default()
        },
        faults: Faults {
            latency_ms,
            ..Faults::default()
        },
        ..Options::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn three_daemons_run_each_slot_once() {
    let simulator = simulator(50, 0).await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror).users_every("4s");
    let daemons = start_all(&program, &mirror, 3).await;
    until(
        &mirror,
        "select count(*) >= 5 from runs where status = 'succeeded'",
    )
    .await;
    stop_all(daemons).await;

    assert_eq!(mirror.value::<i64>(TOGETHER).await, 0);
    assert_eq!(mirror.value::<i64>(&left_out(4)).await, 0);
    // One that is told to stop in the middle of a run leaves the slot to another attempt.
    let again =
        "select count(*) - count(distinct scheduled_at) from runs where status = 'succeeded'";
    assert_eq!(mirror.value::<i64>(again).await, 0);
    let left = "select count(*) from daemons";
    assert_eq!(
        mirror.value::<i64>(left).await,
        0,
        "somebody is still on the list"
    );
    truth::expect_equal(&simulator.tenant(), &mirror).await;
}

/// The daemon that has the lease of users, by its place among those that run.
async fn holder(mirror: &Mirror, daemons: &[Running]) -> Option<usize> {
    let rows = mirror
        .rows("select holder from leases where resource = 'users' and expires_at > now()")
        .await;
    let holder: String = rows.first()?.get(0);
    let of = |daemon: &Running| format!("process {}", daemon.pid().as_raw_nonzero());
    daemons
        .iter()
        .position(|daemon| holder.ends_with(&of(daemon)))
}

/// Kills whoever runs, again and again, in the middle of it. What it did not finish is begun anew
/// by another within the time of a lease.
async fn killed(kills: usize) {
    let simulator = simulator(6_000, 30).await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror)
        .with("ZEPHR_SYNC_RPP", "50")
        .users_every("15s");
    let mut daemons = start_all(&program, &mirror, 3).await;
    for kill in 0..kills {
        let end = Instant::now() + DEADLINE;
        let victim = loop {
            let runs =
                "select exists (select from runs where status = 'running' and rows_read > 0)";
            if mirror.value::<bool>(runs).await
                && let Some(victim) = holder(&mirror, &daemons).await
            {
                break victim;
            }
            assert!(Instant::now() < end, "kill {kill}: nobody runs");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let struck: uuid::Uuid = mirror
            .value(
                "select run_id from runs where status = 'running' order by started_at desc limit 1",
            )
            .await;
        daemons.remove(victim).kill().await;
        let since = Instant::now();
        daemons.push(start(&program));
        let next = format!(
            "select exists (select from runs a join runs b on b.scheduled_at >= a.scheduled_at and b.started_at > a.started_at where a.run_id = '{struck}')
                 or (select status = 'succeeded' from runs where run_id = '{struck}')"
        );
        until(&mirror, &next).await;
        assert!(
            since.elapsed() < LEASE + Duration::from_secs(15),
            "kill {kill}: {:?}",
            since.elapsed()
        );
    }
    simulator.set_faults(Faults::default());
    let settled = "select status = 'succeeded' from runs order by started_at desc limit 1";
    until(&mirror, settled).await;
    stop_all(daemons).await;
    // A run whose process was killed has no end of its own; whoever came next had the lease.
    let together = TOGETHER
        .replace(
            "coalesce(a.finished_at, 'infinity')",
            "coalesce(a.finished_at, a.started_at)",
        )
        .replace(
            "coalesce(b.finished_at, 'infinity')",
            "coalesce(b.finished_at, b.started_at)",
        );
    assert_eq!(mirror.value::<i64>(&together).await, 0);
    assert_eq!(mirror.value::<i64>(&left_out(15)).await, 0);
    program.run(&["sync", "users", "--full"]).await.expect(0);
    truth::expect_equal(&simulator.tenant(), &mirror).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_daemon_began_another_finishes() {
    killed(3).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn what_many_killed_daemons_began_others_finish() {
    killed(25).await;
}

/// Every stored version of every row: a write of the same values changes it too.
async fn versions(mirror: &Mirror) -> Vec<String> {
    let sql = "select concat_ws(' ', 'users', user_id, ctid, xmin) as line from users
        union all select concat_ws(' ', 'windows', window_id, ctid, xmin) from windows
        union all select concat_ws(' ', 'runs', run_id, ctid, xmin) from runs
        order by line";
    let rows = mirror.rows(sql).await;
    rows.iter().map(|row| row.get("line")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_slept_through_its_lease_writes_nothing() {
    let simulator = simulator(4_000, 30).await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror)
        .telling_phases()
        .with("ZEPHR_SYNC_RPP", "50")
        .users_every("1h");
    program.run(&["migrate"]).await.expect(0);
    let mut sleeper = start(&program);
    until(&mirror, "select count(*) = 1 from daemons").await;
    mirror
        .execute("insert into triggers (trigger_id, job, full_scan, requested_by) values (gen_random_uuid(), 'users', true, 'a test')")
        .await;
    assert!(sleeper.until_phase(Phase::BatchMerged, 3).await);
    sleeper.signal(Signal::STOP);
    let other = start(&program);
    // The sleeper's session is ended, and its lease with it, when its time is over.
    let taken = "select count(*) = 0 from leases where resource = 'users' and expires_at > now()";
    until(&mirror, taken).await;
    program.run(&["sync", "users", "--full"]).await.expect(0);
    simulator.tenant().edit(Edits {
        updates: 500,
        ..Edits::NONE
    });
    let before = versions(&mirror).await;
    sleeper.signal(Signal::CONT);
    says(&mut sleeper, &["the end of the run could not be recorded"]).await;
    assert_eq!(versions(&mirror).await, before, "it wrote");
    stop_all(vec![sleeper, other]).await;
}
