//! One item of the user export (contract sections 5.1 and 6), with its quirks: first an [`Item`],
//! cheap enough for every user of every scan, and a row only for those that changed.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::canonical::{Canonical, canonical};
use super::json::{self, Fields, Kind, Text};
use super::key::{self, Keyless, MAX_KEY_BYTES};
use super::row::Rows;
use super::{redact, timestamp};
use privacy::{Policy, Rules, USERS};
use record::table;
use record::{ForeignKey, Grants, HASH_BYTES, Issue, Item, Reject, User};
use resource::grants::USER_GRANTS;

/// The column is indexed too; an address has 254 characters at most (RFC 5321), so nothing real is
/// lost.
const MAX_EMAIL_BYTES: usize = 2_000;

/// Names under which foreign keys were seen; their place in the export is undocumented (contract
/// section 5.1).
pub(super) const FOREIGN_KEY_FIELDS: [&str; 2] = ["foreign_keys", "foreignKeys"];

/// Where grants are in an item that was asked for with them.
pub const GRANTS_FIELD: &str = "grants";

/// Names of the two parts of a foreign key in the array form (contract section 6).
const SYSTEM_FIELDS: [&str; 4] = [
    "system",
    "foreign_system",
    "foreign-system",
    "foreignSystem",
];
const KEY_FIELDS: [&str; 4] = ["key", "foreign_key", "foreign-key", "foreignKey"];

/// What the privacy settings mean for an item of the export.
pub fn rules(policy: &Policy) -> Rules {
    policy.for_table(USERS, |column| {
        let place = match column {
            "email" => "user.identifiers.email_address".to_owned(),
            "username" => "user.identifiers.username".to_owned(),
            other => format!("user.{other}"),
        };
        vec![place]
    })
}

/// What is picked up of a record while it is brought into canonical form, for [`item_of`].
pub const WANTED: [&str; 3] = ["user.user_id", "user.registered", GRANTS_FIELD];

/// The columns of a user beside the key and what is JSON, and where in an item their values are.
pub const PLACES: [(&str, &str); 6] = [
    ("email", "user.identifiers.email_address"),
    ("username", "user.identifiers.username"),
    ("email_verified", "user.email_verified"),
    ("tracking_id", "user.tracking_id"),
    ("registered_at", "user.registered"),
    ("registration_tenant", "user.registration_tenant"),
];

/// Reads an item of the export. `ignored` names the fields that do not count as a change, and
/// `rules` what of it may be kept.
///
/// # Errors
/// A record without a usable `user_id` cannot be stored.
pub fn item(raw: &RawValue, ignored: &[String], rules: &Rules) -> Result<Item, Reject> {
    let mut issues = Vec::new();
    let kept = redact::apply(raw, rules, &mut issues);
    let mut form = canonical(&kept, ignored, WANTED);
    form.issues.append(&mut issues);
    item_of(form).map_err(|reject| Reject {
        content_hash: if rules.is_empty() {
            reject.content_hash
        } else {
            // Two records that differ only in what may not be kept are two.
            veiled(&canonical(raw, ignored, []).hash, rules)
        },
        ..reject
    })
}

/// Makes an item of a record that may be kept as it is.
///
/// # Errors
/// As [`item`].
pub fn item_of(form: Canonical<'_, { WANTED.len() }>) -> Result<Item, Reject> {
    let [id, registered, grants] = form.wanted;
    match key(form.sent, id) {
        Ok(id) => {
            let registered = registered.and_then(timestamp::read);
            Ok(Item {
                id,
                registered_at: registered.map(|read| read.at),
                from_number: registered.is_some_and(|read| read.from_number),
                grants: match grants {
                    None => Grants::Absent,
                    Some(sent) if list_of_grants(sent).is_some() => Grants::Told,
                    Some(_) => Grants::Unusable,
                },
                hash: form.hash,
                text: form.text,
                issues: form.issues,
            })
        }
        Err(Keyless { id, reason }) => Err(Reject {
            id,
            reason,
            text: form.sent.to_owned(),
            content_hash: form.hash,
            answered_at: None,
        }),
    }
}

/// The content hash that a reject has under rules, from the one it would have without any.
pub fn veiled(hash: &[u8], rules: &Rules) -> [u8; HASH_BYTES] {
    let mut veiled = [0; HASH_BYTES];
    if let Some(hash) = rules.veil(hash) {
        veiled.copy_from_slice(&hash[..HASH_BYTES]);
    }
    veiled
}

