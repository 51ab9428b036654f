//! `make bench`: how many requests a scan takes, and what several at once are worth where each answer takes a tenth of a second.
//!
//! Requests are set against pages, `ceil(users / rpp)`: what paging by number would take, and lose people by. Options: `--users N` (50,000), `--rounds N` (3).

// Of the shared support this uses only a part.
#![allow(dead_code, reason = "the other benchmark uses the rest")]

mod support;

use std::error::Error;
use std::time::Instant;

use sqlx::{Connection, PgConnection};
use support::{process, server};

/// Records per page; the API's own default.
const RPP: usize = 500;

const FULL: [&str; 4] = ["sync", "users", "--full", "--restart"];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let users = support::option("--users", 50_000);
    let rounds = support::option("--rounds", 3);
    let server = server::Server::start().await?;
    let simulator = process::Simulator::start(users, &["--latency", "100"]).await?;
    let pages = users.div_ceil(RPP);
    let mut first = Vec::new();
    let mut one = Vec::new();
    let mut eight = Vec::new();
    let mut requests = (0, 0);
    for round in 1..=rounds {
        eprintln!("round {round}");
        let database = server.database().await?;
        process::run(&simulator, &database.url, &["migrate"]).await?;
        first.push(seconds(&simulator, &database.url, "8").await?);
        requests.0 = last_requests(&database.url).await?;
        eight.push(seconds(&simulator, &database.url, "8").await?);
        requests.1 = last_requests(&database.url).await?;
        one.push(seconds(&simulator, &database.url, "1").await?);
        server.drop_database(database).await?;
    }
    simulator.stop().await?;
    server.stop().await?;
    let (first, one, eight) = (median(first), median(one), median(eight));
    println!("{users} users, {pages} pages, 100 ms per answer, medians of {rounds} rounds\n");
    println!(
        "{:<34}{:>10}{:>12}{:>10}",
        "", "seconds", "requests", "x pages"
    );
    for (name, seconds, requests) in [
        ("first load, 8 in flight", first, requests.0),
        ("nothing changed, 8 in flight", eight, requests.1),
        ("nothing changed, 1 in flight", one, requests.1),
    ] {
        let share = requests as f64 / pages as f64;
        println!("{name:<34}{seconds:>10.2}{requests:>12}{share:>10.2}");
    }
    println!(
        "\n8 in flight are worth {:.1} times 1 in flight",
        one / eight
    );
    Ok(())
}

async fn seconds(
    simulator: &process::Simulator,
    url: &str,
    in_flight: &str,
) -> Result<f64, Box<dyn Error>> {
    let started = Instant::now();
    let arguments = [&FULL[..], &["--max-in-flight", in_flight]].concat();
    process::run(simulator, url, &arguments).await?;
    Ok(started.elapsed().as_secs_f64())
}

async fn last_requests(url: &str) -> Result<i64, Box<dyn Error>> {
    let mut connection = PgConnection::connect(url).await?;
    let sql = "select requests from zephr_sync.runs order by started_at desc limit 1";
    let requests = sqlx::query_scalar(sql).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(requests)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
