//! The other side: reading and writing windows of a scan that somebody else leads.

use crate::sync::exports::UserExport;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use uuid::Uuid;

use super::super::progress::Progress;
use super::super::scan::remembered;
use super::super::write::{Kept, Merge, WRITERS};
use super::super::{Environment, Error, reading};
use super::window;
use crate::membership::Registered;
use ::scan::part::{Asking, Fetched, Look, PartReader, Stopped};
use ::scan::window::Window;
use mirror::state::erasures;
use mirror::state::leases::{self, Token};
use mirror::state::shared_windows::{self, Asked, Claim, Shared, Unread};
use record::Resource;
use telemetry::span::{Span, Work};
use zephr::Reader;

/// How often claims are renewed: three times before they would end.
const RENEWAL: Duration = Duration::from_secs(6);

/// How often to look for more to claim.
const POLL: Duration = Duration::from_millis(50);

/// How long to wait for more before it counts as the end: a leader has nothing to offer while it
/// waits for an answer that says how to go on.
const LINGER: Duration = Duration::from_secs(2);

/// Helps with scans that others lead. Costs one query when there is nothing to do.
#[derive(Debug)]
pub struct Assistant<'a> {
    env: &'a Environment,
    daemon: &'a Registered,
    pool: PgPool,
    settings: [u8; 32],
}

/// What was done for others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Assisted {
    /// Windows that were read whole and committed.
    pub windows: u64,
    /// Windows that the leader has to cut, or to read itself.
    pub unread: u64,
    /// Windows that were read in vain: the claim on them had ended.
    pub late: u64,
}

impl<'a> Assistant<'a> {
    /// Helps with what this environment would do itself: it is that of the job that mirrors the
    /// users.
    pub fn new(env: &'a Environment, daemon: &'a Registered) -> Self {
        Self {
            env,
            daemon,
            // The writers, and one for the claims.
            pool: env.database.pool(WRITERS + 1),
            settings: reading::form(&env.reader, &env.privacy),
        }
    }

    /// Looks for windows that somebody offers, and works until there are none, or until it is to
    /// stop.
    ///
    /// # Errors
    /// The API or Postgres. What was claimed is given back.
    pub async fn assist(&self) -> Result<Assisted, Error> {
        if self.daemon.places() == 0 || self.env.shutdown.is_requested() {
            return Ok(Assisted::default());
        }
        let resource = Resource::Users.name();
        let found =
            shared_windows::find(&self.pool, self.daemon.id(), resource, &self.settings).await?;
        let Some(shared) = found else {
            return Ok(Assisted::default());
        };
        let helper = Helper::new(self, &shared).await?;
        let mut assisted = Assisted::default();
        let span = Span::of(|| Work::Help {
            run_id: shared.run_id,
        });
        let worked = span.over(self.work(&helper, &mut assisted)).await;
        shared_windows::give_back(&self.pool, shared.run_id, self.daemon.id()).await?;
        match worked {
            Ok(()) => Ok(assisted),
            // The leader lost its lease: its run is over, and so is the work for it.
            Err(Error::Lease(leases::Error::Lost(_))) => Ok(assisted),
            Err(error) => Err(error),
        }
    }

    async fn work(&self, helper: &Helper, assisted: &mut Assisted) -> Result<(), Error> {
        let mut reading: JoinSet<Result<Done, Error>> = JoinSet::new();
        let mut renewals = interval(RENEWAL);
        renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut had_something = Instant::now();
        loop {
            // What is being written holds no place.
            let most = self.daemon.places() + WRITERS as usize;
            let free = most.saturating_sub(reading.len());
            if free > 0 {
                for (claim, window) in helper.claim(free).await? {
                    let helper = helper.clone();
                    let span = Span::of(|| Work::Window);
                    reading.spawn(span.over(async move { helper.read(claim, window).await }));
                }
            }
            if !reading.is_empty() {
                had_something = Instant::now();
            } else if had_something.elapsed() >= LINGER {
                return Ok(());
            }
            tokio::select! {
                () = self.env.shutdown.requested() => return Ok(()),
                Some(done) = reading.join_next() => match done.unwrap_or(Err(Error::Stopped))? {
                    Done::Whole => assisted.windows += 1,
                    Done::Unread => assisted.unread += 1,
                    Done::Late => assisted.late += 1,
                },
                _ = renewals.tick() => {
                    if !helper.renew().await? {
                        return Ok(());
                    }
                }
                () = sleep(POLL), if free > 0 || reading.is_empty() => {}
            }
        }
    }
}

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Whole,
    Unread,
    Late,
}

