//! Logs: where they go, and the names of their fields. The vocabulary is documented in `docs/LOGGING.md`.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// The names of log fields, so that each is spelled once. Ids, counts and durations only: never a secret, never a value from a record.
pub mod field {
    /// Method and path of a request, without its query.
    pub const ENDPOINT: &str = "endpoint";
    /// What went wrong.
    pub const ERROR: &str = "error";
    /// How long we wait before the next attempt, in milliseconds.
    pub const PAUSE_MS: &str = "pause_ms";
    /// Name of a job.
    pub const JOB: &str = "job";
    /// Identifier of a run.
    pub const RUN: &str = "run_id";
    /// Records read so far.
    pub const READ: &str = "rows_read";
    /// Records inserted so far.
    pub const INSERTED: &str = "rows_inserted";
    /// Records updated so far.
    pub const UPDATED: &str = "rows_updated";
    /// Changes that incremental runs did not see.
    pub const MISSED: &str = "rows_missed";
    /// Records compared with the API so far.
    pub const COMPARED: &str = "rows_compared";
    /// Requests in flight.
    pub const IN_FLIGHT: &str = "in_flight";
    /// How long the API still makes everybody wait, in milliseconds.
    pub const WAIT_MS: &str = "wait_ms";
    /// Identifier of a plan.
    pub const PLAN: &str = "plan_id";
    /// Name of a file in the inbox, harmless on a terminal.
    pub const FILE: &str = "file";
    /// Rows of a plan.
    pub const ROWS: &str = "rows_total";
    /// Rows of a plan that have an outcome.
    pub const SETTLED: &str = "rows_settled";
    /// Rows of a plan that failed, were left out or are unknown.
    pub const TROUBLED: &str = "rows_troubled";
    /// What the API counts as done of the job under way.
    pub const JOB_DONE: &str = "job_done";
    /// Updates of the job under way.
    pub const JOB_TOTAL: &str = "job_total";
    /// Pushed rows that a sync did not see.
    pub const REFUTED: &str = "pushes_refuted";
    /// A tenant, by the name of its schema.
    pub const TENANT: &str = "tenant";
    /// Windows of a scan.
    pub const WINDOWS: &str = "windows";
    /// Slots of a schedule.
    pub const SLOTS: &str = "slots";
    /// A named moment of a run.
    pub const PHASE: &str = "phase";
    /// Something people should know, in words.
    pub const NOTE: &str = "note";
    /// A table of the mirror.
    pub const TABLE: &str = "table";
    /// The host of a receiver of notifications: the rest of its address may be a secret.
    pub const HOST: &str = "host";
    /// Where the daemon's page is.
    pub const ADDRESS: &str = "address";
    /// The kind of a notification.
    pub const KIND: &str = "kind";
    /// The status that a receiver answered with.
    pub const STATUS: &str = "status";
    /// The exit code of a hook.
    pub const CODE: &str = "code";
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line, for collectors.
    Json,
}

/// Starts logging to stderr. The filter is in the form of `ZEPHR_SYNC_LOG`, for example `info` or `zephr_sync=debug,sqlx=warn`.
///
/// # Errors
/// The filter cannot be read.
pub fn start(
    filter: &str,
    format: LogFormat,
) -> Result<(), tracing_subscriber::filter::ParseError> {
    let filter = EnvFilter::builder().parse(filter)?;
    // Libraries log what goes over the wire at their finer levels: readers' data. No setting lets that through.
    let ours = filter_fn(|event| {
        *event.level() <= Level::INFO || event.target().starts_with(env!("CARGO_CRATE_NAME"))
    });
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(colour);
    let lines = match format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter).with_filter(ours))
        .init();
    Ok(())
}
