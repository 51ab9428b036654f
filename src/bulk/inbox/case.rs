//! A file that was taken, in a directory of its own: `working/<id>/`. What we write beside it has
//! names with a dot, which no file that is taken has.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use uuid::Uuid;

use super::directory::{Directory, Place, Target, rename_to_new, said};
use super::names;
use super::trouble::Trouble;
use crate::bulk::results::{self, Results};

const RESULTS: &str = ".results.csv";
const REJECTS: &str = ".rejects.csv";
const SUMMARY: &str = ".summary.json";
/// Says under which name the file ends; written before it is moved there.
const NOTE: &str = ".target";

/// Of the rights of a file, those that make sense for what is written beside it: nobody runs that,
/// and we can read it.
const READ_AND_WRITE: u32 = 0o666;
const OURS: u32 = 0o600;

/// A file that was taken.
#[derive(Debug)]
pub(super) struct Case {
    id: Uuid,
    directory: PathBuf,
}

impl Case {
    pub(super) fn new(id: Uuid, directory: PathBuf) -> Self {
        Self { id, directory }
    }

    pub(super) fn id(&self) -> Uuid {
        self.id
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where a file of this name lies in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Where the rows that cannot be planned go.
    pub(super) fn rejects(&self) -> PathBuf {
        self.directory.join(REJECTS)
    }

    pub(super) fn has_rejects(&self) -> bool {
        self.rejects().exists()
    }

    /// The name of the file; none when it was moved on, or never came.
    pub(super) fn file(&self) -> Result<Option<String>, Trouble> {
        let list = || -> io::Result<Option<String>> {
            for entry in fs::read_dir(&self.directory)? {
                let name = entry?.file_name();
                if let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) {
                    return Ok(Some(name.to_owned()));
                }
            }
            Ok(None)
        };
        list().map_err(|error| said(&self.directory, &error))
    }

    /// Whether it is a file and not a link, a pipe or a directory.
    pub(super) fn is_regular(&self, name: &str) -> Result<bool, Trouble> {
        let path = self.path(name);
        match fs::symlink_metadata(&path) {
            Ok(metadata) => Ok(metadata.is_file()),
            Err(error) => Err(said(&path, &error)),
        }
    }

    /// Writes what became of each row.
    pub(super) async fn write_results(
        &self,
        mut results: Results,
        name: &str,
    ) -> Result<(), Trouble> {
        let path = self.directory.join(RESULTS);
        let failed = |error| said(&path, &error);
        let mut file = self.begin().map_err(failed)?;
        let heading = results::heading().map_err(failed)?;
        file.write_all(&heading).map_err(failed)?;
        loop {
            let rows = results.rows().await?;
            if rows.is_empty() {
                break;
            }
            let lines = results::csv(&rows).map_err(failed)?;
            file.write_all(&lines).map_err(failed)?;
        }
        self.finish(file, &path, name).map_err(failed)
    }

    /// Writes the summary.
    pub(super) fn write_summary(&self, document: &[u8], name: &str) -> Result<(), Trouble> {
        let path = self.directory.join(SUMMARY);
        let write = || {
            let mut file = self.begin()?;
            file.write_all(document)?;
            self.finish(file, &path, name)?;
            // Written by the planning, for its owner alone.
            match fs::set_permissions(self.rejects(), self.rights(name)?) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => Ok(()),
            }
        };
        write().map_err(|error| said(&path, &error))
    }

    /// Notes under which name the file ends.
    pub(super) fn note(&self, target: &Target) -> Result<(), Trouble> {
        let path = self.directory.join(NOTE);
        let write = || {
            let mut file = self.begin()?;
            write!(file, "{}", target.shown())?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(|error: io::Error| said(&path, &error))
    }

    /// The name that was noted; none when none was.
    pub(super) fn noted(&self, directory: &Directory) -> Result<Option<Target>, Trouble> {
        let path = self.directory.join(NOTE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(said(&path, &error)),
        };
        let target = text.split_once('/').and_then(|(place, name)| {
            let place = Place::ALL.into_iter().find(|known| known.name() == place)?;
            let (stem, ending) = names::parts(name);
            Some(directory.named(place, stem, ending))
        });
        Ok(target)
    }

    /// Moves results and rejects after the file.
    pub(super) fn follow(&self, target: &Target) -> Result<(), Trouble> {
        self.bring(RESULTS, &target.results())?;
        self.bring(REJECTS, &target.rejects())
    }

    /// Moves the summary after everything else: when it is there, everything is.
    pub(super) fn close(&self, target: &Target) -> Result<(), Trouble> {
        self.bring(SUMMARY, &target.summary())
    }

    fn bring(&self, name: &str, to: &Path) -> Result<(), Trouble> {
        match rename_to_new(&self.directory.join(name), to) {
            // There was none, or it was moved before we died.
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(said(to, &error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Removes its directory, from which everything of worth is gone.
    pub(super) fn remove(&self) -> Result<(), Trouble> {
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(said(&self.directory, &error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn begin(&self) -> io::Result<NamedTempFile> {
        tempfile::Builder::new()
            .prefix(".")
            .suffix(".tmp")
            .tempfile_in(&self.directory)
    }

    fn finish(&self, file: NamedTempFile, path: &Path, name: &str) -> io::Result<()> {
        file.as_file().set_permissions(self.rights(name)?)?;
        // Nothing is moved on that a power cut could empty.
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }

    /// Who may read the file may read what became of it.
    fn rights(&self, name: &str) -> io::Result<Permissions> {
        let mode = fs::symlink_metadata(self.path(name))?.permissions().mode();
        Ok(Permissions::from_mode((mode & READ_AND_WRITE) | OURS))
    }
}
