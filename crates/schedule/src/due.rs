//! What a daemon does about a job now.
//!
//! Rules, and why:
//!
//! - Of several slots that have come the latest is run, once; the others are passed over. A mirror
//!   that was read now is not read again for an hour ago.
//! - What was started is not started again, whatever the clock says: only slots after the last one
//!   count. A clock that jumps back makes a job wait until it is where it was.
//! - A job that is new, or whose schedule reads differently than before, starts with the first slot
//!   after that was first seen: nobody waits for the others.
//! - Slots that came while no daemon was there are missed; `missed` says what follows. A slot that
//!   came while one was there, but busy, was not missed.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Schedule, Spread};
use clock::time;

/// Slots are whole seconds.
const SECOND: TimeDelta = TimeDelta::seconds(1);

/// What a daemon does on its return about slots that came while none was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missed {
    /// Runs the latest of them, once.
    #[default]
    Once,
    /// Waits for the next.
    Skip,
}

/// A time of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Which: the run's `scheduled_at`, on which all daemons agree.
    pub scheduled_at: DateTime<Utc>,
    /// When its run starts: later by what `spread` says.
    pub start_at: DateTime<Utc>,
}

/// What is known of a job before now. All times are Postgres's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// The latest slot that a run was started for, or that was settled without one: passed over, or
    /// skipped for a dependency.
    ///
    /// Read it with `scheduled_at <= now() + interval '1 day'`: a run from when a clock was years
    /// ahead would otherwise keep the job waiting for years.
    pub last: Option<DateTime<Utc>>,
    /// When a daemon first saw the job with this schedule, by the `Display` of [`Schedule`].
    /// Stored, and set anew when that text changes: a daemon that took the time of its own start
    /// would never know of the slots it missed before the first run.
    pub known_since: DateTime<Utc>,
    /// Since when a daemon has been there: its start, or when it woke after its machine had slept.
    pub watched_since: DateTime<Utc>,
}

/// Slots that came and are not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// The first of them.
    pub first: DateTime<Utc>,
    /// The last of them.
    pub last: DateTime<Utc>,
    /// How many; counted up to a thousand.
    pub count: usize,
}

/// More are not counted: nobody asks how many minutes a year has.
const COUNTED: usize = 1_000;

/// What follows for a job now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing until the next slot starts; none means never.
    Wait {
        /// That slot.
        next: Option<Slot>,
        /// Slots that were missed and are not made up for. Whoever has said so hands the last of
        /// them in as [`History::last`] from then on.
        passed: Option<Passed>,
    },
    /// A run of this slot, as soon as its dependencies allow it.
    Run {
        /// The slot.
        slot: Slot,
        /// Slots before it that came and are not run.
        passed: Option<Passed>,
    },
}

/// A job's schedule with what else decides about it.
#[derive(Debug, Clone, Copy)]
pub struct Timetable<'a> {
    /// Its slots.
    pub schedule: &'a Schedule,
    /// How much later they start.
    pub spread: Spread<'a>,
    /// What happens about those that came while no daemon was there.
    pub missed: Missed,
}

