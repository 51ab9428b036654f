//! The mark that tables and bookkeeping carry of each other: whether one of the two was restored,
//! and whether a table is another one than the last run left.
//!
//! The mark itself is a random number in both schemas, renewed in one transaction at the beginning
//! and at the end of each run, so a schema from a backup has an older one. It is renewed only where
//! both are equal: what has happened stays to be seen until [`settle`] was told of it. A truncation
//! is noted by a trigger, since a truncated table that was filled again from a file looks like any
//! other; a table that was dropped and made again, or swapped, has another number. A table that is
//! only rewritten (`vacuum full`, `cluster`, `pg_repack`) keeps that number, and is believed.

use std::collections::BTreeSet;
use std::fmt;

use sqlx::{AssertSqlSafe, PgConnection, PgExecutor};

use record::table::quoted;

/// The tables that all jobs rest on; those that only a job file knows are their job's business.
const BUILT_IN: [&str; 17] = [
    "users",
    "users_history",
    "user_foreign_keys",
    "user_grants",
    "user_events",
    "user_schema",
    "user_segments",
    "segments",
    "accounts",
    "account_users",
    "account_grants",
    "companies",
    "products",
    "bundles",
    "entitlements",
    "meters",
    "credits",
];

/// Those whose rows may all be gone for a reason of ours: a retention, an erasure.
const MAY_BE_EMPTIED: [&str; 2] = ["users_history", "user_events"];

/// What tells that tables and bookkeeping do not belong together any more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sign {
    /// Tables and bookkeeping are of different times, or the tables have no mark.
    Restored,
    /// Somebody truncated this table.
    Truncated(String),
    /// This table is not there.
    Gone(String),
    /// This table is another one of the same name.
    Replaced(String),
    /// This table had rows, and has none.
    Emptied(String),
}

impl Sign {
    /// The table it is about; none where it is about all of them.
    pub fn table(&self) -> Option<&str> {
        match self {
            Self::Restored => None,
            Self::Truncated(table)
            | Self::Gone(table)
            | Self::Replaced(table)
            | Self::Emptied(table) => Some(table),
        }
    }
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restored => f.write_str(
                "the tables and their bookkeeping are of different times, so one of them was restored",
            ),
            Self::Truncated(table) => write!(f, "the table {table} was truncated"),
            Self::Gone(table) => write!(f, "the table {table} was dropped"),
            Self::Replaced(table) => {
                write!(f, "the table {table} is another one than the last run left")
            }
            Self::Emptied(table) => write!(f, "the table {table} had rows and is empty"),
        }
    }
}

/// Keeps the mark from being renewed until the transaction ends.
pub async fn hold(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    if is_marked(connection).await? {
        sqlx::query!("select from mirror_mark for update")
            .execute(connection)
            .await?;
    }
    Ok(())
}

async fn is_marked(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select to_regclass('mirror_mark') is not null as "is_marked!""#)
        .fetch_one(connection)
        .await
}

/// What is to be seen of the tables.
#[derive(Debug, Default)]
pub struct Seen {
    /// What tells that they are not as the last run left them.
    pub signs: BTreeSet<Sign>,
    /// Whether all of them were made again, with a mark that fits: the mirror was restored whole,
    /// on another server for example, and they are what they were.
    pub made_again: bool,
}

