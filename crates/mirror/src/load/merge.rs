//! Changed users into `users`, `user_foreign_keys` and `user_grants`, in bulk, inside the caller's
//! transaction.
//!
//! Rows are locked in key order before anything is written, so two writers cannot deadlock, and
//! compared again under the lock, so that a record that another writer just wrote is not written
//! twice, and an answer that came earlier does not replace one that came later. What is replaced is
//! kept in `users_history`.

mod copy;

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{rows, sample};
use crate::postgres::savepoint::Savepoint;
use record::table::Row;
use record::{HASH_BYTES, Mirrored, User};
use resource::grants::USER_GRANTS;

/// What the merge did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Merged {
    /// New rows.
    pub inserted: i64,
    /// Rows that differed, or were tombstones.
    pub updated: i64,
    /// Rows that were equal after all.
    pub unchanged: i64,
}

/// A user with the time at which the API answered with it; none means the merge's own time.
pub type Extracted = (User, Option<DateTime<Utc>>);

/// Why rows were not merged.
#[derive(Debug)]
pub enum Failure {
    /// Postgres cannot hold some value among these rows; nothing was written.
    Unstorable(String),
    /// The database failed.
    Database(sqlx::Error),
}

/// Decides whether a user is another one than in the mirror, and completes it from there: it may
/// only be read in another way than before.
pub type Settle<'a> = &'a (dyn Fn(&Mirrored, &mut User) -> bool + Sync);

/// Merges users; those with another hash than in the mirror are looked at once more if it is said
/// how. Either all are merged or, on a failure, none: the transaction goes on from before the call.
/// Who is equal after all is no longer among them.
///
/// # Errors
/// [`Failure::Unstorable`] asks the caller to try with fewer rows until the one is found that
/// cannot be stored.
pub async fn users(
    connection: &mut PgConnection,
    savepoint: &mut Savepoint,
    run_id: Uuid,
    settle: Option<Settle<'_>>,
    rows: &mut Vec<Extracted>,
) -> Result<Merged, Failure> {
    let asked = rows.len() as i64;
    let mut attempt = async |new| {
        savepoint
            .around(connection, async |connection| {
                merge(connection, run_id, settle, rows, new).await
            })
            .await
    };
    let merged = match attempt(New::Copied).await {
        // Another writer added one of them between the look and the COPY: now it is seen.
        Err(error) if is_there_already(&error) => attempt(New::Upserted).await,
        other => other,
    };
    let (merged, same) = merged.map_err(failure)?;
    rows.retain(|(user, _)| !same.contains(&user.user_id));
    Ok(Merged {
        unchanged: asked - merged.inserted - merged.updated,
        ..merged
    })
}

/// Locks those of these users who are there, in key order, until the end of the transaction: before
/// the first of several pieces. Each piece locks the rows that are there before it adds those that
/// are not, and so a second one would lock rows after the first has added some: another writer might
/// have them, and wait for what was added.
pub async fn hold(
    connection: &mut PgConnection,
    savepoint: &mut Savepoint,
    ids: &[&str],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select from users where user_id = any($1) order by user_id for no key update",
        ids as &[&str],
    )
    .execute(connection)
    .await?;
    savepoint.keep();
    Ok(())
}

/// How users are written who are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum New {
    /// By COPY, which fails if one of them is there after all.
    Copied,
    /// Like those who are there.
    Upserted,
}

/// What was merged, and who is the same but for how it is read.
type Attempted = (Merged, HashSet<String>);

