//! Traces of the binary with the feature `otlp`, as a collector sees them: what work took how long,
//! and nothing about anybody.

mod collector;
#[path = "../integration/support/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    reason = "the other tests need more of it than these"
)]
mod support;

use std::collections::{BTreeMap, BTreeSet};

use collector::{Collector, Span};
use support::bulk::Bench;

/// Which spans there are, and how many of each.
fn counts(spans: &[Span]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for span in spans {
        *counts.entry(span.name.as_str()).or_default() += 1;
    }
    counts
}

/// Spans of this name.
fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// Fails unless each of these is part of one of those.
#[track_caller]
fn expect_within(inner: &[&Span], outer: &[&Span]) {
    let ids: BTreeSet<_> = outer.iter().map(|span| (&span.trace, &span.id)).collect();
    for span in inner {
        assert!(ids.contains(&(&span.trace, &span.parent)), "{span:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_and_a_push_are_traced_and_say_nothing_about_anybody() {
    let collector = Collector::start().await;
    let endpoint = format!("http://{}", collector.address);
    // Makes the mirror without sending anything: nobody said where to.
    let bench = Bench::of(900).await;
    let persons = bench.persons();
    let program = support::Program::between(&bench.simulator, &bench.mirror)
        .with("ZEPHR_SYNC_RPP", "100")
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
        .with("OTEL_SERVICE_NAME", "the-mirror");
    assert!(collector.bytes().is_empty());

    program.run(&["sync", "users", "--full"]).await.expect(0);
    let spans = collector.spans();
    let runs = named(&spans, "run");
    let [run] = runs.as_slice() else {
        panic!("{:?}", counts(&spans));
    };
    let record = "select run_id::text || ' ' || status || ' ' || verdict from runs order by started_at desc limit 1";
    let record: String = bench.mirror.value(record).await;
    let said = |name: &str| run.attributes[name].as_str();
    assert_eq!(
        record,
        [said("run_id"), said("status"), said("verdict")].join(" ")
    );
    assert_eq!(said("job"), "users");
    assert!(run.parent.is_empty(), "{run:?}");
    let (windows, batches) = (named(&spans, "window"), named(&spans, "batch"));
    assert!(windows.len() > 5, "{:?}", counts(&spans));
    expect_within(&windows, &runs);
    expect_within(&batches, &runs);
    let written = batches
        .iter()
        .map(|batch| batch.attributes["rows"].parse::<i64>());
    assert_eq!(
        written.map(|rows| rows.expect("a number")).sum::<i64>(),
        900
    );
    let requests = named(&spans, "request");
    let sent = "select requests from runs order by started_at desc limit 1";
    assert_eq!(requests.len() as i64, bench.mirror.value::<i64>(sent).await);
    expect_within(&requests, &[runs, windows].concat());
    for request in requests {
        assert_eq!(request.attributes["endpoint"], "GET /v3/user-export");
        assert_eq!(request.attributes["status"], "200");
    }
    let resource = collector.resource();
    assert_eq!(resource["service.name"], "the-mirror");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));

    let lines = persons
        .iter()
        .map(|person| format!("{},Ghent\n", person.user_id));
    let file = format!("user_id,city\n{}", lines.collect::<String>());
    std::fs::write(program.directory().join("users.csv"), file).expect("a file");
    let pushed = ["bulk", "run", "users.csv", "--yes"];
    program.run(&pushed).await.expect(0);
    // What a person asks for by hand is nobody's work.
    let path = format!("/v3/users/{}", persons[0].user_id);
    program.run(&["api", "GET", &path]).await.expect(0);

    let spans = collector.spans();
    let (pushes, chunks) = (named(&spans, "push"), named(&spans, "chunk"));
    assert_eq!(pushes.len(), 1, "{:?}", counts(&spans));
    let plan: String = bench
        .mirror
        .value("select plan_id::text from bulk_plans")
        .await;
    assert_eq!(pushes[0].attributes["plan_id"], plan);
    assert!(chunks.len() > 1, "{:?}", counts(&spans));
    expect_within(&chunks, &pushes);
    let posts = spans.iter().filter(|span| {
        let endpoint = span.attributes.get("endpoint");
        endpoint.is_some_and(|endpoint| endpoint == "POST /v4/user-updates")
    });
    expect_within(&posts.collect::<Vec<_>>(), &chunks);

    let keys: BTreeSet<&str> = spans
        .iter()
        .flat_map(|span| span.attributes.keys().map(String::as_str))
        .collect();
    let known = [
        "chunk", "endpoint", "job", "plan_id", "rows", "run_id", "status", "verdict",
    ];
    assert_eq!(keys, BTreeSet::from(known));
    let all = String::from_utf8_lossy(&collector.bytes()).into_owned();
    let secrets = bench.simulator.keys();
    let mut forbidden = vec![
        secrets.access.clone(),
        secrets.secret.clone(),
        "Ghent".into(),
    ];
    for person in &persons {
        forbidden.extend([person.user_id.clone(), person.email.clone()]);
        forbidden.extend(person.username.clone());
        forbidden.extend(person.crm.clone());
    }
    for secret in forbidden {
        assert!(!all.contains(&secret), "{secret} is in the traces");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_holds_nothing_up_and_a_bad_address_is_said() {
    let bench = Bench::of(20).await;
    let program = |endpoint: &str| {
        support::Program::between(&bench.simulator, &bench.mirror)
            .with("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    };
    let away = program("http://127.0.0.1:9").run(&["sync", "users"]).await;
    away.expect(0);
    let bad = program("no address of anything")
        .run(&["sync", "users"])
        .await
        .expect(2);
    assert!(
        bad.stderr.contains("OTEL_EXPORTER_OTLP_ENDPOINT"),
        "{bad:?}"
    );
    let off = program("no address of anything")
        .with("OTEL_SDK_DISABLED", "true")
        .run(&["sync", "users"])
        .await;
    off.expect(0);
}
