//! The flags of `zephr-sync simulate` that answer the API's open questions.

use super::bulk_behaviour::BulkArgs;
use simulator::{
    AccountsOrder, Behaviour, Boundary, Count, Envelope, EventsFormat, ForeignKeys, Links, Lookup,
    Nothing, Order, Since, Spelling, Wrapping,
};

/// Answers to the API's open questions; each one not given is drawn from the seed.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Behaviour (what is not given is drawn from the seed)")]
pub struct BehaviourArgs {
    /// Start from the documented behaviour instead of a drawn one
    #[arg(long)]
    pub plain: bool,
    /// The order of lists
    #[arg(long, value_enum)]
    pub order: Option<Order>,
    /// What surrounds the items of an export page
    #[arg(long, value_enum)]
    pub envelope: Option<Envelope>,
    /// Whether time filters include the instant they name
    #[arg(long, value_enum)]
    pub boundary: Option<Boundary>,
    /// The most items on a page, whatever was asked; 0 for no limit
    #[arg(long, value_name = "N")]
    pub rpp_clamp: Option<u32>,
    /// What meta.count says
    #[arg(long, value_enum)]
    pub count: Option<Count>,
    /// What links holds
    #[arg(long, value_enum)]
    pub links: Option<Links>,
    /// How foreign keys are shown
    #[arg(long, value_enum)]
    pub foreign_keys: Option<ForeignKeys>,
    /// How exact lookups answer
    #[arg(long, value_enum)]
    pub lookup: Option<Lookup>,
    /// What since filters by [default: updated]
    #[arg(long, value_enum)]
    pub since: Option<Since>,
    /// Disregard the time filters
    #[arg(long)]
    pub ignore_filters: bool,
    /// Disregard the pages of the export: each answer is everybody who matches
    #[arg(long)]
    pub ignore_pages: bool,
    /// The order of the account list
    #[arg(long, value_enum)]
    pub accounts_order: Option<AccountsOrder>,
    /// Whether the account list shows when accounts were created and modified
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub account_dates: Option<bool>,
    /// What surrounds the members of an account
    #[arg(long, value_enum)]
    pub members_wrapping: Option<Wrapping>,
    /// How the fields of members are spelt
    #[arg(long, value_enum)]
    pub members_spelling: Option<Spelling>,
    /// What an account without members answers
    #[arg(long = "empty-members", value_enum)]
    pub no_members: Option<Nothing>,
    /// What an account without grants answers
    #[arg(long = "empty-account-grants", value_enum)]
    pub no_account_grants: Option<Nothing>,
    /// What surrounds the accounts of a user
    #[arg(long, value_enum)]
    pub user_accounts_wrapping: Option<Wrapping>,
    /// What surrounds the grants of a user
    #[arg(long, value_enum)]
    pub user_grants_wrapping: Option<Wrapping>,
    /// Whether a change of grants counts as an update of the user
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub grants_touch_users: Option<bool>,
    /// What a user in no segment answers
    #[arg(long = "empty-user-segments", value_enum)]
    pub no_user_segments: Option<Nothing>,
    /// Whether the company list shows ids
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub company_ids: Option<bool>,
    /// Whether products stand in one more array
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub products_nested: Option<bool>,
    /// Whether entitlements, meters and credits show their ids
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub catalog_ids: Option<bool>,
    /// What events come as
    #[arg(long, value_enum)]
    pub events_format: Option<EventsFormat>,
    /// Whether events show an id
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub event_ids: Option<bool>,
    /// Whether from and to of events include the instant they name
    #[arg(long, value_enum)]
    pub events_boundary: Option<Boundary>,
    /// The most events on a page, whatever was asked; 0 for no limit
    #[arg(long, value_name = "N")]
    pub events_rpp_clamp: Option<u32>,
    /// Answers about bulk updates
    #[command(flatten)]
    pub bulk: BulkArgs,
}

/// A limit as typed, where 0 is none, or the one there is.
pub(super) fn clamp(typed: Option<u32>, base: Option<u32>) -> Option<u32> {
    match typed {
        Some(0) => None,
        Some(most) => Some(most),
        None => base,
    }
}

impl BehaviourArgs {
    /// What was typed, and for the rest what is documented or drawn.
    pub fn resolve(self, seed: u64) -> Behaviour {
        let base = if self.plain {
            Behaviour::plain()
        } else {
            Behaviour::drawn(seed)
        };
        Behaviour {
            order: self.order.unwrap_or(base.order),
            envelope: self.envelope.unwrap_or(base.envelope),
            boundary: self.boundary.unwrap_or(base.boundary),
            rpp_clamp: clamp(self.rpp_clamp, base.rpp_clamp),
            count: self.count.unwrap_or(base.count),
            links: self.links.unwrap_or(base.links),
            foreign_keys: self.foreign_keys.unwrap_or(base.foreign_keys),
            lookup: self.lookup.unwrap_or(base.lookup),
            grants: base.grants,
            since: self.since.unwrap_or(base.since),
            ignore_filters: self.ignore_filters,
            ignore_pages: self.ignore_pages,
            accounts_order: self.accounts_order.unwrap_or(base.accounts_order),
            account_dates: self.account_dates.unwrap_or(base.account_dates),
            members_wrapping: self.members_wrapping.unwrap_or(base.members_wrapping),
            members_spelling: self.members_spelling.unwrap_or(base.members_spelling),
            no_members: self.no_members.unwrap_or(base.no_members),
            no_account_grants: self.no_account_grants.unwrap_or(base.no_account_grants),
            user_accounts_wrapping: self
                .user_accounts_wrapping
                .unwrap_or(base.user_accounts_wrapping),
            user_grants_wrapping: self
                .user_grants_wrapping
                .unwrap_or(base.user_grants_wrapping),
            grants_touch_users: self.grants_touch_users.unwrap_or(base.grants_touch_users),
            no_user_segments: self.no_user_segments.unwrap_or(base.no_user_segments),
            company_ids: self.company_ids.unwrap_or(base.company_ids),
            products_nested: self.products_nested.unwrap_or(base.products_nested),
            catalog_ids: self.catalog_ids.unwrap_or(base.catalog_ids),
            events_format: self.events_format.unwrap_or(base.events_format),
            event_ids: self.event_ids.unwrap_or(base.event_ids),
            events_boundary: self.events_boundary.unwrap_or(base.events_boundary),
            events_rpp_clamp: clamp(self.events_rpp_clamp, base.events_rpp_clamp),
            bulk: self.bulk.resolve(base.bulk),
        }
    }
}
