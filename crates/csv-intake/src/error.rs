//! Why a file as a whole cannot be read or written.

use std::path::PathBuf;

use super::Seems;
use super::records::LONGEST;
use crate::complaint::Complaint;

/// Why a file cannot be used. Each says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system does not give it.
    #[error("{} cannot be read", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Nothing is in it, or nothing but blank lines.
    #[error("{} is empty: its first row has to name the columns, one of them the user (for example user_id)", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// It is not CSV, or in an encoding that cannot be told.
    #[error("{} is not a CSV file that can be read: it seems to be {seems}", .path.display())]
    NotCsv {
        /// The file.
        path: PathBuf,
        /// What it seems to be.
        seems: Seems,
    },
    /// A delimiter that no cell could be told from.
    #[error("`{}` cannot be a delimiter: give `,`, `;`, `tab` or another ASCII sign", (*.given as char).escape_default())]
    Delimiter {
        /// What was given.
        given: u8,
    },
    /// The header does not say what the columns are.
    #[error("the header of {} cannot be used:{}", .path.display(), .complaints.iter().map(|one| format!("\n  {one}")).collect::<String>())]
    Header {
        /// The file.
        path: PathBuf,
        /// All that is wrong with it.
        complaints: Vec<Complaint>,
    },
    /// A quote without an end: all that follows would be one cell.
    #[error(
        "{}, line {line}, cell {cell}: the quote that opens here is never closed; close it, or double it if it is part of the text",
        .path.display()
    )]
    OpenQuote {
        /// The file.
        path: PathBuf,
        /// Where the quote is, from 1.
        line: u64,
        /// The cell it opens, from 1.
        cell: usize,
    },
    /// More than anybody would write into a row.
    #[error("{}, line {line}: the row is longer than {} KiB; is this the right file, and does it have line ends?", .path.display(), LONGEST >> 10)]
    LongRow {
        /// The file.
        path: PathBuf,
        /// Where it begins, from 1.
        line: u64,
    },
    /// Rejects would replace the file that they come from.
    #[error("{} is the file that is being read; write the rejects to another", .path.display())]
    OverInput {
        /// The file.
        path: PathBuf,
    },
    /// The system does not take it.
    #[error("{} cannot be written", .path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}
