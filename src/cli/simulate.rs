//! `zephr-sync simulate`: a Zephr to try everything on, in the foreground until it is told to stop.

use std::net::SocketAddr;

use super::behaviour::BehaviourArgs;
use super::exit::{Exit, Failure};
use super::output::Output;
use lifecycle::Shutdown;
use simulator::{
    Behaviour, Business, Edits, Faults, Keys, MADE_UP_ACCESS_KEY, MADE_UP_SECRET_KEY, MOST_PEOPLE,
    Options, RetryAfter, Shape, Simulator,
};

/// Run a simulated Zephr tenant: of any size, with drift, faults and awkward data
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// People in the tenant
    #[arg(long, value_name = "N", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(0..=i64::from(MOST_PEOPLE)))]
    pub users: u32,
    /// What everything is generated from, the answers to the API's open questions included
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8090")]
    pub listen: SocketAddr,
    /// The access key let in
    #[arg(long, value_name = "KEY", default_value = MADE_UP_ACCESS_KEY)]
    pub access_key: String,
    /// The secret key let in (made up: never a real one)
    #[arg(long, value_name = "KEY", default_value = MADE_UP_SECRET_KEY)]
    pub secret_key: String,
    /// Faults and slowness
    #[command(flatten)]
    pub faults: FaultArgs,
    /// Answers to open questions
    #[command(flatten)]
    pub behaviour: BehaviourArgs,
    /// Edits while being read
    #[command(flatten)]
    pub drift: DriftArgs,
    /// Who the people are
    #[command(flatten)]
    pub shape: ShapeArgs,
    /// What there is besides people
    #[command(flatten)]
    pub business: BusinessArgs,
    /// How many seconds the simulator's clock is ahead of this machine's (negative: behind)
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    pub clock_skew: i64,
}

/// A share of something, from 0 to 100.
fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse::<f64>() {
        Ok(value) if (0.0..=100.0).contains(&value) => Ok(value),
        _ => Err("a number from 0 to 100 is needed".to_owned()),
    }
}

/// What goes wrong, in percent of requests.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Faults")]
pub struct FaultArgs {
    /// Every answer waits this long
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub latency: u64,
    /// And up to this much longer
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub jitter: u64,
    /// Share of requests answered with 429
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    pub fault_429: f64,
    /// Share of requests answered with a 5xx
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    pub fault_5xx: f64,
    /// Share of requests whose connection is reset
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    pub fault_reset: f64,
    /// Share of answers cut in their middle
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    pub fault_truncate: f64,
    /// Share of requests answered with 200 and a web page
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    pub fault_html: f64,
    /// Share of requests answered with 403 and Cloudflare's page
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    pub fault_403_html: f64,
    /// Share of answers whose JSON does not parse
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    pub fault_json: f64,
    /// Share of writing requests lost before they are carried out
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    pub fault_lost_before: f64,
    /// Share of writing requests carried out whose answer is lost
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    pub fault_lost_after: f64,
    /// The form of Retry-After
    #[arg(long, value_name = "FORM", value_enum, default_value_t = RetryAfter::Seconds)]
    pub retry_after: RetryAfter,
    /// What Retry-After says
    #[arg(long, value_name = "SECONDS", default_value_t = 1)]
    pub retry_after_secs: u64,
    /// More requests than this at one time get 429
    #[arg(long, value_name = "N")]
    pub max_in_flight: Option<usize>,
}

/// Edits made after each answer of the export.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Drift (after each answer of the export)")]
pub struct DriftArgs {
    /// People changed
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub drift_updates: u32,
    /// People who register
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub drift_creations: u32,
    /// People removed
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub drift_deletions: u32,
    /// Accounts changed (also after each page of accounts)
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub drift_accounts: u32,
    /// Accounts removed (also after each page of accounts)
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub drift_account_deletions: u32,
    /// People who enter or leave an account (also after each page of accounts)
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub drift_members: u32,
    /// People who enter or leave a segment (also after each page of accounts)
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub drift_segments: u32,
}

