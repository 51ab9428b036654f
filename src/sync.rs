//! One sync run: scan, compare, then merge and progress in one transaction. The flow file: only
//! here do the API, the scan, the tables and the bookkeeping meet.
//!
//! ```text
//! windows ──► fetch (several at once) ──► bounded channel ──► writers (two) ──► compare ─ merge ─ progress ─ commit
//!                                                     a full scan, at its end ──► missing? ─ brake ─ witness ─ tombstones
//! ```
//!
//! Where other daemons share the tenant, windows of a full scan of users are read and written by
//! them too: [`share`].
//!
//! Fetching and writing overlap, and the channel bounds memory: by pages in flight, not by the size
//! of the tenant.

mod began;
mod confirm;
mod deletions;
pub mod error;
mod events;
mod exports;
pub mod forecast;
mod pace;
mod privacy;
pub mod progress;
mod reading;
pub mod replay;
mod run;
mod scan;
pub mod scope;
pub mod share;
mod tables;
mod tidy;
pub mod trust;
mod unfit;
mod users;
mod write;

use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection;
use uuid::Uuid;

use crate::identity::{self, Access};
use crate::job::Job;
use ::privacy::Policy;
use ::scan::verdict::{Growth, Proof, Verdict};
use ::scan::walk::Part;
pub use error::Error;
use lifecycle::Shutdown;
use mirror::postgres::connect::{self, Database};
use mirror::state::leases::{self, Holder};
use mirror::state::retention::{self, Removed};
use mirror::state::runs::{Counts, Ending, Slot, Traffic};
use mirror::state::windows;
use progress::{Phase, Progress};
use record::Resource;
use run::Run;
pub use scope::{Extent, Start};
pub use share::{Assistant, Assisted, Sharing};
use telemetry::field;
use telemetry::span::{Span, Work};
use write::Sessions;
use zephr::Reader;

/// A failed run is recorded within this time or not at all: when Postgres is gone, nobody should
/// wait to be told so.
const RECORD_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// How long bookkeeping is kept; none means for ever.
    pub bookkeeping_retention: Option<Duration>,
    /// What the API had been asked before this run: the client is shared by all jobs of a tenant.
    pub before: Traffic,
    /// What of a record may be kept; the reader keeps to it.
    pub privacy: Policy,
    /// How a full scan of users is shared with other daemons, if it is.
    pub sharing: Option<Sharing>,
    /// What the run is begun for.
    pub cause: Cause,
}

/// What a run is begun for. What daemons begin runs for they all see, and who begins first has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Somebody runs a command.
    Command,
    /// A slot of the job's schedule.
    Slot(Slot),
    /// Somebody asked the daemons for it, by this identifier of the request.
    Request(Uuid),
}

/// What stops a run gone wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Brakes {
    /// Share of the living rows that may be missing from a full scan before nobody is marked as
    /// deleted.
    pub max_delete_fraction: f64,
    /// By which share of the known rows a tenant may grow between two scans before a scan is given
    /// up.
    pub max_growth_fraction: f64,
    /// Records that cannot be stored, in one run.
    pub max_rejects: u64,
}

/// Deletions that are let through in one run and table whatever their share, unless they are all
/// there is: a small tenant would else trip over each.
const ALWAYS_ALLOWED: i64 = 10;

/// Pages that may always come, however few rows are known: a small tenant may grow many times over.
const PAGES_ALLOWED: u64 = 20;

impl Brakes {
    /// These, unless the job has its own.
    pub fn of_job(self, job: &Job) -> Self {
        Self {
            max_delete_fraction: job.max_delete_fraction.unwrap_or(self.max_delete_fraction),
            max_rejects: job.max_rejects.unwrap_or(self.max_rejects),
            ..self
        }
    }

    /// How many of so many living rows may be missing at once. Those that are all there is never
    /// may, where they are more than one: an empty answer is far more often a fault than a tenant
    /// that lost everything. Who allows all of them has said so.
    pub fn deletions(self, living: i64) -> i64 {
        if self.max_delete_fraction >= 1.0 {
            return living;
        }
        self.deletions_without_witness(living)
    }

    /// The same for rows that cannot be asked for by their key: nobody can allow that all of them
    /// vanish, but for one run that is confirmed.
    pub fn deletions_without_witness(self, living: i64) -> i64 {
        let share = (self.max_delete_fraction * living as f64) as i64;
        let most = ALWAYS_ALLOWED.max(share);
        if living > 1 {
            most.min(living - 1)
        } else {
            most
        }
    }

    /// How many records can be expected in pages of this size where so many are known; none where
    /// nothing is.
    pub fn growth(self, known: i64, rpp: u64) -> Option<Growth> {
        let known = u64::try_from(known).ok().filter(|known| *known > 0)?;
        Some(self.growth_beyond(known, rpp.saturating_mul(PAGES_ALLOWED)))
    }

