//! Arithmetic on times that cannot fail. Times come from headers, answers, settings and the
//! database, and whatever they say, beyond the end of a type is its end: the operators of these
//! types panic there, and a panic ends the process with all its tenants. So the operators are
//! refused by the lint `clippy::arithmetic_side_effects`, and this is what there is instead.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

/// As far ahead as anything is waited for: thirty years, which every clock can hold.
const FAR: Duration = Duration::from_secs(30 * 366 * 24 * 60 * 60);

/// A moment so much later.
pub fn later(from: Instant, by: Duration) -> Instant {
    let far = || from.checked_add(FAR);
    from.checked_add(by).or_else(far).unwrap_or(from)
}

/// So many seconds; none for what is no time, as -1 and NaN, and the longest for what is too long.
pub fn seconds(seconds: f64) -> Duration {
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) => time,
        Err(_) if seconds > 0.0 => Duration::MAX,
        Err(_) => Duration::ZERO,
    }
}

/// So many times as long.
pub fn times(time: Duration, factor: u32) -> Duration {
    time.saturating_mul(factor)
}

/// A time as something that may be negative.
pub fn signed(time: Duration) -> TimeDelta {
    TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX)
}

/// An instant so much later.
pub fn after(at: DateTime<Utc>, by: TimeDelta) -> DateTime<Utc> {
    at.checked_add_signed(by)
        .unwrap_or(match by < TimeDelta::zero() {
            true => DateTime::<Utc>::MIN_UTC,
            false => DateTime::<Utc>::MAX_UTC,
        })
}

/// An instant so much earlier.
pub fn before(at: DateTime<Utc>, by: TimeDelta) -> DateTime<Utc> {
    at.checked_sub_signed(by)
        .unwrap_or(match by < TimeDelta::zero() {
            true => DateTime::<Utc>::MAX_UTC,
            false => DateTime::<Utc>::MIN_UTC,
        })
}

/// The instant between two of them.
pub fn middle(from: DateTime<Utc>, until: DateTime<Utc>) -> DateTime<Utc> {
    let half = until.signed_duration_since(from).checked_div(2);
    after(from, half.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_end_is_the_end() {
        let now = Instant::now();
        assert!(later(now, Duration::MAX) > now);
        assert_eq!(seconds(1.5), Duration::from_millis(1_500));
        assert_eq!(seconds(f64::MAX), Duration::MAX);
        assert_eq!(seconds(f64::INFINITY), Duration::MAX);
        assert_eq!(seconds(f64::NAN), Duration::ZERO);
        assert_eq!(seconds(-1.0), Duration::ZERO);
        assert_eq!(times(Duration::MAX, 2), Duration::MAX);
        assert_eq!(signed(Duration::MAX), TimeDelta::MAX);
        let (start, end) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
        assert!((start..end).contains(&middle(start, end)));
        for by in [TimeDelta::MAX, TimeDelta::MIN] {
            let (end, start) = (DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC);
            let positive = by > TimeDelta::zero();
            assert_eq!(
                after(DateTime::UNIX_EPOCH, by),
                if positive { end } else { start }
            );
            assert_eq!(
                before(DateTime::UNIX_EPOCH, by),
                if positive { start } else { end }
            );
        }
    }
}
