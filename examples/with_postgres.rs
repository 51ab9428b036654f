//! Runs a command with a Postgres that is there as long as the command runs.
//!
//! ```text
//! cargo run --example with_postgres -- [--durable] COMMAND [ARGUMENT…]
//! ```
//!
//! The command finds a URL in `ZEPHR_TEST_DATABASE_URL`. Its user is a superuser, so one cluster
//! serves a whole test run and each test makes a database of its own. The server's data is in a
//! temporary directory and gone afterwards; by default a crash of the machine may destroy it, which
//! makes tests fast. `--durable` keeps the defaults, for benchmarks. The exit code is the
//! command's.

use std::error::Error;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};

use futures::FutureExt;
use private_postgres::{Durability, PrivateCluster};
use rustix::process::{Pid, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let durability = match arguments.next_if(|argument| argument == "--durable") {
        Some(_) => Durability::Safe,
        None => Durability::None,
    };
    let program = arguments
        .next()
        .ok_or("usage: with_postgres [--durable] COMMAND [ARGUMENT…]")?;
    let mut command = Command::new(program);
    command.args(arguments);
    // `cargo run` describes this package in our environment, and ring's build script asks to be run
    // again whenever that changes: handed on, it would make a cargo under us rebuild half of the
    // dependencies, and the next one outside again.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        }) {
            command.env_remove(name);
        }
    }

    let directory = tempfile::tempdir()?;
    let status = run(directory.path(), durability, command).await?;
    directory.close()?;
    Ok(exit_code(status))
}

async fn run(
    data_dir: &Path,
    durability: Durability,
    mut command: Command,
) -> Result<ExitStatus, Box<dyn Error>> {
    // Signals are ours from here on, so that what was started is also removed.
    let mut signals = Signals::listen()?;
    let cluster = PrivateCluster::start_with(data_dir, durability).await?;
    command.env("ZEPHR_TEST_DATABASE_URL", cluster.url());
    let result = if signals.came() {
        Err(std::io::ErrorKind::Interrupted.into())
    } else {
        match command.spawn() {
            Ok(child) => signals.pass_on_while(child).await,
            Err(error) => Err(error),
        }
    };
    cluster.remove().await?;
    Ok(result
        .map_err(|error| format!("{:?} did not run: {error}", command.as_std().get_program()))?)
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Whether one came while the cluster was being started.
    fn came(&mut self) -> bool {
        self.interrupt.recv().now_or_never().is_some()
            || self.terminate.recv().now_or_never().is_some()
    }

    /// Waits for the command. Ctrl-C reaches it without us, since it shares our terminal; a `kill`
    /// reaches only us and is passed on.
    async fn pass_on_while(mut self, mut child: Child) -> std::io::Result<ExitStatus> {
        loop {
            tokio::select! {
                status = child.wait() => return status,
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {
                    if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
                        // It may have ended in this moment, which is what was wanted.
                        let _ = kill_process(pid, rustix::process::Signal::TERM);
                    }
                }
            }
        }
    }
}

/// The command's own code, or what a shell makes of a signal.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or(status.signal().map(|signal| 128 + signal))
        .unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
