//! `zephr-sync bulk …`: a CSV file made into a plan, looked at, applied, followed, reported, taken
//! back.

mod document;
mod results;

use std::path::PathBuf;
use std::sync::Arc;

use indicatif::ProgressBar;
use uuid::Uuid;

use super::exit::{Exit, Failure};
use super::opened::{self, Opened};
use super::operator::whose;
use super::output::{Output, thousands};
use super::sync::waiting;
use super::tenant::client;
use super::watch;
use crate::bulk::Error;
use crate::bulk::document::{Document, Documents, LISTED};
use crate::bulk::plan::{self, Empty};
use crate::bulk::progress::{Progress, State};
use crate::bulk::push::{self, Allowed, Assume, End};
use crate::bulk::undo::{self, Impossible};
use crate::config::Settings;
use clock::Clock;
use csv_intake::Reading;
use lifecycle::Shutdown;
use mirror::state::bulk::plans;
use mirror::state::leases::Subject;
use mirror::state::privacy::Access;
use telemetry::field;
use zephr::Reader;
use zephr::updates::Writer;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Check a CSV file whole and store what it would change; nothing is sent
    Plan(PlanArgs),
    /// Send a plan, and nothing else
    Apply(ApplyArgs),
    /// Plan a CSV file and apply the plan
    Run(RunArgs),
    /// Show the latest plans, or one
    Status {
        /// The plan
        plan: Option<Uuid>,
    },
    /// Carry on with what was begun: one plan, or all that were
    Resume(ResumeArgs),
    /// Print what became of each row, as CSV in the order of the file
    Results(results::Args),
    /// Plan the way back from what a plan did; nothing is sent
    Undo(UndoArgs),
}

/// How a file is planned.
#[derive(Debug, clap::Args)]
pub struct PlanArgs {
    /// The CSV file
    file: PathBuf,
    /// What an empty cell means
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    empty: Empty,
    /// What stands between cells: comma, semicolon, tab [default: as the first line says]
    #[arg(long, value_name = "NAME", value_parser = csv_intake::delimiter)]
    delimiter: Option<u8>,
    /// Columns that mean nothing, by name
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    ignore_columns: Vec<String>,
    /// Where rows with a complaint are written [default: beside the file, as NAME.rejects.csv]
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
}

/// What is allowed.
#[derive(Debug, clap::Args)]
pub struct AllowArgs {
    /// Really send it
    #[arg(long)]
    yes: bool,
    /// Send it although the file, or users, changed since it was planned
    #[arg(long)]
    force: bool,
    /// Let it delete users
    #[arg(long)]
    allow_deletes: bool,
}

/// Options of `apply`.
#[derive(Debug, clap::Args)]
pub struct ApplyArgs {
    /// The plan
    plan: Uuid,
    #[command(flatten)]
    allow: AllowArgs,
}

/// Options of `run`.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    allow: AllowArgs,
}

/// Options of `resume`.
#[derive(Debug, clap::Args)]
pub struct ResumeArgs {
    /// The plan; all that are unfinished if none is named
    plan: Option<Uuid>,
    /// Take it that rows of which nothing tells were sent, or were not and are to be sent again
    #[arg(long, value_name = "WHAT", value_parser = assume)]
    assume: Option<Assume>,
}

/// Options of `undo`.
#[derive(Debug, clap::Args)]
pub struct UndoArgs {
    /// The plan to take back
    plan: Uuid,
    /// Send an empty value where there was none before; whether that clears is not documented
    #[arg(long)]
    clear: bool,
}

fn assume(text: &str) -> Result<Assume, String> {
    match text {
        "sent" => Ok(Assume::Sent),
        "unsent" => Ok(Assume::Unsent),
        _ => Err("sent or unsent".into()),
    }
}

/// Runs the command.
///
/// # Errors
/// As what it does.
pub async fn run(settings: &Settings, command: &Command, output: Output) -> Result<Exit, Failure> {
    let mirror = opened::open(settings).await?;
    let desk = Desk {
        settings,
        mirror: &mirror,
        output,
    };
    let done = desk.run(command).await;
    mirror.close().await?;
    done
}

/// What all commands share.
struct Desk<'a> {
    settings: &'a Settings,
    mirror: &'a Opened,
    output: Output,
}

