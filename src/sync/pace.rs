//! How much a scan asks for at once: as much as its writers keep up with.
//!
//! An answer that was read waits in memory until a writer takes it. Where Postgres is slower than
//! the API, as in a first load from nearby, more in flight would only make more of them wait.

/// Requests that a scan may have in flight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    allowed: usize,
}

/// How a page came into the channel to the writers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Handed {
    /// Pages the channel holds.
    pub(super) places: usize,
    /// Places that were free before; where none was, the page waited.
    pub(super) free: usize,
    /// Requests without an answer once it was in: with none, all that was asked for had been read
    /// and waited too.
    pub(super) in_flight: usize,
}

impl Pace {
    /// Begins with as many as are allowed at most.
    pub(super) fn new(most: usize) -> Self {
        Self { allowed: most }
    }

    /// Hears how it went to hand a page to the writers.
    pub(super) fn hear(&mut self, handed: Handed) {
        if handed.free == 0 && handed.in_flight == 0 {
            self.allowed = self.allowed.saturating_sub(1).max(1);
        } else if handed.free == handed.places {
            self.allowed = self.allowed.saturating_add(1);
        }
    }

    /// How many there may be now, and never more than `most`.
    pub(super) fn within(&mut self, most: usize) -> usize {
        self.allowed = self.allowed.min(most);
        self.allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handed(free: usize, in_flight: usize) -> Handed {
        Handed {
            places: 2,
            free,
            in_flight,
        }
    }

    #[test]
    fn slow_writers_are_asked_for_less_and_fast_ones_for_more() {
        let mut pace = Pace::new(8);
        assert_eq!(pace.within(8), 8);
        for _ in 0..20 {
            pace.hear(handed(0, 3));
        }
        assert_eq!(
            pace.within(8),
            8,
            "answers that came together, and more on their way"
        );
        for _ in 0..20 {
            pace.hear(handed(0, 0));
        }
        assert_eq!(pace.within(8), 1, "one always goes on");
        pace.hear(handed(1, 0));
        assert_eq!(pace.within(8), 1, "what is in between changes nothing");
        for _ in 0..20 {
            pace.hear(handed(2, 0));
            pace.within(8);
        }
        assert_eq!(pace.within(8), 8);
        pace.hear(handed(0, 0));
        assert_eq!(pace.within(8), 7, "nothing was saved up beyond the most");
        assert_eq!(pace.within(3), 3);
    }
}