fn is_there_already(error: &sqlx::Error) -> bool {
    let said = error.as_database_error();
    said.is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

/// Whether it is a value that is to blame.
pub(super) fn failure(error: sqlx::Error) -> Failure {
    match unstorable(&error) {
        Some(reason) => Failure::Unstorable(reason),
        None => Failure::Database(error),
    }
}

/// SQLSTATE classes that blame a value: data exceptions, and limits of the program such as an index
/// entry's size. The messages of these two classes name limits and types; a message of the first
/// may quote a value, so only the class's meaning is told.
fn unstorable(error: &sqlx::Error) -> Option<String> {
    let code = error.as_database_error()?.code()?;
    match code.get(..2) {
        Some("22") => Some(format!(
            "Postgres cannot hold a value in it (SQLSTATE {code})"
        )),
        Some("54") => Some(format!(
            "a value in it is beyond a limit of Postgres (SQLSTATE {code})"
        )),
        Some(_) | None => None,
    }
}

async fn merge(
    connection: &mut PgConnection,
    run_id: Uuid,
    settle: Option<Settle<'_>>,
    rows: &mut Vec<Extracted>,
    new: New,
) -> Result<Attempted, sqlx::Error> {
    rows.sort_unstable_by(|(a, _), (b, _)| a.user_id.cmp(&b.user_id));
    let (now, known) = lock(connection, run_id, rows).await?;
    rows.retain(|(user, extracted_at)| {
        known.get(&user.user_id).is_none_or(|known| {
            let older = known
                .by_this_run
                .zip(*extracted_at)
                .is_some_and(|(there, here)| here < there);
            known.hash != Some(user.hash) && !older
        })
    });
    let is_alive = |user: &User| (known.get(&user.user_id)).is_some_and(|row| row.hash.is_some());
    let same = match settle {
        Some(settle) => same(connection, settle, rows, is_alive).await?,
        None => HashSet::new(),
    };
    let is_known = |row: &&Extracted| known.contains_key(&row.0.user_id);
    let is_same = |row: &&Extracted| same.contains(&row.0.user_id);
    let there: Vec<&Extracted> = rows.iter().filter(is_known).collect();
    let (reread, updated): (Vec<&Extracted>, Vec<&Extracted>) =
        there.iter().partition(|row| is_same(row));
    let (ids, changed) = (ids_of(&there), ids_of(&updated));
    let (copied, upserted) = match new {
        New::Copied => (rows.iter().filter(|row| !is_known(row)).collect(), updated),
        New::Upserted => (
            Vec::new(),
            rows.iter().filter(|row| !is_same(row)).collect(),
        ),
    };
    copy::users(connection, run_id, now, &copied).await?;
    if !upserted.is_empty() {
        let superseded_at = supersede(connection, &changed).await?;
        upsert(connection, run_id, &upserted, superseded_at).await?;
        foreign_keys(connection, run_id, &upserted, &changed).await?;
    }
    if !reread.is_empty() {
        rewrite(connection, &reread).await?;
        foreign_keys(connection, run_id, &reread, &ids_of(&reread)).await?;
    }
    grants(connection, run_id, rows, &ids).await?;
    let merged = Merged {
        inserted: (rows.len() - ids.len()) as i64,
        updated: changed.len() as i64,
        unchanged: 0,
    };
    Ok((merged, same))
}

fn ids_of<'a>(rows: &[&'a Extracted]) -> Vec<&'a str> {
    rows.iter().map(|(user, _)| user.user_id.as_str()).collect()
}

/// Who of these is the same user as in the mirror, after all. All are completed from there.
async fn same(
    connection: &mut PgConnection,
    settle: Settle<'_>,
    rows: &mut [Extracted],
    may_be_there: impl Fn(&User) -> bool,
) -> Result<HashSet<String>, sqlx::Error> {
    let ids: Vec<&str> = (rows.iter())
        .filter(|(user, _)| may_be_there(user))
        .map(|(user, _)| user.user_id.as_str())
        .collect();
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let stored = sample::rows(connection, &ids).await?;
    let stored: HashMap<&str, &Mirrored> = (stored.iter())
        .map(|row| (row.user_id.as_str(), row))
        .collect();
    let users = rows.iter_mut().map(|(user, _)| user);
    let same = users.filter_map(|user| {
        let stored = stored.get(user.user_id.as_str())?;
        (!settle(stored, user)).then(|| user.user_id.clone())
    });
    Ok(same.collect())
}

/// How many of these users are living and the same as in the mirror.
pub async fn count_same(
    connection: &mut PgConnection,
    settle: Settle<'_>,
    rows: &mut [Extracted],
) -> Result<i64, sqlx::Error> {
    Ok(same(connection, settle, rows, |_| true).await?.len() as i64)
}

/// A row that is there.
#[derive(Debug)]
struct Known {
    /// Of its content; a tombstone has none, and so equals nothing.
    hash: Option<[u8; HASH_BYTES]>,
    /// If this very run wrote it: when the API answered with it.
    by_this_run: Option<DateTime<Utc>>,
}

