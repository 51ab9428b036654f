//! The jobs of the API that were seen. There is no idempotency key (contract section 12.4): a job
//! that nobody has seen before is what tells whether a request arrived whose answer was lost.

use sqlx::{PgConnection, PgExecutor};

/// Notes the jobs that the API lists.
pub async fn listed(connection: &mut PgConnection, job_ids: &[String]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into bulk_jobs (job_id, ours, listed) select distinct id, false, true from unnest($1::text[]) id
         on conflict (job_id) do update set listed = true where not bulk_jobs.listed",
        job_ids,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes a job that one of our requests made.
pub async fn ours(connection: &mut PgConnection, job_id: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into bulk_jobs (job_id, ours, listed) values ($1, true, false) on conflict (job_id) do update set ours = true",
        job_id,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Those that were not seen before.
pub async fn unseen(
    executor: impl PgExecutor<'_>,
    job_ids: &[String],
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select id as "id!" from unnest($1::text[]) id where not exists (select from bulk_jobs j where j.job_id = id)"#,
        job_ids,
    )
    .fetch_all(executor)
    .await
}

/// Whether the API's list has ever shown a job of ours: then one that it does not show is not
/// there.
pub async fn list_is_believed(executor: impl PgExecutor<'_>) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from bulk_jobs where ours and listed) as "believed!""#
    )
    .fetch_one(executor)
    .await
}
