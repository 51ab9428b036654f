//! Raw JSON as text: fields of an object without a tree, and a canonical form that Postgres can hold.
//!
//! Parsing each user into a tree costs four times what borrowing the raw text does, so a record stays text from the wire to the database. The
//! canonical form (sorted keys, no white space, one way to write a string) makes equal content equal bytes, and is where everything that
//! `jsonb` cannot hold is replaced and explained.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::record::{HASH_BYTES, Issue};

/// Objects and arrays nested deeper than this stay as they were sent: sorting them is not worth a recursion that a record could drive.
const MAX_DEPTH: usize = 48;

/// `jsonb` keeps numbers as `numeric`: 131,072 digits before the point and 16,383 behind. Beyond a tenth of the smaller one nothing is a number
/// that somebody meant.
const MAX_NUMBER_REACH: usize = 1_600;

/// Goes into each hash: a later change of the canonical form makes all records look changed once, on purpose.
const CANONICAL_VERSION: u8 = 1;

/// What stands for what Postgres cannot hold in text: NUL and lone surrogates.
const REPLACEMENT: char = '\u{FFFD}';

/// A field of an object.
#[derive(Debug)]
pub struct Field<'a> {
    /// Its name, as text that Postgres can hold.
    pub name: Cow<'a, str>,
    /// Whether something in the name had to be replaced for that.
    pub renamed: bool,
    /// Its value.
    pub value: &'a RawValue,
}

/// The fields of one object, in the order sent; of a repeated name the last counts, as for `jsonb`.
#[derive(Debug, Default)]
pub struct Fields<'a>(Vec<Field<'a>>);

impl<'a> Fields<'a> {
    /// The fields of a raw value, if it is an object.
    pub fn of(raw: &'a RawValue) -> Option<Self> {
        if kind(raw) == Kind::Object {
            serde_json::from_str(raw.get()).ok()
        } else {
            None
        }
    }

    /// The value of a field; absent and `null` are the same (contract section 3).
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        let last = self.0.iter().rev().find(|field| field.name == name)?;
        (kind(last.value) != Kind::Null).then_some(last.value)
    }

    /// The names, for messages that describe an object without showing its values.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|field| field.name.as_ref())
    }

    /// Adds the fields of another object; of a name that both have, the added one counts.
    pub fn append(&mut self, mut more: Self) {
        self.0.append(&mut more.0);
    }

    /// Sorted by name, each name once.
    pub fn sorted(mut self) -> Vec<Field<'a>> {
        self.0.reverse();
        self.0.sort_by(|a, b| a.name.cmp(&b.name));
        self.0.dedup_by(|earlier, kept| earlier.name == kept.name);
        self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut fields = Vec::with_capacity(16);
                while let Some((text, value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    fields.push(Field {
                        name: text.text,
                        renamed: text.replaced,
                        value,
                    });
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// A JSON string as text that Postgres can hold.
#[derive(Debug)]
pub struct Text<'a> {
    /// The text.
    pub text: Cow<'a, str>,
    /// Whether NUL or half a surrogate pair had to be replaced.
    pub replaced: bool,
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Decode;
        impl<'de> Visitor<'de> for Decode {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(match std::str::from_utf8(bytes) {
                    Ok(text) if !text.contains('\0') => Text {
                        text: Cow::Borrowed(text),
                        replaced: false,
                    },
                    Ok(_) | Err(_) => Text {
                        text: Cow::Owned(repair(bytes)),
                        replaced: true,
                    },
                })
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(match std::str::from_utf8(bytes) {
                    Ok(text) if !text.contains('\0') => Text {
                        text: Cow::Owned(text.to_owned()),
                        replaced: false,
                    },
                    Ok(_) | Err(_) => Text {
                        text: Cow::Owned(repair(bytes)),
                        replaced: true,
                    },
                })
            }
        }
        // As bytes, because a lone surrogate then arrives (in the form UTF-8 would give it) instead of failing the whole record.
        deserializer.deserialize_bytes(Decode)
    }
}

/// Replaces NUL and encoded surrogates, one character each.
fn repair(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        match std::str::from_utf8(rest) {
            Ok(valid) => {
                text.push_str(valid);
                break;
            }
            Err(error) => {
                let (valid, after) = rest.split_at(error.valid_up_to());
                text.push_str(&String::from_utf8_lossy(valid));
                text.push(REPLACEMENT);
                // A surrogate takes three bytes in this form.
                rest = after.get(3..).unwrap_or(&[]);
            }
        }
    }
    if text.contains('\0') {
        text.replace('\0', "\u{FFFD}")
    } else {
        text
    }
}

