//! Leases with fencing tokens (design section 3.8).
//!
//! A lease lives in its holder's database session, by an advisory lock: if that session is gone, or
//! a pooler handed it on, the lease is free at once, so nobody waits for a process that was killed. A holder that is merely stuck loses the lease
//! when the time is over; its token is then old, and every writing transaction checks the token.
//!
//! The lock modes do the fencing. A writing transaction holds the lease row `for key share`; a
//! renewal changes no key column and passes; a takeover changes the token, which is part of a key,
//! and so waits until the transactions under the old token have ended. Those it ends itself, since a
//! process that is stuck may never do so: each holds an advisory lock that names its lease and token.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection, PgExecutor, PgPool, Postgres, Transaction};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::postgres::savepoint::Savepoint;
use clock::{Clock, Moment, time};
use record::Resource;

/// How long a lease lasts without renewal. Long enough for a slow commit, short enough that a stuck
/// holder is not waited for all night.
pub const LEASE: Duration = Duration::from_secs(30);

/// Three renewals fit one lease, so that one lost to a slow moment does not lose the lease.
const RENEWAL: Duration = Duration::from_secs(10);

/// How often a waiting command looks again. A killed holder's session ends within milliseconds.
const POLL: Duration = Duration::from_millis(50);

/// What only one process may work on at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The tables of a resource.
    Resource(Resource),
    /// Pushes to the tenant: one job of the API is open at a time.
    Pushes,
}

impl Subject {
    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resource(resource) => resource.name(),
            Self::Pushes => "bulk",
        }
    }
}

impl From<Resource> for Subject {
    fn from(resource: Resource) -> Self {
        Self::Resource(resource)
    }
}

/// Proof that this process alone works on something. Writing transactions check it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    subject: Subject,
    token: i64,
}

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Host and process.
    pub name: String,
    /// For how long, in seconds.
    pub held_seconds: i64,
}

/// A lease that is held and renewed until it is released or lost.
#[derive(Debug)]
pub struct Lease {
    token: Token,
    lost: watch::Receiver<Option<Loss>>,
    /// When it was last known to be ours.
    renewed: watch::Receiver<Moment>,
    release: watch::Sender<bool>,
    keeper: JoinHandle<()>,
}

/// Why a lease was not had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody alive has it.
    #[error("{} is being worked on by {} (for {} s)", subject.name(), holder.name, holder.held_seconds)]
    Busy {
        /// What is leased.
        subject: Subject,
        /// Who has it.
        holder: Holder,
    },
    /// Somebody else took it after we had not renewed it in time.
    #[error("the lease on {} was taken over by another process", .0.name())]
    Lost(Subject),
    /// It could not be renewed in time.
    #[error("the lease on {} could not be renewed: its Postgres session is gone", .0.name())]
    Unrenewed(Subject),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// How a lease came to an end that its holder did not want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    TakenOver,
    Unrenewed,
}

