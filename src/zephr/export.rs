//! The envelopes of the user export (contract sections 3 and 5.1): nested, flat or a bare array, and nothing else.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::client::Answer;
use super::error::Failure;
use super::json::{self, Fields, Kind};
use super::user;
use crate::privacy::Rules;
use crate::record::{Envelope, Page, Reject};

/// Reads a page.
///
/// # Errors
/// Anything that is not an export is a failure, never an empty page.
pub fn page(answer: &Answer, ignored: &[String], rules: &Rules) -> Result<Page, Failure> {
    let (records, envelope) = records_of(answer)?;
    let mut page = Page {
        envelope,
        answered_at: answer.date,
        ..Page::default()
    };
    for raw in records {
        match user::item(raw, ignored, rules) {
            Ok(item) => page.items.push(item),
            Err(reject) => page.rejects.push(Reject {
                answered_at: answer.date,
                ..reject
            }),
        }
    }
    Ok(page)
}

/// The records of an export, of users or of events, and what is around them.
///
/// # Errors
/// Anything that is not an export is a failure.
pub fn records_of(answer: &Answer) -> Result<(Vec<&RawValue>, Envelope), Failure> {
    if let Ok(page) = serde_json::from_slice::<Nested<'_>>(&answer.body) {
        return Ok((page.results.concat(), envelope(page.meta, page.links)));
    }
    let root = document(answer)?;
    let (results, envelope) = match json::kind(root) {
        Kind::Array => (root, Envelope::default()),
        Kind::Object => enveloped(root)?,
        kind @ (Kind::Text | Kind::Boolean | Kind::Null | Kind::Number) => {
            return Err(unexpected(kind.to_string()));
        }
    };
    Ok((records(results), envelope))
}

/// The form of every rendered sample, whose records are found in one reading. What is not quite so is read part by part.
#[derive(Deserialize)]
struct Nested<'a> {
    #[serde(borrow)]
    results: Vec<Vec<&'a RawValue>>,
    #[serde(borrow)]
    meta: Option<&'a RawValue>,
    #[serde(borrow)]
    links: Option<&'a RawValue>,
}

/// The records of `[[…]]`, or of `[…]`, if the other is a slip of the schema.
fn records(results: &RawValue) -> Vec<&RawValue> {
    let mut records = Vec::new();
    for element in json::elements(results).unwrap_or_default() {
        match json::elements(element) {
            Some(inner) => records.extend(inner),
            None => records.push(element),
        }
    }
    records
}

/// The body as one JSON value. The content type is not trusted either way: the first byte decides, and HTML with 200 is named as such.
pub fn document(answer: &Answer) -> Result<&RawValue, Failure> {
    let body = answer.body.trim_ascii_start();
    match body.first() {
        Some(b'<') => return Err(Failure::NotJson("HTML or XML".into())),
        None => return Err(Failure::NotJson("empty".into())),
        Some(_) => {}
    }
    serde_json::from_slice(body).map_err(|error| Failure::Malformed {
        line: error.line(),
        column: error.column(),
    })
}

fn enveloped(root: &RawValue) -> Result<(&RawValue, Envelope), Failure> {
    let fields = Fields::of(root).unwrap_or_default();
    let Some(results) = fields
        .get("results")
        .filter(|raw| json::kind(raw) == Kind::Array)
    else {
        return Err(unexpected(described(&fields)));
    };
    let around = envelope(fields.get("meta"), fields.get("links"));
    Ok((results, around))
}

/// What is around the records, as far as it can be understood.
fn envelope(meta: Option<&RawValue>, links: Option<&RawValue>) -> Envelope {
    let meta = meta.and_then(Fields::of).unwrap_or_default();
    let number = |name| meta.get(name).and_then(whole_number);
    let links = links.and_then(Fields::of).unwrap_or_default();
    let next = links.get("next").and_then(Fields::of).unwrap_or_default();
    Envelope {
        count: number("count"),
        rpp: number("rpp"),
        next: next.get("page").is_some() || next.get("url").is_some(),
    }
}

/// A number, or text that holds one.
fn whole_number(raw: &RawValue) -> Option<u64> {
    raw.get().trim_matches('"').parse().ok()
}

fn unexpected(found: String) -> Failure {
    Failure::Unexpected {
        expected: "a user export",
        found,
    }
}

/// Most names a message lists.
const NAMES_SHOWN: usize = 8;

/// An object by its field names; never by its values.
fn described(fields: &Fields<'_>) -> String {
    let names: Vec<String> = fields
        .names()
        .take(NAMES_SHOWN)
        .map(|name| name.chars().filter(|c| !c.is_control()).take(40).collect())
        .collect();
    if names.is_empty() {
        "an empty object".into()
    } else {
        format!("an object with {}", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Page, Failure> {
        page(
            &Answer {
                status: reqwest::StatusCode::OK,
                date: None,
                content_type: "application/json".into(),
                body: body.to_owned().into(),
            },
            &[],
            &Rules::default(),
        )
    }

    const ANN: &str = r#"{"user":{"user_id":"ann"}}"#;

    #[test]
    fn all_three_envelopes_hold_the_same_users() {
        for body in [
            format!(r#"{{"results":[[{ANN},{ANN}]]}}"#),
            format!(r#"{{"results":[{ANN},{ANN}],"new":1}}"#),
            format!(r#"{{"results":[[{ANN}],[{ANN}]]}}"#),
            format!("[{ANN},{ANN}]"),
            format!("\u{20}\n[[{ANN},{ANN}]]"),
        ] {
            let page = read(&body).unwrap();
            assert_eq!(page.items.len(), 2, "{body}");
        }
    }

    #[test]
    fn the_envelope_is_read_leniently() {
        let page = read(
            r#"{"results":[[]],"meta":{"count":"100","rpp":20,"paginated":true},"links":{"last":{},"next":{"page":2}}}"#,
        )
        .unwrap();
        assert!(page.is_empty());
        assert_eq!(
            page.envelope,
            Envelope {
                count: Some(100),
                rpp: Some(20),
                next: true
            }
        );
        let last = read(r#"{"results":[],"meta":null,"links":{"next":{}}}"#).unwrap();
        assert!(!last.envelope.next);
    }

    #[test]
    fn what_is_no_export_is_an_error_and_never_an_empty_page() {
        assert!(matches!(read("<html></html>"), Err(Failure::NotJson(_))));
        assert!(matches!(read(""), Err(Failure::NotJson(_))));
        assert!(matches!(
            read(r#"{"results":[[{"user""#),
            Err(Failure::Malformed { .. })
        ));
        assert!(matches!(read("{} {}"), Err(Failure::Malformed { .. })));
        for other in [
            r#"{"message":"ok"}"#,
            "{}",
            r#"{"results":{}}"#,
            r#"{"results":null}"#,
            "7",
            "null",
        ] {
            assert!(
                matches!(read(other), Err(Failure::Unexpected { .. })),
                "{other}"
            );
        }
    }

    #[test]
    fn a_message_about_another_object_names_fields_and_no_values() {
        let error = read(r#"{"error":"secret person","status":400}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the answer is not a user export: an object with error, status"
        );
    }

    #[test]
    fn records_that_are_no_users_are_rejected_and_counted() {
        let page = read(&format!(r#"{{"results":[{ANN},{{"user":{{}}}},null]}}"#)).unwrap();
        assert_eq!(
            (page.items.len(), page.rejects.len(), page.len()),
            (1, 2, 3)
        );
    }
}
