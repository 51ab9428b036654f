//! A scan under way: asks for windows, several at once, cuts those that were too large, looks for
//! people in no window, and keeps count of what the verdict rests on. Windows can be lent to others
//! who read them: what they found is taken in as if it had been read here.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Source;
use super::part::{Asking, ByPage, Fetched, PartReader, Reading, Stopped};
use super::plan::{Overflow, Plan};
use super::short::Short;
use super::sightings::{Explained, Shown, Sightings};
use super::undated::{Counted, Held, dated};
use super::verdict::{GivenUp, Growth, Parts, Proof, Verdict};
use super::whole::Learned;
use super::window::Window;
use telemetry::span::{Span, Work};

/// A part of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A stretch of registration time.
    Window(Window),
    /// People without a registration date.
    Undated,
}

/// What one step of a scan brought.
#[derive(Debug)]
pub enum Step {
    /// A window that is whole, to be written.
    Read(Fetched),
    /// Something else was learned.
    Learned,
}

/// What somebody else found in a window that was lent.
#[derive(Debug)]
pub enum Found {
    /// One answer held all of it: so many people, who are written.
    Whole(u64),
    /// It has to be cut.
    TooLarge(Overflow),
    /// Somebody outside the window was in the answer.
    FilterIgnored,
    /// Nothing: it has to be read here.
    Nothing,
}

/// So many answers in a row for each that may be asked at once may bring nothing that can be kept,
/// then one is asked at a time: whatever makes windows too large is then narrowed down in one place
/// instead of in all.
const WITHOUT_PROGRESS_EACH: u32 = 1;

/// So many answers in a row, asked one at a time, may bring nothing that can be kept before a scan
/// is given up: the server says each time that there is more than it sends. Half a century that is
/// halved again and again is a second after 31; mostly it takes ten, on one side of a crowd: see
/// `stretch::narrower`. Where it is known how many there can be, windows that are all too full are
/// noticed sooner: see `check_growth`.
const WITHOUT_PROGRESS_ALONE: u32 = 34;

/// A scan under way. Dropping it gives up what is in flight.
#[derive(Debug)]
pub struct Walk<S: Source> {
    reader: PartReader<S>,
    plan: Plan,
    parts: Parts,
    by_page: Vec<(Part, ByPage)>,
    undated: Undated,
    /// People in windows that were whole.
    people: u64,
    /// People in windows that were read by page.
    people_by_page: u64,
    /// Answers in a row that brought nothing that could be kept.
    without_progress: u32,
    /// Those of them that were the only one asked for.
    alone: u32,
    /// Windows of the plan that were too large, by where they begin. Each costs an answer, and
    /// there are as many as were planned.
    planned_too_large: BTreeMap<Option<DateTime<Utc>>, Window>,
    /// Windows that were too large, none inside another, with how many records each holds at least.
    too_large: Vec<(Window, u64)>,
    explained: Explained,
    /// Windows that were read to their end, with how many each held.
    read: Vec<(Window, u64)>,
    /// Records that have the id of another one in the same answer, and differ from it.
    differing: u64,
    borders: Borders,
    in_flight: usize,
    asked: JoinSet<Answer<S::Error>>,
    /// Windows that somebody else reads.
    lent: Vec<Window>,
    /// Windows that came back unread.
    returned: Vec<Window>,
}

type Answer<E> = Result<Answered, Stopped<E>>;

#[derive(Debug)]
enum Answered {
    Window(Window, Reading),
    Everybody(Option<u64>),
    Dated(Option<u64>),
    Undated(ByPage),
    Everything(Option<Growth>),
    /// Whether windows leave somebody out who belongs to them.
    LeftOut(bool),
    /// What is counted beside what the windows held.
    Compared(Box<Compared>),
}

/// Windows that were read, as they are after a comparison with counts.
#[derive(Debug)]
struct Compared {
    read: Vec<(Window, u64)>,
    short: Short,
    left_out: bool,
}

/// Whether it is known that windows beside each other hold all of their time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Borders {
    /// It is asked for when all windows are read.
    Waiting,
    /// It is asked for, or cannot be: what a resumed scan has read before is not counted here, and
    /// of what changed since some time nothing is counted.
    Begun,
}

/// How far the search for people without a date has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Undated {
    /// It is not known yet whether one answer holds everybody.
    Waiting,
    /// The server is asked how many there are in all. Nothing else is asked meanwhile: the answer
    /// shows what its counts mean.
    Counting,
    /// It goes on when all windows are read.
    Counted(Counted),
    /// It is under way, or done, or not needed.
    Begun,
}

