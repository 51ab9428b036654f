//! Users of the mirror as a plan needs them: who is named, and what their attributes are, with what
//! is known to have been pushed since they were read.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor, PgPool};

use crate::postgres::connect::Database;
use record::By;

/// A user who is named.
#[derive(Debug, Clone)]
pub struct Named {
    /// Which of the names it is.
    pub ordinal: i64,
    /// The key.
    pub user_id: String,
    /// Their e-mail address.
    pub email: Option<String>,
    /// When they registered.
    pub registered_at: Option<DateTime<Utc>>,
    /// When they were found to be gone.
    pub deleted_at: Option<DateTime<Utc>>,
    /// Whether an earlier push deleted them, as far as is known.
    pub pushed_away: bool,
    /// The attributes that were asked for, in that order, as JSON.
    pub values: Vec<Option<String>>,
}

/// Sessions that look up users by name, and read only. The plans Postgres makes of these queries
/// are held to the indexes: each batch is a small part of a large table, and no estimate should
/// ever make it read the whole.
pub fn reading(database: &Database, sessions: u32) -> PgPool {
    let settings = [
        ("default_transaction_read_only", "on"),
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
    ];
    database.with(&settings).pool(sessions)
}

/// The users whom these names name, in the order of the names; a name may name none, or several.
pub async fn named(
    connection: &mut PgConnection,
    by: &By,
    names: &[&str],
    slugs: &[&str],
) -> Result<Vec<Named>, sqlx::Error> {
    match by {
        By::UserId => {
            sqlx::query_file_as!(
                Named,
                "src/load/people/by_user_id.sql",
                names as &[&str],
                slugs as &[&str]
            )
            .fetch_all(connection)
            .await
        }
        By::Email => {
            sqlx::query_file_as!(
                Named,
                "src/load/people/by_email.sql",
                names as &[&str],
                slugs as &[&str]
            )
            .fetch_all(connection)
            .await
        }
        By::Username => {
            sqlx::query_file_as!(
                Named,
                "src/load/people/by_username.sql",
                names as &[&str],
                slugs as &[&str]
            )
            .fetch_all(connection)
            .await
        }
        By::ForeignKey(system) => {
            sqlx::query_file_as!(
                Named,
                "src/load/people/by_foreign_key.sql",
                names as &[&str],
                slugs as &[&str],
                system
            )
            .fetch_all(connection)
            .await
        }
    }
}

/// Whether the mirror holds any living user.
pub async fn any(executor: impl PgExecutor<'_>) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from users where _zephr_deleted_at is null) as "any!""#
    )
    .fetch_one(executor)
    .await
}

/// Whether the mirror knows any of these, living or not.
pub async fn any_of(executor: impl PgExecutor<'_>, ids: &[&str]) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from users where user_id = any($1)) as "any!""#,
        ids as &[&str],
    )
    .fetch_one(executor)
    .await
}

/// How many living users registered in a stretch of time, both ends included.
pub async fn registered_between(
    executor: impl PgExecutor<'_>,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "people!" from users where _zephr_deleted_at is null and registered_at between $1 and $2"#,
        from,
        until,
    )
    .fetch_one(executor)
    .await
}

/// How many living users there are.
pub async fn living(executor: impl PgExecutor<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "people!" from users where _zephr_deleted_at is null"#
    )
    .fetch_one(executor)
    .await
}
