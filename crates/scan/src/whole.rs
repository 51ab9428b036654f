//! When an answer holds all there is (design section 3.2).
//!
//! Servers differ in what they tell: a link to the next page, a count that is a total or the size
//! of the page, the page size they allow, or nothing. An answer is believed to be whole only where
//! something has been *seen* to work on this server: a link, a count, or a page that held more.

use std::collections::BTreeMap;

use record::Envelope;

/// What a scan has learned about how this server says "there is more".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signs {
    /// A link to a next page was seen, so its absence means something.
    links_tell: bool,
    /// A count above the records on the page was seen, so it is a total.
    count_is_total: bool,
    /// A link to a next page was seen where that page was empty, so links mean nothing.
    links_lie: bool,
    /// A count above the records on a page was seen where the next one was empty, so counts mean
    /// nothing.
    count_lies: bool,
    /// The largest answer to each page size that was asked: a page holds at least that much, so an
    /// answer with fewer records is not full.
    held: BTreeMap<u64, u64>,
    /// The largest answer to each page size that had more behind it: the size of a full page,
    /// whatever was asked.
    full: BTreeMap<u64, u64>,
    /// A page after the first one showed somebody new, so the page number counts.
    pages_work: bool,
}

/// What outlasts a scan: an incremental run believes an answer by what the full scan before it saw.
/// Field names are those of `checkpoints`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Learned {
    /// Records per page that were asked for.
    pub page_asked: Option<u64>,
    /// The largest page that came.
    pub page_held: Option<u64>,
    /// Whether links tell.
    pub links_tell: bool,
    /// Whether the count is a total.
    pub count_is_total: bool,
}

/// What to make of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It holds all there is.
    Whole,
    /// There is more.
    More,
    /// It says that there is more, and has room for it: the next page tells whether that is so.
    SaysMore,
    /// It says nothing of more, and another page held more: all there is, if the next page is
    /// empty. A server may drop records from a page after it chose them.
    Quiet,
    /// Nothing this server said so far tells.
    Unclear,
}

impl Signs {
    /// Begins with what an earlier scan learned.
    pub fn remember(learned: Learned) -> Self {
        Self {
            links_tell: learned.links_tell,
            count_is_total: learned.count_is_total,
            held: learned
                .page_asked
                .zip(learned.page_held)
                .into_iter()
                .collect(),
            ..Self::default()
        }
    }

    /// What a later scan may begin with, about pages of the size asked.
    pub fn learned(&self, asked: u64) -> Learned {
        let held = self.held.get(&asked).copied();
        Learned {
            page_asked: held.map(|_| asked),
            page_held: held,
            links_tell: self.links_tell,
            count_is_total: self.count_is_total,
        }
    }

    /// Whether `meta.count` has been shown to be a total.
    pub fn count_is_total(&self) -> bool {
        self.count_is_total
    }

    /// How many records a full page holds, when `asked` are asked for.
    pub fn full_page(&self, asked: u64) -> u64 {
        self.full
            .get(&asked)
            .map_or(asked, |full| *full.min(&asked))
            .max(1)
    }

    /// Judges the first page of an answer of `items` records to a request for `asked`, and learns
    /// from it.
    pub fn judge(&mut self, asked: u64, items: u64, envelope: Envelope) -> Judgement {
        let next = envelope.next && !self.links_lie;
        let count = envelope.count.filter(|_| !self.count_lies);
        self.links_tell |= next;
        let counts_more = count.is_some_and(|count| count > items);
        // A count above an empty page proves nothing: nobody knows what is counted.
        self.count_is_total |= counts_more && items > 0;
        let held = self.held.insert(
            asked,
            items.max(self.held.get(&asked).copied().unwrap_or(0)),
        );
        let says_more = next || counts_more;
        // A server that sends more than was asked, or than it says, does not go by that number.
        let sizes = [Some(asked), envelope.rpp];
        let brim = sizes
            .into_iter()
            .flatten()
            .filter(|size| items <= *size)
            .min();
        let told = self.links_tell || (self.count_is_total && count == Some(items));
        // As many as came once when there were more are as many as this server sends at a time.
        let is_full = brim == Some(items)
            || (self.full.get(&asked)).is_some_and(|full| items >= *full && (says_more || !told));
        if is_full && items > 0 {
            // Full to the brim: cutting is cheaper than asking, and proves more. A server that names
            // a smaller size than it was asked for sends no more at a time.
            if says_more || envelope.rpp == Some(items) && items < asked {
                self.more(asked, items);
            }
            return Judgement::More;
        }
        if says_more {
            return Judgement::SaysMore;
        }
        if items == 0 {
            return Judgement::Whole;
        }
        if told {
            Judgement::Whole
        } else if held.is_some_and(|held| items < held) {
            Judgement::Quiet
        } else {
            Judgement::Unclear
        }
    }

