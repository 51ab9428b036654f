//! Reading one part of a scan: a window in one answer, or, where no answer can hold it, by page
//! until two passes agree.

mod passes;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;

use super::Source;
use super::plan::Overflow;
use super::sightings::{Shown, Sightings};
use super::verdict::{Growth, Proof};
use super::whole::{Judgement, Learned, Signs};
use super::window::Window;
use record::{Item, Page, Query};

/// Asked once for a window that cannot be cut: thousands who registered in one second may still fit
/// one answer.
const VERY_LARGE_RPP: u64 = 50_000;

/// How often an answer that nothing explains is asked for again while people leave it.
const UNCLEAR_TRIES: usize = 3;

/// A page on its way to the writers.
#[derive(Debug)]
pub struct Fetched {
    /// Its records.
    pub page: Page,
    /// The window that is done once these records are committed; none for a page of a part that
    /// takes several.
    pub completes: Option<Window>,
}

/// What came of asking for a window.
#[derive(Debug)]
pub enum Reading {
    /// One answer holds all of it; only its own people are left on the page.
    Whole(Page),
    /// It has to be cut.
    TooLarge(Overflow),
    /// It cannot be cut. It was read by page, and the pages were handed on.
    ByPage(ByPage),
    /// It cannot be cut, and whoever is in it registered since the scan began, which is not what
    /// the scan is about: read by page, so many would register meanwhile that it might never come
    /// to an end.
    Newer,
    /// Somebody outside the window was in the answer.
    FilterIgnored,
    /// The answer was a 404, twice.
    NotFound,
    /// It says that there are more, and its next page is the same one. What it shows is on the
    /// page.
    Hides(Page),
}

/// What one answer to a window showed.
#[derive(Debug)]
pub enum Look {
    /// It holds all of it; only its own people are left on the page.
    Whole(Page),
    /// The window has to be cut.
    TooLarge(Overflow),
    /// It cannot be cut, and has to be read in another way.
    Uncuttable,
    /// Somebody outside the window was in the answer.
    FilterIgnored,
    /// The answer was a 404, twice.
    NotFound,
    /// It says that there are more, and its next page is the same one. What it shows is on the
    /// page.
    Hides(Page),
}

/// How much of a window one page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    All,
    /// There are more.
    Some,
    /// It has room, says that there are more, and does not show them on the next page.
    Unknown,
}

/// A part that was read by page.
#[derive(Debug)]
pub struct ByPage {
    /// Whether two passes agreed.
    pub proof: Proof,
    /// Records of the last pass.
    pub rows: u64,
    /// Everybody who was seen in any pass.
    pub people: Sightings,
    /// Records of the last pass that have the id of another one on their page, and differ from it.
    pub differing: u64,
    /// Whether a pass was broken off, since more came than can be.
    pub grown: Option<Growth>,
}

/// Why reading stopped.
#[derive(Debug)]
pub enum Stopped<E> {
    /// The source failed.
    Source(E),
    /// Nobody takes the pages any more; whoever closed the channel knows why.
    Closed,
}

/// What is asked for, all through a scan.
#[derive(Debug, Clone, Copy)]
pub struct Asking {
    /// Records per page.
    pub rpp: u64,
    /// Only those updated after it; none means everybody.
    pub since: Option<DateTime<Utc>>,
    /// Whether there may be records without a date, which are in no window.
    pub may_be_undated: bool,
    /// How many records can be expected, where that is known; a scan that is sent more is given up.
    pub expected: Option<Growth>,
}

/// Reads parts of one scan. Clones share what is learned about the server.
#[derive(Debug, Clone)]
pub struct PartReader<S> {
    source: S,
    asking: Asking,
    known: Arc<Mutex<Known>>,
}

/// What the scan has learned so far.
#[derive(Debug, Default)]
struct Known {
    signs: Signs,
    first_answer: Option<DateTime<Utc>>,
    total: Option<u64>,
    /// An answer came of which nothing tells that it is whole.
    may_be_cut: bool,
    /// Somebody without a date was in an answer about everybody.
    shows_undated: bool,
    /// The page behind a short one was the same: there is nothing to be asked of such a server.
    shows_one_page: bool,
}

