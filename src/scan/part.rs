//! Reading one part of a scan: a window in one answer, or, where no answer can hold it, by page until two passes agree.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;

use super::Source;
use super::plan::Overflow;
use super::verdict::Proof;
use super::whole::{Judgement, Signs};
use super::window::Window;
use crate::record::{Envelope, Item, Page, Query};

/// Asked once for a window that cannot be cut: thousands who registered in one second may still fit one answer.
const VERY_LARGE_RPP: u64 = 50_000;

/// Passes by page over one part. Two must agree; when five did not, people come and go faster than they can be read.
const MAX_PASSES: usize = 5;

/// Pages of one pass. A server that never sends an empty page must not keep us for ever; ten million people are 20,000 pages.
const MAX_PAGES: u64 = 1_000_000;

/// A page on its way to the writers.
#[derive(Debug)]
pub struct Fetched {
    /// Its records.
    pub page: Page,
    /// The window that is done once these records are committed; none for a page of a part that takes several.
    pub completes: Option<Window>,
}

/// Somebody may register or leave between two counts; several unequal ones in a row are worth a pass by page.
const COUNT_TRIES: usize = 3;

/// What came of asking for a window.
#[derive(Debug)]
pub enum Reading {
    /// One answer holds all of it; only its own people are left on the page.
    Whole(Page),
    /// It has to be cut.
    TooLarge(Overflow),
    /// It cannot be cut. It was read by page, and the pages were handed on.
    ByPage {
        /// Whether two passes agreed.
        proof: Proof,
        /// Records of the last pass.
        rows: u64,
    },
    /// Somebody outside the window was in the answer.
    FilterIgnored,
}

/// Why reading stopped.
#[derive(Debug)]
pub enum Stopped<E> {
    /// The source failed.
    Source(E),
    /// Nobody takes the pages any more; whoever closed the channel knows why.
    Closed,
}

/// Reads parts of one scan. Clones share what is learned about the server.
#[derive(Debug, Clone)]
pub struct PartReader<S> {
    source: S,
    rpp: u64,
    since: Option<DateTime<Utc>>,
    learned: Arc<Mutex<Learned>>,
}

/// What the scan has learned so far.
#[derive(Debug, Default)]
struct Learned {
    signs: Signs,
    first_answer: Option<DateTime<Utc>>,
    total: Option<u64>,
}

impl<S: Source> PartReader<S> {
    /// Reads from `source`, `rpp` records at a time; with `since` only those updated after it.
    pub fn new(source: S, rpp: u64, since: Option<DateTime<Utc>>) -> Self {
        Self {
            source,
            rpp,
            since,
            learned: Arc::default(),
        }
    }

    /// The API's clock at the first answer.
    pub fn first_answer(&self) -> Option<DateTime<Utc>> {
        self.learned().first_answer
    }

    /// How many records there are in all, where the server has told.
    pub fn total(&self) -> Option<u64> {
        self.learned().total
    }

    /// Reads one window. Pages of a window that has to be read by page go to `pages`.
    ///
    /// # Errors
    /// As the source.
    pub async fn window(
        &self,
        window: Window,
        pages: &mpsc::Sender<Fetched>,
    ) -> Result<Reading, Stopped<S::Error>> {
        let page = self.ask(window, self.rpp, 1).await?;
        if strays(window, &page) {
            return Ok(Reading::FilterIgnored);
        }
        match self.judge(window, self.rpp, &page).await? {
            Judgement::Whole => Ok(Reading::Whole(core(window, page))),
            Judgement::More if window.can_be_cut() => {
                Ok(Reading::TooLarge(self.overflow(window, &page)))
            }
            Judgement::More | Judgement::AskSecondPage => self.uncuttable(window, pages).await,
        }
    }

    /// Looks for people without a registration date, who are in no window.
    ///
    /// # Errors
    /// As the source.
    pub async fn undated(
        &self,
        pages: &mpsc::Sender<Fetched>,
    ) -> Result<(Proof, u64), Stopped<S::Error>> {
        for _ in 0..COUNT_TRIES {
            if self.counts_show_that_all_are_dated().await? {
                return Ok((Proof::Whole, 0));
            }
        }
        self.agreeing_passes(Window::ALL, |item| item.registered_at.is_none(), pages)
            .await
    }

    /// Reads everything by page, once: what is left when the server ignores the filter.
    ///
    /// # Errors
    /// As the source.
    pub async fn everything(
        &self,
        pages: &mpsc::Sender<Fetched>,
    ) -> Result<u64, Stopped<S::Error>> {
        Ok(self.pass(Window::ALL, &|_| true, pages).await?.rows)
    }

    async fn ask(&self, window: Window, rpp: u64, page: u64) -> Result<Page, Stopped<S::Error>> {
        let (registered_since, registered_before) = window.asked();
        let answer = self
            .source
            .page(Query {
                updated_since: self.since,
                registered_since,
                registered_before,
                rpp,
                page,
            })
            .await
            .map_err(Stopped::Source)?;
        let mut learned = self.learned();
        learned.first_answer = learned.first_answer.or(answer.answered_at);
        if window == Window::ALL && answer.envelope.count > Some(answer.len() as u64) {
            learned.total = answer.envelope.count;
        }
        drop(learned);
        Ok(answer)
    }

