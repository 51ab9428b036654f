//! `zephr-sync bulk results PLAN`: what became of each row, in the order of the file.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use sqlx::PgConnection;
use uuid::Uuid;

use super::document::change;
use crate::bulk::Error;
use crate::bulk::file::Writer;
use crate::cli::exit::{Exit, Failure};
use crate::cli::mirror::Opened;
use crate::cli::output::Output;
use crate::state::bulk::plans;
use crate::state::bulk::rows::{self, Reported};

/// Rows that are fetched at once.
const BATCH: i64 = 2_000;

/// Options of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The plan
    plan: Uuid,
    /// Where to write [default: stdout]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

const COLUMNS: [&str; 10] = [
    "line",
    "identifier",
    "user_id",
    "action",
    "changes",
    "outcome",
    "message",
    "job_id",
    "settled_at",
    "confirmed_at",
];

/// Runs the command.
///
/// # Errors
/// There is no such plan, or the results cannot be written.
pub async fn run(mirror: &Opened, args: &Args, output: Output) -> Result<Exit, Failure> {
    let mut connection = mirror.database.connect().await?;
    if plans::get(&mut connection, args.plan).await?.is_none() {
        return Err(Error::NoPlan(args.plan).into());
    }
    let out: Box<dyn Write + Send> = match &args.output {
        Some(path) => Box::new(std::fs::File::create(path).map_err(|error| {
            let remedy = "Choose another place with --output.";
            Failure::new(
                format!("{} cannot be written: {error}", path.display()),
                remedy,
            )
        })?),
        None => Box::new(io::stdout()),
    };
    let out = BufWriter::new(out);
    let written = if output.is_json() {
        json(&mut connection, args.plan, out).await
    } else {
        csv(&mut connection, args.plan, out).await
    };
    match written {
        Err(Unwritten::Io(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        // A reader that closed it has what it wanted.
        Ok(()) | Err(Unwritten::Io(_)) => Ok(Exit::Done),
        Err(Unwritten::Database(error)) => Err(error.into()),
    }
}

enum Unwritten {
    Io(io::Error),
    Database(sqlx::Error),
}

impl From<io::Error> for Unwritten {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<sqlx::Error> for Unwritten {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

async fn csv(connection: &mut PgConnection, plan: Uuid, out: impl Write) -> Result<(), Unwritten> {
    let mut writer = Writer::new(out, b',');
    writer.row(COLUMNS)?;
    let mut after = 0;
    loop {
        let rows = rows::reported(&mut *connection, plan, after, BATCH).await?;
        let Some(last) = rows.last() else {
            break;
        };
        after = last.row_number;
        for row in &rows {
            writer.row(cells(row))?;
        }
    }
    writer.finish()?.flush()?;
    Ok(())
}

fn cells(row: &Reported) -> [String; COLUMNS.len()] {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let time = |at: Option<chrono::DateTime<chrono::Utc>>| {
        at.map(|at| at.to_rfc3339()).unwrap_or_default()
    };
    [
        row.line.to_string(),
        text(&row.identifier),
        text(&row.user_id),
        row.action.name().to_owned(),
        change(row, str::to_owned),
        row.state.name().to_owned(),
        text(&row.message),
        text(&row.job_id),
        time(row.settled_at),
        time(row.confirmed_at),
    ]
}

/// One document, written as it is read: a plan may have millions of rows.
async fn json(
    connection: &mut PgConnection,
    plan: Uuid,
    mut out: impl Write,
) -> Result<(), Unwritten> {
    write!(out, "{{\"plan_id\":\"{plan}\",\"results\":[")?;
    let mut after = 0;
    loop {
        let rows = rows::reported(&mut *connection, plan, after, BATCH).await?;
        let Some(last) = rows.last() else {
            break;
        };
        for (at, row) in rows.iter().enumerate() {
            if after > 0 || at > 0 {
                out.write_all(b",\n")?;
            }
            serde_json::to_writer(&mut out, row).map_err(io::Error::from)?;
        }
        after = last.row_number;
    }
    out.write_all(b"]}\n")?;
    out.flush()?;
    Ok(())
}