/// Looks whether the tables are as the last run left them: those of all jobs, and these of a job
/// file.
pub async fn look(connection: &mut PgConnection, own: &[String]) -> Result<Seen, sqlx::Error> {
    let mut signs = BTreeSet::new();
    let tables = with_own(own);
    let mark = match is_marked(connection).await? {
        true => sqlx::query!(
            r#"select m.mark = d.mark as "is_ours!", m.truncated from mirror_mark m, data_mark d"#
        )
        .fetch_optional(&mut *connection)
        .await?,
        false => None,
    };
    match mark {
        Some(mark) if mark.is_ours => {
            let truncated = mark.truncated.into_iter();
            let ours = truncated.filter(|table| tables.contains(&table.as_str()));
            signs.extend(ours.map(Sign::Truncated));
        }
        Some(_) | None => {
            signs.insert(Sign::Restored);
        }
    }
    let noted = sqlx::query!(
        "select table_name, table_oid = to_regclass(quote_ident(table_name))::oid as is_same, had_rows
         from table_marks where table_name = any($1)",
        &tables as &[&str],
    )
    .fetch_all(&mut *connection)
    .await?;
    let made_again = noted.len() > 1 && noted.iter().all(|noted| noted.is_same == Some(false));
    let mut filled = Vec::new();
    for noted in noted {
        let table = noted.table_name;
        match noted.is_same {
            None => {
                signs.insert(Sign::Gone(table));
                continue;
            }
            Some(false) if !made_again => {
                signs.insert(Sign::Replaced(table));
                continue;
            }
            Some(_) => {}
        }
        if noted.had_rows {
            filled.push(table);
        }
    }
    let filled: Vec<&str> = filled.iter().map(String::as_str).collect();
    let full = with_rows(connection, &filled).await?;
    let emptied = filled.into_iter().filter(|table| !full.contains(*table));
    signs.extend(emptied.map(|table| Sign::Emptied(table.to_owned())));
    Ok(Seen { signs, made_again })
}

/// The tables of all jobs, and these.
fn with_own(own: &[String]) -> Vec<&str> {
    let own = own.iter().map(String::as_str);
    BUILT_IN.iter().copied().chain(own).collect()
}

/// The months of events that are there, or were when a run last ended.
pub async fn months(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select name as "name!" from (
               select table_name from table_marks
               union
               select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid
               where i.inhparent = to_regclass('user_events')
           ) as known (name)
           where name ~ '^user_events_[0-9]{4}_[0-9]{2}$'
           order by name"#
    )
    .fetch_all(connection)
    .await
}

/// Forgets tables that were dropped on purpose.
pub async fn forget_dropped(
    connection: &mut PgConnection,
    tables: &[String],
) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from table_marks where table_name = any($1)", tables)
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets the numbers of all tables: they are noted anew at the end of a run.
pub async fn forget_tables(executor: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from table_marks")
        .execute(executor)
        .await?;
    Ok(())
}

/// Those of these tables that have a row.
async fn with_rows(
    connection: &mut PgConnection,
    tables: &[&str],
) -> Result<BTreeSet<String>, sqlx::Error> {
    if tables.is_empty() {
        return Ok(BTreeSet::new());
    }
    let each: Vec<String> = tables
        .iter()
        .map(|table| {
            let literal = table.replace('\'', "''");
            let name = quoted(table);
            format!("select '{literal}' where exists (select from {name})")
        })
        .collect();
    let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(each.join(" union all ")))
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().collect())
}

/// Whether the mirror holds anything at all.
pub async fn any_rows(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let noted = sqlx::query_scalar!(
        r#"select exists (select from table_marks where had_rows) as "noted!""#
    )
    .fetch_one(&mut *connection)
    .await?;
    if noted {
        return Ok(true);
    }
    let there = sqlx::query_scalar!(
        r#"select t.name as "name!" from unnest($1::text[]) as t (name) where to_regclass(quote_ident(t.name)) is not null"#,
        &BUILT_IN as &[&str],
    )
    .fetch_all(&mut *connection)
    .await?;
    let there: Vec<&str> = there.iter().map(String::as_str).collect();
    Ok(!with_rows(connection, &there).await?.is_empty())
}