/// Takes the lease on a resource, waiting for a live holder up to the lease time. `waiting` is
/// told, once, for whom.
///
/// The session given is the lease's own: when it ends, the lease is free.
///
/// # Errors
/// [`Error::Busy`] when a holder is alive and renewing.
pub async fn acquire(
    mut session: PgConnection,
    subject: impl Into<Subject>,
    name: &str,
    mut waiting: impl FnMut(&Holder),
) -> Result<Lease, Error> {
    let subject = subject.into();
    let clock = Clock::system();
    let give_up = time::later(Instant::now(), LEASE);
    let mut told = false;
    loop {
        match holder(&mut session, subject).await? {
            None => {
                let asked = Moment::now(&clock);
                if let Some(token) = take(&mut session, subject, name).await? {
                    return Ok(Lease::keep(session, Token { subject, token }, asked, clock));
                }
            }
            Some(holder) if Instant::now() >= give_up => {
                return Err(Error::Busy { subject, holder });
            }
            Some(holder) => {
                if !told {
                    waiting(&holder);
                    told = true;
                }
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Who holds the lease on something now, if anybody.
pub async fn holder(
    session: &mut PgConnection,
    subject: impl Into<Subject>,
) -> Result<Option<Holder>, sqlx::Error> {
    sqlx::query_as!(
        Holder,
        r#"select holder as name, extract(epoch from clock_timestamp() - acquired_at)::bigint as "held_seconds!"
           from leases
           where resource = $1
             and expires_at > clock_timestamp()
             and is_alive(resource || ' ' || token)"#,
        subject.into().name(),
    )
    .fetch_optional(session)
    .await
}

/// What anybody holds the lease on now, by name.
pub async fn held(executor: impl PgExecutor<'_>) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select resource from leases where expires_at > clock_timestamp() and is_alive(resource || ' ' || token)"
    )
    .fetch_all(executor)
    .await
}

async fn take(
    session: &mut PgConnection,
    subject: Subject,
    name: &str,
) -> Result<Option<i64>, sqlx::Error> {
    let mut transaction = session.begin().await?;
    lock(&mut transaction, subject, name).await?;
    let free = sqlx::query_scalar!(
        "select token from leases
         where resource = $1 and (expires_at <= clock_timestamp() or not is_alive(resource || ' ' || token))",
        subject.name(),
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(token) = free else {
        transaction.commit().await?;
        return Ok(None);
    };
    let old = Token { subject, token };
    // What it wrote and did not commit is in the way, and so is the lock on the row of the lease. A
    // holder whose time is over and whose session lives is stuck; that session must not come back.
    let ended = sqlx::query_scalar!(
        r#"select end_writers($1) + end_writers('session ' || $1) as "ended!""#,
        old.permit(),
    )
    .fetch_one(&mut *transaction)
    .await?;
    if ended > 0 {
        tracing::warn!(
            lease = subject.name(),
            sessions = ended,
            "ended sessions of a former holder of the lease that did not renew it"
        );
    }
    let taken = sqlx::query!(
        "update leases set
             token = token + 1,
             holder = $2,
             session_pid = pg_backend_pid(),
             acquired_at = clock_timestamp(),
             expires_at = clock_timestamp() + make_interval(secs => $3)
         where resource = $1
         returning token, pg_advisory_lock_shared(session_lock(resource || ' ' || token))",
        subject.name(),
        name,
        LEASE.as_secs_f64(),
    )
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(Some(taken.token))
}

/// Makes sure that the row is there, and locks it, as an update does that changes nothing: whoever
/// waits here for another taker looks at what that one has written.
async fn lock(
    connection: &mut PgConnection,
    subject: Subject,
    name: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into leases (resource, token, holder, session_pid, acquired_at, expires_at)
         values ($1, 0, $2, 0, clock_timestamp(), '-infinity')
         on conflict (resource) do update set holder = leases.holder",
        subject.name(),
        name,
    )
    .execute(connection)
    .await?;
    Ok(())
}

impl Token {
    /// The token of another process, for whom this one works: what that one may write, this one
    /// may, and no longer.
    pub fn of_leader(subject: impl Into<Subject>, token: i64) -> Self {
        Self {
            subject: subject.into(),
            token,
        }
    }

    pub(super) fn subject(self) -> Subject {
        self.subject
    }

    /// Its number, for those who work for its holder.
    pub fn number(self) -> i64 {
        self.token
    }

    /// Under what its transactions write, as the advisory lock names it that they hold.
    fn permit(self) -> String {
        format!("{} {}", self.subject.name(), self.token)
    }

    /// A transaction of a batch: the savepoint of its first piece is set, and its fence comes with
    /// [`batches::close`](super::batches::close). Whoever takes the lease over can end it before.
    ///
    /// # Errors
    /// As sqlx.
    pub async fn begin_batch(
        self,
        session: &mut PgConnection,
    ) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
        // Both are of our own making: the name of a subject and a number.
        let begin = AssertSqlSafe(format!(
            "begin; select pg_advisory_xact_lock_shared(writer_lock('{}')); {}",
            self.permit(),
            Savepoint::SET
        ));
        session.begin_with(begin).await
    }

    /// A transaction that only this holder can commit.
    ///
    /// # Errors
    /// [`Error::Lost`] when another process has taken over.
    pub async fn begin(self, pool: &PgPool) -> Result<Transaction<'static, Postgres>, Error> {
        let mut transaction = pool.begin().await?;
        self.fence(&mut transaction).await?;
        Ok(transaction)
    }

    /// Makes a transaction one that only this holder can commit.
    ///
    /// # Errors
    /// [`Error::Lost`] when another process has taken over.
    pub async fn fence(self, transaction: &mut Transaction<'_, Postgres>) -> Result<(), Error> {
        sqlx::query!(
            "select pg_advisory_xact_lock_shared(writer_lock($3)) from leases where resource = $1 and token = $2 for key share",
            self.subject.name(),
            self.token,
            self.permit(),
        )
        .fetch_optional(&mut **transaction)
        .await?
        .map(drop)
        .ok_or(Error::Lost(self.subject))
    }
}

impl Lease {
    fn keep(session: PgConnection, token: Token, asked: Moment, clock: Clock) -> Self {
        let (lost_tx, lost) = watch::channel(None);
        let (renewed_tx, renewed) = watch::channel(asked);
        let (release, released) = watch::channel(false);
        let keeper = tokio::spawn(renew_until_released(
            session,
            token,
            released,
            Told {
                lost: lost_tx,
                renewed: renewed_tx,
                clock,
            },
        ));
        Self {
            token,
            lost,
            renewed,
            release,
            keeper,
        }
    }

    /// The proof to hand to writers.
    pub fn token(&self) -> Token {
        self.token
    }

    /// Whether it is ours at this moment, as far as a process can know that may have been stopped
    /// or may have slept just before: what cannot be fenced in the database is done right after
    /// asking this.
    pub fn is_ours(&self, clock: &Clock) -> bool {
        self.lost.borrow().is_none() && self.renewed.borrow().is_within(LEASE, clock)
    }

    /// Resolves when the lease is lost, and says how.
    pub async fn lost(&self) -> Error {
        let mut lost = self.lost.clone();
        let loss = lost.wait_for(Option::is_some).await.map(|loss| *loss);
        match loss {
            Ok(Some(Loss::TakenOver)) => Error::Lost(self.token.subject),
            Ok(Some(Loss::Unrenewed)) => Error::Unrenewed(self.token.subject),
            // The sender is gone only after a release, and then nobody asks.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Gives the lease back.
    pub async fn release(self) {
        let _ = self.release.send(true);
        let _ = self.keeper.await;
    }
}

/// Whom the keeper of a lease tells how it stands.
struct Told {
    lost: watch::Sender<Option<Loss>>,
    renewed: watch::Sender<Moment>,
    clock: Clock,
}

async fn renew_until_released(
    mut session: PgConnection,
    token: Token,
    mut released: watch::Receiver<bool>,
    told: Told,
) {
    loop {
        tokio::select! {
            _ = released.wait_for(|released| *released) => break,
            () = tokio::time::sleep(RENEWAL) => {}
        }
        let asked = Moment::now(&told.clock);
        let renewed = sqlx::query!(
            "update leases set expires_at = clock_timestamp() + make_interval(secs => $3)
             where resource = $1 and token = $2",
            token.subject.name(),
            token.token,
            LEASE.as_secs_f64(),
        )
        .execute(&mut session)
        .await;
        let loss = match renewed {
            Ok(done) if done.rows_affected() == 1 => {
                let _ = told.renewed.send(asked);
                continue;
            }
            Ok(_) => Loss::TakenOver,
            Err(_) => Loss::Unrenewed,
        };
        let _ = told.lost.send(Some(loss));
        return;
    }
    let ended = sqlx::query!(
        "update leases set expires_at = clock_timestamp() where resource = $1 and token = $2
         returning pg_advisory_unlock_shared(session_lock(resource || ' ' || token))",
        token.subject.name(),
        token.token,
    )
    .fetch_optional(&mut session)
    .await;
    // Either way the session ends now, which frees the lease.
    drop(ended);
    let _ = session.close().await;
}
