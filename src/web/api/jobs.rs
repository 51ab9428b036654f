//! Runs that people ask for. What is asked is written down; a daemon takes it.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Json, Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::told;
use crate::web::Page;
use crate::web::answer::Problem;
use mirror::state::triggers;

/// What is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    /// Whether everything is to be read, whatever the job's mode.
    #[serde(default)]
    full_scan: bool,
}

/// What was written down.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Asked {
    trigger_id: Uuid,
    job: String,
    full_scan: bool,
}

/// Asks for a run of a job, now. A daemon takes it within a second or two, or when what works on
/// the same tables has ended.
#[utoipa::path(post, path = "/api/tenants/{tenant}/jobs/{job}/trigger", tag = "status", request_body = Wish,
    params(("tenant" = String, Path, description = "The tenant"), ("job" = String, Path, description = "The job")),
    responses(
        (status = 202, description = "It is written down", body = Asked),
        (status = 404, description = "There is no such job", body = Problem),
        (status = 409, description = "The same was asked for and has not begun", body = Problem),
        (status = 503, description = "Postgres is away", body = Problem),
))]
pub(super) async fn trigger(
    State(page): State<Arc<Page>>,
    Path((tenant, job)): Path<(String, String)>,
    body: Result<Json<Wish>, JsonRejection>,
) -> Result<(StatusCode, Json<Asked>), Problem> {
    let Wish { full_scan } = told(body)?;
    let seat = page.seat(&tenant)?;
    if !seat.tenant.jobs.iter().any(|known| known.name == job) {
        return Err(Problem::missing(
            format!("there is no job {job} that is enabled"),
            "The status lists the jobs.",
        ));
    }
    let mut session = seat.session().await?;
    let waiting = triggers::waiting(&mut *session).await?;
    if waiting
        .iter()
        .any(|waiting| waiting.job == job && waiting.full_scan == full_scan)
    {
        return Err(Problem::conflict(
            format!("a run of {job} was asked for before and has not begun"),
            "It begins when what works on the same tables has ended.",
        ));
    }
    let by = &seat.tenant.planner.operator;
    let trigger_id = triggers::add(&mut *session, &job, full_scan, by).await?;
    Ok((
        StatusCode::ACCEPTED,
        Json(Asked {
            trigger_id,
            job,
            full_scan,
        }),
    ))
}
