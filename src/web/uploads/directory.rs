//! A directory for one file that somebody sent: nobody else can read it, it is locked as long as it
//! is used, and it goes with its use. A process that is killed takes nothing away, so the next one
//! removes what nobody holds.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::process::geteuid;
use tempfile::TempDir;

use telemetry::field;

/// How the names of these directories begin, in `TMPDIR`.
const PREFIX: &str = "zephr-sync-upload-";

/// How often a directory is made anew because somebody removed it before it was locked: a start
/// that sweeps lasts a moment.
const ATTEMPTS: usize = 10;

/// A directory in use. Gone when it is dropped.
#[derive(Debug)]
pub(super) struct Directory {
    directory: TempDir,
    /// Held for its lock; after the directory, so that nobody finds it free before it is gone.
    _lock: File,
}

impl Directory {
    /// Makes one in this directory.
    ///
    /// # Errors
    /// As the file system.
    pub(super) fn make(parent: &Path) -> io::Result<Self> {
        for _ in 0..ATTEMPTS {
            let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
            // Between the two somebody may have found it without a lock.
            if let Some(lock) = alone(directory.path())? {
                return Ok(Self {
                    directory,
                    _lock: lock,
                });
            }
        }
        Err(io::Error::other(
            "directories for uploads are removed as soon as they are made",
        ))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Removes the directories in this one that a process of ours left when it was killed.
pub(super) fn sweep(parent: &Path) {
    match swept(parent) {
        Ok(0) => {}
        Ok(_) => tracing::info!("uploaded files of a daemon that was killed are removed"),
        Err(error) => tracing::warn!(
            { field::ERROR } = %error,
            "uploaded files of a daemon that was killed cannot be removed"
        ),
    }
}

/// How many were removed.
fn swept(parent: &Path) -> io::Result<usize> {
    let mut removed = 0;
    for entry in std::fs::read_dir(parent)? {
        let entry = entry?;
        if !entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(PREFIX.as_bytes())
        {
            continue;
        }
        // Others may have such names here too.
        if entry
            .metadata()
            .is_ok_and(|found| found.uid() == geteuid().as_raw())
            && let Some(_lock) = alone(&entry.path())?
        {
            std::fs::remove_dir_all(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Locks a directory; none when somebody holds it, or when it is gone, or none.
fn alone(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(opened) => File::from(opened),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    match flock(&opened, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    // What was opened may have been removed before it was locked.
    let locked = opened.metadata()?;
    Ok(match std::fs::symlink_metadata(path) {
        Ok(found) if (found.dev(), found.ino()) == (locked.dev(), locked.ino()) => Some(opened),
        Ok(_) => None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_what_is_left_goes() {
        let parent = tempfile::tempdir().unwrap();
        let used = Directory::make(parent.path()).unwrap();
        let left = parent.path().join(format!("{PREFIX}left"));
        std::fs::create_dir(&left).unwrap();
        std::fs::write(left.join("upload.csv"), "user_id\n").unwrap();
        let elsewhere = parent.path().join("other");
        std::fs::create_dir(&elsewhere).unwrap();
        let link = parent.path().join(format!("{PREFIX}link"));
        std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
        assert_eq!(swept(parent.path()).unwrap(), 1);
        assert!(used.path().is_dir() && elsewhere.is_dir() && !left.exists());
        let path = used.path().to_owned();
        drop(used);
        assert!(!path.exists());
        assert_eq!(swept(parent.path()).unwrap(), 0);
    }

    #[test]
    fn one_that_is_removed_while_it_is_locked_is_made_again() {
        let parent = tempfile::tempdir().unwrap();
        let sweeping = std::sync::atomic::AtomicBool::new(true);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while sweeping.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = swept(parent.path());
                }
            });
            for _ in 0..200 {
                let directory = Directory::make(parent.path()).unwrap();
                std::fs::write(directory.path().join("upload.csv"), "user_id\n").unwrap();
            }
            sweeping.store(false, std::sync::atomic::Ordering::Relaxed);
        });
    }
}
