//! `zephr-sync verify [JOB…]`: compare counts and sampled records with the API.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::opened;
use super::output::{self, Output, printable, thousands};
use super::sync::Night;
use super::tenant::reader;
use crate::config::Settings;
use crate::job::{self, Job};
use crate::verify::{self, Environment, Progress, Verified};
use lifecycle::Shutdown;
use mirror::state::privacy::Access;
use mirror::state::verifications::{Difference, Verification};
use record::Resource;
use telemetry::field;
use zephr::{Reader, user};

/// Options of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Jobs whose tables to compare; those of all enabled ones if none is named
    jobs: Vec<String>,
    /// How many records to draw and compare field by field
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=MOST))]
    sample: i64,
}

/// Each takes a request. From here on a full sync asks for less and finds more.
const MOST: i64 = 100_000;

/// Differing records that the text names; the document names all.
const NAMED: usize = 20;

/// Fields of one side that the text names; the document names all.
const FIELDS_NAMED: usize = 10;

/// How often people see that something goes on: a bar on a terminal, a log line elsewhere.
const BAR_INTERVAL: Duration = Duration::from_millis(100);
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// Comparisons, as one JSON document.
#[derive(Debug, Serialize)]
struct Document {
    verifications: Vec<Shown>,
}

#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    stored: Verification,
    rows_kept_aside: i64,
    rows_erased: i64,
    fields_compared: Vec<String>,
    fields_one_sided: Vec<String>,
    remedy: Option<String>,
    #[serde(skip)]
    text: String,
}

/// Runs the command.
///
/// # Errors
/// Settings, an API or a database that cannot be asked. What differs is told by the exit code.
pub async fn run(settings: &Settings, args: &Args, output: Output) -> Result<Exit, Failure> {
    let mut jobs = job::chosen(job::all(&settings.jobs_dir)?, &args.jobs)?;
    if let Some(other) = jobs
        .iter()
        .find(|job| job.resource != Resource::Users && !args.jobs.is_empty())
    {
        return Err(Failure::usage(
            format!(
                "{} is not a job of users, and only users are drawn and compared one by one",
                other.name
            ),
            format!(
                "Run `zephr-sync sync {} --full --dry-run`: it reads everything, compares it and writes nothing.",
                other.name
            ),
        ));
    }
    jobs.retain(|job| job.resource == Resource::Users);
    let shutdown = Shutdown::on_signals()?;
    let reader = reader(settings, settings.api()?, &shutdown)?;
    let mirror = opened::open(settings).await?;
    let night = Night {
        settings,
        reader: &reader,
        mirror: &mirror,
        shutdown: &shutdown,
        output,
        among: None,
    };
    let result = compare(night, args, &jobs).await;
    mirror.close().await?;
    result
}

async fn compare(night: Night<'_>, args: &Args, jobs: &[Job]) -> Result<Exit, Failure> {
    let Night {
        settings,
        mirror,
        shutdown,
        output,
        ..
    } = night;
    mirror.migrate(output).await?;
    mirror.is_of(night.reader).await?;
    let mut exit = Exit::Done;
    let mut verifications = Vec::with_capacity(jobs.len());
    for job in jobs {
        let env = night.environment(job, Access::Write).await?;
        let progress = Progress::default();
        let env = Environment {
            database: &env.database,
            reader: &env.reader,
            ignored: &settings.ignored,
            rules: &user::rules(&env.privacy),
            max_in_flight: env.max_in_flight,
            progress: &progress,
        };
        let comparing = verify::users(&env, &job.name, args.sample);
        let verified = tokio::select! {
            verified = watched(comparing, &progress, env.reader, &job.name) => verified?,
            () = shutdown.requested() => {
                output.note("stopped before the end; nothing was recorded of it");
                return Ok(Exit::Interrupted);
            }
        };
        if !verified.agrees() {
            exit = exit.worst(Exit::Failed);
        }
        verifications.push(shown(job, verified));
    }
    output.result(&Document { verifications }, |document| {
        let texts = document.verifications.iter().map(|shown| &*shown.text);
        texts.collect()
    })?;
    Ok(exit)
}

