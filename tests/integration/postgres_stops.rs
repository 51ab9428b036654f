//! When Postgres goes away in the middle of a run, the run ends and says so; when it is back, the
//! next run continues.

use std::time::Duration;

use rustix::process::Signal;
use simulator::{Faults, Options, Shape};
use zephr_sync::sync::progress::Phase;

use crate::support::content::{assert_same, of_undisturbed_sync};
use crate::support::{Cluster, Program, tenant};

/// The wait for a connection is 30 seconds, and the end of a run is tried once more.
const NO_HANG: Duration = Duration::from_secs(90);

async fn stop_in_the_middle(signal: Signal) {
    let options = || Options {
        shape: Shape {
            people: 6_000,
            ..Shape::default()
        },
        faults: Faults {
            latency_ms: 20,
            ..Faults::default()
        },
        ..Options::default()
    };
    let truth = of_undisturbed_sync(options()).await;
    let simulator = tenant(options()).await;
    let mut cluster = Cluster::new().await;
    let mirror = cluster.mirror();
    let program = Program::between(&simulator, &mirror)
        .telling_phases()
        .with("ZEPHR_SYNC_RPP", "100");

    let mut first = program.start(&["sync", "users"]);
    assert!(first.until_phase(Phase::BatchCommitted, 1).await);
    cluster.stop_hard(signal);
    let ended = tokio::time::timeout(NO_HANG, first.end())
        .await
        .expect("it ends")
        .expect(1);
    let told: Vec<&str> = ended
        .stderr
        .lines()
        .filter(|line| !line.starts_with('{'))
        .collect();
    assert!(
        told.iter()
            .any(|line| line.starts_with("error: ") && line.contains("Postgres")),
        "{told:?}"
    );
    assert!(
        told.iter()
            .any(|line| line.contains("Check that Postgres runs")),
        "{told:?}"
    );

    cluster.start_again().await;
    // The first batch may be a window without people.
    let kept: i64 = mirror.value("select count(*) from windows").await;
    assert!(kept > 0, "a committed batch is gone");
    program.run(&["sync", "users"]).await.expect(0);
    assert_same(&mirror.content().await, &truth, "after the restart");
    let statuses = "select string_agg(status, ' ' order by started_at) from runs";
    assert_eq!(
        mirror.value::<String>(statuses).await,
        "interrupted succeeded"
    );
    cluster.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_ends_when_postgres_is_shut_down_at_once_and_the_next_continues() {
    stop_in_the_middle(Signal::QUIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_ends_when_postgres_is_killed_and_the_next_continues() {
    stop_in_the_middle(Signal::KILL).await;
}