/// Whom a record that cannot be stored says it is about, in whatever form; none where it does not
/// say.
pub fn claimed_id(record: &str) -> Option<String> {
    let raw: &RawValue = serde_json::from_str(record).ok()?;
    let user = Fields::of(raw)?.get("user").and_then(Fields::of)?;
    let id = user.get("user_id")?;
    match json::kind(id) {
        Kind::Text => json::text(id).map(|id| id.text.into_owned()),
        Kind::Number => Some(id.get().to_owned()),
        Kind::Object | Kind::Array | Kind::Boolean | Kind::Null => None,
    }
}

fn key(sent: &str, id: Option<&RawValue>) -> Result<String, Keyless> {
    match id {
        Some(id) => key::read(id, "user.user_id"),
        None => Err(missing(sent).into()),
    }
}

/// How it comes that there is no `user.user_id`.
fn missing(sent: &str) -> String {
    let raw: &RawValue = serde_json::from_str(sent).unwrap_or(RawValue::NULL);
    let Some(fields) = Fields::of(raw) else {
        return format!("the record is {}, not an object", json::kind(raw));
    };
    match fields.get("user") {
        None => "user is missing".into(),
        Some(user) if json::kind(user) != Kind::Object => {
            format!("user is {}, not an object", json::kind(user))
        }
        Some(_) => "user.user_id is missing".into(),
    }
}

/// Makes the row of an item.
pub fn row(item: &Item) -> User {
    let mut row = Row {
        issues: item.issues.clone(),
        extra: String::new(),
    };
    // The canonical text was written by us and is an object with a user; a record for which that
    // failed became a reject.
    let raw: &RawValue = serde_json::from_str(&item.text).unwrap_or(RawValue::NULL);
    let fields = Fields::of(raw).unwrap_or_default();
    let user = fields.get("user").and_then(Fields::of).unwrap_or_default();
    let identifiers = user
        .get("identifiers")
        .and_then(Fields::of)
        .unwrap_or_default();

    let email = row.text(
        &identifiers,
        "user.identifiers",
        "email_address",
        MAX_EMAIL_BYTES,
    );
    let username = row.text(&identifiers, "user.identifiers", "username", usize::MAX);
    let email_verified = row.boolean(&user, "user", "email_verified");
    let tracking_id = row.text(&user, "user", "tracking_id", usize::MAX);
    let registration_tenant = row.text(&user, "user", "registration_tenant", usize::MAX);
    if item.registered_at.is_none() && user.get("registered").is_some() {
        row.issue(
            "user.registered",
            "is not a timestamp in a known form; kept in extra",
        );
    }
    let attributes = row.attributes(&user);
    let foreign_keys = row.foreign_keys(&fields, &user);
    let grants = match item.grants {
        Grants::Told => Some(row.grants(&fields, &item.id)),
        Grants::Absent => None,
        Grants::Unusable => {
            row.issue(
                GRANTS_FIELD,
                "is neither a list nor an object with results; kept in extra",
            );
            None
        }
    };

    let captured = Captured {
        registered: item.registered_at.map(timestamp::format),
        email: email.is_some(),
        username: username.is_some(),
        email_verified: email_verified.is_some(),
        tracking_id: tracking_id.is_some(),
        registration_tenant: registration_tenant.is_some(),
    };
    row.write_extra(fields, &captured);
    User {
        user_id: item.id.clone(),
        email,
        username,
        email_verified,
        tracking_id,
        registered_at: item.registered_at,
        registration_tenant,
        attributes,
        extra: row.extra,
        foreign_keys,
        grants,
        hash: item.hash,
        issues: row.issues,
    }
}

/// The grants in what is kept of a record beside the columns, as rows.
pub(super) fn grants(extra: &str, user_id: &str) -> Vec<table::Row> {
    let raw: &RawValue = serde_json::from_str(extra).unwrap_or(RawValue::NULL);
    let mut row = Row {
        issues: Vec::new(),
        extra: String::new(),
    };
    row.grants(&Fields::of(raw).unwrap_or_default(), user_id)
}

/// Makes a reject of an item that turned out to be unstorable; the API answered with it then.
pub fn reject(item: &Item, answered_at: Option<DateTime<Utc>>, reason: String) -> Reject {
    Reject {
        id: Some(item.id.clone()),
        reason,
        text: item.text.to_string(),
        content_hash: item.hash,
        answered_at,
    }
}

/// A row while it is made.
struct Row {
    issues: Vec<Issue>,
    extra: String,
}