/// Shows how far it has come, and when the API makes it wait.
async fn watched<T>(
    comparing: impl Future<Output = T>,
    progress: &Progress,
    reader: &Reader,
    job: &str,
) -> T {
    let bar = output::is_watched().then(|| {
        let style = ProgressStyle::with_template("{prefix} {bar:24} {pos}/{len} compared {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::no_length()
            .with_style(style)
            .with_prefix(job.to_owned())
    });
    let mut ticks = tokio::time::interval(if bar.is_some() {
        BAR_INTERVAL
    } else {
        LOG_INTERVAL
    });
    ticks.tick().await;
    tokio::pin!(comparing);
    loop {
        tokio::select! {
            compared = &mut comparing => {
                if let Some(bar) = bar {
                    bar.finish_and_clear();
                }
                return compared;
            }
            _ = ticks.tick() => {
                let governor = reader.governor();
                match &bar {
                    Some(bar) => {
                        bar.set_length(progress.drawn());
                        bar.set_position(progress.compared());
                        bar.set_message(governor.waiting.map_or_else(String::new, |left| {
                            format!("throttled by Zephr, resuming in {} s", left.as_secs() + 1)
                        }));
                    }
                    None => tracing::info!(
                        { field::JOB } = job,
                        { field::COMPARED } = progress.compared(),
                        { field::IN_FLIGHT } = governor.in_flight,
                        { field::WAIT_MS } = governor.waiting.map(|left| left.as_millis() as u64),
                        "comparing"
                    ),
                }
            }
        }
    }
}

fn shown(job: &Job, verified: Verified) -> Shown {
    let remedy = (!verified.agrees()).then(|| {
        format!(
            "Run `zephr-sync sync {0} --full`, then `zephr-sync verify {0}` again. A run compares hashes: what still differs was changed in Postgres, and is written anew by a full run after its _zephr_hash was set to ''.",
            job.name
        )
    });
    let mut text = text(&verified);
    if let Some(remedy) = &remedy {
        text.push_str(remedy);
        text.push('\n');
    }
    Shown {
        stored: verified.stored,
        rows_kept_aside: verified.rows_kept_aside,
        rows_erased: verified.rows_erased,
        fields_compared: verified.fields_compared,
        fields_one_sided: verified.fields_one_sided,
        remedy,
        text: printable(&text),
    }
}

fn text(verified: &Verified) -> String {
    let stored = &verified.stored;
    let mut text = format!("{}.\n{}.\n", summary(stored), counted(verified));
    let fields = verified.fields_compared.len();
    if stored.rows_sampled > 0 {
        text.push_str(&format!(
            "{} fields that both sides show were compared.\n",
            thousands(fields as i64)
        ));
    }
    let differences = &stored.differences.0;
    for difference in differences.iter().take(NAMED) {
        text.push_str(&named(difference));
    }
    if differences.len() > NAMED {
        text.push_str(&format!(
            "  and {} more; --json names all of them\n",
            thousands((differences.len() - NAMED) as i64)
        ));
    }
    if stored.rows_sampled > 1 && stored.rows_gone == stored.rows_sampled {
        text.push_str(
            "Nobody at all was found by id: perhaps the key pair may not read single users. `zephr-sync api GET /v3/users/<user_id>` shows the answer.\n",
        );
    }
    if !verified.fields_one_sided.is_empty() {
        let names = verified.fields_one_sided.iter().take(FIELDS_NAMED);
        let names: Vec<&str> = names.map(String::as_str).collect();
        let more = verified.fields_one_sided.len() - names.len();
        let more = if more > 0 {
            format!(" and {} more", thousands(more as i64))
        } else {
            String::new()
        };
        text.push_str(&format!(
            "Shown by one side only, and so not compared: {}{more}.\n",
            names.join(", ")
        ));
    }
    text
}

fn named(difference: &Difference) -> String {
    if difference.gone {
        format!("  {}: gone from the API\n", difference.user_id)
    } else {
        format!(
            "  {}: {}\n",
            difference.user_id,
            difference.fields.join(", ")
        )
    }
}

/// The outcome for the sampled records, in a few words.
pub fn summary(stored: &Verification) -> String {
    if stored.rows_sampled == 0 {
        return format!("{}: the mirror holds nobody to compare", stored.job);
    }
    if stored.rows_equal == stored.rows_sampled {
        return format!(
            "{}: all of {} sampled records are equal",
            stored.job,
            thousands(stored.rows_sampled)
        );
    }
    format!(
        "{}: of {} sampled records {} are equal, {} differ, and {} are gone from the API",
        stored.job,
        thousands(stored.rows_sampled),
        thousands(stored.rows_equal),
        thousands(stored.rows_different),
        thousands(stored.rows_gone)
    )
}

fn counted(verified: &Verified) -> String {
    let mut here = format!("{} in the mirror", thousands(verified.stored.rows_mirror));
    if verified.rows_kept_aside > 0 {
        here.push_str(&format!(
            " and {} kept aside as rejects",
            thousands(verified.rows_kept_aside)
        ));
    }
    if verified.rows_erased > 0 {
        here.push_str(&format!(" and {} erased", thousands(verified.rows_erased)));
    }
    let Some(there) = verified.stored.rows_api.map(thousands) else {
        return format!("{here}; the API does not say how many it has");
    };
    match (verified.counts_agree(), verified.last_read_at) {
        (Some(false), Some(at)) => format!(
            "{here}, {there} at the API: the tenant may have changed since the last run, which began at {} UTC",
            at.format("%Y-%m-%d %H:%M:%S")
        ),
        (Some(false), None) => {
            format!("{here}, {there} at the API, and no run has read from it yet")
        }
        (Some(true) | None, _) => format!("{here}, {there} at the API: the counts agree"),
    }
}
