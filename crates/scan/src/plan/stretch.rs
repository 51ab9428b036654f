//! A stretch of time that is followed from one end, window by window.

use chrono::{DateTime, Utc};

use super::neighbours::Pace;
use super::rhythm::Rhythm;
use super::{Overflow, SECOND, seconds};
use crate::window::Window;
use clock::time;

/// How full a window should come out whose people were on the page of an answer that was too large:
/// their dates are known.
const FILL_SEEN: f64 = 0.985;

/// An overflow by less than this is a matter of how much room was left.
const MILD: f64 = 1.08;

/// A window that overflowed is asked again at most this wide, whatever else is known.
const NARROWER: f64 = 0.9;

/// So many windows in a row may overflow that were cut by what is known or guessed. Each one more
/// is asked again at most half, a quarter, an eighth as wide: what is guessed is far off, or is not
/// so, and from half a century to a second it is ten answers and not thirty.
const GUESSES: i32 = 2;

/// Where nothing says how many a window holds that overflowed: so many pages.
const UNKNOWN_PAGES: f64 = 2.0;

/// How far one window moves the trend of its stretch: little, since each is also a draw.
const TREND_LEARNS: f64 = 0.3;

/// One window is a campaign, or a holiday, where it holds so much less or more than was guessed.
const TREND_STEPS: (f64, f64) = (0.7, 1.4);

/// After an empty window the next one is so many times as wide.
const STEPS_GROW: f64 = 4.0;

/// So many windows before the end of a stretch they are made equal, so that the last one is not
/// next to empty.
const EVEN: f64 = 3.0;

/// So many windows have to be left for one to be cut off at the far end: the two ends must not meet
/// in one that is next to empty.
const FAR_LEAST: f64 = 2.0;

/// A window that leaves less than this of its stretch may as well be all of it.
const NEARLY_ALL: f64 = 1.05;

/// Three hundred years: more is no window.
const MOST_SECONDS: f64 = 1e10;

/// From which end a stretch is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Towards {
    Later,
    Earlier,
}

impl Towards {
    /// The part of a window before this instant and the part after it, from the end that is
    /// followed from; all of it where that does not cut it.
    pub(super) fn split(self, window: Window, at: DateTime<Utc>) -> (Window, Option<Window>) {
        match (self, &window.cut([at])[..]) {
            (Self::Later, [first, second]) => (*first, Some(*second)),
            (Self::Earlier, [first, second]) => (*second, Some(*first)),
            (Self::Later | Self::Earlier, _) => (window, None),
        }
    }

    /// So many seconds of the rhythm further along: at least a second by any clock, and no more
    /// than a window may have.
    fn onwards(self, at: DateTime<Utc>, seconds: f64, rhythm: &Rhythm) -> DateTime<Utc> {
        let seconds = seconds.min(MOST_SECONDS);
        match self {
            Self::Later => rhythm.after(at, seconds).max(time::after(at, SECOND)),
            Self::Earlier => rhythm.after(at, -seconds).min(time::before(at, SECOND)),
        }
    }

    /// Which of two instants comes first.
    fn nearer(self, a: DateTime<Utc>, b: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Later => a.min(b),
            Self::Earlier => a.max(b),
        }
    }

    /// The other way.
    fn back(self) -> Self {
        match self {
            Self::Later => Self::Earlier,
            Self::Earlier => Self::Later,
        }
    }
}

/// A stretch of time that is followed, window by window.
#[derive(Debug, Clone)]
pub(super) struct Stretch {
    /// What is left of it, without the window that is asked.
    rest: Option<Window>,
    /// The window that is asked and not answered.
    pub(super) asked: Option<Window>,
    towards: Towards,
    /// Where its people begin, as far as they were seen.
    origin: DateTime<Utc>,
    /// Where they end, as far as that is known.
    far: Option<DateTime<Utc>>,
    /// Where to cut next, when an answer has shown it.
    next: Option<DateTime<Utc>>,
    /// People per second of the rhythm, until its neighbours tell.
    pace: f64,
    /// How many people are left in it, where that is known; as they are guessed to be spread while
    /// pieces of it are not answered.
    left: Option<f64>,
    /// Pieces that were cut off it and are asked as a whole, and how many people are guessed to be
    /// in each.
    pieces: Vec<(Window, f64)>,
    /// How many people the window that is asked should hold, if that was guessed from its
    /// neighbours.
    guessed: Option<f64>,
    /// How many times more its windows held than their neighbours let one guess: growth.
    trend: f64,
    /// What was asked of it last and was too large.
    too_large: Option<TooLarge>,
    /// How many windows of it were too large since one was not.
    overflows: i32,
}

