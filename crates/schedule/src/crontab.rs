//! Crontab lines in a time zone, through the days on which its clocks change.
//!
//! croner tells fixed times from intervals, but takes a line for fixed only if it names a single
//! minute and a single hour: `30 1,13 * * *` would then be left out on one day of the year and run
//! twice on another. So croner is asked for wall clock times only, and what they mean is decided
//! here:
//!
//! - A line that names its hours (`15 2 * * *`, `0 1,13 * * *`, `*/15 2 * * *`) means times of the
//!   day, each once a day. In a repeated hour the first pass counts. What lies in a gap runs when
//!   the gap ends, once, however many times it held.
//! - A line with `*` or `*/n` for the hour (`0 * * * *`, `*/15 * * * *`) means a rhythm: whenever
//!   the wall clock matches, so in both passes of a repeated hour, and not for what the clock
//!   leaves out. Hours and quarters stay a real hour and a real quarter apart.

use std::str::FromStr;

use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::{GapInfo, Tz};
use croner::Cron;

/// A crontab line of five fields, Monday = 1, in a time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crontab {
    cron: Box<Cron>,
    line: String,
    zone: Tz,
    hours: Hours,
}

/// What the second field says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hours {
    /// Some of them: times of the day.
    Named,
    /// `*`, perhaps with a step: a rhythm.
    Any,
}

impl Crontab {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(line: &str, zone: Tz) -> Result<Self, String> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, hour, _, _, _] = fields[..] else {
            return Err(format!(
                "schedule = \"{line}\" does not have the five fields of a crontab line: minute, hour, day of month, month, day of week"
            ));
        };
        let cron =
            Cron::from_str(line).map_err(|error| format!("schedule = \"{line}\": {error}"))?;
        let crontab = Self {
            cron: Box::new(cron),
            hours: if hour.starts_with(['*', '?']) {
                Hours::Any
            } else {
                Hours::Named
            },
            line: fields.join(" "),
            zone,
        };
        if crontab.next(DateTime::UNIX_EPOCH).is_none() {
            return Err(format!(
                "schedule = \"{line}\" names a day that never comes"
            ));
        }
        Ok(crontab)
    }

    /// The line.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// Whose clock counts.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// The first slot after this time.
    pub fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self.hours {
            Hours::Named => self.next_time_of_day(after),
            Hours::Any => self.next_of_rhythm(after),
        }
    }

    fn next_on_the_wall(&self, local: NaiveDateTime, inclusive: bool) -> Option<NaiveDateTime> {
        self.cron.find_next_occurrence(&local, inclusive).ok()
    }

    /// A later wall clock time is never an earlier instant here, so the first that lies ahead is
    /// the next. Times in one gap all become its end, and only the first of them lies ahead.
    fn next_time_of_day(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut wall = after.with_timezone(&self.zone).naive_local();
        loop {
            wall = self.next_on_the_wall(wall, false)?;
            let instant = match self.zone.from_local_datetime(&wall) {
                LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => instant,
                LocalResult::None => GapInfo::new(&wall, &self.zone)?.end?,
            };
            if instant > after {
                return Some(instant.to_utc());
            }
        }
    }

    /// Walks in the present distance from UTC as long as that holds, and on from the instant at
    /// which it changes.
    fn next_of_rhythm(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut from = after;
        let mut inclusive = false;
        loop {
            let distance = TimeDelta::seconds(self.distance(from).into());
            let wall =
                self.next_on_the_wall(from.naive_utc().checked_add_signed(distance)?, inclusive)?;
            let instant = wall.checked_sub_signed(distance)?.and_utc();
            match self.first_change(from, instant) {
                None => return Some(instant),
                Some(change) => {
                    from = change;
                    inclusive = true;
                }
            }
        }
    }

    /// Seconds that the zone's clocks are ahead of UTC.
    fn distance(&self, at: DateTime<Utc>) -> i32 {
        self.zone
            .offset_from_utc_datetime(&at.naive_utc())
            .fix()
            .local_minus_utc()
    }

    /// The first second after the one time and not after the other at which the clocks no longer
    /// are where they were. No zone changes twice within a day.
    fn first_change(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let before = self.distance(from);
        let mut same = from.timestamp();
        let last = until.timestamp();
        let distance =
            |second: i64| DateTime::from_timestamp(second, 0).map(|at| self.distance(at));
        while same < last {
            let mut other = last.min(same + 24 * 3_600);
            if distance(other)? == before {
                same = other;
                continue;
            }
            while other - same > 1 {
                let middle = same + (other - same) / 2;
                if distance(middle)? == before {
                    same = middle;
                } else {
                    other = middle;
                }
            }
            return DateTime::from_timestamp(other, 0);
        }
        None
    }
}

impl std::fmt::Display for Crontab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.line, self.zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_cannot_be_followed_says_why() {
        for (line, part) in [
            ("15 2 * *", "five fields"),
            ("0 15 2 * * *", "five fields"),
            ("@daily", "five fields"),
            ("61 2 * * *", "61 2"),
            ("0 2 30 2 *", "never comes"),
        ] {
            let error = Crontab::parse(line, Tz::UTC).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn monday_is_one_and_sunday_both_nought_and_seven() {
        let weekday = |line| {
            let crontab = Crontab::parse(line, Tz::UTC).unwrap();
            let next = crontab.next(DateTime::UNIX_EPOCH).unwrap();
            next.format("%a").to_string()
        };
        assert_eq!(weekday("0 0 * * 1"), "Mon");
        assert_eq!(weekday("0 0 * * 0"), "Sun");
        assert_eq!(weekday("0 0 * * 7"), "Sun");
    }
}
