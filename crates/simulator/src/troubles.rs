//! What tests may make wrong with a tenant without editing anybody: people and lists that are there
//! and do not show.

use std::sync::{PoisonError, RwLockWriteGuard};

use super::list::List;
use super::routes;
use super::tenant::Tenant;

/// What is wrong with the tenant at the moment, though nobody was edited.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Troubles {
    /// The export shows only those who registered before this second.
    shown_until: Option<i64>,
    /// Nobody is found by id.
    hides_single_users: bool,
    /// The lists that answer as if they were empty, one bit each.
    hidden_lists: u32,
    /// The operations that answer 404, one bit for each in the table of operations.
    lost_operations: u64,
}

impl Tenant {
    /// Makes the export show only those who registered before this second, as if the others were
    /// not there; by id they still are.
    pub fn show_only_until(&self, second: Option<i64>) {
        self.troubled().shown_until = second;
    }

    /// Makes nobody be found by id, as for a key pair that may not read single users.
    pub fn hide_single_users(&self, hidden: bool) {
        self.troubled().hides_single_users = hidden;
    }

    /// Makes a list answer as if it were empty, in the form it has for none, while what is in it
    /// can still be read one by one.
    pub fn hide_list(&self, list: List, hidden: bool) {
        let mut troubles = self.troubled();
        if hidden {
            troubles.hidden_lists |= list.bit();
        } else {
            troubles.hidden_lists &= !list.bit();
        }
    }

    /// Hides these lists and shows all others.
    pub fn hide_only(&self, lists: &[List]) {
        self.troubled().hidden_lists = lists.iter().fold(0, |all, list| all | list.bit());
    }

    /// Makes the reading operations of these patterns, as `/v3/accounts/{}/users`, answer 404 as if
    /// there were no such path, and all others be there.
    pub fn lose_paths(&self, patterns: &[&str]) {
        self.troubled().lost_operations = routes::reading(patterns);
    }

    fn troubled(&self) -> RwLockWriteGuard<'_, Troubles> {
        self.troubles
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn troubles(&self) -> Troubles {
        *self.troubles.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hides(&self, list: List) -> bool {
        self.troubles().hidden_lists & list.bit() != 0
    }

    /// Whether the operation at a place in the table of operations is lost.
    pub(super) fn loses(&self, place: usize) -> bool {
        self.troubles().lost_operations & (1 << place) != 0
    }

    pub(super) fn shown_until(&self) -> Option<i64> {
        self.troubles().shown_until
    }

    pub(super) fn hides_single_users(&self) -> bool {
        self.troubles().hides_single_users
    }
}
