//! `make bench`: ten million events from the simulator into `user_events`, beside COPY of the same rows into the same Postgres, in one run.
//!
//! Options: `--events N` (10,000,000).

// Of the shared support this uses only a part.
#![allow(dead_code, reason = "the other benchmarks use the rest")]

mod support;

use std::error::Error;
use std::time::Instant;

use sqlx::{Connection, Executor, PgConnection, Row};
use support::{process, server};

/// What COPY gets: the rows of the table as it holds them, into one like it.
const COPY_OUT: &str = "create unlogged table copied (like user_events including all)";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let events = support::option("--events", 10_000_000);
    let server = server::Server::start().await?;
    let simulator = process::Simulator::start(1_000, &["--events", &events.to_string()]).await?;
    let url = server.database().await?.url;
    let began = Instant::now();
    let peak = process::run(&simulator, &url, &["sync", "events"]).await?;
    let loading = began.elapsed().as_secs_f64();

    let mut connection = PgConnection::connect(&url).await?;
    connection
        .execute("set search_path = zephr, zephr_sync")
        .await?;
    let loaded: i64 = connection
        .fetch_one("select count(*) from user_events")
        .await?
        .get(0);
    connection.execute(COPY_OUT).await?;
    let began = Instant::now();
    connection
        .execute("insert into copied select * from user_events")
        .await?;
    let copying = began.elapsed().as_secs_f64();
    simulator.stop().await?;
    server.stop().await?;
    println!(
        "{loaded} events in {loading:.0} s ({:.0} a second), {:.2} x as long as inserting them from one table into another like it; peak memory {:.1} MiB",
        loaded as f64 / loading,
        loading / copying,
        peak as f64 / 1024.0
    );
    Ok(())
}
