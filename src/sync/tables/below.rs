//! What the API tells one parent at a time: whom to ask for, and what the answer says is gone.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use futures::{StreamExt, stream};

use super::list::now;
use super::store::{self, Batch, Missed, Store, Visits};
use super::{Amount, Read, Stop, Work};
use crate::sync::Error;
use crate::sync::run::Run;
use ::scan::listing::{self, Judgement, Manner};
use ::scan::verdict::Verdict;
use mirror::load::rows;
use mirror::state::poll_schedule::{self, Due, Round, State};
use record::Reject;
use record::table::Row;
use resource::{Below, Budgeted, NotFound, Paging};
use zephr::row::Rows;

/// Parents whose answers commit together.
const TOGETHER: usize = 50;

/// Parents that are asked for themselves, a request each, where all that was asked of them was
/// answered with 404: a path that is gone shows with the first that exists, and this many that do
/// not are no coincidence.
const WITNESSES: usize = 20;

/// Parents that are looked up together, and the most that are asked for in a run that is not full:
/// their keys are held in memory.
const LOOKED_UP: i64 = 10_000;
const MOST_CHANGED: i64 = 200_000;

/// Parents whose rows are looked up together, to be compared with what is said of them.
const KNOWN_TOGETHER: usize = 1_000;

/// The keys of living rows by parent.
type Known = HashMap<String, Vec<Vec<String>>>;

/// What the API said of one parent.
struct Answer {
    parent: String,
    said: Said,
    at: Option<DateTime<Utc>>,
}

enum Said {
    /// These, and no others.
    These(Vec<Row>, Vec<Reject>),
    /// A 404, from a parent that is there, or of which nothing is known that could be lost.
    NotFound,
    /// These, and there may be others: it says that there are more, or had no end.
    Some(Vec<Row>, Vec<Reject>),
    /// There is no such parent, or it cannot be asked for. What is below a parent that is gone goes
    /// with it, and whether it is gone is for its own job to settle.
    Nothing,
}

/// What was said of the parents of a run, in numbers.
#[derive(Debug, Default)]
struct Heard {
    /// Parents that were asked for.
    asked: usize,
    /// Answers that were lists.
    lists: u64,
    /// Parents for which the answer was a 404, where no rows were known, and since when that is so.
    not_found: Vec<(DateTime<Utc>, String)>,
    /// Answers without any, where rows were known: an empty list, or a 404.
    emptied: u64,
    /// Answers that may not have been all there is.
    open: u64,
    /// Answers that lack known rows and show an item without a key, which may be one of them.
    undecided: u64,
    /// Parents for which the answer was a 404, and which are gone themselves.
    gone: usize,
}

