//! Files of `jobs/` with `resource = "bulk"`: which files of the inbox may be applied, and how they
//! are read. They have no schedule: a file is due when it is there.

use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};
use serde::Deserialize;

use crate::bulk::plan::{Empty, Options};
use crate::job::{self, Error, JobFile};
use csv_intake::Reading;
use mirror::state::bulk::plans::Plan;
use toml_file;

const KEYS: [&str; 10] = [
    "resource",
    "enabled",
    "files",
    "apply",
    "allow_deletes",
    "empty",
    "delimiter",
    "ignore_columns",
    "max_rows",
    "on_rejects",
];

/// What may be done with the files of some name.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name: the file's.
    pub name: String,
    /// Whether it is used.
    pub enabled: bool,
    /// Which files it is about.
    pub files: GlobMatcher,
    /// Whether their plans are applied, and not only made.
    pub apply: bool,
    /// Whether they may delete users.
    pub allow_deletes: bool,
    /// Rows that a plan may change at most.
    pub max_rows: Option<u64>,
    /// What follows when some rows cannot be planned.
    pub on_rejects: OnRejects,
    reading: Reading,
    empty: Empty,
}

/// What follows when some rows cannot be planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRejects {
    /// Nothing is sent.
    #[default]
    Stop,
    /// The others are sent.
    GoOn,
}

#[derive(Debug, Deserialize)]
struct File {
    #[serde(default = "enabled")]
    enabled: bool,
    files: String,
    #[serde(default)]
    apply: bool,
    #[serde(default)]
    allow_deletes: bool,
    #[serde(default)]
    empty: Empty,
    delimiter: Option<String>,
    #[serde(default)]
    ignore_columns: Vec<String>,
    max_rows: Option<u64>,
    #[serde(default)]
    on_rejects: OnRejects,
}

fn enabled() -> bool {
    true
}

/// All jobs of the inbox, by name.
///
/// # Errors
/// The first file that cannot be used.
pub fn all(directory: &Path) -> Result<Vec<Job>, Error> {
    let files = job::files(directory)?.into_iter();
    files
        .filter(|file| job::is_for_the_inbox(&file.text))
        .map(|file| parse(&file))
        .collect()
}

/// The job that a file of this name belongs to: the first by name whose pattern it fits.
pub fn of<'a>(jobs: &'a [Job], file: &str) -> Option<&'a Job> {
    jobs.iter()
        .find(|job| job.enabled && job.files.is_match(file))
}

fn parse(JobFile { name, path, text }: &JobFile) -> Result<Job, Error> {
    let wrong = |message: String| Error::Content {
        path: path.clone(),
        message,
    };
    if job::is_built_in(name) {
        return Err(wrong(format!(
            "{name} is the name of a built-in job; give a file with resource = \"bulk\" another name"
        )));
    }
    let file: File = toml_file::parse(path, text, &KEYS)?;
    let files = GlobBuilder::new(&file.files)
        .literal_separator(true)
        .build()
        .map_err(|error| {
            wrong(format!(
                "files = \"{}\" is not a pattern of file names, for example \"crm-*.csv\": {}",
                file.files,
                error.kind()
            ))
        })?;
    if file.files.contains('/') {
        return Err(wrong(format!(
            "files = \"{}\" holds a `/`; it is a pattern of names alone, for example \"crm-*.csv\"",
            file.files
        )));
    }
    if file.max_rows == Some(0) {
        return Err(wrong(
            "max_rows must be at least 1; leave it out for no limit".into(),
        ));
    }
    let delimiter = file
        .delimiter
        .as_deref()
        .map(csv_intake::delimiter)
        .transpose();
    Ok(Job {
        name: name.clone(),
        enabled: file.enabled,
        files: files.compile_matcher(),
        apply: file.apply,
        allow_deletes: file.allow_deletes,
        max_rows: file.max_rows,
        on_rejects: file.on_rejects,
        reading: Reading {
            delimiter: delimiter.map_err(|message| wrong(format!("delimiter: {message}")))?,
            ignore: file.ignore_columns,
        },
        empty: file.empty,
    })
}

impl Job {
    /// How its files are planned.
    pub fn options(&self) -> Options {
        Options {
            reading: self.reading.clone(),
            empty: self.empty,
            ..Options::default()
        }
    }

