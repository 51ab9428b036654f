//! A chunk on its way out: the users read once more, the request written down, sent once.

use std::time::Duration;

use super::decide::{Decision, decide};
use super::{Push, Step};
use crate::bulk::Error;
use crate::bulk::progress::Phase;
use clock::time;
use mirror::state::bulk::chunks::{self, Chunk};
use mirror::state::bulk::jobs;
use mirror::state::bulk::rows::{self, Action, Outcome, Row, State};
use remedy::Remedy;
use telemetry::field;
use zephr::updates::Submitted;
use zephr::updates::body::{Update, body};

/// Updates that may be refused one after the other, each alone in its request and none taken,
/// before it is not the updates that are wrong.
const MOST_REFUSED: u32 = 20;

/// Times a request may be put off in a row. With pauses that double from [`FIRST_PAUSE`] that is
/// some minutes.
const MOST_PUT_OFF: u32 = 8;

/// Times the answer to one chunk may be lost before it is left to a later `resume`.
const MOST_LOST: i32 = 10;

/// The first pause after the API said "not now".
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// What goes out.
struct Outgoing<'a> {
    row: &'a Row,
    slugs: Vec<String>,
}

impl Push<'_> {
    /// Sends a planned chunk, once.
    pub(super) async fn send(&mut self, chunk: &Chunk) -> Result<Step, Error> {
        let rows = rows::of_chunk(self.pool, self.plan_id, chunk.chunk).await?;
        let outgoing = self.checked(chunk, &rows).await?;
        if outgoing.is_empty() {
            self.close(chunk.chunk, &[]).await?;
            return Ok(Step::On);
        }
        let numbers: Vec<i64> = outgoing.iter().map(|one| one.row.row_number).collect();
        let updates: Vec<Update<'_>> = outgoing.iter().map(Outgoing::update).collect();
        let body =
            body(&updates).map_err(|_| Error::Broken("a value cannot be written as JSON"))?;
        if body.len() > self.env.settings.chunk_bytes && numbers.len() > 1 {
            self.halve(chunk.action, &numbers).await?;
            return Ok(Step::On);
        }
        // What is listed now is not the answer to what is sent next. Without a list there is less
        // evidence, and the push goes on.
        if let Some(listed) = self.listed().await? {
            let mut connection = self.pool.acquire().await?;
            let ids: Vec<String> = listed.into_iter().map(|job| job.job_id).collect();
            jobs::listed(&mut connection, &ids).await?;
        }
        let mut transaction = self.begin().await?;
        chunks::sending(&mut transaction, self.plan_id, chunk.chunk, &numbers).await?;
        transaction.commit().await?;
        self.env.progress.enter(Phase::Sending);
        let submitted = self
            .env
            .writer
            .submit(body, || self.lease.is_ours(&self.env.clock))
            .await;
        self.env.progress.enter(Phase::Answered);
        self.answered(chunk, &numbers, submitted).await
    }

    /// Writes down what the answer means.
    async fn answered(
        &mut self,
        chunk: &Chunk,
        numbers: &[i64],
        submitted: Submitted,
    ) -> Result<Step, Error> {
        match submitted {
            Submitted::Accepted(job_id) => {
                self.accept(chunk.chunk, &job_id).await?;
                (self.refused, self.put_off) = (0, 0);
                Ok(Step::On)
            }
            Submitted::NotNow(error) => {
                self.not_sent(chunk.chunk).await?;
                self.put_off += 1;
                if self.put_off > MOST_PUT_OFF {
                    return Err(error.into());
                }
                let asked = match error.remedy() {
                    Remedy::Retry { after, .. } => after.unwrap_or_default(),
                    Remedy::Person(_) => Duration::ZERO,
                };
                tracing::warn!({ field::ERROR } = %error.failure, "updates put off");
                self.pause(asked.max(time::times(FIRST_PAUSE, 2_u32.pow(self.put_off - 1))))
                    .await
            }
            Submitted::TooLarge => {
                self.not_sent(chunk.chunk).await?;
                self.smaller(
                    chunk,
                    numbers,
                    "Zephr finds the update too large (413)".into(),
                )
                .await
            }
            Submitted::Invalid(said) => {
                self.not_sent(chunk.chunk).await?;
                let why = match said {
                    Some(said) => format!("Zephr refused it (400): {said}"),
                    None => "Zephr refused it (400)".into(),
                };
                self.smaller(chunk, numbers, why).await
            }
            Submitted::Refused(error) => {
                self.not_sent(chunk.chunk).await?;
                Err(error.into())
            }
            Submitted::Lost(error) if chunk.attempts >= MOST_LOST => Err(error.into()),
            Submitted::Lost(error) => {
                tracing::warn!({ field::ERROR } = %error.failure, "the answer to updates was lost, looking for evidence");
                // The chunk stays as it is written down: the next step looks for evidence.
                Ok(Step::On)
            }
        }
    }

    /// Reads the users once more, settles the rows that are not to be sent, and gives those that
    /// are.
    async fn checked<'r>(
        &mut self,
        chunk: &Chunk,
        rows: &'r [Row],
    ) -> Result<Vec<Outgoing<'r>>, Error> {
        let present = self.present(rows).await?;
        self.env.progress.enter(Phase::Refreshed);
        let mut outgoing = Vec::with_capacity(rows.len());
        let mut outcomes = Vec::new();
        let mut images = Vec::new();
        for row in rows {
            let decision = decide(&self.fields, row, present.get(&row.user_id), self.forced);
            let (state, message) = match decision {
                Decision::Send(slugs) => {
                    outgoing.push(Outgoing { row, slugs });
                    continue;
                }
                Decision::SendOver(slugs, now) => {
                    let now = serde_json::to_string(&now)
                        .map_err(|_| Error::Broken("a value cannot be written as JSON"))?;
                    images.push((row.row_number, now));
                    outgoing.push(Outgoing { row, slugs });
                    continue;
                }
                // After an attempt of which the evidence said that nothing came: something did.
                Decision::AlreadySo if chunk.attempts > 0 => {
                    (State::Succeeded, "the values were found in place")
                }
                Decision::AlreadySo => (
                    State::Unchanged,
                    "the values were in place before it was to be sent",
                ),
                Decision::Not(why) => {
                    outcomes.push(Outcome {
                        row_number: row.row_number,
                        state: State::Failed,
                        message: Some(why),
                    });
                    continue;
                }
            };
            outcomes.push(Outcome {
                row_number: row.row_number,
                state,
                message: Some(message.into()),
            });
        }
        if !outcomes.is_empty() || !images.is_empty() {
            let mut transaction = self.begin().await?;
            rows::settle(&mut transaction, self.plan_id, &outcomes).await?;
            rows::replace_old(&mut transaction, self.plan_id, &images).await?;
            transaction.commit().await?;
            self.env.progress.count(&outcomes);
        }
        Ok(outgoing)
    }

    /// Makes a chunk smaller until the one update is found that the API does not take.
    async fn smaller(
        &mut self,
        chunk: &Chunk,
        numbers: &[i64],
        why: String,
    ) -> Result<Step, Error> {
        let [alone] = numbers else {
            self.halve(chunk.action, numbers).await?;
            return Ok(Step::On);
        };
        let outcome = Outcome {
            row_number: *alone,
            state: State::Failed,
            message: Some(why),
        };
        self.close(chunk.chunk, &[outcome]).await?;
        self.refused += 1;
        if self.refused >= MOST_REFUSED {
            return Err(Error::RefusesAll(self.refused));
        }
        Ok(Step::On)
    }

    async fn halve(&mut self, action: Action, numbers: &[i64]) -> Result<(), Error> {
        let (_, half) = numbers.split_at(numbers.len() / 2);
        let mut transaction = self.begin().await?;
        chunks::split_off(&mut transaction, self.plan_id, action, half).await?;
        transaction.commit().await?;
        Ok(())
    }
}

impl<'a> Outgoing<'a> {
    fn update(&'a self) -> Update<'a> {
        match self.row.action {
            Action::Delete => Update::Delete(&self.row.user_id),
            Action::Set => {
                let values = self.row.after().iter();
                let values = values.filter(|(slug, _)| self.slugs.contains(slug));
                Update::Set(
                    &self.row.user_id,
                    values
                        .map(|(slug, value)| (slug.as_str(), value.as_ref()))
                        .collect(),
                )
            }
        }
    }
}
