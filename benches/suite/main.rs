//! `make bench`: what the program costs, each figure beside a yardstick measured in the same server
//! in the same run, or a stated target.
//!
//! Machines are noisy: only ratios within one run mean anything. A figure is the median of several
//! rounds, whose order turns; its ratio is the median of the ratios of the rounds.
//! docs/performance.md says how to run it and how to read it.

mod bare;
mod binary;
mod events;
mod forwarder;
mod latency;
mod line;
mod mirror;
mod network;
mod nights;
mod one_by_one;
mod plan;
mod process;
mod report;
mod rows;
mod server;
mod users;
mod yardstick;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use clap::{Parser, ValueEnum};
use line::Line;
use report::Report;
use server::Server;

/// What is measured, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// How soon the program is there, how large it is; of so many users
    Binary,
    /// 100 ms per answer; so many users
    Latency,
    /// Load, unchanged, 1 % and 10 % changed, incremental; so many users
    Users,
    /// The same over the Unix socket, TCP, TLS, and 1 and 5 ms of round trip; so many users
    Network,
    /// What a night without a change writes; so many users
    Night,
    /// What ten nights with 1 % changed leave; so many users
    Nights,
    /// So many accounts, their members and grants
    Accounts,
    /// The segments of so many users
    Segments,
    /// So many events
    Events,
    /// A plan of so many rows
    Plan,
}

impl Subject {
    fn usual_sizes(self) -> &'static [usize] {
        match self {
            Self::Binary => &[500],
            Self::Latency => &[50_000],
            Self::Users => &[100_000, 1_000_000],
            Self::Night => &[200_000],
            Self::Network | Self::Nights | Self::Plan => &[100_000],
            Self::Accounts | Self::Segments => &[5_000],
            Self::Events => &[1_000_000],
        }
    }

    async fn lines(
        self,
        server: &Server,
        size: usize,
        rounds: usize,
    ) -> Result<Vec<Line>, Box<dyn Error>> {
        match self {
            Self::Binary => binary::lines(server, size).await,
            Self::Latency => latency::lines(server, size, rounds).await,
            Self::Users => users::lines(server, size, rounds).await,
            Self::Network => network::lines(server, size, rounds).await,
            Self::Night => nights::unchanged(server, size).await,
            Self::Nights => nights::ten(server, size).await,
            Self::Accounts => one_by_one::accounts(server, size, rounds).await,
            Self::Segments => one_by_one::segments(server, size, rounds).await,
            Self::Events => events::lines(server, size, rounds).await,
            Self::Plan => plan::lines(server, size, rounds).await,
        }
    }
}

/// A subject, and the sizes it is measured at if not the usual ones.
#[derive(Debug, Clone)]
struct Wanted {
    subject: Subject,
    sizes: Option<Sizes>,
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, sizes) = match text.split_once('=') {
            None => (text, None),
            Some((name, sizes)) => (name, Some(sizes.parse()?)),
        };
        let subject = Subject::from_str(name, true).map_err(|_| {
            let all = Subject::value_variants().iter();
            let all =
                all.filter_map(|subject| Some(subject.to_possible_value()?.get_name().to_owned()));
            format!("the subjects are {}", all.collect::<Vec<_>>().join(", "))
        })?;
        Ok(Self { subject, sizes })
    }
}

/// `100000,1_000_000`
#[derive(Debug, Clone)]
struct Sizes(Vec<usize>);

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sizes = text.split(',').map(|size| {
            let size = size.trim().replace('_', "").parse().ok();
            size.filter(|size| *size >= 500)
                .ok_or_else(|| format!("`{text}` is not a list of numbers from 500 on"))
        });
        Ok(Self(sizes.collect::<Result<_, _>>()?))
    }
}

/// Measure the program beside the database alone
#[derive(Debug, Parser)]
#[command(bin_name = "cargo bench --bench suite --")]
struct Options {
    /// What to measure, all unless named: SUBJECT, or SUBJECT=SIZE,SIZE for other sizes than the
    /// usual ones
    #[arg(value_name = "SUBJECT[=SIZES]")]
    subjects: Vec<Wanted>,
    /// Sizes of `users` and `plan`, where they have none of their own: 100000,1000000
    #[arg(long, value_name = "SIZES")]
    sizes: Option<Sizes>,
    /// How often each is measured
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
    /// Where the lines are written as JSON [default: bench/DATE.json in cargo's target directory]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The JSON of a former run to compare with
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// End with 1 if a line misses its target
    #[arg(long)]
    strict: bool,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// Each subject with one of its sizes.
    fn steps(&self) -> Vec<(Subject, usize)> {
        let all = || {
            let all = Subject::value_variants().iter();
            all.map(|subject| Wanted {
                subject: *subject,
                sizes: None,
            })
            .collect()
        };
        let wanted = match self.subjects.as_slice() {
            [] => all(),
            some => some.to_vec(),
        };
        let sizes_of = |wanted: &Wanted| match (&wanted.sizes, &self.sizes, wanted.subject) {
            (Some(own), _, _) => own.0.clone(),
            (None, Some(given), Subject::Users | Subject::Plan) => given.0.clone(),
            (None, _, subject) => subject.usual_sizes().to_vec(),
        };
        let steps = wanted.iter().flat_map(|wanted| {
            let sizes = sizes_of(wanted).into_iter();
            sizes.map(|size| (wanted.subject, size))
        });
        steps.collect()
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let options = Options::parse();
    // A client without TLS asks for it all the same; that it is there already is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = Server::start().await?;
    let report = measure(&options, &server).await;
    // Whatever went wrong, no server stays behind.
    server.stop().await?;
    let report = report?;
    let misses = report.lines.iter();
    let misses = misses.filter(|line| line.reaches() == Some(false)).count();
    println!("\n{misses} of the targets are missed");
    Ok(if options.strict && misses > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Prints each line when it is known, and writes what there is after each subject.
async fn measure(options: &Options, server: &Server) -> Result<Report, Box<dyn Error>> {
    let former = options.against.as_deref().map(Report::read).transpose()?;
    let (postgres, date) = server.version_and_date().await?;
    let path = options.json.clone().unwrap_or_else(|| usual_path(&date));
    let mut report = Report {
        date,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cores: std::thread::available_parallelism()?.get(),
        postgres,
        rounds: options.rounds,
        lines: Vec::new(),
    };
    println!("{}", report::head());
    for (subject, size) in options.steps() {
        eprintln!("{subject:?}, {size}");
        let lines = subject.lines(server, size, options.rounds).await?;
        for line in &lines {
            println!("{}", report::row(line, former.as_ref()));
        }
        report.lines.extend(lines);
        report.write(&path)?;
    }
    eprintln!("written to {}", path.display());
    Ok(report)
}

fn usual_path(date: &str) -> PathBuf {
    // Cargo tells the directory for temporary files, which is in its target directory.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    let name = format!("bench/{date}.json");
    target.unwrap_or(Path::new("target")).join(name)
}
