//! What can go wrong with the private cluster, and what the reader can do about it.

use std::path::PathBuf;

use super::binaries::OLDEST;

const INSTALL: &str = "install the Postgres server (Debian, Ubuntu: `apt-get install postgresql`; Fedora, RHEL: `dnf install postgresql-server`; \
     Alpine: `apk add postgresql`; macOS: `brew install postgresql@17`), or set DATABASE_URL to a server that exists";

/// Why the private cluster could not be used.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// No directory has `initdb`, `pg_ctl` and `postgres`.
    #[error("no Postgres server is installed that the private cluster could use: {INSTALL}")]
    NotInstalled,
    /// There are servers, but none of them is new enough.
    #[error("the installed Postgres is too old ({found}), {OLDEST} or newer is needed: {INSTALL}")]
    TooOld {
        /// Versions and places.
        found: String,
    },
    /// The data directory was made by a major version that is not installed.
    #[error(
        "the private cluster in {} was made by Postgres {made_by}, and installed is {found}; either install Postgres {made_by} again \
         (Debian, Ubuntu: `apt-get install postgresql-{made_by}`), or move the directory away and let `zephr-sync sync --full` fill a new one, \
         or carry the data over with `pg_upgrade`", .data.display()
    )]
    OtherVersion {
        /// The data directory.
        data: PathBuf,
        /// The version that made it.
        made_by: u32,
        /// Versions and places.
        found: String,
    },
    /// We are root, which Postgres refuses to run as, and nobody else is there.
    #[error(
        "Postgres does not run as root, and there is neither a user `postgres` nor a user `nobody`: create one, or run zephr-sync as another user"
    )]
    NoUser,
    /// A directory that must be ours alone is not.
    #[error("{} cannot be used for the private cluster: {why}; remove it if it is a leftover, otherwise find out who made it", .path.display())]
    Unsafe {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Somebody else starts or stops the cluster and does not come to an end.
    #[error("another process has been starting or stopping the private cluster for {seconds} s; see who holds {}", .lock.display())]
    Busy {
        /// The lock.
        lock: PathBuf,
        /// How long we waited.
        seconds: u64,
    },
    /// The data directory is in use by a server that this process cannot see.
    #[error("the private cluster in {} is used from another container or machine; share one server through DATABASE_URL instead", .0.display())]
    Elsewhere(PathBuf),
    /// One of Postgres's programs failed.
    #[error("`{program}` failed for the private cluster ({status}){said}{log}")]
    Failed {
        /// Which one.
        program: &'static str,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it said, ready to be appended.
        said: String,
        /// The end of the server's log, ready to be appended.
        log: String,
    },
    /// The server runs and does not let us in.
    #[error(
        "the private cluster in {} runs but cannot be reached over the socket in {}; if the socket is gone, stop the server with `pg_ctl stop -D` and that \
         directory, and run the command again", .data.display(), .place.display()
    )]
    Connect {
        /// The directory of its socket.
        place: PathBuf,
        /// Its data directory.
        data: PathBuf,
        /// What came back.
        #[source]
        source: sqlx::Error,
    },
    /// The system refused something.
    #[error("could not {doing}")]
    Io {
        /// What we were at.
        doing: String,
        /// The refusal.
        #[source]
        source: std::io::Error,
    },
}

impl PrivateError {
    /// For `map_err`: an error of the system while doing something.
    pub(super) fn io<E: Into<std::io::Error>>(doing: impl Into<String>) -> impl FnOnce(E) -> Self {
        let doing = doing.into();
        move |source| Self::Io {
            doing,
            source: source.into(),
        }
    }
}
