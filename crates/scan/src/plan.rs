//! Which windows to ask, as a pure value: what is still to do, and how to cut what was too large.
//!
//! Where the mirror knows how registrations are spread, windows are cut by that. Elsewhere
//! stretches of time are followed from one end, one window at a time: each is made as wide as its
//! neighbours were full, on a clock that runs as people register, so that it comes out nearly full
//! itself, and one that was too large is asked again a little narrower, by the dates it showed.
//! While more may be asked at once than there are stretches, the longest is divided, and towards
//! the end they are followed from both ends.

mod neighbours;
mod rhythm;
mod stretch;
#[cfg(test)]
mod tests;

use chrono::{DateTime, TimeDelta, Utc};

use super::sightings::Shown;
use super::window::Window;
use clock::time;
use neighbours::{Neighbours, Pace};
use rhythm::Rhythm;
use stretch::{Stretch, Towards};

/// How full a window should come out that is cut by what the mirror knows: people changed little
/// since, and few overflow. The second of overlap at both sides has to fit as well.
pub const FILL_KNOWN: f64 = 0.98;

/// How full a followed window should come out, to begin with. It falls with each that overflows and
/// rises with each that does not. An overflow costs a request, and so does room left empty.
const FILL: f64 = 0.88;
const FILL_LEAST: f64 = 0.76;
const FILL_MOST: f64 = 0.9;
const FILL_FALLS: f64 = 0.03;
const FILL_RISES: f64 = 0.003;

/// A stretch is divided for the sake of asking more at once into pieces that should hold so many
/// pages. Each costs the request that finds out how many are in it, and half of one at the end that
/// is added; and since people are spread unevenly, of many small ones the last to be read takes the
/// longest.
const PAGES_PER_PIECE: f64 = 20.0;

/// Windows are cut off at the far ends of stretches, to ask more at once, when so many were
/// answered: sooner, how dense it is there is a guess, and one in five overflows.
const KNOWN_FOR_FAR_ENDS: usize = 40;

/// The least by which an open end is pushed outwards.
const LEAST_SPAN: TimeDelta = TimeDelta::days(1);

const SECOND: TimeDelta = TimeDelta::seconds(1);

/// So far from a crowd beside it a window is cut: further than the second of overlap, and another
/// one where the API counts the end in or rounds it.
const BESIDE: TimeDelta = TimeDelta::seconds(2);

/// How often what has no end may be too large. Each time all that registered until then is read;
/// where as many register as are read this has no end, and who registered since the scan began is
/// not what it is about: the next run reads them.
const MOST_ENDS: u32 = 2;

/// What an answer with too many records showed.
#[derive(Debug, Clone, Default)]
pub struct Overflow {
    /// The registrations on its page, in the order of the page.
    pub dates: Vec<DateTime<Utc>>,
    /// Somebody on its page who registered just outside of the window, where nobody on it
    /// registered inside: the seconds of overlap hold enough to fill a page.
    pub beside: Option<DateTime<Utc>>,
    /// Who is on its page, where that is known here.
    pub shown: Vec<Shown>,
    /// How many records the window holds, where that is known.
    pub count: Option<u64>,
    /// How many records a full page holds.
    pub full_page: u64,
    /// The API's clock when it answered: nobody registered later, or next to nobody.
    pub answered_at: Option<DateTime<Utc>>,
}

impl Overflow {
    /// Where to cut a window off a crowd that is beside it.
    fn cut_beside(&self, window: Window) -> Option<DateTime<Utc>> {
        let at = self.beside?;
        let before = window.until.filter(|until| at >= *until);
        let after = window.from.filter(|from| at < *from);
        let cut = match (before, after) {
            (Some(until), _) => time::before(until, BESIDE),
            (None, Some(from)) => time::after(from, BESIDE),
            (None, None) => return None,
        };
        (window.cut([cut]).len() == 2).then_some(cut)
    }
}

