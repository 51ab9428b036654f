//! Why a plan was not made, or not carried through, and what to do.

use std::path::PathBuf;

use uuid::Uuid;

use crate::identity;
use crate::sync;
use csv_intake::complaint::Complaint;
use mirror::state::leases;
use remedy::{self, Remedy};

/// What stopped it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API.
    #[error("Zephr did not answer as it should")]
    Api(#[from] zephr::Error),
    /// Postgres, or the lease.
    #[error(transparent)]
    Mirror(#[from] sync::Error),
    /// The file as a whole.
    #[error(transparent)]
    File(#[from] csv_intake::Error),
    /// Columns of the file that mean nothing, or nothing that can be done.
    #[error("{} cannot be planned: {}", .path.display(), said(.complaints))]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        complaints: Vec<Complaint>,
    },
    /// A mirror that holds nobody.
    #[error("the mirror holds no users, so there is nothing to compare the file with")]
    EmptyMirror,
    /// A tenant without a user schema.
    #[error("Zephr shows no attribute in the tenant's user schema, so no column can be checked")]
    NoSchema,
    /// The mirror does not hold what users are named by.
    #[error("the privacy settings drop {0}, so users cannot be found by it")]
    NotKept(&'static str),
    /// No such plan.
    #[error("there is no plan {0}")]
    NoPlan(Uuid),
    /// A plan that was never applied cannot be resumed.
    #[error("plan {0} was not applied yet")]
    NotApplied(Uuid),
    /// A plan that has rows without an outcome cannot be taken back.
    #[error("plan {0} is not finished")]
    NotFinished(Uuid),
    /// Nothing of a plan can be taken back.
    #[error("nothing of plan {0} can be taken back")]
    NothingToUndo(Uuid),
    /// The file is not the one that was planned.
    #[error("{} changed since it was planned", .0.display())]
    FileChanged(PathBuf),
    /// Deletions that nobody allowed.
    #[error("the plan deletes {0} users, and deletions were not allowed")]
    DeletesNotAllowed(i64),
    /// More deletions than anybody means.
    #[error("the plan deletes {deletions} users; the brake stops more than {allowed} of {living}")]
    Brake {
        /// Of the plan.
        deletions: i64,
        /// At most.
        allowed: i64,
        /// Living users in the mirror.
        living: i64,
    },
    /// The API refuses whatever it is sent.
    #[error(
        "Zephr refused {0} updates one after the other, each alone in its request, and took none"
    )]
    RefusesAll(u32),
    /// Something that should be impossible.
    #[error("{0}")]
    Broken(&'static str),
}

fn said(complaints: &[Complaint]) -> String {
    let said: Vec<String> = complaints.iter().map(ToString::to_string).collect();
    said.join("; ")
}

impl From<leases::Error> for Error {
    fn from(error: leases::Error) -> Self {
        Self::Mirror(error.into())
    }
}

impl From<identity::Error> for Error {
    fn from(error: identity::Error) -> Self {
        Self::Mirror(error.into())
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Mirror(error.into())
    }
}

impl Error {
    /// What happened, from the outside in.
    pub fn chain(&self) -> String {
        remedy::chain(self)
    }

    /// Whether nothing is wrong but that the process is to stop.
    pub fn is_interruption(&self) -> bool {
        match self {
            Self::Api(error) => error.is_interruption(),
            Self::Mirror(error) => error.is_interruption(),
            Self::File(_)
            | Self::Header { .. }
            | Self::EmptyMirror
            | Self::NoSchema
            | Self::NotKept(_)
            | Self::NoPlan(_)
            | Self::NotApplied(_)
            | Self::NotFinished(_)
            | Self::NothingToUndo(_)
            | Self::FileChanged(_)
            | Self::DeletesNotAllowed(_)
            | Self::Brake { .. }
            | Self::RefusesAll(_)
            | Self::Broken(_) => false,
        }
    }

    /// Whether the same may go well later without anybody doing anything: an outage of the API or
    /// of Postgres, or somebody else at work.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Api(error) | Self::Mirror(sync::Error::Api(error)) => api_may_pass(error),
            Self::Mirror(sync::Error::Database(error)) => postgres_may_pass(error),
            Self::Mirror(sync::Error::Lease(_) | sync::Error::Held(..) | sync::Error::Stopped) => {
                true
            }
            Self::Mirror(
                sync::Error::NothingToConfirm { .. }
                | sync::Error::Table(_)
                | sync::Error::Dropped(_)
                | sync::Error::Taken
                | sync::Error::Key(_)
                | sync::Error::Tenant(_),
            )
            | Self::File(_)
            | Self::Header { .. }
            | Self::EmptyMirror
            | Self::NoSchema
            | Self::NotKept(_)
            | Self::NoPlan(_)
            | Self::NotApplied(_)
            | Self::NotFinished(_)
            | Self::NothingToUndo(_)
            | Self::FileChanged(_)
            | Self::DeletesNotAllowed(_)
            | Self::Brake { .. }
            | Self::RefusesAll(_)
            | Self::Broken(_) => false,
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Api(error) => format!(
                "{} What was sent is written down: `zephr-sync bulk resume` continues.",
                error.remedy().hint()
            ),
            Self::Mirror(error) => error.remedy(),
            Self::File(_) => String::new(),
            Self::Header { .. } => {
                "Rename the columns to slugs of attributes (`zephr-sync api GET /v3/schema/users` shows them), or leave them out with --ignore-columns.".into()
            }
            Self::EmptyMirror => "Run `zephr-sync sync schema users` first.".into(),
            Self::NoSchema => "See `zephr-sync api GET /v3/schema/users`; the key pair's user must be allowed to read it.".into(),
            Self::NotKept(_) => "Name users by user_id, or by something the mirror keeps.".into(),
            Self::NoPlan(_) => "`zephr-sync bulk status` lists the latest plans.".into(),
            Self::NotApplied(plan) => format!("`zephr-sync bulk apply {plan} --yes` applies it."),
            Self::NotFinished(plan) => format!("`zephr-sync bulk resume {plan}` brings it to its end."),
            Self::NothingToUndo(plan) => format!("`zephr-sync bulk results {plan}` shows what became of each row."),
            Self::FileChanged(_) => {
                "Plan it again, and look at the new preview. --force applies the plan as it is, without what changed in the file.".into()
            }
            Self::DeletesNotAllowed(_) => "Deleting cannot be undone. If it is meant, add --allow-deletes.".into(),
            Self::Brake { .. } => {
                "If it is meant, raise the brake for this command: --max-delete-fraction with the share of all users that may go.".into()
            }
            Self::RefusesAll(_) => "`zephr-sync bulk results` shows what Zephr says about them. Nothing else of the plan was sent.".into(),
            Self::Broken(_) => "Please report this. `zephr-sync bulk resume` continues after what is written down.".into(),
        }
    }
}

