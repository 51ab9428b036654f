//! `zephr-sync sync [JOB…]`: run jobs once, now.

use std::sync::Arc;

use indicatif::ProgressBar;
use serde::Serialize;
use uuid::Uuid;

use super::exit::{Exit, Failure};
use super::opened::{self, Opened};
use super::output::{Output, thousands};
use super::runs::{Document, details};
use super::tenant::reader;
use super::watch;
use crate::config::Settings;
use crate::job::{self, Job};
use crate::membership::Registered;
use crate::sync::progress::{Progress, State};
use crate::sync::{self, Cause, Ended, Environment, Extent, Sharing, Start};
use lifecycle::Shutdown;
use mirror::state::daemons;
use mirror::state::leases::{Holder, Subject};
use mirror::state::privacy::Access;
use mirror::state::runs::{self, Ending, Run, Status};
use scan::verdict::Verdict;
use telemetry::field;
use zephr::Reader;

/// Options of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Jobs to run; all enabled ones if none is named
    jobs: Vec<String>,
    /// Read everything, whatever the job's mode; continues an unfinished full scan younger than a
    /// day
    #[arg(long)]
    full: bool,
    /// Begin the full scan afresh
    #[arg(long)]
    restart: bool,
    /// Read and compare, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Stop after about this many records; nothing is tombstoned and no watermark moves
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Let the deletions through that a brake held back in this run; with --full or --restart a
    /// full scan follows
    #[arg(long, value_name = "RUN", conflicts_with_all = ["limit", "dry_run"])]
    confirm_deletes: Option<Uuid>,
}

impl Args {
    /// How much to read.
    fn extent(&self) -> Extent {
        match (self.limit, self.restart, self.full) {
            (Some(limit), _, _) => Extent::Sample(limit),
            (None, true, _) => Extent::Full(Start::Restart),
            (None, false, true) => Extent::Full(Start::Resume),
            (None, false, false) => Extent::AsDue,
        }
    }

    /// What to do with each job, one after the other.
    fn extents(&self) -> Vec<Extent> {
        match self.confirm_deletes {
            None => vec![self.extent()],
            Some(run) if self.full || self.restart => vec![Extent::Confirmed(run), self.extent()],
            Some(run) => vec![Extent::Confirmed(run)],
        }
    }
}

/// Runs the command.
///
/// # Errors
/// Settings, or a database that cannot be reached. A run that failed has a record, and is told by
/// its exit code.
pub async fn run(settings: &Settings, args: &Args, output: Output) -> Result<Exit, Failure> {
    let jobs = job::chosen(job::all(&settings.jobs_dir)?, &args.jobs)?;
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
    let result = if args.dry_run {
        night.dry_run(args, &jobs).await
    } else {
        mirror.migrate(output).await?;
        let among = among_others(&mirror, &reader).await?;
        let night = Night {
            among: among.as_ref(),
            ..night
        };
        let result = night.run(args, &jobs).await;
        if let Some(registered) = among {
            registered.leave().await;
        }
        result
    };
    mirror.close().await?;
    result
}

/// Where daemons share the tenant, a command is one of them while it runs: it takes its part of the
/// ceiling, and they help it.
async fn among_others(mirror: &Opened, reader: &Reader) -> Result<Option<Registered>, Failure> {
    if daemons::live(&mut *mirror.session().await?)
        .await?
        .is_empty()
    {
        return Ok(None);
    }
    let registered =
        Registered::join(&mirror.database, reader.limiter(), &sync::holder_name()).await?;
    Ok(Some(registered))
}

/// What the jobs of one command share.
#[derive(Debug, Clone, Copy)]
pub struct Night<'a> {
    /// The settings.
    pub settings: &'a Settings,
    /// The tenant.
    pub reader: &'a Reader,
    /// The mirror.
    pub mirror: &'a Opened,
    /// Whether to stop.
    pub shutdown: &'a Shutdown,
    /// Where words go.
    pub output: Output,
    /// This process among the daemons of the tenant, if there are any.
    pub among: Option<&'a Registered>,
}

