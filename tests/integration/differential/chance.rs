//! Choices that follow from a seed alone.

use std::ops::RangeInclusive;

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A stream of choices (SplitMix64).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The stream of a seed; neighbours have nothing in common.
    pub fn of(seed: u64) -> Self {
        let mut chance = Self(seed.wrapping_mul(GOLDEN) ^ 0x5DEE_CE66);
        chance.next();
        chance
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number of a range.
    pub fn among(&mut self, range: RangeInclusive<u32>) -> u32 {
        let count = u64::from(range.end() - range.start()) + 1;
        range.start() + (self.next() % count) as u32
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, percent: u32) -> bool {
        self.among(1..=100) <= percent
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.next() as usize % from.len()]
    }

    /// One of these, if there is any.
    pub fn one_of<'t, T>(&mut self, from: &'t [T]) -> Option<&'t T> {
        let at = (self.next() as usize).checked_rem(from.len())?;
        from.get(at)
    }
}
