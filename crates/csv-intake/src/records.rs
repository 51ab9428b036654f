//! Text into rows of bytes, each with the line where it begins.
//!
//! `csv-core` splits and unquotes. What is added is what a person needs to find a row again: lines
//! are counted whatever ends them, and the bytes of a row stay together, so that its quotes can be
//! checked and its length bounded: a quote that is never closed would otherwise take the file into
//! memory.

use std::io::{self, Read};
use std::path::Path;

use csv_core::ReadRecordResult;

use super::encoding::{Encoding, Failure, LEAST_ROOM, Text};
use super::quotes::{self, Flaw, Kind};
use super::{Digest, Error, Reading, dialect};

/// The longest row that is read: no row of attributes comes near, and what an open quote takes is
/// found soon.
pub(super) const LONGEST: usize = 1 << 20;

/// Text held at first; it grows to hold the longest row and some more.
const BUFFER: usize = 256 << 10;

/// Cells that are expected at first.
const CELLS: usize = 64;

/// The rows of a file, one at a time.
pub(super) struct Records<R> {
    text: Text<R>,
    core: csv_core::Reader,
    delimiter: u8,
    /// Text that has come: the row from `start`, of which the splitter has seen what is before
    /// `seen`, up to `end`.
    buffer: Vec<u8>,
    start: usize,
    seen: usize,
    end: usize,
    at_end: bool,
    /// The unquoted cells of the row, one after the other, and where each ends.
    cells: Vec<u8>,
    ends: Vec<usize>,
    ended: usize,
    /// Where the row ends without its line end.
    row_end: usize,
    flaws: Vec<Flaw>,
    /// Where the row begins, and where what follows it does.
    line: u64,
    next_line: u64,
    /// Whether the last line end was a CR, to which an LF may belong.
    after_cr: bool,
}

/// Why there is no row.
pub(super) enum Stop {
    Failure(Failure),
    OpenQuote { line: u64, cell: usize },
    LongRow { line: u64 },
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Failure(Failure::Read(error))
    }
}

impl Stop {
    /// With the name of the file.
    pub(super) fn at(self, path: &Path) -> Error {
        let path = path.to_owned();
        match self {
            Self::Failure(Failure::Read(source)) => Error::Unreadable { path, source },
            Self::Failure(Failure::NotCsv(seems)) => Error::NotCsv { path, seems },
            Self::OpenQuote { line, cell } => Error::OpenQuote { path, line, cell },
            Self::LongRow { line } => Error::LongRow { path, line },
        }
    }
}

impl<R: Read> Records<R> {
    /// Reads as much as tells encoding and delimiter.
    pub(super) fn open(input: R, reading: &Reading) -> Result<Self, Stop> {
        let mut records = Self {
            text: Text::open(input).map_err(Stop::Failure)?,
            core: csv_core::Reader::new(),
            delimiter: b',',
            buffer: vec![0; BUFFER],
            start: 0,
            seen: 0,
            end: 0,
            at_end: false,
            cells: vec![0; BUFFER],
            ends: vec![0; CELLS],
            ended: 0,
            row_end: 0,
            flaws: Vec::new(),
            line: 1,
            next_line: 1,
            after_cr: false,
        };
        while records.buffer.len() - records.end > LEAST_ROOM && !records.at_end {
            records.fill()?;
        }
        let start = &records.buffer[..records.end];
        let announced = dialect::announced(start);
        let found = match announced {
            Some((delimiter, length)) => {
                records.seen = length;
                delimiter
            }
            None => dialect::found(start),
        };
        records.delimiter = reading.delimiter.unwrap_or(found);
        records.core = csv_core::ReaderBuilder::new()
            .delimiter(records.delimiter)
            .build();
        Ok(records)
    }

    /// What stands between the cells.
    pub(super) fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// How the file is encoded.
    pub(super) fn encoding(&self) -> Encoding {
        self.text.encoding()
    }

