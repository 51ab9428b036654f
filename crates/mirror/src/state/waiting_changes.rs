//! Changes of tables and views that somebody's open transaction did not let through yet.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;

use crate::postgres::ddl::Held;

/// A change that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[expect(
    missing_docs,
    reason = "each is the column of that name, and the columns carry comments"
)]
pub struct Waiting {
    pub object: String,
    pub change: String,
    pub held_by: String,
    pub since: DateTime<Utc>,
    pub tried_at: DateTime<Utc>,
    pub tries: i64,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} waits to be changed since {} UTC ({}): it is held by {}. The next run tries again",
            self.object,
            self.since.format("%Y-%m-%d %H:%M"),
            self.change,
            self.held_by
        )
    }
}

/// Notes that a change could not be made.
pub async fn note(
    executor: impl PgExecutor<'_>,
    object: &str,
    change: &str,
    held: &Held,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into waiting_changes as w (object, change, held_by) values ($1, $2, $3)
         on conflict (object) do update set change = excluded.change, held_by = excluded.held_by,
             tried_at = clock_timestamp(), tries = w.tries + 1",
        object,
        change,
        held.to_string(),
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Notes that nothing waits for this table or view any more.
pub async fn settle(executor: impl PgExecutor<'_>, object: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from waiting_changes where object = $1", object)
        .execute(executor)
        .await?;
    Ok(())
}

/// All that wait.
pub async fn all(executor: impl PgExecutor<'_>) -> Result<Vec<Waiting>, sqlx::Error> {
    sqlx::query_as!(
        Waiting,
        "select object, change, held_by, since, tried_at, tries from waiting_changes order by object"
    )
    .fetch_all(executor)
    .await
}

/// The tables and views of which a change waits that is described so.
pub async fn objects(
    executor: impl PgExecutor<'_>,
    change: &str,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select object from waiting_changes where change = $1 order by object",
        change
    )
    .fetch_all(executor)
    .await
}
