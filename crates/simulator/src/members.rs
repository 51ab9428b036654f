//! Who belongs to which account, from both sides (contract 6.7 and 9.3).

use std::collections::HashSet;

use super::answer::Answer;
use super::awkward::AwkwardAccount;
use super::business::World;
use super::forms::{self, Nothing, Spelling, Wrapping};
use super::identity;
use super::json;
use super::list::List;
use super::mix::{Choices, Purpose};
use super::routes::Call;

/// A person's place in an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    pub person: u32,
    /// At most one of an account is.
    pub manager: bool,
}

impl Member {
    pub(super) fn user_type(self) -> &'static str {
        if self.manager { "manager" } else { "user" }
    }
}

impl World<'_> {
    /// The members an account started with, deleted people included.
    fn generated_members(&self, account: u32) -> Vec<Member> {
        let people = self.people.population.people;
        let mut choices = Choices::new(self.seed(), Purpose::Member, u64::from(account));
        if account >= self.scale.accounts || people == 0 || choices.chance(12) {
            return Vec::new();
        }
        let wanted = match self.scale.members {
            0 => 0,
            average => 1 + choices.below(u64::from(average) * 2),
        };
        let managed = choices.chance(70);
        let mut seen = HashSet::new();
        let mut members = Vec::new();
        for _ in 0..wanted {
            let person = choices.below(u64::from(people)) as u32;
            if self.people.population.shows_uuid(person) && seen.insert(person) {
                let manager = managed && members.is_empty();
                members.push(Member { person, manager });
            }
        }
        members
    }

    /// The living members of a living account.
    pub(super) fn members(&self, account: u32) -> Vec<Member> {
        let mut members = match self.books.members.get(&account) {
            Some(edited) => edited.clone(),
            None => self.generated_members(account),
        };
        members.retain(|member| self.people.is_living(member.person));
        members
    }

    /// The living accounts a person is a member of, by index.
    pub(super) fn accounts_of(&self, person: u32) -> Vec<(u32, Member)> {
        let memberships = self.books.memberships.get_or_init(|| {
            let mut all = Vec::new();
            for account in 0..self.scale.accounts {
                let members = self.generated_members(account);
                all.extend(members.iter().map(|member| (member.person, account)));
            }
            all.sort_unstable();
            all
        });
        let from = memberships.partition_point(|(other, _)| *other < person);
        let generated = memberships[from..]
            .iter()
            .take_while(|(other, _)| *other == person)
            .map(|(_, account)| *account);
        let mut candidates: Vec<u32> = generated
            .chain(self.books.members.keys().copied())
            .filter(|account| self.is_account(*account))
            .collect();
        candidates.sort_unstable();
        candidates.dedup();
        candidates
            .into_iter()
            .filter_map(|account| {
                let members = self.members(account);
                let member = members.iter().find(|member| member.person == person)?;
                Some((account, *member))
            })
            .collect()
    }

    fn member_item(&self, out: &mut Vec<u8>, account: u32, member: Member, spelling: Spelling) {
        let camel = spelling == Spelling::Camel;
        let name = |snake, other| if camel { other } else { snake };
        let person = member.person;
        json::object(out, |out| {
            json::key(out, name("user_id", "userId"));
            out.push(b'"');
            identity::user_id(out, self.seed(), person);
            out.push(b'"');
            json::key(out, name("account_id", "accountId"));
            out.push(b'"');
            self.write_account_id(out, account);
            out.push(b'"');
            json::text_field(out, name("user_type", "userType"), member.user_type());
            if self.people.population.awkward(person).is_none() {
                json::key(out, name("user_email", "userEmail"));
                out.push(b'"');
                identity::email(out, self.seed(), person);
                out.push(b'"');
            }
            let (first, last, _) = identity::names(self.seed(), person);
            let full = format!("{first} {last}");
            json::text_field(out, name("user_name", "userName"), &full);
        });
    }

    /// Appends a membership as a copy would hold it.
    pub(super) fn member_truth(&self, out: &mut Vec<u8>, account: u32, member: Member) {
        json::object(out, |out| {
            json::raw(out, ",\"account_id\":\"");
            self.write_account_id(out, account);
            json::raw(out, "\",\"user_id\":\"");
            identity::user_id(out, self.seed(), member.person);
            out.push(b'"');
            json::text_field(out, "user_type", member.user_type());
        });
    }
}

/// `GET /v3/accounts/{id}/users`: all members at once.
pub(super) fn of_account(call: &Call<'_>) -> Answer {
    let behaviour = call.tenant.behaviour();
    let hidden = call.tenant.hides(List::AccountUsers);
    call.tenant.world(|world| {
        let Some(account) = world.account_by_id(call.param(0)) else {
            return Answer::error(404, "no such account");
        };
        let mut members = world.members(account);
        if world.awkward_account(account) == Some(AwkwardAccount::Twice) {
            members.extend_from_within(..);
        }
        if hidden {
            members.clear();
        }
        let spelling = behaviour.members_spelling;
        forms::answer(
            behaviour.members_wrapping,
            behaviour.no_members,
            members,
            |out, member| world.member_item(out, account, member, spelling),
        )
    })
}

/// `GET /v3/users/{user_id}/accounts`: 404 when there are none.
pub(super) fn of_user(call: &Call<'_>) -> Answer {
    let wrapping: Wrapping = call.tenant.behaviour().user_accounts_wrapping;
    let hidden = call.tenant.hides(List::UserAccounts);
    call.tenant.world(|world| {
        let Some(person) = world.people.by_user_id(call.param(0)) else {
            return Answer::error(404, "no such user");
        };
        let mut accounts = world.accounts_of(person);
        if hidden {
            accounts.clear();
        }
        forms::answer(
            wrapping,
            Nothing::NotFound,
            accounts,
            |out, (account, member)| {
                world.member_item(out, account, member, Spelling::Snake);
            },
        )
    })
}
