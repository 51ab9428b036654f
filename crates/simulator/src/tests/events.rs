use super::*;
use crate::{Boundary, EVENTS_SPAN, EventsFormat, LAST_EVENT};

/// The lines of an answer by column name.
fn table(body: &[u8]) -> Vec<Value> {
    let mut reader = csv::Reader::from_reader(body);
    let names = reader.headers().unwrap().clone();
    let row = |record: csv::StringRecord| {
        let pairs = names.iter().zip(record.iter());
        Value::Object(
            pairs
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect(),
        )
    };
    reader
        .records()
        .map(|record| row(record.unwrap()))
        .collect()
}

async fn page(client: &Client, behaviour: &Behaviour, query: &str) -> Vec<Value> {
    let answer = client
        .get(&format!("/v4/user-export?eventsExport=true{query}"))
        .await;
    assert_eq!(answer.status(), 200, "{query}");
    let content_type = answer.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    let body = answer.bytes().await.unwrap();
    match behaviour.events_format {
        EventsFormat::Csv => {
            assert!(content_type.starts_with("text/csv"));
            table(&body)
        }
        EventsFormat::Json => {
            assert_eq!(content_type, "application/json");
            items(behaviour.envelope, &serde_json::from_slice(&body).unwrap())
        }
    }
}

fn key(row: &Value, time: &str) -> (String, String, String) {
    let part = |name| text(row, name).to_owned();
    (part(time), part("user_id"), part("event_type"))
}

#[tokio::test]
async fn every_event_is_read_once_by_page_in_every_form() {
    for format in [EventsFormat::Csv, EventsFormat::Json] {
        for (with_id, envelope) in [(true, Envelope::Nested), (false, Envelope::Flat)] {
            let mut options = small(200);
            options.behaviour.events_format = format;
            options.behaviour.event_ids = with_id;
            options.behaviour.envelope = envelope;
            options.behaviour.events_rpp_clamp = Some(100);
            let simulator = Simulator::start(options).await.unwrap();
            let (client, tenant) = (Client::of(&simulator), simulator.tenant());
            tenant.add_event(7, LAST_EVENT - EVENTS_SPAN / 2, "late");
            tenant.add_event(8, LAST_EVENT + 10, "after");
            let late = tenant.add_event(7, LAST_EVENT - EVENTS_SPAN - 1, "before");
            let mut all = Vec::new();
            for number in 1.. {
                let query = format!("&rpp=250&page={number}");
                let rows = page(&client, tenant.behaviour(), &query).await;
                if rows.is_empty() {
                    break;
                }
                all.extend(rows);
            }
            assert_eq!(all.len(), 603);
            let times: Vec<&str> = all.iter().map(|row| text(row, "timestamp")).collect();
            assert!(times.is_sorted());
            assert_eq!(all[0]["event_type"], "before");
            assert_eq!(all[602]["event_type"], "after");
            assert!(
                all.iter()
                    .all(|row| row.get("event_id").is_some() == with_id)
            );
            assert!(!with_id || all[0]["event_id"] == *late);
            let mut got: Vec<_> = all.iter().map(|row| key(row, "timestamp")).collect();
            let truth = rows(&simulator, List::UserEvents);
            let mut expected: Vec<_> = truth.iter().map(|row| key(row, "occurred_at")).collect();
            got.sort();
            expected.sort();
            assert_eq!(got, expected);
        }
    }
}

#[tokio::test]
async fn windows_of_events_hold_exactly_theirs() {
    for boundary in [Boundary::Inclusive, Boundary::Exclusive] {
        let mut options = small(200);
        options.behaviour.events_boundary = boundary;
        let simulator = Simulator::start(options).await.unwrap();
        let (client, tenant) = (Client::of(&simulator), simulator.tenant());
        tenant.add_event(7, LAST_EVENT - EVENTS_SPAN / 2, "late");
        let truth = rows(&simulator, List::UserEvents);
        let mut times: Vec<&str> = truth.iter().map(|row| text(row, "occurred_at")).collect();
        times.sort_unstable();
        for (first, last) in [(0, 600), (10, 20), (250, 350), (5, 5), (300, 301)] {
            let (from, to) = (times[first], times[last]);
            let query = format!("&rpp=1000&from={from}&to={to}");
            let got = page(&client, tenant.behaviour(), &query).await;
            let inside = |time: &&&str| match boundary {
                Boundary::Inclusive => **time >= from && **time <= to,
                Boundary::Exclusive => **time > from && **time < to,
            };
            assert_eq!(
                got.len(),
                times.iter().filter(inside).count(),
                "{first}..{last}"
            );
        }
        let past = "/v4/user-export?eventsExport=true&rpp=100&page=99";
        let past = client.get(past).await.text().await.unwrap();
        assert!(past.starts_with("event_id,user_id,") && past.lines().count() == 1);
        tenant.hide_list(List::UserEvents, true);
        assert!(page(&client, tenant.behaviour(), "").await.is_empty());
    }
}

#[tokio::test]
async fn ten_million_events_cost_nothing_until_read() {
    let mut options = small(1_000);
    options.shape.business.events = Some(10_000_000);
    let simulator = Simulator::start(options).await.unwrap();
    let client = Client::of(&simulator);
    let behaviour = simulator.tenant().behaviour().clone();
    let last = page(&client, &behaviour, "&rpp=1000&page=10000").await;
    assert_eq!(last.len(), 1000);
    assert!(last.iter().any(|row| text(row, "title").contains('\n')));
    let truth = rows(&simulator, List::Segments);
    assert_eq!(truth.len(), 6);
}

#[tokio::test]
async fn subscribers_have_a_line_per_grant() {
    let simulator = Simulator::start(small(100)).await.unwrap();
    let client = Client::of(&simulator);
    let answer = client
        .get("/v4/user-export?attributes=true&rpp=100&page=1")
        .await;
    let lines = table(&answer.bytes().await.unwrap());
    let granted = lines.iter().filter(|line| line["grant_id"] != "").count();
    assert_eq!(granted, rows(&simulator, List::UserGrants).len());
    let people: std::collections::HashSet<&str> =
        lines.iter().map(|line| text(line, "user_id")).collect();
    assert_eq!(people.len(), 100);
    assert!(lines.len() > 100);
}
