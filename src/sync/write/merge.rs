//! Batches into the mirror, each with its counters and its progress in one transaction.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Answered, Batch, next_batch, once_each};
use crate::sync::Error;
use crate::sync::progress::{Phase, Progress};
use ::privacy::Erased;
use ::scan::part::Fetched;
use ::scan::together::{self, Batch as _, Together};
use clock::time;
use mirror::load::compare;
use mirror::load::merge::{self, Extracted, Failure, Settle};
use mirror::load::pieces::Pieces;
use mirror::postgres::savepoint::Savepoint;
use mirror::state::batches::{self, Closing};
use mirror::state::leases::Token;
use mirror::state::runs::Counts;
use mirror::state::scan_findings::Note;
use mirror::state::shared_windows::{self, Asked, Claim};
use mirror::state::{erasures, rejects, windows};
use record::{Mirrored, Reject, Resource, User};
use telemetry::span::{Span, Work};
use zephr::reread::Reading;
use zephr::user;

/// Windows that commit together, at most, and how long the first of them waits: so much is asked
/// again by a scan that was killed. A night changes a few people in each window, and a dozen
/// statements with a commit of their own for those cost ten times what their rows do.
const WINDOWS_TOGETHER: usize = 32;
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// Records that are worth a commit of their own: half a page. A page of a first load is one, and
/// waits in memory for no other.
const WORTH_A_COMMIT: usize = 250;

/// What a merging writer needs.
#[derive(Debug, Clone)]
pub struct Merge {
    token: Token,
    job: Arc<str>,
    run_id: Uuid,
    scan: Option<Kept>,
    progress: Arc<Progress>,
    erased: Arc<Erased>,
    reading: Arc<Reading>,
}

/// A scan whose progress is kept.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// The scan.
    pub scan_id: Uuid,
    /// Whether it is noted who changed.
    pub notes_changes: bool,
}

impl Merge {
    /// Merges into the mirror under a lease. Without a scan no progress is kept.
    pub fn new(
        token: Token,
        job: &str,
        run_id: Uuid,
        scan: Option<Kept>,
        progress: Arc<Progress>,
    ) -> Self {
        Self {
            token,
            job: job.into(),
            run_id,
            scan,
            progress,
            erased: Arc::default(),
            reading: Arc::default(),
        }
    }

    /// Takes users as they are read this way.
    pub fn reading(self, reading: Arc<Reading>) -> Self {
        Self { reading, ..self }
    }

    /// Leaves out who was erased.
    pub fn without(self, erased: Erased) -> Self {
        Self {
            erased: Arc::new(erased),
            ..self
        }
    }
}

/// What is to be committed of a batch, or of some. It is made of a batch and not of nothing: one
/// that came back empty carries who is missing, and what is done.
#[derive(Debug)]
struct Compared {
    /// Records received.
    read: i64,
    times_from_numbers: i64,
    /// Who was met that is kept out.
    erased: Vec<[u8; 32]>,
    undated: Vec<String>,
    missing: Vec<String>,
    unstorable: Vec<Reject>,
    done: Vec<windows::Done>,
    /// What is new or different.
    items: Vec<Answered>,
}

impl together::Batch for Compared {
    fn append(&mut self, later: Self) {
        let Self {
            read,
            times_from_numbers,
            mut erased,
            mut undated,
            mut missing,
            mut unstorable,
            mut done,
            mut items,
        } = later;
        self.read += read;
        self.times_from_numbers += times_from_numbers;
        self.erased.append(&mut erased);
        self.undated.append(&mut undated);
        self.missing.append(&mut missing);
        self.unstorable.append(&mut unstorable);
        self.done.append(&mut done);
        self.items.append(&mut items);
    }

    /// Little is to be written.
    fn may_wait(&self) -> bool {
        self.items.len() < WORTH_A_COMMIT
            && self.unstorable.is_empty()
            && self.erased.is_empty()
            && self.done.len() < WINDOWS_TOGETHER
    }
}

impl Compared {
    /// What waits holds no page: its records get memory of their own.
    fn leave_pages_if_it_waits(&mut self) {
        if self.may_wait() {
            for (item, _) in &mut self.items {
                item.text = item.text.alone();
            }
        }
    }
}

