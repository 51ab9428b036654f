//! The daemon of a tenant: looks every second which jobs are due, and runs them. Postgres is the
//! only coordinator: slots are reckoned from the job files, so all daemons see the same ones, and
//! whoever stores a slot's run first has it.
//!
//! ```text
//! job files ─► slots ─► due? (history in Postgres) ─► gate (after) ─► run under the resource's lease ─► hook, notice
//!                                     └─ ended badly ─► another attempt later
//! orders of pushes ─► the oldest, under the lease of pushes ─► notice
//! inbox ─► plans ─► orders of pushes
//! notices ─► told to receivers ─► struck out
//! ```

mod decide;
mod help;
mod hooks;
mod lapse;
mod notifications;
mod pushes;
mod ready;
mod snapshot;
mod triggers;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use crate::activity::Live;
use crate::bulk::inbox::Inbox;
use crate::bulk::push;
use crate::job::Job;
use crate::membership::Registered;
use crate::notify::{Hook, Outbox};
use crate::sync::{self, Cause, Ended, Extent};
use clock::time;
use decide::{Decision, Late, Settled, decide};
pub use lapse::Lapse;
use mirror::state::notices::{self, About};
use mirror::state::{leases, schedules};
use notifications::Telling;
use pushes::Pushes;
pub use ready::{Company, Unfit};
use record::Resource;
use remedy::chain;
use snapshot::Seen;
use telemetry::field;
pub use work::Work;

/// How often is looked what is due.
const TICK: Duration = Duration::from_secs(1);

/// The longest pause between two attempts to reach a Postgres that is away.
const LONGEST_ABSENCE: Duration = Duration::from_secs(30);

/// A tick that comes so much later than it should means that this machine slept.
const SLEPT: Duration = Duration::from_secs(60);

/// How long what is under way may take to come to a stop: less than the half minute after which
/// Kubernetes kills. What does not, continues after its last commit.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long notifications may take to arrive once nothing else is under way; what does not,
/// somebody else tells, or this daemon when it is back.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A tenant that is kept.
#[derive(Debug)]
pub struct Tenant {
    /// What it is called, for whoever reads logs and notifications.
    pub name: String,
    /// The jobs that are enabled.
    pub jobs: Vec<Job>,
    /// What their runs work with.
    pub work: Work,
    /// What pushes work with.
    pub pushing: push::Environment,
    /// Where is noted what this process does and did.
    pub live: Arc<Live>,
    /// Who is told.
    pub outbox: Outbox,
    /// What runs after a success.
    pub hook: Option<Hook>,
}

/// A run that is to be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Begin {
    cause: Cause,
    extent: Extent,
}

/// A run that ended: which job, and how.
type Finished = (usize, Result<Ended, sync::Error>);

/// Keeps a tenant, and its inbox, until it is told to stop; what is under way then is drained.
/// Postgres may come later than this.
///
/// # Errors
/// What a person has to mend before a tenant can be kept that is alone.
pub async fn keep(
    tenant: Tenant,
    inbox: Inbox,
    company: Company,
    lapse: Lapse,
) -> Result<(), Unfit> {
    let Some(registered) = ready::ready(&tenant.work, &tenant.live, company).await? else {
        return Ok(());
    };
    tracing::info!({ field::TENANT } = tenant.name, "the daemon is ready");
    let (tenant, registered) = (Arc::new(tenant), Arc::new(registered));
    let helping = {
        let (runtime, tenant, registered) = (
            Handle::current(),
            Arc::clone(&tenant),
            Arc::clone(&registered),
        );
        // In a thread of its own, as runs are.
        tokio::task::spawn_blocking(move || {
            runtime.block_on(help::help(&tenant.work, &tenant.jobs, &registered));
        })
    };
    let emptying = {
        let (runtime, shutdown) = (Handle::current(), tenant.work.shutdown.clone());
        // The same: a file that takes long to plan holds no job up.
        tokio::task::spawn_blocking(move || runtime.block_on(inbox.keep(shutdown)))
    };
    let mut keeper = Keeper {
        tenant,
        registered,
        running: JoinSet::new(),
        given_up: watch::Sender::new(false),
        pushes: Pushes::new(),
        telling: Telling::new(),
        busy: BTreeMap::new(),
        lapse,
        watched_since: None,
        waits: BTreeMap::new(),
        requests: BTreeMap::new(),
        put_off: BTreeSet::new(),
        not_before: None,
    };
    keeper.look_until().await;
    keeper.drain().await;
    let _ = helping.await;
    let _ = emptying.await;
    keeper.last_words().await;
    let Keeper {
        tenant, registered, ..
    } = keeper;
    if let Some(registered) = Arc::into_inner(registered) {
        registered.leave().await;
    }
    if let Some(tenant) = Arc::into_inner(tenant) {
        tenant.outbox.close();
    }
    Ok(())
}

