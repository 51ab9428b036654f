//! What a perfect copy of each list would hold, one line of JSON per row, for tests to compare
//! with.
//!
//! Rows that cannot be read because an id of their key is never shown (members of an account
//! without id, a segment without) are left out.

use super::awkward::AwkwardAccount;
use super::business::World;
use super::catalog;
use super::identity;
use super::json;
use super::list::List;
use super::schema;
use super::tenant::Tenant;

impl World<'_> {
    /// How many places there are to look for rows of a list.
    fn places(&self, list: List) -> u64 {
        match list {
            List::Accounts | List::AccountUsers | List::AccountGrants => {
                u64::from(self.accounts_end())
            }
            List::UserAccounts | List::UserGrants | List::UserSegments | List::UserSessions => {
                u64::from(self.people.end())
            }
            List::UserEvents => self.scale.events + self.books.events.len() as u64,
            List::UserSchema => 1,
            List::Segments
            | List::Companies
            | List::Products
            | List::Bundles
            | List::Entitlements
            | List::Meters
            | List::Credits
            | List::Webhooks
            | List::RequestRules => self.books.records(list).len() as u64,
        }
    }

    fn account_at(&self, place: u64) -> Option<u32> {
        let index = place as u32;
        self.is_account(index).then_some(index)
    }

    /// The account there if its id is shown.
    fn named_account(&self, place: u64) -> Option<u32> {
        let nameless = |index: &u32| self.awkward_account(*index) == Some(AwkwardAccount::NoId);
        self.account_at(place).filter(|index| !nameless(index))
    }

    fn person_at(&self, place: u64) -> Option<u32> {
        let index = place as u32;
        self.people.is_living(index).then_some(index)
    }

    fn account_id_text(&self, account: u32) -> String {
        let mut id = Vec::new();
        self.write_account_id(&mut id, account);
        String::from_utf8_lossy(&id).into_owned()
    }

    /// Appends the rows at a place, each with a line end.
    fn rows(&self, out: &mut Vec<u8>, list: List, place: u64) {
        match list {
            List::Accounts => {
                if let Some(account) = self.account_at(place) {
                    self.account_truth(out, account);
                    out.push(b'\n');
                }
            }
            List::AccountUsers => {
                if let Some(account) = self.named_account(place) {
                    self.member_rows(out, account);
                }
            }
            List::AccountGrants => {
                if let Some(account) = self.named_account(place) {
                    self.account_grant_rows(out, account);
                }
            }
            List::UserAccounts => {
                if let Some(person) = self.person_at(place) {
                    for (account, member) in self.accounts_of(person) {
                        self.member_truth(out, account, member);
                        out.push(b'\n');
                    }
                }
            }
            List::UserGrants => {
                if let Some(person) = self.person_at(place) {
                    self.user_grant_rows(out, person);
                }
            }
            List::UserSegments => {
                if let Some(person) = self.person_at(place) {
                    self.segment_rows(out, person);
                }
            }
            List::UserSessions => {
                if let Some(person) = self.person_at(place) {
                    self.session_truth(out, person);
                }
            }
            List::UserEvents => {
                if let Some(event) = self.event_at(place) {
                    event.truth(out, self.seed(), self.people.behaviour.event_ids);
                    out.push(b'\n');
                }
            }
            List::UserSchema => schema::truth(out, self.books.schema.as_deref()),
            List::Segments
            | List::Companies
            | List::Products
            | List::Bundles
            | List::Entitlements
            | List::Meters
            | List::Credits
            | List::Webhooks
            | List::RequestRules => self.record_row(out, list, place),
        }
    }

    /// Appends who belongs to an account.
    fn member_rows(&self, out: &mut Vec<u8>, account: u32) {
        for member in self.members(account) {
            self.member_truth(out, account, member);
            out.push(b'\n');
        }
    }

    /// Appends what an account may open.
    fn account_grant_rows(&self, out: &mut Vec<u8>, account: u32) {
        let id = self.account_id_text(account);
        for grant in self.account_grants(account) {
            grant.truth(out, None, Some(&id));
            out.push(b'\n');
        }
    }

    /// Appends what a person may open.
    fn user_grant_rows(&self, out: &mut Vec<u8>, person: u32) {
        let id = identity::user_id_text(self.seed(), person);
        for grant in self.people.grants(person) {
            grant.truth(out, Some(&id), None);
            out.push(b'\n');
        }
    }

    /// Appends the segments that a person is in, as far as they show an id.
    fn segment_rows(&self, out: &mut Vec<u8>, person: u32) {
        let segments = self.segments_of(person);
        for segment in segments.iter().filter(|segment| !segment.nameless) {
            json::object(out, |out| {
                json::raw(out, ",\"user_id\":\"");
                identity::user_id(out, self.seed(), person);
                out.push(b'"');
                json::text_field(out, "segment_id", &segment.id);
            });
            out.push(b'\n');
        }
    }

    /// Appends the record there of a list that is kept as records, unless an earlier one is the
    /// same: what is listed twice is one row.
    fn record_row(&self, out: &mut Vec<u8>, list: List, place: u64) {
        let records = self.books.records(list);
        let record = records.get(place as usize).filter(|record| {
            let before = &records[..place as usize];
            before.iter().all(|other| other.id != record.id)
        });
        if let Some(record) = record {
            record.write(out, catalog::id_name(self.people.behaviour, list));
            out.push(b'\n');
        }
    }
}

impl Tenant {
    /// What a perfect copy of a list would hold: one line of JSON per row, in a fixed order, each
    /// row once.
    ///
    /// Accounts are the fields of the list merged with those of the account by itself; memberships,
    /// grants, segments of users and events have the names of a table (`account_id`, `start_time`,
    /// `occurred_at`), times in ISO 8601 UTC; the rest is as the API shows it, an id only where it
    /// is shown.
    pub fn truth_of(&self, list: List) -> Vec<u8> {
        self.run_due_jobs();
        let mut out = Vec::new();
        let mut next = Some(0);
        while let Some(from) = next {
            next = self.truth_of_part(&mut out, list, from, usize::MAX);
        }
        out
    }

    /// Appends rows from a place on until about `limit` bytes are there; answers where to go on.
    pub(super) fn truth_of_part(
        &self,
        out: &mut Vec<u8>,
        list: List,
        from: u64,
        limit: usize,
    ) -> Option<u64> {
        let begin = out.len();
        self.world(|world| {
            for place in from..world.places(list) {
                if out.len() - begin >= limit {
                    return Some(place);
                }
                world.rows(out, list, place);
            }
            None
        })
    }
}
