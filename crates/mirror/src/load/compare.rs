//! What is new or different, asked with as little as possible.
//!
//! Postgres spends its time parsing documents, so none is sent before it is known to be needed. A
//! hash covers the key and everything else in its record, so the same hash among the living rows of
//! a window means the same record. The hashes of a window are fetched, sixteen bytes a row, from a
//! covering index alone: that costs Postgres half of what combining them into one would, and tells
//! at once which records are equal.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use record::{HASH_BYTES, Item};

type Hash = [u8; HASH_BYTES];

/// The stretch of registration time whose living rows are compared with some records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Inclusive; none means from the beginning.
    pub from: Option<DateTime<Utc>>,
    /// Exclusive; none means to the end.
    pub until: Option<DateTime<Utc>>,
}

/// Everybody who was sent for a stretch of registration time.
#[derive(Debug)]
pub struct Group {
    /// The stretch.
    pub range: Range,
    /// Their records.
    pub items: Vec<Item>,
    /// Keys of the records that cannot be stored: they are not missing.
    pub rejected: Vec<String>,
}

/// Keeps of each group of records those that are new or different, and answers with the keys of the
/// living rows that none of them is about.
pub async fn changed(
    connection: &mut PgConnection,
    groups: &mut [Group],
) -> Result<Vec<String>, sqlx::Error> {
    let mirrored = hashes(connection, groups).await?;
    // Of each group, what the mirror holds and nobody sent: it changed, or it is missing.
    let mut left: Vec<HashSet<Hash>> = Vec::with_capacity(groups.len());
    for (group, mirrored) in groups.iter_mut().zip(mirrored) {
        if is_equal(&group.items, of_bytes(&mirrored)) {
            group.items.clear();
            left.push(HashSet::new());
            continue;
        }
        once_each(&mut group.items);
        let mut mirrored = of_bytes(&mirrored);
        group.items.retain(|item| !mirrored.remove(&item.hash));
        left.push(mirrored);
    }
    without_equal_undated(connection, groups).await?;
    replaced(connection, groups, &mut left).await?;
    let mut gone = Vec::new();
    for (group, left) in groups.iter().zip(left) {
        if !left.is_empty() {
            let rejected = |id: &String| group.rejected.contains(id);
            let holders = holders(connection, group.range, &left).await?;
            gone.extend(holders.into_iter().filter(|id| !rejected(id)));
        }
    }
    Ok(gone)
}

/// Leaves out of the records without a date those that a row without one equals: such a row is in
/// no window.
async fn without_equal_undated(
    connection: &mut PgConnection,
    groups: &mut [Group],
) -> Result<(), sqlx::Error> {
    let items = groups.iter().flat_map(|group| &group.items);
    let undated: Vec<&[u8]> = items
        .filter(|item| item.registered_at.is_none())
        .map(|item| item.hash.as_slice())
        .collect();
    if undated.is_empty() {
        return Ok(());
    }
    let equal = sqlx::query_scalar!(
        "select _zephr_hash from users where registered_at is null and _zephr_deleted_at is null and _zephr_hash = any($1)",
        &undated as &[&[u8]],
    )
    .fetch_all(connection)
    .await?;
    let equal: HashSet<Hash> = equal.iter().flat_map(|hash| of_bytes(hash)).collect();
    for group in groups {
        group
            .items
            .retain(|item| item.registered_at.is_some() || !equal.contains(&item.hash));
    }
    Ok(())
}

/// Takes out of what is left of each group the rows that some record of it is about: they changed.
async fn replaced(
    connection: &mut PgConnection,
    groups: &[Group],
    left: &mut [HashSet<Hash>],
) -> Result<(), sqlx::Error> {
    let changing = || (groups.iter().zip(&*left)).filter(|(_, left)| !left.is_empty());
    let ids: Vec<&str> = changing()
        .flat_map(|(group, _)| &group.items)
        .map(|item| item.id.as_str())
        .collect();
    if ids.is_empty() {
        return Ok(());
    }
    let hashes = sqlx::query_scalar!(
        "select _zephr_hash from users where user_id = any($1) and _zephr_deleted_at is null",
        &ids as &[&str],
    )
    .fetch_all(connection)
    .await?;
    for hash in hashes.iter().flat_map(|hash| of_bytes(hash)) {
        for left in left.iter_mut() {
            left.remove(&hash);
        }
    }
    Ok(())
}

/// Hashes that stand one behind the other.
fn of_bytes(bytes: &[u8]) -> HashSet<Hash> {
    bytes.as_chunks().0.iter().copied().collect()
}

/// Whether these records are those of the mirror, each once.
fn is_equal(items: &[Item], mut mirrored: HashSet<Hash>) -> bool {
    items.len() == mirrored.len() && items.iter().all(|item| mirrored.remove(&item.hash))
}

/// Of a user that was sent twice the last counts: nothing says which is the newer one, and the next
/// scan settles it.
fn once_each(items: &mut Vec<Item>) {
    let mut seen = HashSet::with_capacity(items.len());
    let mut keep: Vec<bool> = items
        .iter()
        .rev()
        .map(|item| seen.insert(item.id.as_str()))
        .collect();
    drop(seen);
    items.retain(|_| keep.pop().unwrap_or(true));
}

