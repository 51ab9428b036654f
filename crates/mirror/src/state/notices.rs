//! What is to be told to others. It is written down in the transaction that makes it so, and struck
//! out once it is told: whoever dies in between, another tells it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use super::daemons::TERM;

/// What is older is no news any more. A daemon that comes back in the morning still tells what went
/// wrong at night.
const NEWS: Duration = Duration::from_secs(12 * 60 * 60);

/// Something to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Identifier, the same however often it is told.
    pub notice_id: Uuid,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// What it is about.
    pub about: About,
}

/// What something to be told is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// A run of a daemon that ended.
    Run(Uuid),
    /// A push that a daemon carried through, by its plan.
    Push(Uuid),
    /// A slot that should have been run by now.
    Late {
        /// The job.
        job: String,
        /// The slot.
        scheduled_at: DateTime<Utc>,
        /// Since when it is late.
        since: DateTime<Utc>,
    },
}

/// Notes that something is to be told, and forgets what is no news any more.
pub async fn add(
    executor: impl PgExecutor<'_>,
    occurred_at: DateTime<Utc>,
    about: &About,
) -> Result<(), sqlx::Error> {
    let (run_id, plan_id, late) = match about {
        About::Run(run_id) => (Some(*run_id), None, None),
        About::Push(plan_id) => (None, Some(*plan_id), None),
        About::Late {
            job,
            scheduled_at,
            since,
        } => (None, None, Some((job.as_str(), *scheduled_at, *since))),
    };
    sqlx::query!(
        "with forgotten as (
             delete from notices where notice_id in (
                 select notice_id from notices where noted_at <= clock_timestamp() - make_interval(secs => $1) for update skip locked
             )
         )
         insert into notices (notice_id, occurred_at, run_id, plan_id, job, scheduled_at, late_since) values ($2, $3, $4, $5, $6, $7, $8)",
        NEWS.as_secs_f64(),
        Uuid::now_v7(),
        occurred_at,
        run_id,
        plan_id,
        late.map(|(job, _, _)| job),
        late.map(|(_, scheduled_at, _)| scheduled_at),
        late.map(|(_, _, since)| since),
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Takes what nobody tells at present, the oldest first, and not more than so many. `under_way` is
/// what this daemon tells already. A daemon that is gone tells nothing.
pub async fn take(
    executor: impl PgExecutor<'_>,
    teller: Uuid,
    under_way: &[Uuid],
    most: i64,
) -> Result<Vec<Stored>, sqlx::Error> {
    let rows = sqlx::query!(
        "update notices set teller = $1 where notice_id in (
             select notice_id from notices
             where noted_at > clock_timestamp() - make_interval(secs => $2)
               and notice_id <> all($3)
               and (teller is null or teller = $1 or not exists (
                   select from daemons
                   where daemon_id = teller
                     and seen_at > clock_timestamp() - make_interval(secs => $4)
                     and is_alive('daemon ' || daemon_id)
               ))
             order by noted_at, notice_id
             for update skip locked
             limit $5
         )
         returning notice_id, occurred_at, run_id, plan_id, job, scheduled_at, late_since",
        teller,
        NEWS.as_secs_f64(),
        under_way,
        TERM.as_secs_f64(),
        most,
    )
    .fetch_all(executor)
    .await?;
    let mut taken: Vec<Stored> = rows
        .into_iter()
        .filter_map(|row| {
            // The table holds exactly one of them.
            let run = row.run_id.map(About::Run);
            let push = row.plan_id.map(About::Push);
            let late = || {
                Some(About::Late {
                    job: row.job?,
                    scheduled_at: row.scheduled_at?,
                    since: row.late_since?,
                })
            };
            Some(Stored {
                notice_id: row.notice_id,
                occurred_at: row.occurred_at,
                about: run.or(push).or_else(late)?,
            })
        })
        .collect();
    // Identifiers are ordered by time, and what an update returns is not ordered at all.
    taken.sort_unstable_by_key(|stored| stored.notice_id);
    Ok(taken)
}

/// Strikes out what was told, or of which there is nothing to tell.
pub async fn told(executor: impl PgExecutor<'_>, notices: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from notices where notice_id = any($1)", notices)
        .execute(executor)
        .await?;
    Ok(())
}
