//! Edits of what there is besides people, drawn from the seed and their number, for drift.

use super::edits::{Edited, Edits};
use super::list::List;
use super::mix::{Purpose, draw};
use super::tenant::Tenant;

impl Tenant {
    /// The next number below a bound, from the seed and the number of random edits so far.
    fn random(&self, bound: usize) -> Option<usize> {
        let drawn = self.change(|books, people, _| {
            books.edits += 1;
            draw(people.population.seed, Purpose::BusinessEdit, books.edits)
        });
        (drawn >> 1).checked_rem(bound as u64).map(|at| at as usize)
    }

    fn random_account(&self) -> Option<u32> {
        let count = self.world(|world| world.books.accounts.len());
        let at = self.random(count)?;
        self.world(|world| world.books.accounts.get(at).copied())
    }

    /// Someone living whom other lists may name, or nobody after a few tries.
    fn random_person(&self) -> Option<u32> {
        let count = self.world(|world| world.people.end());
        (0..64).find_map(|_| {
            let index = self.random(count as usize)? as u32;
            let fits = |index| {
                self.world(|world| {
                    world.people.is_living(index) && world.people.population.shows_uuid(index)
                })
            };
            fits(index).then_some(index)
        })
    }

    /// Makes the random edits of everything but people.
    pub(super) fn edit_business(&self, edits: Edits, edited: &mut Edited) {
        for _ in 0..edits.account_changes {
            if let Some(index) = self.random_account() {
                self.change_account(index, |change| change.revision += 1);
                edited.accounts_changed.push(self.account_id(index));
            }
        }
        for _ in 0..edits.account_deletions {
            if let Some(index) = self.random_account() {
                edited.accounts_deleted.push(self.account_id(index));
                self.delete_account(index);
            }
        }
        for _ in 0..edits.member_changes {
            if let (Some(account), Some(turn)) = (self.random_account(), self.random(1 << 20)) {
                let members = self.members_of(account);
                // One in two leaves where someone can.
                let leaves = members.get(turn / 2 % members.len().max(1)).copied();
                let leaves = leaves.filter(|_| turn % 2 == 0);
                let Some(person) = leaves.or_else(|| self.random_person()) else {
                    continue;
                };
                if leaves.is_some() {
                    self.remove_member(account, person);
                } else {
                    self.add_member(account, person, false);
                }
                let who = (self.account_id(account), self.user_id(person));
                edited.members_changed.push(who);
            }
        }
        for _ in 0..edits.segment_moves {
            let segments = self.plain_ids(List::Segments);
            let segment = self.random(segments.len()).and_then(|at| segments.get(at));
            if let (Some(segment), Some(person)) = (segment, self.random_person()) {
                if self.segments_of(person).contains(segment) {
                    self.leave_segment(person, segment);
                } else {
                    self.enter_segment(person, segment);
                }
                edited.segments_moved.push(self.user_id(person));
            }
        }
    }
}
