//! What became of each row of a plan: every row of the file once, in its order, whatever it came
//! to.

use serde_json::{Value, json};
use simulator::Options;

use crate::support::bulk::{Bench, csv_rows, plan_id};

const COLUMNS: [&str; 10] = [
    "line",
    "identifier",
    "user_id",
    "action",
    "changes",
    "outcome",
    "message",
    "job_id",
    "settled_at",
    "confirmed_at",
];

#[tokio::test(flavor = "multi_thread")]
async fn each_row_of_a_file_is_reported_once_and_in_order() {
    let bench = Bench::of(3_000).await;
    let everybody = bench.persons();
    let mut text = "user_id,city,notes,_action\n".to_owned();
    let mut expected = Vec::new();
    let mut line = 2;
    for (at, person) in everybody[..2_600].iter().enumerate() {
        let (row, outcome, next) = match at % 50 {
            7 => (format!("+stranger {at},Bern,,\n"), "rejected", 1),
            9 => (
                format!("{},{},,\n", person.user_id, person.typed("city")),
                "unchanged",
                1,
            ),
            11 if at < 100 => (format!("{},,,delete\n", person.user_id), "succeeded", 1),
            13 => (
                format!("{},New,\"a\nb\",\n", person.user_id),
                "succeeded",
                2,
            ),
            _ => (
                format!("{},Bern {at},=1+{at},\n", person.user_id),
                "succeeded",
                1,
            ),
        };
        text.push_str(&row);
        expected.push((line, outcome, person.user_id.clone()));
        line += next;
    }
    // Changed by somebody else after the sync that the plan rests on.
    bench.set(everybody[20].index, "city", &json!("Elsewhere"));
    expected[20].1 = "failed";
    let id = plan_id(&bench.plan(3, &text).await);
    let planned = bench.results(&id).await;
    assert_eq!(planned.len(), expected.len());
    assert!(
        planned
            .iter()
            .all(|row| row["job_id"].is_null() && row["settled_at"].is_null())
    );

    bench
        .bulk(&["apply", &id, "--yes", "--allow-deletes"])
        .await
        .expect(3);
    bench
        .bulk(&["results", &id, "--output", "out.csv"])
        .await
        .expect(0);
    let ended = bench.bulk(&["results", &id]).await.expect(0);
    assert_eq!(ended.stdout, bench.read("out.csv"));
    let rows = csv_rows(&ended.stdout);
    assert_eq!(rows[0], COLUMNS);
    assert_eq!(rows.len() - 1, expected.len());
    for (row, (line, outcome, user_id)) in rows[1..].iter().zip(&expected) {
        assert_eq!(
            (&row[0], row[5].as_str()),
            (&line.to_string(), *outcome),
            "{row:?}"
        );
        match *outcome {
            "rejected" => {
                assert!(row[1].starts_with("'+stranger "), "{row:?}");
                assert!(
                    row[6].contains("no user in the mirror has this user_id"),
                    "{row:?}"
                );
                assert_eq!(
                    (row[2].as_str(), row[4].as_str(), row[8].as_str()),
                    ("", "", "")
                );
            }
            "unchanged" => assert_eq!(
                (row[2].as_str(), row[4].as_str(), row[7].as_str()),
                (user_id.as_str(), "", "")
            ),
            "failed" => {
                assert_eq!(row[6], "changed since it was planned: city");
                assert!(!row[8].is_empty());
            }
            _ => {
                assert_eq!(&row[2], user_id);
                assert!(
                    !row[7].is_empty() && !row[8].is_empty() && row[9].is_empty(),
                    "{row:?}"
                );
                let change = if row[3] == "delete" {
                    "deleted"
                } else {
                    "city: "
                };
                assert!(row[4].starts_with(change), "{row:?}");
            }
        }
    }
    assert!(rows[1][4].ends_with("=1+0"), "{:?}", rows[1]);

    bench
        .bulk(&["results", &id, "--json", "--output", "out.json"])
        .await
        .expect(0);
    let document: Value = serde_json::from_str(&bench.read("out.json")).expect("one document");
    assert_eq!(document["plan_id"], json!(id));
    let told = document["results"].as_array().expect("rows");
    assert_eq!(told.len(), expected.len());
    for (told, row) in told.iter().zip(&rows[1..]) {
        assert_eq!(told["line"].to_string(), row[0]);
        assert_eq!(told["state"], json!(row[5]));
        assert_eq!(told["message"].as_str().unwrap_or_default(), row[6]);
        assert_eq!(told["user_id"].as_str().unwrap_or_default(), row[2]);
    }

    // The next sync has seen them.
    bench.sync().await;
    let confirmed = bench.results(&id).await;
    for (row, (_, outcome, _)) in confirmed.iter().zip(&expected) {
        assert_eq!(
            !row["confirmed_at"].is_null(),
            *outcome == "succeeded",
            "{row:#}"
        );
    }
    let status = bench.json(0, &["status", &id]).await;
    assert_eq!(status["status"], "finished");
    let failed = (
        &status["outcomes"]["failed"],
        &status["outcomes"]["confirmed"],
    );
    let succeeded = expected.iter().filter(|row| row.1 == "succeeded").count();
    assert_eq!(failed, (&json!(1), &json!(succeeded)));
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_cannot_be_written_are_an_error_and_an_empty_plan_has_none() {
    let bench = Bench::with(20, Options::default(), |program| program).await;
    let id = plan_id(&bench.plan(0, "email,city\n").await);
    assert_eq!(
        bench.bulk(&["results", &id]).await.expect(0).stdout,
        format!("{}\r\n", COLUMNS.join(","))
    );
    assert_eq!(bench.results(&id).await, Vec::<Value>::new());
    let said = bench
        .bulk(&["results", &id, "--output", "no/such/place.csv"])
        .await
        .expect(1)
        .stderr;
    assert!(
        said.contains("cannot be written") && said.contains("--output"),
        "{said}"
    );
    let applied = bench.apply(0, &id).await;
    assert_eq!(applied["status"], "finished");
    assert_eq!(bench.simulator.stats().writes, 0);
}
