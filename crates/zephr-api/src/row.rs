//! An item of a list as a row of its table: columns where they are known, the rest in `extra`, so
//! that nothing sent is lost.

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::canonical::canonical;
use super::json::{self, Fields, Kind as Sent, Text};
use super::key::{self, Keyless};
use super::{redact, timestamp};
use privacy::{Policy, Rules};
use record::table::{Column, Kind, Row, Table, WithoutKey};
use record::{HASH_BYTES, Issue, Reject};

/// Makes the rows of one table.
#[derive(Debug, Clone)]
pub struct Rows<'t> {
    table: &'t Table,
    ignored: &'t [String],
    /// What of an item may be kept.
    rules: Rules,
    /// Goes into every hash, so that rows are made anew when the table is described differently.
    layout: [u8; HASH_BYTES],
}

impl<'t> Rows<'t> {
    /// For this table; `ignored` names the fields of an item that do not count as a change.
    pub fn new(table: &'t Table, ignored: &'t [String], policy: &Policy) -> Self {
        let places = |name: &str| {
            let columns = table.all_columns().filter(|column| column.name == name);
            columns
                .flat_map(|column| column.sent_as.iter().map(ToString::to_string))
                .collect()
        };
        let rules = policy.for_table(&table.name, places);

        let mut layout = Sha256::new();
        for column in table.all_columns() {
            layout.update(column.name.as_bytes());
            layout.update([0]);
            layout.update(column.kind.sql());
            for name in column.sent_as.iter() {
                layout.update([1]);
                layout.update(name.as_bytes());
            }
            layout.update([2]);
        }
        Self {
            table,
            ignored,
            rules,
            layout: first_half(layout),
        }
    }

    /// Reads an item. `parent` is the column and the key of the row that it was sent below, if any:
    /// whatever the item itself says there.
    ///
    /// # Errors
    /// An item without a usable key cannot be stored.
    pub fn read(&self, raw: &RawValue, parent: Option<(&str, &str)>) -> Result<Row, Reject> {
        let mut issues = Vec::new();
        let kept = redact::apply(raw, &self.rules, &mut issues);
        let mut form = canonical(&kept, self.ignored, []);
        form.issues.append(&mut issues);
        let mut hasher = Sha256::new();
        hasher.update(self.layout);
        if let Some((_, key)) = parent {
            hasher.update((key.len() as u64).to_be_bytes());
            hasher.update(key);
        }
        hasher.update(form.hash);
        let hash = first_half(hasher);
        let made = self.make(&form.text, hash, form.issues, parent);
        made.map_err(|Keyless { id, reason }| Reject {
            id,
            reason,
            text: kept.get().to_owned(),
            content_hash: hash,
            answered_at: None,
        })
    }

    fn make(
        &self,
        text: &str,
        hash: [u8; HASH_BYTES],
        mut issues: Vec<Issue>,
        parent: Option<(&str, &str)>,
    ) -> Result<Row, Keyless> {
        // The canonical text was written by us.
        let raw: &RawValue = serde_json::from_str(text).unwrap_or(RawValue::NULL);
        let fields = Fields::of(raw)
            .ok_or_else(|| format!("the item is {}, not an object", json::kind(raw)))?;
        let mut captured = Vec::new();
        let key = self.key_of(&fields, hash, parent, &mut captured)?;
        let mut from_numbers = 0;
        let mut cells = Vec::with_capacity(self.table.columns.len());
        for column in self.table.columns.iter() {
            cells.push(match cell_of(column, &fields, parent, &mut captured) {
                Found::Cell { text, from_number } => {
                    from_numbers += u32::from(from_number);
                    Some(text)
                }
                Found::Nothing => None,
                Found::Unfit(issue) => {
                    issues.push(issue);
                    None
                }
            });
        }
        let names_another = parent.is_some_and(|parent| self.names_another(&fields, parent));
        let mut extra = String::new();
        json::write_object(fields, &mut extra, |name, value, out| {
            if !captured.contains(&name) {
                out.push_str(value.get());
            }
        });
        if extra.is_empty() {
            extra.push_str("{}");
        }
        Ok(Row {
            key,
            cells,
            extra,
            hash,
            text: text.to_owned(),
            from_numbers,
            names_another,
            issues,
        })
    }

