//! Which windows to ask, as a pure value: what is still to do, and how to cut what was too large.
//!
//! Where the mirror knows how registrations are spread, windows are cut by that. Elsewhere a stretch of time is followed from one end: each window is made as
//! wide as its neighbours were full, so that it comes out nearly full itself. What an answer that was too large shows (how many there are, and the dates on its
//! page) is used before anything is guessed.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};

use super::window::Window;

/// How full a window should come out that is cut by what the mirror knows: people changed little since, and few overflow. The second of overlap at both sides
/// has to fit as well.
pub const FILL_KNOWN: f64 = 0.98;

/// How full a window should come out whose people are on the page of an answer that was too large: their dates are known.
const FILL_SEEN: f64 = 0.95;

/// How full a followed window should come out, to begin with. It falls with each that overflows and rises with each that does not: an overflow costs a
/// request, and so does room left empty.
const FILL: f64 = 0.86;
const FILL_LEAST: f64 = 0.6;
const FILL_MOST: f64 = 0.93;
const FILL_FALLS: f64 = 0.03;
const FILL_RISES: f64 = 0.005;

/// Windows that say how dense the next one will be. Fewer would follow each quiet night, more would not follow growth.
const NEIGHBOURS: usize = 6;

/// So many times its own width away a window is still a neighbour: several are asked at once, ahead of what is known.
const NEAR: f64 = 24.0;

/// Windows remembered, to find those neighbours among; enough for several stretches that are followed at a time.
const REMEMBERED: usize = 64;

/// Stretches that a sample of dates is cut into, so that several are followed at a time.
const STRETCHES: usize = 8;

/// Dates of a sample that say how dense a stretch is, to within an eighth.
const DATES_PER_STRETCH: usize = 60;

/// The least by which an open end is pushed outwards.
const LEAST_SPAN: TimeDelta = TimeDelta::days(1);

const SECOND: TimeDelta = TimeDelta::seconds(1);

/// What an answer with too many records showed.
#[derive(Debug, Clone, Default)]
pub struct Overflow {
    /// The registrations on its page, in the order of the page.
    pub dates: Vec<DateTime<Utc>>,
    /// How many records the window holds, where that is known.
    pub count: Option<u64>,
    /// How many records a full page holds.
    pub full_page: u64,
    /// The API's clock when it answered: nobody registered later, or next to nobody.
    pub answered_at: Option<DateTime<Utc>>,
}

