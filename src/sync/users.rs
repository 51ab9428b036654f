//! The users: scanned in windows that prove themselves, compared, merged; the missing settled at
//! the end of a full scan.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use super::deletions::{Deletions, KEYS, Settled, part_range};
use super::exports::UserExport;
use super::progress::Phase;
use super::run::{Moves, Outcome, Run, interrupted, judged, nothing_left, unfinished};
use super::scan::{self, Committed, Reached, Scan, asking_for_users};
use super::scope::Scope;
use super::share::Lending;
use super::write::{ByBatch, Compare, Destination, Merge, Sessions};
use super::{Ended, Environment, Error, Extent, privacy, reading, tidy, unfit};
use crate::job::Job;
use ::privacy::USERS;
use ::scan::part::ByPage;
use ::scan::verdict::Verdict;
use ::scan::walk::Part;
use mirror::load::compare;
use mirror::state::runs::{self, Counts, Ending, Status};
use mirror::state::scan_findings::{self, Note};
use mirror::state::{checkpoints, erasures};
use resource::grants::USER_GRANTS;
use telemetry::field;

/// Reads and compares, and writes nothing: its session may only read. Counts what a run would have
/// done.
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
    let erased = Arc::new(erasures::erased(pool, env.privacy.key()).await?);
    let reading = reading::known(&mut *pool.acquire().await?, &env.reader, &env.privacy).await?;
    let missing = Arc::new(AtomicU64::new(0));
    let destination = Destination::ByBatch(ByBatch::Compare(Compare {
        progress: Arc::clone(&env.progress),
        erased,
        reading,
        missing: Arc::clone(&missing),
    }));
    let known = known(pool, &job.name).await?;
    let asking = asking_for_users(env, scope.since(), known);
    let mut scan = Scan::new(
        env,
        UserExport(env.reader.clone()),
        asking,
        &job.name,
        scope,
        destination,
        &sessions,
    )
    .await?;
    let read = async {
        scan.read(None).await?;
        let (verdict, reason) = scan.walk.verdict();
        let reason = match (scope, verdict) {
            (Scope::Full { .. }, Verdict::Proven | Verdict::Agreed | Verdict::Partial) => {
                let missing = missing.load(Ordering::Relaxed);
                let by_page = missing_by_page(pool, scan.walk.by_page()).await?;
                with_missing(env, pool, reason, missing + by_page).await?
            }
            (Scope::Full { .. } | Scope::Incremental { .. } | Scope::Sample { .. }, _) => reason,
        };
        Ok::<_, Error>((verdict, reason))
    };
    let read = read.await;
    sessions.close().await;
    let (verdict, reason) = read?;
    Ok((env.progress.counts(), verdict, reason))
}

/// How many living users the parts that were read by page did not show.
async fn missing_by_page(pool: &PgPool, parts: &[(Part, ByPage)]) -> Result<u64, Error> {
    let mut connection = pool.acquire().await?;
    let mut missing = 0;
    for (part, read) in parts {
        let range = part_range(*part);
        let mut after = String::new();
        loop {
            let living = compare::living(&mut connection, range, &after, KEYS).await?;
            let unseen = living
                .iter()
                .filter(|id| !read.people.contains(id.as_str()));
            missing += unseen.count() as u64;
            match living.into_iter().next_back() {
                Some(last) => after = last,
                None => break,
            }
        }
    }
    Ok(missing)
}

/// What a run would do about so many who are missing.
async fn with_missing(
    env: &Environment,
    pool: &PgPool,
    reason: String,
    missing: u64,
) -> Result<String, Error> {
    if missing == 0 {
        return Ok(reason);
    }
    let living = compare::count_living(&mut *pool.acquire().await?).await?;
    let allowed = env.brakes.deletions(living);
    let then = if missing > allowed.unsigned_abs() {
        format!("and {allowed} may be: a run would mark nobody as deleted, and end with 4")
    } else {
        "and a run would ask for each by id before it marks them as deleted".to_owned()
    };
    Ok(format!(
        "{reason}; up to {missing} living users of the mirror were not shown (who moved meanwhile is among them), {then}"
    ))
}

