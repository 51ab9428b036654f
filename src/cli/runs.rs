//! `zephr-sync runs [RUN]`: what each run did and its verdict.

use serde::Serialize;
use uuid::Uuid;

use super::exit::{Exit, Failure};
use super::opened::{self, Opened};
use super::output::{Output, table, thousands};
use crate::config::Settings;
use mirror::state::runs::{self, Run};

/// Options of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One run, by its identifier
    run: Option<Uuid>,
    /// How many of the latest runs to show
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..))]
    last: i64,
}

/// Runs, as one JSON document.
#[derive(Debug, Serialize)]
pub struct Document {
    /// The newest first.
    pub runs: Vec<Run>,
}

/// Runs the command.
///
/// # Errors
/// The database cannot be reached, or there is no such run.
pub async fn run(settings: &Settings, args: &Args, output: Output) -> Result<Exit, Failure> {
    let mirror = opened::open(settings).await?;
    let found = find(&mirror, args, output).await;
    mirror.close().await?;
    let runs = found?;
    if let (Some(id), []) = (args.run, runs.as_slice()) {
        return Err(Failure::new(
            format!("there is no run {id}"),
            "`zephr-sync runs` lists the latest ones.",
        ));
    }
    output.result(&Document { runs }, |document| match args.run {
        Some(_) => document.runs.iter().map(details).collect(),
        None => listed(&document.runs),
    })?;
    Ok(Exit::Done)
}

async fn find(mirror: &Opened, args: &Args, output: Output) -> Result<Vec<Run>, Failure> {
    mirror.ready(output).await?;
    let mut connection = mirror.database.connect().await?;
    Ok(match args.run {
        Some(id) => runs::get(&mut connection, id).await?.into_iter().collect(),
        None => runs::latest(&mut connection, args.last).await?,
    })
}

fn listed(runs: &[Run]) -> String {
    if runs.is_empty() {
        return "No run yet. `zephr-sync sync` starts one.\n".into();
    }
    let rows: Vec<_> = runs
        .iter()
        .map(|run| {
            [
                run.run_id.to_string(),
                run.job.clone(),
                run.mode.name().to_owned(),
                run.status.name().to_owned(),
                run.verdict.clone().unwrap_or_else(|| "-".into()),
                run.started_at.format("%Y-%m-%d %H:%M:%S").to_string(),
                thousands(run.rows_read),
                thousands(run.rows_inserted),
                thousands(run.rows_updated),
                thousands(run.rows_rejected),
            ]
        })
        .collect();
    table(
        [
            "run",
            "job",
            "mode",
            "status",
            "verdict",
            "started (UTC)",
            "read",
            "inserted",
            "updated",
            "rejected",
        ],
        &rows,
    )
}

/// One run, a line each for what there is to say.
pub fn details(run: &Run) -> String {
    let mut text = format!(
        "run       {} ({}, {})\n",
        run.run_id,
        run.job,
        run.mode.name()
    );
    let mut line = |name: &str, value: String| {
        text.push_str(&format!("{name:<10}{}\n", super::output::printable(&value)))
    };
    line("status", run.status.name().to_owned());
    if let (Some(verdict), Some(reason)) = (&run.verdict, &run.verdict_reason) {
        line("verdict", format!("{verdict}: {reason}"));
    }
    let until = run
        .finished_at
        .map_or("now".into(), |at| at.format("%H:%M:%S").to_string());
    line(
        "time",
        format!(
            "{} to {until} UTC",
            run.started_at.format("%Y-%m-%d %H:%M:%S")
        ),
    );
    line(
        "rows",
        format!(
            "{} read: {} inserted, {} updated, {} unchanged, {} tombstoned, {} rejected",
            thousands(run.rows_read),
            thousands(run.rows_inserted),
            thousands(run.rows_updated),
            thousands(run.rows_unchanged),
            thousands(run.rows_tombstoned),
            thousands(run.rows_rejected)
        ),
    );
    line(
        "requests",
        format!(
            "{}, of which {} retries; throttled for {} ms",
            thousands(run.requests),
            thousands(run.retries),
            thousands(run.throttled_ms)
        ),
    );
    if let Some(error) = &run.error {
        line("error", error.clone());
    }
    if let Some(remedy) = &run.remedy {
        line("remedy", remedy.clone());
    }
    text
}
