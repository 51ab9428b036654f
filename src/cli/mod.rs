//! The command line: one file per command, its options and its run.

pub mod adopt;
pub mod api;
pub mod behaviour;
pub mod bulk;
pub mod bulk_behaviour;
pub mod check;
pub mod completions;
pub mod daemon;
pub mod demo;
pub mod erase;
pub mod exit;
pub mod init;
pub mod man;
pub mod migrate;
pub mod opened;
pub mod operator;
pub mod output;
pub mod rejects;
pub mod runs;
pub mod simulate;
pub mod status;
pub mod sync;
pub mod tenant;
pub mod verify;
pub mod version;
pub mod watch;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::config::{Flags, Loaded, Settings};
use exit::{Exit, Failure};
use output::Output;

/// Keeps a Postgres copy of a Zephr tenant that analysts can trust.
///
/// Start with `zephr-sync demo`: it needs no tenant, no keys and no database.
#[derive(Debug, Parser)]
#[command(name = "zephr-sync", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Settings
    #[command(flatten)]
    pub flags: Flags,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 failed, or a scan ended incomplete; 2 usage or settings; 3 done, with rejects;
4 a brake stopped it; 5 somebody alive holds the lease; 130 interrupted, state saved.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what it does, on the simulator and a private Postgres, with nothing configured
    Demo(demo::Args),
    /// Write a settings file, an example environment, the job files and the SQL of the read-only
    /// role; with --dbt a dbt project too
    Init(init::Args),
    /// Check settings and job files, then clock, keys, API and Postgres; each failure with its
    /// remedy
    Check(check::Args),
    /// Bring the database schema up to date
    Migrate,
    /// Make the mirror that of the tenant that the settings name: after a move to another address
    Adopt(adopt::Args),
    /// Run jobs once, now; all enabled ones if none is named
    Sync(sync::Args),
    /// Run jobs by schedule and show that on a page, until it is told to stop
    Daemon(daemon::Args),
    /// Show what is running, how each job last went and what waits
    Status,
    /// Show the latest runs, or one
    Runs(runs::Args),
    /// Show or export records that could not be stored, or try them again
    #[command(subcommand)]
    Rejects(rejects::Command),
    /// Compare counts and sampled records with the API, field by field
    Verify(verify::Args),
    /// Remove a person from the mirror for good, and keep them out
    Erase(erase::Args),
    /// Plan bulk updates of users from a CSV, look at them, apply them, follow them, take them back
    #[command(subcommand)]
    Bulk(bulk::Command),
    /// Send any request to the Admin API, signed and retried, and print the answer as it came
    Api(api::Args),
    /// Run the Zephr simulator
    Simulate(Box<simulate::Args>),
    /// Print shell completions
    Completions(completions::Args),
    /// Print the manual page of a command, or write all of them into a directory
    Man(man::Args),
}

/// Parses the command line, runs the command, and says how it went.
pub async fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.kind() == ErrorKind::DisplayVersion && json_is_asked_for() => {
            return version::run();
        }
        // Help and version are answers, and clap prints them where they belong.
        Err(error) if !error.use_stderr() => {
            let _ = error.print();
            return Exit::Done;
        }
        Err(error) => {
            let _ = error.print();
            if json_is_asked_for() {
                Output::new(true).document(&Failure::usage(error.kind().to_string(), ""));
            }
            return Exit::Usage;
        }
    };
    let output = Output::new(cli.json);
    match run(cli, output).await {
        Ok(exit) => exit,
        Err(failure) => {
            output.failure(&failure);
            failure.exit
        }
    }
}

/// Looked for by hand: clap stops reading at `--version` and at what it cannot read.
fn json_is_asked_for() -> bool {
    std::env::args_os().any(|argument| argument == "--json")
}

async fn run(cli: Cli, output: Output) -> Result<Exit, Failure> {
    let loaded = Settings::load(cli.flags)?;
    let any = loaded.any();
    let telemetry = telemetry::start(&any.log, any.log_format)
        .map_err(|error| Failure::usage(error.to_string(), error.remedy()))?;
    let ended = command(cli.command, &loaded, output).await;
    telemetry.finish().await;
    ended
}

async fn command(command: Command, loaded: &Loaded, output: Output) -> Result<Exit, Failure> {
    let any = loaded.any();
    match command {
        Command::Demo(args) => demo::run(any, args, output).await,
        Command::Init(args) => init::run(any, &args, output).await,
        Command::Check(args) => check::run(loaded.one()?, &args, output).await,
        Command::Adopt(args) => adopt::run(loaded.one()?, &args, output).await,
        Command::Migrate => migrate::run(loaded.one()?, output).await,
        Command::Sync(args) => sync::run(loaded.one()?, &args, output).await,
        Command::Daemon(args) => daemon::run(loaded, &args).await,
        Command::Status => status::run(loaded.one()?, output).await,
        Command::Runs(args) => runs::run(loaded.one()?, &args, output).await,
        Command::Rejects(command) => rejects::run(loaded.one()?, &command, output).await,
        Command::Verify(args) => verify::run(loaded.one()?, &args, output).await,
        Command::Erase(args) => erase::run(loaded.one()?, &args, output).await,
        Command::Bulk(command) => bulk::run(loaded.one()?, &command, output).await,
        Command::Api(args) => api::run(loaded.one()?, &args).await,
        Command::Simulate(args) => simulate::run(*args, output).await,
        Command::Completions(args) => Ok(completions::run(&args)),
        Command::Man(args) => man::run(&args, output),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
