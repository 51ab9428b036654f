//! The writing side of a run: pages as they come, in batches, to where the run wants them.

mod append;
mod merge;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::Error;
use super::progress::Progress;
use ::privacy::Erased;
use ::scan::part::Fetched;
use ::scan::verdict::Proof;
use ::scan::walk::Part;
pub use append::Append;
pub use merge::{Kept, Merge};
use mirror::load::compare::{self, Group, Range};
use mirror::load::merge::{self as load, Extracted};
use mirror::state::runs::Counts;
use mirror::state::scan_findings::{self, Note};
use mirror::state::windows;
use record::{Item, Mirrored, Reject, User};
use telemetry::span::{Span, Work};
use zephr::reread::Reading;
use zephr::user;

/// A second writing connection is worth half as much again; a third only waits for the same two
/// disks and cores.
pub const WRITERS: u32 = 2;

/// Records that commit together, about: two pages. Large enough that the commit does not matter,
/// small enough that a batch in memory does not either.
const BATCH: usize = 500;

/// Where batches go.
#[derive(Debug, Clone)]
pub enum Destination {
    /// Into the mirror.
    Merge(Merge),
    /// Nowhere: they are compared in a session that may only read.
    Compare(Compare),
    /// Into the events.
    Append(Append),
    /// Nowhere: the events among them that are not there are counted.
    Count(PgPool, Arc<Progress>),
    /// Nowhere: who is in them is no longer noted as changed by this scan.
    Strike(PgPool, Uuid),
}

/// What a writer needs that only compares.
#[derive(Debug, Clone)]
pub struct Compare {
    /// Sessions.
    pub pool: PgPool,
    /// Where people and logs see how it goes.
    pub progress: Arc<Progress>,
    /// Who must not come back.
    pub erased: Arc<Erased>,
    /// How users are read.
    pub reading: Arc<Reading>,
    /// Living users whom a whole window did not show.
    pub missing: Arc<AtomicU64>,
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

    /// Waits until all are done; the channel must be closed. The first error is kept for
    /// [`Self::take_error`].
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
    match destination {
        Destination::Merge(merge) => merge.write_all(pages).await,
        Destination::Compare(compare) => each(pages, |batch| compare.look(batch)).await,
        Destination::Append(append) => each(pages, |batch| append.write(batch)).await,
        Destination::Count(pool, progress) => {
            each(pages, |batch| append::count_only(pool, progress, batch)).await
        }
        Destination::Strike(pool, scan_id) => {
            each(pages, |batch| strike(pool, *scan_id, batch)).await
        }
    }
}

async fn each<F: Future<Output = Result<(), Error>>>(
    pages: &Mutex<mpsc::Receiver<Fetched>>,
    write: impl Fn(Batch) -> F,
) -> Result<(), Error> {
    while let Some(batch) = next_batch(pages).await {
        let rows = batch.rows;
        let span = Span::of(|| Work::Batch { rows });
        span.over(write(batch)).await?;
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

/// A record with the time at which the API answered with it.
type Answered = (Item, Option<DateTime<Utc>>);

/// Pages that are compared together.
#[derive(Debug, Default)]
struct Batch {
    /// Whole windows: each is compared as one.
    windows: Vec<Group>,
    window_times: Vec<Option<DateTime<Utc>>>,
    /// Pages of parts that were read by page: compared by key.
    pages: Vec<(Vec<Item>, Option<DateTime<Utc>>)>,
    rejects: Vec<Reject>,
    done: Vec<windows::Done>,
    rows: usize,
    /// Dates among them that came as numbers.
    times_from_numbers: i64,
}

impl Batch {
    fn push(&mut self, fetched: Fetched) {
        let Fetched {
            mut page,
            completes,
        } = fetched;
        let rows = page.len();
        self.rows += rows;
        let from_numbers = page.items.iter().filter(|item| item.from_number);
        self.times_from_numbers += from_numbers.count() as i64;
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
                self.done.push(super::done(part, Proof::Whole, rows as u64));
            }
            None => self.pages.push((page.items, page.answered_at)),
        }
        self.rejects.append(&mut page.rejects);
    }

    /// Leaves out who was erased, before anything is compared: a window is then as it was, and
    /// nobody in it new. Answers who was met.
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

    /// Who was sent where the mirror does not look for them: without a registration date, in whole
    /// windows; by page, with one of which the filter may know nothing, so that they are missing
    /// from the window that they belong to.
    fn undated(&self) -> Vec<String> {
        let in_windows = self.windows.iter().flat_map(|group| &group.items);
        let by_page = self.pages.iter().flat_map(|(items, _)| items);
        in_windows
            .filter(|item| item.registered_at.is_none())
            .chain(by_page.filter(|item| item.from_number))
            .map(|item| item.id.clone())
            .collect()
    }

    /// What is left after the comparison, with the time of its answer, in the order in which it
    /// came.
    fn items(self) -> Vec<Answered> {
        let windows = self
            .windows
            .into_iter()
            .map(|group| group.items)
            .zip(self.window_times);
        windows
            .chain(self.pages)
            .flat_map(|(items, at)| items.into_iter().map(move |item| (item, at)))
            .collect()
    }
}

/// Each record once, by key.
fn once_each(mut items: Vec<Answered>) -> Vec<Answered> {
    items.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
    // Sorting is stable: of one that was sent twice the later one is kept.
    items.reverse();
    items.dedup_by(|(a, _), (b, _)| a.id == b.id);
    // Ascending, through all statements of the transaction: two writers that meet the same ones
    // lock them in the same order.
    items.reverse();
    items
}

/// Who is in the batch is no longer noted as changed.
async fn strike(pool: &PgPool, scan_id: Uuid, batch: Batch) -> Result<(), Error> {
    let items = batch.items();
    let ids: Vec<&str> = items.iter().map(|(item, _)| item.id.as_str()).collect();
    Ok(scan_findings::strike(pool, scan_id, Note::Changed, &ids).await?)
}

impl Compare {
    async fn look(&self, mut batch: Batch) -> Result<(), Error> {
        let erased = batch.without(&self.erased).len() as i64;
        let mut counts = Counts {
            read: batch.rows as i64,
            rejected: batch.rejects.len() as i64,
            ..Counts::default()
        };
        let mut transaction = self.pool.begin_with("begin read only").await?;
        let missing = compare::changed(&mut transaction, &mut batch.windows).await?;
        self.missing
            .fetch_add(missing.len() as u64, Ordering::Relaxed);
        let items = once_each(batch.items());
        let ids: Vec<&str> = items.iter().map(|(item, _)| item.id.as_str()).collect();
        let hashes: Vec<&[u8]> = items.iter().map(|(item, _)| item.hash.as_slice()).collect();
        let known = compare::known(&mut transaction, &ids, &hashes).await?;
        let settle = |stored: &Mirrored, user: &mut User| self.reading.settle(stored, user);
        let mut rows: Vec<Extracted> = (items.iter())
            .map(|(item, at)| (user::row(item), *at))
            .collect();
        let same = load::count_same(&mut transaction, &settle, &mut rows).await?;
        counts.updated = known.different + known.equal - same;
        counts.inserted = items.len() as i64 - known.different - known.equal;
        counts.unchanged =
            counts.read - counts.inserted - counts.updated - counts.rejected - erased;
        transaction.commit().await?;
        self.progress.committed(counts);
        Ok(())
    }
}