impl Timetable<'_> {
    /// What follows now.
    pub fn due(&self, history: &History, now: DateTime<Utc>) -> Due {
        let floor = history
            .last
            .map_or(history.known_since, |last| last.max(history.known_since));
        let Some(slot) = self.latest_started(floor, now) else {
            return Due::Wait {
                next: self
                    .next(floor.max(now))
                    .map(|next| self.earlier(floor, now, next)),
                passed: None,
            };
        };
        let missed = slot.start_at < history.watched_since;
        match self.missed {
            Missed::Skip if missed => Due::Wait {
                next: self.next(slot.scheduled_at),
                passed: self.passed(floor, slot.scheduled_at),
            },
            Missed::Skip | Missed::Once => Due::Run {
                slot,
                passed: self.passed(floor, time::before(slot.scheduled_at, SECOND)),
            },
        }
    }

    /// The slots after the one time and not after the other.
    pub fn slots(
        &self,
        after: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> impl Iterator<Item = Slot> + '_ {
        self.schedule
            .slots(after)
            .take_while(move |slot| *slot <= until)
            .map(|slot| self.slot(slot))
    }

    fn slot(&self, scheduled_at: DateTime<Utc>) -> Slot {
        Slot {
            scheduled_at,
            start_at: self.spread.start(self.schedule, scheduled_at),
        }
    }

    fn next(&self, after: DateTime<Utc>) -> Option<Slot> {
        self.schedule.next(after).map(|slot| self.slot(slot))
    }

    /// The latest slot after the floor whose start has come. No slot starts after the next one has
    /// come, so that is the latest or the one before.
    fn latest_started(&self, floor: DateTime<Utc>, now: DateTime<Utc>) -> Option<Slot> {
        let latest = self.slot(self.schedule.latest(floor, now)?);
        if latest.start_at <= now {
            return Some(latest);
        }
        let before = time::before(latest.scheduled_at, SECOND);
        self.schedule
            .latest(floor, before)
            .map(|slot| self.slot(slot))
    }

    /// A slot that has come and whose start has not is nearer than the next one.
    fn earlier(&self, floor: DateTime<Utc>, now: DateTime<Utc>, next: Slot) -> Slot {
        self.schedule
            .latest(floor, now)
            .map_or(next, |slot| self.slot(slot))
    }

    fn passed(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> Option<Passed> {
        Some(Passed {
            first: self.schedule.next(after).filter(|first| *first <= until)?,
            last: self.schedule.latest(after, until)?,
            count: self.slots(after, until).take(COUNTED).count(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Crontab, Every};

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(&format!("2026-{text}Z"))
            .unwrap()
            .to_utc()
    }

    fn nightly() -> Schedule {
        Schedule::Cron(Crontab::parse("15 2 * * *", chrono_tz::Tz::UTC).unwrap())
    }

    fn timetable(schedule: &Schedule, missed: Missed) -> Timetable<'_> {
        Timetable {
            schedule,
            spread: Spread {
                schema: "zephr",
                job: "users",
                longest: Duration::ZERO,
            },
            missed,
        }
    }

    fn history(last: Option<&str>, known_since: &str, watched_since: &str) -> History {
        History {
            last: last.map(at),
            known_since: at(known_since),
            watched_since: at(watched_since),
        }
    }

    /// The answer in short: the slot, and how many were passed over.
    fn said(due: Due) -> String {
        let time = |slot: Option<Slot>| {
            slot.map_or("never".into(), |slot| {
                slot.scheduled_at.format("%m-%dT%H:%M").to_string()
            })
        };
        let count = |passed: Option<Passed>| passed.map_or(0, |passed| passed.count);
        match due {
            Due::Wait { next, passed } => format!("wait {} passed {}", time(next), count(passed)),
            Due::Run { slot, passed } => {
                format!("run {} passed {}", time(Some(slot)), count(passed))
            }
        }
    }

    #[test]
    fn what_follows_is_a_matter_of_what_ran_and_who_watched() {
        let schedule = nightly();
        let (known, watched) = ("03-01T12:00:00", "03-09T12:00:00");
        for (last, known, watched, now, once, skip) in [
            // On time, and a minute early.
            (
                Some("03-09T02:15:00"),
                known,
                watched,
                "03-10T02:15:00",
                "run 03-10T02:15 passed 0",
                "run 03-10T02:15 passed 0",
            ),
            (
                Some("03-09T02:15:00"),
                known,
                watched,
                "03-10T02:14:59",
                "wait 03-10T02:15 passed 0",
                "wait 03-10T02:15 passed 0",
            ),
            // It runs, or has run.
            (
                Some("03-10T02:15:00"),
                known,
                watched,
                "03-10T02:15:01",
                "wait 03-11T02:15 passed 0",
                "wait 03-11T02:15 passed 0",
            ),
            // New: not before its first slot, and nothing of the years before.
            (
                None,
                "03-09T12:00:00",
                watched,
                "03-09T13:00:00",
                "wait 03-10T02:15 passed 0",
                "wait 03-10T02:15 passed 0",
            ),
            (
                None,
                "03-09T12:00:00",
                watched,
                "03-10T02:16:00",
                "run 03-10T02:15 passed 0",
                "run 03-10T02:15 passed 0",
            ),
            // Nobody was there for three nights, with runs before and without.
            (
                Some("03-06T02:15:00"),
                known,
                watched,
                "03-09T12:00:01",
                "run 03-09T02:15 passed 2",
                "wait 03-10T02:15 passed 3",
            ),
            (
                None,
                "03-06T12:00:00",
                watched,
                "03-09T12:00:01",
                "run 03-09T02:15 passed 2",
                "wait 03-10T02:15 passed 3",
            ),
            // Somebody was there, and busy for three nights.
            (
                Some("03-09T02:15:00"),
                known,
                watched,
                "03-12T12:00:00",
                "run 03-12T02:15 passed 2",
                "run 03-12T02:15 passed 2",
            ),
            // The schedule is another since noon: what it would have been due for before was
            // promised to nobody.
            (
                Some("03-08T09:00:00"),
                "03-09T12:00:00",
                watched,
                "03-09T12:00:01",
                "wait 03-10T02:15 passed 0",
                "wait 03-10T02:15 passed 0",
            ),
            // The clock jumped back: over a slot that ran, and to before the last restart.
            (
                Some("03-10T02:15:00"),
                known,
                watched,
                "03-10T02:10:00",
                "wait 03-11T02:15 passed 0",
                "wait 03-11T02:15 passed 0",
            ),
            (
                Some("03-10T02:15:00"),
                known,
                watched,
                "03-01T00:00:00",
                "wait 03-11T02:15 passed 0",
                "wait 03-11T02:15 passed 0",
            ),
        ] {
            for (missed, expected) in [(Missed::Once, once), (Missed::Skip, skip)] {
                let due = timetable(&schedule, missed).due(&history(last, known, watched), at(now));
                assert_eq!(said(due), expected, "{missed:?}: last {last:?}, now {now}");
            }
        }
    }

    #[test]
    fn what_was_missed_is_said_once() {
        let schedule = nightly();
        let timetable = timetable(&schedule, Missed::Skip);
        let mut history = history(Some("03-06T02:15:00"), "03-01T12:00:00", "03-09T12:00:00");
        let Due::Wait {
            passed: Some(passed),
            ..
        } = timetable.due(&history, at("03-09T12:00:01"))
        else {
            panic!("nothing was missed");
        };
        assert_eq!(
            (passed.first, passed.last),
            (at("03-07T02:15:00"), at("03-09T02:15:00"))
        );
        history.last = Some(passed.last);
        assert_eq!(
            said(timetable.due(&history, at("03-09T12:00:02"))),
            "wait 03-10T02:15 passed 0"
        );
    }

    #[test]
    fn a_slot_waits_for_its_start() {
        let schedule = Schedule::Every(Every::new(Duration::from_secs(3_600)).unwrap());
        let mut timetable = timetable(&schedule, Missed::Once);
        timetable.spread.longest = Duration::from_secs(3_600);
        let start = timetable.next(at("03-09T09:59:00")).unwrap().start_at;
        assert!(start > at("03-09T10:01:00"), "{start}");
        let history = history(Some("03-09T09:00:00"), "03-01T00:00:00", "03-01T00:00:00");
        let before = timetable.due(&history, start - TimeDelta::seconds(1));
        assert_eq!(said(before), "wait 03-09T10:00 passed 0");
        assert_eq!(
            said(timetable.due(&history, start)),
            "run 03-09T10:00 passed 0"
        );
        // The slot of 11:00 has come and waits; that of 10:00 is the one to run.
        assert_eq!(
            said(timetable.due(&history, at("03-09T11:00:00"))),
            "run 03-09T10:00 passed 0"
        );
    }

    #[test]
    fn a_year_without_a_daemon_is_no_work() {
        let schedule = Schedule::Cron(Crontab::parse("* * * * *", chrono_tz::Tz::UTC).unwrap());
        let due = timetable(&schedule, Missed::Once).due(
            &history(Some("01-01T00:00:00"), "01-01T00:00:00", "12-01T00:00:00"),
            at("12-01T00:00:30"),
        );
        assert_eq!(said(due), "run 12-01T00:00 passed 1000");
    }
}