/// The hashes of the living rows of each group's range, one behind the other, in the order of the
/// groups.
async fn hashes(
    connection: &mut PgConnection,
    groups: &[Group],
) -> Result<Vec<Vec<u8>>, sqlx::Error> {
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let from: Vec<_> = groups.iter().map(|group| group.range.from).collect();
    let until: Vec<_> = groups.iter().map(|group| group.range.until).collect();
    sqlx::query_file_scalar!(
        "src/load/compare/hashes.sql",
        &from as &[Option<DateTime<Utc>>],
        &until as &[Option<DateTime<Utc>>],
    )
    .fetch_all(connection)
    .await
}

/// Keys of the living rows of the range that have one of these hashes.
async fn holders(
    connection: &mut PgConnection,
    range: Range,
    hashes: &HashSet<Hash>,
) -> Result<Vec<String>, sqlx::Error> {
    let hashes: Vec<&[u8]> = hashes.iter().map(<[u8; HASH_BYTES]>::as_slice).collect();
    sqlx::query_file_scalar!(
        "src/load/compare/holders.sql",
        range.from,
        range.until,
        &hashes as &[&[u8]],
    )
    .fetch_all(connection)
    .await
}

/// Living rows of the range, or without a date if there is none, after a key already seen, in the
/// order of their keys. For the parts of a scan that were read by page: who is not among their
/// people is missing.
pub async fn living(
    connection: &mut PgConnection,
    range: Option<Range>,
    after: &str,
    limit: i64,
) -> Result<Vec<String>, sqlx::Error> {
    match range {
        Some(range) => {
            sqlx::query_scalar!(
                "select user_id from users
                 where registered_at >= coalesce($1::timestamptz, '-infinity') and registered_at < coalesce($2::timestamptz, 'infinity')
                   and _zephr_deleted_at is null and user_id > $3
                 order by user_id limit $4",
                range.from,
                range.until,
                after,
                limit,
            )
            .fetch_all(connection)
            .await
        }
        None => {
            sqlx::query_scalar!(
                "select user_id from users where registered_at is null and _zephr_deleted_at is null and user_id > $1
                 order by user_id limit $2",
                after,
                limit,
            )
            .fetch_all(connection)
            .await
        }
    }
}

/// Which of these users are there, alive, and as no run of these left them.
pub async fn untouched(
    connection: &mut PgConnection,
    ids: &[&str],
    runs: &[Uuid],
) -> Result<HashSet<String>, sqlx::Error> {
    let untouched = sqlx::query_scalar!(
        "select user_id from users where user_id = any($1) and _zephr_deleted_at is null and _zephr_run_id <> all($2)",
        ids as &[&str],
        runs,
    )
    .fetch_all(connection)
    .await?;
    Ok(untouched.into_iter().collect())
}

/// Some living users.
pub async fn some_living(
    connection: &mut PgConnection,
    limit: i64,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select user_id from users where _zephr_deleted_at is null limit $1",
        limit,
    )
    .fetch_all(connection)
    .await
}

/// How many living users there are.
pub async fn count_living(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"select count(*) as "count!" from users where _zephr_deleted_at is null"#)
        .fetch_one(connection)
        .await
}

/// About how many living users there are: counted where they are few, and as Postgres estimates it
/// where they are many.
pub async fn about_living(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    let estimate: f32 = sqlx::query_scalar!(
        r#"select reltuples as "estimate!" from pg_class where oid = 'users'::regclass"#
    )
    .fetch_one(&mut *connection)
    .await?;
    if estimate > COUNTED {
        return Ok(estimate as i64);
    }
    count_living(connection).await
}

/// Up to so many rows are counted to know how many there are: it takes some milliseconds.
const COUNTED: f32 = 20_000.0;

/// Registrations at which to cut time so that each piece holds about `rows` living users.
pub async fn quantiles(
    connection: &mut PgConnection,
    rows: i64,
) -> Result<Vec<DateTime<Utc>>, sqlx::Error> {
    sqlx::query_file_scalar!("src/load/compare/quantiles.sql", rows)
        .fetch_all(connection)
        .await
}

/// How the mirror knows some records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Keys that are there with the same content, live.
    pub equal: i64,
    /// Keys that are there with other content, or as tombstones.
    pub different: i64,
}

/// Compares keys and hashes with the mirror.
pub async fn known(
    connection: &mut PgConnection,
    ids: &[&str],
    hashes: &[&[u8]],
) -> Result<Known, sqlx::Error> {
    sqlx::query_as!(
        Known,
        r#"select count(*) filter (where u._zephr_hash = i.hash and u._zephr_deleted_at is null) as "equal!",
                  count(*) filter (where u._zephr_hash <> i.hash or u._zephr_deleted_at is not null) as "different!"
           from unnest($1::text[], $2::bytea[]) as i (user_id, hash) join users u using (user_id)"#,
        ids as &[&str],
        hashes as &[&[u8]],
    )
    .fetch_one(connection)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::{Grants, Piece};

    fn item(id: &str, hash: u8) -> Item {
        Item {
            id: id.into(),
            registered_at: None,
            from_number: false,
            grants: Grants::Told,
            hash: [hash; 16],
            text: Piece::default(),
            issues: vec![],
        }
    }

    #[test]
    fn of_a_repeated_user_the_last_counts() {
        let mut items = vec![item("a", 1), item("b", 2), item("a", 3)];
        once_each(&mut items);
        let left: Vec<_> = items
            .iter()
            .map(|item| (item.id.as_str(), item.hash[0]))
            .collect();
        assert_eq!(left, [("b", 2), ("a", 3)]);
    }
}
