//! What runs, what ran, what waits, and who is there.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{asked, id};
use crate::job::Job;
use crate::web::answer::Problem;
use crate::web::standing::Standing;
use crate::web::{Page, Seat};
use mirror::state::daemons::{self, Daemon};
use mirror::state::rejects::Stored;
use mirror::state::runs::Run;
use mirror::state::scan_findings::{self, Note};
use mirror::state::schedules::{self, Stored as Schedule};
use mirror::state::triggers::Trigger;
use mirror::state::waiting_changes::{self, Waiting};
use mirror::state::{checkpoints, leases, rejects, runs, triggers};
use mirror::unfit::Unfit;

/// Runs and rejects that are shown unless somebody wants more.
const SHOWN: i64 = 50;

/// Those that are shown at most.
const MOST: i64 = 1_000;

/// How everything stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Status {
    tenant: String,
    /// Postgres's clock.
    now: DateTime<Utc>,
    jobs: Vec<JobStatus>,
    /// What is under way, on whichever machine.
    running: Vec<Running>,
    /// What this daemon asks of the API.
    traffic: Traffic,
    /// The daemons that are there.
    daemons: Vec<Daemon>,
    /// Records that could not be stored.
    rejects: i64,
    /// Changes of tables and views that others' open transactions have held up.
    waiting_changes: Vec<Waiting>,
}

/// How a job stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct JobStatus {
    job: String,
    /// When daemons run it, as its file says; none when it runs after others, or by hand.
    schedule: Option<String>,
    /// The jobs that it comes after.
    after: Vec<String>,
    /// When its next run starts, or should have started.
    next_at: Option<DateTime<Utc>>,
    /// For how many seconds a run has been due that nobody has begun.
    late_seconds: i64,
    /// Whether a run was asked for that has not begun.
    asked_for: bool,
    /// Who works on its tables.
    holder: Option<String>,
    watermark: Option<DateTime<Utc>>,
    full_finished_at: Option<DateTime<Utc>>,
    last_run: Option<Run>,
    /// The run whose deletions a brake holds back.
    held_back: Option<HeldBack>,
    /// Columns of which a tenth or more of the values did not fit.
    unfit: Vec<Unfit>,
}

/// Deletions that a brake holds back.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HeldBack {
    run_id: Uuid,
    rows: i64,
}

/// A run that is under way.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Running {
    #[serde(flatten)]
    run: Run,
    /// How many records there are in all, where the daemon that answers runs it and knows.
    rows_expected: Option<u64>,
}

/// What a daemon asks of the API.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Traffic {
    /// Requests since it started, repeated ones included.
    requests: u64,
    /// Those of them that repeated another.
    retries: u64,
    /// Requests under way.
    requests_in_flight: usize,
    /// How many the governor allows at the moment.
    requests_allowed: usize,
    /// How many it allows at most.
    requests_ceiling: usize,
    /// For how long the API made it wait.
    throttled_ms: u64,
    /// For how long the API still makes it wait.
    waiting_ms: Option<u64>,
}

