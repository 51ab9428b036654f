//! The timestamps of the API, in every form that can mean one thing only: the one reader of them,
//! for JSON and CSV alike.
//!
//! Contract section 3 lists the forms that are known, and section 15 one more. Others of the same
//! family are read too: what writes them is not ours, and may be another program tomorrow. What
//! could mean two things is not guessed: it does not fit, and is said so.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Utc};
use serde_json::value::RawValue;

use super::json::{self, Kind};
use clock::time;

/// A timestamp that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// The instant.
    pub at: DateTime<Utc>,
    /// Whether it came as a number: seconds or milliseconds since 1970.
    pub from_number: bool,
}

/// Reads a value that should be a timestamp. None when it is in no known form, or outside what
/// Postgres can hold.
pub fn read(raw: &RawValue) -> Option<Read> {
    match json::kind(raw) {
        Kind::Text => read_text(&json::text(raw)?.text),
        Kind::Number => number(raw.get()),
        Kind::Object | Kind::Array | Kind::Boolean | Kind::Null => None,
    }
}

/// As [`read`], what is written as text.
pub fn read_text(text: &str) -> Option<Read> {
    let written = parse(text).map(|at| Read {
        at,
        from_number: false,
    });
    written.or_else(|| number(text.trim()))
}

/// Reads a timestamp that is written as a date and a time.
pub fn parse(text: &str) -> Option<DateTime<Utc>> {
    // Nearly all of them come in this form.
    let parsed = match DateTime::parse_from_rfc3339(text) {
        Ok(at) => at.to_utc(),
        Err(_) => in_other_forms(text.trim())?,
    };
    // Four-digit years are what every form writes; a longer one is a mistake, and Postgres ends at
    // 294276.
    (0..=9999).contains(&parsed.year()).then_some(parsed)
}

/// Milliseconds in a second.
const MILLIS: i64 = 1_000;

/// Digits before the point in seconds since 1970, for instants from 1973 to 2286, and in
/// milliseconds, from 2001 to 2286: read as the other they would be in the first months of 1970, or
/// after the year 30000. So there is no doubt. Twelve digits may be a date and a time without
/// anything between them.
const DIGITS_OF_SECONDS: std::ops::RangeInclusive<usize> = 9..=10;
const DIGITS_OF_MILLIS: usize = 13;

/// Digits behind the point that are looked at: nanoseconds.
const MOST_DECIMALS: usize = 9;

/// Seconds or milliseconds since 1970, with or without decimals.
fn number(text: &str) -> Option<Read> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(decimals) {
        return None;
    }
    let value: i64 = whole.parse().ok()?;
    let at = if DIGITS_OF_SECONDS.contains(&whole.len()) {
        DateTime::from_timestamp(value, nanos(decimals)?)?
    } else if whole.len() == DIGITS_OF_MILLIS {
        let rest = i64::from(nanos(decimals)?) / MILLIS.pow(2);
        DateTime::from_timestamp_millis(value)?.checked_add_signed(TimeDelta::nanoseconds(rest))?
    } else {
        return None;
    };
    Some(Read {
        at,
        from_number: true,
    })
}

/// What decimals of a second come to; what is finer than a nanosecond is cut off.
fn nanos(decimals: &str) -> Option<u32> {
    if !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let kept = &decimals[..decimals.len().min(MOST_DECIMALS)];
    format!("{kept:0<MOST_DECIMALS$}").parse().ok()
}

/// A day and a time of day with a `T` or blanks between them, and then the zone, if any: `Z`,
/// `UTC`, `GMT`, or by how much it is ahead. Without a zone it means UTC as far as anyone can tell
/// (contract section 3).
fn in_other_forms(text: &str) -> Option<DateTime<Utc>> {
    // Java writes the zone's name behind how much it is ahead:
    // 2021-02-24T16:43:28+01:00[Europe/Paris]
    let text = match text.strip_suffix(']').and_then(|text| text.split_once('[')) {
        Some((stamp, _)) => stamp,
        None => text,
    };
    dated(text).or_else(|| {
        // Wed, 24 Feb 2021 15:43:28 GMT
        DateTime::parse_from_rfc2822(text)
            .ok()
            .map(|at| at.to_utc())
    })
}

fn dated(text: &str) -> Option<DateTime<Utc>> {
    let (day, rest) = text.split_at_checked(10)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?.trim_start();
    let end = rest
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, ':' | '.' | ',')))
        .unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(end);
    let ahead = ahead(zone.trim())?;
    let local = day_of(day)?.and_time(time_of(clock)?).and_utc();
    Some(time::before(local, ahead))
}

/// 2021-02-24
fn day_of(text: &str) -> Option<NaiveDate> {
    let [a, b, c, d, b'-', e, f, b'-', g, h] = *text.as_bytes() else {
        return None;
    };
    let year = i32::try_from(digits(&[a, b, c, d])?).ok()?;
    NaiveDate::from_ymd_opt(year, digits(&[e, f])?, digits(&[g, h])?)
}

/// 15:43, 15:43:28 or 15:43:28.123
fn time_of(text: &str) -> Option<NaiveTime> {
    let (clock, decimals) = match text.split_once(['.', ',']) {
        Some((_, "")) => return None,
        Some((clock, decimals)) => (clock, Some(decimals)),
        None => (text, None),
    };
    let (hour, minute, second) = match *clock.as_bytes() {
        [a, b, b':', c, d] if decimals.is_none() => (digits(&[a, b])?, digits(&[c, d])?, 0),
        [a, b, b':', c, d, b':', e, f] => (digits(&[a, b])?, digits(&[c, d])?, digits(&[e, f])?),
        _ => return None,
    };
    NaiveTime::from_hms_nano_opt(hour, minute, second, nanos(decimals.unwrap_or(""))?)
}

