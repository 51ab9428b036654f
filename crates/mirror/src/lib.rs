//! All tables in Postgres.
//!
//! - [`load`]: the data tables, and the only place that writes them
//! - [`state`]: our own bookkeeping
//! - [`attributes`]: the view that follows the tenant's own schema
//! - [`postgres`]: connections, sessions and migrations
//! - [`unfit`]: columns that cannot be relied on
//!
//! It decides what is stored and how, inside the transactions of whoever calls. It knows nothing of
//! HTTP, of files or of when anything runs.

// Denied and not forbidden for the one line in `postgres::sockets` that sqlx leaves no other way
// for.
#![deny(unsafe_code)]
// On times the operators panic where a type ends: `clock::time` has what does not.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod attributes;
pub mod load;
pub mod postgres;
pub mod state;
pub mod unfit;
