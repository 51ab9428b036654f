//! One sync run: scan, compare, then merge and progress in one transaction. The flow file: only here do the API, the scan, the tables and the bookkeeping meet.
//!
//! ```text
//! windows ──► fetch (several at once) ──► bounded channel ──► writers (two) ──► compare ─ merge ─ progress ─ commit
//! ```
//!
//! Fetching and writing overlap, and the channel bounds memory: by pages in flight, not by the size of the tenant.

pub mod error;
pub mod progress;
pub mod scope;
mod write;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::lifecycle::Shutdown;
use crate::load::compare;
use crate::postgres::connect::Database;
use crate::record::{Page, Query, Resource};
use crate::scan::Source;
use crate::scan::part::{Fetched, PartReader, Reading, Stopped};
use crate::scan::plan::{FILL_KNOWN, Plan};
use crate::scan::verdict::{Parts, Proof, Verdict};
use crate::scan::window::Window;
use crate::state::leases::{self, Holder, Lease};
use crate::state::runs::{self, Counts, Ending, Traffic};
use crate::state::{checkpoints, windows};
use crate::telemetry::field;
use crate::zephr::{self, Reader};
pub use error::Error;
use progress::{Phase, Progress};
use scope::Scope;
pub use scope::{Extent, Start};
use write::{Destination, Writers};

/// Pages that wait for a writer. A few keep both sides busy; each costs a page of memory.
const PAGES_WAITING: usize = 4;

/// A failed run is recorded within this time or not at all: when Postgres is gone, nobody should wait to be told so.
const RECORD_TIMEOUT: Duration = Duration::from_secs(5);

/// What a run works with.
#[derive(Debug)]
pub struct Environment {
    /// The mirror.
    pub database: Database,
    /// The tenant.
    pub reader: Reader,
    /// Where people and logs see how it goes.
    pub progress: Arc<Progress>,
    /// Whether to stop.
    pub shutdown: Shutdown,
    /// Records per page.
    pub rpp: u64,
    /// Requests in flight at most.
    pub max_in_flight: usize,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// Its record in `runs` tells everything.
    pub run_id: Uuid,
    /// How.
    pub ending: Ending,
    /// How complete it was.
    pub verdict: Option<Verdict>,
    /// What was done.
    pub counts: Counts,
}

impl Source for Reader {
    type Error = zephr::Error;

    async fn page(&self, query: Query) -> Result<Page, zephr::Error> {
        self.export(query).await
    }
}

/// Runs a job that mirrors the users. `waiting` is told when somebody else holds the lease.
///
/// # Errors
/// Only what kept the run from having a record; a run that failed has one, and that says why.
pub async fn users(
    env: &Environment,
    job: &str,
    extent: Extent,
    waiting: impl FnMut(&Holder),
) -> Result<Ended, Error> {
    let session = env.database.connect().await?;
    let lease = leases::acquire(session, Resource::Users, &holder_name(), waiting).await?;
    env.progress.enter(Phase::Leased);
    // Two writers and one for what is said about the run itself.
    let pool = env.database.pool(write::WRITERS + 1);
    let result = run(env, job, extent, &lease, &pool).await;
    pool.close().await;
    lease.release().await;
    result
}

/// Reads and compares, and writes nothing: its session may only read. Counts what a run would have done.
///
/// # Errors
/// As [`users`].
pub async fn dry_run(
    env: &Environment,
    extent: Extent,
    job: &str,
) -> Result<(Counts, Verdict, String), Error> {
    let pool = env.database.pool(write::WRITERS);
    let scope = Scope::decide(extent, &pool, job).await?;
    let mut scan = Scan::new(
        env,
        scope,
        Destination::compare(pool.clone(), Arc::clone(&env.progress)),
    );
    let read = scan.read(None).await;
    pool.close().await;
    read?;
    let (verdict, reason) = scan.parts.verdict();
    Ok((env.progress.counts(), verdict, reason))
}

/// Host and process, for people who wonder who holds a lease.
fn holder_name() -> String {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    format!("{host}, process {}", std::process::id())
}

