//! What a perfect copy of the tenant would hold, and how the mirror differs from that.
//!
//! Postgres does the comparing, as `jsonb`: neither the order of keys nor the spelling of a number
//! matters, and nothing of the program's own reading is trusted.

pub mod lists;

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::value::RawValue;
use simulator::Tenant;
use sqlx::{Executor, Row};

use super::Mirror;

/// Records sent to Postgres at once.
const BATCH: usize = 10_000;

/// Differences told; one is enough to fail, and ten show what they have in common.
const TOLD: i64 = 10;

/// All users the tenant holds, a JSON record each.
pub fn lines(tenant: &Tenant) -> Vec<String> {
    let truth = String::from_utf8(tenant.truth()).expect("text");
    truth.lines().map(str::to_owned).collect()
}

/// The key of a record, if a mirror can hold a record with that key: text, not empty, and no longer
/// than an index takes.
pub fn key(line: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Record {
        user: User,
    }
    #[derive(Deserialize)]
    struct User {
        user_id: Option<Box<RawValue>>,
    }
    let record: Record = serde_json::from_str(line).expect(line);
    let key: String = serde_json::from_str(record.user.user_id?.get()).ok()?;
    (!key.is_empty() && key.len() <= 800).then_some(key)
}

/// The keys of all records that a mirror can hold.
pub fn keys(tenant: &Tenant) -> BTreeSet<String> {
    lines(tenant).iter().filter_map(|line| key(line)).collect()
}

/// The keys of all living users in the mirror.
pub async fn mirrored(mirror: &Mirror) -> BTreeSet<String> {
    let rows = mirror
        .rows("select user_id from users where _zephr_deleted_at is null")
        .await;
    rows.iter().map(|row| row.get(0)).collect()
}

/// Fails the test unless the mirror holds exactly the users of a tenant without awkward people,
/// field by field, and their foreign keys.
#[track_caller]
pub fn expect_equal<'a>(tenant: &'a Tenant, mirror: &'a Mirror) -> impl Future<Output = ()> + 'a {
    let caller = std::panic::Location::caller();
    async move {
        let differences = differences(tenant, mirror).await;
        assert!(
            differences.is_empty(),
            "{caller}:\n{}",
            differences.join("\n")
        );
    }
}

/// What differs: a line for each user and each foreign key, ten of each at most.
pub async fn differences(tenant: &Tenant, mirror: &Mirror) -> Vec<String> {
    differences_from(&lines(tenant), Others::AreTooMany, mirror).await
}

/// What to make of rows of the mirror of which the truth given says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// They should not be there.
    AreTooMany,
    /// Nothing: only a part of the truth is given.
    AreLeftAlone,
}

/// What differs from these users of the truth, none of them awkward.
pub async fn differences_from(lines: &[String], others: Others, mirror: &Mirror) -> Vec<String> {
    let mut connection = mirror.connect().await;
    connection
        .execute("create temporary table truth (user_id text primary key, item jsonb)")
        .await
        .expect("a table");
    for batch in lines.chunks(BATCH) {
        sqlx::query(
            "insert into truth select i #>> '{user,user_id}', i from unnest($1::jsonb[]) i",
        )
        .bind(batch)
        .execute(&mut connection)
        .await
        .expect("the truth is JSON that Postgres can hold");
    }
    let mut differences = Vec::new();
    for sql in [
        include_str!("truth/users.sql"),
        include_str!("truth/foreign_keys.sql"),
    ] {
        let found: Vec<String> = sqlx::query_scalar(sql)
            .bind(TOLD)
            .bind(others == Others::AreTooMany)
            .fetch_all(&mut connection)
            .await
            .expect("a comparison");
        differences.extend(found);
    }
    differences
}
