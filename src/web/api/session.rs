//! Signing in with a browser: the token is shown once, and a cookie that no script can read stands
//! for it from then on.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Json, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use utoipa::ToSchema;

use super::told;
use crate::web::answer::Problem;
use crate::web::token::{COOKIE, SESSION};
use crate::web::{Page, guard};

/// What is shown.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignIn {
    /// The token of the daemon.
    #[schema(value_type = String)]
    token: SecretString,
}

/// Takes the token and gives a cookie for it, good for twelve hours.
#[utoipa::path(post, path = "/api/session", tag = "session", request_body = SignIn, responses(
    (status = 204, description = "Signed in"),
    (status = 401, description = "It is not the token", body = Problem),
    (status = 429, description = "Too many wrong ones come at once", body = Problem),
))]
pub(super) async fn sign_in(
    State(page): State<Arc<Page>>,
    headers: HeaderMap,
    body: Result<Json<SignIn>, JsonRejection>,
) -> Result<Response, Response> {
    let given = told(body).map_err(IntoResponse::into_response)?;
    let tried = page.gate.try_token(given.token.expose_secret()).await;
    tried.map_err(|refusal| guard::refused(refusal, false))?;
    Ok(match page.gate.session() {
        Some(session) => signed(&headers, &session, SESSION.as_secs()),
        // Without a token there is nothing to sign in to.
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// Takes the cookie away from the browser.
#[utoipa::path(delete, path = "/api/session", tag = "session", responses(
    (status = 204, description = "Signed out"),
))]
pub(super) async fn sign_out(headers: HeaderMap) -> Response {
    signed(&headers, "", 0)
}

fn signed(headers: &HeaderMap, session: &str, seconds: u64) -> Response {
    // Only a proxy knows whether the browser came by TLS; who says so wrongly does not get the
    // cookie back, and that is all.
    let secure = headers
        .get("x-forwarded-proto")
        .is_some_and(|by| by == "https");
    let secure = if secure { "; Secure" } else { "" };
    let cookie =
        format!("{COOKIE}={session}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    (StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response()
}
