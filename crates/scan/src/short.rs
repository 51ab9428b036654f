//! Windows that held fewer people than are counted in them. An answer that lacks its end, and counts
//! no more than it shows, looks whole by itself; the count of a longer time tells.

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;

use super::Source;
use super::part::{Fetched, PartReader, Stopped, core};
use super::window::Window;
use record::{Item, Page};

/// So many windows are read again at most. In more of them a server lacks people at random, and
/// nobody knows in which ones of the rest.
const LOOKS: usize = 8;

/// What became of windows that held fewer than are counted in them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Short {
    /// So many showed more when they were asked for again. What they showed is handed on.
    pub read_again: u64,
    /// Some may be left.
    pub is_left: bool,
}

impl<S: Source> PartReader<S> {
    /// Looks for windows that held fewer than are counted in them, where all of them did. `read` are
    /// those that were read, in the order of time, with how many each held, and is brought up to
    /// date. What a window shows more is handed to `pages`.
    ///
    /// # Errors
    /// As the source.
    pub async fn read_short_again(
        &self,
        read: &mut [(Window, u64)],
        pages: &mpsc::Sender<Fetched>,
    ) -> Result<Short, Stopped<S::Error>> {
        let mut short = Short::default();
        let mut rest = read;
        for _ in 0..LOOKS {
            let Some(at) = self.first_short(rest).await? else {
                return Ok(short);
            };
            let (_, from_there) = rest.split_at_mut(at);
            let Some(((window, held), later)) = from_there.split_first_mut() else {
                return Ok(short);
            };
            // Who comes to the end of time meanwhile is left to the next run.
            if window.until.is_some() {
                let page = self.first(*window).await?;
                if self.may_go_on(&page) {
                    short.is_left = true;
                } else {
                    let page = core(*window, page);
                    if self.registered_before(&page) > *held {
                        *held = page.len() as u64;
                        short.read_again += 1;
                        let completes = None;
                        let fetched = Fetched { page, completes };
                        pages.send(fetched).await.map_err(|_| Stopped::Closed)?;
                    }
                }
            }
            rest = later;
        }
        short.is_left |= self.first_short(rest).await?.is_some();
        Ok(short)
    }

    /// The first of these windows that held fewer than are counted in it, found by halves.
    async fn first_short(
        &self,
        read: &[(Window, u64)],
    ) -> Result<Option<usize>, Stopped<S::Error>> {
        if read.is_empty() || !self.counts_more(read).await? {
            return Ok(None);
        }
        let (mut from, mut until) = (0, read.len());
        while until - from > 1 {
            let middle = from.midpoint(until);
            if self
                .counts_more(read.get(from..middle).unwrap_or_default())
                .await?
            {
                until = middle;
            } else if self
                .counts_more(read.get(middle..until).unwrap_or_default())
                .await?
            {
                from = middle;
            } else {
                // Each half holds what is counted in it, so it is somebody between the two.
                return Ok(None);
            }
        }
        Ok(Some(from))
    }

    /// How many on a page registered before the scan began: who did so since was in no answer yet.
    fn registered_before(&self, page: &Page) -> u64 {
        let newer = page.items.iter().filter(|item| self.is_new(item)).count();
        page.len().saturating_sub(newer) as u64
    }

    /// Whether somebody registered since the scan began, by the API's clock.
    pub(super) fn is_new(&self, item: &Item) -> bool {
        let began: Option<DateTime<Utc>> = self.first_answer();
        (item.registered_at.zip(began)).is_some_and(|(at, began)| at >= began)
    }
}
