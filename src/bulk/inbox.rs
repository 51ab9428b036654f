//! A directory that people drop CSV files into: the daemon takes them, plans them, has those
//! applied whose job file allows it, and moves them with what became of them to `done/` or
//! `failed/`.
//!
//! ```text
//! inbox/crm.csv ─ complete? ─► working/<id>/ ─► plan ─► allowed? ─► order ─► (a daemon pushes) ─► done/ or failed/, with results, rejects, summary
//! ```
//!
//! One process at a time works on a directory: whoever has the lock in it, and a lock dies with its
//! process. Where a file stands is told by where it lies and by the ledger, which knows the plan
//! that was made in a directory of `working/`; so another process carries on wherever the first one
//! died. Files are taken one at a time, oldest first: the next one is compared with what the one
//! before has changed.

mod case;
mod complete;
mod directory;
pub mod job;
mod names;
mod summary;
mod trouble;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bulk::Error;
use crate::bulk::plan::{self, Planned};
use crate::bulk::progress::Progress;
use crate::bulk::results::Results;
use crate::bulk::settings::Wire;
use ::privacy::{Choices, HashKey};
use case::Case;
use clock::time;
use complete::Watched;
use directory::Directory;
use job::Job;
use lifecycle::Shutdown;
use mirror::postgres::connect::Database;
use mirror::state::bulk::orders::{self, Order};
use mirror::state::bulk::plans::{self, Plan};
use mirror::state::bulk::rows;
use mirror::state::privacy::{self, Access};
use remedy::chain;
use sqlx::PgConnection;
use summary::Verdict;
use telemetry::field;
use trouble::{Trouble, Troubles};
use zephr::Reader;

pub use directory::Where;

/// How often the directory is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The pause after the first trouble with a file that was taken; it doubles, up to
/// [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// Long enough that a file is not planned all day for nothing, short enough that nobody waits long
/// when the trouble is over.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Who plans what lies in the inbox, as `created_by` says it.
const PLANNER: &str = "inbox";

/// The inbox of a tenant.
#[derive(Debug)]
pub struct Inbox {
    /// Where it is.
    pub place: Where,
    /// What may be done with which files.
    pub jobs: Vec<Job>,
    /// The mirror, with the ledger.
    pub database: Database,
    /// Asks the tenant for its schema. There is no writer: what is to be sent is ordered.
    pub reader: Reader,
    /// What the mirror keeps.
    pub choices: Choices,
    /// The key of its hashes, where it comes from outside.
    pub hash_key: Option<HashKey>,
    /// How values go out.
    pub wire: Wire,
}

/// What follows for a file.
#[derive(Debug)]
enum Next {
    /// Its push is under way, or waits.
    Wait,
    /// It is over.
    Settle(Box<Verdict>),
}

impl Inbox {
    /// Keeps it until it is told to stop. A file that is being planned then is planned anew by
    /// whoever comes next.
    pub async fn keep(self, shutdown: Shutdown) {
        let mut keeper = Keeper {
            inbox: self,
            directory: None,
            watched: Watched::default(),
            troubles: Troubles::default(),
            pause: FIRST_PAUSE,
        };
        let mut pause = LOOK;
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(pause) => {}
            }
            tokio::select! {
                // First, since what is asked of the API then is given up as well, which is no
                // trouble.
                biased;
                () = shutdown.requested() => return,
                next = keeper.look() => pause = next,
            }
        }
    }
}

struct Keeper {
    inbox: Inbox,
    /// While this process works on it.
    directory: Option<Directory>,
    watched: Watched,
    troubles: Troubles,
    pause: Duration,
}

impl Keeper {
    /// Does what is to be done now; answers how long to wait until the next look.
    async fn look(&mut self) -> Duration {
        match self.turn().await {
            Ok(()) => {
                self.troubles.over();
                self.pause = FIRST_PAUSE;
                LOOK
            }
            Err(trouble) => {
                self.troubles.say(&trouble);
                let pause = self.pause;
                self.pause = time::times(pause, 2).min(LONGEST_PAUSE);
                pause
            }
        }
    }

