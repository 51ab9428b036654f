//! `zephr-sync completions SHELL`.

use clap::CommandFactory;

use super::exit::Exit;
use super::{Cli, output};

/// Options of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

/// Prints the script.
pub fn run(args: &Args) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "zephr-sync", &mut script);
    match output::write(&script) {
        Ok(()) => Exit::Done,
        Err(_) => Exit::Failed,
    }
}
