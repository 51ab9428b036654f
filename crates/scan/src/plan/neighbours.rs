//! How dense the windows around an instant were.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};

use super::rhythm::Rhythm;
use super::seconds;
use crate::window::Window;
use clock::time;

/// Windows that say how dense the next one will be. Fewer would follow each quiet night; growth is
/// the trend's matter.
const NEIGHBOURS: usize = 6;

/// So many times its own width away a window is still a neighbour.
const NEAR: f64 = 16.0;

/// Windows remembered, to find those neighbours among; enough for all stretches that are followed
/// at a time.
const REMEMBERED: usize = 64;

/// A window that was answered, and how many people it holds.
#[derive(Debug, Clone, Copy)]
struct Neighbour {
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    people: f64,
}

impl Neighbour {
    /// How far its middle is away.
    fn distance(&self, at: DateTime<Utc>) -> TimeDelta {
        time::middle(self.from, self.until)
            .signed_duration_since(at)
            .abs()
    }
}

/// How dense some windows were.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pace {
    /// So many people per second of the rhythm.
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
                from,
                until,
                people,
            });
        }
    }

    /// How many windows are remembered.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// How dense the windows nearest to an instant were; none while there are none.
    pub(super) fn pace_at(&self, at: DateTime<Utc>, rhythm: &Rhythm) -> Option<Pace> {
        let mut near: Vec<_> = self
            .0
            .iter()
            .map(|known| (known.distance(at), known))
            .filter(|(distance, known)| {
                seconds(*distance) < seconds(known.until.signed_duration_since(known.from)) * NEAR
            })
            .collect();
        near.sort_unstable_by_key(|(distance, _)| *distance);
        near.truncate(NEIGHBOURS);
        let (_, nearest) = near.first()?;
        if nearest.people == 0.0 {
            return Some(Pace::Empty(rhythm.between(nearest.from, nearest.until)));
        }
        // The middle one: a campaign among them must not make all windows after it narrow.
        let mut paces: Vec<_> = near
            .iter()
            .filter(|(_, known)| known.people > 0.0)
            .map(|(_, known)| known.people / rhythm.between(known.from, known.until))
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
