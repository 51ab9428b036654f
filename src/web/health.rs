//! Whether the process is alive, and whether it can work. Neither needs a token, and neither says
//! anything that matters to anybody else.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::Problem;
use super::{Page, Seat};
use crate::activity::STUCK;
use mirror::postgres::{migrate, server};
use remedy::chain;

/// Whether the process is alive.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    alive: bool,
    /// Seconds since the loop that starts runs last turned, of the tenant where that is longest
    /// ago.
    seconds_since_turned: u64,
}

/// Whether the process can work.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    ready: bool,
    tenants: Vec<TenantReadiness>,
}

/// Whether it can work for a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TenantReadiness {
    tenant: String,
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

/// Whether the process is alive; Postgres has no part in it, since a restart would not bring that
/// back.
#[utoipa::path(get, path = "/healthz", tag = "health", responses(
    (status = 200, description = "It is alive", body = Health),
    (status = 503, description = "It is stuck: start it again", body = Health),
))]
pub(super) async fn alive(State(page): State<Arc<Page>>) -> Response {
    let since = page.seats.iter().map(|seat| {
        let turned = seat.tenant.live.since_turned();
        turned.unwrap_or_else(|| page.came.elapsed())
    });
    let longest = since.max().unwrap_or_default();
    let alive = longest < STUCK;
    let health = Health {
        alive,
        seconds_since_turned: longest.as_secs(),
    };
    (status(alive), Json(health)).into_response()
}

/// Whether each tenant's Postgres answers and its schema is up to date.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, description = "It can work", body = Readiness),
    (status = 503, description = "It cannot, and why", body = Readiness),
))]
pub(super) async fn ready(State(page): State<Arc<Page>>) -> Response {
    let asked = page.seats.iter().map(|seat| async {
        let problem = works(seat).await.err();
        TenantReadiness {
            tenant: seat.tenant.name.clone(),
            ready: problem.is_none(),
            error: problem.as_ref().map(|problem| problem.error().to_owned()),
            remedy: problem.as_ref().map(|problem| problem.remedy().to_owned()),
        }
    });
    let tenants = futures::future::join_all(asked).await;
    let ready = tenants.iter().all(|tenant| tenant.ready);
    (status(ready), Json(Readiness { ready, tenants })).into_response()
}

/// Whether the mirror of a tenant can be worked with.
pub(super) async fn works(seat: &Seat) -> Result<(), Problem> {
    let looked = async {
        let mut session = seat.session().await?;
        let asked = async {
            server::require(&mut session).await?;
            migrate::is_current(&mut session).await
        };
        asked.await.map_err(|error| match error {
            migrate::Error::Database(error) => error.into(),
            other @ (migrate::Error::Newer(_)
            | migrate::Error::Altered(_)
            | migrate::Error::Server(_)
            | migrate::Error::Held(_)
            | migrate::Error::Migration(_)) => Problem::away(chain(&other), ""),
        })
    };
    match tokio::time::timeout(super::POSTGRES, looked).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err(Problem::away(
            "the schema is not up to date",
            "`zephr-sync migrate` brings it up to date; the daemon does so when it starts.",
        )),
        Ok(Err(problem)) => Err(problem),
        Err(_) => Err(sqlx::Error::PoolTimedOut.into()),
    }
}

fn status(fine: bool) -> StatusCode {
    if fine {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}
