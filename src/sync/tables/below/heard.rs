//! What was heard of the parents of a run: what of it is to be stored, and how far it may be
//! believed.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::super::store::{Batch, Missed, Visits};
use super::super::{Amount, Stop};
use super::ask::{Answer, Said};
use super::{KNOWN_TOGETHER, Known};
use crate::sync::run::Run;
use ::scan::verdict::Verdict;
use mirror::state::poll_schedule::{self, State};
use record::Reject;
use record::table::Row;
use resource::{Below, NotFound};

/// What was said of the parents of a run, in numbers.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Parents that were asked for.
    pub(super) asked: usize,
    /// Answers that were lists.
    pub(super) lists: u64,
    /// Parents for which the answer was a 404, where no rows were known, and since when that is so.
    pub(super) not_found: Vec<(DateTime<Utc>, String)>,
    /// Answers without any, where rows were known: an empty list, or a 404.
    pub(super) emptied: u64,
    /// Answers that may not have been all there is.
    pub(super) open: u64,
    /// Answers that lack known rows and show an item without a key, which may be one of them.
    pub(super) undecided: u64,
    /// Parents for which the answer was a 404, and which are gone themselves.
    pub(super) gone: usize,
    /// Items that name another parent than the one that was asked.
    pub(super) of_others: u64,
    /// Living rows of those whose answers were whole.
    pub(super) known_rows: i64,
    /// Those of them that their answers did not show.
    pub(super) missing_rows: i64,
}

impl Heard {
    /// Takes in what was said of some parents that were asked for at this time, and answers what of
    /// it is to be stored. `position` is where the key of the parent stands in the key of a row.
    pub(super) fn take_in(
        &mut self,
        answers: Vec<Answer>,
        at: DateTime<Utc>,
        (position, known): (usize, &Known),
    ) -> Batch {
        let mut batch = Batch::default();
        let mut visited = Vec::with_capacity(answers.len());
        let mut missed = Missed::of(position);
        for answer in answers {
            batch.answered_at = batch.answered_at.min(answer.at).or(answer.at);
            let living = known.get(&answer.parent).map_or(&[][..], Vec::as_slice);
            self.of_others += answer.said.naming_others();
            let (rows, rejects) = match answer.said {
                Said::These(rows, rejects) => {
                    self.lists += 1;
                    self.emptied += u64::from(rows.is_empty() && !living.is_empty());
                    (rows, rejects)
                }
                Said::NotFound if living.is_empty() => {
                    // Whether they were asked for is settled when all are: by itself it says
                    // nothing.
                    self.not_found.push((at, answer.parent));
                    continue;
                }
                Said::NotFound => {
                    self.emptied += 1;
                    (Vec::new(), Vec::new())
                }
                Said::Some(rows, rejects) => {
                    // Nothing is missing from what may not be all, and the parent is asked for
                    // again.
                    self.open += 1;
                    batch.add(rows, rejects);
                    continue;
                }
                Said::Nothing => {
                    visited.push((answer.parent, None));
                    continue;
                }
            };
            let gone = self.gone(living, &rows, &rejects);
            self.known_rows += living.len() as i64;
            self.missing_rows += gone.len() as i64;
            missed.parents.push(answer.parent.clone());
            if gone.is_empty() {
                visited.push((answer.parent, None));
            } else {
                // It is asked for again by the next run, which finds out whether that misses them
                // too.
                missed.keys.extend(gone);
            }
            batch.add(rows, rejects);
        }
        batch.missed = Some(missed);
        batch.visits = Some(Visits {
            at,
            parents: visited,
        });
        batch
    }

    /// The living rows that an answer does not show. An item without a key may be one of those that
    /// seem to be gone.
    fn gone(
        &mut self,
        living: &[Vec<String>],
        rows: &[Row],
        rejects: &[Reject],
    ) -> Vec<Vec<String>> {
        let shown: HashSet<&[String]> = rows.iter().map(|row| row.key.as_slice()).collect();
        let unseen = living.iter().filter(|key| !shown.contains(key.as_slice()));
        let gone: Vec<Vec<String>> = unseen.cloned().collect();
        if !gone.is_empty() && rejects.iter().any(|reject| reject.id.is_none()) {
            self.undecided += 1;
            return Vec::new();
        }
        gone
    }

    /// Notes that those were asked for whose 404 is taken as none.
    pub(super) async fn note_not_found(&self, run: &Run<'_>, table: &str) -> Result<(), Stop> {
        for together in self.not_found.chunks(KNOWN_TOGETHER) {
            let Some(at) = together.iter().map(|(at, _)| *at).min() else {
                continue;
            };
            let parents: Vec<(&str, Option<&[u8]>)> = together
                .iter()
                .map(|(_, parent)| (parent.as_str(), None))
                .collect();
            let mut transaction = run.transaction().await?;
            poll_schedule::note(&mut *transaction, table, at, &parents).await?;
            transaction.commit().await?;
        }
        Ok(())
    }

    /// How far what was read may be believed, and why.
    pub(super) fn judge(
        &self,
        below: &Below,
        state: State,
        extent: Amount,
        is_path_known: bool,
    ) -> (Verdict, String) {
        let (name, parents) = (&below.table.name, &below.parents);
        let State {
            parents: all,
            never_visited,
            changed,
            oldest_visit,
        } = state;
        let asked = self.asked;
        if let Some(words) = self.incomplete(below, is_path_known) {
            return (Verdict::Incomplete, words);
        }
        let left = never_visited + changed;
        if left > 0 {
            let gone = self.of_gone();
            let words = format!(
                "{name}: read for {asked} of {all} {parents} in this run, {left} not read yet{gone}"
            );
            return (Verdict::Partial, words);
        }
        let doubts = self.doubts(below);
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

    /// Why what was read may not be all there is, if it may not.
    fn incomplete(&self, below: &Below, is_path_known: bool) -> Option<String> {
        let (name, parents, asked) = (&below.table.name, &below.parents, self.asked);
        let path = below.path.replace("{}", "{id}");
        if self.open > 0 {
            return Some(format!(
                "{name}: GET {path} says for {} of {asked} {parents} that there are more than it shows",
                self.open
            ));
        }
        let says_nothing = !is_path_known && below.not_found == NotFound::MeansNothing;
        (says_nothing && !self.not_found.is_empty()).then(|| format!(
            "{name}: GET {path} answered 404 for all of {asked} {parents}: that shows that something answers, not that they have none"
        ))
    }

    fn of_gone(&self) -> String {
        match self.gone {
            0 => String::new(),
            gone => format!("; {gone} of them do not exist any more"),
        }
    }

    /// What of the answers is no proof by itself, in words; nothing where all of it is.
    fn doubts(&self, below: &Below) -> String {
        let mut doubts = self.of_gone();
        if !self.not_found.is_empty() {
            let not_found = self.not_found.len();
            doubts.push_str(&format!("; 404 for {not_found} of them, taken as none"));
        }
        if self.emptied > 0 {
            doubts.push_str(&format!(
                "; GET {} shows none for {} of which rows are known, which proves nothing by itself",
                below.path.replace("{}", "{id}"),
                self.emptied
            ));
        }
        if self.of_others > 0 {
            doubts.push_str(&format!(
                "; {} items name another one of the {} than the one that was asked",
                self.of_others, below.parents
            ));
        }
        if self.undecided > 0 {
            doubts.push_str(&format!(
                "; {} of them have an item without a key, so nothing that is missing there is marked as deleted",
                self.undecided
            ));
        }
        doubts
    }
}
