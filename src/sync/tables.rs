//! A job whose tables are described and not programmed: lists, and what the API tells one parent at
//! a time. A job is some steps, one after the other.
//!
//! ```text
//! list ──► pages ─► (new or changed? detail) ─► hashes known? ─► merge ─ counters ─ commit        then: missing? ─ witness ─ brake ─ tombstones
//! below ─► parents that are due ─► an answer each ─► hashes known? ─► merge ─ tombstones ─ visits ─ counters ─ commit
//! ```

mod below;
mod list;
mod missing;
mod store;

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use super::progress::Phase;
use super::run::{Moves, Outcome, Run, growth_remedy, interrupted, judged, too_many_rejects};
use super::scope::Scope;
use super::{Ended, Environment, Error, Extent, PAGES_ALLOWED, privacy, reading, unfit};
use crate::job::Job;
use ::privacy::{Action, Erased};
use ::scan::verdict::{Growth, Verdict};
use mirror::attributes;
use mirror::load::define;
use mirror::postgres::ddl::{self, Attempt};
use mirror::state::runs::{self, Counts, Ending, Status};
use mirror::state::scan_findings::{self, Note};
use mirror::state::{checkpoints, erasures, marks, readings, waiting_changes};
use record::Resource;
use record::table::Table;
use remedy::Remedy;
use resource::{Budgeted, Step};
use store::Store;
use telemetry::field;

/// Reads and compares, and writes nothing: its session may only read. Counts what a run would have
/// done.
///
/// # Errors
/// As [`run`].
pub async fn dry_run(
    env: &Environment,
    job: &Job,
    extent: Extent,
) -> Result<(Counts, Verdict, String), Error> {
    let pool = env.database.pool_at_once(1);
    let plan = Plan::decide(job, extent, &pool).await;
    let read = async {
        let work = Work {
            env,
            job,
            store: Store::Compare { pool: &pool, env },
            plan: plan?,
            erased: erasures::erased(&pool, env.privacy.key()).await?,
        };
        work.all().await
    };
    let read = read.await;
    pool.close().await;
    let (verdict, reason) = read?.verdict();
    Ok((env.progress.counts(), verdict, reason))
}

/// What is to become of a table whose job file describes it otherwise.
const DESCRIBED: &str =
    "its columns follow the job file; what has no column yet is in extra until then";

/// Pages that may always come from one parent of which rows are known: there are many parents.
const PAGES_ALLOWED_BELOW: u64 = 5;

/// How much a run reads, and how it may end.
#[derive(Debug, Clone, Copy)]
struct Plan {
    extent: Amount,
    /// The run whose deletions are let through.
    confirmed: Option<Uuid>,
    scan_id: Uuid,
    resumed: bool,
    /// Whether a run of this job has come to its end before, so that what is known is all there
    /// was.
    is_known: bool,
    /// Rows that braked runs took in.
    unexpected: i64,
}

/// How much a run reads.
#[derive(Debug, Clone, Copy)]
enum Amount {
    /// Everything that was not read since then.
    Everything { since: DateTime<Utc> },
    /// Lists whole, and of the rest what is due, within the budget.
    Due,
    /// About this many records; nothing is tombstoned, and nothing counts as visited.
    Sample(u64),
}

