//! A Zephr to test against: a stateful tenant of any size behind the Admin API's read side, with
//! strict signatures, drift, faults and awkward data. Demo, tests and benchmarks start it; nothing
//! in the product depends on it.
//!
//! People are a function of seed and index ([`Shape`]), edits lie over them, and lists are sorted
//! arrays kept right under edits, so paging by number drifts as a database's would. Every open
//! question of the API contract is a field of [`Behaviour`]. Accounts, members, grants, segments
//! and events are made the same way; the short lists beside them are kept as they are. Bulk updates
//! become jobs that are carried out in their own time; [`Bulk`] says how they answer, and
//! [`Tenant::bulk_applied`] what they did to whom. The same port answers `/_simulator/truth` and
//! its lists, `truth/bulk`, `stats`, `behaviour`, `edit`, `drift`, `faults`, `schema`, `hide`,
//! `set`, `recreate` and `finish-jobs`.
//!
//! ```text
//! server ─► auth, faults ─► routes ─► export, users ─────────► tenant ─► ranking, person ─► population, edits
//!                                  ├► accounts, members, grants, segments, catalog, events ─► business
//!                                  └► user_updates ─► jobs ─► values, applied
//! ```

mod accounts;
mod answer;
mod applied;
mod attributes;
mod auth;
mod awkward;
mod behaviour;
mod bulk;
mod bulk_request;
mod business;
mod calendar;
mod catalog;
mod changes;
mod control;
mod edits;
mod event_export;
mod events;
mod export;
mod faults;
mod foreign_keys;
mod forms;
mod grants;
mod identity;
mod ids;
mod jobs;
mod json;
mod list;
mod lists;
mod members;
mod mix;
mod names;
mod one_person;
mod person;
mod population;
mod query;
mod random_edits;
mod ranking;
mod record;
mod routes;
mod schema;
mod segments;
mod server;
mod stats;
mod tenant;
#[cfg(test)]
mod tests;
mod troubles;
mod truth;
mod user_updates;
mod users;
mod values;
mod wire;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use applied::{Applied, Does, Outcome};
pub use auth::{CLOCK_TOLERANCE, Keys, MADE_UP_ACCESS_KEY, MADE_UP_SECRET_KEY};
pub use behaviour::{
    Behaviour, Boundary, Count, Envelope, ForeignKeys, Grants, Links, Lookup, Order, Since,
};
pub use bulk::{
    BadEntry, Bulk, Details, DetailsId, EmptyValue, JobDate, Readable, RowWords, StatusWords,
    Stored, UnknownSlug,
};
pub use business::Business;
pub use calendar::{EVENTS_SPAN, FIRST_REGISTRATION, LAST_EVENT, LAST_REGISTRATION};
pub use edits::{Edited, Edits};
pub use faults::{Fault, Faults, RetryAfter};
pub use forms::{AccountsOrder, EventsFormat, Nothing, Spelling, Wrapping};
pub use identity::{PLANTED, PLANTED_EMAILS, PLANTED_PHONES};
pub use list::{List, UnknownList};
pub use lists::PROFILE_APPS;
pub use population::{MOST_PEOPLE, Shape};
pub use stats::{ExportRequest, Stats};
pub use tenant::{Clock, Tenant};

/// How to run a simulator. The default is a small plain tenant without faults on a free port.
#[derive(Clone)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The key pair let in.
    pub keys: Keys,
    /// How many people, and which.
    pub shape: Shape,
    /// The answers to the contract's open questions.
    pub behaviour: Behaviour,
    /// What goes wrong.
    pub faults: Faults,
    /// Edits made after each answer of the export.
    pub drift: Edits,
    /// More requests at one time than this get 429.
    pub max_in_flight: Option<usize>,
    /// How far the simulator's clock is ahead of `clock`, in seconds.
    pub clock_skew: i64,
    /// Where it takes the time from.
    pub clock: Clock,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("listen", &self.listen)
            .field("shape", &self.shape)
            .field("behaviour", &self.behaviour)
            .finish_non_exhaustive()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            keys: Keys::made_up(),
            shape: Shape::default(),
            behaviour: Behaviour::plain(),
            faults: Faults {
                retry_after_secs: 1,
                ..Faults::default()
            },
            drift: Edits::NONE,
            max_in_flight: None,
            clock_skew: 0,
            clock: system_clock(),
        }
    }
}

/// The machine's own clock.
fn system_clock() -> Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the simulator is another machine, with a clock of its own; tests hand in theirs"
    )]
    Arc::new(SystemTime::now)
}

fn skewed(clock: Clock, seconds: i64) -> Clock {
    let by = Duration::from_secs(seconds.unsigned_abs());
    Arc::new(move || {
        let now = clock();
        let there = if seconds < 0 {
            now.checked_sub(by)
        } else {
            now.checked_add(by)
        };
        there.unwrap_or(now)
    })
}

/// Why a simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken or not ours.
    #[error("the simulator cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Generating the people was interrupted.
    #[error("the simulator's people could not be generated")]
    Generate,
}

/// A running simulator. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    keys: Keys,
    server: Arc<server::Server>,
    task: JoinHandle<()>,
}

impl Simulator {
    /// Generates the tenant, binds the address and begins to serve.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let Options {
            listen,
            keys,
            shape,
            behaviour,
            faults,
            drift,
            max_in_flight,
            ..
        } = options;
        let refused = |source| Error::Listen {
            address: listen,
            source,
        };
        let listener = TcpListener::bind(listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let clock = skewed(options.clock, options.clock_skew);
        let tenant_clock = Arc::clone(&clock);
        let tenant =
            tokio::task::spawn_blocking(move || Tenant::new(&shape, behaviour, tenant_clock))
                .await
                .map_err(|_| Error::Generate)?;
        let server = Arc::new(server::Server {
            tenant: Arc::new(tenant),
            stats: stats::Counter::default(),
            settings: Mutex::new(server::Settings {
                faults,
                drift,
                drawn: 0,
            }),
            gate: Mutex::new(auth::Gate::new(keys.clone())),
            clock: server::ServerClock(clock),
            max_in_flight,
        });
        let task = tokio::spawn(server::serve(listener, Arc::clone(&server)));
        Ok(Self {
            address,
            keys,
            server,
            task,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `ZEPHR_BASE_URL` should be, without a slash at the end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The key pair it lets in.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The people, to read the truth and to edit.
    pub fn tenant(&self) -> Arc<Tenant> {
        Arc::clone(&self.server.tenant)
    }

    /// What it has seen so far.
    pub fn stats(&self) -> Stats {
        self.server.stats()
    }

    /// The faults in force.
    pub fn faults(&self) -> Faults {
        self.server.settings().faults.clone()
    }

    /// Replaces the faults from the next request on.
    pub fn set_faults(&self, faults: Faults) {
        self.server.settings().faults = faults;
    }

    /// Replaces the edits made after each answer of the export.
    pub fn set_drift(&self, drift: Edits) {
        self.server.settings().drift = drift;
    }

    /// Stops serving, breaking off what is being answered, and gives the port back.
    pub async fn stop(mut self) {
        self.task.abort();
        // Cancelled is what was wanted; nothing else can come back.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.task.abort();
    }
}
