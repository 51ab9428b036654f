//! Whether values are the same, as the field they belong to sees it: the API may show as `true` or
//! `5` what was sent as text.

use serde_json::value::RawValue;

use super::field::Fields;
use zephr::json::{self, Kind};

/// A value as it is to be sent, as text.
pub fn text(wire: &RawValue) -> String {
    match json::text(wire) {
        Some(text) => text.text.into_owned(),
        None => wire.get().to_owned(),
    }
}

/// Whether two values of an attribute say the same; absent, `null` and empty text all say that
/// there is none.
pub fn same(fields: &Fields, slug: &str, one: Option<&RawValue>, other: Option<&RawValue>) -> bool {
    let Some(field) = fields.get(slug) else {
        return plainly(one) == plainly(other);
    };
    match field.text_of(other) {
        Ok(text) => field.says(one, text.as_deref().unwrap_or_default()),
        // Lists and objects, which no text says.
        Err(_) => plainly(one) == plainly(other),
    }
}

/// A value of which nothing is known but that it is JSON. Of lists and objects the mirror keeps
/// what they say, not how they were spelt.
fn plainly(value: Option<&RawValue>) -> Option<String> {
    let value = value?;
    let spelt = match json::kind(value) {
        Kind::Array | Kind::Object => serde_json::from_str(value.get())
            .map(|value: serde_json::Value| value.to_string())
            .ok(),
        Kind::Null | Kind::Boolean | Kind::Number | Kind::Text => None,
    };
    Some(spelt.unwrap_or_else(|| text(value))).filter(|text| !text.is_empty() && text != "null")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.into()).unwrap()
    }

    #[test]
    fn the_field_decides_and_without_one_the_text() {
        let schema = [
            raw(r#"{"slug":"vip","input-type":"checkbox"}"#),
            raw(r#"{"slug":"age","input-type":"number"}"#),
        ];
        let fields = Fields::parse(&schema);
        let is =
            |slug, one: &str, other: &str| same(&fields, slug, Some(&raw(one)), Some(&raw(other)));
        assert!(is("vip", "true", "\"TRUE\""));
        assert!(is("age", "5", "\"5.0\""));
        assert!(!is("age", "5", "\"6\""));
        assert!(is("gone", "5", "\"5\""));
        assert!(!is("gone", "5", "\"5.0\""));
        assert!(is("gone", "[1]", "[1]"));
        assert!(is(
            "vip",
            r#"{"b":["x", 1],"a":2}"#,
            r#"{"a": 2, "b": ["x", 1]}"#
        ));
        assert!(!is("vip", r#"["x","y"]"#, r#"["y","x"]"#));
        assert!(same(&fields, "vip", None, Some(&raw("null"))));
        assert!(same(&fields, "gone", Some(&raw("\"\"")), None));
    }
}
