//! The timestamps of the API, in the forms contract section 3 lists.

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};

/// Forms without a zone; they mean UTC as far as anyone can tell (contract section 3).
const ZONELESS: [&str; 2] = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"];

/// Reads a timestamp. None when it is in no known form, or outside what Postgres can hold.
pub fn parse(text: &str) -> Option<DateTime<Utc>> {
    let parsed = DateTime::parse_from_rfc3339(text)
        .map(|at| at.to_utc())
        .ok()
        .or_else(|| {
            ZONELESS
                .iter()
                .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
                .map(|at| at.and_utc())
        })
        .or_else(|| of_sessions(text))?;
    // Four-digit years are what every form above writes; a longer one is a mistake, and Postgres ends at 294276.
    use chrono::Datelike;
    (0..=9999).contains(&parsed.year()).then_some(parsed)
}

/// The form of sessions, `2018-11-15 14:29 PM UTC`: the hour counts to 24, and what follows it says nothing more.
fn of_sessions(text: &str) -> Option<DateTime<Utc>> {
    let text = text.strip_suffix(" UTC")?;
    let text = text.strip_suffix(" AM").or(text.strip_suffix(" PM"))?;
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M")
        .ok()
        .map(|at| at.and_utc())
}

/// Reads a number of milliseconds since 1970 (contract section 3: sessions and webhooks).
pub fn from_millis(text: &str) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(text.parse().ok()?)
        .filter(|at| at.timestamp() < SECONDS_TO_10000)
}

/// 1 January 10000, in seconds since 1970: as far as [`parse`] reads.
const SECONDS_TO_10000: i64 = 253_402_300_800;

/// The form the export uses and its filters take: whole seconds, `Z`.
pub fn format(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_forms_are_read() {
        for text in [
            "2021-02-24T15:43:28Z",
            "2021-02-24T15:43:28.000+00:00",
            "2021-02-24T16:43:28+01:00",
            "2021-02-24 15:43:28",
            "2021-02-24T15:43:28.000",
        ] {
            assert_eq!(
                parse(text).map(format).as_deref(),
                Some("2021-02-24T15:43:28Z"),
                "{text}"
            );
        }
    }

    #[test]
    fn the_odd_forms_are_read() {
        for (text, meant) in [
            ("2018-11-15 14:29 PM UTC", "2018-11-15T14:29:00Z"),
            ("2018-11-15 09:29 AM UTC", "2018-11-15T09:29:00Z"),
        ] {
            assert_eq!(parse(text).map(format).as_deref(), Some(meant), "{text}");
        }
        assert_eq!(
            from_millis("1542292140000").map(format).as_deref(),
            Some("2018-11-15T14:29:00Z")
        );
        assert_eq!(from_millis("99999999999999999"), None);
    }

    #[test]
    fn anything_else_is_not_guessed() {
        for text in [
            "yesterday",
            "",
            "2021-02-24",
            "24/02/2021 10:00",
            "+12021-02-24T15:43:28Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
