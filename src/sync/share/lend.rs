//! The leader's side: windows go out to others, and what became of them comes back.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use uuid::Uuid;

use super::super::progress::Progress;
use super::super::scan::to_remember;
use super::super::write::Kept;
use super::super::{Environment, Error, reading};
use super::{Sharing, bounds, window};
use ::scan::part::Fetched;
use ::scan::plan::Overflow;
use ::scan::walk::{Found, Walk};
use mirror::state::daemons;
use mirror::state::leases::Token;
use mirror::state::shared_windows::{self, Outcome, Terms, Unread};
use scan::Source;

/// How often the leader hears from others: less than an answer of the API takes, since in a first
/// load the next window depends on the one before.
const EXCHANGE: Duration = Duration::from_millis(50);

/// How often it looks who is there, and whether a claimant is gone.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// Windows that wait for each place that others have: they last until the next exchange, with some
/// to spare.
const AHEAD: usize = 3;

/// What is lent of one scan.
pub(in super::super) struct Lending<'a> {
    sharing: &'a Sharing,
    pool: &'a PgPool,
    progress: &'a Progress,
    token: Token,
    run_id: Uuid,
    kept: Kept,
    settings: [u8; 32],
    rpp: u64,
    ticks: Interval,
    looked_around: Option<Instant>,
    /// What others may have in flight.
    capacity: usize,
    /// Whether anything was offered yet.
    is_begun: bool,
}

impl<'a> Lending<'a> {
    pub(in super::super) fn new(
        env: &'a Environment,
        sharing: &'a Sharing,
        pool: &'a PgPool,
        token: Token,
        run_id: Uuid,
        kept: Kept,
    ) -> Self {
        let mut ticks = interval(EXCHANGE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            sharing,
            pool,
            progress: &env.progress,
            token,
            run_id,
            kept,
            settings: reading::form(&env.reader, &env.privacy),
            rpp: env.rpp,
            ticks,
            looked_around: None,
            capacity: 0,
            is_begun: false,
        }
    }

    /// Resolves when it is time to hear from others.
    pub(in super::super) async fn due(&mut self) {
        self.ticks.tick().await;
    }

    /// Takes in what others found, takes back what nobody reads, and lends as much as others can
    /// use soon.
    pub(in super::super) async fn exchange<S: Source>(
        &mut self,
        walk: &mut Walk<S>,
        pages: &mpsc::Sender<Fetched>,
    ) -> Result<(), Error> {
        let looks_around = self
            .looked_around
            .is_none_or(|last| last.elapsed() >= LOOK_AROUND);
        if looks_around {
            self.looked_around = Some(Instant::now());
            self.capacity = self.capacity_of_others().await?;
        }
        if !self.is_begun && self.capacity == 0 {
            return Ok(());
        }
        // A leader that was too slow has nothing to say any more.
        // A leader that was too slow has nothing to say any more.
        let mut transaction = self.token.begin(self.pool).await?;
        if self.is_begun {
            for heard in shared_windows::hear(&mut *transaction, self.run_id).await? {
                self.sharing.add(heard.asked);
                let found = self.found(heard.outcome);
                walk.hear(window(heard.bounds), found, pages);
            }
            if looks_around {
                for lost in shared_windows::take_back_lost(&mut transaction, self.run_id).await? {
                    walk.hear(window(lost), Found::Nothing, pages);
                }
            }
            if walk.gave_up_windows() {
                // What others still read is in the pages as well.
                shared_windows::end(&mut *transaction, self.run_id).await?;
                self.is_begun = false;
                self.capacity = 0;
                return Ok(transaction.commit().await?);
            }
            let idle = walk.idle(pages);
            if idle > 0 && walk.lent() > 0 {
                let idle = i64::try_from(idle).unwrap_or(i64::MAX);
                let unclaimed =
                    shared_windows::take_back_unclaimed(&mut *transaction, self.run_id, idle)
                        .await?;
                for back in unclaimed {
                    walk.hear(window(back), Found::Nothing, pages);
                }
            }
        }
        self.offer(&mut transaction, walk).await?;
        Ok(transaction.commit().await?)
    }

    /// Offers as much as others can use soon.
    async fn offer<S: Source>(
        &mut self,
        connection: &mut PgConnection,
        walk: &mut Walk<S>,
    ) -> Result<(), Error> {
        let mut lent = Vec::new();
        while let Some(window) = walk.lend(self.capacity, self.capacity * AHEAD) {
            lent.push(bounds(window));
        }
        if !lent.is_empty() {
            if !self.is_begun {
                let terms = Terms {
                    leader: self.sharing.daemon,
                    token: self.token.number(),
                    settings: &self.settings,
                    rpp: self.rpp as i64,
                    notes_changes: self.kept.notes_changes,
                    learned: to_remember(walk.reader().learned()),
                };
                shared_windows::share(&mut *connection, self.run_id, terms).await?;
                self.is_begun = true;
            }
            shared_windows::offer(&mut *connection, self.run_id, &lent).await?;
        }
        Ok(())
    }

    async fn capacity_of_others(&self) -> Result<usize, Error> {
        let live = daemons::live(self.pool).await?;
        let others = live
            .iter()
            .filter(|daemon| Some(daemon.daemon_id) != self.sharing.daemon);
        Ok(others
            .map(|daemon| usize::try_from(daemon.places).unwrap_or_default())
            .sum())
    }

    /// What the plan makes of it. What was committed counts for this run.
    fn found(&self, outcome: Outcome) -> Found {
        match outcome {
            Outcome::Whole(counts) => {
                self.progress.committed_by_others(counts);
                Found::Whole(counts.read.unsigned_abs())
            }
            Outcome::Unread(Unread::TooLarge {
                dates,
                count,
                answered_at,
            }) => Found::TooLarge(Overflow {
                beside: None,
                shown: Vec::new(),
                dates,
                count: count.map(i64::unsigned_abs),
                // As far as the walk knows itself.
                full_page: u64::MAX,
                answered_at,
            }),
            Outcome::Unread(Unread::Unfiltered) => Found::FilterIgnored,
            Outcome::Unread(Unread::Returned) => Found::Nothing,
        }
    }
}
