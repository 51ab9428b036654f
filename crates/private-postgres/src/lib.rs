//! A Postgres of our own, for those who have given none: system binaries, a data directory, a Unix
//! socket that only its owner can reach.
//!
//! It is there while somebody uses it. Every user holds a shared file lock, which the kernel takes
//! back even from a process that was killed; the last one to leave stops the server. A server whose
//! users were all killed keeps running until the next user adopts it.

mod binaries;
mod error;
mod home;
mod locks;
mod owner;
mod server;
#[cfg(test)]
mod tests;

use std::path::Path;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

use binaries::Binaries;
pub use error::PrivateError;
use home::Home;
use locks::{Departure, Use};
use owner::Owner;
use server::{Haste, Server};

/// The database in the cluster that is the mirror's.
const DATABASE: &str = "zephr";

/// The cluster's superuser, and the role we connect as. It needs no password: the socket directory
/// is the lock on the door.
const ROLE: &str = "zephr";

/// The socket's number; any will do, since the directory holds one socket only.
const PORT: u16 = 5432;

/// What the cluster's data has to survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A crash of the machine. For everything that anybody wants to keep, and for benchmarks that
    /// are to mean something.
    Safe,
    /// Nothing: a crash of the machine may leave a cluster that does not start. For clusters that
    /// live as long as a test run.
    None,
}

/// What a server needs that listens on TCP too, at a port of 127.0.0.1, and has TLS for whoever asks
/// for it: for tests and benchmarks that reach it as operators reach theirs.
#[derive(Debug, Clone)]
pub struct Tcp {
    /// The port. The socket goes by it as well.
    pub port: u16,
    /// The certificate, PEM.
    pub certificate: String,
    /// Its key, PEM.
    pub key: String,
}

/// Whether a private cluster was ever made for a data directory; nothing is made or started to find
/// out.
pub fn exists(data_dir: &Path) -> bool {
    home::exists(data_dir)
}

/// A running private cluster this process uses; the last user to leave stops it.
///
/// Dropping it without [`stop`](Self::stop) gives the lock back but leaves the server running, as a
/// kill would.
#[derive(Debug)]
#[must_use = "the server keeps running unless `stop` is called"]
pub struct PrivateCluster {
    server: Server,
    membership: Use,
}

impl PrivateCluster {
    /// Joins the cluster that belongs to `data_dir`: makes it when there is none, starts it when it
    /// is not running, and makes the database if absent.
    ///
    /// # Errors
    /// No usable Postgres is installed, the data is of another version, or Postgres refuses; each
    /// message says what to do.
    pub async fn start(data_dir: &Path) -> Result<Self, PrivateError> {
        Self::start_with(data_dir, Durability::Safe).await
    }

    /// As [`start`](Self::start), saying what the data has to survive. A server that is already
    /// running keeps what it was started with.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_with(data_dir: &Path, durability: Durability) -> Result<Self, PrivateError> {
        Self::start_at(data_dir, durability, None).await
    }

    /// As [`start_with`](Self::start_with), where the server is to be reached over TCP too. Roles
    /// that come that way need a password.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_on_tcp(
        data_dir: &Path,
        durability: Durability,
        tcp: Tcp,
    ) -> Result<Self, PrivateError> {
        Self::start_at(data_dir, durability, Some(tcp)).await
    }

    async fn start_at(
        data_dir: &Path,
        durability: Durability,
        tcp: Option<Tcp>,
    ) -> Result<Self, PrivateError> {
        let owner = Owner::for_this_process().await?;
        let home = Home::prepare(data_dir, owner)?;
        let phase = locks::phase(&home).await?;
        let membership = Use::join(&home)?;
        let binaries = Binaries::find(home.version()?, &home, owner).await?;
        let server = Server::new(home, binaries, durability, tcp);
        server.ensure_initialised().await?;
        server.ensure_running(&membership).await?;
        let cluster = Self { server, membership };
        cluster.ensure_database().await?;
        drop(phase);
        Ok(cluster)
    }

    /// How to connect, over the Unix socket.
    pub fn connect_options(&self) -> PgConnectOptions {
        self.server.options(DATABASE)
    }

    /// Where it is, for psql, for messages and for whoever wants to connect to another database
    /// there.
    pub fn url(&self) -> String {
        let socket = self.server.home().socket_dir().display().to_string();
        let socket =
            percent_encoding::utf8_percent_encode(&socket, percent_encoding::NON_ALPHANUMERIC);
        // With a name of a host, since sqlx wants one; the parameter wins, for psql too.
        let port = match self.server.port() {
            PORT => String::new(),
            other => format!(":{other}"),
        };
        format!("postgresql://{ROLE}@localhost{port}/{DATABASE}?host={socket}")
    }

    /// The directory that holds the cluster, its locks and its log.
    pub fn home(&self) -> &Path {
        self.server.home().directory()
    }

    /// Leaves the cluster, and stops the server if nobody else uses it.
    ///
    /// # Errors
    /// Postgres does not stop; the message quotes its log.
    pub async fn stop(self) -> Result<(), PrivateError> {
        let _phase = locks::phase(self.server.home()).await?;
        match self.membership.leave()? {
            Departure::OthersRemain => Ok(()),
            Departure::Last(_alone) => self.server.ensure_stopped(Haste::Orderly).await,
        }
    }

    /// Leaves the cluster, and deletes it with everything in it if nobody else uses it. For
    /// clusters that live as long as a test run.
    ///
    /// # Errors
    /// Postgres does not stop, or the files cannot be removed.
    pub async fn remove(self) -> Result<(), PrivateError> {
        let _phase = locks::phase(self.server.home()).await?;
        match self.membership.leave()? {
            Departure::OthersRemain => Ok(()),
            Departure::Last(_alone) => {
                self.server.ensure_stopped(Haste::Abrupt).await?;
                self.server.home().remove()
            }
        }
    }

    async fn ensure_database(&self) -> Result<(), PrivateError> {
        let connect = |source| PrivateError::Connect {
            place: self.server.home().socket_dir().to_owned(),
            data: self.server.home().data(),
            source,
        };
        let mut connection = PgConnection::connect_with(&self.server.options("postgres"))
            .await
            .map_err(connect)?;
        let exists: bool =
            sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
                .bind(DATABASE)
                .fetch_one(&mut connection)
                .await
                .map_err(connect)?;
        if !exists {
            sqlx::query("create database zephr")
                .execute(&mut connection)
                .await
                .map_err(connect)?;
        }
        connection.close().await.map_err(connect)
    }
}
