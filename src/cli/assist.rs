//! `zephr-sync assist`: help with full scans of users that others lead, and do nothing else. Hidden: a daemon helps by itself.

use std::time::Duration;

use serde::Serialize;

use super::exit::{Exit, Failure};
use super::mirror;
use super::output::{Output, thousands};
use super::sync::Night;
use super::tenant::reader;
use crate::config::Settings;
use crate::job;
use crate::lifecycle::Shutdown;
use crate::places::Registered;
use crate::record::Resource;
use crate::state::privacy::Access;
use crate::sync::{self, Assistant, Assisted};

/// How often to look whether somebody offers something.
const LOOK: Duration = Duration::from_millis(500);

/// What was done for others.
#[derive(Debug, Default, Serialize)]
struct Document {
    windows: u64,
    unread: u64,
    late: u64,
}

/// Runs the command.
///
/// # Errors
/// Settings, the API, or a database that cannot be reached.
pub async fn run(settings: &Settings, output: Output) -> Result<Exit, Failure> {
    let jobs = job::chosen(job::all(&settings.jobs_dir)?, &[])?;
    let job = jobs
        .iter()
        .find(|job| job.resource == Resource::Users)
        .ok_or_else(|| {
            Failure::usage(
                "no enabled job mirrors the users",
                "Help with a scan needs the settings of its job.",
            )
        })?;
    let shutdown = Shutdown::on_signals()?;
    let reader = reader(settings, settings.api()?)?;
    let mirror = mirror::open(settings).await?;
    mirror.migrate(output).await?;
    let registered =
        Registered::join(&mirror.database, reader.limiter(), &sync::holder_name()).await?;
    let night = Night {
        settings,
        reader: &reader,
        mirror: &mirror,
        shutdown: &shutdown,
        output,
        among: Some(&registered),
    };
    let env = night.environment(job, Access::Write).await?;
    let assistant = Assistant::new(&env, &registered);
    let mut done = Document::default();
    let result = loop {
        match assistant.assist().await {
            Ok(Assisted {
                windows,
                unread,
                late,
            }) => {
                done.windows += windows;
                done.unread += unread;
                done.late += late;
            }
            Err(error) => break Err(error),
        }
        tokio::select! {
            () = shutdown.requested() => break Ok(()),
            () = tokio::time::sleep(LOOK) => {}
        }
    };
    registered.leave().await;
    mirror.close().await?;
    result?;
    output.result(&done, |done| {
        format!(
            "Read {} windows for others.\n",
            thousands(done.windows.cast_signed())
        )
    })?;
    Ok(Exit::Done)
}
