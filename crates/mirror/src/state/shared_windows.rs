//! Windows of a full scan that its leader offers to others: claimed in short transactions, never
//! held across a request.
//!
//! An offer is removed by the leader, and by nobody else: when it has learned what became of it,
//! when it takes it back, or with the end of its run. Whoever commits under a claim holds its row
//! locked meanwhile, so a claim that was taken back cannot commit, and one that commits cannot be
//! taken back.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::checkpoints::Learned;
use super::daemons::TERM;
use super::runs::Counts;

/// How long a claim lasts without renewal, in seconds: longer than a stalled commit, short enough
/// that a scan does not wait long for a claimant that is stuck.
const CLAIM_SECONDS: f64 = 20.0;

/// A scan that is shared.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The run that leads it.
    pub run_id: Uuid,
    /// Its job.
    pub job: String,
    /// The scan.
    pub scan_id: Uuid,
    /// The token of the leader's lease.
    pub token: i64,
    /// Records per page.
    pub rpp: i64,
    /// Whether it is noted who changed.
    pub notes_changes: bool,
    /// What the leader knew about the server's answers.
    pub learned: Learned,
}

/// Who leads, and what helpers need to have in common with it.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The daemon that leads, if it is one.
    pub leader: Option<Uuid>,
    /// The token of its lease.
    pub token: i64,
    /// Hash of the settings that decide what is stored.
    pub settings: &'a [u8],
    /// Records per page.
    pub rpp: i64,
    /// Whether it is noted who changed.
    pub notes_changes: bool,
    /// What it knows about the server's answers.
    pub learned: Learned,
}

/// A window that was claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The offer.
    pub offer_id: i64,
    /// The claimant.
    pub holder: Uuid,
}

/// The bounds of a window: from (inclusive) and until (exclusive), none for an open end.
pub type Bounds = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

/// Requests sent for a window, and those of them that were repeats.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// Requests, retries included.
    pub requests: i64,
    /// Requests that repeated another.
    pub retries: i64,
}

/// What became of a window that was not read whole.
#[derive(Debug, Clone)]
pub enum Unread {
    /// It has to be cut.
    TooLarge {
        /// The registrations on its page, in the order of the page.
        dates: Vec<DateTime<Utc>>,
        /// How many records it holds, where that is known.
        count: Option<i64>,
        /// The API's clock.
        answered_at: Option<DateTime<Utc>>,
    },
    /// Somebody from outside the window was in the answer.
    Unfiltered,
    /// The leader has to read it itself.
    Returned,
}

/// What became of an offer.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It was read whole, and is committed.
    Whole(Counts),
    /// It was not read.
    Unread(Unread),
}

/// An offer of which the leader heard.
#[derive(Debug, Clone)]
pub struct Heard {
    /// The window.
    pub bounds: Bounds,
    /// What became of it.
    pub outcome: Outcome,
    /// What it took.
    pub asked: Asked,
}

