//! `zephr-sync --version --json`: what exactly this binary is, for people who have to tell two of
//! them apart.

use serde::Serialize;

use super::exit::Exit;
use super::output::Output;
use mirror::postgres::migrate;

/// What the binary knows of itself.
#[derive(Debug, Serialize)]
struct Version {
    name: &'static str,
    version: &'static str,
    /// With `-dirty` after it when the sources were not as committed; `unknown` when it was not
    /// built from git, or for debugging.
    commit: &'static str,
    rustc: &'static str,
    /// The latest migration.
    schema: i64,
    features: Vec<&'static str>,
}

/// Prints the document.
pub fn run() -> Exit {
    let version = Version {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        commit: env!("BUILT_FROM_COMMIT"),
        rustc: env!("BUILT_BY_RUSTC"),
        schema: migrate::latest(),
        features: env!("BUILT_WITH_FEATURES").split_terminator(',').collect(),
    };
    match Output::new(true).result(&version, |_| String::new()) {
        Ok(()) => Exit::Done,
        Err(_) => Exit::Failed,
    }
}