/// The windows still to be asked.
#[derive(Debug)]
pub struct Plan {
    /// To be asked as they are, the last one first.
    asks: Vec<Window>,
    stretches: Vec<Stretch>,
    neighbours: Neighbours,
    rhythm: Rhythm,
    /// The API's clock at the first answer that was too large.
    began: Option<DateTime<Utc>>,
    /// The latest moment known: registrations or the API's clock.
    horizon: Option<DateTime<Utc>>,
    /// The earliest registration seen.
    earliest: Option<DateTime<Utc>>,
    /// How often the window without an end was too large.
    ends: u32,
    /// Whoever registers in it is left to the next run.
    left_out: Option<Window>,
    full_page: f64,
    fill: f64,
}

impl Plan {
    /// What is left of a scan of which these windows are committed.
    pub fn without(done: &[Window]) -> Self {
        Self {
            asks: end_first(Window::gaps(done)),
            stretches: Vec::new(),
            neighbours: Neighbours::default(),
            rhythm: Rhythm::default(),
            began: None,
            horizon: None,
            earliest: None,
            ends: 0,
            left_out: None,
            full_page: 1.0,
            fill: FILL,
        }
    }

    /// Cuts what is left at these instants.
    pub fn cut_at(&mut self, cuts: &[DateTime<Utc>]) {
        let whole = std::mem::take(&mut self.asks);
        let pieces = whole
            .iter()
            .flat_map(|window| window.cut(cuts.iter().copied()));
        self.asks = end_first(pieces.collect());
    }

    /// Whether nothing was cut yet: the next window is all of time.
    pub fn is_uncut(&self) -> bool {
        self.asks == [Window::ALL]
    }

    /// How many windows are known beforehand, whatever the answers to others.
    pub fn known_ahead(&self) -> usize {
        self.asks.len()
    }

    /// The next window; none at the end, or until an answer says how to go on. `places` is how many
    /// more may be asked at once, this one included.
    pub fn take(&mut self, places: usize) -> Option<Window> {
        if let Some(window) = self.asks.pop() {
            return Some(window);
        }
        if !self.stretches.iter().any(Stretch::is_idle) {
            let more = self.divide_longest(places).or_else(|| self.cut_far());
            if more.is_some() {
                return more;
            }
        }
        let position = self.stretches.iter().position(Stretch::is_idle)?;
        let stretch = &mut self.stretches[position];
        let nearby = self.neighbours.pace_at(stretch.near()?, &self.rhythm);
        let too_large = stretch.too_large();
        let window = stretch.follow(self.full_page, self.fill, nearby, &self.rhythm)?;
        if too_large == Some(window) {
            // What is known about it does not cut it: its people may be in the seconds of overlap.
            stretch.give_up();
            self.stretches.retain(Stretch::goes_on);
            self.halve(window);
            return self.asks.pop();
        }
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
        self.settle_pieces(window, Some(people));
        let mut populated = window;
        if let Some(stretch) = asked(&mut self.stretches, window) {
            populated = stretch.read(window, people);
            self.fill = (self.fill + FILL_RISES).min(FILL_MOST);
        }
        self.stretches.retain(Stretch::goes_on);
        self.learn_rhythm(populated, people);
        self.neighbours.remember(populated, people);
    }

    /// Notes that a window was read in another way.
    pub fn read_by_page(&mut self, window: Window) {
        self.settle_pieces(window, None);
        if let Some(stretch) = asked(&mut self.stretches, window) {
            stretch.give_up();
        }
        self.stretches.retain(Stretch::goes_on);
    }

