//! Who was erased: keyed hashes of identifiers, so that nobody of them comes back, and nothing by
//! which they could be told.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use privacy::{Erased, HashKey};

/// How many rows were removed, by table.
pub type Removed = BTreeMap<String, i64>;

/// An erasure as it is stored. Field names are column names.
#[derive(Debug, Clone, Serialize)]
#[expect(
    missing_docs,
    reason = "each is the column of that name, and the columns carry comments"
)]
pub struct Erasure {
    pub erased_at: DateTime<Utc>,
    pub erased_by: String,
    pub reason: Option<String>,
    pub removed: Json<Removed>,
}

/// All who were erased. For each run, once, at its beginning.
pub async fn erased(
    executor: impl PgExecutor<'_>,
    key: Option<&HashKey>,
) -> Result<Erased, sqlx::Error> {
    let hashes = sqlx::query_scalar!("select keyed_hash from erasures")
        .fetch_all(executor)
        .await?;
    let hashes: HashSet<[u8; 32]> = hashes
        .into_iter()
        .filter_map(|hash| hash.try_into().ok())
        .collect();
    Ok(Erased::new(key.cloned(), hashes))
}

/// Notes that a person was erased. `known` says whether the mirror held them as living; then the
/// API is taken to have them still.
pub async fn add(
    connection: &mut PgConnection,
    keyed_hash: [u8; 32],
    erased_by: &str,
    reason: Option<&str>,
    removed: &Removed,
    known: bool,
) -> Result<Erasure, sqlx::Error> {
    // Beside the tables as well: neither a restore of those nor one of the bookkeeping then forgets
    // it.
    sqlx::query!(
        "update mirror_mark set erased = array_append(erased, $1) where not $1 = any(erased)",
        keyed_hash.as_slice(),
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query_as!(
        Erasure,
        r#"insert into erasures as e (keyed_hash, erased_by, reason, removed, last_run_id)
           values ($1, $2, $3, $4, (
               select run_id from runs where resource = 'users' and $5 order by started_at desc, run_id desc limit 1
           ))
           on conflict (keyed_hash) do update set
               erased_at = excluded.erased_at,
               erased_by = excluded.erased_by,
               reason = coalesce(excluded.reason, e.reason),
               removed = excluded.removed,
               last_run_id = coalesce(excluded.last_run_id, e.last_run_id)
           returning erased_at, erased_by, reason, removed as "removed: Json<Removed>""#,
        keyed_hash.as_slice(),
        erased_by,
        reason,
        Json(removed) as _,
        known,
    )
    .fetch_one(connection)
    .await
}

/// When this person was erased, if they were.
pub async fn get(
    executor: impl PgExecutor<'_>,
    keyed_hash: [u8; 32],
) -> Result<Option<Erasure>, sqlx::Error> {
    sqlx::query_as!(
        Erasure,
        r#"select erased_at, erased_by, reason, removed as "removed: Json<Removed>" from erasures where keyed_hash = $1"#,
        keyed_hash.as_slice(),
    )
    .fetch_optional(executor)
    .await
}

/// All erasures, the latest first.
pub async fn list(executor: impl PgExecutor<'_>) -> Result<Vec<Erasure>, sqlx::Error> {
    sqlx::query_as!(
        Erasure,
        r#"select erased_at, erased_by, reason, removed as "removed: Json<Removed>" from erasures order by erased_at desc"#,
    )
    .fetch_all(executor)
    .await
}

/// Lets a person in again; whether they had been erased.
pub async fn forget(
    connection: &mut PgConnection,
    keyed_hash: [u8; 32],
) -> Result<bool, sqlx::Error> {
    sqlx::query!(
        "update mirror_mark set erased = array_remove(erased, $1)",
        keyed_hash.as_slice(),
    )
    .execute(&mut *connection)
    .await?;
    let forgotten = sqlx::query!(
        "delete from erasures where keyed_hash = $1",
        keyed_hash.as_slice()
    )
    .execute(connection)
    .await?;
    Ok(forgotten.rows_affected() > 0)
}

/// Notes that a run was shown some who were erased.
pub async fn met(
    executor: impl PgExecutor<'_>,
    run_id: Uuid,
    hashes: &[[u8; 32]],
) -> Result<(), sqlx::Error> {
    let hashes: Vec<&[u8]> = hashes.iter().map(<[u8; 32]>::as_slice).collect();
    sqlx::query!(
        "update erasures set last_run_id = $1 where keyed_hash = any($2) and last_run_id is distinct from $1",
        run_id,
        &hashes as &[&[u8]],
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// How many of them the API still had when its users were last read: by the last finished full scan
/// and the runs after it.
pub async fn count_met_lately(executor: impl PgExecutor<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_file_scalar!("src/state/erasures/met_lately.sql")
        .fetch_one(executor)
        .await
}
