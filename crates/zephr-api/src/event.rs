//! User events (contract section 5.2): rows of the v4 export in events mode, as CSV or as JSON,
//! whichever arrives. No column is documented, so each is kept by its name, and those that are
//! needed are found by what they are usually called.

use std::io::Read;

use chrono::{DateTime, Datelike, Utc};
use serde_json::value::RawValue;

use super::canonical::canonical;
use super::client::Answer;
use super::error::Failure;
use super::export;
use super::json::{self, Fields, Kind};
use super::key::{self, MAX_KEY_BYTES};
use super::{redact, timestamp};
use privacy::{Policy, Rules};
use record::{Event, Grants, Issue, Item, Page, Reject};

/// What the columns are called that are needed, without case and punctuation.
const ID_NAMES: [&str; 3] = ["eventid", "id", "eventkey"];
const USER_NAMES: [&str; 3] = ["userid", "zephruserid", "blaizeuserid"];
const TYPE_NAMES: [&str; 4] = ["eventtype", "type", "eventname", "event"];
const TIME_NAMES: [&str; 9] = [
    "timestamp",
    "eventtimestamp",
    "occurredat",
    "eventtime",
    "time",
    "datetime",
    "eventdate",
    "createdat",
    "date",
];

/// Years in which events are believed to have happened: each month is a partition, and a date that
/// is a mistake must not make one.
const YEARS: std::ops::Range<i32> = 1990..2100;

/// What may be kept of an event. Its type may come under several names.
pub fn rules(policy: &Policy) -> Rules {
    policy.for_table("user_events", |column| match column {
        "type" => [
            "event_type",
            "eventType",
            "event-type",
            "type",
            "event_name",
            "eventName",
            "event",
        ]
        .map(str::to_owned)
        .to_vec(),
        other => vec![other.to_owned()],
    })
}

/// Reads a page. The content type is not trusted: the first byte decides.
///
/// # Errors
/// Anything that is neither is a failure, never an empty page.
pub fn page(answer: &Answer, ignored: &[String], rules: &Rules) -> Result<Page, Failure> {
    let body = export::unmarked(&answer.body);
    let mut page = Page {
        answered_at: answer.date,
        ..Page::default()
    };
    match body.trim_ascii_start().first() {
        Some(b'{' | b'[') => {
            let (records, envelope) = export::records_of(answer)?;
            page.envelope = envelope;
            for raw in records {
                add(&mut page, raw, ignored, rules);
            }
        }
        Some(b'<') => return Err(Failure::NotJson("HTML or XML".into())),
        None if !answer.content_type.contains("csv") => {
            return Err(Failure::NotJson("empty".into()));
        }
        // A table without rows has a header. What has none says as little as a 404.
        None => page.not_found = true,
        Some(_) => {
            page.may_be_cut = !answer.is_delimited;
            let table = from_csv(body)?;
            for raw in &table.rows {
                add(&mut page, raw, ignored, rules);
            }
            // A row that is cut off lacks its last cells. Where that is all that is wrong with it,
            // others may be as short.
            let last = table.rows.last().map(|raw| item(raw, ignored, rules));
            if table.lacks_cells && matches!(last, Some(Err(_))) {
                return Err(Failure::CutShort { line: table.last });
            }
        }
    }
    Ok(page)
}

/// A row behind the last one, which a quotation mark that is never closed swallows.
const SENTINEL: &[u8] = b"\nend\n";

/// A CSV that came to its end.
struct Table {
    /// Its rows as objects: a column's name and what the cell says; nothing of an empty one.
    rows: Vec<Box<RawValue>>,
    /// The line at which the last one begins.
    last: u64,
    /// Whether the last one has fewer cells than there are columns.
    lacks_cells: bool,
}

/// Reads a CSV. One that ends inside a quoted cell was cut off; so was one whose last row alone has
/// fewer cells than there are columns.
fn from_csv(body: &[u8]) -> Result<Table, Failure> {
    let malformed = |error: csv::Error| Failure::Malformed {
        line: error.position().map_or(0, |at| at.line() as usize),
        column: 0,
    };
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_reader(body.chain(SENTINEL));
    let header = reader.byte_headers().map_err(malformed)?;
    let mut names: Vec<String> = Vec::with_capacity(header.len());
    for cell in header {
        let name = String::from_utf8_lossy(cell).trim().to_owned();
        let same = names.iter().filter(|other| **other == name).count();
        names.push(if same == 0 {
            name
        } else {
            format!("{name}_{}", same + 1)
        });
    }
    if !names
        .iter()
        .any(|name| TIME_NAMES.contains(&plain(name).as_str()))
    {
        return Err(Failure::Unexpected {
            expected: "an export of events",
            found: format!(
                "a table of {} columns, none of which is a time",
                names.len()
            ),
        });
    }
    let mut rows = Vec::new();
    let (mut line, mut is_whole) = (0, false);
    // Of the row before, and how many before that lacked some.
    let (mut last, mut lacks_cells, mut others_lack) = (0, false, false);
    for record in reader.byte_records() {
        let record = record.map_err(malformed)?;
        let position = record.position();
        line = position.map_or(line, csv::Position::line);
        // Line ends before it count as part of it.
        let end = body.trim_ascii_end().len() as u64;
        let is_behind = position.is_some_and(|at| at.byte() >= end);
        is_whole = is_behind && record.iter().eq([SENTINEL.trim_ascii()]);
        if is_whole {
            break;
        }
        (last, others_lack) = (line, others_lack || lacks_cells);
        lacks_cells = record.len() < names.len();
        let mut object = String::from("{");
        for (position, cell) in record
            .iter()
            .enumerate()
            .filter(|(_, cell)| !cell.is_empty())
        {
            if object.len() > 1 {
                object.push(',');
            }
            match names.get(position) {
                Some(name) => json::quote(name, &mut object),
                None => json::quote(&format!("column_{}", position + 1), &mut object),
            }
            object.push(':');
            json::quote(&String::from_utf8_lossy(cell), &mut object);
        }
        object.push('}');
        rows.extend(RawValue::from_string(object).ok());
    }
    if !is_whole {
        return Err(Failure::CutShort { line });
    }
    if lacks_cells && !others_lack && rows.len() > 1 {
        return Err(Failure::CutShort { line: last });
    }
    Ok(Table {
        rows,
        last,
        lacks_cells,
    })
}

