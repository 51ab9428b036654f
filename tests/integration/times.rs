//! Times in whatever form they come, and columns of which too many values did not fit: what is read
//! is there, and what is not is said aloud.

use serde_json::{Value, json};

use crate::support::scripted::{Scripted, user};
use crate::support::{Mirror, status_of};

/// A server of users who registered as these values say.
async fn registered(values: &[Value]) -> Scripted {
    let users = (1..).zip(values).map(|(id, value)| user(id, value.clone()));
    Scripted::start(users.collect(), Box::new(|_, _| None)).await
}

async fn sync(server: &Scripted, mirror: &Mirror) -> Value {
    let ended = server
        .program(mirror)
        .run(&["sync", "users", "--json"])
        .await;
    ended.expect(0).json()["runs"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn registrations_are_read_in_every_form_and_numbers_are_counted() {
    let values = [
        json!("2021-02-24T15:43:28Z"),
        json!("2021-02-24T15:43:28.000+0000"),
        json!("2021-02-24T15:43:28+00"),
        json!("2021-02-24 08:43:28.000000000 -07:00"),
        json!("2021-02-24t15:43:28z"),
        json!("2021-02-24 15:43:28"),
        json!(1_614_181_408),
        json!(1_614_181_408_000_i64),
        json!("1614181408"),
    ];
    let (server, mirror) = (registered(&values).await, Mirror::new().await);

    let run = sync(&server, &mirror).await;

    let read: i64 = mirror
        .value("select count(*) from users where registered_at = '2021-02-24 15:43:28+00'")
        .await;
    assert_eq!(read, values.len() as i64);
    let reason = run["verdict_reason"].as_str().expect("a reason");
    assert!(reason.contains("3 times came as numbers"), "{reason}");
    assert_eq!(run["times_from_numbers"], 3);
    assert_eq!(run["unfit"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_of_which_a_tenth_did_not_fit_is_said_as_long_as_that_is_so() {
    let mut values = vec![json!("2021-02-24T15:43:28Z"); 18];
    values.extend([json!("yesterday"), json!("the day before")]);
    let (server, mirror) = (registered(&values).await, Mirror::new().await);
    let says = "2 of 20 values of users.registered_at did not fit and are null";

    // The second run changes nothing, and reads nothing of the table.
    for _ in 0..2 {
        let run = sync(&server, &mirror).await;

        let reason = run["verdict_reason"].as_str().expect("a reason");
        assert!(reason.contains(says), "{reason}");
        let unfit =
            json!([{ "table": "users", "column": "registered_at", "unfit": 2, "values": 20 }]);
        assert_eq!(run["unfit"], unfit);
        let program = server.program(&mirror);
        let status = program.run(&["status"]).await.expect(0).stdout;
        assert!(status.contains(says), "{status}");
        let status = program.run(&["status", "--json"]).await.expect(0).json();
        assert_eq!(status_of(&status, "users")["unfit"], unfit);
        let text = program.run(&["sync", "users"]).await.expect(0).stdout;
        assert!(text.contains(says), "{text}");
    }

    // One of them is mended, and then too few are left to speak of.
    values[19] = json!("2021-02-24T15:43:28+0000");
    let run = sync(&registered(&values).await, &mirror).await;
    assert_eq!(run["rows_updated"], 1, "{run:#}");
    assert_eq!(run["unfit"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_few_values_none_that_fits_says_nothing_yet() {
    let values = vec![json!("yesterday"); 9];
    let (server, mirror) = (registered(&values).await, Mirror::new().await);

    let run = sync(&server, &mirror).await;

    assert_eq!(run["unfit"], json!([]));
}
