//! Records that could not be stored, once per content.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::record::{Reject, Resource};

/// A reject as it is stored. Field names are column names.
#[derive(Debug, Clone, Serialize)]
#[expect(
    missing_docs,
    reason = "each is the column of that name, and the columns carry comments"
)]
pub struct Stored {
    pub reject_id: i64,
    pub job: String,
    pub resource: String,
    pub record_id: Option<String>,
    pub reason: String,
    pub record: String,
    pub times_seen: i64,
    pub first_seen_at: DateTime<Utc>,
    pub last_seen_at: DateTime<Utc>,
    pub first_run_id: Uuid,
    pub last_run_id: Uuid,
}

/// Stores rejects; one that is known is counted once more per run. Answers how many this run had not met before.
///
/// # Errors
/// As sqlx.
pub async fn store(
    executor: impl PgExecutor<'_>,
    job: &str,
    resource: Resource,
    run_id: Uuid,
    rejects: &[Reject],
) -> Result<u64, sqlx::Error> {
    let mut sorted: Vec<&Reject> = rejects.iter().collect();
    sorted.sort_by_key(|reject| reject.content_hash);
    sorted.dedup_by_key(|reject| reject.content_hash);
    let hashes: Vec<&[u8]> = sorted
        .iter()
        .map(|reject| reject.content_hash.as_slice())
        .collect();
    let ids: Vec<Option<&str>> = sorted.iter().map(|reject| reject.id.as_deref()).collect();
    let reasons: Vec<&str> = sorted.iter().map(|reject| reject.reason.as_str()).collect();
    let records: Vec<&str> = sorted.iter().map(|reject| reject.text.as_str()).collect();
    let stored = sqlx::query!(
        "insert into rejects as known (job, resource, first_run_id, last_run_id, content_hash, record_id, reason, record)
         select $1, $2, $3, $3, * from unnest($4::bytea[], $5::text[], $6::text[], $7::text[])
         on conflict (resource, content_hash) do update set
             times_seen = known.times_seen + 1,
             reason = excluded.reason, last_seen_at = now(), last_run_id = excluded.last_run_id
         where known.last_run_id <> excluded.last_run_id",
        job,
        resource.name(),
        run_id,
        &hashes as &[&[u8]],
        &ids as &[Option<&str>],
        &reasons as &[&str],
        &records as &[&str],
    )
    .execute(executor)
    .await?;
    Ok(stored.rows_affected())
}

/// Rejects, the last met first, after (that is, older than) a reject already seen.
///
/// # Errors
/// As sqlx.
pub async fn list(
    executor: impl PgExecutor<'_>,
    below: i64,
    limit: i64,
) -> Result<Vec<Stored>, sqlx::Error> {
    sqlx::query_as!(
        Stored,
        "select reject_id, job, resource, record_id, reason, record, times_seen, first_seen_at, last_seen_at, first_run_id, last_run_id
         from rejects where reject_id < $1 order by reject_id desc limit $2",
        below,
        limit,
    )
    .fetch_all(executor)
    .await
}

/// Records that could not be stored when they were last read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Met {
    /// The keys of those that have one.
    pub ids: Vec<String>,
    /// How many have none.
    pub without_id: i64,
}

/// The rejects that the last finished full scan of a resource met, and the runs after it.
///
/// # Errors
/// As sqlx.
pub async fn met_lately(
    executor: impl PgExecutor<'_>,
    resource: Resource,
) -> Result<Met, sqlx::Error> {
    let met = sqlx::query_file!("src/state/rejects/met_lately.sql", resource.name())
        .fetch_one(executor)
        .await?;
    Ok(Met {
        ids: met.ids,
        without_id: met.without_id,
    })
}

/// How many there are.
///
/// # Errors
/// As sqlx.
pub async fn count(executor: impl PgExecutor<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"select count(*) as "count!" from rejects"#)
        .fetch_one(executor)
        .await
}
