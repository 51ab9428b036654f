//! Keeps a Postgres copy of a Zephr tenant that analysts can trust.
//!
//! Data flows in one direction:
//!
//! ```text
//! Zephr API ──► scan (windows) ──► compare (hashes) ──► merge + progress, one transaction ──► tables     sync
//! CSV file ──► plan (diff against the mirror) ──► ledger ──► submit chunks ──► poll ──► reconcile ──► report, undo     bulk
//! ```
//!
//! What can be told without the rest of it is a crate of its own under `crates/`: the Admin API,
//! the scan, schedules, CSV files, the tables. This is the application, which introduces them to
//! each other; `docs/architecture.md` shows how, and follows one user, one CSV row and one slot
//! through it.
//!
//! - [`cli`]: one file per command; [`config`] holds the settings, [`job`] the job files,
//!   [`systemd`] what systemd hears
//! - [`daemon`]: jobs by schedule, on one machine or several; [`web`]: its page, API and metrics;
//!   [`activity`]: what this process does, written by the one and read by the other
//! - [`bulk`]: a push of updates to the tenant, from a CSV file to what became of each row;
//!   [`sync`]: one sync run, the flow; [`verify`]: comparing the mirror with the API; [`erase`]:
//!   removing a person
//! - [`identity`]: whose mirror it is, asked before anything is read or written
//! - [`membership`]: a daemon among others, and its part of the tenant's ceiling
//! - [`notify`]: webhooks about runs, and a command after a success
//! - [`dbt`]: a dbt project on top of the mirror, as `init --dbt` writes it

#![forbid(unsafe_code)]
// On times the operators panic where a type ends, and a panic ends the process with all its
// tenants: `clock::time` has what does not. Of numbers clippy.toml says that they may: those
// overflow in tests, and wrap in a release.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod activity;
pub mod bulk;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod dbt;
pub mod erase;
pub mod identity;
pub mod job;
pub mod membership;
pub mod notify;
pub mod sync;
pub mod systemd;
pub mod verify;
pub mod web;
