//! Batches of events: appended and committed with their counters and their progress in one
//! transaction.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::super::Error;
use super::super::progress::{Phase, Progress};
use super::{Answered, Batch, once_each};
use ::privacy::Erased;
use mirror::load::events;
use mirror::load::merge::Failure;
use mirror::load::pieces::Pieces;
use mirror::state::leases::Token;
use mirror::state::runs::{self, Counts};
use mirror::state::{rejects, windows};
use record::{Event, Reject, Resource};
use zephr::{event, user};

/// What an appending writer needs.
#[derive(Debug, Clone)]
pub struct Append {
    /// Sessions.
    pub pool: PgPool,
    /// The lease.
    pub token: Token,
    /// Name of the job.
    pub job: Arc<str>,
    /// The run.
    pub run_id: Uuid,
    /// The scan whose progress is kept, if it is.
    pub scan_id: Option<Uuid>,
    /// Who must not come back.
    pub erased: Arc<Erased>,
    /// Where people and logs see how it goes.
    pub progress: Arc<Progress>,
}

impl Append {
    pub(super) async fn write(&self, mut batch: Batch) -> Result<(), Error> {
        let mut counts = Counts {
            read: batch.rows as i64,
            times_from_numbers: batch.times_from_numbers,
            ..Counts::default()
        };
        let mut transaction = self.token.begin(&self.pool).await?;
        let mut unstorable = std::mem::take(&mut batch.rejects);
        let done = std::mem::take(&mut batch.done);
        let items = once_each(batch.items());
        self.progress.enter(Phase::BatchCompared);
        let left_out = self
            .append(&mut transaction, &items, &mut counts, &mut unstorable)
            .await?;
        self.progress.enter(Phase::BatchMerged);
        counts.unchanged = counts.read - counts.inserted - unstorable.len() as i64 - left_out;
        if !unstorable.is_empty() {
            let met = rejects::store(
                &mut *transaction,
                &self.job,
                Resource::Events,
                self.run_id,
                &unstorable,
            )
            .await?;
            counts.rejected = met as i64;
        }
        if let Some(scan_id) = self.scan_id
            && !done.is_empty()
        {
            windows::commit(&mut *transaction, scan_id, self.run_id, &done).await?;
        }
        runs::add(&mut *transaction, self.run_id, counts).await?;
        transaction.commit().await?;
        self.progress.committed(counts);
        Ok(())
    }

    /// Appends, halving what Postgres cannot hold until the events are found that it refuses.
    /// Answers how many were left out, since they are about people who were erased.
    async fn append(
        &self,
        connection: &mut PgConnection,
        items: &[Answered],
        counts: &mut Counts,
        unstorable: &mut Vec<Reject>,
    ) -> Result<i64, Error> {
        let answered_at = items.iter().filter_map(|(_, at)| *at).min();
        let mut left_out = 0;
        let mut pieces = Pieces::of(items);
        while let Some(piece) = pieces.next() {
            let mut rows: Vec<Event> = piece
                .iter()
                .filter_map(|(item, _)| Some(event::row(item, item.registered_at?)))
                .collect();
            let before = rows.len();
            rows.retain(|event| {
                let user = event.user_id.as_deref();
                !user.is_some_and(|user| self.erased.is(user))
            });
            let left = (before - rows.len()) as i64;
            match events::append(connection, self.run_id, answered_at, &rows).await {
                Ok(inserted) => {
                    counts.inserted += inserted;
                    left_out += left;
                }
                Err(Failure::Database(error)) => return Err(error.into()),
                Err(Failure::Unstorable(reason)) => {
                    if let Some((item, at)) = pieces.refused(piece) {
                        unstorable.push(user::reject(item, *at, reason));
                    }
                }
            }
        }
        Ok(left_out)
    }
}

/// Counts what would be appended.
pub(super) async fn count_only(
    pool: &PgPool,
    progress: &Progress,
    batch: Batch,
) -> Result<(), Error> {
    let mut counts = Counts {
        read: batch.rows as i64,
        rejected: batch.rejects.len() as i64,
        ..Counts::default()
    };
    let items = once_each(batch.items());
    let events: Vec<(DateTime<Utc>, &str)> = items
        .iter()
        .filter_map(|(item, _)| Some((item.registered_at?, item.id.as_str())))
        .collect();
    let known = events::known(&mut *pool.acquire().await?, &events).await?;
    counts.inserted = events.len() as i64 - known;
    counts.unchanged = counts.read - counts.inserted - counts.rejected;
    progress.committed(counts);
    Ok(())
}
