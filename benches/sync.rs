//! `make bench`: simulator to Postgres, end to end, beside two yardsticks in the same server, with the same rows, in the same run.
//!
//! Y is the least that any tool does: COPY into an unlogged stage, then one upsert, the document stored once, one connection. Y′ is the same for what this
//! product keeps: `users` with its metadata and indexes, and `user_foreign_keys`. Both have their rows ready in memory; the product fetches, checks and
//! hashes them first. Machines are noisy: only ratios within one run mean anything, and each figure is the median of several rounds, whose order turns.
//!
//! Options: `--users N` (200,000), `--rounds N` (3).

mod support;

use std::error::Error;
use std::time::Instant;

use sqlx::{Connection, Executor, PgConnection};
use support::report::{Figures, Report};
use support::rows::Rows;
use support::{process, server, yardstick};

/// What one run is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contestant {
    Y,
    YPrime,
    Product,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let users = support::option("--users", 200_000);
    let rounds = support::option("--rounds", 3);
    let server = server::Server::start().await?;
    let simulator = process::Simulator::start(users, &[]).await?;
    eprintln!("fetching {users} users for the yardsticks …");
    let rows = Rows::fetch(&simulator).await?;

    let mut report = Report::new(rows.len(), rounds);
    let mut order = [Contestant::Y, Contestant::YPrime, Contestant::Product];
    for round in 1..=rounds {
        for contestant in order {
            eprintln!("round {round}: {contestant:?}");
            match contestant {
                Contestant::Y => report.y.push(measure_y(&server, &rows).await?),
                Contestant::YPrime => report
                    .y_prime
                    .push(measure_y_prime(&server, &simulator, &rows).await?),
                Contestant::Product => {
                    let (load, unchanged) =
                        measure_product(&server, &simulator, rows.len()).await?;
                    report.load.push(load);
                    report.unchanged.push(unchanged);
                }
            }
        }
        order.rotate_left(1);
    }
    simulator.stop().await?;
    server.stop().await?;
    print!("{report}");
    Ok(())
}

async fn measure_y(server: &server::Server, rows: &Rows) -> Result<Figures, Box<dyn Error>> {
    let database = server.database().await?;
    let mut connection = PgConnection::connect(&database.url).await?;
    connection.execute(yardstick::Y_TABLES).await?;
    let figures = timed(&mut connection, rows.len(), async |connection| {
        yardstick::y(connection, rows).await
    })
    .await;
    connection.close().await?;
    server.drop_database(database).await?;
    figures
}

async fn measure_y_prime(
    server: &server::Server,
    simulator: &process::Simulator,
    rows: &Rows,
) -> Result<Figures, Box<dyn Error>> {
    let database = server.database().await?;
    process::run(simulator, &database.url, &["migrate"]).await?;
    let mut connection = PgConnection::connect(&database.url).await?;
    connection
        .execute("set search_path = zephr, zephr_sync")
        .await?;
    connection.execute(yardstick::Y_PRIME_STAGES).await?;
    let figures = timed(&mut connection, rows.len(), async |connection| {
        yardstick::y_prime(connection, rows).await
    })
    .await;
    connection.close().await?;
    server.drop_database(database).await?;
    figures
}

async fn measure_product(
    server: &server::Server,
    simulator: &process::Simulator,
    rows: usize,
) -> Result<(Figures, Figures), Box<dyn Error>> {
    let database = server.database().await?;
    process::run(simulator, &database.url, &["migrate"]).await?;
    let mut connection = PgConnection::connect(&database.url).await?;
    connection.execute("checkpoint").await?;
    let load = sync(&mut connection, simulator, &database.url, rows).await?;
    connection.execute("vacuum analyze").await?;
    connection.execute("checkpoint").await?;
    // The first commit after a checkpoint writes whole pages; a small run takes that out of the unchanged one.
    process::run(simulator, &database.url, &["sync", "users", "--limit", "1"]).await?;
    let unchanged = sync(&mut connection, simulator, &database.url, rows).await?;
    connection.close().await?;
    server.drop_database(database).await?;
    Ok((load, unchanged))
}

async fn sync(
    connection: &mut PgConnection,
    simulator: &process::Simulator,
    url: &str,
    rows: usize,
) -> Result<Figures, Box<dyn Error>> {
    let before = wal(connection).await?;
    let started = Instant::now();
    let peak = process::run(simulator, url, &["sync", "users", "--full", "--restart"]).await?;
    let seconds = started.elapsed().as_secs_f64();
    let written = wal(connection).await? - before;
    Ok(Figures {
        rows,
        seconds,
        wal_bytes: written,
        peak_kib: Some(peak),
    })
}

async fn timed(
    connection: &mut PgConnection,
    rows: usize,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<(), sqlx::Error>,
) -> Result<Figures, Box<dyn Error>> {
    connection.execute("checkpoint").await?;
    let before = wal(connection).await?;
    let started = Instant::now();
    work(connection).await?;
    let seconds = started.elapsed().as_secs_f64();
    Ok(Figures {
        rows,
        seconds,
        wal_bytes: wal(connection).await? - before,
        peak_kib: None,
    })
}

async fn wal(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("select (pg_current_wal_insert_lsn() - '0/0')::bigint")
        .fetch_one(connection)
        .await
}