impl<S: Source> Walk<S> {
    /// A scan of everything that `asking` says. `learned` is what an earlier scan found out about
    /// the server.
    pub fn new(source: S, asking: Asking, learned: Learned, in_flight: usize) -> Self {
        Self {
            reader: PartReader::new(source, asking, learned),
            plan: Plan::without(&[]),
            parts: Parts::default(),
            by_page: Vec::new(),
            undated: if asking.may_be_undated {
                Undated::Waiting
            } else {
                Undated::Begun
            },
            people: 0,
            people_by_page: 0,
            without_progress: 0,
            alone: 0,
            planned_too_large: BTreeMap::new(),
            too_large: Vec::new(),
            explained: Explained::default(),
            read: Vec::new(),
            differing: 0,
            borders: match asking.since {
                None => Borders::Waiting,
                Some(_) => Borders::Begun,
            },
            in_flight: in_flight.max(1),
            asked: JoinSet::new(),
            lent: Vec::new(),
            returned: Vec::new(),
        }
    }

    /// Asks for so many windows at once from now on.
    pub fn set_in_flight(&mut self, in_flight: usize) {
        self.in_flight = in_flight.max(1);
    }

    /// Leaves out what is committed.
    pub fn resume(&mut self, committed: &[(Part, Proof)]) {
        let mut windows = Vec::with_capacity(committed.len());
        for (part, proof) in committed {
            self.parts.add(*proof);
            match part {
                Part::Undated => self.undated = Undated::Begun,
                Part::Window(window) => windows.push(*window),
            }
        }
        if !windows.is_empty() {
            self.borders = Borders::Begun;
        }
        if windows == [Window::ALL] && self.undated != Undated::Begun {
            self.undated_were_among_all();
        }
        self.plan = Plan::without(&windows);
    }

    /// Cuts time where the mirror says.
    pub fn cut_at(&mut self, cuts: &[DateTime<Utc>]) {
        self.plan.cut_at(cuts);
    }

    /// A window for somebody else to read. `capacity` is how many they read at a time, and `ahead`
    /// how many more may wait for them where the windows are known beforehand. Where each depends
    /// on the answer to another, one is read and one is on its way for each place. None is given
    /// away that is needed here.
    pub fn lend(&mut self, capacity: usize, ahead: usize) -> Option<Window> {
        let is_begun = match self.undated {
            Undated::Waiting | Undated::Counting => false,
            Undated::Counted(_) | Undated::Begun => !self.plan.is_uncut(),
        };
        if !is_begun || self.gave_up_windows() || self.is_stuck() {
            return None;
        }
        let known = self.plan.known_ahead();
        let is_spare = if known > 0 {
            known > self.in_flight && self.lent.len() < capacity + ahead
        } else {
            self.asked.len() >= self.in_flight && self.lent.len() < capacity * 2
        };
        let places = (capacity + ahead).saturating_sub(self.lent.len());
        let window = is_spare.then(|| self.plan.take(places)).flatten()?;
        self.lent.push(window);
        Some(window)
    }

    /// Takes in what somebody else found in a window that was lent.
    pub fn hear(&mut self, window: Window, found: Found, pages: &mpsc::Sender<Fetched>) {
        let Some(position) = self.lent.iter().position(|lent| *lent == window) else {
            // Given up since: the server does not honour the filter.
            return;
        };
        self.lent.swap_remove(position);
        match found {
            Found::Whole(people) => {
                self.whole(window, people, None);
            }
            Found::TooLarge(overflow) => {
                let full_page = overflow.full_page.min(self.reader.full_page());
                let overflow = Overflow {
                    full_page,
                    ..overflow
                };
                self.too_large(window, &overflow);
            }
            Found::FilterIgnored => self.without_filter(pages),
            Found::Nothing => self.returned.push(window),
        }
    }

    /// Windows that are lent and not heard of.
    pub fn lent(&self) -> usize {
        self.lent.len()
    }

    /// How many windows more could be asked for here if there were any.
    pub fn idle(&mut self, pages: &mpsc::Sender<Fetched>) -> usize {
        self.ask(pages);
        self.at_once().saturating_sub(self.asked.len())
    }

    /// Whether windows were given up: the server does not honour them, or has no end.
    pub fn gave_up_windows(&self) -> bool {
        self.parts.filter_ignored || self.parts.given_up.is_some()
    }

