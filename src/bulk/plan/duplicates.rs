//! Who may stand in a plan already, in memory that does not grow with the plan: a Bloom filter, in
//! front of the ledger, which knows. "No" is certain; "maybe" is nearly always right below ten
//! million users, and beyond that only costs more questions to the ledger.

use std::hash::{BuildHasher, RandomState};

/// Bits; a power of two. 8 MiB.
const BITS: u64 = 1 << 26;

/// Bits that a user sets.
const MARKS: u64 = 3;

pub(super) struct Seen {
    words: Vec<u64>,
    hashing: RandomState,
}

impl Seen {
    pub(super) fn new() -> Self {
        Self {
            words: vec![0; (BITS / 64) as usize],
            hashing: RandomState::new(),
        }
    }

    /// Adds a user; whether they may have been added before.
    pub(super) fn add(&mut self, user_id: &str) -> bool {
        let hash = self.hashing.hash_one(user_id);
        // Two halves make as many places as are wanted; an even step would visit few.
        let (start, step) = (hash & u64::from(u32::MAX), (hash >> 32) | 1);
        let mut before = true;
        for mark in 0..MARKS {
            let place = (start + mark * step) % BITS;
            let word = &mut self.words[(place / 64) as usize];
            let bit = 1 << (place % 64);
            before &= *word & bit != 0;
            *word |= bit;
        }
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_added_is_known_and_hardly_anybody_else() {
        let mut seen = Seen::new();
        let wrong = (0..100_000)
            .filter(|user| seen.add(&user.to_string()))
            .count();
        assert!(wrong < 10, "{wrong}");
        assert!((0..100_000).all(|user| seen.add(&user.to_string())));
    }
}
