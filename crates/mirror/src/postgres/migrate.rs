//! Brings the pair of schemas up to date, and makes the role that may read.

use std::sync::LazyLock;

use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::connect::Schemas;
use super::ddl::{self, Attempt, Held};
use super::server::{self, RequireError};
use crate::attributes::{self, Refreshed};

/// It takes no lock of its own: that would be waited for as shortly as the tables.
static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sqlx::migrate!("../../migrations");
    migrator.set_locking(false);
    migrator
});

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
    /// No mirror can be in this database.
    #[error(transparent)]
    Server(#[from] server::Unfit),
    /// Others hold what is to be changed.
    #[error(
        "a migration has to change a table that is held by {0}, and waits for nobody longer than a moment; run `zephr-sync migrate` again when that transaction has ended"
    )]
    Held(Held),
    /// Another failure of a migration.
    #[error("a migration failed")]
    Migration(#[source] MigrateError),
}

impl From<RequireError> for Error {
    fn from(error: RequireError) -> Self {
        match error {
            RequireError::Unfit(unfit) => Self::Server(unfit),
            RequireError::Database(error) => Self::Database(error),
        }
    }
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

/// Applies what is missing, through a session of a [`Database`](super::connect::Database) with
/// these schemas.
///
/// # Errors
/// See [`Error`]; nothing is half applied.
pub async fn run(connection: &mut PgConnection, schemas: &Schemas) -> Result<Migrated, Error> {
    server::require(connection).await?;
    let before = applied(connection).await?;
    // Every command begins here, and asking for each thing on its own takes longer than a small
    // run.
    let after = if is_as_built(&before) {
        before.clone()
    } else {
        migrate(connection, schemas).await?;
        applied(connection).await?
    };
    // It is there from the first migration on, whatever was read so far, and a version that builds
    // it otherwise does so now.
    let mut transaction = connection.begin().await?;
    let attributes = attributes::refresh(&mut transaction).await?;
    transaction.commit().await?;
    let role_sql = grant(connection, schemas).await?;
    Ok(Migrated {
        version: after.last().map_or(0, |last| last.version),
        applied: after
            .iter()
            .filter(|migration| !before.contains(migration))
            .map(|migration| migration.version)
            .collect(),
        attributes,
        role_sql,
    })
}

async fn migrate(connection: &mut PgConnection, schemas: &Schemas) -> Result<(), Error> {
    for schema in [schemas.data(), schemas.state()] {
        create_schema(connection, schema).await?;
    }
    for (setting, path) in [
        ("zephr_sync.data_path", schemas.data_path()),
        ("zephr_sync.state_path", schemas.state_path()),
    ] {
        sqlx::query("select set_config($1, $2, false)")
            .bind(setting)
            .bind(path)
            .execute(&mut *connection)
            .await?;
    }
    // Whoever migrates the same database is waited for, and nobody waits for a migration longer
    // than a moment. Those that came through stay.
    connection.lock().await.map_err(refused)?;
    let migrated = ddl::patiently(async || attempt(connection, schemas).await).await;
    connection.unlock().await.map_err(refused)?;
    match migrated? {
        Attempt::Done(()) => Ok(()),
        Attempt::Held(held) => Err(Error::Held(held)),
    }
}

async fn attempt(connection: &mut PgConnection, schemas: &Schemas) -> Result<Attempt<()>, Error> {
    let migrated = ddl::briefly(connection, async |connection| {
        MIGRATOR.run_direct(None, connection, false).await
    });
    match migrated.await? {
        Ok(()) => Ok(Attempt::Done(())),
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _))
            if ddl::is_held(&error) =>
        {
            let tables: Vec<String> = sqlx::query_scalar(
                "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = any($1)",
            )
            .bind([schemas.data(), schemas.state()])
            .fetch_all(&mut *connection)
            .await?;
            let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
            Ok(Attempt::Held(ddl::holders(connection, &tables).await?))
        }
        Err(error) => Err(refused(error)),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "not ours; what has no meaning of its own here is shown as it is"
)]
fn refused(error: MigrateError) -> Error {
    match error {
        MigrateError::VersionMissing(version) => Error::Newer(version),
        MigrateError::VersionMismatch(version) => Error::Altered(version),
        MigrateError::Execute(error) => Error::Database(error),
        other => Error::Migration(other),
    }
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
        .find(|migration| !MIGRATOR.version_exists(migration.version))
    {
        return Err(Error::Newer(newer.version));
    }
    Ok(MIGRATOR.iter().all(|built_in| {
        applied
            .iter()
            .any(|migration| migration.success && migration.version == built_in.version)
    }))
}

