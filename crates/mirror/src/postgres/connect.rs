//! Connections to the mirror's database: search path, timeouts, pools.

use std::str::FromStr;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Postgres};

use super::sockets;
use crate::state::leases::LEASE;

/// The pair of schemas that a tenant owns: `news` for analysts and `news_sync` for bookkeeping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schemas {
    data: String,
    state: String,
}

/// A schema name that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` cannot be a schema: lower-case letters, digits and _, a letter first, at most 50 characters, not pg_…"
)]
pub struct SchemaError(String);

impl Schemas {
    /// The pair for this name.
    ///
    /// # Errors
    /// Names that would need quoting are refused: analysts type them.
    pub fn named(name: &str) -> Result<Self, SchemaError> {
        let fits = name.len() <= 50
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            && !name.starts_with("pg_");
        if !fits {
            return Err(SchemaError(name.into()));
        }
        Ok(Self {
            data: name.into(),
            state: format!("{name}_sync"),
        })
    }

    /// The schema for analysts.
    pub fn data(&self) -> &str {
        &self.data
    }

    /// The schema for bookkeeping.
    pub fn state(&self) -> &str {
        &self.state
    }

    /// The role that may read the schema for analysts.
    pub fn reader(&self) -> String {
        format!("{}_reader", self.data)
    }

    /// A search path that creates in the schema for analysts.
    pub fn data_path(&self) -> String {
        format!(r#""{}", "{}""#, self.data, self.state)
    }

    /// A search path that creates in the schema for bookkeeping.
    pub fn state_path(&self) -> String {
        format!(r#""{}", "{}""#, self.state, self.data)
    }
}

/// Waiting for a connection longer than this means that the server is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// A session that holds locks and says nothing for this long is ended by Postgres, so that a
/// stalled process cannot outlive its lease.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(LEASE.as_secs() / 2);

/// The database of the mirror.
#[derive(Clone)]
pub struct Database {
    options: PgConnectOptions,
    schemas: Schemas,
}

impl std::fmt::Debug for Database {
    /// Where it is; the options would show the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Database").field(&self.place()).finish()
    }
}

impl Database {
    /// From a URL as `DATABASE_URL` gives it.
    ///
    /// # Errors
    /// The URL cannot be read. The error does not show it: it holds a password.
    pub fn from_url(url: &SecretString, schemas: Schemas) -> Result<Self, UrlError> {
        let url = url.expose_secret();
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(UrlError);
        }
        let options = PgConnectOptions::from_str(url).map_err(|_| UrlError)?;
        Ok(Self::new(options, schemas))
    }

    /// From ready options, as the private cluster gives them.
    pub fn new(options: PgConnectOptions, schemas: Schemas) -> Self {
        let options = options
            .application_name("zephr-sync")
            // Statement texts in the log would drown it; values never appear there.
            .disable_statement_logging()
            .options([
                ("search_path", schemas.state_path()),
                ("timezone", "UTC".into()),
                // Notices such as "already exists, skipping" are for people at psql.
                ("client_min_messages", "warning".into()),
                (
                    "idle_in_transaction_session_timeout",
                    IDLE_IN_TRANSACTION.as_millis().to_string(),
                ),
                // A writer keeps its session while the API makes us wait, which may be for minutes.
                ("idle_session_timeout", "0".into()),
                // A process that was killed in the middle of a statement is noticed within this
                // many milliseconds, not at the statement's end.
                ("client_connection_check_interval", "500".into()),
            ]);
        Self { options, schemas }
    }

    /// The tenant's pair of schemas.
    pub fn schemas(&self) -> &Schemas {
        &self.schemas
    }

