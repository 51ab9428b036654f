//! Runs that somebody asked a daemon for.

use sqlx::PgExecutor;
use uuid::Uuid;

use super::runs::Mode;

/// A run that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each is the column of that name, and the columns carry comments"
)]
pub struct Trigger {
    pub trigger_id: Uuid,
    pub job: String,
    pub full_scan: bool,
    pub requested_by: String,
}

/// Asks for a run.
pub async fn add(
    executor: impl PgExecutor<'_>,
    job: &str,
    full_scan: bool,
    requested_by: &str,
) -> Result<Uuid, sqlx::Error> {
    let trigger_id = Uuid::now_v7();
    sqlx::query!(
        "insert into triggers (trigger_id, job, full_scan, requested_by) values ($1, $2, $3, $4)",
        trigger_id,
        job,
        full_scan,
        requested_by,
    )
    .execute(executor)
    .await?;
    Ok(trigger_id)
}

/// Strikes out what a run of a job answers that begins now, in the transaction that begins it: who
/// asked for everything is answered by a run that reads everything. Tells which requests these
/// were; of runs that are begun for the same request, only the first finds it.
pub async fn answer(
    executor: impl PgExecutor<'_>,
    job: &str,
    mode: Mode,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "delete from triggers where job = $1 and (not full_scan or $2 = 'full') returning trigger_id",
        job,
        mode.name(),
    )
    .fetch_all(executor)
    .await
}

/// The requests that no run has answered yet, the oldest first.
pub async fn waiting(executor: impl PgExecutor<'_>) -> Result<Vec<Trigger>, sqlx::Error> {
    sqlx::query_as!(
        Trigger,
        "select trigger_id, job, full_scan, requested_by from triggers order by requested_at, trigger_id",
    )
    .fetch_all(executor)
    .await
}
