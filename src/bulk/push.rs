//! A plan carried through. The flow of a push: only here do the ledger and the API meet.
//!
//! ```text
//! planned ─► users read once more ─► written down as sending ─► POST ─► accepted(job) ─► polled until over ─► outcomes ─► done
//!                                          └─ the answer is lost, or we died ─► jobs? values? ─► accepted, planned again, or unknown
//! ```
//!
//! Each step begins with what is written down and ends with the next thing written down, so that it
//! does not matter in which process it runs.

mod decide;
mod job;
mod lost;
mod present;
mod send;

use std::sync::Arc;
use std::time::Duration;

use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::Error;
use super::field::Fields;
use super::progress::{Phase, Progress};
use super::settings::Settings;
use crate::identity::{self, Access};
use crate::sync::holder_name;
use clock::Clock;
use clock::time;
pub use decide::EMAIL;
use lifecycle::Shutdown;
use mirror::load::people;
use mirror::postgres::connect::Database;
use mirror::state::bulk::chunks;
use mirror::state::bulk::jobs;
use mirror::state::bulk::plans::{self, Plan};
use mirror::state::bulk::rows::{self, Outcome, Row, State};
use mirror::state::leases::{self, Holder, Lease, Subject};
use telemetry::span::{Span, Work};
use zephr::Reader;
use zephr::updates::{Job, Writer};

/// So many deletions pass the brake whatever their share is (design section 3.3).
const FEW_DELETIONS: i64 = 10;

/// Rows that are held at once where a plan is gone through.
const BATCH: i64 = 500;

/// The first pause between two looks at a job: small jobs are over in a moment.
const FIRST_LOOK: Duration = Duration::from_millis(250);

/// What a push works with.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The mirror, with the ledger.
    pub database: Database,
    /// Asks the tenant.
    pub reader: Reader,
    /// Writes to it.
    pub writer: Writer,
    /// The machine's time, to see whether we slept.
    pub clock: Clock,
    /// How updates are sent.
    pub settings: Settings,
    /// Records per page of the export.
    pub rpp: u64,
    /// Requests in flight at most.
    pub max_in_flight: usize,
    /// Share of the living users that a plan may delete.
    pub max_delete_fraction: f64,
    /// Who carries it through, for whoever asks later.
    pub operator: String,
    /// Where people and logs see how it goes.
    pub progress: Arc<Progress>,
    /// Whether to stop.
    pub shutdown: Shutdown,
}

/// What somebody allowed when they applied a plan.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allowed {
    /// The file, or users, may have changed since it was planned.
    pub changes: bool,
    /// Users may be deleted.
    pub deletes: bool,
}

/// What somebody who knows more says of the rows of which nothing tells whether they were done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assume {
    /// They were.
    Sent,
    /// They were not: they are sent again, to users who are as they were before.
    Unsent,
}

/// How far a push came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Every row has an outcome.
    Finished,
    /// It was asked to stop, and can be resumed.
    Interrupted,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    On,
    Stop,
}

/// Pauses that double from [`FIRST_LOOK`] to a longest one.
struct Pause {
    next: Duration,
    longest: Duration,
}

impl Pause {
    fn new(longest: Duration) -> Self {
        Self {
            next: FIRST_LOOK.min(longest),
            longest,
        }
    }

    fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = time::times(pause, 2).min(self.longest);
        pause
    }
}

/// Applies a plan; one that was begun is resumed, and of one that is finished nothing is left to
/// do. `waiting` is told when somebody else is pushing.
///
/// # Errors
/// What keeps it from being begun, or stopped it; what was sent is written down.
pub async fn apply(
    env: &Environment,
    plan_id: Uuid,
    allowed: Allowed,
    waiting: impl FnMut(&Holder),
) -> Result<End, Error> {
    let mut connection = env.database.connect().await?;
    identity::check(&mut connection, &env.reader, Access::Write).await?;
    // Before the lease is waited for: a mistake should be told at once.
    let plan = get(&mut connection, plan_id).await?;
    drop(connection);
    if plan.applied_at.is_none() {
        may_be_applied(env, &plan, allowed).await?;
    }
    leased(env, waiting, async |push| {
        push.apply(plan_id, allowed).await
    })
    .await
}

