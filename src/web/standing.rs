//! How a job stands by its schedule, as the page and the metrics tell it.

use chrono::{DateTime, Utc};

use crate::job::Job;
use mirror::state::runs::Attempt;
use mirror::state::schedules::Stored;
use schedule::{Due, History};

/// How a job stands by its schedule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// When its next run starts, or should have started; none for a job that has no times of its
    /// own.
    pub(super) next_at: Option<DateTime<Utc>>,
    /// For how many seconds a run has been due that nobody has begun.
    pub(super) late_seconds: i64,
}

impl Standing {
    /// Of a job: from what is stored of its schedule, and its latest attempt at a slot.
    pub(super) fn of(
        job: &Job,
        schema: &str,
        stored: &[Stored],
        attempt: Option<&Attempt>,
        now: DateTime<Utc>,
    ) -> Self {
        let Some(timetable) = job.timing.timetable(schema, &job.name) else {
            return Self::default();
        };
        let text = timetable.schedule.to_string();
        let stored = stored.iter().find(|stored| stored.job == job.name);
        let same = stored.filter(|stored| stored.schedule == text);
        let settled_to = stored.and_then(|stored| stored.settled_to);
        let history = History {
            last: attempt.map(|attempt| attempt.scheduled_at).max(settled_to),
            // Nobody waits for what no daemon has seen yet.
            known_since: same.map_or(now, |stored| stored.known_since),
            // Whether a slot was missed is for daemons to decide.
            watched_since: DateTime::UNIX_EPOCH,
        };
        match timetable.due(&history, now) {
            Due::Wait { next, .. } => Self {
                next_at: next.map(|slot| slot.start_at),
                late_seconds: 0,
            },
            Due::Run { slot, .. } => Self {
                next_at: Some(slot.start_at),
                late_seconds: now
                    .signed_duration_since(slot.start_at)
                    .num_seconds()
                    .max(0),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use mirror::state::runs::Status;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    #[test]
    fn a_slot_that_nobody_began_is_late() {
        let jobs = crate::job::built_in().unwrap();
        let job = jobs
            .iter()
            .find(|job| job.timing.schedule.is_some())
            .unwrap();
        let now = at("2026-03-10T12:00:00Z");
        let text = job.timing.schedule.as_ref().unwrap().to_string();
        let known = |since: &str| {
            [Stored {
                job: job.name.clone(),
                schedule: text.clone(),
                known_since: at(since),
                settled_to: None,
            }]
        };
        let standing = Standing::of(job, "zephr", &[], None, now);
        assert!(standing.next_at > Some(now) && standing.late_seconds == 0);
        let standing = Standing::of(job, "zephr", &known("2026-02-01T00:00:00Z"), None, now);
        assert!(standing.late_seconds > 0, "{standing:?}");
        let attempt = Attempt {
            job: job.name.clone(),
            scheduled_at: now,
            attempt: 1,
            status: Status::Succeeded,
            finished_at: Some(now),
        };
        let known = known("2026-02-01T00:00:00Z");
        let standing = Standing::of(job, "zephr", &known, Some(&attempt), now);
        assert!(
            standing.late_seconds == 0 && standing.next_at > Some(now),
            "{standing:?}"
        );
    }
}
