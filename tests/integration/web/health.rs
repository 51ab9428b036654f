//! Whether the process is alive and can work, and what it counts; also while Postgres is away.

use std::collections::BTreeSet;

use rustix::process::Signal;
use serde_json::json;

use crate::support::page::Daemon;
use crate::support::{Cluster, Mirror, Program, people};

/// The value of a sample whose name and labels begin like this.
fn sample(metrics: &str, begins: &str) -> Option<f64> {
    let line = metrics.lines().find(|line| line.starts_with(begins))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_answers_while_postgres_is_away() {
    let simulator = people(5).await;
    let mut cluster = Cluster::new().await;
    let program = Program::between(&simulator, &cluster.mirror());
    let daemon = Daemon::start(&program).await;
    let ready = daemon.until_status("/readyz", 200).await.json();
    assert_eq!(ready["tenants"][0]["tenant"], "zephr");

    cluster.stop_hard(Signal::QUIT);
    let away = daemon.until_status("/readyz", 503).await.json();
    assert_eq!(away["ready"], false);
    assert!(
        away["tenants"][0]["remedy"]
            .as_str()
            .is_some_and(|remedy| remedy.contains("Postgres")),
        "{away}"
    );
    assert_eq!(
        daemon.get("/healthz").await.expect(200).json()["alive"],
        true
    );
    daemon.get("/").await.expect(200);
    daemon.get("/api/tenants").await.expect(200);
    daemon
        .get("/api/tenants/zephr/status")
        .await
        .expect(503)
        .explains();
    let metrics = daemon.get("/metrics").await.expect(200).body;
    assert_eq!(
        sample(&metrics, "zephr_sync_postgres_up{"),
        Some(0.0),
        "{metrics}"
    );

    cluster.start_again().await;
    daemon.until_status("/readyz", 200).await;
    daemon.until_status("/api/tenants/zephr/status", 200).await;
    let metrics = daemon.get("/metrics").await.expect(200).body;
    assert_eq!(
        sample(&metrics, "zephr_sync_postgres_up{"),
        Some(1.0),
        "{metrics}"
    );
    daemon.stop().await.expect(0);
    cluster.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_are_those_that_are_documented() {
    let (simulator, mirror) = (people(20).await, Mirror::new().await);
    let daemon = Daemon::start(&Program::between(&simulator, &mirror)).await;
    daemon.until_status("/readyz", 200).await;
    daemon
        .post(
            "/api/tenants/zephr/jobs/users/trigger",
            &json!({ "full_scan": true }),
        )
        .await
        .expect(202);
    let users = r#"{tenant="zephr",job="users""#;
    let succeeded = format!(r#"zephr_sync_runs_total{users},status="succeeded"}}"#);
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    let metrics = loop {
        let answer = daemon.get("/metrics").await.expect(200);
        assert!(
            answer
                .header("content-type")
                .is_some_and(|form| form.starts_with("application/openmetrics-text"))
        );
        if sample(&answer.body, &succeeded) == Some(1.0) {
            break answer.body;
        }
        assert!(tokio::time::Instant::now() < end, "{}", answer.body);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert!(metrics.ends_with("# EOF\n"));
    assert_eq!(
        sample(
            &metrics,
            &format!(r#"zephr_sync_rows_total{users},kind="read"}}"#)
        ),
        Some(20.0)
    );
    assert_eq!(
        sample(
            &metrics,
            &format!("zephr_sync_run_duration_seconds_count{users}}}")
        ),
        Some(1.0)
    );
    assert_eq!(
        sample(&metrics, &format!("zephr_sync_runs_running{users}}}")),
        Some(0.0)
    );
    assert_eq!(
        sample(&metrics, &format!("zephr_sync_job_late_seconds{users}}}")),
        Some(0.0)
    );
    assert!(
        sample(
            &metrics,
            &format!("zephr_sync_last_success_timestamp_seconds{users}}}")
        ) > Some(1.7e9)
    );
    assert!(sample(&metrics, "zephr_sync_requests_total{") > Some(0.0));
    assert!(sample(&metrics, "process_resident_memory_bytes ") > Some(1e6));

    // Names, types and labels are what the page of metrics says.
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md"));
    let page = page.expect("the page of metrics");
    let documented = page.lines().filter_map(|line| {
        let mut cells = line
            .strip_prefix("| `")?
            .split('|')
            .map(|cell| cell.replace('`', "").trim().to_owned());
        let (name, kind, labels) = (cells.next()?, cells.next()?, cells.next()?);
        let is_metric = name.starts_with("zephr_sync_") || name.starts_with("process_");
        is_metric.then_some((name, kind, labels))
    });
    let documented: BTreeSet<_> = documented.collect();
    let shown = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| {
            let (family, kind) = line.split_once(' ').expect("a type");
            let total = if kind == "counter" { "_total" } else { "" };
            let sample = metrics
                .lines()
                .find(|line| line.starts_with(family))
                .expect("a sample");
            let labels = sample
                .split_once('{')
                .map_or("", |(_, rest)| rest.split_once('}').expect("its end").0);
            let labels: Vec<_> = labels
                .split(',')
                .filter_map(|label| Some(label.split_once('=')?.0))
                .filter(|label| *label != "le")
                .collect();
            (
                format!("{family}{total}"),
                kind.to_owned(),
                labels.join(", "),
            )
        });
    assert_eq!(shown.collect::<BTreeSet<_>>(), documented);
    daemon.stop().await.expect(0);
}
