//! What a batch leaves in the bookkeeping, written as the last thing before its commit, in one
//! statement: each one more is a round trip while others wait for the row of the run.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::leases::{Error, Token};
use super::runs::Counts;
use super::scan_findings::Note;
use super::windows::Done;

/// What a batch did.
#[derive(Debug, Clone, Copy)]
pub struct Closing<'a> {
    /// The run.
    pub run_id: Uuid,
    /// What it adds to the counters of the run.
    pub counts: Counts,
    /// What it adds to the progress of the scan, where a scan keeps its progress.
    pub scan: Option<Progress<'a>>,
}

/// How far a scan came with a batch.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// The scan.
    pub scan_id: Uuid,
    /// The parts that are done.
    pub parts: &'a [Done],
    /// What is noted about single records.
    pub findings: &'a [(Note, String)],
}

/// Closes a batch, and makes its transaction one that only the holder of the lease can commit.
///
/// # Errors
/// [`Error::Lost`] when another process has taken over: nothing of the batch may be committed.
pub async fn close(
    connection: &mut PgConnection,
    token: Token,
    closing: Closing<'_>,
) -> Result<(), Error> {
    let (subject, number) = (token.subject(), token.number());
    let scan_id = closing.scan.map(|scan| scan.scan_id);
    let parts = closing.scan.map_or(&[] as &[Done], |scan| scan.parts);
    let findings = (closing.scan).map_or(&[] as &[(Note, String)], |scan| scan.findings);
    let lower: Vec<_> = parts.iter().map(|part| part.lower_bound).collect();
    let upper: Vec<_> = parts.iter().map(|part| part.upper_bound).collect();
    let names: Vec<_> = parts.iter().map(|part| part.part.as_str()).collect();
    let proofs: Vec<_> = parts.iter().map(|part| part.proof.as_str()).collect();
    let rows: Vec<_> = parts.iter().map(|part| part.rows_read).collect();
    let notes: Vec<_> = findings.iter().map(|(note, _)| note.name()).collect();
    let ids: Vec<_> = findings.iter().map(|(_, id)| id.as_str()).collect();
    let Counts {
        read,
        inserted,
        updated,
        unchanged,
        rejected,
        tombstoned,
        times_from_numbers,
    } = closing.counts;
    let closed = sqlx::query_file!(
        "src/state/batches/close.sql",
        subject.name(),
        number,
        closing.run_id,
        scan_id,
        &lower as &[Option<DateTime<Utc>>],
        &upper as &[Option<DateTime<Utc>>],
        &names as &[&str],
        &proofs as &[&str],
        &rows,
        &notes as &[&str],
        &ids as &[&str],
        read,
        inserted,
        updated,
        unchanged,
        rejected,
        tombstoned,
        times_from_numbers,
    )
    .execute(connection)
    .await?;
    if closed.rows_affected() == 0 {
        return Err(Error::Lost(subject));
    }
    Ok(())
}
