//! Whether one reading of a list may be believed: what its answers held, and what they said about
//! themselves. The same for a list of the API and for what it tells one parent at a time.
//!
//! An answer proves that something is there; an empty one, or a 404, proves next to nothing. What
//! an answer says of itself (`total`, `meta.count`, `links.next`) counts whatever the paging that
//! is documented: where it says that there is more, more is asked for, and where that does not
//! come, nothing is proven.

use super::verdict::Growth;

/// Pages of a list of which nothing tells how long it may be. Lists are thousands of items and not
/// millions.
const MAX_PAGES: u64 = 10_000;

/// So many answers in a row that show mostly what was shown before: the server does not go by the
/// page number. One alone may be a last page that holds nothing but an item that is listed twice.
const STALE_PAGES: u32 = 2;

/// How a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Once, without a page: one answer is everything.
    Once,
    /// By page. Whether `total`, when it is reached on the first page, may be that of the page.
    ByPage {
        /// Items per page.
        rpp: u64,
        /// Whether a total that is reached ends the list. `meta.count` on a single page may be the
        /// page's own.
        total_ends: bool,
    },
}

/// What one answer held and said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answer {
    /// It was a 404.
    pub not_found: bool,
    /// Items.
    pub items: u64,
    /// Different items among them.
    pub different: u64,
    /// Items that no answer of this pass had shown before.
    pub fresh: u64,
    /// How many there are in all, as it says.
    pub total: Option<u64>,
    /// Whether it names a next page.
    pub next: bool,
    /// Whether an item has a key.
    pub keyed: bool,
}

/// One reading of a list from its beginning to its end.
#[derive(Debug)]
pub struct Pass {
    manner: Manner,
    expected: Option<Growth>,
    /// Answers with items.
    pages: u64,
    /// Different items.
    seen: u64,
    /// Items that were in one answer twice: a total counts them twice too. Whoever is on two pages
    /// may have taken the place of another one who is on none.
    doubled: u64,
    /// Items that were on a page before.
    repeated: u64,
    /// The largest total that an answer named.
    told: Option<u64>,
    /// All answers named a total, and the same.
    told_alike: bool,
    /// The last answer with items named a next page.
    next: bool,
    /// An item had a key.
    keyed: bool,
    /// Items on the first page.
    first: u64,
    /// Items on the page before, and on the largest one.
    previous: u64,
    largest: u64,
    /// A page held less than was asked for, and another one came after it.
    is_cut_off: bool,
    stale: u32,
    /// The first page came again for the second: it is asked for once more, with fewer items.
    asks_for_fewer: bool,
    end: Option<End>,
}

/// How a pass ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// With an empty page, or with as many as were told.
    Reached,
    /// The only answer was all of it, whatever the page.
    OneAnswer,
    /// The first answer was a 404.
    NotFound,
    /// Pages showed what others had shown.
    Stale,
    /// More came than can be.
    Grown(Growth),
    /// It had no end.
    Endless,
}

/// What may be made of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// One answer held all of it.
    Whole,
    /// It held as many different items as all of its answers told.
    AsTold,
    /// It is believed if a second pass shows the same.
    Unclear,
    /// It says that there is more than it shows: asked for by page, it may show it.
    SaysMore,
    /// The answer was a 404.
    NotFound,
    /// It says that there are as many as it shows, where those count twice that were on two pages: a
    /// list with items twice in it, or one that shows some in the place of others. Believed if passes
    /// with other sizes of page show the same.
    Repeats,
    /// It says that there is more than it shows, page by page: so many of so many.
    Contradicts {
        /// How many it says there are; none where a link said so.
        told: Option<u64>,
    },
    /// The server does not go by the page number, and sends something else each time.
    Stale,
    /// More came than can be expected.
    Grown(Growth),
    /// So many pages, and no end.
    Endless,
}

