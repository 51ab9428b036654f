//! Values as they are sent.

use serde_json::value::RawValue;

use super::field::{Fields, Typed};
use super::settings::Wire;
use zephr::json::{self, Kind};

/// A value of an attribute as it is to be sent, where there is this one now.
pub fn value(
    fields: &Fields,
    slug: &str,
    text: &str,
    before: Option<&RawValue>,
    wire: Wire,
) -> Box<RawValue> {
    let typed = match wire {
        Wire::Strings => None,
        Wire::Typed => fields.get(slug).map(|field| field.typed(text)),
    };
    match (wire, typed) {
        (Wire::Strings, _) => string(text),
        (Wire::Typed, Some(typed @ (Typed::Boolean(_) | Typed::Number(_)))) => {
            serde_json::value::to_raw_value(&typed).unwrap_or_else(|_| string(text))
        }
        // Where the schema says no more than text, a value stays of the kind that it is.
        (Wire::Typed, Some(Typed::Text(_)) | None) => like(before, text),
    }
}

/// A value that was there, as it is to be sent again; `text` is what it says.
pub fn again(before: Option<&RawValue>, text: &str, wire: Wire) -> Box<RawValue> {
    match (wire, before) {
        (Wire::Typed, Some(before)) => before.to_owned(),
        (Wire::Strings, _) | (Wire::Typed, None) => string(text),
    }
}

/// Whether a number or a boolean goes out as text.
pub fn becomes_text(before: Option<&RawValue>, sent: &RawValue) -> bool {
    before.is_some_and(is_typed) && json::kind(sent) == Kind::Text && sent.get() != "\"\""
}

/// Whether a value is a number or a boolean.
fn is_typed(value: &RawValue) -> bool {
    matches!(json::kind(value), Kind::Number | Kind::Boolean)
}

fn like(before: Option<&RawValue>, text: &str) -> Box<RawValue> {
    let parsed = RawValue::from_string(text.to_owned()).ok();
    let same_kind = parsed.filter(|parsed| {
        before.is_some_and(|before| is_typed(before) && json::kind(before) == json::kind(parsed))
    });
    same_kind.unwrap_or_else(|| string(text))
}

/// Text as JSON.
pub fn string(text: &str) -> Box<RawValue> {
    // A string is always JSON.
    serde_json::value::to_raw_value(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_values_go_by_the_schema_and_by_what_is_there() {
        let raw = |text: &str| RawValue::from_string(text.into()).unwrap();
        let fields = Fields::parse(&[
            raw(r#"{"slug":"vip","input-type":"checkbox"}"#),
            raw(r#"{"slug":"age","input-type":"number"}"#),
            raw(r#"{"slug":"note","input-type":"text"}"#),
        ]);
        for (slug, text, before, wire, sent) in [
            ("age", "3022", Some("5"), Wire::Strings, r#""3022""#),
            ("age", "3022", None, Wire::Typed, "3022"),
            ("vip", "true", Some(r#""false""#), Wire::Typed, "true"),
            ("note", "7", Some("5"), Wire::Typed, "7"),
            ("note", "7", Some(r#""5""#), Wire::Typed, r#""7""#),
            ("note", "7", Some("true"), Wire::Typed, r#""7""#),
            ("note", "seven", Some("5"), Wire::Typed, r#""seven""#),
            ("gone", "false", Some("true"), Wire::Typed, "false"),
            ("gone", "7", None, Wire::Typed, r#""7""#),
        ] {
            let before = before.map(raw);
            let value = value(&fields, slug, text, before.as_deref(), wire);
            assert_eq!(value.get(), sent, "{slug} {text} {wire:?}");
        }
        for (before, wire, sent) in [
            ("3022", Wire::Typed, "3022"),
            (r#""3022""#, Wire::Typed, r#""3022""#),
            ("3022", Wire::Strings, r#""3022""#),
        ] {
            assert_eq!(again(Some(&raw(before)), "3022", wire).get(), sent);
        }
        assert!(becomes_text(Some(&raw("5")), &raw(r#""6""#)));
        assert!(!becomes_text(Some(&raw("5")), &raw("6")));
        assert!(!becomes_text(Some(&raw(r#""5""#)), &raw(r#""6""#)));
        assert!(!becomes_text(Some(&raw("5")), &raw(r#""""#)));
    }
}
