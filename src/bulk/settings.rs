//! How updates are sent and how long is waited for what becomes of them: the table `[bulk]` of the
//! settings file.

use std::time::Duration;

use serde::Deserialize;

/// The contract's advice where nothing is documented (section 13): 500 updates in a request.
const CHUNK_ROWS: u32 = 500;

/// The contract's advice (section 13), in bytes.
const CHUNK_BYTES: usize = 1 << 20;

/// A job may answer 404, and be missing from the list, for a while after it was made (contract
/// section 12.4). Longer than any replica should lag.
const GRACE: Duration = Duration::from_secs(60);

/// The longest pause between two looks at a job (contract section 12.4).
const POLL: Duration = Duration::from_secs(60);

/// A job that does not move for so long is not waited for any longer; what became of it is then
/// told by the users' values.
const GIVE_UP: Duration = Duration::from_secs(60 * 60);

/// What people may say under `[bulk]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    chunk_rows: Option<u32>,
    chunk_bytes: Option<usize>,
    values: Option<Wire>,
    grace: Option<String>,
    poll: Option<String>,
    give_up: Option<String>,
}

/// How values go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wire {
    /// All as strings, as the reference types them (contract section 12.1).
    #[default]
    Strings,
    /// Checkboxes as booleans, numbers as numbers.
    Typed,
}

/// How updates are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Most updates in a request.
    pub chunk_rows: u32,
    /// Most bytes in a request.
    pub chunk_bytes: usize,
    /// How values go out.
    pub values: Wire,
    /// How long a job may be invisible after it was made.
    pub grace: Duration,
    /// The longest pause between two looks at a job.
    pub poll: Duration,
    /// How long a job may stand still.
    pub give_up: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            chunk_rows: CHUNK_ROWS,
            chunk_bytes: CHUNK_BYTES,
            values: Wire::default(),
            grace: GRACE,
            poll: POLL,
            give_up: GIVE_UP,
        }
    }
}

/// A setting that does not fit: its name in `[bulk]`, and what would be right.
pub type Unfit = (&'static str, String);

impl Settings {
    /// What was given, over the defaults. `variable` tells what the environment says about a
    /// setting of this name, which counts more.
    ///
    /// # Errors
    /// The first that does not fit.
    pub fn resolve(
        given: Given,
        variable: impl Fn(&'static str) -> Option<String>,
    ) -> Result<Self, Unfit> {
        let default = Self::default();
        let number = |name, given: Option<usize>, default: usize| {
            let value = match variable(name) {
                Some(text) => text
                    .parse()
                    .map_err(|_| (name, format!("`{text}` is not a number that fits")))?,
                None => given.unwrap_or(default),
            };
            if value == 0 {
                return Err((name, "must be at least 1".to_owned()));
            }
            Ok(value)
        };
        let duration = |name, given: Option<String>, default: Duration| {
            let Some(text) = variable(name).or(given) else {
                return Ok(default);
            };
            humantime::parse_duration(&text).map_err(|error| {
                (
                    name,
                    format!("`{text}`: {error}; write for example \"30s\" or \"10m\""),
                )
            })
        };
        let values = match variable("values").as_deref() {
            None => given.values.unwrap_or_default(),
            Some("strings") => Wire::Strings,
            Some("typed") => Wire::Typed,
            Some(other) => {
                return Err(("values", format!("`{other}` is neither strings nor typed")));
            }
        };
        let rows = number(
            "chunk_rows",
            given.chunk_rows.map(|rows| rows as usize),
            default.chunk_rows as usize,
        )?;
        Ok(Self {
            chunk_rows: u32::try_from(rows).unwrap_or(u32::MAX),
            chunk_bytes: number("chunk_bytes", given.chunk_bytes, default.chunk_bytes)?,
            values,
            grace: duration("grace", given.grace, default.grace)?,
            poll: duration("poll", given.poll, default.poll)?,
            give_up: duration("give_up", given.give_up, default.give_up)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_counts_more_than_the_file_and_both_more_than_the_default() {
        let given: Given =
            toml::from_str("chunk_rows = 10\ngrace = '5s'\nvalues = 'typed'").unwrap();
        let said = |name| (name == "grace").then(|| "2s".to_owned());
        let settings = Settings::resolve(given, said).unwrap();
        assert_eq!(settings.chunk_rows, 10);
        assert_eq!(settings.grace, Duration::from_secs(2));
        assert_eq!(settings.values, Wire::Typed);
        assert_eq!(settings.give_up, GIVE_UP);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let unfit =
            |text: &str| Settings::resolve(toml::from_str(text).unwrap(), |_| None).unwrap_err();
        assert_eq!(unfit("chunk_rows = 0").0, "chunk_rows");
        assert!(unfit("grace = 'soon'").1.contains("30s"));
    }
}
