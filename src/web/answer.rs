//! What went wrong, as the API says it: what happened, and what to do.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// Why a request was not answered as it was meant.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    #[serde(skip)]
    status: StatusCode,
    /// What happened.
    error: String,
    /// What to do; empty where the error says it.
    remedy: String,
}

impl Problem {
    /// With this status.
    pub fn new(status: StatusCode, error: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            status,
            error: error.into(),
            remedy: remedy.into(),
        }
    }

    /// Nothing is there (404).
    pub fn missing(error: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error, remedy)
    }

    /// What was asked cannot be read (400).
    pub fn unreadable(error: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, remedy)
    }

    /// It can be read, and cannot be used (422).
    pub fn unusable(error: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, error, remedy)
    }

    /// Not as things stand (409).
    pub fn conflict(error: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, error, remedy)
    }

    /// Postgres is away (503).
    pub fn away(error: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error, remedy)
    }

    /// Zephr did not answer as it should (502).
    pub fn behind(error: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, error, remedy)
    }

    /// A mistake of ours (500).
    pub fn broken(error: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error, remedy)
    }

    /// With another name for what is called so.
    pub fn saying(self, called: &str, name: &str) -> Self {
        Self {
            error: self.error.replace(called, name),
            ..self
        }
    }

    /// What happened.
    pub fn error(&self) -> &str {
        &self.error
    }

    /// What to do.
    pub fn remedy(&self) -> &str {
        &self.remedy
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(self)).into_response()
    }
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        Self::broken(
            error.to_string(),
            "Check the disk of the daemon's machine, and the directory for temporary files (TMPDIR).",
        )
    }
}
