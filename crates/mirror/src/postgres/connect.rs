//! Connections to the mirror's database, and pools of them.

use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Postgres};
use tokio::sync::OnceCell;

use super::session::{self, Settings};
use super::{reach, sessions, sockets};

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

/// The database of the mirror. Clones share what was found to stand before it.
#[derive(Clone)]
pub struct Database {
    options: PgConnectOptions,
    settings: Settings,
    schemas: Schemas,
    /// There once something was found to stand between, which gives each connection a session of
    /// its own.
    pooled: Arc<OnceCell<()>>,
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
            // Poolers refuse it in the startup packet; a session sets it.
            .extra_float_digits(None)
            // Statement texts in the log would drown it; values never appear there.
            .disable_statement_logging();
        Self {
            options,
            settings: Settings::on(&schemas),
            schemas,
            pooled: Arc::default(),
        }
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

    /// One session of its own, with what it depends on set.
    ///
    /// # Errors
    /// As sqlx, or sessions [are shared](sessions::are_shared).
    pub async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        match self.open(self.startup()).await {
            Ok(mut session) => {
                self.prepare(&mut session).await?;
                Ok(session)
            }
            Err(error) if sessions::is_refused(&error) && !self.pooled.initialized() => {
                self.know_the_pooler().await?;
                let mut session = self.open(self.startup()).await?;
                self.settings.set(&mut session).await?;
                Ok(session)
            }
            Err(error) => Err(error),
        }
    }

    /// The same, for sessions that begin with these settings of Postgres.
    pub fn with(&self, settings: &[(&str, &str)]) -> Self {
        Self {
            settings: self.settings.and(settings),
            ..self.clone()
        }
    }

    /// A pool of at most `size` sessions, opened as they are needed. Behind a pooler that refuses
    /// what it does not know, a [`connect`](Self::connect) has to come first.
    pub fn pool(&self, size: u32) -> PgPool {
        let database = self.clone();
        PgPoolOptions::new()
            .max_connections(size)
            .acquire_timeout(CONNECT_TIMEOUT)
            .after_connect(move |session, _| {
                sockets::send_at_once();
                let database = database.clone();
                Box::pin(async move { database.prepare(session).await })
            })
            .connect_lazy_with(self.startup())
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

    /// What the startup packet says: the sign that nothing stands between, as long as that may be.
    fn startup(&self) -> PgConnectOptions {
        let options = self.options.clone();
        if self.pooled.initialized() {
            options
        } else {
            options.options([(session::DIRECT, "on")])
        }
    }

    /// A session that sets nothing, since it may be anybody's.
    pub(super) async fn bare(&self) -> Result<PgConnection, sqlx::Error> {
        self.open(self.options.clone()).await
    }

    async fn open(&self, options: PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
        let opens = sockets::opening(PgConnection::connect_with(&options));
        match tokio::time::timeout(CONNECT_TIMEOUT, opens).await {
            Ok(connected) => connected.map_err(|error| reach::explained(error, &self.place())),
            Err(_) => Err(reach::silent(CONNECT_TIMEOUT, &self.place())),
        }
    }

    /// Sets what a session depends on, unless it may be anybody's.
    async fn prepare(&self, session: &mut PgConnection) -> Result<(), sqlx::Error> {
        if !self.pooled.initialized() {
            if self.settings.set_if_direct(session).await? {
                return Ok(());
            }
            self.know_the_pooler().await?;
        }
        self.settings.set(session).await
    }

    /// Something stands between: whether it gives each connection a session of its own.
    async fn know_the_pooler(&self) -> Result<(), sqlx::Error> {
        let compared = self.pooled.get_or_try_init(|| sessions::compare(self));
        compared.await.map(drop)
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
        sqlx::Error::Io(_) => reach::why(error).is_none_or(reach::Why::may_pass),
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => true,
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