async fn run(
    env: &Environment,
    job: &str,
    extent: Extent,
    lease: &Lease,
    pool: &PgPool,
) -> Result<Ended, Error> {
    let run_id = Uuid::now_v7();
    let scope = Scope::decide(extent, pool, job).await?;
    let mut transaction = pool.begin().await?;
    lease.token().fence(&mut transaction).await?;
    runs::begin(
        &mut transaction,
        run_id,
        job,
        Resource::Users,
        scope.mode(),
        scope.scan_id(),
    )
    .await?;
    transaction.commit().await?;
    env.progress.begin(run_id);

    let destination = Destination::merge(
        pool.clone(),
        lease.token(),
        job,
        run_id,
        scope.scan_id(),
        Arc::clone(&env.progress),
    );
    let mut scan = Scan::new(env, scope, destination);
    let mut checkpoint = Checkpoint {
        pool,
        lease,
        job,
        begin: None,
    };
    match scope {
        Scope::Full {
            scan_id,
            resumed: true,
        } => scan.resume(windows::of_scan(pool, scan_id).await?),
        Scope::Full {
            scan_id,
            resumed: false,
        } => checkpoint.begin = Some(scan_id),
        Scope::Incremental { .. } | Scope::Sample { .. } => {}
    }
    if let Scope::Full { .. } = scope {
        scan.cut_by_mirror(pool).await?;
    }
    let read = tokio::select! {
        read = scan.read(Some(&mut checkpoint)) => read,
        loss = lease.lost() => Err(Error::Lease(loss)),
    };
    let ended = match read {
        Ok(Reached::End) => {
            env.progress.enter(Phase::ScanRead);
            scan.finish(pool, lease, job, run_id).await
        }
        Ok(Reached::Limit) => finish(env, pool, lease, run_id, Ending::Succeeded, None, None).await,
        Ok(Reached::Interruption) => {
            let words = (
                "stopped on request",
                "Run the command again: it continues where this run stopped.",
            );
            finish(
                env,
                pool,
                lease,
                run_id,
                Ending::Interrupted,
                None,
                Some(words),
            )
            .await
        }
        Err(error) => Err(error),
    };
    match ended {
        Ok(ended) => Ok(ended),
        Err(error) => {
            tracing::error!({ field::RUN } = %run_id, { field::ERROR } = %error.chain(), "run failed");
            let remedy = error.remedy();
            let words = (error.chain(), remedy);
            let record = finish(
                env,
                pool,
                lease,
                run_id,
                Ending::Failed,
                None,
                Some((&words.0, &words.1)),
            );
            match tokio::time::timeout(RECORD_TIMEOUT, record).await {
                Ok(Ok(ended)) => Ok(ended),
                // Without a database there is no place for the record; the next run notes that this one ended.
                Ok(Err(_)) | Err(_) => {
                    tracing::warn!("the end of the run could not be recorded");
                    Err(error)
                }
            }
        }
    }
}

/// Records the end of a run, under the lease: a process that was too slow leaves the record to whoever took over.
async fn finish(
    env: &Environment,
    pool: &PgPool,
    lease: &Lease,
    run_id: Uuid,
    ending: Ending,
    verdict: Option<(Verdict, &str)>,
    failure: Option<(&str, &str)>,
) -> Result<Ended, Error> {
    let mut transaction = pool.begin().await?;
    lease.token().fence(&mut transaction).await?;
    runs::add(&mut *transaction, run_id, Counts::default(), env.traffic()).await?;
    let shown = verdict.map(|(verdict, reason)| (verdict.to_string(), reason));
    let shown = shown
        .as_ref()
        .map(|(verdict, reason)| (verdict.as_str(), *reason));
    runs::finish(&mut *transaction, run_id, ending, shown, failure).await?;
    transaction.commit().await?;
    env.progress.enter(Phase::Finished);
    Ok(Ended {
        run_id,
        ending,
        verdict: verdict.map(|(verdict, _)| verdict),
        counts: env.progress.counts(),
    })
}

impl Environment {
    fn traffic(&self) -> Traffic {
        let sent = self.reader.sent();
        Traffic {
            requests: sent.requests as i64,
            retries: sent.retries as i64,
            throttled_ms: self.reader.governor().throttled.as_millis() as i64,
        }
    }
}

/// Where reading came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    End,
    Limit,
    Interruption,
}

/// The checkpoint of a scan, begun with the API's clock at its first answer and before its first window is committed.
struct Checkpoint<'a> {
    pool: &'a PgPool,
    lease: &'a Lease,
    job: &'a str,
    begin: Option<Uuid>,
}

