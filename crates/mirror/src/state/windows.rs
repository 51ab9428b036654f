//! The committed parts of a scan: the unit of progress.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

/// A committed part, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each is the column of that name, and the columns carry comments"
)]
pub struct Done {
    pub lower_bound: Option<DateTime<Utc>>,
    pub upper_bound: Option<DateTime<Utc>>,
    pub part: String,
    pub proof: String,
    pub rows_read: i64,
}

/// Notes parts as committed; one statement for all that commit together.
pub async fn commit(
    executor: impl PgExecutor<'_>,
    scan_id: Uuid,
    run_id: Uuid,
    parts: &[Done],
) -> Result<(), sqlx::Error> {
    let mut lower = Vec::with_capacity(parts.len());
    let mut upper = Vec::with_capacity(parts.len());
    let mut part = Vec::with_capacity(parts.len());
    let mut proof = Vec::with_capacity(parts.len());
    let mut rows = Vec::with_capacity(parts.len());
    for done in parts {
        lower.push(done.lower_bound);
        upper.push(done.upper_bound);
        part.push(done.part.as_str());
        proof.push(done.proof.as_str());
        rows.push(done.rows_read);
    }
    sqlx::query!(
        "insert into windows (scan_id, run_id, lower_bound, upper_bound, part, proof, rows_read)
         select $1, $2, * from unnest($3::timestamptz[], $4::timestamptz[], $5::text[], $6::text[], $7::bigint[])",
        scan_id,
        run_id,
        &lower as &[Option<DateTime<Utc>>],
        &upper as &[Option<DateTime<Utc>>],
        &part as &[&str],
        &proof as &[&str],
        &rows,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// The committed parts of a scan.
pub async fn of_scan(
    executor: impl PgExecutor<'_>,
    scan_id: Uuid,
) -> Result<Vec<Done>, sqlx::Error> {
    sqlx::query_as!(
        Done,
        "select lower_bound, upper_bound, part, proof, rows_read from windows where scan_id = $1 order by lower_bound",
        scan_id,
    )
    .fetch_all(executor)
    .await
}

/// Forgets the parts of all scans of a job but this one; what they proved is in the runs.
pub async fn prune(executor: impl PgExecutor<'_>, job: &str, but: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from windows w using runs r where r.run_id = w.run_id and r.job = $1 and w.scan_id <> $2",
        job,
        but,
    )
    .execute(executor)
    .await?;
    Ok(())
}
