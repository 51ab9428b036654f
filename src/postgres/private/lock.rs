//! Who uses the cluster: a shared lock per process, which the system gives back however the process ends, and one lock around starting and stopping.

use std::fs::{File, OpenOptions};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::PrivateError;

/// Holds one of the two lock files, in one mode, as long as it lives.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Alone with starting and stopping, as soon as others are done with it.
    pub async fn phase(directory: &Path) -> Result<Self, PrivateError> {
        let file = open(directory, "phase.lock")?;
        let locked = tokio::task::spawn_blocking(move || {
            flock(&file, FlockOperation::LockExclusive).map(|()| file)
        });
        match locked.await {
            Ok(Ok(file)) => Ok(Self(file)),
            Ok(Err(error)) => Err(PrivateError::Lock(error.into())),
            Err(error) => Err(PrivateError::Lock(std::io::Error::other(error))),
        }
    }

    /// One user more. Only waits for nobody: the exclusive mode is taken under the phase lock alone.
    pub fn user(directory: &Path) -> Result<Self, PrivateError> {
        let file = open(directory, "users.lock")?;
        flock(&file, FlockOperation::NonBlockingLockShared).map_err(|error| PrivateError::Lock(error.into()))?;
        Ok(Self(file))
    }

    /// Whether there is no other user.
    pub fn is_last(&self) -> bool {
        flock(&self.0, FlockOperation::NonBlockingLockExclusive).is_ok()
    }
}

/// Files are opened so that no program we start inherits them, the server least of all.
fn open(directory: &Path, name: &str) -> Result<File, PrivateError> {
    let path = directory.join(name);
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(|source| PrivateError::Directory { path, source })
}
