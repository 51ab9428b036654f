//! Passes by page over a part of a scan that no answer can hold: what each showed, how it ended, and
//! when two are enough.

use tokio::sync::mpsc;

use super::{ByPage, Fetched, PartReader, Stopped, VERY_LARGE_RPP};
use crate::Source;
use crate::sightings::Sightings;
use crate::verdict::{Growth, Proof};
use crate::whole::Signs;
use crate::window::Window;
use record::{Envelope, Item};

/// Passes by page over one part. Two must agree; when five did not, people come and go faster than
/// they can be read.
const MAX_PASSES: usize = 5;

/// Pages of one pass, where nothing says how many records there can be: on a first load from a
/// server that does not tell. A server that never sends an empty page must not keep us for ever;
/// fifty million users are a hundred thousand pages.
const MAX_PAGES: u64 = 100_000;

/// So many pages in a row that show what was shown before: the server ignores the page number. Two
/// may do so because somebody came in between.
const SAME_PAGES: usize = 3;

/// So many people with whom a pass began are remembered, eight bytes each, however long it is.
const BEGUN: usize = 50_000;

/// Passes that must show the same where somebody was on two pages of one, each with another size of
/// page. Where people have no order among themselves, a server may send them in another one for each
/// page, and for the same page always in the same.
const ALIKE_WITH_REPEATS: usize = 3;

impl<S: Source> PartReader<S> {
    /// Reads by page those who belong, until two passes in a row show the same people. A server that
    /// goes by the size of a page and not by its number is asked for one so large that it may hold
    /// all of them.
    ///
    /// # Errors
    /// As the source.
    pub async fn agreeing_passes(
        &self,
        window: Window,
        belongs: impl Fn(&Item) -> bool,
        pages: &mpsc::Sender<Fetched>,
    ) -> Result<ByPage, Stopped<S::Error>> {
        let mut rpp = self.full_page();
        let mut last = self.pass(window, rpp, &belongs, pages).await?;
        let mut everybody = last.people.clone();
        let (mut proof, mut passes, mut alike) = (Proof::None, 1, 1);
        while last.grown.is_none() && !last.repeats_unusable() && passes < MAX_PASSES {
            if rpp > self.asking.rpp && !last.shows_all() {
                break;
            }
            rpp = match last.end {
                PassEnd::FullPages => rpp.max(VERY_LARGE_RPP),
                // Whoever is on two pages may have taken the place of somebody who is on none.
                // Cut elsewhere, the pages show whether that is so.
                PassEnd::EmptyPage if last.shows_some_twice() => (rpp - rpp.div_ceil(3)).max(1),
                PassEnd::Refused => (rpp - rpp.div_ceil(3)).max(1),
                // A server that sends fewer at a time than it is asked for may still count its
                // pages by what it is asked for, and skip what lies between.
                PassEnd::EmptyPage | PassEnd::SamePages | PassEnd::BrokenOff => {
                    self.known().signs.full_page(rpp)
                }
            };
            let next = self.pass(window, rpp, &belongs, pages).await?;
            passes += 1;
            everybody.add(&next.people);
            let agreed = next.people == last.people && next.shows_all() && last.shows_all();
            alike = if agreed { alike + 1 } else { 1 };
            let is_enough = if next.shows_some_twice() || last.shows_some_twice() {
                alike >= ALIKE_WITH_REPEATS && next.people == everybody
            } else {
                agreed
            };
            last = next;
            if is_enough {
                if !self.hides_most(window, &last) && self.is_no_part(window, rpp, &last).await? {
                    proof = Proof::Passes;
                }
                break;
            }
        }
        Ok(ByPage {
            proof,
            rows: last.rows,
            people: everybody,
            differing: last.differing,
            grown: last.grown,
        })
    }

