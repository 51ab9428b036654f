//! What a record is on its way from an answer of the API into a row, and what a table is that holds
//! such rows.
//!
//! These are the words that the API, the scan and the tables share. Nothing is decided here, and
//! nothing is known of where records come from or go to.

// On times the operators panic where a type ends: `clock::time` has what does not.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod memory;
mod piece;
pub mod table;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::table::Row;
pub use piece::{Piece, Whole};

/// Bytes of a row hash. Half a SHA-256: two versions of one user collide once in 2^128, and the
/// covering index stays small.
pub const HASH_BYTES: usize = 16;

/// A resource of the API that is mirrored, in the order in which a command that names none runs
/// their jobs: what is asked one user at a time comes after the users.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, Serialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// The tenant's user schema.
    Schema,
    /// Companies, products, bundles, entitlements, meters and credits.
    Catalog,
    /// The users of the tenant, from the user export.
    Users,
    /// Accounts with their members and grants.
    Accounts,
    /// What users did, from the events export.
    Events,
    /// Segments and who is in them.
    Segments,
    /// Another list of the API, described in the job file.
    List,
}

impl Resource {
    /// Its name in job files, in leases and in the bookkeeping.
    pub fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Accounts => "accounts",
            Self::Segments => "segments",
            Self::Schema => "schema",
            Self::Catalog => "catalog",
            Self::Events => "events",
            Self::List => "list",
        }
    }
}

/// By what a person is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// Zephr's identifier.
    UserId,
    /// The e-mail address.
    Email,
    /// The user name.
    Username,
    /// The key in this other system.
    ForeignKey(String),
}

impl std::fmt::Display for By {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UserId => f.write_str("user_id"),
            Self::Email => f.write_str("email"),
            Self::Username => f.write_str("username"),
            Self::ForeignKey(system) => write!(f, "foreign_key:{system}"),
        }
    }
}

/// A value that could not be kept as it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Issue {
    /// Where in the record: field names from the outside in, joined by dots.
    pub path: String,
    /// What was done, and why.
    pub reason: String,
}

/// A record as it was read: enough to tell whether it is new, and the text from which its row is
/// made when it is.
#[derive(Debug, Clone)]
pub struct Item {
    /// The key.
    pub id: String,
    /// When the user registered; none when that is absent or cannot be read.
    pub registered_at: Option<DateTime<Utc>>,
    /// Whether that came as a number of seconds or milliseconds since 1970.
    pub from_number: bool,
    /// What a user's record says of grants.
    pub grants: Grants,
    /// Hash of the content without volatile fields; it covers the key.
    pub hash: [u8; HASH_BYTES],
    /// The record in canonical JSON that Postgres can hold, with others of its page in one piece of
    /// memory.
    pub text: Piece,
    /// What had to be replaced for that.
    pub issues: Vec<Issue>,
}

/// What a record says of the grants of its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grants {
    /// Which ones there are; none is an answer too.
    Told,
    /// Nothing: the field is absent, or null. Some servers leave out what is empty, and an API may
    /// have lost it for everybody.
    Absent,
    /// Nothing: the field is neither a list nor an object with one.
    Unusable,
}

/// A record that cannot be stored.
#[derive(Debug, Clone)]
pub struct Reject {
    /// The key, when it is known and can be shown.
    pub id: Option<String>,
    /// Why.
    pub reason: String,
    /// The record as it was sent.
    pub text: String,
    /// Hash of its canonical content without volatile fields.
    pub content_hash: [u8; HASH_BYTES],
    /// The API's clock when it answered with it.
    pub answered_at: Option<DateTime<Utc>>,
}

