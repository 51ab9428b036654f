//! The reading side of a run: a scan goes on while what it read is written.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::exports::UserExport;
use super::pace::{Handed, Pace};
use super::run::{Moves, Outcome, Run, interrupted, nothing_left, too_many_rejects};
use super::scope::Scope;
use super::share::Lending;
use super::write::{ByBatch, Destination, Sessions, Writers};
use super::{Environment, Error};
use ::scan::Source;
use ::scan::part::{Asking, Fetched, Stopped};
use ::scan::plan::FILL_KNOWN;
use ::scan::verdict::Proof;
use ::scan::walk::{Part, Step, Walk};
use ::scan::whole::Learned;
use ::scan::window::Window;
use mirror::load::compare;
use mirror::state::runs::Ending;
use mirror::state::{checkpoints, windows};

/// Pages that wait for a writer. A few keep both sides busy; each costs a page of memory.
const PAGES_WAITING: usize = 2;

/// What users are asked for, all through a scan. So many are known before it.
pub(super) fn asking_for_users(
    env: &Environment,
    since: Option<DateTime<Utc>>,
    known: i64,
) -> Asking {
    Asking {
        rpp: env.rpp,
        since,
        may_be_undated: true,
        expected: env.brakes.growth(known, env.rpp),
    }
}

/// Where reading came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    End,
    Limit,
    TooManyRejects,
    /// So many were rejected, and nothing is left to be read: there is nothing to go on with.
    RejectsAtEnd,
    Interruption,
}

/// The checkpoint of a scan, begun with the API's clock at its first answer and before its first
/// window is committed.
pub(super) struct Checkpoint<'a> {
    run: &'a Run<'a>,
    /// The scan, as long as it has to be begun.
    begin: Option<Uuid>,
}

impl<'a> Checkpoint<'a> {
    /// Of a run that reads this. A scan that is resumed has one.
    pub(super) fn of(run: &'a Run<'a>, scope: Scope) -> Self {
        let begin = match scope {
            Scope::Full {
                scan_id,
                resumed: None,
                ..
            } => Some(scan_id),
            Scope::Full { .. } | Scope::Incremental { .. } | Scope::Sample { .. } => None,
        };
        Self { run, begin }
    }

    async fn begin(&mut self, at: Option<DateTime<Utc>>) -> Result<(), Error> {
        let Some(scan_id) = self.begin.take() else {
            return Ok(());
        };
        let began = self.run.began(at).await?;
        let mut transaction = self.run.transaction().await?;
        let job = &self.run.job.name;
        checkpoints::begin(&mut *transaction, job, scan_id, began.at).await?;
        windows::prune(&mut *transaction, job, scan_id).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// How many of those whom the mirror knows a window should hold, for pages of this size. The first
/// of the next window is in the second of overlap, and a page that is just full is taken for one
/// that has more behind it.
fn per_window(page: u64) -> i64 {
    let filled = (page as f64 * FILL_KNOWN) as i64;
    filled.min(page.saturating_sub(2) as i64).max(1)
}

/// A scan under way.
pub(super) struct Scan<'a, S: Source<Error = zephr::Error>> {
    env: &'a Environment,
    scope: Scope,
    pub(super) walk: Walk<S>,
    destination: Destination,
    sessions: Sessions,
    lending: Option<Lending<'a>>,
    pace: Pace,
    /// How many records the windows hold that the mirror cut, where it cut any, and where to ask
    /// for smaller ones.
    planned: Option<(i64, PgPool)>,
}

impl<'a, S: Source<Error = zephr::Error>> Scan<'a, S> {
    /// A scan of what the scope says, into the destination.
    pub(super) async fn new(
        env: &'a Environment,
        source: S,
        asking: Asking,
        job: &str,
        scope: Scope,
        destination: Destination,
        sessions: &Sessions,
    ) -> Result<Self, Error> {
        let pool = sessions.pool();
        let learned = match scope {
            // What is to be proven begins with what is seen now.
            Scope::Full { .. } | Scope::Sample { .. } => Learned::default(),
            Scope::Incremental { .. } => remembered(checkpoints::learned(pool, job).await?),
        };
        let mut walk = Walk::new(source, asking, learned, env.max_in_flight);
        if let Scope::Full {
            scan_id,
            resumed: Some(_),
            ..
        } = scope
        {
            let done = windows::of_scan(pool, scan_id).await?;
            walk.resume(&done.iter().map(committed).collect::<Vec<_>>());
        }
        Ok(Self {
            env,
            scope,
            walk,
            destination,
            sessions: sessions.clone(),
            lending: None,
            pace: Pace::new(env.max_in_flight),
            planned: None,
        })
    }