/// About how many users are known; none before the first scan came to its end.
async fn known(pool: &PgPool, job: &str) -> Result<i64, Error> {
    if !checkpoints::is_known(pool, job).await? {
        return Ok(0);
    }
    let mut connection = pool.acquire().await?;
    let there = compare::about_living(&mut connection).await?;
    // What a braked run took in is no more expected for that.
    let unexpected = runs::inserted_by_braked(&mut *connection, job).await?;
    Ok((there - unexpected).max(1))
}

impl Run<'_> {
    /// Mirrors the users, or lets deletions through.
    pub(super) async fn users(&self) -> Result<Ended, Error> {
        match self.extent {
            Extent::Confirmed(braked) => self.confirm(braked).await,
            Extent::AsDue | Extent::Full(_) | Extent::Sample(_) => {
                let job = self.job;
                self.scan(Scope::decide(self.extent, job.mode, self.pool, &job.name).await?)
                    .await
            }
        }
    }

    /// Reads what the scope says, into the mirror.
    async fn scan(&self, scope: Scope) -> Result<Ended, Error> {
        let writers = Sessions::open(&self.env.database, self.round_trip);
        let kept = scope.kept();
        self.begin(scope.mode(), kept.map(|kept| kept.scan_id))
            .await?;
        let worked = self.watched(self.read_and_settle(scope, &writers)).await;
        let (ended, ()) = tokio::join!(self.end(worked), writers.close());
        ended
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
        if run.job != self.job.name || run.status != Status::Braked {
            return Err(refused("is not a run of this job that a brake stopped"));
        }
        let missing = scan_findings::count(self.pool, scan_id, Note::Missing).await?;
        if missing == 0 {
            return Err(refused(
                "holds nothing back any more: a later full scan, or a confirmation, has settled it",
            ));
        }
        self.begin(runs::Mode::Full, Some(scan_id)).await?;
        let settle = async {
            let settled = self.deletions(scan_id).ask_for_each(missing).await?;
            let reason =
                format!("about the deletions that run {braked} held back: each is asked for by id");
            self.settled(settled, Verdict::Proven, reason).await
        };
        let worked = self.watched(settle).await.map(|(ending, mut outcome)| {
            // How complete the scan was is in the record of the run that read it; that somebody was
            // there whom it did not show makes it no stronger.
            let read = run.verdict.as_deref().and_then(Verdict::named);
            let settled = outcome.verdict.take();
            outcome.verdict = read
                .zip(settled)
                .map(|(read, (settled, reason))| (read.max(settled), reason));
            (ending, outcome)
        });
        if worked
            .as_ref()
            .is_ok_and(|(ending, _)| *ending == Ending::Succeeded)
        {
            scan_findings::forget(self.pool, scan_id).await?;
        }
        self.end(worked).await
    }

    /// Where users are merged, once what is stored is as the settings want it.
    async fn merge(&self, scope: Scope) -> Result<Merge, Error> {
        let env = self.env;
        let token = self.lease.token();
        let schema = env.database.schemas().data();
        privacy::follow(self.pool, token, schema, &env.privacy).await?;
        let erased = erasures::erased(self.pool, env.privacy.key()).await?;
        let reading =
            reading::begin(self.pool, token, self.run_id, &env.reader, &env.privacy).await?;
        let merge = Merge::new(
            token,
            &self.job.name,
            self.run_id,
            scope.kept(),
            Arc::clone(&env.progress),
        );
        Ok(merge.without(erased).reading(reading))
    }

    async fn read_and_settle(
        &self,
        scope: Scope,
        writers: &Sessions,
    ) -> Result<(Ending, Outcome), Error> {
        let env = self.env;
        let destination = Destination::Merge(self.merge(scope).await?);
        let known = known(self.pool, &self.job.name).await?;
        let asking = asking_for_users(env, scope.since(), known);
        let mut scan = Scan::new(
            env,
            UserExport(env.reader.clone()),
            asking,
            &self.job.name,
            scope,
            destination,
            writers,
        )
        .await?;
        if let (Scope::Full { .. }, Some(kept)) = (scope, scope.kept()) {
            scan.cut_by_mirror(self.pool).await?;
            if let Some(sharing) = &env.sharing {
                let lending = Lending::new(
                    env,
                    sharing,
                    self.pool,
                    self.lease.token(),
                    self.run_id,
                    kept,
                );
                scan.lend(lending);
            }
        }
        if let Some(broken_off) = self.read_through(&mut scan, scope).await? {
            return Ok(broken_off);
        }
        env.progress.enter(Phase::ScanRead);
        let (verdict, reason) = scan.walk.verdict();
        let began = self.began(scan.walk.reader().first_answer()).await?;
        let reason = reading::said(self.pool, &[USERS], began.explain(reason)).await?;
        let is_full = matches!(scope, Scope::Full { .. });
        let (verdict, reason) =
            reading::weakened(self.pool, env, is_full, (verdict, reason)).await?;
        let (ending, mut outcome) = self.settle(scope, &scan, began.at, verdict, reason).await?;
        tidy::users(writers.pool(), env.progress.counts()).await;
        let tables = [
            (USERS, unfit::places_of_users()),
            (&USER_GRANTS.name, unfit::places(&USER_GRANTS)),
        ];
        outcome.unfit = Some(self.unfit(tables.into_iter()).await?);
        Ok((ending, outcome))
    }

    /// What is left to do when everything is read.
    async fn settle(
        &self,
        scope: Scope,
        scan: &Scan<'_, UserExport>,
        began: DateTime<Utc>,
        verdict: Verdict,
        reason: String,
    ) -> Result<(Ending, Outcome), Error> {
        match (scope, verdict) {
            (_, Verdict::Incomplete) => {
                Ok(unfinished(scan.walk.parts(), reason, nothing_left(scope)))
            }
            (Scope::Sample { .. }, Verdict::Proven | Verdict::Agreed | Verdict::Partial) => {
                let rows = self.env.progress.counts().read.unsigned_abs();
                let reason = format!("{reason}; a sample, in which nobody is marked as deleted");
                match self.of_nobody(rows).await? {
                    None => Ok((Ending::Succeeded, judged(verdict, reason))),
                    Some((Verdict::Incomplete, reason)) => {
                        Ok(unfinished(scan.walk.parts(), reason, Moves::Nothing))
                    }
                    Some((weaker, reason)) => Ok((Ending::Succeeded, judged(weaker, reason))),
                }
            }
            (Scope::Incremental { .. }, Verdict::Proven | Verdict::Agreed | Verdict::Partial) => {
                self.confirm_pushes(None).await?;
                let outcome = Outcome {
                    moves: Moves::Advanced(began),
                    ..judged(verdict, reason)
                };
                Ok((Ending::Succeeded, outcome))
            }
            (
                Scope::Full {
                    scan_id,
                    seen_since,
                    resumed,
                },
                Verdict::Proven | Verdict::Agreed | Verdict::Partial,
            ) => {
                let reason = match resumed {
                    None => reason,
                    Some(at) => format!(
                        "{reason}; it went on with the scan that an earlier run began at {} UTC, and what that one read is as it was then",
                        at.format("%Y-%m-%d %H:%M:%S")
                    ),
                };
                self.settle_full((scan_id, seen_since), scan, verdict, reason)
                    .await
            }
        }
    }

    /// The same for a full scan of which all was read: who is missing, and what incremental runs
    /// have not seen.
    async fn settle_full(
        &self,
        (scan_id, seen_since): (Uuid, Option<DateTime<Utc>>),
        scan: &Scan<'_, UserExport>,
        verdict: Verdict,
        reason: String,
    ) -> Result<(Ending, Outcome), Error> {
        let deletions = self.deletions(scan_id);
        deletions.note_missing(scan.walk.by_page()).await?;
        let learned = scan.walk.reader().learned();
        let committed = self.commit_by_page(scan_id, scan).await?;
        let (verdict, reason) = match self.of_committed(committed).await? {
            None => (verdict, reason),
            Some((Verdict::Incomplete, reason)) => {
                return Ok(unfinished(scan.walk.parts(), reason, Moves::Abandoned));
            }
            Some(weaker) => weaker,
        };
        reading::whole(self.pool, self.lease.token(), scan_id).await?;
        let settled = deletions.settle().await?;
        if settled == Settled::Interrupted {
            return Ok(interrupted());
        }
        // After the deletions, since a push may have deleted users.
        self.confirm_pushes(Some(scan_id)).await?;
        let (ending, mut outcome) = self.settled(settled, verdict, reason).await?;
        outcome.missed = match seen_since {
            Some(since) => self.missed(scan_id, since, scan).await?,
            None => None,
        };
        outcome.moves = Moves::Finished(scan_id, scan::to_remember(learned));
        Ok((ending, outcome))
    }

    /// What is committed of a scan may weaken what its answers said: nothing is proven about a
    /// stretch that was read and not committed, nor by an export that shows nobody.
    async fn of_committed(&self, committed: Committed) -> Result<Option<(Verdict, String)>, Error> {
        if let Some(reason) = committed.fault() {
            return Ok(Some((Verdict::Incomplete, reason)));
        }
        self.of_nobody(committed.rows).await
    }

    /// An export that shows nobody proves nothing, whatever was asked for.
    async fn of_nobody(&self, rows: u64) -> Result<Option<(Verdict, String)>, Error> {
        if rows > 0 {
            return Ok(None);
        }
        let living = compare::some_living(&mut *self.pool.acquire().await?, 1).await?;
        if living.is_empty() {
            let reason = "the export showed nobody: such an answer proves nothing by itself";
            return Ok(Some((Verdict::Agreed, reason.to_owned())));
        }
        let again = self.env.reader.export(zephr::read::ONE_RECORD).await?;
        Ok(Some(if again.is_empty() && !again.not_found {
            let reason = "the export showed nobody, asked twice, where the mirror holds living users: such an answer proves nothing by itself";
            (Verdict::Agreed, reason.to_owned())
        } else {
            let reason = "the export showed nobody, and somebody when it was asked again";
            (Verdict::Incomplete, reason.to_owned())
        }))
    }

    fn deletions(&self, scan_id: Uuid) -> Deletions<'_> {
        Deletions { run: self, scan_id }
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
            self.job.name
        );
        let braked = |error: String, remedy: String| Outcome {
            verdict: Some((verdict, reason.clone())),
            failure: Some((error, remedy)),
            ..Outcome::default()
        };
        Ok(match settled {
            Settled::Done {
                alive: 0,
                unknown: 0,
            } => (Ending::Succeeded, judged(verdict, reason)),
            Settled::Done { alive, unknown } => {
                // Whom it did not show, others may be like who are not known.
                let mut words = reason;
                if alive > 0 {
                    words += &format!("; {alive} whom it did not show exist by id, and stay");
                }
                if unknown > 0 {
                    words += &format!(
                        "; of {unknown} whom it did not show nothing was learned by id, and they stay"
                    );
                }
                (
                    Ending::Succeeded,
                    judged(verdict.max(Verdict::Agreed), words),
                )
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
                        "{missing} living users of the mirror are missing from the tenant, and cannot be asked for by id ({why}): none of them was marked as deleted"
                    ),
                    format!(
                        "Everything else is up to date. Give the key pair's admin user a role that may read single users. {confirm}"
                    ),
                ),
            ),
        })
    }

    /// How many changes incremental runs do not see: those that asking for what changed does not
    /// show either.
    async fn missed(
        &self,
        scan_id: Uuid,
        since: DateTime<Utc>,
        scan: &Scan<'_, UserExport>,
    ) -> Result<Option<i64>, Error> {
        let changed = scan_findings::count(self.pool, scan_id, Note::Changed).await?;
        if changed == 0 {
            return Ok(Some(0));
        }
        match scan.strike_seen(scan_id, since).await? {
            (Reached::End, Verdict::Proven | Verdict::Agreed | Verdict::Partial) => {}
            (
                Reached::Limit
                | Reached::TooManyRejects
                | Reached::RejectsAtEnd
                | Reached::Interruption
                | Reached::End,
                _,
            ) => return Ok(None),
        }
        let missed = scan_findings::count(self.pool, scan_id, Note::Changed).await?;
        if missed > 0 {
            tracing::warn!({ field::RUN } = %self.run_id, { field::MISSED } = missed, "changes that incremental runs do not see");
        }
        Ok(Some(missed))
    }
}
