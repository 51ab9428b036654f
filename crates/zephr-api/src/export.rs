//! The envelopes of the user export (contract sections 3 and 5.1): nested, flat or a bare array,
//! and nothing else.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::canonical::Records;
use super::client::Answer;
use super::envelope::Said;
use super::error::Failure;
use super::json::{self, Fields, Kind};
use super::lexer::Lexer;
use super::user;
use privacy::Rules;
use record::memory::Spare;
use record::{Envelope, Item, Page, Reject};

/// Reads a page; the records of users go into this spare memory.
///
/// # Errors
/// Anything that is not an export is a failure, never an empty page.
pub fn page(
    answer: &Answer,
    ignored: &[String],
    rules: &Rules,
    spare: &Arc<Spare>,
) -> Result<Page, Failure> {
    let mut page = Page {
        answered_at: answer.date,
        ..Page::default()
    };
    if rules.is_empty() {
        let mut records = Records::new(text(answer)?, ignored, user::WANTED, Some(spare));
        page.envelope = whole(read(&mut records), answer)?;
        let forms = records.finish();
        page.items.reserve_exact(forms.len());
        for form in forms {
            add(&mut page, user::item_of(form));
        }
    } else {
        let (records, envelope) = records_of(answer)?;
        page.envelope = envelope;
        for raw in records {
            add(&mut page, user::item(raw, ignored, rules));
        }
    }
    Ok(page)
}

fn add(page: &mut Page, read: Result<Item, Reject>) {
    match read {
        Ok(item) => page.items.push(item),
        Err(reject) => page.rejects.push(Reject {
            answered_at: page.answered_at,
            ..reject
        }),
    }
}

/// The records of an export, of users or of events, and what is around them.
///
/// # Errors
/// Anything that is not an export is a failure.
pub fn records_of(answer: &Answer) -> Result<(Vec<&RawValue>, Envelope), Failure> {
    let mut found = Found {
        lexer: Lexer::new(text(answer)?),
        records: Vec::new(),
    };
    let envelope = whole(read(&mut found), answer)?;
    Ok((found.records, envelope))
}

/// What is around the records.
#[derive(Debug, Default)]
struct Around {
    envelope: Envelope,
    /// The field in which the answer says that something went wrong.
    complaint: Option<&'static str>,
}

/// What is around the records of an answer that is whole, as far as it says itself.
fn whole(around: Option<Around>, answer: &Answer) -> Result<Envelope, Failure> {
    let around = around.ok_or_else(|| no_export(answer))?;
    match around.complaint {
        Some(field) => Err(Failure::Partial { field }),
        None => Ok(around.envelope),
    }
}

fn text(answer: &Answer) -> Result<&str, Failure> {
    std::str::from_utf8(unmarked(&answer.body)).map_err(|_| no_export(answer))
}

/// A body without the mark of its encoding, which some servers put before JSON too.
pub(super) fn unmarked(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body)
}

/// Reads an export through a lexer, and makes something of each record.
trait Reads<'a> {
    fn lexer(&mut self) -> &mut Lexer<'a>;

    /// Reads the record that comes next; none if it is no JSON.
    fn record(&mut self) -> Option<()>;
}

impl<'a, const N: usize> Reads<'a> for Records<'_, 'a, N> {
    fn lexer(&mut self) -> &mut Lexer<'a> {
        Records::lexer(self)
    }

    fn record(&mut self) -> Option<()> {
        Records::record(self)
    }
}

/// Finds the records, and makes nothing of them.
struct Found<'a> {
    lexer: Lexer<'a>,
    records: Vec<&'a RawValue>,
}

impl<'a> Reads<'a> for Found<'a> {
    fn lexer(&mut self) -> &mut Lexer<'a> {
        &mut self.lexer
    }

    fn record(&mut self) -> Option<()> {
        self.records.push(self.lexer.value()?);
        Some(())
    }
}

/// Reads all of an answer, each record once; none if it is no export.
fn read<'a>(reader: &mut impl Reads<'a>) -> Option<Around> {
    let around = match reader.lexer().peek()? {
        b'[' => {
            elements(reader, record_or_list)?;
            Around::default()
        }
        b'{' => enveloped(reader)?,
        _ => return None,
    };
    reader.lexer().peek().is_none().then_some(around)
}

