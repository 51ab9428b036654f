//! Runs: what each did and how complete it was.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::unfit::Unfit;
use record::Resource;

/// How much a run reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Everything.
    Full,
    /// What changed since the watermark.
    Incremental,
    /// What was rejected, from where it is kept.
    Replay,
}

impl Mode {
    /// Its name in the bookkeeping.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
            Self::Replay => "replay",
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It did what it was for.
    Succeeded,
    /// It did not; see error and remedy.
    Failed,
    /// It was asked to stop; the next run continues.
    Interrupted,
    /// A safety brake stopped it; see error and remedy.
    Braked,
}

impl Ending {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Succeeded,
        Self::Failed,
        Self::Interrupted,
        Self::Braked,
    ];

    /// The status of a run that ended so.
    pub fn status(self) -> Status {
        match self {
            Self::Succeeded => Status::Succeeded,
            Self::Failed => Status::Failed,
            Self::Interrupted => Status::Interrupted,
            Self::Braked => Status::Braked,
        }
    }

    /// Its name in the bookkeeping.
    pub fn name(self) -> &'static str {
        self.status().name()
    }
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It has not ended; one whose process is gone says so too.
    Running,
    /// See [`Ending::Succeeded`].
    Succeeded,
    /// See [`Ending::Failed`].
    Failed,
    /// See [`Ending::Interrupted`].
    Interrupted,
    /// See [`Ending::Braked`].
    Braked,
}

impl Status {
    /// Its name in the bookkeeping.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Braked => "braked",
        }
    }
}

/// What was done with records, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Received.
    pub read: i64,
    /// New.
    pub inserted: i64,
    /// Different from the mirror.
    pub updated: i64,
    /// Equal to the mirror.
    pub unchanged: i64,
    /// Not storable.
    pub rejected: i64,
    /// Marked as deleted.
    pub tombstoned: i64,
    /// Timestamps among them that came as numbers.
    pub times_from_numbers: i64,
}

impl Counts {
    /// Adds what else was done.
    pub fn add(&mut self, other: Self) {
        let Self {
            read,
            inserted,
            updated,
            unchanged,
            rejected,
            tombstoned,
            times_from_numbers,
        } = other;
        self.read += read;
        self.inserted += inserted;
        self.updated += updated;
        self.unchanged += unchanged;
        self.rejected += rejected;
        self.tombstoned += tombstoned;
        self.times_from_numbers += times_from_numbers;
    }
}

/// What the API was asked, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Traffic {
    /// Requests, retries included.
    pub requests: i64,
    /// Requests that repeated another.
    pub retries: i64,
    /// Milliseconds during which the API had asked us to wait.
    pub throttled_ms: i64,
    /// Requests that the governor allows in flight.
    pub allowed: i32,
    /// How long the API still makes us wait.
    pub waiting_seconds: Option<f64>,
}

/// A run as it is stored. Field names are column names.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(
    missing_docs,
    reason = "each is the column of that name, and the columns carry comments"
)]
pub struct Run {
    pub run_id: Uuid,
    pub job: String,
    pub mode: Mode,
    pub status: Status,
    pub verdict: Option<String>,
    pub verdict_reason: Option<String>,
    pub scheduled_at: Option<DateTime<Utc>>,
    pub attempt: i32,
    pub scan_id: Option<Uuid>,
    pub started_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    pub rows_read: i64,
    pub rows_inserted: i64,
    pub rows_updated: i64,
    pub rows_unchanged: i64,
    pub rows_tombstoned: i64,
    pub rows_rejected: i64,
    pub requests: i64,
    pub retries: i64,
    pub throttled_ms: i64,
    pub rows_missed: Option<i64>,
    pub pushes_confirmed: i64,
    pub pushes_refuted: i64,
    pub times_from_numbers: i64,
    #[schema(value_type = Option<Vec<Unfit>>)]
    pub unfit: Option<Json<Vec<Unfit>>>,
    pub requests_allowed: Option<i32>,
    pub throttled_until: Option<DateTime<Utc>>,
    pub error: Option<String>,
    pub remedy: Option<String>,
}

