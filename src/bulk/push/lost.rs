//! A request whose answer never came: was it sent? There is no idempotency key (contract section
//! 12.4), so this is settled by the jobs that exist and by what the users are now, never by sending
//! it again and hoping.

use std::collections::HashSet;

use tokio::time::Instant;

use super::decide::{Seen, see};
use super::{Pause, Push, Step};
use crate::bulk::Error;
use crate::bulk::progress::Phase;
use clock::time;
use mirror::state::bulk::chunks::Chunk;
use mirror::state::bulk::jobs;
use mirror::state::bulk::rows::{self, Action, Outcome, Row, State};
use zephr::updates::Job;
use zephr::updates::details::told;

/// What the jobs of the API tell.
enum Evidence {
    /// This job is the answer.
    Job(String),
    /// There may be a job of ours, and it cannot be told which.
    Unclear,
    /// There is no job that could be ours.
    None,
    /// The list tells nothing.
    Silent,
}

/// What follows from a chunk of which nothing arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Still {
    /// It is as before it was sent, and may be sent again.
    AsBefore,
    /// Nobody knows.
    Unknown,
}

impl Push<'_> {
    /// Settles a chunk that was written down as being sent and no further.
    pub(super) async fn settle_lost(&mut self, chunk: &Chunk) -> Result<Step, Error> {
        self.env.progress.enter(Phase::Lost);
        let rows = rows::of_chunk(self.pool, self.plan_id, chunk.chunk).await?;
        let sent = time::seconds(chunk.sent_seconds.unwrap_or(0.0));
        let until = time::later(Instant::now(), self.env.settings.grace.saturating_sub(sent));
        let mut pauses = Pause::new(self.env.settings.poll);
        let evidence = loop {
            let evidence = self.evidence(chunk, &rows).await?;
            // A job may be missing from the list for a while after it was made.
            if matches!(evidence, Evidence::Job(_)) || Instant::now() >= until {
                break evidence;
            }
            let left = until.saturating_duration_since(Instant::now());
            if let stop @ Step::Stop = self.pause(pauses.next().min(left)).await? {
                return Ok(stop);
            }
        };
        match evidence {
            Evidence::Job(job_id) => {
                self.accept(chunk.chunk, &job_id).await?;
                Ok(Step::On)
            }
            Evidence::None => {
                let (arrived, _) = self.observed(&rows).await?;
                if arrived.is_empty() {
                    self.not_sent(chunk.chunk).await?;
                    return Ok(Step::On);
                }
                let why = "the answer was lost";
                self.by_values(chunk.chunk, rows, why, Still::Unknown).await
            }
            // A value that is still what it was before may be sent again: the end is the same. A
            // deletion waits for somebody who knows.
            Evidence::Silent if chunk.action == Action::Set => {
                let why = "the answer was lost, and Zephr lists no jobs";
                self.by_values(chunk.chunk, rows, why, Still::AsBefore)
                    .await
            }
            Evidence::Silent | Evidence::Unclear => {
                let why = "the answer was lost, and no job tells";
                self.by_values(chunk.chunk, rows, why, Still::Unknown).await
            }
        }
    }

    async fn evidence(&self, chunk: &Chunk, rows: &[Row]) -> Result<Evidence, Error> {
        let Some(listed) = self.listed().await? else {
            // A 404 may mean that there are no jobs, or that there is no list. Only a list that has
            // shown a job of ours is believed.
            let believed = jobs::list_is_believed(self.pool).await?;
            return Ok(if believed {
                Evidence::None
            } else {
                Evidence::Silent
            });
        };
        let ids: Vec<String> = listed.iter().map(|job| job.job_id.clone()).collect();
        let unseen = jobs::unseen(self.pool, &ids).await?;
        let users: HashSet<&str> = rows.iter().map(|row| row.user_id.as_str()).collect();
        let updates = chunk.rows_sent.map_or(rows.len() as i64, i64::from);
        let actions: i64 = rows.iter().map(|row| row.after().len().max(1) as i64).sum();
        let mut possible = Vec::new();
        for job in listed
            .into_iter()
            .filter(|job| unseen.contains(&job.job_id))
        {
            let shown = self.env.reader.update_job(&job.job_id).await?;
            let job = shown.unwrap_or(job);
            let total = job.total.unwrap_or(0);
            // Whether a job counts users or actions is not said.
            let fits = total == updates || total == actions;
            if !fits && total > 0 {
                continue;
            }
            if !told(&job.raw, &users).is_empty() {
                return Ok(Evidence::Job(job.job_id));
            }
            possible.push((job, fits));
        }
        Ok(match possible.as_slice() {
            [] => Evidence::None,
            [(Job { job_id, .. }, true)] => Evidence::Job(job_id.clone()),
            _ => Evidence::Unclear,
        })
    }

    /// Which rows arrived, by what the users are now, and which did not or not all of them.
    pub(super) async fn observed(&self, rows: &[Row]) -> Result<(Vec<i64>, Vec<i64>), Error> {
        let present = self.present(rows).await?;
        let (mut arrived, mut others) = (Vec::new(), Vec::new());
        for row in rows {
            match see(&self.fields, row, present.get(&row.user_id)) {
                Seen::Arrived => arrived.push(row.row_number),
                Seen::NotArrived | Seen::Neither => others.push(row.row_number),
            }
        }
        Ok((arrived, others))
    }

    /// Settles rows of which no job tells, by what the users are: what arrived, succeeded. What has
    /// not arrived when nothing moves any more may still come, so nobody knows; `still` says what
    /// follows where nothing arrived at all.
    pub(super) async fn by_values(
        &mut self,
        chunk: i32,
        mut rows: Vec<Row>,
        why: &str,
        still: Still,
    ) -> Result<Step, Error> {
        let mut pauses = Pause::new(self.env.settings.poll);
        let mut moved = Instant::now();
        let mut any = false;
        loop {
            let (arrived, others) = self.observed(&rows).await?;
            if !arrived.is_empty() {
                moved = Instant::now();
                any = true;
            }
            rows.retain(|row| !arrived.contains(&row.row_number));
            let outcome = |row_number, state, found: &str| Outcome {
                row_number,
                state,
                message: Some(format!("{why}; {found}")),
            };
            let found = "the values were found in place";
            let mut outcomes: Vec<Outcome> = arrived
                .into_iter()
                .map(|number| outcome(number, State::Succeeded, found))
                .collect();
            if rows.is_empty() || moved.elapsed() >= self.env.settings.grace {
                match still {
                    Still::AsBefore if !any => self.not_sent(chunk).await?,
                    Still::AsBefore | Still::Unknown => {
                        let found = "the values are not in place";
                        outcomes.extend(
                            others
                                .into_iter()
                                .map(|number| outcome(number, State::Unknown, found)),
                        );
                        self.close(chunk, &outcomes).await?;
                    }
                }
                return Ok(Step::On);
            }
            self.settle(&outcomes).await?;
            if let stop @ Step::Stop = self.pause(pauses.next()).await? {
                return Ok(stop);
            }
        }
    }
}