impl Pass {
    /// A pass of which nothing is read yet. More than is expected ends it.
    pub fn new(manner: Manner, expected: Option<Growth>) -> Self {
        Self {
            manner,
            expected,
            pages: 0,
            seen: 0,
            doubled: 0,
            repeated: 0,
            told: None,
            told_alike: true,
            next: false,
            keyed: false,
            first: 0,
            previous: 0,
            largest: 0,
            is_cut_off: false,
            stale: 0,
            asks_for_fewer: false,
            end: None,
        }
    }

    /// The page to ask for, as `rpp` and `page`; none where the list is not asked for by page.
    pub fn asks_for(&self) -> Option<(u64, u64)> {
        match self.manner {
            Manner::Once => None,
            Manner::ByPage { .. } if self.asks_for_fewer => Some((self.first.div_ceil(2), 1)),
            Manner::ByPage { rpp, .. } => Some((rpp, self.pages + 1)),
        }
    }

    /// Answers with items so far.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// Different items so far.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// How to ask from now on. A server that sends fewer at a time than it is asked for may still
    /// count its pages by what it is asked for, and skip what lies between: it is asked for as much
    /// as it sends. Where items were on two pages, pages of another size show whether they stand in the
    /// place of others.
    pub fn next_manner(&self) -> Manner {
        match self.manner {
            Manner::ByPage { total_ends, .. } if self.is_cut_off => Manner::ByPage {
                rpp: self.largest.max(1),
                total_ends,
            },
            Manner::ByPage { rpp, total_ends } if self.repeated > 0 => Manner::ByPage {
                rpp: (rpp - rpp.div_ceil(3)).max(1),
                total_ends,
            },
            Manner::Once | Manner::ByPage { .. } => self.manner,
        }
    }

    /// Takes in an answer; whether the pass goes on.
    pub fn goes_on(&mut self, answer: Answer) -> bool {
        self.end = self.end_with(answer);
        self.end.is_none()
    }

    fn end_with(&mut self, answer: Answer) -> Option<End> {
        if answer.not_found && self.pages == 0 {
            return Some(End::NotFound);
        }
        if self.asks_for_fewer {
            let is_same = answer.fresh == 0 && answer.items == self.first;
            return Some(if is_same { End::OneAnswer } else { End::Stale });
        }
        self.told = self.told.max(answer.total);
        if answer.items == 0 || answer.not_found {
            self.next |= answer.next && !answer.not_found;
            return Some(match self.manner {
                Manner::Once => End::OneAnswer,
                Manner::ByPage { .. } => End::Reached,
            });
        }
        let is_again = answer.fresh == 0 && answer.items == self.first;
        if self.pages == 1 && is_again && self.may_be_all() {
            self.asks_for_fewer = self.first > 1;
            return (!self.asks_for_fewer).then_some(End::OneAnswer);
        }
        self.told_alike &= answer.total.is_some() && (self.pages == 0 || answer.total == self.told);
        if self.pages == 0 {
            self.first = answer.items;
        }
        if let Manner::ByPage { rpp, .. } = self.manner {
            self.is_cut_off |= self.pages > 0 && answer.fresh > 0 && self.previous < rpp;
        }
        self.previous = answer.items;
        self.largest = self.largest.max(answer.items);
        self.keyed |= answer.keyed;
        self.pages += 1;
        self.seen += answer.fresh;
        self.doubled += answer.items.saturating_sub(answer.different);
        self.repeated += answer.different.saturating_sub(answer.fresh);
        self.next = answer.next;
        // One answer has an end, however much it holds.
        if let (Manner::ByPage { .. }, Some(growth)) = (self.manner, self.expected)
            && self.seen > growth.allowed
        {
            return Some(End::Grown(growth));
        }
        self.stale = if answer.fresh * 4 <= answer.items {
            self.stale + 1
        } else {
            0
        };
        if self.stale >= STALE_PAGES {
            return Some(End::Stale);
        }
        match self.manner {
            Manner::Once => Some(End::OneAnswer),
            Manner::ByPage { .. } if self.pages >= MAX_PAGES => Some(End::Endless),
            // A total on a full first page may be that of the page: one more is asked for.
            Manner::ByPage { rpp, total_ends } => {
                let all_there = answer.total.is_some_and(|total| self.seen >= total);
                let tells = self.pages > 1 || (answer.items < rpp && total_ends);
                (all_there && tells && !answer.next).then_some(End::Reached)
            }
        }
    }

