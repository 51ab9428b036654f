//! `zephr-sync bulk results PLAN`: what became of each row, in the order of the file.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use uuid::Uuid;

use crate::bulk::Error;
use crate::bulk::results::{self, Results};
use crate::cli::exit::{Exit, Failure};
use crate::cli::opened::Opened;
use crate::cli::output::Output;
use mirror::state::bulk::plans;

/// Options of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The plan
    plan: Uuid,
    /// Where to write [default: stdout]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

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
    let results = Results::of(connection, args.plan);
    let written = if output.is_json() {
        json(results, args.plan, out).await
    } else {
        csv(results, out).await
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

async fn csv(mut results: Results, mut out: impl Write) -> Result<(), Unwritten> {
    out.write_all(&results::heading()?)?;
    loop {
        let rows = results.rows().await?;
        if rows.is_empty() {
            break;
        }
        out.write_all(&results::csv(&rows)?)?;
    }
    out.flush()?;
    Ok(())
}

/// One document, written as it is read: a plan may have millions of rows.
async fn json(mut results: Results, plan: Uuid, mut out: impl Write) -> Result<(), Unwritten> {
    write!(out, "{{\"plan_id\":\"{plan}\",\"results\":[")?;
    let mut separator: &[u8] = b"";
    loop {
        let rows = results.rows().await?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            out.write_all(separator)?;
            separator = b",\n";
            serde_json::to_writer(&mut out, row).map_err(io::Error::from)?;
        }
    }
    out.write_all(b"]}\n")?;
    out.flush()?;
    Ok(())
}
