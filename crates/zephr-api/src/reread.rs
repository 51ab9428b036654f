//! A user whose record has another content hash than the mirror's row: is the user another one, or
//! are users only read in another way?
//!
//! The hash covers all that was sent but what `ignore_fields` names, so it differs too when a job
//! asks for more or for less, when `[privacy]` or `ignore_fields` changed, and when another version
//! writes records differently. None of that happened at Zephr. So the record is put together again
//! from the row, and the two are compared:
//!
//! - what is not asked for stays as it was ([`Reading::left`]): that it was not sent says nothing
//!   about it;
//! - what rows may have been read without until now ([`Reading::new`]) is no difference where the
//!   row lacks it.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::json::{self, Fields, Kind};
use super::user::{self, FOREIGN_KEY_FIELDS, GRANTS_FIELD};
use super::{difference, rejoin};
use privacy::Rules;
use record::{Issue, Mirrored, User};

/// What the issues of a row say whose grants stay because nothing was said of them.
pub const GRANTS_STAY: &str =
    "were asked for, and the record says nothing of them; what is known of them stays";

/// Names all apps in `appIds` (contract section 5.2).
const ALL_APPS: &str = "all";

/// How the users of a run are read, and how rows may have been read before.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// The fields that do not count as a change.
    pub ignored: Vec<String>,
    /// What is not asked for.
    pub left: Parts,
    /// What is asked for, and was not of every row.
    pub new: Parts,
    /// What was not kept of a record until now, and is.
    pub stricter: Rules,
    /// The hash of every row was made as it is made now: another hash is another user.
    pub is_by_hash: bool,
}

/// Parts of a record that are sent when they are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    /// The user's grants.
    pub grants: bool,
    /// The extended profiles of these apps.
    pub apps: Vec<String>,
}

impl Reading {
    /// Whether grants are asked for, and the record of a user says nothing of them.
    pub fn asks_in_vain(&self, user: &User) -> bool {
        !self.left.grants && user.grants.is_none()
    }

    /// Takes over the grants that are known of a user, which the record says nothing of. The hash
    /// is made one that no record has: so the user is looked at again with each scan, until one
    /// tells.
    fn keep_grants(&self, stored: &Mirrored, user: &mut User) {
        let left = Parts {
            grants: true,
            apps: self.left.apps.clone(),
        };
        let Some(extra) = left.kept(&stored.extra, &without_unusable(&user.extra)) else {
            return;
        };
        let grants = user::grants(&extra, &user.user_id);
        if !grants.is_empty() {
            user.hash[0] = !user.hash[0];
            // What was sent in their place is not in `extra`, as an issue of the row may say.
            user.issues.retain(|issue| issue.path != GRANTS_FIELD);
            user.issues.push(Issue {
                path: GRANTS_FIELD.to_owned(),
                reason: GRANTS_STAY.to_owned(),
            });
        }
        user.grants = Some(grants);
        user.extra = extra;
    }

    /// Whether the user is another one than in the mirror. What is not asked for is taken over from
    /// there, and so are grants of which the record says nothing.
    pub fn settle(&self, stored: &Mirrored, user: &mut User) -> bool {
        if self.asks_in_vain(user) {
            self.keep_grants(stored, user);
        } else if !self.left.is_nothing()
            && let Some(extra) = self.left.kept(&stored.extra, &user.extra)
        {
            user.grants = Some(user::grants(&extra, &user.user_id));
            user.extra = extra;
        }
        let here = rejoin::record(stored);
        let there = rejoin::record(&mirrored(user));
        if difference::is_same_record(&here, &there, &self.ignored) {
            return false;
        }
        if self.new.is_nothing() && self.stricter.is_empty() {
            return true;
        }
        // As it would have been read before.
        let before = self.new.without(&there, &here);
        let before = before.as_deref().unwrap_or(&there);
        let raw: &RawValue = serde_json::from_str(before).unwrap_or(RawValue::NULL);
        match user::item(raw, &[], &self.stricter) {
            Ok(item) => {
                let before = rejoin::record(&mirrored(&user::row(&item)));
                !difference::is_same_record(&here, &before, &self.ignored)
            }
            Err(_) => true,
        }
    }
}

/// What is kept of a record beside the columns, without grants that are none.
fn without_unusable(extra: &str) -> String {
    let raw: &RawValue = serde_json::from_str(extra).unwrap_or(RawValue::NULL);
    let mut object: Object = Fields::of(raw)
        .map(by_name)
        .unwrap_or_default()
        .into_iter()
        .map(|(name, value)| (name, value.get().to_owned()))
        .collect();
    object.remove(GRANTS_FIELD);
    written(&object)
}