impl Night<'_> {
    async fn run(&self, args: &Args, jobs: &[Job]) -> Result<Exit, Failure> {
        let mut done = Vec::new();
        let mut exit = Exit::Done;
        let each = jobs
            .iter()
            .flat_map(|job| args.extents().into_iter().map(move |extent| (job, extent)));
        for (job, extent) in each {
            let ended = self.run_job(job, extent).await?;
            exit = exit.worst(exit_of(&ended));
            let mut connection = self.mirror.session().await?;
            done.extend(runs::get(&mut *connection, ended.run_id).await?);
            if self.shutdown.is_requested() {
                break;
            }
        }
        self.output.result(&Document { runs: done }, |document| {
            document.runs.iter().map(summary).collect()
        })?;
        Ok(exit)
    }

    /// Runs one job, and shows how it goes.
    ///
    /// # Errors
    /// As [`sync::run`].
    pub async fn run_job(&self, job: &Job, extent: Extent) -> Result<Ended, Failure> {
        let env = self.environment(job, Access::Write).await?;
        let running = sync::run(&env, job, extent, waiting(self.output, job.resource));
        Ok(watched(running, &env.progress, &job.name).await?)
    }

    /// What a run of a job works with.
    ///
    /// # Errors
    /// The key of the mirror's hashes is not the one that was used before.
    pub async fn environment(&self, job: &Job, access: Access) -> Result<Environment, Failure> {
        let policy = self.mirror.policy(self.settings, access).await?;
        Ok(Environment {
            database: self.mirror.database.clone(),
            before: sync::asked(self.reader),
            reader: self.reader.with(job.grants, &job.app_ids).under(&policy),
            privacy: policy,
            progress: Arc::new(Progress::default()),
            shutdown: self.shutdown.clone(),
            rpp: self.settings.rpp,
            max_in_flight: self.settings.limits.max_in_flight,
            brakes: self.settings.brakes.of_job(job),
            bookkeeping_retention: self.settings.bookkeeping_retention,
            sharing: self
                .among
                .map(|registered| Sharing::but_with(registered.id())),
            cause: Cause::Command,
        })
    }
}

/// Tells people for whom a command waits.
pub fn waiting(output: Output, subject: impl Into<Subject>) -> impl FnMut(&Holder) {
    let subject = subject.into();
    move |holder| {
        output.note(&format!(
            "waiting for {}, which has been working on {} for {} s",
            holder.name,
            subject.name(),
            holder.held_seconds
        ));
    }
}

fn exit_of(ended: &Ended) -> Exit {
    match (ended.ending, ended.counts.rejected) {
        (Ending::Interrupted, _) => Exit::Interrupted,
        (Ending::Failed, _) => Exit::Failed,
        (Ending::Braked, _) => Exit::Braked,
        (Ending::Succeeded, 0) => Exit::Done,
        (Ending::Succeeded, _) => Exit::Rejects,
    }
}

/// Shows how something goes while it goes.
///
/// # Errors
/// As what is watched.
pub async fn watched<T>(running: impl Future<Output = T>, progress: &Progress, job: &str) -> T {
    let show = |bar: &ProgressBar| show(bar, &progress.now());
    watch::watched(running, job, show, || log(&progress.now(), job)).await
}

fn show(bar: &ProgressBar, state: &State) {
    if let Some(total) = state.total {
        bar.set_length(total);
    }
    bar.set_position(state.counts.read.unsigned_abs());
    let waiting = state.governor.and_then(|governor| governor.waiting);
    bar.set_message(match waiting {
        Some(left) => format!("throttled by Zephr, resuming in {} s", left.as_secs() + 1),
        None => format!(
            "{} new, {} changed",
            thousands(state.counts.inserted),
            thousands(state.counts.updated)
        ),
    });
}

fn log(state: &State, job: &str) {
    let governor = state.governor;
    tracing::info!(
        { field::JOB } = job,
        { field::READ } = state.counts.read,
        { field::INSERTED } = state.counts.inserted,
        { field::UPDATED } = state.counts.updated,
        { field::IN_FLIGHT } = governor.map(|governor| governor.in_flight),
        { field::WAIT_MS } = governor
            .and_then(|governor| governor.waiting)
            .map(|left| left.as_millis() as u64),
        "syncing"
    );
}

