//! What an answer says about itself, beside its items: how many there are, and whether another page
//! follows. The documented names are `total`, `meta.count` and `links.next` (contract section 3);
//! gateways and other versions write numbers as text or with a point, links as bare addresses, and
//! use names of their own. A sign that is missed is a list that is taken for whole.

use serde_json::value::RawValue;

use super::json::{self, Fields, Kind};

/// Names of a count of everything, beside the items or in `meta`. Of those in `meta`, `count` may
/// mean the page.
const COUNTS: [&str; 4] = ["total", "total_count", "totalCount", "count"];

/// Names of what is there only where another page follows.
const NEXT: [&str; 9] = [
    "next",
    "next_page",
    "nextPage",
    "next_cursor",
    "nextCursor",
    "next_token",
    "nextToken",
    "has_more",
    "hasMore",
];

/// The same of a link, in whatever form it comes.
const LINK_FIELDS: [&str; 3] = ["page", "url", "href"];

/// Objects that hold signs.
const AROUND: [&str; 3] = ["meta", "links", "pagination"];

/// What an answer says about itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// The largest of its counts.
    pub count: Option<u64>,
    /// `meta.rpp`: what the server made of ours.
    pub rpp: Option<u64>,
    /// Whether it names a next page.
    pub next: bool,
}

impl Said {
    /// Takes in a field beside the items.
    pub(super) fn take_in(&mut self, name: &str, value: &RawValue) {
        if COUNTS.contains(&name) {
            self.count = self.count.max(whole_number(value));
        } else if NEXT.contains(&name) {
            self.next |= is_next(value);
        } else if name == "rpp" {
            self.rpp = self.rpp.or(whole_number(value));
        } else if AROUND.contains(&name)
            && let Some(fields) = Fields::of(value)
        {
            for field in fields.sorted() {
                // Whatever is in there, it is not looked into once more.
                if !AROUND.contains(&field.name.as_ref()) {
                    self.take_in(&field.name, field.value);
                }
            }
        }
    }
}

/// Whether the value of such a field names a next page. `{}`, `null`, `false` and an empty text
/// stand for none.
fn is_next(value: &RawValue) -> bool {
    let is_something = |value: &RawValue| match json::kind(value) {
        Kind::Text => json::text(value).is_some_and(|text| !text.text.is_empty()),
        Kind::Boolean => json::boolean(value) == Some(true),
        Kind::Number => true,
        Kind::Null | Kind::Object | Kind::Array => false,
    };
    match Fields::of(value) {
        Some(link) => {
            let mut fields = LINK_FIELDS.iter().filter_map(|name| link.get(name));
            fields.any(is_something)
        }
        None => is_something(value),
    }
}

/// A whole number, written as a number of any form or as text that holds one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is whole, not negative, and below what a double holds exactly"
)]
fn whole_number(raw: &RawValue) -> Option<u64> {
    let written = raw.get().trim_matches('"').trim();
    let by_point = || {
        let number: f64 = written.parse().ok()?;
        let is_whole = number.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&number);
        is_whole.then_some(number as u64)
    };
    written.parse().ok().or_else(by_point)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Said {
        let raw: &RawValue = serde_json::from_str(text).unwrap();
        let mut said = Said::default();
        for field in Fields::of(raw).unwrap().sorted() {
            said.take_in(&field.name, field.value);
        }
        said
    }

    #[test]
    fn a_count_is_read_however_it_is_written() {
        for text in [
            r#"{"total":70}"#,
            r#"{"total":"70"}"#,
            r#"{"total":70.0}"#,
            r#"{"meta":{"count":7e1}}"#,
            r#"{"meta":{"total":70},"total":3}"#,
            r#"{"pagination":{"total_count":70}}"#,
        ] {
            assert_eq!(said(text).count, Some(70), "{text}");
        }
        for text in [
            r#"{"total":null}"#,
            r#"{"total":-1}"#,
            r#"{"total":1.5}"#,
            r#"{"total":"many"}"#,
            r#"{"total":[70]}"#,
        ] {
            assert_eq!(said(text).count, None, "{text}");
        }
    }

    #[test]
    fn a_next_page_is_seen_however_it_is_named() {
        for text in [
            r#"{"links":{"next":{"url":"https://x","page":2}}}"#,
            r#"{"links":{"next":{"page":2}}}"#,
            r#"{"links":{"next":{"href":"/v3/accounts?page=2"}}}"#,
            r#"{"links":{"next":"/v3/accounts?page=2"}}"#,
            r#"{"next":"https://x"}"#,
            r#"{"has_more":true}"#,
            r#"{"meta":{"nextToken":"abc"}}"#,
        ] {
            assert!(said(text).next, "{text}");
        }
        for text in [
            r#"{"links":{"first":{"page":1},"last":{},"next":{}}}"#,
            r#"{"links":{"next":null}}"#,
            r#"{"links":{"next":""}}"#,
            r#"{"links":{"next":{"url":null}}}"#,
            r#"{"has_more":false}"#,
            r#"{"links":{}}"#,
        ] {
            assert!(!said(text).next, "{text}");
        }
    }
}
