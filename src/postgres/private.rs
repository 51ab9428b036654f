//! The private cluster, for runs with nothing configured: made and started when needed, stopped by its last user, left healthy by a crash.
//!
//! Postgres refuses to run as root, so for root the cluster lives under `/var/lib/zephr-sync` and belongs to another user. It listens on a Unix socket only,
//! in a directory that nobody else may enter.

mod binaries;
mod lock;

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Executor};
use tokio::process::Command;

use binaries::Binaries;
use lock::Lock;

/// Role and database of the cluster.
const NAME: &str = "zephr";

/// The port only names the socket file.
const PORT: u16 = 5432;

/// Where clusters of root live.
const ROOT_HOME: &str = "/var/lib/zephr-sync";

/// A socket address holds 107 bytes, of which the file's own name takes 15 and a lock file's 5 more.
const LONGEST_SOCKET_DIRECTORY: usize = 80;

/// A start that takes longer has failed; recovery after a crash of a large mirror takes a while.
const START_SECONDS: &str = "120";

/// Children of a server that was killed keep its memory for a moment, and a start fails until they are gone.
const START_TRIES: u32 = 10;
const START_PAUSE: Duration = Duration::from_millis(500);

/// Lines of the server's log that an error shows.
const LOG_LINES: usize = 5;

/// Whether a crash of the machine may lose what was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It may not.
    Safe,
    /// It may: for tests, whose clusters are thrown away.
    None,
}

/// A running private cluster this process uses; the last user to leave stops it.
#[derive(Debug)]
pub struct PrivateCluster {
    place: Place,
    binaries: Binaries,
    user: Lock,
}

