//! Randomness without state: every draw is a function of a seed, a purpose and an index.

/// What a draw is for. Two purposes never share a stream, so adding one changes no other.
#[derive(Debug, Clone, Copy)]
#[repr(u64)]
pub(super) enum Purpose {
    Person = 1,
    Registered = 2,
    Updated = 3,
    UserId = 4,
    Tracking = 5,
    Awkward = 6,
    AwkwardKind = 7,
    Duplicate = 8,
    Shuffle = 9,
    Fault = 10,
    Edit = 11,
    Behaviour = 12,
    Campaign = 13,
    Grants = 14,
    Account = 15,
    Latency = 16,
    AccountId = 17,
    Member = 18,
    AccountGrants = 19,
    SegmentId = 20,
    UserSegments = 21,
    CompanyId = 22,
    Catalog = 23,
    RecordId = 24,
    Event = 25,
    EventId = 26,
    EventTime = 27,
    Session = 28,
    Profile = 29,
    AwkwardAccount = 30,
    BusinessEdit = 31,
    GrantId = 32,
    BulkBehaviour = 33,
    JobId = 34,
}

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finaliser of splitmix64: a bijection on 64 bits that scatters neighbours.
const fn scatter(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The `index`-th value of a purpose's stream.
pub(super) const fn draw(seed: u64, purpose: Purpose, index: u64) -> u64 {
    let stream = scatter(seed ^ (purpose as u64).wrapping_mul(GOLDEN));
    scatter(stream.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN)))
}

/// A draw as a fraction in `[0, 1)`.
pub(super) fn fraction(seed: u64, purpose: Purpose, index: u64) -> f64 {
    (draw(seed, purpose, index) >> 11) as f64 / (1u64 << 53) as f64
}

/// A short sequence of draws about one thing, for code that needs many small choices in a row.
#[derive(Debug, Clone)]
pub(super) struct Choices(u64);

impl Choices {
    pub(super) const fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        Self(draw(seed, purpose, index))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        scatter(self.0)
    }

    /// A number below `bound`; the bias is irrelevant at these sizes.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// True in `percent` of cases.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_and_seeds_give_different_streams() {
        assert_ne!(draw(1, Purpose::Person, 0), draw(1, Purpose::Updated, 0));
        assert_ne!(draw(1, Purpose::Person, 0), draw(2, Purpose::Person, 0));
        assert_eq!(draw(1, Purpose::Person, 7), draw(1, Purpose::Person, 7));
    }

    #[test]
    fn fractions_fill_the_unit_interval() {
        let all: Vec<f64> = (0..1000).map(|i| fraction(3, Purpose::Fault, i)).collect();
        assert!(all.iter().all(|f| (0.0..1.0).contains(f)));
        let mean = all.iter().sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "mean {mean}");
    }
}