/// The rows that exist, locked in key order, and Postgres's time of the transaction.
async fn lock(
    connection: &mut PgConnection,
    run_id: Uuid,
    rows: &[Extracted],
) -> Result<(DateTime<Utc>, HashMap<String, Known>), sqlx::Error> {
    let ids: Vec<&str> = rows.iter().map(|(user, _)| user.user_id.as_str()).collect();
    let mut known = HashMap::new();
    let locked = sqlx::query_file!("src/load/merge/lock.sql", &ids as &[&str], run_id)
        .fetch_all(connection)
        .await?;
    let now = locked.first().ok_or(sqlx::Error::RowNotFound)?.now;
    for row in locked {
        if let Some(user_id) = row.user_id {
            let hash = row.hash.and_then(|hash| hash.try_into().ok());
            let by_this_run = row.by_this_run;
            known.insert(user_id, Known { hash, by_this_run });
        }
    }
    Ok((now, known))
}

/// Moves the present versions of users whose rows are locked into the history, and says when they
/// ended; none when there is nobody to move.
///
/// The instant is taken after the rows were locked: two transactions that change the same user one
/// after the other may have begun in the other order.
async fn supersede(
    connection: &mut PgConnection,
    ids: &[&str],
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(None);
    }
    let at = sqlx::query_file_scalar!("src/load/merge/users_history.sql", ids as &[&str])
        .fetch_one(connection)
        .await?;
    Ok(Some(at))
}

/// Marks users as deleted, and their foreign keys and grants with them; answers how many were alive
/// until now.
pub async fn tombstone(
    connection: &mut PgConnection,
    run_id: Uuid,
    ids: &[&str],
) -> Result<i64, sqlx::Error> {
    let living = sqlx::query_scalar!(
        "select user_id from users where user_id = any($1) and _zephr_deleted_at is null order by user_id for no key update",
        ids as &[&str],
    )
    .fetch_all(&mut *connection)
    .await?;
    let living: Vec<&str> = living.iter().map(String::as_str).collect();
    let Some(at) = supersede(connection, &living).await? else {
        return Ok(0);
    };
    sqlx::query!(
        "update users set _zephr_deleted_at = $3, _zephr_loaded_at = $3, _zephr_run_id = $1 where user_id = any($2)",
        run_id,
        &living as &[&str],
        at,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update user_foreign_keys set _zephr_deleted_at = $3, _zephr_loaded_at = $3, _zephr_run_id = $1
         where user_id = any($2) and _zephr_deleted_at is null",
        run_id,
        &living as &[&str],
        at,
    )
    .execute(&mut *connection)
    .await?;
    let gone = rows::living_below(connection, &USER_GRANTS, "user_id", &living).await?;
    rows::tombstone(connection, &USER_GRANTS, run_id, &gone).await?;
    Ok(living.len() as i64)
}

