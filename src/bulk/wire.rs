//! Values as they are sent.

use serde_json::value::RawValue;

use super::field::Fields;
use super::settings::Wire;

/// A value of an attribute as it is to be sent.
pub fn value(fields: &Fields, slug: &str, text: &str, wire: Wire) -> Box<RawValue> {
    match (wire, fields.get(slug)) {
        (Wire::Strings, _) | (Wire::Typed, None) => string(text),
        (Wire::Typed, Some(field)) => {
            serde_json::value::to_raw_value(&field.typed(text)).unwrap_or_else(|_| string(text))
        }
    }
}

/// Text as JSON.
pub fn string(text: &str) -> Box<RawValue> {
    // A string is always JSON.
    serde_json::value::to_raw_value(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}
