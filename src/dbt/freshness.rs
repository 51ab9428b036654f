//! Which job fills which table, and how old a table may be before somebody should look.
//!
//! A row's `_zephr_loaded_at` moves only when the row changes, so after a quiet night it is old
//! although all is well. How fresh a table is follows from the last run of its job that read what
//! it was to read; how fresh it should be follows from the job's schedule.

use std::time::Duration;

use crate::job::Job;
use record::Resource;
use resource::Step;
use schedule::Schedule;

/// The tables and views that a job fills.
pub fn filled_by(job: &Job) -> Vec<String> {
    let mut tables: Vec<&str> = match job.resource {
        Resource::Users => vec![
            "users",
            "user_foreign_keys",
            "users_history",
            "users_current",
            "users_versions",
            "user_attributes",
            "attribute_issues",
        ],
        Resource::Schema => vec!["attribute_columns"],
        Resource::Events => vec!["user_events"],
        Resource::Catalog | Resource::Accounts | Resource::Segments | Resource::List => Vec::new(),
    };
    // Without them the table is empty, and no run makes it fresh.
    if job.grants {
        tables.push("user_grants");
    }
    tables.extend(job.steps.iter().map(|step| match step {
        Step::List(list) => list.table.name.as_ref(),
        Step::Below(below) => below.table.name.as_ref(),
    }));
    tables.into_iter().map(str::to_owned).collect()
}

/// What is expected of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The jobs that fill it.
    pub jobs: Vec<String>,
    /// Older than this is odd.
    pub warn_after: Age,
    /// Older than this is wrong.
    pub error_after: Age,
}

/// An age as dbt writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age {
    /// How many.
    pub count: u64,
    /// `hour` or `minute`.
    pub period: &'static str,
}

impl Age {
    fn of(duration: Duration) -> Self {
        let minutes = duration.as_secs().div_ceil(60);
        if minutes >= 180 {
            Self {
                count: minutes.div_ceil(60),
                period: "hour",
            }
        } else {
            Self {
                count: minutes,
                period: "minute",
            }
        }
    }
}

/// Jobs that are started by hand or by another scheduler are expected once a day.
const UNSCHEDULED: Duration = Duration::from_secs(24 * 3_600);

/// A run takes its time and may be late by this much, or by the time between two runs if that is
/// shorter.
const GRACE: Duration = Duration::from_secs(2 * 3_600);

/// What is expected of a table; none when no enabled job fills it.
pub fn expected(table: &str, jobs: &[Job]) -> Option<Expected> {
    let filling: Vec<&Job> = jobs
        .iter()
        .filter(|job| job.enabled && filled_by(job).iter().any(|filled| filled == table))
        .collect();
    let gap = filling.iter().map(|job| longest_gap(job)).min()?;
    let grace = GRACE.min(gap);
    Some(Expected {
        jobs: filling.iter().map(|job| job.name.clone()).collect(),
        warn_after: Age::of(gap.saturating_add(grace)),
        error_after: Age::of(gap.saturating_mul(2).saturating_add(grace)),
    })
}

fn longest_gap(job: &Job) -> Duration {
    let schedule = job.timing.schedule.as_ref();
    schedule
        .and_then(Schedule::longest_gap)
        .unwrap_or(UNSCHEDULED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dbt::page;
    use crate::job;
    use schedule::{Crontab, Every};

    fn hours(count: u64) -> Age {
        Age {
            count,
            period: "hour",
        }
    }

    #[test]
    fn a_daily_job_may_be_two_hours_late() {
        let jobs = job::built_in().unwrap();
        assert_eq!(
            expected("account_users", &jobs),
            Some(Expected {
                jobs: vec!["accounts".into()],
                warn_after: hours(26),
                error_after: hours(50),
            })
        );
    }

    #[test]
    fn a_schedule_without_weekends_expects_nothing_on_sunday() {
        let mut jobs = job::built_in().unwrap();
        let weekdays = Crontab::parse("15 2 * * 1-5", chrono_tz::Tz::UTC).unwrap();
        // The first is `accounts`.
        jobs[0].timing.schedule = Some(Schedule::Cron(weekdays));
        assert_eq!(
            expected("accounts", &jobs).unwrap().warn_after,
            hours(3 * 24 + 2)
        );
        jobs[0].timing.schedule = Every::new(Duration::from_secs(600)).map(Schedule::Every);
        let expected = expected("accounts", &jobs).unwrap();
        assert_eq!(
            (expected.warn_after.count, expected.error_after.count),
            (20, 30)
        );
    }

    #[test]
    fn each_table_has_a_job_and_what_nobody_fills_is_expected_never() {
        let mut jobs = job::built_in().unwrap();
        assert_eq!(expected("user_grants", &jobs), None);
        for job in &mut jobs {
            job.grants = job.resource == Resource::Users;
        }
        for relation in page::relations() {
            assert_eq!(
                expected(&relation.name, &jobs).is_some(),
                relation.name != "sync_runs",
                "{}",
                relation.name
            );
        }
        jobs.retain(|job| job.name == "users");
        jobs[0].enabled = false;
        assert_eq!(expected("users", &jobs), None);
    }
}
