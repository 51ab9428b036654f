//! The keys other systems know people by: which they are, and who has one (contract 6.9 and 12.1).

use super::awkward::Awkward;
use super::mix::{Choices, Purpose};
use super::person::People;

/// Keys in `crm` are this and a number below the other.
const FIRST_CRM: u64 = 100_000;
const CRM_SPAN: u64 = 900_000;
/// Billing keys are this and four times the index on, so that a key leads back to its person.
const FIRST_BILLING: u64 = 5_000_000;
/// Keys of a person in `billing` are below this apart.
const BILLING_SPAN: u64 = 4;

/// The generated keys of one person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Keys {
    /// The number drawn for `crm`, which some awkward people show whether or not they have the key.
    pub crm_number: u64,
    pub crm: Option<u64>,
    /// The first key in `billing`, and how many there are from it on.
    pub billing: (u64, u64),
}

impl Keys {
    pub(super) fn of(seed: u64, index: u32) -> Self {
        let mut choices = Choices::new(seed, Purpose::Person, u64::from(index) | 1 << 40);
        let crm = FIRST_CRM + choices.below(CRM_SPAN);
        // One in twenty holds several billing accounts (contract 6.9), a few hold no key at all.
        let billing = match choices.below(20) {
            0 => 3,
            1..=8 => 1,
            _ => 0,
        };
        Self {
            crm_number: crm,
            crm: choices.chance(85).then_some(crm),
            billing: (FIRST_BILLING + u64::from(index) * BILLING_SPAN, billing),
        }
    }

    /// The keys after so many edits: another number, another count, and each other time none in
    /// `crm`.
    pub(super) fn edited(self, edits: u32) -> Self {
        if edits == 0 {
            return self;
        }
        let (first, count) = self.billing;
        let drawn = self.crm_number - FIRST_CRM;
        let crm_number = FIRST_CRM + (drawn + u64::from(edits)) % CRM_SPAN;
        Self {
            crm_number,
            crm: (edits % 2 == 1).then_some(crm_number),
            billing: (first, (count + u64::from(edits)) % BILLING_SPAN),
        }
    }

    /// Whether one of them is this number, in this system or in any.
    fn has(self, system: Option<&str>, number: u64) -> bool {
        let (first, count) = self.billing;
        let in_crm = self.crm == Some(number);
        let in_billing = (first..first + count).contains(&number);
        match system {
            Some("crm") => in_crm,
            Some("billing") => in_billing,
            Some(_) => false,
            None => in_crm || in_billing,
        }
    }
}

impl People<'_> {
    /// The one living person with a key, in a system or in any. None if there are several: keys in
    /// `crm` are drawn and may meet, and a server that guessed would be worse than one that
    /// refused.
    ///
    /// Looks at everybody: foreign keys in bulk updates are for tests of what a server does with
    /// them, not for load.
    pub(super) fn by_foreign_key(&self, system: Option<&str>, key: &str) -> Option<u32> {
        let number: u64 = key.parse().ok()?;
        let keyless = |index: u32| {
            matches!(
                self.population.awkward(index),
                Some(Awkward::KeysNull | Awkward::KeysMapNumber)
            )
        };
        let mut holders = (0..self.end()).filter(|index| {
            self.keys(*index).has(system, number) && self.is_living(*index) && !keyless(*index)
        });
        let first = holders.next()?;
        holders.next().is_none().then_some(first)
    }
}
