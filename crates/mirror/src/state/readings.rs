//! What is read of records because a setting asks for it, and what no longer is.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;
use uuid::Uuid;

/// A part of the records of a table, as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(
    missing_docs,
    reason = "each is the column of that name, and the columns carry comments"
)]
pub struct Part {
    pub table_name: String,
    pub part: String,
    pub is_read: bool,
    pub since: DateTime<Utc>,
    pub whole_at: Option<DateTime<Utc>>,
    pub was: Option<String>,
}

impl Part {
    /// Since when it is no longer read, as a part of a sentence; none for what is read, and for the
    /// form of a record as a whole, which is nothing that is missing.
    pub fn words(&self) -> Option<String> {
        if self.is_read {
            return None;
        }
        let (what, why) = match self.part.split_once('.') {
            Some(("form", _)) => return None,
            None => (
                format!("{} are", self.part),
                format!("the job does not say `{} = true`", self.part),
            ),
            Some(("app_ids", app)) => (
                format!("the extended profiles of {app} are"),
                "app_ids of the job does not name it".to_owned(),
            ),
            // Written by `note_left_columns`; what `[privacy]` keeps again is read.
            Some((_, column)) => (
                format!("the values of {}.{column} are", self.table_name),
                "the job does not name the column".to_owned(),
            ),
        };
        Some(format!(
            "{what} no longer read since {} UTC ({why}), and stay as they were",
            self.since.format("%Y-%m-%d %H:%M")
        ))
    }
}

/// Notes what a run reads of the records of a table: these parts, and of all others whose names
/// begin alike none. What was never read is not noted.
pub async fn note(
    executor: impl PgExecutor<'_>,
    run_id: Uuid,
    table: &str,
    prefixes: &[&str],
    parts: &[String],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with began as (select started_at from runs where run_id = $1),
         stopped as (
             update readings set is_read = false, since = began.started_at from began
             where table_name = $2 and is_read and part <> all($4) and exists (select from unnest($3::text[]) p where starts_with(part, p))
         )
         insert into readings as r (table_name, part, is_read, since)
         select $2, part, true, began.started_at from unnest($4::text[]) part, began
         on conflict (table_name, part) do update set is_read = true, since = excluded.since, whole_at = null where not r.is_read",
        run_id,
        table,
        prefixes as &[&str],
        parts,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Notes which columns of a table nothing is read into any more: these, and no others.
pub async fn note_left_columns(
    executor: impl PgExecutor<'_>,
    run_id: Uuid,
    table: &str,
    columns: &[String],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with left_out as (select 'columns.' || name as part from unnest($3::text[]) name),
         read_again as (
             delete from readings where table_name = $2 and starts_with(part, 'columns.') and part <> all(select part from left_out)
         )
         insert into readings (table_name, part, is_read, since)
         select $2, part, false, started_at from left_out, runs where run_id = $1
         on conflict do nothing",
        run_id,
        table,
        columns,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Notes what is kept of records of users again, and what was done with it before; of what is kept
/// no longer (`over`) that is forgotten.
pub async fn note_kept_again(
    executor: impl PgExecutor<'_>,
    table: &str,
    again: &[(String, &'static str)],
    over: &[String],
) -> Result<(), sqlx::Error> {
    let (parts, was): (Vec<&str>, Vec<&str>) = again
        .iter()
        .map(|(part, was)| (part.as_str(), *was))
        .unzip();
    sqlx::query!(
        "with over as (delete from readings where table_name = $1 and part = any($4))
         insert into readings as r (table_name, part, is_read, since, was)
         select $1, part, true, coalesce((select max(started_at) from runs where resource = 'users' and status = 'running'), clock_timestamp()), was
         from unnest($2::text[], $3::text[]) as i (part, was)
         on conflict (table_name, part) do update
         set since = excluded.since, whole_at = null, was = case when r.whole_at is null then r.was else excluded.was end",
        table,
        &parts as &[&str],
        &was as &[&str],
        over,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Notes that a full scan has read of every record what was read since before it began.
pub async fn note_whole(
    executor: impl PgExecutor<'_>,
    table: &str,
    scan_id: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update readings set whole_at = clock_timestamp()
         where table_name = $1 and is_read and whole_at is null
           and since <= (select min(started_at) from runs where scan_id = $2)",
        table,
        scan_id,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Forgets in which form records were read as a whole: rows may be there that were read in another.
pub async fn forget_forms(executor: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from readings where starts_with(part, 'form.')")
        .execute(executor)
        .await?;
    Ok(())
}

/// All parts of the records of these tables.
pub async fn of(executor: impl PgExecutor<'_>, tables: &[&str]) -> Result<Vec<Part>, sqlx::Error> {
    sqlx::query_as!(
        Part,
        "select table_name, part, is_read, since, whole_at, was from readings where table_name = any($1) order by table_name, part",
        tables as &[&str],
    )
    .fetch_all(executor)
    .await
}
