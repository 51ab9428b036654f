//! Runs that somebody asked a daemon for.

use sqlx::PgExecutor;
use uuid::Uuid;

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
///
/// # Errors
/// As sqlx.
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

/// Takes the oldest request for one of these jobs; nobody else gets it.
///
/// # Errors
/// As sqlx.
pub async fn take(
    executor: impl PgExecutor<'_>,
    jobs: &[String],
) -> Result<Option<Trigger>, sqlx::Error> {
    sqlx::query_as!(
        Trigger,
        "delete from triggers where trigger_id = (
             select trigger_id from triggers where job = any($1) order by requested_at, trigger_id for update skip locked limit 1
         )
         returning trigger_id, job, full_scan, requested_by",
        jobs,
    )
    .fetch_optional(executor)
    .await
}

/// The requests that nobody has taken yet, the oldest first.
///
/// # Errors
/// As sqlx.
pub async fn waiting(executor: impl PgExecutor<'_>) -> Result<Vec<Trigger>, sqlx::Error> {
    sqlx::query_as!(
        Trigger,
        "select trigger_id, job, full_scan, requested_by from triggers order by requested_at, trigger_id",
    )
    .fetch_all(executor)
    .await
}