/// What a run did, in a few words: mode and verdict included, so that nothing read looks like a
/// fault only when it is one.
pub fn summary(run: &Run) -> String {
    match run.status {
        Status::Succeeded => {
            let verdict = match (&run.verdict, &run.verdict_reason) {
                (Some(verdict), Some(reason)) => format!("{verdict}: {reason}"),
                (_, _) => "a sample, without a verdict".to_owned(),
            };
            let mut text = format!(
                "{}: {} new and {} changed of {} read, {} unchanged ({} scan, {}).\n",
                run.job,
                thousands(run.rows_inserted),
                thousands(run.rows_updated),
                thousands(run.rows_read),
                thousands(run.rows_unchanged),
                run.mode.name(),
                verdict,
            );
            if run.rows_tombstoned > 0 {
                text.push_str(&format!(
                    "{} rows that the tenant does not show any more are marked as deleted.\n",
                    thousands(run.rows_tombstoned)
                ));
            }
            if let Some(missed) = run.rows_missed.filter(|missed| *missed > 0) {
                text.push_str(&format!(
                    "{} of these changes the API does not show when it is asked for what changed, so incremental runs do not see them (or an earlier full scan did not): make full_every shorter.\n",
                    thousands(missed)
                ));
            }
            if run.pushes_confirmed + run.pushes_refuted > 0 {
                text.push_str(&format!(
                    "Of bulk updates {} rows were seen to have arrived, and {} not; `zephr-sync bulk status` tells of which plans.\n",
                    thousands(run.pushes_confirmed),
                    thousands(run.pushes_refuted)
                ));
            }
            if run.rows_rejected > 0 {
                text.push_str(&format!(
                    "{} records could not be stored; `zephr-sync rejects list` says why.\n",
                    thousands(run.rows_rejected)
                ));
            }
            text
        }
        Status::Running | Status::Failed | Status::Interrupted | Status::Braked => details(run),
    }
}

#[derive(Debug, Serialize)]
struct Preview {
    job: String,
    verdict: String,
    verdict_reason: String,
    rows_read: i64,
    rows_inserted: i64,
    rows_updated: i64,
    rows_unchanged: i64,
    rows_rejected: i64,
}

impl Night<'_> {
    async fn dry_run(&self, args: &Args, jobs: &[Job]) -> Result<Exit, Failure> {
        self.mirror.refuse_others().await?;
        let mut connection = self.mirror.session().await?;
        if !mirror::postgres::migrate::is_current(&mut connection).await? {
            return Err(Failure::new(
                "there is no up-to-date mirror to compare with",
                "Run `zephr-sync migrate` first: a dry run writes nothing, not even the schema.",
            ));
        }
        drop(connection);
        let mut previews = Vec::new();
        let mut exit = Exit::Done;
        for job in jobs {
            let env = self.environment(job, Access::ReadOnly).await?;
            let preview = sync::dry_run(&env, job, args.extent());
            let previewed = watched(preview, &env.progress, &job.name).await;
            if self.shutdown.is_requested() {
                return Ok(Exit::Interrupted);
            }
            let (counts, verdict, reason) = previewed?;
            exit = exit.worst(match (verdict, counts.rejected) {
                (Verdict::Incomplete, _) => Exit::Failed,
                (Verdict::Proven | Verdict::Agreed | Verdict::Partial, 0) => Exit::Done,
                (Verdict::Proven | Verdict::Agreed | Verdict::Partial, _) => Exit::Rejects,
            });
            previews.push(Preview {
                job: job.name.clone(),
                verdict: verdict.to_string(),
                verdict_reason: reason,
                rows_read: counts.read,
                rows_inserted: counts.inserted,
                rows_updated: counts.updated,
                rows_unchanged: counts.unchanged,
                rows_rejected: counts.rejected,
            });
        }
        self.output.result(&serde_json::json!({ "dry_run": previews }), |_| {
        previews
            .iter()
            .map(|preview| {
                format!(
                    "{}: a run would insert {}, update {} and leave {} of {} records as they are; {} cannot be stored ({}: {}). Nothing was written.\n",
                    preview.job,
                    thousands(preview.rows_inserted),
                    thousands(preview.rows_updated),
                    thousands(preview.rows_unchanged),
                    thousands(preview.rows_read),
                    thousands(preview.rows_rejected),
                    preview.verdict,
                    preview.verdict_reason,
                )
            })
            .collect()
    })?;
        Ok(exit)
    }
}
