//! One sync run: scan, compare, then merge and progress in one transaction. The flow file: only here do the API, the scan, the tables and the bookkeeping meet.
//!
//! ```text
//! windows ──► fetch (several at once) ──► bounded channel ──► writers (two) ──► compare ─ merge ─ progress ─ commit
//!                                                     a full scan, at its end ──► missing? ─ brake ─ witness ─ tombstones
//! ```
//!
//! Fetching and writing overlap, and the channel bounds memory: by pages in flight, not by the size of the tenant.

mod deletions;
pub mod error;
mod privacy;
pub mod progress;
pub mod replay;
mod scan;
pub mod scope;
mod write;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use crate::job::Job;
use crate::lifecycle::Shutdown;
use crate::load::compare;
use crate::postgres::connect::Database;
use crate::privacy::Policy;
use crate::record::Resource;
use crate::scan::verdict::{Proof, Verdict};
use crate::scan::walk::Part;
use crate::scan::whole::Learned;
use crate::state::leases::{self, Holder, Lease};
use crate::state::notes::{self, Note};
use crate::state::runs::{self, Counts, Ending, Traffic};
use crate::state::{checkpoints, erasures, windows};
use crate::telemetry::field;
use crate::zephr::Reader;
use deletions::{Deletions, Settled};
pub use error::Error;
use progress::{Phase, Progress};
use scan::{Checkpoint, Reached, Scan};
use scope::Scope;
pub use scope::{Extent, Start};
use write::{Destination, Merge};

/// A failed run is recorded within this time or not at all: when Postgres is gone, nobody should wait to be told so.
const RECORD_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the record of a run says what the API was asked and whether it makes us wait.
const TRAFFIC_INTERVAL: Duration = Duration::from_secs(2);

/// The parts of a scan by their names in `windows`.
const WINDOW: &str = "window";
const UNDATED: &str = "undated";

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
    /// What stops a run gone wrong.
    pub brakes: Brakes,
    /// What of a record may be kept; the reader keeps to it.
    pub privacy: Policy,
}

/// What stops a run gone wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Brakes {
    /// Share of the living rows that may be missing from a full scan before nobody is marked as deleted.
    pub max_delete_fraction: f64,
    /// Records that cannot be stored, in one run.
    pub max_rejects: u64,
}

impl Brakes {
    /// These, unless the job has its own.
    pub fn of_job(self, job: &Job) -> Self {
        Self {
            max_delete_fraction: job.max_delete_fraction.unwrap_or(self.max_delete_fraction),
            max_rejects: job.max_rejects.unwrap_or(self.max_rejects),
        }
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// Its record in `runs` tells everything.
    pub run_id: Uuid,
    /// How.
    pub ending: Ending,
    /// What was done.
    pub counts: Counts,
}

/// Runs a job that mirrors the users. `waiting` is told when somebody else holds the lease.
///
/// # Errors
/// Only what kept the run from having a record; a run that failed has one, and that says why.
pub async fn users(
    env: &Environment,
    job: &Job,
    extent: Extent,
    waiting: impl FnMut(&Holder),
) -> Result<Ended, Error> {
    let session = env.database.connect().await?;
    let lease = leases::acquire(session, Resource::Users, &holder_name(), waiting).await?;
    env.progress.enter(Phase::Leased);
    // Two writers and one for what is said about the run itself.
    let pool = env.database.pool(write::WRITERS + 1);
    let run = Run {
        env,
        job: &job.name,
        run_id: Uuid::now_v7(),
        lease: &lease,
        pool: &pool,
    };
    let result = match extent {
        Extent::Confirmed(braked) => run.confirm(braked).await,
        Extent::AsDue | Extent::Full(_) | Extent::Sample(_) => {
            let scope = Scope::decide(extent, job.mode, &pool, &job.name).await;
            match scope {
                Ok(scope) => run.scan(scope).await,
                Err(error) => Err(error),
            }
        }
    };
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
    job: &Job,
) -> Result<(Counts, Verdict, String), Error> {
    let pool = env.database.pool(write::WRITERS);
    let scope = Scope::decide(extent, job.mode, &pool, &job.name).await?;
    let erased = Arc::new(erasures::erased(&pool, env.privacy.key()).await?);
    let destination = Destination::Compare(pool.clone(), Arc::clone(&env.progress), erased);
    let mut scan = Scan::new(env, &job.name, scope, destination, &pool).await?;
    let read = scan.read(None).await;
    pool.close().await;
    read?;
    let (verdict, reason) = scan.walk.verdict();
    Ok((env.progress.counts(), verdict, reason))
}

/// Host and process, for people who wonder who holds a lease.
pub(crate) fn holder_name() -> String {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    format!("{host}, process {}", std::process::id())
}

/// A part as it is noted when it is committed.
fn done(part: Part, proof: Proof) -> windows::Done {
    let (name, from, until) = match part {
        Part::Window(window) => (WINDOW, window.from, window.until),
        Part::Undated => (UNDATED, None, None),
    };
    windows::Done {
        lower_bound: from,
        upper_bound: until,
        part: name.to_owned(),
        proof: proof.name().to_owned(),
    }
}

/// A run under its lease.
struct Run<'a> {
    env: &'a Environment,
    job: &'a str,
    run_id: Uuid,
    lease: &'a Lease,
    pool: &'a PgPool,
}