    /// Where it is, for people: host, port and database, without user and password.
    pub fn place(&self) -> String {
        let host = match self.options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", self.options.get_host(), self.options.get_port()),
        };
        format!(
            "{host}/{}",
            self.options.get_database().unwrap_or("(default)")
        )
    }

    /// One session of its own.
    pub async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let opens = sockets::opening(PgConnection::connect_with(&self.options));
        match tokio::time::timeout(CONNECT_TIMEOUT, opens).await {
            Ok(connected) => connected,
            Err(_) => Err(sqlx::Error::PoolTimedOut),
        }
    }

    /// The same, for sessions that begin with these settings of Postgres.
    pub fn with(&self, settings: &[(&str, &str)]) -> Self {
        Self {
            options: self.options.clone().options(settings.iter().copied()),
            ..self.clone()
        }
    }

    /// A pool of at most `size` sessions, opened as they are needed.
    pub fn pool(&self, size: u32) -> PgPool {
        PgPoolOptions::new()
            .max_connections(size)
            .acquire_timeout(CONNECT_TIMEOUT)
            .after_connect(|_, _| {
                sockets::send_at_once();
                Box::pin(std::future::ready(Ok(())))
            })
            .connect_lazy_with(self.options.clone())
    }

    /// A pool of `size` sessions that will all be needed soon: they are being opened while the
    /// caller goes on. (The pool's own least number of sessions is no help: it is also kept when
    /// Postgres is gone, for minutes, in which nobody else gets a word.)
    pub fn pool_at_once(&self, size: u32) -> PgPool {
        let pool = self.pool(size);
        for _ in 0..size {
            let pool = pool.clone();
            // What keeps it from opening, whoever needs it meets too.
            tokio::spawn(async move { drop(acquire(&pool).await) });
        }
        pool
    }
}

/// Takes a session from a pool, and opens it as [`Database::connect`] does if it has to be opened.
///
/// # Errors
/// As sqlx.
pub async fn acquire(pool: &PgPool) -> Result<PoolConnection<Postgres>, sqlx::Error> {
    sockets::opening(pool.acquire()).await
}

/// Questions of which the fastest answer tells how long one takes at least.
const PINGS: usize = 2;

/// How long an answer takes that costs Postgres nothing.
///
/// # Errors
/// As sqlx.
pub async fn round_trip(connection: &mut PgConnection) -> Result<Duration, sqlx::Error> {
    let mut fastest = Duration::MAX;
    for _ in 0..PINGS {
        let asked = Instant::now();
        connection.ping().await?;
        fastest = fastest.min(asked.elapsed());
    }
    Ok(fastest)
}

/// `DATABASE_URL` cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "DATABASE_URL is not a Postgres address; it should look like postgres://user:password@host:5432/database"
)]
pub struct UrlError;

/// Whether an error says that Postgres cannot be reached at present, so that waiting helps: no
/// network, no server, one that starts or stops, or too many others.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "not ours, and what is added to it is nothing to wait for until somebody has looked"
)]
pub fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(said) => said.code().is_some_and(|code| {
            // Connection exceptions but for what a pooler refuses, operator intervention, too many
            // connections.
            (code.starts_with("08") && code != "08P01")
                || code.starts_with("57P")
                || code == "53300"
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_name_makes_a_pair_and_needs_no_quotes() {
        let schemas = Schemas::named("news").unwrap();
        assert_eq!((schemas.data(), schemas.state()), ("news", "news_sync"));
        assert_eq!(schemas.reader(), "news_reader");
        for bad in [
            "",
            "News",
            "a-b",
            "1a",
            "pg_x",
            "a\"; drop",
            &"x".repeat(51),
        ] {
            assert!(Schemas::named(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bad_url_is_not_shown() {
        let error = Database::from_url(
            &"mysql://u:hidden@h/d".into(),
            Schemas::named("zephr").unwrap(),
        )
        .unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hidden"));
    }

    #[test]
    fn a_database_shows_its_place_and_not_its_password() {
        let url = "postgres://u:hidden@db.example:5433/mirror".into();
        let database = Database::from_url(&url, Schemas::named("zephr").unwrap()).unwrap();
        let shown = format!("{database:?}");
        assert!(
            shown.contains("db.example:5433/mirror") && !shown.contains("hidden"),
            "{shown}"
        );
    }
}
