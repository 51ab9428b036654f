//! The writing side of a run: batches of pages, each merged and committed with its counters and its progress in one transaction.

mod append;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::Error;
use super::progress::{Phase, Progress};
use crate::load::compare::{self, Group, Range};
use crate::load::merge::{self, Extracted, Failure};
use crate::privacy::Erased;
use crate::record::{Item, Reject, Resource};
use crate::scan::part::Fetched;
use crate::scan::verdict::Proof;
use crate::scan::walk::Part;
use crate::state::leases::Token;
use crate::state::notes::{self, Note};
use crate::state::offers::{self, Asked, Claim};
use crate::state::runs::{self, Counts};
use crate::state::{erasures, rejects, windows};
use crate::telemetry::span::{Span, Work};
use crate::zephr::user;
pub use append::Append;

/// A second writing connection is worth half as much again; a third only waits for the same two disks and cores.
pub const WRITERS: u32 = 2;

/// Records that commit together, about. Large enough that the commit does not matter, small enough that a batch in memory does not either.
const BATCH: usize = 1_500;

/// Records per statement. Rows are made and encoded for one statement at a time, which is what memory is spent on; larger ones are not faster.
const STATEMENT: usize = 500;

/// Where batches go.
#[derive(Debug, Clone)]
pub enum Destination {
    /// Into the mirror.
    Merge(Merge),
    /// Nowhere: they are compared in a session that may only read.
    Compare(PgPool, Arc<Progress>, Arc<Erased>),
    /// Into the events.
    Append(Append),
    /// Nowhere: the events among them that are not there are counted.
    Count(PgPool, Arc<Progress>),
    /// Nowhere: who is in them is no longer noted as changed by this scan.
    Strike(PgPool, Uuid),
}

/// What a merging writer needs.
#[derive(Debug, Clone)]
pub struct Merge {
    pool: PgPool,
    token: Token,
    job: Arc<str>,
    run_id: Uuid,
    scan: Option<Kept>,
    progress: Arc<Progress>,
    erased: Arc<Erased>,
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
        pool: PgPool,
        token: Token,
        job: &str,
        run_id: Uuid,
        scan: Option<Kept>,
        progress: Arc<Progress>,
    ) -> Self {
        Self {
            pool,
            token,
            job: job.into(),
            run_id,
            scan,
            progress,
            erased: Arc::default(),
        }
    }

    /// Leaves out who was erased.
    pub fn without(self, erased: Erased) -> Self {
        Self {
            erased: Arc::new(erased),
            ..self
        }
    }
}

impl Destination {
    async fn write(&self, batch: Batch) -> Result<(), Error> {
        match self {
            Self::Merge(merge) => merge.write(batch).await,
            Self::Compare(pool, progress, erased) => {
                compare_only(pool, progress, erased, batch).await
            }
            Self::Append(append) => append.write(batch).await,
            Self::Count(pool, progress) => append::count_only(pool, progress, batch).await,
            Self::Strike(pool, scan_id) => strike(pool, *scan_id, batch).await,
        }
    }
}

/// The writers of a run.
#[derive(Debug)]
pub struct Writers {
    tasks: JoinSet<Result<(), Error>>,
    error: Option<Error>,
    failed: watch::Receiver<bool>,
}

impl Writers {
    /// Starts them on what comes through the channel.
    pub fn start(destination: &Destination, pages: mpsc::Receiver<Fetched>) -> Self {
        let pages = Arc::new(Mutex::new(pages));
        let (failing, failed) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for _ in 0..WRITERS {
            let (destination, pages, failing) =
                (destination.clone(), Arc::clone(&pages), failing.clone());
            tasks.spawn(Span::current().over(async move {
                let written = write_all(&destination, &pages).await;
                if written.is_err() {
                    let _ = failing.send(true);
                    // Nothing that was fetched may wait for a writer that is gone.
                    pages.lock().await.close();
                }
                written
            }));
        }
        Self {
            tasks,
            error: None,
            failed,
        }
    }