/// The row that is made of a user.
fn mirrored(user: &User) -> Mirrored {
    Mirrored {
        user_id: user.user_id.clone(),
        email: user.email.clone(),
        username: user.username.clone(),
        email_verified: user.email_verified,
        tracking_id: user.tracking_id.clone(),
        registered_at: user.registered_at,
        registration_tenant: user.registration_tenant.clone(),
        attributes: user.attributes.clone(),
        extra: user.extra.clone(),
        issues: Vec::new(),
    }
}

/// Where in a record an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The record itself.
    Item,
    /// Its `user`.
    User,
    /// Anywhere below a field that has no meaning of its own.
    Below,
}

impl Place {
    /// Where the value of a field is; none where nothing in it belongs to an app.
    fn of(self, name: &str) -> Option<Self> {
        let is_foreign_key = FOREIGN_KEY_FIELDS.contains(&name);
        match self {
            Self::Item if name == "user" => Some(Self::User),
            Self::Item if name == GRANTS_FIELD || is_foreign_key => None,
            Self::User if name == "identifiers" || name == "attributes" || is_foreign_key => None,
            Self::Item | Self::User | Self::Below => Some(Self::Below),
        }
    }
}

/// An object on its way: the text of each field.
type Object = BTreeMap<String, String>;

impl Parts {
    /// Whether there are none.
    pub fn is_nothing(&self) -> bool {
        !self.grants && self.apps.is_empty()
    }

    /// What was sent, with these parts as they are stored where they were not sent; none where
    /// nothing was to be added.
    fn kept(&self, stored: &str, sent: &str) -> Option<String> {
        let stored: &RawValue = serde_json::from_str(stored).ok()?;
        let sent: &RawValue = serde_json::from_str(sent).ok()?;
        self.kept_of(Place::Item, Fields::of(stored)?, Fields::of(sent)?)
    }

    fn kept_of(&self, place: Place, stored: Fields<'_>, sent: Fields<'_>) -> Option<String> {
        let sent = by_name(sent);
        let mut object: Object = (sent.iter())
            .map(|(name, value)| (name.clone(), value.get().to_owned()))
            .collect();
        let mut is_more = false;
        for (name, stored) in by_name(stored) {
            let more = match sent.get(&name) {
                None => self.part(place, &name, stored),
                Some(sent) => place
                    .of(&name)
                    .and_then(|below| self.kept_in(below, stored, sent)),
            };
            if let Some(more) = more {
                is_more = true;
                object.insert(name, more);
            }
        }
        is_more.then(|| written(&object))
    }

    /// The same for a value that both have.
    fn kept_in(&self, place: Place, stored: &RawValue, sent: &RawValue) -> Option<String> {
        if let (Some(stored), Some(sent)) = (Fields::of(stored), Fields::of(sent)) {
            return self.kept_of(place, stored, sent);
        }
        let (stored, sent) = (json::elements(stored)?, json::elements(sent)?);
        let more = stored.into_iter().filter(|element| {
            let app = self.app_of(element);
            app.is_some() && !sent.iter().any(|sent| self.app_of(sent) == app)
        });
        let all: Vec<&RawValue> = sent.iter().copied().chain(more).collect();
        (all.len() > sent.len()).then(|| list(&all))
    }

    /// What of a field is one of these parts, where the other side has no such field.
    fn part(&self, place: Place, name: &str, value: &RawValue) -> Option<String> {
        match self.share(place, name, value) {
            Share::All => Some(value.get().to_owned()),
            Share::Nothing => None,
            Share::Within => match Fields::of(value) {
                Some(fields) => {
                    let part: Object = (by_name(fields).into_iter())
                        .filter_map(|(name, value)| {
                            let part = self.part(Place::Below, &name, value)?;
                            Some((name, part))
                        })
                        .collect();
                    (!part.is_empty()).then(|| written(&part))
                }
                None => {
                    let elements = json::elements(value).unwrap_or_default();
                    let part: Vec<&RawValue> = (elements.into_iter())
                        .filter(|element| self.app_of(element).is_some())
                        .collect();
                    (!part.is_empty()).then(|| list(&part))
                }
            },
        }
    }

