//! The Postgres that everybody is measured in: durable, with the settings of the private cluster,
//! and reached over TCP with TLS, as most people reach theirs.

use std::error::Error;
use std::net::TcpListener;

use mirror::postgres::sockets;
use private_postgres::{Durability, PrivateCluster, Tcp};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use super::process::Stat;

pub struct Server {
    cluster: PrivateCluster,
    port: u16,
    password: String,
    _directory: tempfile::TempDir,
}

pub struct Database {
    /// Over TCP with TLS.
    pub url: String,
    name: String,
}

/// What is between the program and Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Socket,
    Tcp,
    /// TCP with TLS, to this port of this machine: Postgres's own, or that of a forwarder.
    Tls(u16),
}

/// Connects as the program does: sqlx leaves the options of its sockets as the system has them.
pub async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    let connection = PgConnection::connect(url).await?;
    sockets::send_at_once();
    Ok(connection)
}

/// A port that nobody listens at in this moment.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Server {
    pub async fn start() -> Result<Self, Box<dyn Error>> {
        let directory = tempfile::tempdir()?;
        let port = free_port()?;
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let tcp = Tcp {
            port,
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
        };
        let cluster = PrivateCluster::start_on_tcp(directory.path(), Durability::Safe, tcp).await?;
        let server = Self {
            cluster,
            port,
            password: uuid::Uuid::new_v4().simple().to_string(),
            _directory: directory,
        };
        let password = &server.password;
        let set = format!("alter role zephr password '{password}'");
        server.execute(set).await?;
        Ok(server)
    }

    /// Postgres's own port.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub async fn database(&self) -> Result<Database, Box<dyn Error>> {
        let name = format!("bench_{}", uuid::Uuid::new_v4().simple());
        self.execute(format!("create database {name}")).await?;
        let url = self.url(&name, Way::Tls(self.port));
        Ok(Database { url, name })
    }

    /// How the program reaches a database of this server.
    pub fn by(&self, database: &Database, way: Way) -> String {
        self.url(&database.name, way)
    }

    fn url(&self, name: &str, way: Way) -> String {
        let over_tcp = |port: u16, mode: &str| {
            let password = &self.password;
            format!("postgresql://zephr:{password}@127.0.0.1:{port}/{name}?sslmode={mode}")
        };
        match way {
            Way::Socket => {
                let base = self.cluster.url();
                base.replacen("/zephr?", &format!("/{name}?"), 1)
            }
            Way::Tcp => over_tcp(self.port, "disable"),
            // The certificate is nobody's, as with most servers that people rent.
            Way::Tls(port) => over_tcp(port, "require"),
        }
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