/// Begins to share a scan.
pub async fn share(
    executor: impl PgExecutor<'_>,
    run_id: Uuid,
    terms: Terms<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into shared_scans (run_id, token, leader, settings, rpp, notes_changes, page_asked, page_held, links_tell, count_is_total)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        run_id,
        terms.token,
        terms.leader,
        terms.settings,
        terms.rpp,
        terms.notes_changes,
        terms.learned.page_asked,
        terms.learned.page_held,
        terms.learned.links_tell,
        terms.learned.count_is_total,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Removes what the leaders of former runs left: who holds the lease now is alone, and nobody
/// commits for them any more.
pub async fn forget(executor: impl PgExecutor<'_>, resource: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from shared_scans s using runs r where r.run_id = s.run_id and r.resource = $1",
        resource,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Ends the sharing of a scan: no claim stands any more.
pub async fn end(executor: impl PgExecutor<'_>, run_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from shared_scans where run_id = $1", run_id)
        .execute(executor)
        .await?;
    Ok(())
}

/// Offers windows.
pub async fn offer(
    executor: impl PgExecutor<'_>,
    run_id: Uuid,
    windows: &[Bounds],
) -> Result<(), sqlx::Error> {
    let (lower, upper): (Vec<_>, Vec<_>) = windows.iter().copied().unzip();
    sqlx::query!(
        "insert into offers (run_id, lower_bound, upper_bound)
         select $1, * from unnest($2::timestamptz[], $3::timestamptz[])",
        run_id,
        &lower as &[Option<DateTime<Utc>>],
        &upper as &[Option<DateTime<Utc>>],
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// What became of an offer, by its name in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
enum Settled {
    Whole,
    TooLarge,
    Unfiltered,
    Returned,
}

/// What became of offers since it was last asked; they are removed.
pub async fn hear(executor: impl PgExecutor<'_>, run_id: Uuid) -> Result<Vec<Heard>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"delete from offers where offer_id in (
             select offer_id from offers
             where run_id = $1 and state in ('whole', 'too_large', 'unfiltered', 'returned') for update skip locked
         )
         returning lower_bound, upper_bound, state as "state: Settled", requests, retries, rows_read, rows_inserted, rows_updated, rows_unchanged, rows_rejected,
             found_dates, found_count, answered_at"#,
        run_id,
    )
    .fetch_all(executor)
    .await?;
    let heard = rows.into_iter().map(|row| {
        let outcome = match row.state {
            Settled::Whole => Outcome::Whole(Counts {
                read: row.rows_read,
                inserted: row.rows_inserted,
                updated: row.rows_updated,
                unchanged: row.rows_unchanged,
                rejected: row.rows_rejected,
                tombstoned: 0,
                // In the run's record already.
                times_from_numbers: 0,
            }),
            Settled::TooLarge => Outcome::Unread(Unread::TooLarge {
                dates: row.found_dates.unwrap_or_default(),
                count: row.found_count,
                answered_at: row.answered_at,
            }),
            Settled::Unfiltered => Outcome::Unread(Unread::Unfiltered),
            Settled::Returned => Outcome::Unread(Unread::Returned),
        };
        Heard {
            bounds: (row.lower_bound, row.upper_bound),
            outcome,
            asked: Asked {
                requests: row.requests,
                retries: row.retries,
            },
        }
    });
    Ok(heard.collect())
}

/// Takes back what was claimed by somebody who is gone, or too slow. Who is gone in the middle of
/// writing holds the row of its claim: its session is ended, and the claim is taken back when it is
/// looked for again.
pub async fn take_back_lost(
    connection: &mut PgConnection,
    run_id: Uuid,
) -> Result<Vec<Bounds>, sqlx::Error> {
    let rows = sqlx::query!(
        "delete from offers where offer_id in (
             select offer_id from offers o
             where run_id = $1 and state = 'claimed'
               and (expires_at <= clock_timestamp() or not exists (
                   select from daemons d
                   where d.daemon_id = o.holder and d.seen_at > clock_timestamp() - make_interval(secs => $2)
                     and is_alive('daemon ' || d.daemon_id)
               ))
             for update of o skip locked
         )
         returning lower_bound, upper_bound",
        run_id,
        TERM.as_secs_f64(),
    )
    .fetch_all(&mut *connection)
    .await?;
    sqlx::query!(
        "select end_writers('claim ' || offer_id) from offers o
         where run_id = $1 and state = 'claimed'
           and not exists (
               select from daemons d
               where d.daemon_id = o.holder and d.seen_at > clock_timestamp() - make_interval(secs => $2)
           )",
        run_id,
        TERM.as_secs_f64(),
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.lower_bound, row.upper_bound))
        .collect())
}

/// Takes back so many that nobody claimed yet, the last ones first: the first are claimed next.
pub async fn take_back_unclaimed(
    executor: impl PgExecutor<'_>,
    run_id: Uuid,
    most: i64,
) -> Result<Vec<Bounds>, sqlx::Error> {
    let rows = sqlx::query!(
        "delete from offers where offer_id in (
             select offer_id from offers where run_id = $1 and state = 'offered' order by offer_id desc limit $2 for update skip locked
         )
         returning lower_bound, upper_bound",
        run_id,
        most,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.lower_bound, row.upper_bound))
        .collect())
}

/// A scan of somebody else with windows to claim, led under the present lease and with the same
/// settings; none is the common case.
pub async fn find(
    executor: impl PgExecutor<'_>,
    daemon: Uuid,
    resource: &str,
    settings: &[u8],
) -> Result<Option<Shared>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select s.run_id, r.job, r.scan_id as "scan_id!", s.token, s.rpp, s.notes_changes, s.page_asked, s.page_held, s.links_tell, s.count_is_total
           from shared_scans s
           join runs r using (run_id)
           join leases l on l.resource = $2 and l.token = s.token
           where s.settings = $3 and s.leader is distinct from $1 and r.scan_id is not null
             and exists (select from offers o where o.run_id = s.run_id and o.state = 'offered')"#,
        daemon,
        resource,
        settings,
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(|row| Shared {
        run_id: row.run_id,
        job: row.job,
        scan_id: row.scan_id,
        token: row.token,
        rpp: row.rpp,
        notes_changes: row.notes_changes,
        learned: Learned {
            page_asked: row.page_asked,
            page_held: row.page_held,
            links_tell: row.links_tell,
            count_is_total: row.count_is_total,
        },
    }))
}

