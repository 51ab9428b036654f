//! What a server holds back: answers that look well, each by itself.

use std::hash::{Hash, Hasher};

use serde_json::json;

use super::{Asked, List, Page, Record, UNDATED};

/// So many are lacking at the end of an answer.
const LACKING: usize = 4;

/// So much goes on a page of a server that counts bytes.
const BYTES: u32 = 9;

/// What a server holds back, though each of its answers looks well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withholds {
    /// The filter goes by days and lets nobody of its first and last day through; counts are right.
    FilterByDays,
    /// The same, and nothing says how many there are.
    FilterByDaysSilently,
    /// Pages begin where as many as were asked for would have ended, and hold fewer; nothing says
    /// how many there are.
    SkipsBetweenPages,
    /// There is one page, and nothing says that there is more.
    OnePage,
    /// There is one page, with half of those that it counts.
    HalfOfWhatItCounts,
    /// Who has no date comes first, and is not counted.
    CountsTheDated,
    /// It counts so far and no further.
    CountsUpTo(u64),
    /// Those of one second come in another order for each page, and for the same page always in the
    /// same; counts are right.
    TiesByPage,
    /// Pages beyond so many records are empty; counts are right.
    EndsAfter(usize),
    /// The first of all comes once more at the end of the answer that begins with it, whether the
    /// same or not; counts are right.
    ShowsTwice {
        /// Whether the two are the same.
        alike: bool,
    },
    /// The last of one answer to a window, which counts no more than it shows. Every other answer is
    /// right.
    EndOfOneAnswer,
    /// A page holds so many bytes, and every third record three times as many as another one: its
    /// end is dropped. Counts are right, or there are none.
    EndsOfPages {
        /// Whether there are counts.
        counted: bool,
    },
    /// Pages are cut before the hidden ones are taken out of them; nothing says how many there are.
    HiddenFromPages,
    /// Who has no date comes last, and is not counted.
    CountsTheDatedFirst,
    /// Nothing: but a page behind the last one is refused, and nothing says how many there are.
    RefusesPagesBehindTheLast,
}

/// Whether the filters of a server that withholds this let a record through.
pub(super) fn lets_through(withholds: Option<Withholds>, asked: &Asked, record: &Record) -> bool {
    let by_days = [Withholds::FilterByDays, Withholds::FilterByDaysSilently];
    if withholds.is_some_and(|withholds| by_days.contains(&withholds)) {
        asked.lets_days_through(record)
    } else {
        asked.lets_through(record)
    }
}

impl Asked {
    /// Whether filters that go by days let a record through, those not that they name.
    fn lets_days_through(&self, record: &Record) -> bool {
        let day = |at: i64| at.div_euclid(24 * 3_600);
        let is_after = |bound: Option<i64>| bound.is_none_or(|bound| day(record.at) > day(bound));
        if record.at == UNDATED {
            return self.lets_through(record);
        }
        is_after(self.after)
            && is_after(self.updated_after)
            && (self.before).is_none_or(|bound| day(record.at) < day(bound))
    }
}

impl Page {
    /// The same, and nothing says how many there are.
    fn silent(self) -> Self {
        Self {
            count: None,
            next: None,
            ..self
        }
    }
}

impl List<'_> {
    /// Whether this is the answer that lacks its end: one to a window, large enough.
    pub(super) fn lacks_its_end(&self, inside: &[Record]) -> bool {
        let Self { asked, rpp, .. } = *self;
        asked.before.is_some() && asked.page == 1 && (3 * LACKING..rpp).contains(&inside.len())
    }

    pub(super) fn withheld(&self, withholds: Option<Withholds>, inside: &[Record]) -> Page {
        let Self { asked, rpp, .. } = *self;
        match withholds {
            None | Some(Withholds::FilterByDays) => self.honest(inside),
            Some(Withholds::FilterByDaysSilently | Withholds::RefusesPagesBehindTheLast) => {
                self.honest(inside).silent()
            }
            Some(Withholds::EndOfOneAnswer) if self.lacks_its_end(inside) => {
                self.honest(&inside[..inside.len() - LACKING])
            }
            Some(Withholds::EndOfOneAnswer) => self.honest(inside),
            Some(Withholds::EndsOfPages { counted }) => {
                let mut bytes = 0;
                let begin = (asked.page - 1).saturating_mul(rpp).min(inside.len());
                let fits = inside[begin..].iter().take(rpp).take_while(|record| {
                    bytes += if record.at % 3 == 0 { 3 } else { 1 };
                    bytes <= BYTES
                });
                let fits: Vec<Record> = fits.cloned().collect();
                let page = Page {
                    items: self.show(&fits),
                    ..self.honest(inside)
                };
                if counted {
                    Page { next: None, ..page }
                } else {
                    page.silent()
                }
            }
            Some(Withholds::HiddenFromPages) => {
                let begin = (asked.page - 1).saturating_mul(rpp).min(inside.len());
                let page = inside[begin..].iter().take(rpp);
                let shown: Vec<Record> = page
                    .filter(|record| !self.hidden.contains(&record.id))
                    .cloned()
                    .collect();
                Page {
                    items: self.show(&shown),
                    ..self.honest(inside).silent()
                }
            }
            Some(Withholds::CountsTheDatedFirst) => {
                let mut inside = inside.to_vec();
                inside.sort_by_key(|record| (record.at == UNDATED, record.at));
                let dated = inside.iter().filter(|record| record.at != UNDATED);
                Page {
                    count: Some(dated.count() as u64),
                    next: None,
                    ..self.honest(&inside)
                }
            }
            Some(Withholds::SkipsBetweenPages) => {
                let begin = (asked.page - 1).saturating_mul(asked.rpp);
                let begin = begin.min(inside.len());
                let end = (begin + rpp).min(inside.len());
                Page {
                    items: self.show(&inside[begin..end]),
                    count: None,
                    next: None,
                    ..self.honest(&[])
                }
            }
            Some(Withholds::OnePage) => self.only(|| self.cut(inside, 1), None),
            Some(Withholds::HalfOfWhatItCounts) => {
                let half = &inside[..inside.len() / 2];
                self.only(|| self.show(half), Some(inside.len() as u64))
            }
            Some(Withholds::CountsTheDated) => {
                let mut inside = inside.to_vec();
                inside.sort_by_key(|record| record.at);
                let dated = inside.iter().filter(|record| record.at != UNDATED);
                Page {
                    count: Some(dated.count() as u64),
                    ..self.honest(&inside)
                }
            }
            Some(Withholds::CountsUpTo(most)) => Page {
                count: Some(most.min(inside.len() as u64)),
                ..self.honest(inside)
            },
            Some(Withholds::TiesByPage) => {
                let mut inside = inside.to_vec();
                inside.sort_by_key(|record| {
                    let mut mixed = std::hash::DefaultHasher::new();
                    (&record.id, asked.page, asked.rpp).hash(&mut mixed);
                    (record.at, mixed.finish())
                });
                self.honest(&inside)
            }
            Some(Withholds::ShowsTwice { alike }) => {
                let mut page = self.honest(inside);
                if asked.page == 1
                    && let Some(mut again) = page.items.first().cloned()
                {
                    if !alike {
                        again["user"]["registration_tenant"] = json!("another one");
                    }
                    page.items.push(again);
                }
                page
            }
            Some(Withholds::EndsAfter(records)) => Page {
                count: Some(inside.len() as u64),
                ..self.honest(&inside[..records.min(inside.len())])
            },
        }
    }
}
