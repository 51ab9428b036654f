//! Pushes: plans, what they would change and did, applying them, the way back, and what became of
//! each row.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::uploads::download;
use super::{id, told};
use crate::bulk::document::{Document, LISTED};
use crate::bulk::results::{self, Results};
use crate::bulk::undo;
use crate::web::Page;
use crate::web::answer::Problem;
use mirror::state::bulk::orders::{self, New, Order};
use mirror::state::bulk::plans;

/// A plan, what became of it, and who was asked to apply it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Shown {
    #[serde(flatten)]
    document: Document,
    /// What the daemons were asked; none when nobody asked them.
    order: Option<Order>,
}

/// The latest plans.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Plans {
    plans: Vec<Shown>,
}

impl Shown {
    async fn read(session: &mut PgConnection, plan_id: Uuid) -> Result<Self, Problem> {
        Ok(Self {
            document: Document::read(session, plan_id).await?,
            order: orders::of(session, plan_id).await?,
        })
    }
}

/// The latest twenty plans, the newest first.
#[utoipa::path(get, path = "/api/tenants/{tenant}/bulk/plans", tag = "bulk",
    params(("tenant" = String, Path, description = "The tenant")),
    responses(
        (status = 200, description = "The plans", body = Plans),
        (status = 503, description = "Postgres is away", body = Problem),
))]
pub(super) async fn plans(
    State(page): State<Arc<Page>>,
    Path(tenant): Path<String>,
) -> Result<Json<Plans>, Problem> {
    let mut session = page.seat(&tenant)?.session().await?;
    let mut plans = Vec::new();
    for plan_id in plans::latest(&mut *session, LISTED).await? {
        plans.push(Shown::read(&mut session, plan_id).await?);
    }
    Ok(Json(Plans { plans }))
}

/// A plan and what became of it, with a sample of its rows.
#[utoipa::path(get, path = "/api/tenants/{tenant}/bulk/plans/{plan_id}", tag = "bulk",
    params(("tenant" = String, Path, description = "The tenant"), ("plan_id" = String, Path, description = "The plan")),
    responses(
        (status = 200, description = "The plan", body = Shown),
        (status = 404, description = "There is no such plan", body = Problem),
))]
pub(super) async fn plan(
    State(page): State<Arc<Page>>,
    Path((tenant, plan_id)): Path<(String, String)>,
) -> Result<Json<Shown>, Problem> {
    let mut session = page.seat(&tenant)?.session().await?;
    let shown = Shown::read(&mut session, id("plan", &plan_id)?).await?;
    Ok(Json(shown))
}

/// What is allowed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Allowed {
    /// Apply it although users changed since it was planned.
    #[serde(default)]
    allow_changes: bool,
    /// Let it delete users. Deleting cannot be undone.
    #[serde(default)]
    allow_deletes: bool,
}

/// Has the daemons apply a plan; one that was begun is carried on with. Ask for the plan to see how
/// far it is.
#[utoipa::path(post, path = "/api/tenants/{tenant}/bulk/plans/{plan_id}/apply", tag = "bulk", request_body = Allowed,
    params(("tenant" = String, Path, description = "The tenant"), ("plan_id" = String, Path, description = "The plan")),
    responses(
        (status = 202, description = "It is written down", body = Shown),
        (status = 404, description = "There is no such plan", body = Problem),
        (status = 409, description = "It is under way or finished, changes nothing, or deletes what nobody allowed", body = Problem),
))]
pub(super) async fn apply(
    State(page): State<Arc<Page>>,
    Path((tenant, plan_id)): Path<(String, String)>,
    body: Result<Json<Allowed>, JsonRejection>,
) -> Result<(StatusCode, Json<Shown>), Problem> {
    let Allowed {
        allow_changes,
        allow_deletes,
    } = told(body)?;
    let seat = page.seat(&tenant)?;
    let plan_id = id("plan", &plan_id)?;
    let mut session = seat.session().await?;
    let plan = plans::get(&mut *session, plan_id).await?;
    let plan = plan.ok_or(crate::bulk::Error::NoPlan(plan_id))?;
    if plan.finished_at.is_some() {
        return Err(Problem::conflict(
            "the plan is finished",
            "The results tell what became of each row.",
        ));
    }
    if plan.rows_planned == 0 {
        return Err(Problem::conflict(
            "the plan changes nothing",
            "There is nothing to send.",
        ));
    }
    if plan.rows_deleting > 0 && !allow_deletes {
        return Err(crate::bulk::Error::DeletesNotAllowed(plan.rows_deleting).into());
    }
    let order = New {
        plan_id,
        allow_changes,
        allow_deletes,
        ordered_by: &seat.tenant.planner.operator,
    };
    if !orders::place(&mut *session, &order).await? {
        return Err(Problem::conflict(
            "the plan is being applied already",
            "Wait for it to finish.",
        ));
    }
    let shown = Shown::read(&mut session, plan_id).await?;
    Ok((StatusCode::ACCEPTED, Json(shown)))
}