impl Plan {
    async fn decide(job: &Job, extent: Extent, pool: &PgPool) -> Result<Self, Error> {
        let now: DateTime<Utc> = sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#)
            .fetch_one(pool)
            .await?;
        let scope = Scope::decide(extent, job.mode, pool, &job.name).await?;
        let fresh = Self {
            extent: Amount::Due,
            confirmed: match extent {
                Extent::Confirmed(scan_id) => Some(scan_id),
                Extent::AsDue | Extent::Full(_) | Extent::Sample(_) => None,
            },
            scan_id: Uuid::now_v7(),
            resumed: false,
            is_known: checkpoints::is_known(pool, &job.name).await?,
            unexpected: runs::inserted_by_braked(pool, &job.name).await?,
        };
        // Where all is budgeted, everything is read only when somebody asks for it.
        let only_asked = job.steps.iter().any(|step| match step {
            Step::Below(below) => below.budget == Budgeted::All,
            Step::List(_) => false,
        });
        Ok(match (scope, extent) {
            (Scope::Sample { limit }, _) => Self {
                extent: Amount::Sample(limit),
                ..fresh
            },
            (_, Extent::Confirmed(_)) | (Scope::Incremental { .. }, _) => fresh,
            (Scope::Full { resumed: None, .. }, Extent::AsDue) if only_asked => fresh,
            (
                Scope::Full {
                    scan_id, resumed, ..
                },
                Extent::AsDue | Extent::Full(_) | Extent::Sample(_),
            ) => {
                let unfinished = checkpoints::unfinished(pool, &job.name).await?;
                Self {
                    extent: Amount::Everything {
                        since: unfinished
                            .filter(|_| resumed.is_some())
                            .map_or(now, |unfinished| unfinished.started_at),
                    },
                    scan_id,
                    resumed: resumed.is_some(),
                    ..fresh
                }
            }
        })
    }

    fn mode(self) -> runs::Mode {
        match self.extent {
            Amount::Everything { .. } | Amount::Sample(_) => runs::Mode::Full,
            Amount::Due => runs::Mode::Incremental,
        }
    }

    fn is_sample(self) -> bool {
        match self.extent {
            Amount::Sample(_) => true,
            Amount::Everything { .. } | Amount::Due => false,
        }
    }
}

/// A full run that came to its end without being complete is not resumed: what it could not read
/// would be left out, and called read.
fn begins_anew(plan: Plan) -> Moves {
    match plan.extent {
        Amount::Everything { .. } => Moves::Abandoned,
        Amount::Due | Amount::Sample(_) => Moves::Nothing,
    }
}

/// Why a job stopped before its end.
#[derive(Debug)]
enum Stop {
    Interruption,
    TooManyRejects,
    /// The sample is full.
    Limit,
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        Self::Error(error.into())
    }
}

impl From<zephr::Error> for Stop {
    fn from(error: zephr::Error) -> Self {
        Self::Error(error.into())
    }
}

/// What the steps came to.
#[derive(Debug, Default)]
struct Read {
    judged: Vec<(Verdict, String)>,
    /// What a brake held back, in words.
    braked: Vec<String>,
    /// Lists that may not be read, and why.
    failed: Vec<(String, String)>,
    /// A list had more than can be expected: what is below its rows is not asked for.
    grown: bool,
    stopped: Option<Halt>,
}

/// What broke a job off without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Halt {
    Interruption,
    TooManyRejects,
    Limit,
}

impl Read {
    /// The weakest verdict, and all reasons.
    fn verdict(&self) -> (Verdict, String) {
        let weakest = self.judged.iter().map(|(verdict, _)| *verdict).max();
        // A list that could not be read was not read whole.
        let verdict = if self.failed.is_empty() {
            weakest.unwrap_or(Verdict::Proven)
        } else {
            Verdict::Incomplete
        };
        let judged = self.judged.iter().map(|(_, reason)| reason.as_str());
        let failed = self.failed.iter().map(|(error, _)| error.as_str());
        let reasons: Vec<&str> = judged.chain(failed).collect();
        (verdict, reasons.join("; "))
    }

    /// Why what is incomplete is so.
    fn incomplete(&self) -> String {
        let judged = self.judged.iter();
        let incomplete = judged.filter(|(verdict, _)| *verdict == Verdict::Incomplete);
        let reasons: Vec<&str> = incomplete.map(|(_, reason)| reason.as_str()).collect();
        reasons.join("; ")
    }
}

/// The steps of a job at work.
struct Work<'a> {
    env: &'a Environment,
    job: &'a Job,
    store: Store<'a>,
    plan: Plan,
    /// Who must not come back.
    erased: Erased,
}

