//! A run and its record: begun under a lease, watched while it works, ended with verdict and
//! checkpoint in one transaction.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::progress::Phase;
use super::scope::Scope;
use super::{Cause, Ended, Environment, Error, Extent, RECORD_TIMEOUT, trust};
use crate::job::Job;
use ::scan::verdict::{GivenUp, Growth, Parts, Verdict};
use mirror::state::leases::Lease;
use mirror::state::notices::{self, About};
use mirror::state::runs::{self, Ending, Finish, Traffic};
use mirror::state::{checkpoints, marks, scan_findings, shared_windows, triggers};
use mirror::unfit::Unfit;
use telemetry::field;
use telemetry::span::{Note, Span};

/// How often the record of a run says what the API was asked and whether it makes us wait.
const TRAFFIC_INTERVAL: Duration = Duration::from_secs(2);

/// Sessions of a run's own statements. They come one after the other, and a session that has
/// answered one knows the tables for the next: a pool that may open another does so, rather than
/// wait a moment for the last to come back, which takes as long as a dozen statements.
pub(super) const SESSIONS: u32 = 1;

/// A run under its lease.
pub(super) struct Run<'a> {
    pub(super) env: &'a Environment,
    pub(super) job: &'a Job,
    pub(super) extent: Extent,
    pub(super) run_id: Uuid,
    pub(super) lease: &'a Lease,
    pub(super) pool: &'a PgPool,
    /// How long an answer of Postgres takes to arrive.
    pub(super) round_trip: Duration,
}

/// What is to be recorded about the end of a run.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) verdict: Option<(Verdict, String)>,
    /// What happened, and what to do.
    pub(super) failure: Option<(String, String)>,
    pub(super) missed: Option<i64>,
    /// The columns of which too many values did not fit; none if nobody looked.
    pub(super) unfit: Option<Vec<Unfit>>,
    pub(super) moves: Moves,
}

/// What becomes of the checkpoint with the end of a run.
#[derive(Debug, Default)]
pub(super) enum Moves {
    /// It stays.
    #[default]
    Nothing,
    /// A full scan is finished, and this is what it learned about the server.
    Finished(Uuid, checkpoints::Learned),
    /// An incremental scan began then.
    Advanced(DateTime<Utc>),
    /// A full scan came to its end without being complete: there is nothing to resume.
    Abandoned,
}

