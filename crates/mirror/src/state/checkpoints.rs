//! How far each job has come.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

/// A full scan that was begun and has not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfinished {
    /// Its identifier; its committed windows carry it.
    pub scan_id: Uuid,
    /// When it began.
    pub started_at: DateTime<Utc>,
}

/// How far a job has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// When the last finished scan began, by the API's clock as far as that can be believed; none
    /// if what stands there is still to come, as after Postgres's clock was set back: what changes
    /// until then would never be asked for.
    pub watermark: Option<DateTime<Utc>>,
    /// When the last full scan finished.
    pub full_finished_at: Option<DateTime<Utc>>,
    /// Seconds since then, by Postgres's clock.
    pub full_age_seconds: Option<i64>,
    /// Windows committed of a full scan that has not finished.
    pub unfinished_windows: Option<i64>,
}

/// How far a job has come; none before its first scan.
pub async fn get(
    executor: impl PgExecutor<'_>,
    job: &str,
) -> Result<Option<Checkpoint>, sqlx::Error> {
    sqlx::query_as!(
        Checkpoint,
        r#"select case when watermark <= now() + interval '1 hour' then watermark end as watermark, full_finished_at,
                  extract(epoch from now() - full_finished_at)::bigint as full_age_seconds,
                  case when scan_id is not null then (select count(*) from windows w where w.scan_id = c.scan_id) end as unfinished_windows
           from checkpoints c where job = $1"#,
        job,
    )
    .fetch_optional(executor)
    .await
}

/// Whether a run of this job has ever come to its end.
pub async fn is_known(executor: impl PgExecutor<'_>, job: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from checkpoints where job = $1 and (watermark is not null or full_finished_at is not null)) as "known!""#,
        job,
    )
    .fetch_one(executor)
    .await
}

/// The unfinished full scan of a job, if it is younger than a day: an older one is begun afresh,
/// since what it read first is no longer true.
pub async fn unfinished(
    executor: impl PgExecutor<'_>,
    job: &str,
) -> Result<Option<Unfinished>, sqlx::Error> {
    sqlx::query_as!(
        Unfinished,
        r#"select scan_id as "scan_id!", scan_started_at as "started_at!" from checkpoints
           where job = $1 and scan_id is not null and scan_started_at > now() - interval '1 day'"#,
        job,
    )
    .fetch_optional(executor)
    .await
}

/// Notes that a full scan was begun.
pub async fn begin(
    executor: impl PgExecutor<'_>,
    job: &str,
    scan_id: Uuid,
    started_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into checkpoints (job, scan_id, scan_started_at) values ($1, $2, $3)
         on conflict (job) do update set scan_id = excluded.scan_id, scan_started_at = excluded.scan_started_at, updated_at = now()",
        job,
        scan_id,
        started_at,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// What a full scan learned about the server's answers; the next incremental run begins with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each is the column of that name, and the columns carry comments"
)]
pub struct Learned {
    pub page_asked: Option<i64>,
    pub page_held: Option<i64>,
    pub links_tell: bool,
    pub count_is_total: bool,
}

/// What the last finished full scan of a job learned.
pub async fn learned(executor: impl PgExecutor<'_>, job: &str) -> Result<Learned, sqlx::Error> {
    let learned = sqlx::query_as!(
        Learned,
        "select page_asked, page_held, links_tell, count_is_total from checkpoints where job = $1",
        job,
    )
    .fetch_optional(executor)
    .await?;
    Ok(learned.unwrap_or_default())
}

/// Notes that the full scan finished, and moves the watermark to its beginning, never back.
pub async fn finish(
    executor: impl PgExecutor<'_>,
    job: &str,
    scan_id: Uuid,
    learned: &Learned,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update checkpoints set watermark = greatest(case when watermark <= now() + interval '1 hour' then watermark end, scan_started_at), full_finished_at = now(),
             scan_id = null, scan_started_at = null, updated_at = now(),
             page_asked = $3, page_held = $4, links_tell = $5, count_is_total = $6
         where job = $1 and scan_id = $2",
        job,
        scan_id,
        learned.page_asked,
        learned.page_held,
        learned.links_tell,
        learned.count_is_total,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Moves the watermark to the beginning of an incremental scan. It goes back where Zephr's clock did:
/// what changes from now on has earlier times.
pub async fn advance(
    executor: impl PgExecutor<'_>,
    job: &str,
    watermark: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into checkpoints as c (job, watermark) values ($1, $2)
         on conflict (job) do update set watermark = excluded.watermark, updated_at = now()",
        job,
        watermark,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Notes that a scan came to its end without being complete: there is nothing to resume.
pub async fn abandon(executor: impl PgExecutor<'_>, job: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update checkpoints set scan_id = null, scan_started_at = null, updated_at = now() where job = $1",
        job,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Keeps all checkpoints from being moved until the transaction ends. Runs lock theirs before the
/// mark, and so does whoever settles what the mark tells.
pub async fn hold(executor: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!("select from checkpoints order by job for update")
        .execute(executor)
        .await?;
    Ok(())
}

/// What is known of the progress of a job, or of all of them, is not believed any more: the next
/// run reads everything, and says why.
pub async fn distrust(
    executor: impl PgExecutor<'_>,
    job: Option<&str>,
    why: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update checkpoints set watermark = null, full_finished_at = null, scan_id = null, scan_started_at = null,
             distrusted = $2, distrusted_at = clock_timestamp(), updated_at = now()
         where $1::text is null or job = $1",
        job,
        why,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Why a job's progress was not believed when this run of it began, if that was so.
pub async fn distrusted(
    executor: impl PgExecutor<'_>,
    job: &str,
    run_id: Uuid,
) -> Result<Option<String>, sqlx::Error> {
    let why = sqlx::query_scalar!(
        "select distrusted from checkpoints c
         where job = $1 and distrusted_at <= (select started_at from runs where run_id = $2)",
        job,
        run_id,
    )
    .fetch_optional(executor)
    .await?;
    Ok(why.flatten())
}

/// Everything was read anew.
pub async fn trust(executor: impl PgExecutor<'_>, job: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update checkpoints set distrusted = null, distrusted_at = null where job = $1",
        job
    )
    .execute(executor)
    .await?;
    Ok(())
}
