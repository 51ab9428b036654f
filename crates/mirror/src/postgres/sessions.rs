//! Whether what we connect to gives each connection a session of its own. Leases name their
//! holder's session, and a session that is gone sets them free; behind a pooler that hands sessions
//! from transaction to transaction both would be about anybody's.

use sqlx::{Connection, Executor, PgConnection, Row};

use super::connect::Database;

/// What Postgres, or a pooler, says to a setting in the startup packet that it does not take
/// (`protocol_violation`).
const PROTOCOL_VIOLATION: &str = "08P01";

/// Idle sessions that a pool is likely to have when we come: few, or none.
const TRIES: usize = 3;

/// Why sessions cannot be relied on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The same session answers for two connections.
    #[error(
        "a connection pooler in transaction mode stands before Postgres: two of our connections were given the same session"
    )]
    Shared,
    /// Our settings of a session are refused, as poolers do.
    #[error("what answers at DATABASE_URL does not take settings of a session: {0}")]
    Refused(String),
    /// Postgres itself.
    #[error(transparent)]
    Database(sqlx::Error),
}

impl Error {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Shared | Self::Refused(_) => {
                "zephr-sync needs sessions: leases live in them. Let DATABASE_URL name Postgres itself, not its pooler."
            }
            Self::Database(_) => "Check that Postgres runs and can be reached.",
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error() {
            Some(said) if said.code().as_deref() == Some(PROTOCOL_VIOLATION) => {
                Self::Refused(said.message().to_owned())
            }
            Some(_) | None => Self::Database(error),
        }
    }
}

/// Looks whether a second connection, in the middle of a transaction, has the session that the
/// first had just before, or drives it to another one. Poolers give out the session that was used
/// last, or the one that was not used for longest; either shows after as many tries as a pool has
/// idle sessions.
///
/// # Errors
/// They cannot be relied on, or Postgres cannot be reached.
pub async fn are_ours(database: &Database) -> Result<(), Error> {
    let mut first = database.connect().await?;
    let before = backend(&mut first).await?;
    // In the words of the protocol without prepared statements: poolers trip over those before
    // anything can be seen.
    let mut others = Vec::new();
    for _ in 0..TRIES {
        let mut other = database.connect().await?;
        other.execute("begin").await?;
        if backend(&mut other).await? == before {
            return Err(Error::Shared);
        }
        others.push(other);
        if backend(&mut first).await? != before {
            return Err(Error::Shared);
        }
    }
    for mut other in others {
        other.execute("rollback").await?;
        other.close().await?;
    }
    first.close().await?;
    Ok(())
}

/// The session that answers.
async fn backend(connection: &mut PgConnection) -> Result<i32, Error> {
    let row = connection.fetch_one("select pg_backend_pid()").await?;
    Ok(row.try_get(0)?)
}
