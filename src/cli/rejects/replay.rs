//! `zephr-sync rejects replay`: read the rejects again after a fix, and store those that can be
//! stored now.

use serde::Serialize;

use super::super::exit::{Exit, Failure};
use super::super::opened::Opened;
use super::super::output::{Output, thousands};
use super::super::sync::{waiting, watched};
use super::super::tenant::reader;
use crate::config::Settings;
use crate::sync::progress::Progress;
use crate::sync::replay::{self, Environment, Replayed};
use lifecycle::Shutdown;
use mirror::state::privacy::Access;
use mirror::state::rejects;
use mirror::state::runs::{self, Ending, Run};
use record::Resource;

/// A replay, as one JSON document.
#[derive(Debug, Serialize)]
struct Document {
    /// The run; none when there was nothing to replay.
    runs: Vec<Run>,
    stored: i64,
    superseded: i64,
    /// Rejects that are left.
    rejects: i64,
}

/// Runs the command.
///
/// # Errors
/// The lease is held, or the database cannot be reached.
pub async fn run(settings: &Settings, mirror: &Opened, output: Output) -> Result<Exit, Failure> {
    let shutdown = Shutdown::on_signals()?;
    mirror.migrate(output).await?;
    if let Ok(api) = settings.api() {
        mirror.is_of(&reader(settings, api, &shutdown)?).await?;
    }
    let mut connection = mirror.database.connect().await?;
    if rejects::count(&mut connection).await? == 0 {
        let nothing = Document {
            runs: vec![],
            stored: 0,
            superseded: 0,
            rejects: 0,
        };
        output.result(&nothing, |_| "No rejects.\n".into())?;
        return Ok(Exit::Done);
    }
    let progress = Progress::default();
    let env = Environment {
        database: &mirror.database,
        ignored: &settings.ignored,
        privacy: &mirror.policy(settings, Access::Write).await?,
        progress: &progress,
        shutdown: &shutdown,
    };
    let replaying = replay::users(&env, waiting(output, Resource::Users));
    let replayed = watched(replaying, &progress, "rejects").await?;
    let run = runs::get(&mut connection, replayed.run_id).await?;
    let left = rejects::count(&mut connection).await?;
    let document = Document {
        runs: run.into_iter().collect(),
        stored: replayed.stored,
        superseded: replayed.superseded,
        rejects: left,
    };
    output.result(&document, |_| summary(&replayed, left))?;
    Ok(match (replayed.ending, left) {
        (Ending::Interrupted, _) => Exit::Interrupted,
        (Ending::Failed | Ending::Braked, _) => Exit::Failed,
        (Ending::Succeeded, 0) => Exit::Done,
        (Ending::Succeeded, _) => Exit::Rejects,
    })
}

fn summary(replayed: &Replayed, left: i64) -> String {
    let Replayed {
        stored,
        superseded,
        remaining,
        ..
    } = *replayed;
    let mut text = format!(
        "{} replayed: {} stored, {} superseded by newer records, {} still cannot be stored.\n",
        thousands(stored + superseded + remaining),
        thousands(stored),
        thousands(superseded),
        thousands(remaining)
    );
    if replayed.ending == Ending::Interrupted {
        text.push_str("Stopped before the end; `zephr-sync rejects replay` goes on.\n");
    }
    let others = left - remaining;
    if others > 0 && replayed.ending == Ending::Succeeded {
        text.push_str(&format!(
            "{} are not of users: the next sync of their job reads them again.\n",
            thousands(others)
        ));
    }
    if left > 0 {
        text.push_str("`zephr-sync rejects list` says why each could not be stored.\n");
    }
    text
}
