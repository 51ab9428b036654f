//! What a job says about single users. The shape of `details` is not documented (contract section
//! 12.3): an array, a map by identifier, or an object that holds one of these. So it is searched
//! for the users that were sent, wherever they stand.

use std::collections::{BTreeMap, HashSet};

use serde_json::value::RawValue;

use crate::json::{self, Fields, Kind};

/// What a job says about a user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Whether the update was done, where a word is known that says so.
    pub done: Option<bool>,
    /// What else it says.
    pub message: Option<String>,
}

/// Under which names a user stands in an entry.
const USER_FIELDS: [&str; 7] = [
    "user_id",
    "userId",
    "id",
    "identifier",
    "identifiers",
    "user",
    "foreign_key",
];
const STATUS_FIELDS: [&str; 7] = [
    "status",
    "jobStatus",
    "job_status",
    "state",
    "result",
    "outcome",
    "success",
];
const MESSAGE_FIELDS: [&str; 5] = ["message", "error", "reason", "description", "detail"];

const DONE: [&str; 10] = [
    "success",
    "succeeded",
    "successful",
    "ok",
    "completed",
    "complete",
    "done",
    "updated",
    "deleted",
    "true",
];
const NOT_DONE: [&str; 11] = [
    "error",
    "errors",
    "failed",
    "failure",
    "fail",
    "invalid",
    "rejected",
    "not found",
    "not_found",
    "skipped",
    "false",
];

/// Deeper than any shape that was imagined.
const MAX_DEPTH: usize = 12;

/// A sentence; more is not a message but a page.
const MOST_SAID: usize = 300;

/// What the answer about a job says about these users; who is not in it is not named there.
pub fn told(answer: &RawValue, users: &HashSet<&str>) -> BTreeMap<String, Told> {
    let mut found = BTreeMap::new();
    let fields = Fields::of(answer).unwrap_or_default();
    let inner = fields.get("data").and_then(Fields::of);
    let details = inner.as_ref().unwrap_or(&fields).get("details");
    if let Some(details) = details {
        search(details, users, &mut found, MAX_DEPTH);
    }
    found
}

fn search(
    value: &RawValue,
    users: &HashSet<&str>,
    found: &mut BTreeMap<String, Told>,
    depth: usize,
) {
    if depth == 0 {
        return;
    }
    match json::kind(value) {
        Kind::Array => {
            for element in json::elements(value).unwrap_or_default() {
                search(element, users, found, depth - 1);
            }
        }
        Kind::Object => {
            let fields = Fields::of(value).unwrap_or_default();
            if let Some(user) = user_of(&fields, users) {
                found.insert(user, entry(&fields));
                return;
            }
            for field in fields.sorted() {
                if users.contains(field.name.as_ref()) {
                    found.insert(field.name.into_owned(), said(field.value));
                } else {
                    search(field.value, users, found, depth - 1);
                }
            }
        }
        Kind::Text => {
            // Details that are JSON in a string, as `select-options` is (contract section 7).
            if let Some(text) = json::text(value)
                && text.text.starts_with(['{', '['])
                && let Ok(inner) = serde_json::from_str::<&RawValue>(&text.text)
            {
                search(inner, users, found, depth - 1);
            }
        }
        Kind::Number | Kind::Boolean | Kind::Null => {}
    }
}

/// The user an entry is about.
fn user_of(fields: &Fields<'_>, users: &HashSet<&str>) -> Option<String> {
    USER_FIELDS.iter().find_map(|name| {
        let value = fields.get(name)?;
        match json::kind(value) {
            Kind::Text => {
                let text = json::text(value)?.text;
                users.contains(text.as_ref()).then(|| text.into_owned())
            }
            Kind::Number => users.contains(value.get()).then(|| value.get().to_owned()),
            Kind::Object => user_of(&Fields::of(value)?, users),
            Kind::Array | Kind::Boolean | Kind::Null => None,
        }
    })
}

fn entry(fields: &Fields<'_>) -> Told {
    let word = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| fields.get(name))
            .and_then(plain)
    };
    let status = word(&STATUS_FIELDS);
    let message = word(&MESSAGE_FIELDS);
    let error = fields
        .get("error")
        .is_some_and(|error| json::kind(error) == Kind::Text);
    let done = status
        .as_deref()
        .and_then(judged)
        .or(error.then_some(false));
    let message = message.or(status.filter(|_| done.is_none()));
    Told {
        done,
        message: message.map(shortened),
    }
}