    /// Judges a first page; asks for the second where nothing else tells.
    async fn judge(
        &self,
        window: Window,
        asked: u64,
        page: &Page,
    ) -> Result<Judgement, Stopped<S::Error>> {
        let items = page.len() as u64;
        let judgement = self.learned().signs.judge(asked, items, page.envelope);
        match judgement {
            Judgement::Whole | Judgement::More => Ok(judgement),
            Judgement::AskSecondPage => {
                let second = self.ask(window, asked, 2).await?;
                // A server that ignores the page number sends the same people again: then there is no second page.
                let more = !seen(&second).is_subset(&seen(page));
                Ok(self.learned().signs.second_page(items, more))
            }
        }
    }

    async fn uncuttable(
        &self,
        window: Window,
        pages: &mpsc::Sender<Fetched>,
    ) -> Result<Reading, Stopped<S::Error>> {
        let page = self.ask(window, VERY_LARGE_RPP, 1).await?;
        match self.judge(window, VERY_LARGE_RPP, &page).await? {
            Judgement::Whole => Ok(Reading::Whole(core(window, page))),
            Judgement::More | Judgement::AskSecondPage => {
                drop(page);
                let belongs = |item: &Item| item.registered_at.is_none_or(|at| window.contains(at));
                let (proof, rows) = self.agreeing_passes(window, belongs, pages).await?;
                Ok(Reading::ByPage { proof, rows })
            }
        }
    }

    async fn counts_show_that_all_are_dated(&self) -> Result<bool, Stopped<S::Error>> {
        // One record a page: what `meta.count` says is compared, nothing is read.
        let everybody = self.ask(Window::ALL, 1, 1).await?;
        let beginning = Window {
            from: Some(chrono::DateTime::UNIX_EPOCH),
            until: None,
        };
        let after = self.ask(beginning, 1, 1).await?;
        let before = Window {
            from: None,
            until: Some(chrono::DateTime::UNIX_EPOCH),
        };
        let earlier = self.ask(before, 1, 1).await?;
        let counts_mean_something = self.learned().signs.count_is_total()
            || everybody.envelope.count > Some(everybody.len() as u64) && !everybody.is_empty();
        let total = |page: &Page| match page.envelope {
            // One record and a larger count: a total, beyond doubt.
            Envelope {
                count: Some(count), ..
            } if count > page.len() as u64 && !page.is_empty() => Some(count),
            Envelope { count: Some(0), .. } if page.is_empty() && counts_mean_something => Some(0),
            Envelope { count: Some(1), .. } if page.len() == 1 && counts_mean_something => Some(1),
            Envelope { .. } => None,
        };
        Ok(match (total(&everybody), total(&after), total(&earlier)) {
            // Exclusive ends leave out at most the instant itself; overlapping ends may count it twice, which only errs towards looking.
            (Some(all), Some(after), Some(earlier)) => all == after + earlier,
            (None, _, _) | (_, None, _) | (_, _, None) => false,
        })
    }

    /// Reads by page until two passes in a row show the same people.
    async fn agreeing_passes(
        &self,
        window: Window,
        belongs: impl Fn(&Item) -> bool,
        pages: &mpsc::Sender<Fetched>,
    ) -> Result<(Proof, u64), Stopped<S::Error>> {
        let mut last = self.pass(window, &belongs, pages).await?;
        for _ in 1..MAX_PASSES {
            let next = self.pass(window, &belongs, pages).await?;
            if next.people == last.people {
                return Ok((Proof::Passes, next.rows));
            }
            last = next;
        }
        Ok((Proof::None, last.rows))
    }

    async fn pass(
        &self,
        window: Window,
        belongs: &impl Fn(&Item) -> bool,
        pages: &mpsc::Sender<Fetched>,
    ) -> Result<Pass, Stopped<S::Error>> {
        let mut pass = Pass::default();
        let mut previous = None;
        for number in 1..=MAX_PAGES {
            let mut page = self.ask(window, self.rpp, number).await?;
            let ids = Some(seen(&page));
            // Ends at an empty page, or where a server that ignores the number repeats itself; never at a short page.
            if page.is_empty() || ids == previous {
                break;
            }
            previous = ids;
            page.items.retain(|item| belongs(item));
            pass.people.extend(seen(&page));
            pass.rows += page.len() as u64;
            if !page.is_empty() {
                pages
                    .send(Fetched {
                        page,
                        completes: None,
                    })
                    .await
                    .map_err(|_| Stopped::Closed)?;
            }
        }
        Ok(pass)
    }

    fn overflow(&self, window: Window, page: &Page) -> Overflow {
        let signs = self.learned().signs;
        Overflow {
            dates: page
                .items
                .iter()
                .filter_map(|item| item.registered_at)
                .filter(|at| window.contains(*at))
                .collect(),
            count: page.envelope.count.filter(|_| signs.count_is_total()),
            full_page: signs.full_page(self.rpp),
        }
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One pass by page.
#[derive(Debug, Default)]
struct Pass {
    /// Who was seen, eight bytes each: memory stays small where a whole tenant has to be read this way.
    people: HashSet<u64>,
    rows: u64,
}

/// Everybody on a page, storable or not: two pages of rejects are different pages.
fn seen(page: &Page) -> HashSet<u64> {
    let items = page.items.iter().map(|item| short(item.id.as_str()));
    items
        .chain(
            page.rejects
                .iter()
                .map(|reject| short(&reject.content_hash)),
        )
        .collect()
}

fn short(id: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

fn strays(window: Window, page: &Page) -> bool {
    page.items
        .iter()
        .filter_map(|item| item.registered_at)
        .any(|at| !window.could_be_answered_with(at))
}

/// Drops those who belong to a neighbouring window. People without a date belong wherever they appear.
fn core(window: Window, mut page: Page) -> Page {
    page.items
        .retain(|item| item.registered_at.is_none_or(|at| window.contains(at)));
    page
}
