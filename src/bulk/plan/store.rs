//! The fourth part of planning: rows into the ledger. A user stands in a plan once: the first row
//! about them counts, every further one is left out with a complaint.

use sqlx::PgConnection;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::SHOWN;
use super::compare::{Compared, reject};
use super::duplicates::Seen;
use crate::bulk::error::Error;
use crate::bulk::progress::Progress;
use crate::bulk::wire;
use csv_intake::complaint::Complaint;
use mirror::state::bulk::plans::Sums;
use mirror::state::bulk::rows::{self, Action, New, State};

pub(super) struct Store<'a> {
    ledger: &'a mut PgConnection,
    plan_id: Uuid,
    /// The column that names the users.
    column: String,
    progress: &'a Progress,
    sums: Sums,
    complaints: Vec<Complaint>,
    seen: Seen,
}

impl<'a> Store<'a> {
    pub(super) fn new(
        ledger: &'a mut PgConnection,
        plan_id: Uuid,
        column: String,
        progress: &'a Progress,
    ) -> Self {
        Self {
            ledger,
            plan_id,
            column,
            progress,
            sums: Sums::default(),
            complaints: Vec::new(),
            seen: Seen::new(),
        }
    }

    /// Takes batches until there are no more; answers what they came to, and the first complaints.
    pub(super) async fn all(
        mut self,
        mut batches: mpsc::Receiver<Vec<(New, Compared)>>,
    ) -> Result<(Sums, Vec<Complaint>), Error> {
        while let Some(batch) = batches.recv().await {
            self.batch(batch).await?;
        }
        Ok((self.sums, self.complaints))
    }

    async fn batch(&mut self, batch: Vec<(New, Compared)>) -> Result<(), Error> {
        let (mut new, mut batch): (Vec<New>, Vec<Compared>) = batch.into_iter().unzip();
        for (at, line) in self.repeated(&new).await? {
            let complaint = again(&new[at], line, &self.column);
            new[at] = reject(
                new[at].row_number,
                new[at].line,
                new[at].identifier.take().unwrap_or_default(),
                new[at].action,
                std::slice::from_ref(&complaint),
            );
            batch[at].complaints.push(complaint);
        }
        rows::add(self.ledger, self.plan_id, &new).await?;
        for (new, row) in new.iter().zip(batch) {
            self.count(new, row);
        }
        Ok(())
    }

    /// Rows about users who stand in the plan already, and at which line. [`Seen`] knows who
    /// cannot; the ledger is asked about the others.
    async fn repeated(&mut self, new: &[New]) -> Result<Vec<(usize, i64)>, Error> {
        let users = new.iter().filter_map(|row| row.user_id.as_deref());
        let maybe: Vec<&str> = users.filter(|user| self.seen.add(user)).collect();
        if maybe.is_empty() {
            return Ok(Vec::new());
        }
        let mut lines = rows::lines_of(&mut *self.ledger, self.plan_id, &maybe).await?;
        let mut repeated = Vec::new();
        for (at, row) in new.iter().enumerate() {
            let Some(user_id) = &row.user_id else {
                continue;
            };
            match lines.get(user_id) {
                Some(line) => repeated.push((at, *line)),
                None => {
                    lines.insert(user_id.clone(), row.line);
                }
            }
        }
        Ok(repeated)
    }

    fn count(&mut self, new: &New, row: Compared) {
        self.sums.rows_read += 1;
        let rejected = !row.complaints.is_empty();
        self.progress.settle(1, usize::from(rejected));
        if rejected {
            self.sums.rows_rejected += 1;
            let room = SHOWN.saturating_sub(self.complaints.len());
            self.complaints
                .extend(row.complaints.into_iter().take(room));
            return;
        }
        match new.state {
            State::Unchanged => self.sums.rows_skipped += 1,
            State::Planned
            | State::Sent
            | State::Succeeded
            | State::Failed
            | State::Unknown
            | State::Rejected => {
                self.sums.rows_planned += 1;
                self.sums.rows_deleting += i64::from(new.action == Action::Delete);
                for change in &row.changes {
                    let before = change.before.as_deref();
                    let as_text = wire::becomes_text(before, &change.after);
                    self.sums
                        .count(&change.slug, before, &change.after, as_text);
                }
            }
        }
    }
}

/// What is wrong with a row about a user whom an earlier one is about.
fn again(row: &New, line: i64, column: &str) -> Complaint {
    let identifier = row.identifier.as_deref().unwrap_or_default();
    let reason = format!("is the same user as on line {line}; a user may stand in a file once");
    Complaint::about_cell(row.line.unsigned_abs(), column, identifier, reason)
}
