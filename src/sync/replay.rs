//! Reading the rejects again: what can be stored by now goes into the mirror, under the lease and
//! as a run of its own. The API is not asked.
//!
//! ```text
//! rejects, oldest first ──► read ──► older than the mirror's row? ──► merge ─ remove from rejects ─ counters ─ commit, a batch at a time
//! ```
//!
//! Killed anywhere, it has lost nothing, and the next replay goes on.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::progress::{Phase, Progress};
use super::write::Merging;
use super::{Error, RECORD_TIMEOUT, holder_name, privacy, reading};
use ::privacy::{Erased, Policy, Rules};
use lifecycle::Shutdown;
use mirror::load::freshness;
use mirror::postgres::connect::Database;
use mirror::postgres::savepoint::Savepoint;
use mirror::state::leases::{self, Holder, Lease};
use mirror::state::rejects::{self, Kept};
use mirror::state::runs::{self, Counts, Ending, Finish, Mode};
use mirror::state::{erasures, marks};
use record::{Item, Resource};
use telemetry::field;
use zephr::user;

/// Rejects that commit together. A record that could not be stored may be a large one.
const BATCH: i64 = 200;

/// Name of these runs among the jobs. It is no job's, so that the last run of a job is still the
/// one that tells how fresh its tables are.
const JOB: &str = "rejects";

/// What a replay works with.
#[derive(Debug)]
pub struct Environment<'a> {
    /// The mirror.
    pub database: &'a Database,
    /// Fields of a record that do not count as a change, by their path.
    pub ignored: &'a [String],
    /// What of a record may be kept.
    pub privacy: &'a Policy,
    /// Where people and logs see how it goes.
    pub progress: &'a Progress,
    /// Whether to stop.
    pub shutdown: &'a Shutdown,
}

/// What a replay did.
#[derive(Debug, Clone, Copy)]
pub struct Replayed {
    /// Its record in `runs` tells the counters.
    pub run_id: Uuid,
    /// How it ended.
    pub ending: Ending,
    /// Rejects whose record is in the mirror now.
    pub stored: i64,
    /// Rejects that were dropped, since the mirror heard of their user later.
    pub superseded: i64,
    /// Rejects that still cannot be stored.
    pub remaining: i64,
}

/// Reads the rejects of users again. `waiting` is told when somebody else holds the lease.
///
/// # Errors
/// What kept it from its end. What was committed until then stays, and the next replay goes on.
pub async fn users(env: &Environment<'_>, waiting: impl FnMut(&Holder)) -> Result<Replayed, Error> {
    let session = env.database.connect().await?;
    let lease = leases::acquire(session, Resource::Users, &holder_name(), waiting).await?;
    env.progress.enter(Phase::Leased);
    // One for the work, and one to record its end when that is broken off.
    let pool = env.database.pool_at_once(2);
    let replay = Replay {
        env,
        run_id: Uuid::now_v7(),
        lease: &lease,
        pool: &pool,
    };
    let replayed = replay.run().await;
    pool.close().await;
    lease.release().await;
    replayed
}

/// A replay under its lease.
struct Replay<'a> {
    env: &'a Environment<'a>,
    run_id: Uuid,
    lease: &'a Lease,
    pool: &'a PgPool,
}

/// What became of rejects.
#[derive(Debug, Default)]
struct Tally {
    stored: i64,
    superseded: i64,
    remaining: i64,
}

/// How far a replay has come: the time and the number of a reject.
type Place = (DateTime<Utc>, i64);

