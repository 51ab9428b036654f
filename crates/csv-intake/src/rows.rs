//! Rows as text, checked as far as that needs nothing but the file.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::encoding::Encoding;
use super::header::{self, Header};
use super::quotes::{Flaw, Kind, line_ends};
use super::records::Records;
use super::rejects::OURS;
use super::{Error, Reading, spreadsheet};
use crate::complaint::{Complaint, cut};

/// The SHA-256 of a file as it is on disk.
pub type Digest = [u8; 32];

/// The hash of a file, as [`Intake::finish`] tells it.
///
/// # Errors
/// A file that cannot be read.
pub fn digest(path: &Path) -> Result<Digest, Error> {
    let unreadable = |source| Error::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(unreadable)? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(&buffer[..read]),
        }
    }
}

/// What is done with a user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Action {
    /// The row's attributes are set.
    #[default]
    Set,
    /// The user is deleted.
    Delete,
}

/// A row of the file. One value takes one row after the other and keeps its memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// Which row it is below the header, from 1; blank ones are not counted.
    pub number: u64,
    /// The line where it begins, from 1, as an editor counts them.
    pub line: u64,
    /// What is to be done.
    pub action: Action,
    /// What is wrong with it. If anything is, its cells are for showing and not for use.
    pub faults: Vec<Complaint>,
    /// Its cells one after the other, and where each ends.
    text: String,
    ends: Vec<usize>,
}

impl Row {
    /// What stands in a column, also when the row is too short to have it.
    #[must_use]
    pub fn cell(&self, column: usize) -> &str {
        match self.ends.get(column) {
            Some(&end) => {
                let start = column.checked_sub(1).map_or(0, |before| self.ends[before]);
                &self.text[start..end]
            }
            None => "",
        }
    }

    /// All cells as they stand in the file, without those that we put in front of a rejects file.
    pub fn cells(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.ends.len()).map(|column| self.cell(column))
    }

    fn clear(&mut self) {
        self.action = Action::Set;
        self.faults.clear();
        self.text.clear();
        self.ends.clear();
    }

    fn push(&mut self, cell: &str) {
        self.text.push_str(cell);
        self.ends.push(self.text.len());
    }

    fn is_blank(&self) -> bool {
        self.text.chars().all(char::is_whitespace)
    }
}

/// A file being read, from the first row to the last and once.
pub struct Intake<R = File> {
    path: PathBuf,
    records: Records<R>,
    header: Header,
    number: u64,
}

impl Intake {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// A file that cannot be read, that is no CSV, or whose header does not say what the columns
    /// are.
    pub fn open(path: &Path, reading: &Reading) -> Result<Self, Error> {
        let file = File::open(path).map_err(|source| Error::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::new(file, path, reading)
    }
}

impl<R: Read> Intake<R> {
    /// Reads the header of what comes from elsewhere; `path` is how complaints call it.
    ///
    /// # Errors
    /// As [`Intake::open`].
    pub fn new(input: R, path: &Path, reading: &Reading) -> Result<Self, Error> {
        if let Some(given) = reading.delimiter
            && !super::dialect::usable(given)
        {
            return Err(Error::Delimiter { given });
        }
        let mut records = Records::open(input, reading).map_err(|stop| stop.at(path))?;
        let header = first_row(&mut records, path, reading)?;
        Ok(Self {
            path: path.to_owned(),
            records,
            header,
            number: 0,
        })
    }

    /// What the columns are.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Reads the next row that has anything in it; false when there is none, `row` is then what it
    /// was or blank.
    ///
    /// # Errors
    /// What makes all that follows unreadable; what is wrong with this row only is in
    /// [`Row::faults`].
    pub fn next(&mut self, row: &mut Row) -> Result<bool, Error> {
        while self.records.advance().map_err(|stop| stop.at(&self.path))? {
            take(&self.records, self.header.returned, row, |cell| {
                self.header.name(cell)
            });
            if row.is_blank() && row.faults.is_empty() {
                continue;
            }
            self.number += 1;
            row.number = self.number;
            self.check(row);
            return Ok(true);
        }
        Ok(false)
    }

