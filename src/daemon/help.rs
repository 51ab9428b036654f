//! Helping with the scans that other daemons lead.

use std::time::Duration;

use crate::job::Job;
use crate::membership::Registered;
use crate::sync::{Assistant, Cause, Error};
use record::Resource;
use telemetry::field;

use super::Work;

/// How often is looked whether somebody offers something.
const LOOK: Duration = Duration::from_millis(500);

/// How long after trouble is looked again. What it is, the loop that starts runs says, or the run
/// that leads.
const TROUBLE: Duration = Duration::from_secs(10);

/// Helps until it is to stop. Without a job that mirrors users there is nothing to help with.
pub(super) async fn help(work: &Work, jobs: &[Job], registered: &Registered) {
    let Some(job) = jobs.iter().find(|job| job.resource == Resource::Users) else {
        return;
    };
    while !work.shutdown.is_requested() {
        let Err(trouble) = with(work, job, registered).await else {
            return;
        };
        tracing::debug!({ field::ERROR } = %trouble.chain(), "helping with another daemon's scan failed");
        if tokio::time::timeout(TROUBLE, work.shutdown.requested())
            .await
            .is_ok()
        {
            return;
        }
    }
}

async fn with(work: &Work, job: &Job, registered: &Registered) -> Result<(), Error> {
    // No run is begun with it: whoever leads has begun one.
    let env = work.on(job, Cause::Command, registered.id()).await?;
    let assistant = Assistant::new(&env, registered);
    loop {
        let done = assistant.assist().await?;
        if done.windows > 0 {
            tracing::info!(
                { field::JOB } = job.name,
                { field::WINDOWS } = done.windows,
                "helped with another daemon's scan"
            );
        }
        if tokio::time::timeout(LOOK, work.shutdown.requested())
            .await
            .is_ok()
        {
            return Ok(());
        }
    }
}
