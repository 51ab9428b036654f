//! The inbox on the disk: where files lie at which stage, and the lock of the process that works on
//! them.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use uuid::Uuid;

use super::case::Case;
use super::complete::{Arrived, Stamp};
use super::names;
use super::trouble::{Trouble, Troubles};

/// Where files lie while they are worked on, each in a directory of its own.
pub(super) const WORKING: &str = "working";

/// Where the inbox is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Where {
    /// There, since a setting names it: one that is missing is not mounted, or misspelt.
    Given(PathBuf),
    /// There, once somebody has made it.
    IfThere(PathBuf),
}

impl Where {
    /// The directory.
    pub fn path(&self) -> &Path {
        match self {
            Self::Given(path) | Self::IfThere(path) => path,
        }
    }
}

/// Where a file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Done,
    Failed,
}

impl Place {
    pub(super) const ALL: [Self; 2] = [Self::Done, Self::Failed];

    /// The name of its directory.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// The name under which a file, and what belongs to it, ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) place: Place,
    directory: PathBuf,
    stem: String,
    ending: String,
}

impl Target {
    pub(super) fn file(&self) -> PathBuf {
        self.directory.join(self.name())
    }

    pub(super) fn results(&self) -> PathBuf {
        self.beside("results.csv")
    }

    pub(super) fn rejects(&self) -> PathBuf {
        self.beside("rejects.csv")
    }

    pub(super) fn summary(&self) -> PathBuf {
        self.beside("summary.json")
    }

    pub(super) fn name(&self) -> String {
        format!("{}{}", self.stem, self.ending)
    }

    /// As people look for it.
    pub(super) fn shown(&self) -> String {
        format!("{}/{}", self.place.name(), self.name())
    }

    fn beside(&self, what: &str) -> PathBuf {
        self.directory.join(format!("{}.{what}", self.stem))
    }