    /// Resolves when one of them failed.
    pub async fn failed(&self) {
        let mut failed = self.failed.clone();
        if failed.wait_for(|failed| *failed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until all are done; the channel must be closed. The first error is kept for [`Self::take_error`].
    pub async fn join(&mut self) -> Result<(), ()> {
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended.unwrap_or(Err(Error::Stopped)) {
                self.error.get_or_insert(error);
            }
        }
        if self.error.is_some() {
            Err(())
        } else {
            Ok(())
        }
    }

    /// The first error.
    pub fn take_error(&mut self) -> Option<Error> {
        self.error.take()
    }
}

async fn write_all(
    destination: &Destination,
    pages: &Mutex<mpsc::Receiver<Fetched>>,
) -> Result<(), Error> {
    while let Some(batch) = next_batch(pages).await {
        let rows = batch.rows;
        let span = Span::of(|| Work::Batch { rows });
        span.over(destination.write(batch)).await?;
    }
    Ok(())
}

/// One page, and what else is waiting already, up to a batch.
async fn next_batch(pages: &Mutex<mpsc::Receiver<Fetched>>) -> Option<Batch> {
    let mut pages = pages.lock().await;
    let mut batch = Batch::default();
    batch.push(pages.recv().await?);
    while batch.rows < BATCH
        && let Ok(fetched) = pages.try_recv()
    {
        batch.push(fetched);
    }
    Some(batch)
}

/// Pages that commit together.
#[derive(Debug, Default)]
struct Batch {
    /// Whole windows: each is compared by its digest first.
    windows: Vec<Group>,
    window_times: Vec<Option<DateTime<Utc>>>,
    /// Pages of parts that were read by page: compared by key.
    pages: Vec<(Vec<Item>, Option<DateTime<Utc>>)>,
    rejects: Vec<Reject>,
    done: Vec<(windows::Done, i64)>,
    rows: usize,
}

impl Batch {
    fn push(&mut self, fetched: Fetched) {
        let Fetched {
            mut page,
            completes,
        } = fetched;
        let rows = page.len();
        self.rows += rows;
        match completes {
            Some(window) => {
                let ids = page.rejects.iter().filter_map(|reject| reject.id.clone());
                self.windows.push(Group {
                    range: Range {
                        from: window.from,
                        until: window.until,
                    },
                    rejected: ids.collect(),
                    items: page.items,
                });
                self.window_times.push(page.answered_at);
                let part = Part::Window(window);
                self.done
                    .push((super::done(part, Proof::Whole), rows as i64));
            }
            None => self.pages.push((page.items, page.answered_at)),
        }
        self.rejects.append(&mut page.rejects);
    }

    /// Leaves out who was erased, before anything is compared: a window is then as it was, and nobody in it new. Answers who was met.
    fn without(&mut self, erased: &Erased) -> Vec<[u8; 32]> {
        let mut met = Vec::new();
        if erased.is_empty() {
            return met;
        }
        let mut stays = |id: &str| match erased.find(id) {
            Some(hash) => {
                met.push(hash);
                false
            }
            None => true,
        };
        let windows = self.windows.iter_mut().map(|group| &mut group.items);
        let pages = self.pages.iter_mut().map(|(items, _)| items);
        for items in windows.chain(pages) {
            items.retain(|item| stays(&item.id));
        }
        self.rejects.retain(|reject| {
            let id = reject.id.clone().or_else(|| user::claimed_id(&reject.text));
            id.is_none_or(|id| stays(&id))
        });
        met
    }

    /// Who was sent without a registration date, in whole windows.
    fn undated(&self) -> Vec<String> {
        let items = self.windows.iter().flat_map(|group| &group.items);
        items
            .filter(|item| item.registered_at.is_none())
            .map(|item| item.id.clone())
            .collect()
    }

    /// What is left after the comparison, with the time of its answer, each user once.
    fn items(self) -> Vec<(Item, Option<DateTime<Utc>>)> {
        let windows = self
            .windows
            .into_iter()
            .map(|group| group.items)
            .zip(self.window_times);
        let mut items: Vec<_> = windows
            .chain(self.pages)
            .flat_map(|(items, at)| items.into_iter().map(move |item| (item, at)))
            .collect();
        items.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
        // Sorting is stable: of a user that was sent twice the later one is kept.
        items.reverse();
        items.dedup_by(|(a, _), (b, _)| a.id == b.id);
        // Ascending, through all statements of the transaction: two writers that meet the same users lock them in the same order.
        items.reverse();
        items
    }
}

impl Merge {
    async fn write(&self, batch: Batch) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        self.token.fence(&mut transaction).await?;
        let counts = self.merge_batch(&mut transaction, batch).await?;
        // Last, since the other writers wait for this row until the commit.
        runs::add(&mut *transaction, self.run_id, counts).await?;
        transaction.commit().await?;
        self.progress.committed(counts);
        Ok(())
    }

    /// Writes a window that was read for another process, if the claim on it still stands; whether it did. The claim ends with the commit.
    pub(super) async fn write_claimed(
        &self,
        fetched: Fetched,
        claim: Claim,
        asked: Asked,
    ) -> Result<bool, Error> {
        let mut batch = Batch::default();
        batch.push(fetched);
        let mut transaction = self.pool.begin().await?;
        self.token.fence(&mut transaction).await?;
        if !offers::stands(&mut transaction, claim).await? {
            return Ok(false);
        }
        let counts = self.merge_batch(&mut transaction, batch).await?;
        offers::whole(&mut *transaction, claim, counts, asked).await?;
        runs::add(&mut *transaction, self.run_id, counts).await?;
        transaction.commit().await?;
        self.progress.committed(counts);
        Ok(true)
    }