/// What a column holds already, and `extra` need not repeat.
struct Captured {
    /// The form in which the column gives the date back; another form is kept beside it (contract
    /// section 3).
    registered: Option<String>,
    email: bool,
    username: bool,
    email_verified: bool,
    tracking_id: bool,
    registration_tenant: bool,
}

impl Captured {
    fn of_user(&self, name: &str, value: &RawValue) -> bool {
        match name {
            "user_id" => true,
            "attributes" => json::kind(value) != Kind::Null,
            "email_verified" => self.email_verified,
            "tracking_id" => self.tracking_id,
            "registration_tenant" => self.registration_tenant,
            "registered" => {
                json::text(value).map(|t| t.text).as_deref() == self.registered.as_deref()
            }
            _ => false,
        }
    }

    fn of_identifiers(&self, name: &str) -> bool {
        match name {
            "email_address" => self.email,
            "username" => self.username,
            _ => false,
        }
    }
}

impl Row {
    fn issue(&mut self, path: &str, reason: &str) {
        self.issues.push(Issue {
            path: path.to_owned(),
            reason: reason.to_owned(),
        });
    }

    fn text(&mut self, fields: &Fields<'_>, place: &str, name: &str, max: usize) -> Option<String> {
        let raw = fields.get(name)?;
        match json::text(raw) {
            Some(Text { text, .. }) if text.len() <= max => Some(text.into_owned()),
            Some(Text { text, .. }) => {
                let reason = format!("has {} bytes, more than {max}; kept in extra", text.len());
                self.issue(&format!("{place}.{name}"), &reason);
                None
            }
            None => {
                let reason = format!("is {}, not text; kept in extra", json::kind(raw));
                self.issue(&format!("{place}.{name}"), &reason);
                None
            }
        }
    }

    fn boolean(&mut self, fields: &Fields<'_>, place: &str, name: &str) -> Option<bool> {
        let raw = fields.get(name)?;
        let value = json::boolean(raw);
        if value.is_none() {
            let reason = format!("is {}, not a boolean; kept in extra", json::kind(raw));
            self.issue(&format!("{place}.{name}"), &reason);
        }
        value
    }

    /// The attributes as they were sent, whatever they are.
    fn attributes(&mut self, user: &Fields<'_>) -> Option<String> {
        let raw = user.get("attributes")?;
        let kind = json::kind(raw);
        if kind != Kind::Object {
            let reason = format!("is {kind}, not an object; kept as sent");
            self.issue("user.attributes", &reason);
        }
        Some(raw.get().to_owned())
    }

    /// Foreign keys in either form: a map of system to key or keys, or an array of pairs (contract
    /// section 6).
    fn foreign_keys(&mut self, item: &Fields<'_>, user: &Fields<'_>) -> Vec<ForeignKey> {
        let mut keys = Vec::new();
        for (place, fields) in [("", item), ("user.", user)] {
            for name in FOREIGN_KEY_FIELDS {
                let Some(raw) = fields.get(name) else {
                    continue;
                };
                let path = format!("{place}{name}");
                match json::kind(raw) {
                    Kind::Object => {
                        for field in Fields::of(raw).unwrap_or_default().sorted() {
                            self.keys_of(&path, &field.name, field.value, &mut keys);
                        }
                    }
                    Kind::Array => {
                        for pair in json::elements(raw).unwrap_or_default() {
                            self.key_pair(&path, pair, &mut keys);
                        }
                    }
                    Kind::Text | Kind::Boolean | Kind::Null | Kind::Number => {
                        self.issue(&path, "is neither a map nor a list of keys; kept in extra");
                    }
                }
            }
        }
        keys.sort();
        keys.dedup();
        keys
    }

    /// Grants, which come as an object with `results` or as a bare array (contract section 5.1).
    /// They stay in `extra` too, which is how the history knows them.
    fn grants(&mut self, item: &Fields<'_>, user_id: &str) -> Vec<table::Row> {
        let Some(sent) = item.get(GRANTS_FIELD) else {
            return Vec::new();
        };
        let rows = Rows::new(&USER_GRANTS, &[], &Policy::default());
        let mut grants: Vec<table::Row> = Vec::new();
        for grant in list_of_grants(sent).unwrap_or_default() {
            match rows.read(grant, Some(("user_id", user_id))) {
                Ok(row) if grants.iter().any(|other| other.key == row.key) => {
                    self.issue(
                        GRANTS_FIELD,
                        "holds a grant twice; the first one counts, both are kept in extra",
                    );
                }
                Ok(row) => grants.push(row),
                Err(reject) => {
                    self.issue(
                        GRANTS_FIELD,
                        &format!(
                            "holds a grant that has no row ({}); kept in extra",
                            reject.reason
                        ),
                    );
                }
            }
        }
        grants
    }

