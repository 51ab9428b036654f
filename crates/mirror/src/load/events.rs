//! Events into `user_events`: appended, never changed; a partition per month, made when its first
//! event comes.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, Months, NaiveDate, Utc};
use sqlx::{AssertSqlSafe, Executor, PgConnection};
use uuid::Uuid;

use super::merge::{self, Failure};
use crate::postgres::ddl::{self, Attempt, Held};
use crate::postgres::savepoint::Savepoint;
use crate::state::waiting_changes;
use record::Event;

/// Names this part of the database to Postgres's advisory locks: one writer at a time makes
/// partitions.
const PARTITIONS_LOCK: &str = "zephr-sync: partitions of user_events";

/// Appends events; answers how many were new. One that is there is left alone.
///
/// # Errors
/// [`Failure::Unstorable`] asks the caller to try with fewer until the one is found that cannot be
/// stored.
pub async fn append(
    connection: &mut PgConnection,
    savepoint: &mut Savepoint,
    run_id: Uuid,
    answered_at: Option<DateTime<Utc>>,
    events: &[Event],
) -> Result<i64, Failure> {
    let appended = savepoint.around(connection, async |connection| {
        insert(connection, run_id, answered_at, events).await
    });
    appended.await.map_err(merge::failure)
}

/// About how many events there are: counted where they are few, and as Postgres estimates it where
/// they are many.
pub async fn about(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    let counted = sqlx::query_scalar!(
        r#"select count(*) as "count!" from (select from user_events limit $1) as few"#,
        COUNTED,
    )
    .fetch_one(&mut *connection)
    .await?;
    if counted < COUNTED {
        return Ok(counted);
    }
    let estimate = sqlx::query_scalar!(
        r#"select coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint as "about!"
           from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'user_events'::regclass"#
    )
    .fetch_one(connection)
    .await?;
    Ok(estimate.max(counted))
}

/// How many events happened since then.
pub async fn count_since(
    connection: &mut PgConnection,
    since: DateTime<Utc>,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from user_events where occurred_at >= $1"#,
        since
    )
    .fetch_one(connection)
    .await
}

/// Up to so many events are counted to know how many there are: it takes some milliseconds.
const COUNTED: i64 = 20_000;

async fn insert(
    connection: &mut PgConnection,
    run_id: Uuid,
    answered_at: Option<DateTime<Utc>>,
    events: &[Event],
) -> Result<i64, sqlx::Error> {
    let months = events
        .iter()
        .filter_map(|event| event.occurred_at.date_naive().with_day(1))
        .collect();
    partitions(connection, months).await?;
    let issues: Vec<Option<String>> = events
        .iter()
        .map(|event| {
            (!event.issues.is_empty()).then(|| serde_json::json!(event.issues).to_string())
        })
        .collect();
    let done = sqlx::query_file!(
        "src/load/events/append.sql",
        run_id,
        answered_at,
        &events
            .iter()
            .map(|event| event.occurred_at)
            .collect::<Vec<_>>() as &[DateTime<Utc>],
        &events
            .iter()
            .map(|event| event.event_key.as_str())
            .collect::<Vec<_>>() as &[&str],
        &events
            .iter()
            .map(|event| event.user_id.as_deref())
            .collect::<Vec<_>>() as &[Option<&str>],
        &events
            .iter()
            .map(|event| event.kind.as_deref())
            .collect::<Vec<_>>() as &[Option<&str>],
        &events
            .iter()
            .map(|event| &*event.payload)
            .collect::<Vec<_>>() as &[&str],
        &events
            .iter()
            .map(|event| event.hash.as_slice())
            .collect::<Vec<_>>() as &[&[u8]],
        &issues as &[Option<String>],
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() as i64)
}

/// How many of these events are there.
pub async fn known(
    connection: &mut PgConnection,
    events: &[(DateTime<Utc>, &str)],
) -> Result<i64, sqlx::Error> {
    let (times, keys): (Vec<DateTime<Utc>>, Vec<&str>) = events.iter().copied().unzip();
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from unnest($1::timestamptz[], $2::text[]) as i (occurred_at, event_key)
           join user_events using (occurred_at, event_key)"#,
        &times as &[DateTime<Utc>],
        &keys as &[&str],
    )
    .fetch_one(connection)
    .await
}

fn partition(month: NaiveDate) -> String {
    format!("user_events_{:04}_{:02}", month.year(), month.month())
}

/// Makes the partitions of these months that are not there. Attached rather than created in place:
/// that takes no lock that a reader would wait for.
async fn partitions(
    connection: &mut PgConnection,
    months: BTreeSet<NaiveDate>,
) -> Result<(), sqlx::Error> {
    for month in months {
        let name = partition(month);
        if exists(connection, &name).await? {
            continue;
        }
        sqlx::query!(
            "select pg_advisory_xact_lock(hashtext($1))",
            PARTITIONS_LOCK
        )
        .execute(&mut *connection)
        .await?;
        if exists(connection, &name).await? {
            continue;
        }
        let Some(next) = month.checked_add_months(Months::new(1)) else {
            continue;
        };
        let schema = super::data_schema(connection).await?;
        let words = month.format("%B %Y");
        let sql = format!(
            "create table {schema}.{name} (like user_events including all);
             comment on table {schema}.{name} is 'Events of {words} (UTC).';
             alter table user_events attach partition {schema}.{name} for values from ('{month} 00:00:00+00') to ('{next} 00:00:00+00');"
        );
        connection.execute(AssertSqlSafe(sql)).await?;
    }
    Ok(())
}

