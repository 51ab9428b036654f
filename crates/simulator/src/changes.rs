//! Edits of what there is besides people, for tests that need a certain change. They take effect at
//! once.

use super::accounts::AccountChange;
use super::awkward::LONG_ID_PREFIX;
use super::business::Books;
use super::events::Added;
use super::forms::AccountsOrder;
use super::grants::Grant;
use super::ids;
use super::list::List;
use super::members::Member;
use super::mix::Purpose;
use super::record::Record;
use super::tenant::Tenant;

impl Books {
    /// Takes an account out of the list and puts it where a change of it puts it.
    fn relist(&mut self, index: u32, order: AccountsOrder) {
        match order {
            AccountsOrder::Stable => {}
            AccountsOrder::RecentlyModified => {
                let times = self
                    .accounts
                    .iter()
                    .filter(|other| **other == index)
                    .count();
                self.accounts.retain(|other| *other != index);
                self.accounts
                    .splice(0..0, std::iter::repeat_n(index, times));
            }
        }
    }

    fn next_given(&mut self) -> u64 {
        self.given += 1;
        // Above everything generated of any kind, and below the 48 bits an id leads back from.
        (1 << 40) + self.given
    }
}

/// Accounts and their members.
impl Tenant {
    /// The id of an account, as the API shows it.
    pub fn account_id(&self, index: u32) -> String {
        self.world(|world| {
            let mut id = Vec::new();
            world.write_account_id(&mut id, index);
            String::from_utf8_lossy(&id).into_owned()
        })
    }

    /// The index behind a shown account id; none for removed accounts.
    pub fn account_index(&self, id: &str) -> Option<u32> {
        self.world(|world| world.account_by_id(id))
    }

    /// The indices of all accounts there are, in ascending order.
    pub fn accounts(&self) -> Vec<u32> {
        self.world(|world| {
            let all = 0..world.accounts_end();
            all.filter(|index| world.is_account(*index)).collect()
        })
    }

    /// Whether an account's data is awkward.
    pub fn is_awkward_account(&self, index: u32) -> bool {
        self.world(|world| world.awkward_account(index).is_some())
    }

    pub(super) fn change_account(&self, index: u32, how: impl FnOnce(&mut AccountChange)) -> bool {
        let now = self.now();
        let order = self.behaviour().accounts_order;
        let exists = self.world(|world| world.is_account(index));
        if exists {
            self.change(|books, _, _| {
                let change = books.account_changes.entry(index).or_default();
                change.modified = now;
                how(change);
                books.relist(index, order);
            });
        }
        exists
    }

    /// Gives an account another name, now. False if there is no such account.
    pub fn rename_account(&self, index: u32, name: &str) -> bool {
        self.change_account(index, |change| change.name = Some(name.to_owned()))
    }

    /// Gives an account another number of seats, now. False if there is no such account.
    pub fn set_account_seats(&self, index: u32, seats: u32) -> bool {
        self.change_account(index, |change| change.seats = Some(seats))
    }

    /// Adds an account without members and grants, now, and answers its index.
    pub fn add_account(&self) -> u32 {
        let now = self.now();
        let order = self.behaviour().accounts_order;
        self.change(|books, _, scale| {
            let index = scale.accounts + books.accounts_added.len() as u32;
            books.accounts_added.push(now);
            books.accounts.push(index);
            books.relist(index, order);
            index
        })
    }

    /// Removes an account, its members and its grants. False if there is no such account.
    pub fn delete_account(&self, index: u32) -> bool {
        let exists = self.world(|world| world.is_account(index));
        if exists {
            self.change(|books, _, _| {
                books.accounts.retain(|other| *other != index);
                books.accounts_deleted.insert(index);
                books.account_changes.remove(&index);
            });
        }
        exists
    }

    /// The people of an account, by index.
    pub fn members_of(&self, account: u32) -> Vec<u32> {
        self.world(|world| {
            let members = world.members(account);
            members.iter().map(|member| member.person).collect()
        })
    }

    /// Makes a person a member of an account, as its manager or not; a manager who was there
    /// becomes a user. False if there is no such account or person.
    pub fn add_member(&self, account: u32, person: u32, manager: bool) -> bool {
        self.change_members(account, person, |members| {
            members.retain(|member| member.person != person);
            if manager {
                for member in members.iter_mut() {
                    member.manager = false;
                }
            }
            members.push(Member { person, manager });
        })
    }

    /// Takes a person out of an account. False if there is no such account or person.
    pub fn remove_member(&self, account: u32, person: u32) -> bool {
        self.change_members(account, person, |members| {
            members.retain(|member| member.person != person);
        })
    }

    fn change_members(
        &self,
        account: u32,
        person: u32,
        how: impl FnOnce(&mut Vec<Member>),
    ) -> bool {
        let members = self.world(|world| {
            let exists = world.is_account(account) && world.people.is_living(person);
            exists.then(|| world.members(account))
        });
        let Some(mut members) = members else {
            return false;
        };
        how(&mut members);
        self.change(|books, _, _| books.members.insert(account, members));
        true
    }
}

/// Grants.
impl Tenant {
    /// The ids of an account's grants.
    pub fn account_grant_ids(&self, account: u32) -> Vec<String> {
        let grants = self.world(|world| world.account_grants(account));
        grants.into_iter().map(|grant| grant.id).collect()
    }

    /// Gives an account a grant from now on and answers its id; none if there is no such account.
    pub fn add_account_grant(&self, account: u32) -> Option<String> {
        let now = self.now();
        let exists = self.world(|world| world.is_account(account));
        let mut grants = exists.then(|| self.world(|world| world.account_grants(account)))?;
        self.change(|books, people, _| {
            let number = books.next_given();
            let grant = Grant::given(people.population.seed, number, now);
            let id = grant.id.clone();
            grants.push(grant);
            books.account_grants.insert(account, grants);
            Some(id)
        })
    }

