//! Which windows to ask, as a pure value: what is still to do, and how to cut what was too large.
//!
//! Where the mirror knows how registrations are spread, windows are cut by that. Elsewhere stretches of time are followed from one end, one window at a time:
//! each is made as wide as its neighbours were full, so that it comes out nearly full itself, and one that was too large is asked again a little narrower, by the
//! dates it showed. While more may be asked at once than there are stretches, the longest is halved.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};

use super::window::Window;

/// How full a window should come out that is cut by what the mirror knows: people changed little since, and few overflow. The second of overlap at both sides
/// has to fit as well.
pub const FILL_KNOWN: f64 = 0.98;

/// How full a window should come out whose people were on the page of an answer that was too large: their dates are known.
const FILL_SEEN: f64 = 0.985;

/// How full a followed window should come out, to begin with. It falls with each that overflows and rises with each that does not. An overflow costs a request,
/// and so does room left empty.
const FILL: f64 = 0.9;
const FILL_LEAST: f64 = 0.76;
const FILL_MOST: f64 = 0.95;
const FILL_FALLS: f64 = 0.03;
const FILL_RISES: f64 = 0.005;

/// An overflow by less than this is a matter of how much room was left.
const MILD: f64 = 1.08;

/// A window that overflowed is asked again at most this wide, whatever else is known.
const NARROWER: f64 = 0.9;

/// Where nothing says how many a window holds that overflowed: so many pages.
const UNKNOWN_PAGES: f64 = 2.0;

/// Windows that say how dense the next one will be. Fewer would follow each quiet night, more would not follow growth.
const NEIGHBOURS: usize = 6;

/// Tenants grow, so towards later times only the last few say how dense the next one will be.
const NEIGHBOURS_LATER: usize = 4;

/// So many times its own width away a window is still a neighbour.
const NEAR: f64 = 16.0;

/// Windows remembered, to find those neighbours among; enough for all stretches that are followed at a time.
const REMEMBERED: usize = 64;

/// After an empty window the next one is so many times as wide.
const STEPS_GROW: f64 = 3.0;

/// A stretch is halved for the sake of asking more at once if it has so many pages left: each end costs about half a request.
const PAGES_TO_HALVE: f64 = 32.0;

/// So many windows before the end of a stretch they are made equal, so that the last one is not next to empty.
const EVEN: f64 = 3.0;

/// Dates of a sample that say how dense a stretch is, to within an eighth.
const DATES_PER_STRETCH: usize = 60;

/// The least by which an open end is pushed outwards.
const LEAST_SPAN: TimeDelta = TimeDelta::days(1);

/// Three hundred years: more is no window.
const MOST_SECONDS: f64 = 1e10;

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

/// From which end a stretch is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Towards {
    Later,
    Earlier,
}

impl Towards {
    /// The part of a window before this instant and the part after it, from the end that is followed from; all of it where that does not cut it.
    fn split(self, window: Window, at: DateTime<Utc>) -> (Window, Option<Window>) {
        match (self, &window.cut([at])[..]) {
            (Self::Later, [first, second]) => (*first, Some(*second)),
            (Self::Earlier, [first, second]) => (*second, Some(*first)),
            (Self::Later | Self::Earlier, _) => (window, None),
        }
    }
}

/// A stretch of time that is followed, window by window.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    /// What is left of it, without the window that is asked.
    rest: Option<Window>,
    /// The window that is asked and not answered.
    asked: Option<Window>,
    towards: Towards,
    /// Where its people begin, if the end it is followed from is open.
    origin: DateTime<Utc>,
    /// Where to cut next, when an answer has shown it.
    next: Option<DateTime<Utc>>,
    /// People per second, until its neighbours tell.
    pace: f64,
    /// How many people are left in it, where that is known.
    left: Option<f64>,
    /// What was asked of it last and was too large.
    too_large: Option<TooLarge>,
}

/// A window at the near end of a stretch that held too many.
#[derive(Debug, Clone, Copy)]
struct TooLarge {
    /// How wide it was, in seconds; none if one end was open.
    width: Option<f64>,
    /// People per second in it, at least.
    pace: f64,
}

/// A window that was answered, and how many people it holds.
#[derive(Debug, Clone, Copy)]
struct Neighbour {
    middle: DateTime<Utc>,
    seconds: f64,
    people: f64,
}