/// Reads the object around the records.
fn enveloped<'a>(reader: &mut impl Reads<'a>) -> Option<Around> {
    let (mut has_results, mut said) = (false, Said::default());
    let mut complaint = None;
    reader.lexer().take(b'{')?;
    loop {
        let name = reader.lexer().string()?;
        reader.lexer().take(b':')?;
        match name.plain {
            // Twice is not what anybody means.
            Some("results") if has_results => return None,
            Some("results") => {
                elements(reader, record_or_list)?;
                has_results = true;
            }
            Some(other) => {
                let value = reader.lexer().value()?;
                said.take_in(other, value);
                complaint = complaint.or(json::complaint(other, value));
            }
            None => {
                reader.lexer().value()?;
            }
        }
        match reader.lexer().next_byte()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    has_results.then_some(Around {
        envelope: Envelope {
            count: said.count,
            rpp: said.rpp,
            next: said.next,
        },
        complaint,
    })
}

/// Reads an array, element by element.
fn elements<'a, R: Reads<'a>>(
    reader: &mut R,
    element: impl Fn(&mut R) -> Option<()>,
) -> Option<()> {
    reader.lexer().take(b'[')?;
    if reader.lexer().peek()? == b']' {
        return reader.lexer().take(b']');
    }
    loop {
        element(reader)?;
        match reader.lexer().next_byte()? {
            b',' => {}
            b']' => return Some(()),
            _ => return None,
        }
    }
}

/// The records of `[[…]]`, or of `[…]`, if the other is a slip of the schema.
fn record_or_list<'a, R: Reads<'a>>(reader: &mut R) -> Option<()> {
    if reader.lexer().peek()? == b'[' {
        elements(reader, R::record)
    } else {
        reader.record()
    }
}

/// Why an answer is no export.
fn no_export(answer: &Answer) -> Failure {
    match document(answer) {
        Err(failure) => failure,
        Ok(root) => unexpected(match json::kind(root) {
            Kind::Object => described(&Fields::of(root).unwrap_or_default()),
            kind @ (Kind::Array | Kind::Text | Kind::Boolean | Kind::Null | Kind::Number) => {
                kind.to_string()
            }
        }),
    }
}

/// The body as one JSON value. The content type is not trusted either way: the first byte decides,
/// and HTML with 200 is named as such.
pub fn document(answer: &Answer) -> Result<&RawValue, Failure> {
    let body = unmarked(&answer.body).trim_ascii_start();
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

    use proptest::prelude::*;

    fn answer(body: impl Into<Vec<u8>>) -> Answer {
        Answer {
            status: reqwest::StatusCode::OK,
            date: None,
            content_type: "application/json".into(),
            is_delimited: true,
            body: body.into(),
        }
    }

    fn read(body: &str) -> Result<Page, Failure> {
        page(
            &answer(body.to_owned()),
            &[],
            &Rules::default(),
            &Arc::default(),
        )
    }

    /// Whether this is an export, as serde_json reads it.
    fn is_export(body: &[u8]) -> bool {
        let Ok(root) = serde_json::from_slice::<&RawValue>(body) else {
            return false;
        };
        let results = Fields::of(root).and_then(|fields| fields.get("results"));
        json::kind(results.unwrap_or(root)) == Kind::Array
    }

    /// One of each thing that a body can hold, so that what is done to a byte of it meets all of
    /// them.
    const BODY: &str = r#"{"links" : {"next":{}}, "results":[[{"user":{"user_id":"ann","n":[-1.5e+3,0,true,false,null,{}]},"x":"a\"b\\\u00e9é"} , {"user":{"user_id":"bob"}}],[]],"meta":{"count":2}}"#;

    #[test]
    fn what_an_answer_says_of_itself_is_heard_wherever_it_stands() {
        for (said, count, next) in [
            (r#""meta":{"count":70.0}"#, Some(70), false),
            (r#""total":"70""#, Some(70), false),
            (r#""links":{"next":"/v3/user-export?page=2"}"#, None, true),
            (r#""links":{"next":{}}"#, None, false),
        ] {
            let page = read(&format!(r#"{{"results":[],{said}}}"#)).unwrap();
            let heard = (page.envelope.count, page.envelope.next);
            assert_eq!(heard, (count, next), "{said}");
        }
    }

    #[test]
    fn results_beside_an_error_are_no_answer() {
        for (said, is_whole) in [
            (r#""error":null"#, true),
            (r#""errors":[]"#, true),
            (r#""error":"""#, true),
            (r#""error":false,"errors":{}"#, true),
            (r#""error":"upstream timed out""#, false),
            (r#""errors":[{"code":1}]"#, false),
            (r#""error":{"code":504}"#, false),
        ] {
            for body in [
                format!(r#"{{"results":[[{{"user_id":"a"}}]],{said}}}"#),
                format!(r#"{{{said},"results":[]}}"#),
            ] {
                let answer = answer(body.clone());
                assert_eq!(records_of(&answer).is_ok(), is_whole, "{body}");
            }
        }
    }

    #[test]
    fn the_mark_of_an_encoding_is_no_part_of_an_answer() {
        assert!(records_of(&answer("\u{FEFF}{\"results\":[]}")).is_ok());
        assert!(document(&answer("\u{FEFF}[]")).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_a_little_wrong_is_no_export_and_what_is_json_is_one(
            at in 0..BODY.len(),
            with in prop::collection::vec(prop::sample::select(&b"{}[],:\"\\ue01-+. \ntnfa\x01\xc3"[..]), 0..3),
            removed in 0..3_usize,
        ) {
            let mut body = BODY.as_bytes().to_vec();
            body.splice(at..(at + removed).min(BODY.len()), with);
            let text = String::from_utf8_lossy(&body);
            let answer = answer(body.clone());
            let read = page(&answer, &[], &Rules::default(), &Arc::default());
            prop_assert_eq!(read.is_ok(), is_export(&body), "{}", text);
            let found = records_of(&answer);
            prop_assert_eq!(read.is_ok(), found.is_ok());
            if let (Ok(read), Ok((found, envelope))) = (read, found) {
                prop_assert_eq!(read.envelope, envelope);
                let alone = found.iter().map(|raw| user::item(raw, &[], &Rules::default()));
                let alone: Vec<_> = alone.filter_map(Result::ok).map(|item| (item.id, item.hash, item.text)).collect();
                let items = read.items.into_iter().map(|item| (item.id, item.hash, item.text));
                prop_assert_eq!(items.collect::<Vec<_>>(), alone);
                prop_assert_eq!(read.rejects.len() + found.iter().filter_map(|raw| user::item(raw, &[], &Rules::default()).ok()).count(), found.len());
            }
        }
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
