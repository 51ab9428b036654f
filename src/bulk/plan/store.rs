//! The third part of planning: rows into the ledger. A user stands in a plan once: the first row about them counts, every further one is left out with a complaint.

use std::collections::HashSet;

use sqlx::PgConnection;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::SHOWN;
use super::compare::{Compared, reject};
use crate::bulk::complaint::Complaint;
use crate::bulk::error::Error;
use crate::bulk::progress::Progress;
use crate::state::bulk::plans::Sums;
use crate::state::bulk::rows::{self, Action, New, State};

pub(super) struct Store<'a> {
    ledger: &'a mut PgConnection,
    plan_id: Uuid,
    /// The column that names the users.
    column: String,
    progress: &'a Progress,
    sums: Sums,
    complaints: Vec<Complaint>,
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
        let (new, mut batch): (Vec<New>, Vec<Compared>) = batch.into_iter().unzip();
        let added = rows::add(self.ledger, self.plan_id, &new).await?;
        if added.len() < new.len() {
            let added: HashSet<i64> = added.into_iter().collect();
            self.again(&new, &mut batch, &added).await?;
        }
        for (new, row) in new.iter().zip(batch) {
            self.count(new, row);
        }
        Ok(())
    }

    /// Rows about users who stand in the plan already.
    async fn again(
        &mut self,
        new: &[New],
        batch: &mut [Compared],
        added: &HashSet<i64>,
    ) -> Result<(), Error> {
        let repeated: Vec<usize> = (0..new.len())
            .filter(|at| !added.contains(&new[*at].row_number))
            .collect();
        let users: Vec<&str> = repeated
            .iter()
            .filter_map(|at| new[*at].user_id.as_deref())
            .collect();
        let lines = rows::lines_of(&mut *self.ledger, self.plan_id, &users).await?;
        let mut rejects = Vec::with_capacity(repeated.len());
        for at in repeated {
            let row = &new[at];
            let line = row
                .user_id
                .as_ref()
                .and_then(|user_id| lines.get(user_id))
                .copied()
                .unwrap_or_default();
            let identifier = row.identifier.clone().unwrap_or_default();
            let reason =
                format!("is the same user as on line {line}; a user may stand in a file once");
            let complaint =
                Complaint::about_cell(row.line.unsigned_abs(), &self.column, &identifier, reason);
            rejects.push(reject(
                row.row_number,
                row.line,
                identifier,
                row.action,
                std::slice::from_ref(&complaint),
            ));
            batch[at].complaints.push(complaint);
        }
        rows::add(self.ledger, self.plan_id, &rejects).await?;
        Ok(())
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
                    self.sums
                        .count(&change.slug, change.before.as_deref(), &change.after);
                }
            }
        }
    }
}
