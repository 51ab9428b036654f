//! One row beside the user as the API shows them at this moment: what is to be done with it, or
//! what was. No network and no database.

use serde_json::value::RawValue;

use crate::bulk::equality::same;
use crate::bulk::field::Fields;
use mirror::state::bulk::rows::{Action, Row, Values};
use zephr::person::Person;

/// What is to be done with a row that was not sent, or certainly not processed.
#[derive(Debug)]
pub enum Decision {
    /// It is sent: these attributes, or the deletion.
    Send(Vec<String>),
    /// It is sent although the user changed since it was planned; this is what they are now.
    SendOver(Vec<String>, Values),
    /// There is nothing to send: it is so already.
    AlreadySo,
    /// It is not sent, and this is why.
    Not(String),
}

/// What is known of a row that was sent, by what the user is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It was done.
    Arrived,
    /// Everything is as it was before.
    NotArrived,
    /// Neither: part of it, or something else.
    Neither,
}

const NOBODY: &str = "there is no user with this user_id any more";
const SOMEBODY_ELSE: &str =
    "the user registered at another time than the one who was planned: it is somebody else";

/// Whether two people with one id are two people.
fn is_another(row: &Row, person: &Person) -> bool {
    match (row.registered_at, person.registered_at) {
        (Some(planned), Some(present)) => planned != present,
        (None, _) | (_, None) => false,
    }
}

/// What is to be done with a row. `forced` sends it also to a user who changed since.
pub fn decide(fields: &Fields, row: &Row, present: Option<&Person>, forced: bool) -> Decision {
    let Some(person) = present else {
        return Decision::Not(NOBODY.into());
    };
    if is_another(row, person) {
        return Decision::Not(SOMEBODY_ELSE.into());
    }
    match row.action {
        Action::Delete => decide_delete(row, person, forced),
        Action::Set => decide_set(fields, row, person, forced),
    }
}

/// A deletion takes the person who was planned, and no other: their address must be the one that
/// was seen.
fn decide_delete(row: &Row, person: &Person, forced: bool) -> Decision {
    let planned = row.before().get(EMAIL).map(|raw| raw.get());
    let present = person
        .email
        .as_ref()
        .map(|email| serde_json::Value::from(email.as_str()).to_string());
    let same =
        planned.is_none_or(|planned| planned == "null" || Some(planned) == present.as_deref());
    if same || forced {
        Decision::Send(Vec::new())
    } else {
        Decision::Not("the user's e-mail address changed since it was planned".into())
    }
}

/// Where the before-image of a deletion keeps the e-mail address: no slug begins so.
pub const EMAIL: &str = "@email";

fn decide_set(fields: &Fields, row: &Row, person: &Person, forced: bool) -> Decision {
    let mut missing = Vec::new();
    let mut changed = Vec::new();
    for (slug, wanted) in row.after() {
        let present = present(person, slug);
        if same(fields, slug, present, Some(wanted)) {
            continue;
        }
        if !same(
            fields,
            slug,
            present,
            row.before().get(slug).map(AsRef::as_ref),
        ) {
            changed.push(slug.clone());
        }
        missing.push(slug.clone());
    }
    if missing.is_empty() {
        return Decision::AlreadySo;
    }
    if changed.is_empty() {
        return Decision::Send(missing);
    }
    if !forced {
        return Decision::Not(format!(
            "changed since it was planned: {}",
            changed.join(", ")
        ));
    }
    let now = row.after().keys().map(|slug| {
        let value = present(person, slug).unwrap_or(RawValue::NULL);
        (slug.clone(), value.to_owned())
    });
    Decision::SendOver(missing, now.collect())
}

/// What is known of a row that was sent.
pub fn see(fields: &Fields, row: &Row, present: Option<&Person>) -> Seen {
    let is_gone = present.is_none_or(|person| is_another(row, person));
    match (row.action, present) {
        (Action::Delete, _) if is_gone => Seen::Arrived,
        (Action::Delete, _) => Seen::NotArrived,
        (Action::Set, Some(person)) if !is_gone => see_set(fields, row, person),
        (Action::Set, _) => Seen::Neither,
    }
}