fn api_may_pass(error: &zephr::Error) -> bool {
    match error.remedy() {
        Remedy::Retry { .. } => true,
        // Not sent because the lease may have gone to another, who carries on.
        Remedy::Person(_) => matches!(error.failure, zephr::Failure::Withheld),
    }
}

/// Everything but what Postgres itself says about a statement of ours: data (22), a constraint
/// (23), a name or a right (42).
fn postgres_may_pass(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    !code.is_some_and(|code| {
        ["22", "23", "42"]
            .iter()
            .any(|class| code.starts_with(class))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(failure: zephr::Failure) -> Error {
        Error::Api(zephr::Error {
            endpoint: "GET /v4/user-updates".into(),
            failure,
        })
    }

    #[test]
    fn an_outage_may_pass_and_a_refusal_does_not() {
        for error in [
            api(zephr::Failure::Connect("refused".into())),
            api(zephr::Failure::Withheld),
            Error::from(sqlx::Error::PoolTimedOut),
            Error::from(sqlx::Error::Io(
                std::io::ErrorKind::ConnectionRefused.into(),
            )),
        ] {
            assert!(error.may_pass(), "{error:?}");
        }
        for error in [
            api(zephr::Failure::Forbidden),
            Error::DeletesNotAllowed(1),
            Error::FileChanged("a.csv".into()),
            Error::RefusesAll(3),
        ] {
            assert!(!error.may_pass(), "{error:?}");
        }
    }
}