impl Work<'_> {
    async fn all(&self) -> Result<Read, Error> {
        let mut read = Read::default();
        for step in &self.job.steps {
            let done = match step {
                Step::List(list) => self.list(list, &mut read).await,
                Step::Below(below) => self.below(below, &mut read).await,
            };
            match done {
                Ok(()) => {}
                Err(Stop::Interruption) => read.stopped = Some(Halt::Interruption),
                Err(Stop::TooManyRejects) => read.stopped = Some(Halt::TooManyRejects),
                Err(Stop::Limit) => read.stopped = Some(Halt::Limit),
                // A module that the tenant has not bought, or a role that the key pair has not: the
                // other lists are read all the same.
                Err(Stop::Error(Error::Api(error)))
                    if matches!(error.remedy(), Remedy::Person(_)) =>
                {
                    read.failed
                        .push((error.to_string(), error.remedy().hint().to_owned()));
                }
                Err(Stop::Error(error)) => return Err(error),
            }
            if read.stopped.is_some() || read.grown {
                break;
            }
        }
        Ok(read)
    }

    /// How many rows can be expected where so many are known; none on a first load.
    fn growth(&self, known: i64) -> Option<Growth> {
        if !self.plan.is_known || known == 0 {
            return None;
        }
        // What a braked run took in is no more expected for that.
        let expected = (known - self.plan.unexpected).max(1);
        self.env.brakes.growth(expected, self.env.rpp)
    }

    /// How many rows can be expected below one parent of which so many are known; none on a first
    /// load. What was read of more is kept, and counts as known next time.
    fn growth_below(&self, known: u64) -> Option<Growth> {
        let pages = if known == 0 {
            PAGES_ALLOWED
        } else {
            PAGES_ALLOWED_BELOW
        };
        let always = self.env.rpp.saturating_mul(pages);
        let growth = self.env.brakes.growth_beyond(known, always);
        self.plan.is_known.then_some(growth)
    }

    /// Whether to go on, asked between two answers.
    fn go_on(&self) -> Result<(), Stop> {
        let counts = self.env.progress.counts();
        if self.env.shutdown.is_requested() {
            return Err(Stop::Interruption);
        }
        if counts.rejected.unsigned_abs() > self.env.brakes.max_rejects {
            return Err(Stop::TooManyRejects);
        }
        match self.plan.extent {
            Amount::Sample(limit) if counts.read.unsigned_abs() >= limit => Err(Stop::Limit),
            Amount::Sample(_) | Amount::Everything { .. } | Amount::Due => Ok(()),
        }
    }
}

