//! The daemon's page: what runs, what ran, what waits, and pushes from a file to the way back; an
//! API for all of it, health and metrics.
//!
//! ```text
//! request ─► whose host, who asks, from where (guard) ─► handler ─► Postgres, read; what changes anything is written there and taken by a daemon
//! ```
//!
//! Nothing in here knows how a daemon works. What all daemons know comes from Postgres, so each
//! daemon's page shows all of them; what this process alone knows comes from [`Live`]. It answers
//! while Postgres is away, and says so.

pub mod answer;
mod api;
mod guard;
mod health;
mod metrics;
mod page;
mod serve;
pub mod settings;
mod standing;
mod token;
mod uploads;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Connection, PgPool, Postgres};
use tokio::net::TcpListener;
use tokio::sync::OnceCell;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::activity::Live;
use crate::bulk;
use crate::bulk::plan::Environment as Planning;
use crate::bulk::progress::Progress;
use crate::bulk::settings::Wire;
use crate::identity;
use crate::job::Job;
use crate::sync;
use ::privacy::{Choices, HashKey};
use answer::Problem;
pub use api::describe;
use clock::Clock;
use mirror::postgres::connect::Database;
use mirror::state::privacy::{self, Access, KeyError};
pub use settings::Settings;
use token::Gate;
use uploads::Uploads;
use zephr::Reader;

/// Sessions that the page has in Postgres at most, for each tenant.
const SESSIONS: u32 = 4;

/// How long a request waits for Postgres: shorter than anybody who asks for health waits for the
/// answer (`deploy/healthcheck`).
const POSTGRES: Duration = Duration::from_secs(3);

/// A tenant that the page is about.
#[derive(Debug)]
pub struct Tenant {
    /// Its name in paths.
    pub name: String,
    /// Its mirror.
    pub database: Database,
    /// The jobs that are enabled.
    pub jobs: Vec<Job>,
    /// What this process does for it.
    pub live: Arc<Live>,
    /// What files are planned with. It cannot write to the tenant.
    pub planner: Planner,
}

/// What files are planned with.
#[derive(Debug)]
pub struct Planner {
    /// Asks the tenant for its schema. Its governor is the one of all that this process does for
    /// the tenant.
    pub reader: Reader,
    /// What the mirror keeps.
    pub choices: Choices,
    /// The key of the hashes, where it is given.
    pub hash_key: Option<HashKey>,
    /// How values go out.
    pub wire: Wire,
    /// Who plans, for whoever asks later.
    pub operator: String,
}

impl Planner {
    async fn environment(
        &self,
        database: &Database,
        progress: Arc<Progress>,
    ) -> Result<Planning, Problem> {
        let mut connection = database.connect().await?;
        let (choices, given) = (&self.choices, self.hash_key.as_ref());
        let policy = privacy::policy(&mut connection, choices, given, Access::ReadOnly).await;
        let policy = policy.map_err(|error| match error {
            KeyError::Database(error) => Problem::from(error),
            other @ (KeyError::Differs { .. } | KeyError::NotGiven) => {
                Problem::conflict(other.to_string(), other.remedy())
            }
        })?;
        Ok(Planning {
            database: database.clone(),
            reader: self.reader.clone(),
            policy,
            wire: self.wire,
            operator: self.operator.clone(),
            progress,
        })
    }
}

/// What all requests share.
#[derive(Debug)]
struct Page {
    seats: Vec<Seat>,
    gate: Gate,
    settings: Settings,
    uploads: Uploads,
    /// When the page came: a loop that has not turned yet is not older than that.
    came: Instant,
}

/// A tenant with its sessions.
#[derive(Debug)]
struct Seat {
    tenant: Tenant,
    /// Made with the first question.
    pool: OnceCell<PgPool>,
}

impl Page {
    fn seat(&self, name: &str) -> Result<&Seat, Problem> {
        let seat = self.seats.iter().find(|seat| seat.tenant.name == name);
        seat.ok_or_else(|| {
            Problem::missing(
                format!("there is no tenant {name}"),
                "/api/tenants lists those that are kept here.",
            )
        })
    }
}

impl Seat {
    async fn pool(&self) -> Result<&PgPool, sqlx::Error> {
        let database = &self.tenant.database;
        let made = self.pool.get_or_try_init(async || {
            // Tells what stands before Postgres, which the pool goes by.
            database.connect().await?.close().await?;
            Ok(database.pool(SESSIONS))
        });
        made.await
    }

