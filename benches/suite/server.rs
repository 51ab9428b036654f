//! The Postgres that everybody is measured in: durable, with the settings of the private cluster.

use std::error::Error;

use private_postgres::PrivateCluster;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use super::process::Stat;

pub struct Server {
    cluster: PrivateCluster,
    _directory: tempfile::TempDir,
}

pub struct Database {
    pub url: String,
    name: String,
}

impl Server {
    pub async fn start() -> Result<Self, Box<dyn Error>> {
        let directory = tempfile::tempdir()?;
        let cluster = PrivateCluster::start(directory.path()).await?;
        Ok(Self {
            cluster,
            _directory: directory,
        })
    }

    pub async fn database(&self) -> Result<Database, Box<dyn Error>> {
        let base = self.cluster.url();
        let name = format!("bench_{}", uuid::Uuid::new_v4().simple());
        self.execute(format!("create database {name}")).await?;
        let url = base.replacen("/zephr?", &format!("/{name}?"), 1);
        Ok(Database { url, name })
    }

    pub async fn drop_database(&self, database: Database) -> Result<(), Box<dyn Error>> {
        let name = database.name;
        self.execute(format!("drop database {name} with (force)"))
            .await
    }

    async fn execute(&self, statement: String) -> Result<(), Box<dyn Error>> {
        let mut connection = PgConnection::connect(&self.cluster.url()).await?;
        connection.execute(AssertSqlSafe(statement)).await?;
        Ok(connection.close().await?)
    }

    /// The version, and when it is now in UTC.
    pub async fn version_and_date(&self) -> Result<(String, String), Box<dyn Error>> {
        let mut connection = PgConnection::connect(&self.cluster.url()).await?;
        let row = connection
            .fetch_one("select current_setting('server_version'), to_char(now() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24-MI-SS\"Z\"')")
            .await?;
        connection.close().await?;
        Ok((row.get(0), row.get(1)))
    }

    pub async fn stop(self) -> Result<(), Box<dyn Error>> {
        Ok(self.cluster.remove().await?)
    }
}

/// CPU seconds of the server so far: of its first process, of the children that it has buried, and
/// of those that live.
pub async fn cpu_seconds(connection: &mut PgConnection) -> Result<f64, Box<dyn Error>> {
    let pid: i32 = connection
        .fetch_one("select pg_backend_pid()")
        .await?
        .get(0);
    let first = Stat::of(pid)?.parent;
    let mut seconds = Stat::of(first)?.with_buried_children();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let pid = name.to_str().and_then(|name| name.parse::<i32>().ok());
        // One that ends in this moment is missed; at worst a look too early.
        let stat = pid.and_then(|pid| Stat::of(pid).ok());
        if let Some(stat) = stat.filter(|stat| stat.parent == first) {
            seconds += stat.own;
        }
    }
    Ok(seconds)
}