    /// Lends windows to other daemons.
    pub(super) fn lend(&mut self, lending: Lending<'a>) {
        self.lending = Some(lending);
    }

    /// The mirror knows how registrations are spread, and so about how many there are.
    pub(super) async fn cut_by_mirror(&mut self, pool: &PgPool) -> Result<(), Error> {
        let rows = per_window(self.env.rpp);
        self.cut_into(rows, pool.clone()).await
    }

    async fn cut_into(&mut self, rows: i64, pool: PgPool) -> Result<(), Error> {
        let cuts = compare::quantiles(&mut *pool.acquire().await?, rows).await?;
        self.walk.cut_at(&cuts);
        self.env.progress.expect(cuts.len() as i64 * rows);
        self.planned = Some((rows, pool));
        Ok(())
    }

    /// A server that sends less at a time than it is asked for shows that with its first full page:
    /// what is planned is cut smaller, or each of it would be asked twice.
    async fn cut_smaller(&mut self) -> Result<(), Error> {
        let fits = per_window(self.walk.reader().full_page());
        match self.planned.take() {
            Some((rows, pool)) if fits < rows => {
                // Where the old cuts are, new ones are too.
                let pieces = rows.div_euclid(fits) + i64::from(rows % fits > 0);
                self.cut_into((rows / pieces).max(1), pool).await
            }
            planned => {
                self.planned = planned;
                Ok(())
            }
        }
    }

    /// Reads what is left and waits until it is written.
    pub(super) async fn read(
        &mut self,
        checkpoint: Option<&mut Checkpoint<'_>>,
    ) -> Result<Reached, Error> {
        let (pages, receiver) = mpsc::channel(PAGES_WAITING);
        let mut writers = Writers::start(&self.destination, &self.sessions, receiver);
        let reached = self.fetch(&pages, &mut writers, checkpoint).await;
        drop(pages);
        // The writers are always joined before the reader's error is returned: what was fetched is
        // written.
        let written = writers.join().await;
        match (reached, written) {
            (Err(Stopped::Source(error)), Ok(())) => Err(error),
            (Err(Stopped::Closed), Ok(())) | (Ok(_), Err(_)) | (Err(_), Err(_)) => {
                Err(writers.take_error().unwrap_or(Error::Stopped))
            }
            // Only now is it known how many of the last pages could not be stored.
            (Ok(Reached::End), Ok(())) if self.rejects_too_many() => Ok(Reached::RejectsAtEnd),
            (Ok(reached), Ok(())) => Ok(reached),
        }
    }

    fn rejects_too_many(&self) -> bool {
        let rejected = self.env.progress.counts().rejected;
        rejected.unsigned_abs() > self.env.brakes.max_rejects
    }

    async fn fetch(
        &mut self,
        pages: &mpsc::Sender<Fetched>,
        writers: &mut Writers,
        mut checkpoint: Option<&mut Checkpoint<'_>>,
    ) -> Result<Reached, Stopped<Error>> {
        loop {
            // Of what the daemons of a tenant have in flight, this one's part may change at any
            // time.
            let ceiling = self.env.reader.governor().ceiling;
            let most = self.env.max_in_flight.min(ceiling);
            self.walk.set_in_flight(self.pace.within(most));
            let happened = tokio::select! {
                () = self.env.shutdown.requested() => return Ok(Reached::Interruption),
                () = writers.failed() => return Err(Stopped::Closed),
                step = self.walk.step(pages) => Happened::Step(step.map_err(api)?),
                () = due(&mut self.lending) => Happened::Exchange,
            };
            match happened {
                Happened::Step(None) if self.walk.lent() == 0 => return Ok(Reached::End),
                Happened::Step(None) => {
                    // All that is left is being read by others.
                    tokio::select! {
                        () = self.env.shutdown.requested() => return Ok(Reached::Interruption),
                        () = writers.failed() => return Err(Stopped::Closed),
                        () = due(&mut self.lending) => {}
                    }
                    self.exchange(pages).await?;
                }
                Happened::Step(Some(step)) => {
                    let at = self.walk.reader().first_answer();
                    if let Some(checkpoint) = &mut checkpoint {
                        checkpoint.begin(at).await.map_err(Stopped::Source)?;
                    }
                    self.take(step, pages).await?;
                }
                // Nothing is lent before the checkpoint is begun: windows are committed under it.
                Happened::Exchange
                    if checkpoint
                        .as_ref()
                        .is_some_and(|checkpoint| checkpoint.begin.is_some()) => {}
                Happened::Exchange => self.exchange(pages).await?,
            }
            if let Some(reached) = self.stops_here() {
                return Ok(reached);
            }
        }
    }

