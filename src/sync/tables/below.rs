//! What the API tells one parent at a time: whom to ask for in a run, and what follows from all of
//! their answers.

mod ask;
mod heard;

use std::collections::HashMap;

use futures::{StreamExt, stream};

use super::list::now;
use super::missing::Visited;
use super::store::{self, Store};
use super::{Amount, Read, Stop, Work};
use crate::sync::Error;
use ask::Answer;
use heard::Heard;
use mirror::load::rows;
use mirror::state::poll_schedule::{Due, Round};
use resource::{Below, Budgeted, NotFound};
use zephr::row::Rows;

/// Parents whose answers commit together.
const TOGETHER: usize = 50;

/// Parents that are looked up together, and the most that are asked for in a run that is not full:
/// their keys are held in memory.
const LOOKED_UP: i64 = 10_000;
const MOST_CHANGED: i64 = 200_000;

/// Parents whose rows are looked up together, to be compared with what is said of them.
const KNOWN_TOGETHER: usize = 1_000;

/// The keys of living rows by parent.
type Known = HashMap<String, Vec<Vec<String>>>;

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
        let living = {
            let mut connection = self.store.pool().acquire().await?;
            rows::count_living(&mut connection, &below.table).await?
        };
        let mut heard = self.visit_all(below, &round).await?;
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
        let visited = Visited {
            known: heard.known_rows,
            missing: heard.missing_rows,
        };
        self.settle(&below.table, living, Some(visited), read).await
    }

    /// Asks for all parents whose turn it is.
    async fn visit_all(&self, below: &Below, round: &Round<'_>) -> Result<Heard, Stop> {
        let budget = self.job.budget;
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
        Ok(heard)
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
                let mut batch = heard.take_in(together, at, (place, known));
                if self.plan.is_sample() {
                    (batch.missed, batch.visits) = (None, None);
                }
                self.store.commit(&below.table, batch, &self.erased).await?;
                self.go_on()?;
            }
        }
        Ok(())
    }
}