impl<S: Source> PartReader<S> {
    /// Reads from `source`. `learned` is what an earlier scan found out about the server.
    pub fn new(source: S, asking: Asking, learned: Learned) -> Self {
        Self {
            source,
            asking,
            known: Arc::new(Mutex::new(Known {
                signs: Signs::remember(learned),
                ..Known::default()
            })),
        }
    }

    /// How people name what is asked.
    pub fn endpoint(&self) -> &'static str {
        self.source.endpoint()
    }

    /// The API's clock at the first answer.
    pub fn first_answer(&self) -> Option<DateTime<Utc>> {
        self.known().first_answer
    }

    /// How many records there are in all, where the server has told.
    pub fn total(&self) -> Option<u64> {
        self.known().total
    }

    /// What a later scan may begin with.
    pub fn learned(&self) -> Learned {
        self.known().signs.learned(self.asking.rpp)
    }

    /// Whether the server said that there is more where there was not.
    pub fn contradicted(&self) -> bool {
        self.known().signs.lie()
    }

    /// Whether an answer came of which nothing tells that it is whole.
    pub fn may_be_cut(&self) -> bool {
        self.known().may_be_cut
    }

    /// Whether somebody without a date was in an answer about everybody.
    pub(super) fn shows_undated(&self) -> bool {
        self.known().shows_undated
    }

    /// Whether there may be records without a date, which are in no window.
    pub fn may_be_undated(&self) -> bool {
        self.asking.may_be_undated
    }

    /// How many records can be expected, where that is known.
    pub fn expected(&self) -> Option<Growth> {
        self.asking.expected
    }

    /// How many records a full page holds.
    pub fn full_page(&self) -> u64 {
        self.known().signs.full_page(self.asking.rpp)
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
        Ok(match self.look(window).await? {
            Look::Whole(page) => Reading::Whole(page),
            Look::TooLarge(overflow) => Reading::TooLarge(overflow),
            Look::FilterIgnored => Reading::FilterIgnored,
            Look::NotFound => Reading::NotFound,
            Look::Hides(page) => Reading::Hides(page),
            Look::Uncuttable if self.is_newer(window) => Reading::Newer,
            Look::Uncuttable => self.uncuttable(window, pages).await?,
        })
    }

    /// Whether all in a window registered since the scan began, by the API's clock.
    fn is_newer(&self, window: Window) -> bool {
        let began = self.first_answer();
        window
            .from
            .zip(began)
            .is_some_and(|(from, began)| from > began)
    }

    /// Asks for a window once, or as often as it takes to know whether the answer is whole.
    ///
    /// # Errors
    /// As the source.
    pub async fn look(&self, window: Window) -> Result<Look, Stopped<S::Error>> {
        let (holds, page) = self.first_page(window, self.asking.rpp).await?;
        if page.not_found {
            return Ok(Look::NotFound);
        }
        if strays(window, &page) {
            return Ok(Look::FilterIgnored);
        }
        let whole = match holds {
            Holds::All => true,
            Holds::Some => false,
            Holds::Unknown => return Ok(Look::Hides(core(window, page))),
        };
        let items = page.len() as u64;
        // Nobody without a date is in a window, as far as the server honours the filter: then
        // cutting does not make such an answer smaller.
        let undated = window != Window::ALL
            && page.items.iter().all(|item| item.registered_at.is_none())
            && !page.is_empty();
        if whole {
            Ok(Look::Whole(core(window, page)))
        } else if window.can_be_cut()
            && !undated
            && !self.known().signs.contradicts(self.asking.rpp, items)
        {
            Ok(Look::TooLarge(self.overflow(window, &page)))
        } else {
            Ok(Look::Uncuttable)
        }
    }

    /// How many records are in a window, where the server's count is shown to be a total. One
    /// record is asked for: nothing is read.
    ///
    /// # Errors
    /// As the source.
    pub async fn count(&self, window: Window) -> Result<Option<u64>, Stopped<S::Error>> {
        let page = self.ask(window, 1, 1).await?;
        if page.not_found {
            return Ok(None);
        }
        let items = page.len() as u64;
        let mut known = self.known();
        // What is learned from it holds for all: a larger count than the page is a total, beyond
        // doubt.
        known.signs.judge(1, items, page.envelope);
        let counts = known.signs.count_is_total();
        Ok(page
            .envelope
            .count
            .filter(|count| *count >= items && counts))
    }

    /// Whether an answer of so many, with an empty page behind it, is no answer that the server has
    /// cut off: it is no full page, or more is seen to come at once.
    async fn sends_more_than(&self, items: u64) -> Result<bool, Stopped<S::Error>> {
        if !(self.known().signs).may_be_cut_off(self.asking.rpp, items) {
            return Ok(true);
        }
        let more = self.ask(Window::ALL, items + 1, 1).await?;
        Ok(more.len() as u64 > items)
    }

    /// The first page of a window.
    pub(super) async fn first(&self, window: Window) -> Result<Page, Stopped<S::Error>> {
        self.ask(window, self.asking.rpp, 1).await
    }

    /// Whether a first page, as it is, may have more behind it.
    pub(super) fn may_go_on(&self, page: &Page) -> bool {
        page.not_found || self.may_have_more(self.asking.rpp, page)
    }

    pub(super) async fn ask(
        &self,
        window: Window,
        rpp: u64,
        page: u64,
    ) -> Result<Page, Stopped<S::Error>> {
        let (registered_since, registered_before) = window.asked();
        let answer = self
            .source
            .page(Query {
                updated_since: self.asking.since,
                registered_since,
                registered_before,
                rpp,
                page,
            })
            .await
            .map_err(Stopped::Source)?;
        let mut known = self.known();
        known.first_answer = known.first_answer.or(answer.answered_at);
        known.may_be_cut |= answer.may_be_cut;
        if window == Window::ALL {
            let mut items = answer.items.iter();
            known.shows_undated |= items.any(|item| item.registered_at.is_none());
            if answer.envelope.count > Some(answer.len() as u64) {
                known.total = answer.envelope.count;
            }
        }
        drop(known);
        Ok(answer)
    }

    /// The first page of a window, and whether it holds all of it.
    async fn first_page(
        &self,
        window: Window,
        asked: u64,
    ) -> Result<(Holds, Page), Stopped<S::Error>> {
        let mut page = self.ask(window, asked, 1).await?;
        if page.not_found {
            // An answer that says nothing is asked for once more.
            page = self.ask(window, asked, 1).await?;
        }
        for _ in 0..UNCLEAR_TRIES {
            let items = page.len() as u64;
            if page.not_found {
                return Ok((Holds::Some, page));
            }
            let judgement = self.known().signs.judge(asked, items, page.envelope);
            match judgement {
                Judgement::Whole => return Ok((Holds::All, page)),
                Judgement::Quiet if self.known().shows_one_page => return Ok((Holds::All, page)),
                Judgement::Quiet => {
                    let (here, second) = (Sightings::on(&page), self.ask(window, asked, 2).await?);
                    if Sightings::on(&second).is_subset(&here) {
                        self.known().shows_one_page = !second.is_empty();
                        return Ok((Holds::All, page));
                    }
                    self.known().signs.more_behind(asked, items);
                    return Ok((Holds::Some, page));
                }
                Judgement::More => return Ok((Holds::Some, page)),
                Judgement::SaysMore | Judgement::Unclear => {
                    let (here, second) = (Sightings::on(&page), self.ask(window, asked, 2).await?);
                    if second.refused && judgement == Judgement::SaysMore {
                        return Ok((Holds::Unknown, page));
                    }
                    if !second.is_empty() {
                        // A server that ignores the page number sends the same people again: that
                        // says nothing about a full page.
                        if !Sightings::on(&second).is_subset(&here) {
                            self.known().signs.more_behind(asked, items);
                        } else if judgement == Judgement::SaysMore && items < asked {
                            return Ok((Holds::Unknown, page));
                        }
                        return Ok((Holds::Some, page));
                    }
                    let again = self.ask(window, asked, 1).await?;
                    // The empty second page alone proves nothing while people leave: one deletion
                    // on a full first page moves somebody from the second page to the first. But
                    // ids do not come back; if all of the first page is still there after the empty
                    // second one, it was all there was.
                    let still = !again.not_found && here.is_subset(&Sightings::on(&again));
                    page = again;
                    if still {
                        let items = page.len() as u64;
                        let everybody = window == Window::ALL && self.asking.since.is_none();
                        if everybody && Signs::hides_most(items, page.envelope) {
                            return Ok((Holds::Unknown, page));
                        }
                        let says_more = self.known().signs.says_more(items, page.envelope);
                        if says_more && self.shows_more_in_halves(window, &page).await? {
                            self.known().signs.cut_off(asked, items);
                            return Ok((Holds::Some, page));
                        }
                        if says_more {
                            self.known().signs.contradicted(items, page.envelope);
                        }
                        return Ok((Holds::All, page));
                    }
                }
            }
        }
        Ok((Holds::Some, page))
    }

    /// Whether the halves of a window show somebody whom it does not, though nobody is behind its
    /// page: a server that sends so many bytes at a time drops the end of a page, and says rightly
    /// that there are more.
    async fn shows_more_in_halves(
        &self,
        window: Window,
        page: &Page,
    ) -> Result<bool, Stopped<S::Error>> {
        let mut dates: Vec<_> = (page.items.iter())
            .filter_map(|item| item.registered_at)
            .collect();
        dates.sort_unstable();
        let (Some(first), Some(middle)) = (dates.first(), dates.get(dates.len() / 2)) else {
            return Ok(false);
        };
        if first == middle || !window.can_be_cut() {
            return Ok(false);
        }
        let earlier = Window {
            until: Some(*middle),
            ..window
        };
        let later = Window {
            from: Some(*middle),
            ..window
        };
        let here = Sightings::on(page);
        for half in [earlier, later] {
            let mut shown = core(half, self.first(half).await?);
            // Who came since the scan began was not there to be shown.
            shown.items.retain(|item| !self.is_new(item));
            if !Sightings::on(&shown).is_subset(&here) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn uncuttable(
        &self,
        window: Window,
        pages: &mpsc::Sender<Fetched>,
    ) -> Result<Reading, Stopped<S::Error>> {
        let (holds, page) = self.first_page(window, VERY_LARGE_RPP).await?;
        let items = page.len() as u64;
        match holds {
            Holds::All if self.sends_more_than(items).await? => {
                return Ok(Reading::Whole(core(window, page)));
            }
            Holds::All | Holds::Some | Holds::Unknown => drop(page),
        }
        let belongs = |item: &Item| item.registered_at.is_none_or(|at| window.contains(at));
        let read = self.agreeing_passes(window, belongs, pages).await?;
        Ok(Reading::ByPage(read))
    }

    /// Whether a page that comes again whatever its number may not be all there is: it is as full as
    /// was asked for, or says itself that there is more.
    fn may_have_more(&self, rpp: u64, page: &Page) -> bool {
        let (known, items) = (self.known(), page.len() as u64);
        items >= known.signs.full_page(rpp) || known.signs.says_more(items, page.envelope)
    }

    fn overflow(&self, window: Window, page: &Page) -> Overflow {
        let known = self.known();
        let registered = page.items.iter().filter_map(|item| item.registered_at);
        let (dates, outside): (Vec<_>, Vec<_>) = registered.partition(|at| window.contains(*at));
        Overflow {
            beside: outside.first().copied().filter(|_| dates.is_empty()),
            dates,
            shown: page.items.iter().filter_map(Shown::of).collect(),
            count: page.envelope.count.filter(|_| known.signs.count_is_total()),
            full_page: known.signs.full_page(self.asking.rpp),
            answered_at: page.answered_at,
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn strays(window: Window, page: &Page) -> bool {
    page.items
        .iter()
        .filter_map(|item| item.registered_at)
        .any(|at| !window.could_be_answered_with(at))
}

/// Drops those who belong to a neighbouring window. People without a date belong wherever they
/// appear.
pub(super) fn core(window: Window, mut page: Page) -> Page {
    page.items
        .retain(|item| item.registered_at.is_none_or(|at| window.contains(at)));
    page
}
