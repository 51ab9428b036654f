//! Pushes that were ordered: one daemon of the tenant at a time carries the oldest one through.
//! Which one that is, and how far it came, is in Postgres alone: the lease of pushes says whether
//! somebody is at work, the ledger what was sent. So it does not matter how often, or where, an
//! order is taken up.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use super::Tenant;
use crate::bulk::Error;
use crate::bulk::progress::State;
use crate::bulk::push::{self, Allowed, End};
use crate::sync::{self, holder_name};
use clock::time;
use mirror::state::bulk::orders::{self, Order};
use mirror::state::bulk::rows;
use mirror::state::leases::{self, Subject};
use mirror::state::notices::{self, About};
use telemetry::field;

/// The pause after the first outage; it doubles, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// Long enough that an outage of a night does not fill the log, short enough that nobody waits long
/// when it is over.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

/// How often a push under way is logged, as commands do where nobody watches a bar.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// How the work on an order came to an end.
#[derive(Debug)]
enum Left {
    /// The order has its end.
    Ended,
    /// Somebody else is at work on it, or this daemon is to stop: it stays open.
    ToOthers,
    /// An outage: it stays open, and is tried again.
    ForLater(Error),
}

/// The push that this daemon carries through, if any, and when it looks for the next.
#[derive(Debug)]
pub(super) struct Pushes {
    running: JoinSet<Left>,
    /// Whether it is no longer waited for.
    given_up: watch::Sender<bool>,
    not_before: Option<Instant>,
    pause: Duration,
}

impl Pushes {
    pub(super) fn new() -> Self {
        Self {
            running: JoinSet::new(),
            given_up: watch::Sender::new(false),
            not_before: None,
            pause: FIRST_PAUSE,
        }
    }

    /// Takes up the oldest open order, unless one is being carried through.
    pub(super) async fn look(
        &mut self,
        session: &mut PgConnection,
        tenant: &Arc<Tenant>,
    ) -> Result<(), sqlx::Error> {
        while let Some(left) = self.running.try_join_next() {
            self.left(left.unwrap_or_else(|_| Left::ForLater(sync::Error::Stopped.into())));
        }
        let waits = self.not_before.is_some_and(|at| Instant::now() < at);
        if waits || !self.running.is_empty() {
            return Ok(());
        }
        if leases::holder(&mut *session, Subject::Pushes)
            .await?
            .is_some()
        {
            return Ok(());
        }
        if let Some(order) = orders::take(&mut *session, &holder_name()).await? {
            let tenant = Arc::clone(tenant);
            let runtime = Handle::current();
            let mut given_up = self.given_up.subscribe();
            // A thread of its own, as a run has.
            self.running.spawn_blocking(move || {
                runtime.block_on(async {
                    tokio::select! {
                        left = carry_through(&tenant, &order) => left,
                        _ = given_up.wait_for(|given_up| *given_up) => Left::ToOthers,
                    }
                })
            });
        }
        Ok(())
    }

    fn left(&mut self, left: Left) {
        match left {
            Left::Ended => {
                self.pause = FIRST_PAUSE;
                self.not_before = None;
            }
            Left::ToOthers => {}
            Left::ForLater(error) => {
                tracing::warn!(
                    { field::ERROR } = error.chain(),
                    { field::NOTE } = error.remedy(),
                    { field::PAUSE_MS } = self.pause.as_millis() as u64,
                    "a push cannot go on now; its order stays open"
                );
                self.not_before = Some(time::later(Instant::now(), self.pause));
                self.pause = time::times(self.pause, 2).min(LONGEST_PAUSE);
            }
        }
    }

    /// Waits for the push under way; it was told to stop by the same word as everything.
    pub(super) async fn drain(&mut self) {
        while self.running.join_next().await.is_some() {}
    }

    /// Gives up the push under way; another daemon carries on from what is written down.
    pub(super) async fn give_up(&mut self) {
        self.given_up.send_replace(true);
        self.drain().await;
    }
}

async fn carry_through(tenant: &Tenant, order: &Order) -> Left {
    let env = push::Environment {
        operator: order.ordered_by.clone(),
        ..tenant.pushing.clone()
    };
    let allowed = Allowed {
        changes: order.allow_changes,
        deletes: order.allow_deletes,
    };
    tracing::info!({ field::PLAN } = %order.plan_id, "push starts");
    let mut counted = env.progress.outcomes();
    let mut count = || {
        let now = env.progress.outcomes();
        tenant.live.pushed(counted, now);
        counted = now;
    };
    let applied = {
        let mut applying = std::pin::pin!(push::apply(&env, order.plan_id, allowed, |_| {}));
        loop {
            tokio::select! {
                applied = &mut applying => break applied,
                () = tokio::time::sleep(TOLD_EVERY) => {
                    tell(order.plan_id, env.progress.now());
                    count();
                }
            }
        }
    };
    // Whatever it came to: these rows are settled, and nobody settles them again.
    count();
    let trouble = match applied {
        Ok(End::Finished) => None,
        Ok(End::Interrupted) | Err(Error::Mirror(sync::Error::Lease(_))) => return Left::ToOthers,
        Err(error) if error.may_pass() => return Left::ForLater(error),
        Err(error) => Some((error.chain(), error.remedy())),
    };
    match end(tenant, order, trouble).await {
        Ok(()) => Left::Ended,
        // Every row has its outcome all the same; whoever takes it up again finds nothing left to
        // do, and says so.
        Err(error) => Left::ForLater(error.into()),
    }
}

/// Notes how an order ended, and that it is to be told.
async fn end(
    tenant: &Tenant,
    order: &Order,
    trouble: Option<(String, String)>,
) -> Result<(), sqlx::Error> {
    let mut session = tenant.work.database.connect().await?;
    let told = trouble
        .as_ref()
        .map(|(error, remedy)| (error.as_str(), remedy.as_str()));
    // Another daemon may have been at it too: it is told once.
    let mut transaction = session.begin().await?;
    let Some(ended_at) = orders::end(&mut *transaction, order, told).await? else {
        return Ok(());
    };
    if told.is_none() {
        notices::add(&mut *transaction, ended_at, &About::Push(order.plan_id)).await?;
    }
    transaction.commit().await?;
    if let Some((error, remedy)) = told {
        tracing::error!({ field::PLAN } = %order.plan_id, { field::ERROR } = error, { field::NOTE } = remedy, "push stopped");
        return Ok(());
    }
    let outcomes = rows::outcomes(&mut session, order.plan_id).await?;
    tracing::info!(
        { field::PLAN } = %order.plan_id,
        { field::SETTLED } = outcomes.settled(),
        { field::TROUBLED } = outcomes.failed + outcomes.unknown,
        "push ended"
    );
    Ok(())
}

fn tell(plan_id: Uuid, state: State) {
    let (done, of) = state.job.unzip();
    tracing::info!(
        { field::PLAN } = %plan_id,
        { field::ROWS } = state.rows,
        { field::SETTLED } = state.settled,
        { field::TROUBLED } = state.troubled,
        { field::JOB_DONE } = done,
        { field::JOB_TOTAL } = of,
        "pushing"
    );
}
