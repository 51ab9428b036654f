//! How a run goes: what progress bars, log lines and tests look at.

use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use mirror::state::runs::Counts;
use telemetry::field;
use zephr::governor::Snapshot;

/// The named moments of a run. Each is logged at debug level as the field `phase`, so that a run
/// can be followed, and stopped, at each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The lease is held.
    Leased,
    /// The run has its record.
    RunBegun,
    /// A window was read.
    WindowRead,
    /// A batch was compared with the mirror.
    BatchCompared,
    /// A batch was merged and not yet committed.
    BatchMerged,
    /// A batch is committed.
    BatchCommitted,
    /// Everything was read and written.
    ScanRead,
    /// Some who were missing are marked as deleted, and that is committed.
    Tombstoned,
    /// The end of the run is committed.
    Finished,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Self; 9] = [
        Self::Leased,
        Self::RunBegun,
        Self::WindowRead,
        Self::BatchCompared,
        Self::BatchMerged,
        Self::BatchCommitted,
        Self::ScanRead,
        Self::Tombstoned,
        Self::Finished,
    ];

    /// Its name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Leased => "leased",
            Self::RunBegun => "run_begun",
            Self::WindowRead => "window_read",
            Self::BatchCompared => "batch_compared",
            Self::BatchMerged => "batch_merged",
            Self::BatchCommitted => "batch_committed",
            Self::ScanRead => "scan_read",
            Self::Tombstoned => "tombstoned",
            Self::Finished => "finished",
        }
    }
}

/// Where a run stands. Written by the run, read by whoever shows it.
#[derive(Debug, Default)]
pub struct Progress(Mutex<State>);

/// Where a run stands at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct State {
    /// The run.
    pub run_id: Option<Uuid>,
    /// What is committed.
    pub counts: Counts,
    /// How many records there are in all, where the API tells.
    pub total: Option<u64>,
    /// What the governor is doing.
    pub governor: Option<Snapshot>,
    /// Whether a record told of grants.
    pub tells_grants: bool,
}

impl Progress {
    /// Where the run stands.
    pub fn now(&self) -> State {
        *self.lock()
    }

    /// What is committed so far.
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Notes that a record told of grants.
    pub fn hear_of_grants(&self) {
        self.lock().tells_grants = true;
    }

    /// Notes a named moment.
    pub fn enter(&self, phase: Phase) {
        tracing::debug!({ field::PHASE } = phase.name(), "phase");
    }

    /// Notes that the run has its record.
    pub fn begin(&self, run_id: Uuid) {
        *self.lock() = State {
            run_id: Some(run_id),
            ..State::default()
        };
        self.enter(Phase::RunBegun);
    }

    /// Notes how many records there were last time.
    pub fn expect(&self, total: i64) {
        self.lock().total = u64::try_from(total).ok().filter(|total| *total > 0);
    }

    /// Notes that an answer came.
    pub fn read_window(&self, total: Option<u64>, governor: Snapshot) {
        let mut state = self.lock();
        state.total = total.or(state.total);
        state.governor = Some(governor);
        drop(state);
        self.enter(Phase::WindowRead);
    }

    /// Notes a commit.
    pub fn committed(&self, counts: Counts) {
        self.lock().counts.add(counts);
        self.enter(Phase::BatchCommitted);
    }

    /// Notes what others have committed for this run.
    pub fn committed_by_others(&self, counts: Counts) {
        self.lock().counts.add(counts);
    }

    /// Notes that some were marked as deleted.
    pub fn tombstoned(&self, counts: Counts) {
        self.lock().counts.add(counts);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
