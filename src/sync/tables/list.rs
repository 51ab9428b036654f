//! A list, read until it may be believed: one answer that held everything, pages that agree with the total, or two passes that agree with each other.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::value::RawValue;
use sqlx::PgPool;

use super::store::{self, Batch, Store, Visits};
use super::{Amount, Read, Stop, Work};
use crate::load::rows;
use crate::record::Reject;
use crate::resource::{List, Paging};
use crate::scan::verdict::Verdict;
use crate::state::notes::{self, Note};
use crate::state::visits;
use crate::sync::Error;
use crate::table::Row;
use crate::zephr::list::Listed;
use crate::zephr::row::{self, Rows};

/// Passes over a list that is different each time.
const MAX_PASSES: u32 = 5;

/// A list that never ends must.
const MAX_PAGES: u64 = 100_000;

/// Keys of one look into the mirror.
const KEYS: i64 = 5_000;

/// Keys that are asked for, and marked, together.
const GONE_TOGETHER: usize = 200;

/// Items known to exist that are asked for before a 404 is believed.
const CONTROLS: usize = 3;

/// What one pass over a list saw.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// The keys of its items; what an identifier costs in memory, and lists are thousands and not millions.
    keys: HashSet<String>,
    /// Items that have no key, by content.
    keyless: HashSet<[u8; crate::record::HASH_BYTES]>,
    pages: u64,
    /// Whether one answer held everything.
    whole: bool,
    /// Whether all answers named the same total, and as many different items were seen.
    as_many_as_told: bool,
}

impl Pass {
    fn seen(&self) -> u64 {
        (self.keys.len() + self.keyless.len()) as u64
    }

    fn equals(&self, other: &Self) -> bool {
        self.keys == other.keys && self.keyless == other.keyless
    }
}

