//! What became of a file, in short: the columns of its plan, how many rows are in which state, and
//! why it is where it is.

use std::path::Path;

use serde::Serialize;
use sqlx::PgConnection;

use super::directory::Place;
use super::job::Job;
use super::trouble::Trouble;
use mirror::state::bulk::plans::Plan;
use mirror::state::bulk::rows::{self, Outcomes};

/// How a file ended.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) place: Place,
    pub(super) plan: Option<Plan>,
    pub(super) rows_rejected: Option<i64>,
    pub(super) rejects_path: Option<String>,
    pub(super) error: Option<String>,
    pub(super) remedy: Option<String>,
}

impl Verdict {
    pub(super) fn done() -> Self {
        Self {
            place: Place::Done,
            plan: None,
            rows_rejected: None,
            rejects_path: None,
            error: None,
            remedy: None,
        }
    }

    pub(super) fn failed(error: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            place: Place::Failed,
            error: Some(error.into()),
            remedy: Some(remedy.into()).filter(|remedy| !remedy.is_empty()),
            ..Self::done()
        }
    }

    /// Of a file that has a plan.
    pub(super) fn planned(self, plan: Plan) -> Self {
        Self {
            plan: Some(plan),
            ..self
        }
    }

    /// Whose rejects end here.
    pub(super) fn with_rejects(self, path: Option<&Path>) -> Self {
        let path = path.and_then(Path::to_str).map(str::to_owned);
        match self.plan {
            Some(plan) => Self {
                plan: Some(Plan {
                    rejects_path: path,
                    ..plan
                }),
                ..self
            },
            None => Self {
                rejects_path: path,
                ..self
            },
        }
    }

    /// Of a file that has none, since no row can be planned.
    pub(super) fn rejecting(self, rows: i64) -> Self {
        Self {
            rows_rejected: Some(rows),
            ..self
        }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    plan: Option<&'a Plan>,
    /// Of a file of which no row could be planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows_rejected: Option<i64>,
    /// Of the same: where its rows are. That of a plan is a column of the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejects_path: Option<&'a str>,
    status: &'static str,
    outcomes: Outcomes,
    job: Option<&'a str>,
    error: Option<&'a str>,
    remedy: Option<&'a str>,
}

/// The document, as `bulk status --json` names things.
pub(super) async fn document(
    session: &mut PgConnection,
    verdict: &Verdict,
    job: Option<&Job>,
) -> Result<Vec<u8>, Trouble> {
    let outcomes = match &verdict.plan {
        Some(plan) => rows::outcomes(session, plan.plan_id).await?,
        None => Outcomes::default(),
    };
    let document = Document {
        plan: verdict.plan.as_ref(),
        rows_rejected: verdict.rows_rejected,
        rejects_path: verdict.rejects_path.as_deref(),
        status: verdict.plan.as_ref().map_or("rejected", Plan::status),
        outcomes,
        job: job.map(|job| job.name.as_str()),
        error: verdict.error.as_deref(),
        remedy: verdict.remedy.as_deref(),
    };
    let mut text = serde_json::to_vec_pretty(&document).map_err(|error| {
        Trouble::new(
            format!("the summary cannot be written: {error}"),
            "Please report this.",
        )
    })?;
    text.push(b'\n');
    Ok(text)
}