/// Notes that slots of a job are not run, and says why if nobody has.
async fn settle(
    session: &mut PgConnection,
    job: &str,
    settled: Settled,
) -> Result<(), sqlx::Error> {
    match settled {
        Settled::Passed { to, slots } => {
            let why = "no daemon was there, or it was busy";
            if schedules::settle(&mut *session, job, to, why).await? {
                tracing::warn!(
                    { field::JOB } = job,
                    { field::SLOTS } = slots,
                    "missed slots skipped"
                );
            }
        }
        Settled::Skipped { to, after } => {
            let why = format!("failed before it: {after}");
            if schedules::settle(&mut *session, job, to, &why).await? {
                tracing::warn!(
                    { field::JOB } = job,
                    { field::NOTE } = after,
                    "skipped, since jobs it comes after have failed"
                );
            }
        }
    }
    Ok(())
}

/// Puts down for the receivers that a slot is late, once.
async fn tell_late(
    session: &mut PgConnection,
    job: &str,
    late: Late,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let mut transaction = session.begin().await?;
    if schedules::tell_late(&mut *transaction, job, late.scheduled_at).await? {
        let late = About::Late {
            job: job.to_owned(),
            scheduled_at: late.scheduled_at,
            since: late.since,
        };
        notices::add(&mut *transaction, now, &late).await?;
    }
    transaction.commit().await
}

struct Keeper {
    tenant: Arc<Tenant>,
    /// This process on the list of daemons.
    registered: Arc<Registered>,
    /// None of a run that was given up.
    running: JoinSet<Option<Finished>>,
    /// Whether what is under way is no longer waited for.
    given_up: watch::Sender<bool>,
    pushes: Pushes,
    telling: Telling,
    /// The resources that runs of this daemon work on.
    busy: BTreeMap<Resource, usize>,
    lapse: Lapse,
    /// Since when this daemon has been there, by the time of schedules.
    watched_since: Option<DateTime<Utc>>,
    /// For which other jobs each job waits, so that it is said once.
    waits: BTreeMap<usize, Vec<String>>,
    /// The requests that runs of this daemon were started for, by job.
    requests: BTreeMap<usize, Uuid>,
    /// The requests of which was said that they wait.
    put_off: BTreeSet<Uuid>,
    /// Until when nothing is begun, since a person has to mend something first.
    not_before: Option<Instant>,
}

