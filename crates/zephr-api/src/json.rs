//! Raw JSON as text: fields of an object without a tree. Parsing each user into a tree costs four
//! times what borrowing the raw text does, so a record stays text from the wire to the database.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

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
        // As bytes, because a lone surrogate then arrives (in the form UTF-8 would give it) instead
        // of failing the whole record.
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

/// Tells the kind from the first byte, which is enough: a raw value is valid JSON without white
/// space around it.
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

/// Names under which an answer says that something went wrong.
const ERRORS: [&str; 2] = ["error", "errors"];

/// The field of an envelope of this name, if it is one that says that something went wrong.
pub fn complaint(name: &str, said: &RawValue) -> Option<&'static str> {
    let field = ERRORS.into_iter().find(|field| *field == name)?;
    let is_empty = match kind(said) {
        Kind::Null => true,
        Kind::Boolean => said.get() == "false",
        Kind::Text => said.get() == "\"\"",
        Kind::Number => said.get() == "0",
        Kind::Array => elements(said).is_some_and(|elements| elements.is_empty()),
        Kind::Object => Fields::of(said).is_some_and(|fields| fields.names().next().is_none()),
    };
    (!is_empty).then_some(field)
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

/// Writes an object of those fields for which `write` writes a value; nothing at all when none is
/// left.
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