    /// Puts the pieces of a window that was too large in its place.
    pub fn cut(&mut self, window: Window, overflow: &Overflow) {
        self.full_page = overflow.full_page.max(1) as f64;
        self.began = self.began.or(overflow.answered_at);
        let dates = overflow.dates.iter().copied();
        let known = self.horizon.into_iter().chain(overflow.answered_at);
        self.horizon = known
            .chain(dates.clone().map(|date| time::after(date, SECOND)))
            .max();
        self.earliest = self.earliest.into_iter().chain(dates).min();
        self.settle_pieces(window, overflow.count.map(|count| count as f64));
        let (window, to_come) = self.split_end_to_come(window, overflow);
        let (fill, mut populated) = (self.fill, window);
        match asked(&mut self.stretches, window) {
            Some(stretch) => {
                if stretch.take_back(window, overflow, fill, &self.rhythm) {
                    self.fill = (fill - FILL_FALLS).max(FILL_LEAST);
                }
                populated = stretch.populated(window);
            }
            None => self.begin(window, overflow),
        }
        if let Some(count) = overflow.count {
            self.learn_rhythm(populated, count as f64);
        }
        self.asks.extend(to_come);
    }

    /// What has no end of a window of people who registered since the scan began is set apart, to
    /// be asked next: where as many register as are read meanwhile, the scan would follow them for
    /// ever, and now all that is left has an end.
    fn split_end_to_come(
        &mut self,
        window: Window,
        overflow: &Overflow,
    ) -> (Window, Option<Window>) {
        let (Some(began), Some(now)) = (self.began, overflow.answered_at) else {
            return (window, None);
        };
        if window.until.is_some() || window.from.is_none_or(|from| from < began) {
            return (window, None);
        }
        let (left, to_come) = Towards::Later.split(window, now);
        if let Some(stretch) = asked(&mut self.stretches, window) {
            stretch.asked = Some(left);
        }
        self.ends += 1;
        if self.ends < MOST_ENDS {
            return (left, to_come);
        }
        if let Some(from) = to_come.and_then(|to_come| to_come.from) {
            self.leave_out(from);
        }
        (left, None)
    }

    /// Whoever registers from here on is left to the next run.
    pub fn leave_out(&mut self, from: DateTime<Utc>) {
        let earlier = self.left_out.and_then(|window| window.from);
        let from = earlier.map_or(from, |earlier| earlier.min(from));
        let left_out = Window {
            from: Some(from),
            until: None,
        };
        let before = |window: Window| {
            let pieces = window.cut([from]);
            pieces
                .first()
                .copied()
                .filter(|piece| !left_out.holds(*piece))
        };
        self.asks = self.asks.iter().copied().filter_map(before).collect();
        for stretch in &mut self.stretches {
            stretch.leave(before);
        }
        self.stretches.retain(Stretch::goes_on);
        self.left_out = Some(left_out);
    }

    /// The time after the scan began that it has given up to read, since too many registered
    /// meanwhile.
    pub fn left_out(&self) -> Option<Window> {
        self.left_out
    }

    /// Compares how many people a window holds with what those around it let expect. Nobody at all
    /// is no hour of the day.
    fn learn_rhythm(&mut self, window: Window, people: f64) {
        let (Some(from), Some(until)) = (window.from, window.until) else {
            return;
        };
        let nearby = self
            .neighbours
            .pace_at(time::middle(from, until), &self.rhythm);
        if let Some(Pace::People(pace)) = nearby
            && people > 0.0
        {
            let expected = pace * self.rhythm.between(from, until);
            self.rhythm.learn(window, people / expected);
        }
    }

    /// If a piece was answered, it is known how many are left in the stretch that it was cut off.
    fn settle_pieces(&mut self, window: Window, people: Option<f64>) {
        for stretch in &mut self.stretches {
            stretch.settle(window, people);
        }
    }