impl Work<'_> {
    pub(super) async fn below(&self, below: &Below, read: &mut Read) -> Result<(), Stop> {
        let round = Round {
            table: &below.table.name,
            parents: &below.parents,
            parent_key: &below.parent_key,
        };
        if let Store::Merge(run) = &self.store
            && !self.plan.is_sample()
        {
            store::tombstone_orphans(run, below).await?;
        }
        let budget = self.job.budget;
        let living = {
            let mut connection = self.store.pool().acquire().await?;
            rows::count_living(&mut connection, &below.table).await?
        };
        let mut heard = Heard::default();
        match self.plan.extent {
            Amount::Everything { since } => {
                let mut after = String::new();
                loop {
                    let parents = {
                        let mut connection = self.store.pool().acquire().await?;
                        round
                            .unvisited(&mut connection, since, &after, LOOKED_UP)
                            .await?
                    };
                    match parents.last() {
                        Some(last) => after.clone_from(last),
                        None => break,
                    }
                    self.visit(below, parents, &mut heard).await?;
                }
            }
            Amount::Due | Amount::Sample(_) => {
                let rounds = match below.budget {
                    Budgeted::All => vec![(Due::All, budget)],
                    Budgeted::Unchanged => vec![(Due::New, MOST_CHANGED), (Due::Old, budget)],
                };
                for (due, limit) in rounds {
                    let parents = {
                        let mut connection = self.store.pool().acquire().await?;
                        round.due(&mut connection, due, limit).await?
                    };
                    self.visit(below, parents, &mut heard).await?;
                }
            }
        }
        let is_path_known = living > 0 || heard.lists + heard.emptied > 0;
        if !is_path_known
            && below.not_found == NotFound::MeansNothing
            && self.are_gone(below, &heard.not_found).await?
        {
            // That explains the answers, so they say nothing about the path.
            heard.gone = heard.not_found.len();
            heard.not_found.clear();
        }
        if let Store::Merge(run) = &self.store
            && !self.plan.is_sample()
            && (is_path_known || below.not_found == NotFound::MeansNone)
        {
            heard.note_not_found(run, &below.table.name).await?;
        }
        let state = {
            let mut connection = self.store.pool().acquire().await?;
            round.state(&mut connection).await?
        };
        read.judged
            .push(heard.judge(below, state, self.plan.extent, is_path_known));
        if self.plan.is_sample() {
            return Ok(());
        }
        self.settle(&below.table, living, read).await
    }

    /// Asks for some parents, several at once, and stores what is said of them.
    async fn visit(
        &self,
        below: &Below,
        parents: Vec<String>,
        heard: &mut Heard,
    ) -> Result<(), Stop> {
        heard.asked += parents.len();
        let maker = Rows::new(&below.table, self.env.reader.ignored(), &self.env.privacy);
        let place = below
            .table
            .key
            .iter()
            .position(|column| column.name == below.parent_key)
            .unwrap_or(0);
        for parents in parents.chunks(KNOWN_TOGETHER) {
            // Not later than the requests: a parent that changes meanwhile is asked for again.
            let at = now(self.store.pool()).await?;
            let ids: Vec<&str> = parents.iter().map(String::as_str).collect();
            let living = {
                let mut connection = self.store.pool().acquire().await?;
                rows::living_below(&mut connection, &below.table, &below.parent_key, &ids).await?
            };
            let mut known: Known = HashMap::new();
            for key in living {
                if let Some(parent) = key.get(place).cloned() {
                    known.entry(parent).or_default().push(key);
                }
            }
            let (maker, known) = (&maker, &known);
            let rows_of = |parent: &String| known.get(parent).map_or(0, Vec::len);
            let answers = stream::iter(parents)
                .map(|parent| self.ask(below, maker, parent, rows_of(parent)))
                .buffer_unordered(self.env.max_in_flight)
                .ready_chunks(TOGETHER);
            tokio::pin!(answers);
            while let Some(together) = answers.next().await {
                let together: Vec<Answer> = together.into_iter().collect::<Result<_, Error>>()?;
                self.store_answers(below, together, at, (place, known), heard)
                    .await?;
                self.go_on()?;
            }
        }
        Ok(())
    }

    /// Uses nothing but the API, and storing uses nothing but the mirror: while answers are stored,
    /// nobody moves the requests that are still awaited, and what these hold (a place at the
    /// governor, a session) would be waited for in vain.
    async fn ask(
        &self,
        below: &Below,
        maker: &Rows<'_>,
        parent: &str,
        known: usize,
    ) -> Result<Answer, Error> {
        let manner = match below.paging {
            Paging::Unpaged => Manner::Once,
            Paging::A | Paging::B => self.by_page(below.paging),
        };
        let mut read = self.read_below(below, maker, parent, known, manner).await?;
        if read.judgement == Judgement::SaysMore {
            // It says so itself, so it is asked for by page.
            let manner = self.by_page(Paging::B);
            read = self.read_below(below, maker, parent, known, manner).await?;
        }
        let Reading {
            rows,
            rejects,
            at,
            judgement,
            is_askable,
        } = read;
        if !is_askable {
            return Ok(Answer {
                parent: parent.to_owned(),
                said: Said::Nothing,
                at,
            });
        }
        let said = match judgement {
            // Whether the parent is there itself is asked only if something would follow from that.
            Judgement::NotFound if known > 0 && !self.exists(below, parent).await? => Said::Nothing,
            Judgement::NotFound => Said::NotFound,
            Judgement::Whole | Judgement::AsTold | Judgement::Unclear => Said::These(rows, rejects),
            Judgement::SaysMore
            | Judgement::Contradicts { .. }
            | Judgement::Stale
            | Judgement::Grown(_)
            | Judgement::Endless => Said::Some(rows, rejects),
        };
        Ok(Answer {
            parent: parent.to_owned(),
            said,
            at,
        })
    }

    /// Reads what is below a parent once, from its first page to its last.
    async fn read_below(
        &self,
        below: &Below,
        maker: &Rows<'_>,
        parent: &str,
        known: usize,
        manner: Manner,
    ) -> Result<Reading, Error> {
        let expected = self.growth_below(known as u64);
        let mut pass = listing::Pass::new(manner, expected);
        let mut read = Reading {
            rows: Vec::new(),
            rejects: Vec::new(),
            at: None,
            judgement: Judgement::Whole,
            is_askable: true,
        };
        let mut seen = HashSet::new();
        loop {
            let listed = self
                .env
                .reader
                .list(
                    &below.path,
                    Some(parent),
                    below.items.as_deref(),
                    pass.asks_for(),
                )
                .await;
            let listed = match listed {
                Err(error) if error.is_unsendable() => {
                    read.is_askable = false;
                    return Ok(read);
                }
                other => other?,
            };
            let mut answer = listing::Answer {
                not_found: listed.is_none(),
                ..listing::Answer::default()
            };
            if let Some(listed) = listed {
                read.at = listed.answered_at;
                let before = seen.len();
                for raw in &listed.items {
                    match maker.read(raw, Some((&below.parent_key, parent))) {
                        Ok(row) => {
                            answer.keyed = true;
                            seen.insert(row.key.join("\u{0}"));
                            read.rows.push(row);
                        }
                        Err(reject) => {
                            seen.insert(hex::encode(reject.content_hash));
                            read.rejects.push(Reject {
                                answered_at: listed.answered_at,
                                ..reject
                            });
                        }
                    }
                }
                answer.items = listed.items.len() as u64;
                answer.fresh = (seen.len() - before) as u64;
                answer.total = listed.total;
                answer.next = listed.next;
            }
            if !pass.goes_on(answer) {
                break;
            }
        }
        read.judgement = pass.judge();
        Ok(read)
    }

    /// Whether a parent below which nothing was found is there itself.
    async fn exists(&self, below: &Below, parent: &str) -> Result<bool, Error> {
        match &below.parent_path {
            Some(path) => Ok(self.env.reader.single(path, parent).await?.is_some()),
            None => Ok(true),
        }
    }

    /// Whether the parents for which the answer was a 404 are gone themselves, as far as some of
    /// them tell.
    async fn are_gone(
        &self,
        below: &Below,
        parents: &[(DateTime<Utc>, String)],
    ) -> Result<bool, Error> {
        let step = parents.len().div_ceil(WITNESSES).max(1);
        for (_, parent) in parents.iter().step_by(step) {
            if self.exists(below, parent).await? {
                return Ok(false);
            }
        }
        Ok(!parents.is_empty())
    }

    async fn store_answers(
        &self,
        below: &Below,
        answers: Vec<Answer>,
        at: DateTime<Utc>,
        (position, known): (usize, &Known),
        heard: &mut Heard,
    ) -> Result<(), Stop> {
        let mut batch = Batch::default();
        let mut visited = Vec::with_capacity(answers.len());
        let mut missed = Missed {
            position,
            parents: Vec::with_capacity(answers.len()),
            keys: Vec::new(),
        };
        for answer in answers {
            batch.answered_at = batch.answered_at.min(answer.at).or(answer.at);
            let (rows, rejects) = match answer.said {
                Said::These(rows, rejects) => {
                    heard.lists += 1;
                    let is_emptied = rows.is_empty() && known.contains_key(&answer.parent);
                    heard.emptied += u64::from(is_emptied);
                    (rows, rejects)
                }
                Said::NotFound => {
                    if known.contains_key(&answer.parent) {
                        heard.emptied += 1;
                    } else {
                        // Whether they were asked for is settled when all are: by itself it says
                        // nothing.
                        heard.not_found.push((at, answer.parent));
                        continue;
                    }
                    (Vec::new(), Vec::new())
                }
                Said::Some(rows, rejects) => {
                    // Nothing is missing from what may not be all, and the parent is asked for
                    // again.
                    heard.open += 1;
                    batch.rows.extend(rows);
                    batch.rejects.extend(rejects);
                    continue;
                }
                Said::Nothing => {
                    visited.push((answer.parent, None));
                    continue;
                }
            };
            let sent: HashSet<&[String]> = rows.iter().map(|row| row.key.as_slice()).collect();
            let known = known.get(&answer.parent).into_iter().flatten();
            let mut gone: Vec<Vec<String>> = known
                .filter(|key| !sent.contains(key.as_slice()))
                .cloned()
                .collect();
            if !gone.is_empty() && rejects.iter().any(|reject| reject.id.is_none()) {
                // An item without a key may be one of those that seem to be gone.
                heard.undecided += 1;
                gone.clear();
            }
            missed.parents.push(answer.parent.clone());
            if gone.is_empty() {
                visited.push((answer.parent, None));
            } else {
                // It is asked for again by the next run, which finds out whether that misses them
                // too.
                missed.keys.extend(gone);
            }
            batch.rows.extend(rows);
            batch.rejects.extend(rejects);
        }
        if !self.plan.is_sample() {
            batch.missed = Some(missed);
            batch.visits = Some(Visits {
                at,
                parents: visited,
            });
        }
        Ok(self.store.commit(&below.table, batch, &self.erased).await?)
    }
}

