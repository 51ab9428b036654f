//! The program, tested the way it is used: by running the binary against the simulator over HTTP
//! and a real Postgres, and by breaking what it promises to survive. One file per promise;
//! `support` starts things.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "tests pick one form of JSON out of all"
)]

mod api;
mod architecture;
mod attributes;
mod awkward;
mod bad_answers;
mod behaviours;
mod bulk_lookups;
mod bulk_plan;
mod bulk_push;
mod bulk_results;
mod bulk_trial;
mod bulk_undo;
mod check;
mod daemon;
mod dbt;
mod deletions;
mod demo;
mod differential;
mod drift;
mod endless;
mod erase;
mod events;
mod faults;
mod foreign_keys;
mod grants;
mod history;
mod hostile_headers;
mod identity;
mod inbox;
mod incremental;
mod init;
mod kill;
mod leases;
mod limits;
mod lists;
mod locks;
mod memory;
mod migrate;
mod older;
mod orders;
mod packaging;
mod parts;
mod postgres_stops;
mod prescribed;
mod previews;
mod privacy;
mod questions;
mod redact;
mod replay;
mod reports;
mod resources;
mod restored;
mod retention;
mod settings;
mod settings_change;
mod share;
mod signs;
mod simulate;
mod stopping;
mod support;
mod tables;
mod times;
mod unchanged;
mod unsaid;
mod users;
mod verify;
mod web;
