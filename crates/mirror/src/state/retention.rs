//! Bookkeeping that is older than the settings keep it, removed (design section 6).
//!
//! What something still goes by stays, however old it is: the last full scan of each job and all
//! runs after it, rejects that the API still has, pushes without an outcome for each row, the last
//! comparison of each job. Who was erased stays for ever, so that nobody comes back.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection};

use clock::time;

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Runs, with their windows.
    pub runs: u64,
    /// Rejects.
    pub rejects: u64,
    /// Plans of bulk updates, with their rows and requests.
    pub plans: u64,
    /// Comparisons with the API.
    pub verifications: u64,
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            runs,
            rejects,
            plans,
            verifications,
        } = self;
        write!(
            f,
            "{runs} runs, {rejects} rejects, {plans} bulk updates, {verifications} comparisons"
        )
    }
}

/// Removes what is older than this, by Postgres's clock.
///
/// # Errors
/// As sqlx; nothing is removed then.
pub async fn keep(connection: &mut PgConnection, age: Duration) -> Result<Removed, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let now: DateTime<Utc> = sqlx::query_scalar!(r#"select now() as "now!""#)
        .fetch_one(&mut *transaction)
        .await?;
    // Nothing is older than that, and Postgres cannot reckon with much earlier times.
    let before = time::before(now, time::signed(age)).max(DateTime::UNIX_EPOCH);
    let rejects = sqlx::query_file!("src/state/retention/rejects.sql", before)
        .execute(&mut *transaction)
        .await?;
    let runs = sqlx::query_file!("src/state/retention/runs.sql", before)
        .execute(&mut *transaction)
        .await?;
    let plans = sqlx::query_file!("src/state/retention/plans.sql", before)
        .execute(&mut *transaction)
        .await?;
    let verifications = sqlx::query_file!("src/state/retention/verifications.sql", before)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(Removed {
        runs: runs.rows_affected(),
        rejects: rejects.rows_affected(),
        plans: plans.rows_affected(),
        verifications: verifications.rows_affected(),
    })
}