/// How a plan is taken back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Back {
    /// Send an empty value where there was none before; whether that clears is not documented.
    #[serde(default)]
    clear: bool,
}

/// Makes a plan of the way back. Nothing is sent: apply it like any other.
#[utoipa::path(post, path = "/api/tenants/{tenant}/bulk/plans/{plan_id}/undo", tag = "bulk", request_body = Back,
    params(("tenant" = String, Path, description = "The tenant"), ("plan_id" = String, Path, description = "The plan to take back")),
    responses(
        (status = 201, description = "The new plan", body = Shown),
        (status = 404, description = "There is no such plan", body = Problem),
        (status = 409, description = "It is not finished, or nothing of it can be taken back", body = Problem),
))]
pub(super) async fn undo(
    State(page): State<Arc<Page>>,
    Path((tenant, plan_id)): Path<(String, String)>,
    body: Result<Json<Back>, JsonRejection>,
) -> Result<(StatusCode, Json<Shown>), Problem> {
    let Back { clear } = told(body)?;
    let seat = page.seat(&tenant)?;
    let planner = &seat.tenant.planner;
    let options = undo::Options {
        clear,
        wire: planner.wire,
    };
    let plan_id = id("plan", &plan_id)?;
    let (undo_id, impossible) =
        undo::plan(&seat.tenant.database, plan_id, options, &planner.operator).await?;
    let mut session = seat.session().await?;
    let shown = Shown {
        document: Document::read(&mut session, undo_id)
            .await?
            .leaving(impossible),
        order: None,
    };
    Ok((StatusCode::CREATED, Json(shown)))
}

/// What became of each row, as CSV in the order of the file. No cell is one that a spreadsheet
/// would run.
#[utoipa::path(get, path = "/api/tenants/{tenant}/bulk/plans/{plan_id}/results", tag = "bulk",
    params(("tenant" = String, Path, description = "The tenant"), ("plan_id" = String, Path, description = "The plan")),
    responses(
        (status = 200, description = "The rows", body = String, content_type = "text/csv"),
        (status = 404, description = "There is no such plan", body = Problem),
))]
pub(super) async fn results(
    State(page): State<Arc<Page>>,
    Path((tenant, plan_id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let seat = page.seat(&tenant)?;
    let plan_id = id("plan", &plan_id)?;
    let mut session = seat.session().await?;
    if plans::get(&mut *session, plan_id).await?.is_none() {
        return Err(crate::bulk::Error::NoPlan(plan_id).into());
    }
    drop(session);
    // A session of its own: somebody may take long to fetch it, and the page goes on meanwhile.
    let results = Results::of(seat.tenant.database.connect().await?, plan_id);
    let heading = Bytes::from(results::heading()?);
    let rows = futures::stream::try_unfold(results, |mut results| async move {
        let rows = results.rows().await.map_err(std::io::Error::other)?;
        if rows.is_empty() {
            return Ok(None);
        }
        let piece = Bytes::from(results::csv(&rows)?);
        Ok::<_, std::io::Error>(Some((piece, results)))
    });
    let heading = futures::stream::once(async { Ok(heading) });
    let body = Body::from_stream(futures::StreamExt::chain(heading, rows));
    Ok(download(&format!("results-{plan_id}.csv"), body))
}
