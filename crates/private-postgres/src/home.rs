//! Where the cluster lives, and that nobody else has a hand in it.
//!
//! ```text
//! DATA_DIR/postgres/             or, for root, /var/lib/zephr-sync/HASH/ (DATA_DIR/postgres-of-root points to it)
//!   data/                        the cluster, owned by the user it runs as; its log is data/server.log
//!   data.new/                    a cluster being made; what an interrupted one leaves is thrown away
//!   phase.lock, use.lock         see `locks`
//!   place                        the process world in which the server was started
//! /tmp/zephr-sync-UID-HASH/      its socket
//! ```
//!
//! HASH is over the data directory's path, so that different data directories stay apart.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use super::error::PrivateError;
use super::owner::Owner;

/// Where root's clusters live: `/root` is closed to the user who runs them.
const ROOT_HOMES: &str = "/var/lib/zephr-sync";

/// Where sockets live. Not in the data directory, since a socket's path must be shorter than about
/// 100 bytes; and not in `TMPDIR`, which may differ between the processes that share a cluster.
const SOCKETS: &str = "/tmp";

/// Bytes of the hash in names: enough that two data directories on one machine do not meet.
const HASH_BYTES: usize = 6;

/// How many of the log's last bytes are looked at for a message.
const LOG_TAIL: usize = 4096;

/// How many of the log's last lines are quoted in a message.
const LOG_LINES: usize = 8;

/// The directories of one cluster.
#[derive(Debug)]
pub(super) struct Home {
    directory: PathBuf,
    socket_dir: PathBuf,
    link: Option<PathBuf>,
    owner: Owner,
}

/// Its directory in the data directory.
const POSTGRES: &str = "postgres";

/// What points to root's.
const LINK: &str = "postgres-of-root";

/// Whether a cluster was made here.
pub(super) fn exists(data_dir: &Path) -> bool {
    [POSTGRES, LINK]
        .iter()
        .any(|name| data_dir.join(name).join("data").is_dir())
}