    fn key_pair(&mut self, path: &str, pair: &RawValue, keys: &mut Vec<ForeignKey>) {
        let fields = Fields::of(pair).unwrap_or_default();
        let system = SYSTEM_FIELDS
            .iter()
            .find_map(|name| fields.get(name))
            .and_then(json::text);
        let key = KEY_FIELDS.iter().find_map(|name| fields.get(name));
        match (system, key) {
            (Some(system), Some(key)) => self.keys_of(path, &system.text, key, keys),
            // A list of maps, each from system to key.
            (None, _) if json::kind(pair) == Kind::Object => {
                for field in fields.sorted() {
                    self.keys_of(path, &field.name, field.value, keys);
                }
            }
            (Some(_), None) | (None, _) => {
                self.issue(
                    path,
                    "holds an entry without a system or a key; kept in extra",
                );
            }
        }
    }

    fn keys_of(&mut self, path: &str, system: &str, raw: &RawValue, keys: &mut Vec<ForeignKey>) {
        let key = match json::kind(raw) {
            Kind::Text => json::text(raw).map(|text| text.text).unwrap_or_default(),
            Kind::Number => Cow::Borrowed(raw.get()),
            Kind::Array => {
                for each in json::elements(raw).unwrap_or_default() {
                    if json::kind(each) == Kind::Array {
                        self.issue(path, "holds a key nested too deeply; kept in extra");
                    } else {
                        self.keys_of(path, system, each, keys);
                    }
                }
                return;
            }
            Kind::Null => return,
            Kind::Object | Kind::Boolean => {
                self.issue(path, "holds a key that is not text; kept in extra");
                return;
            }
        };
        if system.len() > MAX_KEY_BYTES || key.len() > MAX_KEY_BYTES {
            let reason = format!("holds a key of more than {MAX_KEY_BYTES} bytes; kept in extra");
            self.issue(path, &reason);
        } else {
            keys.push(ForeignKey {
                system: system.to_owned(),
                key: key.into_owned(),
            });
        }
    }

    fn write_extra(&mut self, fields: Fields<'_>, captured: &Captured) {
        let out = &mut self.extra;
        json::write_object(fields, out, |name, value, out| {
            match within("user", name, value) {
                Some(user) => {
                    json::write_object(user, out, |name, value, out| {
                        match within("identifiers", name, value) {
                            Some(identifiers) => {
                                json::write_object(identifiers, out, |name, value, out| {
                                    if !captured.of_identifiers(name) {
                                        out.push_str(value.get());
                                    }
                                });
                            }
                            None if captured.of_user(name, value) => {}
                            None => out.push_str(value.get()),
                        }
                    });
                }
                None => out.push_str(value.get()),
            }
        });
        if out.is_empty() {
            out.push_str("{}");
        }
    }
}

/// The grants in what is sent as such; none where it is neither a list nor an object with one.
fn list_of_grants(sent: &RawValue) -> Option<Vec<&RawValue>> {
    let inner = Fields::of(sent).and_then(|fields| fields.get("results"));
    json::elements(inner.unwrap_or(sent))
}

