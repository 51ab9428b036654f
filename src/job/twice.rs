//! Two jobs that write the same tables: each would undo what the other wrote, night after night, as
//! far as their files differ.

use std::path::Path;

use super::Job;
use record::Resource;
use resource::Step;

/// Two jobs of which only one may run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the jobs {} and {} both write {what}, and each would undo what the other wrote; {remedy}",
    .jobs[0],
    .jobs[1]
)]
pub struct Error {
    /// Each with its file.
    jobs: [String; 2],
    /// What both write.
    what: String,
    /// What to write into which file.
    remedy: String,
}

/// Makes sure that of these jobs no two write the same. `directory` is where a built-in job is
/// turned off.
///
/// # Errors
/// The first two that do.
pub(super) fn check(jobs: &[&Job], directory: &Path) -> Result<(), Error> {
    for (at, job) in jobs.iter().enumerate() {
        for other in &jobs[..at] {
            if let Some(what) = both_write(other, job) {
                return Err(Error {
                    jobs: [shown(other), shown(job)],
                    what,
                    remedy: remedy(other, job, directory),
                });
            }
        }
    }
    Ok(())
}

/// What both of them write, in words.
fn both_write(one: &Job, other: &Job) -> Option<String> {
    if one.resource != Resource::List {
        let same = one.resource == other.resource;
        return same.then(|| format!("the tables of resource = \"{}\"", one.resource.name()));
    }
    let tables: Vec<&str> = tables(one).collect();
    let shared = self::tables(other).find(|name| tables.contains(name));
    shared.map(|name| format!("the table {name}"))
}

/// The tables of a job that is described step by step.
fn tables(job: &Job) -> impl Iterator<Item = &str> {
    job.steps.iter().map(|step| match step {
        Step::List(list) => &*list.table.name,
        Step::Below(below) => &*below.table.name,
    })
}

fn shown(job: &Job) -> String {
    match &job.file {
        Some(file) => format!("`{}` ({})", job.name, file.display()),
        None => format!("`{}` (built in)", job.name),
    }
}

/// A job that is built in has no file to be turned off in, and gets one.
fn remedy(one: &Job, other: &Job, directory: &Path) -> String {
    let off = |job: &Job| match &job.file {
        Some(file) => format!("`enabled = false` into {}", file.display()),
        None => format!(
            "`resource = \"{}\"` and `enabled = false` into {}",
            job.resource.name(),
            directory.join(format!("{}.toml", job.name)).display()
        ),
    };
    format!("keep one of them: write {}, or {}", off(one), off(other))
}
