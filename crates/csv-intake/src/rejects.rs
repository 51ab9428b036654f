//! The file of rows that were not used, to be corrected and planned again.
//!
//! Ours stand in front: behind a row that is too short they would be taken for its missing cells.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::{Error, Header, Row, Writer};

/// The columns that we put in front.
pub(super) const OURS: [&str; 2] = ["_line", "_reason"];

/// Where the rejects of a file are written when nobody says where: `users.csv` has
/// `users.rejects.csv`.
#[must_use]
pub fn default_rejects_path(input: &Path) -> PathBuf {
    let mut name = input.file_stem().unwrap_or_default().to_owned();
    name.push(".rejects.csv");
    input.with_file_name(name)
}

/// A rejects file being written. It is there when it is finished; dropped before, nothing is left
/// of it and an older one stays.
///
/// It is in UTF-8, with the delimiter of the file that was read; cells are as they were, except
/// that what was invalid in them is U+FFFD and that a spreadsheet runs none of them. Only its owner
/// can read it, because it holds what the file held.
pub struct Rejects {
    target: PathBuf,
    writer: Writer<NamedTempFile>,
    count: u64,
}

impl Rejects {
    /// Begins the rejects of `input`, whose header it repeats.
    ///
    /// # Errors
    /// A target that is the input, under whatever name, or that cannot be written.
    pub fn create(target: &Path, input: &Path, header: &Header) -> Result<Self, Error> {
        if is_same(target, input) {
            return Err(Error::OverInput {
                path: target.to_owned(),
            });
        }
        let directory = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        };
        let begin = || -> io::Result<_> {
            let file = tempfile::Builder::new()
                .prefix(".rejects-")
                .suffix(".tmp")
                .tempfile_in(directory)?;
            let mut writer = Writer::for_spreadsheets(file, header.delimiter)?;
            let names = header.names.iter().map(String::as_str);
            writer.row(OURS.into_iter().chain(names))?;
            Ok(writer)
        };
        let writer = begin().map_err(|source| unwritable(target, source))?;
        Ok(Self {
            target: target.to_owned(),
            writer,
            count: 0,
        })
    }

    /// Adds a row with what is wrong with it, faults of its own included.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn add(&mut self, row: &Row, reasons: &str) -> Result<(), Error> {
        let line = row.line.to_string();
        let ours = [line.as_str(), reasons];
        self.writer
            .row(ours.into_iter().chain(row.cells()))
            .map_err(|source| unwritable(&self.target, source))?;
        self.count += 1;
        Ok(())
    }

    /// How many rows are in it.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Puts the file where it belongs, in place of an older one, and says how many rows it has.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn finish(self) -> Result<u64, Error> {
        let Self {
            target,
            writer,
            count,
            ..
        } = self;
        let persist = || -> io::Result<()> {
            let file = writer.finish()?;
            // A name that is there stands for a file that is.
            file.as_file().sync_all()?;
            file.persist(&target)?;
            Ok(())
        };
        persist().map_err(|source| unwritable(&target, source))?;
        Ok(count)
    }
}

fn unwritable(path: &Path, source: io::Error) -> Error {
    Error::Unwritable {
        path: path.to_owned(),
        source,
    }
}

/// Whether two names are of one file, also through links.
fn is_same(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        (Err(_), Ok(_) | Err(_)) | (Ok(_), Err(_)) => one == other,
    }
}