/// Notes which of these tables, of which rows were removed on purpose, have none left: that is no
/// sign of anything.
pub async fn note_emptied(
    connection: &mut PgConnection,
    tables: &[&str],
) -> Result<(), sqlx::Error> {
    let tables = sqlx::query_scalar!(
        r#"select t.name as "name!" from unnest($1::text[]) as t (name) where to_regclass(quote_ident(t.name)) is not null"#,
        tables as &[&str],
    )
    .fetch_all(&mut *connection)
    .await?;
    let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
    let full = with_rows(connection, &tables).await?;
    let emptied: Vec<&str> = (tables.iter().copied())
        .filter(|table| !full.contains(*table))
        .collect();
    sqlx::query!(
        "update table_marks set had_rows = false where table_name = any($1)",
        &emptied as &[&str],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Gives the living rows of a table this hash, if it has hashes.
pub async fn take_hashes(
    connection: &mut PgConnection,
    table: &str,
    hash: &[u8],
) -> Result<(), sqlx::Error> {
    let is_hashed = sqlx::query_scalar!(
        r#"select count(*) = 2 as "is_hashed!" from pg_attribute
           where attrelid = to_regclass(quote_ident($1)) and attname in ('_zephr_hash', '_zephr_deleted_at') and not attisdropped"#,
        table,
    )
    .fetch_one(&mut *connection)
    .await?;
    if is_hashed {
        let name = quoted(table);
        let sql = format!("update {name} set _zephr_hash = $1 where _zephr_deleted_at is null");
        sqlx::query(AssertSqlSafe(sql))
            .bind(hash)
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Renews the mark on both sides, where they belong together. Last in a transaction: others wait
/// for it.
pub async fn renew(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with renewed as (
             update mirror_mark m set mark = gen_random_uuid() from data_mark d where d.mark = m.mark returning m.mark
         )
         update data_mark set mark = renewed.mark, marked_at = clock_timestamp() from renewed"
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes the tables that a run leaves behind, these of a job file among them. What is known of one
/// is not changed by it.
pub async fn note_tables(connection: &mut PgConnection, own: &[String]) -> Result<(), sqlx::Error> {
    let tables = with_own(own);
    let unknown = sqlx::query_scalar!(
        r#"select t.name as "name!" from unnest($1::text[]) as t (name) left join table_marks m on m.table_name = t.name
           where to_regclass(quote_ident(t.name)) is not null and (m.table_name is null or not m.had_rows)"#,
        &tables as &[&str],
    )
    .fetch_all(&mut *connection)
    .await?;
    if unknown.is_empty() {
        return Ok(());
    }
    let unknown: Vec<&str> = unknown.iter().map(String::as_str).collect();
    let full = with_rows(connection, &unknown).await?;
    let had_rows: Vec<bool> = unknown
        .iter()
        .map(|table| full.contains(*table) && !MAY_BE_EMPTIED.contains(table))
        .collect();
    sqlx::query!(
        "insert into table_marks as m (table_name, table_oid, had_rows)
         select t.name, to_regclass(quote_ident(t.name)), t.had_rows from unnest($1::text[], $2::bool[]) as t (name, had_rows)
         where to_regclass(quote_ident(t.name)) is not null
         on conflict (table_name) do update set had_rows = true where excluded.had_rows and m.table_oid = excluded.table_oid",
        &unknown as &[&str],
        &had_rows,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes what a schema from an older backup lacks, or a table that a job file has just made.
pub async fn make(executor: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
    sqlx::query_scalar!("select make_marks()")
        .fetch_one(executor)
        .await?;
    Ok(())
}

/// Tables and bookkeeping belong together again: what is about these tables is settled, or
/// everything is.
pub async fn settle(
    connection: &mut PgConnection,
    tables: Option<&[String]>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from table_marks where $1::text[] is null or table_name = any($1)",
        tables as Option<&[String]>,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update mirror_mark set truncated = case
             when $1::text[] is null then '{}'
             else array(select t.name from unnest(truncated) as t (name) where not t.name = any($1))
         end",
        tables as Option<&[String]>,
    )
    .execute(&mut *connection)
    .await?;
    if tables.is_none() {
        sqlx::query!(
            "with renewed as (update mirror_mark set mark = gen_random_uuid() returning mark)
             insert into data_mark (mark) select mark from renewed
             on conflict (only_one) do update set mark = excluded.mark, marked_at = clock_timestamp()"
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// The erasures that either side knows are known to both from now on: a restore takes them from one
/// of them at most.
pub async fn share_erasures(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into erasures (keyed_hash, erased_by, reason, removed)
         select e.hash, 'zephr-sync', 'known from before the bookkeeping was restored', '{}' from mirror_mark m, unnest(m.erased) as e (hash)
         on conflict do nothing"
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("update mirror_mark set erased = array(select keyed_hash from erasures)")
        .execute(connection)
        .await?;
    Ok(())
}