impl Work<'_> {
    pub(super) async fn list(&self, list: &List, read: &mut Read) -> Result<(), Stop> {
        let living = {
            let mut connection = self.store.pool().acquire().await?;
            rows::count_living(&mut connection, &list.table).await?
        };
        let mut pass = self.pass(list).await?;
        let mut passes = 1;
        let mut believed = self.judge(list, &pass);
        while believed.is_none() && passes < MAX_PASSES {
            let again = self.pass(list).await?;
            passes += 1;
            believed = self.judge(list, &again).or_else(|| {
                again.equals(&pass).then(|| {
                    let words = format!(
                        "{}: two passes over {} pages agreed",
                        list.table.name, again.pages
                    );
                    (Verdict::Agreed, words)
                })
            });
            pass = again;
        }
        let Some(judged) = believed else {
            read.judged.push((
                Verdict::Incomplete,
                format!("{}: {passes} passes never agreed", list.table.name),
            ));
            return Ok(());
        };
        read.judged.push(judged);
        if self.plan.is_sample() {
            return Ok(());
        }
        match self.store {
            Store::Merge(_) => self.missing(list, &pass, living, read).await,
            Store::Compare { .. } => Ok(()),
        }
    }

    fn judge(&self, list: &List, pass: &Pass) -> Option<(Verdict, String)> {
        let name = &list.table.name;
        if pass.whole {
            Some((
                Verdict::Proven,
                format!("{name}: one answer held all {}", pass.seen()),
            ))
        } else if pass.as_many_as_told {
            let words = format!(
                "{name}: {} pages held as many as they told, {}",
                pass.pages,
                pass.seen()
            );
            Some((Verdict::Agreed, words))
        } else {
            None
        }
    }

    /// Reads the list from its first page to its last, and stores what is new.
    async fn pass(&self, list: &List) -> Result<Pass, Stop> {
        let mut pass = Pass {
            as_many_as_told: true,
            ..Pass::default()
        };
        let mut told = None;
        for page in 1..=MAX_PAGES {
            self.go_on()?;
            let paging = match list.paging {
                Paging::A | Paging::B => Some((self.env.rpp, page)),
                Paging::Unpaged => None,
            };
            let listed = self
                .env
                .reader
                .list(&list.path, None, list.items.as_deref(), paging)
                .await?;
            let Some(listed) = listed.filter(|listed| !listed.items.is_empty()) else {
                pass.whole = pass.pages <= 1;
                break;
            };
            let sent = listed.items.len() as u64;
            let total = listed.total;
            let before = pass.seen();
            self.page(list, listed, &mut pass).await?;
            if pass.seen() == before && pass.pages > 0 {
                // A server that knows no pages sends the first one again.
                pass.whole = pass.pages == 1;
                break;
            }
            pass.pages += 1;
            pass.as_many_as_told &= total.is_some() && (told.is_none() || told == total);
            told = total.or(told);
            match list.paging {
                Paging::Unpaged => {
                    pass.whole = true;
                    break;
                }
                // A count on a full first page may be that of the page: one more is asked for.
                Paging::A | Paging::B => {
                    let all_there = total.is_some_and(|total| pass.seen() >= total);
                    if all_there
                        && (pass.pages > 1 || sent < self.env.rpp)
                        && !(list.paging == Paging::A && pass.pages == 1)
                    {
                        pass.whole = pass.pages == 1;
                        break;
                    }
                }
            }
        }
        pass.as_many_as_told &= told == Some(pass.seen());
        Ok(pass)
    }

    /// Stores one page.
    async fn page(&self, list: &List, listed: Listed, pass: &mut Pass) -> Result<(), Stop> {
        let mut batch = Batch {
            answered_at: listed.answered_at,
            ..Batch::default()
        };
        let maker = Rows::new(&list.table, self.env.reader.ignored(), &self.env.privacy);
        let mut shown: Vec<(Box<RawValue>, Row)> = Vec::new();
        for raw in listed.items {
            match maker.read(&raw, None) {
                Ok(row) => {
                    pass.keys.extend(row.key.first().cloned());
                    shown.push((raw, row));
                }
                Err(reject) => {
                    match &reject.id {
                        Some(id) => pass.keys.insert(id.clone()),
                        None => pass.keyless.insert(reject.content_hash),
                    };
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

    /// Asks for the detail of those that are new or shown differently than when they were last asked for; on a full run, of all.
    async fn details(
        &self,
        list: &List,
        path: &str,
        shown: Vec<(Box<RawValue>, Row)>,
        maker: &Rows<'_>,
        batch: &mut Batch,
        pass: &mut Pass,
    ) -> Result<(), Stop> {
        let ids: Vec<&str> = shown
            .iter()
            .filter_map(|(_, row)| row.key.first())
            .map(String::as_str)
            .collect();
        let known = visits::shown(self.store.pool(), &list.table.name, &ids).await?;
        let at = now(self.store.pool()).await?;
        let (due, same): (Vec<_>, Vec<_>) = shown.into_iter().partition(|(_, row)| {
            let visit = row.key.first().and_then(|id| known.get(id));
            visit.is_none_or(|visit| {
                visit.hash.as_deref() != Some(row.hash.as_slice())
                    || match self.plan.extent {
                        Amount::Everything { since } => visit.visited_at < since,
                        Amount::Due | Amount::Sample(_) => false,
                    }
            })
        });
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
                // It was deleted between the two answers.
                pass.keys.remove(&id);
                batch.unchanged += 1;
                continue;
            };
            match maker.read(&row::join(&raw, &detail), None) {
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

    /// Settles the rows that the list did not show.
    async fn missing(
        &self,
        list: &List,
        pass: &Pass,
        living: i64,
        read: &mut Read,
    ) -> Result<(), Stop> {
        let Store::Merge(run) = &self.store else {
            return Ok(());
        };
        let mut missing = Vec::new();
        let mut after = String::new();
        loop {
            let mut connection = run.pool.acquire().await?;
            let keys = rows::living_after(&mut connection, &list.table, &after, KEYS).await?;
            match keys.last() {
                Some(last) => after.clone_from(last),
                None => break,
            }
            missing.extend(keys.into_iter().filter(|key| !pass.keys.contains(key)));
        }
        if missing.is_empty() {
            return Ok(());
        }
        let held: HashMap<String, String> = missing
            .iter()
            .map(|key| (format!("{} {key}", list.table.name), key.clone()))
            .collect();
        let confirmed = match self.plan.confirmed {
            Some(scan_id) => {
                let ids: Vec<&str> = held.keys().map(String::as_str).collect();
                notes::having(run.pool, scan_id, Note::Missing, &ids)
                    .await?
                    .len() as i64
            }
            None => 0,
        };
        let allowed = self.allowed(living);
        let candidates = missing.len() as i64;
        let refused = if candidates - confirmed > allowed {
            Some(format!("and {allowed} may be"))
        } else {
            match &list.detail {
                Some(path) => self
                    .no_witness(path, pass)
                    .await?
                    .map(|why| format!("and cannot be asked for by id ({why})")),
                None => None,
            }
        };
        if let Some(why) = refused {
            let ids: Vec<&str> = held.keys().map(String::as_str).collect();
            notes::add(run.pool, self.plan.scan_id, Note::Missing, &ids).await?;
            read.braked.push(format!(
                "{candidates} living rows of {} are missing from the tenant, {why}: none was marked as deleted",
                list.table.name
            ));
            return Ok(());
        }
        let gone = match &list.detail {
            Some(path) => self.without_detail(path, missing).await?,
            // The witness of a list that shows no single items is the list, read once more.
            None => {
                let again = self.pass(list).await?;
                missing
                    .into_iter()
                    .filter(|key| !again.keys.contains(key))
                    .collect()
            }
        };
        for together in gone.chunks(GONE_TOGETHER) {
            store::tombstone(run, &list.table, together).await?;
        }
        Ok(())
    }

    /// Those that are not found by key either.
    async fn without_detail(&self, path: &str, missing: Vec<String>) -> Result<Vec<String>, Stop> {
        let asked: Vec<(String, bool)> = stream::iter(missing)
            .map(|key| async move {
                let exists = match self.env.reader.single(path, &key).await {
                    Err(error) if error.is_unsendable() => true,
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

    /// Why a 404 for a single item would say nothing: those that the list has just shown get one too.
    async fn no_witness(&self, path: &str, pass: &Pass) -> Result<Option<String>, Stop> {
        let mut asked = 0;
        for key in pass.keys.iter().take(CONTROLS) {
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

/// Postgres's clock.
pub(super) async fn now(pool: &PgPool) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#)
        .fetch_one(pool)
        .await
}
