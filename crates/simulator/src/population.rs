//! The people a tenant starts with. Everything about them follows from the seed and their index;
//! all that is stored is the second each registered, four bytes a person, so that a window is found
//! by binary search.

use std::collections::HashSet;
use std::ops::Range;

use super::awkward::{Awkward, AwkwardAccount};
use super::business::Business;
use super::calendar::{self, LAST_REGISTRATION};
use super::identity::PLANTED;
use super::mix::{Purpose, draw};

/// How large a tenant is and how strange.
#[derive(Debug, Clone)]
pub struct Shape {
    /// People at the start.
    pub people: u32,
    /// What everything is generated from.
    pub seed: u64,
    /// Share of people with awkward data, in percent. Planted people never are.
    pub awkward_percent: f64,
    /// Whether about one person in a hundred is listed twice, on one page or on two.
    pub duplicates: bool,
    /// This many people registered within one second, in the middle of the time line.
    pub same_second: u32,
    /// This many people have no registration date and are in no window.
    pub undated: u32,
    /// Accounts, segments and events.
    pub business: Business,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            people: 10_000,
            seed: 1,
            awkward_percent: 0.0,
            duplicates: false,
            same_second: 0,
            undated: 0,
            business: Business::default(),
        }
    }
}

/// The largest tenant: one bit of a row is needed to mark duplicates.
pub const MOST_PEOPLE: u32 = 1 << 30;

#[derive(Debug)]
pub(super) struct Population {
    pub(super) seed: u64,
    pub(super) people: u32,
    registered: Vec<u32>,
    undated: HashSet<u32>,
    same_second: Range<u32>,
    awkward_percent: f64,
    duplicates: bool,
}

impl Population {
    pub(super) fn new(shape: &Shape) -> Self {
        let people = shape.people.min(MOST_PEOPLE);
        let mut registered = calendar::registrations(shape.seed, people);
        let crowd = shape.same_second.min(people.saturating_sub(PLANTED));
        let first = PLANTED.min(people) + (people.saturating_sub(PLANTED) - crowd) / 2;
        let same_second = first..first + crowd;
        if let Some(&second) = registered.get(first as usize) {
            let places = same_second.start as usize..same_second.end as usize;
            registered[places].fill(second);
        }
        let elsewhere = |index: &u32| *index >= PLANTED && !same_second.contains(index);
        let room = people - crowd - PLANTED.min(people);
        let undated_wanted = shape.undated.min(room);
        let every = room.checked_div(undated_wanted).unwrap_or(1).max(1) as usize;
        let undated = (0..people)
            .filter(elsewhere)
            .step_by(every)
            .take(undated_wanted as usize)
            .collect();
        Self {
            seed: shape.seed,
            people,
            registered,
            undated,
            same_second,
            awkward_percent: shape.awkward_percent,
            duplicates: shape.duplicates,
        }
    }

    /// The second a person of the start registered, whether or not it is shown.
    pub(super) fn registered(&self, index: u32) -> Option<u32> {
        self.registered.get(index as usize).copied()
    }

    /// The second a person of the start was last updated, before any edit: for two in five, the
    /// registration itself.
    pub(super) fn updated(&self, index: u32) -> Option<u32> {
        let registered = self.registered(index)?;
        let draw = draw(self.seed, Purpose::Updated, u64::from(index));
        let room = u64::from(LAST_REGISTRATION.saturating_sub(registered)).max(1);
        let later = if draw.is_multiple_of(5) || draw % 5 == 1 {
            0
        } else {
            (draw >> 8) % room
        };
        Some(registered + later as u32)
    }

    pub(super) fn awkward(&self, index: u32) -> Option<Awkward> {
        if self.awkward_percent <= 0.0 || index < PLANTED || self.same_second.contains(&index) {
            return None;
        }
        Awkward::of(self.seed, index, self.awkward_percent)
    }

    pub(super) fn awkward_account(&self, index: u32) -> Option<AwkwardAccount> {
        AwkwardAccount::of(self.seed, index, self.awkward_percent)
    }

    /// Whether awkward data was asked for at all.
    pub(super) fn is_awkward(&self) -> bool {
        self.awkward_percent > 0.0
    }

    /// Whether a person's UUID is what the API shows as `user_id`, so that other lists may name
    /// them.
    pub(super) fn shows_uuid(&self, index: u32) -> bool {
        self.awkward(index).is_none_or(Awkward::has_plain_user_id)
    }

    /// Whether the export shows a registration date that can be read.
    pub(super) fn is_dated(&self, index: u32) -> bool {
        !self.undated.contains(&index)
            && !self.awkward(index).is_some_and(Awkward::hides_registration)
    }

    /// Whether `registered` was taken from the person altogether, by [`Shape::undated`].
    pub(super) fn lacks_registered(&self, index: u32) -> bool {
        self.undated.contains(&index)
    }

    pub(super) fn is_duplicated(&self, index: u32) -> bool {
        self.duplicates
            && index >= PLANTED
            && draw(self.seed, Purpose::Duplicate, u64::from(index)).is_multiple_of(100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crowd_shares_a_second_and_stays_in_order() {
        let shape = Shape {
            people: 1000,
            same_second: 200,
            undated: 50,
            ..Shape::default()
        };
        let population = Population::new(&shape);
        assert!(population.registered.is_sorted());
        let crowd: Vec<u32> = population.same_second.clone().collect();
        assert_eq!(crowd.len(), 200);
        assert!(
            crowd
                .iter()
                .all(|i| population.registered(*i) == population.registered(crowd[0]))
        );
        assert!(crowd.iter().all(|i| population.is_dated(*i)));
        assert_eq!((0..1000).filter(|i| !population.is_dated(*i)).count(), 50);
    }

    #[test]
    fn small_tenants_hold_less_than_was_asked() {
        for people in 0..8 {
            let shape = Shape {
                people,
                same_second: 9,
                undated: 9,
                ..Shape::default()
            };
            assert_eq!(Population::new(&shape).registered.len(), people as usize);
        }
    }
}
