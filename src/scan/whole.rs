//! When an answer holds all there is (design section 3.2).
//!
//! Servers differ in what they tell: a link to the next page, a count that is a total or the size of the page, the page size they allow, or nothing.
//! An answer is believed to be whole only where something has been *seen* to work on this server: a link, a count, or an empty second page.

use crate::record::Envelope;

/// What a scan has learned about how this server says "there is more".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Signs {
    /// A link to a next page was seen, so its absence means something.
    links_work: bool,
    /// A count above the records on the page was seen, so it is a total.
    count_is_total: bool,
    /// The largest answer that had more behind it: the size of a full page, whatever was asked.
    full_page: Option<u64>,
    /// The largest answer whose second page was asked for and was empty.
    probed: u64,
}

/// What to make of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It holds all there is.
    Whole,
    /// There is more.
    More,
    /// Nothing this server said so far tells; its second page will.
    AskSecondPage,
}

impl Signs {
    /// Whether `meta.count` has been shown to be a total.
    pub fn count_is_total(&self) -> bool {
        self.count_is_total
    }

    /// How many records a full page holds, when `asked` are asked for.
    pub fn full_page(&self, asked: u64) -> u64 {
        self.full_page.map_or(asked, |full| full.min(asked)).max(1)
    }

    /// Judges the first page of an answer of `items` records to a request for `asked`, and learns from it.
    pub fn judge(&mut self, asked: u64, items: u64, envelope: Envelope) -> Judgement {
        self.links_work |= envelope.next;
        let counts_more = envelope.count.is_some_and(|count| count > items);
        // A count above an empty page proves nothing: nobody knows what is counted.
        self.count_is_total |= counts_more && items > 0;
        let size = envelope.rpp.map_or(asked, |rpp| rpp.min(asked));
        let size = self.full_page.map_or(size, |full| full.min(size));
        if envelope.next || counts_more {
            self.has_more(items);
            return Judgement::More;
        }
        if items == 0 {
            return Judgement::Whole;
        }
        let told = self.links_work || (self.count_is_total && envelope.count == Some(items));
        if items >= size {
            // A page that is full to the brim and says nothing: asking is cheaper than cutting for nothing, but only where it can be told.
            Judgement::More
        } else if told || items <= self.probed {
            Judgement::Whole
        } else {
            Judgement::AskSecondPage
        }
    }

    /// Learns what the second page of an answer of `items` records showed.
    pub fn second_page(&mut self, items: u64, more: bool) -> Judgement {
        if more {
            self.has_more(items);
            Judgement::More
        } else {
            self.probed = self.probed.max(items);
            Judgement::Whole
        }
    }

    fn has_more(&mut self, items: u64) {
        if items > 0 {
            self.full_page = Some(self.full_page.map_or(items, |full| full.max(items)));
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

    #[test]
    fn a_link_or_a_larger_count_says_there_is_more() {
        let mut signs = Signs::default();
        assert_eq!(
            signs.judge(
                500,
                20,
                Envelope {
                    next: true,
                    ..SILENT
                }
            ),
            Judgement::More
        );
        let mut signs = Signs::default();
        assert_eq!(
            signs.judge(
                500,
                100,
                Envelope {
                    count: Some(101),
                    ..SILENT
                }
            ),
            Judgement::More
        );
        assert!(signs.count_is_total());
    }

    #[test]
    fn a_server_that_was_never_seen_to_tell_is_asked_for_the_second_page() {
        let mut signs = Signs::default();
        let clamped = Envelope {
            count: Some(100),
            rpp: Some(500),
            next: false,
        };
        assert_eq!(signs.judge(500, 100, clamped), Judgement::AskSecondPage);
        assert_eq!(signs.second_page(100, true), Judgement::More);
        assert_eq!(signs.full_page(500), 100);
        // From then on a hundred is a full page, and less has been judged by none.
        assert_eq!(signs.judge(500, 100, clamped), Judgement::More);
        assert_eq!(signs.judge(500, 60, SILENT), Judgement::AskSecondPage);
        assert_eq!(signs.second_page(60, false), Judgement::Whole);
        assert_eq!(signs.judge(500, 59, SILENT), Judgement::Whole);
        assert_eq!(signs.judge(500, 61, SILENT), Judgement::AskSecondPage);
    }

    #[test]
    fn once_links_or_counts_were_seen_to_work_their_silence_is_believed() {
        let mut signs = Signs::default();
        signs.judge(
            500,
            500,
            Envelope {
                next: true,
                ..SILENT
            },
        );
        assert_eq!(signs.judge(500, 499, SILENT), Judgement::Whole);
        assert_eq!(signs.judge(500, 500, SILENT), Judgement::More);
        let mut signs = Signs::default();
        signs.judge(
            500,
            500,
            Envelope {
                count: Some(9_000),
                ..SILENT
            },
        );
        assert_eq!(
            signs.judge(
                500,
                400,
                Envelope {
                    count: Some(400),
                    ..SILENT
                }
            ),
            Judgement::Whole
        );
        assert_eq!(signs.judge(500, 400, SILENT), Judgement::AskSecondPage);
    }

    #[test]
    fn the_page_size_the_server_names_is_obeyed() {
        let mut signs = Signs::default();
        let envelope = Envelope {
            count: None,
            rpp: Some(100),
            next: false,
        };
        assert_eq!(signs.judge(500, 100, envelope), Judgement::More);
    }
}
