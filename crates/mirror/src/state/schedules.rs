//! Since when the schedule of a job is known, and which of its slots were settled without a run.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

/// Knows how the schedule of a job reads, and from now on, if it did not read so before.
pub async fn learn(
    executor: impl PgExecutor<'_>,
    job: &str,
    schedule: &str,
) -> Result<Stored, sqlx::Error> {
    sqlx::query_as!(
        Stored,
        "insert into schedules as held (job, schedule) values ($1, $2)
         on conflict (job) do update set
             schedule = excluded.schedule,
             known_since = case when held.schedule = excluded.schedule then held.known_since else clock_timestamp() end
         returning job, schedule, known_since, settled_to",
        job,
        schedule,
    )
    .fetch_one(executor)
    .await
}

/// Notes that the slots of a job up to this one are settled, and why. False if somebody else has
/// said so before.
pub async fn settle(
    executor: impl PgExecutor<'_>,
    job: &str,
    to: DateTime<Utc>,
    why: &str,
) -> Result<bool, sqlx::Error> {
    let settled = sqlx::query!(
        "update schedules set settled_to = $2, settled_why = $3 where job = $1 and (settled_to is null or settled_to < $2)",
        job,
        to,
        why,
    )
    .execute(executor)
    .await?;
    Ok(settled.rows_affected() == 1)
}

/// Notes that a slot is told to be late. False if it has been, by whichever daemon.
pub async fn tell_late(
    executor: impl PgExecutor<'_>,
    job: &str,
    slot: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let told = sqlx::query!(
        "update schedules set late_told = $2 where job = $1 and (late_told is null or late_told < $2)",
        job,
        slot,
    )
    .execute(executor)
    .await?;
    Ok(told.rows_affected() == 1)
}

/// What is known of the schedule of a job, as it reads there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each is the column of that name, and the columns carry comments"
)]
pub struct Stored {
    pub job: String,
    pub schedule: String,
    pub known_since: DateTime<Utc>,
    pub settled_to: Option<DateTime<Utc>>,
}

/// What is known of all schedules, without changing anything.
pub async fn all(executor: impl PgExecutor<'_>) -> Result<Vec<Stored>, sqlx::Error> {
    sqlx::query_as!(
        Stored,
        "select job, schedule, known_since, settled_to from schedules order by job"
    )
    .fetch_all(executor)
    .await
}

/// The same, and what it is by Postgres's clock.
pub async fn at(session: &mut PgConnection) -> Result<(DateTime<Utc>, Vec<Stored>), sqlx::Error> {
    let now = sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#)
        .fetch_one(&mut *session)
        .await?;
    Ok((now, all(session).await?))
}