impl Home {
    /// Makes what is missing, and refuses what is not safely ours.
    pub fn prepare(data_dir: &Path, owner: Owner) -> Result<Self, PrivateError> {
        let at =
            |doing: &str, path: &Path| format!("{doing} the data directory {}", path.display());
        fs::create_dir_all(data_dir).map_err(PrivateError::io(at("make", data_dir)))?;
        let data_dir = data_dir
            .canonicalize()
            .map_err(PrivateError::io(at("find", data_dir)))?;
        let hash = hex::encode(&Sha256::digest(data_dir.as_os_str().as_bytes())[..HASH_BYTES]);
        let ourselves = rustix::process::geteuid().as_raw();

        let (directory, link) = if owner.is_another() {
            let homes = Path::new(ROOT_HOMES);
            make(homes, 0o755)?;
            require_own(homes, ourselves, 0o022)?;
            let directory = homes.join(&hash);
            // The cluster's user passes through to its data and cannot touch the rest.
            make(&directory, 0o711)?;
            (directory, Some(data_dir.join(LINK)))
        } else {
            let directory = data_dir.join(POSTGRES);
            make(&directory, 0o700)?;
            (directory, None)
        };
        require_own(&directory, ourselves, 0o022)?;
        if let Some(link) = &link {
            point(link, &directory)?;
        }

        let socket_dir = Path::new(SOCKETS).join(format!("zephr-sync-{}-{hash}", owner.uid));
        make(&socket_dir, 0o700)?;
        if owner.is_another() && require_own(&socket_dir, ourselves, 0o077).is_ok() {
            owner.hand_over(&socket_dir)?;
        }
        require_own(&socket_dir, owner.uid, 0o077)?;
        Ok(Self {
            directory,
            socket_dir,
            link,
            owner,
        })
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn owner(&self) -> Owner {
        self.owner
    }

    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// The cluster itself.
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// A file of ours beside the cluster.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The major version that made the cluster; none when there is no cluster yet.
    pub fn version(&self) -> Result<Option<u32>, PrivateError> {
        let data = self.data();
        if !data
            .try_exists()
            .map_err(PrivateError::io(format!("look at {}", data.display())))?
        {
            return Ok(None);
        }
        let version = self
            .read("PG_VERSION")?
            .and_then(|version| version.trim().parse().ok());
        version.map(Some).ok_or_else(|| PrivateError::Unsafe {
            path: data,
            why: "it is there, but holds no Postgres cluster".into(),
        })
    }

    /// An empty directory to make a cluster in.
    pub fn workshop(&self) -> Result<PathBuf, PrivateError> {
        let path = self.file("data.new");
        match fs::remove_dir_all(&path) {
            Ok(()) => {
                tracing::info!("threw away a private Postgres cluster that was only half made")
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                return Err(PrivateError::io(format!("remove {}", path.display()))(
                    error,
                ));
            }
        }
        make(&path, 0o700)?;
        self.owner.hand_over(&path)?;
        Ok(path)
    }

    /// Makes what was made in the workshop the cluster: there is a whole one or none.
    pub fn adopt(&self, workshop: &Path) -> Result<(), PrivateError> {
        fs::rename(workshop, self.data())
            .and_then(|()| File::open(&self.directory)?.sync_all())
            .map_err(PrivateError::io(format!(
                "put the new cluster in place in {}",
                self.directory.display()
            )))
    }

    /// The text of a file in the cluster; none when it is absent.
    pub fn read(&self, name: &str) -> Result<Option<String>, PrivateError> {
        let path = self.data().join(name);
        match open_no_link(OpenOptions::new().read(true), &path) {
            Ok(mut file) => {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes)
                    .map_err(PrivateError::io(format!("read {}", path.display())))?;
                Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(PrivateError::io(format!("read {}", path.display()))(error)),
        }
    }

    /// Replaces the text of a file that is in the cluster.
    pub fn rewrite(&self, name: &str, text: &str) -> Result<(), PrivateError> {
        let path = self.data().join(name);
        open_no_link(OpenOptions::new().write(true).truncate(true), &path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(PrivateError::io(format!("write {}", path.display())))
    }

    /// Writes a file of the cluster that only its user may read.
    pub fn put(&self, name: &str, text: &str) -> Result<(), PrivateError> {
        let path = self.data().join(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        open_no_link(&mut options, &path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(PrivateError::io(format!("write {}", path.display())))?;
        self.owner.hand_over(&path)
    }

    /// The end of the server's log, ready to be appended to a message.
    pub fn log_tail(&self) -> String {
        let log = self.read("server.log").ok().flatten().unwrap_or_default();
        let mut start = log.len().saturating_sub(LOG_TAIL);
        while !log.is_char_boundary(start) {
            start += 1;
        }
        let lines: Vec<&str> = log[start..].lines().collect();
        let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
        if last.is_empty() {
            return String::new();
        }
        format!(
            "\nThe end of its log, {}:\n  {}",
            self.data().join("server.log").display(),
            last.join("\n  ")
        )
    }

    /// Deletes the socket of a server that is gone.
    pub fn remove_socket(&self, port: u16) -> Result<(), PrivateError> {
        for name in [format!(".s.PGSQL.{port}"), format!(".s.PGSQL.{port}.lock")] {
            let path = self.socket_dir.join(name);
            absent(fs::remove_file(&path), &path)?;
        }
        Ok(())
    }

    /// Deletes everything.
    pub fn remove(&self) -> Result<(), PrivateError> {
        absent(fs::remove_dir_all(&self.directory), &self.directory)?;
        absent(fs::remove_dir_all(&self.socket_dir), &self.socket_dir)?;
        self.link
            .as_deref()
            .map_or(Ok(()), |link| absent(fs::remove_file(link), link))
    }
}

/// What a removal came to, when being gone already is as good.
fn absent(removal: std::io::Result<()>, path: &Path) -> Result<(), PrivateError> {
    match removal {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(PrivateError::io(format!(
            "remove {}",
            path.display()
        ))(error)),
        _ => Ok(()),
    }
}

/// Makes a directory unless something of that name is there.
fn make(path: &Path, mode: u32) -> Result<(), PrivateError> {
    match DirBuilder::new()
        .recursive(mode == 0o755)
        .mode(mode)
        .create(path)
    {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(PrivateError::io(format!("make {}", path.display()))(error))
        }
        _ => Ok(()),
    }
}

/// Refuses what is no directory, belongs to somebody else, or is open to others in a way of
/// `forbidden`.
fn require_own(path: &Path, uid: u32, forbidden: u32) -> Result<(), PrivateError> {
    let metadata = fs::symlink_metadata(path)
        .map_err(PrivateError::io(format!("look at {}", path.display())))?;
    let why = if !metadata.is_dir() {
        "it is not a directory".to_owned()
    } else if metadata.uid() != uid {
        format!(
            "it belongs to user {} and not to user {uid}",
            metadata.uid()
        )
    } else if metadata.mode() & forbidden != 0 {
        format!("others may use it (mode {:o})", metadata.mode() & 0o777)
    } else {
        return Ok(());
    };
    Err(PrivateError::Unsafe {
        path: path.to_owned(),
        why,
    })
}

/// Leaves a sign in the data directory for people who look for the cluster there.
fn point(link: &Path, to: &Path) -> Result<(), PrivateError> {
    match std::os::unix::fs::symlink(to, link) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(PrivateError::io(format!(
            "make the link {}",
            link.display()
        ))(error)),
        _ => Ok(()),
    }
}

/// Opens a file of the cluster's user without following where that user might have pointed it: we
/// may be root.
fn open_no_link(options: &mut OpenOptions, path: &Path) -> std::io::Result<File> {
    options
        .custom_flags(OFlags::NOFOLLOW.bits() as i32)
        .open(path)
}
