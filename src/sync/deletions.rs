//! Who is missing from a full scan, and what follows: a candidate, a brake, a witness, a tombstone
//! (design section 3.3).

use futures::{StreamExt, TryStreamExt, stream};
use uuid::Uuid;

use super::progress::Phase;
use super::run::Run;
use super::{Error, Extent};
use ::scan::part::ByPage;
use ::scan::walk::Part;
use mirror::load::compare::{self, Range};
use mirror::load::merge;
use mirror::state::runs::{self, Counts};
use mirror::state::scan_findings::{self, Note};
use remedy::Remedy;
use telemetry::field;
use zephr::person::person;

/// Candidates that are asked for, and marked, together.
const BATCH: i64 = 200;

/// Keys of one look into the mirror.
pub(super) const KEYS: i64 = 5_000;

/// People who are known to exist that are asked for before anybody is believed to be gone. Some of
/// them may have left meanwhile; all of them have not.
const CONTROLS: usize = 3;

/// What came of those who were missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Settled {
    /// Each was asked for; those whom the API does not know are tombstones. So many exist after
    /// all, and of so many nothing was learned.
    Done { alive: i64, unknown: i64 },
    /// There are more than may be; nobody was touched.
    TooMany { missing: i64, allowed: i64 },
    /// The API does not show single users, or has ceased to, so nobody can be asked for; none of
    /// these was touched.
    NoWitness { missing: i64, why: String },
    /// The run was asked to stop.
    Interrupted,
}

/// What the API says of somebody who was missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Witness {
    /// It shows them.
    Exists,
    /// It does not know them.
    Gone,
    /// Nothing: they cannot be asked for, or what came is about nobody, or about somebody else.
    Silent,
}

/// Where in the mirror those are who belong to a part; none stands for those without a date.
pub(super) fn part_range(part: Part) -> Option<Range> {
    match part {
        Part::Undated => None,
        Part::Window(window) => Some(Range {
            from: window.from,
            until: window.until,
        }),
    }
}

/// The deletions of one scan.
pub(super) struct Deletions<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) scan_id: Uuid,
}