/// How dense some windows were.
#[derive(Debug, Clone, Copy)]
enum Pace {
    /// So many people per second.
    People(f64),
    /// The nearest was empty, for so many seconds.
    Empty(f64),
}

/// The windows still to be asked.
#[derive(Debug)]
pub struct Plan {
    /// To be asked as they are, the last one first.
    asks: Vec<Window>,
    stretches: Vec<Stretch>,
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
        let mut asks = Window::gaps(done);
        asks.reverse();
        Self {
            asks,
            stretches: Vec::new(),
            neighbours: VecDeque::new(),
            horizon: None,
            earliest: None,
            full_page: 1.0,
            fill: FILL,
        }
    }

    /// Cuts what is left at these instants.
    pub fn cut_at(&mut self, cuts: &[DateTime<Utc>]) {
        let whole = std::mem::take(&mut self.asks);
        self.asks = whole
            .into_iter()
            .flat_map(|window| {
                let mut pieces = window.cut(cuts.iter().copied());
                pieces.reverse();
                pieces
            })
            .collect();
    }

    /// Whether nothing was cut yet: the next window is all of time.
    pub fn is_uncut(&self) -> bool {
        self.asks == [Window::ALL]
    }

    /// The next window; none at the end, or until an answer says how to go on.
    pub fn take(&mut self) -> Option<Window> {
        if let Some(window) = self.asks.pop() {
            return Some(window);
        }
        if !self.stretches.iter().any(Stretch::is_idle) {
            self.halve_longest();
        }
        let position = self.stretches.iter().position(Stretch::is_idle)?;
        let mut stretch = self.stretches.swap_remove(position);
        let was_too_large = stretch.too_large.is_some();
        let window = self.follow(&mut stretch)?;
        if was_too_large && stretch.rest.is_none() {
            // What is known about it does not cut it.
            self.halve(window);
            return self.asks.pop();
        }
        self.stretches.push(stretch);
        Some(window)
    }

    /// Forgets what is left.
    pub fn clear(&mut self) {
        self.asks.clear();
        self.stretches.clear();
    }

    /// Notes that a window was whole.
    pub fn read(&mut self, window: Window, people: u64) {
        let people = people as f64;
        if let Some(stretch) = self.answered(window) {
            stretch.left = stretch.left.map(|left| left - people);
            self.fill = (self.fill + FILL_RISES).min(FILL_MOST);
        }
        self.stretches.retain(Stretch::goes_on);
        self.remember(window, people);
    }

    /// Notes that a window was read in another way.
    pub fn read_by_page(&mut self, window: Window) {
        self.answered(window);
        self.stretches.retain(Stretch::goes_on);
    }

    /// Puts the pieces of a window that was too large in its place.
    pub fn cut(&mut self, window: Window, overflow: &Overflow) {
        self.full_page = overflow.full_page.max(1) as f64;
        let dates = overflow.dates.iter().copied();
        let known = self.horizon.into_iter().chain(overflow.answered_at);
        self.horizon = known.chain(dates.clone().map(|date| date + SECOND)).max();
        self.earliest = self.earliest.into_iter().chain(dates).min();
        let (full, fill) = (self.full_page, self.fill);
        match self.answered(window) {
            Some(stretch) => {
                stretch.take_back(window, overflow, full, fill);
                // What was far too large was guessed wrong; it says nothing about how much room to leave.
                if overflow
                    .count
                    .is_none_or(|count| (count as f64) < full * MILD)
                {
                    self.fill = (self.fill - FILL_FALLS).max(FILL_LEAST);
                }
            }
            None => self.begin(window, overflow),
        }
    }

    /// The stretch that this window was cut off.
    fn answered(&mut self, window: Window) -> Option<&mut Stretch> {
        let asked = self
            .stretches
            .iter_mut()
            .find(|stretch| stretch.asked == Some(window))?;
        asked.asked = None;
        Some(asked)
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

    /// Makes stretches of a window of which nothing else is known than what its answer showed: the first of its people, the last, or a sample of all.
    fn begin(&mut self, window: Window, overflow: &Overflow) {
        let page = &overflow.dates;
        let (Some(&first), Some(&last)) = (page.iter().min(), page.iter().max()) else {
            return self.halve(window);
        };
        let pieces = window.cut([first, first + SECOND]);
        if first == last {
            // Thousands in one second, or so it seems: it is set apart, and what is left on both sides may be little.
            if pieces.len() < 2 {
                return self.halve(window);
            }
            return self.asks.extend(pieces.into_iter().rev());
        }
        // Tenants grow: towards earlier times windows come out emptier than their neighbours, towards later ones they overflow.
        let towards = if is_earliest_first(page) {
            Towards::Later
        } else {
            Towards::Earlier
        };
        let all = overflow.count.map(|count| count as f64);
        let expected = all.unwrap_or(self.full_page * UNKNOWN_PAGES);
        let mut stretch = Stretch {
            rest: None,
            asked: None,
            towards,
            origin: match towards {
                Towards::Later => first,
                Towards::Earlier if is_latest_first(page) => last + SECOND,
                Towards::Earlier => self.horizon.unwrap_or(last + SECOND),
            },
            next: None,
            pace: page.len() as f64 / seconds(last - first),
            left: all,
            too_large: None,
        };
        if !is_earliest_first(page) && !is_latest_first(page) {
            let mut sample = page.clone();
            sample.sort_unstable();
            let from = window.from.unwrap_or(first);
            let until = window.until.or(self.horizon).unwrap_or(last);
            let stretches = (page.len() / DATES_PER_STRETCH)
                .min((expected / self.full_page / PAGES_TO_HALVE) as usize);
            if seconds(last - first) * 2.0 <= seconds(until - from) {
                // They lie in one part of the window, so they are no sample of all of it.
                stretch.pace = expected / seconds((until - from).max(SECOND));
            } else if stretches > 1 {
                stretch.origin = last + SECOND;
                let cuts = (1..stretches).map(|cut| sample[sample.len() * cut / stretches]);
                for piece in window.cut(cuts) {
                    let from = piece.from.unwrap_or(first);
                    let until = piece.until.unwrap_or(last + SECOND);
                    let left = expected / stretches as f64;
                    self.stretches.push(Stretch {
                        rest: Some(piece),
                        origin: until,
                        pace: left / seconds((until - from).max(SECOND)),
                        left: Some(left),
                        ..stretch
                    });
                }
                return;
            } else {
                let near = sample.len() - sample.len().min(DATES_PER_STRETCH);
                let share = (sample.len() - near) as f64 / sample.len() as f64;
                let width = seconds((last - sample[near]).max(SECOND));
                stretch.pace = expected * share / width;
                stretch.origin = last + SECOND;
            }
        } else if let (Some(all), Towards::Later) = (all, towards) {
            // The first of them are known. The others are followed from the other end, where windows come out emptier than their neighbours.
            let known = (page.len() as f64 * FILL_SEEN) as usize;
            let at = page[known.min(page.len() - 1)].max(first + SECOND);
            let until = window.until.or(self.horizon).unwrap_or(last);
            if let [first, rest] = window.cut([at])[..] {
                self.asks.push(first);
                let left = all - known as f64;
                self.stretches.push(Stretch {
                    rest: Some(rest),
                    towards: Towards::Earlier,
                    origin: until,
                    pace: left / seconds((until - at).max(SECOND)),
                    left: Some(left),
                    ..stretch
                });
                return;
            }
        }
        stretch.take_back(window, overflow, self.full_page, self.fill);
        self.stretches.push(stretch);
    }

    /// Without anything to go by only time itself can be cut.
    fn halve(&mut self, window: Window) {
        let now = self.horizon.unwrap_or(DateTime::UNIX_EPOCH);
        let span = (now - self.earliest.unwrap_or(now)).max(LEAST_SPAN);
        let at = match (window.from, window.until) {
            (Some(from), Some(until)) => from + (until - from) / 2,
            (Some(from), None) => from + span,
            (None, Some(until)) => until - span,
            (None, None) => now,
        };
        self.asks.extend(window.cut([at]).into_iter().rev());
    }

    /// Halves the stretch with the most people left, if that is worth it.
    fn halve_longest(&mut self) {
        let left = |stretch: &Stretch| {
            let (near, rest) = (stretch.near()?, stretch.rest?);
            let pace = match self.pace_near(near, stretch.towards) {
                Some(Pace::People(pace)) => pace,
                Some(Pace::Empty(_)) | None => stretch.pace,
            };
            let length = self
                .length(stretch, rest, near)
                .or(stretch.left.map(|left| left / pace))?;
            let people = stretch.left.unwrap_or(pace * length);
            Some((people, length, near))
        };
        let longest = self
            .stretches
            .iter()
            .enumerate()
            .filter_map(|(position, stretch)| left(stretch).map(|left| (position, left)))
            .max_by(|(_, (a, ..)), (_, (b, ..))| a.total_cmp(b));
        let Some((position, (people, length, near))) = longest else {
            return;
        };
        if people < self.full_page * PAGES_TO_HALVE {
            return;
        }
        let stretch = &mut self.stretches[position];
        let Some(rest) = stretch.rest else { return };
        let at = stretch.onwards(near, length / 2.0);
        let (mine, Some(other)) = stretch.towards.split(rest, at) else {
            return;
        };
        stretch.rest = Some(mine);
        stretch.left = Some(people / 2.0);
        let other = Stretch {
            rest: Some(other),
            asked: None,
            origin: at,
            next: None,
            pace: people / length,
            left: Some(people / 2.0),
            too_large: None,
            ..*stretch
        };
        self.stretches.push(other);
    }

    /// How long what is left of a stretch is, in seconds, if an end is known for it.
    fn length(&self, stretch: &Stretch, rest: Window, near: DateTime<Utc>) -> Option<f64> {
        match stretch.towards {
            Towards::Later => rest
                .until
                .or(self.horizon)
                .map(|far| seconds(far - near).max(0.0)),
            // The earliest that was seen says nothing where the latest come first.
            Towards::Earlier => rest.from.map(|far| seconds(near - far)),
        }
    }

    /// Cuts the next window off a stretch.
    fn follow(&self, stretch: &mut Stretch) -> Option<Window> {
        let (rest, near) = (stretch.rest?, stretch.near()?);
        let at = match (stretch.next.take(), stretch.too_large.take()) {
            (Some(next), _) => next,
            (None, Some(TooLarge { width, pace })) => {
                let wanted = self.full_page * self.fill / pace;
                let most = width.map_or(wanted, |width| width * NARROWER);
                stretch.onwards(near, wanted.min(most))
            }
            (None, None) => {
                let full = self.full_page;
                let wanted = match self.pace_near(near, stretch.towards) {
                    // After an empty window nobody knows how far it is to the next people. Where many are left, it is found out in growing steps; where few are,
                    // the rest may well be whole.
                    Some(Pace::Empty(seconds)) => stretch
                        .left
                        .filter(|left| *left > full)
                        .map_or(f64::INFINITY, |_| seconds * STEPS_GROW),
                    Some(Pace::People(pace)) => full * self.fill / pace,
                    None => full * self.fill / stretch.pace,
                };
                let length = self.length(stretch, rest, near);
                let few = full * FILL_KNOWN * self.fill;
                let fits = stretch.left.is_some_and(|left| left <= few);
                let reaches = length.is_some_and(|length| wanted * 1.05 >= length);
                if fits || reaches || wanted.is_infinite() {
                    stretch.rest = None;
                    stretch.asked = Some(rest);
                    return Some(rest);
                }
                // Near the end of the stretch the last windows share what is left.
                let windows = length.map(|length| (length / wanted).ceil());
                let even = length.zip(windows.filter(|windows| *windows <= EVEN));
                stretch.onwards(
                    near,
                    even.map_or(wanted, |(length, windows)| length / windows),
                )
            }
        };
        let (next, rest) = stretch.towards.split(rest, at);
        stretch.rest = rest;
        stretch.asked = Some(next);
        Some(next)
    }

    /// How dense the windows nearest to an instant were; none while there are none.
    fn pace_near(&self, at: DateTime<Utc>, towards: Towards) -> Option<Pace> {
        let mut near: Vec<_> = self
            .neighbours
            .iter()
            .map(|known| ((known.middle - at).abs(), known))
            .filter(|(distance, known)| seconds(*distance) < known.seconds * NEAR)
            .collect();
        near.sort_unstable_by_key(|(distance, _)| *distance);
        near.truncate(match towards {
            Towards::Later => NEIGHBOURS_LATER,
            Towards::Earlier => NEIGHBOURS,
        });
        let (_, nearest) = near.first()?;
        if nearest.people == 0.0 {
            return Some(Pace::Empty(nearest.seconds));
        }
        // The middle one: a campaign among them must not make all windows after it narrow.
        let mut paces: Vec<_> = near
            .iter()
            .map(|(_, known)| known.people / known.seconds)
            .collect();
        paces.sort_unstable_by(f64::total_cmp);
        let middle = paces.len() / 2;
        Some(Pace::People(if paces.len().is_multiple_of(2) {
            (paces[middle - 1] + paces[middle]) / 2.0
        } else {
            paces[middle]
        }))
    }
}

