//! How much a run reads: what was asked for, and what that comes to, given how far the job has
//! come.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use super::Error;
use super::write::Kept;
use crate::job;
use clock::time;
use mirror::state::checkpoints;
use mirror::state::runs::Mode;

/// What to do with a full scan that was begun and has not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Continue it, if it is younger than a day.
    Resume,
    /// Begin afresh.
    Restart,
}

/// How much to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What the job's mode says is due.
    AsDue,
    /// All of it.
    Full(Start),
    /// About this many records; tombstones nothing and moves no watermark.
    Sample(u64),
    /// Nothing: the deletions that a brake held back in this run are let through.
    Confirmed(Uuid),
}

/// What a run reads, once it is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// All of it, under this scan.
    Full {
        scan_id: Uuid,
        /// When an earlier run began the scan, if one did.
        resumed: Option<DateTime<Utc>>,
        /// What changed since then, incremental runs have read or would read.
        seen_since: Option<DateTime<Utc>>,
    },
    /// What changed since then.
    Incremental { since: DateTime<Utc> },
    /// About this many records.
    Sample { limit: u64 },
}

impl Scope {
    pub(super) async fn decide(
        extent: Extent,
        mode: job::Mode,
        pool: &PgPool,
        job: &str,
    ) -> Result<Self, Error> {
        let (start, everything) = match extent {
            Extent::Sample(limit) => return Ok(Self::Sample { limit }),
            Extent::Full(start) => (start, true),
            Extent::AsDue | Extent::Confirmed(_) => (Start::Resume, false),
        };
        let checkpoint = checkpoints::get(pool, job).await?;
        let since = match mode {
            job::Mode::Full => None,
            job::Mode::Incremental { overlap, .. } => checkpoint
                .and_then(|checkpoint| checkpoint.watermark)
                .map(|watermark| time::before(watermark, time::signed(overlap)))
                // Nothing changed earlier, and no API can reckon with much earlier times.
                .map(|since| since.max(DateTime::UNIX_EPOCH)),
        };
        let unfinished = match start {
            Start::Resume => checkpoints::unfinished(pool, job).await?,
            Start::Restart => None,
        };
        if let Some(unfinished) = unfinished {
            return Ok(Self::Full {
                scan_id: unfinished.scan_id,
                resumed: Some(unfinished.started_at),
                seen_since: since,
            });
        }
        let full_age = checkpoint.and_then(|checkpoint| checkpoint.full_age_seconds);
        match (mode, since, full_age) {
            (job::Mode::Incremental { full_every, .. }, Some(since), Some(age))
                if !everything && (age.max(0) as u64) < full_every.as_secs() =>
            {
                Ok(Self::Incremental { since })
            }
            (job::Mode::Incremental { .. } | job::Mode::Full, _, _) => Ok(Self::Full {
                scan_id: Uuid::now_v7(),
                resumed: None,
                seen_since: since,
            }),
        }
    }

    pub(super) fn mode(self) -> Mode {
        match self {
            Self::Full { .. } | Self::Sample { .. } => Mode::Full,
            Self::Incremental { .. } => Mode::Incremental,
        }
    }

    /// The scan whose progress is kept.
    pub(super) fn kept(self) -> Option<Kept> {
        match self {
            Self::Full {
                scan_id,
                seen_since,
                ..
            } => Some(Kept {
                scan_id,
                notes_changes: seen_since.is_some(),
            }),
            Self::Incremental { .. } | Self::Sample { .. } => None,
        }
    }

    pub(super) fn since(self) -> Option<DateTime<Utc>> {
        match self {
            Self::Incremental { since } => Some(since),
            Self::Full { .. } | Self::Sample { .. } => None,
        }
    }
}
