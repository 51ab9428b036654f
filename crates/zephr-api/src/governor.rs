//! How many requests at once, how fast, and why we wait: one governor for all calls of a tenant.
//!
//! At first each good answer allows one more request in flight. A refusal halves, and says where
//! the limit is: from then on a round of good answers allows one more, up to just below that limit,
//! and only after many good answers is the limit itself tried again. `Retry-After` holds everybody
//! back, not only the request that was refused.
//!
//! Where several daemons share a tenant, each has a part of the ceiling, and has it for a time
//! only: [`Governor::set_ceiling`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use clock::{Clock, Moment, time};

/// In flight at the start: as many as a browser would send, and no burst. It grows from there.
const INITIAL_IN_FLIGHT: f64 = 4.0;

/// Good answers in a row, just below a limit, before the limit is tried again: each try that fails
/// costs a refusal, so one request in so many.
const PATIENCE: u32 = 64;

/// Each try that fails doubles the patience, up to this: an API that became faster is noticed
/// within a few minutes all the same.
const MOST_PATIENCE: u32 = 2_048;

/// Refusals of requests that were under way together count as one: after a reduction, the next
/// takes at least this long.
const REDUCTION_PAUSE: Duration = Duration::from_millis(500);

/// The ceilings, from the settings.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Requests in flight at most.
    pub max_in_flight: usize,
    /// Requests per second at most; none means no cap.
    pub max_per_second: Option<f64>,
    /// How long to wait when Zephr asks for it. Who is asked for longer fails instead.
    pub max_retry_after: Duration,
}

/// How many of the tenant's requests may be ours, and until when that is so.
#[derive(Debug, Clone)]
pub struct Ceiling {
    /// Requests in flight at most.
    pub places: usize,
    /// When this was known to be so.
    pub since: Moment,
    /// For how long. Afterwards nothing is sent: others may have the places by then, which a
    /// process that was stopped, or slept, cannot have noticed.
    pub lasts: Duration,
    /// The clock beside the steady one.
    pub clock: Clock,
}

/// What the governor is doing, for progress, `status` and the run record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Snapshot {
    /// Requests in flight.
    pub in_flight: usize,
    /// How many may be.
    pub allowed: usize,
    /// How many may be at most, however good the answers are.
    pub ceiling: usize,
    /// How long everybody still waits because the API asked for it.
    pub waiting: Option<Duration>,
    /// Refusals so far.
    pub refused: u64,
    /// Time so far during which the API had asked us to wait.
    pub throttled: Duration,
}

/// Admits requests; cheap to clone, all clones are one governor.
#[derive(Debug, Clone)]
pub struct Governor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limits: Limits,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    /// None until others share the tenant: then the limits are the ceiling.
    ceiling: Option<Ceiling>,
    allowed: f64,
    in_flight: usize,
    /// How often as many were in flight as may be.
    times_full: u64,
    /// Nobody sends before this, because the API asked for it.
    held_until: Option<Instant>,
    /// Nobody sends before this, and nobody waits for it: the API asked for longer than we wait.
    closed_until: Option<Instant>,
    /// The earliest moment for the next request under the rate cap.
    next_slot: Instant,
    last_reduction: Option<Instant>,
    /// So many at once were refused; none before the first refusal.
    limit: Option<f64>,
    /// Good answers just below the limit.
    good: u32,
    /// How many of them it takes to try the limit again.
    patience: u32,
    refused: u64,
    throttled: Duration,
}

/// Leave to send one request. Returned by saying how it went; dropped without a word (a cancelled
/// call) it only frees its place.
#[derive(Debug)]
pub struct Permit {
    shared: Arc<Shared>,
    /// How often all places had been taken before.
    times_full: u64,
}

/// How a request went, as far as the governor cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The API coped.
    Good,
    /// The API, or its edge, refused or failed under load.
    Refused {
        /// How long it asked everybody to wait.
        after: Option<Duration>,
    },
    /// It refused, and asked everybody to stay away for longer than we wait.
    Closed {
        /// For how long.
        after: Duration,
    },
    /// It says nothing about the API's load: the network broke, for instance.
    Neutral,
}

impl Governor {
    /// A governor that has sent nothing yet.
    pub fn new(limits: Limits) -> Self {
        let ceiling = limits.max_in_flight.max(1) as f64;
        Self {
            shared: Arc::new(Shared {
                limits,
                state: Mutex::new(State {
                    ceiling: None,
                    allowed: INITIAL_IN_FLIGHT.min(ceiling),
                    in_flight: 0,
                    times_full: 0,
                    held_until: None,
                    closed_until: None,
                    next_slot: Instant::now(),
                    last_reduction: None,
                    limit: None,
                    good: 0,
                    patience: PATIENCE,
                    refused: 0,
                    throttled: Duration::ZERO,
                }),
                changed: Notify::new(),
            }),
        }
    }

