//! A file of `jobs/` as a checked type: what runs, when, how much at a time.

mod twice;

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use privacy::USERS;
use record::Resource;
use resource::{self, Step};
use schedule::{self, Timing, duration, order};
use toml_file;

/// The jobs that are there without any file; the repository's own files are the ones built in.
const BUILT_IN: [(&str, &str); 6] = [
    ("accounts", include_str!("../jobs/accounts.toml")),
    ("catalog", include_str!("../jobs/catalog.toml")),
    ("events", include_str!("../jobs/events.toml")),
    ("schema", include_str!("../jobs/schema.toml")),
    ("segments", include_str!("../jobs/segments.toml")),
    ("users", include_str!("../jobs/users.toml")),
];

const KEYS: [&str; 27] = [
    "resource",
    "enabled",
    "schedule",
    "every",
    "timezone",
    "spread",
    "missed",
    "retries",
    "retry_after",
    "after",
    "late_after",
    "mode",
    "overlap",
    "full_every",
    "max_delete_fraction",
    "max_rejects",
    "grants",
    "app_ids",
    "budget",
    "retention",
    "path",
    "items",
    "table",
    "key",
    "paging",
    "for_each",
    "columns",
];

/// A job.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name: the file's.
    pub name: String,
    /// Its file; none where it is built in.
    pub file: Option<PathBuf>,
    /// What it mirrors.
    pub resource: Resource,
    /// Whether it runs unless named.
    pub enabled: bool,
    /// When a daemon runs it.
    pub timing: Timing,
    /// How much it reads.
    pub mode: Mode,
    /// The setting of this name, for this job alone.
    pub max_delete_fraction: Option<f64>,
    /// The setting of this name, for this job alone.
    pub max_rejects: Option<u64>,
    /// What it does, where that is described: nothing for users and events.
    pub steps: Vec<Step>,
    /// Requests of a run for what the API tells one parent at a time.
    pub budget: i64,
    /// Of users: whether their grants are read with them.
    pub grants: bool,
    /// Of users: the apps whose extended profiles are read with them.
    pub app_ids: Vec<String>,
    /// Of events: how long they are kept; none means for ever.
    pub retention: Option<Duration>,
}

/// How much a job reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything, each time.
    Full,
    /// What changed since the watermark, less the overlap; and everything once in a while, which
    /// alone finds deletions.
    Incremental {
        /// How far before the watermark to begin.
        overlap: Duration,
        /// How old the last full scan may grow.
        full_every: Duration,
    },
}