    /// Makes a stretch of a window of which nothing else is known than what its answer showed.
    fn begin(&mut self, window: Window, overflow: &Overflow) {
        let page = &overflow.dates;
        let (Some(&first), Some(&last)) = (page.iter().min(), page.iter().max()) else {
            return match overflow.cut_beside(window) {
                Some(at) => self.asks.extend(window.cut([at]).into_iter().rev()),
                None => self.halve(window),
            };
        };
        let pieces = window.cut([first, time::after(first, SECOND)]);
        if first == last {
            // Thousands in one second, or so it seems: it is set apart, and what is left on both
            // sides may be little.
            if pieces.len() < 2 {
                return self.halve(window);
            }
            // The second itself comes first and brings something. Where a page holds one record,
            // each answer shows one second, and what is left is as large as before.
            let (second, beside): (Vec<_>, Vec<_>) =
                pieces.into_iter().partition(|piece| piece.contains(first));
            self.asks.extend(beside.into_iter().rev());
            self.asks.extend(second);
            return;
        }
        let (shown, horizon) = ((first, last), self.horizon);
        let stretch = Stretch::begin(window, overflow, shown, horizon, self.fill, &self.rhythm);
        self.stretches.push(stretch);
    }

    /// Without anything to go by only time itself can be cut.
    fn halve(&mut self, window: Window) {
        let now = self.horizon.unwrap_or(DateTime::UNIX_EPOCH);
        let span = now
            .signed_duration_since(self.earliest.unwrap_or(now))
            .max(LEAST_SPAN);
        let at = match (window.from, window.until) {
            (Some(from), Some(until)) => time::middle(from, until),
            (Some(from), None) => time::after(from, span),
            (None, Some(until)) => time::before(until, span),
            (None, None) => now,
        };
        self.asks.extend(window.cut([at]).into_iter().rev());
    }

    /// Divides the stretch with the most people left, if that is worth it. The other pieces are to
    /// be asked as a whole if one is returned.
    fn divide_longest(&mut self, places: usize) -> Option<Window> {
        let left = |stretch: &Stretch| {
            let nearby = self.neighbours.pace_at(stretch.near()?, &self.rhythm);
            stretch.people_and_length(nearby, &self.rhythm)
        };
        let (position, (people, length)) = self
            .stretches
            .iter()
            .enumerate()
            .filter(|(_, stretch)| stretch.is_settled())
            .filter_map(|(position, stretch)| left(stretch).map(|left| (position, left)))
            .max_by(|(_, (a, _)), (_, (b, _))| a.total_cmp(b))?;
        let worth = (people / (self.full_page * PAGES_PER_PIECE)) as usize;
        if worth == 0 {
            return None;
        }
        let stretch = &mut self.stretches[position];
        let pieces = stretch.divides_into(worth.min(places + 1));
        let others = stretch.divide(pieces, people, length, &self.rhythm);
        self.asks
            .extend(others.iter().rev().filter_map(|other| other.asked));
        self.stretches.extend(others);
        self.asks.pop()
    }

    /// Cuts a window off at the far end of the stretch with the most people left of those that are
    /// asked for one only.
    fn cut_far(&mut self) -> Option<Window> {
        if self.neighbours.len() < KNOWN_FOR_FAR_ENDS {
            return None;
        }
        let (people, neighbours, rhythm) =
            (self.full_page * self.fill, &self.neighbours, &self.rhythm);
        let settled = self.stretches.iter_mut().filter(|one| one.is_settled());
        let mut longest: Vec<_> = settled
            .filter_map(|one| Some((one.people_left()?, one)))
            .collect();
        longest.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        longest
            .into_iter()
            .find_map(|(_, one)| one.cut_far(people, |at| neighbours.pace_at(at, rhythm), rhythm))
    }
}

/// The stretch that this window was cut off.
fn asked(stretches: &mut [Stretch], window: Window) -> Option<&mut Stretch> {
    stretches
        .iter_mut()
        .find(|stretch| stretch.asked == Some(window))
}

/// To be taken from the back: the one without an end first, before many more have registered, then
/// the earliest.
fn end_first(mut windows: Vec<Window>) -> Vec<Window> {
    windows.reverse();
    if windows.first().is_some_and(|window| window.until.is_none()) {
        windows.rotate_left(1);
    }
    windows
}

fn seconds(delta: TimeDelta) -> f64 {
    delta.num_seconds() as f64
}
