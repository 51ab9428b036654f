//! A bad network and a troubled API cost time and nothing else; what no retry mends is said at
//! once, with what to do.

use serde_json::Value;
use simulator::{Fault, Faults, Options, Shape};

use crate::support::{Ended, Mirror, Program, people, tenant, truth};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_through_faults_of_every_kind_is_complete() {
    // Fifty requests and more, so that each kind strikes.
    let shape = Shape {
        people: 5_000,
        ..Shape::default()
    };
    let faults = Faults {
        throttle: 10.0,
        server_error: 6.0,
        reset: 4.0,
        truncate: 3.0,
        html: 2.0,
        forbidden_html: 2.0,
        invalid_json: 2.0,
        ..Faults::default()
    };
    let simulator = tenant(Options {
        shape,
        faults,
        ..Options::default()
    })
    .await;
    let mirror = Mirror::new().await;

    let ended = Program::between(&simulator, &mirror)
        .run(&["sync", "users", "--rpp", "100", "--json"])
        .await
        .expect(0);

    let run = &ended.json()["runs"][0];
    let struck: u64 = simulator.stats().faults.values().sum();
    assert_eq!(
        (&run["verdict"], &run["rows_inserted"]),
        (&"proven".into(), &5_000.into())
    );
    assert_eq!(
        (&run["retries"], &run["requests"]),
        (&struck.into(), &simulator.stats().requests.into()),
        "{run:#}"
    );
    assert!(
        struck > 5 && simulator.stats().faults.contains_key(&Fault::Throttle),
        "{:?}",
        simulator.stats().faults
    );
    truth::expect_equal(&simulator.tenant(), &mirror).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_tried_once_and_the_keys_are_blamed() {
    let (simulator, mirror) = (people(100).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror).with("ZEPHR_SECRET_KEY", "not-the-secret");

    let ended = program.run(&["sync", "users", "--json"]).await.expect(1);

    let (error, remedy) = run_failure(&ended);
    assert!(error.contains("401") && !error.contains("clock"), "{error}");
    assert!(remedy.contains("ZEPHR_SECRET_KEY"), "{remedy}");
    assert_eq!(
        (simulator.stats().requests, simulator.stats().unauthorised),
        (1, 1)
    );
    assert!(!format!("{ended:?}").contains("not-the-secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_is_blamed_instead_of_the_keys() {
    let simulator = tenant(Options {
        clock_skew: 600,
        ..Options::default()
    })
    .await;
    let mirror = Mirror::new().await;

    let ended = Program::between(&simulator, &mirror)
        .run(&["sync", "users", "--json"])
        .await
        .expect(1);

    let (error, remedy) = run_failure(&ended);
    assert!(
        error.contains("clock is") && error.contains("behind"),
        "{error}"
    );
    assert!(
        remedy.contains("clock") && !remedy.contains("ZEPHR_SECRET_KEY"),
        "{remedy}"
    );
    assert_eq!(simulator.stats().requests, 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn a_server_that_answers_only_web_pages_is_given_up_after_ten_attempts() {
    let faults = Faults {
        html: 100.0,
        ..Faults::default()
    };
    let simulator = tenant(Options {
        faults,
        ..Options::default()
    })
    .await;
    let mirror = Mirror::new().await;

    let ended = Program::between(&simulator, &mirror)
        .run(&["sync", "users", "--json"])
        .await
        .expect(1);

    let (error, remedy) = run_failure(&ended);
    assert!(error.contains("not JSON but HTML"), "{error}");
    assert!(remedy.contains("proxy"), "{remedy}");
    assert_eq!(simulator.stats().requests, 10);
    assert_eq!(mirror.value::<i64>("select count(*) from users").await, 0);
}

/// Error and remedy in the record of the only run.
fn run_failure(ended: &Ended) -> (String, String) {
    let document = ended.json();
    let run = &document["runs"][0];
    assert_eq!(run["status"], "failed");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    (text(&run["error"]), text(&run["remedy"]))
}
