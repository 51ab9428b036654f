//! Keeps a Postgres copy of a Zephr tenant that analysts can trust.
//!
//! Data flows in one direction:
//!
//! ```text
//! Zephr API ──► scan (windows) ──► compare (hashes) ──► merge + progress, one transaction ──► tables     sync
//! CSV file ──► plan (diff against the mirror) ──► ledger ──► submit chunks ──► poll ──► reconcile ──► report, undo     bulk
//! ```
//!
//! The rooms, from the outside in. Arrows of import point down this list, never up; `zephr`, `load` and `state` do not know each other, and [`sync`] introduces
//! them.
//!
//! - [`cli`]: one file per command; [`config`] holds the settings, [`telemetry`] the logs, [`lifecycle`] the signals, [`supervisor`] what systemd hears
//! - [`daemon`]: jobs by schedule, on one machine or several; [`web`]: its page, API and metrics; [`live`]: what this process does, written by the one and read by the other
//! - [`bulk`]: a push of updates to the tenant, from a CSV file to what became of each row; [`sync`]: one sync run, the flow; [`verify`]: comparing the mirror with the API; [`erase`]: removing a person
//! - [`identity`]: whose mirror it is, asked before anything is read or written
//! - [`places`]: a daemon among others, and its part of the tenant's ceiling
//! - [`zephr`]: the Admin API; [`scan`]: reading the export whole; [`load`]: the data tables; [`state`]: our own bookkeeping
//! - [`notify`]: webhooks about runs, and a command after a success
//! - [`postgres`]: connections, migrations, the private cluster; [`attributes`]: the view that follows the tenant's own schema
//! - [`simulator`]: a stateful Zephr with faults and drift, for the demo, tests and benchmarks; it knows none of the others
//! - [`dbt`]: a dbt project on top of the mirror, as `init --dbt` writes it
//! - [`schedule`]: when jobs run, in what order, and what follows if they could not
//! - [`resource`]: what is mirrored beside users and events, described
//! - [`job`], [`privacy`], [`record`], [`table`], [`remedy`], [`clock`], [`memory`], [`toml_file`]: the words that all share

// Denied and not forbidden for the one line in `postgres::sockets` that sqlx leaves no other way for.
#![deny(unsafe_code)]
// On times the operators panic where a type ends, and a panic ends the process with all its tenants: `clock::time` has what does not. Of numbers clippy.toml says
// that they may: those overflow in tests, and wrap in a release.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod bulk;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod dbt;
pub mod erase;
pub mod identity;
pub mod job;
pub mod live;
pub mod notify;
pub mod places;
pub mod supervisor;
pub mod sync;
pub mod verify;
pub mod web;
