//! What follows the end of a run in the process that ran it: its counts in the metrics, and the
//! command after a success.

use sqlx::PgConnection;
use uuid::Uuid;

use super::Tenant;
use crate::notify::Success;
use mirror::state::runs::{self, Run, Status};

/// Does what follows the end of a run.
///
/// # Errors
/// The run's record cannot be read.
pub(super) async fn ended(
    tenant: &Tenant,
    session: &mut PgConnection,
    run_id: Uuid,
) -> Result<(), sqlx::Error> {
    let Some(run) = runs::get(&mut *session, run_id).await? else {
        return Ok(());
    };
    tenant.live.ended(&run);
    if run.status == Status::Succeeded {
        follow(tenant, &run);
    }
    Ok(())
}

/// Starts the command that follows a success. Never waited for: it may take longer than the next
/// run.
fn follow(tenant: &Tenant, run: &Run) {
    let Some(hook) = tenant.hook.clone() else {
        return;
    };
    let success = Success {
        job: run.job.clone(),
        run_id: run.run_id,
        verdict: run.verdict.clone().unwrap_or_default(),
    };
    tokio::spawn(async move { hook.run(&success).await });
}
