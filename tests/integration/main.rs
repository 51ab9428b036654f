//! The program, tested the way it is used: by running the binary against the simulator over HTTP and a real Postgres, and by breaking what it promises to
//! survive. One file per promise; `support` starts things.

mod api;
mod awkward;
mod behaviours;
mod check;
mod dbt;
mod deletions;
mod demo;
mod drift;
mod faults;
mod foreign_keys;
mod history;
mod incremental;
mod init;
mod kill;
mod leases;
mod limits;
mod memory;
mod migrate;
mod older;
mod postgres_stops;
mod previews;
mod privacy;
mod questions;
mod replay;
mod reports;
mod resources;
mod settings;
mod simulate;
mod support;
mod tables;
mod unchanged;
mod users;
mod verify;
