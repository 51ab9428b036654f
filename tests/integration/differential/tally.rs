//! What scenarios came to together: a test of claims that sees none has tested nothing.

use std::collections::BTreeMap;
use std::ops::AddAssign;

/// Counts over scenarios.
#[derive(Debug, Default)]
pub struct Tally {
    /// Full scans that came to their end on an honest server.
    pub full: u64,
    /// Those of them that made a claim.
    pub claimed: u64,
    /// How the others ended.
    pub why_not: BTreeMap<String, u64>,
    /// Claims that rest on two equal passes over a tenant that changed meanwhile, and would show if
    /// somebody slipped through.
    pub agreed_under_drift: u64,
    /// Those of them that somebody slipped through.
    pub wrong_under_drift: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        let Self {
            full,
            claimed,
            why_not,
            agreed_under_drift,
            wrong_under_drift,
        } = other;
        self.full += full;
        self.claimed += claimed;
        for (why, times) in why_not {
            *self.why_not.entry(why).or_default() += times;
        }
        self.agreed_under_drift += agreed_under_drift;
        self.wrong_under_drift += wrong_under_drift;
    }
}

impl Tally {
    /// What is wrong with them as a whole.
    pub fn wrong(&self) -> Option<String> {
        let Self {
            full,
            claimed,
            why_not,
            agreed_under_drift,
            wrong_under_drift,
        } = self;
        if claimed * 10 < full * 6 {
            return Some(format!(
                "only {claimed} of {full} full scans make a claim: {why_not:?}"
            ));
        }
        // One pass over a tenant that changes loses somebody in every other case.
        if *wrong_under_drift > 1 + agreed_under_drift / 8 {
            return Some(format!(
                "somebody slipped through {wrong_under_drift} of {agreed_under_drift} scans whose passes agreed under drift"
            ));
        }
        None
    }
}