    /// A server that knows no pages sends the first one again, and then that may be all there is:
    /// not where it is as full as was asked for, for then it only ignores the number, and not where
    /// nothing tells its items apart. It is all if it comes however few are asked for; else nobody
    /// knows where the server cuts off.
    fn may_be_all(&self) -> bool {
        let is_full = match self.manner {
            Manner::Once => false,
            Manner::ByPage { rpp, .. } => self.first == rpp,
        };
        self.keyed && !is_full
    }

    /// What may be made of it.
    pub fn judge(&self) -> Judgement {
        let told_more = self.told.filter(|told| *told > self.seen + self.doubled);
        let says_more = told_more.is_some() || self.next;
        let are_listed_twice = self.told == Some(self.seen + self.doubled + self.repeated);
        match (self.end, self.manner) {
            (Some(End::NotFound), _) => Judgement::NotFound,
            (Some(End::Grown(growth)), _) => Judgement::Grown(growth),
            (Some(End::Stale), _) => Judgement::Stale,
            (Some(End::Endless) | None, _) => Judgement::Endless,
            (Some(End::OneAnswer | End::Reached), Manner::Once) if says_more => Judgement::SaysMore,
            (Some(End::Reached), Manner::ByPage { .. })
                if says_more && !self.next && are_listed_twice =>
            {
                Judgement::Repeats
            }
            (Some(End::OneAnswer | End::Reached), Manner::ByPage { .. }) if says_more => {
                Judgement::Contradicts { told: told_more }
            }
            (Some(End::OneAnswer), _) => Judgement::Whole,
            (Some(End::Reached), _) if self.pages <= 1 => Judgement::Whole,
            (Some(End::Reached), _) if self.told_alike && self.told == Some(self.seen) => {
                Judgement::AsTold
            }
            (Some(End::Reached), _) => Judgement::Unclear,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGED: Manner = Manner::ByPage {
        rpp: 10,
        total_ends: true,
    };

    fn items(items: u64) -> Answer {
        Answer {
            items,
            different: items,
            fresh: items,
            keyed: true,
            ..Answer::default()
        }
    }

    fn of(total: u64, answer: Answer) -> Answer {
        Answer {
            total: Some(total),
            ..answer
        }
    }

    fn judged(manner: Manner, answers: &[Answer]) -> Judgement {
        let growth = Growth {
            known: 40,
            allowed: 100,
        };
        let mut pass = Pass::new(manner, Some(growth));
        let last = answers.len() - 1;
        for (at, answer) in answers.iter().enumerate() {
            assert_eq!(pass.goes_on(*answer), at < last, "answer {at}");
        }
        pass.judge()
    }

    const NOT_FOUND: Answer = Answer {
        not_found: true,
        items: 0,
        different: 0,
        fresh: 0,
        total: None,
        next: false,
        keyed: false,
    };

    #[test]
    fn one_answer_holds_all_unless_it_says_that_there_is_more() {
        assert_eq!(judged(Manner::Once, &[items(3)]), Judgement::Whole);
        assert_eq!(judged(Manner::Once, &[items(0)]), Judgement::Whole);
        assert_eq!(
            judged(Manner::Once, &[of(12, items(3))]),
            Judgement::SaysMore
        );
        let next = Answer {
            next: true,
            ..items(3)
        };
        assert_eq!(judged(Manner::Once, &[next]), Judgement::SaysMore);
    }

    #[test]
    fn a_404_is_no_empty_list() {
        assert_eq!(judged(Manner::Once, &[NOT_FOUND]), Judgement::NotFound);
        assert_eq!(judged(PAGED, &[NOT_FOUND]), Judgement::NotFound);
        assert_eq!(judged(PAGED, &[items(10), NOT_FOUND]), Judgement::Whole);
    }

    #[test]
    fn pages_end_where_the_total_is_reached_or_with_an_empty_one() {
        assert_eq!(judged(PAGED, &[of(3, items(3))]), Judgement::Whole);
        assert_eq!(judged(PAGED, &[items(10), items(0)]), Judgement::Whole);
        let two = [of(15, items(10)), of(15, items(5))];
        assert_eq!(judged(PAGED, &two), Judgement::AsTold);
        assert_eq!(
            judged(PAGED, &[items(10), items(5), items(0)]),
            Judgement::Unclear
        );
    }

    #[test]
    fn a_total_that_is_not_reached_proves_nothing() {
        let short = [of(20, items(1)), of(20, items(0))];
        assert_eq!(
            judged(PAGED, &short),
            Judgement::Contradicts { told: Some(20) }
        );
        let next = Answer {
            next: true,
            ..items(10)
        };
        assert_eq!(
            judged(PAGED, &[next, items(0)]),
            Judgement::Contradicts { told: None }
        );
    }

    #[test]
    fn items_that_are_listed_twice_may_be_what_a_total_counts() {
        let again = Answer {
            items: 5,
            different: 5,
            fresh: 4,
            keyed: true,
            ..Answer::default()
        };
        let read = |total| {
            judged(
                PAGED,
                &[of(total, items(10)), of(total, again), of(total, items(0))],
            )
        };
        assert_eq!(read(15), Judgement::Repeats);
        assert_eq!(read(16), Judgement::Contradicts { told: Some(16) });
        let mut pass = Pass::new(PAGED, None);
        pass.goes_on(items(10));
        assert_eq!(pass.next_manner(), PAGED);
        pass.goes_on(again);
        let smaller = Manner::ByPage {
            rpp: 6,
            total_ends: true,
        };
        assert_eq!(pass.next_manner(), smaller);
    }

    #[test]
    fn pages_without_an_end_are_noticed() {
        let again = |answer: Answer| Answer { fresh: 0, ..answer };
        let all = items(30);
        assert_eq!(
            judged(PAGED, &[all, again(all), again(all)]),
            Judgement::Whole
        );
        assert_eq!(
            judged(PAGED, &[items(1), again(items(1))]),
            Judgement::Whole
        );
        // It goes by the size, so it may send eight at most, and hold back any number.
        let eight = items(8);
        assert_eq!(
            judged(PAGED, &[eight, again(eight), again(items(4))]),
            Judgement::Stale
        );
        // It goes by the size and not by the number: there may be any number more.
        let full = items(10);
        assert_eq!(
            judged(PAGED, &[full, again(full), again(full)]),
            Judgement::Stale
        );
        let keyless = Answer {
            keyed: false,
            ..items(1)
        };
        assert_eq!(
            judged(PAGED, &[keyless, again(keyless), again(keyless)]),
            Judgement::Stale
        );
        // The last page holds one that was shown before, and ends the list all the same.
        let twice = again(items(1));
        assert_eq!(judged(PAGED, &[full, twice, items(0)]), Judgement::Unclear);
        assert_eq!(
            judged(PAGED, &[items(3), twice, items(0)]),
            Judgement::Unclear
        );
        let one_more = Answer {
            items: 40,
            different: 40,
            fresh: 1,
            ..Answer::default()
        };
        assert_eq!(
            judged(PAGED, &[items(40), one_more, one_more]),
            Judgement::Stale
        );
        let growth = Growth {
            known: 40,
            allowed: 100,
        };
        assert_eq!(judged(PAGED, &[items(10); 11]), Judgement::Grown(growth));
    }
}
