//! What became of each row of a plan, as CSV in the order of the file: what `bulk results` prints
//! and the daemon's page hands out.

use std::io;

use serde_json::value::RawValue;
use sqlx::PgConnection;
use uuid::Uuid;

use super::equality;
use csv_intake::Writer;
use mirror::state::bulk::rows::{self, Action, Reported};

/// Rows that are fetched at once.
const BATCH: i64 = 2_000;

const COLUMNS: [&str; 10] = [
    "line",
    "identifier",
    "user_id",
    "action",
    "changes",
    "outcome",
    "message",
    "job_id",
    "settled_at",
    "confirmed_at",
];

/// The results of a plan, some rows at a time: a plan may have millions.
#[derive(Debug)]
pub struct Results {
    connection: PgConnection,
    plan_id: Uuid,
    /// The last row that was read.
    after: i64,
}

impl Results {
    /// Of this plan, read through a session of its own.
    pub fn of(connection: PgConnection, plan_id: Uuid) -> Self {
        Self {
            connection,
            plan_id,
            after: 0,
        }
    }

    /// The next rows; none are left when there are none.
    pub async fn rows(&mut self) -> Result<Vec<Reported>, sqlx::Error> {
        let rows = rows::reported(&mut self.connection, self.plan_id, self.after, BATCH).await?;
        if let Some(last) = rows.last() {
            self.after = last.row_number;
        }
        Ok(rows)
    }
}

/// The heading, as CSV.
///
/// # Errors
/// None of a buffer in memory.
pub fn heading() -> io::Result<Vec<u8>> {
    let mut writer = Writer::new(Vec::new(), b',');
    writer.row(COLUMNS)?;
    writer.finish()
}

/// Rows as CSV, without a heading. No cell is one that a spreadsheet would run.
///
/// # Errors
/// None of a buffer in memory.
pub fn csv(rows: &[Reported]) -> io::Result<Vec<u8>> {
    let mut writer = Writer::new(Vec::new(), b',');
    for row in rows {
        writer.row(cells(row))?;
    }
    writer.finish()
}

fn cells(row: &Reported) -> [String; COLUMNS.len()] {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let time = |at: Option<chrono::DateTime<chrono::Utc>>| {
        at.map(|at| at.to_rfc3339()).unwrap_or_default()
    };
    [
        row.line.to_string(),
        text(&row.identifier),
        text(&row.user_id),
        row.action.name().to_owned(),
        change(row, str::to_owned),
        row.state.name().to_owned(),
        text(&row.message),
        text(&row.job_id),
        time(row.settled_at),
        time(row.confirmed_at),
    ]
}

/// A row's changes in words; `shorten` is for their values.
pub fn change(row: &Reported, shorten: fn(&str) -> String) -> String {
    if row.action == Action::Delete {
        return "deleted".into();
    }
    let empty = rows::Values::new();
    let new = row.new_values.as_ref().map_or(&empty, |values| &values.0);
    let old = row.old_values.as_ref().map_or(&empty, |values| &values.0);
    let shown = |value: Option<&RawValue>| match value.map(equality::text) {
        None => "(none)".to_owned(),
        Some(text) if text.is_empty() || text == "null" => "(none)".to_owned(),
        Some(text) => shorten(&text),
    };
    let changes: Vec<String> = new
        .iter()
        .map(|(slug, value)| {
            let before = shown(old.get(slug).map(AsRef::as_ref));
            format!("{slug}: {before} → {}", shown(Some(value)))
        })
        .collect();
    changes.join("; ")
}
