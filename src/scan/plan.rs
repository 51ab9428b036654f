//! Which windows to ask, as a pure value: a list of what is still to do, and how to cut what was too large.

use chrono::{DateTime, TimeDelta, Utc};

use super::window::Window;

/// How full a window should come out that is cut by what the mirror knows: people changed little since, and few overflow.
pub const FILL_KNOWN: f64 = 0.95;

/// How full a window should come out: registrations come unevenly, and a window that overflows costs another round.
const FILL: f64 = 0.8;

/// Pieces of one cut at most. More would be cut blindly: the count says how many there are, not where.
const MAX_PIECES: u64 = 32;

/// Pieces when nothing says how many records there are.
const PIECES_WITHOUT_COUNT: u64 = 8;

/// The least by which an open end is pushed outwards.
const LEAST_SPAN: TimeDelta = TimeDelta::days(1);

/// What an answer with too many records showed.
#[derive(Debug, Clone, Default)]
pub struct Overflow {
    /// The registrations on its page, in any order.
    pub dates: Vec<DateTime<Utc>>,
    /// How many records the window holds, where that is known.
    pub count: Option<u64>,
    /// How many records a full page holds.
    pub full_page: u64,
}

/// The windows still to be asked.
#[derive(Debug, Default)]
pub struct Plan {
    todo: Vec<Window>,
    /// The earliest and the latest registration seen so far.
    seen: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Plan {
    /// What is left of a scan of which these windows are committed.
    pub fn without(done: &[Window]) -> Self {
        let mut todo = Window::gaps(done);
        todo.reverse();
        Self { todo, seen: None }
    }

    /// Cuts what is left at these instants.
    pub fn cut_at(&mut self, cuts: &[DateTime<Utc>]) {
        let whole = std::mem::take(&mut self.todo);
        self.todo = whole
            .into_iter()
            .flat_map(|window| {
                let mut pieces = window.cut(cuts.iter().copied());
                pieces.reverse();
                pieces
            })
            .collect();
    }

    /// The next window.
    pub fn take(&mut self) -> Option<Window> {
        self.todo.pop()
    }

    /// Forgets what is left.
    pub fn clear(&mut self) {
        self.todo.clear();
    }

    /// Puts the pieces of a window that was too large in its place.
    pub fn cut(&mut self, window: Window, overflow: &Overflow) {
        for &date in &overflow.dates {
            let (first, last) = self.seen.unwrap_or((date, date));
            self.seen = Some((first.min(date), last.max(date)));
        }
        let mut pieces = window.cut(self.cuts(window, overflow));
        if let ([_], Some(from), Some(until)) = (pieces.as_slice(), window.from, window.until) {
            // Everybody on the page registered in the window's first second: only time itself can be cut.
            pieces = window.cut([from + (until - from) / 2]);
        }
        pieces.reverse();
        self.todo.append(&mut pieces);
    }

    fn cuts(&self, window: Window, overflow: &Overflow) -> Vec<DateTime<Utc>> {
        let mut dates = overflow.dates.clone();
        dates.retain(|date| window.contains(*date));
        dates.sort_unstable();
        let (seen_first, seen_last) = self
            .seen
            .unwrap_or((DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + LEAST_SPAN));
        let span = (seen_last - seen_first).max(LEAST_SPAN);
        // An open end is closed beyond what was seen, further out each time, so that any order of the answer ends soon.
        let first = dates
            .first()
            .copied()
            .or(window.until.map(|until| until - span));
        let last = dates
            .last()
            .copied()
            .or(window.from.map(|from| from + span));
        let from = window.from.or_else(|| {
            first.map(|first| match window.until {
                None => first,
                Some(until) => first.min(until - span),
            })
        });
        let until = window.until.or_else(|| {
            last.map(|last| match window.from {
                None => last + TimeDelta::seconds(1),
                Some(from) => (last + TimeDelta::seconds(1)).max(from + span),
            })
        });
        let (Some(from), Some(until)) = (from, until) else {
            return vec![seen_first, seen_last + TimeDelta::seconds(1)];
        };
        let mut cuts = vec![from, until];
        cuts.extend(between(from, until, &dates, pieces(overflow)));
        cuts
    }
}

fn pieces(overflow: &Overflow) -> u64 {
    let room = (overflow.full_page as f64 * FILL).max(1.0);
    match overflow.count {
        Some(count) => ((count as f64 / room).ceil() as u64).clamp(2, MAX_PIECES),
        None => PIECES_WITHOUT_COUNT,
    }
}

/// Where to cut a closed stretch: by the registrations on the page when they are spread over it, evenly by time when they lie at one end.
fn between(
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    dates: &[DateTime<Utc>],
    pieces: u64,
) -> Vec<DateTime<Utc>> {
    let width = until - from;
    let spread = match (dates.first(), dates.last()) {
        (Some(first), Some(last)) => (*last - *first) * 10 >= width * 9,
        (None, _) | (_, None) => false,
    };
    let steps = 1..pieces;
    if spread && dates.len() as u64 >= pieces * 4 {
        steps
            .map(|step| dates[(dates.len() as u64 * step / pieces) as usize])
            .collect()
    } else {
        let seconds = width.num_seconds();
        steps
            .map(|step| {
                from + TimeDelta::seconds((seconds as f64 * step as f64 / pieces as f64) as i64)
            })
            .collect()
    }
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
                read.extend(answer);
                continue;
            }
            pick(&mut answer);
            answer.truncate(rpp);
            let overflow = Overflow {
                dates: answer.into_iter().map(at).collect(),
                count: count.then_some(total as u64),
                full_page: rpp as u64,
            };
            plan.cut(window, &overflow);
        }
        read.sort_unstable();
        (read, asked)
    }

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
