//! What follows when a run for a slot has ended: nothing, another attempt, or none any more.

use std::time::Duration;

use chrono::{DateTime, Utc};

use clock::time;

/// How often a failed run is repeated, and after what time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Attempts after the first.
    pub count: u32,
    /// The wait before the second attempt; it doubles from then on.
    pub after: Duration,
}

/// Waits do not double beyond this: what lasts longer than an hour is not waited out by being
/// patient. A longer first wait stays as it is.
const LONGEST: Duration = Duration::from_secs(3_600);

impl Default for Retries {
    /// Five, ten and twenty minutes: what passes by itself mostly does so within the half hour, and
    /// the night is not over then.
    fn default() -> Self {
        Self {
            count: 3,
            after: Duration::from_secs(5 * 60),
        }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it was for.
    Succeeded,
    /// It did not, and the same thing may work later.
    Failed,
    /// It did not, and repeating cannot help: a person has to act. A brake that stopped a run is
    /// such an end.
    NeedsPerson,
    /// Its process was told to stop, or is gone.
    Interrupted,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The slot is settled, and well.
    Done,
    /// Another attempt, not before this time.
    Attempt {
        /// Its number, from 2.
        attempt: u32,
        /// When.
        at: DateTime<Utc>,
    },
    /// The slot is settled, and not well.
    GivenUp,
}

impl Retries {
    /// The wait after this attempt, the first being 1.
    pub fn wait(self, attempt: u32) -> Duration {
        let longest = LONGEST.max(self.after);
        let doublings = attempt.saturating_sub(1);
        2_u32
            .checked_pow(doublings)
            .and_then(|factor| self.after.checked_mul(factor))
            .map_or(longest, |wait| wait.min(longest))
    }

    /// What follows this attempt at a slot, if no later slot of the job has become due: that one is
    /// run instead, see [`super::Due`].
    ///
    /// An attempt that was interrupted goes on at once, since nothing is known to be wrong. It
    /// counts all the same, or a run that brings its process down would do so for ever.
    pub fn next(self, attempt: u32, outcome: Outcome, ended_at: DateTime<Utc>) -> Next {
        let wait = match outcome {
            Outcome::Succeeded => return Next::Done,
            Outcome::NeedsPerson => return Next::GivenUp,
            Outcome::Failed => self.wait(attempt),
            Outcome::Interrupted => Duration::ZERO,
        };
        if attempt > self.count {
            return Next::GivenUp;
        }
        Next::Attempt {
            attempt: attempt + 1,
            at: time::after(ended_at, time::signed(wait)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: DateTime<Utc> = DateTime::UNIX_EPOCH;

    #[test]
    fn waits_double_up_to_an_hour() {
        let minutes = |after: u64| {
            let retries = Retries {
                count: 9,
                after: Duration::from_secs(after * 60),
            };
            [1, 2, 3, 4, 5, 6, 7, u32::MAX].map(|attempt| retries.wait(attempt).as_secs() / 60)
        };
        assert_eq!(minutes(5), [5, 10, 20, 40, 60, 60, 60, 60]);
        assert_eq!(minutes(90), [90; 8]);
        assert_eq!(minutes(0)[..7], [0; 7]);
    }

    #[test]
    fn three_retries_are_four_attempts() {
        let retries = Retries::default();
        let mut attempt = 1;
        let mut waits = Vec::new();
        while let Next::Attempt { attempt: next, at } = retries.next(attempt, Outcome::Failed, AT) {
            assert_eq!(next, attempt + 1);
            attempt = next;
            waits.push((at - AT).num_minutes());
        }
        assert_eq!((attempt, waits), (4, vec![5, 10, 20]));
        let none = Retries {
            count: 0,
            ..retries
        };
        assert_eq!(none.next(1, Outcome::Failed, AT), Next::GivenUp);
    }

    #[test]
    fn only_what_may_work_later_is_repeated() {
        let retries = Retries::default();
        assert_eq!(retries.next(1, Outcome::Succeeded, AT), Next::Done);
        assert_eq!(retries.next(1, Outcome::NeedsPerson, AT), Next::GivenUp);
        assert_eq!(
            retries.next(1, Outcome::Interrupted, AT),
            Next::Attempt { attempt: 2, at: AT }
        );
        assert_eq!(retries.next(4, Outcome::Interrupted, AT), Next::GivenUp);
    }
}