/// Claims up to so many windows of a shared scan.
pub async fn claim(
    executor: impl PgExecutor<'_>,
    run_id: Uuid,
    holder: Uuid,
    most: i64,
) -> Result<Vec<(Claim, Bounds)>, sqlx::Error> {
    let rows = sqlx::query!(
        "update offers set state = 'claimed', holder = $2, expires_at = clock_timestamp() + make_interval(secs => $4)
         where offer_id in (
             select offer_id from offers where run_id = $1 and state = 'offered' order by offer_id limit $3 for update skip locked
         )
         returning offer_id, lower_bound, upper_bound",
        run_id,
        holder,
        most,
        CLAIM_SECONDS,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let offer_id = row.offer_id;
            (
                Claim { offer_id, holder },
                (row.lower_bound, row.upper_bound),
            )
        })
        .collect())
}

/// Renews all claims that still stand; whether the scan is still shared.
pub async fn renew(
    connection: &mut PgConnection,
    run_id: Uuid,
    holder: Uuid,
) -> Result<bool, sqlx::Error> {
    sqlx::query!(
        "update offers set expires_at = clock_timestamp() + make_interval(secs => $3)
         where run_id = $1 and holder = $2 and state = 'claimed' and expires_at > clock_timestamp()",
        run_id,
        holder,
        CLAIM_SECONDS,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query_scalar!(
        r#"select exists (select from shared_scans where run_id = $1) as "shared!""#,
        run_id,
    )
    .fetch_one(connection)
    .await
}

/// Whether a claim stands; if so, it does until the end of the transaction.
pub async fn stands(connection: &mut PgConnection, claim: Claim) -> Result<bool, sqlx::Error> {
    let standing = sqlx::query!(
        "select pg_advisory_xact_lock_shared(writer_lock('claim ' || offer_id)) from offers
         where offer_id = $1 and holder = $2 and state = 'claimed' and expires_at > clock_timestamp() for update",
        claim.offer_id,
        claim.holder,
    )
    .fetch_optional(connection)
    .await?;
    Ok(standing.is_some())
}

/// Ends a claim whose window was read whole, in the transaction that writes it. The claim must
/// stand.
pub async fn whole(
    executor: impl PgExecutor<'_>,
    claim: Claim,
    counts: Counts,
    asked: Asked,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update offers set state = 'whole', expires_at = null, requests = $2, retries = $3,
             rows_read = $4, rows_inserted = $5, rows_updated = $6, rows_unchanged = $7, rows_rejected = $8
         where offer_id = $1",
        claim.offer_id,
        asked.requests,
        asked.retries,
        counts.read,
        counts.inserted,
        counts.updated,
        counts.unchanged,
        counts.rejected,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Ends a claim whose window was not read; whether it stood.
pub async fn unread(
    executor: impl PgExecutor<'_>,
    claim: Claim,
    unread: &Unread,
    asked: Asked,
) -> Result<bool, sqlx::Error> {
    let (state, dates, count, answered_at) = match unread {
        Unread::TooLarge {
            dates,
            count,
            answered_at,
        } => ("too_large", Some(dates.as_slice()), *count, *answered_at),
        Unread::Unfiltered => ("unfiltered", None, None, None),
        Unread::Returned => ("returned", None, None, None),
    };
    let done = sqlx::query!(
        "update offers set state = $3, expires_at = null, requests = $4, retries = $5, found_dates = $6, found_count = $7, answered_at = $8
         where offer_id = $1 and holder = $2 and state = 'claimed' and expires_at > clock_timestamp()",
        claim.offer_id,
        claim.holder,
        state,
        asked.requests,
        asked.retries,
        dates,
        count,
        answered_at,
    )
    .execute(executor)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Gives back all that a daemon has claimed: it stops helping.
pub async fn give_back(
    executor: impl PgExecutor<'_>,
    run_id: Uuid,
    holder: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update offers set state = 'returned', expires_at = null
         where run_id = $1 and holder = $2 and state = 'claimed' and expires_at > clock_timestamp()",
        run_id,
        holder,
    )
    .execute(executor)
    .await?;
    Ok(())
}
