//! Bulk updates over HTTP: what a job does and to whom, and each way a tenant may answer.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use super::*;
use crate::{
    Applied, BadEntry, Bulk, Details, DetailsId, Does, EmptyValue, Fault, Faults, JobDate, Nothing,
    Outcome, Readable, RowWords, StatusWords, Stored, UnknownSlug,
};

const PATH: &str = "/v4/user-updates";
/// Longer than any test waits.
const HOUR_MS: u64 = 3_600_000;

async fn with(bulk: Bulk) -> (Simulator, Client) {
    let mut options = small(50);
    options.behaviour.bulk = bulk;
    start(options).await
}

async fn start(options: Options) -> (Simulator, Client) {
    let simulator = Simulator::start(options).await.unwrap();
    let client = Client::of(&simulator);
    (simulator, client)
}

fn plain() -> Bulk {
    Bulk {
        delay_ms: 0,
        ..Bulk::plain()
    }
}

fn set(user: &str, field: &str, value: impl Into<Value>) -> Value {
    let attribute = json!({"field": field, "value": value.into()});
    let action = json!({"type": "set-attribute", "attribute": attribute});
    json!({"identifier": {"user_id": user}, "actions": [action]})
}

fn delete(user: &str) -> Value {
    json!({"identifier": {"user_id": user}, "actions": [{"type": "delete-user"}]})
}

impl Client {
    async fn post(&self, updates: &[Value]) -> Response {
        let body = json!({ "updates": updates }).to_string();
        self.send(Method::POST, PATH, &body).await.unwrap()
    }

    /// Posts updates that must be accepted and answers the id of their job.
    async fn accepted(&self, updates: &[Value]) -> String {
        let response = self.post(updates).await;
        assert_eq!(response.status(), 202);
        let answer: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert!(!text(&answer, "message").is_empty());
        text(&answer, "job_id").to_owned()
    }

    async fn status_of(&self, job: &str) -> u16 {
        self.get(&format!("{PATH}/{job}")).await.status().as_u16()
    }

    async fn job(&self, job: &str) -> Value {
        self.json(&format!("{PATH}/{job}")).await
    }
}

/// An attribute as JSON text.
fn attribute(simulator: &Simulator, index: u32, slug: &str) -> Option<String> {
    let value = simulator.tenant().attribute(index, slug)?;
    Some(value.get().to_owned())
}

fn counts(job: &Value) -> (u64, u64, u64) {
    let count = |name: &str| job[name].as_u64().unwrap();
    (count("succeeded"), count("errors"), count("total"))
}

#[tokio::test]
async fn a_job_sets_values_and_deletes_and_the_truth_tells() {
    let (simulator, client) = with(plain()).await;
    let tenant = simulator.tenant();
    let users: Vec<String> = (0..4).map(|index| tenant.user_id(index)).collect();
    let before = attribute(&simulator, 1, "city").unwrap();
    let others = tenant.attributes(2);
    let updates = [set(&users[1], "city", "Atlantis"), delete(&users[3])];
    let job = client.accepted(&updates).await;
    assert_eq!(attribute(&simulator, 1, "city").unwrap(), r#""Atlantis""#);
    assert_eq!(tenant.attributes(2), others);
    assert_eq!(tenant.index_of(&users[3]), None);
    let read = client.job(&job).await;
    assert_eq!(counts(&read), (2, 0, 2));
    assert_eq!(text(&read, "jobId"), job);
    assert_eq!(text(&read, "status"), "completed");
    assert_eq!(text(&read, "jobDate"), "2026-01-01T00:00:00Z");
    assert_eq!(text(&read["details"][0], "user_id"), users[1]);
    assert_eq!(text(&read["details"][1], "status"), "success");
    let mut summary = read.clone();
    summary.as_object_mut().unwrap().remove("details");
    assert_eq!(client.json(PATH).await, json!([summary]));

    let since = "/v3/user-export?rpp=100&since=2025-12-31T00:00:00Z";
    let changed = ids(&items(Envelope::Nested, &client.json(since).await));
    assert_eq!(changed, [users[1].as_str()]);

    let lines = client.control(Method::GET, "truth/bulk", "").await;
    let lines = lines.text().await.unwrap();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        lines[0],
        json!({
            "job_id": job, "user_id": users[1], "action": "set-attribute", "field": "city", "value": "Atlantis",
            "before": serde_json::from_str::<Value>(&before).unwrap(), "outcome": "applied", "message": "",
            "at": "2026-01-01T00:00:00.000Z",
        })
    );
    assert_eq!(lines[1]["action"], "delete-user");
    assert_eq!(lines[1]["before"]["index"], 3);
    assert!(text(&lines[1]["before"], "registered").ends_with('Z'));
    let stats = client.control(Method::GET, "stats", "").await;
    let stats: Value = serde_json::from_slice(&stats.bytes().await.unwrap()).unwrap();
    for (name, count) in [
        ("writes", 1),
        ("bulk_jobs", 1),
        ("bulk_applied", 2),
        ("bulk_non_ascii", 0),
        ("bulk_twice_in_job", 0),
    ] {
        assert_eq!(stats[name], count, "{name}");
    }
    assert_eq!(stats["by_route"]["POST /v4/user-updates"], 1);
    assert_eq!(stats["by_route"]["GET /v4/user-updates/{}"], 1);
}

