//! A daemon that is told to stop while the API keeps it waiting. It does not use up the time it may
//! take: what it waits for will not come.

use simulator::{Faults, Options, Shape};

use super::{start_all, stop_all, until};
use crate::stopping::{asks_to_wait, says_nothing, trouble};
use crate::support::{Mirror, Program, tenant};

/// Two daemons, one of which leads a scan that the other reads for, in the middle of it.
async fn drained(faults: Faults) {
    let simulator = tenant(Options {
        shape: Shape {
            people: 4_000,
            ..Shape::default()
        },
        faults: Faults {
            latency_ms: 50,
            ..Faults::default()
        },
        ..Options::default()
    })
    .await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror)
        .with("ZEPHR_SYNC_RPP", "20")
        .with("ZEPHR_SYNC_MAX_IN_FLIGHT", "4")
        .users_when_asked();
    let daemons = start_all(&program, &mirror, 2).await;
    until(&mirror, "select count(*) = 2 from daemons where places > 0").await;
    mirror
        .execute("insert into triggers (trigger_id, job, full_scan, requested_by) values (gen_random_uuid(), 'users', true, 'a test')")
        .await;
    until(
        &mirror,
        "select exists (select from offers where state = 'claimed')",
    )
    .await;
    trouble(&simulator, faults).await;
    let log = stop_all(daemons).await.concat();
    assert!(!log.contains("stopping although"), "{log}");
    assert!(!log.contains("could not take itself off the list"), "{log}");
    let how = "select concat(count(*), ' ', min(status), ' ', min(error)) from runs";
    assert_eq!(
        mirror.value::<String>(how).await,
        "1 interrupted stopped on request"
    );
    let left = "select count(*) from offers where state = 'claimed'";
    assert_eq!(mirror.value::<i64>(left).await, 0, "a claim is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn daemons_that_were_asked_to_wait_for_minutes_stop_at_once() {
    drained(asks_to_wait()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn daemons_that_hear_no_answer_stop_at_once() {
    drained(says_nothing()).await;
}