    /// The hash of the file, with what has not been read of it.
    ///
    /// # Errors
    /// A file that cannot be read to its end.
    pub fn finish(self) -> Result<Digest, Error> {
        let path = self.path;
        self.records
            .finish()
            .map_err(|source| Error::Unreadable { path, source })
    }

    /// Compares a row with the header.
    fn check(&self, row: &mut Row) {
        // What a flaw in the quotes does to the number of cells and to those behind it says nothing
        // more.
        if !row.faults.is_empty() {
            return;
        }
        if let Some(fault) = self.miscount(row) {
            row.faults.push(fault);
            return;
        }
        let mut faults = self.unusable_cells(row);
        if let Some(column) = self.header.action {
            match action(row.cell(column)) {
                Some(action) => row.action = action,
                None => {
                    let reason = "is no action; write `set`, `delete`, or nothing for `set`";
                    let name = self.header.name(column);
                    let cell = row.cell(column);
                    faults.push(Complaint::about_cell(row.line, &name, cell, reason));
                }
            }
        }
        row.faults = faults;
    }

    /// What is wrong where a row has more cells than the header, or too few.
    fn miscount(&self, row: &Row) -> Option<Complaint> {
        let header = &self.header;
        let (cells, columns) = (row.ends.len(), header.names.len());
        if (header.fewest()..=columns).contains(&cells) {
            return None;
        }
        let ours = if header.returned { OURS.len() } else { 0 };
        let reason = format!(
            "has {}, and the header has {}; {}",
            counted(cells + ours),
            columns + ours,
            if cells > columns {
                "a text with the delimiter in it has to stand in quotes"
            } else {
                "empty cells at the end need their delimiters too"
            }
        );
        Some(Complaint::about_row(row.line, reason))
    }

