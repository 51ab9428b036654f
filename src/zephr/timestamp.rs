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
        })?;
    // Four-digit years are what every form above writes; a longer one is a mistake, and Postgres ends at 294276.
    use chrono::Datelike;
    (0..=9999).contains(&parsed.year()).then_some(parsed)
}

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
