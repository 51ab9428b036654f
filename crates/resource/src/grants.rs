//! Grants of users and of accounts: the same item in two places (contract section 8).

use record::columns;
use record::table::{Table, WithoutKey};

/// Read from the user export itself: a grant is its user's, since it is part of their record.
pub static USER_GRANTS: Table = Table::new(
    "user_grants",
    columns! {
        user_id: Text = "user_id", "userId";
        grant_id: Text = "grant_id", "grantId";
    },
    columns! {
        account_id: Text = "account_id", "accountId";
        entitlement_type: Text = "entitlement_type", "entitlementType";
        entitlement_id: Text = "entitlement_id", "entitlementId";
        product_id: Text = "product_id", "productId";
        expiry_state: Text = "expiry_state", "expiryState";
        start_time: Timestamptz = "startTime", "start_time";
        end_time: Timestamptz = "endTime", "end_time";
        created_at: Timestamptz = "createdAt", "created_at";
    },
    WithoutKey::Rejected,
);

/// Read per account.
pub static ACCOUNT_GRANTS: Table = Table::new(
    "account_grants",
    columns! {
        account_id: Text = "account_id", "accountId";
        grant_id: Text = "grant_id", "grantId";
    },
    columns! {
        user_id: Text = "user_id", "userId";
        entitlement_type: Text = "entitlement_type", "entitlementType";
        entitlement_id: Text = "entitlement_id", "entitlementId";
        product_id: Text = "product_id", "productId";
        expiry_state: Text = "expiry_state", "expiryState";
        start_time: Timestamptz = "startTime", "start_time";
        end_time: Timestamptz = "endTime", "end_time";
        created_at: Timestamptz = "createdAt", "created_at";
    },
    WithoutKey::Rejected,
);
