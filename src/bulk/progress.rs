//! How a push goes: what progress bars, log lines and tests look at.

use std::sync::{Mutex, MutexGuard, PoisonError};

use mirror::state::bulk::rows::{self, Outcome, Outcomes};
use telemetry::field;

/// The named moments of a push. Each is logged at debug level as the field `phase`, so that a push
/// can be followed, and stopped, at each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The lease is held.
    Leased,
    /// The rows have their chunks.
    Begun,
    /// The users of a chunk were read once more.
    Refreshed,
    /// It is written down that a chunk is about to be sent.
    Sending,
    /// The answer came, whatever it was, and nothing is written down about it.
    Answered,
    /// The job is written down.
    Accepted,
    /// The job was looked at.
    Polled,
    /// The job is over, and nothing is written down about it.
    Over,
    /// The answer was lost, and evidence is looked for.
    Lost,
    /// All rows of a chunk have an outcome.
    ChunkDone,
    /// All rows have an outcome.
    Finished,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Self; 11] = [
        Self::Leased,
        Self::Begun,
        Self::Refreshed,
        Self::Sending,
        Self::Answered,
        Self::Accepted,
        Self::Polled,
        Self::Over,
        Self::Lost,
        Self::ChunkDone,
        Self::Finished,
    ];

    /// Its name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Leased => "leased",
            Self::Begun => "begun",
            Self::Refreshed => "refreshed",
            Self::Sending => "sending",
            Self::Answered => "answered",
            Self::Accepted => "accepted",
            Self::Polled => "polled",
            Self::Over => "over",
            Self::Lost => "lost",
            Self::ChunkDone => "chunk_done",
            Self::Finished => "finished",
        }
    }
}

/// Where a push stands at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State {
    /// Rows to be sent in all.
    pub rows: u64,
    /// Those that have an outcome.
    pub settled: u64,
    /// Those of them that failed, or of which nobody knows.
    pub troubled: u64,
    /// The API's own count of the job under way, of so many.
    pub job: Option<(u64, u64)>,
}

/// Where a push stands. Written by the push, read by whoever shows it.
#[derive(Debug, Default)]
pub struct Progress(Mutex<Inside>);

#[derive(Debug, Default)]
struct Inside {
    state: State,
    outcomes: Outcomes,
}

impl Progress {
    /// Where it stands.
    pub fn now(&self) -> State {
        self.lock().state
    }

    /// The outcomes that were written down under this value, of whichever plan: it only grows. A
    /// row that was unknown and is settled later counts as both.
    pub fn outcomes(&self) -> Outcomes {
        self.lock().outcomes
    }

    /// Notes a named moment.
    pub fn enter(&self, phase: Phase) {
        tracing::debug!({ field::PHASE } = phase.name(), "phase");
    }

    /// Notes how many rows there are, and how many have an outcome already.
    pub fn begin(&self, rows: i64, settled: i64) {
        self.lock().state = State {
            rows: rows.unsigned_abs(),
            settled: settled.unsigned_abs(),
            ..State::default()
        };
    }

    /// Notes the API's count of the job under way.
    pub fn watch(&self, done: i64, of: i64) {
        self.lock().state.job = Some((done.unsigned_abs(), of.unsigned_abs()));
    }

    /// Notes rows that were looked at, and how many of them are in trouble.
    pub fn settle(&self, rows: usize, troubled: usize) {
        self.lock().state.settle(rows, troubled);
    }

    /// Notes outcomes that are written down.
    pub fn count(&self, outcomes: &[Outcome]) {
        let mut inside = self.lock();
        let mut troubled = 0;
        for outcome in outcomes {
            match outcome.state {
                rows::State::Succeeded => inside.outcomes.succeeded += 1,
                rows::State::Failed => {
                    inside.outcomes.failed += 1;
                    troubled += 1;
                }
                rows::State::Unknown => {
                    inside.outcomes.unknown += 1;
                    troubled += 1;
                }
                rows::State::Planned
                | rows::State::Sent
                | rows::State::Unchanged
                | rows::State::Rejected => {}
            }
        }
        inside.state.settle(outcomes.len(), troubled);
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn settle(&mut self, rows: usize, troubled: usize) {
        self.settled += rows as u64;
        self.troubled += troubled as u64;
        self.job = None;
    }
}