impl Merge {
    /// Writes what comes, until there is no more. Where a scan keeps its progress, windows of which
    /// little changed wait for company.
    pub(super) async fn write_all(
        &self,
        session: &mut PgConnection,
        pages: &Mutex<mpsc::Receiver<Fetched>>,
    ) -> Result<(), Error> {
        let mut waiting = Together::default();
        let mut until = Instant::now();
        loop {
            let batch = if waiting.is_waiting() {
                match tokio::time::timeout_at(until, next_batch(pages)).await {
                    Ok(batch) => batch,
                    Err(_) => {
                        self.commit_all(session, &mut waiting).await?;
                        continue;
                    }
                }
            } else {
                next_batch(pages).await
            };
            let Some(batch) = batch else {
                return self.commit_all(session, &mut waiting).await;
            };
            if !waiting.is_waiting() {
                until = time::later(Instant::now(), LONGEST_WAIT);
            }
            let rows = batch.rows;
            let span = Span::of(|| Work::Batch { rows });
            let written = async {
                let mut compared = self.compare(session, batch).await?;
                let ready = if self.scan.is_some() {
                    compared.leave_pages_if_it_waits();
                    waiting.take_in(compared)
                } else {
                    Some(compared)
                };
                match ready {
                    Some(ready) => self.commit(session, ready).await,
                    None => Ok(()),
                }
            };
            span.over(written).await?;
        }
    }

    async fn commit_all(
        &self,
        session: &mut PgConnection,
        waiting: &mut Together<Compared>,
    ) -> Result<(), Error> {
        match waiting.take_all() {
            Some(compared) => self.commit(session, compared).await,
            None => Ok(()),
        }
    }

    async fn commit(&self, session: &mut PgConnection, compared: Compared) -> Result<(), Error> {
        let mut transaction = self.token.begin_batch(session).await?;
        let savepoint = Savepoint::of_begin();
        let counts = self
            .merge_compared(&mut transaction, savepoint, compared)
            .await?;
        transaction.commit().await?;
        self.progress.committed(counts);
        Ok(())
    }

    /// Writes a window that was read for another process, if the claim on it still stands; whether
    /// it did. The claim ends with the commit.
    pub(in crate::sync) async fn write_claimed(
        &self,
        pool: &PgPool,
        fetched: Fetched,
        claim: Claim,
        asked: Asked,
    ) -> Result<bool, Error> {
        let mut batch = Batch::default();
        batch.push(fetched);
        let mut transaction = self.token.begin(pool).await?;
        if !shared_windows::stands(&mut transaction, claim).await? {
            return Ok(false);
        }
        let compared = self.compare(&mut transaction, batch).await?;
        let savepoint = Savepoint::none();
        let counts = self
            .merge_compared(&mut transaction, savepoint, compared)
            .await?;
        shared_windows::whole(&mut *transaction, claim, counts, asked).await?;
        transaction.commit().await?;
        self.progress.committed(counts);
        Ok(true)
    }

    /// Finds out what of a batch is new or different. Writes nothing: what is merged later is
    /// compared again under the locks of its rows.
    async fn compare(
        &self,
        connection: &mut PgConnection,
        mut batch: Batch,
    ) -> Result<Compared, Error> {
        if batch.tells_grants {
            self.progress.hear_of_grants();
        }
        let read = batch.rows as i64;
        let erased = batch.without(&self.erased);
        let undated = batch.undated();
        let missing = compare::changed(connection, &mut batch.windows).await?;
        self.progress.enter(Phase::BatchCompared);
        Ok(Compared {
            read,
            times_from_numbers: batch.times_from_numbers,
            erased,
            undated,
            missing,
            unstorable: std::mem::take(&mut batch.rejects),
            done: std::mem::take(&mut batch.done),
            items: batch.items(),
        })
    }