    /// Hands on what was read.
    async fn take(
        &mut self,
        step: Step,
        pages: &mpsc::Sender<Fetched>,
    ) -> Result<(), Stopped<Error>> {
        let total = self.walk.reader().total();
        let governor = self.env.reader.governor();
        self.env.progress.read_window(total, governor);
        match step {
            Step::Read(mut fetched) => {
                // Of an incremental scan a window holds only some of its people, so only a full one
                // can be compared as a whole.
                if self.scope.since().is_some() {
                    fetched.completes = None;
                }
                let free = pages.capacity();
                pages.send(fetched).await.map_err(|_| Stopped::Closed)?;
                self.pace.hear(Handed {
                    places: pages.max_capacity(),
                    free,
                    in_flight: self.env.reader.governor().in_flight,
                });
                Ok(())
            }
            Step::Learned => self.cut_smaller().await.map_err(Stopped::Source),
        }
    }

    /// Hears from those who read for this scan, and gives them more to do.
    async fn exchange(&mut self, pages: &mpsc::Sender<Fetched>) -> Result<(), Stopped<Error>> {
        match &mut self.lending {
            Some(lending) => lending
                .exchange(&mut self.walk, pages)
                .await
                .map_err(Stopped::Source),
            None => Ok(()),
        }
    }

    fn stops_here(&self) -> Option<Reached> {
        if self.rejects_too_many() {
            return Some(Reached::TooManyRejects);
        }
        let counts = self.env.progress.counts();
        match self.scope {
            Scope::Full { .. } | Scope::Incremental { .. } => None,
            Scope::Sample { limit } => {
                (counts.read.unsigned_abs() >= limit).then_some(Reached::Limit)
            }
        }
    }

    /// The parts that were read by page, as they are to be committed.
    pub(super) fn parts_by_page(&self) -> Vec<windows::Done> {
        let parts = self.walk.by_page().iter();
        parts
            .map(|(part, read)| super::done(*part, read.proof, read.rows))
            .collect()
    }
}

/// What of a scan is committed, as the bookkeeping has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Committed {
    /// Records that the parts held.
    pub(super) rows: u64,
    /// Stretches of time, and the search for users without a date, of which nothing is committed.
    pub(super) missing: usize,
}

impl Committed {
    /// Why nothing is proven, if something was read and not committed.
    pub(super) fn fault(self) -> Option<String> {
        let Self { missing, .. } = self;
        (missing > 0).then(|| {
            format!("{missing} parts of the scan were read and are not committed: this is a fault of zephr-sync")
        })
    }
}