    /// What was sent, without those of these parts that the other record lacks; none where that is
    /// all of it.
    fn without(&self, sent: &str, stored: &str) -> Option<String> {
        let stored: &RawValue = serde_json::from_str(stored).ok()?;
        let sent: &RawValue = serde_json::from_str(sent).ok()?;
        Some(self.without_of(Place::Item, Fields::of(sent)?, Fields::of(stored)?))
    }

    fn without_of(&self, place: Place, sent: Fields<'_>, stored: Fields<'_>) -> String {
        let stored = by_name(stored);
        let left = by_name(sent).into_iter().filter_map(|(name, sent)| {
            let left = match stored.get(&name) {
                None => self.rest(place, &name, sent)?,
                Some(stored) => match place.of(&name) {
                    Some(below) => self.without_in(below, sent, stored),
                    None => sent.get().to_owned(),
                },
            };
            Some((name, left))
        });
        written(&left.collect())
    }

    fn without_in(&self, place: Place, sent: &RawValue, stored: &RawValue) -> String {
        if let (Some(sent), Some(stored)) = (Fields::of(sent), Fields::of(stored)) {
            return self.without_of(place, sent, stored);
        }
        let (Some(elements), Some(stored)) = (json::elements(sent), json::elements(stored)) else {
            return sent.get().to_owned();
        };
        let left: Vec<&RawValue> = (elements.into_iter())
            .filter(|element| {
                let app = self.app_of(element);
                app.is_none() || stored.iter().any(|stored| self.app_of(stored) == app)
            })
            .collect();
        list(&left)
    }

    /// What of a field is none of these parts, where the other side has no such field.
    fn rest(&self, place: Place, name: &str, value: &RawValue) -> Option<String> {
        match self.share(place, name, value) {
            Share::All => None,
            Share::Nothing => Some(value.get().to_owned()),
            Share::Within => match Fields::of(value) {
                Some(fields) => {
                    let rest: Object = (by_name(fields).into_iter())
                        .filter_map(|(name, value)| {
                            let rest = self.rest(Place::Below, &name, value)?;
                            Some((name, rest))
                        })
                        .collect();
                    (!rest.is_empty()).then(|| written(&rest))
                }
                None => {
                    let elements = json::elements(value).unwrap_or_default();
                    let rest: Vec<&RawValue> = (elements.into_iter())
                        .filter(|element| self.app_of(element).is_none())
                        .collect();
                    (!rest.is_empty()).then(|| list(&rest))
                }
            },
        }
    }

    /// How much of a field is one of these parts. Where the export puts extended profiles is not
    /// documented (contract section 5.1), so they are told by the name of their app; an empty
    /// object or list is what is sent of profiles that a user does not have.
    fn share(&self, place: Place, name: &str, value: &RawValue) -> Share {
        if place == Place::Item && name == GRANTS_FIELD {
            return if self.grants {
                Share::All
            } else {
                Share::Nothing
            };
        }
        if self.apps.is_empty() || place.of(name) != Some(Place::Below) {
            return Share::Nothing;
        }
        if self.apps.iter().any(|app| app == name) {
            return Share::All;
        }
        let all = place != Place::Below && self.apps.iter().any(|app| app == ALL_APPS);
        match json::kind(value) {
            Kind::Object | Kind::Array if all || is_empty(value) => Share::All,
            Kind::Object | Kind::Array => Share::Within,
            Kind::Text | Kind::Number | Kind::Boolean | Kind::Null => Share::Nothing,
        }
    }

    /// The app that an element of a list names in one of its fields, if it is one of these.
    fn app_of(&self, element: &RawValue) -> Option<&str> {
        let fields = Fields::of(element)?.sorted();
        self.apps.iter().map(String::as_str).find(|app| {
            let mut texts = fields.iter().filter_map(|field| json::text(field.value));
            texts.any(|text| text.text == *app)
        })
    }
}

/// How much of a field is a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    All,
    /// Something in it may be.
    Within,
    Nothing,
}

fn is_empty(value: &RawValue) -> bool {
    let fields = Fields::of(value).is_some_and(|fields| fields.names().next().is_none());
    fields || json::elements(value).is_some_and(|elements| elements.is_empty())
}

fn by_name(fields: Fields<'_>) -> BTreeMap<String, &RawValue> {
    (fields.sorted().into_iter())
        .map(|field| (field.name.into_owned(), field.value))
        .collect()
}