    /// Waits until a request may be sent.
    pub async fn admit(&self) -> Permit {
        loop {
            // Registered before the state is looked at, so that a place that becomes free in
            // between is not missed.
            let changed = self.shared.changed.notified();
            let wait = {
                let mut state = self.shared.lock();
                let now = Instant::now();
                let earliest = state
                    .held_until
                    .map_or(state.next_slot, |held| held.max(state.next_slot));
                let allowed = self.shared.allowed(&state);
                if state.in_flight >= allowed {
                    None
                } else if earliest > now {
                    Some(earliest)
                } else {
                    let times_full = state.times_full;
                    state.in_flight += 1;
                    if state.in_flight >= allowed {
                        state.times_full += 1;
                    }
                    if let Some(rate) = self.shared.rate(&state) {
                        state.next_slot = time::later(now, time::seconds(1.0 / rate));
                    }
                    return Permit {
                        shared: Arc::clone(&self.shared),
                        times_full,
                    };
                }
            };
            match wait {
                None => changed.await,
                Some(earliest) => tokio::time::sleep_until(earliest).await,
            }
        }
    }

    /// For how long nothing is to be sent, where that is longer than anybody waits.
    pub fn closed_for(&self) -> Option<Duration> {
        let closed = self.shared.lock().closed_until?;
        let left = closed.checked_duration_since(Instant::now())?;
        (!left.is_zero()).then_some(left)
    }

    /// Sends at most so many at once from now on, for as long as the ceiling lasts. What is in
    /// flight beyond it comes to its end.
    pub fn set_ceiling(&self, ceiling: Ceiling) {
        let mut state = self.shared.lock();
        // A refusal says where the limit is by how many were allowed, so more than may be sent is
        // not allowed either; where nothing may be, nothing is refused.
        if ceiling.places > 0 {
            state.allowed = state.allowed.min(ceiling.places as f64);
        }
        state.ceiling = Some(ceiling);
        drop(state);
        self.shared.changed.notify_waiters();
    }

    /// The requests per second and in flight that the settings allow.
    pub fn limits(&self) -> Limits {
        self.shared.limits
    }

    /// Resolves when no more are in flight than the ceiling allows.
    pub async fn fits(&self) {
        loop {
            let changed = self.shared.changed.notified();
            {
                let state = self.shared.lock();
                if state.in_flight <= self.shared.ceiling(&state) {
                    return;
                }
            }
            changed.await;
        }
    }

    /// What it is doing now.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.shared.lock();
        Snapshot {
            in_flight: state.in_flight,
            allowed: self.shared.allowed(&state),
            ceiling: self.shared.ceiling(&state),
            waiting: state
                .held_until
                .and_then(|held| held.checked_duration_since(Instant::now()))
                .filter(|left| !left.is_zero()),
            refused: state.refused,
            throttled: state.throttled,
        }
    }
}

impl Permit {
    /// Gives the place back and says how the request went.
    pub fn finish(self, outcome: Outcome) {
        let mut state = self.shared.lock();
        match outcome {
            Outcome::Good => {
                let ceiling = self.shared.ceiling(&state).max(1) as f64;
                // Where fewer are sent than may be, a good answer does not show that the API copes
                // with more.
                if state.times_full > self.times_full {
                    state.rise();
                    state.allowed = state.allowed.min(ceiling);
                }
            }
            Outcome::Refused { after } => {
                let now = Instant::now();
                state.refuse(now);
                if let Some(after) = after {
                    let longest = self.shared.limits.max_retry_after;
                    let until = time::later(now, after.min(longest));
                    let held = state.held_until.filter(|held| *held > now).unwrap_or(now);
                    if until > held {
                        let more = until.duration_since(held);
                        state.throttled = state.throttled.saturating_add(more);
                        state.held_until = Some(until);
                    }
                }
            }
            Outcome::Closed { after } => {
                let now = Instant::now();
                state.refuse(now);
                state.closed_until = state.closed_until.max(Some(time::later(now, after)));
            }
            Outcome::Neutral => {}
        }
    }
}

impl State {
    /// After a good answer.
    fn rise(&mut self) {
        match self.limit {
            None => self.allowed += 1.0,
            Some(limit) if self.allowed + 1.0 < limit => self.allowed += 1.0 / self.allowed,
            Some(limit) => {
                self.good += 1;
                if self.good >= self.patience {
                    self.good = 0;
                    self.allowed = limit;
                    // If it holds, the next limit to try is one above.
                    self.limit = Some(limit + 1.0);
                }
            }
        }
    }