    /// Whether an item says itself that it is another parent's.
    fn names_another(&self, fields: &Fields<'_>, (column, parent): (&str, &str)) -> bool {
        let mut columns = self.table.all_columns();
        let named = columns
            .find(|known| known.name == column)
            .and_then(|column| find(fields, column));
        named
            .and_then(|(_, value)| json::text(value))
            .is_some_and(|named| !named.text.is_empty() && named.text != parent)
    }

    /// The key of an item, in the order of its columns. `captured` gets the names of fields of
    /// which nothing would be added by keeping them in `extra` too.
    fn key_of(
        &self,
        fields: &Fields<'_>,
        hash: [u8; HASH_BYTES],
        parent: Option<(&str, &str)>,
        captured: &mut Vec<&'t str>,
    ) -> Result<Vec<String>, Keyless> {
        let mut key = Vec::with_capacity(self.table.key.len());
        for column in self.table.key.iter() {
            let sent = find(fields, column);
            if let Some((name, parent)) = parent
                && name == column.name
            {
                key.push(parent.to_owned());
                if let Some((name, value)) = sent
                    && says(value, parent)
                {
                    captured.push(name);
                }
                continue;
            }
            match (sent, self.table.without_key) {
                (Some((name, value)), _) => {
                    key.push(key::read_or_number(value, name)?);
                    captured.push(name);
                }
                (None, WithoutKey::KeyedByHash) => {
                    key.push(hash.iter().map(|b| format!("{b:02x}")).collect())
                }
                (None, WithoutKey::Rejected) => {
                    let names: Vec<&str> = column.sent_as.iter().map(AsRef::as_ref).collect();
                    return Err(format!("{} is missing", names.join(" or ")).into());
                }
            }
        }
        Ok(key)
    }
}

/// What an item holds for a column.
enum Found {
    Cell {
        text: String,
        from_number: bool,
    },
    Nothing,
    /// Something that does not fit, kept in `extra`.
    Unfit(Issue),
}

fn cell_of<'c>(
    column: &'c Column,
    fields: &Fields<'_>,
    parent: Option<(&str, &str)>,
    captured: &mut Vec<&'c str>,
) -> Found {
    let found = find(fields, column);
    if let Some((name, parent)) = parent
        && name == column.name
    {
        let same = found.filter(|(_, value)| says(value, parent));
        captured.extend(same.map(|(name, _)| name));
        return Found::Cell {
            text: parent.to_owned(),
            from_number: false,
        };
    }
    let Some((name, value)) = found else {
        return Found::Nothing;
    };
    match cell(column.kind, value) {
        Ok(Cell {
            text,
            says_all,
            from_number,
        }) => {
            if says_all {
                captured.push(name);
            }
            Found::Cell { text, from_number }
        }
        Err(Unfit::Empty) => Found::Nothing,
        Err(Unfit::Other) => Found::Unfit(Issue {
            path: name.to_owned(),
            reason: format!(
                "is {}, not {}; kept in extra",
                json::kind(value),
                column.kind.sql()
            ),
        }),
    }
}

/// Whether a field says the key of the parent again.
fn says(value: &RawValue, parent: &str) -> bool {
    json::text(value).is_some_and(|sent| sent.text == parent)
}

/// Two objects as one; what the second one says of a field counts. An account is its entry in the
/// list and its detail.
pub fn join(first: &RawValue, second: &RawValue) -> Box<RawValue> {
    let (Some(mut fields), Some(more)) = (Fields::of(first), Fields::of(second)) else {
        return first.to_owned();
    };
    fields.append(more);
    let mut text = String::new();
    json::write_object(fields, &mut text, |_, value, out| out.push_str(value.get()));
    RawValue::from_string(text).unwrap_or_else(|_| first.to_owned())
}

fn first_half(hasher: Sha256) -> [u8; HASH_BYTES] {
    let mut half = [0; HASH_BYTES];
    half.copy_from_slice(&hasher.finalize()[..HASH_BYTES]);
    half
}

/// The first of a column's names that is there, with its value.
fn find<'a, 'c>(fields: &Fields<'a>, column: &'c Column) -> Option<(&'c str, &'a RawValue)> {
    column
        .sent_as
        .iter()
        .find_map(|name| Some((name.as_ref(), at(fields, name)?)))
}

