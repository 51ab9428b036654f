//! What holds a run back: the API's own limits, and a budget for records that cannot be stored.

use zephr_sync::simulator::{Faults, Options, RetryAfter, Shape};

use crate::support::{Mirror, Program, tenant, truth};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_more_than_three_at_once_is_met_with_three() {
    let options = Options {
        shape: Shape {
            people: 20_000,
            ..Shape::default()
        },
        faults: Faults {
            latency_ms: 20,
            retry_after: RetryAfter::None,
            ..Faults::default()
        },
        max_in_flight: Some(3),
        ..Options::default()
    };
    let (simulator, mirror) = (tenant(options).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror).with("ZEPHR_SYNC_RPP", "100");

    let run = program
        .run(&["sync", "users", "--json"])
        .await
        .expect(0)
        .json();

    let stats = simulator.stats();
    let refused = stats.by_status.get(&429).copied().unwrap_or(0);
    assert!(refused > 0, "nothing was refused");
    assert!(
        refused * 20 < stats.requests,
        "{refused} of {} were refused",
        stats.requests
    );
    let run = &run["runs"][0];
    assert_eq!(run["retries"], refused, "{run:#}");
    assert!(
        run["requests_allowed"]
            .as_i64()
            .is_some_and(|allowed| (2..=4).contains(&allowed)),
        "{run:#}"
    );
    truth::expect_equal(&simulator.tenant(), &mirror).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_rejects_stop_a_run_that_goes_on_when_more_are_allowed() {
    let options = Options {
        shape: Shape {
            people: 4_000,
            awkward_percent: 60.0,
            ..Shape::default()
        },
        ..Options::default()
    };
    let (simulator, mirror) = (tenant(options).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror).with("ZEPHR_SYNC_RPP", "100");

    let document = program
        .run(&["sync", "users", "--max-rejects", "20", "--json"])
        .await
        .expect(4)
        .json();

    let run = &document["runs"][0];
    assert_eq!(run["status"], "braked", "{run:#}");
    assert!(
        run["error"]
            .as_str()
            .is_some_and(|error| error.contains("more than 20 records"))
    );
    assert!(
        run["remedy"]
            .as_str()
            .is_some_and(|remedy| remedy.contains("max_rejects"))
    );
    let stored: i64 = mirror.value("select count(*) from users").await;
    assert!((1..4_000).contains(&stored), "{stored}");

    program.run(&["sync", "users"]).await.expect(3);
    assert_eq!(
        truth::mirrored(&mirror).await,
        truth::keys(&simulator.tenant())
    );
    assert_eq!(
        mirror
            .value::<i64>("select count(distinct scan_id) from runs")
            .await,
        1,
        "the second run began afresh"
    );
}