    /// Whether an answer that was asked for everybody, and an empty page behind it, hold so few of
    /// those that are counted that nothing explains it.
    pub fn hides_most(items: u64, envelope: Envelope) -> bool {
        (envelope.count).is_some_and(|count| count > items && count >= items.saturating_mul(2))
    }

    /// Whether an answer says that there is more than its records, as far as it can still be
    /// believed.
    pub fn says_more(&self, items: u64, envelope: Envelope) -> bool {
        (envelope.next && !self.links_lie)
            || (!self.count_lies && envelope.count.is_some_and(|count| count > items))
    }

    /// Learns that an answer said there is more, and the next page was empty: nothing of that kind
    /// is believed from now on.
    pub fn contradicted(&mut self, items: u64, envelope: Envelope) {
        if envelope.next {
            self.links_lie = true;
            self.links_tell = false;
        }
        if envelope.count.is_some_and(|count| count > items) {
            self.count_lies = true;
            self.count_is_total = false;
        }
    }

    /// Whether the server said that there is more where there was not.
    pub fn lie(&self) -> bool {
        self.links_lie || self.count_lies
    }

    /// Whether an answer that says "more" holds so few records that what it says cannot be about
    /// its window: then cutting would go on until the second.
    pub fn contradicts(&self, asked: u64, items: u64) -> bool {
        self.held.get(&asked).is_some_and(|held| items * 2 < *held)
    }

    /// Whether a page after the first one was seen to show somebody new.
    pub fn pages_work(&self) -> bool {
        self.pages_work
    }

    /// Learns that the page after one of `items` records showed somebody new.
    pub fn more_behind(&mut self, asked: u64, items: u64) {
        self.pages_work = true;
        self.more(asked, items);
    }

    /// Learns that an answer of `items` records did not show all that were its own.
    pub fn cut_off(&mut self, asked: u64, items: u64) {
        self.more(asked, items);
    }

    /// Whether an answer to a request for more is no larger than one that was full: the server may
    /// cut off there, whatever it is asked for.
    pub fn may_be_cut_off(&self, usual: u64, items: u64) -> bool {
        items > 0 && (items == usual || Some(&items) == self.full.get(&usual))
    }

