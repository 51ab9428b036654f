//! People without a registration date: they are in no window, so it takes counts, or a pass by
//! page, to know that nobody was left out.

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::mpsc;

use super::Source;
use super::part::{ByPage, Fetched, PartReader, Stopped};
use super::sightings::Sightings;
use super::verdict::Proof;
use super::window::Window;
use clock::time;
use record::Item;

/// How often counts are compared from the start while people come and go.
const TRIES: usize = 3;

/// Comparisons that must all be equal when the tenant stood still while it was read: everybody,
/// then the dated, then everybody.
const COMPARISONS_AT_REST: u64 = 2;

/// Comparisons that must all be equal when it did not. One could be equal by chance, if just as
/// many people came between two answers as lack a date, and of two it was seen to happen in a small
/// tenant; eight in a row would take as many to come and to leave again, in turn, four times.
const COMPARISONS_IN_MOTION: u64 = 8;

/// Records down to which the page behind the last one is asked for. Many servers page no deeper, and
/// some answer a deeper page with an error, for which a scan that has read everybody must not fail.
const DEEPEST: u64 = 10_000;

/// What was counted while the windows were read; none where the server's counts mean nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Everybody, before the first window.
    pub everybody: Option<u64>,
    /// Everybody with a date, after that.
    pub dated: Option<u64>,
}

/// What the windows held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// People in those that this process read, or heard of.
    pub people: u64,
    /// A border between windows with about as many people before it as after it.
    pub middle: Option<DateTime<Utc>>,
}

impl Held {
    /// In these windows, in the order of time.
    pub fn of(people: u64, read: &[(Window, u64)]) -> Self {
        let all: u64 = read.iter().map(|(_, people)| people).sum();
        let mut before = 0;
        let mut windows = read.iter();
        let middle = windows.find(|(_, people)| {
            before += people;
            before * 2 >= all
        });
        Self {
            people,
            middle: middle.and_then(|(window, _)| window.until.or(window.from)),
        }
    }
}

/// Everybody with a date, as one open window. Nobody registered earlier; somebody whose date says
/// so is looked for as if there were none.
pub fn dated() -> Window {
    Window {
        from: DateTime::<Utc>::from_timestamp(-2_208_988_800, 0),
        until: None,
    }
}

impl<S: Source> PartReader<S> {
    /// Looks for people without a registration date, once all windows are read, which held so many
    /// people.
    ///
    /// # Errors
    /// As the source.
    pub async fn undated(
        &self,
        counted: Counted,
        read: Held,
        pages: &mpsc::Sender<Fetched>,
    ) -> Result<ByPage, Stopped<S::Error>> {
        let mut counted = counted;
        for _ in 0..TRIES {
            let (Some(everybody), Some(dated)) = (counted.everybody, counted.dated) else {
                break;
            };
            // Who was shown needs no count.
            if self.shows_undated() {
                break;
            }
            if everybody == dated
                && self.stays_equal(everybody, read.people).await?
                && self.adds_up(everybody, read).await?
                && !self.shows_more_than(everybody).await?
            {
                return Ok(ByPage {
                    proof: Proof::Whole,
                    rows: 0,
                    people: Sightings::default(),
                    differing: 0,
                    grown: None,
                });
            }
            counted = Counted {
                everybody: self.count(Window::ALL).await?,
                dated: self.count(self::dated()).await?,
            };
        }
        // Of one who registered at a number the filter may know nothing, and then they are in no
        // window either.
        let may_be_in_none = |item: &Item| item.registered_at.is_none() || item.from_number;
        self.agreeing_passes(Window::ALL, may_be_in_none, pages)
            .await
    }

    /// Whether the count of everybody is one: a server may count up to some number and no further,
    /// and then it counts as many with a date. Where the windows held another number, those before
    /// and after their middle have to be as many together.
    async fn adds_up(&self, everybody: u64, read: Held) -> Result<bool, Stopped<S::Error>> {
        if read.people == everybody {
            return Ok(true);
        }
        let Some(middle) = read.middle else {
            return Ok(read.people < everybody);
        };
        let before = Window {
            until: Some(middle),
            ..Window::ALL
        };
        let after = Window {
            from: Some(middle),
            ..Window::ALL
        };
        // A filter may count those of the border on both sides.
        let border = Window {
            from: Some(middle),
            until: Some(time::after(middle, TimeDelta::seconds(1))),
        };
        // Who comes is among the later ones, so those are counted first.
        let (after, before) = (self.count(after).await?, self.count(before).await?);
        let (border, now) = (self.count(border).await?, self.count(Window::ALL).await?);
        let (Some(before), Some(after), Some(border), Some(now)) = (before, after, border, now)
        else {
            return Ok(false);
        };
        // People come and go meanwhile.
        let most = now.max(everybody).saturating_add(border);
        Ok(before.saturating_add(after) <= most)
    }

    /// Whether everybody by page is more than are counted: the page after the last one of those holds
    /// somebody. So it is where a count leaves out who has no date, or is rounded down.
    async fn shows_more_than(&self, everybody: u64) -> Result<bool, Stopped<S::Error>> {
        if everybody > DEEPEST {
            return Ok(false);
        }
        let rpp = self.full_page();
        let (Some(before), Some(rest)) = (everybody.checked_div(rpp), everybody.checked_rem(rpp))
        else {
            return Ok(false);
        };
        let last = self.ask(Window::ALL, rpp, before.saturating_add(1)).await?;
        if last.not_found || last.len() as u64 <= rest {
            return Ok(false);
        }
        // A server that does not go by the number of the page sends its first one.
        let first = self.ask(Window::ALL, rpp, 1).await?;
        if Sightings::on(&last).shared_with([&Sightings::on(&first)]) * 2 > last.len() {
            return Ok(false);
        }
        // People come meanwhile.
        let now = self.count(Window::ALL).await?;
        Ok(now.is_none_or(|now| now <= everybody))
    }

    /// Whether the counts of everybody and of everybody with a date, which were equal once, are so
    /// as often as is needed.
    async fn stays_equal(&self, everybody: u64, read: u64) -> Result<bool, Stopped<S::Error>> {
        let comparisons = if read == everybody {
            COMPARISONS_AT_REST
        } else {
            COMPARISONS_IN_MOTION
        };
        for comparison in 1..comparisons {
            let window = if comparison % 2 == 0 {
                dated()
            } else {
                Window::ALL
            };
            if self.count(window).await? != Some(everybody) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
