//! When jobs run: pure functions of job files, what ran before, and a time that is handed in.
//! Nothing here sleeps, asks a clock or knows a database.
//!
//! ```text
//! crontab or every ──► slots ──► due (spread, missed) ──► gate (after) ──► run ──► retry
//! ```
//!
//! A *slot* is a time of the schedule, `scheduled_at` in the runs. All daemons reckon the same
//! slots from the same job files, so that the one that stores a slot's run first has it and the
//! others see that it is taken. Words: a slot is *settled* when no attempt at it will follow.

// On times the operators panic where a type ends: `clock::time` has what does not.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod crontab;
mod due;
mod every;
mod gate;
pub mod order;
mod retry;
mod settings;
mod spread;

use std::time::Duration;

use chrono::{DateTime, Utc};

pub use crontab::Crontab;
pub use due::{Due, History, Missed, Passed, Slot, Timetable};
pub use every::Every;
pub use gate::{Gate, SlotRun, Standing, Upstream, follow, wait_for};
pub use retry::{Next, Outcome, Retries};
pub use settings::{Settings, Timing, duration};
pub use spread::Spread;

/// When a job is due. Its `Display` names everything that its slots follow from, so that two that
/// read alike are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// By the clock of a place.
    Cron(Crontab),
    /// Again and again after so much time.
    Every(Every),
}

impl Schedule {
    /// The first slot after this time; none when there is none in the years that calendars reach.
    pub fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron(crontab) => crontab.next(after),
            Self::Every(every) => every.next(after),
        }
    }

    /// The slots after the one time, in their order.
    pub fn slots(&self, after: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> + '_ {
        std::iter::successors(self.next(after), |slot| self.next(*slot))
    }

    /// The latest slot that is after the one time and not after the other.
    ///
    /// Looks back in growing steps, so that a schedule of minutes and a year without a daemon cost
    /// little.
    pub fn latest(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut back = chrono::TimeDelta::hours(1);
        loop {
            let from = until
                .checked_sub_signed(back)
                .map_or(after, |from| from.max(after));
            if let Some(latest) = self.slots(from).take_while(|slot| *slot <= until).last() {
                return Some(latest);
            }
            if from <= after {
                return None;
            }
            back = back.checked_mul(2).unwrap_or(chrono::TimeDelta::MAX);
        }
    }

    /// The shortest time between two slots, as far as the first ones since 1970 tell.
    pub fn shortest_gap(&self) -> Option<Duration> {
        match self {
            Self::Every(every) => Some(every.period()),
            Self::Cron(_) => self.gaps().min(),
        }
    }

    /// The longest time between two slots, likewise: the night or the weekend that a schedule
    /// leaves out.
    pub fn longest_gap(&self) -> Option<Duration> {
        match self {
            Self::Every(every) => Some(every.period()),
            Self::Cron(_) => self.gaps().max(),
        }
    }

    fn gaps(&self) -> impl Iterator<Item = Duration> {
        // From a fixed day, so that the same job files always give the same answer.
        let slots: Vec<_> = self
            .slots(DateTime::UNIX_EPOCH)
            .take(SLOTS_LOOKED_AT)
            .collect();
        let pairs: Vec<_> = slots
            .windows(2)
            .filter_map(|pair| pair[1].signed_duration_since(pair[0]).to_std().ok())
            .collect();
        pairs.into_iter()
    }
}

/// Slots that are looked at to find the shortest and the longest time between two: five years of a
/// daily job.
const SLOTS_LOOKED_AT: usize = 2_000;

impl std::fmt::Display for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cron(crontab) => crontab.fmt(f),
            Self::Every(every) => every.fmt(f),
        }
    }
}

#[cfg(test)]
mod daylight_saving;
#[cfg(test)]
mod properties;
