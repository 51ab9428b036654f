//! Brings the pair of schemas up to date, and makes the role that may read.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::connect::{Database, Schemas};
use crate::attributes::{self, Refreshed};

static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// The oldest server that has what we use.
const OLDEST_SERVER: i32 = 140_000;

/// Why the schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused something.
    #[error("the database could not be brought up to date")]
    Database(#[from] sqlx::Error),
    /// The schema is newer than this binary.
    #[error(
        "the schema has migration {0}, which this version of zephr-sync does not know; use a newer version"
    )]
    Newer(i64),
    /// A migration that was applied reads differently now.
    #[error(
        "migration {0} was applied in another form than this version of zephr-sync has it; use the version that applied it or a released one"
    )]
    Altered(i64),
    /// The server is too old.
    #[error("Postgres {0} is too old; zephr-sync needs Postgres 14 or newer")]
    Server(String),
    /// Another failure of a migration.
    #[error("a migration failed")]
    Migration(#[source] MigrateError),
}

/// What was done.
#[derive(Debug, Default)]
pub struct Migrated {
    /// Versions applied now.
    pub applied: Vec<i64>,
    /// The version the schema has.
    pub version: i64,
    /// The view that follows the tenant's own schema.
    pub attributes: Refreshed,
    /// What somebody with more rights has to run for analysts to read; none when it is in place.
    pub role_sql: Option<String>,
}

/// Applies what is missing.
///
/// # Errors
/// See [`Error`]; nothing is half applied.
pub async fn run(database: &Database) -> Result<Migrated, Error> {
    let schemas = database.schemas();
    let mut connection = database.connect().await?;
    require_server(&mut connection).await?;
    for schema in [schemas.data(), schemas.state()] {
        create_schema(&mut connection, schema).await?;
    }
    for (setting, path) in [
        ("zephr_sync.data_path", schemas.data_path()),
        ("zephr_sync.state_path", schemas.state_path()),
    ] {
        sqlx::query("select set_config($1, $2, false)")
            .bind(setting)
            .bind(path)
            .execute(&mut connection)
            .await?;
    }
    let before = applied(&mut connection).await?;
    MIGRATOR
        .run(&mut connection)
        .await
        .map_err(|error| match error {
            MigrateError::VersionMissing(version) => Error::Newer(version),
            MigrateError::VersionMismatch(version) => Error::Altered(version),
            MigrateError::Execute(error) => Error::Database(error),
            other => Error::Migration(other),
        })?;
    let after = applied(&mut connection).await?;
    // It is there from the first migration on, whatever was read so far, and a version that builds it otherwise does so now.
    let mut transaction = connection.begin().await?;
    let attributes = attributes::refresh(&mut transaction).await?;
    transaction.commit().await?;
    let role_sql = grant(&mut connection, schemas).await?;
    connection.close().await?;
    Ok(Migrated {
        version: after.last().copied().unwrap_or(0),
        applied: after
            .into_iter()
            .filter(|version| !before.contains(version))
            .collect(),
        attributes,
        role_sql,
    })
}

/// The version of the schema that this binary brings about.
pub fn latest() -> i64 {
    MIGRATOR
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0)
}

/// Whether the schema is there and up to date, without changing anything.
///
/// # Errors
/// The schema is newer than this binary, or as sqlx.
pub async fn is_current(connection: &mut PgConnection) -> Result<bool, Error> {
    let applied = applied(connection).await?;
    if let Some(newer) = applied
        .iter()
        .find(|version| !MIGRATOR.version_exists(**version))
    {
        return Err(Error::Newer(*newer));
    }
    Ok(MIGRATOR
        .iter()
        .all(|migration| applied.contains(&migration.version)))
}

async fn applied(connection: &mut PgConnection) -> Result<Vec<i64>, sqlx::Error> {
    let exists: bool = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null")
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        return Ok(Vec::new());
    }
    sqlx::query_scalar("select version from _sqlx_migrations where success order by version")
        .fetch_all(connection)
        .await
}

async fn require_server(connection: &mut PgConnection) -> Result<(), Error> {
    let (number, shown): (i32, String) = sqlx::query_as(
        "select current_setting('server_version_num')::int4, current_setting('server_version')",
    )
    .fetch_one(connection)
    .await?;
    if number < OLDEST_SERVER {
        Err(Error::Server(shown))
    } else {
        Ok(())
    }
}

async fn create_schema(connection: &mut PgConnection, schema: &str) -> Result<(), sqlx::Error> {
    // Asked first: `if not exists` needs the right to create even when there is nothing to do.
    let exists: bool =
        sqlx::query_scalar("select exists (select from pg_namespace where nspname = $1)")
            .bind(schema)
            .fetch_one(&mut *connection)
            .await?;
    if !exists {
        // The name was checked by `Schemas::named`: letters, digits and underscores.
        let sql = format!(r#"create schema if not exists "{schema}""#);
        connection.execute(AssertSqlSafe(sql)).await?;
    }
    Ok(())
}

/// Lets the reader role read the schema for analysts, as far as we are permitted.
async fn grant(
    connection: &mut PgConnection,
    schemas: &Schemas,
) -> Result<Option<String>, sqlx::Error> {
    let (exists, may_create): (bool, bool) = sqlx::query_as(
        "select exists (select from pg_roles where rolname = $1),
                (select rolcreaterole or rolsuper from pg_roles where rolname = current_user)",
    )
    .bind(schemas.reader())
    .fetch_one(&mut *connection)
    .await?;
    let create = format!(r#"create role "{}" nologin;"#, schemas.reader());
    let grants = grants(schemas);
    if !exists {
        if !may_create {
            return Ok(Some(format!("{create}\n{grants}")));
        }
        if let Err(error) = connection.execute(AssertSqlSafe(create.clone())).await {
            // Another tenant's migration, or another daemon's, may have made it meanwhile.
            let duplicate = error
                .as_database_error()
                .and_then(|error| error.code())
                .is_some_and(|code| matches!(code.as_ref(), "42710" | "23505"));
            if !duplicate {
                return Ok(Some(format!("{create}\n{grants}")));
            }
        }
    }
    Ok(
        match connection.execute(AssertSqlSafe(grants.clone())).await {
            Ok(_) => None,
            Err(_) => Some(grants),
        },
    )
}

/// The SQL that lets the reader role read the schema for analysts and nothing else; `init` writes it to a file too.
pub fn grants(schemas: &Schemas) -> String {
    let (data, reader) = (schemas.data(), schemas.reader());
    format!(
        r#"grant usage on schema "{data}" to "{reader}";
grant select on all tables in schema "{data}" to "{reader}";
grant execute on all functions in schema "{data}" to "{reader}";
alter default privileges in schema "{data}" grant select on tables to "{reader}";"#
    )
}
