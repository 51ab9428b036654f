//! `zephr-sync daemon`: run jobs by schedule and show that on a page, until it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::exit::{Exit, Failure};
use super::opened::{self, Opened};
use super::operator::whose;
use super::tenant::client;
use crate::activity::Live;
use crate::bulk::inbox::{self, Inbox};
use crate::bulk::push;
use crate::config::{Loaded, Settings};
use crate::daemon::{self, Company, Lapse, Tenant, Unfit, Work};
use crate::job;
use crate::notify::{Outbox, Pace, Sender};
use crate::systemd::Supervisor;
use crate::web;
use clock::Clock;
use lifecycle::Shutdown;
use telemetry::field;
use zephr::updates::Writer;
use zephr::{Client, Reader};

/// How long a drained daemon waits for answers of its page that are under way.
const PATIENCE: Duration = Duration::from_secs(5);

/// Options of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address of the page, health and metrics; other than this machine's own it needs a token
    /// [env: ZEPHR_SYNC_LISTEN] [default: 127.0.0.1:8087]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Let the time of schedules go so many times as fast, to rehearse a day of them
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000), hide = true)]
    times: u32,
}

/// Runs the command.
///
/// # Errors
/// Settings of any tenant, an address that is taken, a private cluster that does not start. A
/// Postgres that is away is waited for.
pub async fn run(loaded: &Loaded, args: &Args) -> Result<Exit, Failure> {
    let page = loaded.any().web.clone().checked(args.listen.as_deref())?;
    let listen = page.listen;
    let page = web::listen(page).await.map_err(|error| {
        Failure::new(
            format!("cannot listen on {listen}: {error}"),
            "Another daemon may be there. Choose another address with --listen; port 0 takes a free one.",
        )
    })?;
    let shutdown = Shutdown::on_signals()?;
    let sender = Sender::new(Clock::system(), Pace::default()).map_err(|_| {
        Failure::new(
            "the HTTP client for notifications cannot be set up",
            "Check the proxy variables and the system's certificates.",
        )
    })?;
    let mut desks = Vec::new();
    for settings in loaded.all() {
        desks.push(Desk::open(settings, &shutdown).await?);
    }
    let shown = desks.iter().map(Desk::shown).collect();
    tracing::info!({ field::ADDRESS } = %format!("http://{}/", page.address()), "listening; the page is there");
    let page = page.serve(shown, Clock::system());
    let company = match desks.as_slice() {
        [_] => Company::Alone,
        _ => Company::WithOthers,
    };
    let keeping = desks
        .iter()
        .map(|desk| {
            daemon::keep(
                desk.tenant(&sender, &shutdown),
                desk.inbox(),
                company,
                Lapse::times(args.times),
            )
        })
        .collect();
    let lives: Vec<&Live> = desks.iter().map(|desk| &*desk.live).collect();
    let kept = kept(keeping, &lives, &shutdown).await;
    page.stop(PATIENCE).await;
    for desk in desks {
        desk.mirror.close().await?;
    }
    kept?;
    Ok(Exit::Done)
}

/// Waits until all tenants are left, and tells whoever started us how we are.
async fn kept(
    mut keeping: FuturesUnordered<impl Future<Output = Result<(), Unfit>>>,
    lives: &[&Live],
    shutdown: &Shutdown,
) -> Result<(), Unfit> {
    let supervisor = Supervisor::of_this_process();
    supervisor.ready();
    let told_to_stop = async {
        shutdown.requested().await;
        supervisor.stopping();
        std::future::pending::<()>().await;
    };
    let beating = async {
        while let Some(heartbeat) = supervisor.heartbeat() {
            if lives.iter().all(|live| live.is_well()) {
                supervisor.alive();
            }
            tokio::time::sleep(heartbeat).await;
        }
        std::future::pending::<()>().await;
    };
    let all_left = async {
        while let Some(left) = keeping.next().await {
            left?;
        }
        Ok(())
    };
    tokio::select! {
        () = told_to_stop => Ok(()),
        () = beating => Ok(()),
        left = all_left => left,
    }
}

/// What a tenant is kept with.
struct Desk<'a> {
    settings: &'a Settings,
    jobs: Vec<job::Job>,
    inbox_jobs: Vec<inbox::job::Job>,
    /// One for all, and so one governor.
    client: Client,
    mirror: Opened,
    live: Arc<Live>,
}

impl<'a> Desk<'a> {
    async fn open(settings: &'a Settings, shutdown: &Shutdown) -> Result<Self, Failure> {
        let jobs = job::all(&settings.jobs_dir)?;
        settings.inbox_is_there()?;
        Ok(Self {
            settings,
            jobs: jobs.into_iter().filter(|job| job.enabled).collect(),
            inbox_jobs: inbox::job::all(&settings.jobs_dir)?,
            client: client(settings, settings.api()?)?.until(shutdown.clone()),
            mirror: opened::open(settings).await?,
            live: Arc::default(),
        })
    }

    fn shown(&self) -> web::Tenant {
        let settings = self.settings;
        web::Tenant {
            name: settings.name.clone(),
            database: self.mirror.database.clone(),
            jobs: self.jobs.clone(),
            live: Arc::clone(&self.live),
            planner: web::Planner {
                reader: self.reader(),
                choices: settings.privacy.clone(),
                hash_key: settings.hash_key.clone(),
                wire: settings.bulk.values,
                operator: whose(),
            },
        }
    }

    fn reader(&self) -> Reader {
        Reader::new(self.client.clone(), self.settings.ignored.clone())
    }

    fn inbox(&self) -> Inbox {
        let settings = self.settings;
        Inbox {
            place: settings.inbox.clone(),
            jobs: self.inbox_jobs.clone(),
            database: self.mirror.database.clone(),
            reader: Reader::new(self.client.clone(), Vec::new()),
            choices: settings.privacy.clone(),
            hash_key: settings.hash_key.clone(),
            wire: settings.bulk.values,
        }
    }

    fn tenant(&self, sender: &Sender, shutdown: &Shutdown) -> Tenant {
        let settings = self.settings;
        Tenant {
            name: settings.name.clone(),
            jobs: self.jobs.clone(),
            work: Work {
                database: self.mirror.database.clone(),
                reader: self.reader(),
                choices: settings.privacy.clone(),
                hash_key: settings.hash_key.clone(),
                shutdown: shutdown.clone(),
                rpp: settings.rpp,
                max_in_flight: settings.limits.max_in_flight,
                brakes: settings.brakes,
                bookkeeping_retention: settings.bookkeeping_retention,
            },
            pushing: push::Environment {
                database: self.mirror.database.clone(),
                // All of a user is compared.
                reader: Reader::new(self.client.clone(), Vec::new()),
                writer: Writer::new(self.client.clone()),
                clock: Clock::system(),
                settings: settings.bulk,
                rpp: settings.rpp,
                max_in_flight: settings.limits.max_in_flight,
                max_delete_fraction: settings.brakes.max_delete_fraction,
                // Each push is carried through in the name of who ordered it.
                operator: String::new(),
                progress: Arc::default(),
                shutdown: shutdown.clone(),
            },
            live: Arc::clone(&self.live),
            outbox: Outbox::open(sender, settings.receivers.clone()),
            hook: settings.hook.clone(),
        }
    }
}
