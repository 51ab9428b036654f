//! What is told when a run ended: to receivers of notifications, and to the command that follows a success.

use sqlx::PgConnection;
use uuid::Uuid;

use super::Tenant;
use crate::job::Job;
use crate::notify::{Event, Success};
use crate::schedule::{Next, Outcome};
use crate::state::runs::{self, Run};

/// Tells how a run ended. What it tells is in Postgres, so it does not matter which daemon ran what came before.
///
/// # Errors
/// The run's record cannot be read.
pub(super) async fn ended(
    tenant: &Tenant,
    job: &Job,
    session: &mut PgConnection,
    run_id: Uuid,
) -> Result<(), sqlx::Error> {
    let Some(run) = runs::get(&mut *session, run_id).await? else {
        return Ok(());
    };
    tenant.live.ended(&run);
    let at = run.finished_at.unwrap_or(run.started_at);
    match run.status.as_str() {
        "failed" if !is_repeated(job, &run) => {
            tenant.tell(at, Event::RunFailed(Box::new(run.into())));
        }
        "braked" => tenant.tell(at, Event::RunBraked(Box::new(run.into()))),
        "succeeded" => {
            follow(tenant, &run);
            let before = runs::status_before(session, &run).await?;
            if matches!(before.as_deref(), Some("failed" | "braked")) {
                tenant.tell(at, Event::RunRecovered(Box::new(run.into())));
            }
        }
        _ => {}
    }
    Ok(())
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

/// Starts the command that follows a success. Never waited for: it may take longer than the next run.
fn follow(tenant: &Tenant, run: &Run) {
    let Some(hook) = tenant.hook.clone() else {
        return;
    };
    let success = Success {
        job: run.job.clone(),
        run_id: run.run_id,
        verdict: run.verdict.clone().unwrap_or_default(),
    };
    tokio::spawn(async move { hook.run(&success).await });
}
