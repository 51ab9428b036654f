//! The keys of a job file that say when it runs.

use std::str::FromStr;
use std::time::Duration;

use chrono_tz::Tz;
use serde::Deserialize;

use super::{Crontab, Every, Missed, Retries, Schedule, Spread, Timetable};

/// As a job file gives them.
#[derive(Debug, Default, Deserialize)]
pub struct Settings {
    schedule: Option<String>,
    every: Option<String>,
    timezone: Option<String>,
    spread: Option<String>,
    missed: Option<String>,
    retries: Option<u32>,
    retry_after: Option<String>,
    #[serde(default)]
    after: Vec<String>,
    late_after: Option<String>,
}

/// When a job runs and what follows if it could not.
#[derive(Debug, Clone, Default)]
pub struct Timing {
    /// When a daemon runs it. None means by hand, or after the jobs of `after`.
    pub schedule: Option<Schedule>,
    /// Each slot starts later by a share of this.
    pub spread: Duration,
    /// What follows from slots that came while no daemon was there.
    pub missed: Missed,
    /// How often a failed run is repeated.
    pub retries: Retries,
    /// The jobs that have to succeed first; see [`super::Gate`].
    pub after: Vec<String>,
    /// From when a slot counts as late, reckoned from its start; none means never.
    pub late_after: Option<Duration>,
}

/// More attempts than this at one slot are a daemon that only repeats itself.
const MOST_RETRIES: u32 = 100;

impl Settings {
    /// Checks them.
    ///
    /// # Errors
    /// What is wrong and what would be right.
    pub fn timing(&self) -> Result<Timing, String> {
        let schedule = self.schedule()?;
        let spread = duration("spread", self.spread.as_deref())?.unwrap_or_default();
        self.check_spread(spread, schedule.as_ref())?;
        let missed = match self.missed.as_deref() {
            None => Missed::default(),
            Some("once") => Missed::Once,
            Some("skip") => Missed::Skip,
            Some(other) => {
                return Err(format!(
                    "missed = \"{other}\" is not known; write \"once\" to make up for the latest run that was missed, or \"skip\" to wait for the next"
                ));
            }
        };
        let retries = self.retries.unwrap_or(Retries::default().count);
        if retries > MOST_RETRIES {
            return Err(format!(
                "retries = {retries} is too many; write a number from 0 to {MOST_RETRIES}"
            ));
        }
        Ok(Timing {
            schedule,
            spread,
            missed,
            retries: Retries {
                count: retries,
                after: duration("retry_after", self.retry_after.as_deref())?
                    .unwrap_or(Retries::default().after),
            },
            after: self.after.clone(),
            late_after: duration("late_after", self.late_after.as_deref())?,
        })
    }

    fn schedule(&self) -> Result<Option<Schedule>, String> {
        let zone = match &self.timezone {
            None => Tz::UTC,
            Some(text) => Tz::from_str(text).map_err(|_| {
                format!("timezone = \"{text}\" is not known; write for example \"Europe/London\"")
            })?,
        };
        match (&self.schedule, &self.every) {
            (Some(_), Some(_)) => Err("has both schedule and every; keep one".into()),
            (None, None) => Ok(None),
            (Some(line), None) => Crontab::parse(line, zone).map(|line| Some(Schedule::Cron(line))),
            (None, Some(text)) => {
                let period = duration("every", Some(text))?.unwrap_or_default();
                let every = Every::new(period).ok_or_else(|| {
                    format!("every = \"{text}\" must be at least a second and at most a year")
                })?;
                Ok(Some(Schedule::Every(every)))
            }
        }
    }

    fn check_spread(&self, spread: Duration, schedule: Option<&Schedule>) -> Result<(), String> {
        let Some(text) = &self.spread else {
            return Ok(());
        };
        let Some(schedule) = schedule else {
            return Err(format!(
                "spread = \"{text}\" needs a schedule or every: what follows other jobs starts when they are done"
            ));
        };
        match schedule.shortest_gap() {
            Some(gap) if gap < spread => Err(format!(
                "spread = \"{text}\" is longer than the {} between two runs; write less than that",
                humantime::format_duration(gap)
            )),
            Some(_) | None => Ok(()),
        }
    }
}