/// Carries on with what was begun: one plan, or all that have rows without an outcome or without
/// evidence. Answers which these were.
///
/// # Errors
/// As [`apply`].
pub async fn resume(
    env: &Environment,
    plan_id: Option<Uuid>,
    assume: Option<Assume>,
    waiting: impl FnMut(&Holder),
) -> Result<(End, Vec<Uuid>), Error> {
    let mut connection = env.database.connect().await?;
    identity::check(&mut connection, &env.reader, Access::Write).await?;
    let plans = match plan_id {
        Some(plan_id) => {
            if get(&mut connection, plan_id).await?.applied_at.is_none() {
                return Err(Error::NotApplied(plan_id));
            }
            vec![plan_id]
        }
        None => {
            let mut plans = plans::unfinished(&mut connection).await?;
            plans.extend(plans::with_unknown(&mut connection).await?);
            plans
        }
    };
    drop(connection);
    if plans.is_empty() {
        return Ok((End::Finished, plans));
    }
    let end = leased(env, waiting, async |push| {
        for plan_id in &plans {
            if push.resume(*plan_id, assume).await? == End::Interrupted {
                return Ok(End::Interrupted);
            }
        }
        Ok(End::Finished)
    })
    .await?;
    Ok((end, plans))
}

async fn get(connection: &mut sqlx::PgConnection, plan_id: Uuid) -> Result<Plan, Error> {
    plans::get(connection, plan_id)
        .await?
        .ok_or(Error::NoPlan(plan_id))
}

/// Whether a plan may be begun.
async fn may_be_applied(env: &Environment, plan: &Plan, allowed: Allowed) -> Result<(), Error> {
    if let (Some(path), Some(hash), false) = (&plan.file_path, &plan.file_hash, allowed.changes) {
        let path = std::path::Path::new(path);
        // A file that is not there any more has not changed: the plan holds all that is needed of
        // it.
        if path.exists() && csv_intake::digest(path)?[..] != hash[..] {
            return Err(Error::FileChanged(path.to_owned()));
        }
    }
    let deletions = plan.rows_deleting;
    if deletions == 0 {
        return Ok(());
    }
    if !allowed.deletes {
        return Err(Error::DeletesNotAllowed(deletions));
    }
    let mut connection = env.database.connect().await?;
    let living = people::living(&mut connection).await?;
    let share = (living as f64 * env.max_delete_fraction).floor() as i64;
    let allowed = share.max(FEW_DELETIONS);
    if deletions > allowed {
        return Err(Error::Brake {
            deletions,
            allowed,
            living,
        });
    }
    Ok(())
}

/// Does the work under the lease for pushes: the API has one open job of ours at a time.
async fn leased(
    env: &Environment,
    waiting: impl FnMut(&Holder),
    work: impl AsyncFnOnce(&mut Push<'_>) -> Result<End, Error>,
) -> Result<End, Error> {
    let session = env.database.connect().await?;
    let lease = leases::acquire(session, Subject::Pushes, &holder_name(), waiting).await?;
    env.progress.enter(Phase::Leased);
    let pool = env.database.pool_at_once(2);
    let mut push = Push {
        env,
        lease: &lease,
        pool: &pool,
        plan_id: Uuid::nil(),
        fields: Fields::default(),
        forced: false,
        refused: 0,
        put_off: 0,
    };
    let worked = tokio::select! {
        worked = work(&mut push) => worked,
        loss = lease.lost() => Err(loss.into()),
    };
    pool.close().await;
    lease.release().await;
    match worked {
        // The API was being asked when we were told to stop; what is written down is carried on
        // from.
        Err(error) if error.is_interruption() => Ok(End::Interrupted),
        other => other,
    }
}

/// A plan being carried through, under the lease.
struct Push<'a> {
    env: &'a Environment,
    lease: &'a Lease,
    pool: &'a PgPool,
    plan_id: Uuid,
    fields: Fields,
    /// Whether rows are sent to users who changed since they were planned.
    forced: bool,
    /// Updates refused one after the other, each alone.
    refused: u32,
    /// Times the API said "not now" in a row.
    put_off: u32,
}