#[tokio::test]
async fn what_the_contract_does_not_describe_is_refused() {
    let (simulator, client) = with(plain()).await;
    let user = simulator.tenant().user_id(1);
    let entry = |identifier: Value, actions: Value| {
        json!({"updates": [{"identifier": identifier, "actions": actions}]}).to_string()
    };
    let one = json!([{"type": "delete-user"}]);
    let id = json!({ "user_id": user });
    let attribute = |attribute: Value| {
        entry(
            id.clone(),
            json!([{"type": "set-attribute", "attribute": attribute}]),
        )
    };
    for body in [
        "updates".to_owned(),
        "[]".to_owned(),
        r#"{"updates":{}}"#.to_owned(),
        r#"{"updates":[]}"#.to_owned(),
        r#"{"updates":[7]}"#.to_owned(),
        entry(id.clone(), json!([])),
        entry(id.clone(), json!(null)),
        entry(id.clone(), json!([{"type": "rename-user"}])),
        entry(id.clone(), json!([{"type": "set-attribute"}])),
        entry(json!({}), one.clone()),
        entry(json!({"user_id": ""}), one.clone()),
        entry(json!({"user_id": 5}), one.clone()),
        entry(json!({"email": "a@b.example"}), one.clone()),
        entry(
            json!({"user_id": user, "foreign_key": {"crm": "1"}}),
            one.clone(),
        ),
        entry(json!({"foreign_key": {}}), one.clone()),
        entry(
            json!({"foreign_key": {"crm": "1", "billing": "2"}}),
            one.clone(),
        ),
        entry(json!({"foreign_key": {"crm": 1}}), one.clone()),
        attribute(json!({"value": "a"})),
        attribute(json!({"field": 1, "value": "a"})),
    ] {
        let response = client.send(Method::POST, PATH, &body).await.unwrap();
        assert_eq!(response.status(), 400, "{body}");
        let answer: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert!(!text(&answer, "error").is_empty());
    }
    let body = entry(id, one);
    let nonce = uuid::Uuid::new_v4().simple().to_string();
    let signature = client.signature("POST", PATH, body.as_bytes(), &nonce);
    let untyped = client.http.post(format!("{}{PATH}", client.base));
    let untyped = untyped.header("Authorization", signature).body(body);
    assert_eq!(untyped.send().await.unwrap().status(), 400);
    let stats = simulator.stats();
    assert_eq!((stats.bulk_jobs, stats.bulk_applied), (0, 0));
    assert_eq!(simulator.tenant().living(), 50);
}