/// Something still to do.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Todo {
    /// To be asked as it is.
    Ask(Window),
    /// To be followed from one end, window by window.
    Follow(Stretch),
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Stretch {
    window: Window,
    towards: Towards,
    /// Where its people begin or end, for the end that is open and followed from.
    origin: DateTime<Utc>,
    /// People per second, until its neighbours tell.
    pace: f64,
    /// All of it was asked, and was too large: it must not be asked again as it is.
    too_large: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Towards {
    Later,
    Earlier,
}

/// A window that was read, and how many people it held.
#[derive(Debug, Clone, Copy)]
struct Neighbour {
    middle: DateTime<Utc>,
    seconds: f64,
    people: f64,
}

/// The windows still to be asked.
#[derive(Debug)]
pub struct Plan {
    todo: Vec<Todo>,
    neighbours: VecDeque<Neighbour>,
    /// The latest moment known: registrations or the API's clock.
    horizon: Option<DateTime<Utc>>,
    /// The earliest registration seen.
    earliest: Option<DateTime<Utc>>,
    full_page: f64,
    fill: f64,
}

impl Plan {
    /// What is left of a scan of which these windows are committed.
    pub fn without(done: &[Window]) -> Self {
        let mut todo: Vec<_> = Window::gaps(done).into_iter().map(Todo::Ask).collect();
        todo.reverse();
        Self {
            todo,
            neighbours: VecDeque::new(),
            horizon: None,
            earliest: None,
            full_page: 1.0,
            fill: FILL,
        }
    }

    /// Cuts what is left at these instants.
    pub fn cut_at(&mut self, cuts: &[DateTime<Utc>]) {
        let whole = std::mem::take(&mut self.todo);
        self.todo = whole
            .into_iter()
            .flat_map(|todo| match todo {
                Todo::Ask(window) => {
                    let mut pieces = window.cut(cuts.iter().copied());
                    pieces.reverse();
                    pieces.into_iter().map(Todo::Ask).collect()
                }
                Todo::Follow(_) => vec![todo],
            })
            .collect();
    }

    /// Whether nothing was cut yet: the next window is all of time.
    pub fn is_uncut(&self) -> bool {
        self.todo == [Todo::Ask(Window::ALL)]
    }

    /// The next window.
    pub fn take(&mut self) -> Option<Window> {
        match self.todo.pop()? {
            Todo::Ask(window) => Some(window),
            Todo::Follow(stretch) => Some(self.follow(stretch)),
        }
    }

    /// Forgets what is left.
    pub fn clear(&mut self) {
        self.todo.clear();
    }

    /// Notes that a window was whole.
    pub fn read(&mut self, window: Window, people: u64) {
        self.fill = (self.fill + FILL_RISES).min(FILL_MOST);
        self.remember(window, people as f64);
    }

    /// Puts the pieces of a window that was too large in its place.
    pub fn cut(&mut self, window: Window, overflow: &Overflow) {
        self.full_page = overflow.full_page.max(1) as f64;
        self.fill = (self.fill - FILL_FALLS).max(FILL_LEAST);
        let dates = overflow.dates.iter().copied();
        self.horizon = self
            .horizon
            .into_iter()
            .chain(dates.clone().map(|date| date + SECOND))
            .chain(overflow.answered_at)
            .max();
        self.earliest = self.earliest.into_iter().chain(dates).min();
        if let Some(count) = overflow.count {
            self.remember(window, count as f64);
        }
        let mut pieces = self.pieces(window, overflow);
        if pieces.is_empty() || pieces == [Todo::Ask(window)] {
            pieces = self.halves(window);
        }
        // The first is taken first.
        pieces.reverse();
        self.todo.append(&mut pieces);
    }

    fn remember(&mut self, window: Window, people: f64) {
        if let (Some(from), Some(until)) = (window.from, window.until) {
            if self.neighbours.len() == REMEMBERED {
                self.neighbours.pop_front();
            }
            self.neighbours.push_back(Neighbour {
                middle: from + (until - from) / 2,
                seconds: seconds(until - from),
                people,
            });
        }
    }

    /// What an answer in some order shows: the first of its window, the last, or a sample of all.
    fn pieces(&self, window: Window, overflow: &Overflow) -> Vec<Todo> {
        let page = &overflow.dates;
        let (Some(&first), Some(&last)) = (page.iter().min(), page.iter().max()) else {
            return Vec::new();
        };
        let seen = (page.len() as f64 * FILL_SEEN) as usize;
        let pace = page.len() as f64 / seconds((last - first).max(SECOND));
        let left = overflow.count.map(|count| count as f64 - seen as f64);
        let fits = left.is_some_and(|left| left <= self.full_page * FILL_KNOWN);
        let rest = |window: Window, towards, origin| {
            if fits {
                Todo::Ask(window)
            } else {
                Todo::Follow(Stretch {
                    window,
                    towards,
                    origin,
                    pace,
                    too_large: false,
                })
            }
        };
        if first == last {
            // Thousands in one second, or so it seems: it is set apart, and what is left on both sides may be little.
            return asks(&window.cut([first, first + SECOND]));
        }
        if page.is_sorted() {
            let at = page[seen].max(first + SECOND);
            let [known, unknown] = &window.cut([at])[..] else {
                return Vec::new();
            };
            return vec![Todo::Ask(*known), rest(*unknown, Towards::Later, at)];
        }
        if page.is_sorted_by(|a, b| a >= b) {
            let at = (page[seen] + SECOND).min(last);
            let [unknown, known] = &window.cut([at])[..] else {
                return Vec::new();
            };
            return vec![Todo::Ask(*known), rest(*unknown, Towards::Earlier, at)];
        }
        let mut sample = page.clone();
        sample.sort_unstable();
        self.sampled(window, overflow, &sample)
    }

    /// The dates are a sample, more or less: of everybody if they lie all over the window, of a part of it otherwise.
    fn sampled(&self, window: Window, overflow: &Overflow, sample: &[DateTime<Utc>]) -> Vec<Todo> {
        let (first, last) = (sample[0], sample[sample.len() - 1]);
        let from = window.from.unwrap_or(first);
        let until = window.until.unwrap_or_else(|| self.horizon.unwrap_or(last));
        let width = seconds((until - from).max(SECOND));
        let everywhere = seconds(last - first) * 2.0 > width;
        let all = overflow
            .count
            .map_or(self.full_page * 1.5, |count| count as f64);
        let quantiles =
            |pieces: usize| (1..pieces).map(move |piece| sample[sample.len() * piece / pieces]);
        let wanted = (all / (self.full_page * self.fill)).ceil() as usize;
        if everywhere && overflow.count.is_some() && wanted * 8 <= sample.len() {
            return asks(&window.cut(quantiles(wanted.max(2))));
        }
        let stretches = if everywhere {
            (sample.len() / DATES_PER_STRETCH).clamp(1, STRETCHES)
        } else {
            1
        };
        let pieces = window.cut(quantiles(stretches));
        let people = all / pieces.len() as f64;
        pieces
            .iter()
            .map(|piece| {
                let from = piece.from.unwrap_or(first);
                let until = piece.until.unwrap_or(until);
                Todo::Follow(Stretch {
                    window: *piece,
                    towards: Towards::Later,
                    origin: from,
                    pace: people / seconds((until - from).max(SECOND)),
                    too_large: *piece == window,
                })
            })
            .collect()
    }

    /// Without anything to go by only time itself can be cut.
    fn halves(&self, window: Window) -> Vec<Todo> {
        let now = self.horizon.unwrap_or(DateTime::UNIX_EPOCH);
        let earliest = self.earliest.unwrap_or(now);
        let span = (now - earliest).max(LEAST_SPAN);
        let at = match (window.from, window.until) {
            (Some(from), Some(until)) => from + (until - from) / 2,
            (Some(from), None) => from + span,
            (None, Some(until)) => until - span,
            (None, None) => now,
        };
        asks(&window.cut([at]))
    }

    /// Cuts the next window off a stretch, and keeps the rest.
    fn follow(&mut self, stretch: Stretch) -> Window {
        let Stretch {
            window, towards, ..
        } = stretch;
        let near = match towards {
            Towards::Later => window.from.unwrap_or(stretch.origin),
            Towards::Earlier => window.until.unwrap_or(stretch.origin),
        };
        let far = match towards {
            Towards::Later => window.until.or(self.horizon),
            Towards::Earlier => window.from.or(self.earliest),
        };
        let length = far.map(|far| seconds((far - near).abs()));
        let pace = match self.pace_near(near) {
            Some(pace) => pace,
            None => stretch.pace,
        };
        let mut wanted = self.full_page * self.fill / pace;
        if stretch.too_large {
            wanted = wanted.min(length.unwrap_or(wanted) / 2.0);
        } else if let Some(length) = length
            && wanted * 1.1 >= length
            && (towards == Towards::Later || window.from.is_some() || pace == 0.0)
        {
            return window;
        }
        let by = TimeDelta::seconds((wanted.min(MOST_SECONDS) as i64).max(1));
        let at = match towards {
            Towards::Later => near + by,
            Towards::Earlier => near - by,
        };
        let (next, rest) = match (towards, &window.cut([at])[..]) {
            (Towards::Later, [next, rest]) | (Towards::Earlier, [rest, next]) => (*next, *rest),
            _ => return window,
        };
        self.todo.push(Todo::Follow(Stretch {
            window: rest,
            too_large: false,
            ..stretch
        }));
        next
    }

    /// People per second in the windows nearest to an instant; none while there are none. Nought after an empty one: then only the rest itself can tell.
    fn pace_near(&self, at: DateTime<Utc>) -> Option<f64> {
        let mut near: Vec<_> = self
            .neighbours
            .iter()
            .map(|known| ((known.middle - at).abs(), known))
            .filter(|(distance, known)| seconds(*distance) < known.seconds * NEAR)
            .collect();
        near.sort_unstable_by_key(|(distance, _)| *distance);
        near.truncate(NEIGHBOURS);
        let (_, nearest) = near.first()?;
        if nearest.people == 0.0 {
            return Some(0.0);
        }
        let (people, seconds) = near
            .iter()
            .fold((0.0, 0.0), |(people, seconds), (_, known)| {
                (people + known.people, seconds + known.seconds)
            });
        Some(people / seconds)
    }
}

/// Three hundred years: more is no window.
const MOST_SECONDS: f64 = 1e10;

fn asks(windows: &[Window]) -> Vec<Todo> {
    windows.iter().copied().map(Todo::Ask).collect()
}

fn seconds(delta: TimeDelta) -> f64 {
    delta.num_seconds() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    /// Answers a plan from people registered at these seconds, as a server with pages of `rpp` would, and says how many were asked.
    fn run(
        people: &[i64],
        rpp: usize,
        pick: impl Fn(&mut Vec<i64>),
        count: bool,
    ) -> (Vec<i64>, usize) {
        let mut plan = Plan::without(&[]);
        let (mut read, mut asked) = (Vec::new(), 0);
        while let Some(window) = plan.take() {
            asked += 1;
            assert!(asked < 20_000, "no progress at {window:?}");
            let mut answer: Vec<i64> = people
                .iter()
                .copied()
                .filter(|p| window.contains(at(*p)))
                .collect();
            let total = answer.len();
            if total < rpp || !window.can_be_cut() {
                plan.read(window, total as u64);
                read.extend(answer);
                continue;
            }
            pick(&mut answer);
            answer.truncate(rpp);
            let overflow = Overflow {
                dates: answer.into_iter().map(at).collect(),
                count: count.then_some(total as u64),
                full_page: rpp as u64,
                answered_at: Some(at(NOW)),
            };
            plan.cut(window, &overflow);
        }
        read.sort_unstable();
        (read, asked)
    }

    const NOW: i64 = 1_760_000_000;

    /// Uneven on purpose: growth, a quiet year, and a thousand in one second.
    fn people() -> Vec<i64> {
        let mut people: Vec<i64> = (0..4_000).map(|n| 1_500_000_000 + n * n * 8).collect();
        people.extend((0..2_000).map(|n| 1_700_000_000 + n * 7));
        people.extend([1_650_000_000; 1_000]);
        people.extend([0, -5_000_000_000, 4_000_000_000]);
        people.sort_unstable();
        people
    }

    #[test]
    fn everybody_is_in_exactly_one_window_whatever_the_order_of_answers() {
        let people = people();
        let orders: [fn(&mut Vec<i64>); 3] = [
            |_| {},
            |answer| answer.reverse(),
            |answer| answer.sort_by_key(|p| p % 1_009),
        ];
        for order in orders {
            for count in [true, false] {
                let (read, asked) = run(&people, 100, order, count);
                assert_eq!(read, people);
                assert!(
                    asked < 600,
                    "{asked} requests for {} pages",
                    people.len() / 100
                );
            }
        }
    }

    #[test]
    fn cuts_of_an_earlier_scan_are_kept_out_of_what_is_done() {
        let mut plan = Plan::without(&[Window {
            from: Some(at(100)),
            until: Some(at(200)),
        }]);
        plan.cut_at(&[at(50), at(150), at(250)]);
        let mut bounds = Vec::new();
        while let Some(window) = plan.take() {
            bounds.push((window.from, window.until));
        }
        let expected = [
            (None, Some(at(50))),
            (Some(at(50)), Some(at(100))),
            (Some(at(200)), Some(at(250))),
            (Some(at(250)), None),
        ];
        assert_eq!(bounds, expected);
    }

    #[test]
    fn a_resumed_plan_asks_only_for_what_is_missing() {
        let done = [Window {
            from: None,
            until: Some(at(100)),
        }];
        let mut plan = Plan::without(&done);
        assert_eq!(
            plan.take(),
            Some(Window {
                from: Some(at(100)),
                until: None
            })
        );
        assert_eq!(plan.take(), None);
    }
}
