//! The open questions of the contract (its section 13), each with the answers a real server might
//! give.

use serde::Serialize;

use super::bulk::Bulk;
use super::forms::{AccountsOrder, EventsFormat, Nothing, Spelling, Wrapping};
use super::mix::{Choices, Purpose};

/// The order of an unfiltered list; the API documents none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Oldest registration first, undated people last.
    RegisteredAsc,
    /// Newest registration first: every creation shifts every page.
    RegisteredDesc,
    /// Least recently updated first: every update moves someone behind the reader or ahead of it.
    UpdatedAsc,
    /// Most recently updated first.
    UpdatedDesc,
    /// By user id, which is random: creations land anywhere.
    UserId,
    /// A fixed order that follows nothing visible, as of a heap table.
    Shuffled,
}

/// What surrounds the items of an export page (contract 5.1, traps).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Envelope {
    /// `{"results":[[…]],"meta":…,"links":…}`, as the specification declares it.
    Nested,
    /// The same with `"results":[…]`.
    Flat,
    /// A bare array. Asked with neither `rpp` nor `page` it is the whole result.
    Bare,
}

/// Whether `since`, `registeredSince` and `registeredBefore` include the instant they name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Boundary {
    /// At or after, at or before.
    Inclusive,
    /// Strictly after, strictly before.
    Exclusive,
}

/// What `since` filters by: the reference says one thing, the tutorial the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Since {
    /// The last update.
    Updated,
    /// The registration.
    Registered,
}

/// What `meta.count` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Count {
    /// Everybody who matches.
    Total,
    /// The items on this page.
    Page,
    /// Nothing: the field is not there.
    Absent,
}

/// What `links` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Links {
    /// All four, `{}` where there is no such page.
    Full,
    /// `next` alone, and only when there is one.
    NextOnly,
    /// No `links` at all.
    Absent,
}

/// How foreign keys are shown (contract 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ForeignKeys {
    /// `{"crm":"1234"}`, several keys of a system as an array.
    Map,
    /// `[{"system":"crm","key":"1234"}]`.
    SystemKey,
    /// `[{"foreign_system":"crm","foreign_key":"1234"}]`.
    ForeignSystemKey,
}

/// What an exact lookup by e-mail or username answers (contract 6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Lookup {
    /// `{"results":[user]}`, empty when nobody matches.
    Results,
    /// The user itself, 404 when nobody matches.
    Object,
}

/// How grants are shown in the export (contract 5.1 and 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Grants {
    /// `{"results":[{"grantId":…,"createdAt":…}]}`.
    Camel,
    /// `{"results":[{"grant_id":…,"created_at":…}]}`.
    Snake,
    /// A bare array, camel case.
    Bare,
}

/// One answer to every open question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Behaviour {
    /// The order of lists.
    pub order: Order,
    /// What surrounds the items of an export page.
    pub envelope: Envelope,
    /// Whether time filters include their end.
    pub boundary: Boundary,
    /// The most items a page may hold, whatever was asked.
    pub rpp_clamp: Option<u32>,
    /// What `meta.count` says.
    pub count: Count,
    /// What `links` holds.
    pub links: Links,
    /// How foreign keys are shown.
    pub foreign_keys: ForeignKeys,
    /// How exact lookups answer.
    pub lookup: Lookup,
    /// How grants are shown.
    pub grants: Grants,
    /// What `since` filters by. The tutorial's reading makes incremental runs miss changes, so it
    /// is never drawn: ask for it.
    pub since: Since,
    /// Time filters are read and disregarded. A malfunction, so never drawn: ask for it.
    pub ignore_filters: bool,
    /// `rpp` and `page` of the export are read and disregarded: each answer is everybody who
    /// matches. A malfunction, so never drawn: ask for it.
    pub ignore_pages: bool,
    /// The order of the account list.
    pub accounts_order: AccountsOrder,
    /// Whether the account list shows `created_date` and `modified_date`, which no reference names.
    pub account_dates: bool,
    /// What surrounds the members of an account.
    pub members_wrapping: Wrapping,
    /// How the fields of members are spelt.
    pub members_spelling: Spelling,
    /// What an account without members answers.
    pub no_members: Nothing,
    /// What an account without grants answers.
    pub no_account_grants: Nothing,
    /// What surrounds the accounts of a user.
    pub user_accounts_wrapping: Wrapping,
    /// What surrounds the grants of a user, asked for alone.
    pub user_grants_wrapping: Wrapping,
    /// Whether a grant that begins or is taken away counts as an update of its user, which `since`
    /// sees.
    pub grants_touch_users: bool,
    /// What a user in no segment answers.
    pub no_user_segments: Nothing,
    /// Whether the company list shows `company_id`.
    pub company_ids: bool,
    /// Whether the products stand in one more array, as the schema declares.
    pub products_nested: bool,
    /// Whether entitlements, meters and credits show their `id`.
    pub catalog_ids: bool,
    /// What events come as.
    pub events_format: EventsFormat,
    /// Whether events show an id.
    pub event_ids: bool,
    /// Whether `from` and `to` of events include the instant they name.
    pub events_boundary: Boundary,
    /// The most events on a page, whatever was asked.
    pub events_rpp_clamp: Option<u32>,
    /// How bulk updates answer.
    pub bulk: Bulk,
}

