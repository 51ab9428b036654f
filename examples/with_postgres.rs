//! Runs a command with a throw-away Postgres: `cargo run --example with_postgres -- [--durable] COMMAND…`
//!
//! The command finds it in `ZEPHR_TEST_DATABASE_URL`, as a user who may create databases. One cluster serves a whole test run; each test makes a database
//! of its own. `--durable` keeps fsync on, as benchmarks need.

use std::process::ExitCode;

use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use zephr_sync::postgres::private::{Durability, PrivateCluster};

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let durability = if arguments.next_if(|argument| argument == "--durable").is_some() {
        Durability::Safe
    } else {
        Durability::None
    };
    let program = arguments.next().ok_or("usage: with_postgres [--durable] COMMAND…")?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;

    let directory = tempfile::tempdir()?;
    let cluster = PrivateCluster::start_with(directory.path(), durability).await?;
    let home = cluster.home().to_owned();
    let mut command = Command::new(program);
    command.args(arguments);
    // `cargo run` describes this package in our environment, and ring's build script asks to be run again whenever that changes:
    // handed on, it would make a cargo under us rebuild half of the dependencies, and the next one outside again.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    let mut child = command
        .env("ZEPHR_TEST_DATABASE_URL", cluster.url())
        .kill_on_drop(true)
        .spawn()?;
    let status = tokio::select! {
        status = child.wait() => Some(status?),
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    };
    // A signal from the terminal reaches the command too; it has until here to end by itself.
    if status.is_none() {
        child.wait().await?;
    }
    cluster.stop().await?;
    std::fs::remove_dir_all(home)?;
    let code = status.and_then(|status| status.code()).and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}
