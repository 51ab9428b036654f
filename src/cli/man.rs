//! `zephr-sync man [COMMAND…]`: the manual, made from what the command line says of itself, so that
//! the two cannot differ.

use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::output::Output;
use super::{Cli, output};

/// Options of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The command, for example `bulk apply`; without it the page of zephr-sync itself
    command: Vec<String>,
    /// Write the pages of all commands into this directory instead
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    out: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Written {
    written: Vec<PathBuf>,
}

/// Prints a page, or writes all.
///
/// # Errors
/// There is no such command, or the directory cannot be written.
pub fn run(args: &Args, output: Output) -> Result<Exit, Failure> {
    // `help` repeats every command, which has a page of its own.
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    match &args.out {
        Some(directory) => write(&root, directory, output)?,
        None => output::write(&page(find(&root, &args.command)?)?)?,
    }
    Ok(Exit::Done)
}

fn find<'a>(root: &'a Command, names: &[String]) -> Result<&'a Command, Failure> {
    names.iter().try_fold(root, |command, name| {
        command.find_subcommand(name).ok_or_else(|| {
            Failure::usage(
                format!("there is no command `{}`", names.join(" ")),
                "`zephr-sync --help` lists the commands.",
            )
        })
    })
}

fn page(command: &Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone())
        .source(concat!("zephr-sync ", env!("CARGO_PKG_VERSION")))
        .manual("zephr-sync")
        .render(&mut page)?;
    Ok(page)
}

/// The command and all below it.
fn all(command: &Command) -> Vec<&Command> {
    std::iter::once(command)
        .chain(command.get_subcommands().flat_map(all))
        .collect()
}

fn write(root: &Command, directory: &Path, output: Output) -> Result<(), Failure> {
    let failed = |path: &Path, error: std::io::Error| {
        Failure::new(
            format!("{} cannot be written: {error}", path.display()),
            "Choose a directory that you may write.",
        )
    };
    std::fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
    let mut done = Written {
        written: Vec::new(),
    };
    for command in all(root) {
        let name = command.get_display_name().unwrap_or(command.get_name());
        let path = directory.join(format!("{name}.1"));
        std::fs::write(&path, page(command)?).map_err(|error| failed(&path, error))?;
        done.written.push(path);
    }
    output.result(&done, |done| {
        done.written
            .iter()
            .map(|path| format!("wrote {}\n", path.display()))
            .collect()
    })?;
    Ok(())
}