    /// Everything that commits with a batch but the counters of the run.
    async fn merge_batch(
        &self,
        transaction: &mut PgConnection,
        mut batch: Batch,
    ) -> Result<Counts, Error> {
        let mut counts = Counts {
            read: batch.rows as i64,
            ..Counts::default()
        };
        let erased = batch.without(&self.erased);
        let undated = batch.undated();
        let missing = compare::changed(transaction, &mut batch.windows).await?;
        self.progress.enter(Phase::BatchCompared);
        let mut unstorable = std::mem::take(&mut batch.rejects);
        let done = std::mem::take(&mut batch.done);
        let items = batch.items();
        if let Some(scan) = self.scan {
            scan.note(
                transaction,
                Note::Undated,
                undated.iter().map(String::as_str),
            )
            .await?;
            scan.note(
                transaction,
                Note::Missing,
                missing.iter().map(String::as_str),
            )
            .await?;
        }
        let (run_id, unstored) = (self.run_id, &mut unstorable);
        let changed = Self::merge(transaction, run_id, items, &mut counts, unstored).await?;
        if let Some(scan) = self.scan.filter(|scan| scan.notes_changes) {
            scan.note(
                transaction,
                Note::Changed,
                changed.iter().map(String::as_str),
            )
            .await?;
        }
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
        if let Some(scan) = self.scan
            && !done.is_empty()
        {
            windows::commit(&mut *transaction, scan.scan_id, self.run_id, &done).await?;
        }
        Ok(counts)
    }

    /// Merges, halving what Postgres cannot hold until the records are found that it refuses. Answers who was new or different.
    pub async fn merge(
        connection: &mut PgConnection,
        run_id: Uuid,
        items: Vec<(Item, Option<DateTime<Utc>>)>,
        counts: &mut Counts,
        unstorable: &mut Vec<Reject>,
    ) -> Result<Vec<String>, Error> {
        let mut changed = Vec::new();
        let mut pending: Vec<_> = items.chunks(STATEMENT).rev().collect();
        while let Some(items) = pending.pop() {
            if items.is_empty() {
                continue;
            }
            let mut rows = items
                .iter()
                .map(|(item, at)| (user::row(item), *at))
                .collect();
            match merge::users(connection, run_id, &mut rows).await {
                Ok(merged) => {
                    counts.inserted += merged.inserted;
                    counts.updated += merged.updated;
                    // What was equal after all is no longer among the rows.
                    let merged = rows.into_iter().map(|(user, _): Extracted| user.user_id);
                    changed.extend(merged);
                }
                Err(Failure::Database(error)) => return Err(error.into()),
                Err(Failure::Unstorable(reason)) => match items {
                    [(item, at)] => unstorable.push(user::reject(item, *at, reason)),
                    several => {
                        let (first, second) = several.split_at(several.len() / 2);
                        pending.push(second);
                        pending.push(first);
                    }
                },
            }
        }
        Ok(changed)
    }
}

impl Kept {
    async fn note(
        self,
        connection: &mut PgConnection,
        note: Note,
        ids: impl Iterator<Item = &str>,
    ) -> Result<(), Error> {
        let ids: Vec<&str> = ids.collect();
        Ok(notes::add(connection, self.scan_id, note, &ids).await?)
    }
}

/// Who is in the batch is no longer noted as changed.
async fn strike(pool: &PgPool, scan_id: Uuid, batch: Batch) -> Result<(), Error> {
    let items = batch.items();
    let ids: Vec<&str> = items.iter().map(|(item, _)| item.id.as_str()).collect();
    Ok(notes::strike(pool, scan_id, Note::Changed, &ids).await?)
}

async fn compare_only(
    pool: &PgPool,
    progress: &Progress,
    erased: &Erased,
    mut batch: Batch,
) -> Result<(), Error> {
    let erased = batch.without(erased).len() as i64;
    let mut counts = Counts {
        read: batch.rows as i64,
        rejected: batch.rejects.len() as i64,
        ..Counts::default()
    };
    let mut transaction = pool.begin_with("begin read only").await?;
    compare::changed(&mut transaction, &mut batch.windows).await?;
    let items = batch.items();
    let ids: Vec<&str> = items.iter().map(|(item, _)| item.id.as_str()).collect();
    let hashes: Vec<&[u8]> = items.iter().map(|(item, _)| item.hash.as_slice()).collect();
    let known = compare::known(&mut transaction, &ids, &hashes).await?;
    counts.updated = known.different;
    counts.inserted = items.len() as i64 - known.different - known.equal;
    counts.unchanged = counts.read - counts.inserted - counts.updated - counts.rejected - erased;
    transaction.commit().await?;
    progress.committed(counts);
    Ok(())
}
