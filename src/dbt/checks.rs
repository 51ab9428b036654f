//! What dbt tests beside the keys: what refers to what, and the values that Zephr documents.

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Both sides come from one run, so it cannot be.
    Error,
    /// The sides are read by different jobs, and what was new or gone in between is on one side
    /// only until the next run.
    Warn,
}

impl Severity {
    /// dbt's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
        }
    }
}

/// What a column refers to.
#[derive(Debug)]
pub struct Relationship {
    /// Table and column that refer.
    pub from: (&'static str, &'static str),
    /// Table and column referred to.
    pub to: (&'static str, &'static str),
    /// How bad it is when it does not.
    pub severity: Severity,
    /// Whether somebody who is gone counts too.
    pub dead_too: bool,
    /// Of which rows that is said.
    pub only: Option<&'static str>,
}

const fn refers(
    from: (&'static str, &'static str),
    to: (&'static str, &'static str),
    severity: Severity,
) -> Relationship {
    Relationship {
        from,
        to,
        severity,
        dead_too: false,
        only: None,
    }
}

/// The references. Accounts refer to companies too, but the list of companies shows no identifier
/// that is documented, so nothing could be held against it.
pub const RELATIONSHIPS: [Relationship; 11] = [
    refers(
        ("user_foreign_keys", "user_id"),
        ("users", "user_id"),
        Severity::Error,
    ),
    refers(
        ("user_grants", "user_id"),
        ("users", "user_id"),
        Severity::Warn,
    ),
    refers(
        ("user_grants", "product_id"),
        ("products", "product_id"),
        Severity::Warn,
    ),
    refers(
        ("account_users", "account_id"),
        ("accounts", "account_id"),
        Severity::Error,
    ),
    refers(
        ("account_users", "user_id"),
        ("users", "user_id"),
        Severity::Warn,
    ),
    refers(
        ("account_grants", "account_id"),
        ("accounts", "account_id"),
        Severity::Error,
    ),
    refers(
        ("account_grants", "product_id"),
        ("products", "product_id"),
        Severity::Warn,
    ),
    refers(
        ("user_segments", "user_id"),
        ("users", "user_id"),
        Severity::Warn,
    ),
    refers(
        ("user_segments", "segment_id"),
        ("segments", "segment_id"),
        Severity::Warn,
    ),
    Relationship {
        only: Some("entitlement_type = 'bundle'"),
        ..refers(
            ("products", "entitlement_id"),
            ("bundles", "bundle_id"),
            Severity::Warn,
        )
    },
    // What somebody did stays when they are gone.
    Relationship {
        dead_too: true,
        ..refers(
            ("user_events", "user_id"),
            ("users", "user_id"),
            Severity::Warn,
        )
    },
];

/// Values that Zephr documents. Others are no fault of the mirror, but queries may not know them.
pub const VALUES: [(&str, &str, &[&str]); 13] = [
    ("user_grants", "expiry_state", STATES),
    ("user_grants", "entitlement_type", KINDS),
    ("account_grants", "expiry_state", STATES),
    ("account_grants", "entitlement_type", KINDS),
    (
        "accounts",
        "session_limit_behaviour",
        &["PREVENT_LOGIN", "DELETE_OLDEST_SESSIONS"],
    ),
    ("products", "entitlement_type", KINDS),
    ("bundles", "auto_assign", ASSIGNED),
    ("entitlements", "auto_assign", ASSIGNED),
    ("meters", "auto_assign", ASSIGNED),
    ("credits", "auto_assign", ASSIGNED),
    ("user_schema", "input_type", INPUTS),
    ("user_schema", "unit_position", &["leading", "trailing"]),
    (
        "user_schema",
        "stat_direction",
        &["ascending", "descending"],
    ),
];

const STATES: &[&str] = &["pending", "active", "expired"];
const KINDS: &[&str] = &["bundle", "entitlement", "meter", "credits"];
const ASSIGNED: &[&str] = &["none", "all", "anonymous", "authenticated"];
const INPUTS: &[&str] = &[
    "text", "color", "number", "range", "time", "datetime", "date", "week", "month", "email",
    "tel", "url", "password", "select", "checkbox", "radio", "textarea", "hidden",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dbt::page;

    #[test]
    fn they_speak_of_columns_that_exist() {
        let relations = page::relations();
        let exists = |(table, column): (&str, &str)| {
            relations.iter().any(|relation| {
                relation.name == table && relation.columns.iter().any(|c| c.name == column)
            })
        };
        for relationship in &RELATIONSHIPS {
            assert!(exists(relationship.from), "{relationship:?}");
            assert!(exists(relationship.to), "{relationship:?}");
        }
        for (table, column, _) in VALUES {
            assert!(exists((table, column)), "{table}.{column}");
        }
    }
}
