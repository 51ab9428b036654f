//! A daemon among others: it is on the list, beats, and sends as many requests at once as its part
//! of the tenant's ceiling allows.
//!
//! What it may use comes from [`daemons::beat`] and is told to the governor, which keeps to it by
//! its own clocks: a daemon that was stopped, or has lost Postgres, sends nothing once its time is
//! over.

#[cfg(test)]
mod tests;

use std::time::Duration;

use sqlx::PgConnection;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use clock::{Clock, Moment};
use mirror::postgres::connect::Database;
use mirror::state::daemons::{self, Granted, Held};
use telemetry::field;
use zephr::governor::{Ceiling, Governor};

/// How often a daemon beats. Who comes has its part after two beats of the others: they notice, and
/// give way.
const BEAT: Duration = Duration::from_secs(1);

/// A daemon that is stopped in the middle of a beat holds up the beats of all others, for this
/// long.
const STALL: &str = "2s";

/// How long one who leaves waits for what is under way. What takes longer keeps its places until
/// the row is void.
const LEAVING: Duration = Duration::from_secs(5);

/// A daemon that is on the list, until it leaves. Dropped without leaving, it sends nothing more,
/// and its places are free when its row is void.
#[derive(Debug)]
pub struct Registered {
    id: Uuid,
    governor: Governor,
    leave: watch::Sender<bool>,
    keeper: JoinHandle<()>,
}

impl Registered {
    /// Puts this process on the list. From here on the governor sends only what is this daemon's
    /// part, which may be nothing at first.
    ///
    /// # Errors
    /// As sqlx. Until a later call succeeds the governor sends nothing.
    pub async fn join(
        database: &Database,
        governor: Governor,
        holder: &str,
    ) -> Result<Self, sqlx::Error> {
        let places = Places::none(governor.clone(), Clock::system());
        let mut keeper = Keeper {
            id: Uuid::now_v7(),
            holder: holder.to_owned(),
            session: None,
            database: database.clone(),
            places,
        };
        keeper.beat().await?;
        let (leave, left) = watch::channel(false);
        Ok(Self {
            id: keeper.id,
            governor,
            leave,
            keeper: tokio::spawn(keeper.beat_until(left)),
        })
    }

    /// Identifier on the list.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// How many requests it may have in flight at present; with more daemons than the tenant's
    /// ceiling some have none.
    pub fn places(&self) -> usize {
        self.governor.snapshot().ceiling
    }

    /// Takes it off the list. The governor sends nothing afterwards.
    pub async fn leave(self) {
        let _ = self.leave.send(true);
        let _ = self.keeper.await;
    }
}

/// What a daemon may use, between two beats.
#[derive(Debug)]
struct Places {
    governor: Governor,
    clock: Clock,
}

impl Places {
    /// No place yet: what is under way comes to its end.
    fn none(governor: Governor, clock: Clock) -> Self {
        let places = Self { governor, clock };
        places.set(0, Moment::now(&places.clock));
        places
    }

    /// What a beat is to say.
    fn held(&self) -> Held {
        let now = self.governor.snapshot();
        Held {
            ceiling: now.ceiling,
            in_flight: now.in_flight,
        }
    }

    /// What a beat has answered that was begun then.
    fn granted(&self, granted: Granted, asked: Moment) {
        self.set(granted.ceiling, asked);
    }

    fn set(&self, places: usize, since: Moment) {
        self.governor.set_ceiling(Ceiling {
            places,
            since,
            lasts: daemons::USE,
            clock: self.clock.clone(),
        });
    }
}

struct Keeper {
    id: Uuid,
    holder: String,
    /// None before the first beat, and after one that failed.
    session: Option<PgConnection>,
    database: Database,
    places: Places,
}

impl Keeper {
    async fn beat(&mut self) -> Result<Granted, sqlx::Error> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => {
                let mut session = self.database.connect().await?;
                daemons::prepare(&mut session, self.id, STALL).await?;
                session
            }
        };
        // The time counts from before the question: whatever delays the answer, the row lasts
        // longer than what it allows.
        let asked = Moment::now(&self.places.clock);
        let max_in_flight = self.places.governor.limits().max_in_flight.max(1);
        let held = self.places.held();
        let granted =
            daemons::beat(&mut session, self.id, &self.holder, max_in_flight, held).await?;
        self.places.granted(granted, asked);
        self.session = Some(session);
        Ok(granted)
    }

    async fn beat_until(mut self, mut left: watch::Receiver<bool>) {
        let mut shrinking = false;
        let mut failing = false;
        loop {
            let governor = self.places.governor.clone();
            tokio::select! {
                _ = left.wait_for(|left| *left) => break,
                () = tokio::time::sleep(BEAT) => {}
                // Others wait for the places.
                () = governor.fits(), if shrinking => {}
            }
            let beat = tokio::select! {
                _ = left.wait_for(|left| *left) => break,
                beat = self.beat() => beat,
            };
            match beat {
                Ok(granted) => (shrinking, failing) = (granted.is_to_shrink, false),
                Err(error) => {
                    if !failing {
                        tracing::warn!({ field::ERROR } = %error, "heartbeat failed; if that goes on, the other daemons take this one for gone");
                    }
                    (shrinking, failing) = (false, true);
                }
            }
        }
        self.leave().await;
    }

    /// Gives its places free, if nothing of it is under way any more.
    async fn leave(mut self) {
        self.places.set(0, Moment::now(&self.places.clock));
        let gone = async {
            self.places.governor.fits().await;
            // A beat may have been given up in the middle, and its session with it.
            let mut session = self.database.connect().await?;
            daemons::leave(&mut session, self.id).await
        };
        let gone = tokio::time::timeout(LEAVING, gone).await;
        if !matches!(gone, Ok(Ok(()))) {
            tracing::warn!(
                "this daemon could not take itself off the list; its places are free when its row is void"
            );
        }
        self.session = None;
    }
}
