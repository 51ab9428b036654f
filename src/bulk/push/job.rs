//! A job that the API named: looked at until it is over, and what it says brought home to the rows.

use std::collections::{BTreeMap, HashSet};

use tokio::time::Instant;

use super::lost::Still;
use super::{Pause, Push, Step};
use crate::bulk::Error;
use crate::bulk::progress::Phase;
use clock::time;
use mirror::state::bulk::chunks::{self, Chunk};
use mirror::state::bulk::rows::{self, Outcome, Row, State};
use telemetry::field;
use zephr::updates::Job;
use zephr::updates::details::{Told, told};

impl Push<'_> {
    /// Waits for the job of a chunk, and settles its rows.
    pub(super) async fn follow(&mut self, chunk: &Chunk) -> Result<Step, Error> {
        let Some(job_id) = chunk.job_id.as_deref() else {
            return Err(Error::Broken("a chunk was accepted without a job"));
        };
        let accepted = time::seconds(chunk.accepted_seconds.unwrap_or(0.0));
        let visible_by = time::later(
            Instant::now(),
            self.env.settings.grace.saturating_sub(accepted),
        );
        let mut moved = (Instant::now(), None);
        let mut pauses = Pause::new(self.env.settings.poll);
        loop {
            let shown = self.env.reader.update_job(job_id).await?;
            let hidden = shown.is_none();
            let job = match shown {
                Some(job) => Some(job),
                // Right after the job was made a 404 means nothing; later the list may know more.
                None if Instant::now() >= visible_by => self.in_list(job_id).await?,
                None => None,
            };
            self.env.progress.enter(Phase::Polled);
            if let Some(job) = &job {
                if job.is_over() {
                    return self.finish(chunk.chunk, job).await;
                }
                let state = Some((job.status.clone(), job.succeeded, job.errors));
                if moved.1 != state {
                    self.note_state(chunk.chunk, job).await?;
                    moved = (Instant::now(), state);
                }
            }
            let lost = hidden && job.is_none() && Instant::now() >= visible_by;
            if lost || moved.0.elapsed() >= self.env.settings.give_up {
                let rows = rows::of_chunk(self.pool, self.plan_id, chunk.chunk).await?;
                let why = if lost {
                    format!("Zephr took job {job_id} and does not show it")
                } else {
                    format!("job {job_id} does not come to an end")
                };
                return self
                    .by_values(chunk.chunk, rows, &why, Still::Unknown)
                    .await;
            }
            if let stop @ Step::Stop = self.pause(pauses.next()).await? {
                return Ok(stop);
            }
        }
    }

    async fn in_list(&self, job_id: &str) -> Result<Option<Job>, Error> {
        let listed = self.listed().await?.unwrap_or_default();
        Ok(listed.into_iter().find(|job| job.job_id == job_id))
    }

    async fn note_state(&self, chunk: i32, job: &Job) -> Result<(), Error> {
        self.env.progress.watch(
            job.succeeded.unwrap_or(0) + job.errors.unwrap_or(0),
            job.total.unwrap_or(0),
        );
        // Words that are not documented: whoever reads the log can tell us.
        tracing::info!({ field::NOTE } = job.status.as_deref(), "state of the job");
        let mut transaction = self.begin().await?;
        chunks::answered(
            &mut transaction,
            self.plan_id,
            chunk,
            job.status.as_deref(),
            None,
        )
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Brings what a finished job says home to the rows of its chunk.
    async fn finish(&mut self, chunk: i32, job: &Job) -> Result<Step, Error> {
        self.env.progress.enter(Phase::Over);
        let rows = rows::of_chunk(self.pool, self.plan_id, chunk).await?;
        let outcomes = self.outcomes(&rows, job).await?;
        let mut transaction = self.begin().await?;
        chunks::answered(
            &mut transaction,
            self.plan_id,
            chunk,
            job.status.as_deref(),
            Some(job.raw.get()),
        )
        .await?;
        rows::settle(&mut transaction, self.plan_id, &outcomes).await?;
        chunks::done(&mut transaction, self.plan_id, chunk).await?;
        transaction.commit().await?;
        self.env.progress.count(&outcomes);
        self.env.progress.enter(Phase::ChunkDone);
        Ok(Step::On)
    }

    /// What became of each row: as the job says of it; where it says nothing of a row, by its
    /// counts; and where these do not tell either, by what the user is now.
    pub(super) async fn outcomes(&self, rows: &[Row], job: &Job) -> Result<Vec<Outcome>, Error> {
        let users: HashSet<&str> = rows.iter().map(|row| row.user_id.as_str()).collect();
        let told = told(&job.raw, &users);
        let (mut outcomes, untold) = sorted(rows, &told);
        if untold.is_empty() {
            return Ok(outcomes);
        }
        let failed = told
            .values()
            .filter(|told| told.done == Some(false))
            .count() as i64;
        let all_others_done = job.errors == Some(failed) && job.is_over_by_counts();
        let outcome = |row: &Row, state, message| Outcome {
            row_number: row.row_number,
            state,
            message,
        };
        if job.is_all_done(rows.len() as i64) && failed == 0 || all_others_done {
            outcomes.extend(
                untold
                    .iter()
                    .map(|row| outcome(row, State::Succeeded, None)),
            );
            return Ok(outcomes);
        }
        let (arrived, _) = self.observed(&untold).await?;
        outcomes.extend(untold.iter().map(|row| {
            if arrived.contains(&row.row_number) {
                return outcome(
                    row,
                    State::Succeeded,
                    Some("found in place; the job says nothing about it".into()),
                );
            }
            let said = told.get(&row.user_id).and_then(|told| told.message.clone());
            let said = said.unwrap_or_else(|| {
                format!(
                    "the job reports {} errors and does not say where",
                    job.errors.unwrap_or(0)
                )
            });
            outcome(row, State::Failed, Some(format!("not in place: {said}")))
        }));
        Ok(outcomes)
    }
}

/// Outcomes of the rows that the job tells of, and the others.
fn sorted(rows: &[Row], told: &BTreeMap<String, Told>) -> (Vec<Outcome>, Vec<Row>) {
    let (mut outcomes, mut untold) = (Vec::new(), Vec::new());
    for row in rows {
        let said = told.get(&row.user_id).cloned().unwrap_or_default();
        let message = said.message.filter(|message| !message.is_empty());
        let (state, message) = match said.done {
            Some(true) => (State::Succeeded, message),
            Some(false) => {
                let why =
                    message.unwrap_or_else(|| "Zephr says that it failed, and not why".into());
                (State::Failed, Some(why))
            }
            None => {
                untold.push(row.clone());
                continue;
            }
        };
        outcomes.push(Outcome {
            row_number: row.row_number,
            state,
            message,
        });
    }
    (outcomes, untold)
}