impl Behaviour {
    /// The answers the reference suggests: nested envelope with a total and all links, registration
    /// order, inclusive filters, no limit on `rpp`, foreign keys as a map, lookups and grants under
    /// `results`; lists as their examples show them, 404 where it is documented for none, events as
    /// CSV with ids.
    pub const fn plain() -> Self {
        Self {
            order: Order::RegisteredAsc,
            envelope: Envelope::Nested,
            boundary: Boundary::Inclusive,
            rpp_clamp: None,
            count: Count::Total,
            links: Links::Full,
            foreign_keys: ForeignKeys::Map,
            lookup: Lookup::Results,
            grants: Grants::Camel,
            since: Since::Updated,
            ignore_filters: false,
            ignore_pages: false,
            accounts_order: AccountsOrder::Stable,
            account_dates: false,
            members_wrapping: Wrapping::Bare,
            members_spelling: Spelling::Snake,
            no_members: Nothing::EmptyList,
            no_account_grants: Nothing::NotFound,
            user_accounts_wrapping: Wrapping::Results,
            user_grants_wrapping: Wrapping::Results,
            grants_touch_users: true,
            no_user_segments: Nothing::NotFound,
            company_ids: false,
            products_nested: true,
            catalog_ids: true,
            events_format: EventsFormat::Csv,
            event_ids: true,
            events_boundary: Boundary::Inclusive,
            events_rpp_clamp: None,
            bulk: Bulk::plain(),
        }
    }

    /// Answers drawn from a seed, so that many seeds together cover the doubts.
    pub fn drawn(seed: u64) -> Self {
        let mut choices = Choices::new(seed, Purpose::Behaviour, 0);
        Self {
            order: choices.pick(&[
                Order::RegisteredAsc,
                Order::RegisteredDesc,
                Order::UpdatedAsc,
                Order::UpdatedDesc,
                Order::UserId,
                Order::Shuffled,
            ]),
            envelope: choices.pick(&[Envelope::Nested, Envelope::Flat, Envelope::Bare]),
            boundary: choices.pick(&[Boundary::Inclusive, Boundary::Exclusive]),
            rpp_clamp: choices.pick(&[None, None, Some(100), Some(200), Some(500), Some(1000)]),
            count: choices.pick(&[Count::Total, Count::Page, Count::Absent]),
            links: choices.pick(&[Links::Full, Links::NextOnly, Links::Absent]),
            foreign_keys: choices.pick(&[
                ForeignKeys::Map,
                ForeignKeys::SystemKey,
                ForeignKeys::ForeignSystemKey,
            ]),
            lookup: choices.pick(&[Lookup::Results, Lookup::Object]),
            grants: choices.pick(&[Grants::Camel, Grants::Snake, Grants::Bare]),
            since: Since::Updated,
            ignore_filters: false,
            ignore_pages: false,
            accounts_order: choices.pick(&[AccountsOrder::Stable, AccountsOrder::RecentlyModified]),
            account_dates: choices.chance(50),
            members_wrapping: choices.pick(&[Wrapping::Bare, Wrapping::Results, Wrapping::Data]),
            members_spelling: choices.pick(&[Spelling::Snake, Spelling::Camel]),
            no_members: choices.pick(NOTHINGS),
            no_account_grants: choices.pick(NOTHINGS),
            user_accounts_wrapping: choices.pick(&[Wrapping::Bare, Wrapping::Results]),
            user_grants_wrapping: choices.pick(&[Wrapping::Bare, Wrapping::Results]),
            grants_touch_users: choices.chance(50),
            no_user_segments: choices.pick(NOTHINGS),
            company_ids: choices.chance(50),
            products_nested: choices.chance(50),
            catalog_ids: choices.chance(50),
            events_format: choices.pick(&[EventsFormat::Csv, EventsFormat::Json]),
            event_ids: choices.chance(50),
            events_boundary: choices.pick(&[Boundary::Inclusive, Boundary::Exclusive]),
            events_rpp_clamp: choices.pick(&[None, None, Some(100), Some(500), Some(1000)]),
            bulk: Bulk::drawn(seed),
        }
    }
}

const NOTHINGS: &[Nothing] = &[Nothing::NotFound, Nothing::EmptyList];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_draws_the_same_and_seeds_differ() {
        assert_eq!(Behaviour::drawn(4), Behaviour::drawn(4));
        let orders: std::collections::HashSet<String> = (0..60)
            .map(|seed| format!("{:?}", Behaviour::drawn(seed).order))
            .collect();
        assert_eq!(orders.len(), 6);
        assert!((0..60).all(|seed| {
            let drawn = Behaviour::drawn(seed);
            !drawn.ignore_filters && !drawn.ignore_pages
        }));
    }
}
