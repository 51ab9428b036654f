//! Whatever the API answers, and however it says it.

use simulator::{BadEntry, Behaviour, Bulk, Details, Faults, Readable, StatusWords};

use super::Desk;
use super::desk::{CHUNK, outcome};

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_sent_once_and_nothing_else() {
    let desk = Desk::new(600).await;
    let before = desk.city(500);
    desk.cities("a.csv", 0..300, "Pört 😀");
    let plan = desk.plan("a.csv").await;
    assert_eq!(desk.simulator.stats().writes, 0, "planning writes nothing");

    let ended = desk.apply(&plan).await.expect(0).json();
    assert_eq!(ended["status"], "finished");
    assert_eq!(outcome(&ended, "succeeded"), 300);
    desk.expect_cities(0..300, "Pört 😀", "applied");
    assert_eq!(desk.city(500), before);
    let stats = desk.simulator.stats();
    assert_eq!(
        stats.of_route("POST /v4/user-updates"),
        (300 / CHUNK) as u64
    );
    assert_eq!((stats.bulk_non_ascii, stats.bulk_twice_in_job), (0, 0));

    // Applied again, there is nothing left to do.
    desk.apply(&plan).await.expect(0);
    desk.resume().await.expect(0);
    assert_eq!(desk.simulator.stats().writes, stats.writes);
    let results = desk.results(&plan).await;
    let lines: Vec<i64> = results
        .iter()
        .map(|row| row["line"].as_i64().expect("a line"))
        .collect();
    assert_eq!(lines, (2..302).collect::<Vec<_>>());
    assert!(
        results
            .iter()
            .all(|row| row["state"] == "succeeded" && row["job_id"].is_string())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_read_in_few_requests_where_they_are_neighbours() {
    let desk = Desk::new(600).await;
    desk.cities("a.csv", 0..300, "Port");
    let plan = desk.plan("a.csv").await;
    desk.apply(&plan).await.expect(0);
    assert_eq!(desk.simulator.stats().of_route("GET /v3/users/{}"), 0);
    // A few among many are asked for by id.
    desk.file(
        "b.csv",
        [
            "user_id,city".into(),
            format!("{},Elsewhere", desk.id(7)),
            format!("{},Elsewhere", desk.id(590)),
        ],
    );
    let plan = desk.plan("b.csv").await;
    desk.apply(&plan).await.expect(0);
    assert_eq!(desk.simulator.stats().of_route("GET /v3/users/{}"), 2);
    assert_eq!(desk.city(590).as_deref(), Some("Elsewhere"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_of_telling_about_jobs_is_understood() {
    for seed in 0..8 {
        let desk = Desk::with(300, |options| {
            options.behaviour = Behaviour {
                bulk: Bulk {
                    most_updates: None,
                    most_bytes: None,
                    ..Bulk::drawn(seed)
                },
                ..Behaviour::drawn(seed)
            };
        })
        .await;
        desk.cities("a.csv", 0..120, "Port");
        let plan = desk.plan("a.csv").await;
        let ended = desk.apply(&plan).await;
        let context = format!("seed {seed}");
        assert_eq!(ended.code, Some(0), "{context}: {}", ended.stderr);
        desk.expect_cities(0..120, "Port", &context);
    }
}

/// People who vanish between the last look and the job, in each form of details: their rows failed,
/// the others did not.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_fail_in_the_job_are_told_from_those_that_do_not() {
    for details in [
        Details::List,
        Details::Named,
        Details::ObjectPerUser,
        Details::WordPerUser,
        Details::FailedOnly,
        Details::Empty,
        Details::Absent,
    ] {
        let desk = Desk::with(300, |options| {
            options.behaviour.bulk = Bulk {
                details,
                status_words: StatusWords::Unheard,
                delay_ms: 3_600_000,
                ..Bulk::plain()
            };
        })
        .await;
        desk.cities("a.csv", 0..20, "Port");
        let plan = desk.plan("a.csv").await;
        let mut running = desk
            .program
            .start(&["bulk", "apply", &plan, "--yes", "--json"]);
        assert!(
            running
                .until(|line| line.contains(r#""phase":"accepted""#))
                .await
        );
        for person in [3, 4] {
            desk.simulator.tenant().delete(person);
        }
        desk.simulator.tenant().finish_jobs();
        let ended = running.end().await.expect(3).json();
        let context = format!("{details:?}");
        assert_eq!(outcome(&ended, "succeeded"), 18, "{context}");
        assert_eq!(outcome(&ended, "failed"), 2, "{context}");
        let results = desk.results(&plan).await;
        let failed: Vec<i64> = results
            .iter()
            .filter(|row| row["state"] == "failed")
            .map(|row| row["line"].as_i64().expect("a line"))
            .collect();
        assert_eq!(failed, [5, 6], "{context}");
        assert!(results[3]["message"].is_string(), "{context}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_too_large_is_halved() {
    for (most_updates, most_bytes) in [(Some(7), None), (None, Some(1_500))] {
        let desk = Desk::with(300, |options| {
            options.behaviour.bulk.most_updates = most_updates;
            options.behaviour.bulk.most_bytes = most_bytes;
        })
        .await;
        desk.cities("a.csv", 0..120, "Port");
        let plan = desk.plan("a.csv").await;
        desk.apply(&plan).await.expect(0);
        desk.expect_cities(0..120, "Port", "halved");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_limit_of_bytes_is_kept() {
    let desk = Desk::new(300).await;
    desk.cities("a.csv", 0..120, &"long ".repeat(100));
    let plan = desk.plan("a.csv").await;
    let program = desk.program.with("ZEPHR_SYNC_BULK_CHUNK_BYTES", "5000");
    program
        .run(&["bulk", "apply", &plan, "--yes"])
        .await
        .expect(0);
    assert!(desk.simulator.stats().of_route("POST /v4/user-updates") >= 120 / 8);
}

/// The tenant's schema changes after the plan: one value is refused, and with it the whole request
/// it is in.
#[tokio::test(flavor = "multi_thread")]
async fn one_update_that_fails_its_request_is_found_and_the_others_are_sent() {
    let desk = Desk::with(300, |options| {
        options.behaviour.bulk.bad_entry = BadEntry::FailsRequest;
    })
    .await;
    let header = "user_id,city,membership-number".to_owned();
    let rows = (0..60).map(|person| {
        let number = if person == 33 { "M-1" } else { "" };
        format!("{},Port {person},{number}", desk.id(person))
    });
    desk.file("a.csv", std::iter::once(header).chain(rows));
    let plan = desk.plan("a.csv").await;
    desk.simulator
        .tenant()
        .set_schema(r#"[{"slug":"city","input-type":"text"}]"#)
        .expect("a schema");
    let ended = desk.apply(&plan).await.expect(3).json();
    assert_eq!(outcome(&ended, "succeeded"), 59);
    let results = desk.results(&plan).await;
    let failed: Vec<_> = results
        .iter()
        .filter(|row| row["state"] == "failed")
        .collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["line"], 35);
    assert!(
        failed[0]["message"]
            .as_str()
            .expect("a message")
            .contains("400")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_takes_nothing_is_not_asked_for_ever() {
    let desk = Desk::with(400, |options| {
        options.behaviour.bulk.bad_entry = BadEntry::FailsRequest;
    })
    .await;
    desk.cities("a.csv", 0..300, "Port");
    let plan = desk.plan("a.csv").await;
    desk.simulator
        .tenant()
        .set_schema(r#"[{"slug":"other","input-type":"text"}]"#)
        .expect("a schema");
    let ended = desk.apply(&plan).await.expect(1);
    assert!(
        ended.stderr.contains("refused 20 updates"),
        "{}",
        ended.stderr
    );
    assert!(desk.simulator.stats().writes < 150);
    assert_eq!(outcome(&desk.status(&plan).await, "planned"), 280);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_throttling_and_a_bad_network_change_nothing() {
    let faults = Faults {
        lost_before: 12.0,
        lost_after: 12.0,
        throttle: 5.0,
        reset: 2.0,
        truncate: 2.0,
        server_error: 2.0,
        html: 2.0,
        ..Faults::default()
    };
    let desk = Desk::with(600, |options| {
        options.behaviour.bulk.list_grace_ms = 300;
        options.behaviour.bulk.id_grace_ms = 300;
    })
    .await;
    desk.cities("a.csv", 0..600, "Port");
    let plan = desk.plan("a.csv").await;
    desk.simulator.set_faults(faults);
    let ended = desk.apply(&plan).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    desk.simulator.set_faults(Faults::default());
    desk.expect_cities(0..600, "Port", "through faults");
    let stats = desk.simulator.stats();
    let lost: u64 = stats
        .faults
        .iter()
        .filter(|(fault, _)| format!("{fault:?}").starts_with("Lost"))
        .map(|(_, times)| times)
        .sum();
    assert!(lost >= 2, "{:?}", stats.faults);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_never_shown_is_settled_by_the_values() {
    for readable in [Readable::InListOnly, Readable::Nowhere] {
        let desk = Desk::with(300, |options| {
            options.behaviour.bulk.readable = readable;
        })
        .await;
        desk.cities("a.csv", 0..60, "Port");
        let plan = desk.plan("a.csv").await;
        let ended = desk.apply(&plan).await.expect(0).json();
        assert_eq!(outcome(&ended, "succeeded"), 60, "{readable:?}");
        desk.expect_cities(0..60, "Port", "never shown");
    }
}

/// Taken, never shown, and not done for as long as anybody waits: only somebody who knows can say.
#[tokio::test(flavor = "multi_thread")]
async fn what_nothing_tells_is_unknown_until_it_shows_or_somebody_says() {
    for told in ["later", "sent", "unsent"] {
        let desk = Desk::with(300, |options| {
            options.behaviour.bulk.readable = Readable::Nowhere;
            options.behaviour.bulk.delay_ms = 3_600_000;
        })
        .await;
        desk.cities("a.csv", 0..20, "Port");
        let plan = desk.plan("a.csv").await;
        let ended = desk.apply(&plan).await.expect(3).json();
        assert_eq!(outcome(&ended, "unknown"), 20, "{told}");
        // A look without evidence settles nothing.
        assert_eq!(
            outcome(&desk.resume().await.expect(3).json(), "unknown"),
            20,
            "{told}"
        );
        let ended = match told {
            "later" => {
                desk.simulator.tenant().finish_jobs();
                desk.resume().await.expect(0).json()
            }
            "sent" => {
                let arguments = ["bulk", "resume", &plan, "--assume", "sent", "--json"];
                let ended = desk.program.run(&arguments).await.expect(0).json();
                assert!(desk.applied().is_empty());
                ended
            }
            _ => {
                desk.simulator.tenant().finish_jobs();
                // They were done in the meantime: nobody is sent twice, whatever was said.
                let arguments = ["bulk", "resume", &plan, "--assume", "unsent", "--json"];
                let ended = desk.program.run(&arguments).await.expect(0).json();
                desk.expect_cities(0..20, "Port", told);
                ended
            }
        };
        assert_eq!(outcome(&ended, "succeeded"), 20, "{told}");
    }
}
