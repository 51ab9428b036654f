//! `zephr-sync status`: what is running, how each job last went, and what waits for a person.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::exit::{Exit, Failure};
use super::opened::{self, Opened};
use super::output::{Output, table, thousands};
use crate::config::Settings;
use crate::job::{self, Job};
use mirror::state::poll_schedule::Round;
use mirror::state::runs::{Run, Status};
use mirror::state::scan_findings::{self, Note};
use mirror::state::verifications::{self, Verification};
use mirror::state::waiting_changes::{self, Waiting};
use mirror::state::{checkpoints, leases, readings, rejects, runs};
use mirror::unfit::Unfit;
use resource::Step;

#[derive(Debug, Serialize)]
struct Document {
    jobs: Vec<JobStatus>,
    rejects: i64,
    /// Changes of tables and views that others' open transactions have held up.
    waiting_changes: Vec<Waiting>,
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
    /// What the mirror holds and the job no longer reads: it stays as it was.
    not_read: Vec<NotRead>,
    /// Columns of which a tenth or more of the values did not fit.
    unfit: Vec<Unfit>,
    /// What the API tells one parent at a time, and how far the round has come.
    rounds: Vec<RoundStatus>,
}

#[derive(Debug, Serialize)]
struct NotRead {
    table_name: String,
    part: String,
    since: DateTime<Utc>,
    #[serde(skip)]
    words: String,
}

#[derive(Debug, Serialize)]
struct RoundStatus {
    table: String,
    parents: String,
    rows: i64,
    never_visited: i64,
    oldest_visit: Option<DateTime<Utc>>,
    /// Requests of a run.
    budget: i64,
    /// Runs until all of them were asked for at least once; none when they were.
    runs_left: Option<i64>,
    /// When that will be, as far as the schedule tells.
    expected_at: Option<DateTime<Utc>>,
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
    let mirror = opened::open(settings).await?;
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
    mirror.ready(output).await?;
    let mut session = mirror.session().await?;
    let connection: &mut PgConnection = &mut session;
    let mut statuses = Vec::with_capacity(jobs.len());
    for job in jobs {
        let checkpoint = checkpoints::get(&mut *connection, &job.name).await?;
        let mut last_run = runs::last_of(&mut *connection, &job.name).await?;
        // After the run: one that runs has taken the lease before it said so.
        let holder = leases::holder(&mut *connection, job.resource).await?;
        if holder.is_none() {
            // It may have ended in between.
            last_run = runs::last_of(&mut *connection, &job.name).await?;
        }
        statuses.push(JobStatus {
            job: job.name.clone(),
            enabled: job.enabled,
            holder: holder.map(|holder| holder.name),
            watermark: checkpoint.and_then(|checkpoint| checkpoint.watermark),
            full_finished_at: checkpoint.and_then(|checkpoint| checkpoint.full_finished_at),
            unfinished_windows: checkpoint.and_then(|checkpoint| checkpoint.unfinished_windows),
            last_run,
            held_back: held_back(&mut *connection, &job.name).await?,
            last_verification: verifications::last_of(&mut *connection, &job.name).await?,
            not_read: not_read(&mut *connection, job).await?,
            unfit: runs::unfit(&mut *connection, &job.name)
                .await?
                .unwrap_or_default(),
            rounds: rounds(&mut *connection, job).await?,
        });
    }
    Ok(Document {
        jobs: statuses,
        rejects: rejects::count(&mut *connection).await?,
        waiting_changes: waiting_changes::all(&mut *connection).await?,
    })
}

async fn not_read(connection: &mut PgConnection, job: &Job) -> Result<Vec<NotRead>, sqlx::Error> {
    let parts = readings::of(connection, &job.tables()).await?;
    let not_read = parts.into_iter().filter_map(|part| {
        Some(NotRead {
            words: part.words()?,
            table_name: part.table_name,
            part: part.part,
            since: part.since,
        })
    });
    Ok(not_read.collect())
}

/// Expected ends further away than this many runs are not reckoned out.
const RUNS_FORESEEN: i64 = 10_000;

