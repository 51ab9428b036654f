//! How long reading and writing a tenant's users takes, as far as two distances tell: to Postgres
//! and to the API.

use std::time::Duration;

use super::write::{BATCH, BATCH_WAITS, BATCH_WORKS, WRITERS, writers};
use clock::time;

/// Round trips to Postgres of a batch that is as it was: the question for the hashes of its windows.
/// Their commit is shared by up to 32 windows.
const UNCHANGED_WAITS: u32 = 1;

/// How long a batch that is as it was keeps a writer and Postgres at work: 500 of some 300,000 a
/// second for two writers, as was measured on two cores over a Unix socket.
const UNCHANGED_WORKS: Duration = Duration::from_micros(3_300);

/// Requests of a scan for each full page (docs/performance.md).
const REQUESTS_PER_PAGE: f64 = 1.3;

/// How far away both ends are.
#[derive(Debug, Clone, Copy)]
pub struct Distances {
    /// An answer of Postgres takes so long.
    pub postgres: Duration,
    /// An answer of the API takes so long.
    pub api: Duration,
    /// Requests that are in flight at once.
    pub in_flight: usize,
}

/// About how long runs take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecast {
    /// A first load.
    pub load: Duration,
    /// A full scan of what is there and did not change.
    pub unchanged: Duration,
}

impl Distances {
    /// For so many users.
    pub fn forecast(self, users: u64) -> Forecast {
        let batches = users.div_ceil(BATCH as u64) as f64;
        let reading = self.api.as_secs_f64() * REQUESTS_PER_PAGE / self.in_flight.max(1) as f64;
        let took = |works: Duration, waits: u32| {
            let alone = works.as_secs_f64() + self.postgres.as_secs_f64() * f64::from(waits);
            // Two keep the processors busy; those beyond only wait in the place of others.
            let work = works.as_secs_f64() / f64::from(WRITERS);
            let writing = (alone / f64::from(writers(self.postgres))).max(work);
            time::seconds(batches * writing.max(reading))
        };
        Forecast {
            load: took(BATCH_WORKS, BATCH_WAITS),
            unchanged: took(UNCHANGED_WORKS, UNCHANGED_WAITS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_slower_decides() {
        let forecast = |postgres, api| {
            let distances = Distances {
                postgres: Duration::from_micros(postgres),
                api: Duration::from_millis(api),
                in_flight: 8,
            };
            let Forecast { load, unchanged } = distances.forecast(1_000_000);
            [load, unchanged].map(|took| took.as_secs())
        };
        assert_eq!(forecast(0, 0), [26, 3], "Postgres's work");
        assert_eq!(forecast(5_000, 0), [26, 3], "more writers");
        assert_eq!(forecast(80_000, 0), [275, 27], "as many as there may be");
        assert_eq!(forecast(0, 200), [65, 65], "the API");
    }
}
