//! Postgres or the API go away, for a while or for long. The daemon says so, and goes on when they
//! are back.

use std::time::Duration;

use rustix::process::Signal;
use simulator::{Faults, Options, Shape};

use super::{SUCCEEDED, says, start, stop_all, until};
use crate::support::cluster::Cluster;
use crate::support::{Mirror, Program, tenant};

fn few() -> Options {
    Options {
        shape: Shape {
            people: 50,
            ..Shape::default()
        },
        ..Options::default()
    }
}

async fn without_postgres(long: Duration) {
    let simulator = tenant(few()).await;
    let mut cluster = Cluster::new().await;
    let mirror = cluster.mirror();
    let program = Program::between(&simulator, &mirror).users_every("2s");
    let mut daemon = start(&program);
    says(&mut daemon, &["run ended"]).await;
    cluster.stop_hard(Signal::QUIT);
    says(&mut daemon, &["Postgres is away"]).await;
    tokio::time::sleep(long).await;
    cluster.start_again().await;
    says(&mut daemon, &["Postgres is back"]).await;
    says(&mut daemon, &SUCCEEDED).await;
    let log = stop_all(vec![daemon]).await.remove(0);
    assert_eq!(log.matches("Postgres is away").count(), 1, "{log}");
    let unfinished = "select count(*) from leases where expires_at > now() + interval '1 hour'";
    assert_eq!(mirror.value::<i64>(unfinished).await, 0);
    cluster.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_waits_for_a_postgres_that_is_away() {
    without_postgres(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn a_daemon_waits_for_a_postgres_that_is_away_for_long() {
    without_postgres(Duration::from_secs(600)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_starts_before_its_postgres_waits_for_it() {
    let simulator = tenant(few()).await;
    let mut cluster = Cluster::new().await;
    let mirror = cluster.mirror();
    cluster.stop_hard(Signal::QUIT);
    let program = Program::between(&simulator, &mirror).users_every("2s");
    let mut daemon = start(&program);
    says(&mut daemon, &["Postgres is away"]).await;
    cluster.start_again().await;
    says(&mut daemon, &["the daemon is ready"]).await;
    says(&mut daemon, &SUCCEEDED).await;
    stop_all(vec![daemon]).await;
    cluster.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_goes_on_when_the_api_is_back() {
    let simulator = tenant(few()).await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror).users_every("3s");
    let mut daemon = start(&program);
    says(&mut daemon, &SUCCEEDED).await;
    simulator.set_faults(Faults {
        reset: 100.0,
        ..Faults::default()
    });
    for _ in 0..3 {
        says(&mut daemon, &["request failed, trying again"]).await;
    }
    simulator.set_faults(Faults::default());
    let healed = "select now()::text";
    let healed: String = mirror.value(healed).await;
    let again = format!(
        "select exists (select from runs where status = 'succeeded' and finished_at > '{healed}')"
    );
    until(&mirror, &again).await;
    stop_all(vec![daemon]).await;
}

/// A request is given up after some minutes, and with it the run; the schedule goes on.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn runs_fail_while_the_api_is_away_for_long_and_succeed_when_it_is_back() {
    let simulator = tenant(few()).await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror).users_every("10s");
    let daemon = start(&program);
    until(&mirror, "select to_regclass('runs') is not null").await;
    until(
        &mirror,
        "select exists (select from runs where status = 'succeeded')",
    )
    .await;
    simulator.set_faults(Faults {
        reset: 100.0,
        ..Faults::default()
    });
    let failed = "select count(*) >= 2 and bool_and(error is not null and remedy is not null) from runs where status = 'failed'";
    for _ in 0..10 {
        if mirror.value::<bool>(failed).await {
            break;
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    assert!(mirror.value::<bool>(failed).await);
    simulator.set_faults(Faults::default());
    let again = "select status = 'succeeded' from runs order by started_at desc limit 1";
    for _ in 0..5 {
        if mirror.value::<bool>(again).await {
            break;
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
    assert!(mirror.value::<bool>(again).await);
    stop_all(vec![daemon]).await;
}