/// A window at the near end of a stretch that held too many.
#[derive(Debug, Clone, Copy)]
struct TooLarge {
    window: Window,
    /// How wide it was, in seconds of the rhythm; none if one end was open.
    width: Option<f64>,
    /// People per second of the rhythm in it, at least.
    pace: f64,
}

impl Stretch {
    /// A window of which nothing else is known than what its answer showed: the first of its
    /// people, the last, or a sample of all, registered from `first` until `last`. Nobody, or next
    /// to nobody, registered after the horizon.
    pub(super) fn begin(
        window: Window,
        overflow: &Overflow,
        (first, last): (DateTime<Utc>, DateTime<Utc>),
        horizon: Option<DateTime<Utc>>,
        fill: f64,
        rhythm: &Rhythm,
    ) -> Self {
        let page = &overflow.dates;
        let full = overflow.full_page.max(1) as f64;
        let towards = if is_earliest_first(page) {
            Towards::Later
        } else {
            Towards::Earlier
        };
        let is_sample = !is_earliest_first(page) && !is_latest_first(page);
        let people_end = time::after(last, SECOND);
        let until = window.until.or(horizon).unwrap_or(people_end);
        // A page of those who were not updated for long, say, lies in one part of the window: it
        // does not show where the people are.
        let is_one_part = is_sample
            && seconds(last.signed_duration_since(first)) * 2.0
                < seconds(until.signed_duration_since(window.from.unwrap_or(first)));
        let people_until = if is_one_part { until } else { people_end };
        let left = overflow.count.map(|count| count as f64);
        let shown = if is_sample {
            left.unwrap_or(full * UNKNOWN_PAGES)
        } else {
            page.len() as f64
        };
        let mut stretch = Self {
            rest: None,
            asked: None,
            towards,
            origin: match towards {
                Towards::Later => first,
                Towards::Earlier => people_until,
            },
            far: match towards {
                Towards::Later => Some(until),
                Towards::Earlier => window.from.or(is_sample.then_some(first)),
            },
            next: None,
            pace: shown / rhythm.between(first, people_until),
            left,
            pieces: Vec::new(),
            guessed: None,
            trend: 1.0,
            too_large: None,
            overflows: 0,
        };
        stretch.take_back(window, overflow, fill, rhythm);
        stretch
    }

    /// Leaves out all of what is left that is not before.
    pub(super) fn leave(&mut self, before: impl Fn(Window) -> Option<Window>) {
        self.rest = self.rest.and_then(before);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.asked.is_none() && self.rest.is_some()
    }

    pub(super) fn goes_on(&self) -> bool {
        self.asked.is_some() || self.rest.is_some()
    }

    /// Where what is left, or the people in it, begin, on the side it is followed from.
    pub(super) fn near(&self) -> Option<DateTime<Utc>> {
        let rest = self.rest?;
        Some(match self.towards {
            Towards::Later => rest.from.map_or(self.origin, |from| from.max(self.origin)),
            Towards::Earlier => rest
                .until
                .map_or(self.origin, |until| until.min(self.origin)),
        })
    }

    /// Compares what was guessed with how many there were.
    fn learn_trend(&mut self, people: f64) {
        if let Some(guessed) = self.guessed.take() {
            let (least, most) = TREND_STEPS;
            self.trend *= (people / guessed).clamp(least, most).powf(TREND_LEARNS);
        }
    }

