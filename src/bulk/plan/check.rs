//! The first part of planning: rows off the file, each cell against its field.

use tokio::sync::mpsc;

use super::Empty;
use crate::bulk::error::Error;
use crate::bulk::field::{Field, Fields};
use csv_intake::complaint::Complaint;
use csv_intake::{Header, Intake, Row};
use mirror::state::bulk::rows::Action;

/// Rows in a batch: enough that the database is asked rarely, few enough that a batch is small.
const BATCH: usize = 2_000;

/// A row whose cells were looked at.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) number: i64,
    pub(super) line: i64,
    pub(super) identifier: String,
    pub(super) action: Action,
    /// What is to be set, by the place of the attribute in the header; nothing where the cell says
    /// to leave it alone.
    pub(super) values: Vec<Option<String>>,
    /// What is wrong with it.
    pub(super) complaints: Vec<Complaint>,
}

/// Reads all rows, checks them and hands them on.
pub(super) fn rows(
    mut intake: Intake,
    fields: &Fields,
    empty: Empty,
    out: &mpsc::Sender<Vec<Checked>>,
) -> Result<csv_intake::Digest, Error> {
    let header = intake.header().clone();
    let known: Vec<Option<&Field>> = header
        .attributes
        .iter()
        .map(|attribute| fields.get(&attribute.slug))
        .collect();
    let mut row = Row::default();
    let mut batch = Vec::with_capacity(BATCH);
    while intake.next(&mut row)? {
        batch.push(check(&header, &known, empty, &row));
        if batch.len() == BATCH {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
            // Whoever does not take it any more has failed, and says why.
            if out.blocking_send(full).is_err() {
                break;
            }
        }
    }
    if !batch.is_empty() {
        let _ = out.blocking_send(batch);
    }
    Ok(intake.finish()?)
}

fn check(header: &Header, known: &[Option<&Field>], empty: Empty, row: &Row) -> Checked {
    let mut complaints = row.faults.clone();
    let identifier = row.cell(header.identifier.column).trim();
    if identifier.is_empty() && complaints.is_empty() {
        let column = header.name(header.identifier.column);
        complaints.push(Complaint::about_cell(
            row.line,
            &column,
            "",
            "is empty: it must say whom the row is about",
        ));
    }
    let action = match row.action {
        csv_intake::Action::Set => Action::Set,
        csv_intake::Action::Delete => Action::Delete,
    };
    let values = match action {
        // What else stands in the row of somebody who is to be deleted has no meaning.
        Action::Delete => Vec::new(),
        // Nor have cells that may not be those of their columns.
        Action::Set if !row.faults.is_empty() => Vec::new(),
        Action::Set => {
            let cells = header.attributes.iter().zip(known);
            let values = cells.map(|(attribute, field)| {
                let cell = row.cell(attribute.column);
                match value(cell, *field, empty) {
                    Ok(value) => value,
                    Err(reason) => {
                        complaints.push(Complaint::about_cell(
                            row.line,
                            &attribute.slug,
                            cell,
                            reason,
                        ));
                        None
                    }
                }
            });
            values.collect()
        }
    };
    Checked {
        number: row.number as i64,
        line: row.line as i64,
        identifier: identifier.to_owned(),
        action,
        values,
        complaints,
    }
}

/// What a cell asks for.
fn value(cell: &str, field: Option<&Field>, empty: Empty) -> Result<Option<String>, String> {
    if cell.is_empty() {
        return match empty {
            Empty::Keep => Ok(None),
            Empty::Clear if field.is_some_and(Field::required) => {
                Err("is empty, and the tenant's schema requires a value".into())
            }
            Empty::Clear => Ok(Some(String::new())),
            Empty::Error => Err("is empty".into()),
        };
    }
    match field {
        None => Ok(Some(cell.to_owned())),
        Some(field) => match field.check(cell) {
            Ok(text) => Ok(Some(text.into_owned())),
            Err(unfit) => Err(unfit.to_string()),
        },
    }
}