    /// The same where so many records may always come, whatever is known.
    fn growth_beyond(self, known: u64, always: u64) -> Growth {
        let more = (known as f64 * self.max_growth_fraction) as u64;
        Growth {
            known,
            allowed: known.saturating_add(more).saturating_add(always),
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

/// Runs a job, if the mirror is this tenant's and, where it is not as the last run left it, as if
/// nothing had been read before. `waiting` is told when somebody else holds the lease.
///
/// # Errors
/// Only what kept the run from having a record; a run that failed has one, and that says why.
pub async fn run(
    env: &Environment,
    job: &Job,
    extent: Extent,
    waiting: impl FnMut(&Holder),
) -> Result<Ended, Error> {
    let mut connection = env.database.connect().await?;
    identity::check(&mut connection, &env.reader, Access::Write).await?;
    trust::settle(&mut connection, env, job).await?;
    let round_trip = connect::round_trip(&mut connection).await?;
    let running = async {
        let pool = env.database.pool_at_once(run::SESSIONS);
        let lease = leases::acquire(connection, job.resource, &holder_name(), waiting).await?;
        env.progress.enter(Phase::Leased);
        let run = Run {
            env,
            job,
            extent,
            run_id: Uuid::now_v7(),
            lease: &lease,
            pool: &pool,
            round_trip,
        };
        // On the heap: a run is the deepest of all our futures, and with everything around it deeper
        // than the compiler goes when it lays out one.
        let ended = match job.resource {
            Resource::Users => Box::pin(run.users()).await,
            Resource::Events => Box::pin(run.events()).await,
            Resource::Schema
            | Resource::Catalog
            | Resource::Accounts
            | Resource::Segments
            | Resource::List => Box::pin(run.steps()).await,
        };
        tokio::join!(pool.close(), lease.release());
        ended
    };
    let span = Span::of(|| Work::Run {
        job: job.name.clone(),
    });
    let ended = span.over(running).await?;
    if let Some(age) = env.bookkeeping_retention {
        forget(env, age).await;
    }
    Ok(ended)
}

/// Removes bookkeeping of this age. What keeps it from that is not the run's failure, and is
/// logged.
async fn forget(env: &Environment, age: Duration) {
    let removed = async {
        let mut connection = env.database.connect().await?;
        let removed = retention::keep(&mut connection, age).await?;
        connection.close().await?;
        Ok::<_, sqlx::Error>(removed)
    };
    match removed.await {
        Ok(removed) if removed == Removed::default() => {}
        Ok(removed) => tracing::info!(
            { field::REMOVED } = %removed,
            "old bookkeeping was removed"
        ),
        Err(error) => {
            tracing::warn!({ field::ERROR } = %error, "old bookkeeping was not removed");
        }
    }
}

/// Reads and compares, and writes nothing: its session may only read. Counts what a run would have
/// done.
///
/// # Errors
/// As [`run`].
pub async fn dry_run(
    env: &Environment,
    job: &Job,
    extent: Extent,
) -> Result<(Counts, Verdict, String), Error> {
    let mut connection = env.database.connect().await?;
    identity::check(&mut connection, &env.reader, Access::ReadOnly).await?;
    let doubt = trust::doubt(&mut connection, job).await?;
    let round_trip = connect::round_trip(&mut connection).await?;
    connection.close().await?;
    let extent = match (&doubt, extent) {
        // A run would begin anew.
        (Some(_), Extent::AsDue | Extent::Full(_)) => Extent::Full(Start::Restart),
        (Some(_) | None, other) => other,
    };
    let sessions = || Sessions::open(&env.database, round_trip);
    let (counts, verdict, reason) = match job.resource {
        Resource::Users => users::dry_run(env, extent, job, sessions()).await?,
        Resource::Events => events::dry_run(env, extent, job, sessions()).await?,
        Resource::Schema
        | Resource::Catalog
        | Resource::Accounts
        | Resource::Segments
        | Resource::List => tables::dry_run(env, job, extent).await?,
    };
    let reason = match doubt {
        Some(why) => trust::because(&reason, &why),
        None => reason,
    };
    Ok((counts, verdict, reason))
}

/// Host and process, for people who wonder who holds a lease.
pub(crate) fn holder_name() -> String {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    format!("{host}, process {}", std::process::id())
}

/// A part as it is noted when it is committed, with how many records it held.
fn done(part: Part, proof: Proof, rows: u64) -> windows::Done {
    let (name, from, until) = match part {
        Part::Window(window) => (WINDOW, window.from, window.until),
        Part::Undated => (UNDATED, None, None),
    };
    windows::Done {
        lower_bound: from,
        upper_bound: until,
        part: name.to_owned(),
        proof: proof.name().to_owned(),
        rows_read: rows as i64,
    }
}

impl Environment {
    /// What this run asked of the API, and others for it.
    fn traffic(&self) -> Traffic {
        let now = asked(&self.reader);
        let others = self
            .sharing
            .as_ref()
            .map(Sharing::asked)
            .unwrap_or_default();
        Traffic {
            requests: now.requests - self.before.requests + others.requests,
            retries: now.retries - self.before.retries + others.retries,
            throttled_ms: now.throttled_ms - self.before.throttled_ms,
            ..now
        }
    }
}

/// What the API was asked through this reader so far.
pub fn asked(reader: &Reader) -> Traffic {
    let sent = reader.sent();
    let governor = reader.governor();
    Traffic {
        requests: sent.requests as i64,
        retries: sent.retries as i64,
        throttled_ms: governor.throttled.as_millis() as i64,
        allowed: governor.allowed as i32,
        waiting_seconds: governor.waiting.map(|left| left.as_secs_f64()),
    }
}
