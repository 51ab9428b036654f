//! A user put together again from its row: the inverse of what [`super::user`] takes apart.
//!
//! A cell that is filled counts; where it is not, what `extra` kept of the field as it was sent. So
//! a row that nobody touched gives back the `user` of the export's item, and a row that somebody
//! touched does not.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::json::{self, Fields};
use super::timestamp;
use record::Mirrored;

/// The item from which the row was made, as JSON text.
pub fn record(row: &Mirrored) -> String {
    let extra: &RawValue = serde_json::from_str(&row.extra).unwrap_or(RawValue::NULL);
    let mut item = Fields::of(extra).map(object).unwrap_or_default();
    put(&mut item, "user", Some(user(row)));
    written(&item)
}

/// The `user` of that item.
pub fn user(row: &Mirrored) -> String {
    let extra: &RawValue = serde_json::from_str(&row.extra).unwrap_or(RawValue::NULL);
    let item = Fields::of(extra).unwrap_or_default();
    let rest = item.get("user").and_then(Fields::of).unwrap_or_default();
    let kept_date = rest.get("registered");
    let mut identifiers = rest
        .get("identifiers")
        .and_then(Fields::of)
        .map(object)
        .unwrap_or_default();
    put(&mut identifiers, "email_address", text(&row.email));
    put(&mut identifiers, "username", text(&row.username));

    let registered = row
        .registered_at
        .filter(|at| !kept_date.is_some_and(|kept| is_instant(kept, *at)));
    let mut user = object(rest);
    put(&mut user, "user_id", Some(quoted(&row.user_id)));
    put(
        &mut user,
        "email_verified",
        row.email_verified.map(|verified| verified.to_string()),
    );
    put(&mut user, "tracking_id", text(&row.tracking_id));
    put(
        &mut user,
        "registered",
        registered.map(|at| quoted(&timestamp::format(at))),
    );
    put(
        &mut user,
        "registration_tenant",
        text(&row.registration_tenant),
    );
    put(&mut user, "attributes", row.attributes.clone());
    let identifiers = (!identifiers.is_empty()).then(|| written(&identifiers));
    put(&mut user, "identifiers", identifiers);
    written(&user)
}

/// Whether a date as it was sent is the one in the column, which holds microseconds.
fn is_instant(sent: &RawValue, at: DateTime<Utc>) -> bool {
    timestamp::read(sent).is_some_and(|sent| sent.at.timestamp_micros() == at.timestamp_micros())
}

fn object(fields: Fields<'_>) -> BTreeMap<String, String> {
    fields
        .sorted()
        .into_iter()
        .map(|field| (field.name.into_owned(), field.value.get().to_owned()))
        .collect()
}

fn put(object: &mut BTreeMap<String, String>, name: &str, value: Option<String>) {
    if let Some(value) = value {
        object.insert(name.to_owned(), value);
    }
}

fn text(cell: &Option<String>) -> Option<String> {
    cell.as_deref().map(quoted)
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    json::quote(text, &mut out);
    out
}

fn written(object: &BTreeMap<String, String>) -> String {
    let mut out = String::from("{");
    for (position, (name, value)) in object.iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        json::quote(name, &mut out);
        out.push(':');
        out.push_str(value);
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::super::user;
    use super::*;
    use privacy::Rules;

    /// The row of an item, as the mirror holds it.
    fn row(item: &str) -> Mirrored {
        let raw: &RawValue = serde_json::from_str(item).unwrap();
        let user = user::row(&user::item(raw, &[], &Rules::default()).unwrap());
        Mirrored {
            user_id: user.user_id,
            email: user.email,
            username: user.username,
            email_verified: user.email_verified,
            tracking_id: user.tracking_id,
            registered_at: user.registered_at,
            registration_tenant: user.registration_tenant,
            attributes: user.attributes,
            extra: user.extra,
            issues: user.issues.into_iter().map(|issue| issue.path).collect(),
        }
    }

    #[test]
    fn what_was_taken_apart_comes_together_again() {
        for sent in [
            r#"{"user_id":"u"}"#,
            r#"{"attributes":{"a":"x","b":1},"email_verified":true,"foreign_keys":{"crm":["2","1"]},"identifiers":{"email_address":"a@b.example","phone":null,"username":"ab"},"last_login":"yesterday","registered":"2021-02-24T15:43:28Z","registration_tenant":"news|sub","tracking_id":"t","user_id":"u"}"#,
            r#"{"attributes":null,"user_id":"u"}"#,
            r#"{"attributes":[],"user_id":"u"}"#,
            r#"{"email_verified":"true","identifiers":{"email_address":5},"registered":"yesterday","user_id":"u"}"#,
            r#"{"identifiers":[1],"registered":"2021-02-24T16:43:28.250+01:00","user_id":"u"}"#,
            r#"{"say \"hi\"":"line\nbreak","user_id":"u \\ é"}"#,
        ] {
            let item = format!(r#"{{"grants":[],"seq-no":7,"user":{sent}}}"#);
            assert_eq!(super::user(&row(&item)), sent);
            assert_eq!(record(&row(&item)), item);
        }
    }

    #[test]
    fn a_cell_that_somebody_changed_shows() {
        let sent = r#"{"user":{"registered":"2021-02-24T16:43:28.250+01:00","tracking_id":"t","user_id":"u"}}"#;
        let mut row = row(sent);
        row.registered_at = timestamp::parse("2022-02-24T15:43:28Z");
        row.tracking_id = None;
        assert_eq!(
            super::user(&row),
            r#"{"registered":"2022-02-24T15:43:28Z","user_id":"u"}"#
        );
    }
}