impl Replay<'_> {
    async fn run(&self) -> Result<Replayed, Error> {
        self.begin().await?;
        let mut tally = Tally::default();
        let worked = tokio::select! {
            worked = self.all(&mut tally) => worked,
            loss = self.lease.lost() => Err(Error::Lease(loss)),
        };
        let error = match worked {
            Ok(ending) => {
                let words = (
                    "stopped on request",
                    "Run `zephr-sync rejects replay` again: it goes on where this run stopped.",
                );
                let failure = (ending == Ending::Interrupted).then_some(words);
                match self.record(ending, failure).await {
                    Ok(()) => {
                        return Ok(Replayed {
                            run_id: self.run_id,
                            ending,
                            stored: tally.stored,
                            superseded: tally.superseded,
                            remaining: tally.remaining,
                        });
                    }
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        tracing::error!({ field::RUN } = %self.run_id, { field::ERROR } = %error.chain(), "run failed");
        let (what, remedy) = (error.chain(), error.remedy());
        let record = self.record(Ending::Failed, Some((&what, &remedy)));
        if !matches!(
            tokio::time::timeout(RECORD_TIMEOUT, record).await,
            Ok(Ok(()))
        ) {
            tracing::warn!("the end of the run could not be recorded");
        }
        Err(error)
    }

    async fn begin(&self) -> Result<(), Error> {
        let mut transaction = self.lease.token().begin(self.pool).await?;
        let (resource, mode) = (Resource::Users, Mode::Replay);
        // Without a slot there is none that could be taken.
        runs::begin(
            &mut transaction,
            self.run_id,
            JOB,
            resource,
            mode,
            None,
            None,
        )
        .await?;
        let total = rejects::count(&mut *transaction).await?;
        marks::renew(&mut transaction).await?;
        transaction.commit().await?;
        self.env.progress.begin(self.run_id);
        self.env.progress.expect(total);
        Ok(())
    }

    async fn record(&self, ending: Ending, failure: Option<(&str, &str)>) -> Result<(), Error> {
        let mut transaction = self.lease.token().begin(self.pool).await?;
        // The API is not asked.
        let finish = Finish {
            ending,
            verdict: None,
            failure,
            traffic: None,
            missed: None,
            unfit: None,
        };
        runs::finish(&mut *transaction, self.run_id, finish).await?;
        marks::renew(&mut transaction).await?;
        transaction.commit().await?;
        self.env.progress.enter(Phase::Finished);
        Ok(())
    }

    async fn all(&self, tally: &mut Tally) -> Result<Ending, Error> {
        let env = self.env;
        let schema = env.database.schemas().data();
        privacy::follow(self.pool, self.lease.token(), schema, env.privacy).await?;
        let erased = erasures::erased(self.pool, env.privacy.key()).await?;
        let mut place = None;
        loop {
            if self.env.shutdown.is_requested() {
                return Ok(Ending::Interrupted);
            }
            place = self.batch(place, tally, &erased).await?;
            if place.is_none() {
                return Ok(Ending::Succeeded);
            }
        }
    }

    /// Leaves out of a batch of whom the mirror heard later, and answers the numbers of those
    /// rejects. Who was erased is not let in by this door either.
    async fn leave_out_older(
        &self,
        connection: &mut PgConnection,
        batch: &mut Batch,
        erased: &Erased,
    ) -> Result<Vec<i64>, Error> {
        let ids: Vec<&str> = batch
            .items
            .iter()
            .map(|(_, item, _)| item.id.as_str())
            .collect();
        let known = freshness::known_at(connection, &ids).await?;
        let mut settled = Vec::with_capacity(batch.items.len());
        batch.items.retain(|(reject_id, item, at)| {
            let newer = known.get(&item.id).is_none_or(|known| known < at) && !erased.is(&item.id);
            if !newer {
                settled.push(*reject_id);
            }
            newer
        });
        Ok(settled)
    }

    /// Settles the next batch, and answers where it ended; none when there was nothing left.
    async fn batch(
        &self,
        after: Option<Place>,
        tally: &mut Tally,
        erased: &Erased,
    ) -> Result<Option<Place>, Error> {
        let mut transaction = self.lease.token().begin(self.pool).await?;
        let kept = rejects::oldest(&mut *transaction, Resource::Users, after, BATCH).await?;
        let rules = user::rules(self.env.privacy);
        let mut batch = Batch::read(kept, self.env.ignored, &rules);
        let Some(last) = batch.last else {
            return Ok(None);
        };
        let mut settled = self
            .leave_out_older(&mut transaction, &mut batch, erased)
            .await?;
        let superseded = settled.len() as i64;

        let mut counts = Counts {
            read: batch.read,
            ..Counts::default()
        };
        let mut unstorable = Vec::new();
        let ignored = self.env.ignored;
        let reading = reading::noted(&mut transaction, ignored, self.env.privacy).await?;
        let items = batch.items.iter();
        let items = items
            .map(|(_, item, at)| (item.clone(), Some(*at)))
            .collect();
        Merging {
            run_id: self.run_id,
            reading: &reading,
            counts: &mut counts,
            unstorable: &mut unstorable,
        }
        .merge(&mut transaction, &mut Savepoint::none(), items)
        .await?;
        for (reject_id, item, _) in &batch.items {
            match unstorable
                .iter()
                .find(|reject| reject.id.as_ref() == Some(&item.id))
            {
                Some(reject) => batch.unreadable.push((*reject_id, reject.reason.clone())),
                None => settled.push(*reject_id),
            }
        }
        self.env.progress.enter(Phase::BatchMerged);
        rejects::remove(&mut *transaction, &settled).await?;
        rejects::explain(&mut *transaction, &batch.unreadable).await?;
        counts.rejected = batch.unreadable.len() as i64;
        counts.unchanged = counts.read - counts.inserted - counts.updated - counts.rejected;
        runs::add(&mut *transaction, self.run_id, counts).await?;
        transaction.commit().await?;
        self.env.progress.committed(counts);
        tally.superseded += superseded;
        tally.stored += settled.len() as i64 - superseded;
        tally.remaining += counts.rejected;
        Ok(Some(last))
    }
}

/// Rejects that are settled together.
#[derive(Debug, Default)]
struct Batch {
    /// Those that can be read now, each user once, with their numbers and the times of their
    /// answers.
    items: Vec<(i64, Item, DateTime<Utc>)>,
    /// Those that still cannot, with the reasons.
    unreadable: Vec<(i64, String)>,
    read: i64,
    last: Option<Place>,
}

impl Batch {
    /// Reads rejects in their order, up to the second one of a user: that one is newer, and is
    /// settled once the older one is.
    fn read(kept: Vec<Kept>, ignored: &[String], rules: &Rules) -> Self {
        let mut batch = Self::default();
        let mut users = HashSet::new();
        for reject in kept {
            let raw: Result<&RawValue, _> = serde_json::from_str(&reject.record);
            let read = match raw {
                Ok(raw) => user::item(raw, ignored, rules).map_err(|reject| reject.reason),
                Err(_) => Err("the record is not JSON".to_owned()),
            };
            match read {
                Ok(item) if !users.insert(item.id.clone()) => return batch,
                Ok(item) => batch
                    .items
                    .push((reject.reject_id, item, reject.extracted_at)),
                Err(reason) => batch.unreadable.push((reject.reject_id, reason)),
            }
            batch.read += 1;
            batch.last = Some((reject.extracted_at, reject.reject_id));
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(reject_id: i64, record: &str) -> Kept {
        Kept {
            reject_id,
            record: record.into(),
            content_hash: vec![],
            extracted_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_batch_ends_before_the_second_reject_of_a_user() {
        let record = |id: &str| format!(r#"{{"user":{{"user_id":"{id}"}}}}"#);
        let rejects = vec![
            kept(1, &record("a")),
            kept(2, "{}"),
            kept(3, "no JSON"),
            kept(4, &record("b")),
            kept(5, &record("a")),
            kept(6, &record("c")),
        ];
        let batch = Batch::read(rejects, &[], &Rules::default());
        let ids: Vec<i64> = batch
            .items
            .iter()
            .map(|(reject_id, _, _)| *reject_id)
            .collect();
        assert_eq!((ids, batch.read), (vec![1, 4], 4));
        assert_eq!(batch.last, Some((DateTime::UNIX_EPOCH, 4)));
        assert_eq!(
            batch.unreadable,
            [
                (2, "user is missing".to_owned()),
                (3, "the record is not JSON".to_owned())
            ]
        );
    }
}
