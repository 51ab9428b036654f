//! The Zephr Admin API: the only crate that speaks HTTP to it.
//!
//! It decides how it is asked, how often, and what an answer means; it knows nothing of Postgres,
//! of scans or of schedules.
//!
//! [`signing`] signs, [`transport`] sends a request once and reads its answer, [`client`] asks
//! until there is one, and counts, [`governor`] decides how many and how fast, [`error`] names what
//! went wrong and what to do, [`read`] holds the calls that read, [`export`] turns the export's
//! envelopes into items and [`user`] an item into a record. [`lexer`] reads JSON token by token,
//! and [`canonical`] brings a record into the one form in which equal content is equal bytes.
//! [`event`] reads events, [`list`] other lists, and [`row`] turns an item of one into a row of its
//! table. [`updates`] sends bulk updates and reads their jobs, [`person`] a user as they are at
//! this moment. [`redact`] takes out of a record what may not be kept, before anything is made of
//! it. [`rejoin`] makes a user of a record again, and [`difference`] compares it with what the API
//! shows.

// On times the operators panic where a type ends: `clock::time` has what does not.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod base_url;
pub mod canonical;
pub mod client;
pub mod difference;
mod envelope;
pub mod error;
pub mod event;
pub mod export;
pub mod governor;
pub mod json;
pub mod key;
pub mod lexer;
pub mod list;
pub mod person;
pub mod read;
pub mod redact;
pub mod rejoin;
pub mod reread;
pub mod row;
pub mod signing;
pub mod timestamp;
mod transport;
pub mod updates;
pub mod user;

pub use client::{BaseUrl, BaseUrlError, Client, Request};
pub use error::{Error, Failure};
pub use governor::Limits;
pub use read::Reader;
pub use signing::KeyPair;
