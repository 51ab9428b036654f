//! Plans: what was made of a file, or of another plan that is to be taken back.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{Executor, PgConnection, PgExecutor};
use utoipa::ToSchema;
use uuid::Uuid;

/// Rows from which on a plan is worth that Postgres looks at it: with fewer, reading all of it for
/// each chunk costs less than the look.
const MANY_ROWS: i64 = 1_000;

/// A stored plan.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(
    missing_docs,
    reason = "each is the column of that name, and the columns carry comments"
)]
pub struct Plan {
    pub plan_id: Uuid,
    pub file_name: Option<String>,
    #[serde(skip)]
    pub file_path: Option<String>,
    #[serde(skip)]
    pub file_hash: Option<Vec<u8>>,
    pub rejects_path: Option<String>,
    pub identifier: String,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
    pub applied_at: Option<DateTime<Utc>>,
    pub applied_by: Option<String>,
    pub finished_at: Option<DateTime<Utc>>,
    pub undo_of: Option<Uuid>,
    pub rows_read: i64,
    pub rows_planned: i64,
    pub rows_skipped: i64,
    pub rows_rejected: i64,
    pub rows_deleting: i64,
    #[schema(value_type = Vec<Total>)]
    pub totals: Json<Vec<Total>>,
    #[serde(skip)]
    pub fields: Json<Vec<Box<RawValue>>>,
    pub synced_at: Option<DateTime<Utc>>,
}

impl Plan {
    /// How far it is, in a word.
    pub fn status(&self) -> &'static str {
        match (self.applied_at, self.finished_at) {
            (None, _) => "planned",
            (Some(_), None) => "applying",
            (Some(_), Some(_)) => "finished",
        }
    }
}

/// What a plan does to one attribute.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Total {
    /// Its slug.
    pub attribute: String,
    /// Rows that change it.
    pub rows: i64,
    /// Those where there was no value.
    pub added: i64,
    /// Those where there was another value.
    pub changed: i64,
    /// Those that take the value away.
    pub cleared: i64,
    /// Those where a number or a boolean goes out as text.
    #[serde(default)]
    pub to_text: i64,
}

/// What is known of a plan before its rows.
#[derive(Debug)]
#[expect(
    missing_docs,
    reason = "each is the column of that name, and the columns carry comments"
)]
pub struct New<'a> {
    pub plan_id: Uuid,
    pub file_name: Option<&'a str>,
    pub file_path: Option<&'a str>,
    pub file_hash: Option<&'a [u8]>,
    pub identifier: &'a str,
    pub created_by: &'a str,
    pub undo_of: Option<Uuid>,
    pub fields: &'a [Box<RawValue>],
    pub synced_at: Option<DateTime<Utc>>,
}

/// Adds a plan whose rows follow in the same transaction.
pub async fn add(connection: &mut PgConnection, new: &New<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into bulk_plans (plan_id, file_name, file_path, file_hash, identifier, created_by, undo_of, fields, synced_at, rows_planned, rows_skipped)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0)",
        new.plan_id,
        new.file_name,
        new.file_path,
        new.file_hash,
        new.identifier,
        new.created_by,
        new.undo_of,
        Json(new.fields) as _,
        new.synced_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What the rows of a plan came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each is the column of that name, and the columns carry comments"
)]
pub struct Sums {
    pub rows_read: i64,
    pub rows_planned: i64,
    pub rows_skipped: i64,
    pub rows_rejected: i64,
    pub rows_deleting: i64,
    pub totals: Vec<Total>,
}

impl Sums {
    /// Counts a value that changes: from what it is to what is sent, and whether a number or a
    /// boolean goes out as text.
    pub fn count(
        &mut self,
        slug: &str,
        before: Option<&RawValue>,
        after: &RawValue,
        as_text: bool,
    ) {
        let is_empty = |value: &RawValue| matches!(value.get(), "null" | "\"\"");
        let at = match self.totals.iter().position(|total| total.attribute == slug) {
            Some(at) => at,
            None => {
                self.totals.push(Total {
                    attribute: slug.to_owned(),
                    ..Total::default()
                });
                self.totals.len() - 1
            }
        };
        let total = &mut self.totals[at];
        total.rows += 1;
        total.to_text += i64::from(as_text);
        if is_empty(after) {
            total.cleared += 1;
        } else if before.is_none_or(is_empty) {
            total.added += 1;
        } else {
            total.changed += 1;
        }
    }
}

/// When the last finished run of users began: how old the mirror is.
pub async fn mirror_as_of(
    executor: impl PgExecutor<'_>,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    sqlx::query_scalar!(
        "select max(started_at) from runs where resource = 'users' and status in ('succeeded', 'braked') and verdict is not null"
    )
    .fetch_one(executor)
    .await
}

