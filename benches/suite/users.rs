//! Users, simulator to Postgres, end to end, beside two yardsticks in the same server, with the
//! same rows, in the same run.
//!
//! Y is the least that any tool does: COPY into an unlogged stage, then one upsert, the document
//! stored once, one connection. Y′ is the same for what this product keeps: `users` with its
//! metadata and indexes, and `user_foreign_keys`. Both have their rows ready in memory; the product
//! fetches, checks and hashes them first.

use std::error::Error;

use sqlx::{Connection, Executor};

use super::line::{Better, Line, Target};
use super::mirror::{Measured, Mirror, measure};
use super::process::Simulator;
use super::rows::Rows;
use super::server::{self, Server};
use super::yardstick;

/// Records per page: the API's default, and the product's.
pub const RPP: usize = 500;

/// The most that any run may hold in memory, whatever the tenant's size.
pub const PEAK_MIB: Target = Target::Figure(40.0);

/// Tables with their indexes.
const TABLES: &str =
    "pg_total_relation_size('users') + pg_total_relation_size('user_foreign_keys')";

/// Who is measured in a round.
#[derive(Debug, Clone, Copy)]
enum Contestant {
    Y,
    YPrime,
    Product,
}

/// A value a round.
#[derive(Debug, Default)]
struct Rounds {
    y: Vec<Measured>,
    y_prime: Vec<Measured>,
    load: Vec<Measured>,
    unchanged: Vec<Measured>,
    incremental: Vec<Measured>,
    one_percent: Vec<Measured>,
    ten_percent: Vec<Measured>,
    /// Bytes after the load.
    tables: Vec<f64>,
    /// Changed before the incremental run.
    changed: usize,
}

pub async fn lines(
    server: &Server,
    users: usize,
    rounds: usize,
) -> Result<Vec<Line>, Box<dyn Error>> {
    let simulator = Simulator::start(users, &[]).await?;
    eprintln!("  fetching the rows of the yardsticks …");
    let rows = Rows::fetch(&simulator).await?;
    let mut all = Rounds::default();
    let mut order = [Contestant::Y, Contestant::YPrime, Contestant::Product];
    for round in 1..=rounds {
        for contestant in order {
            eprintln!("  round {round}: {contestant:?}");
            match contestant {
                Contestant::Y => all.y.push(y(server, &rows).await?),
                Contestant::YPrime => all.y_prime.push(y_prime(server, &simulator, &rows).await?),
                Contestant::Product => all.product(server, &simulator, users).await?,
            }
        }
        order.rotate_left(1);
    }
    simulator.stop().await?;
    Ok(all.lines(users, rows.count))
}

async fn y(server: &Server, rows: &Rows) -> Result<Measured, Box<dyn Error>> {
    let database = server.database().await?;
    let mut connection = server::connect(&database.url).await?;
    connection.execute(yardstick::Y_TABLES).await?;
    connection.execute("checkpoint").await?;
    let measured = measure(&mut connection, async |connection| {
        Ok(yardstick::y(connection, rows).await?)
    })
    .await?;
    connection.close().await?;
    server.drop_database(database).await?;
    Ok(measured)
}

async fn y_prime(
    server: &Server,
    simulator: &Simulator,
    rows: &Rows,
) -> Result<Measured, Box<dyn Error>> {
    let mut mirror = Mirror::new(server, simulator).await?;
    mirror.connection.execute(yardstick::Y_PRIME_STAGES).await?;
    mirror.connection.execute("checkpoint").await?;
    let measured = measure(&mut mirror.connection, async |connection| {
        Ok(yardstick::y_prime(connection, rows).await?)
    })
    .await?;
    mirror.drop(server).await?;
    Ok(measured)
}

impl Rounds {
    async fn product(
        &mut self,
        server: &Server,
        simulator: &Simulator,
        users: usize,
    ) -> Result<(), Box<dyn Error>> {
        let mut mirror = Mirror::new(server, simulator).await?;
        self.load.push(mirror.full().await?);
        self.tables.push(mirror.number(TABLES).await?);
        self.unchanged.push(mirror.settled().await?);
        self.changed = simulator.change(users / 100).await?;
        let incremental = mirror.run(&["sync", "users"]).await?;
        expect(incremental, self.changed)?;
        self.incremental.push(incremental);
        for (share, runs) in [(100, &mut self.one_percent), (10, &mut self.ten_percent)] {
            let changed = simulator.change(users / share).await?;
            let run = mirror.full().await?;
            expect(run, changed)?;
            runs.push(run);
        }
        mirror.drop(server).await
    }

