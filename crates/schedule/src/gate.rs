//! `after = ["users"]`: a job that starts when others have succeeded.
//!
//! - A job with a schedule of its own ([`wait_for`]) waits at its slot for those of the others that
//!   were due since its slot before, or that still run. A job that is due once a week is not waited
//!   for on the other days.
//! - A job without one ([`follow`]) runs when each of the others has succeeded for a slot later
//!   than its own last one. The latest of their slots becomes its own: after two daily jobs it runs
//!   once a day, after an hourly and a daily one it does too.
//! - Where another one has failed for good, the job is skipped for that slot, and this is said: it
//!   would read what belongs to yesterday's rows.
//!
//! Only runs that have a slot count. What a person starts by hand neither opens nor closes a gate.

use chrono::{DateTime, Utc};

/// How it stands with a slot of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A run is on it, or another attempt will be.
    Open,
    /// It is settled, and well.
    Succeeded,
    /// It is settled, and not well: the last attempt failed, or a person has to act.
    Failed,
}

/// The latest slot of a job that has been run or is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotRun {
    /// The run's `scheduled_at`.
    pub scheduled_at: DateTime<Utc>,
    /// How it stands.
    pub standing: Standing,
}

/// A job that another one waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upstream<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its latest slot with a run, or that was settled as failed because it was skipped itself.
    pub latest: Option<SlotRun>,
    /// Its latest slot by its own schedule, up to the slot that waits. None where no run of that
    /// will come: it has no schedule, is disabled, or passed it over.
    pub expected: Option<DateTime<Utc>>,
}

/// Whether a job may start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate<'a> {
    /// It may, for this slot.
    Open(DateTime<Utc>),
    /// Not before these have succeeded; none are named where nothing new has happened.
    Wait(Vec<&'a str>),
    /// Not for this slot: these have failed.
    Skip(DateTime<Utc>, Vec<&'a str>),
}

/// Whether a job with a schedule of its own may start for this slot. `before` is its slot before
/// that by its schedule; none if there was none.
pub fn wait_for<'a>(
    slot: DateTime<Utc>,
    before: Option<DateTime<Utc>>,
    upstream: &[Upstream<'a>],
) -> Gate<'a> {
    let mut failed = Vec::new();
    let mut awaited = Vec::new();
    for job in upstream {
        let expected = job
            .expected
            .filter(|at| *at <= slot && before.is_none_or(|before| *at > before));
        let Some(run) = job
            .latest
            .filter(|run| expected.is_none_or(|at| run.scheduled_at >= at))
        else {
            awaited.extend(expected.map(|_| job.name));
            continue;
        };
        match run.standing {
            Standing::Open => awaited.push(job.name),
            Standing::Failed if expected.is_some() => failed.push(job.name),
            Standing::Failed | Standing::Succeeded => {}
        }
    }
    match (failed.is_empty(), awaited.is_empty()) {
        (false, _) => Gate::Skip(slot, failed),
        (true, false) => Gate::Wait(awaited),
        (true, true) => Gate::Open(slot),
    }
}