    /// The next step; none at the end, or while all that is left is lent. Pages of parts that are
    /// read by page go to `pages` on their own.
    ///
    /// # Errors
    /// As the source.
    pub async fn step(
        &mut self,
        pages: &mpsc::Sender<Fetched>,
    ) -> Result<Option<Step>, Stopped<S::Error>> {
        self.ask(pages);
        let Some(answered) = self.asked.join_next().await else {
            return Ok(None);
        };
        // A task that panicked has dropped its end of the channel's work: whoever joins the writers
        // learns of it.
        let answered = answered.map_err(|_| Stopped::Closed)??;
        Ok(Some(self.learn(answered, pages)))
    }

    /// What follows from an answer.
    fn learn(&mut self, answered: Answered, pages: &mpsc::Sender<Fetched>) -> Step {
        match answered {
            Answered::Window(window, reading) => return self.learn_window(window, reading, pages),
            Answered::Everybody(everybody) => self.count_dated(everybody),
            Answered::Dated(dated) => {
                if let Undated::Counted(counted) = &mut self.undated {
                    counted.dated = dated;
                }
            }
            Answered::Undated(read) => self.read_by_page(Part::Undated, read),
            Answered::Everything(grown) => self.check_growth(grown),
            Answered::LeftOut(true) => self.without_filter(pages),
            Answered::LeftOut(false) => {}
            Answered::Compared(compared) => self.compared(*compared, pages),
        }
        Step::Learned
    }

    fn learn_window(
        &mut self,
        window: Window,
        reading: Reading,
        pages: &mpsc::Sender<Fetched>,
    ) -> Step {
        match reading {
            Reading::Whole(page) => {
                let here = Sightings::on(&page);
                self.differing += here.differing(&page);
                let missing = self.whole(window, page.len() as u64, Some(&here));
                self.ask_again(window, missing);
                if window == Window::ALL {
                    self.undated_were_among_all();
                }
                let completes = Some(window);
                return Step::Read(Fetched { page, completes });
            }
            Reading::TooLarge(overflow) => self.too_large(window, &overflow),
            Reading::NotFound => {
                self.plan.read_by_page(window);
                self.explained.read(window, None);
                self.parts.not_found += 1;
                self.brought_nothing();
            }
            Reading::Hides(page) => {
                self.plan.read_by_page(window);
                self.explained.read(window, None);
                self.parts.hidden += 1;
                let completes = None;
                return Step::Read(Fetched { page, completes });
            }
            Reading::ByPage(read) => {
                self.plan.read_by_page(window);
                self.read_by_page(Part::Window(window), read);
            }
            Reading::Newer => {
                self.answered(window);
                self.explained.read(window, None);
                self.plan.read_by_page(window);
                if let Some(from) = window.from {
                    self.plan.leave_out(from);
                }
            }
            Reading::FilterIgnored => self.without_filter(pages),
        }
        Step::Learned
    }

    fn compared(&mut self, compared: Compared, pages: &mpsc::Sender<Fetched>) {
        let Compared {
            read,
            short,
            left_out,
        } = compared;
        let held = |read: &[(Window, u64)]| read.iter().map(|(_, held)| held).sum::<u64>();
        self.people += held(&read).saturating_sub(held(&self.read));
        self.read = read;
        self.parts.short = short;
        if left_out {
            self.without_filter(pages);
        }
    }

    fn ask(&mut self, pages: &mpsc::Sender<Fetched>) {
        if self.undated == Undated::Waiting && !self.plan.is_uncut() && self.asked.is_empty() {
            match self.reader.total() {
                Some(total) => self.count_dated(Some(total)),
                None => {
                    self.undated = Undated::Counting;
                    let reader = self.reader.clone();
                    self.spawn(
                        async move { reader.count(Window::ALL).await.map(Answered::Everybody) },
                    );
                }
            }
        }
        if self.undated == Undated::Counting {
            return;
        }
        while self.asked.len() < self.at_once()
            && let Some(window) = self.next_window()
        {
            let (reader, pages) = (self.reader.clone(), pages.clone());
            self.asked.spawn(Span::of(|| Work::Window).over(async move {
                let reading = reader.window(window, &pages).await?;
                Ok(Answered::Window(window, reading))
            }));
        }
        let is_read = self.asked.is_empty() && self.lent.is_empty();
        if is_read && self.borders == Borders::Waiting && self.read.len() > 1 {
            self.borders = Borders::Begun;
            self.read.sort_unstable_by_key(|(window, _)| window.from);
            let (reader, mut read) = (self.reader.clone(), self.read.clone());
            let pages = pages.clone();
            self.spawn(async move {
                let short = reader.read_short_again(&mut read, &pages).await?;
                let left_out = reader.leaves_out_between(&read).await?;
                let compared = Compared {
                    read,
                    short,
                    left_out,
                };
                Ok(Answered::Compared(Box::new(compared)))
            });
        }
        if let Undated::Counted(counted) = self.undated
            && self.asked.is_empty()
            && self.lent.is_empty()
        {
            self.undated = Undated::Begun;
            self.read.sort_unstable_by_key(|(window, _)| window.from);
            let read = Held::of(self.people, &self.read);
            let (reader, pages) = (self.reader.clone(), pages.clone());
            self.spawn(async move {
                let read = reader.undated(counted, read, &pages).await?;
                Ok(Answered::Undated(read))
            });
        }
    }

