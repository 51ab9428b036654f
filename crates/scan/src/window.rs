//! A stretch of registration time, half open, with whole seconds at its ends.

use chrono::{DateTime, TimeDelta, Utc};

use clock::time;

/// Inclusive or exclusive is not documented, and neither is rounding: windows are asked with this
/// much more on both sides, and rows outside the core are dropped.
const OVERLAP: TimeDelta = TimeDelta::seconds(1);

/// The first and the last second at which time is cut, since 1970: with the overlap, what is asked
/// for still has a year of four digits, as all registrations have that are read.
const EARLIEST: i64 = -62_167_219_199;
const LATEST: i64 = 253_402_300_798;

/// From `from` (inclusive; none means from the beginning) until `until` (exclusive; none means to
/// the end).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Inclusive.
    pub from: Option<DateTime<Utc>>,
    /// Exclusive.
    pub until: Option<DateTime<Utc>>,
}

impl Window {
    /// All of time, and people without a date besides: asked without a filter.
    pub const ALL: Self = Self {
        from: None,
        until: None,
    };

    /// Whether a registration belongs to this window, and so to no other.
    pub fn contains(&self, at: DateTime<Utc>) -> bool {
        self.from.is_none_or(|from| from <= at) && self.until.is_none_or(|until| at < until)
    }

    /// Whether all of another window lies in this one.
    pub fn holds(&self, other: Self) -> bool {
        let starts = match (self.from, other.from) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(from), Some(other)) => from <= other,
        };
        let ends = match (self.until, other.until) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(until), Some(other)) => other <= until,
        };
        starts && ends
    }

    /// What to ask for: `registeredSince` and `registeredBefore`.
    pub fn asked(&self) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
        (
            self.from.map(|from| time::before(from, OVERLAP)),
            self.until.map(|until| time::after(until, OVERLAP)),
        )
    }

    /// Whether a server that honours the filter could send somebody registered then. It may round
    /// to seconds in either direction.
    pub fn could_be_answered_with(&self, at: DateTime<Utc>) -> bool {
        let (since, before) = self.asked();
        since.is_none_or(|since| at >= time::before(since, OVERLAP))
            && before.is_none_or(|before| at <= time::after(before, OVERLAP))
    }

    /// Whether there is a whole second inside at which to cut.
    pub fn can_be_cut(&self) -> bool {
        match (self.from, self.until) {
            (Some(from), Some(until)) => until.signed_duration_since(from) > TimeDelta::seconds(1),
            (Some(from), None) => from.timestamp() < LATEST,
            (None, Some(until)) => until.timestamp() > EARLIEST,
            (None, None) => true,
        }
    }

    /// The pieces between these instants, in order; instants outside the window, repeated or not on
    /// a whole second do not cut twice.
    pub fn cut(&self, at: impl IntoIterator<Item = DateTime<Utc>>) -> Vec<Self> {
        let mut cuts: Vec<_> = at
            .into_iter()
            .map(|at| at.timestamp().clamp(EARLIEST, LATEST))
            .filter_map(|second| DateTime::from_timestamp(second, 0))
            .filter(|at| self.from.is_none_or(|from| from < *at))
            .filter(|at| self.until.is_none_or(|until| *at < until))
            .collect();
        cuts.sort_unstable();
        cuts.dedup();
        let mut from = self.from;
        let mut pieces = Vec::with_capacity(cuts.len() + 1);
        for cut in cuts {
            pieces.push(Self {
                from,
                until: Some(cut),
            });
            from = Some(cut);
        }
        pieces.push(Self {
            from,
            until: self.until,
        });
        pieces
    }

    /// What of all time is in none of these windows, which do not overlap.
    pub fn gaps(done: &[Self]) -> Vec<Self> {
        let mut done = done.to_vec();
        done.sort_unstable_by_key(|window| window.from);
        let mut gaps = Vec::new();
        let mut from = None;
        let mut first = true;
        for window in done {
            let starts_later = match (first, from, window.from) {
                (true, _, start) => start.is_some(),
                (false, Some(reached), Some(start)) => reached < start,
                (false, _, _) => false,
            };
            if starts_later {
                gaps.push(Self {
                    from,
                    until: window.from,
                });
            }
            first = false;
            match window.until {
                Some(until) => from = Some(until),
                None => return gaps,
            }
        }
        gaps.push(Self { from, until: None });
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn window(from: i64, until: i64) -> Window {
        Window {
            from: Some(at(from)),
            until: Some(at(until)),
        }
    }

    #[test]
    fn pieces_cover_the_window_and_do_not_overlap() {
        let pieces = Window::ALL.cut([at(20), at(10), at(20)]);
        assert_eq!(
            pieces,
            [
                Window {
                    from: None,
                    until: Some(at(10))
                },
                window(10, 20),
                Window {
                    from: Some(at(20)),
                    until: None
                }
            ]
        );
        for second in [0, 9, 10, 19, 20, 99] {
            assert_eq!(
                pieces
                    .iter()
                    .filter(|piece| piece.contains(at(second)))
                    .count(),
                1
            );
        }
    }

    #[test]
    fn one_second_cannot_be_cut() {
        assert!(!window(5, 6).can_be_cut());
        assert!(window(5, 7).can_be_cut());
        assert_eq!(window(5, 6).cut([at(5), at(6), at(7)]), [window(5, 6)]);
    }

    #[test]
    fn no_cut_is_further_away_than_can_be_asked_for() {
        let pieces = Window::ALL.cut([at(LATEST + 2), at(EARLIEST - 1)]);
        let (since, before) = pieces[1].asked();
        let asked = [since, before].map(|at| at.unwrap().to_rfc3339());
        assert_eq!(
            asked,
            ["0000-01-01T00:00:00+00:00", "9999-12-31T23:59:59+00:00"]
        );
        assert!(!pieces[0].can_be_cut() && pieces[1].can_be_cut() && !pieces[2].can_be_cut());
    }

    #[test]
    fn gaps_are_what_is_not_done() {
        assert_eq!(Window::gaps(&[]), [Window::ALL]);
        assert_eq!(Window::gaps(&[Window::ALL]), []);
        let done = [
            window(10, 20),
            window(20, 30),
            Window {
                from: None,
                until: Some(at(5)),
            },
        ];
        assert_eq!(
            Window::gaps(&done),
            [
                window(5, 10),
                Window {
                    from: Some(at(30)),
                    until: None
                }
            ]
        );
        assert_eq!(
            Window::gaps(&[Window {
                from: Some(at(5)),
                until: None
            }]),
            [Window {
                from: None,
                until: Some(at(5))
            }]
        );
    }
}