impl Stretch {
    fn is_idle(&self) -> bool {
        self.asked.is_none() && self.rest.is_some()
    }

    fn goes_on(&self) -> bool {
        self.asked.is_some() || self.rest.is_some()
    }

    /// Where what is left begins, on the side it is followed from.
    fn near(&self) -> Option<DateTime<Utc>> {
        let rest = self.rest?;
        Some(match self.towards {
            Towards::Later => rest.from.unwrap_or(self.origin),
            Towards::Earlier => rest.until.unwrap_or(self.origin),
        })
    }

    /// So many seconds further.
    fn onwards(&self, near: DateTime<Utc>, seconds: f64) -> DateTime<Utc> {
        let by = TimeDelta::seconds((seconds.min(MOST_SECONDS) as i64).max(1));
        match self.towards {
            Towards::Later => near + by,
            Towards::Earlier => near - by,
        }
    }

    /// Takes back a window that was too large, with what its answer showed about where to cut it.
    fn take_back(&mut self, window: Window, overflow: &Overflow, full: f64, fill: f64) {
        if self.rest.is_none() {
            // All that was left was asked, so this is how many are left; what was guessed before is not to be trusted.
            self.left = overflow.count.map(|count| count as f64);
        }
        self.rest = Some(match (self.towards, self.rest) {
            (_, None) => window,
            (Towards::Later, Some(rest)) => Window {
                from: window.from,
                until: rest.until,
            },
            (Towards::Earlier, Some(rest)) => Window {
                from: rest.from,
                until: window.until,
            },
        });
        let dates = overflow.dates.iter().copied();
        let (far, shown) = match self.towards {
            Towards::Later => (window.until, dates.min().map(|at| at.min(self.origin))),
            Towards::Earlier => {
                let last = dates.max().map(|at| (at + SECOND).max(self.origin));
                (window.from, last)
            }
        };
        self.origin = shown.unwrap_or(self.origin);
        let width = self
            .near()
            .zip(far)
            .map(|(near, far)| seconds(far - near).abs());
        let people = overflow
            .count
            .map_or(full * UNKNOWN_PAGES, |count| count as f64);
        self.too_large = Some(TooLarge {
            width,
            pace: width.map_or(self.pace, |width| people / width.max(1.0)),
        });
        // What does not cut it is no help.
        self.next = self
            .cut_shown(overflow, full, fill)
            .filter(|at| window.cut([*at]).len() == 2);
    }