fn see_set(fields: &Fields, row: &Row, person: &Person) -> Seen {
    let is = |slug: &String, values: &Values| {
        let value = values.get(slug).map(AsRef::as_ref);
        same(fields, slug, present(person, slug), value)
    };
    let slugs = || row.after().keys();
    if slugs().all(|slug| is(slug, row.after())) {
        Seen::Arrived
    } else if slugs().all(|slug| is(slug, row.before())) {
        Seen::NotArrived
    } else {
        Seen::Neither
    }
}

fn present<'a>(person: &'a Person, slug: &str) -> Option<&'a RawValue> {
    person.attributes.get(slug).map(AsRef::as_ref)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use sqlx::types::Json;

    use super::*;

    fn values(text: &str) -> Option<Json<Values>> {
        Some(Json(serde_json::from_str(text).unwrap()))
    }

    fn row(action: Action, old: &str, new: &str) -> Row {
        Row {
            row_number: 1,
            line: 2,
            user_id: "ann".into(),
            action,
            registered_at: DateTime::from_timestamp(1_700_000_000, 0),
            old_values: values(old),
            new_values: values(new),
        }
    }

    fn person(registered: i64, attributes: &str) -> Person {
        Person {
            registered_at: DateTime::from_timestamp(registered, 0),
            email: Some("ann@a.example".into()),
            attributes: serde_json::from_str(attributes).unwrap(),
        }
    }

    #[test]
    fn a_row_is_sent_only_to_the_user_who_was_planned_as_they_were() {
        let fields = Fields::default();
        let row = row(Action::Set, r#"{"a":"1","b":null}"#, r#"{"a":"2","b":"x"}"#);
        let decided = |registered, attributes: &str, forced| {
            decide(&fields, &row, Some(&person(registered, attributes)), forced)
        };
        let now = 1_700_000_000;
        assert!(
            matches!(decided(now, r#"{"a":"1"}"#, false), Decision::Send(slugs) if slugs == ["a", "b"])
        );
        assert!(
            matches!(decided(now, r#"{"a":"2"}"#, false), Decision::Send(slugs) if slugs == ["b"])
        );
        assert!(matches!(
            decided(now, r#"{"a":"2","b":"x"}"#, false),
            Decision::AlreadySo
        ));
        assert!(
            matches!(decided(now, r#"{"a":"3"}"#, false), Decision::Not(why) if why.ends_with(": a"))
        );
        assert!(matches!(
            decided(now, r#"{"a":"3"}"#, true),
            Decision::SendOver(slugs, over) if slugs == ["a", "b"] && over["a"].get() == "\"3\"" && over["b"].get() == "null"
        ));
        assert!(
            matches!(decided(now + 1, r#"{"a":"1"}"#, true), Decision::Not(why) if why == SOMEBODY_ELSE)
        );
        assert!(matches!(decide(&fields, &row, None, true), Decision::Not(why) if why == NOBODY));
    }

    #[test]
    fn a_deletion_takes_nobody_else() {
        let fields = Fields::default();
        let row = row(Action::Delete, r#"{"@email":"ann@a.example"}"#, "{}");
        let mut ann = person(1_700_000_000, "{}");
        assert!(matches!(
            decide(&fields, &row, Some(&ann), false),
            Decision::Send(_)
        ));
        ann.email = Some("bo@a.example".into());
        assert!(matches!(
            decide(&fields, &row, Some(&ann), false),
            Decision::Not(_)
        ));
        let new = person(1_700_000_009, "{}");
        assert!(matches!(
            decide(&fields, &row, Some(&new), true),
            Decision::Not(_)
        ));
        assert_eq!(see(&fields, &row, Some(&new)), Seen::Arrived);
        assert_eq!(see(&fields, &row, None), Seen::Arrived);
        assert_eq!(see(&fields, &row, Some(&ann)), Seen::NotArrived);
    }

    #[test]
    fn what_arrived_is_told_from_what_did_not() {
        let fields = Fields::default();
        let row = row(Action::Set, r#"{"a":"1","b":null}"#, r#"{"a":"2","b":"x"}"#);
        let seen = |attributes: &str| see(&fields, &row, Some(&person(1_700_000_000, attributes)));
        assert_eq!(seen(r#"{"a":"2","b":"x"}"#), Seen::Arrived);
        assert_eq!(seen(r#"{"a":"1"}"#), Seen::NotArrived);
        assert_eq!(seen(r#"{"a":"2"}"#), Seen::Neither);
        assert_eq!(see(&fields, &row, None), Seen::Neither);
    }
}