fn at<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a RawValue> {
    fields.get(name).or_else(|| {
        let (outer, inner) = name.split_once('.')?;
        at(&Fields::of(fields.get(outer)?)?, inner)
    })
}

/// A value in the form in which Postgres reads it.
struct Cell {
    text: String,
    /// Whether the column gives back what was sent.
    says_all: bool,
    /// Whether it is a timestamp that came as a number.
    from_number: bool,
}

enum Unfit {
    Empty,
    Other,
}

fn cell(kind: Kind, value: &RawValue) -> Result<Cell, Unfit> {
    let sent = json::kind(value);
    let said = |text: String| Cell {
        text,
        says_all: true,
        from_number: false,
    };
    let also = |text: String| Cell {
        text,
        says_all: false,
        from_number: false,
    };
    let text = json::text(value).map(|Text { text, .. }| text);
    if kind != Kind::Text && text.as_deref() == Some("") {
        return Err(Unfit::Empty);
    }
    match kind {
        Kind::Jsonb => Ok(said(value.get().to_owned())),
        Kind::Text => match (sent, text) {
            (_, Some(text)) => Ok(said(text.into_owned())),
            (Sent::Number | Sent::Boolean, None) => Ok(said(value.get().to_owned())),
            (Sent::Object | Sent::Array | Sent::Null | Sent::Text, None) => Err(Unfit::Other),
        },
        Kind::Numeric => match (sent, text) {
            (Sent::Number, _) => Ok(said(value.get().to_owned())),
            (_, Some(text)) if is_number(text.trim()) => Ok(also(text.trim().to_owned())),
            (_, _) => Err(Unfit::Other),
        },
        Kind::Boolean => match (json::boolean(value), text.as_deref()) {
            (Some(truth), _) => Ok(said(truth.to_string())),
            (None, Some("true")) => Ok(also("true".into())),
            (None, Some("false")) => Ok(also("false".into())),
            (None, Some(_) | None) => Err(Unfit::Other),
        },
        Kind::Timestamptz => {
            // The form it was sent in is kept beside it, unless that is ours (contract section 3).
            let timestamp::Read { at, from_number } = timestamp::read(value).ok_or(Unfit::Other)?;
            Ok(Cell {
                text: at.to_rfc3339(),
                says_all: text.as_deref() == Some(&timestamp::format(at)),
                from_number,
            })
        }
    }
}

/// Longest number in text that is taken for one; an identifier of digits is longer.
const MAX_NUMBER_BYTES: usize = 60;

