//! Batches of events: appended and committed with their counters and their progress in one
//! transaction.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::Error;
use super::super::progress::{Phase, Progress};
use super::{Answered, Batch, once_each_event};
use ::privacy::Erased;
use mirror::load::events;
use mirror::load::merge::Failure;
use mirror::load::pieces::Pieces;
use mirror::postgres::savepoint::Savepoint;
use mirror::state::batches::{self, Closing};
use mirror::state::leases::Token;
use mirror::state::rejects;
use mirror::state::runs::Counts;
use record::{Event, Reject, Resource};
use zephr::{event, user};

/// What an appending writer needs.
#[derive(Debug, Clone)]
pub struct Append {
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
    pub(super) async fn write(
        &self,
        session: &mut PgConnection,
        mut batch: Batch,
    ) -> Result<(), Error> {
        let mut counts = Counts {
            read: batch.rows as i64,
            times_from_numbers: batch.times_from_numbers,
            ..Counts::default()
        };
        let mut transaction = self.token.begin_batch(session).await?;
        let mut unstorable = std::mem::take(&mut batch.rejects);
        let done = std::mem::take(&mut batch.done);
        let items = once_each_event(batch.items());
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
        let scan = self.scan_id.map(|scan_id| batches::Progress {
            scan_id,
            parts: &done,
            findings: &[],
        });
        let closing = Closing {
            run_id: self.run_id,
            counts,
            scan,
        };
        batches::close(&mut transaction, self.token, closing).await?;
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
        let mut savepoint = Savepoint::of_begin();
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
            match events::append(connection, &mut savepoint, self.run_id, answered_at, &rows).await
            {
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
    session: &mut PgConnection,
    progress: &Progress,
    batch: Batch,
) -> Result<(), Error> {
    let mut counts = Counts {
        read: batch.rows as i64,
        rejected: batch.rejects.len() as i64,
        ..Counts::default()
    };
    let items = once_each_event(batch.items());
    let events: Vec<(DateTime<Utc>, &str)> = items
        .iter()
        .filter_map(|(item, _)| Some((item.registered_at?, item.id.as_str())))
        .collect();
    let known = events::known(session, &events).await?;
    counts.inserted = events.len() as i64 - known;
    counts.unchanged = counts.read - counts.inserted - counts.rejected;
    progress.committed(counts);
    Ok(())
}
