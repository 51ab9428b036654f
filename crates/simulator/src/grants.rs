//! Grants of people and of accounts (contract 8): in the export, asked for alone, and as truth.

use super::answer::Answer;
use super::behaviour::Grants;
use super::business::World;
use super::calendar;
use super::catalog::{OFFERS, Offer};
use super::forms::{self, Nothing, Wrapping};
use super::identity;
use super::ids;
use super::json;
use super::list::List;
use super::mix::{Choices, Purpose};
use super::person::People;
use super::routes::Call;

const YEAR: u32 = 365 * 86_400;

/// Leave to use something for a time.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    pub id: String,
    begin: u32,
    /// None: indefinite.
    end: Option<u32>,
    state: &'static str,
    offer: &'static Offer,
}

impl Grant {
    fn drawn(choices: &mut Choices, from: u32) -> Self {
        let id = choices.next();
        let mut text = Vec::with_capacity(36);
        identity::uuid(&mut text, id & !0xF000 | 0x4000, id.rotate_left(31));
        let begin = from.saturating_add(choices.below(1 << 25) as u32);
        let (state, ends) = choices.pick(&[
            ("active", false),
            ("active", true),
            ("expired", true),
            ("pending", true),
        ]);
        Self {
            id: String::from_utf8_lossy(&text).into_owned(),
            begin,
            end: ends.then(|| begin.saturating_add(YEAR)),
            state,
            offer: &OFFERS[choices.below(OFFERS.len() as u64) as usize],
        }
    }

    /// A grant given now by an edit.
    pub(super) fn given(seed: u64, number: u64, now: u32) -> Self {
        Self {
            id: ids::text(seed, Purpose::GrantId, number),
            begin: now,
            end: Some(now.saturating_add(YEAR)),
            state: "active",
            offer: &OFFERS[number as usize % OFFERS.len()],
        }
    }

    /// Appends it as the API shows it; `owner` writes whose it is.
    fn write(&self, out: &mut Vec<u8>, snake: bool, owner: impl FnOnce(&mut Vec<u8>)) {
        let time = |out: &mut Vec<u8>, name, second| {
            json::key(out, name);
            out.push(b'"');
            calendar::spaced(out, second);
            out.push(b'"');
        };
        json::object(out, |out| {
            json::text_field(out, if snake { "grant_id" } else { "grantId" }, &self.id);
            owner(out);
            json::text_field(out, "expiry_state", self.state);
            json::text_field(out, "entitlement_type", self.offer.kind);
            json::text_field(out, "entitlement_id", self.offer.entitlement);
            time(out, "startTime", self.begin);
            if let Some(end) = self.end {
                time(out, "endTime", end);
            }
            if let Some(product) = self.offer.product {
                json::text_field(out, "product_id", product);
            }
            time(
                out,
                if snake { "created_at" } else { "createdAt" },
                self.begin,
            );
        });
    }

    /// Appends it as a copy would hold it, with null for what is not there.
    pub(super) fn truth(&self, out: &mut Vec<u8>, user: Option<&str>, account: Option<&str>) {
        let text = |out: &mut Vec<u8>, name, value: Option<&str>| {
            json::key(out, name);
            match value {
                Some(value) => json::string(out, value),
                None => json::raw(out, "null"),
            }
        };
        let time = |out: &mut Vec<u8>, name, second: Option<u32>| {
            json::key(out, name);
            let Some(second) = second else {
                return json::raw(out, "null");
            };
            out.push(b'"');
            calendar::instant(out, second);
            out.push(b'"');
        };
        json::object(out, |out| {
            json::text_field(out, "grant_id", &self.id);
            text(out, "user_id", user);
            text(out, "account_id", account);
            json::text_field(out, "entitlement_type", self.offer.kind);
            json::text_field(out, "entitlement_id", self.offer.entitlement);
            text(out, "product_id", self.offer.product);
            json::text_field(out, "expiry_state", self.state);
            time(out, "start_time", Some(self.begin));
            time(out, "end_time", self.end);
            time(out, "created_at", Some(self.begin));
        });
    }

