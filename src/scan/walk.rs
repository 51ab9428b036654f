//! A scan under way: asks for windows, several at once, cuts those that were too large, looks for people in no window, and keeps count of what the verdict
//! rests on.

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Source;
use super::part::{Asking, ByPage, Fetched, PartReader, Reading, Sightings, Stopped};
use super::plan::Plan;
use super::undated::{Counted, dated};
use super::verdict::{Parts, Proof, Verdict};
use super::whole::Learned;
use super::window::Window;

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
    in_flight: usize,
    asked: JoinSet<Answer<S::Error>>,
}

type Answer<E> = Result<Answered, Stopped<E>>;

#[derive(Debug)]
enum Answered {
    Window(Window, Reading),
    Everybody(Option<u64>),
    Dated(Option<u64>),
    Undated(ByPage),
    Everything,
}

/// How far the search for people without a date has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Undated {
    /// It is not known yet whether one answer holds everybody.
    Waiting,
    /// The server is asked how many there are in all. Nothing else is asked meanwhile: the answer shows what its counts mean.
    Counting,
    /// It goes on when all windows are read.
    Counted(Counted),
    /// It is under way, or done, or not needed.
    Begun,
}

impl<S: Source> Walk<S> {
    /// A scan of everything that `asking` says. `learned` is what an earlier scan found out about the server.
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
            in_flight: in_flight.max(1),
            asked: JoinSet::new(),
        }
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
        if windows == [Window::ALL] && self.undated != Undated::Begun {
            self.undated_were_among_all();
        }
        self.plan = Plan::without(&windows);
    }

    /// Cuts time where the mirror says.
    pub fn cut_at(&mut self, cuts: &[DateTime<Utc>]) {
        self.plan.cut_at(cuts);
    }

    /// The next step; none at the end. Pages of parts that are read by page go to `pages` on their own.
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
        // A task that panicked has dropped its end of the channel's work: whoever joins the writers learns of it.
        let answered = answered.map_err(|_| Stopped::Closed)??;
        let step = match answered {
            Answered::Window(window, Reading::Whole(page)) => {
                self.parts.add(Proof::Whole);
                self.people += page.len() as u64;
                self.plan.read(window, page.len() as u64);
                if window == Window::ALL {
                    self.undated_were_among_all();
                }
                Step::Read(Fetched {
                    page,
                    completes: Some(window),
                })
            }
            Answered::Window(window, Reading::TooLarge(overflow)) => {
                self.plan.cut(window, &overflow);
                Step::Learned
            }
            Answered::Window(window, Reading::ByPage(read)) => {
                self.plan.read_by_page(window);
                self.read_by_page(Part::Window(window), read);
                Step::Learned
            }
            Answered::Window(_, Reading::FilterIgnored) => {
                self.asked.shutdown().await;
                self.without_filter(pages);
                Step::Learned
            }
            Answered::Everybody(everybody) => {
                self.count_dated(everybody);
                Step::Learned
            }
            Answered::Dated(dated) => {
                if let Undated::Counted(counted) = &mut self.undated {
                    counted.dated = dated;
                }
                Step::Learned
            }
            Answered::Undated(read) => {
                self.read_by_page(Part::Undated, read);
                Step::Learned
            }
            Answered::Everything => Step::Learned,
        };
        Ok(Some(step))
    }

    fn ask(&mut self, pages: &mpsc::Sender<Fetched>) {
        if self.undated == Undated::Waiting && !self.plan.is_uncut() && self.asked.is_empty() {
            match self.reader.total() {
                Some(total) => self.count_dated(Some(total)),
                None => {
                    self.undated = Undated::Counting;
                    let reader = self.reader.clone();
                    self.asked.spawn(async move {
                        reader.count(Window::ALL).await.map(Answered::Everybody)
                    });
                }
            }
        }
        if self.undated == Undated::Counting {
            return;
        }
        while self.asked.len() < self.in_flight
            && let Some(window) = self.plan.take()
        {
            let (reader, pages) = (self.reader.clone(), pages.clone());
            self.asked.spawn(async move {
                let reading = reader.window(window, &pages).await?;
                Ok(Answered::Window(window, reading))
            });
        }
        if let Undated::Counted(counted) = self.undated
            && self.asked.is_empty()
        {
            self.undated = Undated::Begun;
            let (reader, pages, read) = (self.reader.clone(), pages.clone(), self.people);
            self.asked.spawn(async move {
                let read = reader.undated(counted, read, &pages).await?;
                Ok(Answered::Undated(read))
            });
        }
    }

    /// Everybody is counted. Those with a date are counted beside the windows, and both are compared at the end.
    fn count_dated(&mut self, everybody: Option<u64>) {
        self.undated = Undated::Counted(Counted {
            everybody,
            dated: None,
        });
        if everybody.is_some() {
            let reader = self.reader.clone();
            self.asked
                .spawn(async move { reader.count(dated()).await.map(Answered::Dated) });
        }
    }

    /// One answer held everybody, those without a date included; there is nobody else to look for.
    fn undated_were_among_all(&mut self) {
        self.undated = Undated::Begun;
        self.by_page.push((
            Part::Undated,
            ByPage {
                proof: Proof::Whole,
                rows: 0,
                people: Sightings::default(),
            },
        ));
    }

    fn without_filter(&mut self, pages: &mpsc::Sender<Fetched>) {
        tracing::warn!("the server does not honour the registration filter; reading by page");
        self.plan.clear();
        self.parts.filter_ignored = true;
        self.undated = Undated::Begun;
        let (reader, pages) = (self.reader.clone(), pages.clone());
        self.asked.spawn(async move {
            reader.everything(&pages).await?;
            Ok(Answered::Everything)
        });
    }

    fn read_by_page(&mut self, part: Part, read: ByPage) {
        self.parts.add(read.proof);
        self.by_page.push((part, read));
    }

    /// The verdict so far, and its reason.
    pub fn verdict(&self) -> (Verdict, String) {
        self.parts.verdict()
    }

    /// Parts that were not whole in one answer, and the search for people without a date: they are committed when all of their pages are.
    pub fn by_page(&self) -> &[(Part, ByPage)] {
        &self.by_page
    }

    /// What is known about the server's answers, for progress and for the scan after this.
    pub fn reader(&self) -> &PartReader<S> {
        &self.reader
    }
}
