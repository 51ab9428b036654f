//! The privacy rules of a table applied to one of its records, as it was sent and before anything
//! is made of it.
//!
//! To take part, a resource asks [`Policy::for_table`](privacy::Policy::for_table) once for its
//! [`Rules`], saying under which names the API sends each column, and calls [`apply`] on each
//! record before all else. What is dropped is then as if it had never been sent, and what is hashed
//! as if its hash had been.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::canonical::canonical;
use super::json::{self, Kind};
use privacy::{Action, Rule, Rules};
use record::Issue;

/// The record as it may be kept. Where something else than an object stands around a place that has
/// a rule, it is dropped: what is in it cannot be told. That is added to the issues.
pub fn apply<'a>(raw: &'a RawValue, rules: &Rules, issues: &mut Vec<Issue>) -> Cow<'a, RawValue> {
    if rules.is_empty() {
        return Cow::Borrowed(raw);
    }
    let mut writer = Writer {
        rules,
        issues,
        path: Vec::new(),
        out: String::with_capacity(raw.get().len()),
    };
    writer.value(raw, &rules.all().iter().collect::<Vec<_>>());
    match RawValue::from_string(writer.out) {
        Ok(kept) => Cow::Owned(kept),
        // It is JSON, since all of its parts are; were it not, nothing of it could be kept.
        Err(_) => Cow::Borrowed(RawValue::NULL),
    }
}

struct Writer<'w> {
    rules: &'w Rules,
    issues: &'w mut Vec<Issue>,
    path: Vec<String>,
    out: String,
}

impl Writer<'_> {
    /// Writes a value in which these rules have places.
    fn value(&mut self, raw: &RawValue, rules: &[&Rule]) {
        let fields: Option<RawFields<'_>> = match json::kind(raw) {
            Kind::Object => serde_json::from_str(raw.get()).ok(),
            Kind::Null => {
                self.out.push_str("null");
                return;
            }
            Kind::Array | Kind::Text | Kind::Boolean | Kind::Number => None,
        };
        let Some(RawFields(fields)) = fields else {
            self.out.push_str("null");
            let reason = format!(
                "was {}, not an object; dropped, since the privacy settings name a field in it",
                json::kind(raw)
            );
            let path = self.path.join(".");
            self.issues.push(Issue { path, reason });
            return;
        };
        self.out.push('{');
        let start = self.out.len();
        for (raw_name, value) in fields {
            let name = json::text(raw_name)
                .map(|name| name.text)
                .unwrap_or_default();
            let depth = self.path.len();
            let within: Vec<&Rule> = rules
                .iter()
                .copied()
                .filter(|rule| rule.path.get(depth).is_some_and(|part| *part == name))
                .collect();
            let here = within.iter().find(|rule| rule.path.len() == depth + 1);
            let hashed = match here.map(|rule| rule.action) {
                Some(Action::Hash) => match hashed(value, self.rules) {
                    Some(hash) => Some(hash),
                    None => continue,
                },
                Some(Action::Drop) => continue,
                Some(Action::Keep) | None => None,
            };
            if self.out.len() > start {
                self.out.push(',');
            }
            self.out.push_str(raw_name.get());
            self.out.push(':');
            match hashed {
                Some(hash) => self.out.push_str(&hash),
                None if within.is_empty() => self.out.push_str(value.get()),
                None => {
                    self.path.push(name.into_owned());
                    self.value(value, &within);
                    self.path.pop();
                }
            }
        }
        self.out.push('}');
    }
}

/// The hash of a value, as JSON: of text as it reads, of anything else in its canonical form.
/// Nothing has no hash: null and empty text are null.
fn hashed(value: &RawValue, rules: &Rules) -> Option<String> {
    let text = text_to_hash(value);
    if text.is_empty() {
        return Some("null".into());
    }
    Some(format!("\"{}\"", rules.hash(&text)?))
}

/// What of a value is hashed; empty where it is nothing.
pub fn text_to_hash(value: &RawValue) -> String {
    match json::kind(value) {
        Kind::Null => String::new(),
        Kind::Text => json::text(value)
            .map(|text| text.text.into_owned())
            .unwrap_or_default(),
        Kind::Object | Kind::Array | Kind::Boolean | Kind::Number => {
            canonical(value, &[], []).text.to_string()
        }
    }
}