/// How everything stands now.
#[utoipa::path(get, path = "/api/tenants/{tenant}/status", tag = "status",
    params(("tenant" = String, Path, description = "The tenant")),
    responses(
        (status = 200, description = "How everything stands", body = Status),
        (status = 404, description = "There is no such tenant", body = Problem),
        (status = 503, description = "Postgres is away", body = Problem),
))]
pub(super) async fn status(
    State(page): State<Arc<Page>>,
    Path(tenant): Path<String>,
) -> Result<Json<Status>, Problem> {
    let seat = page.seat(&tenant)?;
    let mut session = seat.session().await?;
    let now = sqlx::query_scalar!(r#"select now() as "now!""#)
        .fetch_one(&mut *session)
        .await?;
    let known = Known {
        schema: seat.tenant.database.schemas().data(),
        schedules: schedules::all(&mut *session).await?,
        asked_for: triggers::waiting(&mut *session).await?,
        now,
    };
    let mut jobs = Vec::with_capacity(seat.tenant.jobs.len());
    for job in &seat.tenant.jobs {
        jobs.push(known.of(&mut session, job).await?);
    }
    let expected = seat.tenant.live.running();
    let running = runs::running(&mut *session).await?.into_iter().map(|run| {
        let here = expected
            .iter()
            .find(|(_, standing)| standing.run_id == Some(run.run_id));
        Running {
            rows_expected: here.and_then(|(_, standing)| standing.total),
            run,
        }
    });
    Ok(Json(Status {
        now,
        jobs,
        running: running.collect(),
        traffic: traffic(seat),
        daemons: daemons::live(&mut *session).await?,
        rejects: rejects::count(&mut *session).await?,
        waiting_changes: waiting_changes::all(&mut *session).await?,
        tenant,
    }))
}

fn traffic(seat: &Seat) -> Traffic {
    let reader = &seat.tenant.planner.reader;
    let (sent, governor) = (reader.sent(), reader.governor());
    let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Traffic {
        requests: sent.requests,
        retries: sent.retries,
        requests_in_flight: governor.in_flight,
        requests_allowed: governor.allowed,
        requests_ceiling: governor.ceiling,
        throttled_ms: millis(governor.throttled),
        waiting_ms: governor.waiting.map(millis),
    }
}

/// What is known of all jobs.
struct Known<'a> {
    schema: &'a str,
    schedules: Vec<Schedule>,
    asked_for: Vec<Trigger>,
    now: DateTime<Utc>,
}

impl Known<'_> {
    async fn of(&self, session: &mut PgConnection, job: &Job) -> Result<JobStatus, sqlx::Error> {
        let name = job.name.as_str();
        let attempts = runs::latest_slots(&mut *session, &[name]).await?;
        let standing = Standing::of(
            job,
            self.schema,
            &self.schedules,
            attempts.first(),
            self.now,
        );
        let checkpoint = checkpoints::get(&mut *session, name).await?;
        let holder = leases::holder(&mut *session, job.resource).await?;
        Ok(JobStatus {
            job: name.to_owned(),
            schedule: job.timing.schedule.as_ref().map(ToString::to_string),
            after: job.timing.after.clone(),
            next_at: standing.next_at,
            late_seconds: standing.late_seconds,
            asked_for: self.asked_for.iter().any(|trigger| trigger.job == name),
            holder: holder.map(|holder| holder.name),
            watermark: checkpoint.and_then(|checkpoint| checkpoint.watermark),
            full_finished_at: checkpoint.and_then(|checkpoint| checkpoint.full_finished_at),
            last_run: runs::last_of(&mut *session, name).await?,
            held_back: held_back(session, name).await?,
            unfit: runs::unfit(&mut *session, name).await?.unwrap_or_default(),
        })
    }
}

async fn held_back(session: &mut PgConnection, job: &str) -> Result<Option<HeldBack>, sqlx::Error> {
    let Some((run_id, scan_id)) = runs::last_braked(&mut *session, job).await? else {
        return Ok(None);
    };
    let rows = scan_findings::count(session, scan_id, Note::Missing).await?;
    Ok((rows > 0).then_some(HeldBack { run_id, rows }))
}

/// How many.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Last {
    /// How many of the latest, 50 unless said, 1000 at most.
    last: Option<i64>,
}

impl Last {
    fn limit(&self) -> Result<i64, Problem> {
        let last = self.last.unwrap_or(SHOWN);
        if (1..=MOST).contains(&last) {
            Ok(last)
        } else {
            Err(Problem::unreadable(
                format!("last is not from 1 to {MOST}"),
                "",
            ))
        }
    }
}

/// Runs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Runs {
    /// The newest first.
    runs: Vec<Run>,
}

