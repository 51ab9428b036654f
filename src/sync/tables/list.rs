//! A list, read until it may be believed: one answer that held everything, pages that agree with
//! the total, or two passes that agree with each other.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::value::RawValue;
use sqlx::PgPool;

use super::store::{self, Batch, Store, Visits};
use super::{Amount, Read, Stop, Work};
use crate::sync::Error;
use ::scan::listing::{self, Judgement, Manner};
use ::scan::verdict::{GivenUp, Verdict};
use mirror::load::rows;
use mirror::state::poll_schedule;
use record::Reject;
use record::table::Row;
use resource::{List, NotFound, Paging};
use zephr::list::Listed;
use zephr::row::{self, Rows};

/// Passes over a list that is different each time.
const MAX_PASSES: u32 = 5;

/// Passes in a row that must show the same where items are on two pages, each with another size of
/// page.
const ALIKE_WITH_REPEATS: u32 = 3;

/// Keys of one look into the mirror.
const KEYS: i64 = 5_000;

/// Items known to exist that are asked for before a 404 is believed.
const CONTROLS: usize = 3;

/// What one pass over a list saw.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// The keys of its items with the hash of what was shown last; what an identifier costs in
    /// memory, and lists are thousands and not millions.
    keys: HashMap<String, [u8; record::HASH_BYTES]>,
    /// Items that have the key of another one, and something else in them.
    differing: u64,
    /// Items that have no key, by content.
    keyless: HashSet<[u8; record::HASH_BYTES]>,
    /// Different items of the last answer.
    shown: HashSet<String>,
    /// Items of the list whose detail was a 404.
    without_detail: HashSet<String>,
    pages: u64,
}

impl Pass {
    fn seen(&self) -> u64 {
        (self.keys.len() + self.keyless.len()) as u64
    }

    fn equals(&self, other: &Self) -> bool {
        self.keys.len() == other.keys.len()
            && self.keys.keys().all(|key| other.keys.contains_key(key))
            && self.keyless == other.keyless
    }

    /// Notes an item that was shown.
    fn show(&mut self, key: String, hash: [u8; record::HASH_BYTES]) {
        self.shown.insert(key.clone());
        let before = self.keys.insert(key, hash);
        self.differing += u64::from(before.is_some_and(|before| before != hash));
    }
}

/// An item as the list shows it, and the row it makes.
type Shown = (Box<RawValue>, Row);

/// What is believed about a list: how far, and why.
type Judged = (Verdict, String);

