//! Tables as a run should leave them. Autovacuum looks once a minute, waits until a fifth of a
//! table is dead, and may be off: the night's next job, a plan or an analyst's query comes sooner.
//! So a run that loaded or changed much cleans up behind itself: pages without dead rows are read
//! from indexes alone and take in the next night's versions, and the first lookups by name know how
//! many rows there are.

use sqlx::{Executor, PgPool};

use mirror::state::runs::Counts;
use telemetry::field;

/// Fewer rows than this are no trouble to anybody.
const LEAST_ROWS: i64 = 1_000;

/// One row in so many, superseded since the last vacuum, is worth the next, which reads all of
/// every index: a mirror that changes by one in a hundred each night is vacuumed every second to
/// fourth, and keeps its size. (Postgres may count what a run superseded after that run has
/// vacuumed.)
const SUPERSEDED_ONE_IN: i64 = 32;

/// One row in so many, new with a run, makes what Postgres knows of the table wrong.
const NEW_ONE_IN: i64 = 5;

/// The columns that the product looks rows up by. Those of analysts, documents among them, take
/// longer than the rest together, and autovacuum comes to them.
const ANALYZE: [&str; 2] = [
    "vacuum (analyze, truncate off) users (user_id, email, username, registered_at, _zephr_deleted_at)",
    "vacuum (analyze, truncate off) user_foreign_keys (user_id, system, key)",
];

/// Statistics from 3,000 rows instead of 30,000, in a sixth of the time: it was 7 % of the
/// processor time of a load of 50,000 people. They tell as well how many rows a key has. Since only
/// some columns are analysed, Postgres still counts the table as changed, and autovacuum comes and
/// looks at all of it closely.
const ROUGHLY: &str = "set default_statistics_target = 10";
const AS_EVER: &str = "reset default_statistics_target";

const VACUUM: [&str; 2] = [
    "vacuum (truncate off) users",
    "vacuum (truncate off) user_foreign_keys",
];

/// Cleans up after a run that did this to the users, if it is worth it. What keeps it from that is
/// not the run's failure, and is logged.
pub(super) async fn users(pool: &PgPool, counts: Counts) {
    if let Err(error) = clean(pool, counts).await {
        tracing::warn!({ field::ERROR } = %error, "the tables were not vacuumed");
    }
}

async fn clean(pool: &PgPool, counts: Counts) -> Result<(), sqlx::Error> {
    let replaced = counts.updated + counts.tombstoned;
    if counts.inserted < LEAST_ROWS && replaced == 0 {
        return Ok(());
    }
    // Rows as of the last vacuum; below zero where there was none. What this run superseded may not
    // be counted yet.
    let known = sqlx::query!(
        r#"select reltuples::bigint as "rows!", coalesce(pg_stat_get_dead_tuples(oid), 0) as "superseded!"
           from pg_class where oid = 'users'::regclass"#
    )
    .fetch_one(pool)
    .await?;
    let superseded = known.superseded.max(replaced);
    let enough = |rows: i64, one_in: i64| rows >= LEAST_ROWS && rows * one_in >= known.rows;
    let [users, keys] = if enough(counts.inserted, NEW_ONE_IN) {
        ANALYZE
    } else if enough(superseded, SUPERSEDED_ONE_IN) {
        VACUUM
    } else {
        return Ok(());
    };
    tokio::try_join!(roughly(pool, users), roughly(pool, keys))?;
    Ok(())
}

/// Runs it with rough statistics, for this statement alone.
async fn roughly(pool: &PgPool, statement: &'static str) -> Result<(), sqlx::Error> {
    let mut session = pool.acquire().await?;
    session.execute(ROUGHLY).await?;
    session.execute(statement).await?;
    session.execute(AS_EVER).await?;
    Ok(())
}
