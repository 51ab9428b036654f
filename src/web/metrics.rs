//! Metrics, as `docs/metrics.md` names them, in the text format of OpenMetrics. Made anew for each
//! scrape from what this process counted and what Postgres knows; while Postgres is away, what only
//! Postgres knows is left out and the rest is there.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::answer::Problem;
use super::standing::Standing;
use super::{Page, Seat};
use crate::activity::{BOUNDS, Done};
use mirror::state::bulk::plans;
use mirror::state::runs::Ending;
use mirror::state::{rejects, runs, schedules};

/// What Prometheus expects of this form.
const FORM: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics: what each is called, its kind, and what it says.
const METRICS: [(&str, MetricType, &str); 18] = [
    ("zephr_sync_build_info", MetricType::Gauge, "Always 1"),
    (
        "zephr_sync_runs",
        MetricType::Counter,
        "Runs that ended here",
    ),
    (
        "zephr_sync_run_duration_seconds",
        MetricType::Histogram,
        "How long runs took",
    ),
    (
        "zephr_sync_last_success_timestamp_seconds",
        MetricType::Gauge,
        "When the last run that succeeded ended",
    ),
    (
        "zephr_sync_rows",
        MetricType::Counter,
        "Rows of runs that ended here",
    ),
    (
        "zephr_sync_requests",
        MetricType::Counter,
        "Requests to the API, repeated ones included",
    ),
    (
        "zephr_sync_request_retries",
        MetricType::Counter,
        "Requests that were repeated",
    ),
    (
        "zephr_sync_throttled_seconds",
        MetricType::Counter,
        "Time for which the API made us wait",
    ),
    (
        "zephr_sync_requests_in_flight",
        MetricType::Gauge,
        "Requests under way",
    ),
    (
        "zephr_sync_requests_allowed",
        MetricType::Gauge,
        "Requests that the governor allows at the moment",
    ),
    (
        "zephr_sync_job_late_seconds",
        MetricType::Gauge,
        "For how long a run has been due that nobody has begun",
    ),
    (
        "zephr_sync_runs_running",
        MetricType::Gauge,
        "Runs under way here",
    ),
    (
        "zephr_sync_bulk_rows",
        MetricType::Counter,
        "Rows of pushes by outcome",
    ),
    (
        "zephr_sync_bulk_plans_unfinished",
        MetricType::Gauge,
        "Pushes that were begun and have rows without an outcome",
    ),
    (
        "zephr_sync_rejects",
        MetricType::Gauge,
        "Records that could not be stored",
    ),
    (
        "zephr_sync_postgres_up",
        MetricType::Gauge,
        "1 when the mirror answers, else 0",
    ),
    (
        "process_resident_memory_bytes",
        MetricType::Gauge,
        "Memory of the process",
    ),
    (
        "process_open_fds",
        MetricType::Gauge,
        "Open files and connections of the process",
    ),
];