fn written(object: &Object) -> String {
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

fn list(elements: &[&RawValue]) -> String {
    let texts: Vec<&str> = elements.iter().map(|element| element.get()).collect();
    format!("[{}]", texts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(grants: bool, apps: &[&str]) -> Parts {
        Parts {
            grants,
            apps: apps.iter().map(|app| (*app).to_owned()).collect(),
        }
    }

    #[test]
    fn what_is_not_asked_for_is_kept_wherever_it_is() {
        for (left, stored, sent, kept) in [
            (
                parts(true, &[]),
                r#"{"grants":[1],"x":1}"#,
                r#"{"y":2}"#,
                r#"{"grants":[1],"y":2}"#,
            ),
            (
                parts(false, &["g"]),
                r#"{"grants":[1],"profiles":{"g":{"a":1},"n":2}}"#,
                r#"{"profiles":{"n":3}}"#,
                r#"{"profiles":{"g":{"a":1},"n":3}}"#,
            ),
            (
                parts(false, &["g"]),
                r#"{"profiles":{"g":{"a":1}}}"#,
                "{}",
                r#"{"profiles":{"g":{"a":1}}}"#,
            ),
            (
                parts(false, &["g"]),
                r#"{"profiles":{}}"#,
                "{}",
                r#"{"profiles":{}}"#,
            ),
            (
                parts(false, &["g"]),
                r#"{"user":{"g":{"a":1},"x":1}}"#,
                r#"{"user":{"y":1}}"#,
                r#"{"user":{"g":{"a":1},"y":1}}"#,
            ),
            (
                parts(false, &["g"]),
                r#"{"p":[{"app":"g"},{"app":"n","v":1}]}"#,
                r#"{"p":[{"app":"n","v":2}]}"#,
                r#"{"p":[{"app":"n","v":2},{"app":"g"}]}"#,
            ),
            (
                parts(false, &["all"]),
                r#"{"p":{"g":1},"last":1}"#,
                "{}",
                r#"{"p":{"g":1}}"#,
            ),
        ] {
            assert_eq!(left.kept(stored, sent).as_deref(), Some(kept), "{stored}");
        }
    }

    #[test]
    fn what_the_api_does_not_send_though_it_was_asked_is_gone() {
        for (left, stored, sent) in [
            (parts(false, &["g"]), r#"{"grants":[1]}"#, "{}"),
            (parts(true, &[]), r#"{"profiles":{"g":1}}"#, "{}"),
            (parts(true, &[]), r#"{"grants":[1]}"#, r#"{"grants":[]}"#),
            (
                parts(false, &["g"]),
                r#"{"user":{"attributes":{"g":1},"identifiers":{"g":1}},"foreign_keys":{"g":"1"}}"#,
                r#"{"user":{"attributes":{}}}"#,
            ),
            (parts(false, &["g"]), r#"{"p":{"g":1}}"#, r#"{"p":{"g":2}}"#),
        ] {
            assert_eq!(left.kept(stored, sent), None, "{stored}");
        }
    }

    #[test]
    fn what_is_new_is_taken_out_where_the_row_lacks_it() {
        for (new, sent, stored, before) in [
            (
                parts(true, &[]),
                r#"{"grants":[1],"x":1}"#,
                r#"{"x":1}"#,
                r#"{"x":1}"#,
            ),
            (
                parts(true, &[]),
                r#"{"grants":[1]}"#,
                r#"{"grants":[]}"#,
                r#"{"grants":[1]}"#,
            ),
            (
                parts(false, &["g"]),
                r#"{"profiles":{"g":{},"n":1},"x":{}}"#,
                r#"{"profiles":{"n":1}}"#,
                r#"{"profiles":{"n":1}}"#,
            ),
            (
                parts(false, &["g"]),
                r#"{"profiles":{"g":{"a":1}}}"#,
                "{}",
                "{}",
            ),
            (parts(false, &["g"]), r#"{"profiles":{}}"#, "{}", "{}"),
            (
                parts(false, &["g"]),
                r#"{"p":[{"app":"g"},{"app":"n"}]}"#,
                r#"{"p":[{"app":"n"}]}"#,
                r#"{"p":[{"app":"n"}]}"#,
            ),
            (
                parts(false, &["g"]),
                r#"{"user":{"attributes":{"g":1}}}"#,
                r#"{"user":{"attributes":{}}}"#,
                r#"{"user":{"attributes":{"g":1}}}"#,
            ),
        ] {
            assert_eq!(new.without(sent, stored).as_deref(), Some(before), "{sent}");
        }
    }
}
