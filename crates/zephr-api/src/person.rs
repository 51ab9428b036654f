//! A user as the API shows them at this moment, for comparing with what a push is about to do or
//! has done. Nothing of it is stored.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::json::{self, Fields};
use super::{key, timestamp};

/// What a push has to know about a user.
#[derive(Debug, Clone, Default)]
pub struct Person {
    /// When they registered: another date under the same id is another person.
    pub registered_at: Option<DateTime<Utc>>,
    /// Their e-mail address.
    pub email: Option<String>,
    /// The attributes, by slug.
    pub attributes: BTreeMap<String, Box<RawValue>>,
}

/// Where a user may stand in an answer: the export and a creation wrap it, the read of one user
/// does not (contract sections 5.1, 6.2, 6.3).
const WRAPPERS: [&str; 2] = ["data", "user"];

/// Reads a user, with their id; none where there is no id.
pub fn person(raw: &RawValue) -> Option<(String, Person)> {
    let mut fields = Fields::of(raw)?;
    for wrapper in WRAPPERS {
        if let Some(inner) = fields.get(wrapper).and_then(Fields::of) {
            fields = inner;
        }
    }
    let id = key::read(fields.get("user_id")?, "user_id").ok()?;
    let registered_at = fields
        .get("registered")
        .and_then(timestamp::read)
        .map(|read| read.at);
    let email = fields
        .get("identifiers")
        .and_then(Fields::of)
        .and_then(|identifiers| identifiers.get("email_address"))
        .and_then(json::text)
        .map(|text| text.text.into_owned());
    let attributes = fields.get("attributes").and_then(Fields::of);
    let attributes = attributes
        .unwrap_or_default()
        .sorted()
        .into_iter()
        .map(|field| (field.name.into_owned(), field.value.to_owned()))
        .collect();
    Some((
        id,
        Person {
            registered_at,
            email,
            attributes,
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_bare_and_wrapped() {
        for text in [
            r#"{"user_id":"ann","registered":"2021-02-24T15:43:28Z","attributes":{"a":1}}"#,
            r#"{"user":{"user_id":"ann","registered":"2021-02-24T15:43:28Z","attributes":{"a":1}}}"#,
            r#"{"data":{"user":{"user_id":"ann","registered":"2021-02-24T15:43:28Z","attributes":{"a":1}}}}"#,
        ] {
            let raw: &RawValue = serde_json::from_str(text).unwrap();
            let (id, person) = person(raw).unwrap();
            assert_eq!(id, "ann", "{text}");
            assert_eq!(person.attributes["a"].get(), "1");
            assert!(person.registered_at.is_some());
        }
        let nobody: &RawValue = serde_json::from_str(r#"{"results":[]}"#).unwrap();
        assert!(person(nobody).is_none());
    }
}