    /// Takes a grant from an account. False if it does not have it.
    pub fn remove_account_grant(&self, account: u32, grant_id: &str) -> bool {
        let mut grants = self.world(|world| world.account_grants(account));
        let before = grants.len();
        grants.retain(|grant| grant.id != grant_id);
        let found = grants.len() < before;
        if found {
            self.change(|books, _, _| books.account_grants.insert(account, grants));
        }
        found
    }

    /// The ids of a person's own grants.
    pub fn user_grant_ids(&self, index: u32) -> Vec<String> {
        let grants = self.world(|world| world.people.grants(index));
        grants.into_iter().map(|grant| grant.id).collect()
    }

    /// Gives a person a grant from now on and answers its id; none if there is no such person.
    pub fn add_user_grant(&self, index: u32) -> Option<String> {
        let number = self.change(|books, _, _| books.next_given());
        let grant = Grant::given(self.seed(), number, self.now());
        let id = grant.id.clone();
        self.change_grants(index, |grants| grants.push(grant))?;
        Some(id)
    }

    /// Takes a grant from a person. False if they do not have it.
    pub fn remove_user_grant(&self, index: u32, grant_id: &str) -> bool {
        self.user_grant_ids(index).iter().any(|id| id == grant_id)
            && self
                .change_grants(index, |grants| grants.retain(|grant| grant.id != grant_id))
                .is_some()
    }
}

/// Short lists: companies, products, bundles, entitlements, meters, credits, segments, webhooks,
/// request rules.
impl Tenant {
    /// The ids in a short list, in its order; none for lists that are not short.
    pub fn record_ids(&self, list: List) -> Vec<String> {
        self.world(|world| {
            let records = world.books.records(list).iter();
            records.map(|record| record.id.clone()).collect()
        })
    }

    /// The ids of a short list that a table can have as its key: its items show them, and they are
    /// not too long.
    pub(super) fn plain_ids(&self, list: List) -> Vec<String> {
        self.world(|world| {
            let records = world.books.records(list).iter();
            let plain =
                records.filter(|record| !record.nameless && !record.id.starts_with(LONG_ID_PREFIX));
            plain.map(|record| record.id.clone()).collect()
        })
    }

    /// Replaces fields of an item by those of a JSON object. False if there is no such item.
    ///
    /// # Errors
    /// The text is no JSON object.
    pub fn change_record(
        &self,
        list: List,
        id: &str,
        fields: &str,
    ) -> Result<bool, serde_json::Error> {
        self.change(|books, _, _| {
            let records = books.records.get_mut(&list).map(Vec::as_mut_slice);
            let mut found = false;
            // An awkward list holds one of them twice.
            for record in records.unwrap_or_default() {
                if record.id == id {
                    record.set_all(fields)?;
                    found = true;
                }
            }
            Ok(found)
        })
    }

    /// Adds an item of these fields, a JSON object without id, to the end of a short list and
    /// answers its id.
    ///
    /// # Errors
    /// The text is no JSON object.
    pub fn add_record(&self, list: List, fields: &str) -> Result<String, serde_json::Error> {
        self.change(|books, people, _| {
            let number = books.next_given();
            let id = ids::text(people.population.seed, Purpose::RecordId, number);
            let mut record = Record::new(id.clone());
            record.set_all(fields)?;
            books.records.entry(list).or_default().push(record);
            Ok(id)
        })
    }

    /// Removes an item of a short list. False if there is no such item.
    pub fn delete_record(&self, list: List, id: &str) -> bool {
        self.change(|books, _, _| {
            let Some(records) = books.records.get_mut(&list) else {
                return false;
            };
            let before = records.len();
            records.retain(|record| record.id != id);
            records.len() < before
        })
    }
}

/// Segments of people, and events.
impl Tenant {
    /// The ids of the segments a person is in.
    pub fn segments_of(&self, index: u32) -> Vec<String> {
        self.world(|world| {
            let segments = world.segments_of(index);
            segments.iter().map(|segment| segment.id.clone()).collect()
        })
    }

    /// Puts a person into a segment.
    pub fn enter_segment(&self, index: u32, segment_id: &str) {
        let mut ids = self.world(|world| world.segment_ids(index));
        ids.insert(segment_id.to_owned());
        self.change(|books, _, _| books.user_segments.insert(index, ids));
    }

    /// Takes a person out of a segment.
    pub fn leave_segment(&self, index: u32, segment_id: &str) {
        let mut ids = self.world(|world| world.segment_ids(index));
        ids.remove(segment_id);
        self.change(|books, _, _| books.user_segments.insert(index, ids));
    }

    /// Adds an event of a person at a second since 1970, late if others were read already, and
    /// answers its id.
    pub fn add_event(&self, index: u32, second: u32, event_type: &str) -> String {
        self.change(|books, people, scale| {
            books.given += 1;
            let number = scale.events + books.given;
            let at = u64::from(second) * 1000;
            let place = books.events.partition_point(|event| event.at <= at);
            let event = Added {
                at,
                number,
                person: index,
                kind: event_type.to_owned(),
            };
            books.events.insert(place, event);
            ids::text(people.population.seed, Purpose::EventId, number)
        })
    }

    /// Removes an event that was added. False if there is no such event.
    pub fn remove_event(&self, id: &str) -> bool {
        self.change(|books, people, _| {
            let seed = people.population.seed;
            let before = books.events.len();
            let is_it = |event: &Added| ids::text(seed, Purpose::EventId, event.number) == id;
            books.events.retain(|event| !is_it(event));
            books.events.len() < before
        })
    }
}
