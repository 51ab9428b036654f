//! CSV for people: every cell is one that a spreadsheet shows and does not run.

use std::io::{self, Write};

use super::spreadsheet;

/// So that Excel takes it for UTF-8 and shows umlauts.
const MARK: &str = "\u{FEFF}";

/// Writes rows, with CRLF between them. Not buffered further than a few KiB; [`Writer::finish`]
/// says whether all of it arrived.
pub struct Writer<W: Write> {
    csv: csv::Writer<W>,
    escaped: String,
}

impl<W: Write> Writer<W> {
    /// For programs: without a byte order mark, which many take for a part of the first name.
    pub fn new(out: W, delimiter: u8) -> Self {
        let csv = csv::WriterBuilder::new()
            .delimiter(delimiter)
            .terminator(csv::Terminator::CRLF)
            // Short rows stay short.
            .flexible(true)
            .from_writer(out);
        Self {
            csv,
            escaped: String::new(),
        }
    }

    /// For spreadsheets: with a byte order mark.
    ///
    /// # Errors
    /// As the system says.
    pub fn for_spreadsheets(mut out: W, delimiter: u8) -> io::Result<Self> {
        out.write_all(MARK.as_bytes())?;
        Ok(Self::new(out, delimiter))
    }

    /// Writes one row, the header too.
    ///
    /// # Errors
    /// As the system says.
    pub fn row<I>(&mut self, cells: I) -> io::Result<()>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        for cell in cells {
            let cell = cell.as_ref();
            if spreadsheet::needs_escape(cell) {
                self.escaped.clear();
                self.escaped.push('\'');
                self.escaped.push_str(cell);
                self.csv.write_field(&self.escaped)?;
            } else {
                self.csv.write_field(cell)?;
            }
        }
        Ok(self.csv.write_record(None::<&[u8]>)?)
    }

    /// Hands on what is still held back.
    ///
    /// # Errors
    /// As the system says.
    pub fn finish(self) -> io::Result<W> {
        self.csv.into_inner().map_err(|error| {
            let kind = error.error().kind();
            io::Error::new(kind, error.error().to_string())
        })
    }
}