impl Checkpoint<'_> {
    async fn begin(&mut self, at: Option<DateTime<Utc>>) -> Result<(), Error> {
        let Some(scan_id) = self.begin.take() else {
            return Ok(());
        };
        let mut transaction = self.pool.begin().await?;
        self.lease.token().fence(&mut transaction).await?;
        checkpoints::begin(&mut *transaction, self.job, scan_id, at).await?;
        windows::prune(&mut *transaction, self.job, scan_id).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// A scan under way.
struct Scan<'a> {
    env: &'a Environment,
    scope: Scope,
    reader: PartReader<Reader>,
    plan: Plan,
    parts: Parts,
    /// Parts that were read by page; they are committed at the end, when all their pages are.
    by_page: Vec<(windows::Done, i64)>,
    undated_known: bool,
    destination: Destination,
}

impl<'a> Scan<'a> {
    fn new(env: &'a Environment, scope: Scope, destination: Destination) -> Self {
        Self {
            env,
            scope,
            reader: PartReader::new(env.reader.clone(), env.rpp, scope.since()),
            plan: Plan::without(&[]),
            parts: Parts::default(),
            by_page: Vec::new(),
            undated_known: false,
            destination,
        }
    }

    /// Leaves out what is committed.
    fn resume(&mut self, done: Vec<windows::Done>) {
        let mut committed = Vec::with_capacity(done.len());
        for done in done {
            self.parts.add(match done.proof.as_str() {
                "whole" => Proof::Whole,
                "passes" => Proof::Passes,
                _ => Proof::None,
            });
            if done.part == write::UNDATED {
                self.undated_known = true;
            } else {
                let window = Window {
                    from: done.lower_bound,
                    until: done.upper_bound,
                };
                self.undated_known |= window == Window::ALL;
                committed.push(window);
            }
        }
        self.plan = Plan::without(&committed);
    }

    /// The mirror knows how registrations are spread.
    async fn cut_by_mirror(&mut self, pool: &PgPool) -> Result<(), Error> {
        let rows = ((self.env.rpp as f64 * FILL_KNOWN) as i64).max(1);
        let (cuts, total) = compare::quantiles(&mut *pool.acquire().await?, rows).await?;
        self.plan.cut_at(&cuts);
        self.env.progress.expect(total);
        Ok(())
    }

    /// Reads what is left and waits until it is written.
    async fn read(&mut self, checkpoint: Option<&mut Checkpoint<'_>>) -> Result<Reached, Error> {
        let (pages, receiver) = mpsc::channel(PAGES_WAITING);
        let mut writers = Writers::start(&self.destination, receiver);
        let reached = self.fetch(&pages, &mut writers, checkpoint).await;
        drop(pages);
        // The writers are always joined before the reader's error is returned: what was fetched is written.
        let written = writers.join().await;
        let reached = match (reached, written) {
            (Err(Stopped::Source(error)), Ok(())) => return Err(error),
            (Err(Stopped::Closed), Ok(())) | (Ok(_), Err(_)) | (Err(_), Err(_)) => {
                return Err(writers.take_error().unwrap_or(Error::Stopped));
            }
            (Ok(reached), Ok(())) => reached,
        };
        Ok(reached)
    }

    async fn fetch(
        &mut self,
        pages: &mpsc::Sender<Fetched>,
        writers: &mut Writers,
        mut checkpoint: Option<&mut Checkpoint<'_>>,
    ) -> Result<Reached, Stopped<Error>> {
        // Aborts what is under way when it is dropped, so that no request outlives the run.
        let mut readings = JoinSet::new();
        loop {
            while readings.len() < self.env.max_in_flight
                && let Some(window) = self.plan.take()
            {
                let (reader, pages) = (self.reader.clone(), pages.clone());
                readings.spawn(async move { (window, reader.window(window, &pages).await) });
            }
            let read = tokio::select! {
                () = self.env.shutdown.requested() => return Ok(Reached::Interruption),
                () = writers.failed() => return Err(Stopped::Closed),
                read = readings.join_next() => read,
            };
            let Some(read) = read else { break };
            let (window, reading) = read.map_err(|_| Stopped::Source(Error::Stopped))?;
            let reading = reading.map_err(api)?;
            self.env
                .progress
                .read_window(self.reader.total(), self.env.reader.governor());
            if let Some(checkpoint) = &mut checkpoint {
                checkpoint
                    .begin(self.reader.first_answer())
                    .await
                    .map_err(Stopped::Source)?;
            }
            match reading {
                Reading::Whole(page) => {
                    self.parts.add(Proof::Whole);
                    self.undated_known |= window == Window::ALL;
                    // Of an incremental scan a window holds only some of its people, so only a full one can be compared as a whole.
                    let completes = self.scope.since().is_none().then_some(window);
                    pages
                        .send(Fetched { page, completes })
                        .await
                        .map_err(|_| Stopped::Closed)?;
                }
                Reading::TooLarge(overflow) => self.plan.cut(window, &overflow),
                Reading::ByPage { proof, rows } => {
                    self.read_by_page(window, write::WINDOW, proof, rows)
                }
                Reading::FilterIgnored => {
                    readings.abort_all();
                    while readings.join_next().await.is_some() {}
                    return self.without_filter(pages).await;
                }
            }
            if self.limit_reached() {
                return Ok(Reached::Limit);
            }
        }
        if !self.undated_known {
            let (proof, rows) = tokio::select! {
                () = self.env.shutdown.requested() => return Ok(Reached::Interruption),
                undated = self.reader.undated(pages) => undated.map_err(api)?,
            };
            self.read_by_page(Window::ALL, write::UNDATED, proof, rows);
        }
        Ok(Reached::End)
    }

