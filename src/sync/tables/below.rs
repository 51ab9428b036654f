//! What the API tells one parent at a time: whom to ask for, and what the answer says is gone.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use futures::{StreamExt, stream};

use super::list::now;
use super::store::{self, Batch, Store, Visits};
use super::{Amount, Read, Stop, Work};
use crate::load::rows;
use crate::record::Reject;
use crate::resource::{Below, Budgeted, Paging};
use crate::scan::verdict::Verdict;
use crate::state::notes::{self, Note};
use crate::state::visits::{Due, Round};
use crate::sync::Error;
use crate::table::Row;
use crate::zephr::row::Rows;

/// Parents whose answers commit together.
const TOGETHER: usize = 50;

/// Parents that are looked up together, and the most that are asked for in a run that is not full: their keys are held in memory.
const LOOKED_UP: i64 = 10_000;
const MOST_CHANGED: i64 = 200_000;

/// Pages of one parent.
const MAX_PAGES: u64 = 10_000;

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
    /// There is no such parent, or it cannot be asked for. What is below a parent that is gone goes with it, and whether it is gone is for its own job to settle.
    Nothing,
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
        let mut left = match self.plan.confirmed {
            Some(_) => i64::MAX,
            None => self.allowed(living),
        };
        let mut asked = 0;
        let mut held = Vec::new();
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
                    asked += parents.len();
                    self.visit(below, parents, &mut left, &mut held).await?;
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
                    asked += parents.len();
                    self.visit(below, parents, &mut left, &mut held).await?;
                }
            }
        }
        let state = {
            let mut connection = self.store.pool().acquire().await?;
            round.state(&mut connection).await?
        };
        read.judged.push((
            Verdict::Proven,
            format!(
                "{}: {asked} of {} {} asked for, {} never so far",
                below.table.name, state.parents, below.parents, state.never_visited
            ),
        ));
        if !held.is_empty() {
            if let Store::Merge(run) = &self.store {
                let ids: Vec<&str> = held.iter().map(String::as_str).collect();
                notes::add(run.pool, self.plan.scan_id, Note::Missing, &ids).await?;
            }
            read.braked.push(format!(
                "more living rows of {} are missing from the tenant than the {} that may be: those of {} {} were left as they are",
                below.table.name,
                self.allowed(living),
                held.len(),
                below.parents
            ));
        }
        Ok(())
    }

    /// Asks for some parents, several at once, and stores what is said of them.
    async fn visit(
        &self,
        below: &Below,
        parents: Vec<String>,
        left: &mut i64,
        held: &mut Vec<String>,
    ) -> Result<(), Stop> {
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
            let answers = stream::iter(parents)
                .map(|parent| self.ask(below, maker, parent, known.contains_key(parent)))
                .buffer_unordered(self.env.max_in_flight)
                .ready_chunks(TOGETHER);
            tokio::pin!(answers);
            while let Some(together) = answers.next().await {
                let together: Vec<Answer> = together.into_iter().collect::<Result<_, Error>>()?;
                self.store_answers(below, together, at, known, left, held)
                    .await?;
                self.go_on()?;
            }
        }
        Ok(())
    }

    /// Uses nothing but the API, and storing uses nothing but the mirror: while answers are stored, nobody moves the requests that are still awaited, and what
    /// these hold (a place at the governor, a session) would be waited for in vain.
    async fn ask(
        &self,
        below: &Below,
        maker: &Rows<'_>,
        parent: &str,
        has_rows: bool,
    ) -> Result<Answer, Error> {
        let parent = parent.to_owned();
        let mut rows: Vec<Row> = Vec::new();
        let mut rejects = Vec::new();
        let mut seen = HashSet::new();
        let mut at = None;
        for page in 1..=MAX_PAGES {
            let paging = match below.paging {
                Paging::A | Paging::B => Some((self.env.rpp, page)),
                Paging::Unpaged => None,
            };
            let listed = self
                .env
                .reader
                .list(&below.path, Some(&parent), below.items.as_deref(), paging)
                .await;
            let listed = match listed {
                Err(error) if error.is_unsendable() => {
                    let said = Said::Nothing;
                    return Ok(Answer { parent, said, at });
                }
                other => other?,
            };
            let Some(listed) = listed else {
                // Whether the parent is there itself is asked only if something would follow from that.
                if page == 1 && has_rows && !self.exists(below, &parent).await? {
                    let said = Said::Nothing;
                    return Ok(Answer { parent, said, at });
                }
                break;
            };
            at = listed.answered_at;
            let before = seen.len();
            for raw in &listed.items {
                match maker.read(raw, Some((&below.parent_key, &parent))) {
                    Ok(row) => {
                        seen.insert(row.key.clone());
                        rows.push(row);
                    }
                    Err(reject) => rejects.push(Reject {
                        answered_at: listed.answered_at,
                        ..reject
                    }),
                }
            }
            if seen.len() == before || below.paging == Paging::Unpaged {
                break;
            }
        }
        Ok(Answer {
            parent,
            said: Said::These(rows, rejects),
            at,
        })
    }

    /// Whether a parent below which nothing was found is there itself.
    async fn exists(&self, below: &Below, parent: &str) -> Result<bool, Error> {
        match &below.parent_path {
            Some(path) => Ok(self.env.reader.single(path, parent).await?.is_some()),
            None => Ok(true),
        }
    }

    async fn store_answers(
        &self,
        below: &Below,
        answers: Vec<Answer>,
        at: DateTime<Utc>,
        known: &Known,
        left: &mut i64,
        held: &mut Vec<String>,
    ) -> Result<(), Stop> {
        let mut batch = Batch::default();
        let mut visited = Vec::with_capacity(answers.len());
        for answer in answers {
            batch.answered_at = batch.answered_at.min(answer.at).or(answer.at);
            let (rows, rejects) = match answer.said {
                Said::These(rows, rejects) => (rows, rejects),
                Said::Nothing => {
                    visited.push((answer.parent, None));
                    continue;
                }
            };
            let sent: HashSet<&[String]> = rows.iter().map(|row| row.key.as_slice()).collect();
            // An item without a key may be one of those that seem to be gone.
            let gone: Vec<Vec<String>> = if rejects.iter().any(|reject| reject.id.is_none()) {
                Vec::new()
            } else {
                let known = known.get(&answer.parent).into_iter().flatten();
                known
                    .filter(|key| !sent.contains(key.as_slice()))
                    .cloned()
                    .collect()
            };
            if gone.len() as i64 > *left {
                held.push(format!("{} {}", below.table.name, answer.parent));
            } else {
                *left -= gone.len() as i64;
                batch.gone.extend(gone);
                visited.push((answer.parent, None));
            }
            batch.rows.extend(rows);
            batch.rejects.extend(rejects);
        }
        if self.plan.is_sample() {
            batch.gone.clear();
        } else {
            batch.visits = Some(Visits {
                at,
                parents: visited,
            });
        }
        Ok(self.store.commit(&below.table, batch, &self.erased).await?)
    }
}
