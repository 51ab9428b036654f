//! Bulk updates of users: what a CSV asks for, checked whole before anything is sent, previewed,
//! carried through, reported and taken back (design section 7).
//!
//! ```text
//! CSV file ─► rows ─► plan (diff against the mirror) ─► ledger ─► submit chunks ─► poll ─► reconcile ─► report, undo
//! ```
//!
//! `csv-intake` reads and writes the files of people, [`field`] knows what a value may be; neither
//! knows the mirror or the API. [`plan`](mod@plan) makes a stored plan and cannot write to the
//! tenant, [`push`] carries it through, [`undo`] plans the way back, [`results`] tells of each row.
//! [`inbox`] takes the files that people drop into a directory. [`equality`] decides when two
//! values are the same, [`wire`] how one is sent.

pub mod document;
pub mod equality;
pub mod error;
pub mod field;
pub mod inbox;
pub mod plan;
pub mod progress;
pub mod push;
pub mod results;
pub mod settings;
pub mod undo;
pub mod wire;

pub use error::Error;
