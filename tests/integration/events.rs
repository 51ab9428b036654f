//! Events: whichever form arrives, in windows of time, late ones included, each once; killed and
//! started again; retired by month.

use simulator::{Behaviour, Business, EventsFormat, List, Options, Shape, Simulator};
use sqlx::Row;

use crate::support::{Mirror, Program, tenant};

fn options(events: u64, behaviour: Behaviour) -> Options {
    Options {
        shape: Shape {
            people: 100,
            business: Business {
                events: Some(events),
                ..Business::default()
            },
            ..Shape::default()
        },
        behaviour,
        ..Options::default()
    }
}

async fn setting(events: u64, behaviour: Behaviour) -> (Simulator, Mirror, Program) {
    let simulator = tenant(options(events, behaviour)).await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror).with("ZEPHR_SYNC_RPP", "50");
    (simulator, mirror, program)
}

/// What the table says of each event, without what says when it was loaded.
async fn content(mirror: &Mirror) -> Vec<String> {
    let rows = mirror
        .rows("select concat_ws('|', occurred_at, event_key, user_id, type, payload) from user_events order by occurred_at, event_key")
        .await;
    rows.iter().map(|row| row.get(0)).collect()
}

/// So many events as the truth holds, each with user and type.
async fn expect_all(simulator: &Simulator, mirror: &Mirror) {
    let truth = String::from_utf8(simulator.tenant().truth_of(List::UserEvents)).expect("text");
    let mut expected: Vec<(String, String, i64)> = truth
        .lines()
        .map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).expect(line);
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            let at = chrono::DateTime::parse_from_rfc3339(&text("occurred_at")).expect("a time");
            (text("user_id"), text("event_type"), at.timestamp_millis())
        })
        .collect();
    let rows = mirror
        .rows("select coalesce(user_id, ''), coalesce(type, ''), (extract(epoch from occurred_at) * 1000)::bigint from user_events")
        .await;
    let mut stored: Vec<(String, String, i64)> = rows
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect();
    expected.sort();
    stored.sort();
    assert_eq!(stored.len(), expected.len());
    assert_eq!(stored, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_arrives_once_in_either_form() {
    for (format, ids) in [
        (EventsFormat::Csv, true),
        (EventsFormat::Json, true),
        (EventsFormat::Csv, false),
        (EventsFormat::Json, false),
    ] {
        let behaviour = Behaviour {
            events_format: format,
            event_ids: ids,
            ..Behaviour::plain()
        };
        let (simulator, mirror, program) = setting(3_000, behaviour).await;
        let first = program
            .run(&["sync", "events", "--json"])
            .await
            .expect(0)
            .json();
        assert_eq!(first["runs"][0]["verdict"], "proven", "{first}");
        expect_all(&simulator, &mirror).await;
        if ids {
            let other =
                "select count(*) from user_events where event_key <> payload ->> 'event_id'";
            assert_eq!(mirror.value::<i64>(other).await, 0);
        }
        let before = content(&mirror).await;
        let again = program
            .run(&["sync", "events", "--full", "--json"])
            .await
            .expect(0)
            .json();
        assert_eq!(again["runs"][0]["rows_inserted"], 0, "{again}");
        assert_eq!(content(&mirror).await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn late_events_are_covered_by_the_overlap() {
    let (simulator, mirror, program) = setting(500, Behaviour::plain()).await;
    program.run(&["sync", "events"]).await.expect(0);
    let now: i64 = mirror
        .value("select extract(epoch from now())::bigint")
        .await;
    let tenant = simulator.tenant();
    // One that happened now, and one of three hours ago that shows only now.
    tenant.add_event(3, now as u32 - 5, "read");
    tenant.add_event(4, now as u32 - 3 * 3_600, "read");
    let run = program
        .run(&["sync", "events", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(run["runs"][0]["rows_inserted"], 2, "{run}");
    assert_eq!(run["runs"][0]["mode"], "incremental", "{run}");
    expect_all(&simulator, &mirror).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_on_the_way_nothing_is_lost_or_doubled() {
    let (simulator, mirror, program) = setting(4_000, Behaviour::plain()).await;
    let program = program.telling_phases();
    for phases in [2, 4, 7, 11, 16] {
        let mut running = program.start(&["sync", "events"]);
        for _ in 0..phases {
            if !running.until(|line| line.contains(r#""phase":""#)).await {
                break;
            }
        }
        running.kill().await;
    }
    program.run(&["sync", "events"]).await.expect(0);
    expect_all(&simulator, &mirror).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn months_are_partitions_and_old_ones_are_retired() {
    let (_simulator, mirror, program) = setting(1_000, Behaviour::plain()).await;
    program.run(&["sync", "events"]).await.expect(0);
    let partitions = "select count(*) from pg_inherits where inhparent = 'user_events'::regclass";
    let months: i64 = mirror
        .value("select count(distinct date_trunc('month', occurred_at)) from user_events")
        .await;
    assert!(months >= 2);
    assert_eq!(mirror.value::<i64>(partitions).await, months);
    let elsewhere = "select count(*) from pg_class where relname like 'user\\_events\\_2%' and relkind = 'r' and relnamespace <> 'zephr'::regnamespace";
    assert_eq!(mirror.value::<i64>(elsewhere).await, 0);

    // Longer ago than the first of the last month with events: only that month stays.
    let days: i64 = mirror
        .value("select floor(extract(epoch from now() - date_trunc('month', max(occurred_at))) / 86400)::bigint from user_events")
        .await;
    std::fs::create_dir(program.directory().join("jobs")).expect("a directory");
    let job = format!(
        "resource = 'events'\nmode = 'incremental'\nfull_every = 'never'\nretention = '{days}d'\n"
    );
    std::fs::write(program.directory().join("jobs/events.toml"), job).expect("a file");
    let last: i64 = mirror
        .value(
            "select count(*) from user_events
             where occurred_at >= (select date_trunc('month', max(occurred_at)) from user_events)",
        )
        .await;
    program.run(&["sync", "events"]).await.expect(0);
    assert_eq!(mirror.value::<i64>(partitions).await, 1);
    assert_eq!(
        mirror
            .value::<i64>("select count(*) from user_events")
            .await,
        last
    );
}