/// Begins a run. Whoever holds the lease is alone, so a run of this resource that still says
/// `running` belongs to a process that is gone. False if the slot is taken: then nothing was begun.
pub async fn begin(
    connection: &mut PgConnection,
    run_id: Uuid,
    job: &str,
    resource: Resource,
    mode: Mode,
    scan_id: Option<Uuid>,
    slot: Option<Slot>,
) -> Result<bool, sqlx::Error> {
    sqlx::query!(
        "update runs set status = 'interrupted', finished_at = now(),
             error = 'the process exited without recording an outcome', remedy = 'Nothing to do: the next run continued where it stopped.'
         where resource = $1 and status = 'running'",
        resource.name(),
    )
    .execute(&mut *connection)
    .await?;
    let (scheduled_at, attempt) = slot.map(|slot| (slot.scheduled_at, slot.attempt)).unzip();
    let begun = sqlx::query!(
        "insert into runs (run_id, job, resource, mode, status, scan_id, scheduled_at, attempt)
         values ($1, $2, $3, $4, 'running', $5, $6, coalesce($7, 1))
         on conflict (job, scheduled_at, attempt) do nothing",
        run_id,
        job,
        resource.name(),
        mode.name(),
        scan_id,
        scheduled_at,
        attempt,
    )
    .execute(connection)
    .await?;
    Ok(begun.rows_affected() == 1)
}

/// An attempt at a slot of a job's schedule: each is made once, whichever daemon makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The slot.
    pub scheduled_at: DateTime<Utc>,
    /// The attempt, from 1.
    pub attempt: i32,
}

/// An attempt at a slot, as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each is the column of that name, and the columns carry comments"
)]
pub struct Attempt {
    pub job: String,
    pub scheduled_at: DateTime<Utc>,
    pub attempt: i32,
    pub status: Status,
    pub finished_at: Option<DateTime<Utc>>,
}

/// The last attempt at the latest slot of each of these jobs. Slots of a clock that was years ahead
/// do not count.
pub async fn latest_slots(
    executor: impl PgExecutor<'_>,
    jobs: &[&str],
) -> Result<Vec<Attempt>, sqlx::Error> {
    sqlx::query_as!(
        Attempt,
        r#"select r.job, r.scheduled_at as "scheduled_at!", r.attempt, r.status as "status: Status", r.finished_at
           from unnest($1::text[]) as wanted (job)
           cross join lateral (
               select job, scheduled_at, attempt, status, finished_at
               from runs
               where job = wanted.job and scheduled_at <= now() + interval '1 day'
               order by scheduled_at desc, attempt desc
               limit 1
           ) r"#,
        jobs as &[&str],
    )
    .fetch_all(executor)
    .await
}

/// How the run before this one ended, attempts at the same slot aside; none if it was the first.
pub async fn status_before(
    executor: impl PgExecutor<'_>,
    run: &Run,
) -> Result<Option<Status>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select status as "status: Status" from runs
         where job = $1 and started_at < $2 and (scheduled_at is null or scheduled_at is distinct from $3)
         order by started_at desc limit 1"#,
        run.job,
        run.started_at,
        run.scheduled_at,
    )
    .fetch_optional(executor)
    .await
}

/// How many rows the runs of a job took in that a brake stopped since its last full run that
/// succeeded: nobody has said yet that they may be there.
pub async fn inserted_by_braked(
    executor: impl PgExecutor<'_>,
    job: &str,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select coalesce(sum(b.rows_inserted), 0)::bigint as "inserted!" from runs b
           where b.job = $1 and b.status = 'braked' and not exists (
               select from runs s where s.job = $1 and s.mode = 'full' and s.status = 'succeeded' and s.started_at > b.started_at
           )"#,
        job,
    )
    .fetch_one(executor)
    .await
}