/// What it takes to read and write windows of one scan.
#[derive(Debug, Clone)]
struct Helper {
    pool: PgPool,
    run_id: Uuid,
    holder: Uuid,
    reader: Reader,
    parts: PartReader<UserExport>,
    merge: Merge,
    progress: Arc<Progress>,
    told: Arc<Told>,
}

/// What was asked so far, as far as the leader was told.
#[derive(Debug)]
struct Told {
    requests: AtomicI64,
    retries: AtomicI64,
}

impl Helper {
    async fn new(assistant: &Assistant<'_>, shared: &Shared) -> Result<Self, Error> {
        let (env, pool) = (assistant.env, &assistant.pool);
        // Nobody is erased while the lease on the users is held.
        let erased = erasures::erased(pool, env.privacy.key()).await?;
        let session = &mut *pool.acquire().await?;
        let reading = reading::known(session, &env.reader, &env.privacy).await?;
        let asking = Asking {
            rpp: shared.rpp.unsigned_abs().max(1),
            since: None,
            may_be_undated: true,
            // Who leads knows how many came in all.
            expected: None,
        };
        let kept = Kept {
            scan_id: shared.scan_id,
            notes_changes: shared.notes_changes,
        };
        let merge = Merge::new(
            Token::of_leader(Resource::Users, shared.token),
            &shared.job,
            shared.run_id,
            Some(kept),
            Arc::clone(&env.progress),
        );
        let sent = env.reader.sent();
        Ok(Self {
            pool: pool.clone(),
            run_id: shared.run_id,
            holder: assistant.daemon.id(),
            reader: env.reader.clone(),
            parts: PartReader::new(
                UserExport(env.reader.clone()),
                asking,
                remembered(shared.learned),
            ),
            merge: merge.without(erased).reading(reading),
            progress: Arc::clone(&env.progress),
            told: Arc::new(Told {
                requests: AtomicI64::new(sent.requests as i64),
                retries: AtomicI64::new(sent.retries as i64),
            }),
        })
    }

    async fn claim(&self, most: usize) -> Result<Vec<(Claim, Window)>, Error> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let claimed = shared_windows::claim(&self.pool, self.run_id, self.holder, most).await?;
        Ok(claimed
            .into_iter()
            .map(|(claim, bounds)| (claim, window(bounds)))
            .collect())
    }

    /// Renews the claims; whether the scan is still shared.
    async fn renew(&self) -> Result<bool, Error> {
        let mut connection = self.pool.acquire().await?;
        Ok(shared_windows::renew(&mut connection, self.run_id, self.holder).await?)
    }

    /// Reads a window, and writes it if one answer holds all of it.
    async fn read(&self, claim: Claim, window: Window) -> Result<Done, Error> {
        let look = match self.parts.look(window).await {
            Ok(look) => look,
            Err(Stopped::Source(error)) => return Err(error.into()),
            Err(Stopped::Closed) => return Err(Error::Stopped),
        };
        self.progress.read_window(None, self.reader.governor());
        let unread = match look {
            Look::Whole(page) => {
                let fetched = Fetched {
                    page,
                    completes: Some(window),
                };
                let rows = fetched.page.len();
                let writing = self
                    .merge
                    .write_claimed(&self.pool, fetched, claim, self.asked());
                let stood = Span::of(|| Work::Batch { rows }).over(writing).await?;
                return Ok(if stood { Done::Whole } else { Done::Late });
            }
            Look::TooLarge(overflow) => Unread::TooLarge {
                dates: overflow.dates,
                count: overflow.count.map(|count| count as i64),
                answered_at: overflow.answered_at,
            },
            // What takes several answers is read by the leader, which knows who was seen in each.
            Look::Uncuttable | Look::NotFound | Look::Hides(_) => Unread::Returned,
            Look::FilterIgnored => Unread::Unfiltered,
        };
        let stood = shared_windows::unread(&self.pool, claim, &unread, self.asked()).await?;
        Ok(if stood { Done::Unread } else { Done::Late })
    }

    /// What was asked since this was last called; in sum right, whichever window it is told with.
    fn asked(&self) -> Asked {
        let sent = self.reader.sent();
        let since = |told: &AtomicI64, now: u64| {
            let now = now as i64;
            now - told.swap(now, Ordering::Relaxed)
        };
        Asked {
            requests: since(&self.told.requests, sent.requests),
            retries: since(&self.told.retries, sent.retries),
        }
    }
}
