//! The built-in tables and their columns, as far as the settings may name them. A test compares
//! this with the database.

/// What a column is to the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Rows are found, joined or compared by it.
    Key,
    /// Text: the only kind that can hold a hash.
    Text,
    /// JSON, of which parts can be named.
    Json,
    /// Of another type, which cannot hold a hash.
    Other(&'static str),
}

use Kind::{Json, Key, Other, Text};

/// A built-in table.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    columns: &'static [(&'static str, Kind)],
}

/// Its rows are made of what stands in their users' records.
pub const GRANTS: &str = "user_grants";

/// Tables and views that hold what `users` holds, and follow its settings.
pub const FOLLOW_USERS: [&str; 4] = [
    "users_history",
    "users_versions",
    "users_current",
    "user_attributes",
];

const BOOLEAN: Kind = Other("boolean");
const NUMERIC: Kind = Other("numeric");
const TIME: Kind = Other("timestamptz");

/// Every table that has settings.
pub const TABLES: &[Table] = &[
    Table {
        name: "users",
        columns: &[
            ("user_id", Key),
            ("email", Text),
            ("username", Text),
            ("email_verified", BOOLEAN),
            ("tracking_id", Text),
            // Scans compare stretches of registration time.
            ("registered_at", Key),
            ("registration_tenant", Text),
            ("attributes", Json),
            ("extra", Json),
        ],
    },
    Table {
        name: "user_foreign_keys",
        columns: &[("user_id", Key), ("system", Key), ("key", Key)],
    },
    Table {
        name: GRANTS,
        columns: &[
            ("grant_id", Key),
            ("user_id", Key),
            ("account_id", Text),
            ("entitlement_type", Text),
            ("entitlement_id", Text),
            ("product_id", Text),
            ("expiry_state", Text),
            ("start_time", TIME),
            ("end_time", TIME),
            ("created_at", TIME),
            ("extra", Json),
        ],
    },
    Table {
        name: "accounts",
        columns: &[
            ("account_id", Key),
            ("name", Text),
            ("tenant_id", Text),
            ("email_address", Text),
            ("company_id", Text),
            ("number_of_seats", NUMERIC),
            ("registration_code", Text),
            ("allow_oversubscription", BOOLEAN),
            ("notify_when_account_oversubscribed", BOOLEAN),
            (
                "notify_on_each_registration_when_account_is_oversubscribed",
                BOOLEAN,
            ),
            ("on_premises_ips", Text),
            ("premises_tags", Text),
            ("ip_addresses", Text),
            ("registration_domains", Text),
            ("session_limit", NUMERIC),
            ("session_limit_behaviour", Text),
            ("branding", Json),
            ("extra", Json),
        ],
    },
    Table {
        name: "account_users",
        columns: &[
            ("account_id", Key),
            ("user_id", Key),
            ("user_type", Text),
            ("extra", Json),
        ],
    },
    Table {
        name: "account_grants",
        columns: &[
            ("account_id", Key),
            ("grant_id", Key),
            ("user_id", Key),
            ("entitlement_type", Text),
            ("entitlement_id", Text),
            ("product_id", Text),
            ("expiry_state", Text),
            ("start_time", TIME),
            ("end_time", TIME),
            ("created_at", TIME),
            ("extra", Json),
        ],
    },
    Table {
        name: "segments",
        columns: &[
            ("segment_id", Key),
            ("label", Text),
            ("description", Text),
            ("active", BOOLEAN),
            ("archived", BOOLEAN),
            ("extra", Json),
        ],
    },
    Table {
        name: "user_segments",
        columns: &[
            ("user_id", Key),
            ("segment_id", Key),
            ("label", Text),
            ("extra", Json),
        ],
    },
    Table {
        name: "user_schema",
        columns: &[
            ("slug", Key),
            ("label", Text),
            ("internal_description", Text),
            ("public_description", Text),
            ("context", Text),
            ("visibility", Text),
            ("required", BOOLEAN),
            ("decision_point", BOOLEAN),
            ("publicly_writable", BOOLEAN),
            ("form_use", BOOLEAN),
            ("validation_expression", Text),
            ("input_type", Text),
            ("select_options", Text),
            ("range_start", NUMERIC),
            ("range_end", NUMERIC),
            ("range_step", NUMERIC),
            ("value_precision", NUMERIC),
            ("unit", Text),
            ("unit_position", Text),
            ("stat_direction", Text),
            ("extra", Json),
        ],
    },
    Table {
        name: "companies",
        columns: &[
            ("company_id", Key),
            ("name", Text),
            ("description", Text),
            ("website", Text),
            ("contact", Text),
            ("account_manager", Text),
            ("extra", Json),
        ],
    },
    Table {
        name: "products",
        columns: &[
            ("product_id", Key),
            ("label", Text),
            ("description", Text),
            ("entitlement_type", Text),
            ("entitlement_id", Text),
            ("tenant_id", Text),
            ("sharing_limit", NUMERIC),
            ("mapping", Json),
            ("extra", Json),
        ],
    },
    Table {
        name: "bundles",
        columns: &[
            ("bundle_id", Key),
            ("label", Text),
            ("description", Text),
            ("auto_assign", Text),
            ("tenant_id", Text),
            ("includes", Json),
            ("extra", Json),
        ],
    },
    Table {
        name: "entitlements",
        columns: &[
            ("entitlement_id", Key),
            ("label", Text),
            ("description", Text),
            ("auto_assign", Text),
            ("tenant_id", Text),
            ("extra", Json),
        ],
    },
    Table {
        name: "meters",
        columns: &[
            ("meter_id", Key),
            ("label", Text),
            ("description", Text),
            ("auto_assign", Text),
            ("tenant_id", Text),
            ("unit", Text),
            ("limit_value", NUMERIC),
            ("cycle", Text),
            ("period", Text),
            ("timezone", Text),
            ("extra", Json),
        ],
    },
    Table {
        name: "credits",
        columns: &[
            ("credit_id", Key),
            ("label", Text),
            ("description", Text),
            ("auto_assign", Text),
            ("tenant_id", Text),
            ("delivers", Json),
            ("unit", Text),
            ("quantity", NUMERIC),
            ("extra", Json),
        ],
    },
    Table {
        name: "user_events",
        columns: &[
            ("occurred_at", Key),
            ("event_key", Key),
            ("user_id", Key),
            ("type", Text),
            ("payload", Json),
        ],
    },
];

impl Table {
    /// The built-in table of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TABLES.iter().find(|table| table.name == name)
    }

    /// The names of all.
    pub fn names() -> Vec<&'static str> {
        TABLES.iter().map(|table| table.name).collect()
    }

    /// The names of its columns, without the mirror's own.
    pub fn columns(&self) -> Vec<&'static str> {
        self.columns.iter().map(|(name, _)| *name).collect()
    }

    /// What a column is.
    pub fn kind(&self, column: &str) -> Option<Kind> {
        let found = self.columns.iter().find(|(name, _)| *name == column);
        found.map(|(_, kind)| *kind)
    }
}