impl Push<'_> {
    async fn apply(&mut self, plan_id: Uuid, allowed: Allowed) -> Result<End, Error> {
        if self.settle_others(plan_id).await? == End::Interrupted {
            return Ok(End::Interrupted);
        }
        // Another process may have applied it while the lease was waited for.
        let plan = self.enter(plan_id).await?;
        self.forced = allowed.changes;
        if plan.applied_at.is_none() {
            let rows = i64::from(self.env.settings.chunk_rows);
            let mut transaction = self.begin().await?;
            plans::begin(&mut transaction, plan_id, &self.env.operator, rows).await?;
            transaction.commit().await?;
        }
        self.env.progress.enter(Phase::Begun);
        if plan.finished_at.is_some() {
            return Ok(End::Finished);
        }
        self.drive().await
    }

    /// A request under way of another plan is settled first: one job at a time, and its rows may be
    /// about the same users.
    async fn settle_others(&mut self, plan_id: Uuid) -> Result<End, Error> {
        for other in chunks::plans_under_way(self.pool).await? {
            if other == plan_id {
                continue;
            }
            self.enter(other).await?;
            while let Some(chunk) = chunks::next(self.pool, other).await? {
                if chunk.state == chunks::State::Planned {
                    break;
                }
                if self.step(&chunk).await? == Step::Stop {
                    return Ok(End::Interrupted);
                }
            }
        }
        Ok(End::Finished)
    }

    async fn resume(&mut self, plan_id: Uuid, assume: Option<Assume>) -> Result<End, Error> {
        let plan = self.enter(plan_id).await?;
        if plan.finished_at.is_none() && self.drive().await? == End::Interrupted {
            return Ok(End::Interrupted);
        }
        self.look_again().await?;
        match assume {
            None => Ok(End::Finished),
            Some(assume) => {
                self.assume(assume).await?;
                self.drive().await
            }
        }
    }

    /// Turns to a plan.
    async fn enter(&mut self, plan_id: Uuid) -> Result<Plan, Error> {
        let mut connection = self.pool.acquire().await?;
        let plan = get(&mut connection, plan_id).await?;
        let outcomes = rows::outcomes(&mut *connection, plan_id).await?;
        self.plan_id = plan_id;
        self.forced = false;
        self.fields = Fields::parse(&plan.fields);
        self.env
            .progress
            .begin(plan.rows_planned, outcomes.settled());
        Ok(plan)
    }

    async fn drive(&mut self) -> Result<End, Error> {
        let plan_id = self.plan_id;
        let span = Span::of(|| Work::Push { plan_id });
        span.over(self.carry_through()).await
    }

    /// Carries the plan through, a step at a time, each from what is written down.
    async fn carry_through(&mut self) -> Result<End, Error> {
        loop {
            if self.env.shutdown.is_requested() {
                return Ok(End::Interrupted);
            }
            let Some(chunk) = chunks::next(self.pool, self.plan_id).await? else {
                break;
            };
            if self.step(&chunk).await? == Step::Stop {
                return Ok(End::Interrupted);
            }
        }
        let mut transaction = self.begin().await?;
        plans::finish(&mut transaction, self.plan_id).await?;
        transaction.commit().await?;
        self.env.progress.enter(Phase::Finished);
        Ok(End::Finished)
    }

    async fn step(&mut self, chunk: &chunks::Chunk) -> Result<Step, Error> {
        let stepping = async {
            match chunk.state {
                chunks::State::Planned => self.send(chunk).await,
                chunks::State::Sending => self.settle_lost(chunk).await,
                chunks::State::Accepted => self.follow(chunk).await,
                chunks::State::Done => Ok(Step::On),
            }
        };
        let span = Span::of(|| Work::Chunk { chunk: chunk.chunk });
        span.over(stepping).await
    }

    /// Looks once more for evidence about rows without any: a job may show by now, or values may
    /// have come.
    async fn look_again(&mut self) -> Result<(), Error> {
        let mut after = 0;
        loop {
            let unknown =
                rows::in_state(self.pool, self.plan_id, State::Unknown, after, BATCH).await?;
            let Some(last) = unknown.last() else {
                return Ok(());
            };
            after = last.row_number;
            let (arrived, _) = self.observed(&unknown).await?;
            let outcomes = arrived.into_iter().map(|row_number| Outcome {
                row_number,
                state: State::Succeeded,
                message: Some("found in place later".into()),
            });
            self.settle(&outcomes.collect::<Vec<_>>()).await?;
        }
    }

    /// Takes somebody's word for rows without evidence.
    async fn assume(&mut self, assume: Assume) -> Result<(), Error> {
        loop {
            let unknown = rows::in_state(self.pool, self.plan_id, State::Unknown, 0, BATCH).await?;
            if unknown.is_empty() {
                return Ok(());
            }
            let mut transaction = self.begin().await?;
            match assume {
                Assume::Sent => {
                    let outcomes = unknown.iter().map(|row| Outcome {
                        row_number: row.row_number,
                        state: State::Succeeded,
                        message: Some(format!("assumed to be sent by {}", self.env.operator)),
                    });
                    rows::settle(
                        &mut transaction,
                        self.plan_id,
                        &outcomes.collect::<Vec<_>>(),
                    )
                    .await?;
                }
                Assume::Unsent => {
                    let numbers = |action| -> Vec<i64> {
                        let rows = unknown.iter().filter(|row: &&Row| row.action == action);
                        rows.map(|row| row.row_number).collect()
                    };
                    for action in [rows::Action::Set, rows::Action::Delete] {
                        let numbers = numbers(action);
                        if !numbers.is_empty() {
                            rows::plan_again(&mut transaction, self.plan_id, &numbers).await?;
                            chunks::split_off(&mut transaction, self.plan_id, action, &numbers)
                                .await?;
                        }
                    }
                }
            }
            transaction.commit().await?;
        }
    }

    /// A transaction that only the holder of the lease can commit.
    async fn begin(&self) -> Result<Transaction<'static, Postgres>, Error> {
        Ok(self.lease.token().begin(self.pool).await?)
    }

    async fn accept(&self, chunk: i32, job_id: &str) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        chunks::accepted(&mut transaction, self.plan_id, chunk, job_id).await?;
        jobs::ours(&mut transaction, job_id).await?;
        transaction.commit().await?;
        self.env.progress.enter(Phase::Accepted);
        Ok(())
    }

    async fn not_sent(&self, chunk: i32) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        chunks::not_sent(&mut transaction, self.plan_id, chunk).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Notes outcomes.
    async fn settle(&self, outcomes: &[Outcome]) -> Result<(), Error> {
        if outcomes.is_empty() {
            return Ok(());
        }
        let mut transaction = self.begin().await?;
        rows::settle(&mut transaction, self.plan_id, outcomes).await?;
        transaction.commit().await?;
        self.env.progress.count(outcomes);
        Ok(())
    }

    /// Notes the last outcomes of a chunk.
    async fn close(&self, chunk: i32, outcomes: &[Outcome]) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        rows::settle(&mut transaction, self.plan_id, outcomes).await?;
        chunks::done(&mut transaction, self.plan_id, chunk).await?;
        transaction.commit().await?;
        self.env.progress.count(outcomes);
        self.env.progress.enter(Phase::ChunkDone);
        Ok(())
    }

    /// The jobs that the API lists; none where it shows no list to this key pair.
    async fn listed(&self) -> Result<Option<Vec<Job>>, Error> {
        match self.env.reader.update_jobs().await {
            Ok(listed) => Ok(listed),
            Err(error) if matches!(error.failure, zephr::Failure::Forbidden) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits, unless it is asked to stop.
    async fn pause(&self, pause: Duration) -> Result<Step, Error> {
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(Step::On),
            () = self.env.shutdown.requested() => Ok(Step::Stop),
        }
    }
}
