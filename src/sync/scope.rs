//! How much a run reads: what was asked for, and what that comes to, given how far the job has come.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use super::Error;
use crate::job;
use crate::state::checkpoints;
use crate::state::runs::Mode;

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
    AsDue(job::Mode),
    /// All of it.
    Full(Start),
    /// About this many records; tombstones nothing and moves no watermark.
    Sample(u64),
}

/// What a run reads, once it is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// All of it, under this scan.
    Full {
        scan_id: Uuid,
        /// Whether an earlier run began the scan.
        resumed: bool,
    },
    /// What changed since then.
    Incremental { since: DateTime<Utc> },
    /// About this many records.
    Sample { limit: u64 },
}

impl Scope {
    pub(super) async fn decide(extent: Extent, pool: &PgPool, job: &str) -> Result<Self, Error> {
        let (start, mode) = match extent {
            Extent::Sample(limit) => return Ok(Self::Sample { limit }),
            Extent::Full(start) => (start, job::Mode::Full),
            Extent::AsDue(mode) => (Start::Resume, mode),
        };
        let unfinished = match start {
            Start::Resume => checkpoints::unfinished(pool, job).await?,
            Start::Restart => None,
        };
        if let Some(unfinished) = unfinished {
            return Ok(Self::Full {
                scan_id: unfinished.scan_id,
                resumed: true,
            });
        }
        if let job::Mode::Incremental {
            overlap,
            full_every,
        } = mode
            && let Some(checkpoint) = checkpoints::get(pool, job).await?
            && let Some(watermark) = checkpoint.watermark
            && checkpoint
                .full_age_seconds
                .is_some_and(|age| (age.max(0) as u64) < full_every.as_secs())
        {
            return Ok(Self::Incremental {
                since: watermark - overlap,
            });
        }
        Ok(Self::Full {
            scan_id: Uuid::now_v7(),
            resumed: false,
        })
    }

    pub(super) fn mode(self) -> Mode {
        match self {
            Self::Full { .. } | Self::Sample { .. } => Mode::Full,
            Self::Incremental { .. } => Mode::Incremental,
        }
    }

    /// The scan whose progress is kept.
    pub(super) fn scan_id(self) -> Option<Uuid> {
        match self {
            Self::Full { scan_id, .. } => Some(scan_id),
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
