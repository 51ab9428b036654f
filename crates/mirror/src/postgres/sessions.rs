//! Whether what we connect to gives each connection a session of its own. Leases live in sessions;
//! behind a pooler that hands sessions from transaction to transaction a lease would be anybody's,
//! and what a session sets for itself would be set for strangers.

use sqlx::{Connection, Executor, PgConnection, Row};

use super::connect::Database;

/// What a pooler says to a setting in the startup packet that it does not take:
/// `protocol_violation`, `feature_not_supported`.
const REFUSALS: [&str; 2] = ["08P01", "0A000"];

/// Idle sessions that a pool is likely to have when we come: few, or none.
const TRIES: usize = 3;

/// What to do about it.
pub const REMEDY: &str = "zephr-sync needs sessions: leases live in them. Let DATABASE_URL name Postgres itself, or a pooler in session mode.";

/// The same session answers for two connections.
#[derive(Debug, thiserror::Error)]
#[error(
    "a connection pooler in transaction mode stands before Postgres: two of our connections were given the same session"
)]
struct Shared;

/// Whether an error says that sessions are shared.
pub fn are_shared(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Configuration(why) if why.is::<Shared>())
}

/// Whether an error says that something before Postgres does not take what we sent with the startup.
pub(super) fn is_refused(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|said| said.code());
    code.is_some_and(|code| REFUSALS.contains(&code.as_ref()))
}

/// Looks whether a second connection, in the middle of a transaction, has the session that the
/// first had just before, or drives it to another one. Poolers give out the session that was used
/// last, or the one that was not used for longest; either shows after as many tries as a pool has
/// idle sessions. Nothing is set: these sessions may be anybody's.
///
/// # Errors
/// They [are shared](are_shared), or as sqlx.
pub(super) async fn compare(database: &Database) -> Result<(), sqlx::Error> {
    let mut first = database.bare().await?;
    let before = backend(&mut first).await?;
    let mut others = Vec::new();
    for _ in 0..TRIES {
        let mut other = database.bare().await?;
        // In the words of the protocol without prepared statements: poolers trip over those before
        // anything can be seen.
        other.execute("begin").await?;
        if backend(&mut other).await? == before {
            return Err(sqlx::Error::Configuration(Box::new(Shared)));
        }
        others.push(other);
        if backend(&mut first).await? != before {
            return Err(sqlx::Error::Configuration(Box::new(Shared)));
        }
    }
    for mut other in others {
        other.execute("rollback").await?;
        other.close().await?;
    }
    first.close().await
}

/// The session that answers.
async fn backend(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let row = connection.fetch_one("select pg_backend_pid()").await?;
    row.try_get(0)
}