impl Keeper {
    async fn look_until(&mut self) {
        let shutdown = self.tenant.work.shutdown.clone();
        let mut session: Option<PgConnection> = None;
        let mut pause = TICK;
        let mut last = Instant::now();
        loop {
            self.tenant.live.turned();
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(pause) => {}
                Some(finished) = self.running.join_next() => {
                    if let Ok(Some(finished)) = finished {
                        self.finished(finished, session.as_mut()).await;
                    }
                    continue;
                }
            }
            if last.elapsed() > SLEPT.saturating_add(pause) {
                self.watched_since = None;
            }
            last = Instant::now();
            let looked = match &mut session {
                Some(session) => self.look(session).await,
                None => match self.tenant.work.database.connect().await {
                    Ok(connection) => self.look(session.insert(connection)).await,
                    Err(error) => Err(error),
                },
            };
            pause = match looked {
                Ok(()) if pause > TICK => {
                    tracing::info!("Postgres is back");
                    TICK
                }
                Ok(()) => TICK,
                Err(error) => {
                    session = None;
                    if pause == TICK {
                        tracing::warn!({ field::ERROR } = %chain(&error), "Postgres is away; trying again until it is back");
                    }
                    time::times(pause, 2).min(LONGEST_ABSENCE)
                }
            };
        }
    }

    /// Starts what is due.
    async fn look(&mut self, session: &mut PgConnection) -> Result<(), sqlx::Error> {
        let (teller, telling) = (self.registered.id(), &mut self.telling);
        telling.look(session, &self.tenant, teller).await?;
        // With more daemons than the tenant's ceiling some may not ask the API: whoever has the
        // lease must be able to.
        if self.registered.places() == 0 {
            return Ok(());
        }
        if self.not_before.is_some_and(|at| Instant::now() < at) {
            return Ok(());
        }
        let tenant = Arc::clone(&self.tenant);
        let seen = Seen::read(&mut *session, &tenant.jobs, &mut self.lapse).await?;
        let watched_since = *self.watched_since.get_or_insert(seen.now);
        let schema = tenant.work.database.schemas().data();
        for (at, job) in tenant.jobs.iter().enumerate() {
            if self.busy.contains_key(&job.resource) {
                continue;
            }
            let decision = decide(&seen, &tenant.jobs, job, schema, watched_since);
            self.carry_out(session, at, decision, seen.now).await?;
        }
        self.answer_requests(session, &seen).await?;
        self.pushes.look(session, &tenant).await
    }

    /// Does what was decided about a job, and says what is not run, and why.
    async fn carry_out(
        &mut self,
        session: &mut PgConnection,
        at: usize,
        decision: Decision,
        now: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        let tenant = Arc::clone(&self.tenant);
        let job = tenant.jobs[at].name.as_str();
        for settled in decision.settled {
            settle(&mut *session, job, settled).await?;
        }
        if decision.waits.is_empty() {
            self.waits.remove(&at);
        } else if self.waits.get(&at) != Some(&decision.waits) {
            let names = decision.waits.join(", ");
            tracing::info!(
                { field::JOB } = job,
                { field::NOTE } = names,
                "waits for other jobs"
            );
            self.waits.insert(at, decision.waits);
        }
        if let Some(late) = decision.late {
            tell_late(&mut *session, job, late, now).await?;
        }
        if let Some(slot) = decision.begin {
            let cause = Cause::Slot(slot);
            let extent = Extent::AsDue;
            self.start(at, Begin { cause, extent });
        }
        Ok(())
    }

    fn start(&mut self, at: usize, begin: Begin) {
        let tenant = Arc::clone(&self.tenant);
        *self.busy.entry(tenant.jobs[at].resource).or_default() += 1;
        let daemon = self.registered.id();
        let runtime = Handle::current();
        let mut given_up = self.given_up.subscribe();
        // A thread for each run: one tenant's documents are not parsed at the expense of another's.
        self.running.spawn_blocking(move || {
            let job = &tenant.jobs[at];
            tracing::info!({ field::JOB } = job.name, "run starts");
            let ran = async {
                let env = tenant.work.on(job, begin.cause, daemon).await?;
                let _under_way = tenant.live.begun(&job.name, &env.progress);
                sync::run(&env, job, begin.extent, |_| {}).await
            };
            runtime.block_on(async {
                tokio::select! {
                    ran = ran => Some((at, ran)),
                    _ = given_up.wait_for(|given_up| *given_up) => None,
                }
            })
        });
    }

    /// Does what follows the end of a run.
    async fn finished(&mut self, (at, ended): Finished, session: Option<&mut PgConnection>) {
        let tenant = Arc::clone(&self.tenant);
        let job = &tenant.jobs[at];
        self.requests.remove(&at);
        if let Some(count) = self.busy.get_mut(&job.resource) {
            *count -= 1;
        }
        self.busy.retain(|_, count| *count > 0);
        match ended {
            Ok(ended) => {
                tracing::info!({ field::JOB } = job.name, { field::RUN } = %ended.run_id, { field::NOTE } = ended.ending.name(), "run ended");
                if let Some(session) = session
                    && let Err(error) = hooks::ended(&tenant, session, ended.run_id).await
                {
                    tracing::warn!({ field::RUN } = %ended.run_id, { field::ERROR } = %chain(&error), "what follows a run (hook, notification) could not start");
                }
            }
            // Somebody adopted the mirror for another tenant meanwhile.
            Err(error @ sync::Error::Tenant(_)) => {
                tracing::error!({ field::TENANT } = tenant.name, { field::ERROR } = %error.chain(), { field::NOTE } = error.remedy(), "this tenant is not kept");
                self.not_before = Some(time::later(Instant::now(), ready::MENDED));
            }
            Err(sync::Error::Taken | sync::Error::Lease(leases::Error::Busy { .. })) => {
                tracing::info!(
                    { field::JOB } = job.name,
                    "another daemon has this run; nothing was to be done here"
                );
            }
            Err(error) => {
                tracing::error!({ field::JOB } = job.name, { field::ERROR } = %error.chain(), "a run could not be begun or recorded");
            }
        }
    }

    /// Tells what is left to tell, as far as there is time for it.
    async fn last_words(&mut self) {
        let telling = async {
            let mut session = self.tenant.work.database.connect().await?;
            let (teller, telling) = (self.registered.id(), &mut self.telling);
            telling.look(&mut session, &self.tenant, teller).await?;
            telling.all(&mut session).await
        };
        match tokio::time::timeout(LAST_WORDS, telling).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => {
                tracing::warn!(
                    "stopping with notifications that were not delivered; another daemon delivers them, or the next one that starts"
                );
            }
        }
    }

    /// Waits for what is under way; it was told to stop by the same word.
    async fn drain(&mut self) {
        let drained = async {
            while self.running.join_next().await.is_some() {}
            self.pushes.drain().await;
        };
        if tokio::time::timeout(PATIENCE, drained).await.is_err() {
            tracing::warn!(
                "stopping although runs are under way; they continue after their last commit"
            );
            self.given_up.send_replace(true);
            while self.running.join_next().await.is_some() {}
            self.pushes.give_up().await;
        }
    }
}
