//! The page itself: one file, without a foreign host and without anybody's data. Its script asks
//! the API.

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

/// Where it is.
pub(super) const PATH: &str = "/";

const PAGE: &str = include_str!("page.html");

/// What stands in the file for the word that lets its own script and style run, and no other.
const NONCE: &str = "{{nonce}}";

/// The page.
pub(super) async fn page() -> Response {
    let nonce = Uuid::new_v4().simple().to_string();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    );
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (CONTENT_SECURITY_POLICY, policy),
    ];
    (headers, PAGE.replace(NONCE, &nonce)).into_response()
}
