//! A mirror of its own in the shared server, and what runs of the program into it cost.

use std::error::Error;
use std::time::Instant;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use super::process::{self, Simulator};
use super::server::{self, Database, Server, Way};

/// What one piece of work cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Measured {
    pub seconds: f64,
    /// CPU seconds of the program.
    pub cpu: f64,
    /// CPU seconds of all processes of the server.
    pub server_cpu: f64,
    pub wal_bytes: f64,
    pub peak_mib: f64,
    /// As the run's own record says; none of anything that is no run.
    pub requests: f64,
    pub rows_updated: i64,
}

/// An empty mirror, with a connection beside the program's own.
pub struct Mirror<'a> {
    simulator: &'a Simulator,
    database: Database,
    /// How the program reaches it.
    url: String,
    pub connection: PgConnection,
}

impl<'a> Mirror<'a> {
    pub async fn new(server: &Server, simulator: &'a Simulator) -> Result<Self, Box<dyn Error>> {
        Self::by(server, simulator, Way::Tls(server.port())).await
    }

    /// One that the program reaches this way.
    pub async fn by(
        server: &Server,
        simulator: &'a Simulator,
        way: Way,
    ) -> Result<Self, Box<dyn Error>> {
        let database = server.database().await?;
        let url = server.by(&database, way);
        process::run(simulator, &url, &["migrate"]).await?;
        let mut connection = server::connect(&database.url).await?;
        connection
            .execute("set search_path = zephr, zephr_sync")
            .await?;
        Ok(Self {
            simulator,
            database,
            url,
            connection,
        })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs the program, after a checkpoint.
    pub async fn run(&mut self, arguments: &[&str]) -> Result<Measured, Box<dyn Error>> {
        self.connection.execute("checkpoint").await?;
        self.run_on(arguments).await
    }

    /// Reads all users, after a checkpoint.
    pub async fn full(&mut self) -> Result<Measured, Box<dyn Error>> {
        self.run(&["sync", "users", "--full", "--restart"]).await
    }

    /// Reads all users in a settled mirror: vacuumed, and after a run like it, which has put into
    /// the log the whole pages that come with the first write after a checkpoint.
    pub async fn settled(&mut self) -> Result<Measured, Box<dyn Error>> {
        self.full().await?;
        self.connection.execute("vacuum analyze").await?;
        self.run_on(&["sync", "users", "--full", "--restart"]).await
    }

    async fn run_on(&mut self, arguments: &[&str]) -> Result<Measured, Box<dyn Error>> {
        let (simulator, url) = (self.simulator, self.url.clone());
        let mut peak = 0;
        let mut measured = measure(&mut self.connection, async |_| {
            peak = process::run(simulator, &url, arguments).await?;
            Ok(())
        })
        .await?;
        measured.peak_mib = peak as f64 / 1024.0;
        let last = "select requests, rows_updated from runs order by started_at desc limit 1";
        if let Some(row) = self.connection.fetch_optional(last).await? {
            measured.requests = row.get::<i64, _>(0) as f64;
            measured.rows_updated = row.get(1);
        }
        Ok(measured)
    }

    /// The one number that a query answers.
    pub async fn number(&mut self, query: &str) -> Result<f64, Box<dyn Error>> {
        let query = format!("select ({query})::float8");
        let query = AssertSqlSafe(query);
        Ok(self.connection.fetch_one(query).await?.get(0))
    }

    pub async fn drop(self, server: &Server) -> Result<(), Box<dyn Error>> {
        self.connection.close().await?;
        server.drop_database(self.database).await
    }
}

/// What work cost that goes on in the server, or in a child of this process that ends with the
/// work.
pub async fn measure(
    connection: &mut PgConnection,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<(), Box<dyn Error>>,
) -> Result<Measured, Box<dyn Error>> {
    let wal = wal(connection).await?;
    let server_cpu = server::cpu_seconds(connection).await?;
    let cpu = process::cpu_of_children()?;
    let began = Instant::now();
    work(connection).await?;
    let seconds = began.elapsed().as_secs_f64();
    Ok(Measured {
        seconds,
        cpu: process::cpu_of_children()? - cpu,
        server_cpu: server::cpu_seconds(connection).await? - server_cpu,
        wal_bytes: self::wal(connection).await? - wal,
        ..Measured::default()
    })
}

async fn wal(connection: &mut PgConnection) -> Result<f64, sqlx::Error> {
    let row = connection
        .fetch_one("select (pg_current_wal_insert_lsn() - '0/0')::float8")
        .await?;
    Ok(row.get(0))
}
