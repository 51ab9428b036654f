//! When people registered: a monotone function of their index, uneven the way real sites are, and
//! the text forms of time the API uses (contract section 3, "Timestamps seen").

use chrono::{DateTime, NaiveDate, NaiveDateTime};

use super::json;
use super::mix::{Purpose, draw, fraction};

/// 2017-03-01T00:00:00Z, before which nobody of the generated tenant registered.
pub const FIRST_REGISTRATION: u32 = 1_488_326_400;
/// 2025-07-01T00:00:00Z, after which only edits happen.
pub const LAST_REGISTRATION: u32 = 1_751_328_000;

/// After which no generated event happened: the end of the time line.
pub const LAST_EVENT: u32 = LAST_REGISTRATION;
/// Generated events happened in this many seconds before [`LAST_EVENT`]: 60 days.
pub const EVENTS_SPAN: u32 = 60 * 86_400;

const HOUR: u32 = 3600;
/// One marketing campaign this often on average, in hours.
const CAMPAIGN_EVERY: u64 = 1100;
/// People per thousand at each hour of the day: quiet nights, a busy evening.
const DAY_SHAPE: [f64; 24] = [
    12., 6., 3., 2., 2., 5., 14., 30., 48., 55., 52., 50., 60., 58., 50., 46., 45., 50., 60., 72.,
    80., 70., 45., 25.,
];

/// How many register in an hour, up to a factor: growth, time of day, weekday, campaigns.
fn intensity(seed: u64, hour: u32, hours: u32) -> f64 {
    let growth = 0.3 + 1.7 * f64::from(hour) / f64::from(hours);
    let weekday = if (hour / 24) % 7 >= 5 { 0.6 } else { 1.0 };
    let burst = if draw(seed, Purpose::Campaign, u64::from(hour)).is_multiple_of(CAMPAIGN_EVERY) {
        60.0
    } else {
        1.0
    };
    DAY_SHAPE[(hour % 24) as usize] * growth * weekday * burst
}

/// The registration second of each of `people` indices, never falling.
pub(super) fn registrations(seed: u64, people: u32) -> Vec<u32> {
    let hours = (LAST_REGISTRATION - FIRST_REGISTRATION) / HOUR;
    let mut reached = Vec::with_capacity(hours as usize + 1);
    let mut total = 0.0;
    reached.push(total);
    for hour in 0..hours {
        total += intensity(seed, hour, hours);
        reached.push(total);
    }
    let mut hour = 0usize;
    (0..people)
        .map(|index| {
            let place = f64::from(index) + fraction(seed, Purpose::Registered, u64::from(index));
            let target = place / f64::from(people) * total;
            while hour + 1 < hours as usize && reached[hour + 1] <= target {
                hour += 1;
            }
            let within = (target - reached[hour]) / (reached[hour + 1] - reached[hour]);
            let second = (within.clamp(0.0, 1.0) * f64::from(HOUR)) as u32;
            FIRST_REGISTRATION + hour as u32 * HOUR + second.min(HOUR - 1)
        })
        .collect()
}

/// Year, month and day of a count of days since 1970 (Howard Hinnant's `civil_from_days`).
fn civil(days: u32) -> (u64, u64, u64) {
    let z = u64::from(days) + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + u64::from(month <= 2), month, day)
}

/// Appends `2021-02-24`.
pub(super) fn date(out: &mut Vec<u8>, seconds: u32) {
    let (year, month, day) = civil(seconds / 86_400);
    json::padded(out, year, 4);
    out.push(b'-');
    json::padded(out, month, 2);
    out.push(b'-');
    json::padded(out, day, 2);
}

fn time_of_day(out: &mut Vec<u8>, seconds: u32) {
    let rest = u64::from(seconds % 86_400);
    json::padded(out, rest / 3600, 2);
    out.push(b':');
    json::padded(out, rest / 60 % 60, 2);
    out.push(b':');
    json::padded(out, rest % 60, 2);
}

/// Appends `2021-02-24T15:43:28Z`, the form of `registered`.
pub(super) fn instant(out: &mut Vec<u8>, seconds: u32) {
    date(out, seconds);
    out.push(b'T');
    time_of_day(out, seconds);
    out.push(b'Z');
}

/// Appends `2022-06-01 00:00:00`, the form of grant times.
pub(super) fn spaced(out: &mut Vec<u8>, seconds: u32) {
    date(out, seconds);
    out.push(b' ');
    time_of_day(out, seconds);
}

/// Appends `2021-02-24T15:43:28.123Z`, the form of events.
pub(super) fn instant_millis(out: &mut Vec<u8>, millis: u64) {
    let seconds = u32::try_from(millis / 1000).unwrap_or(u32::MAX);
    date(out, seconds);
    out.push(b'T');
    time_of_day(out, seconds);
    out.push(b'.');
    json::padded(out, millis % 1000, 3);
    out.push(b'Z');
}

/// Reads an ISO 8601 filter value as milliseconds since 1970; without a zone it is UTC, without a
/// time midnight.
pub(super) fn parse(text: &str) -> Option<i64> {
    if let Ok(zoned) = DateTime::parse_from_rfc3339(text) {
        return Some(zoned.timestamp_millis());
    }
    if let Ok(local) = text.parse::<NaiveDateTime>() {
        return Some(local.and_utc().timestamp_millis());
    }
    let day = text.parse::<NaiveDate>().ok()?;
    Some(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registrations_never_fall_and_are_uneven() {
        let times = registrations(5, 50_000);
        assert!(times.is_sorted());
        assert!(times[0] >= FIRST_REGISTRATION && times[49_999] < LAST_REGISTRATION);
        let mut by_hour = std::collections::BTreeMap::<u32, u32>::new();
        for time in &times {
            *by_hour.entry(time / HOUR).or_default() += 1;
        }
        assert!(by_hour.values().max().unwrap() > &50, "no campaign");
        let nights: u32 = by_hour
            .iter()
            .filter(|(h, _)| *h % 24 == 3)
            .map(|(_, n)| n)
            .sum();
        let evenings: u32 = by_hour
            .iter()
            .filter(|(h, _)| *h % 24 == 20)
            .map(|(_, n)| n)
            .sum();
        assert!(
            nights * 3 < evenings,
            "{nights} at night, {evenings} in the evening"
        );
    }

    #[test]
    fn instants_are_written_and_read_alike() {
        for seconds in [
            0,
            951_782_400,
            FIRST_REGISTRATION,
            1_614_181_408,
            LAST_REGISTRATION - 1,
        ] {
            let mut out = Vec::new();
            instant(&mut out, seconds);
            let text = String::from_utf8(out).unwrap();
            assert_eq!(parse(&text), Some(i64::from(seconds) * 1000), "{text}");
        }
        assert_eq!(
            parse("2021-02-24T15:43:28Z"),
            parse("2021-02-24T16:43:28+01:00")
        );
        assert_eq!(parse("2021-02-24"), parse("2021-02-24T00:00:00"));
        assert_eq!(parse("yesterday"), None);
    }
}
