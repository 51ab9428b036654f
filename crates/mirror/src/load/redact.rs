//! Stored rows rewritten for new privacy settings, so that no row waits for the day on which it is
//! read again, and none of the past keeps what may not be kept.
//!
//! A rewritten row gets a hash that equals nothing: the one it had covers what was taken out, and
//! with the rest of the row at hand a short value could be guessed from it.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, PgConnection};

use record::{Mirrored, User};

/// Which of the two tables of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// The present ones, in `users`.
    Present,
    /// The superseded ones, in `users_history`.
    Past,
}

/// A stored version of a user, and since when it was one.
pub type Version = (Mirrored, DateTime<Utc>);

/// Versions after one already seen, in the order of their keys.
pub async fn versions(
    connection: &mut PgConnection,
    of: Versions,
    after: Option<(&str, DateTime<Utc>)>,
    limit: i64,
) -> Result<Vec<Version>, sqlx::Error> {
    let (id, from) = after.unzip();
    let id = id.unwrap_or_default();
    macro_rules! versions {
        ($file:literal, $($argument:expr),*) => {
            sqlx::query_file!($file, $($argument),*)
                .fetch_all(connection)
                .await?
                .into_iter()
                .map(|row| {
                    let mirrored = Mirrored {
                        user_id: row.user_id,
                        email: row.email,
                        username: row.username,
                        email_verified: row.email_verified,
                        tracking_id: row.tracking_id,
                        registered_at: row.registered_at,
                        registration_tenant: row.registration_tenant,
                        attributes: row.attributes,
                        extra: row.extra,
                        issues: vec![],
                    };
                    (mirrored, row.valid_from)
                })
                .collect()
        };
    }
    Ok(match of {
        Versions::Present => versions!("src/load/redact/users.sql", id, limit),
        Versions::Past => versions!("src/load/redact/users_history.sql", id, from, limit),
    })
}

/// Writes what is left of versions.
pub async fn rewrite(
    connection: &mut PgConnection,
    of: Versions,
    rows: &[(User, DateTime<Utc>)],
) -> Result<(), sqlx::Error> {
    fn column<'r, T>(rows: &'r [(User, DateTime<Utc>)], value: impl Fn(&'r User) -> T) -> Vec<T> {
        rows.iter().map(|(user, _)| value(user)).collect()
    }
    let from: Vec<DateTime<Utc>> = rows.iter().map(|(_, from)| *from).collect();
    macro_rules! rewrite {
        ($file:literal $(, $more:expr)?) => {
            sqlx::query_file!(
                $file,
                &column(rows, |user| user.user_id.as_str()) as &[&str],
                &column(rows, |user| user.email.as_deref()) as &[Option<&str>],
                &column(rows, |user| user.username.as_deref()) as &[Option<&str>],
                &column(rows, |user| user.email_verified) as &[Option<bool>],
                &column(rows, |user| user.tracking_id.as_deref()) as &[Option<&str>],
                &column(rows, |user| user.registration_tenant.as_deref()) as &[Option<&str>],
                &column(rows, |user| user.attributes.as_deref()) as &[Option<&str>],
                &column(rows, |user| user.extra.as_str()) as &[&str],
                $($more)?
            )
            .execute(connection)
            .await?
        };
    }
    match of {
        Versions::Present => rewrite!("src/load/redact/rewrite_users.sql"),
        Versions::Past => rewrite!("src/load/redact/rewrite_users_history.sql", &from),
    };
    Ok(())
}

/// A column of another table, or a part of its JSON.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The schema of the table.
    pub schema: &'a str,
    /// The table.
    pub table: &'a str,
    /// The column.
    pub column: &'a str,
    /// Names from the outside in; empty for the column itself.
    pub inside: &'a [String],
}

impl Place<'_> {
    /// The table and the column as SQL has them; none where there is no such column, as before a
    /// job has made its table.
    async fn quoted(
        self,
        connection: &mut PgConnection,
    ) -> Result<Option<(String, String)>, sqlx::Error> {
        let found = sqlx::query!(
            r#"select format('%I.%I', n.nspname, c.relname) as "table!", quote_ident(a.attname) as "column!"
               from pg_class c
               join pg_namespace n on n.oid = c.relnamespace
               join pg_attribute a on a.attrelid = c.oid and a.attname = $3 and a.attnum > 0 and not a.attisdropped
               where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p')"#,
            self.schema,
            self.table,
            self.column,
        )
        .fetch_optional(connection)
        .await?;
        Ok(found.map(|found| (found.table, found.column)))
    }

    /// Takes the values out.
    pub async fn drop_values(self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let Some((table, column)) = self.quoted(&mut *connection).await? else {
            return Ok(());
        };
        let (left, concerned) = if self.inside.is_empty() {
            (
                "null".to_owned(),
                format!("{column} is not null and cardinality($1::text[]) = 0"),
            )
        } else {
            (
                format!("{column} #- $1"),
                format!("{column} #> $1 is not null"),
            )
        };
        // The names were quoted by Postgres.
        let sql = format!("update {table} set {column} = {left}, {NO_HASH} where {concerned}");
        sqlx::query(AssertSqlSafe(sql))
            .bind(self.inside)
            .execute(connection)
            .await?;
        Ok(())
    }

    /// Puts hashes in the place of the values; none takes a value out.
    pub async fn hash_values(
        self,
        connection: &mut PgConnection,
        hash: impl Fn(&str) -> Option<String>,
    ) -> Result<(), sqlx::Error> {
        let Some((table, column)) = self.quoted(&mut *connection).await? else {
            return Ok(());
        };
        let value = if self.inside.is_empty() {
            format!("{column}::text")
        } else {
            format!("({column} #> $1)::text")
        };
        let sql = format!(
            "select distinct {value} from {table} where {value} is not null and cardinality($1::text[]) >= 0"
        );
        let values: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(self.inside)
            .fetch_all(&mut *connection)
            .await?;
        let hashes: HashMap<&str, Option<String>> = values
            .iter()
            .map(|value| (value.as_str(), hash(value)))
            .collect();
        let (old, new): (Vec<&str>, Vec<Option<String>>) = hashes.into_iter().unzip();
        let set = if self.inside.is_empty() {
            "i.new".to_owned()
        } else {
            format!("jsonb_set({column}, $1, coalesce(to_jsonb(i.new), 'null'))")
        };
        let sql = format!(
            "update {table} set {column} = {set}, {NO_HASH} from unnest($2::text[], $3::text[]) as i (old, new)
             where {value} = i.old and cardinality($1::text[]) >= 0"
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(self.inside)
            .bind(&old)
            .bind(&new)
            .execute(connection)
            .await?;
        Ok(())
    }
}

/// A hash that equals nothing.
const NO_HASH: &str = "_zephr_hash = decode(replace(gen_random_uuid()::text, '-', ''), 'hex')";
