//! What comparing the mirror with the API found, one row per comparison.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use sqlx::types::Json;
use uuid::Uuid;

/// A record that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The user.
    pub user_id: String,
    /// Whether the API does not have the user any more.
    pub gone: bool,
    /// The paths of the fields that differ; never their values.
    pub fields: Vec<String>,
}

/// A comparison as it is stored. Field names are column names.
#[derive(Debug, Clone, Serialize)]
#[expect(
    missing_docs,
    reason = "each is the column of that name, and the columns carry comments"
)]
pub struct Verification {
    pub verification_id: Uuid,
    pub job: String,
    pub started_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
    pub rows_mirror: i64,
    pub rows_api: Option<i64>,
    pub rows_sampled: i64,
    pub rows_equal: i64,
    pub rows_different: i64,
    pub rows_gone: i64,
    pub differences: Json<Vec<Difference>>,
}

/// What was found. Field names are column names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each is the column of that name, and the columns carry comments"
)]
pub struct Found {
    pub started_at: DateTime<Utc>,
    pub rows_mirror: i64,
    pub rows_api: Option<i64>,
    pub rows_sampled: i64,
    pub rows_equal: i64,
    pub rows_different: i64,
    pub rows_gone: i64,
    pub differences: Vec<Difference>,
}

/// When it is, by Postgres's clock.
pub async fn now(executor: impl PgExecutor<'_>) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#)
        .fetch_one(executor)
        .await
}

/// Stores what was found, and answers it as it is stored.
pub async fn store(
    executor: impl PgExecutor<'_>,
    job: &str,
    found: &Found,
) -> Result<Verification, sqlx::Error> {
    sqlx::query_as!(
        Verification,
        r#"insert into verifications (verification_id, job, started_at, finished_at, rows_mirror, rows_api, rows_sampled, rows_equal,
                                      rows_different, rows_gone, differences)
           values ($1, $2, $3, clock_timestamp(), $4, $5, $6, $7, $8, $9, $10)
           returning verification_id, job, started_at, finished_at, rows_mirror, rows_api, rows_sampled, rows_equal, rows_different,
                     rows_gone, differences as "differences: Json<Vec<Difference>>""#,
        Uuid::now_v7(),
        job,
        found.started_at,
        found.rows_mirror,
        found.rows_api,
        found.rows_sampled,
        found.rows_equal,
        found.rows_different,
        found.rows_gone,
        Json(&found.differences) as _,
    )
    .fetch_one(executor)
    .await
}

/// The latest comparison of a job.
pub async fn last_of(
    executor: impl PgExecutor<'_>,
    job: &str,
) -> Result<Option<Verification>, sqlx::Error> {
    sqlx::query_as!(
        Verification,
        r#"select verification_id, job, started_at, finished_at, rows_mirror, rows_api, rows_sampled, rows_equal, rows_different,
                  rows_gone, differences as "differences: Json<Vec<Difference>>"
           from verifications where job = $1 order by started_at desc, verification_id desc limit 1"#,
        job,
    )
    .fetch_optional(executor)
    .await
}

/// When the last run of a job that read from the API began: what changed at the tenant later, the
/// mirror may not have.
pub async fn last_read(
    executor: impl PgExecutor<'_>,
    job: &str,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    sqlx::query_scalar!(
        "select max(started_at) from runs where job = $1 and mode <> 'replay'",
        job
    )
    .fetch_one(executor)
    .await
}
