//! `zephr-sync rejects list | export | replay`: records that could not be stored.

mod replay;

use std::io;

use serde::Serialize;

use super::exit::{Exit, Failure};
use super::opened::{self, Opened};
use super::output::{Output, table, thousands};
use crate::config::Settings;
use mirror::state::rejects::{self, Stored};

/// What to do with them.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show the latest, with the reason of each
    List {
        /// How many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..))]
        last: i64,
    },
    /// Write all of them as CSV, records included, to stdout
    Export,
    /// Read them again after a fix, and store those that can be stored now
    Replay,
}

/// Rejects, as one JSON document.
#[derive(Debug, Serialize)]
struct Document {
    total: i64,
    rejects: Vec<Stored>,
}

/// Rejects of one look into the table while exporting.
const PAGE: i64 = 500;

/// Runs the command.
///
/// # Errors
/// The database cannot be reached, stdout cannot be written, or somebody else holds the lease that
/// a replay needs.
pub async fn run(settings: &Settings, command: &Command, output: Output) -> Result<Exit, Failure> {
    let mirror = opened::open(settings).await?;
    let done = match (command, output.is_json()) {
        (Command::List { last }, _) => list(&mirror, *last, output).await.map(|()| Exit::Done),
        (Command::Export, true) => list(&mirror, i64::MAX, output).await.map(|()| Exit::Done),
        (Command::Export, false) => export(&mirror, output).await.map(|()| Exit::Done),
        (Command::Replay, _) => replay::run(settings, &mirror, output).await,
    };
    mirror.close().await?;
    done
}

async fn list(mirror: &Opened, last: i64, output: Output) -> Result<(), Failure> {
    mirror.ready(output).await?;
    let mut connection = mirror.database.connect().await?;
    let total = rejects::count(&mut connection).await?;
    let rejects = rejects::list(&mut connection, i64::MAX, last).await?;
    output.result(&Document { total, rejects }, |document| {
        if document.rejects.is_empty() {
            return "No rejects.\n".into();
        }
        let rows: Vec<_> = document
            .rejects
            .iter()
            .map(|reject| {
                [
                    reject.reject_id.to_string(),
                    reject.resource.clone(),
                    reject.record_id.clone().unwrap_or_else(|| "-".into()),
                    thousands(reject.times_seen),
                    reject.last_seen_at.format("%Y-%m-%d %H:%M:%S").to_string(),
                    reject.reason.clone(),
                ]
            })
            .collect();
        let mut text = table(
            [
                "reject",
                "resource",
                "record",
                "seen",
                "last (UTC)",
                "reason",
            ],
            &rows,
        );
        text.push_str(&format!(
            "{} of {}; `zephr-sync rejects export` writes them with their records.\n",
            document.rejects.len(),
            document.total
        ));
        text
    })?;
    Ok(())
}

async fn export(mirror: &Opened, output: Output) -> Result<(), Failure> {
    mirror.ready(output).await?;
    let mut connection = mirror.database.connect().await?;
    let mut csv = csv::Writer::from_writer(io::stdout().lock());
    let written = csv.write_record([
        "reject_id",
        "job",
        "resource",
        "record_id",
        "reason",
        "times_seen",
        "first_seen_at",
        "last_seen_at",
        "record",
    ]);
    finished(written)?;
    let mut below = i64::MAX;
    loop {
        let page = rejects::list(&mut connection, below, PAGE).await?;
        let Some(last) = page.last() else { break };
        below = last.reject_id;
        for reject in page {
            let written = csv.write_record([
                reject.reject_id.to_string(),
                cell(&reject.job),
                cell(&reject.resource),
                cell(reject.record_id.as_deref().unwrap_or("")),
                cell(&reject.reason),
                reject.times_seen.to_string(),
                reject.first_seen_at.to_rfc3339(),
                reject.last_seen_at.to_rfc3339(),
                cell(&reject.record),
            ]);
            if finished(written)? {
                return Ok(());
            }
        }
    }
    finished(csv.flush().map_err(csv::Error::from))?;
    Ok(())
}

/// Whether the reader has closed the pipe, having what it wanted.
fn finished(written: Result<(), csv::Error>) -> Result<bool, Failure> {
    match written.map_err(io::Error::from) {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// A cell that no spreadsheet runs: what begins like a formula gets a quote in front.
fn cell(text: &str) -> String {
    match text.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r') => format!("'{text}"),
        Some(_) | None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_formula_is_escaped() {
        assert_eq!(super::cell("=1+1"), "'=1+1");
        assert_eq!(super::cell("a=1"), "a=1");
    }
}
