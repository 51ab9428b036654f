//! The events: scanned in windows of the time they happened, as users are in windows of their
//! registration, and appended.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::exports::EventExport;
use super::progress::Phase;
use super::run::{Moves, Outcome, Run, judged, nothing_left, unfinished};
use super::scan::{self, Committed, Scan};
use super::scope::Scope;
use super::write::{Append, ByBatch, Destination, Sessions};
use super::{Ended, Environment, Error, Extent, privacy};
use crate::job::Job;
use ::scan::part::Asking;
use ::scan::verdict::Verdict;
use clock::time;
use mirror::load::events;
use mirror::postgres::ddl::{self, Attempt};
use mirror::state::runs::{self, Counts, Ending};
use mirror::state::{checkpoints, erasures, marks};
use telemetry::field;
use zephr::read::Events;

/// Events per page, more than users: an event is a third of a user's size.
const RPP_FACTOR: u64 = 4;

/// Reads and compares, and writes nothing. Counts what a run would have done.
///
/// # Errors
/// As [`run`].
pub async fn dry_run(
    env: &Environment,
    extent: Extent,
    job: &Job,
    sessions: Sessions,
) -> Result<(Counts, Verdict, String), Error> {
    let pool = sessions.pool();
    let scope = Scope::decide(extent, job.mode, pool, &job.name).await?;
    let keeps_since = keeps_since(job, pool).await?;
    let destination = Destination::ByBatch(ByBatch::Count(Arc::clone(&env.progress)));
    let known = known(pool, &job.name).await?;
    let (source, asking) = reading(env, scope, keeps_since, known);
    let mut scan = Scan::new(
        env,
        source,
        asking,
        &job.name,
        scope,
        destination,
        &sessions,
    )
    .await?;
    let read = scan.read(None).await;
    sessions.close().await;
    read?;
    let (verdict, reason) = scan.walk.verdict();
    Ok((env.progress.counts(), verdict, reason))
}

/// What is read, and from when on: what retention would remove is not read to begin with.
fn reading(
    env: &Environment,
    scope: Scope,
    keeps_since: Option<DateTime<Utc>>,
    known: i64,
) -> (EventExport, Asking) {
    let rpp = env.rpp.saturating_mul(RPP_FACTOR);
    let asking = Asking {
        rpp,
        since: scope.since().max(keeps_since),
        may_be_undated: false,
        expected: env.brakes.growth(known, rpp),
    };
    (
        EventExport(Events::new(env.reader.clone(), &env.privacy)),
        asking,
    )
}

/// Fewer events that are known than this say nothing about how the export writes them.
const TELLING: i64 = 10;

/// What to say where most of so many known events were not shown again as they are known, though
/// their time was read again, and about as many others were. Where the export shows no identifiers,
/// an event that is written otherwise is another one. (An export that reaches back less far than
/// the mirror shows fewer, and no others in their place.)
fn not_shown_again(known: i64, counts: Counts) -> Option<String> {
    let (again, new) = (counts.unchanged, counts.inserted);
    let is_telling =
        known >= TELLING && again.saturating_mul(2) < known && new.saturating_mul(2) >= known;
    is_telling.then(|| {
        format!(
            "of about {known} events that are known of the time that was read again, {again} were shown as they are known, and {new} others: the export writes events otherwise than before, it seems, and then each of them is there twice"
        )
    })
}

