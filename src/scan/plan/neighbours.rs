//! How dense the windows around an instant were.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};

use super::seconds;
use crate::scan::window::Window;

/// Windows that say how dense the next one will be. Fewer would follow each quiet night; growth is the trend's matter.
const NEIGHBOURS: usize = 6;

/// So many times its own width away a window is still a neighbour.
const NEAR: f64 = 16.0;

/// Windows remembered, to find those neighbours among; enough for all stretches that are followed at a time.
const REMEMBERED: usize = 64;

/// A window that was answered, and how many people it holds.
#[derive(Debug, Clone, Copy)]
struct Neighbour {
    middle: DateTime<Utc>,
    seconds: f64,
    people: f64,
}

/// How dense some windows were.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pace {
    /// So many people per second.
    People(f64),
    /// The nearest was empty, for so many seconds.
    Empty(f64),
}

/// The windows answered last.
#[derive(Debug, Default)]
pub(super) struct Neighbours(VecDeque<Neighbour>);

impl Neighbours {
    /// Remembers a window; of one without an end nobody knows how dense it is.
    pub(super) fn remember(&mut self, window: Window, people: f64) {
        if let (Some(from), Some(until)) = (window.from, window.until)
            && from < until
        {
            if self.0.len() == REMEMBERED {
                self.0.pop_front();
            }
            self.0.push_back(Neighbour {
                middle: from + (until - from) / 2,
                seconds: seconds(until - from),
                people,
            });
        }
    }

    /// How many windows are remembered.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// How dense the windows nearest to an instant were; none while there are none.
    pub(super) fn pace_at(&self, at: DateTime<Utc>) -> Option<Pace> {
        let mut near: Vec<_> = self
            .0
            .iter()
            .map(|known| ((known.middle - at).abs(), known))
            .filter(|(distance, known)| seconds(*distance) < known.seconds * NEAR)
            .collect();
        near.sort_unstable_by_key(|(distance, _)| *distance);
        near.truncate(NEIGHBOURS);
        let (_, nearest) = near.first()?;
        if nearest.people == 0.0 {
            return Some(Pace::Empty(nearest.seconds));
        }
        // The middle one: a campaign among them must not make all windows after it narrow.
        let mut paces: Vec<_> = near
            .iter()
            .filter(|(_, known)| known.people > 0.0)
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
