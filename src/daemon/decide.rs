//! What is to be done about a job, from what Postgres knows. Nothing in here asks or changes
//! anything.

use chrono::{DateTime, TimeDelta, Utc};

use super::snapshot::Seen;
use crate::job::Job;
use clock::time;
use mirror::state::runs::{Attempt, Slot, Status};
use schedule::{Due, Gate, History, Next, Outcome, SlotRun, Standing, Upstream, follow, wait_for};

/// How far back a slot of another job is looked for: a week, and a day for the clocks.
const BACK: TimeDelta = TimeDelta::days(8);

const SECOND: TimeDelta = TimeDelta::seconds(1);

/// What is to be done about a job now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Decision {
    /// Slots that are not run.
    pub(super) settled: Vec<Settled>,
    /// The jobs that it waits for at its slot.
    pub(super) waits: Vec<String>,
    /// Its slot, if that should have been run by now.
    pub(super) late: Option<Late>,
    /// The attempt that is to be begun.
    pub(super) begin: Option<Slot>,
}

/// Why slots are not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Settled {
    /// They passed, the last of them at this time.
    Passed {
        /// The last.
        to: DateTime<Utc>,
        /// How many.
        slots: usize,
    },
    /// Jobs that it comes after have failed.
    Skipped {
        /// The slot.
        to: DateTime<Utc>,
        /// Those jobs.
        after: String,
    },
}

/// A slot that should have been run by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Late {
    /// The slot.
    pub(super) scheduled_at: DateTime<Utc>,
    /// Since when it is late.
    pub(super) since: DateTime<Utc>,
}

impl Decision {
    /// The slot that is due by the job's own schedule; notes those that passed, and whether this
    /// one is late.
    fn take_due(&mut self, due: Due, job: &Job, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let (Due::Wait { passed, .. } | Due::Run { passed, .. }) = due;
        self.settled.extend(passed.map(|passed| Settled::Passed {
            to: passed.last,
            slots: passed.count,
        }));
        match due {
            Due::Wait { .. } => None,
            Due::Run { slot, .. } => {
                let scheduled_at = slot.scheduled_at;
                let late = job.timing.late_at(slot.start_at);
                self.late = late.filter(|late| *late <= now).map(|since| Late {
                    scheduled_at,
                    since,
                });
                Some(scheduled_at)
            }
        }
    }

    /// The slot whose turn it is, or why it is nobody's.
    fn pass(&mut self, gate: Gate<'_>, job: &Job) -> Option<DateTime<Utc>> {
        match gate {
            Gate::Open(slot) => Some(slot),
            Gate::Wait(names) => {
                // One without a schedule of its own waits most of the time.
                if job.timing.schedule.is_some() {
                    self.waits = names.into_iter().map(str::to_owned).collect();
                }
                None
            }
            Gate::Skip(to, names) => {
                let after = names.join(", ");
                self.settled.push(Settled::Skipped { to, after });
                None
            }
        }
    }
}

/// Decides. `schema` tells tenants apart where slots are spread, `watched_since` since when this
/// daemon has been there.
pub(super) fn decide(
    seen: &Seen,
    jobs: &[Job],
    job: &Job,
    schema: &str,
    watched_since: DateTime<Utc>,
) -> Decision {
    let mut decision = Decision::default();
    let Some(known) = seen.schedule(job) else {
        return decision;
    };
    if job.timing.schedule.is_none() && job.timing.after.is_empty() {
        return decision;
    }
    let attempt = seen.attempt(job);
    if attempt.is_some_and(|attempt| is_under_way(seen, job, attempt)) {
        return decision;
    }
    let last = attempt
        .map(|attempt| attempt.scheduled_at)
        .max(known.settled_to);
    let upstream: Vec<Upstream<'_>> = (job.timing.after.iter())
        .filter_map(|name| jobs.iter().find(|job| job.name == *name))
        .map(|job| upstream(seen, job))
        .collect();
    let gate = match job.timing.timetable(schema, &job.name) {
        None => {
            let since = last.unwrap_or(known.known_since).max(known.known_since);
            Some(follow(since, &upstream))
        }
        Some(timetable) => {
            let history = History {
                last,
                known_since: known.known_since,
                watched_since,
            };
            let due = timetable.due(&history, seen.now);
            let slot = decision.take_due(due, job, seen.now);
            slot.map(|slot| wait_for(slot, last, &upstream))
        }
    };
    let slot = gate.and_then(|gate| decision.pass(gate, job));
    if !seen.is_held(job.resource) {
        let first = slot.map(|scheduled_at| Slot {
            scheduled_at,
            attempt: 1,
        });
        decision.begin = first.or_else(|| again(seen, job, attempt?, known.settled_to));
    }
    decision
}

/// Whether somebody is at it. One that says so while nobody holds the lease belongs to a process
/// that is gone.
fn is_under_way(seen: &Seen, job: &Job, attempt: &Attempt) -> bool {
    attempt.status == Status::Running && seen.is_held(job.resource)
}

/// Another attempt at a slot that did not come to a good end, if its time has come and no later
/// slot is settled.
fn again(
    seen: &Seen,
    job: &Job,
    attempt: &Attempt,
    settled_to: Option<DateTime<Utc>>,
) -> Option<Slot> {
    if settled_to.is_some_and(|to| attempt.scheduled_at <= to) {
        return None;
    }
    match next(seen, job, attempt) {
        Next::Attempt {
            attempt: number,
            at,
        } if at <= seen.now => Some(Slot {
            scheduled_at: attempt.scheduled_at,
            attempt: i32::try_from(number).ok()?,
        }),
        Next::Attempt { .. } | Next::Done | Next::GivenUp => None,
    }
}

fn next(seen: &Seen, job: &Job, attempt: &Attempt) -> Next {
    let outcome = match attempt.status {
        Status::Succeeded => Outcome::Succeeded,
        Status::Braked => Outcome::NeedsPerson,
        Status::Failed => Outcome::Failed,
        // One that is under way was looked at before, so the process of this one is gone.
        Status::Running | Status::Interrupted => Outcome::Interrupted,
    };
    let ended_at = attempt.finished_at.unwrap_or(seen.now);
    let number = attempt.attempt.unsigned_abs();
    job.timing.retries.next(number, outcome, ended_at)
}

/// A job that another one comes after.
fn upstream<'a>(seen: &Seen, job: &'a Job) -> Upstream<'a> {
    let latest = seen.attempt(job).map(|attempt| SlotRun {
        scheduled_at: attempt.scheduled_at,
        standing: standing(seen, job, attempt),
    });
    let settled_to = seen.schedule(job).and_then(|known| known.settled_to);
    // A slot that was skipped or passed over is waited for by nobody.
    let floor = settled_to.unwrap_or(DateTime::UNIX_EPOCH);
    let from = latest.map_or(floor, |run| {
        time::before(run.scheduled_at, SECOND).max(floor)
    });
    let schedule = job.timing.schedule.as_ref();
    Upstream {
        name: &job.name,
        latest,
        expected: schedule
            .and_then(|schedule| schedule.latest(from.max(time::before(seen.now, BACK)), seen.now)),
    }
}

fn standing(seen: &Seen, job: &Job, attempt: &Attempt) -> Standing {
    if is_under_way(seen, job, attempt) {
        return Standing::Open;
    }
    match next(seen, job, attempt) {
        Next::Done => Standing::Succeeded,
        Next::GivenUp => Standing::Failed,
        Next::Attempt { .. } => Standing::Open,
    }
}