/// Whether a job without a schedule of its own may start, and for which slot. `last` is its last
/// slot, run or skipped; since when it is known, if it is new.
pub fn follow<'a>(last: DateTime<Utc>, upstream: &[Upstream<'a>]) -> Gate<'a> {
    let mut slots = Vec::new();
    let mut failed = Vec::new();
    let mut awaited = Vec::new();
    for job in upstream {
        match job.latest.filter(|run| run.scheduled_at > last) {
            None => awaited.push(job.name),
            Some(SlotRun {
                scheduled_at,
                standing,
            }) => match standing {
                Standing::Open => awaited.push(job.name),
                Standing::Succeeded => slots.push(scheduled_at),
                Standing::Failed => failed.push((scheduled_at, job.name)),
            },
        }
    }
    if let Some(slot) = failed.iter().map(|(slot, _)| *slot).max() {
        return Gate::Skip(slot, failed.into_iter().map(|(_, name)| name).collect());
    }
    match slots.into_iter().max() {
        Some(slot) if awaited.is_empty() => Gate::Open(slot),
        Some(_) | None => Gate::Wait(awaited),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Minutes since the epoch are times enough.
    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(minute * 60, 0).unwrap()
    }

    fn job(name: &str, latest: Option<(i64, Standing)>, expected: Option<i64>) -> Upstream<'_> {
        Upstream {
            name,
            latest: latest.map(|(minute, standing)| SlotRun {
                scheduled_at: at(minute),
                standing,
            }),
            expected: expected.map(at),
        }
    }

    #[test]
    fn a_job_with_a_schedule_waits_for_what_is_due_or_runs() {
        use Standing::{Failed, Open, Succeeded};
        let users = |latest, expected| [job("users", latest, expected)];
        let (open, wait, skip) = (
            Gate::Open(at(330)),
            Gate::Wait(vec!["users"]),
            Gate::Skip(at(330), vec!["users"]),
        );
        // The slot is 330, the one before 30; users are due at 215.
        for (latest, expected, gate) in [
            (Some((215, Succeeded)), Some(215), &open),
            (Some((215, Open)), Some(215), &wait),
            (Some((215, Failed)), Some(215), &skip),
            // Due and not begun, with a night before that went well or did not.
            (None, Some(215), &wait),
            (Some((15, Succeeded)), Some(215), &wait),
            (Some((15, Failed)), Some(215), &wait),
            // Not due since the slot before: only what still runs is waited for.
            (None, Some(20), &open),
            (None, None, &open),
            (Some((20, Failed)), Some(20), &open),
            (Some((20, Open)), Some(20), &wait),
            // A later slot of theirs is as good.
            (Some((331, Succeeded)), Some(215), &open),
        ] {
            assert_eq!(
                &wait_for(at(330), Some(at(30)), &users(latest, expected)),
                gate,
                "{latest:?}"
            );
        }
        // The first slot ever looks back as far as it likes.
        assert_eq!(wait_for(at(330), None, &users(None, Some(20))), wait);
    }

    #[test]
    fn one_failure_skips_however_many_are_awaited() {
        let upstream = [
            job("users", Some((215, Standing::Open)), Some(215)),
            job("accounts", Some((245, Standing::Failed)), Some(245)),
        ];
        assert_eq!(
            wait_for(at(330), Some(at(30)), &upstream),
            Gate::Skip(at(330), vec!["accounts"])
        );
        assert_eq!(
            follow(at(30), &upstream),
            Gate::Skip(at(245), vec!["accounts"])
        );
    }

    #[test]
    fn a_job_without_a_schedule_follows_all_of_them() {
        use Standing::{Failed, Open, Succeeded};
        let day = 24 * 60;
        for (users, accounts, gate) in [
            (Some((215, Succeeded)), None, Gate::Wait(vec!["accounts"])),
            (
                Some((215, Succeeded)),
                Some((245, Open)),
                Gate::Wait(vec!["accounts"]),
            ),
            (
                Some((215, Succeeded)),
                Some((245, Succeeded)),
                Gate::Open(at(245)),
            ),
            (
                Some((215, Succeeded)),
                Some((245, Failed)),
                Gate::Skip(at(245), vec!["accounts"]),
            ),
            // An hourly one is some slots ahead.
            (
                Some((480, Succeeded)),
                Some((245, Succeeded)),
                Gate::Open(at(480)),
            ),
            (None, None, Gate::Wait(vec!["users", "accounts"])),
        ] {
            let upstream = [job("users", users, None), job("accounts", accounts, None)];
            assert_eq!(follow(at(0), &upstream), gate);
        }
        // It has run for 245, and the next day only one of them has.
        let upstream = [
            job("users", Some((day + 215, Succeeded)), None),
            job("accounts", Some((245, Succeeded)), None),
        ];
        assert_eq!(follow(at(245), &upstream), Gate::Wait(vec!["accounts"]));
    }

    #[test]
    fn a_skipped_slot_is_skipped_once() {
        let upstream = [job("users", Some((215, Standing::Failed)), None)];
        assert_eq!(follow(at(0), &upstream), Gate::Skip(at(215), vec!["users"]));
        assert_eq!(follow(at(215), &upstream), Gate::Wait(vec!["users"]));
    }
}
