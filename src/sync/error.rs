//! Why a run did not come to its end, and what to do.

use crate::identity;
use mirror::load::define;
use mirror::postgres::ddl::Held;
use mirror::postgres::{reach, sessions};
use mirror::state::leases;
use mirror::state::privacy::KeyError;

/// What stopped a run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API.
    #[error("reading from Zephr failed")]
    Api(#[from] zephr::Error),
    /// The lease.
    #[error("could not acquire the lease")]
    Lease(#[source] leases::Error),
    /// Postgres.
    #[error("Postgres failed")]
    Database(#[from] sqlx::Error),
    /// The mirror is another tenant's.
    #[error(transparent)]
    Tenant(identity::Refusal),
    /// A run whose deletions cannot be let through.
    #[error("run {run_id} {why}")]
    NothingToConfirm {
        /// The run.
        run_id: uuid::Uuid,
        /// Why not.
        why: &'static str,
    },
    /// The table of a list is not what its job file says.
    #[error("the table cannot be used")]
    Table(#[from] define::Error),
    /// A table that has to be changed before anything can be read into it is held by others.
    #[error("the table {0} could not be given a column that [privacy] is about: it is held by {1}")]
    Held(String, Held),
    /// A table of the mirror is not there any more.
    #[error("the table {0} of the mirror was dropped")]
    Dropped(String),
    /// The key of the hashes.
    #[error(transparent)]
    Key(KeyError),
    /// What this run was to be begun for, another one was begun for.
    #[error("another daemon has begun this run")]
    Taken,
    /// A task of our own ended without a word.
    #[error("a part of the run ended unexpectedly")]
    Stopped,
}

impl From<leases::Error> for Error {
    fn from(error: leases::Error) -> Self {
        match error {
            leases::Error::Database(error) => Self::Database(error),
            other @ (leases::Error::Busy { .. }
            | leases::Error::Lost(_)
            | leases::Error::Unrenewed(_)) => Self::Lease(other),
        }
    }
}

impl From<KeyError> for Error {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Database(error) => Self::Database(error),
            other @ (KeyError::Differs { .. } | KeyError::NotGiven) => Self::Key(other),
        }
    }
}

impl From<identity::Error> for Error {
    fn from(error: identity::Error) -> Self {
        match error {
            identity::Error::Refused(refusal) => Self::Tenant(refusal),
            identity::Error::Api(error) => Self::Api(error),
            identity::Error::Database(error) => Self::Database(error),
        }
    }
}

/// What to do when it does not answer.
const POSTGRES_GONE: &str = "Check that Postgres runs and can be reached, then run the command again: it continues after the last commit.";

impl Error {
    /// What happened, from the outside in.
    pub fn chain(&self) -> String {
        remedy::chain(self)
    }

    /// Whether nothing is wrong but that the process is to stop.
    pub fn is_interruption(&self) -> bool {
        matches!(self, Self::Api(error) if error.is_interruption())
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Api(error) => error.remedy().hint().to_owned(),
            Self::Lease(leases::Error::Busy { .. }) => {
                "Wait for it to finish, or stop it; `zephr-sync status` shows what it is doing.".into()
            }
            Self::Lease(leases::Error::Lost(_)) => {
                "This process was too slow to renew its lease, and another continued. Nothing is lost; see `zephr-sync status`.".into()
            }
            Self::Lease(leases::Error::Unrenewed(_)) => POSTGRES_GONE.into(),
            Self::Lease(leases::Error::Database(error)) | Self::Database(error) => database_remedy(error).into(),
            Self::Table(define::Error::Database(error)) => database_remedy(error).into(),
            Self::Table(define::Error::Taken(_)) => "Give the job another table name.".into(),
            Self::Table(define::Error::Different { table, .. }) => format!(
                "Give the job another table name, or drop the old one: drop table {table}. The next run fills it again."
            ),
            Self::Held(..) => "Let that transaction end, or run the command again later. It is not read meanwhile, since what is to be hashed or dropped would be kept.".into(),
            Self::Dropped(_) => "Single tables are not made again. Restore it from a backup (`pg_restore --table`); or drop both schemas, the one with `_sync` too, and run the command again: everything is read anew.".into(),
            Self::NothingToConfirm { .. } => "`zephr-sync runs` lists the latest runs; a braked one names the command that lets it through.".into(),
            Self::Key(error) => error.remedy(),
            Self::Tenant(_) => identity::Refusal::REMEDY.into(),
            Self::Taken => "Nothing to do.".into(),
            Self::Stopped => "Run the command again; it continues after the last commit. If it persists, please report it.".into(),
        }
    }
}

fn database_remedy(error: &sqlx::Error) -> &'static str {
    if sessions::are_shared(error) {
        return sessions::REMEDY;
    }
    if let Some(why) = reach::why(error) {
        return why.remedy();
    }
    let code = error.as_database_error().and_then(|error| error.code());
    match code.as_deref().map(|code| code.get(..2).unwrap_or(code)) {
        // A setting of the session that is refused, a prepared statement that is gone: what answers
        // is not Postgres itself.
        Some("08" | "26") => sessions::REMEDY,
        Some("28") => "Check user and password in DATABASE_URL.",
        Some("3D") => "Create the database that DATABASE_URL names.",
        Some("42") => {
            "Run `zephr-sync migrate`, and give the user of DATABASE_URL the rights that `zephr-sync check` names."
        }
        Some("53") => {
            "Postgres is out of disk, memory or connections; make room, then run the command again: it continues after the last commit."
        }
        Some(_) | None => POSTGRES_GONE,
    }
}
