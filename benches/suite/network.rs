//! The same work over what people have between the program and Postgres: a Unix socket, TCP, TCP
//! with TLS, and a millisecond and five of round trip. Each figure stands beside the socket's of
//! its round.

use std::error::Error;
use std::time::{Duration, Instant};

use sqlx::Executor;

use super::forwarder::Forwarder;
use super::line::{Better, Line, Target};
use super::mirror::Mirror;
use super::process::Simulator;
use super::server::{self, Server, Way};
use super::users::expect;

/// People who change before an incremental run.
const FEW: usize = 50;

/// Users that commit together where round trips are counted: a batch of a first load.
const BATCH: f64 = 500.0;

/// Questions of which the median is the round trip.
const PINGS: usize = 51;

/// A connection, and what is wanted of it as a share of the Unix socket's figures.
struct Between {
    name: &'static str,
    over: Over,
    /// Of load and unchanged.
    wanted: Option<f64>,
    /// Of the others.
    wanted_else: Option<f64>,
}

const BETWEEN: [Between; 5] = [
    Between {
        name: "socket",
        over: Over::Socket,
        wanted: None,
        wanted_else: None,
    },
    Between {
        name: "TCP",
        over: Over::Tcp,
        wanted: Some(0.9),
        wanted_else: Some(0.9),
    },
    Between {
        name: "TLS",
        over: Over::Tls,
        wanted: Some(0.9),
        wanted_else: Some(0.9),
    },
    Between {
        name: "TLS, 1 ms",
        over: Over::Far(Duration::from_millis(1)),
        wanted: Some(0.8),
        wanted_else: None,
    },
    Between {
        name: "TLS, 5 ms",
        over: Over::Far(Duration::from_millis(5)),
        wanted: Some(0.5),
        wanted_else: None,
    },
];

/// What lies between the program and Postgres.
#[derive(Debug, Clone, Copy)]
enum Over {
    Socket,
    Tcp,
    Tls,
    /// TLS, and a forwarder with this round trip.
    Far(Duration),
}

/// What a round over one connection showed: seconds, and what was counted.
#[derive(Debug, Clone, Copy)]
struct Round {
    /// Load, unchanged, 1 % changed, incremental, status.
    seconds: [f64; 5],
    round_trip: f64,
    /// Of the load and of the incremental run; none where nobody counts.
    round_trips: Option<(u64, u64)>,
    peak_mib: f64,
}

pub async fn lines(
    server: &Server,
    users: usize,
    rounds: usize,
) -> Result<Vec<Line>, Box<dyn Error>> {
    let simulator = Simulator::start(users, &[]).await?;
    let mut all: [Vec<Round>; 5] = Default::default();
    for round in 1..=rounds {
        // Each begins once in a while: what comes later finds a warmer machine.
        for at in (0..BETWEEN.len()).map(|at| (at + round) % BETWEEN.len()) {
            eprintln!("  round {round}: {}", BETWEEN[at].name);
            all[at].push(measure(server, &simulator, users, &BETWEEN[at]).await?);
        }
    }
    simulator.stop().await?;
    Ok(BETWEEN
        .iter()
        .zip(&all)
        .flat_map(|(between, of)| between.lines(users, of, &all[0]))
        .collect())
}

