//! What is new or different, asked with as little as possible.
//!
//! Postgres spends its time parsing documents, so none is sent before it is known to be needed. One count and one combined hash tell whether a whole
//! window is as it was; if not, the hashes tell which of its records are new or different. A hash covers the key and everything else in its record, so
//! the same hash among the living rows of the window means the same record. Both questions are answered by one covering index.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::record::Item;

/// Count and combined hash of some records: equal for equal sets, whatever their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Digest {
    count: i64,
    combined: i64,
}

impl Digest {
    fn add(&mut self, item: &Item) {
        let [a, b, c, d, e, f, g, h, ..] = item.hash;
        self.count += 1;
        self.combined ^= i64::from_be_bytes([a, b, c, d, e, f, g, h]);
    }
}

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

/// Keeps of each group of records those that are new or different, and answers with the keys of the living rows that none of them is about. Records without a
/// date are always asked about by hash.
///
/// # Errors
/// As sqlx.
pub async fn changed(
    connection: &mut PgConnection,
    groups: &mut [Group],
) -> Result<Vec<String>, sqlx::Error> {
    let mirrored = digests(connection, groups).await?;
    let mut gone = Vec::new();
    for (group, mirrored) in groups.iter_mut().zip(mirrored) {
        let Group {
            range,
            items,
            rejected,
        } = group;
        once_each(items);
        let mut digest = Digest::default();
        items
            .iter()
            .filter(|item| item.registered_at.is_some())
            .for_each(|item| digest.add(item));
        let undated = digest.count < items.len() as i64;
        if digest == mirrored {
            items.retain(|item| item.registered_at.is_none());
        } else if mirrored.count > 0 {
            let sent: HashSet<&str> = items.iter().map(|item| item.id.as_str()).collect();
            gone.extend(
                without_equal(connection, *range, items)
                    .await?
                    .into_iter()
                    .filter(|id| !sent.contains(id.as_str()) && !rejected.contains(id)),
            );
        }
        if items.is_empty() || (mirrored.count == 0 && !undated) {
            continue;
        }
        let new = unknown(connection, *range, items).await?;
        let mut position = 0;
        items.retain(|_| {
            position += 1;
            new.contains(&position)
        });
    }
    Ok(gone)
}

/// Of a user that was sent twice the last counts: nothing says which is the newer one, and the next scan settles it.
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

async fn digests(
    connection: &mut PgConnection,
    groups: &[Group],
) -> Result<Vec<Digest>, sqlx::Error> {
    let from: Vec<_> = groups.iter().map(|group| group.range.from).collect();
    let until: Vec<_> = groups.iter().map(|group| group.range.until).collect();
    sqlx::query_file_as!(
        Digest,
        "src/load/compare/digests.sql",
        &from as &[Option<DateTime<Utc>>],
        &until as &[Option<DateTime<Utc>>],
    )
    .fetch_all(connection)
    .await
}

/// The positions, from 1, of the records whose hash no living row of the range has.
async fn unknown(
    connection: &mut PgConnection,
    range: Range,
    items: &[Item],
) -> Result<HashSet<i64>, sqlx::Error> {
    let hashes: Vec<&[u8]> = items.iter().map(|item| item.hash.as_slice()).collect();
    let positions = sqlx::query_file_scalar!(
        "src/load/compare/unknown.sql",
        &hashes as &[&[u8]],
        range.from,
        range.until,
    )
    .fetch_all(connection)
    .await?;
    Ok(positions.into_iter().collect())
}

/// Keys of the living rows of the range that equal none of these records.
async fn without_equal(
    connection: &mut PgConnection,
    range: Range,
    items: &[Item],
) -> Result<Vec<String>, sqlx::Error> {
    let hashes: Vec<&[u8]> = items.iter().map(|item| item.hash.as_slice()).collect();
    sqlx::query_file_scalar!(
        "src/load/compare/missing.sql",
        range.from,
        range.until,
        &hashes as &[&[u8]],
    )
    .fetch_all(connection)
    .await
}

/// Living rows of the range, or without a date if there is none, after a key already seen, in the order of their keys. For the parts of a scan that were read by
/// page: who is not among their people is missing.
///
/// # Errors
/// As sqlx.
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
///
/// # Errors
/// As sqlx.
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
///
/// # Errors
/// As sqlx.
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
///
/// # Errors
/// As sqlx.
pub async fn count_living(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"select count(*) as "count!" from users where _zephr_deleted_at is null"#)
        .fetch_one(connection)
        .await
}

/// Registrations at which to cut time so that each piece holds about `rows` living users.
///
/// # Errors
/// As sqlx.
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
///
/// # Errors
/// As sqlx.
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

    fn item(id: &str, hash: u8) -> Item {
        Item {
            id: id.into(),
            registered_at: None,
            hash: [hash; 16],
            text: String::new(),
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

    #[test]
    fn a_digest_does_not_depend_on_order_and_sees_each_change() {
        let digest = |hashes: &[u8]| {
            let mut digest = Digest::default();
            hashes.iter().for_each(|hash| digest.add(&item("x", *hash)));
            digest
        };
        assert_eq!(digest(&[1, 2, 3]), digest(&[3, 1, 2]));
        assert_ne!(digest(&[1, 2, 3]), digest(&[1, 2, 4]));
        assert_ne!(digest(&[1, 2]), digest(&[1, 2, 0]));
    }
}
