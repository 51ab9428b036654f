//! Making, starting and stopping the server. Everything here happens under the phase lock.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use rustix::process::{Pid, test_kill_process};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{Connection, PgConnection};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::binaries::Binaries;
use super::error::PrivateError;
use super::home::Home;
use super::locks::Use;
use super::{Durability, PORT, ROLE, Tcp};

/// Recovery after a crash replays the log and may take minutes; a server that needs longer needs a
/// person.
const READY_SECONDS: &str = "600";

/// How long a running server may be out of reach while it neither starts up nor shuts down.
const REACHABLE: Duration = Duration::from_secs(15);

/// Backends outlive a killed postmaster until they notice, and a new one does not start before.
const ORPHANS_LEAVE: Duration = Duration::from_secs(20);

const POLL: Duration = Duration::from_millis(100);

/// No process has this number, on any system.
const NOBODYS_PID: i32 = i32::MAX;

/// SQLSTATE of a server that starts up, recovers or shuts down.
const CANNOT_CONNECT_NOW: &str = "57P03";

/// Settings of the server, each with its reason. Everything that is about safety of data stays at
/// its default.
const SETTINGS: [(&str, &str); 10] = [
    ("unix_socket_permissions", "0700"),
    // Several daemons with a pool each, and people at psql.
    ("max_connections", "100"),
    // It shares the machine with what people use it for.
    ("shared_buffers", "128MB"),
    // A first load writes gigabytes; at the default it would checkpoint most of the time.
    ("max_wal_size", "2GB"),
    // Merges sort and hash whole windows; at the default they would go through temporary files.
    ("work_mem", "16MB"),
    // Compiling takes longer than our short statements, and estimates over arrays trigger it.
    ("jit", "off"),
    // Errors and statements quote values, and values are personal data: the log has the server's
    // own life only.
    ("log_min_messages", "log"),
    ("log_min_error_statement", "panic"),
    // Two lines every few minutes, in a file that nobody rotates.
    ("log_checkpoints", "off"),
    // The mirror's timestamps are in UTC, so people at psql see them as they are stored.
    ("timezone", "UTC"),
];

/// Nobody reaches it over the network.
const BY_SOCKET: [(&str, &str); 1] = [("listen_addresses", "''")];

/// Only this machine does, with TLS if it asks for that.
const ON_TCP: [(&str, &str); 4] = [
    ("listen_addresses", "127.0.0.1"),
    ("ssl", "on"),
    ("ssl_cert_file", CERTIFICATE),
    ("ssl_key_file", KEY),
];

/// Files in the cluster.
const CERTIFICATE: &str = "tcp.crt";
const KEY: &str = "tcp.key";

/// Who may come in where there is TCP: whoever reaches the socket's directory, and who has a
/// password.
const DOORS: &str = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";

