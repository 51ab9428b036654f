//! Getting ready: sessions that are ours, a schema that is up to date, the right hash key, a place
//! among the daemons. A Postgres that is away is waited for.

use std::time::Duration;

use crate::activity::Live;
use crate::identity;
use crate::membership::Registered;
use crate::sync;
use clock::time;
use lifecycle::Shutdown;
use mirror::postgres::connect::is_away;
use mirror::postgres::migrate;
use mirror::state::privacy::{self, Access, KeyError};
use remedy::chain;
use telemetry::field;

use super::{LONGEST_ABSENCE, TICK, Work};

/// How often something is tried again that a person has to mend first.
pub(super) const MENDED: Duration = Duration::from_secs(60);

/// What a person has to mend.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// The schema.
    #[error(transparent)]
    Schema(#[from] migrate::Error),
    /// The key of the hashes.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The mirror is another tenant's.
    #[error(transparent)]
    Tenant(identity::Refusal),
    /// The API, when it was to tell whose mirror it is.
    #[error("whether this is the tenant that the mirror holds could not be asked")]
    Api(#[source] zephr::Error),
    /// Anything else that Postgres says.
    #[error("Postgres failed")]
    Postgres(#[from] sqlx::Error),
}

impl From<identity::Error> for Unfit {
    fn from(error: identity::Error) -> Self {
        match error {
            identity::Error::Refused(refusal) => Self::Tenant(refusal),
            identity::Error::Api(error) => Self::Api(error),
            identity::Error::Database(error) => Self::Postgres(error),
        }
    }
}

impl Unfit {
    /// Whether it passes by itself: somebody is away.
    fn passes(&self) -> bool {
        matches!(self, Self::Api(_) | Self::Schema(migrate::Error::Held(_)))
            || self.database().is_some_and(is_away)
    }

    /// Who is away, if somebody is.
    fn who(&self) -> &'static str {
        match self {
            Self::Api(_) => "Zephr",
            Self::Schema(_) | Self::Key(_) | Self::Tenant(_) | Self::Postgres(_) => "Postgres",
        }
    }

    /// Postgres's own error, if it is one.
    fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Schema(migrate::Error::Database(error))
            | Self::Key(KeyError::Database(error))
            | Self::Postgres(error) => Some(error),
            Self::Schema(
                migrate::Error::Newer(_)
                | migrate::Error::Altered(_)
                | migrate::Error::Server(_)
                | migrate::Error::Held(_)
                | migrate::Error::Migration(_),
            )
            | Self::Key(KeyError::Differs { .. } | KeyError::NotGiven)
            | Self::Tenant(_)
            | Self::Api(_) => None,
        }
    }
}

/// What is done about a tenant that a person has to mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    /// It is the only one: the daemon ends, so that it is seen.
    Alone,
    /// Others are kept as well and must not suffer: it is said, and tried again.
    WithOthers,
}

/// Waits until all is there; none when the daemon is told to stop before.
///
/// # Errors
/// What a person has to mend, of a tenant that is alone.
pub(super) async fn ready(
    work: &Work,
    live: &Live,
    company: Company,
) -> Result<Option<Registered>, Unfit> {
    let tenant = work.database.schemas().data();
    let mut pause = TICK;
    loop {
        live.turned();
        let unfit = match all(work).await {
            Ok(registered) => return Ok(Some(registered)),
            Err(unfit) => unfit,
        };
        pause = match (unfit.passes(), company) {
            (true, _) => {
                if pause == TICK {
                    tracing::warn!({ field::TENANT } = tenant, { field::ERROR } = %chain(&unfit), "{} is away; trying again until it is there", unfit.who());
                }
                time::times(pause, 2).min(LONGEST_ABSENCE)
            }
            (false, Company::Alone) => return Err(unfit),
            (false, Company::WithOthers) => {
                tracing::error!({ field::TENANT } = tenant, { field::ERROR } = %chain(&unfit), "this tenant cannot be kept; `zephr-sync check --tenant` tells more");
                MENDED
            }
        };
        if stopped_within(&work.shutdown, pause).await {
            return Ok(None);
        }
    }
}

async fn stopped_within(shutdown: &Shutdown, pause: Duration) -> bool {
    tokio::time::timeout(pause, shutdown.requested())
        .await
        .is_ok()
}

async fn all(work: &Work) -> Result<Registered, Unfit> {
    let database = &work.database;
    let mut connection = database.connect().await?;
    identity::check_address(&mut connection, work.reader.base()).await?;
    let migrated = migrate::run(&mut connection, database.schemas()).await?;
    if let Some(sql) = migrated.role_sql {
        tracing::warn!(
            { field::NOTE } = sql,
            "the role for analysts could not be set up with the rights at hand; somebody with more rights runs this"
        );
    }
    identity::check(&mut connection, &work.reader, identity::Access::Write).await?;
    let (choices, given) = (&work.choices, work.hash_key.as_ref());
    privacy::policy(&mut connection, choices, given, Access::Write).await?;
    let governor = work.reader.limiter();
    Ok(Registered::join(database, governor, &sync::holder_name()).await?)
}
