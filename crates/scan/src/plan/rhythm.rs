//! How registrations are spread over the hours of a day and the days of a week.
//!
//! Of a large tenant a window holds hours or minutes, and the one before it says little about it: a
//! night follows an evening. So windows are measured on a clock that runs as people register,
//! faster in the evening than at night. It begins like any other clock, and each answer corrects it
//! that tells how many registered in a few days or less.

use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc};

use super::seconds;
use crate::window::Window;

const HOURS: usize = 24;
const DAYS: usize = 7;
const WEEK: usize = HOURS * DAYS;

/// Seconds of an hour.
const HOUR: i64 = 3_600;

/// How far one window moves the hours it covers: little, since each is also a draw, and the hours
/// of a week come back hundreds of times.
const LEARNS: f64 = 0.2;

/// Windows longer than this say next to nothing about hours, and little about days.
const WIDEST: TimeDelta = TimeDelta::days(4);

/// One window is a campaign, or an outage, where it holds so much less or more than was expected.
const STEPS: (f64, f64) = (0.6, 1.6);

/// The shares of the quietest hour or day there may be and of the busiest, of an average one: the
/// clock never stops.
const QUIETEST: f64 = 0.02;
const BUSIEST: f64 = 20.0;

/// A clock that runs as people register. A second of it is one in which as many register as on
/// average.
#[derive(Debug)]
pub(super) struct Rhythm {
    /// How many register in each hour of a day, by UTC, where the mean is one.
    hours: [f64; HOURS],
    /// The same for each day of a week, from Monday.
    days: [f64; DAYS],
    /// What the clock shows at the end of each hour of a week that begins as the epoch did, on a
    /// Thursday.
    reached: [f64; WEEK],
}

impl Default for Rhythm {
    fn default() -> Self {
        let mut rhythm = Self {
            hours: [1.0; HOURS],
            days: [1.0; DAYS],
            reached: [0.0; WEEK],
        };
        rhythm.add_up();
        rhythm
    }
}