/// What is to be recorded about the end of a run.
#[derive(Debug, Default)]
struct Outcome {
    verdict: Option<(Verdict, String)>,
    /// What happened, and what to do.
    failure: Option<(String, String)>,
    missed: Option<i64>,
    moves: Moves,
}

/// What becomes of the checkpoint with the end of a run.
#[derive(Debug, Default)]
enum Moves {
    /// It stays.
    #[default]
    Nothing,
    /// A full scan is finished, and this is what it learned about the server.
    Finished(Uuid, checkpoints::Learned),
    /// An incremental scan began then.
    Advanced(Option<DateTime<Utc>>),
    /// A full scan came to its end without being complete: there is nothing to resume.
    Abandoned,
}

impl Run<'_> {
    /// Reads what the scope says, into the mirror.
    async fn scan(&self, scope: Scope) -> Result<Ended, Error> {
        let kept = scope.kept();
        self.begin(scope.mode(), kept.map(|kept| kept.scan_id))
            .await?;
        let worked = self.watched(self.read_and_settle(scope)).await;
        self.end(worked).await
    }

    /// Lets the deletions through that a brake held back.
    async fn confirm(&self, braked: Uuid) -> Result<Ended, Error> {
        let refused = |why| Error::NothingToConfirm {
            run_id: braked,
            why,
        };
        let run = runs::get(self.pool, braked)
            .await?
            .ok_or(refused("does not exist"))?;
        let scan_id = run.scan_id.ok_or(refused("was not a full scan"))?;
        if run.job != self.job || run.status != Ending::Braked.name() {
            return Err(refused("is not a run of this job that a brake stopped"));
        }
        if notes::count(self.pool, scan_id, Note::Missing).await? == 0 {
            return Err(refused(
                "holds nothing back any more: a later full scan, or a confirmation, has settled it",
            ));
        }
        self.begin(runs::Mode::Full, Some(scan_id)).await?;
        let settle = async {
            let settled = self.deletions(scan_id).ask_for_each().await?;
            let reason = format!("the deletions that run {braked} held back were confirmed");
            self.settled(settled, Verdict::Proven, reason).await
        };
        let worked = self.watched(settle).await.map(|(ending, mut outcome)| {
            // How complete the scan was is in the record of the run that read it.
            let reason = outcome.verdict.take().map(|(_, reason)| reason);
            outcome.verdict = run.verdict.as_deref().and_then(Verdict::named).zip(reason);
            (ending, outcome)
        });
        if worked
            .as_ref()
            .is_ok_and(|(ending, _)| *ending == Ending::Succeeded)
        {
            notes::forget(self.pool, scan_id).await?;
        }
        self.end(worked).await
    }

    async fn begin(&self, mode: runs::Mode, scan_id: Option<Uuid>) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        self.lease.token().fence(&mut transaction).await?;
        runs::begin(
            &mut transaction,
            self.run_id,
            self.job,
            Resource::Users,
            mode,
            scan_id,
        )
        .await?;
        transaction.commit().await?;
        self.env.progress.begin(self.run_id);
        Ok(())
    }

    /// Does the work until it is done or the lease is lost, and keeps the record of the run up to date meanwhile.
    async fn watched<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::pin!(work);
        let mut ticks = tokio::time::interval(TRAFFIC_INTERVAL);
        let mut noted = Traffic::default();
        loop {
            tokio::select! {
                worked = &mut work => return worked,
                loss = self.lease.lost() => return Err(Error::Lease(loss)),
                _ = ticks.tick() => {
                    let traffic = self.env.traffic();
                    if traffic != noted {
                        runs::note_traffic(self.pool, self.run_id, traffic).await?;
                        noted = traffic;
                    }
                }
            }
        }
    }

    async fn read_and_settle(&self, scope: Scope) -> Result<(Ending, Outcome), Error> {
        let env = self.env;
        let schema = env.database.schemas().data();
        privacy::follow(self.pool, self.lease.token(), schema, &env.privacy).await?;
        let erased = erasures::erased(self.pool, env.privacy.key()).await?;
        let merge = Merge::new(
            self.pool.clone(),
            self.lease.token(),
            self.job,
            self.run_id,
            scope.kept(),
            Arc::clone(&env.progress),
        );
        let destination = Destination::Merge(merge.without(erased));
        let mut scan = Scan::new(env, self.job, scope, destination, self.pool).await?;
        let mut checkpoint = Checkpoint {
            pool: self.pool,
            lease: self.lease,
            job: self.job,
            begin: None,
        };
        let mut living = 0;
        if let Scope::Full {
            scan_id, resumed, ..
        } = scope
        {
            checkpoint.begin = (!resumed).then_some(scan_id);
            living = compare::count_living(&mut *self.pool.acquire().await?).await?;
            scan.cut_by_mirror(self.pool, living).await?;
        }
        match scan.read(Some(&mut checkpoint)).await? {
            Reached::End => {}
            Reached::Limit => return Ok((Ending::Succeeded, Outcome::default())),
            Reached::Interruption => return Ok(interrupted()),
            Reached::TooManyRejects => return Ok(too_many_rejects(env.brakes.max_rejects)),
        }
        env.progress.enter(Phase::ScanRead);
        let (verdict, reason) = scan.walk.verdict();
        match (scope, verdict) {
            (Scope::Full { .. }, Verdict::Incomplete) => {
                Ok((Ending::Failed, incomplete(reason, Moves::Abandoned)))
            }
            (Scope::Incremental { .. } | Scope::Sample { .. }, Verdict::Incomplete) => {
                Ok((Ending::Failed, incomplete(reason, Moves::Nothing)))
            }
            (Scope::Sample { .. }, Verdict::Proven | Verdict::Agreed) => {
                Ok((Ending::Succeeded, judged(verdict, reason)))
            }
            (Scope::Incremental { .. }, Verdict::Proven | Verdict::Agreed) => {
                let outcome = Outcome {
                    moves: Moves::Advanced(scan.walk.reader().first_answer()),
                    ..judged(verdict, reason)
                };
                Ok((Ending::Succeeded, outcome))
            }
            (
                Scope::Full {
                    scan_id,
                    seen_since,
                    ..
                },
                Verdict::Proven | Verdict::Agreed,
            ) => {
                let deletions = self.deletions(scan_id);
                deletions.note_missing(scan.walk.by_page()).await?;
                let learned = scan.walk.reader().learned();
                self.commit_by_page(scan_id, &scan).await?;
                let settled = deletions.settle(living).await?;
                if settled == Settled::Interrupted {
                    return Ok(interrupted());
                }
                let (ending, mut outcome) = self.settled(settled, verdict, reason).await?;
                outcome.missed = match seen_since {
                    Some(since) => self.missed(scan_id, since, learned).await?,
                    None => None,
                };
                outcome.moves = Moves::Finished(scan_id, scan::to_remember(learned));
                Ok((ending, outcome))
            }
        }
    }

    fn deletions(&self, scan_id: Uuid) -> Deletions<'_> {
        Deletions {
            env: self.env,
            pool: self.pool,
            lease: self.lease,
            run_id: self.run_id,
            scan_id,
        }
    }

    /// What is to be said about the missing.
    async fn settled(
        &self,
        settled: Settled,
        verdict: Verdict,
        reason: String,
    ) -> Result<(Ending, Outcome), Error> {
        let run_id = self.run_id;
        let confirm = format!(
            "If they were really deleted, run `zephr-sync sync {} --confirm-deletes {run_id}`: each is asked for by id before it is marked.",
            self.job
        );
        let braked = |error: String, remedy: String| Outcome {
            verdict: Some((verdict, reason.clone())),
            failure: Some((error, remedy)),
            ..Outcome::default()
        };
        Ok(match settled {
            Settled::Done { alive: 0 } => (Ending::Succeeded, judged(verdict, reason)),
            Settled::Done { alive } => {
                let words = format!("{reason}; {alive} whom it did not show exist by id, and stay");
                (Ending::Succeeded, judged(verdict, words))
            }
            Settled::Interrupted => interrupted(),
            Settled::TooMany { missing, allowed } => (
                Ending::Braked,
                braked(
                    format!(
                        "{missing} living users of the mirror are missing from the tenant, and {allowed} may be: nobody was marked as deleted"
                    ),
                    format!(
                        "Everything else is up to date. Check in the Zephr console how many users there are, and whether the key pair still sees all of them (its admin user's roles, the tenant). {confirm} If not, do nothing: the next full scan looks again."
                    ),
                ),
            ),
            Settled::NoWitness { missing, why } => (
                Ending::Braked,
                braked(
                    format!(
                        "{missing} living users of the mirror are missing from the tenant, and cannot be asked for by id ({why}): nobody was marked as deleted"
                    ),
                    format!(
                        "Everything else is up to date. Give the key pair's admin user a role that may read single users. {confirm}"
                    ),
                ),
            ),
        })
    }

    /// Parts that were read by page are committed together, once all of their pages are.
    async fn commit_by_page(&self, scan_id: Uuid, scan: &Scan<'_>) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        self.lease.token().fence(&mut transaction).await?;
        windows::commit(
            &mut *transaction,
            scan_id,
            self.run_id,
            &scan.parts_by_page(),
        )
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// How many changes incremental runs do not see: those that asking for what changed does not show either.
    async fn missed(
        &self,
        scan_id: Uuid,
        since: DateTime<Utc>,
        learned: Learned,
    ) -> Result<Option<i64>, Error> {
        let changed = notes::count(self.pool, scan_id, Note::Changed).await?;
        if changed == 0 {
            return Ok(Some(0));
        }
        match scan::strike_seen(self.env, scan_id, since, learned, self.pool).await? {
            (Reached::End, Verdict::Proven | Verdict::Agreed) => {}
            (
                Reached::Limit | Reached::TooManyRejects | Reached::Interruption | Reached::End,
                _,
            ) => return Ok(None),
        }
        let missed = notes::count(self.pool, scan_id, Note::Changed).await?;
        if missed > 0 {
            tracing::warn!({ field::RUN } = %self.run_id, { field::MISSED } = missed, "changes that incremental runs do not see");
        }
        Ok(Some(missed))
    }

    /// Records the end of a run, whatever it is.
    async fn end(&self, worked: Result<(Ending, Outcome), Error>) -> Result<Ended, Error> {
        let error = match worked {
            Ok((ending, outcome)) => match self.record(ending, outcome).await {
                Ok(ended) => return Ok(ended),
                Err(error) => error,
            },
            Err(error) => error,
        };
        tracing::error!({ field::RUN } = %self.run_id, { field::ERROR } = %error.chain(), "run failed");
        let outcome = Outcome {
            failure: Some((error.chain(), error.remedy())),
            ..Outcome::default()
        };
        match tokio::time::timeout(RECORD_TIMEOUT, self.record(Ending::Failed, outcome)).await {
            Ok(Ok(ended)) => Ok(ended),
            // Without a database there is no place for the record; the next run notes that this one ended.
            Ok(Err(_)) | Err(_) => {
                tracing::warn!("the end of the run could not be recorded");
                Err(error)
            }
        }
    }

    /// Commits the verdict, the checkpoint and the end of the run together, under the lease: a process that was too slow leaves the record to whoever took over.
    async fn record(&self, ending: Ending, outcome: Outcome) -> Result<Ended, Error> {
        let mut transaction = self.pool.begin().await?;
        self.lease.token().fence(&mut transaction).await?;
        match outcome.moves {
            Moves::Nothing => {}
            Moves::Finished(scan_id, learned) => {
                checkpoints::finish(&mut *transaction, self.job, scan_id, &learned).await?;
                let holds = ending == Ending::Braked;
                notes::prune(&mut *transaction, self.job, scan_id, holds).await?;
            }
            Moves::Advanced(to) => {
                checkpoints::advance(&mut *transaction, self.job, to).await?;
            }
            Moves::Abandoned => checkpoints::abandon(&mut *transaction, self.job).await?,
        }
        runs::note_traffic(&mut *transaction, self.run_id, self.env.traffic()).await?;
        runs::note_missed(&mut *transaction, self.run_id, outcome.missed).await?;
        let verdict = outcome
            .verdict
            .as_ref()
            .map(|(verdict, reason)| (verdict.to_string(), reason));
        let verdict = verdict
            .as_ref()
            .map(|(verdict, reason)| (verdict.as_str(), reason.as_str()));
        let failure = outcome
            .failure
            .as_ref()
            .map(|(error, remedy)| (error.as_str(), remedy.as_str()));
        runs::finish(&mut *transaction, self.run_id, ending, verdict, failure).await?;
        transaction.commit().await?;
        self.env.progress.enter(Phase::Finished);
        Ok(Ended {
            run_id: self.run_id,
            ending,
            counts: self.env.progress.counts(),
        })
    }
}