/// Events older than this are not kept, by Postgres's clock.
async fn keeps_since(job: &Job, pool: &PgPool) -> Result<Option<DateTime<Utc>>, Error> {
    let Some(retention) = job.retention else {
        return Ok(None);
    };
    let now: DateTime<Utc> = sqlx::query_scalar!(r#"select now() as "now!""#)
        .fetch_one(pool)
        .await?;
    // Events happened later, and neither Postgres nor an API can reckon with much earlier times.
    let since = time::before(now, time::signed(retention));
    Ok(Some(since.max(DateTime::UNIX_EPOCH)))
}

/// About how many events are known; none before the first scan came to its end.
async fn known(pool: &PgPool, job: &str) -> Result<i64, Error> {
    if !checkpoints::is_known(pool, job).await? {
        return Ok(0);
    }
    let mut connection = pool.acquire().await?;
    let there = events::about(&mut connection).await?;
    // What a braked run took in is no more expected for that.
    let unexpected = runs::inserted_by_braked(&mut *connection, job).await?;
    Ok((there - unexpected).max(1))
}

impl Run<'_> {
    /// Mirrors the events.
    pub(super) async fn events(&self) -> Result<Ended, Error> {
        if let Extent::Confirmed(run_id) = self.extent {
            let why = "is of events, and events are never marked as deleted";
            return Err(Error::NothingToConfirm { run_id, why });
        }
        let scope = Scope::decide(self.extent, self.job.mode, self.pool, &self.job.name).await?;
        let writers = Sessions::open(&self.env.database, self.round_trip);
        self.begin(scope.mode(), scope.kept().map(|kept| kept.scan_id))
            .await?;
        let worked = self.watched(self.read_events(scope, &writers)).await;
        let (ended, ()) = tokio::join!(self.end(worked), writers.close());
        ended
    }

    /// Where events are appended, once what is stored is as the settings want it.
    async fn append(&self, scope: Scope) -> Result<Append, Error> {
        let (env, token) = (self.env, self.lease.token());
        let schema = env.database.schemas().data();
        privacy::follow(self.pool, token, schema, &env.privacy).await?;
        Ok(Append {
            erased: Arc::new(erasures::erased(self.pool, env.privacy.key()).await?),
            token,
            job: self.job.name.as_str().into(),
            run_id: self.run_id,
            scan_id: scope.kept().map(|kept| kept.scan_id),
            progress: Arc::clone(&env.progress),
        })
    }

    async fn read_events(
        &self,
        scope: Scope,
        writers: &Sessions,
    ) -> Result<(Ending, Outcome), Error> {
        let env = self.env;
        let keeps_since = keeps_since(self.job, self.pool).await?;
        // Before anything is read: nothing may be appended to a month that is on its way out.
        let held_up = self.retire(keeps_since).await?;
        let destination = Destination::ByBatch(ByBatch::Append(self.append(scope).await?));
        let known = known(self.pool, &self.job.name).await?;
        let (source, asking) = reading(env, scope, keeps_since, known);
        let there = self.known_again(scope, asking.since).await?;
        let mut scan = Scan::new(
            env,
            source,
            asking,
            &self.job.name,
            scope,
            destination,
            writers,
        )
        .await?;
        if let Some(broken_off) = self.read_through(&mut scan, scope).await? {
            return Ok(broken_off);
        }
        env.progress.enter(Phase::ScanRead);
        let (mut verdict, reason) = scan.walk.verdict();
        let parts = scan.walk.parts();
        let began = self.began(scan.walk.reader().first_answer()).await?;
        let mut reason = began.explain(reason);
        let moves = match (scope, verdict) {
            (_, Verdict::Incomplete) => {
                return Ok(unfinished(parts, reason, nothing_left(scope)));
            }
            (Scope::Sample { .. }, Verdict::Proven | Verdict::Agreed | Verdict::Partial) => {
                Moves::Nothing
            }
            (Scope::Incremental { .. }, Verdict::Proven | Verdict::Agreed | Verdict::Partial) => {
                Moves::Advanced(began.at)
            }
            (Scope::Full { scan_id, .. }, Verdict::Proven | Verdict::Agreed | Verdict::Partial) => {
                let committed = self.commit_by_page(scan_id, &scan).await?;
                if let Some(reason) = committed.fault() {
                    return Ok(unfinished(parts, reason, Moves::Abandoned));
                }
                if let Some(weaker) = self.of_no_events(committed).await? {
                    (verdict, reason) = weaker;
                }
                Moves::Finished(scan_id, scan::to_remember(scan.walk.reader().learned()))
            }
        };
        if let Some(words) = not_shown_again(there, env.progress.counts()) {
            verdict = verdict.max(Verdict::Agreed);
            reason = format!("{reason}; {words}");
        }
        if let Some(held) = held_up {
            reason = format!("{reason}; {held}");
        }
        let outcome = Outcome {
            moves,
            ..judged(verdict, reason)
        };
        Ok((Ending::Succeeded, outcome))
    }

    /// How many events are known of the time that is about to be read; none where the run reads a
    /// part of it only.
    async fn known_again(
        &self,
        scope: Scope,
        since: Option<DateTime<Utc>>,
    ) -> Result<i64, sqlx::Error> {
        let is_all = match scope {
            Scope::Full { resumed, .. } => resumed.is_none(),
            Scope::Incremental { .. } => true,
            Scope::Sample { .. } => false,
        };
        if !is_all {
            return Ok(0);
        }
        let mut connection = self.pool.acquire().await?;
        match since {
            Some(since) => events::count_since(&mut connection, since).await,
            None => events::about(&mut connection).await,
        }
    }

    /// An export that shows none proves nothing.
    async fn of_no_events(&self, committed: Committed) -> Result<Option<(Verdict, String)>, Error> {
        if committed.rows > 0 {
            return Ok(None);
        }
        let known = match events::about(&mut *self.pool.acquire().await?).await? {
            0 => "",
            _ => ", where events are known",
        };
        let reason = format!(
            "GET /v4/user-export shows none{known}: such an answer proves nothing by itself"
        );
        Ok(Some((Verdict::Agreed, reason)))
    }

    /// Drops the months that ended before, and those that were on their way out; says which of them
    /// others hold.
    async fn retire(&self, before: Option<DateTime<Utc>>) -> Result<Option<String>, Error> {
        let over = events::retired(&mut *self.pool.acquire().await?, before).await?;
        for name in over {
            match ddl::patiently(async || self.retire_one(&name).await).await? {
                Attempt::Done(()) => {
                    tracing::info!({ field::RUN } = %self.run_id, { field::TABLE } = name, "events older than the retention were dropped");
                }
                // Postgres takes one partition out at a time: the others wait for this one.
                Attempt::Held(held) => {
                    tracing::warn!({ field::RUN } = %self.run_id, { field::TABLE } = name, { field::NOTE } = %held, "events older than the retention could not be dropped yet, since others hold them");
                    return Ok(Some(format!(
                        "{name} is older than the retention, and dropped as soon as nobody reads it (held by {held})"
                    )));
                }
            }
        }
        Ok(None)
    }

    async fn retire_one(&self, name: &str) -> Result<Attempt<()>, Error> {
        let out = events::take_out(&mut *self.pool.acquire().await?, name).await?;
        if let Attempt::Held(held) = out {
            return Ok(Attempt::Held(held));
        }
        let mut transaction = self.transaction().await?;
        let dropped = events::drop_retired(&mut transaction, name).await?;
        if let Attempt::Done(()) = dropped {
            marks::forget_dropped(&mut transaction, &[name.to_owned()]).await?;
        }
        transaction.commit().await?;
        Ok(dropped)
    }
}
