//! Users of whose grants the API said nothing though they were asked for. Their rows say so in
//! `_zephr_issues`, as long as it is so.

use sqlx::PgExecutor;

/// How many living users have this issue: a path and a reason.
pub async fn count(
    executor: impl PgExecutor<'_>,
    path: &str,
    reason: &str,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from users
           where _zephr_issues is not null and _zephr_deleted_at is null
             and _zephr_issues @> jsonb_build_array(jsonb_build_object('path', $1::text, 'reason', $2::text))"#,
        path,
        reason,
    )
    .fetch_one(executor)
    .await
}

/// Whether anybody is known to have grants.
pub async fn are_any_known(executor: impl PgExecutor<'_>) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from user_grants where _zephr_deleted_at is null) as "known!""#
    )
    .fetch_one(executor)
    .await
}