fn judged(verdict: Verdict, reason: String) -> Outcome {
    Outcome {
        verdict: Some((verdict, reason)),
        ..Outcome::default()
    }
}

fn incomplete(reason: String, moves: Moves) -> Outcome {
    Outcome {
        moves,
        failure: Some((
            "the scan ended incomplete: somebody may be missing from the mirror".into(),
            "What was read is kept. See verdict_reason; if it names the server, ask Zephr's support.".into(),
        )),
        ..judged(Verdict::Incomplete, reason)
    }
}

fn interrupted() -> (Ending, Outcome) {
    let outcome = Outcome {
        failure: Some((
            "stopped on request".into(),
            "Run the command again: it continues where this run stopped.".into(),
        )),
        ..Outcome::default()
    };
    (Ending::Interrupted, outcome)
}

fn too_many_rejects(allowed: u64) -> (Ending, Outcome) {
    let outcome = Outcome {
        failure: Some((
            format!("more than {allowed} records could not be stored: the run was stopped"),
            "`zephr-sync rejects list` says why each could not. If that is as it should be, raise max_rejects and run the command again: it continues where this run stopped.".into(),
        )),
        ..Outcome::default()
    };
    (Ending::Braked, outcome)
}

impl Environment {
    fn traffic(&self) -> Traffic {
        let sent = self.reader.sent();
        let governor = self.reader.governor();
        Traffic {
            requests: sent.requests as i64,
            retries: sent.retries as i64,
            throttled_ms: governor.throttled.as_millis() as i64,
            allowed: governor.allowed as i32,
            waiting_seconds: governor.waiting.map(|left| left.as_secs_f64()),
        }
    }
}
