//! The writing side of a run: pages as they come, in batches, to where the run wants them.

mod append;
mod merge;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection, PgPool};
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
pub use merge::{Kept, Merge, Merging};
use mirror::load::compare::{self, Group, Range};
use mirror::load::merge::{self as load, Extracted};
use mirror::postgres::connect::Database;
use mirror::state::runs::Counts;
use mirror::state::scan_findings::{self, Note};
use mirror::state::windows;
use record::{Grants, Item, Mirrored, Reject, User};
use telemetry::span::{Span, Work};
use zephr::reread::Reading;
use zephr::user;

/// A second writing connection is worth half as much again; a third only waits for the same two
/// disks and cores, where Postgres is near.
pub const WRITERS: u32 = 2;

/// Sessions that writers may have at most, however far away Postgres is: a role or a server allows
/// only so many, and each holds a batch in memory.
const MOST_WRITERS: u32 = 6;

/// How long a batch of new users keeps a writer and Postgres at work (500 of some 19,000 a second
/// for each of two writers, on two cores), and for about how many round trips it waits beside that:
/// seven statements, of which two are a COPY and take two, and now and then the row of the run,
/// which another writer holds until its commit.
pub(super) const BATCH_WORKS: Duration = Duration::from_millis(26);
pub(super) const BATCH_WAITS: u32 = 10;

/// Records that commit together, about: two pages. Large enough that the commit does not matter,
/// small enough that a batch in memory does not either.
pub(super) const BATCH: usize = 500;

/// Where batches go.
#[derive(Debug, Clone)]
pub enum Destination {
    /// Into the mirror; those of which little is to be written wait for each other.
    Merge(Merge),
    /// Each by itself to where it is wanted.
    ByBatch(ByBatch),
}

/// Where each batch goes by itself.
#[derive(Debug, Clone)]
pub enum ByBatch {
    /// Nowhere: it is compared in a session that may only read.
    Compare(Compare),
    /// Into the events.
    Append(Append),
    /// Nowhere: the events in it that are not there are counted.
    Count(Arc<Progress>),
    /// Nowhere: who is in it is no longer noted as changed by this scan.
    Strike(Uuid),
}

/// What a writer needs that only compares.
#[derive(Debug, Clone)]
pub struct Compare {
    /// Where people and logs see how it goes.
    pub progress: Arc<Progress>,
    /// Who must not come back.
    pub erased: Arc<Erased>,
    /// How users are read.
    pub reading: Arc<Reading>,
    /// Living users whom a whole window did not show.
    pub missing: Arc<AtomicU64>,
}

/// The sessions that writers work in.
#[derive(Debug, Clone)]
pub struct Sessions {
    pool: PgPool,
    writers: u32,
}

impl Sessions {
    /// As many as keep Postgres at work where an answer takes it so long to arrive. They are
    /// being opened while the caller goes on.
    pub fn open(database: &Database, round_trip: Duration) -> Self {
        let writers = writers(round_trip);
        Self {
            pool: database.pool_at_once(writers),
            writers,
        }
    }