/// The elements of a raw array, if it is one.
pub fn elements(raw: &RawValue) -> Option<Vec<&RawValue>> {
    if kind(raw) == Kind::Array {
        serde_json::from_str(raw.get()).ok()
    } else {
        None
    }
}

/// The text of a raw string, if it is one.
pub fn text(raw: &RawValue) -> Option<Text<'_>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(raw.get()).ok()
    } else {
        Some(Text {
            text: Cow::Borrowed(inner),
            replaced: false,
        })
    }
}

/// A boolean, if it is one.
pub fn boolean(raw: &RawValue) -> Option<bool> {
    match raw.get() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// What kind of value a raw value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    Text,
    /// `true` or `false`
    Boolean,
    /// `null`
    Null,
    /// Anything else that is JSON.
    Number,
}

/// Tells the kind from the first byte, which is enough: a raw value is valid JSON without white space around it.
pub fn kind(raw: &RawValue) -> Kind {
    match raw.get().as_bytes().first() {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b'"') => Kind::Text,
        Some(b't' | b'f') => Kind::Boolean,
        Some(b'n') => Kind::Null,
        Some(_) | None => Kind::Number,
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::Text => "text",
            Self::Boolean => "a boolean",
            Self::Null => "null",
            Self::Number => "a number",
        })
    }
}

/// Where a value is in its record: names from the outside in.
#[derive(Debug, Clone, Copy)]
pub struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    name: &'p str,
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            write!(f, "{parent}.")?;
        }
        f.write_str(self.name)
    }
}

impl Path<'_> {
    /// Whether this is how the path shows itself.
    fn is(&self, shown: &str) -> bool {
        match (shown.strip_suffix(self.name), self.parent) {
            (None, _) => false,
            (Some(rest), None) => rest.is_empty(),
            (Some(rest), Some(parent)) => {
                rest.strip_suffix('.').is_some_and(|rest| parent.is(rest))
            }
        }
    }
}

/// A record in canonical form.
#[derive(Debug)]
pub struct Canonical<'a, const N: usize> {
    /// The JSON text: everything that was sent, in a form that `jsonb` can hold.
    pub text: String,
    /// The first half of the SHA-256 of that text without the ignored fields: equal whether or not they are there, and whatever they say.
    pub hash: [u8; HASH_BYTES],
    /// What was replaced, and why.
    pub issues: Vec<Issue>,
    /// The values at the paths that were wanted, as they were sent; none where there is nothing but null.
    pub wanted: [Option<&'a RawValue>; N],
}

/// Brings a record into canonical form. Fields are named by their path from the record, joined by dots: those `ignored` stay in the text and out of the hash,
/// those `wanted` are picked up on the way, so that nothing is read twice.
pub fn canonical<'a, const N: usize>(
    raw: &'a RawValue,
    ignored: &[String],
    wanted: [&str; N],
) -> Canonical<'a, N> {
    let mut writer = Writer {
        ignored,
        wanted,
        found: [None; N],
        out: String::with_capacity(raw.get().len()),
        issues: Vec::new(),
        unhashed: Vec::new(),
    };
    writer.value(raw, None, 0);
    let mut hasher = Sha256::new();
    hasher.update([CANONICAL_VERSION]);
    let mut from = 0;
    for range in &writer.unhashed {
        hasher.update(&writer.out[from..range.start]);
        from = range.end;
    }
    hasher.update(&writer.out[from..]);
    let mut hash = [0; HASH_BYTES];
    hash.copy_from_slice(&hasher.finalize()[..HASH_BYTES]);
    Canonical {
        text: writer.out,
        hash,
        issues: writer.issues,
        wanted: writer.found,
    }
}