#[tokio::test]
async fn bad_entries_fail_their_row_or_the_request() {
    for bad_entry in [BadEntry::FailsRow, BadEntry::FailsRequest] {
        let (simulator, client) = with(Bulk {
            bad_entry,
            ..plain()
        })
        .await;
        let user = simulator.tenant().user_id(1);
        let good = set(&simulator.tenant().user_id(2), "city", "Atlantis");
        let bad = [
            set(&user, "no-such-slug", "a"),
            set(&user, "newsletter", true),
            set(&uuid::Uuid::new_v4().to_string(), "city", "a"),
        ];
        for bad in bad {
            let updates = [good.clone(), bad];
            match bad_entry {
                BadEntry::FailsRow => {
                    let job = client.accepted(&updates).await;
                    let job = client.job(&job).await;
                    assert_eq!(counts(&job), (1, 1, 2));
                    assert_eq!(text(&job["details"][1], "status"), "error");
                    assert!(!text(&job["details"][1], "message").is_empty());
                }
                BadEntry::FailsRequest => assert_eq!(client.post(&updates).await.status(), 400),
            }
        }
        let applied = simulator.tenant().bulk_applied();
        let count = |wanted| applied.iter().filter(|one| one.outcome == wanted).count();
        let expected = match bad_entry {
            BadEntry::FailsRow => (3, 3),
            BadEntry::FailsRequest => (0, 0),
        };
        assert_eq!((count(Outcome::Applied), count(Outcome::Error)), expected);
        assert_eq!(simulator.stats().bulk_applied, expected.0 as u64);
    }
}

#[tokio::test]
async fn more_than_the_tenant_takes_is_413() {
    let (simulator, client) = with(Bulk {
        most_updates: Some(2),
        most_bytes: Some(600),
        ..plain()
    })
    .await;
    let users: Vec<String> = (0..3).map(|at| simulator.tenant().user_id(at)).collect();
    let short: Vec<Value> = users.iter().map(|user| delete(user)).collect();
    assert_eq!(client.post(&short).await.status(), 413);
    let long = [set(&users[0], "notes", "a".repeat(600))];
    assert_eq!(client.post(&long).await.status(), 413);
    assert_eq!(client.post(&short[..2]).await.status(), 202);
    assert_eq!(simulator.tenant().living(), 48);
}

