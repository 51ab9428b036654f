//! The body of a request: each user once, their actions, and nothing but ASCII, which removes any
//! doubt about the charset that is signed and sent (contract section 2).

use std::io::{self, Write};

use bytes::Bytes;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};
use serde_json::value::RawValue;

/// What is done to one user.
#[derive(Debug)]
pub enum Update<'a> {
    /// These attributes are set, by slug, to these values: text, or what settings made of it.
    Set(&'a str, Vec<(&'a str, &'a RawValue)>),
    /// The user is deleted.
    Delete(&'a str),
}

#[derive(Serialize)]
struct Body<'a> {
    updates: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    identifier: Identifier<'a>,
    actions: Vec<Action<'a>>,
}

#[derive(Serialize)]
struct Identifier<'a> {
    user_id: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Action<'a> {
    SetAttribute { attribute: Attribute<'a> },
    DeleteUser,
}

#[derive(Serialize)]
struct Attribute<'a> {
    field: &'a str,
    value: Value<'a>,
}

/// Text is written anew, so that it is ASCII; what is not text is ASCII as it is.
#[derive(Serialize)]
#[serde(untagged)]
enum Value<'a> {
    Text(String),
    Other(&'a RawValue),
}

/// The bytes of a request.
///
/// # Errors
/// None that values which were read from JSON can cause.
pub fn body(updates: &[Update<'_>]) -> Result<Bytes, serde_json::Error> {
    let entries = updates.iter().map(|update| match update {
        Update::Set(user_id, values) => Entry {
            identifier: Identifier { user_id },
            actions: values
                .iter()
                .map(|(field, value)| set(field, value))
                .collect(),
        },
        Update::Delete(user_id) => Entry {
            identifier: Identifier { user_id },
            actions: vec![Action::DeleteUser],
        },
    });
    let body = Body {
        updates: entries.collect(),
    };
    let mut bytes = Vec::new();
    body.serialize(&mut Serializer::with_formatter(&mut bytes, Ascii))?;
    Ok(bytes.into())
}

fn set<'a>(field: &'a str, value: &'a RawValue) -> Action<'a> {
    let value = match serde_json::from_str::<String>(value.get()) {
        Ok(text) => Value::Text(text),
        Err(_) => Value::Other(value),
    };
    Action::SetAttribute {
        attribute: Attribute { field, value },
    }
}

/// JSON in which every character beyond ASCII is escaped.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(|c: char| !c.is_ascii()) {
            let (plain, other) = rest.split_at(at);
            CompactFormatter.write_string_fragment(writer, plain)?;
            let mut characters = other.chars();
            if let Some(character) = characters.next() {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            rest = characters.as_str();
        }
        CompactFormatter.write_string_fragment(writer, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.into()).unwrap()
    }

    #[test]
    fn the_body_is_that_of_the_contract_in_ascii() {
        // Test vector V4 of contract section 2.
        let name = raw("\"Joë\"");
        let updates = [Update::Set(
            "3f589a2d-86ad-4b70-a5df-68dca75a3a21",
            vec![("first-name", &name)],
        )];
        let bytes = body(&updates).unwrap();
        assert_eq!(
            std::str::from_utf8(&bytes).unwrap(),
            "{\"updates\":[{\"identifier\":{\"user_id\":\"3f589a2d-86ad-4b70-a5df-68dca75a3a21\"},\"actions\":[{\"type\":\"set-attribute\",\"attribute\":{\"field\":\"first-name\",\"value\":\"Jo\\u00eb\"}}]}]}"
        );
        assert_eq!(bytes.len(), 170);
    }

    #[test]
    fn deletions_typed_values_and_characters_beyond_the_basic_plane() {
        let (smile, yes) = (raw("\"\\u00e9 😀 \\\"\""), raw("true"));
        let updates = [
            Update::Delete("ann"),
            Update::Set("bo", vec![("a", &smile), ("b", &yes)]),
        ];
        let bytes = body(&updates).unwrap();
        let text = std::str::from_utf8(&bytes).unwrap();
        assert!(text.is_ascii());
        assert!(
            text.contains(r#"{"identifier":{"user_id":"ann"},"actions":[{"type":"delete-user"}]}"#),
            "{text}"
        );
        assert!(
            text.contains(r#""value":"\u00e9 \ud83d\ude00 \"""#),
            "{text}"
        );
        assert!(text.contains(r#""value":true"#), "{text}");
    }
}