    fn next_window(&mut self) -> Option<Window> {
        let places = self.at_once().saturating_sub(self.asked.len());
        self.returned.pop().or_else(|| self.plan.take(places))
    }

    /// Asks for what is no window.
    fn spawn(
        &mut self,
        asking: impl Future<Output = Result<Answered, Stopped<S::Error>>> + Send + 'static,
    ) {
        self.asked.spawn(Span::current().over(asking));
    }

    /// Everybody is counted. Those with a date are counted beside the windows, and both are
    /// compared at the end.
    fn count_dated(&mut self, everybody: Option<u64>) {
        self.undated = Undated::Counted(Counted {
            everybody,
            dated: None,
        });
        if everybody.is_some() {
            let reader = self.reader.clone();
            self.spawn(async move { reader.count(dated()).await.map(Answered::Dated) });
        }
    }

    /// One answer held everybody, those without a date included; there is nobody else to look for.
    fn undated_were_among_all(&mut self) {
        self.undated = Undated::Begun;
        self.by_page.push((
            Part::Undated,
            ByPage {
                differing: 0,
                proof: Proof::Whole,
                rows: 0,
                people: Sightings::default(),
                grown: None,
            },
        ));
    }

    /// Has a window cut.
    fn too_large(&mut self, window: Window, overflow: &Overflow) {
        if self.plan.left_out().is_some_and(|left| left.holds(window)) {
            return self.plan.read_by_page(window);
        }
        self.answered(window);
        self.explained.add(window, overflow.shown.iter().copied());
        self.too_large.push((window, overflow.dates.len() as u64));
        self.plan.cut(window, overflow);
        if self.is_piece(window) {
            self.brought_nothing();
        } else {
            self.planned_too_large.insert(window.from, window);
        }
        self.check_growth(None);
    }

    /// Whether a window is a piece of one that was too large.
    fn is_piece(&self, window: Window) -> bool {
        let before = self.planned_too_large.range(..=window.from).next_back();
        before.is_some_and(|(_, larger)| larger.holds(window))
    }

    /// What holds this window was cut, so what is known of it is known of its pieces.
    fn answered(&mut self, window: Window) {
        self.too_large.retain(|(larger, _)| !larger.holds(window));
    }

    /// Ends the scan where what is cut does not hold what was cut. Answers who is not there.
    fn check_explained(
        &mut self,
        window: Window,
        seen: Option<&Sightings>,
    ) -> Vec<(Shown, Window)> {
        let missing = self.explained.read(window, seen);
        if self.explained.is_contradicted() {
            self.give_up(GivenUp::Contradicted);
            return Vec::new();
        }
        missing
    }

    /// Who was shown for the time of a window and was not in it may have been deleted since, or the
    /// window leaves them out: asked of one of the answers that showed them.
    fn ask_again(&mut self, window: Window, missing: Vec<(Shown, Window)>) {
        let Some((_, larger)) = missing.first().copied() else {
            return;
        };
        if self.gave_up_windows() {
            return;
        }
        let of_it = missing.into_iter().filter(|(_, by)| *by == larger);
        let who: Vec<Shown> = of_it.map(|(shown, _)| shown).collect();
        let reader = self.reader.clone();
        self.spawn(async move {
            let left_out = reader.leaves_out(window, larger, &who).await?;
            Ok(Answered::LeftOut(left_out))
        });
    }

    /// Counts an answer that brought nothing that could be kept, where another one for the same
    /// time had not either, and ends the scan after too many.
    fn brought_nothing(&mut self) {
        if self.is_stuck() && self.asked.is_empty() && self.lent.is_empty() {
            self.alone += 1;
        }
        self.without_progress += 1;
        if self.alone > WITHOUT_PROGRESS_ALONE {
            self.give_up(GivenUp::NoProgress(self.without_progress));
        }
    }

