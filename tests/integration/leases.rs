//! One at a time works on a resource: others wait for a living holder, take over from a stuck one,
//! and a stuck one that wakes up changes nothing.

use std::time::Duration;

use mirror::state::batches::{self, Closing};
use mirror::state::leases;
use mirror::state::runs::Counts;
use mirror::state::scan_findings::Note;
use mirror::state::windows;
use record::Resource;
use rustix::process::Signal;
use simulator::{Faults, Options, Shape};
use sqlx::{Connection, Row};
use uuid::Uuid;
use zephr_sync::sync::progress::Phase;

use crate::support::{Mirror, Program, tenant};

const FULL: [&str; 3] = ["sync", "users", "--full"];

fn options() -> Options {
    Options {
        shape: Shape {
            people: 3_000,
            ..Shape::default()
        },
        faults: Faults {
            latency_ms: 20,
            ..Faults::default()
        },
        ..Options::default()
    }
}

/// Every stored version of every row: a write of the same values changes it too.
async fn versions(mirror: &Mirror) -> Vec<String> {
    let sql = "select concat_ws(' ', 'users', user_id, ctid, xmin) as line from users
        union all select concat_ws(' ', 'keys', user_id, ctid, xmin) from user_foreign_keys
        union all select concat_ws(' ', 'windows', window_id, ctid, xmin) from windows
        union all select concat_ws(' ', 'checkpoints', job, ctid, xmin) from checkpoints
        order by line";
    mirror
        .rows(sql)
        .await
        .iter()
        .map(|row| row.get("line"))
        .collect()
}

fn waits(line: &str) -> bool {
    line.starts_with("waiting for ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_sync_says_that_it_waits_and_goes_on_when_the_first_has_ended() {
    let simulator = tenant(options()).await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror)
        .telling_phases()
        .with("ZEPHR_SYNC_RPP", "100");
    let mut first = program.start(&FULL);
    assert!(first.until_phase(Phase::BatchCommitted, 1).await);
    first.signal(Signal::STOP);
    let mut second = program.start(&FULL);
    assert!(second.until(waits).await, "it did not wait");
    assert_eq!(
        mirror.value::<i64>("select count(*) from runs").await,
        1,
        "both run"
    );
    first.signal(Signal::CONT);
    first.end().await.expect(0);
    second.end().await.expect(0);
    let overlapping = "select count(*) from runs a join runs b on a.run_id < b.run_id and a.finished_at > b.started_at";
    assert_eq!(mirror.value::<i64>(overlapping).await, 0);
    let statuses = "select string_agg(status, ' ' order by started_at) from runs";
    assert_eq!(
        mirror.value::<String>(statuses).await,
        "succeeded succeeded"
    );
}

/// Who waits for another taker looks again when it is its turn: what it saw before does not know a
/// holder that came in between.
#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_came_while_another_waited_for_the_row_is_not_robbed() {
    let simulator = tenant(Options::default()).await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror);
    program.run(&FULL).await.expect(0);
    let mut taker = mirror.connect().await;
    let mut taking = taker.begin().await.unwrap();
    sqlx::query("select from leases where resource = 'users' for no key update")
        .execute(&mut *taking)
        .await
        .unwrap();
    let mut second = program.start(&FULL);
    while mirror
        .value::<i64>("select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")
        .await
        == 0
    {
        tokio::task::yield_now().await;
    }
    let mut holder = mirror.connect().await;
    sqlx::query("select pg_advisory_lock_shared(session_lock('users ' || token + 1)) from leases where resource = 'users'")
        .execute(&mut holder)
        .await
        .unwrap();
    sqlx::query(
        "update leases set token = token + 1, holder = 'who came in between', acquired_at = now(), expires_at = now() + interval '30 s'
         where resource = 'users'",
    )
    .execute(&mut *taking)
    .await
    .unwrap();
    taking.commit().await.unwrap();
    assert!(second.until(waits).await, "it took what another holds");
    holder.close().await.unwrap();
    second.end().await.expect(0);
}

