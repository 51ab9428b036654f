//! `zephr-sync check`: everything a night's run depends on, each failure with its remedy.

mod latency;

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::opened;
use super::output::Output;
use crate::bulk::inbox;
use crate::config::{Mirror, Settings};
use crate::identity;
use crate::job::{self, Job};
use crate::sync;
use clock::Clock;
use latency::Distance;
use mirror::postgres::connect::Database;
use mirror::postgres::{migrate, server};
use schedule::Schedule;
use zephr::{Client, Reader};

/// Options of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Settings and job files only: no network, no database
    #[arg(long)]
    offline: bool,
}

/// A request is signed with the time; from this difference on it may be refused, and should be seen
/// before.
const CLOCK_TOLERANCE_SECONDS: i64 = 30;

/// Next runs shown per job.
const TIMES_SHOWN: usize = 3;

#[derive(Debug, Serialize)]
struct Document {
    checks: Vec<Check>,
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    detail: String,
    remedy: Option<String>,
}

impl Check {
    fn good(name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            name,
            ok: true,
            detail: detail.into(),
            remedy: None,
        }
    }

    fn bad(name: &'static str, failure: Failure) -> Self {
        Self {
            name,
            ok: false,
            detail: failure.error,
            remedy: Some(failure.remedy).filter(|remedy| !remedy.is_empty()),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// Stdout cannot be written; everything else is a check that failed.
pub async fn run(settings: &Settings, args: &Args, output: Output) -> Result<Exit, Failure> {
    let clock = Clock::system();
    let mut checks = vec![address(settings)];
    let mut exit = Exit::Done;
    match job::all(&settings.jobs_dir) {
        Ok(jobs) => checks.extend(jobs.iter().map(|job| schedule(job, clock.now().into()))),
        Err(error) => checks.push(Check::bad("jobs", error.into())),
    }
    if let Err(error) = settings.inbox_is_there() {
        checks.push(Check::bad("inbox", error.into()));
    }
    match inbox::job::all(&settings.jobs_dir) {
        Ok(jobs) => checks.extend(jobs.iter().map(|job| Check::good("inbox", job.describe()))),
        Err(error) => checks.push(Check::bad("inbox", error.into())),
    }
    if checks.iter().any(|check| !check.ok) {
        exit = Exit::Usage;
    }
    if !args.offline {
        // First, though shown last: nothing is asked of a tenant that the mirror does not hold.
        let Postgres {
            checks: postgres,
            held,
            distance: to_postgres,
        } = postgres(settings).await;
        let is_held = held.as_ref().is_none_or(|held| held.ok);
        let mut to_api = None;
        if is_held {
            let (asked, distance) = api(settings, &clock).await;
            checks.extend(asked);
            to_api = distance;
        }
        checks.extend(held);
        checks.extend(postgres);
        if let (Some(to_postgres), Some(to_api)) = (to_postgres, to_api) {
            checks.push(latency::check(settings, to_postgres, to_api));
        }
        if !is_held {
            exit = Exit::Usage;
        }
        if checks.iter().any(|check| !check.ok) {
            exit = exit.worst(Exit::Failed);
        }
        if checks.iter().take(2).any(|check| !check.ok) {
            exit = Exit::Usage;
        }
    }
    output.result(&Document { checks }, |document| {
        document.checks.iter().map(line).collect()
    })?;
    Ok(exit)
}

fn line(check: &Check) -> String {
    let mut text = format!(
        "{} {:<10} {}\n",
        if check.ok { "ok  " } else { "FAIL" },
        check.name,
        check.detail
    );
    if let Some(remedy) = &check.remedy {
        text.push_str(&format!("                {remedy}\n"));
    }
    super::output::printable(&text)
}

fn address(settings: &Settings) -> Check {
    match settings.api() {
        Ok((base, _)) => {
            let mirror = match &settings.mirror {
                Mirror::Given(database) => database.place(),
                Mirror::Private => {
                    format!("a private Postgres under {}", settings.data_dir.display())
                }
            };
            Check::good(
                "settings",
                format!(
                    "{} into {mirror}, schema {}",
                    base.as_str(),
                    settings.schemas.data()
                ),
            )
        }
        Err(error) => Check::bad("settings", error.into()),
    }
}

fn schedule(job: &Job, now: DateTime<Utc>) -> Check {
    let timing = &job.timing;
    let next = |zone: Tz| {
        let times: Vec<_> = job
            .next_times(now, TIMES_SHOWN)
            .iter()
            .map(|time| {
                time.with_timezone(&zone)
                    .format("%a %Y-%m-%d %H:%M %Z")
                    .to_string()
            })
            .collect();
        times.join(", ")
    };
    let mut when = match &timing.schedule {
        None if timing.after.is_empty() => "by hand only".to_owned(),
        None => "no schedule of its own".to_owned(),
        Some(schedule @ Schedule::Every(_)) => format!("{schedule}: next {}", next(Tz::UTC)),
        Some(schedule @ Schedule::Cron(crontab)) => {
            format!("{schedule}: next {}", next(crontab.zone()))
        }
    };
    if !timing.spread.is_zero() {
        when.push_str(&format!(
            ", each up to {} later",
            humantime::format_duration(timing.spread)
        ));
    }
    if !timing.after.is_empty() {
        when.push_str(&format!("; after {}", timing.after.join(" and ")));
    }
    let state = if job.enabled { "" } else { " (disabled)" };
    Check::good("job", format!("{}{state}, {when}", job.name))
}

/// Whether the API answers, and how long that takes.
async fn api(settings: &Settings, clock: &Clock) -> (Vec<Check>, Option<Duration>) {
    let Ok((base, keys)) = settings.api() else {
        return (Vec::new(), None);
    };
    let client = match Client::new(base, keys, clock.clone(), settings.limits) {
        Ok(client) => client,
        Err(_) => {
            let failure = Failure::new(
                "the HTTP client cannot be set up",
                "Check the proxy variables and the system's certificates.",
            );
            return (vec![Check::bad("api", failure)], None);
        }
    };
    let reader = Reader::new(client, settings.ignored.clone());
    match reader.probe().await {
        Ok(date) => {
            let checks = vec![
                Check::good("api", "answers, and accepts the key pair"),
                clock_check(date, clock.now().into()),
            ];
            // The first answer took a connection, too.
            let asked = Instant::now();
            let again = reader.probe().await;
            (checks, again.ok().map(|_| asked.elapsed()))
        }
        Err(error) => (vec![Check::bad("api", error.into())], None),
    }
}

fn clock_check(theirs: Option<DateTime<Utc>>, ours: DateTime<Utc>) -> Check {
    let Some(theirs) = theirs else {
        return Check::good("clock", "the API does not tell its time");
    };
    let ahead = ours.signed_duration_since(theirs).num_seconds();
    if ahead.abs() > CLOCK_TOLERANCE_SECONDS {
        let failure = Failure::new(
            format!(
                "this machine's clock is {} s {} Zephr's",
                ahead.abs(),
                if ahead > 0 { "ahead of" } else { "behind" }
            ),
            "Switch time synchronisation on: requests are signed with the time, and a wrong one is refused.",
        );
        return Check::bad("clock", failure);
    }
    Check::good(
        "clock",
        format!("within {} s of Zephr's", ahead.abs().max(1)),
    )
}

/// What was found out about Postgres.
struct Postgres {
    checks: Vec<Check>,
    /// Whether the mirror in it is this tenant's, where there is one.
    held: Option<Check>,
    /// Where it can be used.
    distance: Option<Distance>,
}

async fn postgres(settings: &Settings) -> Postgres {
    let mirror = match opened::open(settings).await {
        Ok(mirror) => mirror,
        Err(failure) => {
            return Postgres {
                checks: vec![Check::bad("postgres", failure)],
                held: None,
                distance: None,
            };
        }
    };
    let check = usable(&mirror.database)
        .await
        .unwrap_or_else(|failure| Check::bad("postgres", failure));
    let (held, distance) = match check.ok {
        true => (
            whose(settings, &mirror.database).await,
            latency::distance(&mirror.database).await,
        ),
        false => (None, None),
    };
    let mut checks = vec![check];
    match mirror.close().await {
        Ok(()) => {}
        Err(failure) => checks.push(Check::bad("postgres", failure)),
    }
    Postgres {
        checks,
        held,
        distance,
    }
}

/// Whose the mirror is, where that is known. An API that does not answer is told of by its own
/// check.
async fn whose(settings: &Settings, database: &Database) -> Option<Check> {
    let base = settings.base.as_ref()?;
    let checked = async {
        let mut connection = database.connect().await?;
        identity::check_address(&mut connection, base).await?;
        if let Ok((base, keys)) = settings.api()
            && let Ok(client) = Client::new(base, keys, Clock::system(), settings.limits)
        {
            let reader = Reader::new(client, Vec::new());
            identity::check(&mut connection, &reader, identity::Access::ReadOnly).await?;
        }
        Ok::<_, identity::Error>(identity::held(&mut connection).await?)
    };
    match checked.await {
        Ok(held) => held.map(|held| Check::good("tenant", format!("the mirror holds {held}"))),
        Err(identity::Error::Api(_)) => None,
        Err(error) => Some(Check::bad("tenant", sync::Error::from(error).into())),
    }
}

async fn usable(database: &Database) -> Result<Check, Failure> {
    let mut connection = database.connect().await?;
    let version = server::require(&mut connection)
        .await
        .map_err(migrate::Error::from)?;
    if migrate::is_current(&mut connection).await? {
        return Ok(Check::good(
            "postgres",
            format!("{version}, schema up to date"),
        ));
    }
    let may_create: bool = sqlx::query_scalar(
        "select has_database_privilege(current_database(), 'create')
             or (exists (select from pg_namespace where nspname = $1 and has_schema_privilege(oid, 'create'))
                 and exists (select from pg_namespace where nspname = $2 and has_schema_privilege(oid, 'create')))",
    )
    .bind(database.schemas().data())
    .bind(database.schemas().state())
    .fetch_one(&mut connection)
    .await?;
    if may_create {
        return Ok(Check::good(
            "postgres",
            format!("{version}, the schema will be brought up to date by the next run"),
        ));
    }
    let schemas = database.schemas();
    Ok(Check::bad(
        "postgres",
        Failure::new(
            format!(
                "the user may not create in the schemas {} and {}",
                schemas.data(),
                schemas.state()
            ),
            format!(
                "Run as the owner of the database: create schema {0} authorization <user>; create schema {1} authorization <user>;",
                schemas.data(),
                schemas.state()
            ),
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said about the jobs of these files, beside the built-in ones.
    fn said(files: &[(&str, &str)]) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let now = DateTime::parse_from_rfc3339("2026-03-28T12:00:00Z").unwrap();
        let jobs = job::all(directory.path()).unwrap();
        jobs.iter()
            .map(|job| schedule(job, now.to_utc()).detail)
            .collect()
    }

    #[test]
    fn each_job_says_when_it_runs() {
        let said = said(&[
            (
                "accounts.toml",
                "resource = 'accounts'\nevery = '6h'\nspread = '10m'",
            ),
            (
                "catalog.toml",
                "resource = 'catalog'\nafter = ['schema', 'users']",
            ),
            (
                "schema.toml",
                "resource = 'schema'\nschedule = '30 1 * * *'\ntimezone = 'Europe/London'",
            ),
            ("events.toml", "resource = 'events'\nenabled = false"),
        ]);
        assert_eq!(
            said,
            [
                "accounts, every 6h: next Sat 2026-03-28 18:00 UTC, Sun 2026-03-29 00:00 UTC, Sun 2026-03-29 06:00 UTC, each up to 10m later",
                "catalog, no schedule of its own; after schema and users",
                "events (disabled), by hand only",
                "schema, 30 1 * * * (Europe/London): next Sun 2026-03-29 02:00 BST, Mon 2026-03-30 01:30 BST, Tue 2026-03-31 01:30 BST",
                "segments, 30 3 * * * (UTC): next Sun 2026-03-29 03:30 UTC, Mon 2026-03-30 03:30 UTC, Tue 2026-03-31 03:30 UTC; after users",
                "users, 15 2 * * * (UTC): next Sun 2026-03-29 02:15 UTC, Mon 2026-03-30 02:15 UTC, Tue 2026-03-31 02:15 UTC",
            ]
        );
    }
}
