//! `every = "10m"`: slots at whole multiples of a duration since the Unix epoch.
//!
//! The epoch, and not the start of a daemon or the end of the last run: so several daemons name the
//! same slots without talking, and a restart moves none. Durations that divide a day fall on the
//! same times of each day in UTC. Clocks that change do not matter here.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// A period of at least a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Every(Duration);

/// Shorter periods would leave no time to look at what else is due.
const SHORTEST: Duration = Duration::from_secs(1);

/// Longer ones are no schedule; and they can be reckoned with.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3_600);

impl Every {
    /// A period; none if it is shorter than a second or longer than a year.
    pub fn new(period: Duration) -> Option<Self> {
        let period = Duration::from_millis(u64::try_from(period.as_millis()).ok()?);
        (SHORTEST..=LONGEST)
            .contains(&period)
            .then_some(Self(period))
    }

    /// The time between two slots.
    pub fn period(self) -> Duration {
        self.0
    }

    /// The first slot after this time.
    pub fn next(self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let period = i64::try_from(self.0.as_millis()).ok()?;
        let slots = after.timestamp_millis().div_euclid(period) + 1;
        DateTime::UNIX_EPOCH
            .checked_add_signed(TimeDelta::try_milliseconds(slots.checked_mul(period)?)?)
    }
}

impl std::fmt::Display for Every {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "every {}", humantime::format_duration(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    #[test]
    fn slots_are_counted_from_the_epoch() {
        let every = Every::new(Duration::from_secs(600)).unwrap();
        assert_eq!(
            every.next(at("2026-03-29T00:59:59.999Z")),
            Some(at("2026-03-29T01:00:00Z"))
        );
        assert_eq!(
            every.next(at("2026-03-29T01:00:00Z")),
            Some(at("2026-03-29T01:10:00Z"))
        );
        assert_eq!(
            every.next(at("1969-12-31T23:59:00Z")),
            Some(at("1970-01-01T00:00:00Z"))
        );
    }

    #[test]
    fn a_period_is_neither_nothing_nor_more_than_a_year() {
        for (period, fits) in [
            (Duration::ZERO, false),
            (Duration::from_millis(999), false),
            (Duration::from_secs(1), true),
            (LONGEST, true),
            (LONGEST + Duration::from_secs(1), false),
            (Duration::MAX, false),
        ] {
            assert_eq!(Every::new(period).is_some(), fits, "{period:?}");
        }
    }
}
