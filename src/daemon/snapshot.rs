//! What Postgres knows about the jobs of a tenant, read at once: all that is needed to decide what
//! is due.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::Lapse;
use crate::job::Job;
use mirror::state::leases;
use mirror::state::runs::{self, Attempt};
use mirror::state::schedules::{self, Stored};
use record::Resource;

/// How the jobs stand at one moment.
#[derive(Debug)]
pub(super) struct Seen {
    /// When that is, by the time of schedules.
    pub(super) now: DateTime<Utc>,
    schedules: BTreeMap<String, Stored>,
    attempts: BTreeMap<String, Attempt>,
    held: BTreeSet<String>,
}

impl Seen {
    /// Looks. A schedule that nobody knew, or that reads differently than before, is known from now
    /// on.
    pub(super) async fn read(
        session: &mut PgConnection,
        jobs: &[Job],
        lapse: &mut Lapse,
    ) -> Result<Self, sqlx::Error> {
        let mut known = BTreeMap::new();
        let (clock, stored) = schedules::at(&mut *session).await?;
        for stored in stored {
            known.insert(stored.job.clone(), stored);
        }
        for job in jobs {
            let reads = text(job);
            if known
                .get(&job.name)
                .is_none_or(|known| known.schedule != reads)
            {
                let stored = schedules::learn(&mut *session, &job.name, &reads).await?;
                known.insert(job.name.clone(), stored);
            }
        }
        let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
        let attempts = runs::latest_slots(&mut *session, &names).await?;
        Ok(Self {
            now: lapse.at(clock),
            schedules: known,
            attempts: attempts
                .into_iter()
                .map(|of| (of.job.clone(), of))
                .collect(),
            held: leases::held(session).await?.into_iter().collect(),
        })
    }

    /// What is known of a job's schedule.
    pub(super) fn schedule(&self, job: &Job) -> Option<&Stored> {
        self.schedules.get(&job.name)
    }

    /// The last attempt at the latest slot of a job.
    pub(super) fn attempt(&self, job: &Job) -> Option<&Attempt> {
        self.attempts.get(&job.name)
    }

    /// Whether anybody works on it.
    pub(super) fn is_held(&self, resource: Resource) -> bool {
        self.held.contains(resource.name())
    }
}

/// How a schedule reads; nothing where a job has none of its own.
fn text(job: &Job) -> String {
    let schedule = job.timing.schedule.as_ref();
    schedule.map(ToString::to_string).unwrap_or_default()
}
