//! What a bulk update makes of a value under the user schema: refuses it, removes the attribute,
//! stores it as it came or as what the schema says it is (contract 12.1).

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Number;
use serde_json::value::RawValue;

use super::bulk::{Bulk, EmptyValue, Stored, UnknownSlug};
use super::json;

/// The user schema as far as values are judged by it.
#[derive(Debug)]
pub(super) struct Schema(HashMap<String, Field>);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Field {
    slug: String,
    #[serde(default)]
    input_type: String,
    /// JSON inside a string.
    #[serde(default)]
    select_options: Option<String>,
}

impl Field {
    fn is_number(&self) -> bool {
        matches!(self.input_type.as_str(), "number" | "range")
    }

    /// Whether a value is one the console would let through.
    fn takes(&self, value: &str) -> bool {
        match self.input_type.as_str() {
            "number" | "range" => value.parse::<f64>().is_ok_and(f64::is_finite),
            "checkbox" => matches!(value, "true" | "false"),
            "date" => value.parse::<chrono::NaiveDate>().is_ok(),
            "select" | "radio" => {
                let options = self.select_options.as_deref().unwrap_or("null");
                let options: Option<Vec<String>> = serde_json::from_str(options).unwrap_or(None);
                options.is_none_or(|options| options.iter().any(|option| option == value))
            }
            _ => true,
        }
    }

    /// A value as what the schema says it is; none where it cannot be read as that.
    fn typed(&self, value: &str) -> Option<Box<RawValue>> {
        let readable = match self.input_type.as_str() {
            "checkbox" => matches!(value, "true" | "false"),
            _ => self.is_number() && serde_json::from_str::<Number>(value).is_ok(),
        };
        let value = readable.then(|| value.trim().to_owned())?;
        RawValue::from_string(value).ok()
    }
}

impl Schema {
    /// Reads the answer of `GET /v3/schema/users`. One that is no list of fields knows no
    /// attribute.
    pub(super) fn read(answer: &[u8]) -> Self {
        let fields: Vec<Field> = serde_json::from_slice(answer).unwrap_or_default();
        let by_slug = fields.into_iter().map(|field| (field.slug.clone(), field));
        Self(by_slug.collect())
    }

    /// Whether an attribute may be set at all.
    pub(super) fn allows(&self, bulk: &Bulk, slug: &str) -> bool {
        match bulk.unknown_slug {
            UnknownSlug::Refused => self.0.contains_key(slug),
            UnknownSlug::Stored => true,
        }
    }

    /// What is to be stored for a value, none to remove the attribute, or why the row fails.
    pub(super) fn judge(
        &self,
        bulk: &Bulk,
        slug: &str,
        value: &str,
    ) -> Result<Option<Box<RawValue>>, &'static str> {
        if !self.allows(bulk, slug) {
            return Err("no such attribute");
        }
        if value.is_empty() {
            return match bulk.empty_value {
                EmptyValue::Clears => Ok(None),
                EmptyValue::Stored => Ok(Some(json::text_value(value))),
                EmptyValue::FailsRow => Err("the value is empty"),
            };
        }
        let field = self.0.get(slug);
        if bulk.values_checked && field.is_some_and(|field| !field.takes(value)) {
            return Err("the value does not fit the schema");
        }
        let typed = match bulk.stored {
            Stored::AsSent => None,
            Stored::Typed => field.and_then(|field| field.typed(value)),
        };
        Ok(Some(typed.unwrap_or_else(|| json::text_value(value))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(bulk: Bulk, slug: &str, value: &str) -> Result<Option<String>, &'static str> {
        let mut schema = Vec::new();
        super::super::attributes::schema(&mut schema);
        let judged = Schema::read(&schema).judge(&bulk, slug, value)?;
        Ok(judged.map(|value| value.get().to_owned()))
    }

    fn json(text: &str) -> Result<Option<String>, &'static str> {
        Ok(Some(text.to_owned()))
    }

    #[test]
    fn values_are_stored_as_they_came_or_as_the_schema_has_them() {
        let plain = Bulk::plain();
        let typed = Bulk {
            stored: Stored::Typed,
            ..plain
        };
        for (slug, value, as_sent, as_typed) in [
            ("newsletter", "true", r#""true""#, "true"),
            ("newsletter", "yes", r#""yes""#, r#""yes""#),
            ("reader_score", "7.50", r#""7.50""#, "7.50"),
            ("reader_score", "007", r#""007""#, r#""007""#),
            ("city", "5", r#""5""#, r#""5""#),
        ] {
            assert_eq!(stored(plain, slug, value), json(as_sent), "{slug} {value}");
            assert_eq!(stored(typed, slug, value), json(as_typed), "{slug} {value}");
        }
    }

    #[test]
    fn values_are_checked_only_where_the_tenant_checks() {
        let checked = Bulk {
            values_checked: true,
            ..Bulk::plain()
        };
        for (slug, good, bad) in [
            ("country", "GB", "Atlantis"),
            ("loyalty-points", "-3", "many"),
            ("newsletter", "false", "no"),
            ("date-of-birth", "1980-02-29", "1981-02-29"),
        ] {
            assert!(stored(checked, slug, good).is_ok(), "{slug} {good}");
            assert!(stored(checked, slug, bad).is_err(), "{slug} {bad}");
            assert!(stored(Bulk::plain(), slug, bad).is_ok(), "{slug} {bad}");
        }
    }

    #[test]
    fn an_empty_value_does_one_of_three_things() {
        let with = |empty_value| Bulk {
            empty_value,
            values_checked: true,
            ..Bulk::plain()
        };
        let points = |empty_value| stored(with(empty_value), "loyalty-points", "");
        assert_eq!(points(EmptyValue::Clears), Ok(None));
        assert_eq!(points(EmptyValue::Stored), json(r#""""#));
        assert!(points(EmptyValue::FailsRow).is_err());
    }
}