    /// Goes to the next row that is not a blank line; false at the end of the file.
    pub(super) fn advance(&mut self) -> Result<bool, Stop> {
        self.skip_line_ends()?;
        self.start = self.seen;
        self.line = self.next_line;
        let mut written = 0;
        self.ended = 0;
        loop {
            let input = &self.buffer[self.seen..self.end];
            if input.is_empty() && !self.at_end {
                self.fill()?;
                continue;
            }
            let (result, taken, wrote, ended) = self.core.read_record(
                input,
                &mut self.cells[written..],
                &mut self.ends[self.ended..],
            );
            self.seen += taken;
            written += wrote;
            self.ended += ended;
            if self.seen - self.start > LONGEST {
                return Err(self.too_long());
            }
            match result {
                // More is read above, or the end is told with no input.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.cells.resize(self.cells.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return Ok(false),
            }
        }
        self.close_row()?;
        Ok(true)
    }

    /// Where the row begins, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The row's cells one after the other, and where each ends.
    pub(super) fn cells(&self) -> (&[u8], &[usize]) {
        let ends = &self.ends[..self.ended];
        let end = ends.last().copied().unwrap_or(0);
        (&self.cells[..end], ends)
    }

    /// What is wrong with the row's quotes.
    pub(super) fn flaws(&self) -> &[Flaw] {
        &self.flaws
    }

    /// The row as it stands in the file, in UTF-8 and without its line end.
    pub(super) fn raw(&self) -> &[u8] {
        &self.buffer[self.start..self.row_end]
    }

    /// The hash of the whole file, also of what has not been read yet.
    pub(super) fn finish(self) -> io::Result<Digest> {
        self.text.finish()
    }

    /// Done here and not by the splitter, which would not tell how many there were.
    fn skip_line_ends(&mut self) -> Result<(), Stop> {
        loop {
            if self.seen == self.end {
                if self.at_end {
                    return Ok(());
                }
                self.start = self.seen;
                self.fill()?;
                continue;
            }
            match self.buffer[self.seen] {
                b'\n' if self.after_cr => self.after_cr = false,
                b'\n' => self.next_line += 1,
                b'\r' => {
                    self.next_line += 1;
                    self.after_cr = true;
                }
                _ => {
                    self.after_cr = false;
                    return Ok(());
                }
            }
            self.seen += 1;
        }
    }

    /// Counts the lines of the row that has been split and checks its quotes.
    fn close_row(&mut self) -> Result<(), Stop> {
        self.flaws.clear();
        let row = &self.buffer[self.start..self.seen];
        let quoted = row.contains(&b'"');
        // Of CRLF the splitter takes the CR; the LF is skipped before the next row.
        let end = match row.last() {
            Some(b'\r' | b'\n') => row.len() - 1,
            Some(_) | None => row.len(),
        };
        self.row_end = self.start + end;
        self.after_cr = row.last() == Some(&b'\r');
        self.next_line = self.line + u64::from(end < row.len());
        if quoted {
            self.next_line += quotes::line_ends(&row[..end]);
            self.flaws = quotes::flaws(&row[..end], self.delimiter);
            if let Some(stop) = open_quote(row, &self.flaws, self.line) {
                return Err(stop);
            }
        }
        Ok(())
    }

    fn too_long(&self) -> Stop {
        let row = &self.buffer[self.start..self.seen];
        let flaws = quotes::flaws(row, self.delimiter);
        open_quote(row, &flaws, self.line).unwrap_or(Stop::LongRow { line: self.line })
    }

    /// Reads more text behind what is there, after making room.
    fn fill(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.seen -= self.start;
            self.end -= self.start;
            self.start = 0;
        }
        if self.buffer.len() - self.end < LEAST_ROOM {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let count = self.text.fill(&mut self.buffer[self.end..])?;
        self.end += count;
        self.at_end = count == 0;
        Ok(())
    }
}

/// The quote that is open at the end of a row, which takes all that follows.
fn open_quote(row: &[u8], flaws: &[Flaw], line: u64) -> Option<Stop> {
    let open = flaws.last().filter(|flaw| flaw.kind == Kind::Open)?;
    Some(Stop::OpenQuote {
        line: line + quotes::line_ends(&row[..open.span.start]),
        cell: open.cell + 1,
    })
}
