//! `zephr-sync init [DIR]`: what an operator starts from. Asks nothing, overwrites nothing.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::exit::{Exit, Failure};
use super::output::Output;
use crate::config::Settings;
use crate::postgres::migrate;

/// Options of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to write
    #[arg(default_value = ".")]
    dir: PathBuf,
}

#[derive(Debug, Default, Serialize)]
struct Written {
    written: Vec<PathBuf>,
    kept: Vec<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// The directory cannot be written.
pub fn run(settings: &Settings, args: &Args, output: Output) -> Result<Exit, Failure> {
    let role = format!(
        "-- Lets analysts read the mirror and nothing else. `zephr-sync migrate` does this itself where its user may.\n\
         create role \"{}\" nologin;\n{}\n\
         -- grant \"{}\" to somebody;\n",
        settings.schemas.reader(),
        migrate::grants(&settings.schemas),
        settings.schemas.reader(),
    );
    let mut done = Written::default();
    for (name, text) in [
        ("zephr-sync.toml", include_str!("init/zephr-sync.toml")),
        (".env.example", include_str!("init/env.example")),
        ("jobs/users.toml", include_str!("../../jobs/users.toml")),
        ("reader-role.sql", role.as_str()),
    ] {
        let path = args.dir.join(name);
        if write_new(&path, text)? {
            done.written.push(path);
        } else {
            done.kept.push(path);
        }
    }
    output.result(&done, |done| {
        let mut text = String::new();
        for path in &done.written {
            text.push_str(&format!("wrote {}\n", path.display()));
        }
        for path in &done.kept {
            text.push_str(&format!("kept  {} (it was there)\n", path.display()));
        }
        text.push_str("Next: set the variables of .env.example, then run `zephr-sync check`.\n");
        text
    })?;
    Ok(Exit::Done)
}

/// Whether it was written; a file that is there stays as it is.
fn write_new(path: &Path, text: &str) -> Result<bool, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(
            format!("{} cannot be written: {error}", path.display()),
            "Choose a directory that you may write.",
        )
    };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file
            .write_all(text.as_bytes())
            .map(|()| true)
            .map_err(failed),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_settings_file_is_one_we_read() {
        let text: toml::Table = toml::from_str(include_str!("init/zephr-sync.toml")).unwrap();
        assert!(
            text.is_empty(),
            "everything is commented out: defaults apply"
        );
    }
}
