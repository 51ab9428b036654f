//! Rows of any described table: merged, marked as gone, asked about. Which columns there are is
//! known at run time only, so this SQL is made here and not checked when it is compiled; names are
//! quoted, and all values are bound.
//!
//! One run at a time writes a table (its lease says so), so rows are merged in one statement: those
//! that are equal and alive are left alone.

use std::collections::HashMap;
use std::fmt::Write;

use chrono::{DateTime, Utc};
use sqlx::{Acquire, AssertSqlSafe, PgConnection, Row as _};
use uuid::Uuid;

use super::merge::{self, Failure, Merged};
use record::table::{Row, Table, quoted};

/// The key's columns, quoted.
fn key_list(table: &Table) -> String {
    let names: Vec<String> = table
        .key
        .iter()
        .map(|column| quoted(&column.name))
        .collect();
    names.join(", ")
}

/// Upserts rows that are new or different. Either all are merged or, on a failure, none: the
/// transaction goes on from before the call.
///
/// # Errors
/// [`Failure::Unstorable`] asks the caller to try with fewer rows until the one is found that
/// cannot be stored.
pub async fn merge(
    connection: &mut PgConnection,
    table: &Table,
    run_id: Uuid,
    answered_at: Option<DateTime<Utc>>,
    rows: &[&Row],
) -> Result<Merged, Failure> {
    let merged = async {
        let mut savepoint = connection.begin().await?;
        let merged = upsert(&mut savepoint, table, run_id, answered_at, rows).await?;
        savepoint.commit().await?;
        Ok(merged)
    };
    merged.await.map_err(merge::failure)
}

/// As [`merge`], without going back where Postgres cannot hold a value.
pub(super) async fn upsert(
    connection: &mut PgConnection,
    table: &Table,
    run_id: Uuid,
    answered_at: Option<DateTime<Utc>>,
    rows: &[&Row],
) -> Result<Merged, sqlx::Error> {
    let sql = upsert_sql(table);
    let mut query = sqlx::query(AssertSqlSafe(sql))
        .bind(run_id)
        .bind(answered_at);
    for position in 0..table.key.len() {
        query = query.bind(column(rows, |row| {
            row.key.get(position).map(String::as_str)
        }));
    }
    for position in 0..table.columns.len() {
        query = query.bind(column(rows, |row| row.cells.get(position)?.as_deref()));
    }
    let issues: Vec<Option<String>> = rows
        .iter()
        .map(|row| (!row.issues.is_empty()).then(|| serde_json::json!(row.issues).to_string()))
        .collect();
    let hashes: Vec<&[u8]> = rows.iter().map(|row| row.hash.as_slice()).collect();
    let written = query
        .bind(column(rows, |row| Some(row.extra.as_str())))
        .bind(hashes)
        .bind(issues)
        .fetch_one(connection)
        .await?;
    let (inserted, updated): (i64, i64) = (written.try_get(0)?, written.try_get(1)?);
    Ok(Merged {
        inserted,
        updated,
        unchanged: rows.len() as i64 - inserted - updated,
    })
}

fn column<'r>(
    rows: &[&'r Row],
    value: impl Fn(&'r Row) -> Option<&'r str>,
) -> Vec<Option<&'r str>> {
    rows.iter().map(|row| value(row)).collect()
}

/// `$1` is the run, `$2` the time of the answer; then a list per column, and those of extra, hash
/// and issues.
fn upsert_sql(table: &Table) -> String {
    let mut names = Vec::new();
    let mut values = Vec::new();
    let mut lists = Vec::new();
    for column in table.all_columns() {
        let name = quoted(&column.name);
        lists.push("text[]");
        values.push(format!("i.{name}::{}", column.kind.sql()));
        names.push(name);
    }
    let numbered: Vec<String> = lists
        .iter()
        .chain(&["text[]", "bytea[]", "text[]"])
        .zip(3..)
        .map(|(list, number)| format!("${number}::{list}"))
        .collect();
    let (columns, values, key) = (names.join(", "), values.join(", "), key_list(table));
    let mut changes = String::new();
    for name in names.iter().skip(table.key.len()) {
        let _ = write!(changes, "{name} = excluded.{name}, ");
    }
    let name = quoted(&table.name);
    // Whether a row was there is told by xmax: it is the transaction that locked the row that was
    // updated, and zero for a new one.
    format!(
        "with merged as (
            insert into {name} as t ({columns}, extra,
                _zephr_run_id, _zephr_first_seen_at, _zephr_loaded_at, _zephr_extracted_at, _zephr_hash, _zephr_issues)
            select {values}, i.extra::jsonb, $1, now(), now(), coalesce($2, now()), i.hash, i.issues::jsonb
            from unnest({lists}) as i ({columns}, extra, hash, issues)
            on conflict ({key}) do update set {changes}extra = excluded.extra,
                _zephr_run_id = excluded._zephr_run_id, _zephr_loaded_at = excluded._zephr_loaded_at,
                _zephr_extracted_at = excluded._zephr_extracted_at, _zephr_deleted_at = null,
                _zephr_hash = excluded._zephr_hash, _zephr_issues = excluded._zephr_issues
            where t._zephr_hash <> excluded._zephr_hash or t._zephr_deleted_at is not null
            returning t.xmax = 0 as is_new
        )
        select count(*) filter (where is_new), count(*) filter (where not is_new) from merged",
        lists = numbered.join(", "),
    )
}

