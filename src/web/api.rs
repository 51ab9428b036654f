//! The API, and all paths of the page. The description of it is made from the handlers, so that it
//! cannot say anything else than they do.

mod bulk;
mod jobs;
mod session;
mod status;
mod tenants;
mod uploads;

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Json, Query, State};
use axum::routing::get;
use axum::{Router, middleware};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::answer::Problem;
use super::{Page, guard, health, metrics, page};

/// The largest body of a request that is no file, in bytes.
const BODY: usize = 64 << 10;

#[derive(OpenApi)]
#[openapi(info(
    title = "zephr-sync",
    description = "What the daemon does and did, and pushes from a file to the way back. With a token, each request carries it as `Authorization: Bearer …`; requests that change something carry `X-Zephr-Sync: 1`. Field names are the column names of `zephr_sync`."
))]
struct Api;

fn routes() -> OpenApiRouter<Arc<Page>> {
    let uploads = OpenApiRouter::new()
        .routes(routes!(uploads::upload))
        // It counts the bytes itself, as they come.
        .layer(DefaultBodyLimit::disable());
    OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(metrics::metrics))
        .routes(routes!(session::sign_in, session::sign_out))
        .routes(routes!(tenants::tenants))
        .routes(routes!(status::status))
        .routes(routes!(status::runs))
        .routes(routes!(status::run))
        .routes(routes!(status::rejects))
        .routes(routes!(status::daemons))
        .routes(routes!(jobs::trigger))
        .routes(routes!(bulk::plans))
        .routes(routes!(bulk::plan))
        .routes(routes!(bulk::apply))
        .routes(routes!(bulk::undo))
        .routes(routes!(bulk::results))
        .routes(routes!(uploads::progress))
        .routes(routes!(uploads::rejects))
        .routes(routes!(description))
        .layer(DefaultBodyLimit::max(BODY))
        .merge(uploads)
}

/// The description of the API, as JSON (OpenAPI 3.1).
pub fn describe() -> String {
    let (_, described) = routes().split_for_parts();
    described.to_pretty_json().unwrap_or_default()
}

/// Answers all requests.
pub(super) fn router(page: Arc<Page>) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .route(page::PATH, get(page::page))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&page),
            guard::guard,
        ))
        .with_state(page)
}

/// This description.
#[utoipa::path(get, path = "/api/openapi.json", tag = "api", responses(
    (status = 200, description = "The description of the API (OpenAPI 3.1)", body = Object),
))]
async fn description(
    State(_): State<Arc<Page>>,
) -> ([(axum::http::HeaderName, &'static str); 1], String) {
    (
        [(axum::http::header::CONTENT_TYPE, "application/json")],
        describe(),
    )
}

/// An identifier in a path.
fn id(what: &str, text: &str) -> Result<Uuid, Problem> {
    text.parse().map_err(|_| {
        Problem::missing(
            format!("there is no such {what}"),
            "An identifier reads like 01990000-0000-7000-8000-000000000000.",
        )
    })
}

/// What stands behind the `?`.
fn asked<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    match query {
        Ok(Query(asked)) => Ok(asked),
        Err(rejection) => Err(Problem::unreadable(
            rejection.body_text(),
            "/api/openapi.json tells what is expected.",
        )),
    }
}

/// What the body says.
fn told<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, Problem> {
    match body {
        Ok(Json(told)) => Ok(told),
        Err(rejection) => Err(Problem::new(
            rejection.status(),
            rejection.body_text(),
            "/api/openapi.json tells what is expected.",
        )),
    }
}