    async fn without_filter(
        &mut self,
        pages: &mpsc::Sender<Fetched>,
    ) -> Result<Reached, Stopped<Error>> {
        tracing::warn!("the server does not honour the registration filter; reading by page");
        self.plan.clear();
        self.parts.filter_ignored = true;
        tokio::select! {
            () = self.env.shutdown.requested() => Ok(Reached::Interruption),
            rows = self.reader.everything(pages) => rows.map(|_| Reached::End).map_err(api),
        }
    }

    fn read_by_page(&mut self, window: Window, part: &str, proof: Proof, rows: u64) {
        self.parts.add(proof);
        let done = windows::Done {
            lower_bound: window.from,
            upper_bound: window.until,
            part: part.to_owned(),
            proof: proof.name().to_owned(),
        };
        self.by_page.push((done, rows as i64));
    }

    fn limit_reached(&self) -> bool {
        match self.scope {
            Scope::Full { .. } | Scope::Incremental { .. } => false,
            Scope::Sample { limit } => self.env.progress.counts().read >= limit as i64,
        }
    }

    /// Commits the verdict, the checkpoint and the end of the run together.
    async fn finish(
        &self,
        pool: &PgPool,
        lease: &Lease,
        job: &str,
        run_id: Uuid,
    ) -> Result<Ended, Error> {
        let (verdict, reason) = self.parts.verdict();
        let mut transaction = pool.begin().await?;
        lease.token().fence(&mut transaction).await?;
        match (self.scope, verdict) {
            (Scope::Full { scan_id, .. }, Verdict::Proven | Verdict::Agreed) => {
                windows::commit(&mut *transaction, scan_id, run_id, &self.by_page).await?;
                checkpoints::finish(&mut *transaction, job, scan_id).await?;
            }
            (Scope::Full { .. }, Verdict::Incomplete) => {
                checkpoints::abandon(&mut *transaction, job).await?
            }
            (Scope::Incremental { .. }, Verdict::Proven | Verdict::Agreed) => {
                checkpoints::advance(&mut *transaction, job, self.reader.first_answer()).await?;
            }
            (Scope::Incremental { .. }, Verdict::Incomplete) | (Scope::Sample { .. }, _) => {}
        }
        runs::add(
            &mut *transaction,
            run_id,
            Counts::default(),
            self.env.traffic(),
        )
        .await?;
        let shown = verdict.to_string();
        let (ending, failure) = match verdict {
            Verdict::Proven | Verdict::Agreed => (Ending::Succeeded, None),
            Verdict::Incomplete => (
                Ending::Failed,
                Some((
                    "the scan ended incomplete: somebody may be missing from the mirror",
                    "What was read is kept. See verdict_reason; if it names the server, ask Zephr's support.",
                )),
            ),
        };
        runs::finish(
            &mut *transaction,
            run_id,
            ending,
            Some((&shown, &reason)),
            failure,
        )
        .await?;
        transaction.commit().await?;
        self.env.progress.enter(Phase::Finished);
        Ok(Ended {
            run_id,
            ending,
            verdict: Some(verdict),
            counts: self.env.progress.counts(),
        })
    }
}

fn api(stopped: Stopped<zephr::Error>) -> Stopped<Error> {
    match stopped {
        Stopped::Source(error) => Stopped::Source(Error::Api(error)),
        Stopped::Closed => Stopped::Closed,
    }
}