impl Run<'_> {
    /// A transaction that commits only while this process holds the lease.
    pub(super) async fn transaction(&self) -> Result<Transaction<'static, Postgres>, Error> {
        Ok(self.lease.token().begin(self.pool).await?)
    }

    pub(super) async fn begin(&self, mode: runs::Mode, scan_id: Option<Uuid>) -> Result<(), Error> {
        let mut transaction = self.transaction().await?;
        shared_windows::forget(&mut *transaction, self.job.resource.name()).await?;
        let slot = match self.env.cause {
            Cause::Slot(slot) => Some(slot),
            Cause::Command | Cause::Request(_) => None,
        };
        let begun = runs::begin(
            &mut transaction,
            self.run_id,
            &self.job.name,
            self.job.resource,
            mode,
            scan_id,
            slot,
        )
        .await?;
        let answered = match self.extent {
            Extent::AsDue | Extent::Full(_) => {
                triggers::answer(&mut *transaction, &self.job.name, mode).await?
            }
            // Whoever asked wants more than that.
            Extent::Sample(_) | Extent::Confirmed(_) => Vec::new(),
        };
        let ours = match self.env.cause {
            Cause::Command | Cause::Slot(_) => begun,
            Cause::Request(trigger_id) => answered.contains(&trigger_id),
        };
        if !ours {
            return Err(Error::Taken);
        }
        marks::renew(&mut transaction).await?;
        transaction.commit().await?;
        self.env.progress.begin(self.run_id);
        Span::current().note(|| Note::Run(self.run_id));
        Ok(())
    }

    /// Does the work until it is done or the lease is lost, and keeps the record of the run up to
    /// date meanwhile.
    pub(super) async fn watched<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let (ended, end) = oneshot::channel();
        let working = async {
            let worked = tokio::select! {
                worked = work => worked,
                loss = self.lease.lost() => Err(Error::Lease(loss)),
            };
            drop(ended);
            worked
        };
        let (worked, ()) = tokio::join!(working, self.note_traffic(end));
        worked
    }

    /// Notes how much was asked, again and again until the other end of the channel is gone. It
    /// goes on beside the work and never in its place: the work may hold the row of the run, and
    /// this waits for it then.
    async fn note_traffic(&self, mut end: oneshot::Receiver<()>) {
        let mut ticks = tokio::time::interval(TRAFFIC_INTERVAL);
        let mut noted = Traffic::default();
        loop {
            tokio::select! {
                _ = &mut end => return,
                _ = ticks.tick() => {}
            }
            let traffic = self.env.traffic();
            if traffic == noted {
                continue;
            }
            let noting = runs::note_traffic(self.pool, self.run_id, traffic);
            tokio::pin!(noting);
            let result = tokio::select! {
                result = &mut noting => result,
                _ = &mut end => {
                    // It must not come after the end, which notes more. Where Postgres does not
                    // answer, that will not come either.
                    let _ = tokio::time::timeout(RECORD_TIMEOUT, noting).await;
                    return;
                }
            };
            match result {
                Ok(()) => noted = traffic,
                // The work itself will meet the same trouble, if it lasts.
                Err(error) => {
                    tracing::warn!({ field::RUN } = %self.run_id, { field::ERROR } = %error, "the request counters of the run could not be stored");
                }
            }
        }
    }

    /// Records the end of a run, whatever it is.
    pub(super) async fn end(
        &self,
        worked: Result<(Ending, Outcome), Error>,
    ) -> Result<Ended, Error> {
        let worked = match worked {
            // The API was being asked when we were told to stop.
            Err(error) if error.is_interruption() => Ok(interrupted()),
            other => other,
        };
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
            // Without a database there is no place for the record; the next run notes that this one
            // ended.
            Ok(Err(_)) | Err(_) => {
                tracing::warn!("the end of the run could not be recorded");
                Err(error)
            }
        }
    }

    /// Commits the verdict, the checkpoint and the end of the run together, under the lease: a
    /// process that was too slow leaves the record to whoever took over.
    async fn record(&self, ending: Ending, outcome: Outcome) -> Result<Ended, Error> {
        let mut transaction = self.transaction().await?;
        // Before anything else is locked: whoever reads for this run locks its claim first too.
        shared_windows::end(&mut *transaction, self.run_id).await?;
        let distrusted =
            checkpoints::distrusted(&mut *transaction, &self.job.name, self.run_id).await?;
        self.advance(
            &mut transaction,
            ending,
            &outcome.moves,
            distrusted.is_some(),
        )
        .await?;
        let from_numbers = runs::times_from_numbers(&mut *transaction, self.run_id).await?;
        let verdict = outcome.verdict.as_ref().map(|(verdict, reason)| {
            let unfit = outcome.unfit.as_deref().unwrap_or_default();
            let reason = explained(reason, from_numbers, unfit);
            let reason = match &distrusted {
                Some(why) => trust::because(&reason, why),
                None => reason,
            };
            (verdict.to_string(), reason)
        });
        let verdict = verdict
            .as_ref()
            .map(|(verdict, reason)| (verdict.as_str(), reason.as_str()));
        let failure = outcome
            .failure
            .as_ref()
            .map(|(error, remedy)| (error.as_str(), remedy.as_str()));
        let finish = Finish {
            ending,
            verdict,
            failure,
            traffic: Some(self.env.traffic()),
            missed: outcome.missed,
            unfit: outcome.unfit.as_deref(),
        };
        let ended_at = runs::finish(&mut *transaction, self.run_id, finish).await?;
        if self.is_to_be_told(ending) {
            notices::add(&mut *transaction, ended_at, &About::Run(self.run_id)).await?;
        }
        let own = trust::own_tables(&mut transaction, self.job).await?;
        marks::note_tables(&mut transaction, &own).await?;
        marks::renew(&mut transaction).await?;
        transaction.commit().await?;
        let span = Span::current();
        span.note(|| Note::Ended(ending.name()));
        if let Some((verdict, _)) = verdict {
            span.note(|| Note::Verdict(verdict.to_owned()));
        }
        self.env.progress.enter(Phase::Finished);
        Ok(Ended {
            run_id: self.run_id,
            ending,
            counts: self.env.progress.counts(),
        })
    }

    /// Whether somebody is to be told how the run ended.
    fn is_to_be_told(&self, ending: Ending) -> bool {
        match (self.env.cause, ending) {
            // Whoever runs a command sees how it ends, and what was interrupted goes on.
            (Cause::Command, _) | (_, Ending::Interrupted) => false,
            (
                Cause::Slot(_) | Cause::Request(_),
                Ending::Succeeded | Ending::Failed | Ending::Braked,
            ) => true,
        }
    }

    /// Moves the checkpoint with the end of the run.
    async fn advance(
        &self,
        transaction: &mut PgConnection,
        ending: Ending,
        moves: &Moves,
        is_distrusted: bool,
    ) -> Result<(), Error> {
        let job = self.job.name.as_str();
        match moves {
            Moves::Nothing => {}
            Moves::Finished(scan_id, learned) => {
                if is_distrusted {
                    checkpoints::trust(&mut *transaction, job).await?;
                }
                checkpoints::finish(&mut *transaction, job, *scan_id, learned).await?;
                let holds = ending == Ending::Braked;
                scan_findings::prune(&mut *transaction, job, *scan_id, holds).await?;
            }
            Moves::Advanced(to) => {
                if is_distrusted {
                    checkpoints::trust(&mut *transaction, job).await?;
                }
                checkpoints::advance(&mut *transaction, job, *to).await?;
            }
            Moves::Abandoned => checkpoints::abandon(&mut *transaction, job).await?,
        }
        Ok(())
    }
}

