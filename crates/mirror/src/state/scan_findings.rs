//! What a full scan noted about single records, committed with the windows it is about.

use std::collections::HashSet;

use sqlx::PgExecutor;
use uuid::Uuid;

/// What was noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// In the mirror, but not in the part of the scan that would hold it.
    Missing,
    /// Sent without a registration date that can be read.
    Undated,
    /// New or different.
    Changed,
}

impl Note {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Undated => "undated",
            Self::Changed => "changed",
        }
    }
}

/// Notes something about records; what is noted already stays.
pub async fn add(
    executor: impl PgExecutor<'_>,
    scan_id: Uuid,
    note: Note,
    ids: &[&str],
) -> Result<(), sqlx::Error> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into scan_notes (scan_id, note, record_id) select $1, $2, * from unnest($3::text[]) on conflict do nothing",
        scan_id,
        note.name(),
        ids as &[&str],
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Records with this note, in the order of their keys, after a key already seen.
pub async fn list(
    executor: impl PgExecutor<'_>,
    scan_id: Uuid,
    note: Note,
    after: &str,
    limit: i64,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select record_id from scan_notes where scan_id = $1 and note = $2 and record_id > $3 order by record_id limit $4",
        scan_id,
        note.name(),
        after,
        limit,
    )
    .fetch_all(executor)
    .await
}

/// Which of these records have this note.
pub async fn having(
    executor: impl PgExecutor<'_>,
    scan_id: Uuid,
    note: Note,
    ids: &[&str],
) -> Result<HashSet<String>, sqlx::Error> {
    let noted = sqlx::query_scalar!(
        "select record_id from scan_notes where scan_id = $1 and note = $2 and record_id = any($3)",
        scan_id,
        note.name(),
        ids as &[&str],
    )
    .fetch_all(executor)
    .await?;
    Ok(noted.into_iter().collect())
}

/// How many records have this note.
pub async fn count(
    executor: impl PgExecutor<'_>,
    scan_id: Uuid,
    note: Note,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from scan_notes where scan_id = $1 and note = $2"#,
        scan_id,
        note.name(),
    )
    .fetch_one(executor)
    .await
}

/// Takes a note back.
pub async fn strike(
    executor: impl PgExecutor<'_>,
    scan_id: Uuid,
    note: Note,
    ids: &[&str],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from scan_notes where scan_id = $1 and note = $2 and record_id = any($3)",
        scan_id,
        note.name(),
        ids as &[&str],
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Forgets what a scan noted.
pub async fn forget(executor: impl PgExecutor<'_>, scan_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from scan_notes where scan_id = $1", scan_id)
        .execute(executor)
        .await?;
    Ok(())
}

/// Forgets what the scans of a job noted, once this one is finished. Whom a brake `holds` back is
/// kept: they may be confirmed.
pub async fn prune(
    executor: impl PgExecutor<'_>,
    job: &str,
    scan_id: Uuid,
    holds: bool,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from scan_notes n using (select distinct scan_id from runs where job = $1) r
         where r.scan_id = n.scan_id and not (n.scan_id = $2 and n.note = 'missing' and $3)",
        job,
        scan_id,
        holds,
    )
    .execute(executor)
    .await?;
    Ok(())
}