impl Run<'_> {
    /// Goes the steps of a job whose tables are described.
    pub(super) async fn steps(&self) -> Result<Ended, Error> {
        let extent = match self.extent {
            Extent::Confirmed(braked) => Extent::Confirmed(self.held_back(braked).await?),
            Extent::AsDue | Extent::Full(_) | Extent::Sample(_) => self.extent,
        };
        let plan = Plan::decide(self.job, extent, self.pool).await?;
        self.begin(plan.mode(), Some(plan.scan_id)).await?;
        if let Amount::Everything { since } = plan.extent
            && !plan.resumed
        {
            let mut transaction = self.transaction().await?;
            checkpoints::begin(&mut *transaction, &self.job.name, plan.scan_id, since).await?;
            transaction.commit().await?;
        }
        let worked = self.watched(self.work(plan)).await;
        if let (Ok((Ending::Succeeded, _)), Some(confirmed)) = (&worked, plan.confirmed) {
            scan_findings::forget(self.pool, confirmed).await?;
        }
        self.end(worked).await
    }

    /// The scan whose deletions a brake held back in this run.
    async fn held_back(&self, braked: Uuid) -> Result<Uuid, Error> {
        let refused = |why| Error::NothingToConfirm {
            run_id: braked,
            why,
        };
        let run = runs::get(self.pool, braked)
            .await?
            .ok_or(refused("does not exist"))?;
        if run.job != self.job.name || run.status != Status::Braked {
            return Err(refused("is not a run of this job that a brake stopped"));
        }
        let scan_id = run.scan_id.ok_or(refused("read nothing"))?;
        if scan_findings::count(self.pool, scan_id, Note::Missing).await? == 0 {
            return Err(refused(
                "holds nothing back any more: a later run, or a confirmation, has settled it",
            ));
        }
        Ok(scan_id)
    }

    async fn work(&self, plan: Plan) -> Result<(Ending, Outcome), Error> {
        let job = self.job;
        let schema = self.env.database.schemas().data();
        privacy::follow(self.pool, self.lease.token(), schema, &self.env.privacy).await?;
        let (job, mut held_up) = match job.resource {
            Resource::List => self.define(job).await?,
            Resource::Users
            | Resource::Events
            | Resource::Schema
            | Resource::Catalog
            | Resource::Accounts
            | Resource::Segments => (Cow::Borrowed(job), Vec::new()),
        };
        let job = &*job;
        let work = Work {
            env: self.env,
            job,
            store: Store::Merge(self),
            plan,
            erased: erasures::erased(self.pool, self.env.privacy.key()).await?,
        };
        let read = work.all().await?;
        match read.stopped {
            Some(Halt::Interruption) => return Ok(interrupted()),
            Some(Halt::TooManyRejects) => {
                return Ok(too_many_rejects(
                    self.env.brakes.max_rejects,
                    Moves::Nothing,
                ));
            }
            Some(Halt::Limit) => return Ok((Ending::Succeeded, Outcome::default())),
            None => {}
        }
        if plan.is_sample() {
            return Ok((Ending::Succeeded, Outcome::default()));
        }
        self.env.progress.enter(Phase::ScanRead);
        if job.resource == Resource::Schema {
            held_up.extend(self.follow_schema().await?);
        }
        let (verdict, reason) = read.verdict();
        let reason = [&[reason][..], &held_up].concat().join("; ");
        let mut outcome = judged(
            verdict,
            reading::said(self.pool, &job.tables(), reason).await?,
        );
        let tables = job.steps.iter().map(|step| match step {
            Step::List(list) => &list.table,
            Step::Below(below) => &below.table,
        });
        let tables = tables.map(|table| (table.name.as_ref(), unfit::places(table)));
        outcome.unfit = Some(self.unfit(tables).await?);
        self.ended(read, plan, outcome).await
    }

    /// How a run ends of which all steps were gone.
    async fn ended(
        &self,
        read: Read,
        plan: Plan,
        mut outcome: Outcome,
    ) -> Result<(Ending, Outcome), Error> {
        let (verdict, _) = read.verdict();
        let finished = match plan.extent {
            Amount::Everything { .. } => {
                Moves::Finished(plan.scan_id, checkpoints::Learned::default())
            }
            Amount::Due | Amount::Sample(_) => Moves::Advanced(self.started_at().await?),
        };
        let incomplete = read.incomplete();
        if let Some((error, remedy)) = read.failed.into_iter().next() {
            outcome.failure = Some((error, remedy));
            outcome.moves = begins_anew(plan);
            return Ok((Ending::Failed, outcome));
        }
        if read.grown {
            outcome.failure = Some((incomplete, growth_remedy()));
            outcome.moves = begins_anew(plan);
            return Ok((Ending::Braked, outcome));
        }
        if verdict == Verdict::Incomplete {
            outcome.failure = Some((
                format!("something may be missing from the mirror: {incomplete}"),
                "What was read is kept, and nothing was marked as deleted there. Run the command again later; `zephr-sync api GET <path>` shows the answer itself. If it stays so, ask Zephr's support, or switch the job off.".into(),
            ));
            outcome.moves = begins_anew(plan);
            return Ok((Ending::Failed, outcome));
        }
        outcome.moves = finished;
        if read.braked.is_empty() {
            return Ok((Ending::Succeeded, outcome));
        }
        outcome.failure = Some((
            read.braked.join("; "),
            format!(
                "Everything else is up to date. Check in the Zephr console, and whether the key pair still sees all of it (its admin user's roles, the tenant). If it was really deleted, run `zephr-sync sync {} --confirm-deletes {}`. If not, do nothing: the next run looks again.",
                self.job.name, self.run_id
            ),
        ));
        Ok((Ending::Braked, outcome))
    }

    /// Makes the tables that only the job file knows, and changes them where it describes them
    /// otherwise. Where others hold one for long, the job goes on with the columns that it has, and
    /// what has none is kept in `extra` until it has; answers the job as it goes on, and what was
    /// held up.
    async fn define<'j>(&self, job: &'j Job) -> Result<(Cow<'j, Job>, Vec<String>), Error> {
        let (mut goes_on, mut held_up) = (Cow::Borrowed(job), Vec::new());
        for (at, step) in job.steps.iter().enumerate() {
            let (table, path) = match step {
                Step::List(list) => (&list.table, &list.path),
                Step::Below(below) => (&below.table, &below.path),
            };
            let Attempt::Held(held) =
                ddl::patiently(async || self.describe(table, path).await).await?
            else {
                continue;
            };
            let lacking = define::lacking(&mut *self.pool.acquire().await?, table).await?;
            // Of what is not to be kept as it is sent nothing may be in `extra`.
            let must_wait = lacking.iter().any(|column| {
                let name = format!("{}.{column}", table.name);
                self.env.privacy.choices().of(&name) != Action::Keep
            });
            if must_wait {
                return Err(Error::Held(table.name.to_string(), held));
            }
            let words = format!(
                "{} keeps its old description, since it is held by {held}",
                table.name
            );
            tracing::warn!({ field::RUN } = %self.run_id, { field::TABLE } = %table.name, { field::NOTE } = %held, "the table could not be changed as its job file describes it, since others hold it");
            held_up.push(words);
            let step = goes_on.to_mut().steps.get_mut(at);
            let table = match step {
                Some(Step::List(list)) => &mut list.table,
                Some(Step::Below(below)) => &mut below.table,
                None => continue,
            };
            table
                .to_mut()
                .columns
                .to_mut()
                .retain(|column| !lacking.iter().any(|name| *name == column.name));
        }
        Ok((goes_on, held_up))
    }

    /// Tries to bring one table to its description.
    async fn describe(&self, table: &Table, path: &str) -> Result<Attempt<()>, Error> {
        let mut transaction = self.transaction().await?;
        let described = match define::list(&mut transaction, table, path).await? {
            Attempt::Done(left) => {
                readings::note_left_columns(&mut *transaction, self.run_id, &table.name, &left)
                    .await?;
                waiting_changes::settle(&mut *transaction, &table.name).await?;
                // A truncation of it is to be noticed too.
                marks::make(&mut *transaction).await?;
                Attempt::Done(())
            }
            Attempt::Held(held) => {
                waiting_changes::note(&mut *transaction, &table.name, DESCRIBED, &held).await?;
                Attempt::Held(held)
            }
        };
        transaction.commit().await?;
        Ok(described)
    }

    /// When this run began, by Postgres's clock.
    async fn started_at(&self) -> Result<DateTime<Utc>, Error> {
        let (began, _) = runs::began(self.pool, self.run_id).await?;
        Ok(began)
    }

    /// Lets the typed view of the attributes follow the tenant's schema; says what is held up.
    async fn follow_schema(&self) -> Result<Option<String>, Error> {
        let refreshed = ddl::patiently(async || {
            let mut transaction = self.transaction().await?;
            let refreshed = attributes::refresh(&mut transaction).await?;
            transaction.commit().await?;
            Ok::<_, Error>(refreshed.attempt())
        });
        let (notes, held_up) = match refreshed.await? {
            Attempt::Done(refreshed) => (refreshed.notes, None),
            Attempt::Held(held) => {
                let note = attributes::Note::Waits(held);
                let words = note.to_string();
                (vec![note], Some(words))
            }
        };
        for note in notes {
            tracing::warn!({ field::RUN } = %self.run_id, { field::NOTE } = %note, "user_attributes is not all that the schema says");
        }
        Ok(held_up)
    }
}