    /// Counts a refusal; those of requests that were under way together reduce once.
    fn refuse(&mut self, now: Instant) {
        self.refused += 1;
        let reduced = self.last_reduction;
        if reduced.is_none_or(|last| now.duration_since(last) >= REDUCTION_PAUSE) {
            self.fall();
            self.last_reduction = Some(now);
        }
    }

    /// After a refusal.
    fn fall(&mut self) {
        if self.limit.is_some() {
            self.patience = (self.patience * 2).min(MOST_PATIENCE);
        }
        self.limit = Some(self.allowed.floor().max(2.0));
        self.allowed = (self.allowed / 2.0).max(1.0);
        self.good = 0;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.lock().in_flight -= 1;
        self.shared.changed.notify_waiters();
    }
}

impl Shared {
    /// How many may be in flight at most; none when the time of the ceiling is over.
    fn ceiling(&self, state: &State) -> usize {
        match &state.ceiling {
            None => self.limits.max_in_flight.max(1),
            Some(ceiling) if ceiling.since.is_within(ceiling.lasts, &ceiling.clock) => {
                ceiling.places
            }
            Some(_) => 0,
        }
    }

    fn allowed(&self, state: &State) -> usize {
        (state.allowed as usize).min(self.ceiling(state))
    }

    /// Requests per second: of the cap of all the same part as of their places.
    fn rate(&self, state: &State) -> Option<f64> {
        let places = self.ceiling(state).max(1) as f64;
        let rate = self.limits.max_per_second?;
        Some(rate * (places / self.limits.max_in_flight.max(1) as f64).min(1.0))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is complete in itself, so a panic elsewhere cannot have left
        // it half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const PATIENT: Duration = Duration::from_secs(900);

    fn governor(max_in_flight: usize) -> Governor {
        Governor::new(Limits {
            max_in_flight,
            max_per_second: None,
            max_retry_after: PATIENT,
        })
    }

    /// As many as may be at once, and all of them go well.
    async fn good_round(governor: &Governor) {
        let allowed = governor.snapshot().allowed;
        let round = (0..allowed).map(|_| governor.admit());
        for permit in futures::future::join_all(round).await {
            permit.finish(Outcome::Good);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn grows_to_its_ceiling_and_halves_once_per_burst_of_refusals() {
        let governor = governor(8);
        for _ in 0..10 {
            good_round(&governor).await;
        }
        assert_eq!(governor.snapshot().allowed, 8);
        let burst: Vec<_> = futures::future::join_all((0..8).map(|_| governor.admit())).await;
        for permit in burst {
            permit.finish(Outcome::Refused { after: None });
        }
        assert_eq!(governor.snapshot().allowed, 4);
        assert_eq!(governor.snapshot().refused, 8);
    }

    #[tokio::test(start_paused = true)]
    async fn does_not_grow_while_it_is_not_used_up() {
        let governor = governor(8);
        for _ in 0..100 {
            governor.admit().await.finish(Outcome::Good);
        }
        assert_eq!(governor.snapshot().allowed, 4);
    }

    /// Sends so many requests to a server that refuses more than three at once, and answers after a
    /// tenth of a second; how many were refused.
    async fn refused_by_a_server_of_three(requests: usize) -> (u64, usize) {
        let governor = governor(8);
        let present = Arc::new(Mutex::new(0));
        let sent = (0..requests).map(|_| {
            let (governor, present) = (governor.clone(), Arc::clone(&present));
            tokio::spawn(async move {
                loop {
                    let permit = governor.admit().await;
                    let there = {
                        let mut present = present.lock().unwrap();
                        *present += 1;
                        *present
                    };
                    let refused = there > 3;
                    if !refused {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    *present.lock().unwrap() -= 1;
                    if !refused {
                        return permit.finish(Outcome::Good);
                    }
                    permit.finish(Outcome::Refused { after: None });
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
            })
        });
        futures::future::join_all(sent.collect::<Vec<_>>()).await;
        let snapshot = governor.snapshot();
        (snapshot.refused, snapshot.allowed)
    }

    #[tokio::test(start_paused = true)]
    async fn settles_just_below_what_the_server_refuses() {
        for requests in [100, 200, 1_000] {
            let (refused, allowed) = refused_by_a_server_of_three(requests).await;
            assert!((1..=4).contains(&allowed), "{allowed} allowed");
            assert!(
                refused > 0 && refused * 20 < requests as u64,
                "{refused} of {requests} refused"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_is_gone_is_found_out() {
        let governor = governor(8);
        good_round(&governor).await;
        governor
            .admit()
            .await
            .finish(Outcome::Refused { after: None });
        for _ in 0..200 {
            good_round(&governor).await;
        }
        assert_eq!(governor.snapshot().allowed, 8);
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_holds_everybody_and_overlapping_waits_count_once() {
        let governor = governor(8);
        let first = governor.admit().await;
        let second = governor.admit().await;
        first.finish(Outcome::Refused {
            after: Some(Duration::from_secs(10)),
        });
        second.finish(Outcome::Refused {
            after: Some(Duration::from_secs(4)),
        });
        let before = Instant::now();
        assert!(governor.snapshot().waiting.is_some());
        governor.admit().await.finish(Outcome::Good);
        assert_eq!(before.elapsed().as_secs(), 10);
        assert_eq!(governor.snapshot().throttled, Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_the_limit_whatever_is_asked() {
        let governor = governor(8);
        for after in [PATIENT * 2, Duration::MAX] {
            governor
                .admit()
                .await
                .finish(Outcome::Refused { after: Some(after) });
            let before = Instant::now();
            governor.admit().await.finish(Outcome::Good);
            assert_eq!(before.elapsed(), PATIENT);
        }
        assert_eq!(governor.closed_for(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_turned_away_for_long_does_not_wait_and_is_told_how_long() {
        let governor = governor(8);
        let hour = Duration::from_secs(3_600);
        governor
            .admit()
            .await
            .finish(Outcome::Closed { after: hour });
        assert!(governor.admit().now_or_never().is_some());
        assert_eq!(governor.closed_for(), Some(hour));
        assert_eq!(governor.snapshot().waiting, None);
        tokio::time::advance(hour).await;
        assert_eq!(governor.closed_for(), None);
        governor.admit().await.finish(Outcome::Closed {
            after: Duration::MAX,
        });
        assert!(governor.closed_for() > Some(hour));
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_cap_spaces_requests() {
        let governor = Governor::new(Limits {
            max_in_flight: 8,
            max_per_second: Some(4.0),
            max_retry_after: PATIENT,
        });
        let before = Instant::now();
        for _ in 0..9 {
            governor.admit().await.finish(Outcome::Good);
        }
        assert_eq!(before.elapsed(), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_request_gives_its_place_back() {
        let governor = governor(1);
        drop(governor.admit().await);
        governor.admit().await.finish(Outcome::Good);
        assert_eq!(governor.snapshot().in_flight, 0);
    }

    fn ceiling(places: usize, seconds: u64) -> Ceiling {
        let clock = Clock::system();
        Ceiling {
            places,
            since: Moment::now(&clock),
            lasts: Duration::from_secs(seconds),
            clock,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_in_flight_when_the_ceiling_falls_comes_to_its_end_and_nothing_new_is_sent() {
        let governor = governor(4);
        let mut permits: Vec<_> = futures::future::join_all((0..4).map(|_| governor.admit())).await;
        governor.set_ceiling(ceiling(2, 60));
        assert!(governor.admit().now_or_never().is_none());
        assert!(governor.fits().now_or_never().is_none());
        for left in [3, 2] {
            permits.pop().unwrap().finish(Outcome::Good);
            assert_eq!(governor.snapshot().in_flight, left);
            assert!(
                governor.admit().now_or_never().is_none(),
                "{left} in flight"
            );
        }
        assert!(governor.fits().now_or_never().is_some());
        permits.pop().unwrap().finish(Outcome::Good);
        assert!(governor.admit().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_raised_ceiling_wakes_those_who_wait() {
        let governor = governor(8);
        governor.set_ceiling(ceiling(0, 60));
        let waiting = tokio::spawn({
            let governor = governor.clone();
            async move { governor.admit().await.finish(Outcome::Good) }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!waiting.is_finished());
        governor.set_ceiling(ceiling(1, 60));
        waiting.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_ceiling_ends_with_its_time_by_either_clock() {
        let governor = governor(8);
        governor.set_ceiling(ceiling(3, 60));
        assert_eq!(governor.snapshot().ceiling, 3);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(governor.snapshot().ceiling, 0);
        assert!(governor.admit().now_or_never().is_none());

        // The machine slept: the steady clock stood still meanwhile.
        let wall = Arc::new(Mutex::new(std::time::UNIX_EPOCH));
        let clock = Clock::from_fn({
            let wall = Arc::clone(&wall);
            move || *wall.lock().unwrap()
        });
        governor.set_ceiling(Ceiling {
            since: Moment::now(&clock),
            clock,
            ..ceiling(3, 60)
        });
        assert_eq!(governor.snapshot().ceiling, 3);
        *wall.lock().unwrap() += Duration::from_secs(61);
        assert_eq!(governor.snapshot().ceiling, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_of_the_places_is_the_same_part_of_the_rate() {
        let governor = Governor::new(Limits {
            max_in_flight: 8,
            max_per_second: Some(4.0),
            max_retry_after: PATIENT,
        });
        governor.set_ceiling(ceiling(2, 60));
        let before = Instant::now();
        for _ in 0..5 {
            governor.admit().await.finish(Outcome::Good);
        }
        assert_eq!(before.elapsed(), Duration::from_secs(4));
    }
}
