//! Records that could not be stored, once per content.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;
use uuid::Uuid;

use record::{HASH_BYTES, Reject, Resource};

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
    pub extracted_at: DateTime<Utc>,
}

/// Stores rejects; one that is known is counted once more per run. Answers how many this run had
/// not met before.
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
    let times: Vec<Option<DateTime<Utc>>> =
        sorted.iter().map(|reject| reject.answered_at).collect();
    let stored = sqlx::query!(
        "insert into rejects as known (job, resource, first_run_id, last_run_id, content_hash, record_id, reason, record, extracted_at)
         select $1, $2, $3, $3, i.content_hash, i.record_id, i.reason, i.record, coalesce(i.extracted_at, now())
         from unnest($4::bytea[], $5::text[], $6::text[], $7::text[], $8::timestamptz[])
              as i (content_hash, record_id, reason, record, extracted_at)
         on conflict (resource, content_hash) do update set
             times_seen = known.times_seen + 1,
             reason = excluded.reason, last_seen_at = now(), last_run_id = excluded.last_run_id,
             extracted_at = greatest(known.extracted_at, excluded.extracted_at)
         where known.last_run_id <> excluded.last_run_id",
        job,
        resource.name(),
        run_id,
        &hashes as &[&[u8]],
        &ids as &[Option<&str>],
        &reasons as &[&str],
        &records as &[&str],
        &times as &[Option<DateTime<Utc>>],
    )
    .execute(executor)
    .await?;
    Ok(stored.rows_affected())
}

/// Rejects, the last met first, after (that is, older than) a reject already seen.
pub async fn list(
    executor: impl PgExecutor<'_>,
    below: i64,
    limit: i64,
) -> Result<Vec<Stored>, sqlx::Error> {
    sqlx::query_as!(
        Stored,
        "select reject_id, job, resource, record_id, reason, record, times_seen, first_seen_at, last_seen_at, first_run_id, last_run_id, extracted_at
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

/// A reject that is to be read again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each is the column of that name, and the columns carry comments"
)]
pub struct Kept {
    pub reject_id: i64,
    pub record: String,
    pub content_hash: Vec<u8>,
    pub extracted_at: DateTime<Utc>,
}

/// The rejects of a resource, those that the API answered with first before the others, after one
/// already seen (its time and its number).
pub async fn oldest(
    executor: impl PgExecutor<'_>,
    resource: Resource,
    after: Option<(DateTime<Utc>, i64)>,
    limit: i64,
) -> Result<Vec<Kept>, sqlx::Error> {
    let (at, reject_id) = after.unzip();
    sqlx::query_as!(
        Kept,
        "select reject_id, record, content_hash, extracted_at from rejects
         where resource = $1 and (extracted_at, reject_id) > (coalesce($2::timestamptz, '-infinity'), coalesce($3::bigint, 0))
         order by extracted_at, reject_id limit $4",
        resource.name(),
        at,
        reject_id,
        limit,
    )
    .fetch_all(executor)
    .await
}

/// Writes what may be kept of rejects, and their new content hashes where they have some.
pub async fn rewrite(
    executor: impl PgExecutor<'_>,
    rewritten: &[(i64, String, Option<[u8; HASH_BYTES]>)],
) -> Result<(), sqlx::Error> {
    let ids: Vec<i64> = rewritten.iter().map(|(id, _, _)| *id).collect();
    let records: Vec<&str> = rewritten.iter().map(|(_, text, _)| text.as_str()).collect();
    let hashes: Vec<Option<&[u8]>> = rewritten
        .iter()
        .map(|(_, _, hash)| hash.as_ref().map(<[u8; HASH_BYTES]>::as_slice))
        .collect();
    sqlx::query!(
        "update rejects r set record = i.record, content_hash = coalesce(i.content_hash, r.content_hash)
         from unnest($1::bigint[], $2::text[], $3::bytea[]) as i (reject_id, record, content_hash)
         where r.reject_id = i.reject_id",
        &ids,
        &records as &[&str],
        &hashes as &[Option<&[u8]>],
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Forgets rejects that are settled.
pub async fn remove(executor: impl PgExecutor<'_>, ids: &[i64]) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from rejects where reject_id = any($1)", ids)
        .execute(executor)
        .await?;
    Ok(())
}

/// Notes why rejects cannot be stored now, where that is another reason than before.
pub async fn explain(
    executor: impl PgExecutor<'_>,
    reasons: &[(i64, String)],
) -> Result<(), sqlx::Error> {
    let ids: Vec<i64> = reasons.iter().map(|(reject_id, _)| *reject_id).collect();
    let reasons: Vec<&str> = reasons.iter().map(|(_, reason)| reason.as_str()).collect();
    sqlx::query!(
        "update rejects r set reason = i.reason from unnest($1::bigint[], $2::text[]) as i (reject_id, reason)
         where r.reject_id = i.reject_id and r.reason <> i.reason",
        &ids,
        &reasons as &[&str],
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// How many there are.
pub async fn count(executor: impl PgExecutor<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"select count(*) as "count!" from rejects"#)
        .fetch_one(executor)
        .await
}

/// How many there are of each job.
pub async fn counts(executor: impl PgExecutor<'_>) -> Result<Vec<(String, i64)>, sqlx::Error> {
    let counts =
        sqlx::query!(r#"select job, count(*) as "count!" from rejects group by job order by job"#)
            .fetch_all(executor)
            .await?;
    Ok(counts.into_iter().map(|row| (row.job, row.count)).collect())
}
