//! Events from the simulator into `user_events`, beside inserting the same rows from one table into
//! another like it.

use std::error::Error;

use sqlx::Executor;

use super::line::{Better, Line};
use super::mirror::{Mirror, measure};
use super::process::Simulator;
use super::server::Server;
use super::users::{PEAK_MIB, costs};

/// What they are about.
const PEOPLE: usize = 1_000;

/// The partitions with their indexes.
const PARTITIONS: &str =
    "select sum(pg_total_relation_size(relid)) from pg_partition_tree('user_events')";

pub async fn lines(
    server: &Server,
    events: usize,
    rounds: usize,
) -> Result<Vec<Line>, Box<dyn Error>> {
    let simulator = Simulator::start(PEOPLE, &["--events", &events.to_string()]).await?;
    let (mut loads, mut copies, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        eprintln!("  round {round}");
        let mut mirror = Mirror::new(server, &simulator).await?;
        loads.push(mirror.run(&["sync", "events"]).await?);
        let loaded = mirror.number("select count(*) from user_events").await?;
        if loaded != events as f64 {
            return Err(format!("{loaded} events were loaded and not {events}").into());
        }
        bytes.push(mirror.number(PARTITIONS).await? / events as f64);
        let connection = &mut mirror.connection;
        connection
            .execute("create unlogged table copied (like user_events including all); checkpoint")
            .await?;
        let copy = measure(connection, async |connection| {
            let copy = "insert into copied select * from user_events";
            connection.execute(copy).await?;
            Ok(())
        });
        copies.push(copy.await?);
        mirror.drop(server).await?;
    }
    simulator.stop().await?;
    let name = |what: &str| format!("events {events}: {what}");
    let rates = loads.iter().map(|load| events as f64 / load.seconds);
    let ratios = loads.iter().zip(&copies);
    let ratios = ratios.map(|(load, copy)| copy.seconds / load.seconds);
    let load = Line::timed(name("load"), "events/s", Better::More, rates.collect());
    let mut lines = vec![load.beside("insert", ratios.collect())];
    lines.extend(costs(&name("load"), &loads, events));
    let requests = loads.iter().map(|load| load.requests).collect();
    lines.push(Line::counted(name("load, requests"), "", requests));
    lines.push(Line::counted(name("tables and indexes"), "B/event", bytes));
    let peak = loads.iter().map(|load| load.peak_mib).fold(0.0, f64::max);
    lines.push(Line::counted(name("peak memory"), "MiB", vec![peak]).wants(PEAK_MIB));
    Ok(lines)
}