    async fn turn(&mut self) -> Result<(), Trouble> {
        if self
            .directory
            .as_ref()
            .is_some_and(|directory| !directory.is_still_there())
        {
            self.directory = None;
        }
        if self.directory.is_none() {
            self.directory = Directory::open(&self.inbox.place)?;
        }
        let Some(directory) = &self.directory else {
            self.watched = Watched::default();
            return Ok(());
        };
        for case in directory.cases()? {
            if !self.inbox.work(directory, &case).await? {
                return Ok(());
            }
        }
        let arrived = directory.arrived(&mut self.troubles)?;
        for arrived in self.watched.complete(arrived, Instant::now()) {
            // What cannot be read stays where its owner sees it, and keeps no other file waiting.
            let Some(case) = directory.claim(&arrived.name, &mut self.troubles)? else {
                continue;
            };
            self.inbox.work(directory, &case).await?;
            // That may have taken long: what the others are now is looked at again.
            return Ok(());
        }
        Ok(())
    }
}

impl Inbox {
    /// Brings a file that was taken as far as it goes; whether it is over.
    async fn work(&self, directory: &Directory, case: &Case) -> Result<bool, Trouble> {
        let Some(name) = case.file()? else {
            self.put_away(directory, case).await?;
            return Ok(true);
        };
        let job = job::of(&self.jobs, &name);
        let mut session = self.database.connect().await?;
        match self.next(&mut session, case, &name, job).await? {
            Next::Wait => Ok(false),
            Next::Settle(verdict) => {
                self.settle(&mut session, directory, case, &name, job, *verdict)
                    .await?;
                Ok(true)
            }
        }
    }