/// A job file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file itself.
    #[error(transparent)]
    File(#[from] toml_file::Error),
    /// What it says.
    #[error("{}: {message}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong and what would be right.
        message: String,
    },
    /// The directory cannot be listed.
    #[error("{} cannot be read", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Jobs that wait for each other, or for none.
    #[error(transparent)]
    Order(#[from] order::Error),
    /// Jobs that undo each other.
    #[error(transparent)]
    Twice(#[from] twice::Error),
    /// A name that no job has.
    #[error("there is no job `{name}`{}", suggestion.as_ref().map(|s| format!("; did you mean `{s}`?")).unwrap_or_default())]
    Unknown {
        /// The name.
        name: String,
        /// What was probably meant.
        suggestion: Option<String>,
    },
}

#[derive(Debug, Deserialize)]
struct File {
    resource: Resource,
    #[serde(default = "enabled")]
    enabled: bool,
    #[serde(default)]
    mode: ModeName,
    overlap: Option<String>,
    full_every: Option<String>,
    max_delete_fraction: Option<f64>,
    max_rejects: Option<u64>,
    grants: Option<bool>,
    app_ids: Option<Vec<String>>,
    budget: Option<u32>,
    retention: Option<String>,
    #[serde(flatten)]
    list: resource::list::Settings,
}

impl File {
    /// How much the job reads, with what is not said.
    fn mode(&self) -> Result<Mode, String> {
        let given = |key, text: &Option<String>, default| {
            Ok::<_, String>(duration(key, text.as_deref())?.unwrap_or(default))
        };
        Ok(match self.mode {
            ModeName::Full => Mode::Full,
            ModeName::Incremental => Mode::Incremental {
                overlap: given("overlap", &self.overlap, DEFAULT_OVERLAP)?,
                full_every: match self.full_every.as_deref() {
                    Some(NEVER) => Duration::MAX,
                    Some(_) | None => given("full_every", &self.full_every, DEFAULT_FULL_EVERY)?,
                },
            },
        })
    }

    /// What the job does: built in, or described by the file where it is a list.
    fn steps(&self) -> Result<Vec<Step>, String> {
        let steps = match self.resource {
            Resource::Users | Resource::Events => Vec::new(),
            Resource::Accounts => resource::accounts::steps(),
            Resource::Segments => resource::segments::steps(),
            Resource::Schema => resource::schema::steps(),
            Resource::Catalog => resource::catalog::steps(),
            Resource::List => self.list.steps()?,
        };
        if let Some(key) = self.list.said() {
            self.only(key, Resource::List)?;
        }
        Ok(steps)
    }

    /// Refuses a key that means something for another resource alone.
    fn only(&self, key: &str, of: Resource) -> Result<(), String> {
        if self.resource == of {
            return Ok(());
        }
        Err(format!(
            "{key} belongs to jobs with resource = \"{}\"",
            of.name()
        ))
    }
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum ModeName {
    #[default]
    Full,
    Incremental,
}

fn enabled() -> bool {
    true
}

/// A quarter of an hour covers clocks that differ and changes that show late.
const DEFAULT_OVERLAP: Duration = Duration::from_secs(15 * 60);

/// A week: what `since` misses, and deletions, are then at most that old.
const DEFAULT_FULL_EVERY: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Requests of a run below parents, unless the job says otherwise: minutes and not hours, on a
/// server that answers some dozens a second.
const DEFAULT_BUDGET: u32 = 2_000;

/// What a job says when it means that something is never due.
const NEVER: &str = "never";

/// All jobs by name: the built-in ones, each replaced by a file of its name, and further files.
///
/// # Errors
/// The first file that cannot be used, or enabled jobs that cannot be together.
pub fn all(directory: &Path) -> Result<Vec<Job>, Error> {
    let jobs = each(directory)?;
    let enabled: Vec<&Job> = jobs.iter().filter(|job| job.enabled).collect();
    twice::check(&enabled, directory)?;
    let members: Vec<_> = jobs.iter().map(Job::member).collect();
    order::check(&members)?;
    Ok(jobs)
}

/// The same, each looked at by itself.
fn each(directory: &Path) -> Result<Vec<Job>, Error> {
    let mut jobs = built_in()?;
    for JobFile { name, path, text } in files(directory)? {
        if is_for_the_inbox(&text) {
            continue;
        }
        let job = Job {
            file: Some(path.clone()),
            ..parse(&name, &path, &text)?
        };
        jobs.retain(|known| known.name != job.name);
        jobs.push(job);
    }
    jobs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(jobs)
}

/// The tables that only job files know, for settings that name them. Of a file that cannot be used
/// there are none: whoever runs the jobs says why.
pub fn list_tables(directory: &Path) -> Vec<String> {
    let jobs = each(directory).unwrap_or_default();
    let steps = jobs
        .into_iter()
        .filter(|job| job.resource == Resource::List)
        .flat_map(|job| job.steps);
    steps
        .map(|step| match step {
            Step::List(list) => list.table.name.to_string(),
            Step::Below(below) => below.table.name.to_string(),
        })
        .collect()
}

/// The jobs that are there without any file.
///
/// # Errors
/// None that a test would not have met: the files are ours.
pub fn built_in() -> Result<Vec<Job>, Error> {
    BUILT_IN
        .iter()
        .map(|(name, text)| parse(name, Path::new(&format!("{name}.toml (built in)")), text))
        .collect()
}

/// The jobs of these names, or all enabled ones where none is named.
///
/// # Errors
/// [`Error::Unknown`].
pub fn chosen(jobs: Vec<Job>, names: &[String]) -> Result<Vec<Job>, Error> {
    if names.is_empty() {
        let mut enabled: Vec<Job> = jobs.into_iter().filter(|job| job.enabled).collect();
        enabled.sort_by_key(|job| job.resource);
        return Ok(enabled);
    }
    let known: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    let mut named: Vec<Job> = Vec::with_capacity(names.len());
    for name in names {
        let Some(job) = jobs.iter().find(|job| job.name == *name) else {
            return Err(Error::Unknown {
                name: name.clone(),
                suggestion: toml_file::closest(name, &known).map(str::to_owned),
            });
        };
        // Who is named twice is meant once.
        if !named.iter().any(|other| other.name == job.name) {
            named.push(job.clone());
        }
    }
    Ok(named)
}

/// A file of `jobs/`, as it is.
#[derive(Debug)]
pub(crate) struct JobFile {
    /// The job's name: the file's.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What it says.
    pub(crate) text: String,
}

/// The files of a directory, by name; none where there is no such directory.
///
/// # Errors
/// What cannot be read.
pub(crate) fn files(directory: &Path) -> Result<Vec<JobFile>, Error> {
    let unlisted = |source| Error::Directory {
        path: directory.to_owned(),
        source,
    };
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unlisted(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(unlisted)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            paths.push(path);
        }
    }
    paths.sort();
    let read = |path: PathBuf| match std::fs::read_to_string(&path) {
        Ok(text) => Ok(JobFile {
            name: path
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
                .unwrap_or_default(),
            path,
            text,
        }),
        Err(source) => Err(toml_file::Error::Unreadable { path, source }.into()),
    };
    paths.into_iter().map(read).collect()
}

/// Whether a file says what may be done with files of the inbox, and not what runs when: see
/// `bulk::inbox::job`.
pub(crate) fn is_for_the_inbox(text: &str) -> bool {
    let table: Option<toml::Table> = toml::from_str(text).ok();
    table.is_some_and(|table| table.get("resource").and_then(toml::Value::as_str) == Some("bulk"))
}

/// Whether there is a job of this name without any file.
pub(crate) fn is_built_in(name: &str) -> bool {
    BUILT_IN.iter().any(|(known, _)| *known == name)
}

/// Reads and checks a job file.
fn parse(name: &str, path: &Path, text: &str) -> Result<Job, Error> {
    let file: File = toml_file::parse(path, text, &KEYS)?;
    // Read by itself and not flattened: flattened, a complaint could not say its line.
    let timing: schedule::Settings = toml_file::parse(path, text, &KEYS)?;
    let wrong = |message: String| Error::Content {
        path: path.to_owned(),
        message,
    };
    let mode = file.mode().map_err(wrong)?;
    if let Some(share) = file
        .max_delete_fraction
        .filter(|share| !(0.0..=1.0).contains(share))
    {
        return Err(wrong(format!(
            "max_delete_fraction = {share} is not a share; write a number from 0 to 1"
        )));
    }
    for (key, of, said) in [
        ("grants", Resource::Users, file.grants.is_some()),
        ("app_ids", Resource::Users, file.app_ids.is_some()),
        ("retention", Resource::Events, file.retention.is_some()),
    ] {
        if said {
            file.only(key, of).map_err(wrong)?;
        }
    }
    let retention = duration("retention", file.retention.as_deref()).map_err(wrong)?;
    let steps = file.steps().map_err(wrong)?;
    Ok(Job {
        steps,
        budget: i64::from(file.budget.unwrap_or(DEFAULT_BUDGET)),
        grants: file.grants.unwrap_or(false),
        app_ids: file.app_ids.unwrap_or_default(),
        retention,
        max_delete_fraction: file.max_delete_fraction,
        max_rejects: file.max_rejects,
        name: name.to_owned(),
        file: None,
        resource: file.resource,
        enabled: file.enabled,
        timing: timing.timing().map_err(wrong)?,
        mode,
    })
}

impl Job {
    /// The slots after this time, as far as they follow from the file alone: a job that follows
    /// others has none.
    pub fn next_times(&self, after: DateTime<Utc>, count: usize) -> Vec<DateTime<Utc>> {
        let schedule = self.timing.schedule.iter();
        schedule
            .flat_map(|schedule| schedule.slots(after))
            .take(count)
            .collect()
    }

    /// The tables whose records may be read in part, by settings of the job.
    pub fn tables(&self) -> Vec<&str> {
        let steps = self.steps.iter().map(|step| match step {
            Step::List(list) => list.table.name.as_ref(),
            Step::Below(below) => below.table.name.as_ref(),
        });
        match self.resource {
            Resource::Users => vec![USERS],
            Resource::Events
            | Resource::Schema
            | Resource::Catalog
            | Resource::Accounts
            | Resource::Segments
            | Resource::List => steps.collect(),
        }
    }

    fn member(&self) -> order::Member<'_> {
        order::Member {
            name: &self.name,
            enabled: self.enabled,
            timing: &self.timing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(text: &str) -> Result<Job, Error> {
        parse("x", Path::new("jobs/x.toml"), text)
    }

    #[test]
    fn the_built_in_jobs_are_right() {
        let jobs = all(Path::new("/nonexistent")).unwrap();
        assert_eq!(
            jobs.iter().map(|job| job.name.as_str()).collect::<Vec<_>>(),
            [
                "accounts", "catalog", "events", "schema", "segments", "users"
            ]
        );
    }

    #[test]
    fn the_files_of_the_repository_are_right_too() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs");
        assert_eq!(all(&root).unwrap().len(), 6);
        // The examples beside the built-in jobs.
        assert_eq!(all(&root.join("examples")).unwrap().len(), 9);
    }

    #[test]
    fn built_in_jobs_keep_their_times() {
        for (name, schedule, after) in [
            ("accounts", "45 2 * * * (UTC)", [].as_slice()),
            ("catalog", "5 2 * * * (UTC)", &[]),
            ("events", "0 4 * * * (UTC)", &[]),
            ("schema", "10 2 * * * (UTC)", &[]),
            ("segments", "30 3 * * * (UTC)", &["users"]),
            ("users", "15 2 * * * (UTC)", &[]),
        ] {
            let job = chosen(built_in().unwrap(), &[name.to_owned()])
                .unwrap()
                .remove(0);
            assert_eq!(job.timing.schedule.unwrap().to_string(), schedule, "{name}");
            assert_eq!(job.timing.after, after, "{name}");
        }
    }

    #[test]
    fn jobs_that_wait_for_each_other_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let users = "resource = 'users'\nschedule = '15 2 * * *'\nafter = ['segments']";
        std::fs::write(directory.path().join("users.toml"), users).unwrap();
        let error = all(directory.path()).unwrap_err().to_string();
        assert!(
            error.contains("segments after users after segments"),
            "{error}"
        );
    }

    /// What is said about these files, beside the built-in jobs.
    fn refused(files: &[(&str, &str)]) -> String {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let error = all(directory.path()).unwrap_err().to_string();
        error.replace(&*directory.path().to_string_lossy(), "jobs")
    }

    #[test]
    fn jobs_that_undo_each_other_are_refused() {
        assert_eq!(
            refused(&[("readers.toml", "resource = 'users'")]),
            "the jobs `readers` (jobs/readers.toml) and `users` (built in) both write the tables of resource = \"users\", and each would undo what the other wrote; \
             keep one of them: write `enabled = false` into jobs/readers.toml, or `resource = \"users\"` and `enabled = false` into jobs/users.toml"
        );
        let list = "resource = 'list'\npath = '/v3/webhooks'\nkey = 'id'\ntable = 'webhooks'";
        let message = refused(&[("hooks.toml", list), ("webhooks.toml", list)]);
        assert!(
            message.contains("`hooks` (jobs/hooks.toml) and `webhooks` (jobs/webhooks.toml) both write the table webhooks"),
            "{message}"
        );
    }

    #[test]
    fn one_of_two_jobs_on_a_resource_may_be_disabled() {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("readers.toml", "resource = 'users'"),
            ("users.toml", "resource = 'users'\nenabled = false"),
        ] {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        assert_eq!(all(directory.path()).unwrap().len(), 7);
    }

    #[test]
    fn a_crontab_line_counts_monday_as_one_and_follows_daylight_saving() {
        let job =
            job("resource = 'users'\nschedule = '15 2 * * 1'\ntimezone = 'Europe/London'").unwrap();
        let after = DateTime::parse_from_rfc3339("2026-03-24T00:00:00Z")
            .unwrap()
            .to_utc();
        let times: Vec<_> = job
            .next_times(after, 2)
            .iter()
            .map(DateTime::to_rfc3339)
            .collect();
        assert_eq!(
            times,
            ["2026-03-30T01:15:00+00:00", "2026-04-06T01:15:00+00:00"]
        );
    }

    #[test]
    fn a_bad_file_says_what_would_be_right() {
        for (text, part) in [
            ("resource = 'users'\nevery = 'soon'", "15m"),
            (
                "resource = 'users'\noverlap = 'some'\nmode = 'incremental'",
                "overlap",
            ),
            (
                "resource = 'users'\nretry_afer = '5m'",
                "did you mean `retry_after`",
            ),
            ("resource = 'users'\nretries = -1", "line 2"),
            ("resource = 'users'\nmax_delete_fraction = 2", "from 0 to 1"),
            ("resource = 'user'", "users"),
            ("resorce = 'users'", "did you mean `resource`"),
        ] {
            let message = job(text).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn an_unknown_name_gets_a_suggestion() {
        let jobs = all(Path::new("/nonexistent")).unwrap();
        let error = chosen(jobs, &["usres".into()]).unwrap_err().to_string();
        assert_eq!(error, "there is no job `usres`; did you mean `users`?");
    }
}
