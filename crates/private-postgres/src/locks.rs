//! Who uses the cluster, and who is starting or stopping it.
//!
//! Two locks, because starting and stopping must not overlap while using may. `phase.lock` is held,
//! exclusively, only while the server is being started or stopped. `use.lock` is held, shared, by
//! every user as long as it uses the cluster; whoever can have it exclusively is alone. Both are
//! `flock`s on files that are closed on exec, so neither the server nor any other child keeps them
//! when we are gone.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use tokio::time::{Instant, sleep};

use super::error::PrivateError;
use super::home::Home;

/// Longer than a start with recovery or a stop with its checkpoint should take; after it somebody
/// has to look.
const PATIENCE: Duration = Duration::from_secs(11 * 60);

/// How often a lock is asked for; a person does not notice it.
const POLL: Duration = Duration::from_millis(50);

/// After this much waiting it is said what we wait for.
const SILENCE: Duration = Duration::from_secs(2);

/// Proof that nobody else starts or stops the cluster.
#[derive(Debug)]
pub(super) struct Phase(#[expect(dead_code, reason = "held for its lock")] File);

/// Waits until nobody else starts or stops the cluster.
pub(super) async fn phase(home: &Home) -> Result<Phase, PrivateError> {
    let path = home.file("phase.lock");
    let file = open(&path)?;
    let began = Instant::now();
    let mut silent = true;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Phase(file)),
            Err(Errno::WOULDBLOCK) if began.elapsed() > PATIENCE => {
                return Err(PrivateError::Busy {
                    lock: path,
                    seconds: PATIENCE.as_secs(),
                });
            }
            Err(Errno::WOULDBLOCK | Errno::INTR) => {}
            Err(error) => return Err(PrivateError::io(format!("lock {}", path.display()))(error)),
        }
        if silent && began.elapsed() > SILENCE {
            silent = false;
            tracing::info!("waiting for another process to start or stop the private Postgres");
        }
        sleep(POLL).await;
    }
}

/// Proof that this process uses the cluster.
#[derive(Debug)]
pub(super) struct Use(File);

/// What leaving found.
#[derive(Debug)]
pub(super) enum Departure {
    /// Somebody else still uses the cluster.
    OthersRemain,
    /// Nobody does, and nobody can join while this lives.
    Last(File),
}

impl Use {
    /// Joins the users. To be called under the [`Phase`] lock: only then does nobody hold this one
    /// exclusively.
    pub fn join(home: &Home) -> Result<Self, PrivateError> {
        let path = home.file("use.lock");
        let file = open(&path)?;
        flock(&file, FlockOperation::LockShared)
            .map_err(PrivateError::io(format!("lock {}", path.display())))?;
        Ok(Self(file))
    }

    /// Whether this process is the only user. To be called under the [`Phase`] lock.
    pub fn is_alone(&self) -> Result<bool, PrivateError> {
        let failed = |error| PrivateError::io("look for other users of the private cluster")(error);
        let alone = match flock(&self.0, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => true,
            Err(Errno::WOULDBLOCK) => false,
            Err(error) => return Err(failed(error)),
        };
        // A conversion, tried or done, gives up the shared lock; nobody could take the cluster away
        // meanwhile, since that needs the phase lock.
        flock(&self.0, FlockOperation::LockShared).map_err(failed)?;
        Ok(alone)
    }

    /// Leaves the users. To be called under the [`Phase`] lock.
    pub fn leave(self) -> Result<Departure, PrivateError> {
        match flock(&self.0, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Departure::Last(self.0)),
            Err(Errno::WOULDBLOCK) => Ok(Departure::OthersRemain),
            Err(error) => Err(PrivateError::io("leave the private cluster")(error)),
        }
    }
}

fn open(path: &Path) -> Result<File, PrivateError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits() as i32)
        .open(path)
        .map_err(PrivateError::io(format!("open {}", path.display())))
}