#[tokio::test]
async fn a_delay_of_milliseconds_passes_though_the_clock_stands_still() {
    let (simulator, client) = with(Bulk {
        delay_ms: 1_500,
        ..plain()
    })
    .await;
    let user = simulator.tenant().user_id(1);
    client.accepted(&[set(&user, "city", "Atlantis")]).await;
    assert_ne!(attribute(&simulator, 1, "city").unwrap(), r#""Atlantis""#);
    tokio::time::sleep(Duration::from_millis(1_600)).await;
    // Nobody polled it.
    assert_eq!(attribute(&simulator, 1, "city").unwrap(), r#""Atlantis""#);
}

#[tokio::test]
async fn a_job_is_seen_half_way_as_the_clock_moves() {
    let millis = Arc::new(AtomicU64::new(0));
    let hand = Arc::clone(&millis);
    let mut options = small(50);
    options.clock =
        Arc::new(move || UNIX_EPOCH + NOW + Duration::from_millis(hand.load(Ordering::Relaxed)));
    options.behaviour.bulk = Bulk {
        delay_ms: 200_000,
        halfway: true,
        total_late: true,
        ..plain()
    };
    let (simulator, client) = start(options).await;
    let update = |index| set(&simulator.tenant().user_id(index), "city", "Atlantis");
    let updates: Vec<Value> = (0..5).map(update).collect();
    let job = client.accepted(&updates).await;
    for (at, seen, status) in [
        (0, (0, 0, 0), "pending"),
        (99_999, (0, 0, 0), "pending"),
        (100_000, (2, 0, 5), "pending"),
        (199_999, (2, 0, 5), "pending"),
        (200_000, (5, 0, 5), "completed"),
    ] {
        millis.store(at, Ordering::Relaxed);
        let read = client.job(&job).await;
        assert_eq!(counts(&read), seen, "{at}");
        assert_eq!(text(&read, "status"), status, "{at}");
        let told = read["details"].as_array().unwrap().len() as u64;
        assert_eq!(told, seen.0, "{at}");
    }
    millis.store(250_000, Ordering::Relaxed);
    let at: Vec<String> = simulator
        .tenant()
        .bulk_applied()
        .into_iter()
        .map(|one| one.at)
        .collect();
    assert_eq!(at[1], "2026-01-01T00:01:40.000Z");
    assert_eq!(at[4], "2026-01-01T00:03:20.000Z");
}

#[tokio::test]
async fn jobs_end_when_they_are_told_to() {
    let (simulator, client) = with(Bulk {
        delay_ms: HOUR_MS,
        halfway: true,
        ..plain()
    })
    .await;
    let user = simulator.tenant().user_id(1);
    let job = client.accepted(&[set(&user, "city", "Atlantis")]).await;
    assert_eq!(counts(&client.job(&job).await), (0, 0, 1));
    client.control(Method::POST, "finish-jobs", "").await;
    assert_eq!(counts(&client.job(&job).await), (1, 0, 1));
    assert_eq!(attribute(&simulator, 1, "city").unwrap(), r#""Atlantis""#);
}

#[tokio::test]
async fn a_job_may_be_unreadable_for_a_while_or_for_ever() {
    let hidden = Bulk {
        id_grace_ms: HOUR_MS,
        ..plain()
    };
    let late = Bulk {
        id_grace_ms: 1_500,
        list_grace_ms: 1_500,
        ..plain()
    };
    let only = |readable| Bulk {
        readable,
        ..plain()
    };
    let unlisted = Bulk {
        list_grace_ms: HOUR_MS,
        no_jobs: Nothing::EmptyList,
        ..plain()
    };
    for (bulk, by_id, listed) in [
        (hidden, 404, Some(1)),
        (late, 404, None),
        (only(Readable::InListOnly), 404, Some(1)),
        (only(Readable::Nowhere), 404, None),
        (unlisted, 200, Some(0)),
    ] {
        let (simulator, client) = with(bulk).await;
        let user = simulator.tenant().user_id(1);
        let job = client.accepted(&[set(&user, "city", "Atlantis")]).await;
        assert_eq!(client.status_of(&job).await, by_id, "{bulk:?}");
        let list = client.get(PATH).await;
        match listed {
            None => assert_eq!(list.status(), 404, "{bulk:?}"),
            Some(count) => {
                let list: Vec<Value> =
                    serde_json::from_slice(&list.bytes().await.unwrap()).unwrap();
                assert_eq!(list.len(), count, "{bulk:?}");
            }
        }
        assert_eq!(
            simulator.stats().bulk_applied,
            1,
            "carried out all the same"
        );
        if bulk == late {
            tokio::time::sleep(Duration::from_millis(1_600)).await;
            assert_eq!(client.status_of(&job).await, 200);
            assert_eq!(client.get(PATH).await.status(), 200);
        }
        assert_eq!(client.status_of("another").await, 404);
    }
}

#[tokio::test]
async fn status_and_date_take_their_forms() {
    for (words, before, after) in [
        (StatusWords::PendingCompleted, "pending", "completed"),
        (StatusWords::ProcessingCompleted, "PROCESSING", "COMPLETED"),
        (StatusWords::QueuedDone, "queued", "DONE"),
        (StatusWords::InProgressFinished, "in_progress", "Finished"),
        (StatusWords::Unheard, "stage-2", "settled"),
    ] {
        let (simulator, client) = with(Bulk {
            status_words: words,
            delay_ms: HOUR_MS,
            ..plain()
        })
        .await;
        let job = client
            .accepted(&[delete(&simulator.tenant().user_id(9))])
            .await;
        assert_eq!(text(&client.job(&job).await, "status"), before);
        simulator.tenant().finish_jobs();
        assert_eq!(text(&client.job(&job).await, "status"), after);
    }
    for (job_date, expected) in [
        (JobDate::Iso, json!("2026-01-01T00:00:00Z")),
        (JobDate::Spaced, json!("2026-01-01 00:00:00")),
        (JobDate::Millis, json!("1767225600000")),
        (JobDate::Absent, Value::Null),
    ] {
        let (simulator, client) = with(Bulk {
            job_date,
            ..plain()
        })
        .await;
        let job = client
            .accepted(&[delete(&simulator.tenant().user_id(9))])
            .await;
        assert_eq!(client.job(&job).await["jobDate"], expected);
    }
}

#[tokio::test]
async fn the_list_has_an_order() {
    for newest_first in [true, false] {
        let (simulator, client) = with(Bulk {
            newest_first,
            ..plain()
        })
        .await;
        assert_eq!(client.get(PATH).await.status(), 404);
        let mut jobs = Vec::new();
        for index in [7, 8] {
            jobs.push(
                client
                    .accepted(&[delete(&simulator.tenant().user_id(index))])
                    .await,
            );
        }
        if newest_first {
            jobs.reverse();
        }
        let listed = client.json(PATH).await;
        let listed = listed.as_array().unwrap().iter();
        let listed: Vec<&str> = listed.map(|job| text(job, "jobId")).collect();
        assert_eq!(listed, jobs);
    }
}

#[tokio::test]
async fn details_take_their_shapes() {
    let words = RowWords::SucceededFailed;
    let (user, stranger) = {
        let (simulator, _) = with(plain()).await;
        (
            simulator.tenant().user_id(1),
            uuid::Uuid::new_v4().to_string(),
        )
    };
    let good = json!({"status": "SUCCEEDED", "message": "the user was updated"});
    let bad = json!({"status": "FAILED", "message": "no such user"});
    let row = |details_id, id: &str, outcome: &Value| {
        let (name, id) = match details_id {
            DetailsId::Snake => ("user_id", json!(id)),
            DetailsId::Camel => ("userId", json!(id)),
            DetailsId::Identifier => ("identifier", json!({ "user_id": id })),
        };
        let mut row = outcome.clone();
        row[name] = id;
        row
    };
    let both = |id| json!([row(id, &user, &good), row(id, &stranger, &bad)]);
    for (details, details_id, expected) in [
        (Details::List, DetailsId::Snake, both(DetailsId::Snake)),
        (Details::List, DetailsId::Camel, both(DetailsId::Camel)),
        (
            Details::List,
            DetailsId::Identifier,
            both(DetailsId::Identifier),
        ),
        (
            Details::Named,
            DetailsId::Snake,
            json!({ "updates": both(DetailsId::Snake) }),
        ),
        (
            Details::FailedOnly,
            DetailsId::Snake,
            json!([row(DetailsId::Snake, &stranger, &bad)]),
        ),
        (
            Details::ObjectPerUser,
            DetailsId::Snake,
            json!({&user: good, &stranger: bad}),
        ),
        (
            Details::WordPerUser,
            DetailsId::Snake,
            json!({&user: "SUCCEEDED", &stranger: "FAILED"}),
        ),
        (Details::Empty, DetailsId::Snake, json!({})),
        (Details::Absent, DetailsId::Snake, Value::Null),
    ] {
        let (_simulator, client) = with(Bulk {
            details,
            details_id,
            row_words: words,
            ..plain()
        })
        .await;
        let updates = [
            set(&user, "city", "Atlantis"),
            set(&stranger, "city", "Atlantis"),
        ];
        let job = client.accepted(&updates).await;
        assert_eq!(client.job(&job).await["details"], expected, "{details:?}");
    }
}

#[tokio::test]
async fn values_are_stored_cleared_or_refused() {
    let empty = |empty_value| Bulk {
        empty_value,
        ..plain()
    };
    let typed = Bulk {
        stored: Stored::Typed,
        ..plain()
    };
    let loose = Bulk {
        unknown_slug: UnknownSlug::Stored,
        ..plain()
    };
    let checked = Bulk {
        values_checked: true,
        ..plain()
    };
    for (bulk, slug, value, expected) in [
        (plain(), "newsletter", "true", Some(r#""true""#)),
        (typed, "newsletter", "true", Some("true")),
        (typed, "loyalty-points", "12", Some("12")),
        (plain(), "notes", "", None),
        (plain(), "city", "", None),
        (empty(EmptyValue::Stored), "city", "", Some(r#""""#)),
        (loose, "shoe-size", "44", Some(r#""44""#)),
        (plain(), "notes", "Zoë \"🦊\"", Some(r#""Zoë \"🦊\"""#)),
        (checked, "country", "GB", Some(r#""GB""#)),
    ] {
        let (simulator, client) = with(bulk).await;
        let tenant = simulator.tenant();
        for index in 0..20 {
            client
                .accepted(&[set(&tenant.user_id(index), slug, value)])
                .await;
            let shown = client
                .json(&format!("/v3/users/{}", tenant.user_id(index)))
                .await;
            let shown = shown["attributes"].get(slug).map(Value::to_string);
            assert_eq!(shown.as_deref(), expected, "{slug} {value} {bulk:?}");
            assert_eq!(attribute(&simulator, index, slug), shown);
        }
    }
    for (bulk, slug, value) in [
        (empty(EmptyValue::FailsRow), "city", ""),
        (checked, "country", "Atlantis"),
        (checked, "loyalty-points", "many"),
    ] {
        let (simulator, client) = with(bulk).await;
        let before = attribute(&simulator, 1, slug);
        let updates = [set(&simulator.tenant().user_id(1), slug, value)];
        let job = client.accepted(&updates).await;
        assert_eq!(counts(&client.job(&job).await), (0, 1, 1));
        assert_eq!(attribute(&simulator, 1, slug), before);
    }
}

#[tokio::test]
async fn a_value_that_is_set_changes_nothing_else_whoever_they_are() {
    let mut options = small(400);
    options.shape.awkward_percent = 80.0;
    options.behaviour.bulk = plain();
    let (simulator, client) = start(options).await;
    // In the order of updates before anybody is changed, so that it has to be kept right.
    let since = "/v3/user-export?attributes=true&rpp=1000&since=2025-12-31T00:00:00Z";
    assert!(items(Envelope::Nested, &client.json(since).await).is_empty());
    let tenant = simulator.tenant();
    // Some have values no program of ours can hold; they are compared elsewhere, by their text.
    let attributes = |index| serde_json::from_str::<Value>(&tenant.attributes(index)?).ok();
    let named = |index: &u32| tenant.index_of(&tenant.user_id(*index)).is_some();
    let people: Vec<u32> = (0..400).filter(named).collect();
    let before: Vec<Option<Value>> = people.iter().map(|index| attributes(*index)).collect();
    let update = |index: &u32| set(&tenant.user_id(*index), "notes", "Atlantis");
    let updates: Vec<Value> = people.iter().map(update).collect();
    let job = client.accepted(&updates).await;
    let count = people.len() as u64;
    assert_eq!(counts(&client.job(&job).await), (count, 0, count));
    let mut compared = 0;
    for (index, before) in people.iter().zip(before) {
        let Some(before) = before else {
            continue;
        };
        let mut expected = match before {
            Value::Object(_) => before,
            _ => json!({}),
        };
        expected["notes"] = json!("Atlantis");
        assert_eq!(attributes(*index), Some(expected), "person {index}");
        compared += 1;
    }
    assert!(compared > 200, "{compared} of {count}");
    let changed = client.get(since).await.text().await.unwrap();
    assert_eq!(changed.matches("Atlantis").count(), people.len());
}

#[tokio::test]
async fn actions_of_a_row_are_done_up_to_one_that_fails() {
    let (simulator, client) = with(plain()).await;
    let user = simulator.tenant().user_id(1);
    let mut update = set(&user, "city", "Atlantis");
    for other in [set(&user, "no-such-slug", "a"), set(&user, "country", "GB")] {
        let action = other["actions"][0].clone();
        update["actions"].as_array_mut().unwrap().push(action);
    }
    let country = attribute(&simulator, 1, "country");
    let job = client.accepted(&[update]).await;
    assert_eq!(counts(&client.job(&job).await), (0, 1, 1));
    assert_eq!(attribute(&simulator, 1, "city").unwrap(), r#""Atlantis""#);
    assert_eq!(attribute(&simulator, 1, "country"), country);
    assert_eq!(simulator.tenant().bulk_applied().len(), 2);
}

#[tokio::test]
async fn people_are_found_by_foreign_key_in_both_readings() {
    let (simulator, client) = with(plain()).await;
    // The keys in `billing` lead to one person.
    let all = truth(&simulator);
    let place = all
        .iter()
        .position(|item| item["user"]["foreign_keys"]["billing"].is_string())
        .unwrap();
    let key = text(&all[place]["user"]["foreign_keys"], "billing");
    for (at, identifier) in [
        json!({"foreign_key": {"billing": key}}),
        json!({"foreign_key": {"foreign-system": key}}),
    ]
    .into_iter()
    .enumerate()
    {
        let mut update = set("", "city", at.to_string());
        update["identifier"] = identifier.clone();
        let job = client.accepted(&[update]).await;
        let job = client.job(&job).await;
        assert_eq!(counts(&job), (1, 0, 1));
        assert_eq!(job["details"][0]["foreign_key"], identifier["foreign_key"]);
        let city = attribute(&simulator, place as u32, "city").unwrap();
        assert_eq!(city, format!("\"{at}\""));
    }
    let mut update = delete("");
    update["identifier"] = json!({"foreign_key": {"crm": key}});
    let job = client.accepted(&[update]).await;
    assert_eq!(counts(&client.job(&job).await), (0, 1, 1));
    let applied = simulator.tenant().bulk_applied();
    let users: Vec<Option<&str>> = applied.iter().map(|one| one.user_id.as_deref()).collect();
    let user = simulator.tenant().user_id(place as u32);
    assert_eq!(users, [Some(user.as_str()), Some(user.as_str()), None]);
}

#[tokio::test]
async fn habits_of_a_careless_client_are_counted() {
    let (simulator, client) = with(plain()).await;
    let users: Vec<String> = (0..4).map(|at| simulator.tenant().user_id(at)).collect();
    let mut mixed = set(&users[2], "city", "a");
    let action = delete(&users[2])["actions"][0].clone();
    mixed["actions"].as_array_mut().unwrap().push(action);
    let twice = [
        set(&users[0], "city", "a"),
        set(&users[0], "country", "GB"),
        set(&users[1], "city", "a"),
        mixed,
    ];
    client.accepted(&twice).await;
    client.accepted(&[set(&users[3], "city", "Zürich")]).await;
    let stats = simulator.stats();
    assert_eq!((stats.bulk_twice_in_job, stats.bulk_non_ascii), (2, 1));
}

/// Sends one update after another under faults and answers how each ended and how many times each
/// was carried out.
async fn under(faults: Faults, times: u32) -> (Simulator, Vec<bool>) {
    let mut options = small(100);
    options.behaviour.bulk = plain();
    let (simulator, client) = start(options).await;
    simulator.set_faults(faults);
    let mut ends = std::collections::HashSet::new();
    let mut applied = Vec::new();
    for index in 0..times {
        let user = simulator.tenant().user_id(index);
        let body = json!({ "updates": [set(&user, "city", "Atlantis")] }).to_string();
        let answer = client.send(Method::POST, PATH, &body).await;
        ends.insert(answer.map(|answer| answer.status().as_u16()).ok());
        applied.push(attribute(&simulator, index, "city").unwrap() == r#""Atlantis""#);
    }
    if times > 1 {
        assert!(
            ends.contains(&None) && ends.contains(&Some(504)),
            "{ends:?}"
        );
    }
    // Reads go on as ever.
    assert_eq!(
        client.get("/v3/user-export?rpp=5&page=1").await.status(),
        200
    );
    (simulator, applied)
}

#[tokio::test]
async fn a_write_is_lost_before_or_after_it_is_carried_out() {
    let before = Faults {
        lost_before: 100.0,
        ..Faults::default()
    };
    let (simulator, applied) = under(before, 12).await;
    assert!(applied.iter().all(|applied| !applied));
    let stats = simulator.stats();
    assert_eq!(
        (stats.writes, stats.bulk_jobs, stats.bulk_applied),
        (0, 0, 0)
    );
    // A client of HTTP may itself repeat what a reset connection lost.
    assert!(stats.faults[&Fault::LostBefore] >= 12);

    let after = Faults {
        lost_after: 100.0,
        ..Faults::default()
    };
    let (simulator, applied) = under(after, 12).await;
    assert!(applied.iter().all(|applied| *applied));
    let stats = simulator.stats();
    assert!(stats.writes >= 12 && stats.bulk_jobs == stats.writes);
    assert_eq!(
        stats.bulk_applied,
        simulator.tenant().bulk_applied().len() as u64
    );

    let both = Faults {
        lost_before: 30.0,
        lost_after: 30.0,
        ..Faults::default()
    };
    let (_simulator, applied) = under(both, 40).await;
    let count = applied.iter().filter(|applied| **applied).count();
    assert!((15..40).contains(&count), "{count} of 40 carried out");
}

#[tokio::test]
async fn whoever_comes_again_under_an_id_is_somebody_else() {
    let (simulator, client) = with(plain()).await;
    let tenant = simulator.tenant();
    let user = tenant.user_id(7);
    let path = format!("/v3/users/{user}");
    let first = client.json(&path).await;
    assert!(!tenant.recreate(7), "nobody was deleted");
    client.accepted(&[delete(&user)]).await;
    assert_eq!(client.get(&path).await.status(), 404);
    let body = json!({ "user_id": user }).to_string();
    assert_eq!(
        client
            .control(Method::POST, "recreate", &body)
            .await
            .status(),
        200
    );
    assert_eq!(
        client
            .control(Method::POST, "recreate", &body)
            .await
            .status(),
        404
    );

    let second = client.json(&path).await;
    assert_eq!(first["user_id"], second["user_id"]);
    assert_eq!(text(&second, "registered"), "2026-01-01T00:00:00Z");
    assert_ne!(first["identifiers"], second["identifiers"]);
    assert_ne!(
        first["attributes"]["last-name"],
        second["attributes"]["last-name"]
    );
    let email = text(&second["identifiers"], "email_address");
    let lookup = format!("/v3/users?identifiers.email_address={email}");
    assert_eq!(client.json(&lookup).await["results"][0], second);
    let window = "/v3/user-export?rpp=100&registeredSince=2025-12-31T00:00:00Z";
    let late = items(Envelope::Nested, &client.json(window).await);
    assert_eq!(ids(&late), [user.as_str()]);

    client.accepted(&[delete(&user)]).await;
    let deleted: Vec<Applied> = tenant.bulk_applied();
    let registered = |one: &Applied| {
        let before: Value = serde_json::from_str(one.before.as_ref().unwrap().get()).unwrap();
        text(&before, "registered").to_owned()
    };
    assert!(deleted.iter().all(|one| one.action == Does::DeleteUser));
    assert_eq!(registered(&deleted[0]), text(&first, "registered"));
    assert_eq!(registered(&deleted[1]), "2026-01-01T00:00:00Z");
    assert_eq!(tenant.living(), 49);
    assert!(tenant.recreate(7) && tenant.living() == 50);
}

#[tokio::test]
async fn control_sets_and_removes_attributes_of_one_person() {
    let (simulator, client) = with(plain()).await;
    let user = simulator.tenant().user_id(7);
    let body =
        json!({"user_id": user, "attributes": {"city": "Cork", "age": 5}, "clear": ["country"]});
    let answer = client.control(Method::POST, "set", &body.to_string()).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(attribute(&simulator, 7, "city").unwrap(), r#""Cork""#);
    assert_eq!(attribute(&simulator, 7, "age").unwrap(), "5");
    assert_eq!(attribute(&simulator, 7, "country"), None);
    let stranger = json!({"user_id": "nobody"}).to_string();
    assert_eq!(
        client
            .control(Method::POST, "set", &stranger)
            .await
            .status(),
        404
    );
    // An edit of no attribute in particular shows, whatever its attribute was set to.
    let points = [(
        "loyalty-points".to_owned(),
        serde_json::value::RawValue::NULL.to_owned(),
    )];
    assert!(simulator.tenant().set_attributes(7, points));
    assert!(simulator.tenant().update(7));
    assert_ne!(attribute(&simulator, 7, "loyalty-points").unwrap(), "null");
    assert_eq!(attribute(&simulator, 7, "city").unwrap(), r#""Cork""#);
}
