//! The CSV files of a person, read and written.
//!
//! It decides what a file says, cell by cell, and what is wrong with it. It knows neither the
//! mirror nor the API, nor what a value may be.
//!
//! A file comes from a spreadsheet as often as from a program, so what varies between those is
//! accepted as long as it has one meaning: encodings that say what they are, delimiters, line ends,
//! a title row after blank ones. What has two meanings is complained about and never repaired in
//! silence: invalid bytes, ragged rows, text after a closing quote. A
//! [`Complaint`](crate::complaint::Complaint) is about a row and the others go on; an [`Error`] is
//! about the file.
//!
//! A file passes through in one direction and in flat memory:
//!
//! ```text
//! bytes ──► encoding (hash, UTF-16) ──► records (csv-core; lines, quotes) ──► rows (cells as text, complaints)
//! ```
//!
//! Rows that cannot be used go to a [`Rejects`] file, which can be corrected in a spreadsheet and
//! planned again.

// On times the operators panic where a type ends: `clock::time` has what does not.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod complaint;
mod dialect;
mod encoding;
mod error;
mod header;
mod quotes;
mod records;
mod rejects;
mod rows;
mod spreadsheet;
mod writer;

#[cfg(test)]
mod tests;

pub use dialect::delimiter;
pub use encoding::Seems;
pub use error::Error;
pub use header::{Attribute, Header, Identifier};
pub use rejects::{Rejects, default_rejects_path};
pub use rows::{Action, Digest, Intake, Row, digest};
pub use writer::Writer;

/// How a file is to be read, as far as it does not say so itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// What stands between cells; found from the header when not given. See [`delimiter`].
    pub delimiter: Option<u8>,
    /// Columns that are carried and mean nothing, by their names.
    pub ignore: Vec<String>,
}
