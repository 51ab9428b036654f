//! What holds a run back: the API's own limits, and a budget for records that cannot be stored.

use simulator::{Edits, Faults, Options, RetryAfter, Shape};

use crate::support::{Mirror, Program, people, tenant, truth};

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

#[tokio::test(flavor = "multi_thread")]
async fn too_many_rejects_in_a_single_answer_stop_a_run_too() {
    let options = Options {
        shape: Shape {
            people: 60,
            awkward_percent: 60.0,
            ..Shape::default()
        },
        ..Options::default()
    };
    let (simulator, mirror) = (tenant(options).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror);
    program
        .run(&["sync", "users", "--max-rejects", "0"])
        .await
        .expect(4);
    program.run(&["sync", "users"]).await.expect(3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_growth_that_nobody_expected_is_not_let_through_by_asking_again() {
    let (simulator, mirror) = (people(60).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror).with("ZEPHR_SYNC_RPP", "10");
    program.run(&["sync", "users"]).await.expect(0);
    simulator.tenant().edit(Edits {
        creations: 600,
        ..Edits::NONE
    });
    let full = ["sync", "users", "--full"];
    for _ in 0..3 {
        let stopped = program.run(&full).await.expect(4);
        assert!(
            stopped.stdout.contains("max_growth_fraction"),
            "{stopped:?}"
        );
    }
    let raised = program.with("ZEPHR_SYNC_MAX_GROWTH_FRACTION", "20");
    raised.run(&full).await.expect(0);
    truth::expect_equal(&simulator.tenant(), &mirror).await;
    let usual = raised.with("ZEPHR_SYNC_MAX_GROWTH_FRACTION", "1");
    usual.run(&full).await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_hides_some_who_exist_proves_nothing() {
    let (simulator, mirror) = (people(300).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror);
    program.run(&["sync", "users"]).await.expect(0);
    let until: i64 = mirror
        .value("select extract(epoch from registered_at)::bigint from users order by registered_at desc offset 4 limit 1")
        .await;
    simulator.tenant().show_only_until(Some(until));
    let document = program
        .run(&["sync", "users", "--full", "--json"])
        .await
        .expect(0)
        .json();
    let run = &document["runs"][0];
    assert_eq!(run["verdict"], "agreed", "{run:#}");
    assert_eq!(run["rows_tombstoned"], 0, "{run:#}");
    assert!(
        run["verdict_reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("exist by id, and stay")),
        "{run:#}"
    );
}