/// The fields of an object of that name: nothing else is looked into.
fn within<'a>(wanted: &str, name: &str, value: &'a RawValue) -> Option<Fields<'a>> {
    (name == wanted).then(|| Fields::of(value)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(json: &str) -> User {
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        row(&item(raw, &["seq-no".to_owned()], &Rules::default()).unwrap())
    }

    fn reason(json: &str) -> String {
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        item(raw, &[], &Rules::default()).unwrap_err().reason
    }

    #[test]
    fn an_ordinary_user_fills_the_columns_and_leaves_the_rest() {
        let user = user(
            r#"{"seq-no":17,"user":{"user_id":"u1","identifiers":{"email_address":"a@b.example","username":"ab"},"email_verified":true,
                "tracking_id":"t","registered":"2021-02-24T15:43:28Z","registration_tenant":"news|sub","attributes":{"b":1,"a":"x"},
                "foreign_keys":{"crm":["2","1"],"erp":7},"last_login":"yesterday"},"grants":{"results":[]}}"#,
        );
        assert_eq!(user.email.as_deref(), Some("a@b.example"));
        assert_eq!(user.username.as_deref(), Some("ab"));
        assert_eq!(user.email_verified, Some(true));
        assert_eq!(user.registration_tenant.as_deref(), Some("news|sub"));
        assert_eq!(user.attributes.as_deref(), Some(r#"{"a":"x","b":1}"#));
        assert_eq!(
            user.extra,
            r#"{"grants":{"results":[]},"seq-no":17,"user":{"foreign_keys":{"crm":["2","1"],"erp":7},"last_login":"yesterday"}}"#
        );
        let keys: Vec<_> = user
            .foreign_keys
            .iter()
            .map(|k| (k.system.as_str(), k.key.as_str()))
            .collect();
        assert_eq!(keys, [("crm", "1"), ("crm", "2"), ("erp", "7")]);
        assert!(user.issues.is_empty(), "{:?}", user.issues);
    }

    #[test]
    fn values_of_the_wrong_type_are_null_explained_and_kept() {
        let user = user(
            r#"{"user":{"user_id":"u1","identifiers":{"email_address":5},"email_verified":"true","registered":"yesterday","attributes":[]}}"#,
        );
        assert_eq!(
            (user.email, user.email_verified, user.registered_at),
            (None, None, None)
        );
        assert_eq!(
            user.extra,
            r#"{"user":{"email_verified":"true","identifiers":{"email_address":5},"registered":"yesterday"}}"#
        );
        assert_eq!(user.attributes.as_deref(), Some("[]"));
        let paths: Vec<_> = user
            .issues
            .iter()
            .map(|issue| issue.path.as_str())
            .collect();
        assert_eq!(
            paths,
            [
                "user.identifiers.email_address",
                "user.email_verified",
                "user.registered",
                "user.attributes"
            ]
        );
    }

    #[test]
    fn a_date_in_another_form_is_kept_beside_the_column() {
        let user =
            user(r#"{"user":{"user_id":"u1","registered":"2021-02-24T16:43:28.250+01:00"}}"#);
        assert_eq!(
            user.registered_at.map(timestamp::format).as_deref(),
            Some("2021-02-24T15:43:28Z")
        );
        assert_eq!(
            user.extra,
            r#"{"user":{"registered":"2021-02-24T16:43:28.250+01:00"}}"#
        );
    }

    #[test]
    fn a_date_as_a_number_is_read_and_kept_beside_the_column() {
        for sent in ["1614181408", "1614181408000", "\"1614181408\""] {
            let user = user(&format!(
                r#"{{"user":{{"user_id":"u1","registered":{sent}}}}}"#
            ));
            assert_eq!(
                user.registered_at.map(timestamp::format).as_deref(),
                Some("2021-02-24T15:43:28Z")
            );
            assert_eq!(user.extra, format!(r#"{{"user":{{"registered":{sent}}}}}"#));
            assert!(user.issues.is_empty());
        }
    }

    #[test]
    fn foreign_keys_come_in_a_list_of_pairs_too() {
        let user = user(
            r#"{"user":{"user_id":"u1"},"foreign_keys":[{"system":"crm","key":"1"},{"foreign_system":"erp","foreign_key":2},{"x":"y"},5,{"system":"z"}]}"#,
        );
        let keys: Vec<_> = user
            .foreign_keys
            .iter()
            .map(|k| (k.system.as_str(), k.key.as_str()))
            .collect();
        assert_eq!(keys, [("crm", "1"), ("erp", "2"), ("x", "y")]);
        assert_eq!(user.issues.len(), 2);
    }

    #[test]
    fn a_record_without_a_key_is_rejected_with_the_reason() {
        assert_eq!(reason("5"), "the record is a number, not an object");
        assert_eq!(reason(r#"{"seq-no":1}"#), "user is missing");
        assert_eq!(reason(r#"{"user":[]}"#), "user is an array, not an object");
        assert_eq!(
            reason(r#"{"user":{"user_id":null}}"#),
            "user.user_id is missing"
        );
        assert_eq!(
            reason(r#"{"user":{"user_id":12}}"#),
            "user.user_id is a number, not text"
        );
        assert_eq!(
            reason(r#"{"user":{"user_id":""}}"#),
            "user.user_id is empty"
        );
        assert!(reason(r#"{"user":{"user_id":"a\u0000"}}"#).contains("NUL"));
        let long = format!(r#"{{"user":{{"user_id":"{}"}}}}"#, "x".repeat(3_000));
        assert!(reason(&long).contains("3000 bytes"));
    }
}
