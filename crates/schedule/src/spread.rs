//! `spread = "10m"`: not all jobs of all tenants at the same second.
//!
//! The delay is a share that a hash picks, and no die: all daemons agree on it, and a restart does
//! not move it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::Schedule;
use clock::time;

/// How far the starts of a job's slots are spread.
#[derive(Debug, Clone, Copy)]
pub struct Spread<'a> {
    /// The tenant's schema: two tenants with the same job files do not start together.
    pub schema: &'a str,
    /// The job.
    pub job: &'a str,
    /// The longest delay; nothing means that slots start at their time.
    pub longest: Duration,
}

impl Spread<'_> {
    /// When the run of a slot starts.
    ///
    /// Times of a crontab are each delayed by a share of their own. With `every` all slots share
    /// one, so that the runs stay as far apart as they should be. No slot waits until the next one
    /// comes: where the clocks change two may be nearer to each other than usual.
    pub fn start(&self, schedule: &Schedule, slot: DateTime<Utc>) -> DateTime<Utc> {
        if self.longest.is_zero() {
            return slot;
        }
        let (share, gap) = match schedule {
            Schedule::Cron(crontab) => {
                let gap = crontab
                    .next(slot)
                    .and_then(|next| next.signed_duration_since(slot).to_std().ok());
                (self.share(&slot.timestamp().to_be_bytes()), gap)
            }
            Schedule::Every(every) => (self.share(&[]), Some(every.period())),
        };
        let longest = gap.map_or(self.longest, |gap| gap.min(self.longest));
        // Whole seconds: nobody wants to read more of them.
        let seconds = (u128::from(longest.as_secs()) * u128::from(share)) >> u64::BITS;
        let delay = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        time::after(slot, time::signed(delay))
    }

    fn share(&self, slot: &[u8]) -> u64 {
        let mut hash = Sha256::new();
        for part in [self.schema.as_bytes(), self.job.as_bytes(), slot] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hash.finalize());
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Crontab, Every};

    const TEN_MINUTES: Duration = Duration::from_secs(600);

    fn spread<'a>(schema: &'a str, job: &'a str) -> Spread<'a> {
        Spread {
            schema,
            job,
            longest: TEN_MINUTES,
        }
    }

    fn delays(spread: Spread<'_>, schedule: &Schedule) -> Vec<i64> {
        let slots = schedule.slots(DateTime::UNIX_EPOCH).take(5);
        slots
            .map(|slot| (spread.start(schedule, slot) - slot).num_seconds())
            .collect()
    }

    #[test]
    fn delays_are_the_same_today_and_after_any_update() {
        let daily = Schedule::Cron(Crontab::parse("15 2 * * *", chrono_tz::Tz::UTC).unwrap());
        // A daemon of the next version has to agree with one of this.
        assert_eq!(
            delays(spread("zephr", "users"), &daily),
            [381, 522, 384, 519, 231]
        );
        assert_ne!(
            delays(spread("zephr", "users"), &daily),
            delays(spread("news", "users"), &daily)
        );
        assert_ne!(
            delays(spread("zephr", "users"), &daily),
            delays(spread("zephr", "accounts"), &daily)
        );
    }

    #[test]
    fn slots_of_every_all_wait_alike() {
        let every = Schedule::Every(Every::new(TEN_MINUTES).unwrap());
        let delays = delays(spread("zephr", "users"), &every);
        assert!(
            delays
                .iter()
                .all(|delay| *delay == delays[0] && (1..600).contains(delay))
        );
    }
}