impl Timing {
    /// The timetable of a job of this name, for the tenant with this schema; none without a
    /// schedule.
    pub fn timetable<'a>(&'a self, schema: &'a str, job: &'a str) -> Option<Timetable<'a>> {
        self.schedule.as_ref().map(|schedule| Timetable {
            schedule,
            spread: Spread {
                schema,
                job,
                longest: self.spread,
            },
            missed: self.missed,
        })
    }

    /// From when a slot that has not succeeded is late; none means never.
    pub fn late_at(
        &self,
        start: chrono::DateTime<chrono::Utc>,
    ) -> Option<chrono::DateTime<chrono::Utc>> {
        start.checked_add_signed(chrono::TimeDelta::from_std(self.late_after?).ok()?)
    }
}

/// A duration as people write it; none where the key is not there.
///
/// # Errors
/// What would be right.
pub fn duration(key: &str, text: Option<&str>) -> Result<Option<Duration>, String> {
    text.map(|text| {
        humantime::parse_duration(text).map_err(|error| {
            format!("{key} = \"{text}\": {error}; write for example \"15m\" or \"7d\"")
        })
    })
    .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(text: &str) -> Result<Timing, String> {
        toml::from_str::<Settings>(text).unwrap().timing()
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let timing = timing("every = '10m'").unwrap();
        assert_eq!(timing.schedule.as_ref().unwrap().to_string(), "every 10m");
        assert_eq!(timing.spread, Duration::ZERO);
        assert_eq!(timing.missed, Missed::Once);
        assert_eq!(
            (timing.retries.count, timing.retries.after.as_secs()),
            (3, 300)
        );
        assert_eq!(timing.late_at(chrono::DateTime::UNIX_EPOCH), None);
        assert!(timing.after.is_empty());
    }

    #[test]
    fn what_is_said_counts() {
        let timing = timing(
            "schedule = '15  2 * * 1'\ntimezone = 'Europe/London'\nspread = '10m'\nmissed = 'skip'\nretries = 0\nretry_after = '1m'\nafter = ['users']\nlate_after = '1h'",
        )
        .unwrap();
        assert_eq!(
            timing.schedule.as_ref().unwrap().to_string(),
            "15 2 * * 1 (Europe/London)"
        );
        assert_eq!(timing.missed, Missed::Skip);
        assert_eq!(
            timing.retries,
            Retries {
                count: 0,
                after: Duration::from_secs(60)
            }
        );
        assert_eq!(timing.after, ["users"]);
        let late = timing.late_at(chrono::DateTime::UNIX_EPOCH).unwrap();
        assert_eq!(late.timestamp(), 3_600);
        assert_eq!(
            timing
                .timetable("zephr", "users")
                .unwrap()
                .spread
                .longest
                .as_secs(),
            600
        );
    }

    #[test]
    fn what_is_wrong_says_what_would_be_right() {
        for (text, part) in [
            ("schedule = '0 15 2 * * *'", "five fields"),
            ("schedule = '15 2 31 2 *'", "never comes"),
            ("every = 'soon'", "15m"),
            ("every = '0s'", "at least a second"),
            ("every = '2y'", "at most a year"),
            ("every = '5m'\nschedule = '* * * * *'", "keep one"),
            ("schedule = '1 1 * * *'\ntimezone = 'Mars'", "Europe/London"),
            ("every = '5m'\nspread = '6m'", "longer than the 5m"),
            (
                "schedule = '*/15 * * * *'\nspread = '20m'",
                "longer than the 15m",
            ),
            ("after = ['users']\nspread = '20m'", "needs a schedule"),
            ("every = '5m'\nspread = 'wide'", "spread = \"wide\""),
            ("every = '5m'\nmissed = 'all'", "\"once\""),
            ("every = '5m'\nretries = 1000", "from 0 to 100"),
            ("every = '5m'\nretry_after = '-5m'", "retry_after"),
            ("every = '5m'\nlate_after = ''", "late_after"),
        ] {
            let error = timing(text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
