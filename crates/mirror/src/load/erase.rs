//! A person taken out of every table, whatever its columns: the tables with a `user_id` are found
//! in the catalog, so those of list jobs are among them.

use record::By;
use std::collections::BTreeSet;

use futures::TryStreamExt;
use sqlx::{AssertSqlSafe, PgConnection};

/// A table of the schema for analysts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name, without the schema.
    pub name: String,
    /// Its name in SQL, quoted by Postgres.
    pub(super) sql: String,
    /// How its `user_id` compares with text; none where it has no such column.
    pub(super) user_id: Option<&'static str>,
}

/// A table that holds rows about users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its name, without the schema.
    pub name: String,
    sql: String,
    column: &'static str,
}

/// The tables of a schema; of a partitioned table the table and not its parts.
pub async fn tables(
    connection: &mut PgConnection,
    schema: &str,
) -> Result<Vec<Table>, sqlx::Error> {
    let found = sqlx::query!(
        r#"select c.relname::text as "name!", format('%I.%I', n.nspname, c.relname) as "sql!",
                  a.atttypid in ('text'::regtype, 'varchar'::regtype) as "is_text?"
           from pg_class c
           join pg_namespace n on n.oid = c.relnamespace
           left join pg_attribute a on a.attrelid = c.oid and a.attname = 'user_id' and a.attnum > 0 and not a.attisdropped
           where n.nspname = $1 and c.relkind in ('r', 'p') and not c.relispartition
           order by c.relname"#,
        schema,
    )
    .fetch_all(connection)
    .await?;
    let tables = found.into_iter().map(|table| Table {
        name: table.name,
        sql: table.sql,
        user_id: table
            .is_text
            .map(|is_text| if is_text { "user_id" } else { "user_id::text" }),
    });
    Ok(tables.collect())
}

/// Those of them with a column `user_id`.
pub async fn holders(
    connection: &mut PgConnection,
    schema: &str,
) -> Result<Vec<Holder>, sqlx::Error> {
    let tables = tables(connection, schema).await?.into_iter();
    let holders = tables.filter_map(|table| {
        Some(Holder {
            column: table.user_id?,
            name: table.name,
            sql: table.sql,
        })
    });
    Ok(holders.collect())
}

impl Holder {
    /// How many rows are about this user.
    pub async fn count(
        &self,
        connection: &mut PgConnection,
        user_id: &str,
    ) -> Result<i64, sqlx::Error> {
        // The name was quoted by Postgres.
        let sql = format!(
            "select count(*) from {} where {} = $1",
            self.sql, self.column
        );
        sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(user_id)
            .fetch_one(connection)
            .await
    }

    /// Who of those about whom there are rows is wanted.
    pub async fn wanted(
        &self,
        connection: &mut PgConnection,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<BTreeSet<String>, sqlx::Error> {
        let sql = format!(
            "select distinct user_id::text from {} where user_id is not null",
            self.sql
        );
        let mut about = sqlx::query_scalar(AssertSqlSafe(sql)).fetch(connection);
        let mut wanted = BTreeSet::new();
        while let Some(id) = about.try_next().await? {
            let id: String = id;
            if is_wanted(&id) {
                wanted.insert(id);
            }
        }
        Ok(wanted)
    }

    /// Removes them, for good.
    pub async fn remove(
        &self,
        connection: &mut PgConnection,
        user_id: &str,
    ) -> Result<i64, sqlx::Error> {
        let sql = format!("delete from {} where {} = $1", self.sql, self.column);
        let removed = sqlx::query(AssertSqlSafe(sql))
            .bind(user_id)
            .execute(connection)
            .await?;
        Ok(removed.rows_affected() as i64)
    }
}

/// The identifiers of the users whom these words name, deleted ones included. `hashed` is how they
/// would be stored where the column is hashed.
pub async fn named(
    connection: &mut PgConnection,
    by: &By,
    words: &str,
    hashed: Option<&str>,
) -> Result<Vec<String>, sqlx::Error> {
    match by {
        By::UserId => Ok(vec![words.to_owned()]),
        By::Email => {
            sqlx::query_scalar!(
                "select user_id from users where lower(email) = lower($1) or email = $2 order by user_id",
                words,
                hashed,
            )
            .fetch_all(connection)
            .await
        }
        By::Username => {
            sqlx::query_scalar!(
                "select user_id from users where username = $1 or username = $2 order by user_id",
                words,
                hashed,
            )
            .fetch_all(connection)
            .await
        }
        By::ForeignKey(system) => {
            sqlx::query_scalar!(
                "select distinct user_id from user_foreign_keys where system = $1 and key = $2 order by user_id",
                system,
                words,
            )
            .fetch_all(connection)
            .await
        }
    }
}

/// Whether the mirror holds this user as living.
pub async fn is_living(connection: &mut PgConnection, user_id: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from users where user_id = $1 and _zephr_deleted_at is null) as "living!""#,
        user_id,
    )
    .fetch_one(connection)
    .await
}
