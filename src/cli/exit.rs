//! How a command ends.

use std::process::ExitCode;

use crate::bulk;
use crate::config;
use crate::daemon::Unfit;
use crate::job;
use mirror::postgres::{migrate, sessions};
use remedy::chain;

use crate::sync;
use crate::verify;
use crate::web;
use mirror::state::{leases, privacy};

/// Exit codes (design section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// Failed, or a scan ended incomplete.
    Failed,
    /// Usage or settings.
    Usage,
    /// Done, with rejects.
    Rejects,
    /// A brake stopped it.
    Braked,
    /// Somebody alive holds the lease.
    LeaseHeld,
    /// Interrupted, state saved.
    Interrupted,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Rejects => 3,
            Self::Braked => 4,
            Self::LeaseHeld => 5,
            Self::Interrupted => 130,
        }
    }

    /// When several apply: an interruption, then 1, then 4, then 5, then 3.
    pub fn worst(self, other: Self) -> Self {
        let rank = |exit: Self| match exit {
            Self::Done => 0,
            Self::Rejects => 1,
            Self::LeaseHeld => 2,
            Self::Braked => 3,
            Self::Failed => 4,
            Self::Usage => 5,
            Self::Interrupted => 6,
        };
        if rank(other) > rank(self) {
            other
        } else {
            self
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command could not do its work: what happened, and what to do.
#[derive(Debug)]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    /// What happened.
    pub error: String,
    /// What to do; empty when the error says it.
    pub remedy: String,
}

impl Failure {
    /// A failure of the work.
    pub fn new(error: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            exit: Exit::Failed,
            error: error.into(),
            remedy: remedy.into(),
        }
    }

    /// A failure of what was asked.
    pub fn usage(error: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            error: error.into(),
            remedy: remedy.into(),
        }
    }
}

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Self {
        Self::usage(chain(&error), "")
    }
}

impl From<job::Error> for Failure {
    fn from(error: job::Error) -> Self {
        Self::usage(chain(&error), "")
    }
}

impl From<zephr::Error> for Failure {
    fn from(error: zephr::Error) -> Self {
        let remedy = error.remedy().hint().to_owned();
        Self::new(chain(&error), remedy)
    }
}

impl From<sync::Error> for Failure {
    fn from(error: sync::Error) -> Self {
        let exit = match &error {
            sync::Error::Lease(leases::Error::Busy { .. }) => Exit::LeaseHeld,
            sync::Error::NothingToConfirm { .. } | sync::Error::Key(_) | sync::Error::Tenant(_) => {
                Exit::Usage
            }
            sync::Error::Database(error) if sessions::are_shared(error) => Exit::Usage,
            sync::Error::Lease(
                leases::Error::Lost(_) | leases::Error::Unrenewed(_) | leases::Error::Database(_),
            )
            | sync::Error::Api(_)
            | sync::Error::Database(_)
            | sync::Error::Table(_)
            | sync::Error::Held(..)
            | sync::Error::Taken
            | sync::Error::Dropped(_)
            | sync::Error::Stopped => Exit::Failed,
        };
        Self {
            exit,
            error: error.chain(),
            remedy: error.remedy(),
        }
    }
}

impl From<verify::Error> for Failure {
    fn from(error: verify::Error) -> Self {
        match error {
            verify::Error::Database(error) => error.into(),
            verify::Error::Api(error) => error.into(),
        }
    }
}

impl From<bulk::Error> for Failure {
    fn from(error: bulk::Error) -> Self {
        let (text, remedy) = (error.chain(), error.remedy());
        let exit = match error {
            bulk::Error::Mirror(error) => return error.into(),
            bulk::Error::Brake { .. } | bulk::Error::DeletesNotAllowed(_) => Exit::Braked,
            bulk::Error::NoPlan(_) | bulk::Error::NotApplied(_) | bulk::Error::NotFinished(_) => {
                Exit::Usage
            }
            bulk::Error::Api(_)
            | bulk::Error::File(_)
            | bulk::Error::Header { .. }
            | bulk::Error::EmptyMirror
            | bulk::Error::NoSchema
            | bulk::Error::NotKept(_)
            | bulk::Error::NothingToUndo(_)
            | bulk::Error::FileChanged(_)
            | bulk::Error::RefusesAll(_)
            | bulk::Error::Broken(_) => Exit::Failed,
        };
        Self {
            exit,
            error: text,
            remedy,
        }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        sync::Error::from(error).into()
    }
}

impl From<privacy::KeyError> for Failure {
    fn from(error: privacy::KeyError) -> Self {
        let remedy = error.remedy();
        match error {
            privacy::KeyError::Database(error) => error.into(),
            other @ (privacy::KeyError::Differs { .. } | privacy::KeyError::NotGiven) => {
                Self::usage(chain(&other), remedy)
            }
        }
    }
}

impl From<Unfit> for Failure {
    fn from(error: Unfit) -> Self {
        match error {
            Unfit::Schema(error) => error.into(),
            Unfit::Key(error) => error.into(),
            Unfit::Tenant(refusal) => sync::Error::Tenant(refusal).into(),
            Unfit::Api(error) => error.into(),
            Unfit::Postgres(error) => error.into(),
        }
    }
}

impl From<migrate::Error> for Failure {
    fn from(error: migrate::Error) -> Self {
        match error {
            migrate::Error::Database(error) => error.into(),
            other @ (migrate::Error::Newer(_)
            | migrate::Error::Altered(_)
            | migrate::Error::Server(_)
            | migrate::Error::Held(_)
            | migrate::Error::Migration(_)) => Self::new(chain(&other), ""),
        }
    }
}

impl From<private_postgres::PrivateError> for Failure {
    fn from(error: private_postgres::PrivateError) -> Self {
        // What to do about the others is in what they say.
        let remedy = if matches!(error, private_postgres::PrivateError::Io { .. }) {
            "Name a directory that you may write with --data-dir, or a server with DATABASE_URL."
        } else {
            ""
        };
        Self::new(chain(&error), remedy)
    }
}

impl From<simulator::Error> for Failure {
    fn from(error: simulator::Error) -> Self {
        Self::new(
            chain(&error),
            "Choose another address with --listen; port 0 takes a free one.",
        )
    }
}

impl From<web::settings::Error> for Failure {
    fn from(error: web::settings::Error) -> Self {
        let remedy = error.remedy();
        Self::usage(error.to_string(), remedy)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(chain(&error), "")
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::new(chain(&error), "")
    }
}