impl Rhythm {
    /// How many of its seconds are between two instants; negative if the second is the earlier one.
    pub(super) fn between(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> f64 {
        self.shows(until) - self.shows(from)
    }

    /// The instant so many of its seconds later, or earlier if they are negative.
    pub(super) fn after(&self, at: DateTime<Utc>, seconds: f64) -> DateTime<Utc> {
        let shows = self.shows(at) + seconds;
        let weeks = (shows / self.week()).floor();
        let rest = shows - weeks * self.week();
        let hour = self.reached.partition_point(|reached| *reached <= rest);
        let hour = hour.min(WEEK - 1);
        let began = self.begins(hour);
        let within = (rest - began) / (self.reached[hour] - began);
        let hours = weeks * WEEK as f64 + hour as f64 + within;
        DateTime::from_timestamp((hours * HOUR as f64).round() as i64, 0).unwrap_or(at)
    }

    /// Learns that a window holds so many times the people that were expected in it.
    pub(super) fn learn(&mut self, window: Window, times: f64) {
        let (Some(from), Some(until)) = (window.from, window.until) else {
            return;
        };
        if until.signed_duration_since(from) > WIDEST {
            return;
        }
        let (least, most) = STEPS;
        let times = times.clamp(least, most);
        let (mut hours, mut days) = ([0.0; HOURS], [0.0; DAYS]);
        let mut at = from;
        while at < until {
            let left = HOUR - at.timestamp().rem_euclid(HOUR);
            let next = DateTime::from_timestamp(at.timestamp() + left, 0);
            let next = next.map_or(until, |next| next.min(until));
            let passed = seconds(next.signed_duration_since(at));
            hours[at.hour() as usize] += passed;
            days[at.weekday().num_days_from_monday() as usize] += passed;
            at = next;
        }
        correct(&mut self.hours, &hours, times, HOUR as f64);
        correct(&mut self.days, &days, times, (HOUR * HOURS as i64) as f64);
        self.add_up();
    }

    /// What it shows; nothing at the epoch.
    fn shows(&self, at: DateTime<Utc>) -> f64 {
        let week = HOUR * WEEK as i64;
        let (weeks, rest) = (
            at.timestamp().div_euclid(week),
            at.timestamp().rem_euclid(week),
        );
        let (hour, within) = ((rest / HOUR) as usize, (rest % HOUR) as f64 / HOUR as f64);
        let began = self.begins(hour);
        weeks as f64 * self.week() + began + (self.reached[hour] - began) * within
    }

    /// What it shows after a week.
    fn week(&self) -> f64 {
        self.reached[WEEK - 1]
    }

    /// What it shows when an hour of the week begins.
    fn begins(&self, hour: usize) -> f64 {
        hour.checked_sub(1).map_or(0.0, |last| self.reached[last])
    }

    fn add_up(&mut self) {
        // The fourth day from Monday is a Thursday.
        let week = self.days.iter().cycle().skip(3);
        let hours = week.flat_map(|day| self.hours.map(|hour| day * hour * HOUR as f64));
        let mut shows = 0.0;
        for (reached, hour) in self.reached.iter_mut().zip(hours) {
            shows += hour;
            *reached = shows;
        }
    }
}

/// Moves the shares of the hours, or days, that a window covered for so many seconds towards what
/// it held: those most that it covered wholly, or more than once. `length` is what one of them
/// lasts. Their mean stays one.
fn correct<const N: usize>(shares: &mut [f64; N], covered: &[f64; N], times: f64, length: f64) {
    let whole = covered.iter().copied().fold(length, f64::max);
    for (share, covered) in shares.iter_mut().zip(covered) {
        *share = (*share * times.powf(LEARNS * covered / whole)).clamp(QUIETEST, BUSIEST);
    }
    let mean = shares.iter().sum::<f64>() / N as f64;
    for share in shares {
        *share /= mean;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    /// A Monday at midnight.
    const MONDAY: i64 = 1_704_067_200;

    /// Ten weeks of hours, of which those before six hold a tenth of the others, and the days of a
    /// weekend half of the others.
    fn taught() -> Rhythm {
        let mut rhythm = Rhythm::default();
        for hour in 0..24 * 70 {
            let held = if hour % 24 < 6 { 0.1 } else { 1.0 };
            let held = if hour / 24 % 7 > 4 { held * 0.5 } else { held };
            let window = Window {
                from: Some(at(MONDAY + hour * HOUR)),
                until: Some(at(MONDAY + (hour + 1) * HOUR)),
            };
            let expected = rhythm.between(at(MONDAY + hour * HOUR), at(MONDAY + (hour + 1) * HOUR));
            rhythm.learn(window, held * 4_000.0 / expected);
        }
        rhythm
    }

    #[test]
    fn it_begins_like_any_other_clock() {
        let rhythm = Rhythm::default();
        for (from, until) in [
            (0, 1),
            (MONDAY, MONDAY + 5_000_000),
            (-9_000_000, 77),
            (90, 17),
        ] {
            let between = rhythm.between(at(from), at(until));
            assert!((between - (until - from) as f64).abs() < 1e-3, "{between}");
            assert_eq!(rhythm.after(at(from), between), at(until));
        }
    }

    #[test]
    fn it_learns_the_night_and_the_weekend() {
        let rhythm = taught();
        let lasts = |from: i64, hours: i64| {
            rhythm.between(at(MONDAY + from * HOUR), at(MONDAY + (from + hours) * HOUR))
        };
        let night = lasts(1, 4) / lasts(9, 4);
        assert!((0.08..0.12).contains(&night), "{night}");
        let weekend = lasts(5 * 24, 48) / lasts(24, 48);
        assert!((0.4..0.6).contains(&weekend), "{weekend}");
    }

    #[test]
    fn back_and_forth_is_the_same_way() {
        let rhythm = taught();
        for from in [MONDAY + 40, MONDAY + 7 * HOUR + 11, -MONDAY] {
            for hours in [1, 13, 167, 168, 169, 90_000] {
                let until = at(from + hours * HOUR);
                let between = rhythm.between(at(from), until);
                assert!(between > 0.0);
                for (came, wanted) in [
                    (rhythm.after(at(from), between), until),
                    (rhythm.after(until, -between), at(from)),
                ] {
                    assert!(
                        (came - wanted).abs() <= TimeDelta::seconds(1),
                        "{came}, {wanted}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_it_cannot_learn_from_leaves_it_as_it_is() {
        let mut rhythm = Rhythm::default();
        let working_days = Window {
            from: Some(at(MONDAY)),
            until: Some(at(MONDAY + 5 * 24 * HOUR)),
        };
        let open = Window {
            until: None,
            ..working_days
        };
        for window in [Window::ALL, open, working_days] {
            rhythm.learn(window, 9.0);
            assert_eq!(rhythm.after(at(MONDAY), 7_200.0), at(MONDAY + 7_200));
        }
    }
}