impl Run<'_> {
    /// Reads what is left of a scan; how the run ends if that broke it off.
    pub(super) async fn read_through<S: Source<Error = zephr::Error>>(
        &self,
        scan: &mut Scan<'_, S>,
        scope: Scope,
    ) -> Result<Option<(Ending, Outcome)>, Error> {
        let mut checkpoint = Checkpoint::of(self, scope);
        let most = self.env.brakes.max_rejects;
        Ok(match scan.read(Some(&mut checkpoint)).await? {
            Reached::End => None,
            Reached::Limit => Some((Ending::Succeeded, Outcome::default())),
            Reached::Interruption => Some(interrupted()),
            Reached::TooManyRejects => Some(too_many_rejects(most, Moves::Nothing)),
            Reached::RejectsAtEnd => Some(too_many_rejects(most, nothing_left(scope))),
        })
    }

    /// Commits the parts that were read by page, once all of their pages are, and says what of the
    /// scan is committed then. A scan proves nothing about what it read and did not commit.
    pub(super) async fn commit_by_page<S: Source<Error = zephr::Error>>(
        &self,
        scan_id: Uuid,
        scan: &Scan<'_, S>,
    ) -> Result<Committed, Error> {
        let mut transaction = self.transaction().await?;
        let parts = scan.parts_by_page();
        windows::commit(&mut *transaction, scan_id, self.run_id, &parts).await?;
        let all = windows::of_scan(&mut *transaction, scan_id).await?;
        transaction.commit().await?;
        let (mut covered, mut is_searched) = (Vec::with_capacity(all.len()), false);
        for (part, _) in all.iter().map(committed) {
            match part {
                Part::Window(window) => covered.push(window),
                Part::Undated => is_searched = true,
            }
        }
        let mut gaps = Window::gaps(&covered);
        gaps.retain(|gap| !(scan.walk.left_out()).is_some_and(|window| window.holds(*gap)));
        let is_missing = scan.walk.reader().may_be_undated() && !is_searched;
        Ok(Committed {
            rows: all.iter().map(|done| done.rows_read.unsigned_abs()).sum(),
            missing: gaps.len() + usize::from(is_missing),
        })
    }
}

impl Scan<'_, UserExport> {
    /// Asks for what changed since then, and strikes it out from what this scan noted as changed:
    /// what is left, incremental runs do not see.
    pub(super) async fn strike_seen(
        &self,
        scan_id: Uuid,
        since: DateTime<Utc>,
    ) -> Result<(Reached, ::scan::verdict::Verdict), Error> {
        let env = self.env;
        // Whatever changed is among those whom this scan has shown.
        let asking = asking_for_users(env, Some(since), 0);
        let mut scan = Scan {
            env,
            scope: Scope::Incremental { since },
            walk: Walk::new(
                UserExport(env.reader.clone()),
                asking,
                self.walk.reader().learned(),
                env.max_in_flight,
            ),
            destination: Destination::ByBatch(ByBatch::Strike(scan_id)),
            sessions: self.sessions.clone(),
            lending: None,
            pace: Pace::new(env.max_in_flight),
            planned: None,
        };
        let reached = scan.read(None).await?;
        Ok((reached, scan.walk.verdict().0))
    }
}

/// What a scan waits for.
enum Happened {
    Step(Option<Step>),
    Exchange,
}

/// When it is time to hear from others; never where nothing is shared.
async fn due(lending: &mut Option<Lending<'_>>) {
    match lending {
        Some(lending) => lending.due().await,
        None => std::future::pending().await,
    }
}

pub(super) fn remembered(learned: checkpoints::Learned) -> Learned {
    let size = |size: Option<i64>| size.map(i64::unsigned_abs);
    Learned {
        page_asked: size(learned.page_asked),
        page_held: size(learned.page_held),
        links_tell: learned.links_tell,
        count_is_total: learned.count_is_total,
    }
}

/// What the next incremental run should begin with.
pub(super) fn to_remember(learned: Learned) -> checkpoints::Learned {
    let size = |size: Option<u64>| size.map(|size| size as i64);
    checkpoints::Learned {
        page_asked: size(learned.page_asked),
        page_held: size(learned.page_held),
        links_tell: learned.links_tell,
        count_is_total: learned.count_is_total,
    }
}

fn committed(done: &windows::Done) -> (Part, Proof) {
    let part = if done.part == super::UNDATED {
        Part::Undated
    } else {
        Part::Window(Window {
            from: done.lower_bound,
            until: done.upper_bound,
        })
    };
    // A name that nobody wrote proves nothing.
    (part, Proof::named(&done.proof).unwrap_or(Proof::None))
}

fn api(stopped: Stopped<zephr::Error>) -> Stopped<Error> {
    match stopped {
        Stopped::Source(error) => Stopped::Source(Error::Api(error)),
        Stopped::Closed => Stopped::Closed,
    }
}