    /// Its id, product, entitlement, state, beginning and end, for a line of CSV.
    pub(super) fn columns(&self) -> [String; 6] {
        let time = |second: Option<u32>| {
            let mut out = Vec::new();
            if let Some(second) = second {
                calendar::spaced(&mut out, second);
            }
            String::from_utf8_lossy(&out).into_owned()
        };
        [
            self.id.clone(),
            self.offer.product.unwrap_or_default().to_owned(),
            self.offer.entitlement.to_owned(),
            self.state.to_owned(),
            time(Some(self.begin)),
            time(self.end),
        ]
    }
}

impl People<'_> {
    /// The grants of a person.
    pub(super) fn grants(&self, index: u32) -> Vec<Grant> {
        let change = self.overlay.changes.get(&index);
        if let Some(edited) = change.and_then(|change| change.grants.clone()) {
            return edited;
        }
        let mut choices = Choices::new(self.population.seed, Purpose::Grants, u64::from(index));
        let from = self.registration(index);
        (0..choices.below(3))
            .map(|_| Grant::drawn(&mut choices, from))
            .collect()
    }

    /// Appends the grants of an export item, or the form of none.
    pub(super) fn write_grants(&self, out: &mut Vec<u8>, index: u32, shown: bool) {
        let wrapping = if self.behaviour.grants == Grants::Bare {
            Wrapping::Bare
        } else {
            Wrapping::Results
        };
        let grants = if shown {
            self.grants(index)
        } else {
            Vec::new()
        };
        forms::wrapped(out, wrapping, &grants, |out, grant| {
            self.write_grant(out, index, grant);
        });
    }

    fn write_grant(&self, out: &mut Vec<u8>, index: u32, grant: &Grant) {
        grant.write(out, self.behaviour.grants == Grants::Snake, |out| {
            json::raw(out, ",\"user_id\":\"");
            identity::user_id(out, self.population.seed, index);
            out.push(b'"');
        });
    }
}

impl World<'_> {
    /// The grants of an account.
    pub(super) fn account_grants(&self, account: u32) -> Vec<Grant> {
        if let Some(edited) = self.books.account_grants.get(&account) {
            return edited.clone();
        }
        if account >= self.scale.accounts {
            return Vec::new();
        }
        let seed = self.seed();
        let mut choices = Choices::new(seed, Purpose::AccountGrants, u64::from(account));
        let (created, _) = self.account_dates(account);
        (0..choices.below(4))
            .map(|_| Grant::drawn(&mut choices, created))
            .collect()
    }
}

/// `GET /v3/users/{user_id}/grants`.
pub(super) fn of_user(call: &Call<'_>) -> Answer {
    let wrapping = call.tenant.behaviour().user_grants_wrapping;
    let hidden = call.tenant.hides(List::UserGrants);
    call.tenant.world(|world| {
        let Some(index) = world.people.by_user_id(call.param(0)) else {
            return Answer::error(404, "no such user");
        };
        let mut grants = world.people.grants(index);
        if hidden {
            grants.clear();
        }
        forms::answer(wrapping, Nothing::EmptyList, grants, |out, grant| {
            world.people.write_grant(out, index, &grant);
        })
    })
}

/// `GET /v3/accounts/{id}/grants`: a bare array.
pub(super) fn of_account(call: &Call<'_>) -> Answer {
    let behaviour = call.tenant.behaviour();
    let hidden = call.tenant.hides(List::AccountGrants);
    call.tenant.world(|world| {
        let Some(account) = world.account_by_id(call.param(0)) else {
            return Answer::error(404, "no such account");
        };
        let mut grants = world.account_grants(account);
        if hidden {
            grants.clear();
        }
        let snake = behaviour.grants == Grants::Snake;
        let nothing = behaviour.no_account_grants;
        forms::answer(Wrapping::Bare, nothing, grants, |out, grant| {
            grant.write(out, snake, |out| {
                json::raw(out, ",\"account_id\":\"");
                world.write_account_id(out, account);
                out.push(b'"');
            });
        })
    })
}