    async fn next(
        &self,
        session: &mut PgConnection,
        case: &Case,
        name: &str,
        job: Option<&Job>,
    ) -> Result<Next, Trouble> {
        let plan_id = match plans::made_in(&mut *session, directory::WORKING, case.id()).await? {
            Some(plan_id) => plan_id,
            None => {
                if !case.is_regular(name)? {
                    let verdict = Verdict::failed(
                        "it is not a regular file",
                        "Drop the file itself, and not a link to it.",
                    );
                    return Ok(Next::Settle(Box::new(verdict)));
                }
                tracing::info!(
                    { field::FILE } = names::shown(name),
                    { field::JOB } = job.map(|job| job.name.as_str()),
                    "planning a file of the inbox"
                );
                let env = self.planning(session).await?;
                let options = plan::Options {
                    rejects: Some(case.rejects()),
                    ..job.map(Job::options).unwrap_or_default()
                };
                match plan::plan(&env, &case.path(name), &options).await {
                    Ok(Planned {
                        plan_id: Some(plan_id),
                        ..
                    }) => plan_id,
                    Ok(Planned {
                        plan_id: None,
                        rows_rejected,
                        ..
                    }) => {
                        let verdict = Verdict::failed(
                            format!("none of its {rows_rejected} rows can be planned"),
                            "Correct them in the rejects beside it, and drop that file.",
                        );
                        return Ok(Next::Settle(Box::new(verdict.rejecting(rows_rejected))));
                    }
                    Err(error) if is_about_the_file(&error) => {
                        // Where it lies for this moment says nothing to whoever dropped it.
                        let place = case.path(name).display().to_string();
                        let words = error.chain().replace(&place, name);
                        let verdict = Verdict::failed(words, error.remedy());
                        return Ok(Next::Settle(Box::new(verdict)));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        };
        let order = orders::of(&mut *session, plan_id).await?;
        let plan = plans::get(&mut *session, plan_id)
            .await?
            .ok_or(Error::NoPlan(plan_id))?;
        self.decide(session, plan, order, job).await
    }

    /// What planning works with. The settings of privacy are looked up each time: a sync may have
    /// made the key meanwhile.
    async fn planning(&self, session: &mut PgConnection) -> Result<plan::Environment, Trouble> {
        let policy = privacy::policy(
            session,
            &self.choices,
            self.hash_key.as_ref(),
            Access::ReadOnly,
        )
        .await
        .map_err(|error| Trouble::new(chain(&error), error.remedy()))?;
        Ok(plan::Environment {
            database: self.database.clone(),
            reader: self.reader.clone(),
            policy,
            wire: self.wire,
            operator: PLANNER.to_owned(),
            progress: Arc::new(Progress::default()),
        })
    }

    /// What follows for a file that has a plan.
    async fn decide(
        &self,
        session: &mut PgConnection,
        plan: Plan,
        order: Option<Order>,
        job: Option<&Job>,
    ) -> Result<Next, Trouble> {
        if let Some(order) = order {
            if order.ended_at.is_none() {
                return Ok(Next::Wait);
            }
            let outcomes = rows::outcomes(&mut *session, plan.plan_id).await?;
            let troubled = outcomes.failed + outcomes.unknown;
            let verdict = match order.error {
                Some(error) => Verdict::failed(error, order.remedy.unwrap_or_default()),
                None if troubled > 0 => Verdict::failed(
                    format!(
                        "{troubled} of {} rows were not done, or nobody knows",
                        plan.rows_planned
                    ),
                    "The results beside it tell of each row.",
                ),
                None => Verdict::done(),
            };
            return Ok(Next::Settle(Box::new(verdict.planned(plan))));
        }
        let Some(job) = job.filter(|job| job.apply) else {
            return Ok(Next::Settle(Box::new(Verdict::done().planned(plan))));
        };
        if let Some((error, remedy)) = job.refuses(&plan) {
            return Ok(Next::Settle(Box::new(
                Verdict::failed(error, remedy).planned(plan),
            )));
        }
        if plan.rows_planned == 0 {
            return Ok(Next::Settle(Box::new(Verdict::done().planned(plan))));
        }
        let new = orders::New {
            plan_id: plan.plan_id,
            allow_changes: false,
            allow_deletes: job.allow_deletes,
            ordered_by: &format!("{PLANNER}, job {}", job.name),
        };
        orders::place(&mut *session, &new).await?;
        Ok(Next::Wait)
    }

    /// Writes what became of it beside the file, and moves all of it to where it ends.
    async fn settle(
        &self,
        session: &mut PgConnection,
        directory: &Directory,
        case: &Case,
        name: &str,
        job: Option<&Job>,
        verdict: Verdict,
    ) -> Result<(), Trouble> {
        if let Some(plan) = &verdict.plan {
            let results = Results::of(self.database.connect().await?, plan.plan_id);
            case.write_results(results, name).await?;
        }
        let target = directory.target(verdict.place, name)?;
        let rejects = case.has_rejects().then(|| target.rejects());
        let verdict = verdict.with_rejects(rejects.as_deref());
        let document = summary::document(session, &verdict, job).await?;
        case.write_summary(&document, name)?;
        case.note(&target)?;
        directory.move_file(&case.path(name), &target)?;
        // Why is in the summary: it may quote what stands in the file.
        let plan_id = verdict.plan.as_ref().map(|plan| plan.plan_id);
        tracing::info!(
            { field::FILE } = names::shown(&target.shown()),
            { field::PLAN } = plan_id.map(tracing::field::display),
            "a file of the inbox is through"
        );
        self.put_away(directory, case).await
    }

    /// Moves what lies beside a file after it, and removes its directory. Of one from which no file
    /// was moved there is only the directory.
    async fn put_away(&self, directory: &Directory, case: &Case) -> Result<(), Trouble> {
        if let Some(target) = case.noted(directory)? {
            case.follow(&target)?;
            let mut session = self.database.connect().await?;
            if let Some(plan_id) =
                plans::made_in(&mut session, directory::WORKING, case.id()).await?
            {
                let (file, rejects) = (target.file(), target.rejects());
                let rejects = Some(rejects.as_path()).filter(|path| path.exists());
                plans::moved(
                    &mut session,
                    plan_id,
                    file.to_str(),
                    rejects.and_then(Path::to_str),
                )
                .await?;
            }
            case.close(&target)?;
        }
        case.remove()
    }
}

/// Whether it is the file that cannot be planned, and would not be tomorrow either.
fn is_about_the_file(error: &Error) -> bool {
    match error {
        // The system's trouble, and not the file's.
        Error::File(
            csv_intake::Error::Unreadable { .. } | csv_intake::Error::Unwritable { .. },
        ) => false,
        Error::File(
            csv_intake::Error::Empty { .. }
            | csv_intake::Error::NotCsv { .. }
            | csv_intake::Error::Delimiter { .. }
            | csv_intake::Error::Header { .. }
            | csv_intake::Error::OpenQuote { .. }
            | csv_intake::Error::LongRow { .. }
            | csv_intake::Error::OverInput { .. },
        )
        | Error::Header { .. }
        | Error::NotKept(_)
        | Error::Broken(_) => true,
        // Postgres will not take it.
        Error::Mirror(_) => !error.may_pass(),
        // It is still being written.
        Error::FileChanged(_)
        | Error::Api(_)
        | Error::EmptyMirror
        | Error::NoSchema
        | Error::NoPlan(_)
        | Error::NotApplied(_)
        | Error::NotFinished(_)
        | Error::NothingToUndo(_)
        | Error::DeletesNotAllowed(_)
        | Error::Brake { .. }
        | Error::RefusesAll(_) => false,
    }
}
