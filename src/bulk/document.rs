//! A plan and what became of it, as one document: what `--json` prints and the daemon's API
//! answers.

use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Error;
use super::plan::Planned;
use super::undo::Impossible;
use csv_intake::complaint::Complaint;
use mirror::state::bulk::plans::{self, Plan};
use mirror::state::bulk::rows::{self, Outcomes, Reported};

/// Plans that are listed.
pub const LISTED: i64 = 20;

/// Rows that a preview shows.
const SAMPLE: i64 = 10;

/// A plan and what became of it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Document {
    /// The plan, where there is one.
    #[serde(flatten)]
    pub plan: Option<Plan>,
    /// Of a file of which no row could be planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_rejected: Option<i64>,
    /// Of the same: where its rows are. That of a plan is a column of the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejects_path: Option<String>,
    /// planned, applying, finished; or rejected: no row of the file could be planned.
    pub status: &'static str,
    /// How many of its rows are in which state.
    pub outcomes: Outcomes,
    /// The plans that take it back.
    pub undone_by: Vec<Uuid>,
    /// The first rows that would change something.
    pub sample: Vec<Reported>,
    /// What is wrong with rows that were left out; told when the plan is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complaints: Option<Vec<Complaint>>,
    /// What of the tenant's schema was not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warnings: Option<Vec<String>>,
    /// What an undo leaves out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impossible: Option<Impossible>,
}

/// Several of them.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Documents {
    /// The newest first.
    pub plans: Vec<Document>,
}

impl Document {
    /// Reads a plan from the ledger.
    ///
    /// # Errors
    /// There is no such plan, or the mirror cannot be asked.
    pub async fn read(connection: &mut PgConnection, plan_id: Uuid) -> Result<Self, Error> {
        let plan = plans::get(&mut *connection, plan_id).await?;
        let plan = plan.ok_or(Error::NoPlan(plan_id))?;
        let status = plan.status();
        Ok(Self {
            rows_rejected: None,
            rejects_path: None,
            status,
            outcomes: rows::outcomes(&mut *connection, plan_id).await?,
            undone_by: plans::undone_by(&mut *connection, plan_id).await?,
            sample: rows::sample(&mut *connection, plan_id, SAMPLE).await?,
            complaints: None,
            warnings: None,
            impossible: None,
            plan: Some(plan),
        })
    }

    /// With what was found while it was made.
    pub fn planned(self, planned: Planned) -> Self {
        Self {
            complaints: Some(planned.complaints),
            warnings: Some(planned.warnings),
            ..self
        }
    }

    /// Of a file of which no row could be planned.
    pub fn without_plan(planned: Planned) -> Self {
        Self {
            plan: None,
            rows_rejected: Some(planned.rows_rejected),
            rejects_path: planned.rejects_path.map(|path| path.display().to_string()),
            status: "rejected",
            outcomes: Outcomes::default(),
            undone_by: Vec::new(),
            sample: Vec::new(),
            complaints: Some(planned.complaints),
            warnings: Some(planned.warnings),
            impossible: None,
        }
    }

    /// With what cannot be taken back.
    pub fn leaving(self, impossible: Impossible) -> Self {
        Self {
            impossible: Some(impossible),
            ..self
        }
    }

    /// The plan, if there is one.
    pub fn plan_id(&self) -> Option<Uuid> {
        self.plan.as_ref().map(|plan| plan.plan_id)
    }
}
