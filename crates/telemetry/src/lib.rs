//! Logs: where they go, and the names of their fields; traces, where they are wanted. The
//! vocabulary is documented in `docs/LOGGING.md`.
//!
//! It decides which lines pass and how they look, and knows nothing of what is logged.

// On times the operators panic where a type ends: `clock::time` has what does not.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

#[cfg(feature = "otlp")]
mod otlp;
pub mod span;

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// The names of log fields, so that each is spelled once. Ids, counts and durations only: never a
/// secret, never a value from a record.
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
    /// What of the bookkeeping was removed, counted.
    pub const REMOVED: &str = "removed";
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

/// The program, as logs and traces name it. In a filter it stands for all [`CRATES`].
const PROGRAM: &str = "zephr_sync";

/// The crates that log: the program and its own libraries.
const CRATES: [&str; 4] = [PROGRAM, "private_postgres", "scan", "simulator"];

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

/// What keeps telemetry from starting.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter cannot be read.
    #[error("ZEPHR_SYNC_LOG: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Where traces go cannot be understood.
    #[error("the variables OTEL_EXPORTER_OTLP_… do not say where and how traces can be sent")]
    Traces,
}

impl Error {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Filter(_) => "Write for example info or zephr_sync=debug.",
            Self::Traces => {
                "Set OTEL_EXPORTER_OTLP_ENDPOINT to the address of a collector that takes protobuf over HTTP, for example http://127.0.0.1:4318, or unset it."
            }
        }
    }
}

/// Logs, and traces where they are wanted, under way.
#[derive(Debug)]
#[must_use = "traces are sent to their end only when it is told to finish"]
pub struct Telemetry {
    #[cfg(feature = "otlp")]
    traces: Option<otlp::Traces>,
}

impl Telemetry {
    /// Sends what has not been sent yet.
    pub async fn finish(self) {
        #[cfg(feature = "otlp")]
        if let Some(traces) = self.traces {
            // It waits for a thread of its own.
            let _ = tokio::task::spawn_blocking(|| traces.finish()).await;
        }
    }
}

/// Whether a log line comes from a crate of ours.
fn is_ours(target: &str) -> bool {
    let named = target.split("::").next().unwrap_or(target);
    CRATES.contains(&named)
}

/// A filter in which what is said of the program is said of its libraries too: whoever writes
/// `zephr_sync=debug` does not know how it is cut.
fn of_all_crates(filter: &str) -> String {
    let mut all = filter.to_owned();
    for directive in filter.split(',').map(str::trim) {
        let Some(level) = directive.strip_prefix(PROGRAM) else {
            continue;
        };
        if level.is_empty() || level.starts_with('=') {
            for library in CRATES.iter().filter(|name| **name != PROGRAM) {
                all.push_str(&format!(",{library}{level}"));
            }
        }
    }
    all
}

/// Starts logging to stderr. The filter is in the form of `ZEPHR_SYNC_LOG`, for example `info` or
/// `zephr_sync=debug,sqlx=warn`. With the feature `otlp`, spans are sent to where the environment
/// says.
///
/// # Errors
/// The filter, or where traces go, cannot be understood.
pub fn start(filter: &str, format: LogFormat) -> Result<Telemetry, Error> {
    let filter = EnvFilter::builder().parse(of_all_crates(filter))?;
    // Libraries log what goes over the wire at their finer levels: readers' data. No setting lets
    // that through.
    let ours = filter_fn(|event| {
        event.target() != span::TARGET && (*event.level() <= Level::INFO || is_ours(event.target()))
    });
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(colour);
    let lines = match format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    #[cfg(feature = "otlp")]
    let traces = otlp::Traces::start()?;
    let registry = tracing_subscriber::registry();
    #[cfg(feature = "otlp")]
    let registry = registry.with(traces.as_ref().map(otlp::Traces::layer));
    registry
        .with(lines.with_filter(filter).with_filter(ours))
        .init();
    Ok(Telemetry {
        #[cfg(feature = "otlp")]
        traces,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_the_program_is_said_of_its_libraries() {
        assert_eq!(of_all_crates("info"), "info");
        assert_eq!(
            of_all_crates("zephr_sync_other=debug"),
            "zephr_sync_other=debug"
        );
        let all = of_all_crates("warn, zephr_sync=debug");
        for library in ["private_postgres", "scan", "simulator"] {
            assert!(all.contains(&format!(",{library}=debug")), "{all}");
        }
        assert!(is_ours("scan::walk") && is_ours("zephr_sync") && !is_ours("scanner::x"));
    }
}