fn is_number(text: &str) -> bool {
    text.len() <= MAX_NUMBER_BYTES
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'))
        && text.parse::<f64>().is_ok_and(f64::is_finite)
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::columns;

    static THINGS: Table = Table::new(
        "things",
        columns! { owner_id: Text; thing_id: Text = "id", "thingId"; },
        columns! {
            label: Text;
            seats: Numeric;
            open: Boolean;
            start_time: Timestamptz = "startTime";
            inner: Text = "outer.inner";
            rest: Jsonb;
        },
        WithoutKey::Rejected,
    );

    fn read(json: &str) -> Result<Row, Reject> {
        Rows::new(&THINGS, &[], &Policy::default()).read(
            serde_json::from_str(json).unwrap(),
            Some(("owner_id", "o1")),
        )
    }

    #[test]
    fn columns_are_found_under_any_of_their_names_and_the_rest_is_kept() {
        let row = read(
            r#"{"thingId":"t1","owner_id":"o1","label":"a","seats":12.50,"open":true,"startTime":"2022-06-01 00:00:00","outer":{"inner":"x","y":1},
                "rest":[1],"more":{"b":1}}"#,
        )
        .unwrap();
        assert_eq!(row.key, ["o1", "t1"]);
        let cells: Vec<_> = row.cells.iter().map(Option::as_deref).collect();
        assert_eq!(
            cells,
            [
                Some("a"),
                Some("12.50"),
                Some("true"),
                Some("2022-06-01T00:00:00+00:00"),
                Some("x"),
                Some("[1]")
            ]
        );
        assert_eq!(
            row.extra,
            r#"{"more":{"b":1},"outer":{"inner":"x","y":1},"startTime":"2022-06-01 00:00:00"}"#
        );
        assert!(row.issues.is_empty());
    }

    #[test]
    fn what_does_not_fit_is_null_and_explained_and_kept() {
        let row =
            read(r#"{"id":7,"seats":"many","open":"yes","startTime":"soon","label":{"a":1}}"#)
                .unwrap();
        assert_eq!(row.key, ["o1", "7"]);
        assert!(row.cells.iter().all(Option::is_none));
        let paths: Vec<_> = row.issues.iter().map(|issue| issue.path.as_str()).collect();
        assert_eq!(paths, ["label", "seats", "open", "startTime"]);
        for kept in ["many", "yes", "soon", r#""label":{"a":1}"#] {
            assert!(row.extra.contains(kept), "{}", row.extra);
        }
    }

    #[test]
    fn a_time_is_read_in_every_form_and_what_came_as_a_number_is_counted() {
        for (sent, numbers) in [
            (r#""2022-05-31 17:00:00.000000000 -07:00""#, 0),
            (r#""2022-06-01T00:00:00+0000""#, 0),
            ("1654041600", 1),
            ("1654041600000", 1),
            (r#""1654041600000""#, 1),
        ] {
            let row = read(&format!(r#"{{"id":"a","startTime":{sent}}}"#)).unwrap();
            assert_eq!(
                row.cells[3].as_deref(),
                Some("2022-06-01T00:00:00+00:00"),
                "{sent}"
            );
            assert_eq!(row.from_numbers, numbers, "{sent}");
            assert!(row.extra.contains(sent) && row.issues.is_empty(), "{sent}");
        }
    }

    #[test]
    fn text_that_says_a_number_or_a_boolean_is_one() {
        let row = read(r#"{"id":"a","seats":"12","open":"false"}"#).unwrap();
        assert_eq!(row.cells[1].as_deref(), Some("12"));
        assert_eq!(row.cells[2].as_deref(), Some("false"));
        assert!(row.issues.is_empty());
        for text in ["NaN", "infinity", "1e999", "0x10", "1_000", "--1"] {
            assert!(!is_number(text), "{text}");
        }
    }

    #[test]
    fn an_item_without_a_key_is_rejected_with_its_content() {
        let reject = read(r#"{"label":"x"}"#).unwrap_err();
        assert_eq!(reject.reason, "id or thingId is missing");
        assert_eq!(reject.text, r#"{"label":"x"}"#);
        assert!(read("[]").unwrap_err().reason.contains("not an object"));
        assert!(read(r#"{"id":""}"#).unwrap_err().reason.contains("empty"));
    }

    #[test]
    fn the_hash_tells_content_parent_and_layout_apart() {
        let raw: &RawValue = serde_json::from_str(r#"{"id":"a"}"#).unwrap();
        let hash = |table: &Table, parent| {
            Rows::new(table, &[], &Policy::default())
                .read(raw, Some(("owner_id", parent)))
                .unwrap()
                .hash
        };
        let other = Table {
            columns: columns! { label: Text; }.into(),
            ..THINGS.clone()
        };
        assert_ne!(hash(&THINGS, "o1"), hash(&THINGS, "o2"));
        assert_ne!(hash(&THINGS, "o1"), hash(&other, "o1"));
        assert_eq!(hash(&THINGS, "o1"), hash(&THINGS, "o1"));
    }

    #[test]
    fn a_list_without_identifiers_is_keyed_by_hash() {
        let table = Table {
            without_key: WithoutKey::KeyedByHash,
            ..THINGS.clone()
        };
        let raw: &RawValue = serde_json::from_str(r#"{"label":"x"}"#).unwrap();
        let row = Rows::new(&table, &[], &Policy::default())
            .read(raw, Some(("owner_id", "o")))
            .unwrap();
        assert_eq!(row.key[1].len(), 2 * HASH_BYTES);
    }

    #[test]
    fn of_two_objects_the_second_counts() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let joined = join(&raw(r#"{"a":1,"b":2}"#), &raw(r#"{"b":3,"c":4}"#));
        assert_eq!(joined.get(), r#"{"a":1,"b":3,"c":4}"#);
    }
}
