//! What schedules do on the days on which clocks change. Times are UTC, so that nothing is hidden.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::America::New_York;
use chrono_tz::Europe::London;
use chrono_tz::Tz;

use super::{Crontab, Every, Schedule};

/// A day on which clocks change.
struct Change {
    zone: Tz,
    /// The instant of the change, in UTC.
    at: &'static str,
    /// The hour of the wall clock that is left out or comes twice.
    hour: u32,
}

/// `date` of the IANA database: last Sundays of March and October; second Sunday of March and first
/// of November.
const GAPS: [Change; 4] = [
    Change {
        zone: London,
        at: "2026-03-29T01:00:00Z",
        hour: 1,
    },
    Change {
        zone: London,
        at: "2027-03-28T01:00:00Z",
        hour: 1,
    },
    Change {
        zone: New_York,
        at: "2026-03-08T07:00:00Z",
        hour: 2,
    },
    Change {
        zone: New_York,
        at: "2027-03-14T07:00:00Z",
        hour: 2,
    },
];
const REPEATED: [Change; 4] = [
    Change {
        zone: London,
        at: "2026-10-25T01:00:00Z",
        hour: 1,
    },
    Change {
        zone: London,
        at: "2027-10-31T01:00:00Z",
        hour: 1,
    },
    Change {
        zone: New_York,
        at: "2026-11-01T06:00:00Z",
        hour: 1,
    },
    Change {
        zone: New_York,
        at: "2027-11-07T06:00:00Z",
        hour: 1,
    },
];

impl Change {
    fn instant(&self) -> DateTime<Utc> {
        self.at.parse().unwrap()
    }

    fn schedule(&self, line: &str) -> Schedule {
        Schedule::Cron(Crontab::parse(line, self.zone).unwrap())
    }

    /// Slots of that day and the days beside it, in minutes from the change, as far as they are
    /// within so many hours of it.
    fn minutes(&self, schedule: &Schedule, hours: i64) -> Vec<i64> {
        let around = TimeDelta::hours(hours);
        let before = self.instant() - around - TimeDelta::seconds(1);
        let slots = schedule.slots(before);
        slots
            .map(|slot| (slot - self.instant()).num_minutes())
            .take_while(|minutes| *minutes <= hours * 60)
            .collect()
    }
}

#[test]
fn the_table_is_right() {
    for (changes, forward) in [(GAPS, true), (REPEATED, false)] {
        for change in changes {
            let wall = |at: DateTime<Utc>| at.with_timezone(&change.zone).naive_local();
            let moved = wall(change.instant()) - wall(change.instant() - TimeDelta::seconds(1));
            let expected = if forward { 3_601 } else { -3_599 };
            assert_eq!(moved.num_seconds(), expected, "{}", change.at);
        }
    }
}

#[test]
fn a_daily_job_in_the_gap_runs_once_when_it_ends() {
    for change in GAPS {
        let hour = change.hour;
        for (line, expected) in [
            // Before the gap, at its first and its middle minute, at its end, after it: the day
            // before, the day, the day after.
            (format!("45 {} * * *", hour - 1), [-1_455, -15, 1_365]),
            (format!("0 {hour} * * *"), [-1_440, 0, 1_380]),
            (format!("30 {hour} * * *"), [-1_410, 0, 1_410]),
            (format!("0 {} * * *", hour + 1), [-1_380, 0, 1_440]),
            (format!("15 {} * * *", hour + 1), [-1_365, 15, 1_455]),
        ] {
            assert_eq!(
                change.minutes(&change.schedule(&line), 25),
                expected,
                "{line} {}",
                change.at
            );
        }
        // Two times of the day of which one is in the gap: croner alone leaves that out.
        let twice = change.schedule(&format!("30 {hour},{} * * *", hour + 12));
        assert_eq!(change.minutes(&twice, 12), [-690, 0, 690]);
        // All its times are in the gap: one run is enough.
        let quarters = change.schedule(&format!("*/15 {hour} * * *"));
        assert_eq!(change.minutes(&quarters, 12), [0]);
        // One of its times in the gap, the other where it ends.
        let both = change.schedule(&format!("0 {hour},{} * * *", hour + 1));
        assert_eq!(change.minutes(&both, 12), [0]);
    }
}

#[test]
fn a_daily_job_in_the_repeated_hour_runs_once_in_its_first_pass() {
    for change in REPEATED {
        let hour = change.hour;
        for (line, expected) in [
            (format!("45 {} * * *", hour - 1), [-1_515, -75, 1_425]),
            (format!("0 {hour} * * *"), [-1_500, -60, 1_440]),
            (format!("30 {hour} * * *"), [-1_470, -30, 1_470]),
            (format!("0 {} * * *", hour + 1), [-1_440, 60, 1_500]),
        ] {
            assert_eq!(
                change.minutes(&change.schedule(&line), 26),
                expected,
                "{line} {}",
                change.at
            );
        }
        let twice = change.schedule(&format!("30 {hour},{} * * *", hour + 12));
        assert_eq!(change.minutes(&twice, 13), [-690 - 60, -30, 750]);
        let quarters = change.schedule(&format!("*/15 {hour} * * *"));
        assert_eq!(change.minutes(&quarters, 12), [-60, -45, -30, -15]);
    }
}

#[test]
fn rhythms_go_on_by_real_hours_and_quarters() {
    for change in GAPS.iter().chain(&REPEATED) {
        for line in ["0 * * * *", "0 */1 * * *"] {
            assert_eq!(
                change.minutes(&change.schedule(line), 2),
                [-120, -60, 0, 60, 120]
            );
        }
        assert_eq!(
            change.minutes(&change.schedule("30 * * * *"), 2),
            [-90, -30, 30, 90]
        );
        assert_eq!(
            change.minutes(&change.schedule("*/15 * * * *"), 1),
            [-60, -45, -30, -15, 0, 15, 30, 45, 60]
        );
        let ten = Schedule::Every(Every::new(Duration::from_secs(600)).unwrap());
        assert_eq!(change.minutes(&ten, 0), [0]);
        assert_eq!(change.minutes(&ten, 1).len(), 13);
    }
}

#[test]
fn the_next_slot_is_the_same_from_each_moment_before_it() {
    for change in GAPS.iter().chain(&REPEATED) {
        for line in [
            "30 1 * * *",
            "30 2 * * *",
            "30 1,13 * * *",
            "0 * * * *",
            "*/15 * * * *",
            "0 */2 * * *",
        ] {
            let schedule = change.schedule(line);
            let start = change.instant() - TimeDelta::hours(4);
            let slots: Vec<_> = schedule.slots(start).take(40).collect();
            // Steps that fall on slots, between them and beside whole seconds.
            for step in 0..8 * 120 {
                let from = start + TimeDelta::milliseconds(step * 30_000 - step % 3);
                let expected = slots.iter().find(|slot| **slot > from && **slot > start);
                assert_eq!(schedule.next(from).as_ref(), expected, "{line} from {from}");
            }
        }
    }
}
