//! The Postgres that everybody is measured in: durable, with the settings of the private cluster.

use std::error::Error;
use std::path::PathBuf;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use zephr_sync::postgres::private::PrivateCluster;

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
        let mut connection = PgConnection::connect(&base).await?;
        connection
            .execute(AssertSqlSafe(format!("create database {name}")))
            .await?;
        connection.close().await?;
        let url = base.replacen("/zephr?", &format!("/{name}?"), 1);
        Ok(Database { url, name })
    }

    pub async fn drop_database(&self, database: Database) -> Result<(), Box<dyn Error>> {
        let mut connection = PgConnection::connect(&self.cluster.url()).await?;
        connection
            .execute(AssertSqlSafe(format!(
                "drop database {} with (force)",
                database.name
            )))
            .await?;
        Ok(connection.close().await?)
    }

    pub async fn stop(self) -> Result<(), Box<dyn Error>> {
        let home: PathBuf = self.cluster.home().to_owned();
        self.cluster.stop().await?;
        Ok(std::fs::remove_dir_all(home)?)
    }
}
