//! The lists a tenant has besides its people, by the names truth and control know them under.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A list of the tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum List {
    /// `/v3/accounts`.
    Accounts,
    /// `/v3/accounts/{id}/users`.
    AccountUsers,
    /// `/v3/accounts/{id}/grants`.
    AccountGrants,
    /// `/v3/users/{id}/accounts`.
    UserAccounts,
    /// `/v3/users/{id}/grants`, and the grants in the export.
    UserGrants,
    /// `/v4/users/segments`.
    Segments,
    /// `/v4/users/{id}/segments`.
    UserSegments,
    /// The events of `/v4/user-export`.
    UserEvents,
    /// `/v3/users/{id}/sessions`.
    UserSessions,
    /// `/v3/schema/users`.
    UserSchema,
    /// `/v3/companies`.
    Companies,
    /// `/v3/products`.
    Products,
    /// `/v3/bundles`.
    Bundles,
    /// `/v3/entitlements`.
    Entitlements,
    /// `/v3/meters`.
    Meters,
    /// `/v3/credits`.
    Credits,
    /// `/v3/webhooks`.
    Webhooks,
    /// `/v3/rules/request`.
    RequestRules,
}

impl List {
    /// Its bit in a set of lists.
    pub(super) fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// No list has this name.
#[derive(Debug, thiserror::Error)]
#[error("no list has this name")]
pub struct UnknownList;

impl FromStr for List {
    type Err = UnknownList;

    /// Reads the name in snake case, as `account_users`.
    fn from_str(name: &str) -> Result<Self, UnknownList> {
        serde_json::from_value(serde_json::Value::from(name)).map_err(|_| UnknownList)
    }
}