/// Minutes in an hour.
const HOUR: i64 = 60;

/// By how much a zone is ahead of UTC: `+01:00`, `+0100` or `+01`, up to the fifteen hours that
/// Postgres reads.
fn ahead(zone: &str) -> Option<TimeDelta> {
    let (hours, minutes) = match *zone.as_bytes() {
        // Of sessions: `2018-11-15 14:29 PM UTC`. The hour counts to 24, and what follows it says
        // nothing more.
        [] | [b'Z' | b'z'] => return Some(TimeDelta::zero()),
        _ if is_utc(
            zone.strip_prefix("AM ")
                .or(zone.strip_prefix("PM "))
                .unwrap_or(zone),
        ) =>
        {
            return Some(TimeDelta::zero());
        }
        [b'+' | b'-', a, b] => (digits(&[a, b])?, 0),
        [b'+' | b'-', a, b, c, d] | [b'+' | b'-', a, b, b':', c, d] => {
            (digits(&[a, b])?, digits(&[c, d])?)
        }
        _ => return None,
    };
    if hours > 15 || minutes > 59 {
        return None;
    }
    let ahead = i64::from(hours) * HOUR + i64::from(minutes);
    TimeDelta::try_minutes(if zone.starts_with('-') { -ahead } else { ahead })
}

fn is_utc(name: &str) -> bool {
    ["UTC", "GMT"]
        .iter()
        .any(|utc| name.eq_ignore_ascii_case(utc))
}

/// The number that a few digits say.
fn digits(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + u32::from(digit - b'0'))
    })
}

/// The form the export uses and its filters take: whole seconds, `Z`.
pub fn format(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_can_mean_one_thing_only_is_read() {
        for text in [
            "2021-02-24T15:43:28Z",
            "2021-02-24t15:43:28z",
            "2021-02-24 15:43:28Z",
            "2021-02-24T15:43:28.000+00:00",
            "2021-02-24T15:43:28.123456789123Z",
            "2021-02-24T15:43:28,5Z",
            "2021-02-24T16:43:28+01:00",
            "2021-02-24T16:43:28.000+0100",
            "2021-02-24T15:43:28+0000",
            "2021-02-24T15:43:28+00",
            "2021-02-24T15:43:28-00",
            "2021-02-24 08:43:28 -0700",
            "2021-02-24 08:43:28.000000000 -07:00",
            "2021-02-24  15:43:28  UTC",
            "2021-02-24 15:43:28 GMT",
            "2021-02-24 15:43:28",
            "2021-02-24T15:43:28.000",
            " 2021-02-24T15:43:28Z ",
            "2021-02-24T15:43:28Z[UTC]",
            "2021-02-24T16:43:28+01:00[Europe/Paris]",
            "Wed, 24 Feb 2021 15:43:28 GMT",
            "Wed, 24 Feb 2021 15:43:28 +0000",
            "1614181408",
            "1614181408.25",
            "1614181408000",
            " 1614181408999 ",
        ] {
            let read = read_text(text).map(|read| format(read.at));
            assert_eq!(read.as_deref(), Some("2021-02-24T15:43:28Z"), "{text}");
        }
    }

    #[test]
    fn the_documented_odd_forms_are_read() {
        for (text, meant) in [
            ("2018-11-15 14:29 PM UTC", "2018-11-15T14:29:00Z"),
            ("2018-11-15 09:29 AM UTC", "2018-11-15T09:29:00Z"),
            (
                "2022-05-31 17:00:00.000000000 -07:00",
                "2022-06-01T00:00:00Z",
            ),
        ] {
            assert_eq!(parse(text).map(format).as_deref(), Some(meant), "{text}");
        }
    }

    #[test]
    fn numbers_are_read_where_they_leave_no_doubt_and_are_told_apart() {
        let read = |text: &str| {
            let raw: &RawValue = serde_json::from_str(text).unwrap();
            let read = read(raw)?;
            Some((read.at.timestamp_millis(), read.from_number))
        };
        assert_eq!(read("1542292140"), Some((1_542_292_140_000, true)));
        assert_eq!(read("1542292140123"), Some((1_542_292_140_123, true)));
        assert_eq!(read("1542292140.5"), Some((1_542_292_140_500, true)));
        assert_eq!(read("\"1542292140\""), Some((1_542_292_140_000, true)));
        assert_eq!(read("\"1970-01-01T00:00:01Z\""), Some((1_000, false)));
        for text in [
            "0",
            "-1542292140",
            "20210224",
            "202102241543",
            "20210224154328",
            "1542292140123456",
            "99999999999999999999",
            "1.542292140e9",
            "true",
            "null",
            "[1542292140]",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn anything_else_is_not_guessed() {
        for text in [
            "yesterday",
            "",
            "2021-02-24",
            "24/02/2021 10:00",
            "+12021-02-24T15:43:28Z",
            "2021-02-24T25:00:00Z",
            "2021-02-30T15:43:28Z",
            "2021-02-24T15:43:28+01:60",
            "2021-02-24T15:43:28 EST",
            "2021-02-24T15:43:28.Z",
            "2021-02-24 03:43 PM",
            "2021-02-24 15:43:28 UTC extra",
            "2021-02-24T15:43:28é",
            "２０２１-02-24T15:43:28Z",
        ] {
            assert_eq!(read_text(text), None, "{text}");
        }
    }
}
