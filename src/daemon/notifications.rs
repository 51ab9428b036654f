//! Telling others how runs and pushes ended. What is to be told is in Postgres, and it does not
//! matter which daemon did what it is about: one that has receivers takes it, and strikes it out
//! once each of them has it or will not take it. If it dies before, another one tells it again,
//! under the same identifier.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use sqlx::types::Json;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::Tenant;
use crate::job::Job;
use crate::notify::{Bulk, Event, Notice};
use mirror::state::bulk::rows;
use mirror::state::notices::{self, About, Stored};
use mirror::state::runs::{self, Run, Status};
use mirror::unfit::Unfit;
use schedule::{Next, Outcome};

/// What this daemon tells at present.
#[derive(Debug)]
pub(super) struct Telling {
    /// Each answers what it told, and whether that is settled.
    deliveries: JoinSet<(Uuid, bool)>,
    under_way: BTreeSet<Uuid>,
    /// What is to be struck out.
    told: Vec<Uuid>,
}

impl Telling {
    pub(super) fn new() -> Self {
        Self {
            deliveries: JoinSet::new(),
            under_way: BTreeSet::new(),
            told: Vec::new(),
        }
    }

    /// Strikes out what was told, and begins to tell what nobody tells yet.
    ///
    /// # Errors
    /// As sqlx. What was taken and not told is taken again at the next look.
    pub(super) async fn look(
        &mut self,
        session: &mut PgConnection,
        tenant: &Tenant,
        teller: Uuid,
    ) -> Result<(), sqlx::Error> {
        while let Some(delivery) = self.deliveries.try_join_next() {
            self.delivered(delivery.ok());
        }
        self.strike_out(session).await?;
        let room = i64::try_from(tenant.outbox.room()).unwrap_or(i64::MAX);
        if room == 0 {
            return Ok(());
        }
        let under_way: Vec<Uuid> = self.under_way.iter().copied().collect();
        for stored in notices::take(&mut *session, teller, &under_way, room).await? {
            let Stored {
                notice_id,
                occurred_at,
                ref about,
            } = stored;
            let Some(event) = event(tenant, session, about).await? else {
                self.told.push(notice_id);
                continue;
            };
            let settled = tenant.outbox.post(&Notice {
                event_id: notice_id,
                occurred_at,
                schema: tenant.work.database.schemas().data().to_owned(),
                event,
            });
            self.under_way.insert(notice_id);
            self.deliveries
                .spawn(async move { (notice_id, settled.await) });
        }
        self.strike_out(session).await
    }

    /// Waits until all that is under way is told.
    pub(super) async fn all(&mut self, session: &mut PgConnection) -> Result<(), sqlx::Error> {
        while let Some(delivery) = self.deliveries.join_next().await {
            self.delivered(delivery.ok());
            self.strike_out(session).await?;
        }
        Ok(())
    }

    fn delivered(&mut self, delivery: Option<(Uuid, bool)>) {
        let Some((notice_id, is_settled)) = delivery else {
            return;
        };
        self.under_way.remove(&notice_id);
        if is_settled {
            self.told.push(notice_id);
        }
    }

    async fn strike_out(&mut self, session: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.told.is_empty() {
            return Ok(());
        }
        notices::told(session, &self.told).await?;
        self.told.clear();
        Ok(())
    }
}

/// What there is to tell, if anything.
async fn event(
    tenant: &Tenant,
    session: &mut PgConnection,
    about: &About,
) -> Result<Option<Event>, sqlx::Error> {
    match about {
        About::Run(run_id) => match runs::get(&mut *session, *run_id).await? {
            Some(run) => of_run(tenant, session, run).await,
            None => Ok(None),
        },
        About::Push(plan_id) => {
            let outcomes = rows::outcomes(session, *plan_id).await?;
            Ok(Some(Event::BulkFinished(Bulk {
                plan_id: *plan_id,
                rows_succeeded: outcomes.succeeded,
                rows_failed: outcomes.failed,
                rows_unknown: outcomes.unknown,
            })))
        }
        About::Late {
            job,
            scheduled_at,
            since,
        } => Ok(Some(Event::RunLate {
            job: job.clone(),
            scheduled_at: *scheduled_at,
            late_since: *since,
        })),
    }
}

async fn of_run(
    tenant: &Tenant,
    session: &mut PgConnection,
    run: Run,
) -> Result<Option<Event>, sqlx::Error> {
    let job = tenant.jobs.iter().find(|job| job.name == run.job);
    Ok(match run.status {
        // A job that is not kept any more is not repeated.
        Status::Failed if !job.is_some_and(|job| is_repeated(job, &run)) => {
            Some(Event::RunFailed(Box::new(run.into())))
        }
        Status::Braked => Some(Event::RunBraked(Box::new(run.into()))),
        Status::Succeeded => {
            let before = runs::status_before(&mut *session, &run).await?;
            if matches!(before, Some(Status::Failed | Status::Braked)) {
                Some(Event::RunRecovered(Box::new(run.into())))
            } else if is_newly_unfit(session, &run).await? {
                Some(Event::RunUnfit(Box::new(run.into())))
            } else {
                None
            }
        }
        Status::Failed | Status::Running | Status::Interrupted => None,
    })
}

/// Whether the values of a column did not fit for the first time.
async fn is_newly_unfit(session: &mut PgConnection, run: &Run) -> Result<bool, sqlx::Error> {
    let Some(Json(unfit)) = run.unfit.as_ref().filter(|unfit| !unfit.0.is_empty()) else {
        return Ok(false);
    };
    let before = runs::unfit_known_before(session, run).await?;
    let known = |one: &Unfit| {
        let same = |other: &Unfit| (&one.table, &one.column) == (&other.table, &other.column);
        before.iter().any(same)
    };
    Ok(!unfit.iter().all(known))
}

/// Whether another attempt follows. What a person started is not repeated.
fn is_repeated(job: &Job, run: &Run) -> bool {
    let attempt = run.attempt.unsigned_abs();
    let at = run.finished_at.unwrap_or(run.started_at);
    match job.timing.retries.next(attempt, Outcome::Failed, at) {
        Next::Attempt { .. } => run.scheduled_at.is_some(),
        Next::Done | Next::GivenUp => false,
    }
}