/// A user's entry in a map by identifier.
fn said(value: &RawValue) -> Told {
    match json::kind(value) {
        Kind::Object => entry(&Fields::of(value).unwrap_or_default()),
        Kind::Array => {
            // One entry per action.
            let parts: Vec<Told> = json::elements(value)
                .unwrap_or_default()
                .into_iter()
                .map(said)
                .collect();
            let failed = parts.iter().find(|told| told.done == Some(false));
            match failed {
                Some(failed) => failed.clone(),
                None => Told {
                    done: parts
                        .iter()
                        .all(|told| told.done == Some(true))
                        .then_some(true)
                        .filter(|_| !parts.is_empty()),
                    message: parts.into_iter().find_map(|told| told.message),
                },
            }
        }
        Kind::Text | Kind::Number | Kind::Boolean | Kind::Null => {
            let word = plain(value);
            let done = word.as_deref().and_then(judged);
            Told {
                done,
                message: word.filter(|_| done != Some(true)).map(shortened),
            }
        }
    }
}

fn plain(value: &RawValue) -> Option<String> {
    match json::kind(value) {
        Kind::Text => json::text(value).map(|text| text.text.into_owned()),
        Kind::Boolean | Kind::Number => Some(value.get().to_owned()),
        Kind::Object | Kind::Array | Kind::Null => None,
    }
}

fn judged(word: &str) -> Option<bool> {
    let word = word.trim();
    let among = |words: &[&str]| words.iter().any(|known| word.eq_ignore_ascii_case(known));
    match (among(&DONE), among(&NOT_DONE)) {
        (true, _) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    }
}

fn shortened(text: String) -> String {
    text.chars().take(MOST_SAID).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(details: &str) -> BTreeMap<String, Told> {
        let answer = format!(r#"{{"jobId":"j","details":{details}}}"#);
        told(
            serde_json::from_str(&answer).unwrap(),
            &HashSet::from(["ann", "bo"]),
        )
    }

    #[test]
    fn users_are_found_in_each_shape() {
        for details in [
            r#"[{"user_id":"ann","status":"success","message":""},{"user_id":"bo","status":"error","message":"no such user"}]"#,
            r#"[{"userId":"ann","status":"SUCCEEDED"},{"userId":"bo","status":"FAILED","message":"no such user"}]"#,
            r#"[{"identifier":{"user_id":"ann"},"state":"ok"},{"identifier":{"user_id":"bo"},"state":"failed","error":"no such user"}]"#,
            r#"{"ann":{"status":"success"},"bo":{"status":"error","message":"no such user"}}"#,
            r#"{"ann":"updated","bo":"failed"}"#,
            r#"{"updates":[{"id":"ann","success":true},{"id":"bo","success":false,"message":"no such user"}]}"#,
            r#"{"results":{"succeeded":[{"user_id":"ann","status":"done"}],"failed":[{"user_id":"bo","status":"invalid"}]}}"#,
            r#""[{\"user_id\":\"ann\",\"status\":\"ok\"},{\"user_id\":\"bo\",\"status\":\"error\"}]""#,
            r#"{"ann":[{"status":"ok"},{"status":"ok"}],"bo":[{"status":"ok"},{"status":"error","message":"no such user"}]}"#,
        ] {
            let told = read(details);
            assert_eq!(told["ann"].done, Some(true), "{details}");
            assert_eq!(told["bo"].done, Some(false), "{details}");
        }
    }

    #[test]
    fn what_says_nothing_is_told_apart_from_failure() {
        assert!(read("{}").is_empty());
        assert!(read("[]").is_empty());
        assert!(read(r#"[{"user_id":"cy","status":"ok"}]"#).is_empty());
        assert_eq!(
            read(r#"{"ann":"half-way through"}"#)["ann"],
            Told {
                done: None,
                message: Some("half-way through".into())
            }
        );
        assert_eq!(
            read(r#"[{"user_id":"ann","error":"boom"}]"#)["ann"].done,
            Some(false)
        );
    }
}