    /// Whether the answers of a pass said that there are twice as many as it showed, as far as they
    /// can be believed. Where they said that there are some more, that is kept for the verdict.
    fn hides_most(&self, window: Window, pass: &Pass) -> bool {
        let mut known = self.known();
        if pass.end != PassEnd::EmptyPage || !known.signs.says_more(pass.received, pass.said) {
            return false;
        }
        if Signs::hides_most(pass.received, pass.said) {
            return true;
        }
        // Of everybody some may have come since.
        if window != Window::ALL {
            known.signs.contradicted(pass.received, pass.said);
        }
        false
    }

    /// Whether what a pass showed is no part of what there is, cut off by a server that sends so
    /// many at a time and no more: it sends more of another window, or whatever it is asked for.
    async fn is_no_part(
        &self,
        window: Window,
        rpp: u64,
        pass: &Pass,
    ) -> Result<bool, Stopped<S::Error>> {
        let items = match pass.end {
            PassEnd::SamePages => pass.received,
            PassEnd::EmptyPage => {
                // Where pages are seen to work, an empty one is the end.
                let is_end = pass.pages != 1 || self.known().signs.pages_work();
                return Ok(is_end
                    || self.sends_more_than(pass.received).await?
                    || self.goes_by_pages(window, pass.received).await?);
            }
            PassEnd::FullPages | PassEnd::Refused | PassEnd::BrokenOff => return Ok(false),
        };
        // It does not go by the size either.
        if items > rpp {
            return Ok(true);
        }
        let more = self.ask(Window::ALL, items + 1, 1).await?;
        if more.len() as u64 > items {
            return Ok(true);
        }
        let fewer = (items / 2).max(1);
        let again = self.ask(window, fewer, 1).await?;
        Ok(again.len() as u64 > fewer)
    }