    fn is_free(&self) -> io::Result<bool> {
        for path in [self.file(), self.results(), self.rejects(), self.summary()] {
            match fs::symlink_metadata(path) {
                Ok(_) => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// The inbox, while this process has its lock.
#[derive(Debug)]
pub(super) struct Directory {
    root: PathBuf,
    lock: File,
}

impl Directory {
    /// Opens it; none when it is not there, or another process works on it.
    pub(super) fn open(place: &Where) -> Result<Option<Self>, Trouble> {
        let path = place.path();
        let root = std::path::absolute(path).map_err(|error| said(path, &error))?;
        if root.to_str().is_none() {
            // The ledger, which knows where a file was, is text.
            return Err(Trouble::new(
                format!("the path of the inbox, {}, is not text", root.display()),
                "Choose a directory whose name is valid UTF-8.",
            ));
        }
        match place {
            Where::Given(_) | Where::IfThere(_) if root.is_dir() => {}
            Where::Given(_) => {
                return Err(Trouble::new(
                    format!("the inbox {} is not there", root.display()),
                    "Make the directory, mount what holds it, or correct ZEPHR_SYNC_INBOX (`inbox` in the settings file).",
                ));
            }
            Where::IfThere(_) => return Ok(None),
        }
        let made = [WORKING, Place::Done.name(), Place::Failed.name()].map(|name| root.join(name));
        for directory in &made {
            fs::create_dir_all(directory).map_err(|error| said(directory, &error))?;
        }
        let path = root.join(WORKING).join(".lock");
        let mut options = File::options();
        let lock = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let lock = lock.map_err(|error| said(&path, &error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { root, lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(Trouble::new(
                format!("{} cannot be locked: {error}", path.display()),
                "Put the inbox on a file system with locks: without them two daemons could work on one file.",
            )),
        }
    }

    /// Whether the lock is still that of the directory: somebody may have replaced it.
    pub(super) fn is_still_there(&self) -> bool {
        let path = self.root.join(WORKING).join(".lock");
        match (self.lock.metadata(), fs::symlink_metadata(path)) {
            (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
            (Ok(_) | Err(_), Ok(_) | Err(_)) => false,
        }
    }

    /// What was taken and is not over yet, the oldest first.
    pub(super) fn cases(&self) -> Result<Vec<Case>, Trouble> {
        let working = self.root.join(WORKING);
        let list = || -> io::Result<Vec<Case>> {
            let mut cases = Vec::new();
            for entry in fs::read_dir(&working)? {
                let entry = entry?;
                let id = entry
                    .file_name()
                    .to_str()
                    .and_then(|name| Uuid::parse_str(name).ok());
                if let Some(id) = id
                    && entry.file_type()?.is_dir()
                {
                    cases.push(Case::new(id, entry.path()));
                }
            }
            Ok(cases)
        };
        let mut cases = list().map_err(|error| said(&working, &error))?;
        cases.sort_by_key(Case::id);
        Ok(cases)
    }

    /// The files that lie there and are meant for us.
    pub(super) fn arrived(&self, troubles: &mut Troubles) -> Result<Vec<Arrived>, Trouble> {
        let mut arrived = Vec::new();
        let mut odd = Vec::new();
        let mut list = || -> io::Result<()> {
            for entry in fs::read_dir(&self.root)? {
                let entry = entry?;
                let name = entry.file_name();
                if !names::is_wanted(&name) {
                    continue;
                }
                // Of the entry itself: a link could name any file of this machine.
                let metadata = match fs::symlink_metadata(entry.path()) {
                    Ok(metadata) => metadata,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                };
                if !metadata.is_file() {
                    odd.push(names::shown(&name.to_string_lossy()));
                    continue;
                }
                let stamp = Stamp {
                    length: metadata.len(),
                    modified: metadata.modified()?,
                    inode: metadata.ino(),
                };
                arrived.push(Arrived { name, stamp });
            }
            Ok(())
        };
        list().map_err(|error| said(&self.root, &error))?;
        let there: Vec<String> = arrived
            .iter()
            .map(|arrived: &Arrived| names::shown(&arrived.name.to_string_lossy()))
            .collect();
        troubles.keep(|shown| there.iter().chain(&odd).any(|name| name == shown));
        for shown in odd {
            let trouble = Trouble::new(
                "it is not a regular file",
                "Drop the file itself, and not a link to it.",
            );
            troubles.say_of(&shown, trouble);
        }
        Ok(arrived)
    }

    /// Takes a file, by moving it into a directory of its own in one step. None when it cannot be
    /// read, which is said, or is gone.
    pub(super) fn claim(
        &self,
        name: &OsStr,
        troubles: &mut Troubles,
    ) -> Result<Option<Case>, Trouble> {
        let path = self.root.join(name);
        if let Err(error) = File::open(&path) {
            if error.kind() != io::ErrorKind::NotFound {
                let shown = names::shown(&name.to_string_lossy());
                troubles.say_of(&shown, Trouble::of_system("it cannot be read", &error));
            }
            return Ok(None);
        }
        let id = Uuid::now_v7();
        let case = Case::new(id, self.root.join(WORKING).join(id.to_string()));
        let claim = || -> io::Result<Option<()>> {
            fs::create_dir(case.directory())?;
            match fs::rename(&path, case.path(&names::plain(name))) {
                Ok(()) => Ok(Some(())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::remove_dir(case.directory())?;
                    Ok(None)
                }
                Err(error) => {
                    let _ = fs::remove_dir(case.directory());
                    Err(error)
                }
            }
        };
        let claimed = claim().map_err(|error| said(case.directory(), &error))?;
        Ok(claimed.map(|()| case))
    }

    /// A name that nothing in the place has yet, for a file and all that belongs to it: its own, or
    /// its own with a number.
    pub(super) fn target(&self, place: Place, name: &str) -> Result<Target, Trouble> {
        let (stem, ending) = names::parts(name);
        let mut target = self.named(place, stem, ending);
        let mut number = 1;
        loop {
            match target.is_free() {
                Ok(true) => return Ok(target),
                Ok(false) => {
                    number += 1;
                    target = self.named(place, &format!("{stem}-{number}"), ending);
                }
                Err(error) => return Err(said(&target.directory, &error)),
            }
        }
    }

    /// The target of this name.
    pub(super) fn named(&self, place: Place, stem: &str, ending: &str) -> Target {
        Target {
            place,
            directory: self.root.join(place.name()),
            stem: stem.to_owned(),
            ending: ending.to_owned(),
        }
    }

    /// Moves a file to where it ends.
    pub(super) fn move_file(&self, from: &Path, target: &Target) -> Result<(), Trouble> {
        rename_to_new(from, &target.file()).map_err(|error| said(from, &error))
    }
}

/// Renames, and never replaces what has the new name already.
pub(super) fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // File systems that do not know the flag, NFS among them: the lock keeps other daemons
        // away, and nobody else writes there.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => match fs::symlink_metadata(to) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => fs::rename(from, to),
        },
        Err(error) => Err(error.into()),
    }
}

/// What the system says about a path of ours.
pub(super) fn said(path: &Path, error: &io::Error) -> Trouble {
    Trouble::of_system(&names::shown(&path.display().to_string()), error)
}