fn add(page: &mut Page, raw: &RawValue, ignored: &[String], rules: &Rules) {
    match item(raw, ignored, rules) {
        Ok(item) => page.items.push(item),
        Err(reject) => page.rejects.push(Reject {
            answered_at: page.answered_at,
            ..reject
        }),
    }
}

/// Reads an event: its identifier, or a hash of its content where it shows none, and when it
/// happened.
fn item(raw: &RawValue, ignored: &[String], rules: &Rules) -> Result<Item, Reject> {
    let mut issues = Vec::new();
    let kept = redact::apply(raw, rules, &mut issues);
    let raw: &RawValue = &kept;
    let mut form = canonical(raw, ignored, []);
    form.issues.append(&mut issues);
    let reject = |reason: String| Reject {
        id: None,
        reason,
        text: raw.get().to_owned(),
        content_hash: form.hash,
        answered_at: None,
    };
    let fields = Fields::of(raw)
        .ok_or_else(|| reject(format!("the event is {}, not an object", json::kind(raw))))?;
    let read = occurred_at(&fields).map_err(reject)?;
    let id = match named(&fields, &ID_NAMES) {
        Some(id) => key::read_or_number(id, "the event's identifier")
            .map_err(|keyless| reject(keyless.reason))?,
        None => form.hash.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    Ok(Item {
        id,
        registered_at: Some(read.at),
        from_number: read.from_number,
        grants: Grants::Absent,
        hash: form.hash,
        text: form.text,
        issues: form.issues,
    })
}

fn occurred_at(fields: &Fields<'_>) -> Result<timestamp::Read, String> {
    let sent = named(fields, &TIME_NAMES).ok_or("the event has no time")?;
    let read = timestamp::read(sent).ok_or("the event's time is in no known form")?;
    let year = read.at.year();
    if YEARS.contains(&year) {
        Ok(read)
    } else {
        Err(format!("the event's time is in the year {year}"))
    }
}

/// Makes the row of an event.
pub fn row(item: &Item, occurred_at: DateTime<Utc>) -> Event {
    // The canonical text was written by us.
    let raw: &RawValue = serde_json::from_str(&item.text).unwrap_or(RawValue::NULL);
    let fields = Fields::of(raw).unwrap_or_default();
    let mut issues = item.issues.clone();
    let mut text = |names: &[&str], what: &str| {
        let sent = named(&fields, names)?;
        let text = json::text(sent).map(|text| text.text.into_owned());
        match text {
            Some(text) if text.len() <= MAX_KEY_BYTES => Some(text),
            Some(_) => {
                let reason = format!("has more than {MAX_KEY_BYTES} bytes; kept in payload");
                issues.push(Issue {
                    path: what.to_owned(),
                    reason,
                });
                None
            }
            None => Some(sent.get().to_owned()).filter(|_| json::kind(sent) == Kind::Number),
        }
    };
    let user_id = text(&USER_NAMES, "user_id");
    let kind = text(&TYPE_NAMES, "type");
    Event {
        occurred_at,
        event_key: item.id.clone(),
        user_id,
        kind,
        payload: item.text.clone(),
        hash: item.hash,
        issues,
    }
}

/// The field that is called one of these, the first name that is there counts.
fn named<'a>(fields: &Fields<'a>, names: &[&str]) -> Option<&'a RawValue> {
    names.iter().find_map(|name| {
        let field = fields
            .names()
            .find(|field| plain(field) == *name)?
            .to_owned();
        fields.get(&field)
    })
}