    /// For what is asked while no writer works.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Ends them.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// While one writer waits for the network, another one may work.
pub(super) fn writers(round_trip: Duration) -> u32 {
    let waits = round_trip.as_secs_f64() * f64::from(BATCH_WAITS);
    let busy = BATCH_WORKS.as_secs_f64();
    let writers = f64::from(WRITERS) * (busy + waits) / busy;
    (writers.round() as u32).clamp(WRITERS, MOST_WRITERS)
}

/// The writers of a run.
#[derive(Debug)]
pub struct Writers {
    tasks: JoinSet<Result<(), Error>>,
    error: Option<Error>,
    failed: watch::Receiver<bool>,
}

impl Writers {
    /// Starts them on what comes through the channel, each with a session that it keeps: taking one
    /// from the pool for each batch asks it each time whether it still lives, and so does giving it
    /// back.
    pub fn start(
        destination: &Destination,
        sessions: &Sessions,
        pages: mpsc::Receiver<Fetched>,
    ) -> Self {
        let pages = Arc::new(Mutex::new(pages));
        let (failing, failed) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for _ in 0..sessions.writers {
            let (destination, pages, failing) =
                (destination.clone(), Arc::clone(&pages), failing.clone());
            let pool = sessions.pool.clone();
            tasks.spawn(Span::current().over(async move {
                let written = write_all(&destination, &pool, &pages).await;
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
    pool: &PgPool,
    pages: &Mutex<mpsc::Receiver<Fetched>>,
) -> Result<(), Error> {
    let session = &mut *pool.acquire().await?;
    let by_batch = match destination {
        Destination::Merge(merge) => return merge.write_all(session, pages).await,
        Destination::ByBatch(by_batch) => by_batch,
    };
    while let Some(batch) = next_batch(pages).await {
        let rows = batch.rows;
        let span = Span::of(|| Work::Batch { rows });
        span.over(by_batch.write(session, batch)).await?;
    }
    Ok(())
}

impl ByBatch {
    async fn write(&self, session: &mut PgConnection, batch: Batch) -> Result<(), Error> {
        match self {
            Self::Compare(compare) => compare.look(session, batch).await,
            Self::Append(append) => append.write(session, batch).await,
            Self::Count(progress) => append::count_only(session, progress, batch).await,
            Self::Strike(scan_id) => strike(session, *scan_id, batch).await,
        }
    }
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

/// Where an answer tells grants of somebody, who has no such field there has none: some servers
/// leave out what is empty. Where it tells none of anybody, it says nothing. Whether it told any.
fn leave_out_what_is_empty(items: &mut [Item]) -> bool {
    let is_told = items.iter().any(|item| item.grants == Grants::Told);
    if is_told {
        for item in items {
            if item.grants == Grants::Absent {
                item.grants = Grants::Told;
            }
        }
    }
    is_told
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
    /// Whether grants of anybody are told.
    tells_grants: bool,
}

impl Batch {
    fn push(&mut self, fetched: Fetched) {
        let Fetched {
            mut page,
            completes,
        } = fetched;
        let rows = page.len();
        self.rows += rows;
        self.tells_grants |= leave_out_what_is_empty(&mut page.items);
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

/// Each user once.
fn once_each(items: Vec<Answered>) -> Vec<Answered> {
    once_each_by(items, |a, b| a.id.cmp(&b.id))
}

/// Each event once: of one key there may be several, at different times.
fn once_each_event(items: Vec<Answered>) -> Vec<Answered> {
    once_each_by(items, |a, b| {
        a.id.cmp(&b.id).then(a.registered_at.cmp(&b.registered_at))
    })
}

fn once_each_by(
    mut items: Vec<Answered>,
    order: impl Fn(&Item, &Item) -> std::cmp::Ordering,
) -> Vec<Answered> {
    items.sort_by(|(a, _), (b, _)| order(a, b));
    // Sorting is stable: of one that was sent twice the later one is kept.
    items.reverse();
    items.dedup_by(|(a, _), (b, _)| order(a, b).is_eq());
    // Ascending, through all statements of the transaction: two writers that meet the same ones
    // lock them in the same order.
    items.reverse();
    items
}

/// Who is in the batch is no longer noted as changed.
async fn strike(session: &mut PgConnection, scan_id: Uuid, batch: Batch) -> Result<(), Error> {
    let items = batch.items();
    let ids: Vec<&str> = items.iter().map(|(item, _)| item.id.as_str()).collect();
    Ok(scan_findings::strike(session, scan_id, Note::Changed, &ids).await?)
}

impl Compare {
    async fn look(&self, session: &mut PgConnection, mut batch: Batch) -> Result<(), Error> {
        let erased = batch.without(&self.erased).len() as i64;
        let mut counts = Counts {
            read: batch.rows as i64,
            rejected: batch.rejects.len() as i64,
            ..Counts::default()
        };
        let mut transaction = session.begin_with("begin read only").await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_farther_postgres_is_the_more_writers_wait_for_it() {
        let writers = [0, 100, 1_000, 5_000, 80_000]
            .map(|microseconds| writers(Duration::from_micros(microseconds)));
        assert_eq!(writers, [2, 2, 3, 6, 6]);
    }
}
