//! `zephr-sync init [DIR]`: what an operator starts from, and with `--dbt` what an analyst does.
//! Asks nothing, overwrites nothing.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use sqlx::Connection;

use super::exit::{Exit, Failure};
use super::opened;
use super::output::Output;
use crate::config::{Mirror, Settings};
use crate::dbt::{self, attributes};
use crate::job;
use mirror::postgres::migrate;

/// Options of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to write
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Write a dbt project too, into DIR/dbt: sources with freshness, staging models, tests
    #[arg(long)]
    dbt: bool,
}

/// Asking a mirror only makes the project better, so nobody waits long for one that does not
/// answer.
const MIRROR_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Default, Serialize)]
struct Written {
    written: Vec<PathBuf>,
    kept: Vec<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// The directory cannot be written, or a job file cannot be read.
pub async fn run(settings: &Settings, args: &Args, output: Output) -> Result<Exit, Failure> {
    let role = format!(
        "-- Lets analysts read the mirror and nothing else. `zephr-sync migrate` does this itself where its user may.\n\
         create role \"{}\" nologin;\n{}\n\
         -- grant \"{}\" to somebody;\n",
        settings.schemas.reader(),
        migrate::grants(&settings.schemas),
        settings.schemas.reader(),
    );
    let mut done = Written::default();
    let mut files: Vec<(PathBuf, String)> = [
        ("zephr-sync.toml", include_str!("init/zephr-sync.toml")),
        (".env.example", include_str!("init/env.example")),
        ("jobs/users.toml", include_str!("../../jobs/users.toml")),
        ("reader-role.sql", role.as_str()),
    ]
    .map(|(name, text)| (PathBuf::from(name), text.to_owned()))
    .into();
    if args.dbt {
        let jobs = job::all(&settings.jobs_dir)?;
        let columns = tenant_columns(settings, output).await;
        files.extend(
            dbt::project(&settings.schemas, &jobs, &columns)
                .into_iter()
                .map(|file| (Path::new("dbt").join(file.path), file.text)),
        );
    }
    for (name, text) in files {
        let path = args.dir.join(name);
        if write_new(&path, &text)? {
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
        if args.dbt {
            text.push_str(&format!(
                "For dbt: {} says how to let it in.\n",
                args.dir.join("dbt/README.md").display()
            ));
        }
        text
    })?;
    Ok(Exit::Done)
}

/// The columns of the tenant's own attributes, where there is a mirror that tells them. Without it
/// the project works too, and says less.
async fn tenant_columns(settings: &Settings, output: Output) -> Vec<dbt::Column> {
    match &settings.mirror {
        Mirror::Private if !private_postgres::exists(&settings.data_dir) => return Vec::new(),
        Mirror::Private | Mirror::Given(_) => {}
    }
    let ask = async {
        let opened = opened::open(settings).await?;
        let columns = async {
            let mut connection = opened.database.connect().await?;
            let columns = attributes::read(&mut connection).await?;
            connection.close().await?;
            Ok::<_, sqlx::Error>(columns)
        }
        .await;
        opened.close().await?;
        Ok::<_, Failure>(columns?)
    };
    let why = match tokio::time::timeout(MIRROR_TIMEOUT, ask).await {
        Ok(Ok(columns)) if columns.is_empty() => {
            "the mirror holds no user schema yet: run `zephr-sync sync schema`".to_owned()
        }
        Ok(Ok(columns)) => return columns,
        Ok(Err(failure)) => format!("the mirror could not be asked: {}", failure.error),
        Err(_) => format!(
            "the mirror did not answer within {} seconds",
            MIRROR_TIMEOUT.as_secs()
        ),
    };
    output.note(&format!(
        "The tenant's own attributes are not described in dbt/models/user_attributes.yml: {why}. Later, remove that file and run `zephr-sync init --dbt` again."
    ));
    Vec::new()
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