/// Writes rows as they are read now. Their users are the same, so neither is there a new version
/// nor do their rows count as changed.
async fn rewrite(connection: &mut PgConnection, rows: &[&Extracted]) -> Result<(), sqlx::Error> {
    let issues = column(rows, User::issues_as_json);
    sqlx::query_file!(
        "src/load/merge/users_reread.sql",
        &column(rows, |user| user.user_id.as_str()) as &[&str],
        &column(rows, |user| user.email.as_deref()) as &[Option<&str>],
        &column(rows, |user| user.username.as_deref()) as &[Option<&str>],
        &column(rows, |user| user.email_verified) as &[Option<bool>],
        &column(rows, |user| user.tracking_id.as_deref()) as &[Option<&str>],
        &column(rows, |user| user.registered_at) as &[Option<DateTime<Utc>>],
        &column(rows, |user| user.registration_tenant.as_deref()) as &[Option<&str>],
        &column(rows, |user| user.attributes.as_deref()) as &[Option<&str>],
        &column(rows, |user| user.extra.as_str()) as &[&str],
        &rows.iter().map(|(_, at)| *at).collect::<Vec<_>>() as &[Option<DateTime<Utc>>],
        &column(rows, |user| user.hash.as_slice()) as &[&[u8]],
        &issues as &[Option<String>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn upsert(
    connection: &mut PgConnection,
    run_id: Uuid,
    rows: &[&Extracted],
    superseded_at: Option<DateTime<Utc>>,
) -> Result<(), sqlx::Error> {
    let issues = column(rows, User::issues_as_json);
    sqlx::query_file!(
        "src/load/merge/users.sql",
        run_id,
        &column(rows, |user| user.user_id.as_str()) as &[&str],
        &column(rows, |user| user.email.as_deref()) as &[Option<&str>],
        &column(rows, |user| user.username.as_deref()) as &[Option<&str>],
        &column(rows, |user| user.email_verified) as &[Option<bool>],
        &column(rows, |user| user.tracking_id.as_deref()) as &[Option<&str>],
        &column(rows, |user| user.registered_at) as &[Option<DateTime<Utc>>],
        &column(rows, |user| user.registration_tenant.as_deref()) as &[Option<&str>],
        &column(rows, |user| user.attributes.as_deref()) as &[Option<&str>],
        &column(rows, |user| user.extra.as_str()) as &[&str],
        &rows.iter().map(|(_, at)| *at).collect::<Vec<_>>() as &[Option<DateTime<Utc>>],
        &column(rows, |user| user.hash.as_slice()) as &[&[u8]],
        &issues as &[Option<String>],
        superseded_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn column<'a, T>(rows: &[&'a Extracted], value: impl Fn(&'a User) -> T) -> Vec<T> {
    rows.iter().map(|(user, _)| value(user)).collect()
}

/// Grants follow their user: those that came are live, those that did not are tombstones. Where the
/// record says nothing of them, they stay.
async fn grants(
    connection: &mut PgConnection,
    run_id: Uuid,
    rows: &[Extracted],
    updated: &[&str],
) -> Result<(), sqlx::Error> {
    let told = rows.iter().filter(|(user, _)| user.grants.is_some());
    let told: HashSet<&str> = told.map(|(user, _)| user.user_id.as_str()).collect();
    let sent: Vec<&Row> = (rows.iter())
        .flat_map(|(user, _)| user.grants.iter().flatten())
        .collect();
    let mut updated = updated.to_vec();
    updated.retain(|user_id| told.contains(user_id));
    if !updated.is_empty() {
        let keys: HashSet<&[String]> = sent.iter().map(|grant| grant.key.as_slice()).collect();
        let mut gone = rows::living_below(connection, &USER_GRANTS, "user_id", &updated).await?;
        gone.retain(|key| !keys.contains(key.as_slice()));
        rows::tombstone(connection, &USER_GRANTS, run_id, &gone).await?;
    }
    // One statement may not meet a key twice: of a grant that a user shows twice the later one counts.
    let mut sent = sent;
    sent.reverse();
    sent.sort_by(|a, b| a.key.cmp(&b.key));
    sent.dedup_by(|again, kept| again.key == kept.key);
    if !sent.is_empty() {
        let answered_at = rows.iter().filter_map(|(_, at)| *at).min();
        rows::upsert(connection, &USER_GRANTS, run_id, answered_at, &sent).await?;
    }
    Ok(())
}

/// Foreign keys follow their user: those that came are live, those that did not are tombstones.
async fn foreign_keys(
    connection: &mut PgConnection,
    run_id: Uuid,
    rows: &[&Extracted],
    updated: &[&str],
) -> Result<(), sqlx::Error> {
    let (mut owners, mut systems, mut keys, mut at) = (vec![], vec![], vec![], vec![]);
    for (user, extracted_at) in rows {
        for key in &user.foreign_keys {
            owners.push(user.user_id.as_str());
            systems.push(key.system.as_str());
            keys.push(key.key.as_str());
            at.push(*extracted_at);
        }
    }
    if updated.is_empty() && owners.is_empty() {
        return Ok(());
    }
    sqlx::query_file!(
        "src/load/merge/user_foreign_keys.sql",
        run_id,
        updated as &[&str],
        &owners as &[&str],
        &systems as &[&str],
        &keys as &[&str],
        &at as &[Option<DateTime<Utc>>],
    )
    .execute(connection)
    .await?;
    Ok(())
}