struct Writer<'w, 'a, const N: usize> {
    ignored: &'w [String],
    wanted: [&'w str; N],
    found: [Option<&'a RawValue>; N],
    out: String,
    issues: Vec<Issue>,
    /// The parts of `out` that do not count for the hash, in order.
    unhashed: Vec<Range<usize>>,
}

impl<'a, const N: usize> Writer<'_, 'a, N> {
    fn value(&mut self, raw: &'a RawValue, path: Option<Path<'_>>, depth: usize) {
        match kind(raw) {
            Kind::Object if depth < MAX_DEPTH => self.object(raw, path, depth),
            Kind::Array if depth < MAX_DEPTH => self.array(raw, path, depth),
            Kind::Object | Kind::Array => self.as_text(raw, path),
            Kind::Text => self.string(raw, path),
            Kind::Boolean | Kind::Null => self.out.push_str(raw.get()),
            Kind::Number => self.number(raw.get(), path),
        }
    }

    fn object(&mut self, raw: &'a RawValue, path: Option<Path<'_>>, depth: usize) {
        let Some(fields) = Fields::of(raw) else {
            return self.as_text(raw, path);
        };
        self.out.push('{');
        let mut hashed_before = false;
        for (position, field) in fields.sorted().into_iter().enumerate() {
            let here = Path {
                parent: path.as_ref(),
                name: &field.name,
            };
            let start = self.out.len();
            if position > 0 {
                self.out.push(',');
            }
            for (shown, found) in self.wanted.iter().zip(&mut self.found) {
                if here.is(shown) && kind(field.value) != Kind::Null {
                    *found = Some(field.value);
                }
            }
            let ignored = self.ignored.iter().any(|shown| here.is(shown));
            if !ignored {
                // The comma behind a field that does not count does not count either.
                if position > 0 && !hashed_before {
                    self.unhashed.push(start..self.out.len());
                }
                hashed_before = true;
            }
            let nested = self.unhashed.len();
            if field.renamed {
                self.issue(
                    Some(here),
                    "the name held NUL or half a surrogate pair; replaced by U+FFFD",
                );
            }
            quote(&field.name, &mut self.out);
            self.out.push(':');
            self.value(field.value, Some(here), depth + 1);
            if ignored {
                self.unhashed.truncate(nested);
                self.unhashed.push(start..self.out.len());
            }
        }
        self.out.push('}');
    }

    fn array(&mut self, raw: &'a RawValue, path: Option<Path<'_>>, depth: usize) {
        let Some(values) = elements(raw) else {
            return self.as_text(raw, path);
        };
        self.out.push('[');
        for (position, value) in values.into_iter().enumerate() {
            if position > 0 {
                self.out.push(',');
            }
            self.value(value, path, depth + 1);
        }
        self.out.push(']');
    }

    /// Postgres's own JSON parser recurses, and gives up somewhere below: what is nested too deeply is kept as text.
    fn as_text(&mut self, raw: &'a RawValue, path: Option<Path<'_>>) {
        self.issue(path, "nested too deeply; kept as text");
        quote(raw.get(), &mut self.out);
    }

    fn string(&mut self, raw: &'a RawValue, path: Option<Path<'_>>) {
        if !raw.get().contains('\\') {
            self.out.push_str(raw.get());
            return;
        }
        match text(raw) {
            Some(Text { text, replaced }) => {
                if replaced {
                    self.issue(
                        path,
                        "held NUL or half a surrogate pair; replaced by U+FFFD",
                    );
                }
                quote(&text, &mut self.out);
            }
            None => self.as_text(raw, path),
        }
    }

    fn number(&mut self, raw: &str, path: Option<Path<'_>>) {
        let exponent = match raw.split_once(['e', 'E']) {
            None => 0,
            Some((_, exponent)) => exponent
                .parse::<i64>()
                .map_or(usize::MAX, |e| e.unsigned_abs() as usize),
        };
        if raw.len().saturating_add(exponent) > MAX_NUMBER_REACH {
            self.issue(path, "a number beyond Postgres's range; kept as text");
            quote(raw, &mut self.out);
        } else {
            self.out.push_str(raw);
        }
    }

    fn issue(&mut self, path: Option<Path<'_>>, reason: &str) {
        let path = path.map_or_else(String::new, |path| path.to_string());
        self.issues.push(Issue {
            path,
            reason: reason.to_owned(),
        });
    }
}

/// Appends a JSON string.
pub fn quote(text: &str, out: &mut String) {
    let plain = !text.bytes().any(|b| b < 0x20 || b == b'"' || b == b'\\');
    if plain {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}

/// Writes an object of those fields for which `write` writes a value; nothing at all when none is left.
pub fn write_object(
    fields: Fields<'_>,
    out: &mut String,
    write: impl Fn(&str, &RawValue, &mut String),
) {
    let start = out.len();
    for field in fields.sorted() {
        let before = out.len();
        out.push(if before == start { '{' } else { ',' });
        quote(&field.name, out);
        out.push(':');
        let named = out.len();
        write(&field.name, field.value, out);
        if out.len() == named {
            out.truncate(before);
        }
    }
    if out.len() > start {
        out.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'a>(json: &'a str, ignored: &[&str]) -> Canonical<'a, 1> {
        let ignored: Vec<String> = ignored.iter().map(|&path| path.to_owned()).collect();
        canonical(serde_json::from_str(json).unwrap(), &ignored, ["user.m"])
    }

    #[test]
    fn what_is_wanted_is_found_on_the_way() {
        let found = |json| of(json, &[]).wanted[0].map(|raw: &RawValue| raw.get().to_owned());
        assert_eq!(
            found(r#"{"user":{"m":1,"m":"x"},"m":2}"#).as_deref(),
            Some("\"x\"")
        );
        assert_eq!(found(r#"{"user":{"m":null},"x":{"user":{"m":1}}}"#), None);
    }

    #[test]
    fn equal_content_has_equal_bytes() {
        let one = of(
            r#"{ "b": [1, {"y":2,"x":"\u00e9"}], "a": "caf\u00e9 \/" }"#,
            &[],
        );
        let two = of(r#"{"a":"café /","b":[1,{"x":"é","y":2}]}"#, &[]);
        assert_eq!(one.text, two.text);
        assert_eq!(one.hash, two.hash);
        assert_eq!(two.text, r#"{"a":"café /","b":[1,{"x":"é","y":2}]}"#);
    }

    #[test]
    fn of_a_repeated_name_the_last_counts() {
        assert_eq!(of(r#"{"a":1,"b":2,"a":3}"#, &[]).text, r#"{"a":3,"b":2}"#);
    }

    #[test]
    fn numbers_keep_every_digit() {
        let digits = "123456789012345678901234567890.10";
        assert_eq!(of(digits, &[]).text, digits);
        assert_eq!(of("1e400", &[]).text, "1e400");
    }

    #[test]
    fn what_postgres_cannot_hold_is_replaced_and_named() {
        let canonical = of(
            r#"{"nul":"a\u0000b","lone":"x\ud800y","low":"\udc00","pair":"\ud83d\ude00","huge":1e20000,"ke\u0000y":1,"deep":{"n":["\u0000"]}}"#,
            &[],
        );
        let value: serde_json::Value = serde_json::from_str(&canonical.text).unwrap();
        assert_eq!(value["nul"], "a\u{FFFD}b");
        assert_eq!(value["lone"], "x\u{FFFD}y");
        assert_eq!(value["low"], "\u{FFFD}");
        assert_eq!(value["pair"], "😀");
        assert_eq!(value["huge"], "1e20000");
        assert_eq!(value["ke\u{FFFD}y"], 1);
        let mut paths: Vec<_> = canonical
            .issues
            .into_iter()
            .map(|issue| issue.path)
            .collect();
        paths.sort();
        assert_eq!(
            paths,
            ["deep.n", "huge", "ke\u{FFFD}y", "lone", "low", "nul"]
        );
    }

    #[test]
    fn a_replacement_character_that_was_sent_is_no_issue() {
        let canonical = of(r#""\ufffd\n""#, &[]);
        assert_eq!(canonical.text, "\"\u{FFFD}\\n\"");
        assert!(canonical.issues.is_empty());
    }

    #[test]
    fn deep_nesting_is_kept_as_text() {
        let nested = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
        let canonical = of(&nested, &[]);
        assert_eq!(canonical.issues.len(), 1);
        assert!(
            canonical
                .text
                .starts_with(&format!("{}\"[", "[".repeat(MAX_DEPTH)))
        );
    }

    #[test]
    fn ignored_fields_stay_in_the_text_and_out_of_the_hash() {
        let ignored = ["seq-no", "user.a", "user.z"];
        let hashes = [
            r#"{"seq-no":1,"user":{"a":1,"m":{"a":5},"z":{"x":[1]}}}"#,
            r#"{"seq-no":7,"user":{"a":2,"m":{"a":5},"z":3}}"#,
            r#"{"user":{"m":{"a":5}}}"#,
        ]
        .map(|json| of(json, &ignored).hash);
        assert_eq!(hashes[0], hashes[1]);
        assert_eq!(hashes[0], hashes[2]);
        assert_ne!(hashes[0], of(r#"{"user":{"m":{"a":6}}}"#, &ignored).hash);
        assert_ne!(
            hashes[0],
            of(r#"{"user":{"m":{"a":5},"n":1}}"#, &ignored).hash
        );
        assert!(of(r#"{"seq-no":1}"#, &ignored).text.contains("seq-no"));
    }
}
