//! `zephr-sync status`: what is running, how each job last went, and what waits for a person.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::exit::{Exit, Failure};
use super::mirror::{self, Opened};
use super::output::{Output, table, thousands};
use crate::config::Settings;
use crate::job::{self, Job};
use crate::state::notes::{self, Note};
use crate::state::runs::Run;
use crate::state::verifications::{self, Verification};
use crate::state::{checkpoints, leases, rejects, runs};

#[derive(Debug, Serialize)]
struct Document {
    jobs: Vec<JobStatus>,
    rejects: i64,
}

#[derive(Debug, Serialize)]
struct JobStatus {
    job: String,
    enabled: bool,
    /// Who is working on it.
    holder: Option<String>,
    watermark: Option<DateTime<Utc>>,
    full_finished_at: Option<DateTime<Utc>>,
    /// Windows committed of a full scan that has not finished.
    unfinished_windows: Option<i64>,
    last_run: Option<Run>,
    /// The run whose deletions a brake holds back, and how many they are.
    held_back: Option<HeldBack>,
    last_verification: Option<Verification>,
}

#[derive(Debug, Serialize)]
struct HeldBack {
    run_id: Uuid,
    rows: i64,
}

/// Runs the command.
///
/// # Errors
/// The database cannot be reached.
pub async fn run(settings: &Settings, output: Output) -> Result<Exit, Failure> {
    let jobs = job::all(&settings.jobs_dir)?;
    let mirror = mirror::open(settings).await?;
    let looked = look(&jobs, &mirror, output).await;
    let psql = mirror.psql();
    mirror.close().await?;
    let document = looked?;
    output.result(&document, text)?;
    if let Some(psql) = psql.filter(|_| !output.is_json()) {
        output.note(&format!(
            "The mirror is a private Postgres; while a command uses it: {psql}"
        ));
    }
    Ok(Exit::Done)
}

async fn look(jobs: &[Job], mirror: &Opened, output: Output) -> Result<Document, Failure> {
    mirror.migrate(output).await?;
    let mut connection = mirror.database.connect().await?;
    let mut statuses = Vec::with_capacity(jobs.len());
    for job in jobs {
        let checkpoint = checkpoints::get(&mut connection, &job.name).await?;
        statuses.push(JobStatus {
            job: job.name.clone(),
            enabled: job.enabled,
            holder: leases::holder(&mut connection, job.resource)
                .await?
                .map(|holder| holder.name),
            watermark: checkpoint.and_then(|checkpoint| checkpoint.watermark),
            full_finished_at: checkpoint.and_then(|checkpoint| checkpoint.full_finished_at),
            unfinished_windows: checkpoint.and_then(|checkpoint| checkpoint.unfinished_windows),
            last_run: runs::last_of(&mut connection, &job.name).await?,
            held_back: held_back(&mut connection, &job.name).await?,
            last_verification: verifications::last_of(&mut connection, &job.name).await?,
        });
    }
    Ok(Document {
        jobs: statuses,
        rejects: rejects::count(&mut connection).await?,
    })
}

/// What a run is doing now, as far as its record tells.
fn running(run: &Run) -> String {
    let mut text = format!(
        "{}: running; {} read, {} requests, {} of them again",
        run.job,
        thousands(run.rows_read),
        thousands(run.requests),
        thousands(run.retries)
    );
    if let Some(allowed) = run.requests_allowed {
        text.push_str(&format!("; {allowed} at a time"));
    }
    if let Some(until) = run.throttled_until {
        text.push_str(&format!(
            "; Zephr last asked to wait until {}",
            until.format("%H:%M:%S UTC")
        ));
    }
    text.push('\n');
    text
}

async fn held_back(
    connection: &mut PgConnection,
    job: &str,
) -> Result<Option<HeldBack>, sqlx::Error> {
    let Some((run_id, scan_id)) = runs::last_braked(&mut *connection, job).await? else {
        return Ok(None);
    };
    let rows = notes::count(connection, scan_id, Note::Missing).await?;
    Ok((rows > 0).then_some(HeldBack { run_id, rows }))
}

fn text(document: &Document) -> String {
    let rows: Vec<_> = document
        .jobs
        .iter()
        .map(|status| {
            let run = status.last_run.as_ref();
            let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
            [
                status.job.clone(),
                or_dash(run.map(|run| run.status.clone())),
                or_dash(run.and_then(|run| run.verdict.clone())),
                or_dash(run.map(|run| run.started_at.format("%Y-%m-%d %H:%M:%S").to_string())),
                or_dash(run.map(|run| thousands(run.rows_read))),
                or_dash(
                    status
                        .full_finished_at
                        .map(|at| at.format("%Y-%m-%d %H:%M:%S").to_string()),
                ),
                or_dash(status.holder.clone()),
            ]
        })
        .collect();
    let mut text = table(
        [
            "job",
            "last run",
            "verdict",
            "started (UTC)",
            "read",
            "last full (UTC)",
            "held by",
        ],
        &rows,
    );
    for status in &document.jobs {
        if let Some(windows) = status.unfinished_windows {
            text.push_str(&format!(
                "{}: a full scan has {} parts committed and is not finished; `zephr-sync sync {}` continues it.\n",
                status.job,
                thousands(windows),
                status.job
            ));
        }
        if let Some(held) = &status.held_back {
            text.push_str(&format!(
                "{}: {} users are missing from the tenant and were not marked as deleted. If they were really deleted: zephr-sync sync {} --confirm-deletes {}\n",
                status.job,
                thousands(held.rows),
                status.job,
                held.run_id
            ));
        }
        if let Some(run) = &status.last_run
            && run.status == "running"
        {
            text.push_str(&running(run));
        }
        if let Some(run) = &status.last_run
            && let (Some(error), Some(remedy)) = (&run.error, &run.remedy)
        {
            text.push_str(&super::output::printable(&format!(
                "{}: {error}. {remedy}\n",
                status.job
            )));
        }
    }
    for verification in document
        .jobs
        .iter()
        .filter_map(|status| status.last_verification.as_ref())
    {
        text.push_str(&super::output::printable(&verified(verification)));
    }
    if document.rejects > 0 {
        text.push_str(&format!(
            "{} records could not be stored; `zephr-sync rejects list` says why.\n",
            thousands(document.rejects)
        ));
    }
    text
}

fn verified(verification: &Verification) -> String {
    let there = match verification.rows_api {
        Some(rows) => format!("{} at the API", thousands(rows)),
        None => "the API did not say how many it has".into(),
    };
    format!(
        "{} (verified at {} UTC: {} in the mirror, {there}).\n",
        super::verify::summary(verification),
        verification.started_at.format("%Y-%m-%d %H:%M:%S"),
        thousands(verification.rows_mirror),
    )
}