/// What one reading of what is below a parent brought.
struct Reading {
    rows: Vec<Row>,
    rejects: Vec<Reject>,
    at: Option<DateTime<Utc>>,
    judgement: Judgement,
    /// Whether a path can carry the parent's key.
    is_askable: bool,
}

impl Heard {
    /// Notes that those were asked for whose 404 is taken as none.
    async fn note_not_found(&self, run: &Run<'_>, table: &str) -> Result<(), Stop> {
        for together in self.not_found.chunks(KNOWN_TOGETHER) {
            let Some(at) = together.iter().map(|(at, _)| *at).min() else {
                continue;
            };
            let parents: Vec<(&str, Option<&[u8]>)> = together
                .iter()
                .map(|(_, parent)| (parent.as_str(), None))
                .collect();
            let mut transaction = run.pool.begin().await?;
            let fenced = run.lease.token().fence(&mut transaction).await;
            fenced.map_err(Error::from)?;
            poll_schedule::note(&mut *transaction, table, at, &parents).await?;
            transaction.commit().await?;
        }
        Ok(())
    }

    /// How far what was read may be believed, and why.
    fn judge(
        &self,
        below: &Below,
        state: State,
        extent: Amount,
        is_path_known: bool,
    ) -> (Verdict, String) {
        let (name, parents) = (&below.table.name, &below.parents);
        let path = below.path.replace("{}", "{id}");
        let State {
            parents: all,
            never_visited,
            changed,
            oldest_visit,
        } = state;
        let asked = self.asked;
        if self.open > 0 {
            let words = format!(
                "{name}: GET {path} says for {} of {asked} {parents} that there are more than it shows",
                self.open
            );
            return (Verdict::Incomplete, words);
        }
        let not_found = self.not_found.len();
        if not_found > 0 && !is_path_known && below.not_found == NotFound::MeansNothing {
            let words = format!(
                "{name}: GET {path} answered 404 for all of {asked} {parents}: that shows that something answers, not that they have none"
            );
            return (Verdict::Incomplete, words);
        }
        let gone = match self.gone {
            0 => String::new(),
            gone => format!("; {gone} of them do not exist any more"),
        };
        let left = never_visited + changed;
        if left > 0 {
            let words = format!(
                "{name}: read for {asked} of {all} {parents} in this run, {left} not read yet{gone}"
            );
            return (Verdict::Partial, words);
        }
        let mut doubts = gone;
        if not_found > 0 {
            doubts.push_str(&format!("; 404 for {not_found} of them, taken as none"));
        }
        if self.emptied > 0 {
            doubts.push_str(&format!(
                "; GET {path} shows none for {} of which rows are known, which proves nothing by itself",
                self.emptied
            ));
        }
        if self.undecided > 0 {
            doubts.push_str(&format!(
                "; {} of them have an item without a key, so nothing that is missing there is marked as deleted",
                self.undecided
            ));
        }
        let is_all = match extent {
            Amount::Everything { .. } => true,
            Amount::Due | Amount::Sample(_) => asked as i64 >= all,
        };
        if is_all {
            let verdict = if doubts.is_empty() {
                Verdict::Proven
            } else {
                Verdict::Agreed
            };
            return (
                verdict,
                format!("{name}: read for all {all} {parents}{doubts}"),
            );
        }
        let since = oldest_visit.map_or_else(String::new, |oldest| {
            format!(", each since {}", oldest.format("%Y-%m-%d %H:%M UTC"))
        });
        (
            Verdict::Agreed,
            format!("{name}: read for {asked} of {all} {parents} in this run{since}{doubts}"),
        )
    }
}