    /// Where the page shows that a window would be just full.
    fn cut_shown(&self, overflow: &Overflow, full: f64, fill: f64) -> Option<DateTime<Utc>> {
        let mut dates = overflow.dates.clone();
        let sorted = (is_earliest_first(&dates), is_latest_first(&dates));
        dates.sort_unstable();
        let (first, last) = (*dates.first()?, *dates.last()?);
        let shown = dates.len() as f64;
        let (quarter, middle) = (dates.len() / 4, dates[dates.len() / 2]);
        if dates.len() > 8 && dates[quarter] == dates[dates.len() - 1 - quarter] {
            // A crowd in one second: it is set apart.
            return Some(match self.towards {
                Towards::Later if first < middle => middle,
                Towards::Later => middle + SECOND,
                Towards::Earlier if middle < last => middle + SECOND,
                Towards::Earlier => middle,
            });
        }
        let unseen = overflow.count.map(|count| (count as f64 - shown).max(0.0));
        // How many of the dates on the page lie before the cut, counted from the end that is followed from.
        let before = match (self.towards, sorted) {
            (Towards::Later, (true, _)) | (Towards::Earlier, (_, true)) => shown * FILL_SEEN,
            (Towards::Later, (_, true)) | (Towards::Earlier, (true, _)) => {
                full * FILL_SEEN - unseen?
            }
            (Towards::Later | Towards::Earlier, (false, false)) => {
                let share = shown / (shown + unseen?);
                // A sample of less than half says little about where one window ends.
                if share < 0.5 {
                    return None;
                }
                full * (fill + FILL_SEEN) / 2.0 * share
            }
        };
        if before < 1.0 {
            return None;
        }
        let before = (before as usize).min(dates.len() - 1);
        Some(match self.towards {
            Towards::Later => dates[before].max(first + SECOND),
            Towards::Earlier => (dates[dates.len() - 1 - before] + SECOND).min(last),
        })
    }
}