impl Work<'_> {
    pub(super) async fn list(&self, list: &List, read: &mut Read) -> Result<(), Stop> {
        let living = {
            let mut connection = self.store.pool().acquire().await?;
            rows::count_living(&mut connection, &list.table).await?
        };
        let (pass, last, manner, judged) = self.passes(list, living).await?;
        let judged = match self
            .contradicted_details(list, &pass, manner, living)
            .await?
        {
            Some(words) => (Verdict::Incomplete, words),
            None => judged,
        };
        let is_incomplete = judged.0 == Verdict::Incomplete;
        read.grown |= matches!(last, Judgement::Grown(_));
        read.judged.push(judged);
        if pass.differing > 0 {
            let words = format!(
                "{}: {} items have the key of another one and differ from it: of each key the last one is kept",
                list.table.name, pass.differing
            );
            read.judged.push((Verdict::Agreed, words));
        }
        if self.plan.is_sample() || is_incomplete {
            return Ok(());
        }
        match self.store {
            Store::Merge(_) => self.missing(list, &pass, living, read).await,
            Store::Compare { .. } => {
                let missing = self.unseen(list, &pass).await?.len();
                if missing > 0 {
                    let words = format!(
                        "{}: {missing} of {living} living rows were not shown, which a run would settle",
                        list.table.name
                    );
                    read.judged.push((Verdict::Proven, words));
                }
                Ok(())
            }
        }
    }

    /// Reads the list until a pass may be believed, or none can be: the last pass, what is made of
    /// it, how it was asked for, and how far that may be believed.
    async fn passes(
        &self,
        list: &List,
        living: i64,
    ) -> Result<(Pass, Judgement, Manner, Judged), Stop> {
        let mut manner = match list.paging {
            Paging::Unpaged => Manner::Once,
            Paging::A | Paging::B => self.by_page(list.paging),
        };
        let mut before: Option<(Pass, Judgement)> = None;
        let (mut passes, mut alike, mut repeats) = (0, 0, false);
        loop {
            let (pass, judgement, next_manner) = self.pass(list, manner, living).await?;
            passes += 1;
            if let Some(judged) = judged(list, &pass, judgement, living) {
                return Ok((pass, judgement, manner, judged));
            }
            let asked = manner;
            let is_same = (before.as_ref()).is_some_and(|(before, _)| pass.equals(before));
            alike = if is_same { alike + 1 } else { 1 };
            repeats |= judgement == Judgement::Repeats;
            let agrees = before
                .as_ref()
                .is_some_and(|(before, last)| *last == judgement && pass.equals(before));
            match judgement {
                // It says so itself, so it is asked for by page from now on.
                Judgement::SaysMore => manner = self.by_page(Paging::B),
                Judgement::Unclear | Judgement::Repeats
                    if repeats && alike >= ALIKE_WITH_REPEATS =>
                {
                    let words = format!(
                        "{}: {alike} passes with pages of other sizes agreed; some items are listed twice",
                        list.table.name
                    );
                    return Ok((pass, judgement, manner, (Verdict::Agreed, words)));
                }
                Judgement::Unclear if agrees && !repeats => {
                    let words = format!(
                        "{}: two passes over {} pages agreed",
                        list.table.name, pass.pages
                    );
                    return Ok((pass, judgement, manner, (Verdict::Agreed, words)));
                }
                Judgement::Contradicts { told } if agrees || passes >= MAX_PASSES => {
                    let words = contradicts(list, told, pass.seen());
                    return Ok((pass, judgement, manner, (Verdict::Incomplete, words)));
                }
                Judgement::Whole
                | Judgement::AsTold
                | Judgement::Unclear
                | Judgement::NotFound
                | Judgement::Repeats
                | Judgement::Contradicts { .. }
                | Judgement::Stale
                | Judgement::Grown(_)
                | Judgement::Endless => {}
            }
            if manner == asked {
                manner = next_manner;
            }
            if passes >= MAX_PASSES {
                let words = format!(
                    "{}: GET {} was different in each of {passes} passes",
                    list.table.name, list.path
                );
                return Ok((pass, judgement, manner, (Verdict::Incomplete, words)));
            }
            before = Some((pass, judgement));
        }
    }

    /// By page, as much at a time as the settings say.
    pub(super) fn by_page(&self, paging: Paging) -> Manner {
        Manner::ByPage {
            rpp: self.env.rpp,
            total_ends: paging != Paging::A,
        }
    }

    /// Items that the list shows and whose detail is a 404 were deleted in between, or somebody
    /// contradicts himself: then the list still shows them. The list is read once more to know; in
    /// words what it is, if it is that.
    async fn contradicted_details(
        &self,
        list: &List,
        pass: &Pass,
        manner: Manner,
        living: i64,
    ) -> Result<Option<String>, Stop> {
        let Some(path) = &list.detail else {
            return Ok(None);
        };
        if pass.without_detail.is_empty() {
            return Ok(None);
        }
        let (again, _, _) = self.pass(list, manner, living).await?;
        let contradicted = pass.without_detail.intersection(&again.without_detail);
        let contradicted = contradicted.count();
        Ok((contradicted > 0).then(|| {
            format!(
                "{}: GET {} answered 404, or with another item, for {contradicted} that GET {} shows; they stay as they are",
                list.table.name,
                path.replace("{}", "{id}"),
                list.path
            )
        }))
    }

    /// Reads the list from its first page to its last, and stores what is new: what is made of it,
    /// and how to ask for the next.
    async fn pass(
        &self,
        list: &List,
        manner: Manner,
        living: i64,
    ) -> Result<(Pass, Judgement, Manner), Stop> {
        let mut pass = Pass::default();
        let expected = self.growth(living);
        let mut reading = listing::Pass::new(manner, expected);
        loop {
            self.go_on()?;
            let listed = self
                .env
                .reader
                .list(&list.path, None, list.items.as_deref(), reading.asks_for())
                .await?;
            let mut answer = listing::Answer {
                not_found: listed.is_none(),
                ..listing::Answer::default()
            };
            if let Some(listed) = listed {
                let before = pass.seen();
                answer.items = listed.items.len() as u64;
                pass.shown.clear();
                answer.total = listed.total;
                answer.next = listed.next;
                if answer.items > 0 {
                    self.page(list, listed, &mut pass).await?;
                }
                answer.different = pass.shown.len() as u64;
                answer.fresh = pass.seen() - before;
                answer.keyed = !pass.keys.is_empty();
            }
            let goes_on = reading.goes_on(answer);
            if !goes_on {
                break;
            }
        }
        pass.pages = reading.pages();
        Ok((pass, reading.judge(), reading.next_manner()))
    }

    /// Stores one page.
    async fn page(&self, list: &List, listed: Listed, pass: &mut Pass) -> Result<(), Stop> {
        let mut batch = Batch {
            answered_at: listed.answered_at,
            ..Batch::default()
        };
        let maker = Rows::new(&list.table, self.env.reader.ignored(), &self.env.privacy);
        let mut shown: Vec<Shown> = Vec::new();
        for raw in listed.items {
            match maker.read(&raw, None) {
                Ok(row) => {
                    if let Some(key) = row.key.first() {
                        pass.show(key.clone(), row.hash);
                    }
                    shown.push((raw, row));
                }
                Err(reject) => {
                    match &reject.id {
                        Some(id) => pass.show(id.clone(), reject.content_hash),
                        None => {
                            pass.shown.insert(hex::encode(reject.content_hash));
                            pass.keyless.insert(reject.content_hash);
                        }
                    }
                    batch.rejects.push(Reject {
                        answered_at: listed.answered_at,
                        ..reject
                    });
                }
            }
        }
        match &list.detail {
            None => batch.rows = shown.into_iter().map(|(_, row)| row).collect(),
            Some(path) => {
                self.details(list, path, shown, &maker, &mut batch, pass)
                    .await?
            }
        }
        Ok(self.store.commit(&list.table, batch, &self.erased).await?)
    }

    /// Those whose detail is to be asked for, and the others.
    async fn due(&self, list: &List, shown: Vec<Shown>) -> Result<(Vec<Shown>, Vec<Shown>), Stop> {
        let ids: Vec<&str> = shown
            .iter()
            .filter_map(|(_, row)| row.key.first())
            .map(String::as_str)
            .collect();
        let known = poll_schedule::shown(self.store.pool(), &list.table.name, &ids).await?;
        Ok(shown.into_iter().partition(|(_, row)| {
            let visit = row.key.first().and_then(|id| known.get(id));
            visit.is_none_or(|visit| {
                visit.hash.as_deref() != Some(row.hash.as_slice())
                    || match self.plan.extent {
                        Amount::Everything { since } => visit.visited_at < since,
                        Amount::Due | Amount::Sample(_) => false,
                    }
            })
        }))
    }

    /// Asks for the detail of those that are new or shown differently than when they were last
    /// asked for; on a full run, of all.
    async fn details(
        &self,
        list: &List,
        path: &str,
        shown: Vec<Shown>,
        maker: &Rows<'_>,
        batch: &mut Batch,
        pass: &mut Pass,
    ) -> Result<(), Stop> {
        let at = now(self.store.pool()).await?;
        let (due, same) = self.due(list, shown).await?;
        batch.unchanged += same.len() as i64;
        let asked: Vec<(Box<RawValue>, Row, Option<Box<RawValue>>)> = stream::iter(due)
            .map(|(raw, row)| async move {
                let id = row.key.first().cloned().unwrap_or_default();
                let detail = match self.env.reader.single(path, &id).await {
                    // What no path can carry is kept as the list shows it.
                    Err(error) if error.is_unsendable() => Some(RawValue::NULL.to_owned()),
                    other => other?,
                };
                Ok::<_, Error>((raw, row, detail))
            })
            .buffer_unordered(self.env.max_in_flight)
            .try_collect()
            .await?;
        let mut parents = Vec::with_capacity(asked.len());
        for (raw, listed, detail) in asked {
            let id = listed.key.first().cloned().unwrap_or_default();
            let Some(detail) = detail else {
                // The list shows it, so it is there; whether it was deleted between the two answers
                // is found out at the end.
                pass.without_detail.insert(id);
                batch.unchanged += 1;
                continue;
            };
            match maker.read(&row::join(&raw, &detail), None) {
                // What comes for one item and is another one says nothing about either.
                Ok(row) if row.key != listed.key => {
                    pass.without_detail.insert(id);
                    batch.unchanged += 1;
                }
                Ok(row) => {
                    parents.push((id, Some(listed.hash.to_vec())));
                    batch.rows.push(row);
                }
                Err(reject) => batch.rejects.push(reject),
            }
        }
        batch.visits = (!self.plan.is_sample()).then_some(Visits { at, parents });
        Ok(())
    }

    /// Keys of the living rows that the list did not show.
    async fn unseen(&self, list: &List, pass: &Pass) -> Result<Vec<String>, Stop> {
        let mut missing = Vec::new();
        let mut after = String::new();
        loop {
            let mut connection = self.store.pool().acquire().await?;
            let keys = rows::living_after(&mut connection, &list.table, &after, KEYS).await?;
            match keys.last() {
                Some(last) => after.clone_from(last),
                None => break,
            }
            missing.extend(keys.into_iter().filter(|key| !pass.keys.contains_key(key)));
        }
        Ok(missing)
    }

    /// Settles the rows that the list did not show.
    async fn missing(
        &self,
        list: &List,
        pass: &Pass,
        living: i64,
        read: &mut Read,
    ) -> Result<(), Stop> {
        let missing = self.unseen(list, pass).await?;
        match &list.detail {
            None if !missing.is_empty() && !pass.keyless.is_empty() => {
                // An item without a key may be one of those that seem to be gone.
                let words = format!(
                    "{}: {} rows were not shown, and {} items have no key, so nothing is marked as deleted",
                    list.table.name,
                    missing.len(),
                    pass.keyless.len()
                );
                read.judged.push((Verdict::Agreed, words));
                self.miss(&list.table, &[]).await
            }
            None => {
                self.miss(&list.table, &missing).await?;
                self.settle(&list.table, living, None, read).await
            }
            Some(_) if missing.is_empty() => Ok(()),
            Some(path) => {
                self.ask_for_missing(list, path, pass, missing, living, read)
                    .await
            }
        }
    }

    /// Asks for those that the list did not show by their keys, unless there are more than may be
    /// missing.
    async fn ask_for_missing(
        &self,
        list: &List,
        path: &str,
        pass: &Pass,
        missing: Vec<String>,
        living: i64,
        read: &mut Read,
    ) -> Result<(), Stop> {
        let Store::Merge(run) = &self.store else {
            return Ok(());
        };
        let name = &list.table.name;
        let confirmed = self.confirmed(name, &missing).await?;
        let allowed = self.env.brakes.deletions(living);
        let candidates = missing.len() as i64;
        let refused = if candidates - confirmed > allowed {
            Some(format!("and {allowed} may be"))
        } else {
            self.no_witness(path, pass)
                .await?
                .map(|why| format!("and cannot be asked for by id ({why})"))
        };
        if let Some(why) = refused {
            self.hold_back(name, &missing).await?;
            read.braked.push(format!(
                "{candidates} living rows of {name} are missing from the tenant, {why}: none was marked as deleted"
            ));
            return Ok(());
        }
        // Everything is decided before the first row is marked.
        let gone = self.without_detail(path, missing).await?;
        let alive = candidates - gone.len() as i64;
        if alive > 0 {
            read.judged.push((
                Verdict::Agreed,
                format!("{name}: {alive} that the list did not show exist by id, and stay"),
            ));
        }
        Ok(store::tombstone(run, &list.table, &gone).await?)
    }

    /// Those that are not found by key either.
    async fn without_detail(&self, path: &str, missing: Vec<String>) -> Result<Vec<String>, Stop> {
        let asked: Vec<(String, bool)> = stream::iter(missing)
            .map(|key| async move {
                let exists = match self.env.reader.single(path, &key).await {
                    Err(error) if error.says_nothing() => true,
                    other => other?.is_some(),
                };
                Ok::<_, Error>((key, exists))
            })
            .buffer_unordered(self.env.max_in_flight)
            .try_collect()
            .await?;
        Ok(asked
            .into_iter()
            .filter(|(_, exists)| !exists)
            .map(|(key, _)| key)
            .collect())
    }

    /// Why a 404 for a single item would say nothing: those that the list has just shown get one
    /// too.
    async fn no_witness(&self, path: &str, pass: &Pass) -> Result<Option<String>, Stop> {
        let mut asked = 0;
        for key in pass.keys.keys().take(CONTROLS) {
            match self.env.reader.single(path, key).await {
                Ok(Some(_)) => return Ok(None),
                Ok(None) => asked += 1,
                Err(error) if error.is_unsendable() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok((asked > 0)
            .then(|| format!("GET {path} does not find those that the list has just shown")))
    }
}

/// A list that says of itself that there is more than it shows.
fn contradicts(list: &List, told: Option<u64>, seen: u64) -> String {
    let more = told.map_or("more, by its link to a next page".to_owned(), |told| {
        told.to_string()
    });
    let (name, path) = (&list.table.name, &list.path);
    format!("{name}: GET {path} says that there are {more}, and showed {seen} however it was asked")
}

/// What is to be believed of a pass by itself, if it is.
fn judged(list: &List, pass: &Pass, judgement: Judgement, living: i64) -> Option<Judged> {
    let (name, path, seen) = (&list.table.name, &list.path, pass.seen());
    match judgement {
        Judgement::Whole if seen == 0 && living > 0 => Some((
            Verdict::Agreed,
            format!(
                "{name}: GET {path} shows none, where {living} are known: such an answer proves nothing by itself"
            ),
        )),
        Judgement::Whole => Some((
            Verdict::Proven,
            format!("{name}: one answer held all {seen}"),
        )),
        Judgement::AsTold => Some((
            Verdict::Agreed,
            format!(
                "{name}: {} pages held as many as they told, {seen}",
                pass.pages
            ),
        )),
        Judgement::NotFound => Some(match (list.not_found, living) {
            (NotFound::MeansNone, 0) => (
                Verdict::Agreed,
                format!(
                    "{name}: GET {path} answered 404, which is documented to mean that there are none"
                ),
            ),
            (NotFound::MeansNone, _) => (
                Verdict::Agreed,
                format!(
                    "{name}: GET {path} answered 404, where {living} are known: such an answer proves nothing by itself"
                ),
            ),
            (NotFound::MeansNothing, _) => (
                Verdict::Incomplete,
                format!(
                    "{name}: GET {path} answered 404: that shows that something answers, not that there are none"
                ),
            ),
        }),
        Judgement::Stale => Some((
            Verdict::Incomplete,
            format!(
                "{name}: GET {path} does not go by the page number: pages show again what others had shown"
            ),
        )),
        Judgement::Grown(growth) => Some((
            Verdict::Incomplete,
            format!("{name}: GET {path}: {}", GivenUp::Grown(growth)),
        )),
        Judgement::Endless => Some((
            Verdict::Incomplete,
            format!("{name}: GET {path} had no end after {} pages", pass.pages),
        )),
        Judgement::Unclear
        | Judgement::Repeats
        | Judgement::SaysMore
        | Judgement::Contradicts { .. } => None,
    }
}

/// Postgres's clock.
pub(super) async fn now(pool: &PgPool) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#)
        .fetch_one(pool)
        .await
}
