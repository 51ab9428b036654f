//! The daemons of a tenant: who is there, and how many of the tenant's requests each may have in
//! flight (design sections 3.9 and 8).
//!
//! Each daemon has a row and beats. A beat says how many places the daemon cannot do without at
//! this moment, and answers how many it may use from now on; all beats of a tenant are one after
//! the other. The row of a daemon that was not [seen for long](TERM) is void, and its places are
//! free.
//!
//! Why the places in use are never more than the ceiling: a daemon uses at most what its row says,
//! because a row grows before its daemon does and falls after it did; a row grows only by what the
//! ceiling leaves beside all other rows; and a daemon that cannot beat stops sending [well
//! before](USE) its row is void. The one exception is a request that is on its way longer than the
//! time between the two, from a daemon that has meanwhile lost Postgres.

mod division;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{Connection, PgConnection, PgExecutor};
use utoipa::ToSchema;
use uuid::Uuid;

pub use division::{Granted, Held, Other, Settled, divide};

/// How long a row lasts after a beat. As long, a daemon that was killed keeps its places: nobody
/// can tell it from one that lost Postgres and still sends.
pub const TERM: Duration = Duration::from_secs(12);

/// For how long a daemon uses its places after a beat: less than its row lasts, by the time that
/// requests under way have to come to their end.
pub const USE: Duration = Duration::from_secs(8);

/// A daemon, as it shows itself to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[expect(
    missing_docs,
    reason = "each is the column of that name, and the columns carry comments"
)]
pub struct Daemon {
    pub daemon_id: Uuid,
    pub holder: String,
    pub started_at: DateTime<Utc>,
    pub seen_at: DateTime<Utc>,
    pub max_in_flight: i32,
    pub places: i32,
}

/// Makes a session one that beats for a daemon, which is alive as long as one does. Postgres ends it
/// when it says nothing for so long in the middle of a beat.
pub async fn prepare(
    session: &mut PgConnection,
    daemon: Uuid,
    stall: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select set_config('idle_in_transaction_session_timeout', $1, false), pg_advisory_lock_shared(session_lock('daemon ' || $2::uuid))",
        stall,
        daemon,
    )
    .fetch_one(session)
    .await
    .map(drop)
}

/// Says that the daemon is there, and answers what it may use. A daemon without a row, or whose row
/// is void, is a newcomer.
pub async fn beat(
    session: &mut PgConnection,
    daemon: Uuid,
    holder: &str,
    max_in_flight: usize,
    held: Held,
) -> Result<Granted, sqlx::Error> {
    let mut transaction = session.begin().await?;
    // Beats wait for each other, readers do not wait for them.
    sqlx::query!("lock table daemons in share row exclusive mode")
        .execute(&mut *transaction)
        .await?;
    sqlx::query!(
        "delete from daemons where seen_at <= clock_timestamp() - make_interval(secs => $1)",
        TERM.as_secs_f64(),
    )
    .execute(&mut *transaction)
    .await?;
    let rows = sqlx::query!(
        "select daemon_id, max_in_flight, places from daemons order by started_at, daemon_id"
    )
    .fetch_all(&mut *transaction)
    .await?;
    let size = |size: i32| usize::try_from(size).unwrap_or_default();
    let mine = rows.iter().position(|row| row.daemon_id == daemon);
    let others: Vec<Other> = rows
        .iter()
        .enumerate()
        .filter(|(position, _)| Some(*position) != mine)
        .map(|(position, row)| Other {
            came_first: mine.is_none_or(|mine| position < mine),
            max_in_flight: size(row.max_in_flight),
            places: size(row.places),
        })
        .collect();
    let settled = divide(&others, mine.is_some(), max_in_flight, held);
    sqlx::query!(
        "insert into daemons (daemon_id, holder, max_in_flight, places)
         values ($1, $2, $3, $4)
         on conflict (daemon_id) do update set
             seen_at = clock_timestamp(),
             max_in_flight = excluded.max_in_flight,
             places = excluded.places",
        daemon,
        holder,
        i32::try_from(max_in_flight).unwrap_or(i32::MAX),
        i32::try_from(settled.places).unwrap_or(i32::MAX),
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(settled.granted)
}

/// Takes the daemon off the list. Its places are free at once, so nothing of it may be in flight.
pub async fn leave(executor: impl PgExecutor<'_>, daemon: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from daemons where daemon_id = $1", daemon)
        .execute(executor)
        .await?;
    Ok(())
}

/// The daemons that are there: seen a short while ago, their sessions alive. Who came first is
/// first.
pub async fn live(executor: impl PgExecutor<'_>) -> Result<Vec<Daemon>, sqlx::Error> {
    sqlx::query_as!(
        Daemon,
        "select daemon_id, holder, started_at, seen_at, max_in_flight, places from daemons
         where seen_at > clock_timestamp() - make_interval(secs => $1)
           and is_alive('daemon ' || daemon_id)
         order by started_at, daemon_id",
        TERM.as_secs_f64(),
    )
    .fetch_all(executor)
    .await
}
