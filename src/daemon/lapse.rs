//! The time of schedules: Postgres's, as all daemons see it, or one that goes faster, to rehearse a
//! day of schedules in minutes.

use chrono::{DateTime, Utc};

use clock::time;

/// How fast the time of schedules goes.
#[derive(Debug, Clone, Copy)]
pub struct Lapse {
    times: u32,
    since: Option<DateTime<Utc>>,
}

impl Lapse {
    /// So many times as fast as Postgres's clock, from the first look at it on.
    pub fn times(times: u32) -> Self {
        Self { times, since: None }
    }

    /// What it is by the time of schedules.
    pub(super) fn at(&mut self, now: DateTime<Utc>) -> DateTime<Utc> {
        let since = *self.since.get_or_insert(now);
        let times = i32::try_from(self.times).unwrap_or(i32::MAX);
        let passed = now.signed_duration_since(since).checked_mul(times);
        passed.map_or(now, |passed| time::after(since, passed))
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_day_goes_by_in_minutes() {
        let start = DateTime::UNIX_EPOCH;
        let mut lapse = Lapse::times(240);
        assert_eq!(lapse.at(start), start);
        assert_eq!(
            lapse.at(start + TimeDelta::minutes(6)),
            start + TimeDelta::days(1)
        );
        let mut real = Lapse::times(1);
        assert_eq!(real.at(start), start);
        let later = start + TimeDelta::milliseconds(1_234);
        assert_eq!(real.at(later), later);
    }
}