    /// Learns that an answer of `items` records had more behind it.
    fn more(&mut self, asked: u64, items: u64) {
        if items > 0 {
            let full = self.full.entry(asked).or_default();
            *full = items.max(*full);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENT: Envelope = Envelope {
        count: None,
        rpp: None,
        next: false,
    };

    const NEXT: Envelope = Envelope {
        next: true,
        ..SILENT
    };

    fn counting(count: u64) -> Envelope {
        Envelope {
            count: Some(count),
            ..SILENT
        }
    }

    #[test]
    fn a_link_or_a_larger_count_says_there_is_more() {
        let mut signs = Signs::default();
        // It has room for more: the next page tells.
        assert_eq!(signs.judge(500, 20, NEXT), Judgement::SaysMore);
        signs.more_behind(500, 20);
        assert_eq!(signs.judge(500, 20, NEXT), Judgement::More);
        let mut signs = Signs::default();
        assert_eq!(signs.judge(500, 100, counting(101)), Judgement::SaysMore);
        assert!(signs.count_is_total());
        assert_eq!(signs.judge(500, 500, NEXT), Judgement::More);
    }

    #[test]
    fn what_was_seen_to_be_untrue_is_not_believed_again() {
        let mut signs = Signs::default();
        assert_eq!(signs.judge(500, 0, NEXT), Judgement::SaysMore);
        signs.contradicted(0, NEXT);
        assert_eq!(signs.judge(500, 0, NEXT), Judgement::Whole);
        assert_eq!(signs.judge(500, 20, NEXT), Judgement::Unclear);
        signs.judge(500, 20, counting(21));
        signs.contradicted(20, counting(21));
        assert!(signs.lie() && !signs.count_is_total());
        assert_eq!(signs.judge(500, 19, counting(30)), Judgement::Quiet);
    }

    #[test]
    fn a_silent_answer_may_be_whole_only_below_one_that_was_larger() {
        let mut signs = Signs::default();
        // A hundred may be all there is, or all that this server sends at a time.
        assert_eq!(signs.judge(500, 100, SILENT), Judgement::Unclear);
        assert_eq!(signs.judge(500, 100, SILENT), Judgement::Unclear);
        assert_eq!(signs.judge(500, 99, SILENT), Judgement::Quiet);
        assert_eq!(signs.judge(500, 101, SILENT), Judgement::Unclear);
        // What a page of fifty thousand holds, a page of five hundred does not tell.
        assert_eq!(signs.judge(50_000, 20, SILENT), Judgement::Unclear);
    }

    #[test]
    fn a_full_page_is_never_whole() {
        let mut signs = Signs::default();
        assert_eq!(signs.judge(500, 500, SILENT), Judgement::More);
        assert_eq!(signs.judge(500, 499, SILENT), Judgement::Quiet);
        let clamped = Envelope {
            rpp: Some(100),
            ..SILENT
        };
        assert_eq!(signs.judge(500, 100, clamped), Judgement::More);
    }

    #[test]
    fn a_server_that_does_not_go_by_the_size_asked_or_named_is_not_taken_at_its_word() {
        let mut signs = Signs::default();
        let named = Envelope {
            rpp: Some(20),
            ..SILENT
        };
        assert_eq!(signs.judge(500, 3_000, named), Judgement::Unclear);
        assert_eq!(signs.judge(500, 2_999, named), Judgement::Quiet);
    }

    #[test]
    fn once_links_or_counts_were_seen_to_work_their_silence_is_believed() {
        let mut signs = Signs::default();
        signs.judge(500, 100, NEXT);
        assert_eq!(signs.judge(500, 499, SILENT), Judgement::Whole);
        assert_eq!(signs.judge(500, 500, SILENT), Judgement::More);
        let mut signs = Signs::default();
        signs.judge(500, 100, counting(9_000));
        assert_eq!(signs.judge(500, 400, counting(400)), Judgement::Whole);
        assert_eq!(signs.judge(500, 450, SILENT), Judgement::Unclear);
    }

    #[test]
    fn as_many_as_came_when_there_were_more_are_not_all() {
        let mut signs = Signs::default();
        assert_eq!(signs.judge(500, 100, SILENT), Judgement::Unclear);
        signs.more_behind(500, 100);
        assert_eq!(signs.judge(500, 100, SILENT), Judgement::More);
        assert_eq!(signs.judge(500, 99, SILENT), Judgement::Quiet);
        assert!(signs.may_be_cut_off(500, 100) && !signs.may_be_cut_off(500, 99));
    }

    #[test]
    fn what_was_learned_outlasts_the_scan() {
        let mut signs = Signs::default();
        signs.judge(500, 500, SILENT);
        let mut next = Signs::remember(signs.learned(500));
        assert_eq!(next.judge(500, 50, SILENT), Judgement::Quiet);
        let mut other_size = Signs::remember(signs.learned(200));
        assert_eq!(other_size.judge(200, 50, SILENT), Judgement::Unclear);
    }

    #[test]
    fn more_behind_a_nearly_empty_page_is_a_contradiction() {
        let mut signs = Signs::default();
        signs.judge(500, 500, NEXT);
        assert_eq!(signs.judge(500, 100, NEXT), Judgement::SaysMore);
        assert!(signs.contradicts(500, 100));
        assert!(!signs.contradicts(500, 400));
    }
}
