//! Changes of tables and views that others may be reading. Whoever comes after a change that waits
//! for its lock waits behind it, so a change waits a moment only, and is tried again.

use std::fmt;
use std::time::Duration;

use sqlx::{Connection, PgConnection};

/// So long a change waits for its locks at a time: nobody notices a query that takes so much
/// longer.
pub(crate) const MOMENT: &str = "100ms";

/// How often it is tried, with so much time between: queries come to their end meanwhile, and those
/// that waited for us get their turn. What has not come through then waits for somebody who has
/// gone home, and the run is not held up for that.
const TRIES: u32 = 8;
const BETWEEN: Duration = Duration::from_millis(250);

/// Of those who hold a lock, so many are named.
const NAMED: usize = 3;

/// What became of a change.
#[derive(Debug)]
pub enum Attempt<T> {
    /// It is made.
    Done(T),
    /// Others held it, and nothing is changed.
    Held(Held),
}

/// Who held a table or a view that was to be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held(Vec<Holder>);

#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
struct Holder {
    pid: i32,
    role: Option<String>,
    program: Option<String>,
    seconds: Option<i64>,
}

impl Held {
    /// Of a change that was not tried yet.
    pub(crate) fn nobody() -> Self {
        Self(Vec::new())
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {}", self.pid)?;
        let names: Vec<&str> = [&self.role, &self.program]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .filter(|name| !name.is_empty())
            .collect();
        if !names.is_empty() {
            write!(f, " ({})", names.join(", "))?;
        }
        if let Some(seconds) = self.seconds {
            let time = Duration::from_secs(seconds.unsigned_abs());
            write!(
                f,
                ", in a transaction that is open for {}",
                humantime::format_duration(time)
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            // It may be gone by now, or hold a snapshot and no lock.
            return f.write_str("a transaction that is not seen any more");
        }
        let named: Vec<String> = self.0.iter().take(NAMED).map(Holder::to_string).collect();
        f.write_str(&named.join("; "))?;
        match self.0.len().saturating_sub(NAMED) {
            0 => Ok(()),
            others => write!(f, "; and {others} more"),
        }
    }
}

/// Tries a change as often as is worth it.
///
/// # Errors
/// As the change, but for locks.
pub async fn patiently<T, E>(
    mut change: impl AsyncFnMut() -> Result<Attempt<T>, E>,
) -> Result<Attempt<T>, E> {
    for _ in 1..TRIES {
        match change().await? {
            done @ Attempt::Done(_) => return Ok(done),
            Attempt::Held(_) => tokio::time::sleep(BETWEEN).await,
        }
    }
    change().await
}

/// Makes a change inside the caller's transaction, which goes on from before it where others hold
/// these tables and views.
///
/// # Errors
/// As the work, but for locks.
pub(crate) async fn attempt<T>(
    transaction: &mut PgConnection,
    objects: &[&str],
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
) -> Result<Attempt<T>, sqlx::Error> {
    let mut savepoint = transaction.begin().await?;
    let before = wait_at_most(&mut savepoint, MOMENT, Until::ItsEnd).await?;
    match work(&mut savepoint).await {
        Ok(done) => {
            wait_at_most(&mut savepoint, &before, Until::ItsEnd).await?;
            savepoint.commit().await?;
            Ok(Attempt::Done(done))
        }
        Err(error) if is_held(&error) => {
            savepoint.rollback().await?;
            Ok(Attempt::Held(holders(transaction, objects).await?))
        }
        Err(error) => Err(error),
    }
}

/// Makes a change that needs a session without a transaction.
///
/// # Errors
/// As the work, but for locks.
pub(crate) async fn attempt_alone<T>(
    session: &mut PgConnection,
    objects: &[&str],
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
) -> Result<Attempt<T>, sqlx::Error> {
    match briefly(session, work).await? {
        Ok(done) => Ok(Attempt::Done(done)),
        // Postgres takes one partition out at a time: another one may be held on its way.
        Err(error) if is_held(&error) || has_code(&error, "55000") => {
            Ok(Attempt::Held(holders(session, objects).await?))
        }
        Err(error) => Err(error),
    }
}

/// Works in a session without a transaction that waits for locks no longer than a moment.
///
/// # Errors
/// The rule could not be set or taken back; the work's own errors are its answer.
pub(crate) async fn briefly<T, E>(
    session: &mut PgConnection,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
) -> Result<Result<T, E>, sqlx::Error> {
    let before = wait_at_most(&mut *session, MOMENT, Until::Told).await?;
    let done = work(&mut *session).await;
    wait_at_most(session, &before, Until::Told).await?;
    Ok(done)
}

/// Whether others held a lock longer than was waited.
pub(crate) fn is_held(error: &sqlx::Error) -> bool {
    has_code(error, "55P03")
}

fn has_code(error: &sqlx::Error, code: &str) -> bool {
    let said = error.as_database_error().and_then(|said| said.code());
    said.as_deref() == Some(code)
}

/// Who holds a lock on these tables and views now, whoever is longest at it first. Of other roles'
/// sessions Postgres may not show the time.
pub(crate) async fn holders(
    connection: &mut PgConnection,
    objects: &[&str],
) -> Result<Held, sqlx::Error> {
    let holders = sqlx::query_as(
        "select distinct l.pid, a.usename::text as role, a.application_name as program,
                extract(epoch from clock_timestamp() - a.xact_start)::int8 as seconds
         from pg_catalog.pg_locks l left join pg_catalog.pg_stat_activity a on a.pid = l.pid
         where l.locktype = 'relation' and l.granted and l.pid <> pg_catalog.pg_backend_pid()
           and l.database = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database())
           and l.relation = any(array(select pg_catalog.to_regclass(name)::oid from unnest($1::text[]) as name))
         order by 4 desc nulls last, 1",
    )
    .bind(objects)
    .fetch_all(connection)
    .await?;
    Ok(Held(holders))
}

/// For how long a rule is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// To the end of the transaction at the latest.
    ItsEnd,
    /// Until another one is set.
    Told,
}

/// Waits for locks no longer than this; answers what was the rule before.
async fn wait_at_most(
    connection: &mut PgConnection,
    time: &str,
    until: Until,
) -> Result<String, sqlx::Error> {
    let before = sqlx::query_scalar!(r#"select current_setting('lock_timeout') as "before!""#)
        .fetch_one(&mut *connection)
        .await?;
    sqlx::query_scalar!(
        "select set_config('lock_timeout', $1, $2)",
        time,
        until == Until::ItsEnd
    )
    .fetch_one(connection)
    .await?;
    Ok(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_something_is_named_as_far_as_postgres_shows_it() {
        let holder = Holder {
            pid: 4711,
            role: Some("analyst".into()),
            program: Some("psql".into()),
            seconds: Some(7_260),
        };
        let unseen = Holder {
            pid: 4712,
            role: Some("analyst".into()),
            program: Some(String::new()),
            seconds: None,
        };
        assert_eq!(
            Held(vec![holder.clone(), unseen.clone()]).to_string(),
            "pid 4711 (analyst, psql), in a transaction that is open for 2h 1m; pid 4712 (analyst)"
        );
        let many = Held(vec![unseen; 5]).to_string();
        assert!(many.ends_with("; and 2 more"), "{many}");
    }
}