type Labels = Vec<(&'static str, String)>;

#[derive(Debug)]
enum Value {
    Count(u64),
    Seconds(f64),
    Gauge(f64),
    Took(Box<Done>),
}

impl Value {
    fn encode(&self, mut sample: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        match self {
            Self::Count(count) => ConstCounter::new(*count).encode(sample),
            Self::Seconds(seconds) => ConstCounter::new(*seconds).encode(sample),
            Self::Gauge(value) => ConstGauge::new(*value).encode(sample),
            Self::Took(done) => {
                let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
                let places: Vec<_> = bounds.zip(done.took).collect();
                let count = done.took.iter().sum();
                sample.encode_histogram::<NoLabelSet>(done.seconds, count, &places, None)
            }
        }
    }
}

#[derive(Debug)]
struct Metric {
    /// Without the ending that the form adds to counters.
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    samples: Vec<(Labels, Value)>,
}

#[derive(Debug)]
struct Scrape(Vec<Metric>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for metric in self.0.iter().filter(|metric| !metric.samples.is_empty()) {
            let mut family =
                encoder.encode_descriptor(metric.name, metric.help, None, metric.kind)?;
            match metric.samples.as_slice() {
                // Without a label there is one sample, and no braces.
                [(labels, value)] if labels.is_empty() => value.encode(family)?,
                samples => {
                    for (labels, value) in samples {
                        value.encode(family.encode_family(labels)?)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Metrics for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "health", responses(
    (status = 200, description = "The metrics of this process", body = String, content_type = "application/openmetrics-text"),
    (status = 401, description = "The token is missing", body = Problem),
))]
pub(super) async fn metrics(State(page): State<Arc<Page>>) -> Result<Response, Problem> {
    let mut scrape = Scrape(described());
    scrape.add(
        "zephr_sync_build_info",
        vec![("version", env!("CARGO_PKG_VERSION").to_owned())],
        Value::Gauge(1.0),
    );
    for seat in &page.seats {
        scrape.of_process(seat);
        let known = tokio::time::timeout(super::POSTGRES, Known::read(seat)).await;
        let known = known.ok().and_then(Result::ok);
        let up = f64::from(u8::from(known.is_some()));
        scrape.add("zephr_sync_postgres_up", tenant(seat), Value::Gauge(up));
        if let Some(known) = known {
            scrape.of_postgres(seat, known);
        }
    }
    if let Some(bytes) = resident_bytes() {
        scrape.add(
            "process_resident_memory_bytes",
            Vec::new(),
            Value::Gauge(bytes as f64),
        );
    }
    if let Some(open) = open_files() {
        scrape.add("process_open_fds", Vec::new(), Value::Gauge(open as f64));
    }
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut shown = String::new();
    text::encode(&mut shown, &registry)
        .map_err(|error| Problem::broken(error.to_string(), "Please report this."))?;
    Ok(([(CONTENT_TYPE, FORM)], shown).into_response())
}

/// All metrics, without a sample.
fn described() -> Vec<Metric> {
    let metric = |(name, kind, help)| Metric {
        name,
        help,
        kind,
        samples: Vec::new(),
    };
    METRICS.into_iter().map(metric).collect()
}

fn tenant(seat: &Seat) -> Labels {
    vec![("tenant", seat.tenant.name.clone())]
}

fn of_job(seat: &Seat, job: &str) -> Labels {
    vec![
        ("tenant", seat.tenant.name.clone()),
        ("job", job.to_owned()),
    ]
}

fn with(mut labels: Labels, name: &'static str, value: &str) -> Labels {
    labels.push((name, value.to_owned()));
    labels
}

impl Scrape {
    fn add(&mut self, name: &str, labels: Labels, value: Value) {
        if let Some(metric) = self.0.iter_mut().find(|metric| metric.name == name) {
            metric.samples.push((labels, value));
        }
    }

    /// What this process counted.
    fn of_process(&mut self, seat: &Seat) {
        let live = &seat.tenant.live;
        let (mut done, running) = (live.done(), live.running());
        for job in &seat.tenant.jobs {
            let name = job.name.as_str();
            let done = done.remove(name).unwrap_or_default();
            // Each is there as zero before the first one.
            for ending in Ending::ALL {
                let ended = done
                    .ended
                    .get(&ending.status())
                    .copied()
                    .unwrap_or_default();
                self.add(
                    "zephr_sync_runs",
                    with(of_job(seat, name), "status", ending.name()),
                    Value::Count(ended),
                );
            }
            for (kind, rows) in [
                ("read", done.read),
                ("inserted", done.inserted),
                ("updated", done.updated),
                ("tombstoned", done.tombstoned),
                ("rejected", done.rejected),
            ] {
                self.add(
                    "zephr_sync_rows",
                    with(of_job(seat, name), "kind", kind),
                    Value::Count(rows),
                );
            }
            self.add(
                "zephr_sync_run_duration_seconds",
                of_job(seat, name),
                Value::Took(Box::new(done)),
            );
            let under_way = running.iter().filter(|(job, _)| job == name).count();
            self.add(
                "zephr_sync_runs_running",
                of_job(seat, name),
                Value::Gauge(under_way as f64),
            );
        }
        self.of_requests(seat);
        self.of_pushes(seat);
    }

    /// What was asked of the API, and how much may be.
    fn of_requests(&mut self, seat: &Seat) {
        let (sent, governor) = (
            seat.tenant.planner.reader.sent(),
            seat.tenant.planner.reader.governor(),
        );
        self.add(
            "zephr_sync_requests",
            tenant(seat),
            Value::Count(sent.requests),
        );
        self.add(
            "zephr_sync_request_retries",
            tenant(seat),
            Value::Count(sent.retries),
        );
        self.add(
            "zephr_sync_throttled_seconds",
            tenant(seat),
            Value::Seconds(governor.throttled.as_secs_f64()),
        );
        self.add(
            "zephr_sync_requests_in_flight",
            tenant(seat),
            Value::Gauge(governor.in_flight as f64),
        );
        self.add(
            "zephr_sync_requests_allowed",
            tenant(seat),
            Value::Gauge(governor.allowed as f64),
        );
    }

    /// Rows that were pushed.
    fn of_pushes(&mut self, seat: &Seat) {
        let pushed = seat.tenant.live.rows_pushed();
        for (outcome, rows) in [
            ("succeeded", pushed.succeeded),
            ("failed", pushed.failed),
            ("unknown", pushed.unknown),
        ] {
            self.add(
                "zephr_sync_bulk_rows",
                with(tenant(seat), "outcome", outcome),
                Value::Count(rows),
            );
        }
    }

    /// What Postgres knows.
    fn of_postgres(&mut self, seat: &Seat, known: Known) {
        for (job, at) in &known.last_successes {
            self.add(
                "zephr_sync_last_success_timestamp_seconds",
                of_job(seat, job),
                Value::Gauge(*at),
            );
        }
        for (job, seconds) in &known.late {
            self.add(
                "zephr_sync_job_late_seconds",
                of_job(seat, job),
                Value::Gauge(*seconds),
            );
        }
        for job in &seat.tenant.jobs {
            let waiting = known.rejects.iter().find(|(of, _)| *of == job.name);
            let waiting = waiting.map_or(0, |(_, count)| *count);
            self.add(
                "zephr_sync_rejects",
                of_job(seat, &job.name),
                Value::Gauge(waiting as f64),
            );
        }
        self.add(
            "zephr_sync_bulk_plans_unfinished",
            tenant(seat),
            Value::Gauge(known.unfinished as f64),
        );
    }
}

struct Known {
    /// Seconds since the Unix epoch, by job.
    last_successes: Vec<(String, f64)>,
    /// Seconds, by job.
    late: Vec<(String, f64)>,
    rejects: Vec<(String, i64)>,
    unfinished: usize,
}

impl Known {
    async fn read(seat: &Seat) -> Result<Self, Problem> {
        let mut session = seat.session().await?;
        let now = sqlx::query_scalar!(r#"select now() as "now!""#)
            .fetch_one(&mut *session)
            .await?;
        let stored = schedules::all(&mut *session).await?;
        let schema = seat.tenant.database.schemas().data();
        let names: Vec<&str> = (seat.tenant.jobs.iter())
            .map(|job| job.name.as_str())
            .collect();
        let attempts = runs::latest_slots(&mut *session, &names).await?;
        let late = seat.tenant.jobs.iter().map(|job| {
            let attempt = attempts.iter().find(|attempt| attempt.job == job.name);
            let standing = Standing::of(job, schema, &stored, attempt, now);
            (job.name.clone(), standing.late_seconds as f64)
        });
        let late = late.collect();
        let successes = runs::last_successes(&mut *session).await?.into_iter();
        Ok(Self {
            last_successes: successes
                .map(|(job, at)| (job, at.timestamp_millis() as f64 / 1_000.0))
                .collect(),
            late,
            rejects: rejects::counts(&mut *session).await?,
            unfinished: plans::unfinished(&mut *session).await?.len(),
        })
    }
}

/// Memory of this process, where the system tells as Linux does.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1_024)
}

/// Open files of this process, likewise.
fn open_files() -> Option<usize> {
    // One of them is the directory that is being read.
    Some(
        std::fs::read_dir("/proc/self/fd")
            .ok()?
            .count()
            .saturating_sub(1),
    )
}