/// A batch is fenced by its last statement, which also counts it: under an old token nothing of it
/// can be committed.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_under_an_old_token_leaves_nothing() {
    let simulator = tenant(Options::default()).await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror);
    program.run(&FULL).await.expect(0);
    let run_id: Uuid = mirror.value("select run_id from runs").await;
    let left = "select concat_ws(' ', (select rows_read from runs),
        (select count(*) from windows where scan_id = '00000000-0000-0000-0000-000000000000'),
        (select count(*) from scan_notes where record_id = 'ann'))";
    let read: i64 = mirror.value("select rows_read from runs").await;
    let session = mirror.connect().await;
    let lease = leases::acquire(session, Resource::Users, "a test", |_| {})
        .await
        .expect("the lease");
    let part = windows::Done {
        lower_bound: None,
        upper_bound: None,
        part: "window".to_owned(),
        proof: "whole".to_owned(),
        rows_read: 1,
    };
    let closing = Closing {
        run_id,
        counts: Counts {
            read: 1,
            ..Counts::default()
        },
        scan: Some(batches::Progress {
            scan_id: Uuid::nil(),
            parts: &[part],
            findings: &[(Note::Missing, "ann".to_owned())],
        }),
    };
    let token = lease.token();
    let mut connection = mirror.connect().await;
    batches::close(&mut connection, token, closing)
        .await
        .expect("its own token");
    assert_eq!(
        mirror.value::<String>(left).await,
        format!("{} 1 1", read + 1)
    );
    sqlx::query("update leases set token = token + 1 where resource = 'users'")
        .execute(&mut connection)
        .await
        .unwrap();
    let closed = batches::close(&mut connection, token, closing).await;
    assert!(matches!(closed, Err(leases::Error::Lost(_))), "{closed:?}");
    assert_eq!(
        mirror.value::<String>(left).await,
        format!("{} 1 1", read + 1),
        "something was written"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sleeps_in_the_middle_of_a_copy_keeps_nobody_waiting() {
    let simulator = tenant(Options {
        shape: Shape {
            people: 60_000,
            ..Shape::default()
        },
        ..Options::default()
    })
    .await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror);
    program.run(&["migrate"]).await.expect(0);
    let sleeper = program.start(&FULL);
    sleeper.stop_in_a_copy(&mirror).await;
    mirror.execute("update leases set expires_at = now()").await;
    let second = program.run(&FULL);
    let second = tokio::time::timeout(Duration::from_secs(90), second).await;
    second.expect("it waits for one that is stuck").expect(0);
    let before = versions(&mirror).await;
    sleeper.signal(Signal::CONT);
    let ended = sleeper.end().await;
    assert_ne!(ended.code, Some(0), "{ended:?}");
    assert_eq!(versions(&mirror).await, before, "it wrote");
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_in_one_database_do_not_wait_for_each_other() {
    let simulator = tenant(options()).await;
    let mirror = Mirror::new().await;
    let between = || Program::between(&simulator, &mirror).telling_phases();
    let mut held = between().with("ZEPHR_SYNC_SCHEMA", "news").start(&FULL);
    assert!(held.until_phase(Phase::RunBegun, 1).await);
    held.signal(Signal::STOP);
    let other = between()
        .with("ZEPHR_SYNC_SCHEMA", "sport")
        .run(&FULL)
        .await
        .expect(0);
    assert!(!other.stderr.lines().any(waits), "{}", other.stderr);
    assert_eq!(
        mirror
            .value::<i64>("select count(*) from sport.users")
            .await,
        3_000
    );
    held.signal(Signal::CONT);
    held.end().await.expect(0);
    assert_eq!(
        mirror.value::<i64>("select count(*) from news.users").await,
        3_000
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn a_stuck_holder_loses_the_lease_and_writes_nothing_when_it_wakes_up() {
    let simulator = tenant(options()).await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror)
        .telling_phases()
        .with("ZEPHR_SYNC_RPP", "100");
    for phase in [Phase::WindowRead, Phase::BatchMerged, Phase::BatchCommitted] {
        let context = phase.name();
        let mut stuck = program.start(&["sync", "users", "--full", "--restart"]);
        assert!(stuck.until_phase(phase, 1).await, "{context}");
        stuck.signal(Signal::STOP);
        let mut second = program.start(&FULL);
        assert!(second.until(waits).await, "{context}: it did not wait");
        second.end().await.expect(0);
        let before = versions(&mirror).await;
        stuck.signal(Signal::CONT);
        let ended = stuck.end().await.expect(1);
        assert!(
            ended.stderr.contains("error: "),
            "{context}: {}",
            ended.stderr
        );
        assert!(
            versions(&mirror).await == before,
            "{context}: the mirror changed"
        );
        let statuses = "select string_agg(status, ' ' order by started_at) from (select * from runs order by started_at desc limit 2) latest";
        assert_eq!(
            mirror.value::<String>(statuses).await,
            "interrupted succeeded",
            "{context}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn a_holder_that_renews_is_not_robbed() {
    let simulator = tenant(options()).await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror)
        .telling_phases()
        .with("ZEPHR_SYNC_RPP", "100");
    let mut holder = program.start(&FULL);
    assert!(holder.until_phase(Phase::BatchCommitted, 1).await);
    // Longer than a lease: whoever renews holds it all the same.
    simulator.set_faults(Faults {
        latency_ms: 45_000,
        ..Faults::default()
    });
    let second = program.run(&FULL).await.expect(5);
    assert!(second.stderr.lines().any(waits), "{}", second.stderr);
    assert_eq!(mirror.value::<i64>("select count(*) from runs").await, 1);
    simulator.set_faults(Faults::default());
    holder.end().await.expect(0);
    assert_eq!(
        mirror.value::<i64>("select count(*) from users").await,
        3_000
    );
}