impl Deletions<'_> {
    /// Notes who is missing from the parts that were read by page. A window that was whole has
    /// noted its own.
    pub(super) async fn note_missing(&self, parts: &[(Part, ByPage)]) -> Result<(), Error> {
        for (part, read) in parts {
            let range = part_range(*part);
            let mut after = String::new();
            loop {
                let mut transaction = self.run.transaction().await?;
                let living = compare::living(&mut transaction, range, &after, KEYS).await?;
                let missing: Vec<&str> = living
                    .iter()
                    .map(String::as_str)
                    .filter(|id| !read.people.contains(id))
                    .collect();
                scan_findings::add(&mut *transaction, self.scan_id, Note::Missing, &missing)
                    .await?;
                transaction.commit().await?;
                match living.into_iter().next_back() {
                    Some(last) => after = last,
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// Takes back the notes about people whom another part of the scan showed after all: somebody's
    /// registration date may have changed, or may have become unreadable.
    async fn weed(&self) -> Result<(), Error> {
        let runs = runs::of_scan(self.run.pool, self.scan_id).await?;
        let mut after = String::new();
        loop {
            let mut transaction = self.run.transaction().await?;
            let (scan, note) = (self.scan_id, Note::Missing);
            let noted = scan_findings::list(&mut *transaction, scan, note, &after, KEYS).await?;
            let Some(last) = noted.last().cloned() else {
                return Ok(());
            };
            let ids: Vec<&str> = noted.iter().map(String::as_str).collect();
            let untouched = compare::untouched(&mut transaction, &ids, &runs).await?;
            let undated =
                scan_findings::having(&mut *transaction, scan, Note::Undated, &ids).await?;
            let seen: Vec<&str> = ids
                .into_iter()
                .filter(|id| !untouched.contains(*id) || undated.contains(*id))
                .collect();
            scan_findings::strike(&mut *transaction, scan, note, &seen).await?;
            transaction.commit().await?;
            after = last;
        }
    }

    /// Settles them, unless there are more than the brake allows.
    pub(super) async fn settle(&self) -> Result<Settled, Error> {
        self.weed().await?;
        let missing = scan_findings::count(self.run.pool, self.scan_id, Note::Missing).await?;
        if missing > 0 {
            let allowed = self.run.env.brakes.deletions(self.before().await?);
            if missing > allowed {
                return Ok(Settled::TooMany { missing, allowed });
            }
        }
        self.ask_for_each(missing).await
    }

    /// How many were alive before the run. Counted only where somebody is missing: a count reads as
    /// much as a scan compares.
    async fn before(&self) -> Result<i64, Error> {
        let living = compare::count_living(&mut *self.run.pool.acquire().await?).await?;
        let run = runs::get(self.run.pool, self.run.run_id).await?;
        Ok(living - run.map_or(0, |run| run.rows_inserted))
    }

    /// Asks for each of so many by id, and marks those who are not there.
    pub(super) async fn ask_for_each(&self, missing: i64) -> Result<Settled, Error> {
        if missing == 0 {
            return Ok(Settled::Done {
                alive: 0,
                unknown: 0,
            });
        }
        if let Some(why) = self.why_no_witness().await? {
            return Ok(Settled::NoWitness { missing, why });
        }
        let (mut alive, mut unknown) = (0, 0);
        let mut after = String::new();
        loop {
            if self.run.env.shutdown.is_requested() {
                return Ok(Settled::Interrupted);
            }
            let (scan, note) = (self.scan_id, Note::Missing);
            let asked = scan_findings::list(self.run.pool, scan, note, &after, BATCH).await?;
            let Some(last) = asked.last().cloned() else {
                return Ok(Settled::Done { alive, unknown });
            };
            let witnessed: Vec<(&str, Witness)> = stream::iter(&asked)
                .map(|id| async move { Ok::<_, Error>((id.as_str(), self.witness(id).await?)) })
                .buffer_unordered(self.run.env.max_in_flight)
                .try_collect()
                .await?;
            let ids = |said: Witness| -> Vec<&str> {
                let with = witnessed.iter().filter(|(_, witness)| *witness == said);
                with.map(|(id, _)| *id).collect()
            };
            alive += ids(Witness::Exists).len() as i64;
            unknown += ids(Witness::Silent).len() as i64;
            let gone = ids(Witness::Gone);
            // An API that has begun to answer 404 to everybody says nothing about anybody.
            if !gone.is_empty()
                && let Some(why) = self.why_no_witness().await?
            {
                let missing = scan_findings::count(self.run.pool, scan, note).await?;
                return Ok(Settled::NoWitness { missing, why });
            }
            self.mark(&gone).await?;
            after = last;
        }
    }

    async fn mark(&self, gone: &[&str]) -> Result<(), Error> {
        let mut transaction = self.run.transaction().await?;
        let counts = Counts {
            tombstoned: merge::tombstone(&mut transaction, self.run.run_id, gone).await?,
            ..Counts::default()
        };
        scan_findings::strike(&mut *transaction, self.scan_id, Note::Missing, gone).await?;
        runs::add(&mut *transaction, self.run.run_id, counts).await?;
        transaction.commit().await?;
        self.run.env.progress.tombstoned(counts);
        self.run.env.progress.enter(Phase::Tombstoned);
        Ok(())
    }

    async fn witness(&self, id: &str) -> Result<Witness, Error> {
        match self.run.env.reader.user(id).await {
            Ok(None) => Ok(Witness::Gone),
            Ok(Some(found)) => Ok(match person(&found) {
                Some((found, _)) if found == id => Witness::Exists,
                Some(_) | None => Witness::Silent,
            }),
            Err(error) if error.says_nothing() => Ok(Witness::Silent),
            Err(error) => Err(Error::Api(error)),
        }
    }

    /// Whether the API shows single users at all: a 404 for somebody says nothing where people who
    /// exist get one too.
    async fn why_no_witness(&self) -> Result<Option<String>, Error> {
        let mut connection = self.run.pool.acquire().await?;
        let living = compare::some_living(&mut connection, KEYS).await?;
        let ids = living.iter().map(String::as_str);
        let ids: Vec<&str> = ids.collect();
        let missing =
            scan_findings::having(&mut *connection, self.scan_id, Note::Missing, &ids).await?;
        drop(connection);
        let controls: Vec<&str> = ids
            .into_iter()
            .filter(|id| !missing.contains(*id))
            .take(CONTROLS)
            .collect();
        for id in &controls {
            match self.run.env.reader.user(id).await {
                Ok(Some(_)) => return Ok(None),
                Ok(None) => {}
                Err(error) if error.is_unsendable() => {}
                Err(error) => match error.remedy() {
                    Remedy::Person(_) => return Ok(Some(error.to_string())),
                    Remedy::Retry { .. } => return Err(Error::Api(error)),
                },
            }
        }
        if controls.is_empty() {
            // Everybody is missing, and nobody is left to show that the API knows anybody. One
            // person may well have been the last, and of several somebody may say so.
            let is_confirmed = matches!(self.run.extent, Extent::Confirmed(_));
            return Ok((living.len() > 1 && !is_confirmed).then(|| {
                "this scan showed nobody, so nobody can show that GET /v3/users/{user_id} finds those who exist".into()
            }));
        }
        tracing::warn!({ field::RUN } = %self.run.run_id, "people who exist are not found by id");
        Ok(Some(
            "GET /v3/users/{user_id}: not found (404), also for people whom this scan has just seen".into(),
        ))
    }
}
