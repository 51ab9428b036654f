//! Runs that people ask for.

use std::sync::Arc;

use sqlx::PgConnection;

use super::snapshot::Seen;
use super::{Begin, Keeper};
use crate::sync::{Cause, Extent, Start};
use mirror::state::triggers;
use telemetry::field;

impl Keeper {
    /// Starts what people asked for. A request stays written down until a run begins that answers
    /// it, so it does not matter what becomes of the one started here.
    pub(super) async fn answer_requests(
        &mut self,
        session: &mut PgConnection,
        seen: &Seen,
    ) -> Result<(), sqlx::Error> {
        let tenant = Arc::clone(&self.tenant);
        let waiting = triggers::waiting(session).await?;
        self.put_off
            .retain(|put_off| waiting.iter().any(|request| request.trigger_id == *put_off));
        for (at, job) in tenant.jobs.iter().enumerate() {
            let of_job = || waiting.iter().filter(|request| request.job == job.name);
            // What answers the one who asked for everything answers all.
            let Some(request) = of_job().find(|it| it.full_scan).or_else(|| of_job().next()) else {
                continue;
            };
            if self.requests.get(&at) == Some(&request.trigger_id) {
                continue;
            }
            if self.busy.contains_key(&job.resource) || seen.is_held(job.resource) {
                if self.put_off.insert(request.trigger_id) {
                    tracing::info!(
                        { field::JOB } = job.name,
                        { field::NOTE } = request.requested_by,
                        "a run was asked for; it waits until what works on the same tables has ended"
                    );
                }
                continue;
            }
            tracing::info!(
                { field::JOB } = job.name,
                { field::NOTE } = request.requested_by,
                "a run was asked for"
            );
            let cause = Cause::Request(request.trigger_id);
            let extent = if request.full_scan {
                Extent::Full(Start::Resume)
            } else {
                Extent::AsDue
            };
            self.requests.insert(at, request.trigger_id);
            self.start(at, Begin { cause, extent });
        }
        Ok(())
    }
}
