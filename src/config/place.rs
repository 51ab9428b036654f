//! Where paths of the settings go by, and directories that must be there.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Error;
use super::keys::Set;

/// The place of the settings file: what stands in it, and what is looked for without being named,
/// goes by that. So a command means the same wherever it is started, as cron does from `/`.
#[derive(Debug)]
pub(super) struct Place {
    file: PathBuf,
    /// Nothing where there is no settings file: then paths go by the current directory.
    directory: PathBuf,
}

impl Place {
    /// The place of this settings file, if it is there.
    pub(super) fn of(file: &Path, is_there: bool) -> Self {
        let directory = file.parent().filter(|_| is_there);
        Self {
            file: file.to_owned(),
            directory: directory.map(Path::to_owned).unwrap_or_default(),
        }
    }

    /// The settings file.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// A path that goes by this place; an absolute one stays as it is.
    pub(super) fn beside(&self, path: impl AsRef<Path>) -> PathBuf {
        self.directory.join(path)
    }
}

/// A directory that somebody named.
#[derive(Debug, Clone)]
pub(super) struct Named {
    key: String,
    path: PathBuf,
}

impl From<Set<PathBuf>> for Named {
    fn from(Set { value, at }: Set<PathBuf>) -> Self {
        Self {
            key: at,
            path: value,
        }
    }
}

impl Named {
    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory, which is there.
    ///
    /// # Errors
    /// [`Error::NoDirectory`].
    pub(super) fn there(self) -> Result<PathBuf, Error> {
        let Self { key, path } = self;
        let what = match std::fs::metadata(&path) {
            Ok(found) if found.is_dir() => return Ok(path),
            Ok(_) => "which is no directory",
            Err(error) if error.kind() == ErrorKind::NotFound => "which does not exist",
            Err(_) => "which cannot be read",
        };
        Err(Error::NoDirectory { key, path, what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_go_by_the_settings_file() {
        let place = |file, is_there| Place::of(Path::new(file), is_there);
        for (file, is_there, path, expected) in [
            ("zephr-sync.toml", true, "jobs", "jobs"),
            ("/etc/zephr-sync.toml", true, "jobs", "/etc/jobs"),
            ("/etc/zephr-sync.toml", true, "/srv/jobs", "/srv/jobs"),
            ("conf/news.toml", true, "jobs", "conf/jobs"),
            ("zephr-sync.toml", false, "jobs", "jobs"),
        ] {
            let beside = place(file, is_there).beside(path);
            assert_eq!(beside, Path::new(expected), "{file}");
        }
    }
}
