//! One parent is asked for what is below it, until its answer may be believed or may not.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::super::Work;
use crate::sync::Error;
use ::scan::listing::{self, Judgement, Manner};
use record::Reject;
use record::table::Row;
use resource::{Below, Paging};
use zephr::list::Listed;
use zephr::row::Rows;

/// Parents that are asked for themselves, a request each, where all that was asked of them was
/// answered with 404: a path that is gone shows with the first that exists, and this many that do
/// not are no coincidence.
const WITNESSES: usize = 20;

/// What the API said of one parent.
pub(super) struct Answer {
    pub(super) parent: String,
    pub(super) said: Said,
    /// The API's clock.
    pub(super) at: Option<DateTime<Utc>>,
}

pub(super) enum Said {
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

impl Said {
    /// How many of its items name another parent.
    pub(super) fn naming_others(&self) -> u64 {
        match self {
            Self::These(rows, _) | Self::Some(rows, _) => {
                rows.iter().filter(|row| row.names_another).count() as u64
            }
            Self::NotFound | Self::Nothing => 0,
        }
    }
}

impl Work<'_> {
    /// Uses nothing but the API, and storing uses nothing but the mirror: while answers are stored,
    /// nobody moves the requests that are still awaited, and what these hold (a place at the
    /// governor, a session) would be waited for in vain.
    pub(super) async fn ask(
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
        let (mut read, mut judgement, mut next) =
            self.read_below(below, maker, parent, known, manner).await?;
        if judgement == Some(Judgement::SaysMore) {
            // It says so itself, so it is asked for by page.
            next = self.by_page(Paging::B);
        }
        if next != manner {
            (read, judgement, _) = self.read_below(below, maker, parent, known, next).await?;
        }
        let Reading {
            rows, rejects, at, ..
        } = read;
        let said = match judgement {
            None => Said::Nothing,
            // Whether the parent is there itself is asked only if something would follow from that.
            Some(Judgement::NotFound) if known > 0 && !self.exists(below, parent).await? => {
                Said::Nothing
            }
            Some(Judgement::NotFound) => Said::NotFound,
            Some(Judgement::Whole | Judgement::AsTold | Judgement::Unclear) => {
                Said::These(rows, rejects)
            }
            Some(
                Judgement::SaysMore
                | Judgement::Repeats
                | Judgement::Contradicts { .. }
                | Judgement::Stale
                | Judgement::Grown(_)
                | Judgement::Endless,
            ) => Said::Some(rows, rejects),
        };
        Ok(Answer {
            parent: parent.to_owned(),
            said,
            at,
        })
    }

    /// Reads what is below a parent once, from its first page to its last, and says what may be
    /// made of it, nothing where no path can carry the parent's key, and how to ask from then on.
    async fn read_below(
        &self,
        below: &Below,
        maker: &Rows<'_>,
        parent: &str,
        known: usize,
        manner: Manner,
    ) -> Result<(Reading, Option<Judgement>, Manner), Error> {
        let expected = self.growth_below(known as u64);
        let mut pass = listing::Pass::new(manner, expected);
        let mut read = Reading::default();
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
                    return Ok((read, None, manner));
                }
                other => other?,
            };
            let answer = match listed {
                Some(listed) => read.take_in(listed, maker, (&below.parent_key, parent)),
                None => listing::Answer {
                    not_found: true,
                    ..listing::Answer::default()
                },
            };
            if !pass.goes_on(answer) {
                break;
            }
        }
        Ok((read, Some(pass.judge()), pass.next_manner()))
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
    pub(super) async fn are_gone(
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
}

/// What one reading of what is below a parent brought.
#[derive(Default)]
struct Reading {
    rows: Vec<Row>,
    rejects: Vec<Reject>,
    at: Option<DateTime<Utc>>,
    /// What tells its items apart, of all pages.
    seen: HashSet<String>,
}

impl Reading {
    /// Takes in one page of what is below a parent, whose key stands in this column.
    fn take_in(
        &mut self,
        listed: Listed,
        maker: &Rows<'_>,
        parent: (&str, &str),
    ) -> listing::Answer {
        self.at = listed.answered_at;
        let before = self.seen.len();
        let mut here = HashSet::new();
        let mut is_keyed = false;
        for raw in &listed.items {
            match maker.read(raw, Some(parent)) {
                Ok(row) => {
                    is_keyed = true;
                    let key = row.key.join("\u{0}");
                    here.insert(key.clone());
                    self.seen.insert(key);
                    self.rows.push(row);
                }
                Err(reject) => {
                    let content = hex::encode(reject.content_hash);
                    here.insert(content.clone());
                    self.seen.insert(content);
                    self.rejects.push(Reject {
                        answered_at: listed.answered_at,
                        ..reject
                    });
                }
            }
        }
        listing::Answer {
            not_found: false,
            items: listed.items.len() as u64,
            different: here.len() as u64,
            fresh: (self.seen.len() - before) as u64,
            total: listed.total,
            next: listed.next,
            keyed: is_keyed,
        }
    }
}