    /// What is wrong with cells whatever their attribute may hold.
    fn unusable_cells(&self, row: &Row) -> Vec<Complaint> {
        let header = &self.header;
        let mut faults = Vec::new();
        if row.text.as_bytes().contains(&0) {
            for (column, cell) in row
                .cells()
                .enumerate()
                .filter(|(_, cell)| cell.contains('\0'))
            {
                let reason = "has a NUL character in it, which no value may have";
                let name = header.name(column);
                faults.push(Complaint::about_cell(row.line, &name, cell, reason));
            }
        }
        for &column in &header.unnamed {
            let cell = row.cell(column);
            if !cell.trim().is_empty() {
                let reason = "stands in a column without a name; name it, or empty the column";
                let name = header.name(column);
                faults.push(Complaint::about_cell(row.line, &name, cell, reason));
            }
        }
        let identifier = header.identifier.column;
        if row.cell(identifier).trim().is_empty() {
            let name = header.name(identifier);
            let reason = "is empty, so the row names no user";
            faults.push(Complaint::about_cell(row.line, &name, "", reason));
        }
        faults
    }
}

fn counted(cells: usize) -> String {
    match cells {
        1 => "1 cell".to_owned(),
        several => format!("{several} cells"),
    }
}

fn action(cell: &str) -> Option<Action> {
    match cell.trim() {
        "" => Some(Action::Set),
        set if set.eq_ignore_ascii_case("set") => Some(Action::Set),
        delete if delete.eq_ignore_ascii_case("delete") => Some(Action::Delete),
        _ => None,
    }
}

/// Reads the row that names the columns: the first with anything in it.
fn first_row<R: Read>(
    records: &mut Records<R>,
    path: &Path,
    reading: &Reading,
) -> Result<Header, Error> {
    let mut row = Row::default();
    loop {
        if !records.advance().map_err(|stop| stop.at(path))? {
            let path = path.to_owned();
            return Err(Error::Empty { path });
        }
        take(records, false, &mut row, |cell| {
            format!("column {}", cell + 1)
        });
        if !(row.is_blank() && row.faults.is_empty()) {
            break;
        }
    }
    let refused = |complaints| Error::Header {
        path: path.to_owned(),
        complaints,
    };
    if !row.faults.is_empty() {
        return Err(refused(row.faults));
    }
    let mut names: Vec<_> = row.cells().map(|name| name.trim().to_owned()).collect();
    let returned = header::is_returned(&names);
    if returned {
        names.drain(..OURS.len());
        for name in &mut names {
            *name = spreadsheet::undo(name).to_owned();
        }
    }
    Header::read(names, row.line, records.delimiter(), returned, reading).map_err(refused)
}

/// Makes text of a row's bytes. `returned` says that it comes from a rejects file: what we put in
/// front is left out, and the escape undone. `name` is for complaints.
fn take<R: Read>(
    records: &Records<R>,
    returned: bool,
    row: &mut Row,
    name: impl Fn(usize) -> String,
) {
    row.clear();
    row.line = records.line();
    let (bytes, ends) = records.cells();
    let flaws = records.flaws();
    if !returned
        && flaws.is_empty()
        && let Ok(text) = str::from_utf8(bytes)
        && ends.iter().all(|&end| text.is_char_boundary(end))
    {
        row.text.push_str(text);
        row.ends.extend_from_slice(ends);
        return;
    }
    let ours = if returned { OURS.len() } else { 0 };
    let mut start = 0;
    for (column, &end) in ends.iter().enumerate() {
        let flaw = flaws.iter().find(|flaw| flaw.cell == column);
        let cell = match flaw {
            // As it stands there, because what the splitter makes of it is a guess.
            Some(flaw) => &records.raw()[flaw.span.clone()],
            None => &bytes[start..end],
        };
        start = end;
        let Some(column) = column.checked_sub(ours) else {
            continue;
        };
        let text = match str::from_utf8(cell) {
            Ok(text) => text.into(),
            Err(_) => {
                let reason = invalid(cell, records.encoding());
                let text = String::from_utf8_lossy(cell);
                let name = name(column);
                row.faults
                    .push(Complaint::about_cell(row.line, &name, &text, reason));
                text
            }
        };
        if let Some(flaw) = flaw {
            let reason = flawed(flaw, row.line, records.raw());
            let name = name(column);
            row.faults
                .push(Complaint::about_cell(row.line, &name, &text, reason));
        }
        row.push(if returned && flaw.is_none() {
            spreadsheet::undo(&text)
        } else {
            &text
        });
    }
}

/// Why a cell is no text.
fn invalid(cell: &[u8], encoding: Encoding) -> String {
    match encoding {
        Encoding::Utf8 => {
            // Every byte means something in Windows-1252, so this is a suggestion and no more.
            let (meant, _, _) = encoding_rs::WINDOWS_1252.decode(cell);
            format!(
                "is not valid UTF-8 (the file looks like Latin-1 or Windows-1252, in which it would be {:?}); save the file as UTF-8. Invalid bytes are shown as �",
                cut(&meant)
            )
        }
        Encoding::Utf16Le | Encoding::Utf16Be => {
            "is not valid UTF-16: half a character; invalid parts are shown as �".to_owned()
        }
    }
}

/// Why a cell's quotes cannot be followed.
fn flawed(flaw: &Flaw, line: u64, row: &[u8]) -> String {
    match flaw.kind {
        Kind::TextAfter(closing) => {
            let open = line + line_ends(&row[..flaw.span.start]);
            let closed = line + line_ends(&row[..closing]);
            let reason = "has text after its closing quote; a quote in a text has to be doubled";
            if closed > open {
                format!(
                    "{reason}, or the quote that opens on line {open} has no end there: lines {line} to {closed} were taken for one row"
                )
            } else {
                reason.to_owned()
            }
        }
        Kind::BlanksBefore => {
            "has blanks before its opening quote, which makes the quotes a part of the text; remove them".to_owned()
        }
        // Ends the reading before a row is made of it.
        Kind::Open => "has a quote that is never closed".to_owned(),
    }
}