fn is_earliest_first(dates: &[DateTime<Utc>]) -> bool {
    dates.is_sorted()
}

fn is_latest_first(dates: &[DateTime<Utc>]) -> bool {
    dates.is_sorted_by(|a, b| a >= b)
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
        let mut in_flight = VecDeque::new();
        loop {
            while in_flight.len() < 8
                && let Some(window) = plan.take()
            {
                in_flight.push_back(window);
            }
            let Some(window) = in_flight.pop_front() else {
                break;
            };
            asked += 1;
            assert!(asked < 20_000, "no progress at {window:?}");
            let bound = |at: Option<DateTime<Utc>>, open| {
                at.map_or(open, |at| people.partition_point(|p| *p < at.timestamp()))
            };
            let mut answer =
                people[bound(window.from, 0)..bound(window.until, people.len())].to_vec();
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

    /// How a server orders an answer.
    type Order = fn(&mut Vec<i64>);

    /// A tenant as they grow: more each year, fewer at night and at weekends.
    fn grown(number: usize, seed: u64) -> Vec<i64> {
        let (first, hours) = (1_488_326_400, 73_000_u64);
        let mut state = seed;
        let mut draw = move || {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
        };
        let mut reached = vec![0.0];
        for hour in 0..hours {
            let night = if hour % 24 < 7 { 0.1 } else { 1.0 };
            let weekend = if (hour / 24) % 7 > 4 { 0.6 } else { 1.0 };
            let growth = 0.3 + 1.7 * hour as f64 / hours as f64;
            reached.push(reached[hour as usize] + night * weekend * growth);
        }
        let total = reached[hours as usize];
        let mut people: Vec<i64> = (0..number)
            .map(|_| {
                let target = draw() * total;
                let hour = reached.partition_point(|reached| *reached <= target) - 1;
                first + hour as i64 * 3_600 + (draw() * 3_600.0) as i64
            })
            .collect();
        people.sort_unstable();
        people
    }

    #[test]
    fn an_unknown_tenant_is_read_in_little_more_than_its_pages() {
        let orders: [(&str, Order); 4] = [
            ("oldest first", |_| {}),
            ("newest first", |answer| answer.reverse()),
            ("any", |answer| {
                answer.sort_by_key(|p| (*p as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 7)
            }),
            ("least recently updated", |answer| {
                answer.sort_by_key(|p| {
                    let mixed = (*p as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                    if mixed % 5 < 2 {
                        *p
                    } else {
                        p + ((1_751_328_000 - p) as f64 * (mixed >> 20) as f64
                            / (1_u64 << 44) as f64) as i64
                    }
                });
            }),
        ];
        for (number, most) in [(20_000, 1.6), (100_000, 1.45)] {
            for (name, order) in orders {
                let people = grown(number, 1);
                let (read, asked) = run(&people, 500, order, true);
                assert_eq!(read, people);
                let ratio = asked as f64 / number.div_ceil(500) as f64;
                assert!(
                    ratio <= most,
                    "{number}, {name}: {asked} requests, {ratio:.3}"
                );
            }
        }
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
        let orders: [Order; 3] = [
            |_| {},
            |answer| answer.reverse(),
            |answer| answer.sort_by_key(|p| p % 1_009),
        ];
        for order in orders {
            for count in [true, false] {
                let (read, asked) = run(&people, 100, order, count);
                assert_eq!(read, people);
                assert!(
                    asked < 700,
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
