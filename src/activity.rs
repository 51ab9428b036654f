//! What this process does for a tenant at the moment, and what it has done since it started:
//! written by the daemon, read by its page and its metrics. What other daemons do is not in here;
//! Postgres knows that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::sync::progress::{Progress, State as Standing};
use mirror::state::bulk::rows::Outcomes;
use mirror::state::runs::{Run, Status};

/// Durations of runs that are told apart, in seconds: an incremental run takes seconds, the first
/// full scan of a large tenant hours.
pub const BOUNDS: [f64; 9] = [
    1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 10_800.0, 43_200.0,
];

/// A loop that has not turned for so long is stuck. While Postgres is away it turns every minute:
/// thirty seconds of pause, thirty of trying.
pub const STUCK: Duration = Duration::from_secs(180);

/// What is known of the process's work. One value for each tenant, shared.
#[derive(Debug, Default)]
pub struct Live(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// When the loop last turned.
    pulse: Option<Instant>,
    running: BTreeMap<String, Vec<Arc<Progress>>>,
    done: BTreeMap<String, Done>,
    pushed: Pushed,
}

/// What runs of a job came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Done {
    /// How many ended in which way.
    pub ended: BTreeMap<Status, u64>,
    /// How many took at most so many seconds, by [`BOUNDS`]; the last place is for those that took
    /// longer than all of them.
    pub took: [u64; BOUNDS.len() + 1],
    /// How long all of them took together, in seconds.
    pub seconds: f64,
    /// Rows that were received.
    pub read: u64,
    /// New rows.
    pub inserted: u64,
    /// Rows that differed.
    pub updated: u64,
    /// Rows that were marked as deleted.
    pub tombstoned: u64,
    /// Records that could not be stored.
    pub rejected: u64,
}

/// What pushes came to, in rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Done.
    pub succeeded: u64,
    /// Not done.
    pub failed: u64,
    /// Nobody knows.
    pub unknown: u64,
}

/// Takes a run off the list when it is dropped, however it ended.
#[derive(Debug)]
#[must_use = "the run is under way as long as this lives"]
pub struct UnderWay {
    live: Arc<Live>,
    job: String,
    progress: Arc<Progress>,
}

impl Live {
    /// The loop turned: the process is alive.
    pub fn turned(&self) {
        self.lock().pulse = Some(Instant::now());
    }

    /// How long ago the loop last turned; none when it never did.
    pub fn since_turned(&self) -> Option<Duration> {
        self.lock().pulse.map(|pulse| pulse.elapsed())
    }

    /// Whether the loop turns. One that never has is at its beginning: there is nothing yet to be
    /// stuck in.
    pub fn is_well(&self) -> bool {
        self.since_turned().is_none_or(|since| since < STUCK)
    }

    /// A run of this job is under way, as long as the answer lives.
    pub fn begun(self: &Arc<Self>, job: &str, progress: &Arc<Progress>) -> UnderWay {
        let mut state = self.lock();
        let running = state.running.entry(job.to_owned()).or_default();
        running.push(Arc::clone(progress));
        drop(state);
        UnderWay {
            live: Arc::clone(self),
            job: job.to_owned(),
            progress: Arc::clone(progress),
        }
    }

    /// A run ended, and this is its record.
    pub fn ended(&self, run: &Run) {
        let mut state = self.lock();
        let done = state.done.entry(run.job.clone()).or_default();
        *done.ended.entry(run.status).or_default() += 1;
        if let Some(finished_at) = run.finished_at {
            let took = finished_at.signed_duration_since(run.started_at);
            let seconds = took.to_std().unwrap_or_default().as_secs_f64();
            let place = BOUNDS.iter().position(|bound| seconds <= *bound);
            done.took[place.unwrap_or(BOUNDS.len())] += 1;
            done.seconds += seconds;
        }
        done.read += run.rows_read.unsigned_abs();
        done.inserted += run.rows_inserted.unsigned_abs();
        done.updated += run.rows_updated.unsigned_abs();
        done.tombstoned += run.rows_tombstoned.unsigned_abs();
        done.rejected += run.rows_rejected.unsigned_abs();
    }

    /// A push went on: the outcomes that it has written down, as they were when this was last
    /// called, and now.
    pub fn pushed(&self, before: Outcomes, now: Outcomes) {
        // Counters never fall.
        let grown = |before: i64, now: i64| u64::try_from(now - before).unwrap_or_default();
        let mut state = self.lock();
        state.pushed.succeeded += grown(before.succeeded, now.succeeded);
        state.pushed.failed += grown(before.failed, now.failed);
        state.pushed.unknown += grown(before.unknown, now.unknown);
    }

    /// What is under way: each run's job, and where it stands.
    pub fn running(&self) -> Vec<(String, Standing)> {
        let state = self.lock();
        let all = state.running.iter();
        all.flat_map(|(job, runs)| runs.iter().map(|run| (job.clone(), run.now())))
            .collect()
    }

    /// What runs of each job came to.
    pub fn done(&self) -> BTreeMap<String, Done> {
        self.lock().done.clone()
    }

    /// What pushes came to.
    pub fn rows_pushed(&self) -> Pushed {
        self.lock().pushed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is complete in itself.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.live.lock();
        if let Some(running) = state.running.get_mut(&self.job) {
            running.retain(|run| !Arc::ptr_eq(run, &self.progress));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_there_until_it_is_dropped() {
        let live = Arc::new(Live::default());
        let progress = Arc::new(Progress::default());
        let under_way = live.begun("users", &progress);
        assert_eq!(live.running().len(), 1);
        drop(under_way);
        assert!(live.running().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_pulse_grows_old() {
        let live = Live::default();
        assert_eq!(live.since_turned(), None);
        live.turned();
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(live.since_turned(), Some(Duration::from_secs(5)));
    }

    #[test]
    fn counters_of_pushes_never_fall() {
        let live = Live::default();
        let unknown = Outcomes {
            unknown: 2,
            ..Outcomes::default()
        };
        let settled = Outcomes {
            succeeded: 2,
            ..Outcomes::default()
        };
        live.pushed(Outcomes::default(), unknown);
        live.pushed(unknown, settled);
        let pushed = live.rows_pushed();
        assert_eq!((pushed.succeeded, pushed.unknown), (2, 2));
    }
}
