//! The present time, and arithmetic on times.
//!
//! The one place that reads the machine's clock: everything else takes a [`Clock`], so that a test
//! can hold time still. [`time`] adds and subtracts without a panic where a type ends. It knows
//! nothing else of ours.

// On times the operators panic where a type ends: `clock::time` has what does not.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod time;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// A source of the present time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// The machine's own clock.
    pub fn system() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the place every other module takes the time from"
        )]
        Self(Arc::new(SystemTime::now))
    }

    /// A clock that says what the function says.
    pub fn from_fn(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The present time.
    pub fn now(&self) -> SystemTime {
        (self.0)()
    }

    /// Milliseconds since the Unix epoch, as the request signature wants them.
    pub fn unix_millis(&self) -> u128 {
        self.now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO)
            .as_millis()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

/// A moment, by a clock that cannot be set and by one that goes on while the machine sleeps.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    steady: Instant,
    wall: SystemTime,
}

impl Moment {
    /// This moment.
    pub fn now(clock: &Clock) -> Self {
        Self {
            steady: Instant::now(),
            wall: clock.now(),
        }
    }

    /// Whether less than this has passed since, by both clocks.
    pub fn is_within(self, time: Duration, clock: &Clock) -> bool {
        let slept = clock.now().duration_since(self.wall).unwrap_or_default();
        self.steady.elapsed() < time && slept < time
    }
}