async fn rounds(connection: &mut PgConnection, job: &Job) -> Result<Vec<RoundStatus>, sqlx::Error> {
    let now: DateTime<Utc> = sqlx::query_scalar!(r#"select now() as "now!""#)
        .fetch_one(&mut *connection)
        .await?;
    let mut rounds = Vec::new();
    for step in &job.steps {
        let Step::Below(below) = step else {
            continue;
        };
        let round = Round {
            table: &below.table.name,
            parents: &below.parents,
            parent_key: &below.parent_key,
        };
        let state = round.state(connection).await?;
        let runs_left = (state.never_visited > 0)
            .then(|| (state.never_visited as u64).div_ceil(job.budget.max(1) as u64) as i64);
        let expected_at = runs_left
            .filter(|runs| *runs <= RUNS_FORESEEN)
            .and_then(|runs| {
                let times = job.next_times(now, runs as usize);
                times.last().copied()
            });
        rounds.push(RoundStatus {
            table: round.table.to_owned(),
            parents: round.parents.to_owned(),
            rows: state.parents,
            never_visited: state.never_visited,
            oldest_visit: state.oldest_visit,
            budget: job.budget,
            runs_left,
            expected_at,
        });
    }
    Ok(rounds)
}

fn counted(runs: i64) -> String {
    let unit = if runs == 1 { "run" } else { "runs" };
    format!("{} {unit}", thousands(runs))
}

/// How far a round has come, in words.
fn going_round(job: &str, round: &RoundStatus) -> String {
    let RoundStatus {
        table,
        parents,
        rows,
        never_visited,
        ..
    } = round;
    let asked = format!(
        "{job}: {table} of {} of {} {parents} read",
        thousands(rows - never_visited),
        thousands(*rows)
    );
    let more = match (round.runs_left, round.expected_at, round.oldest_visit) {
        (Some(runs), Some(at), _) => format!(
            "; at {} a run the rest takes {}, until {}",
            thousands(round.budget),
            counted(runs),
            at.format("%Y-%m-%d")
        ),
        (Some(runs), None, _) => format!(
            "; at {} a run the rest takes {}",
            thousands(round.budget),
            counted(runs)
        ),
        (None, _, Some(at)) => {
            format!("; none longer ago than {} UTC", at.format("%Y-%m-%d %H:%M"))
        }
        (None, _, None) => String::new(),
    };
    format!("{asked}{more}.\n")
}

/// What is known of a run that did not record its end, and whose resource nobody holds.
fn abandoned(run: &Run) -> String {
    format!(
        "{}: the process of the last run is gone, and nothing of it runs; {} were read. What was committed stays: `zephr-sync sync {}` goes on from there.\n",
        run.job,
        thousands(run.rows_read),
        run.job
    )
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
    let rows = scan_findings::count(connection, scan_id, Note::Missing).await?;
    Ok((rows > 0).then_some(HeldBack { run_id, rows }))
}

/// How a run stands. One that did not record its end and whose resource nobody holds is over.
fn stands(run: &Run, is_held: bool) -> &'static str {
    match run.status {
        Status::Running if !is_held => "gone",
        Status::Running
        | Status::Succeeded
        | Status::Failed
        | Status::Interrupted
        | Status::Braked => run.status.name(),
    }
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
                or_dash(run.map(|run| stands(run, status.holder.is_some()).to_owned())),
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
        text.push_str(&words_about(status));
    }
    for verification in document
        .jobs
        .iter()
        .filter_map(|status| status.last_verification.as_ref())
    {
        text.push_str(&super::output::printable(&verified(verification)));
    }
    for waiting in &document.waiting_changes {
        text.push_str(&super::output::printable(&format!("{waiting}.\n")));
    }
    if document.rejects > 0 {
        text.push_str(&format!(
            "{} records could not be stored; `zephr-sync rejects list` says why.\n",
            thousands(document.rejects)
        ));
    }
    text
}

/// What the table has no column for.
fn words_about(status: &JobStatus) -> String {
    let mut text = String::new();
    if status.last_run.is_some() {
        for round in &status.rounds {
            text.push_str(&going_round(&status.job, round));
        }
    }
    for left in &status.not_read {
        text.push_str(&format!("{}: {}.\n", status.job, left.words));
    }
    if !status.enabled && status.last_run.is_some() {
        text.push_str(&format!(
            "{}: switched off (enabled = false); what it read before stays as it was.\n",
            status.job
        ));
    }
    if let Some(windows) = status.unfinished_windows.filter(|windows| *windows > 0) {
        text.push_str(&format!(
            "{}: a full scan has {} parts committed and is not finished; `zephr-sync sync {}` continues it.\n",
            status.job,
            thousands(windows),
            status.job
        ));
    }
    if let Some(held) = &status.held_back {
        text.push_str(&format!(
            "{}: {} rows are missing from the tenant and were not marked as deleted. If they were really deleted: zephr-sync sync {} --confirm-deletes {}\n",
            status.job,
            thousands(held.rows),
            status.job,
            held.run_id
        ));
    }
    for unfit in &status.unfit {
        text.push_str(&super::output::printable(&format!(
            "{}: {unfit}; `_zephr_issues` of each row says why.\n",
            status.job
        )));
    }
    if let Some(run) = &status.last_run
        && run.status == Status::Running
    {
        text.push_str(&match status.holder {
            Some(_) => running(run),
            None => abandoned(run),
        });
    }
    if let Some(run) = &status.last_run
        && let (Some(error), Some(remedy)) = (&run.error, &run.remedy)
    {
        text.push_str(&super::output::printable(&format!(
            "{}: {error}. {remedy}\n",
            status.job
        )));
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