/// One answer of the API: the records on a page.
#[derive(Debug, Default)]
pub struct Page {
    /// The records that can be stored.
    pub items: Vec<Item>,
    /// The records that cannot.
    pub rejects: Vec<Reject>,
    /// What the envelope said.
    pub envelope: Envelope,
    /// The API's clock when it answered.
    pub answered_at: Option<DateTime<Utc>>,
    /// Whether the answer was a 404, or a table without so much as a header: something answers, and
    /// says nothing about who is there.
    pub not_found: bool,
    /// Whether a page beyond the first one was refused (400, 416, 422): it is past the end, or deeper
    /// than the server pages.
    pub refused: bool,
    /// Whether nothing tells that it is whole: neither the length of the answer nor its own form.
    pub may_be_cut: bool,
}

impl Page {
    /// How many records the page held, storable or not.
    pub fn len(&self) -> usize {
        self.items.len() + self.rejects.len()
    }

    /// Whether it held none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What is around the records of a page, as far as it says how many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Envelope {
    /// `meta.count`: a total, the page's size, or absent; what it means is for the scan to find
    /// out.
    pub count: Option<u64>,
    /// `meta.rpp`: what the server made of ours.
    pub rpp: Option<u64>,
    /// Whether `links.next` names a page.
    pub next: bool,
}

/// What is asked of the user export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// Updated after about this instant (`since`).
    pub updated_since: Option<DateTime<Utc>>,
    /// Registered at or after about this instant (`registeredSince`).
    pub registered_since: Option<DateTime<Utc>>,
    /// Registered before about this instant (`registeredBefore`).
    pub registered_before: Option<DateTime<Utc>>,
    /// Records per page (`rpp`).
    pub rpp: u64,
    /// Which page, from 1.
    pub page: u64,
}

/// A user as a row of `users`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The key.
    pub user_id: String,
    /// E-mail address as given.
    pub email: Option<String>,
    /// User name.
    pub username: Option<String>,
    /// Whether the address was verified.
    pub email_verified: Option<bool>,
    /// Tracking identifier.
    pub tracking_id: Option<String>,
    /// When the user registered.
    pub registered_at: Option<DateTime<Utc>>,
    /// The tenant registered with.
    pub registration_tenant: Option<String>,
    /// The attributes object, as JSON.
    pub attributes: Option<String>,
    /// All the rest of the record, as JSON.
    pub extra: String,
    /// Keys in other systems, sorted, each once.
    pub foreign_keys: Vec<ForeignKey>,
    /// What the user may use, as rows of `user_grants`; none where the record says nothing of it,
    /// and then what is known stays.
    pub grants: Option<Vec<Row>>,
    /// As of the item.
    pub hash: [u8; HASH_BYTES],
    /// What could not be kept as sent.
    pub issues: Vec<Issue>,
}

impl User {
    /// What could not be kept as sent, as JSON; none when all could.
    pub fn issues_as_json(&self) -> Option<String> {
        (!self.issues.is_empty()).then(|| serde_json::json!(self.issues).to_string())
    }
}

/// A user's key in another system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForeignKey {
    /// Name of the system.
    pub system: String,
    /// The key there.
    pub key: String,
}

/// An event as a row of `user_events`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// Its identifier, or a hash of its content.
    pub event_key: String,
    /// Who did it.
    pub user_id: Option<String>,
    /// What it was.
    pub kind: Option<String>,
    /// All of its columns, as JSON.
    pub payload: Piece,
    /// As of the item.
    pub hash: [u8; HASH_BYTES],
    /// What could not be kept as sent.
    pub issues: Vec<Issue>,
}

/// A living user as the mirror holds it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirrored {
    /// The key.
    pub user_id: String,
    /// As of the row.
    pub email: Option<String>,
    /// As of the row.
    pub username: Option<String>,
    /// As of the row.
    pub email_verified: Option<bool>,
    /// As of the row.
    pub tracking_id: Option<String>,
    /// As of the row.
    pub registered_at: Option<DateTime<Utc>>,
    /// As of the row.
    pub registration_tenant: Option<String>,
    /// As of the row, as JSON.
    pub attributes: Option<String>,
    /// As of the row, as JSON.
    pub extra: String,
    /// Where in the record something could not be kept as sent.
    pub issues: Vec<String>,
}
