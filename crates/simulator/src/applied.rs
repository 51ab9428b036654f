//! What bulk updates did, action by action in the order it happened, for tests that ask whether
//! something was done, how often, and to whom.

use std::collections::VecDeque;

use serde::Serialize;
use serde_json::value::RawValue;

use super::tenant::Tenant;

/// The actions kept; older ones are forgotten and counted.
const KEPT: usize = 2_000_000;

/// What an action of a bulk update is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Does {
    /// An attribute is set, or removed by an empty value.
    SetAttribute,
    /// A person is deleted.
    DeleteUser,
}

/// What became of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Applied,
    /// It was not, and the row failed with it.
    Error,
}

/// One action that a job came to. Actions of a row after one that failed are not among them.
#[derive(Debug, Clone, Serialize)]
pub struct Applied {
    /// The job.
    pub job_id: String,
    /// Whom it was done to, by the id sent or the UUID a foreign key led to; none for a foreign key
    /// that led nowhere.
    pub user_id: Option<String>,
    /// What it is.
    pub action: Does,
    /// The attribute, of a `set-attribute`.
    pub field: Option<String>,
    /// The value as sent; none for one that was no string.
    pub value: Option<String>,
    /// What was there before: the attribute's value, or index and registration of the person
    /// deleted.
    pub before: Option<Box<RawValue>>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was not done; empty if it was.
    pub message: String,
    /// When, by the simulator's clock, in ISO 8601.
    pub at: String,
}

/// The actions so far.
#[derive(Debug, Default)]
pub(super) struct Log {
    kept: VecDeque<Applied>,
    forgotten: u64,
    /// Actions that were done.
    pub applied: u64,
}

impl Log {
    pub(super) fn push(&mut self, action: Applied) {
        if action.outcome == Outcome::Applied {
            self.applied += 1;
        }
        if self.kept.len() == KEPT {
            self.kept.pop_front();
            self.forgotten += 1;
        }
        self.kept.push_back(action);
    }
}

impl Tenant {
    /// The actions of bulk updates so far, in the order they happened; of more than two million the
    /// latest.
    pub fn bulk_applied(&self) -> Vec<Applied> {
        self.run_due_jobs();
        self.jobs().log.kept.iter().cloned().collect()
    }

    /// Appends actions as lines of JSON, from a number on, until about `limit` bytes are there;
    /// answers where to go on.
    pub(super) fn bulk_applied_part(
        &self,
        out: &mut Vec<u8>,
        from: u64,
        limit: usize,
    ) -> Option<u64> {
        self.run_due_jobs();
        let jobs = self.jobs();
        let log = &jobs.log;
        let begin = out.len();
        let first = from.max(log.forgotten);
        let skipped = usize::try_from(first - log.forgotten).unwrap_or(usize::MAX);
        for (number, action) in (first..).zip(log.kept.iter().skip(skipped)) {
            if out.len() - begin >= limit {
                return Some(number);
            }
            // A Vec cannot refuse a write, and nothing here cannot be written.
            if serde_json::to_writer(&mut *out, action).is_ok() {
                out.push(b'\n');
            }
        }
        None
    }
}