/// Living rows.
pub async fn count_living(
    connection: &mut PgConnection,
    table: &Table,
) -> Result<i64, sqlx::Error> {
    let sql = format!(
        "select count(*) from {} where _zephr_deleted_at is null",
        quoted(&table.name)
    );
    sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(connection)
        .await
}

/// The keys of living rows after a key already seen, in order, of a table whose key is one column.
pub async fn living_after(
    connection: &mut PgConnection,
    table: &Table,
    after: &str,
    limit: i64,
) -> Result<Vec<String>, sqlx::Error> {
    let (name, key) = (quoted(&table.name), key_list(table));
    let sql = format!(
        "select {key} from {name} where _zephr_deleted_at is null and {key} > $1 order by {key} limit $2"
    );
    sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(after)
        .bind(limit)
        .fetch_all(connection)
        .await
}

/// How the mirror knows some keys: the hash of each row that is there; a tombstone has none, and so
/// equals nothing.
pub type Known = HashMap<Vec<String>, Option<Vec<u8>>>;

/// The rows with these keys.
pub async fn known(
    connection: &mut PgConnection,
    table: &Table,
    keys: &[&[String]],
) -> Result<Known, sqlx::Error> {
    let (lists, equal) = matched(table, 1);
    let sql = format!(
        "select array[{t_key}]::text[], case when t._zephr_deleted_at is null then t._zephr_hash end
         from {name} t join unnest({lists}) as i ({key}) on {equal}",
        t_key = prefixed(table, "t"),
        name = quoted(&table.name),
        key = key_list(table),
    );
    let mut query = sqlx::query_as(AssertSqlSafe(sql));
    for position in 0..table.key.len() {
        query = query.bind(key_column(keys, position));
    }
    let rows: Vec<(Vec<String>, Option<Vec<u8>>)> = query.fetch_all(connection).await?;
    Ok(rows.into_iter().collect())
}

/// The keys of living rows below some parents.
pub async fn living_below(
    connection: &mut PgConnection,
    table: &Table,
    parent_key: &str,
    parents: &[&str],
) -> Result<Vec<Vec<String>>, sqlx::Error> {
    let sql = format!(
        "select array[{}]::text[] from {} t where t.{} = any($1) and t._zephr_deleted_at is null",
        prefixed(table, "t"),
        quoted(&table.name),
        quoted(parent_key),
    );
    sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(parents)
        .fetch_all(connection)
        .await
}

fn prefixed(table: &Table, alias: &str) -> String {
    let names: Vec<String> = table
        .key
        .iter()
        .map(|column| format!("{alias}.{}", quoted(&column.name)))
        .collect();
    names.join(", ")
}

/// The lists of a key's columns as parameters from this number on, and the condition under which
/// they are a row's key.
fn matched(table: &Table, from: usize) -> (String, String) {
    let (mut lists, mut equal) = (Vec::new(), Vec::new());
    for (column, number) in table.key.iter().zip(from..) {
        let name = quoted(&column.name);
        lists.push(format!("${number}::text[]"));
        equal.push(format!("t.{name} = i.{name}"));
    }
    (lists.join(", "), equal.join(" and "))
}

fn key_column<'k>(keys: &[&'k [String]], position: usize) -> Vec<Option<&'k str>> {
    keys.iter()
        .map(|key| key.get(position).map(String::as_str))
        .collect()
}

/// Marks rows as gone; answers how many were alive until now.
pub async fn tombstone(
    connection: &mut PgConnection,
    table: &Table,
    run_id: Uuid,
    keys: &[Vec<String>],
) -> Result<i64, sqlx::Error> {
    if keys.is_empty() {
        return Ok(0);
    }
    let (lists, equal) = matched(table, 2);
    let sql = format!(
        "update {name} t set _zephr_deleted_at = now(), _zephr_loaded_at = now(), _zephr_run_id = $1
         from unnest({lists}) as i ({key}) where {equal} and t._zephr_deleted_at is null",
        name = quoted(&table.name),
        key = key_list(table),
    );
    let keys: Vec<&[String]> = keys.iter().map(Vec::as_slice).collect();
    let mut query = sqlx::query(AssertSqlSafe(sql)).bind(run_id);
    for position in 0..table.key.len() {
        query = query.bind(key_column(&keys, position));
    }
    Ok(query.execute(connection).await?.rows_affected() as i64)
}

/// Marks what is below parents that are gone as gone with them.
pub async fn tombstone_orphans(
    connection: &mut PgConnection,
    table: &Table,
    parents: &str,
    parent_key: &str,
    run_id: Uuid,
) -> Result<i64, sqlx::Error> {
    let sql = format!(
        "update {} t set _zephr_deleted_at = now(), _zephr_loaded_at = now(), _zephr_run_id = $1
         from {} p where p.{key} = t.{key} and p._zephr_deleted_at is not null and t._zephr_deleted_at is null",
        quoted(&table.name),
        quoted(parents),
        key = quoted(parent_key),
    );
    let done = sqlx::query(AssertSqlSafe(sql))
        .bind(run_id)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() as i64)
}
