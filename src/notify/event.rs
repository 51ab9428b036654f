//! What can be told.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use uuid::Uuid;

use mirror::state::runs::{Mode, Run, Status};
use mirror::unfit::Unfit;

/// The kinds of events, as `on` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A run failed, and no attempt at its slot follows.
    Failed,
    /// A brake stopped a run.
    Braked,
    /// A slot has not succeeded for longer than its job's `late_after`.
    Late,
    /// A run succeeded after one that did not.
    Recovered,
    /// A run succeeded, and a tenth or more of the values of a column did not fit, which was not so
    /// after the run before.
    Unfit,
    /// A bulk job has an outcome for every row.
    BulkFinished,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Failed,
        Self::Braked,
        Self::Late,
        Self::Recovered,
        Self::Unfit,
        Self::BulkFinished,
    ];
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// See [`Kind::Failed`].
    RunFailed(Box<RunFacts>),
    /// See [`Kind::Braked`].
    RunBraked(Box<RunFacts>),
    /// See [`Kind::Late`].
    RunLate {
        /// The job.
        job: String,
        /// The slot that waits.
        scheduled_at: DateTime<Utc>,
        /// Since when it counts as late.
        late_since: DateTime<Utc>,
    },
    /// See [`Kind::Recovered`].
    RunRecovered(Box<RunFacts>),
    /// See [`Kind::Unfit`].
    RunUnfit(Box<RunFacts>),
    /// See [`Kind::BulkFinished`].
    BulkFinished(Bulk),
}

impl Event {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::RunFailed(_) => Kind::Failed,
            Self::RunBraked(_) => Kind::Braked,
            Self::RunLate { .. } => Kind::Late,
            Self::RunRecovered(_) => Kind::Recovered,
            Self::RunUnfit(_) => Kind::Unfit,
            Self::BulkFinished(_) => Kind::BulkFinished,
        }
    }
}

/// An event with what a receiver needs to tell it from others.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// The same for each attempt at delivery: an event may arrive twice, and this tells.
    pub event_id: Uuid,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// The tenant's schema.
    pub schema: String,
    /// What happened.
    pub event: Event,
}

/// A run, as far as others are told. Names are the columns of `zephr_sync.runs`; listed, so that a
/// new column goes out only when somebody has thought about it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(
    missing_docs,
    reason = "each is the column of that name, and the columns carry comments"
)]
pub struct RunFacts {
    pub run_id: Uuid,
    pub job: String,
    pub mode: Mode,
    pub status: Status,
    pub verdict: Option<String>,
    pub verdict_reason: Option<String>,
    pub scheduled_at: Option<DateTime<Utc>>,
    pub attempt: i32,
    pub started_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    pub rows_read: i64,
    pub rows_inserted: i64,
    pub rows_updated: i64,
    pub rows_unchanged: i64,
    pub rows_tombstoned: i64,
    pub rows_rejected: i64,
    pub requests: i64,
    pub retries: i64,
    pub throttled_ms: i64,
    pub unfit: Vec<Unfit>,
    pub error: Option<String>,
    pub remedy: Option<String>,
}

impl From<Run> for RunFacts {
    fn from(run: Run) -> Self {
        Self {
            run_id: run.run_id,
            job: run.job,
            mode: run.mode,
            status: run.status,
            verdict: run.verdict,
            verdict_reason: run.verdict_reason,
            scheduled_at: run.scheduled_at,
            attempt: run.attempt,
            started_at: run.started_at,
            finished_at: run.finished_at,
            rows_read: run.rows_read,
            rows_inserted: run.rows_inserted,
            rows_updated: run.rows_updated,
            rows_unchanged: run.rows_unchanged,
            rows_tombstoned: run.rows_tombstoned,
            rows_rejected: run.rows_rejected,
            requests: run.requests,
            retries: run.retries,
            throttled_ms: run.throttled_ms,
            unfit: run.unfit.map(|Json(unfit)| unfit).unwrap_or_default(),
            error: run.error,
            remedy: run.remedy,
        }
    }
}

/// A bulk job that is done: its plan and how many rows ended how. Not the file's name, which people
/// choose, and sometimes after a person.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bulk {
    /// The plan, by which everything about a push goes.
    pub plan_id: Uuid,
    /// Rows that arrived.
    pub rows_succeeded: i64,
    /// Rows that Zephr refused.
    pub rows_failed: i64,
    /// Rows of which it is not known.
    pub rows_unknown: i64,
}