/// The fields of an object in the order sent, names as they were written.
struct RawFields<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for RawFields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = RawFields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut fields = Vec::with_capacity(16);
                while let Some(field) = map.next_entry::<&'de RawValue, &'de RawValue>()? {
                    fields.push(field);
                }
                Ok(RawFields(fields))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use privacy::{Choices, HashKey, Policy};

    fn rules(settings: &str) -> Rules {
        let choices: Choices = settings.parse().unwrap();
        let key = HashKey::stored(b"key".to_vec());
        super::super::user::rules(&Policy::new(choices, Some(key)))
    }

    fn applied(settings: &str, record: &str) -> (String, Vec<Issue>) {
        let raw: &RawValue = serde_json::from_str(record).unwrap();
        let mut issues = Vec::new();
        let kept = apply(raw, &rules(settings), &mut issues).get().to_owned();
        (kept, issues)
    }

    const ANN: &str = r#"{"seq-no":1,"user":{"user_id":"ann","identifiers":{"email_address":"Ann@a.example","username":"ann"},"attributes":{"b\u0000":1,"dob":"1980-01-01","n":5}}}"#;

    #[test]
    fn what_is_dropped_is_as_if_it_had_not_been_sent() {
        let settings = "\"users.email\" = \"drop\"\n\"users.attributes.dob\" = \"drop\"";
        let (kept, issues) = applied(settings, ANN);
        assert_eq!(
            kept,
            r#"{"seq-no":1,"user":{"user_id":"ann","identifiers":{"username":"ann"},"attributes":{"b\u0000":1,"n":5}}}"#
        );
        assert!(issues.is_empty());
    }

    #[test]
    fn what_is_hashed_is_text_of_whatever_kind_it_was() {
        let settings = "\"users.email\" = \"hash\"\n\"users.attributes.n\" = \"hash\"";
        let (kept, _) = applied(settings, ANN);
        let key = HashKey::stored(b"key".to_vec());
        for hash in [key.hash_value("ann@a.example"), key.hash_value("5")] {
            assert!(kept.contains(&format!("\"{hash}\"")), "{kept}");
        }
        assert!(!kept.contains("Ann@"), "{kept}");
        for nothing in ["null", "\"\""] {
            let record = format!(r#"{{"user":{{"identifiers":{{"email_address":{nothing}}}}}}}"#);
            let (kept, _) = applied(settings, &record);
            assert!(kept.contains(r#""email_address":null"#), "{kept}");
        }
        assert_eq!(applied(settings, r#"{"user":{}}"#).0, r#"{"user":{}}"#);
    }

    #[test]
    fn without_a_key_there_is_no_hash_and_no_value_either() {
        let choices: Choices = "\"users.email\" = \"hash\"".parse().unwrap();
        let rules = super::super::user::rules(&Policy::new(choices, None));
        let raw: &RawValue = serde_json::from_str(ANN).unwrap();
        let kept = apply(raw, &rules, &mut Vec::new()).get().to_owned();
        assert!(!kept.contains("email_address"), "{kept}");
    }

    #[test]
    fn what_stands_in_the_way_of_a_rule_goes_and_is_explained() {
        let settings = "\"users.attributes.dob\" = \"drop\"";
        for (record, kept, path) in [
            (
                r#"{"user":{"attributes":[{"dob":1}]}}"#,
                r#"{"user":{"attributes":null}}"#,
                "user.attributes",
            ),
            (
                r#"{"user":["dob"],"x":1}"#,
                r#"{"user":null,"x":1}"#,
                "user",
            ),
            (r#""dob""#, "null", ""),
        ] {
            let (found, issues) = applied(settings, record);
            assert_eq!(found, kept);
            assert_eq!(issues.len(), 1);
            assert_eq!(issues[0].path, path);
        }
    }

    #[test]
    fn a_repeated_or_escaped_name_hides_nothing() {
        let settings = "\"users.email\" = \"drop\"";
        let record = r#"{"user":{"identifiers":{"email_address":"a","email_\u0061ddress":"b"}}}"#;
        assert_eq!(
            applied(settings, record).0,
            r#"{"user":{"identifiers":{}}}"#
        );
    }

    #[test]
    fn a_field_of_the_rest_goes_by_its_path() {
        let settings =
            "\"users.extra.user.last_login\" = \"drop\"\n\"users.extra.seq-no\" = \"drop\"";
        let record = r#"{"seq-no":1,"user":{"user_id":"a","last_login":"x"}}"#;
        assert_eq!(applied(settings, record).0, r#"{"user":{"user_id":"a"}}"#);
    }
}
