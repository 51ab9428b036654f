//! Which tenants are kept.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::web::Page;
use crate::web::answer::Problem;

/// What is kept here.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Kept {
    /// The version of the program.
    version: &'static str,
    /// Bytes of an uploaded file, at most.
    max_upload_bytes: u64,
    /// Whether one has to sign in to see this.
    needs_token: bool,
    tenants: Vec<Tenant>,
}

/// A tenant that is kept.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tenant {
    /// Its name in paths.
    tenant: String,
    /// The schema for analysts.
    schema: String,
    /// The jobs that are enabled.
    jobs: Vec<String>,
}

/// The tenants that this daemon keeps.
#[utoipa::path(get, path = "/api/tenants", tag = "status", responses(
    (status = 200, description = "The tenants", body = Kept),
    (status = 401, description = "The token is missing", body = Problem),
))]
pub(super) async fn tenants(State(page): State<Arc<Page>>) -> Json<Kept> {
    let tenants = page.seats.iter().map(|seat| Tenant {
        tenant: seat.tenant.name.clone(),
        schema: seat.tenant.database.schemas().data().to_owned(),
        jobs: seat
            .tenant
            .jobs
            .iter()
            .map(|job| job.name.clone())
            .collect(),
    });
    Json(Kept {
        version: env!("CARGO_PKG_VERSION"),
        max_upload_bytes: page.settings.max_upload_bytes,
        needs_token: page.gate.is_closed(),
        tenants: tenants.collect(),
    })
}