    /// A window without the time before its people or after them.
    pub(super) fn populated(&self, window: Window) -> Window {
        match self.towards {
            Towards::Later => Window {
                from: window.from.map(|from| from.max(self.origin)),
                ..window
            },
            Towards::Earlier => Window {
                until: window.until.map(|until| until.min(self.origin)),
                ..window
            },
        }
    }

    /// How long what is left is, in seconds of the rhythm, if it is known where it ends.
    fn length(&self, rhythm: &Rhythm) -> Option<f64> {
        let (near, far) = (self.near()?, self.far?);
        Some(match self.towards {
            Towards::Later => rhythm.between(near, far).max(0.0),
            Towards::Earlier => rhythm.between(far, near).max(0.0),
        })
    }

    /// Takes back a window that was too large, with what its answer showed about where to cut it.
    /// Says whether room was short: what was far too large was guessed wrong, which says nothing
    /// about how much room to leave.
    pub(super) fn take_back(
        &mut self,
        window: Window,
        overflow: &Overflow,
        fill: f64,
        rhythm: &Rhythm,
    ) -> bool {
        self.asked = None;
        let full = overflow.full_page.max(1) as f64;
        if self.rest.is_none() {
            // All that was left was asked, so this is how many are left; what was guessed before is
            // not to be trusted.
            self.left = overflow.count.map(|count| count as f64);
            self.pieces.clear();
        }
        self.learn_trend(overflow.count.map_or(full * MILD, |count| count as f64));
        self.rest = Some(self.with_rest(window));
        let dates = overflow.dates.iter().copied();
        let (far, shown) = match self.towards {
            Towards::Later => (window.until, dates.min().map(|at| at.min(self.origin))),
            Towards::Earlier => {
                let last = dates
                    .max()
                    .map(|at| time::after(at, SECOND).max(self.origin));
                (window.from, last)
            }
        };
        self.origin = shown.unwrap_or(self.origin);
        let width = self
            .near()
            .zip(far)
            .map(|(near, far)| rhythm.between(near, far).abs());
        let people = overflow
            .count
            .map_or(full * UNKNOWN_PAGES, |count| count as f64);
        if let Some(pace) = self.pace_shown(&overflow.dates, rhythm) {
            self.pace = pace;
        } else if let Some(width) = width {
            self.pace = people / width;
        }
        self.overflows = self.overflows.saturating_add(1);
        self.too_large = Some(TooLarge {
            window,
            width,
            pace: width.map_or(self.pace, |width| people / width),
        });
        // What does not cut it is no help.
        self.next = self
            .cut_shown(overflow, full, fill)
            .or_else(|| overflow.cut_beside(window))
            .filter(|at| window.cut([*at]).len() == 2);
        overflow
            .count
            .is_none_or(|count| (count as f64) < full * MILD)
    }

    /// A window at the near end, and what is left behind it.
    fn with_rest(&self, window: Window) -> Window {
        match (self.towards, self.rest) {
            (_, None) => window,
            (Towards::Later, Some(rest)) => Window {
                from: window.from,
                until: rest.until,
            },
            (Towards::Earlier, Some(rest)) => Window {
                from: rest.from,
                until: window.until,
            },
        }
    }