    /// Everything that commits together. The users come first: what was written before them may be
    /// taken back with them.
    async fn merge_compared(
        &self,
        transaction: &mut PgConnection,
        mut savepoint: Savepoint,
        compared: Compared,
    ) -> Result<Counts, Error> {
        let Compared {
            read,
            times_from_numbers,
            erased,
            undated,
            missing,
            mut unstorable,
            done,
            items,
        } = compared;
        let mut counts = Counts {
            read,
            times_from_numbers,
            ..Counts::default()
        };
        let changed = Merging {
            run_id: self.run_id,
            reading: &self.reading,
            counts: &mut counts,
            unstorable: &mut unstorable,
        }
        .merge(transaction, &mut savepoint, once_each(items))
        .await?;
        self.progress.enter(Phase::BatchMerged);
        let left_out = (unstorable.len() + erased.len()) as i64;
        counts.unchanged = counts.read - counts.inserted - counts.updated - left_out;
        if !erased.is_empty() {
            erasures::met(&mut *transaction, self.run_id, &erased).await?;
        }
        if !unstorable.is_empty() {
            let met = rejects::store(
                &mut *transaction,
                &self.job,
                Resource::Users,
                self.run_id,
                &unstorable,
            )
            .await?;
            // A part that is read by page is read twice, and its rejects are still the same.
            counts.rejected = met as i64;
        }
        let findings = self.findings(undated, missing, changed);
        let scan = self.scan.map(|scan| batches::Progress {
            scan_id: scan.scan_id,
            parts: &done,
            findings: &findings,
        });
        let closing = Closing {
            run_id: self.run_id,
            counts,
            scan,
        };
        batches::close(transaction, self.token, closing).await?;
        Ok(counts)
    }

    fn findings(
        &self,
        undated: Vec<String>,
        missing: Vec<String>,
        changed: Vec<String>,
    ) -> Vec<(Note, String)> {
        let notes_changes = self.scan.is_some_and(|scan| scan.notes_changes);
        let changed = if notes_changes { changed } else { Vec::new() };
        let noted = |note, ids: Vec<String>| ids.into_iter().map(move |id| (note, id));
        noted(Note::Undated, undated)
            .chain(noted(Note::Missing, missing))
            .chain(noted(Note::Changed, changed))
            .collect()
    }
}

/// Users on their way into the mirror, and what is counted of them.
#[derive(Debug)]
pub struct Merging<'a> {
    /// The run.
    pub run_id: Uuid,
    /// How users are read.
    pub reading: &'a Reading,
    /// Counts who is new and who is different.
    pub counts: &'a mut Counts,
    /// Takes in those whom Postgres cannot hold.
    pub unstorable: &'a mut Vec<Reject>,
}

impl Merging<'_> {
    /// Merges, halving what Postgres cannot hold until the records are found that it refuses.
    /// Answers who was new or different.
    pub async fn merge(
        self,
        connection: &mut PgConnection,
        savepoint: &mut Savepoint,
        items: Vec<Answered>,
    ) -> Result<Vec<String>, Error> {
        let Self {
            run_id,
            reading,
            counts,
            unstorable,
        } = self;
        let mut changed = Vec::new();
        let mut pieces = Pieces::of(&items);
        let mut are_held = false;
        loop {
            if pieces.are_several() && !are_held {
                let ids: Vec<&str> = items.iter().map(|(item, _)| item.id.as_str()).collect();
                merge::hold(connection, savepoint, &ids).await?;
                are_held = true;
            }
            let Some(piece) = pieces.next() else {
                break;
            };
            let mut rows: Vec<Extracted> = piece
                .iter()
                .map(|(item, at)| (user::row(item), *at))
                .collect();
            let settle = |stored: &Mirrored, user: &mut User| reading.settle(stored, user);
            let is_by_hash =
                reading.is_by_hash && !rows.iter().any(|(user, _)| reading.asks_in_vain(user));
            let settle = (!is_by_hash).then_some(&settle as Settle<'_>);
            match merge::users(connection, savepoint, run_id, settle, &mut rows).await {
                Ok(merged) => {
                    counts.inserted += merged.inserted;
                    counts.updated += merged.updated;
                    // What was equal after all is no longer among the rows.
                    let merged = rows.into_iter().map(|(user, _): Extracted| user.user_id);
                    changed.extend(merged);
                }
                Err(Failure::Database(error)) => return Err(error.into()),
                Err(Failure::Unstorable(reason)) => {
                    if let Some((item, at)) = pieces.refused(piece) {
                        unstorable.push(user::reject(item, *at, reason));
                    }
                }
            }
        }
        Ok(changed)
    }
}