    /// Why a plan is not applied, and what to do; none where it may be.
    pub fn refuses(&self, plan: &Plan) -> Option<(String, String)> {
        let name = &self.name;
        let by_hand = format!("`zephr-sync bulk apply {} --yes", plan.plan_id);
        if plan.rows_rejected > 0 && self.on_rejects == OnRejects::Stop {
            return Some((
                format!(
                    "{} rows cannot be planned, so nothing was sent",
                    plan.rows_rejected
                ),
                format!(
                    "Correct the file and drop it again. {by_hand}` sends the other rows; with on_rejects = \"go_on\" in the job {name} they are always sent."
                ),
            ));
        }
        if plan.rows_deleting > 0 && !self.allow_deletes {
            return Some((
                format!(
                    "the file deletes {} users, and the job {name} does not allow that",
                    plan.rows_deleting
                ),
                format!(
                    "Deleting cannot be undone. If it is meant: {by_hand} --allow-deletes`, or allow_deletes = true in the job."
                ),
            ));
        }
        let most = self.max_rows?;
        (plan.rows_planned.unsigned_abs() > most).then(|| {
            (
                format!(
                    "the file changes {} users, and the job {name} allows {most}",
                    plan.rows_planned
                ),
                format!("If it is meant: {by_hand}`, or raise max_rows in the job."),
            )
        })
    }

    /// What it does, for people.
    pub fn describe(&self) -> String {
        let state = if self.enabled { "" } else { " (disabled)" };
        let mut text = format!("{}{state}, files {}: ", self.name, self.files.glob());
        if !self.apply {
            text.push_str("planned only");
            return text;
        }
        text.push_str("planned and applied");
        if let Some(most) = self.max_rows {
            text.push_str(&format!(", {most} rows at most"));
        }
        if self.allow_deletes {
            text.push_str(", deletions too");
        }
        text.push_str(match self.on_rejects {
            OnRejects::Stop => "; not with rejects",
            OnRejects::GoOn => "; without its rejects",
        });
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(name: &str, text: &str) -> Result<Job, Error> {
        parse(&JobFile {
            name: name.into(),
            path: format!("jobs/{name}.toml").into(),
            text: format!("resource = 'bulk'\n{text}"),
        })
    }

    #[test]
    fn a_file_belongs_to_the_first_job_that_it_fits() {
        let jobs = [
            job("a", "files = 'crm-*.csv'\nenabled = false").unwrap(),
            job("b", "files = 'crm-{de,fr}*.csv'\napply = true").unwrap(),
            job("c", "files = '*'").unwrap(),
        ];
        let of = |name| of(&jobs, name).map(|job| job.name.as_str());
        assert_eq!(of("crm-de-1.csv"), Some("b"));
        assert_eq!(of("crm-uk.csv"), Some("c"));
        assert_eq!(
            super::of(&jobs[..2], "crm-uk.csv").map(|job| &job.name),
            None
        );
    }

    #[test]
    fn what_is_not_said_is_not_allowed() {
        let job = job("a", "files = '*.csv'").unwrap();
        assert!(!job.apply && !job.allow_deletes);
        assert_eq!(job.on_rejects, OnRejects::Stop);
        assert_eq!(job.describe(), "a, files *.csv: planned only");
    }

    #[test]
    fn a_bad_file_says_what_would_be_right() {
        for (text, part) in [
            ("", "missing field `files`"),
            ("files = '*.csv'\naply = true", "did you mean `apply`"),
            (
                "files = '*.csv'\nschedule = '* * * * *'",
                "unknown key `schedule`",
            ),
            ("files = '[a'", "crm-*.csv"),
            ("files = 'a/*.csv'", "names alone"),
            ("files = '*'\nmax_rows = 0", "at least 1"),
            ("files = '*'\ndelimiter = 'x'", "semicolon"),
            ("files = '*'\non_rejects = 'ignore'", "go_on"),
            ("files = '*'\nempty = 'drop'", "keep"),
        ] {
            let message = job("a", text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
        let message = job("users", "files = '*'").unwrap_err().to_string();
        assert!(message.contains("built-in"), "{message}");
    }

    #[test]
    fn jobs_that_run_are_others() {
        let directory = tempfile::tempdir().unwrap();
        let file =
            |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        file("crm.toml", "resource = 'bulk'\nfiles = 'crm*.csv'");
        file("users.toml", "resource = 'users'");
        let names = |jobs: Vec<String>| jobs.join(" ");
        let ours = all(directory.path()).unwrap();
        assert_eq!(names(ours.into_iter().map(|job| job.name).collect()), "crm");
        let theirs = job::all(directory.path()).unwrap();
        assert_eq!(
            names(theirs.into_iter().map(|job| job.name).collect()),
            "accounts catalog events schema segments users"
        );
    }
}