/// A migration that was applied, as sqlx writes it down.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
struct Applied {
    version: i64,
    checksum: Vec<u8>,
    success: bool,
}

/// Whether these are the migrations of this binary, all of them, as it has them, and no others.
fn is_as_built(applied: &[Applied]) -> bool {
    let built_in = MIGRATOR.iter().map(|migration| Applied {
        version: migration.version,
        checksum: migration.checksum.to_vec(),
        success: true,
    });
    built_in.eq(applied.iter().cloned())
}

async fn applied(connection: &mut PgConnection) -> Result<Vec<Applied>, sqlx::Error> {
    let exists: bool = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null")
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        return Ok(Vec::new());
    }
    sqlx::query_as("select version, checksum, success from _sqlx_migrations order by version")
        .fetch_all(connection)
        .await
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

/// Whether a role ($1) exists, whether we may make it, and whether it may read everything in a
/// schema ($2), what will be made there included. Postgres would ask for the rights to each
/// function there is before it looks in which schema it is.
const GRANTED: &str = "
    select r.oid is not null,
           (select rolcreaterole or rolsuper from pg_roles where rolname = current_user),
           coalesce(
               has_schema_privilege(r.oid, n.oid, 'usage')
               and not exists (
                   select from pg_class c
                   where case when c.relnamespace = n.oid and c.relkind in ('r', 'p', 'v', 'm', 'f') then not has_table_privilege(r.oid, c.oid, 'select') end
               )
               and not exists (
                   select from pg_proc p where case when p.pronamespace = n.oid then not has_function_privilege(r.oid, p.oid, 'execute') end
               )
               and exists (
                   select from pg_default_acl d join pg_roles o on o.oid = d.defaclrole, aclexplode(d.defaclacl) a
                   where d.defaclnamespace = n.oid and d.defaclobjtype = 'r' and o.rolname = current_user
                     and a.grantee = r.oid and a.privilege_type = 'SELECT'
               ),
               false
           )
    from pg_namespace n left join pg_roles r on r.rolname = $1
    where n.nspname = $2";

/// Lets the reader role read the schema for analysts, as far as we are permitted.
async fn grant(
    connection: &mut PgConnection,
    schemas: &Schemas,
) -> Result<Option<String>, sqlx::Error> {
    // Asked first: to grant what is granted writes all of it anew, and makes every session of the
    // server forget what it knew of these tables.
    let (exists, may_create, granted): (bool, bool, bool) = sqlx::query_as(GRANTED)
        .bind(schemas.reader())
        .bind(schemas.data())
        .fetch_one(&mut *connection)
        .await?;
    if granted {
        return Ok(None);
    }
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

/// The SQL that lets the reader role read the schema for analysts and nothing else; `init` writes
/// it to a file too.
pub fn grants(schemas: &Schemas) -> String {
    let (data, reader) = (schemas.data(), schemas.reader());
    format!(
        r#"grant usage on schema "{data}" to "{reader}";
grant select on all tables in schema "{data}" to "{reader}";
grant execute on all functions in schema "{data}" to "{reader}";
alter default privileges in schema "{data}" grant select on tables to "{reader}";"#
    )
}