    fn lines(self, users: usize, yardstick_rows: usize) -> Vec<Line> {
        let name = |what: &str| format!("users {users}: {what}");
        let rate = |run: &Measured| users as f64 / run.seconds;
        let yardstick_rate = |run: &Measured| yardstick_rows as f64 / run.seconds;
        let mut lines = Vec::new();
        for (what, runs, beside, yardstick, target) in [
            ("load", &self.load, "Y'", &self.y_prime, Some(1.0)),
            ("unchanged", &self.unchanged, "Y", &self.y, Some(5.0)),
            ("1 % changed", &self.one_percent, "Y", &self.y, Some(3.0)),
            ("10 % changed", &self.ten_percent, "Y", &self.y, None),
        ] {
            let rates = runs.iter().map(rate).collect();
            let ratios = runs.iter().zip(yardstick);
            let ratios = ratios.map(|(run, y)| rate(run) / yardstick_rate(y));
            let mut line = Line::timed(name(what), "users/s", Better::More, rates)
                .beside(beside, ratios.collect());
            line.target = target.map(Target::Ratio);
            lines.push(line);
            lines.extend(costs(&name(what), runs, users));
            let requests = Line::counted(
                name(&format!("{what}, requests")),
                "",
                runs.iter().map(|run| run.requests).collect(),
            );
            let pages = users.div_ceil(RPP) as f64;
            let ratios = runs.iter().map(|run| run.requests / pages).collect();
            lines.push(requests.beside("pages", ratios));
        }
        let changed = self.changed as f64;
        lines.push(Line::timed(
            name("incremental, 1 % changed"),
            "changes/s",
            Better::More,
            self.incremental
                .iter()
                .map(|run| changed / run.seconds)
                .collect(),
        ));
        let what = name("incremental, 1 % changed");
        lines.extend(costs(&what, &self.incremental, self.changed));
        let per_row = |bytes: &f64| bytes / users as f64;
        lines.push(Line::counted(
            name("tables and indexes after the load"),
            "B/user",
            self.tables.iter().map(per_row).collect(),
        ));
        let runs = [
            &self.load,
            &self.unchanged,
            &self.one_percent,
            &self.ten_percent,
        ];
        let peaks = runs.into_iter().flatten().map(|run| run.peak_mib);
        let most = peaks.fold(0.0, f64::max);
        lines.push(Line::counted(name("peak memory"), "MiB", vec![most]).wants(PEAK_MIB));
        for (what, runs) in [("Y", &self.y), ("Y'", &self.y_prime)] {
            let rates = runs.iter().map(yardstick_rate).collect();
            lines.push(Line::timed(name(what), "users/s", Better::More, rates));
            lines.extend(costs(&name(what), runs, yardstick_rows));
        }
        lines
    }
}

/// Whether a run updated whom it should have: a figure of another piece of work would be worse than
/// none.
pub fn expect(run: Measured, changed: usize) -> Result<(), Box<dyn Error>> {
    if run.rows_updated == changed as i64 {
        Ok(())
    } else {
        Err(format!("{} rows were updated and not {changed}", run.rows_updated).into())
    }
}

/// What a row costs in CPU and in the log of Postgres.
pub fn costs(name: &str, runs: &[Measured], rows: usize) -> Vec<Line> {
    let per_million = 1e6 / rows as f64;
    let line = |what, unit: &str, values: Vec<f64>| {
        Line::timed(format!("{name}, {what}"), unit, Better::Less, values)
    };
    let values = |of: fn(&Measured) -> f64| runs.iter().map(of);
    let mut lines = vec![line(
        "CPU of Postgres",
        "s/million",
        values(|run| run.server_cpu)
            .map(|seconds| seconds * per_million)
            .collect(),
    )];
    // Yardsticks run in the suite itself.
    if runs.iter().any(|run| run.cpu > 0.0) {
        lines.push(line(
            "CPU of zephr-sync",
            "s/million",
            values(|run| run.cpu)
                .map(|seconds| seconds * per_million)
                .collect(),
        ));
    }
    lines.push(Line::counted(
        format!("{name}, WAL"),
        "B/row",
        values(|run| run.wal_bytes)
            .map(|bytes| bytes / rows as f64)
            .collect(),
    ));
    lines
}