/// A name without case and punctuation.
fn plain(name: &str) -> String {
    name.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content_type: &str, body: &str) -> Result<Page, Failure> {
        page(
            &Answer {
                status: reqwest::StatusCode::OK,
                date: None,
                content_type: content_type.into(),
                is_delimited: true,
                body: body.to_owned().into(),
            },
            &[],
            &Rules::default(),
        )
    }

    fn first(page: &Page) -> Event {
        let item = &page.items[0];
        row(item, item.registered_at.unwrap())
    }

    #[test]
    fn csv_and_json_give_the_same_event() {
        let csv = read(
            "text/csv",
            "\u{FEFF}event_id,user_id,event_type,timestamp,title\r\ne1,u1,read,2026-01-02T03:04:05Z,\"a \"\"b\"\", c\nd\"\r\n",
        )
        .unwrap();
        let json = read(
            "application/json",
            r#"{"results":[[{"event_id":"e1","user_id":"u1","event_type":"read","timestamp":"2026-01-02T03:04:05Z","title":"a \"b\", c\nd"}]],"meta":{"count":9}}"#,
        )
        .unwrap();
        assert_eq!(first(&csv), first(&json));
        assert_eq!(first(&csv).event_key, "e1");
        assert_eq!(first(&csv).kind.as_deref(), Some("read"));
        assert_eq!(json.envelope.count, Some(9));
    }

    #[test]
    fn a_table_whose_last_row_alone_lacks_cells_was_cut_off() {
        let header = "event_id,timestamp,title,user_id\n";
        let rows = "e1,2026-01-02T03:04:05Z,a,u1\ne2,2026-01-02T03:04:06Z,b,u2\n";
        for end in [
            "ERROR: upstream timed out",
            "e3,2026-01-02T03:0",
            "e3,2026-01-02T03:04:07Z,c",
        ] {
            let read = read("text/csv", &format!("{header}{rows}{end}\n"));
            assert!(
                matches!(read, Err(Failure::CutShort { line: 4 })),
                "{end}: {read:?}"
            );
        }
        // Alone, it is one only where it is no event.
        let read_one = |row: &str| read("text/csv", &format!("{header}{row}\n"));
        assert!(matches!(
            read_one("ERROR"),
            Err(Failure::CutShort { line: 2 })
        ));
        assert_eq!(
            read_one("e3,2026-01-02T03:04:07Z,c").unwrap().items.len(),
            1
        );
        // Some leave out what is empty at the end of a row.
        let short = "e0,2026-01-02T03:04:04Z\n";
        let read = read(
            "text/csv",
            &format!("{header}{short}{rows}e3,2026-01-02T03:04:07Z,c\n"),
        );
        assert_eq!(read.unwrap().items.len(), 4);
    }

    #[test]
    fn a_table_that_ends_inside_a_quoted_cell_was_cut_off() {
        let whole = "event_id,timestamp,title\ne1,2026-01-02T03:04:05Z,\"a, b\"";
        for end in ["", "\n", "\r\n", "\r", "\n\n", "\r\n\r\n"] {
            let page = read("text/csv", &format!("{whole}{end}")).unwrap();
            assert_eq!(page.items.len(), 1, "{end:?}");
        }
        for cut in 1..=5 {
            let cut = &whole[..whole.len() - cut];
            let read = read("text/csv", cut);
            assert!(
                matches!(read, Err(Failure::CutShort { line: 2 })),
                "{cut}: {read:?}"
            );
        }
    }

    #[test]
    fn an_event_without_an_identifier_is_keyed_by_its_content() {
        let page = read(
            "text/csv",
            "userId,type,Event Time\nu,a,2026-01-02 03:04:05\nu,b,2026-01-02 03:04:05\n",
        )
        .unwrap();
        assert_eq!(page.items.len(), 2);
        assert_ne!(page.items[0].id, page.items[1].id);
        assert_eq!(first(&page).user_id.as_deref(), Some("u"));
    }

    #[test]
    fn columns_that_nobody_named_and_empty_cells() {
        let page = read("text/csv", "time,a,a,b\n2026-01-02T03:04:05Z,1,2,,x\n").unwrap();
        assert_eq!(
            &*first(&page).payload,
            r#"{"a":"1","a_2":"2","column_5":"x","time":"2026-01-02T03:04:05Z"}"#
        );
    }

    #[test]
    fn what_has_no_time_is_rejected_and_what_is_no_export_is_an_error() {
        let page = read("text/csv", "id,time\na,soon\nb,0001-01-01T00:00:00Z\n").unwrap();
        assert_eq!((page.items.len(), page.rejects.len()), (0, 2));
        assert!(matches!(
            read("text/csv", "a,b\n1,2\n"),
            Err(Failure::Unexpected { .. })
        ));
        assert!(matches!(
            read("text/html", "<html>"),
            Err(Failure::NotJson(_))
        ));
        assert!(matches!(
            read("application/json", ""),
            Err(Failure::NotJson(_))
        ));
        for nothing in ["", "\n\n", "\u{feff}"] {
            let page = read("text/csv", nothing).unwrap();
            assert!(page.is_empty() && page.not_found, "{nothing:?}");
        }
        let none = read("text/csv", "id,timestamp\n").unwrap();
        assert!(none.is_empty() && !none.not_found);
    }
}