/// A reason, with what is to be said about the values that were read.
fn explained(reason: &str, from_numbers: i64, unfit: &[Unfit]) -> String {
    let mut parts = vec![reason.to_owned()];
    if from_numbers > 0 {
        parts.push(format!(
            "{from_numbers} times came as numbers and were read as seconds or milliseconds since 1970"
        ));
    }
    parts.extend(unfit.iter().map(ToString::to_string));
    parts.join("; ")
}

pub(super) fn judged(verdict: Verdict, reason: String) -> Outcome {
    Outcome {
        verdict: Some((verdict, reason)),
        ..Outcome::default()
    }
}

/// How a scan ends that is incomplete.
pub(super) fn unfinished(parts: Parts, reason: String, moves: Moves) -> (Ending, Outcome) {
    let (ending, error, remedy) = match parts.given_up {
        Some(GivenUp::Grown(Growth { known, allowed })) => (
            Ending::Braked,
            format!(
                "more than {allowed} records came where {known} were known: the run was stopped before the mirror fills with what may not be there"
            ),
            growth_remedy(),
        ),
        Some(GivenUp::NoProgress(_) | GivenUp::Contradicted) | None => (
            Ending::Failed,
            "the scan ended incomplete: somebody may be missing from the mirror".to_owned(),
            "What was read is kept. See verdict_reason; if it names the server, ask Zephr's support.".to_owned(),
        ),
    };
    let outcome = Outcome {
        moves,
        failure: Some((error, remedy)),
        ..judged(Verdict::Incomplete, reason)
    };
    (ending, outcome)
}

/// What to do where more came than can be expected.
pub(super) fn growth_remedy() -> String {
    "If the tenant really grew so much, raise max_growth_fraction (ZEPHR_SYNC_MAX_GROWTH_FRACTION=10 for one run) and run the command again. If not, ask Zephr's support why the export shows more.".to_owned()
}

pub(super) fn interrupted() -> (Ending, Outcome) {
    let outcome = Outcome {
        failure: Some((
            "stopped on request".into(),
            "Run the command again: it continues where this run stopped.".into(),
        )),
        ..Outcome::default()
    };
    (Ending::Interrupted, outcome)
}

/// What follows where a scan came to its end without being complete.
pub(super) fn nothing_left(scope: Scope) -> Moves {
    match scope {
        Scope::Full { .. } => Moves::Abandoned,
        Scope::Incremental { .. } | Scope::Sample { .. } => Moves::Nothing,
    }
}

/// How a run ends that rejected more than it may. `moves` says whether the next one has anything to
/// go on with.
pub(super) fn too_many_rejects(allowed: u64, moves: Moves) -> (Ending, Outcome) {
    let outcome = Outcome {
        moves,
        failure: Some((
            format!("more than {allowed} records could not be stored: the run was stopped"),
            "`zephr-sync rejects list` says why each could not. If that is as it should be, raise max_rejects and run the command again: what is stored is not stored again.".into(),
        )),
        ..Outcome::default()
    };
    (Ending::Braked, outcome)
}