    /// How dense the near end is, if the page begins with the people there.
    fn pace_shown(&self, page: &[DateTime<Utc>], rhythm: &Rhythm) -> Option<f64> {
        let begins_near = match self.towards {
            Towards::Later => is_earliest_first(page),
            Towards::Earlier => is_latest_first(page),
        };
        let width = rhythm.between(*page.first()?, *page.last()?).abs();
        (begins_near && width > 0.0).then(|| page.len() as f64 / width)
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
                Towards::Later => time::after(middle, SECOND),
                Towards::Earlier if middle < last => time::after(middle, SECOND),
                Towards::Earlier => middle,
            });
        }
        let unseen = overflow.count.map(|count| (count as f64 - shown).max(0.0));
        // How many of the dates on the page lie before the cut, counted from the end that is
        // followed from.
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
            Towards::Later => dates[before].max(time::after(first, SECOND)),
            Towards::Earlier => time::after(dates[dates.len() - 1 - before], SECOND).min(last),
        })
    }

    /// Cuts its next window off. `full` is how many people fill a page, `fill` how much of one to
    /// aim at, and `nearby` how dense the windows around are.
    pub(super) fn follow(
        &mut self,
        full: f64,
        fill: f64,
        nearby: Option<Pace>,
        rhythm: &Rhythm,
    ) -> Option<Window> {
        let (rest, near) = (self.rest?, self.near()?);
        let too_large = self.too_large.take();
        let at = match (self.next.take(), too_large) {
            (Some(next), None) => next,
            (Some(next), Some(TooLarge { width, .. })) => match width {
                Some(width) if self.overflows > GUESSES => {
                    let narrow =
                        self.towards
                            .onwards(near, width * narrower(self.overflows), rhythm);
                    self.towards.nearer(next, narrow)
                }
                Some(_) | None => next,
            },
            (None, Some(TooLarge { width, pace, .. })) => {
                let wanted = match (nearby, width) {
                    // Nobody is near, and how dense it is further on is not known.
                    (Some(Pace::Empty(seconds)), None) => seconds * STEPS_GROW,
                    (Some(Pace::Empty(_) | Pace::People(_)) | None, _) => full * fill / pace,
                };
                let most = width.map_or(wanted, |width| width * narrower(self.overflows));
                self.towards.onwards(near, wanted.min(most), rhythm)
            }
            (None, None) => match self.width(full, fill, nearby, rhythm) {
                Some(width) => self.towards.onwards(near, width, rhythm),
                None => {
                    self.guessed = None;
                    self.rest = None;
                    self.asked = Some(rest);
                    return Some(rest);
                }
            },
        };
        let (next, rest) = self.towards.split(rest, at);
        self.rest = rest;
        self.asked = Some(next);
        Some(next)
    }

    /// How wide its next window should be, in seconds of the rhythm; none if all that is left
    /// should be asked at once.
    fn width(
        &mut self,
        full: f64,
        fill: f64,
        nearby: Option<Pace>,
        rhythm: &Rhythm,
    ) -> Option<f64> {
        if self.left.is_some_and(|left| left <= full * FILL_SEEN) {
            return None;
        }
        // Near the end the last windows share what is left.
        let share = |all: f64, each: f64| all / (all / each).ceil();
        let people = match self.left {
            Some(left) if left <= full * EVEN => share(left, full * fill),
            Some(_) | None => full * fill,
        };
        self.guessed = Some(people);
        let width = match nearby {
            Some(Pace::People(pace)) => people / (pace * self.trend),
            // After an empty window nobody knows how far it is to the next people. Where many are
            // left, it is found out in growing steps; otherwise, or when those who were counted are
            // not there any more, the rest may well be whole.
            Some(Pace::Empty(seconds))
                if self.left.is_some() && seconds * STEPS_GROW < MOST_SECONDS =>
            {
                seconds * STEPS_GROW
            }
            Some(Pace::Empty(_)) => return None,
            None => people / self.pace,
        };
        match self.length(rhythm).filter(|_| self.left.is_none()) {
            Some(length) if width * NEARLY_ALL >= length => None,
            Some(length) if width * EVEN >= length => Some(share(length, width)),
            Some(_) | None => Some(width),
        }
    }

    /// What was asked of it last and was too large.
    pub(super) fn too_large(&self) -> Option<Window> {
        self.too_large.map(|too_large| too_large.window)
    }

    /// Gives up a window that is asked: it goes another way.
    pub(super) fn give_up(&mut self) {
        self.asked = None;
    }

    /// The window that was asked of it held so many people: the part of it that has people at all.
    pub(super) fn read(&mut self, window: Window, people: f64) -> Window {
        self.asked = None;
        self.overflows = 0;
        self.left = self.left.map(|left| left - people);
        self.learn_trend(people);
        self.populated(window)
    }

    /// How many people are left in it, and in how many seconds of the rhythm; both may be guessed.
    pub(super) fn people_and_length(
        &self,
        nearby: Option<Pace>,
        rhythm: &Rhythm,
    ) -> Option<(f64, f64)> {
        let pace = match nearby {
            Some(Pace::People(pace)) => pace,
            Some(Pace::Empty(_)) | None => self.pace,
        };
        let length = self.length(rhythm).or(self.left.map(|left| left / pace))?;
        Some((self.left.unwrap_or(pace * length), length))
    }

    /// How many people are left in it, where they are counted.
    pub(super) fn people_left(&self) -> Option<f64> {
        self.left
    }

    /// Whether it is known, or guessed, how many are left in it alone.
    pub(super) fn is_settled(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Into how many pieces it can be divided at once: where its counts and its ends are known, the
    /// answers to all of them say at once how many are in each.
    pub(super) fn divides_into(&self, wanted: usize) -> usize {
        if self.left.is_some() && self.far.is_some() {
            wanted.max(2)
        } else {
            2
        }
    }

    /// Cuts it into pieces of the same length by the rhythm and keeps the near one; the others, the
    /// nearest first. Where counts are known they are asked as a whole.
    pub(super) fn divide(
        &mut self,
        pieces: usize,
        people: f64,
        length: f64,
        rhythm: &Rhythm,
    ) -> Vec<Self> {
        let (is_counted, each) = (self.left.is_some(), people / pieces as f64);
        let mut others = Vec::with_capacity(pieces);
        let Some(near) = self.near() else {
            return others;
        };
        for place in (1..pieces).rev() {
            let at = self
                .towards
                .onwards(near, length * place as f64 / pieces as f64, rhythm);
            let Some((mine, Some(other))) = self.rest.map(|rest| self.towards.split(rest, at))
            else {
                continue;
            };
            others.push(Self {
                rest: Some(other).filter(|_| !is_counted),
                asked: Some(other).filter(|_| is_counted),
                origin: at,
                next: None,
                pace: people / length,
                left: None,
                pieces: Vec::new(),
                guessed: None,
                too_large: None,
                overflows: 0,
                ..self.clone()
            });
            self.rest = Some(mine);
            self.far = Some(at);
            if is_counted {
                self.pieces.push((other, each));
                self.left = self.left.map(|left| left - each);
            }
        }
        others.reverse();
        others
    }

    /// Cuts one window off at its far end, where that is known, to be asked as it is beside the one
    /// at its near end. `pace_at` is how dense it is around there.
    pub(super) fn cut_far(
        &mut self,
        people: f64,
        pace_at: impl Fn(DateTime<Utc>) -> Option<Pace>,
        rhythm: &Rhythm,
    ) -> Option<Window> {
        let (far, left) = (self.far?, self.left?);
        let asked = self.asked.map_or(0.0, |_| self.guessed.unwrap_or(people));
        let Some(Pace::People(pace)) = pace_at(far) else {
            return None;
        };
        let width = people / pace;
        if left - asked < people * FAR_LEAST || self.length(rhythm)? < width * FAR_LEAST {
            return None;
        }
        let at = self.towards.back().onwards(far, width, rhythm);
        let (mine, Some(other)) = self.towards.split(self.rest?, at) else {
            return None;
        };
        self.rest = Some(mine);
        self.far = Some(at);
        self.pieces.push((other, people));
        self.left = Some(left - people);
        Some(other)
    }

    /// If this window is one of its pieces: it was answered, and so many people are in it, if that
    /// is known.
    pub(super) fn settle(&mut self, window: Window, people: Option<f64>) {
        if let Some(position) = self.pieces.iter().position(|(piece, _)| *piece == window) {
            let (_, guessed) = self.pieces.swap_remove(position);
            let left = self.left.zip(people);
            self.left = left.map(|(left, people)| left + guessed - people);
        }
    }
}

fn is_earliest_first(dates: &[DateTime<Utc>]) -> bool {
    dates.is_sorted()
}

fn is_latest_first(dates: &[DateTime<Utc>]) -> bool {
    dates.is_sorted_by(|a, b| a >= b)
}

/// What part of a window that overflowed is asked again at most, after so many overflows in a row.
fn narrower(overflows: i32) -> f64 {
    if overflows <= GUESSES {
        NARROWER
    } else {
        0.5_f64.powi(overflows - GUESSES)
    }
}