/// Notes what the rows came to; the rows are there already.
pub async fn sum_up(
    connection: &mut PgConnection,
    plan_id: Uuid,
    sums: &Sums,
    file_hash: Option<&[u8]>,
    rejects_path: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update bulk_plans set rows_read = $2, rows_planned = $3, rows_skipped = $4, rows_rejected = $5, rows_deleting = $6, totals = $7,
             file_hash = coalesce($8, file_hash), rejects_path = $9
         where plan_id = $1",
        plan_id,
        sums.rows_read,
        sums.rows_planned,
        sums.rows_skipped,
        sums.rows_rejected,
        sums.rows_deleting,
        Json(&sums.totals) as _,
        file_hash,
        rejects_path,
    )
    .execute(&mut *connection)
    .await?;
    if sums.rows_read >= MANY_ROWS {
        // Otherwise Postgres knows of the plans before it and believes that this one has hardly a
        // row: applying it, which often begins before Postgres gets to look by itself, would read
        // all of it several times for each chunk.
        connection
            .execute("analyze bulk_rows (plan_id, row_number, chunk, state)")
            .await?;
    }
    Ok(())
}

/// A plan; none when there is no such plan.
pub async fn get(
    executor: impl PgExecutor<'_>,
    plan_id: Uuid,
) -> Result<Option<Plan>, sqlx::Error> {
    sqlx::query_as!(
        Plan,
        r#"select plan_id, file_name, file_path, file_hash, rejects_path, identifier, created_at, created_by, applied_at, applied_by, finished_at, undo_of,
                  rows_read, rows_planned, rows_skipped, rows_rejected, rows_deleting, totals as "totals: Json<Vec<Total>>",
                  fields as "fields: Json<Vec<Box<RawValue>>>", synced_at
           from bulk_plans where plan_id = $1"#,
        plan_id,
    )
    .fetch_optional(executor)
    .await
}

/// The latest plans, the newest first.
pub async fn latest(executor: impl PgExecutor<'_>, limit: i64) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select plan_id from bulk_plans order by created_at desc, plan_id desc limit $1",
        limit,
    )
    .fetch_all(executor)
    .await
}

/// The plans that were begun to be applied and have rows without an outcome, the oldest first.
pub async fn unfinished(executor: impl PgExecutor<'_>) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select plan_id from bulk_plans where applied_at is not null and finished_at is null order by applied_at, plan_id"
    )
    .fetch_all(executor)
    .await
}

/// The finished plans that have rows of which nobody knows whether they were done.
pub async fn with_unknown(executor: impl PgExecutor<'_>) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select plan_id from bulk_plans p
         where finished_at is not null and exists (select from bulk_rows r where r.plan_id = p.plan_id and r.state = 'unknown')
         order by applied_at, plan_id"
    )
    .fetch_all(executor)
    .await
}

/// Begins to apply a plan: its rows get their chunks, those that set values before those that
/// delete, neighbours by registration together, since they can be read from the export in one
/// answer.
pub async fn begin(
    connection: &mut PgConnection,
    plan_id: Uuid,
    applied_by: &str,
    chunk_rows: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query_file!(
        "src/state/bulk/plans/assign_chunks.sql",
        plan_id,
        chunk_rows
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "insert into bulk_chunks (plan_id, chunk, action, state)
         select distinct plan_id, chunk, action, 'planned' from bulk_rows where plan_id = $1 and chunk is not null
         on conflict do nothing",
        plan_id,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update bulk_plans set applied_at = now(), applied_by = $2 where plan_id = $1",
        plan_id,
        applied_by,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that every row has an outcome.
pub async fn finish(connection: &mut PgConnection, plan_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update bulk_plans set finished_at = now() where plan_id = $1",
        plan_id
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The latest plan that was made of a file in this directory, by the directory's name and that of
/// the one around it: a directory that several machines share has another path on each.
pub async fn made_in(
    executor: impl PgExecutor<'_>,
    around: &str,
    directory: Uuid,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select plan_id from bulk_plans where file_path ~ ('/' || $1::text || '/' || $2::uuid || '/[^/]+$') order by created_at desc, plan_id desc limit 1",
        around,
        directory,
    )
    .fetch_optional(executor)
    .await
}

/// Notes where the file of a plan, and its rejects, were moved to.
pub async fn moved(
    executor: impl PgExecutor<'_>,
    plan_id: Uuid,
    file_path: Option<&str>,
    rejects_path: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update bulk_plans set file_path = $2, rejects_path = $3 where plan_id = $1",
        plan_id,
        file_path,
        rejects_path,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// The plans that take this one back, the oldest first.
pub async fn undone_by(
    executor: impl PgExecutor<'_>,
    plan_id: Uuid,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select plan_id from bulk_plans where undo_of = $1 order by created_at",
        plan_id
    )
    .fetch_all(executor)
    .await
}
