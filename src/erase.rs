//! Removing a person from the mirror, for good, and keeping them out.
//!
//! ```text
//! who? ──► look: rows by table ──► lease ─ remove everywhere ─ note the keyed hash ─ commit
//! ```
//!
//! Data tables are found in the catalog, so a table that some job made is not forgotten; the places
//! in the bookkeeping are known. Zephr is not told.

use sqlx::{Connection, PgConnection};

use crate::sync::{Error, holder_name};
use mirror::load::erase;
use mirror::load::mentions::{self, Mentions, Names};
use mirror::postgres::connect::Database;
use mirror::state::erasures::{self, Erasure, Removed};
use mirror::state::leases::{self, Holder, Lease};
use mirror::state::{marks, personal_data};
use privacy::HashKey;
use record::By;
use record::Resource;

/// The resources whose runs write rows about people: an erasure waits until none of them is under
/// way, since such a run has looked before who was erased.
const WRITERS: [Resource; 5] = [
    Resource::Users,
    Resource::Accounts,
    Resource::Events,
    Resource::Segments,
    Resource::List,
];

/// What an erasure works with.
#[derive(Debug)]
pub struct Environment<'a> {
    /// The mirror.
    pub database: &'a Database,
    /// The key of its hashes.
    pub key: &'a HashKey,
}

/// What the mirror holds about a person.
#[derive(Debug)]
pub struct Held {
    /// Rows by table; tables without any are left out.
    pub rows: Removed,
    /// Rows that are not about them and name them all the same, which an erasure leaves.
    pub mentions: Mentions,
    /// When they were erased, if they were.
    pub erasure: Option<Erasure>,
}

/// The identifiers of the users whom these words name.
pub async fn named(env: &Environment<'_>, by: &By, words: &str) -> Result<Vec<String>, Error> {
    let mut connection = env.database.connect().await?;
    let hashed = env.key.hash_value(words);
    Ok(erase::named(&mut connection, by, words, Some(&hashed)).await?)
}

/// Looks what there is about a person, and changes nothing. `words` are what they were named by:
/// where the mirror holds only a hash of it, nothing else tells who is meant in a row of others.
pub async fn held(env: &Environment<'_>, user_id: &str, words: &str) -> Result<Held, Error> {
    let mut connection = env.database.connect().await?;
    let mut rows = personal_data::count(&mut connection, user_id).await?;
    let schema = env.database.schemas().data();
    for holder in erase::holders(&mut connection, schema).await? {
        let count = holder.count(&mut connection, user_id).await?;
        if count > 0 {
            rows.insert(holder.name, count);
        }
    }
    let known = mentions::names(&mut connection, user_id).await?;
    let known = known.iter().map(String::as_str);
    let names = Names::new([user_id, words].into_iter().chain(known));
    let mentions = mentions::of(&mut connection, schema, user_id, &names).await?;
    let erasure = erasures::get(&mut connection, env.key.of_erased(user_id)).await?;
    Ok(Held {
        rows,
        mentions,
        erasure,
    })
}

/// Removes a person and notes that they were erased. `waiting` is told when somebody else holds a
/// lease.
///
/// # Errors
/// The lease is held, or the database failed; then nothing was removed.
pub async fn erase(
    env: &Environment<'_>,
    user_id: &str,
    erased_by: &str,
    reason: Option<&str>,
    mut waiting: impl FnMut(Resource, &Holder),
) -> Result<Erasure, Error> {
    let mut held = Vec::with_capacity(WRITERS.len());
    for resource in WRITERS {
        let session = env.database.connect().await?;
        let told = |holder: &Holder| waiting(resource, holder);
        match leases::acquire(session, resource, &holder_name(), told).await {
            Ok(lease) => held.push(lease),
            Err(error) => {
                release(held).await;
                return Err(error.into());
            }
        }
    }
    let erased = remove(env, &held, user_id, erased_by, reason).await;
    release(held).await;
    erased
}

async fn release(leases: Vec<Lease>) {
    for lease in leases {
        lease.release().await;
    }
}

async fn remove(
    env: &Environment<'_>,
    leases: &[Lease],
    user_id: &str,
    erased_by: &str,
    reason: Option<&str>,
) -> Result<Erasure, Error> {
    let mut connection = env.database.connect().await?;
    let mut transaction = connection.begin().await?;
    for lease in leases {
        lease.token().fence(&mut transaction).await?;
    }
    // In a schema from an older backup there is none.
    marks::make(&mut *transaction).await?;
    let was_living = erase::is_living(&mut transaction, user_id).await?;
    let removed = rows(&mut transaction, env.database.schemas().data(), user_id).await?;
    let hash = env.key.of_erased(user_id);
    let erasure = erasures::add(
        &mut transaction,
        hash,
        erased_by,
        reason,
        &removed,
        was_living,
    )
    .await?;
    // Whatever is restored from before this is told from what is there now.
    marks::renew(&mut transaction).await?;
    transaction.commit().await?;
    Ok(erasure)
}

async fn rows(
    connection: &mut PgConnection,
    schema: &str,
    user_id: &str,
) -> Result<Removed, sqlx::Error> {
    let mut removed = personal_data::count(connection, user_id).await?;
    personal_data::remove(connection, user_id).await?;
    let mut tables = Vec::new();
    for holder in erase::holders(connection, schema).await? {
        let count = holder.remove(connection, user_id).await?;
        if count > 0 {
            tables.push(holder.name.clone());
            removed.insert(holder.name, count);
        }
    }
    tables.extend(marks::months(connection).await?);
    let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
    marks::note_emptied(connection, &tables).await?;
    Ok(removed)
}
