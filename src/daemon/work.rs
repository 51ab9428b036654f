//! What runs of a tenant work with.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::job::Job;
use crate::sync::progress::Progress;
use crate::sync::{self, Brakes, Cause, Environment, Sharing};
use ::privacy::{Choices, HashKey};
use lifecycle::Shutdown;
use mirror::postgres::connect::Database;
use mirror::state::privacy::{self, Access, KeyError};
use zephr::Reader;

/// The settings of a tenant, as far as runs need them.
#[derive(Debug)]
pub struct Work {
    /// Its mirror.
    pub database: Database,
    /// Reads the tenant; one governor for all that this process does for it.
    pub reader: Reader,
    /// What is hashed or dropped.
    pub choices: Choices,
    /// The key of the hashes, where it is given.
    pub hash_key: Option<HashKey>,
    /// Whether to stop.
    pub shutdown: Shutdown,
    /// Records per page.
    pub rpp: u64,
    /// Requests in flight at most.
    pub max_in_flight: usize,
    /// What stops a run gone wrong.
    pub brakes: Brakes,
    /// How long bookkeeping is kept; none means for ever.
    pub bookkeeping_retention: Option<Duration>,
}

impl Work {
    /// For a run of a job that is begun for this, by the daemon of this identifier.
    ///
    /// # Errors
    /// Postgres, or a hash key that is not the one that was used before.
    pub(super) async fn on(
        &self,
        job: &Job,
        cause: Cause,
        daemon: Uuid,
    ) -> Result<Environment, KeyError> {
        let mut connection = self.database.connect().await?;
        let (choices, given) = (&self.choices, self.hash_key.as_ref());
        let policy = privacy::policy(&mut connection, choices, given, Access::Write).await?;
        Ok(Environment {
            before: sync::asked(&self.reader),
            reader: self.reader.with(job.grants, &job.app_ids).under(&policy),
            database: self.database.clone(),
            privacy: policy,
            progress: Arc::new(Progress::default()),
            shutdown: self.shutdown.clone(),
            rpp: self.rpp,
            max_in_flight: self.max_in_flight,
            brakes: self.brakes.of_job(job),
            bookkeeping_retention: self.bookkeeping_retention,
            sharing: Some(Sharing::but_with(daemon)),
            cause,
        })
    }
}
