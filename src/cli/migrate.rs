//! `zephr-sync migrate`: bring the schema up to date.

use serde::Serialize;

use super::exit::{Exit, Failure};
use super::opened;
use super::output::Output;
use crate::config::Settings;

#[derive(Debug, Serialize)]
struct Migrated {
    database: String,
    schema: String,
    version: i64,
    applied: Vec<i64>,
    role_sql: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// The database cannot be reached or refuses.
pub async fn run(settings: &Settings, output: Output) -> Result<Exit, Failure> {
    let mirror = opened::open(settings).await?;
    let result = mirror.migrate(output).await;
    let database = mirror.database.place();
    mirror.close().await?;
    let migrated = result?;
    for note in &migrated.attributes.notes {
        output.note(&note.to_string());
    }
    let document = Migrated {
        database,
        schema: settings.schemas.data().to_owned(),
        version: migrated.version,
        applied: migrated.applied,
        role_sql: migrated.role_sql,
    };
    output.result(&document, |done| {
        if done.applied.is_empty() {
            format!(
                "{} is up to date (version {}).\n",
                done.database, done.version
            )
        } else {
            format!(
                "{} was brought to version {}.\n",
                done.database, done.version
            )
        }
    })?;
    Ok(Exit::Done)
}