/// Why the cluster is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// No server programs.
    #[error(
        "no Postgres 14 or newer is installed. Install its server (Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server; Alpine: apk add postgresql; macOS: brew install postgresql), or set DATABASE_URL to a server you have"
    )]
    NotInstalled,
    /// The cluster was made by a version that is not installed.
    #[error(
        "the private Postgres was made by version {cluster}, and version {installed} is installed. Install version {cluster} again, or upgrade the cluster with pg_upgrade, or choose another data directory to begin afresh: the next sync reads everything again"
    )]
    OtherVersion {
        /// The cluster's major version.
        cluster: u32,
        /// The newest installed one.
        installed: u32,
    },
    /// A directory or file.
    #[error("{} cannot be used", .path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A directory that somebody else could look into.
    #[error("{} belongs to somebody else or is open to others; remove it or choose another data directory", .0.display())]
    Unsafe(PathBuf),
    /// No user to run Postgres as.
    #[error("Postgres refuses to run as root, and there is neither a user postgres nor a user nobody to run it as")]
    NoUser,
    /// A lock file.
    #[error("the lock of the private Postgres cannot be had")]
    Lock(#[source] io::Error),
    /// A program that cannot be run.
    #[error("{program} cannot be run")]
    Program {
        /// Which.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A program that failed.
    #[error("{program} failed: {output}")]
    Failed {
        /// Which.
        program: String,
        /// What it said, and the end of the server's log.
        output: String,
    },
    /// The new server does not answer.
    #[error("the private Postgres started and does not answer")]
    Unreachable(#[source] sqlx::Error),
}

impl PrivateCluster {
    /// Uses the cluster of a data directory, which is made and started where it is not.
    ///
    /// # Errors
    /// See [`PrivateError`].
    pub async fn start(data_dir: &Path) -> Result<Self, PrivateError> {
        Self::start_with(data_dir, Durability::Safe).await
    }

    /// As [`Self::start`], with a choice of durability.
    ///
    /// # Errors
    /// See [`PrivateError`].
    pub async fn start_with(data_dir: &Path, durability: Durability) -> Result<Self, PrivateError> {
        let place = Place::of(data_dir).await?;
        let _phase = Lock::phase(&place.home).await?;
        let user = Lock::user(&place.home)?;
        let binaries = Binaries::find(place.version()).await?;
        if place.version().is_none() {
            place.make(&binaries).await?;
        }
        if !place.is_running(&binaries).await? {
            place.configure(durability)?;
            place.launch(&binaries).await?;
        }
        place.create_database().await.map_err(PrivateError::Unreachable)?;
        Ok(Self { place, binaries, user })
    }

    /// How to connect.
    pub fn connect_options(&self) -> PgConnectOptions {
        self.place.connect_options(NAME)
    }

    /// The same as a URL, for psql and messages.
    pub fn url(&self) -> String {
        let socket = percent_encoding::utf8_percent_encode(
            &self.place.socket.to_string_lossy(),
            percent_encoding::NON_ALPHANUMERIC,
        )
        .to_string();
        // With a host, since sqlx wants one; the parameter wins, for psql too.
        format!("postgresql://{NAME}@localhost/{NAME}?host={socket}")
    }

    /// The directory of the cluster, its locks and its log.
    pub fn home(&self) -> &Path {
        &self.place.home
    }

    /// Leaves the cluster, and stops it when nobody else uses it.
    ///
    /// # Errors
    /// The server does not stop.
    pub async fn stop(self) -> Result<(), PrivateError> {
        let _phase = Lock::phase(&self.place.home).await?;
        if self.user.is_last() && self.place.is_running(&self.binaries).await? {
            self.place.pg_ctl(&self.binaries, &["stop", "-w", "-m", "fast"]).await?;
        }
        Ok(())
    }
}

/// Where a cluster lives and whose it is.
#[derive(Debug)]
struct Place {
    /// Locks, log and cluster.
    home: PathBuf,
    socket: PathBuf,
    owner: Option<Owner>,
}

/// The user a cluster of root runs as.
#[derive(Debug, Clone, Copy)]
struct Owner {
    uid: u32,
    gid: u32,
}

impl Place {
    async fn of(data_dir: &Path) -> Result<Self, PrivateError> {
        let unusable = |source| PrivateError::Directory { path: data_dir.to_owned(), source };
        std::fs::create_dir_all(data_dir).map_err(unusable)?;
        let data_dir = std::fs::canonicalize(data_dir).map_err(unusable)?;
        let short = hex::encode(&Sha256::digest(data_dir.as_os_str().as_encoded_bytes())[..6]);
        let uid = rustix::process::geteuid();
        let owner = if uid.is_root() { Some(Owner::find().await?) } else { None };
        let home = match owner {
            Some(_) => Path::new(ROOT_HOME).join(&short),
            None => data_dir.join("postgres"),
        };
        let mut socket = home.join("socket");
        if socket.as_os_str().len() > LONGEST_SOCKET_DIRECTORY {
            socket = std::env::temp_dir().join(format!("zephr-sync-{}-{short}", uid.as_raw()));
        }
        let place = Self { home, socket, owner };
        place.own_directory(&place.home)?;
        place.own_directory(&place.socket)?;
        Ok(place)
    }

    /// A directory for the cluster's user alone. One that is there must be so already: somebody else may have laid it out for us.
    fn own_directory(&self, path: &Path) -> Result<(), PrivateError> {
        let unusable = |source| PrivateError::Directory { path: path.to_owned(), source };
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(unusable)?;
        }
        match std::fs::create_dir(path) {
            Ok(()) => {
                std::fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(unusable)?;
                if let Some(owner) = self.owner {
                    chown(path, Some(owner.uid), Some(owner.gid)).map_err(unusable)?;
                }
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let found = std::fs::symlink_metadata(path).map_err(unusable)?;
                let uid = self.owner.map_or(rustix::process::geteuid().as_raw(), |owner| owner.uid);
                if found.is_dir() && found.uid() == uid && found.mode() & 0o077 == 0 {
                    Ok(())
                } else {
                    Err(PrivateError::Unsafe(path.to_owned()))
                }
            }
            Err(source) => Err(unusable(source)),
        }
    }

    fn cluster(&self) -> PathBuf {
        self.home.join("cluster")
    }

    fn log(&self) -> PathBuf {
        self.home.join("server.log")
    }

    /// The major version that made the cluster; none where there is none yet.
    fn version(&self) -> Option<u32> {
        std::fs::read_to_string(self.cluster().join("PG_VERSION")).ok()?.trim().parse().ok()
    }

    /// Makes the cluster beside its place and moves it there when it is whole: an interruption leaves nothing half made.
    async fn make(&self, binaries: &Binaries) -> Result<(), PrivateError> {
        let unfinished = self.home.join("cluster.unfinished");
        let unusable = |path: &Path, source| PrivateError::Directory { path: path.to_owned(), source };
        for leftover in [&unfinished, &self.cluster()] {
            if leftover.exists() {
                std::fs::remove_dir_all(leftover).map_err(|source| unusable(leftover, source))?;
            }
        }
        let mut tried = Err(PrivateError::NotInstalled);
        // The second for systems that do not know the first.
        for locale in ["C.UTF-8", "C"] {
            let mut initdb = self.command(&binaries.program("initdb"));
            initdb.arg("-D").arg(&unfinished).args(["-U", NAME, "-A", "trust", "-E", "UTF8", "--no-instructions"]);
            initdb.arg(format!("--locale={locale}"));
            tried = self.run(initdb, "initdb").await;
            if tried.is_ok() {
                break;
            }
        }
        tried?;
        let configuration = unfinished.join("postgresql.conf");
        let included = std::fs::read_to_string(&configuration)
            .map(|text| format!("{text}\ninclude_if_exists = 'zephr-sync.conf'\n"))
            .and_then(|text| std::fs::write(&configuration, text));
        included.map_err(|source| unusable(&configuration, source))?;
        std::fs::rename(&unfinished, self.cluster()).map_err(|source| unusable(&unfinished, source))
    }

    /// Written at each start: the socket directory follows the data directory, which may have been moved.
    fn configure(&self, durability: Durability) -> Result<(), PrivateError> {
        let socket = self.socket.to_string_lossy().replace('\'', "''");
        let durable = match durability {
            Durability::Safe => "",
            Durability::None => "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n",
        };
        let text = format!(
            "# Written by zephr-sync at each start.\n\
             listen_addresses = ''\n\
             port = {PORT}\n\
             unix_socket_directories = '{socket}'\n\
             # A few commands at once, a handful of sessions each, and a person at psql.\n\
             max_connections = 100\n\
             # Fewer full-page images while a large tenant is loaded.\n\
             max_wal_size = 2GB\n\
             {durable}"
        );
        let path = self.cluster().join("zephr-sync.conf");
        std::fs::write(&path, text).map_err(|source| PrivateError::Directory { path, source })
    }

    async fn launch(&self, binaries: &Binaries) -> Result<(), PrivateError> {
        let log = self.log();
        let log = log.to_string_lossy();
        let arguments = ["start", "-w", "-t", START_SECONDS, "-l", &log];
        let mut tries = 1;
        loop {
            match self.pg_ctl(binaries, &arguments).await {
                Err(PrivateError::Failed { .. }) if tries < START_TRIES => {
                    tries += 1;
                    tokio::time::sleep(START_PAUSE).await;
                }
                other => return other,
            }
        }
    }

    async fn is_running(&self, binaries: &Binaries) -> Result<bool, PrivateError> {
        let mut status = self.command(&binaries.program("pg_ctl"));
        status.arg("status").arg("-D").arg(self.cluster());
        let output = status.output().await;
        let output = output.map_err(|source| PrivateError::Program { program: "pg_ctl".into(), source })?;
        Ok(output.status.success())
    }

    async fn pg_ctl(&self, binaries: &Binaries, arguments: &[&str]) -> Result<(), PrivateError> {
        let mut command = self.command(&binaries.program("pg_ctl"));
        command.args(arguments).arg("-D").arg(self.cluster());
        self.run(command, "pg_ctl").await
    }

    /// A program run as the cluster's user, in a process group of its own: Ctrl-C is for us, and Postgres goes when we are done with it.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).process_group(0).current_dir(&self.home).env("LC_ALL", "C");
        // What the variables of libpq and of the server say is about another cluster.
        for name in ["PGDATA", "PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGOPTIONS", "PGPASSWORD"] {
            command.env_remove(name);
        }
        if let Some(owner) = self.owner {
            // Also leaves the supplementary groups of root behind.
            command.uid(owner.uid).gid(owner.gid);
        }
        command
    }

    async fn run(&self, mut command: Command, program: &str) -> Result<(), PrivateError> {
        let output = command
            .output()
            .await
            .map_err(|source| PrivateError::Program { program: program.to_owned(), source })?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
        Err(PrivateError::Failed { program: program.to_owned(), output: format!("{said}\n{end}").trim().to_owned() })
    }

    fn connect_options(&self, database: &str) -> PgConnectOptions {
        // Without what `PG…` variables would add.
        PgConnectOptions::new_without_pgpass()
            .host(&self.socket.to_string_lossy())
            .socket(&self.socket)
            .port(PORT)
            .username(NAME)
            .database(database)
            .disable_statement_logging()
    }

    async fn create_database(&self) -> Result<(), sqlx::Error> {
        let mut connection = PgConnection::connect_with(&self.connect_options("postgres")).await?;
        let exists: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
            .bind(NAME)
            .fetch_one(&mut connection)
            .await?;
        if !exists {
            connection.execute("create database zephr").await?;
        }
        connection.close().await
    }
}

impl Owner {
    async fn find() -> Result<Self, PrivateError> {
        for name in ["postgres", "nobody"] {
            if let (Some(uid), Some(gid)) = (id("-u", name).await, id("-g", name).await) {
                return Ok(Self { uid, gid });
            }
        }
        Err(PrivateError::NoUser)
    }
}

/// A number of a user, as the system's own directory of users has it.
async fn id(which: &str, name: &str) -> Option<u32> {
    let output = Command::new("id").args([which, name]).output().await.ok()?;
    if !output.status.success() {
        return None;
    }
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