/// Asked of the tables and not of `to_regclass`, which may answer from a cache that does not know
/// yet what the other writer has just committed.
async fn exists(connection: &mut PgConnection, name: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (
               select from pg_inherits i join pg_class c on c.oid = i.inhrelid
               where i.inhparent = 'user_events'::regclass and c.relname = $1
           ) as "found!""#,
        name,
    )
    .fetch_one(connection)
    .await
}

/// What is to become of a month that is older than the retention, and is among the events still.
const OVER: &str =
    "it is dropped, being older than the retention, and its events may be read until then";

/// The same of one that is out, or on its way: it is ours to be dropped, whatever the retention is
/// now.
const OUT: &str =
    "it is dropped, being older than the retention, and is no longer among the events";

/// The partitions of the months that ended so long ago, by Postgres's clock, and those that were
/// taken out before and could not be dropped. A partition that somebody else made has another name,
/// and one that somebody took out is not ours: they are left alone.
pub async fn retired(
    connection: &mut PgConnection,
    before: Option<DateTime<Utc>>,
) -> Result<Vec<String>, sqlx::Error> {
    let names = sqlx::query_scalar!(
        r#"select c.relname::text as "name!" from pg_inherits i join pg_class c on c.oid = i.inhrelid
           where i.inhparent = 'user_events'::regclass order by 1"#
    )
    .fetch_all(&mut *connection)
    .await?;
    let is_over = |name: &String| {
        let ends = month(name).and_then(|month| month.checked_add_months(Months::new(1)));
        ends.zip(before)
            .is_some_and(|(ends, before)| ends <= before.date_naive())
    };
    let over: Vec<String> = names.into_iter().filter(is_over).collect();
    for noted in waiting_changes::objects(&mut *connection, OVER).await? {
        // The retention is longer than it was.
        if !over.contains(&noted) {
            waiting_changes::settle(&mut *connection, &noted).await?;
        }
    }
    let out = waiting_changes::objects(connection, OUT).await?;
    // Those on their way out come first: nothing else can be taken out before.
    let mut all: Vec<String> = out
        .into_iter()
        .filter(|name| month(name).is_some())
        .collect();
    let others: Vec<String> = over
        .into_iter()
        .filter(|name| !all.contains(name))
        .collect();
    all.extend(others);
    Ok(all)
}

/// The month whose partition has this name, if it is one of ours.
fn month(name: &str) -> Option<NaiveDate> {
    let month = name.strip_prefix("user_events_")?;
    let month = NaiveDate::parse_from_str(&format!("{month}_01"), "%Y_%m_%d").ok()?;
    (partition(month) == name).then_some(month)
}

/// A partition of the events, as Postgres has it.
#[derive(Debug)]
struct Attached {
    pending: bool,
    has_default: bool,
}

async fn attached(session: &mut PgConnection, name: &str) -> Result<Option<Attached>, sqlx::Error> {
    sqlx::query_as!(
        Attached,
        r#"select i.inhdetachpending as "pending!", exists (
               select from pg_partitioned_table p where p.partrelid = i.inhparent and p.partdefid <> 0
           ) as "has_default!"
           from pg_inherits i join pg_class c on c.oid = i.inhrelid
           where i.inhparent = 'user_events'::regclass and c.relname = $1"#,
        name,
    )
    .fetch_optional(session)
    .await
}

/// Takes a partition out of the events, in a session that is in no transaction, and notes how far
/// that came. Whoever reads events is not made to wait, and what reads them already may end: until
/// then it stays.
///
/// # Errors
/// As sqlx.
pub async fn take_out(session: &mut PgConnection, name: &str) -> Result<Attempt<()>, sqlx::Error> {
    let Some(partition) = attached(session, name).await? else {
        return Ok(Attempt::Done(()));
    };
    let how = match (partition.pending, partition.has_default) {
        (true, _) => " finalize",
        (false, false) => " concurrently",
        // Postgres has no other way where somebody has added a default partition.
        (false, true) => "",
    };
    let attempt = ddl::attempt_alone(session, &["user_events", name], async |session| {
        let detach = format!("alter table user_events detach partition {name}{how}");
        session.execute(AssertSqlSafe(detach)).await.map(drop)
    })
    .await?;
    // Once it is out, nothing but this says that it is ours to be dropped.
    let change = match attached(session, name).await? {
        Some(Attached { pending: false, .. }) => OVER,
        Some(Attached { pending: true, .. }) | None => OUT,
    };
    let held = match &attempt {
        Attempt::Done(()) => &Held::nobody(),
        Attempt::Held(held) => held,
    };
    waiting_changes::note(session, name, change, held).await?;
    Ok(attempt)
}

/// Drops a partition that was taken out, inside the caller's transaction.
///
/// # Errors
/// As sqlx.
pub async fn drop_retired(
    transaction: &mut PgConnection,
    name: &str,
) -> Result<Attempt<()>, sqlx::Error> {
    let dropped = ddl::attempt(transaction, &[name], async |connection| {
        let drop = format!("drop table if exists {name}");
        connection.execute(AssertSqlSafe(drop)).await
    })
    .await?;
    match dropped {
        Attempt::Done(_) => {
            waiting_changes::settle(transaction, name).await?;
            Ok(Attempt::Done(()))
        }
        Attempt::Held(held) => {
            waiting_changes::note(transaction, name, OUT, &held).await?;
            Ok(Attempt::Held(held))
        }
    }
}