/// The latest runs: what each did, and its verdict.
#[utoipa::path(get, path = "/api/tenants/{tenant}/runs", tag = "status",
    params(("tenant" = String, Path, description = "The tenant"), Last),
    responses(
        (status = 200, description = "The runs", body = Runs),
        (status = 503, description = "Postgres is away", body = Problem),
))]
pub(super) async fn runs(
    State(page): State<Arc<Page>>,
    Path(tenant): Path<String>,
    last: Result<Query<Last>, QueryRejection>,
) -> Result<Json<Runs>, Problem> {
    let limit = asked(last)?.limit()?;
    let mut session = page.seat(&tenant)?.session().await?;
    let runs = runs::latest(&mut *session, limit).await?;
    Ok(Json(Runs { runs }))
}

/// A run.
#[utoipa::path(get, path = "/api/tenants/{tenant}/runs/{run_id}", tag = "status",
    params(("tenant" = String, Path, description = "The tenant"), ("run_id" = String, Path, description = "The run")),
    responses(
        (status = 200, description = "The run", body = Run),
        (status = 404, description = "There is no such run", body = Problem),
))]
pub(super) async fn run(
    State(page): State<Arc<Page>>,
    Path((tenant, run_id)): Path<(String, String)>,
) -> Result<Json<Run>, Problem> {
    let run_id = id("run", &run_id)?;
    let mut session = page.seat(&tenant)?.session().await?;
    let run = runs::get(&mut *session, run_id).await?;
    let run = run.ok_or_else(|| {
        Problem::missing(
            format!("there is no run {run_id}"),
            "The list of runs shows the latest.",
        )
    })?;
    Ok(Json(run))
}

/// Records that could not be stored.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Rejects {
    /// How many there are.
    total: i64,
    /// The latest of them.
    rejects: Vec<Reject>,
}

/// A record that could not be stored, without what it holds: `zephr-sync rejects export` writes
/// that.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Reject {
    reject_id: i64,
    job: String,
    resource: String,
    record_id: Option<String>,
    reason: String,
    times_seen: i64,
    first_seen_at: DateTime<Utc>,
    last_seen_at: DateTime<Utc>,
    first_run_id: Uuid,
    last_run_id: Uuid,
}

impl From<Stored> for Reject {
    fn from(stored: Stored) -> Self {
        Self {
            reject_id: stored.reject_id,
            job: stored.job,
            resource: stored.resource,
            record_id: stored.record_id,
            reason: stored.reason,
            times_seen: stored.times_seen,
            first_seen_at: stored.first_seen_at,
            last_seen_at: stored.last_seen_at,
            first_run_id: stored.first_run_id,
            last_run_id: stored.last_run_id,
        }
    }
}

/// The latest records that could not be stored, and why.
#[utoipa::path(get, path = "/api/tenants/{tenant}/rejects", tag = "status",
    params(("tenant" = String, Path, description = "The tenant"), Last),
    responses(
        (status = 200, description = "The records", body = Rejects),
        (status = 503, description = "Postgres is away", body = Problem),
))]
pub(super) async fn rejects(
    State(page): State<Arc<Page>>,
    Path(tenant): Path<String>,
    last: Result<Query<Last>, QueryRejection>,
) -> Result<Json<Rejects>, Problem> {
    let limit = asked(last)?.limit()?;
    let mut session = page.seat(&tenant)?.session().await?;
    let total = rejects::count(&mut *session).await?;
    let rejects = rejects::list(&mut *session, i64::MAX, limit).await?;
    let rejects = rejects.into_iter().map(Reject::from).collect();
    Ok(Json(Rejects { total, rejects }))
}

/// The daemons of a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Daemons {
    /// Who came first is first.
    daemons: Vec<Daemon>,
}

/// The daemons that are there.
#[utoipa::path(get, path = "/api/tenants/{tenant}/daemons", tag = "status",
    params(("tenant" = String, Path, description = "The tenant")),
    responses(
        (status = 200, description = "The daemons", body = Daemons),
        (status = 503, description = "Postgres is away", body = Problem),
))]
pub(super) async fn daemons(
    State(page): State<Arc<Page>>,
    Path(tenant): Path<String>,
) -> Result<Json<Daemons>, Problem> {
    let mut session = page.seat(&tenant)?.session().await?;
    let daemons = daemons::live(&mut *session).await?;
    Ok(Json(Daemons { daemons }))
}