    fn brought_something(&mut self) {
        (self.without_progress, self.alone) = (0, 0);
    }

    /// Whether nothing could be kept for so long that one is asked at a time.
    fn is_stuck(&self) -> bool {
        let in_flight = u32::try_from(self.in_flight).unwrap_or(u32::MAX);
        self.without_progress >= WITHOUT_PROGRESS_EACH.saturating_mul(in_flight)
    }

    /// How many windows may be asked for at once.
    fn at_once(&self) -> usize {
        if self.is_stuck() { 1 } else { self.in_flight }
    }

    /// Ends the scan where more came than can be.
    fn check_growth(&mut self, grown: Option<Growth>) {
        // Windows do not overlap, so there are at least as many as all of them hold.
        let unread: u64 = self.too_large.iter().map(|(_, least)| least).sum();
        let expected = self.reader.expected();
        let came = self.people + self.people_by_page + unread;
        let in_windows = expected.filter(|growth| came > growth.allowed);
        if let Some(growth) = grown.or(in_windows) {
            self.give_up(GivenUp::Grown(growth));
        }
    }

    /// Ends the scan: nothing more is asked.
    fn give_up(&mut self, why: GivenUp) {
        self.parts.given_up = Some(why);
        self.ask_nothing_more();
    }

    fn ask_nothing_more(&mut self) {
        self.asked = JoinSet::new();
        self.lent.clear();
        self.returned.clear();
        self.plan.clear();
        self.explained.clear();
        self.undated = Undated::Begun;
        self.borders = Borders::Begun;
    }

    fn without_filter(&mut self, pages: &mpsc::Sender<Fetched>) {
        tracing::warn!("the server does not honour the registration filter; reading by page");
        // What is asked is given up: it is read by page, with everything else.
        self.ask_nothing_more();
        self.parts.filter_ignored = true;
        let (reader, pages) = (self.reader.clone(), pages.clone());
        self.spawn(async move { Ok(Answered::Everything(reader.everything(&pages).await?)) });
    }

    /// A window is read; none are seen where somebody else did.
    ///
    /// Answers who was shown for its time before, and is not among them.
    fn whole(
        &mut self,
        window: Window,
        people: u64,
        seen: Option<&Sightings>,
    ) -> Vec<(Shown, Window)> {
        self.parts.add(Proof::Whole);
        self.answered(window);
        let missing = self.check_explained(window, seen);
        self.people += people;
        self.read.push((window, people));
        self.brought_something();
        self.plan.read(window, people);
        self.check_growth(None);
        missing
    }

    fn read_by_page(&mut self, part: Part, read: ByPage) {
        self.parts.add(read.proof);
        self.differing += read.differing;
        if let Part::Window(window) = part {
            self.answered(window);
            self.check_explained(window, Some(&read.people));
            self.people_by_page += read.rows;
            self.read.push((window, read.rows));
        }
        if read.rows > 0 {
            self.brought_something();
        }
        self.check_growth(read.grown);
        self.by_page.push((part, read));
    }

    /// The verdict so far, and its reason.
    pub fn verdict(&self) -> (Verdict, String) {
        let (verdict, mut reason) = self.parts().verdict(self.reader.endpoint());
        if let Some(from) = self.plan.left_out().and_then(|window| window.from) {
            reason.push_str(&format!(
                "; what came after {} is left to the next run, since more came meanwhile than could be read",
                from.format("%Y-%m-%d %H:%M:%S UTC")
            ));
        }
        (verdict, reason)
    }

    /// The time after the scan began that is not read: too much came meanwhile.
    pub fn left_out(&self) -> Option<Window> {
        self.plan.left_out()
    }

    /// What the scan was made of so far.
    pub fn parts(&self) -> Parts {
        Parts {
            contradicted: self.reader.contradicted(),
            may_be_cut: self.reader.may_be_cut(),
            differing: self.differing,
            ..self.parts
        }
    }

    /// Parts that were not whole in one answer, and the search for people without a date: they are
    /// committed when all of their pages are.
    pub fn by_page(&self) -> &[(Part, ByPage)] {
        &self.by_page
    }

    /// What is known about the server's answers, for progress and for the scan after this.
    pub fn reader(&self) -> &PartReader<S> {
        &self.reader
    }
}
