//! The requests of a push. A chunk is written down as `sending` before it is sent; what is found in
//! that state later was sent or not, and nobody knows yet.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::rows::Action;

/// How far a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum State {
    /// Not sent.
    Planned,
    /// Perhaps sent: the answer is awaited, or was lost.
    Sending,
    /// The API named a job.
    Accepted,
    /// Every row has an outcome.
    Done,
}

/// A request.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "each is the column of that name, and the columns carry comments"
)]
pub struct Chunk {
    pub chunk: i32,
    pub action: Action,
    pub state: State,
    pub job_id: Option<String>,
    pub rows_sent: Option<i32>,
    pub attempts: i32,
    /// Seconds since it was sent, by Postgres's clock.
    pub sent_seconds: Option<f64>,
    /// Seconds since the API accepted it.
    pub accepted_seconds: Option<f64>,
    pub sent_at: Option<DateTime<Utc>>,
}

/// The next request of a plan that is not done: one under way before those that were not begun.
pub async fn next(
    executor: impl PgExecutor<'_>,
    plan_id: Uuid,
) -> Result<Option<Chunk>, sqlx::Error> {
    sqlx::query_as!(
        Chunk,
        r#"select chunk, action as "action: Action", state as "state: State", job_id, rows_sent, attempts, sent_at,
                  extract(epoch from clock_timestamp() - sent_at)::float8 as sent_seconds,
                  extract(epoch from clock_timestamp() - accepted_at)::float8 as accepted_seconds
           from bulk_chunks
           where plan_id = $1 and state <> 'done'
           order by state = 'planned', chunk
           limit 1"#,
        plan_id,
    )
    .fetch_optional(executor)
    .await
}

/// The plans with a request under way; more than this one only after a death.
pub async fn plans_under_way(executor: impl PgExecutor<'_>) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select distinct plan_id from bulk_chunks where state in ('sending', 'accepted') order by plan_id"
    )
    .fetch_all(executor)
    .await
}

/// Writes down that a chunk is about to be sent with these rows.
pub async fn sending(
    connection: &mut PgConnection,
    plan_id: Uuid,
    chunk: i32,
    rows: &[i64],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update bulk_chunks set state = 'sending', sent_at = clock_timestamp(), rows_sent = $3, attempts = attempts + 1
         where plan_id = $1 and chunk = $2",
        plan_id,
        chunk,
        rows.len() as i32,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update bulk_rows set state = 'sent' where plan_id = $1 and row_number = any($2)",
        plan_id,
        rows,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes down the job that the API made of it.
pub async fn accepted(
    connection: &mut PgConnection,
    plan_id: Uuid,
    chunk: i32,
    job_id: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update bulk_chunks set state = 'accepted', accepted_at = clock_timestamp(), job_id = $3 where plan_id = $1 and chunk = $2",
        plan_id,
        chunk,
        job_id,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes back that it was sent, once that is known: its rows are as they were planned.
pub async fn not_sent(
    connection: &mut PgConnection,
    plan_id: Uuid,
    chunk: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update bulk_chunks set state = 'planned', job_id = null where plan_id = $1 and chunk = $2",
        plan_id,
        chunk,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update bulk_rows set state = 'planned' where plan_id = $1 and chunk = $2 and state = 'sent'",
        plan_id,
        chunk,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Keeps the API's last answer about the job as it came.
pub async fn answered(
    connection: &mut PgConnection,
    plan_id: Uuid,
    chunk: i32,
    job_status: Option<&str>,
    answer: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update bulk_chunks set job_status = $3, answer = coalesce($4, answer) where plan_id = $1 and chunk = $2",
        plan_id,
        chunk,
        job_status,
        answer,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that all its rows have an outcome.
pub async fn done(
    connection: &mut PgConnection,
    plan_id: Uuid,
    chunk: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update bulk_chunks set state = 'done', done_at = clock_timestamp() where plan_id = $1 and chunk = $2",
        plan_id,
        chunk,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Moves rows of a chunk into a new one, which is planned; answers its number.
pub async fn split_off(
    connection: &mut PgConnection,
    plan_id: Uuid,
    action: Action,
    rows: &[i64],
) -> Result<i32, sqlx::Error> {
    let chunk = sqlx::query_scalar!(
        "insert into bulk_chunks (plan_id, chunk, action, state)
         select $1, max(chunk) + 1, $2, 'planned' from bulk_chunks where plan_id = $1
         returning chunk",
        plan_id,
        action.name(),
    )
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query!(
        "update bulk_rows set chunk = $2, state = 'planned' where plan_id = $1 and row_number = any($3)",
        plan_id,
        chunk,
        rows,
    )
    .execute(connection)
    .await?;
    Ok(chunk)
}