/// Who the people are.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "People")]
pub struct ShapeArgs {
    /// Share of people with awkward data
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    pub awkward: f64,
    /// List about one person in a hundred twice
    #[arg(long)]
    pub duplicates: bool,
    /// This many people registered within one second
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub same_second: u32,
    /// This many people have no registration date
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub undated: u32,
}

/// What there is besides people.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Accounts, segments, events")]
pub struct BusinessArgs {
    /// Accounts [default: 3, and one more per 500 users]
    #[arg(long, value_name = "N",
          value_parser = clap::value_parser!(u32).range(0..=i64::from(MOST_PEOPLE)))]
    pub accounts: Option<u32>,
    /// Members of an account on average
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub members: u32,
    /// Segments
    #[arg(long, value_name = "N", default_value_t = 6)]
    pub segments: u32,
    /// Events [default: 3 per user]
    #[arg(long, value_name = "N")]
    pub events: Option<u64>,
}

impl Args {
    /// What was typed, as the simulator wants it.
    pub fn options(self) -> Options {
        let Self {
            seed,
            faults,
            drift,
            shape,
            business,
            ..
        } = self;
        Options {
            listen: self.listen,
            keys: Keys {
                access: self.access_key,
                secret: self.secret_key,
            },
            shape: Shape {
                people: self.users,
                seed,
                awkward_percent: shape.awkward,
                duplicates: shape.duplicates,
                same_second: shape.same_second,
                undated: shape.undated,
                business: Business {
                    accounts: business.accounts,
                    members: business.members,
                    segments: business.segments,
                    events: business.events,
                },
            },
            behaviour: self.behaviour.resolve(seed),
            max_in_flight: faults.max_in_flight,
            faults: Faults {
                throttle: faults.fault_429,
                server_error: faults.fault_5xx,
                reset: faults.fault_reset,
                truncate: faults.fault_truncate,
                html: faults.fault_html,
                forbidden_html: faults.fault_403_html,
                invalid_json: faults.fault_json,
                lost_before: faults.fault_lost_before,
                lost_after: faults.fault_lost_after,
                retry_after: faults.retry_after,
                retry_after_secs: faults.retry_after_secs,
                latency_ms: faults.latency,
                jitter_ms: faults.jitter,
            },
            drift: Edits {
                updates: drift.drift_updates,
                creations: drift.drift_creations,
                deletions: drift.drift_deletions,
                account_changes: drift.drift_accounts,
                account_deletions: drift.drift_account_deletions,
                member_changes: drift.drift_members,
                segment_moves: drift.drift_segments,
            },
            clock_skew: self.clock_skew,
            ..Options::default()
        }
    }
}

/// Serves until SIGINT or SIGTERM, after saying on stdout how to reach it.
///
/// # Errors
/// The address is taken, or stdout cannot be written.
pub async fn run(args: Args, output: Output) -> Result<Exit, Failure> {
    let shutdown = Shutdown::on_signals()?;
    let simulator = Simulator::start(args.options()).await?;
    announce(&simulator, output)?;
    shutdown.requested().await;
    simulator.stop().await;
    Ok(Exit::Done)
}

/// How to reach a simulator.
#[derive(Debug, serde::Serialize)]
struct Reachable {
    base_url: String,
    access_key: String,
    secret_key: String,
    users: u32,
    behaviour: Behaviour,
}

fn announce(simulator: &Simulator, output: Output) -> std::io::Result<()> {
    let reachable = Reachable {
        base_url: simulator.base_url(),
        access_key: simulator.keys().access.clone(),
        secret_key: simulator.keys().secret.clone(),
        users: simulator.tenant().living(),
        behaviour: simulator.tenant().behaviour().clone(),
    };
    output.result(&reachable, |reachable| {
        format!(
            "ZEPHR_BASE_URL={}\nZEPHR_ACCESS_KEY={}\nZEPHR_SECRET_KEY={}\n",
            reachable.base_url, reachable.access_key, reachable.secret_key
        )
    })
}