async fn measure(
    server: &Server,
    simulator: &Simulator,
    users: usize,
    between: &Between,
) -> Result<Round, Box<dyn Error>> {
    let (way, forwarder) = match between.over {
        Over::Socket => (Way::Socket, None),
        Over::Tcp => (Way::Tcp, None),
        Over::Tls => (Way::Tls(server.port()), None),
        Over::Far(round_trip) => {
            let forwarder = Forwarder::start(server.port(), round_trip)?;
            (Way::Tls(forwarder.port), Some(forwarder))
        }
    };
    let counted = || forwarder.as_ref().map(Forwarder::round_trips);
    let mut mirror = Mirror::by(server, simulator, way).await?;
    let round_trip = ping(mirror.url()).await?;
    let before = counted();
    let load = mirror.full().await?;
    let of_load = counted().zip(before).map(|(after, before)| after - before);
    let unchanged = mirror.settled().await?;
    let changed = simulator.change(users / 100).await?;
    let one_percent = mirror.full().await?;
    expect(one_percent, changed)?;
    let changed = simulator.change(FEW).await?;
    let before = counted();
    let incremental = mirror.run(&["sync", "users"]).await?;
    let of_incremental = counted().zip(before).map(|(after, before)| after - before);
    expect(incremental, changed)?;
    let status = mirror.run(&["status"]).await?;
    let peaks = [load, unchanged, one_percent, incremental].map(|run| run.peak_mib);
    mirror.drop(server).await?;
    Ok(Round {
        seconds: [load, unchanged, one_percent, incremental, status].map(|run| run.seconds),
        round_trip,
        round_trips: of_load.zip(of_incremental),
        peak_mib: peaks.into_iter().fold(0.0, f64::max),
    })
}

/// Seconds from a question to its answer.
async fn ping(url: &str) -> Result<f64, Box<dyn Error>> {
    let mut connection = server::connect(url).await?;
    let mut seconds = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let began = Instant::now();
        connection.execute("select 1").await?;
        seconds.push(began.elapsed().as_secs_f64());
    }
    Ok(super::line::median(seconds))
}

impl Between {
    fn lines(&self, users: usize, rounds: &[Round], by_socket: &[Round]) -> Vec<Line> {
        let name = |what: &str| format!("network {users}: {}: {what}", self.name);
        let counted = |what: &str, unit: &str, values: Vec<f64>| {
            (!values.is_empty()).then(|| Line::counted(name(what), unit, values))
        };
        let mut lines: Vec<Line> = (0..5)
            .map(|at| self.line(at, &name, users, rounds, by_socket))
            .collect();
        let milliseconds = rounds.iter().map(|round| round.round_trip * 1_000.0);
        lines.push(Line::timed(
            name("round trip"),
            "ms",
            Better::Less,
            milliseconds.collect(),
        ));
        let batches = users as f64 / BATCH;
        let of = |of: fn((u64, u64)) -> u64| {
            let all = rounds.iter().filter_map(|round| round.round_trips);
            all.map(move |both| of(both) as f64)
        };
        lines.extend(counted(
            "round trips of the load",
            "a batch of 500",
            of(|(load, _)| load).map(|all| all / batches).collect(),
        ));
        lines.extend(counted(
            "round trips of an incremental run",
            "",
            of(|(_, incremental)| incremental).collect(),
        ));
        let peaks = rounds.iter().map(|round| round.peak_mib);
        lines.extend(counted(
            "peak memory",
            "MiB",
            vec![peaks.fold(0.0, f64::max)],
        ));
        lines
    }

    fn line(
        &self,
        at: usize,
        name: &dyn Fn(&str) -> String,
        users: usize,
        rounds: &[Round],
        by_socket: &[Round],
    ) -> Line {
        let what = ["load", "unchanged", "1 % changed", "incremental", "status"][at];
        let seconds = rounds.iter().map(|round| round.seconds[at]);
        let beside = by_socket.iter().map(|round| round.seconds[at]);
        // A ratio says how much of the socket's speed is left, whatever the figure's unit.
        let ratios = seconds
            .clone()
            .zip(beside)
            .map(|(here, socket)| socket / here);
        let line = if at < 3 {
            let rates = seconds.map(|seconds| users as f64 / seconds);
            Line::timed(name(what), "users/s", Better::More, rates.collect())
        } else {
            Line::timed(name(what), "s", Better::Less, seconds.collect())
        };
        let mut line = line.beside("socket", ratios.collect());
        line.target = match at {
            0 | 1 => self.wanted,
            2 => self.wanted_else,
            // Seconds get better the other way round than their ratio.
            _ => None,
        }
        .map(Target::Ratio);
        line
    }
}
