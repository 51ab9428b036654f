//! What a scan takes where each answer takes a tenth of a second: the round trips of an API far
//! away.

use std::error::Error;

use super::line::{Better, Line, Target};
use super::mirror::Mirror;
use super::process::Simulator;
use super::server::Server;
use super::users::RPP;

const SECONDS_PER_ANSWER: f64 = 0.1;

/// The tenant that the targets are for.
const USERS: usize = 50_000;

const FULL: [&str; 5] = ["sync", "users", "--full", "--restart", "--max-in-flight"];

pub async fn lines(
    server: &Server,
    users: usize,
    rounds: usize,
) -> Result<Vec<Line>, Box<dyn Error>> {
    let simulator = Simulator::start(users, &["--latency", "100"]).await?;
    let (mut first, mut unchanged, mut one) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        eprintln!("  round {round}");
        let mut mirror = Mirror::new(server, &simulator).await?;
        let eight = [&FULL[..], &["8"]].concat();
        first.push(mirror.run(&eight).await?.seconds);
        unchanged.push(mirror.run(&eight).await?.seconds);
        let alone = [&FULL[..], &["1"]].concat();
        one.push(mirror.run(&alone).await?.seconds);
        mirror.drop(server).await?;
    }
    simulator.stop().await?;
    let plain = users.div_ceil(RPP) as f64 * SECONDS_PER_ANSWER;
    let line = |what: &str, seconds: Vec<f64>, in_flight: f64| {
        let ratios = seconds.iter().map(|seconds| seconds * in_flight / plain);
        let ratios = ratios.collect();
        Line::timed(
            format!("latency {users}: {what}"),
            "s",
            Better::Less,
            seconds,
        )
        .beside("its pages", ratios)
    };
    let mut first = line("first load, 8 in flight", first, 8.0);
    let mut unchanged = line("unchanged, 8 in flight", unchanged, 8.0);
    if users == USERS {
        first.target = Some(Target::Figure(3.0));
        unchanged.target = Some(Target::Figure(2.0));
    }
    Ok(vec![
        first,
        unchanged,
        line("unchanged, 1 in flight", one, 1.0),
    ])
}