impl Desk<'_> {
    async fn run(&self, command: &Command) -> Result<Exit, Failure> {
        match command {
            Command::Status { .. } | Command::Results(_) => self.mirror.ready(self.output).await?,
            Command::Plan(_)
            | Command::Apply(_)
            | Command::Run(_)
            | Command::Resume(_)
            | Command::Undo(_) => drop(self.mirror.migrate(self.output).await?),
        }
        match command {
            Command::Plan(args) => self.plan(args).await,
            Command::Apply(args) => self.apply(args.plan, &args.allow).await,
            Command::Run(args) => self.plan_and_apply(args).await,
            Command::Status { plan } => self.status(*plan).await,
            Command::Resume(args) => self.resume(args).await,
            Command::Results(args) => results::run(self.mirror, args, self.output).await,
            Command::Undo(args) => self.undo(args).await,
        }
    }

    async fn plan(&self, args: &PlanArgs) -> Result<Exit, Failure> {
        let planned = self.planned(args).await?;
        let exit = match planned.plan_id {
            None => Exit::Failed,
            Some(_) if planned.rows_rejected > 0 => Exit::Rejects,
            Some(_) => Exit::Done,
        };
        let document = match planned.plan_id {
            Some(plan_id) => self.document(plan_id).await?.planned(planned),
            None => Document::without_plan(planned),
        };
        self.output.result(&document, Document::preview)?;
        Ok(exit)
    }

    async fn planned(&self, args: &PlanArgs) -> Result<plan::Planned, Failure> {
        // A reader and no writer: planning cannot send anything.
        let client = client(self.settings, self.settings.api()?)?;
        let progress = Arc::new(Progress::default());
        let env = plan::Environment {
            database: self.mirror.database.clone(),
            reader: Reader::new(client, Vec::new()),
            policy: self.mirror.policy(self.settings, Access::ReadOnly).await?,
            wire: self.settings.bulk.values,
            operator: whose(),
            progress: Arc::clone(&progress),
        };
        let options = plan::Options {
            origin: plan::Origin::Stays,
            reading: Reading {
                delimiter: args.delimiter,
                ignore: args.ignore_columns.clone(),
            },
            empty: args.empty,
            rejects: args.rejects.clone(),
        };
        let planning = plan::plan(&env, &args.file, &options);
        Ok(watched(planning, &progress, "planning").await?)
    }

    async fn apply(&self, plan_id: Uuid, allow: &AllowArgs) -> Result<Exit, Failure> {
        if !allow.yes {
            let document = self.document(plan_id).await?;
            self.output.note(&document.brief());
            return Err(Failure::usage(
                "nothing was sent: --yes is missing",
                format!("`zephr-sync bulk apply {plan_id} --yes` sends the plan."),
            ));
        }
        let allowed = Allowed {
            changes: allow.force,
            deletes: allow.allow_deletes,
        };
        let env = self.pushing()?;
        let pushing = push::apply(
            &env,
            plan_id,
            allowed,
            waiting(self.output, Subject::Pushes),
        );
        let end = watched(pushing, &env.progress, "pushing").await?;
        self.report(&[plan_id], end).await
    }

    async fn plan_and_apply(&self, args: &RunArgs) -> Result<Exit, Failure> {
        if !args.allow.yes {
            return Err(Failure::usage(
                "nothing was sent: --yes is missing",
                "`zephr-sync bulk plan FILE` shows what would be sent.",
            ));
        }
        let planned = self.planned(&args.plan).await?;
        let rejects = planned.rows_rejected > 0;
        let Some(plan_id) = planned.plan_id else {
            self.output
                .result(&Document::without_plan(planned), Document::preview)?;
            return Ok(Exit::Failed);
        };
        let document = self.document(plan_id).await?.planned(planned);
        self.output.note(&document.brief());
        let exit = self.apply(plan_id, &args.allow).await?;
        Ok(exit.worst(if rejects { Exit::Rejects } else { Exit::Done }))
    }

    async fn resume(&self, args: &ResumeArgs) -> Result<Exit, Failure> {
        let env = self.pushing()?;
        let waiting = waiting(self.output, Subject::Pushes);
        let resuming = push::resume(&env, args.plan, args.assume, waiting);
        let (end, plans) = watched(resuming, &env.progress, "pushing").await?;
        self.report(&plans, end).await
    }

    async fn undo(&self, args: &UndoArgs) -> Result<Exit, Failure> {
        if let Ok(api) = self.settings.api() {
            let reader = Reader::new(client(self.settings, api)?, Vec::new());
            self.mirror.is_of(&reader).await?;
        }
        let options = undo::Options {
            clear: args.clear,
            wire: self.settings.bulk.values,
        };
        let (plan_id, impossible) =
            undo::plan(&self.mirror.database, args.plan, options, &whose()).await?;
        let document = self.document(plan_id).await?.leaving(impossible);
        self.output.result(&document, Document::preview)?;
        Ok(if impossible == Impossible::default() {
            Exit::Done
        } else {
            Exit::Rejects
        })
    }

    async fn status(&self, plan_id: Option<Uuid>) -> Result<Exit, Failure> {
        match plan_id {
            Some(plan_id) => {
                let document = self.document(plan_id).await?;
                self.output.result(&document, Document::preview)?;
            }
            None => {
                let mut connection = self.mirror.database.connect().await?;
                let mut documents = Vec::new();
                for plan_id in plans::latest(&mut connection, LISTED).await? {
                    documents.push(Document::read(&mut connection, plan_id).await?);
                }
                let documents = Documents { plans: documents };
                self.output.result(&documents, Documents::listed)?;
            }
        }
        Ok(Exit::Done)
    }

    /// What is told at the end of a push, for one to forward.
    async fn report(&self, plans: &[Uuid], end: End) -> Result<Exit, Failure> {
        let mut exit = match end {
            End::Finished => Exit::Done,
            End::Interrupted => Exit::Interrupted,
        };
        let mut documents = Vec::new();
        for plan_id in plans {
            let document = self.document(*plan_id).await?;
            exit = exit.worst(document.exit());
            documents.push(document);
        }
        match documents.as_slice() {
            [document] => self.output.result(document, Document::report)?,
            _ => {
                let documents = Documents { plans: documents };
                self.output.result(&documents, Documents::reports)?;
            }
        }
        Ok(exit)
    }

    async fn document(&self, plan_id: Uuid) -> Result<Document, Failure> {
        let mut connection = self.mirror.database.connect().await?;
        Ok(Document::read(&mut connection, plan_id).await?)
    }

    fn pushing(&self) -> Result<push::Environment, Failure> {
        let shutdown = Shutdown::on_signals()?;
        let client = client(self.settings, self.settings.api()?)?.until(shutdown.clone());
        Ok(push::Environment {
            database: self.mirror.database.clone(),
            reader: Reader::new(client.clone(), Vec::new()),
            writer: Writer::new(client),
            clock: Clock::system(),
            settings: self.settings.bulk,
            rpp: self.settings.rpp,
            max_in_flight: self.settings.limits.max_in_flight,
            max_delete_fraction: self.settings.brakes.max_delete_fraction,
            operator: whose(),
            progress: Arc::default(),
            shutdown,
        })
    }
}

async fn watched<T>(
    running: impl Future<Output = Result<T, Error>>,
    progress: &Progress,
    what: &'static str,
) -> Result<T, Error> {
    let show = |bar: &ProgressBar| show(bar, progress.now());
    watch::watched(running, what, show, || log(progress.now(), what)).await
}

fn show(bar: &ProgressBar, state: State) {
    if state.rows > 0 {
        bar.set_length(state.rows);
    }
    bar.set_position(state.settled);
    let job = match state.job {
        Some((done, of)) if of > 0 => format!(", job at {done} of {of}"),
        Some(_) | None => String::new(),
    };
    let troubled = thousands(state.troubled as i64);
    bar.set_message(format!("{troubled} with trouble{job}"));
}

fn log(state: State, what: &'static str) {
    let (done, of) = state.job.unzip();
    tracing::info!(
        { field::ROWS } = state.rows,
        { field::SETTLED } = state.settled,
        { field::TROUBLED } = state.troubled,
        { field::JOB_DONE } = done,
        { field::JOB_TOTAL } = of,
        "{what}"
    );
}