    /// Whether a second page shows others than the first one: of everybody, in pages of so many, or
    /// of this window, in pages of half of them.
    async fn goes_by_pages(&self, window: Window, items: u64) -> Result<bool, Stopped<S::Error>> {
        for (window, rpp) in [(Window::ALL, items), (window, items.div_ceil(2))] {
            let first = Sightings::on(&self.ask(window, rpp, 1).await?);
            let second = Sightings::on(&self.ask(window, rpp, 2).await?);
            if first.len() as u64 <= rpp && !second.is_subset(&first) {
                self.known().signs.more_behind(rpp, first.len() as u64);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads everything by page, once: what is left when the server ignores the filter.
    ///
    /// # Errors
    /// As the source.
    pub async fn everything(
        &self,
        pages: &mpsc::Sender<Fetched>,
    ) -> Result<Option<Growth>, Stopped<S::Error>> {
        let rpp = self.full_page();
        Ok(self.pass(Window::ALL, rpp, &|_| true, pages).await?.grown)
    }

    async fn pass(
        &self,
        window: Window,
        rpp: u64,
        belongs: &impl Fn(&Item) -> bool,
        pages: &mpsc::Sender<Fetched>,
    ) -> Result<Pass, Stopped<S::Error>> {
        let mut pass = Pass::default();
        let mut before = Before::default();
        let mut previous = 0;
        for number in 1..=MAX_PAGES {
            let mut page = self.ask(window, rpp, number).await?;
            pass.said.count = pass.said.count.max(page.envelope.count);
            pass.said.next = page.envelope.next;
            if page.is_empty() {
                // A 404 for a first page says nothing; behind the last page it is another way to
                // say that there is none.
                // A page that is refused is past the end, if the one before it was not full; else it
                // may be deeper than the server pages.
                let may_be_deep = page.refused && previous >= self.known().signs.full_page(rpp);
                pass.end = if may_be_deep {
                    PassEnd::Refused
                } else if page.not_found && number == 1 {
                    PassEnd::BrokenOff
                } else {
                    PassEnd::EmptyPage
                };
                break;
            }
            let here = Sightings::on(&page);
            let shown = match before.shown(here, number) {
                Ok(shown) => shown,
                Err(PassEnd::SamePages) if self.may_have_more(rpp, &page) => {
                    pass.end = PassEnd::FullPages;
                    break;
                }
                Err(end) => {
                    pass.end = end;
                    break;
                }
            };
            pass.pages += 1;
            if number > 1 && shown < page.len() {
                self.known().signs.more_behind(rpp, previous);
            }
            previous = page.len() as u64;
            pass.received += (page.len() - shown.min(page.len())) as u64;
            pass.usable |= !page.items.is_empty();
            pass.unusable |= page.rejects.iter().any(|reject| reject.id.is_none());
            page.items.retain(|item| belongs(item));
            let here = Sightings::on(&page);
            pass.repeated += here.shared_with([&pass.people]) as u64;
            pass.differing += here.differing(&page);
            pass.people.add(&here);
            pass.rows += page.len() as u64;
            if let Some(growth) = self.asking.expected
                && pass.received > growth.allowed
            {
                pass.grown = Some(growth);
                break;
            }
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
}

/// One pass by page.
#[derive(Debug, Default)]
struct Pass {
    people: Sightings,
    /// Records that belong.
    rows: u64,
    /// Pages that held somebody.
    pages: u64,
    /// Records that came and had not just been shown.
    received: u64,
    /// People who were on an earlier page too.
    repeated: u64,
    /// Records that have the id of another one on their page, and differ from it.
    differing: u64,
    /// The largest count that its answers named, and whether the last of them named a next page.
    said: Envelope,
    end: PassEnd,
    /// Whether it showed a record that can be stored.
    usable: bool,
    /// Whether it showed a record without a key.
    unusable: bool,
    grown: Option<Growth>,
}

/// Why a pass came to its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum PassEnd {
    /// A page was empty.
    EmptyPage,
    /// The same page came again and again: the server knows no pages, and each answer is all it
    /// has.
    SamePages,
    /// The same page came again and again, and may be any part of what there is: the server goes by
    /// the size that is asked for, or says that there is more.
    FullPages,
    /// A page behind a full one was refused. Cut elsewhere, the last page is not full.
    Refused,
    /// Neither: pages showed mostly what others had shown, or they had no end.
    #[default]
    BrokenOff,
}

/// What the pages of a pass showed so far.
#[derive(Debug, Default)]
struct Before {
    first: Sightings,
    previous: Sightings,
    /// Whom the pass began with: a server may begin again after its last page.
    begun: Sightings,
    /// Pages in a row that showed mostly what others had shown, after the one that began it.
    again: usize,
}

impl Before {
    /// How many of this page were shown before, or how the pass ends with it. Who is on a page a
    /// second time was moved there by somebody who came; but where most of a page was shown before,
    /// the server ignores the number.
    fn shown(&mut self, here: Sightings, number: u64) -> Result<usize, PassEnd> {
        let shown = here.shared_with([&self.first, &self.previous]);
        let known = here.shared_with([&self.begun, &self.previous]);
        let is_known = known * 4 >= here.len() * 3;
        if self.begun.len() < BEGUN {
            self.begun.add(&here);
        }
        self.again = if is_known { self.again + 1 } else { 0 };
        if self.again + 1 == SAME_PAGES {
            let is_same = here == self.previous || (number > 2 && here == self.first);
            return Err(if is_same {
                PassEnd::SamePages
            } else {
                PassEnd::BrokenOff
            });
        }
        if number == 1 {
            self.first.clone_from(&here);
        }
        self.previous = here;
        Ok(shown)
    }
}

impl Pass {
    /// Whether all that came is a record without a key, again and again: the next pass would show
    /// the same.
    fn repeats_unusable(&self) -> bool {
        self.end == PassEnd::SamePages && !self.usable && self.unusable
    }

    /// Whether somebody was on two of its pages, and it is not that all pages are the same.
    fn shows_some_twice(&self) -> bool {
        self.end == PassEnd::EmptyPage && self.repeated > 0
    }

    /// Whether it may have shown everybody. Where nothing but a record without a key comes again
    /// and again, nothing tells whether it is always the same.
    fn shows_all(&self) -> bool {
        match self.end {
            PassEnd::EmptyPage => true,
            PassEnd::SamePages => self.usable || !self.unusable,
            PassEnd::FullPages | PassEnd::Refused | PassEnd::BrokenOff => false,
        }
    }
}