/// Adds to a run's counters, in the transaction that did what they count.
pub async fn add(
    executor: impl PgExecutor<'_>,
    run_id: Uuid,
    counts: Counts,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update runs set
             rows_read = rows_read + $2, rows_inserted = rows_inserted + $3, rows_updated = rows_updated + $4,
             rows_unchanged = rows_unchanged + $5, rows_rejected = rows_rejected + $6, rows_tombstoned = rows_tombstoned + $7,
             times_from_numbers = times_from_numbers + $8
         where run_id = $1",
        run_id,
        counts.read,
        counts.inserted,
        counts.updated,
        counts.unchanged,
        counts.rejected,
        counts.tombstoned,
        counts.times_from_numbers,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Notes what the API was asked so far, and whether it asked us to wait. Not fenced: it changes
/// nothing but the record of a run that nobody has taken over.
pub async fn note_traffic(
    executor: impl PgExecutor<'_>,
    run_id: Uuid,
    traffic: Traffic,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update runs set requests = $2, retries = $3, throttled_ms = $4, requests_allowed = $5,
             throttled_until = coalesce(clock_timestamp() + make_interval(secs => $6), throttled_until)
         where run_id = $1 and status = 'running'",
        run_id,
        traffic.requests,
        traffic.retries,
        traffic.throttled_ms,
        traffic.allowed,
        traffic.waiting_seconds,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Of which columns the last run of a job that looked found that too many values did not fit; none
/// where no run has looked.
pub async fn unfit(
    executor: impl PgExecutor<'_>,
    job: &str,
) -> Result<Option<Vec<Unfit>>, sqlx::Error> {
    let unfit = sqlx::query_scalar!(
        r#"select unfit as "unfit!: Json<Vec<Unfit>>" from runs
           where job = $1 and unfit is not null order by started_at desc, run_id desc limit 1"#,
        job,
    )
    .fetch_optional(executor)
    .await?;
    Ok(unfit.map(|Json(unfit)| unfit))
}

/// The same as the run before this one left it; none where that run did not look, and may have
/// changed something.
pub async fn unfit_before(
    executor: impl PgExecutor<'_>,
    job: &str,
    run_id: Uuid,
) -> Result<Option<Vec<Unfit>>, sqlx::Error> {
    let unfit = sqlx::query_scalar!(
        r#"select unfit as "unfit: Json<Vec<Unfit>>" from runs
           where job = $1 and started_at < (select started_at from runs where run_id = $2)
           order by started_at desc, run_id desc limit 1"#,
        job,
        run_id,
    )
    .fetch_optional(executor)
    .await?;
    Ok(unfit.flatten().map(|Json(unfit)| unfit))
}

/// What the last run of the job before this one that looked found.
pub async fn unfit_known_before(
    executor: impl PgExecutor<'_>,
    run: &Run,
) -> Result<Vec<Unfit>, sqlx::Error> {
    let unfit = sqlx::query_scalar!(
        r#"select unfit as "unfit!: Json<Vec<Unfit>>" from runs
           where job = $1 and started_at < $2 and unfit is not null order by started_at desc, run_id desc limit 1"#,
        run.job,
        run.started_at,
    )
    .fetch_optional(executor)
    .await?;
    Ok(unfit.map(|Json(unfit)| unfit).unwrap_or_default())
}

/// When a run began, and what time it is now, both by Postgres's clock.
///
/// # Errors
/// As sqlx; a run that is not there is an error.
pub async fn began(
    executor: impl PgExecutor<'_>,
    run_id: Uuid,
) -> Result<(DateTime<Utc>, DateTime<Utc>), sqlx::Error> {
    let times = sqlx::query!(
        r#"select started_at, clock_timestamp() as "now!" from runs where run_id = $1"#,
        run_id,
    )
    .fetch_one(executor)
    .await?;
    Ok((times.started_at, times.now))
}

/// How many timestamps of a run came as numbers.
///
/// # Errors
/// As sqlx; a run that is not there is an error.
pub async fn times_from_numbers(
    executor: impl PgExecutor<'_>,
    run_id: Uuid,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        "select times_from_numbers from runs where run_id = $1",
        run_id
    )
    .fetch_one(executor)
    .await
}

/// When the first of the runs that worked on a scan began, by Postgres's clock.
pub async fn scan_began(
    executor: impl PgExecutor<'_>,
    scan_id: Uuid,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    sqlx::query_scalar!(
        "select min(started_at) from runs where scan_id = $1",
        scan_id
    )
    .fetch_one(executor)
    .await
}

/// Adds to what a run saw of bulk updates.
pub async fn note_pushes(
    executor: impl PgExecutor<'_>,
    run_id: Uuid,
    confirmed: i64,
    refuted: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update runs set pushes_confirmed = pushes_confirmed + $2, pushes_refuted = pushes_refuted + $3 where run_id = $1",
        run_id,
        confirmed,
        refuted,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// The end of a run, as it is recorded.
#[derive(Debug, Clone, Copy)]
pub struct Finish<'a> {
    /// How it ended.
    pub ending: Ending,
    /// The verdict about its scan, with the reason.
    pub verdict: Option<(&'a str, &'a str)>,
    /// What happened, and what to do.
    pub failure: Option<(&'a str, &'a str)>,
    /// What the API was asked, if it was.
    pub traffic: Option<Traffic>,
    /// How many changes the incremental runs before a full scan should have seen and did not.
    pub missed: Option<i64>,
    /// The columns of which too many values did not fit, if anybody looked.
    pub unfit: Option<&'a [Unfit]>,
}

/// Ends a run; when that was.
pub async fn finish(
    executor: impl PgExecutor<'_>,
    run_id: Uuid,
    finish: Finish<'_>,
) -> Result<DateTime<Utc>, sqlx::Error> {
    let traffic = finish.traffic;
    sqlx::query_scalar!(
        r#"update runs set
               status = $2, finished_at = clock_timestamp(), verdict = $3, verdict_reason = $4, error = $5, remedy = $6,
               requests = coalesce($7, requests), retries = coalesce($8, retries), throttled_ms = coalesce($9, throttled_ms),
               requests_allowed = coalesce($10, requests_allowed),
               throttled_until = coalesce(clock_timestamp() + make_interval(secs => $11), throttled_until),
               rows_missed = $12, unfit = $13
           where run_id = $1
           returning finished_at as "finished_at!""#,
        run_id,
        finish.ending.name(),
        finish.verdict.map(|(verdict, _)| verdict),
        finish.verdict.map(|(_, reason)| reason),
        finish.failure.map(|(error, _)| error),
        finish.failure.map(|(_, remedy)| remedy),
        traffic.map(|traffic| traffic.requests),
        traffic.map(|traffic| traffic.retries),
        traffic.map(|traffic| traffic.throttled_ms),
        traffic.map(|traffic| traffic.allowed),
        traffic.and_then(|traffic| traffic.waiting_seconds),
        finish.missed,
        finish.unfit.map(Json) as _,
    )
    .fetch_one(executor)
    .await
}

/// The latest runs, newest first.
pub async fn latest(executor: impl PgExecutor<'_>, limit: i64) -> Result<Vec<Run>, sqlx::Error> {
    sqlx::query_as!(
        Run,
        r#"select run_id, job, mode as "mode: Mode", status as "status: Status", verdict, verdict_reason, scheduled_at, attempt, scan_id, started_at, finished_at, rows_read,
                rows_inserted, rows_updated, rows_unchanged, rows_tombstoned, rows_rejected, requests, retries, throttled_ms, rows_missed,
                pushes_confirmed, pushes_refuted, times_from_numbers, unfit as "unfit: Json<Vec<Unfit>>", requests_allowed, throttled_until,
                error, remedy
         from runs order by started_at desc, run_id desc limit $1"#,
        limit,
    )
    .fetch_all(executor)
    .await
}

/// The runs that are under way, the newest first. One whose process is gone says so too, until the
/// next run of its resource begins.
pub async fn running(executor: impl PgExecutor<'_>) -> Result<Vec<Run>, sqlx::Error> {
    sqlx::query_as!(
        Run,
        r#"select run_id, job, mode as "mode: Mode", status as "status: Status", verdict, verdict_reason, scheduled_at, attempt, scan_id, started_at, finished_at, rows_read,
                rows_inserted, rows_updated, rows_unchanged, rows_tombstoned, rows_rejected, requests, retries, throttled_ms, rows_missed,
                pushes_confirmed, pushes_refuted, times_from_numbers, unfit as "unfit: Json<Vec<Unfit>>", requests_allowed, throttled_until,
                error, remedy
         from runs where status = 'running' order by started_at desc, run_id desc"#,
    )
    .fetch_all(executor)
    .await
}

/// When the last run of each job that succeeded ended.
pub async fn last_successes(
    executor: impl PgExecutor<'_>,
) -> Result<Vec<(String, DateTime<Utc>)>, sqlx::Error> {
    let successes = sqlx::query!(
        r#"select job, max(finished_at) as "finished_at!" from runs where status = 'succeeded' group by job order by job"#
    )
    .fetch_all(executor)
    .await?;
    let successes = successes.into_iter();
    Ok(successes.map(|row| (row.job, row.finished_at)).collect())
}

/// The last run of a job.
pub async fn last_of(executor: impl PgExecutor<'_>, job: &str) -> Result<Option<Run>, sqlx::Error> {
    sqlx::query_as!(
        Run,
        r#"select run_id, job, mode as "mode: Mode", status as "status: Status", verdict, verdict_reason, scheduled_at, attempt, scan_id, started_at, finished_at, rows_read,
                rows_inserted, rows_updated, rows_unchanged, rows_tombstoned, rows_rejected, requests, retries, throttled_ms, rows_missed,
                pushes_confirmed, pushes_refuted, times_from_numbers, unfit as "unfit: Json<Vec<Unfit>>", requests_allowed, throttled_until,
                error, remedy
         from runs where job = $1 order by started_at desc, run_id desc limit 1"#,
        job,
    )
    .fetch_optional(executor)
    .await
}

/// The runs that worked on a scan.
pub async fn of_scan(
    executor: impl PgExecutor<'_>,
    scan_id: Uuid,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!("select run_id from runs where scan_id = $1", scan_id)
        .fetch_all(executor)
        .await
}

/// The last run of a job that a brake stopped, and its scan.
pub async fn last_braked(
    executor: impl PgExecutor<'_>,
    job: &str,
) -> Result<Option<(Uuid, Uuid)>, sqlx::Error> {
    let braked = sqlx::query!(
        r#"select run_id, scan_id as "scan_id!" from runs
           where job = $1 and status = 'braked' and scan_id is not null order by started_at desc, run_id desc limit 1"#,
        job,
    )
    .fetch_optional(executor)
    .await?;
    Ok(braked.map(|run| (run.run_id, run.scan_id)))
}

/// One run.
pub async fn get(executor: impl PgExecutor<'_>, run_id: Uuid) -> Result<Option<Run>, sqlx::Error> {
    sqlx::query_as!(
        Run,
        r#"select run_id, job, mode as "mode: Mode", status as "status: Status", verdict, verdict_reason, scheduled_at, attempt, scan_id, started_at, finished_at, rows_read,
                rows_inserted, rows_updated, rows_unchanged, rows_tombstoned, rows_rejected, requests, retries, throttled_ms, rows_missed,
                pushes_confirmed, pushes_refuted, times_from_numbers, unfit as "unfit: Json<Vec<Unfit>>", requests_allowed, throttled_until,
                error, remedy
         from runs where run_id = $1"#,
        run_id,
    )
    .fetch_optional(executor)
    .await
}
