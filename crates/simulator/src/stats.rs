//! What the simulator saw, for tests that ask how a client behaved.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::faults::Fault;

/// The export requests kept; older ones are forgotten and counted.
const KEPT_EXPORTS: usize = 50_000;

/// One request for the export, with its parameters as sent (decoded).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ExportRequest {
    /// `since`.
    pub since: Option<String>,
    /// `registeredSince`.
    pub registered_since: Option<String>,
    /// `registeredBefore`.
    pub registered_before: Option<String>,
    /// `page`.
    pub page: Option<String>,
    /// `rpp`.
    pub rpp: Option<String>,
    /// The status answered; 0 when the connection was reset.
    pub status: u16,
    /// Whether the body was withheld, cut or damaged.
    pub damaged: bool,
    /// Items in the answer.
    pub users: u32,
}

/// The counts at one moment. Requests under `/_simulator/` are not in them.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Stats {
    /// All requests.
    pub requests: u64,
    /// Answers by status; a reset connection is in none.
    pub by_status: BTreeMap<u16, u64>,
    /// Requests by method and pattern of the path, as `GET /v3/accounts/{}/users`, whatever became
    /// of them.
    pub by_route: BTreeMap<String, u64>,
    /// Requests of any other method than GET that were carried out, whether or not their answer
    /// arrived.
    pub writes: u64,
    /// Bulk updates that were accepted.
    pub bulk_jobs: u64,
    /// Actions of bulk updates that were done.
    pub bulk_applied: u64,
    /// Bulk updates, accepted or not, whose body was not all ASCII.
    pub bulk_non_ascii: u64,
    /// Users whom one bulk update named twice, or deleted and changed.
    pub bulk_twice_in_job: u64,
    /// Faults by kind.
    pub faults: BTreeMap<Fault, u64>,
    /// Requests for the export, whatever became of them.
    pub export_requests: u64,
    /// Items sent in whole export answers.
    pub users_served: u64,
    /// Requests being answered now.
    pub in_flight: usize,
    /// The most requests answered at one time.
    pub peak_in_flight: usize,
    /// Requests refused for their signature.
    pub unauthorised: u64,
    /// Why they were refused.
    pub refusals: BTreeMap<String, u64>,
    /// The latest export requests in the order they were answered.
    pub exports: VecDeque<ExportRequest>,
    /// Export requests no longer in `exports`.
    pub exports_forgotten: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counter(Mutex<Stats>);

impl Counter {
    pub(super) fn lock(&self) -> MutexGuard<'_, Stats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request in; the guard counts it out.
    pub(super) fn enter(&self, route: Option<String>) -> InFlight<'_> {
        let mut stats = self.lock();
        stats.requests += 1;
        if let Some(route) = route {
            *stats.by_route.entry(route).or_default() += 1;
        }
        stats.in_flight += 1;
        stats.peak_in_flight = stats.peak_in_flight.max(stats.in_flight);
        InFlight {
            counter: self,
            present: stats.in_flight,
        }
    }
}

impl Stats {
    /// How many requests a route got, as `GET /v3/accounts/{}/users`.
    pub fn of_route(&self, route: &str) -> u64 {
        self.by_route.get(route).copied().unwrap_or_default()
    }

    pub(super) fn export(&mut self, request: ExportRequest) {
        self.export_requests += 1;
        if !request.damaged {
            self.users_served += u64::from(request.users);
        }
        if self.exports.len() == KEPT_EXPORTS {
            self.exports.pop_front();
            self.exports_forgotten += 1;
        }
        self.exports.push_back(request);
    }
}

/// One request being answered.
#[derive(Debug)]
pub(super) struct InFlight<'a> {
    counter: &'a Counter,
    /// How many there were, this one included.
    pub present: usize,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.counter.lock().in_flight -= 1;
    }
}