    /// A session, within a time that people wait; none in a mirror that is another tenant's.
    async fn session(&self) -> Result<PoolConnection<Postgres>, Problem> {
        let acquired = async {
            let mut session = self.pool().await?.acquire().await?;
            let base = self.tenant.planner.reader.base();
            identity::check_address(&mut session, base).await?;
            Ok::<_, sync::Error>(session)
        };
        match tokio::time::timeout(POSTGRES, acquired).await {
            Ok(Ok(session)) => Ok(session),
            Ok(Err(error @ sync::Error::Tenant(_))) => {
                Err(Problem::conflict(error.chain(), error.remedy()))
            }
            Ok(Err(error)) => Err(Problem::away(error.chain(), error.remedy())),
            Err(_) => Err(sqlx::Error::PoolTimedOut.into()),
        }
    }
}

/// The page, being served.
#[derive(Debug)]
pub struct Serving {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// An address that is ours, and that nobody answers at yet.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    settings: Settings,
}

/// Takes the address.
///
/// # Errors
/// It cannot be listened on.
pub async fn listen(settings: Settings) -> std::io::Result<Listening> {
    let listener = TcpListener::bind(settings.listen).await?;
    let settings = Settings {
        listen: listener.local_addr()?,
        ..settings
    };
    Ok(Listening { listener, settings })
}

impl Listening {
    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.settings.listen
    }

    /// Serves the page of these tenants until it is stopped.
    pub fn serve(self, tenants: Vec<Tenant>, clock: Clock) -> Serving {
        let seats = tenants.into_iter().map(|tenant| Seat {
            pool: OnceCell::const_new(),
            tenant,
        });
        let page = Arc::new(Page {
            seats: seats.collect(),
            gate: Gate::new(self.settings.token.clone(), clock),
            uploads: Uploads::default(),
            came: Instant::now(),
            settings: self.settings,
        });
        tokio::task::spawn_blocking(uploads::sweep);
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(serve::serve(self.listener, api::router(page), stopped));
        Serving { stop, task }
    }
}

impl Serving {
    /// Takes no more requests, and gives those under way so long to end.
    pub async fn stop(mut self, patience: Duration) {
        let _ = self.stop.send(true);
        if tokio::time::timeout(patience, &mut self.task)
            .await
            .is_err()
        {
            self.task.abort();
        }
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        let error = sync::Error::from(error);
        Self::away(error.chain(), error.remedy())
    }
}

impl From<bulk::Error> for Problem {
    fn from(error: bulk::Error) -> Self {
        let text = error.chain();
        let remedy = error.remedy();
        match error {
            bulk::Error::Mirror(sync::Error::Tenant(_)) => Self::conflict(text, remedy),
            bulk::Error::Mirror(_) => Self::away(text, remedy),
            bulk::Error::NoPlan(_) => Self::missing(text, "The list of plans shows the latest."),
            bulk::Error::NotApplied(_) => Self::conflict(text, "Apply it first."),
            bulk::Error::NotFinished(_) => Self::conflict(
                text,
                "Wait for it to finish, or apply it again to carry on.",
            ),
            bulk::Error::NothingToUndo(_) => {
                Self::conflict(text, "The results tell what became of each row.")
            }
            bulk::Error::Header { .. } => Self::unusable(
                text,
                "Rename the columns to slugs of attributes, or name them as columns to ignore.",
            ),
            bulk::Error::EmptyMirror => {
                Self::conflict(text, "Run the jobs schema and users first.")
            }
            bulk::Error::File(_) => Self::unusable(text, "Correct the file, and upload it again."),
            bulk::Error::NotKept(_) => Self::unusable(text, remedy),
            bulk::Error::DeletesNotAllowed(_) => {
                Self::conflict(text, "Deleting cannot be undone. If it is meant, allow it.")
            }
            bulk::Error::FileChanged(_) | bulk::Error::Brake { .. } | bulk::Error::NoSchema => {
                Self::conflict(text, remedy)
            }
            bulk::Error::Api(_) | bulk::Error::RefusesAll(_) => Self::behind(text, remedy),
            bulk::Error::Broken(_) => Self::broken(text, remedy),
        }
    }
}