/// What is given up when nothing has to survive; see [`Durability::None`]. A test run makes a
/// database for each test: autovacuum would visit all of them once a minute, and none lives long
/// enough to need it.
const UNSAFE_SETTINGS: [(&str, &str); 6] = [
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    ("full_page_writes", "off"),
    ("autovacuum", "off"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
];

/// How the server is to stop.
#[derive(Debug, Clone, Copy)]
pub(super) enum Haste {
    /// Sessions are ended, everything is written.
    Orderly,
    /// At once; the next start would have to recover.
    Abrupt,
}

/// The server of one home, running or not.
#[derive(Debug)]
pub(super) struct Server {
    home: Home,
    binaries: Binaries,
    durability: Durability,
    tcp: Option<Tcp>,
}

impl Server {
    pub fn new(home: Home, binaries: Binaries, durability: Durability, tcp: Option<Tcp>) -> Self {
        Self {
            home,
            binaries,
            durability,
            tcp,
        }
    }

    /// The number that its socket goes by.
    pub fn port(&self) -> u16 {
        self.tcp.as_ref().map_or(PORT, |tcp| tcp.port)
    }

    pub fn home(&self) -> &Home {
        &self.home
    }

    /// How to connect to one of its databases.
    pub fn options(&self, database: &str) -> PgConnectOptions {
        // Everything that the PG… variables of the environment could change is said here: they are
        // about other servers.
        PgConnectOptions::new_without_pgpass()
            .socket(self.home.socket_dir())
            .port(self.port())
            .username(ROLE)
            .database(database)
            .ssl_mode(PgSslMode::Disable)
    }

    /// Makes the cluster when there is none.
    pub async fn ensure_initialised(&self) -> Result<(), PrivateError> {
        if self.home.version()?.is_some() {
            return Ok(());
        }
        tracing::info!(data = %self.home.data().display(), "making a private Postgres cluster");
        let mut output = self.initdb("C.UTF-8").await?;
        if !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("locale") {
            // The system does not know that locale (macOS before 15). `C` sorts the same way; it
            // only upper-cases fewer letters.
            output = self.initdb("C").await?;
        }
        self.require("initdb", &output)?;
        self.home.adopt(&self.home.file("data.new"))
    }

    async fn initdb(&self, locale: &str) -> Result<Output, PrivateError> {
        let workshop = self.home.workshop()?;
        let mut command = self.home.owner().command(&self.binaries.initdb());
        command.arg("--pgdata").arg(&workshop).args([
            "--username",
            ROLE,
            "--encoding=UTF8",
            "--data-checksums",
            // The socket's directory lets only the cluster's user in (and root), so there is
            // nothing to ask for.
            "--auth-local=trust",
            "--auth-host=reject",
        ]);
        command.arg(format!("--locale={locale}"));
        if self.durability == Durability::None {
            command.arg("--no-sync");
        }
        output("initdb", &mut command).await
    }

    /// Starts the server unless it runs, and waits until it lets us in.
    pub async fn ensure_running(&self, membership: &Use) -> Result<(), PrivateError> {
        let began = Instant::now();
        while self.is_running()? {
            match PgConnection::connect_with(&self.options("postgres")).await {
                Ok(connection) => {
                    // Whether the goodbye arrives does not matter.
                    let _ = connection.close().await;
                    return Ok(());
                }
                Err(error) if is_starting_or_stopping(&error) => {}
                Err(error) if began.elapsed() > REACHABLE => {
                    return Err(PrivateError::Connect {
                        place: self.home.socket_dir().to_owned(),
                        data: self.home.data(),
                        source: error,
                    });
                }
                Err(_) => {}
            }
            sleep(POLL).await;
        }
        self.require_not_elsewhere(membership)?;
        self.clear_remains()?;
        if let Some(tcp) = &self.tcp {
            self.home.put(CERTIFICATE, &tcp.certificate)?;
            self.home.put(KEY, &tcp.key)?;
            self.home.put("pg_hba.conf", DOORS)?;
        }
        self.start().await
    }

    async fn start(&self) -> Result<(), PrivateError> {
        let place = self.home.file("place");
        std::fs::write(&place, this_place())
            .map_err(PrivateError::io(format!("write {}", place.display())))?;
        tracing::info!(data = %self.home.data().display(), "starting the private Postgres");
        let began = Instant::now();
        loop {
            let mut command = self.pg_ctl("start");
            command.args([
                "--wait",
                "--timeout",
                READY_SECONDS,
                "--log",
                "server.log",
                "--options",
                &self.settings(),
            ]);
            let output = output("pg_ctl start", &mut command).await?;
            let orphans = !output.status.success()
                && began.elapsed() < ORPHANS_LEAVE
                && self
                    .home
                    .log_tail()
                    .contains("pre-existing shared memory block");
            if !orphans {
                return self.require("pg_ctl start", &output);
            }
            sleep(POLL).await;
        }
    }

    /// Stops the server unless it has stopped.
    pub async fn ensure_stopped(&self, haste: Haste) -> Result<(), PrivateError> {
        if !self.is_running()? {
            return Ok(());
        }
        let mode = match haste {
            Haste::Orderly => "--mode=fast",
            Haste::Abrupt => "--mode=immediate",
        };
        let mut command = self.pg_ctl("stop");
        command.args([mode, "--wait", "--timeout", READY_SECONDS]);
        let output = output("pg_ctl stop", &mut command).await?;
        if !self.is_running()? {
            // It may have gone on its own between the question and the command.
            return Ok(());
        }
        self.require("pg_ctl stop", &output)
    }

    /// The directory is given in the environment and as the current directory: `pg_ctl` would hand
    /// it, and the log's path, to a shell.
    fn pg_ctl(&self, action: &str) -> Command {
        let mut command = self.home.owner().command(&self.binaries.pg_ctl());
        command
            .arg(action)
            .arg("--silent")
            .env("PGDATA", self.home.data())
            .current_dir(self.home.data());
        command
    }

    /// The settings as options for a shell. The socket directory is part of them, and made of
    /// harmless letters by us.
    fn settings(&self) -> String {
        let unsafe_settings: &[_] = match self.durability {
            Durability::Safe => &[],
            Durability::None => &UNSAFE_SETTINGS,
        };
        let own = [
            format!(
                "-c unix_socket_directories={}",
                self.home.socket_dir().display()
            ),
            format!("-c port={}", self.port()),
        ];
        let reached: &[_] = match self.tcp {
            Some(_) => &ON_TCP,
            None => &BY_SOCKET,
        };
        let fixed = SETTINGS
            .iter()
            .chain(unsafe_settings)
            .chain(reached)
            .map(|(name, value)| format!("-c {name}={value}"));
        own.into_iter().chain(fixed).collect::<Vec<_>>().join(" ")
    }

    /// Whether the server runs, as far as this process can see.
    fn is_running(&self) -> Result<bool, PrivateError> {
        Ok(self.recorded_pid()?.is_some_and(|pid| self.is_ours(pid)))
    }

    fn recorded_pid(&self) -> Result<Option<Pid>, PrivateError> {
        let file = self.home.read("postmaster.pid")?.unwrap_or_default();
        Ok(file
            .lines()
            .next()
            .and_then(|line| line.trim().parse().ok())
            .and_then(Pid::from_raw))
    }

    /// Whether the process of that number is this home's server. A number alone says nothing: after
    /// a crash of the machine, and in containers all the time, it may be another process by now.
    /// The socket directory on the command line is unique to the home.
    fn is_ours(&self, pid: Pid) -> bool {
        let socket_dir = self.home.socket_dir().display().to_string();
        command_line(pid).is_some_and(|line| line.contains(&socket_dir))
    }

    /// Removes what a server that is gone left in the way. To be called when it does not run.
    ///
    /// Postgres refuses to start where a recorded process exists, whatever it is. In the data
    /// directory its number is replaced by one that nobody has; the rest of that file stays, since
    /// with it Postgres finds out whether orphans of the old server are still at work. The socket's
    /// own file can go.
    fn clear_remains(&self) -> Result<(), PrivateError> {
        self.home.remove_socket(self.port())?;
        match self.recorded_pid()? {
            Some(pid) if test_kill_process(pid) != Err(rustix::io::Errno::SRCH) => {
                let file = self.home.read("postmaster.pid")?.unwrap_or_default();
                let rest = file.split_once('\n').map_or("", |(_, rest)| rest);
                self.home
                    .rewrite("postmaster.pid", &format!("{NOBODYS_PID}\n{rest}"))
            }
            _ => Ok(()),
        }
    }

    /// Two containers may share a directory but not see each other's processes, and two servers on
    /// one cluster would destroy it. Locks do reach across.
    fn require_not_elsewhere(&self, membership: &Use) -> Result<(), PrivateError> {
        let started_at = std::fs::read_to_string(self.home.file("place")).unwrap_or_default();
        if started_at.is_empty() || started_at == this_place() || membership.is_alone()? {
            return Ok(());
        }
        Err(PrivateError::Elsewhere(self.home.data()))
    }

    fn require(&self, program: &'static str, output: &Output) -> Result<(), PrivateError> {
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim();
        Err(PrivateError::Failed {
            program,
            status: output.status,
            said: if said.is_empty() {
                String::new()
            } else {
                format!(": {said}")
            },
            log: self.home.log_tail(),
        })
    }
}

async fn output(program: &'static str, command: &mut Command) -> Result<Output, PrivateError> {
    command
        .output()
        .await
        .map_err(PrivateError::io(format!("run {program}")))
}

fn is_starting_or_stopping(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.code())
        .is_some_and(|code| code == CANNOT_CONNECT_NOW)
}

/// What a process was started as; none when it is not there, empty when it is dead but not buried.
fn command_line(pid: Pid) -> Option<String> {
    let number = pid.as_raw_nonzero();
    let bytes = if Path::new("/proc/self/cmdline").exists() {
        std::fs::read(format!("/proc/{number}/cmdline")).ok()?
    } else {
        let number = number.to_string();
        std::process::Command::new("ps")
            .args(["-ww", "-o", "args=", "-p", &number])
            .output()
            .ok()?
            .stdout
    };
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The process world we are in: this run of the machine, and this container's process numbers.
/// Empty where systems have only one.
fn this_place() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{}{}", boot, namespace.display())
}
