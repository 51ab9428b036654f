//! How a user of the mirror and the same user as the API shows it compare: by the names of fields,
//! never by their values.
//!
//! The answer about a single user need not have the fields of the export, so a field that only one
//! side has is told apart from one that differs; whether it means anything depends on what other
//! records show. Within `attributes` it always does: they are one object, and come whole or not at
//! all.

use serde_json::value::RawValue;

use super::canonical::canonical;
use super::json::{self, Fields, Kind};
use super::{redact, rejoin, timestamp};
use privacy::Rules;
use record::Mirrored;

/// What came of comparing one user, by the paths of its fields.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Equal on both sides.
    pub equal: Vec<String>,
    /// On both sides, and different.
    pub different: Vec<String>,
    /// Only in the mirror.
    pub only_mirror: Vec<String>,
    /// Only in the API's answer.
    pub only_api: Vec<String>,
}

/// Compares what may be kept under the rules. What `ignored` names does not count, and neither does
/// what the mirror had to replace.
pub fn users(mirrored: &Mirrored, shown: &RawValue, ignored: &[String], rules: &Rules) -> Compared {
    let here = rejoin::user(mirrored);
    let here: &RawValue = serde_json::from_str(&here).unwrap_or(RawValue::NULL);
    // Brought into the form in which a record goes into the mirror, at the depth it has there.
    let item = format!(r#"{{"user":{}}}"#, shown.get());
    let item: &RawValue = serde_json::from_str(&item).unwrap_or(RawValue::NULL);
    let item = redact::apply(item, rules, &mut Vec::new());
    let item = canonical(&item, &[], []).text;
    let item: &RawValue = serde_json::from_str(&item).unwrap_or(RawValue::NULL);
    let there = Fields::of(item).unwrap_or_default().get("user");
    let mut comparison = Comparison {
        mirrored,
        ignored,
        compared: Compared::default(),
    };
    comparison.user(
        Fields::of(here).unwrap_or_default(),
        there.and_then(Fields::of).unwrap_or_default(),
    );
    comparison.compared
}

/// Whether two records, as JSON, are the same but for the fields that are `ignored`.
pub(super) fn is_same_record(here: &str, there: &str, ignored: &[String]) -> bool {
    fn fields(record: &str) -> Option<Fields<'_>> {
        serde_json::from_str(record).ok().and_then(Fields::of)
    }
    let (Some(here), Some(there)) = (fields(here), fields(there)) else {
        return false;
    };
    pairs(here, there).into_iter().all(|(name, here, there)| {
        let is_same = |(here, there)| same(here, there, &name, ignored);
        ignored.contains(&name) || here.zip(there).is_some_and(is_same)
    })
}

struct Comparison<'a> {
    mirrored: &'a Mirrored,
    ignored: &'a [String],
    compared: Compared,
}

/// What it means that only one side has a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OneSided {
    Told,
    Differs,
}

impl Comparison<'_> {
    fn user(&mut self, here: Fields<'_>, there: Fields<'_>) {
        for (name, here, there) in pairs(here, there) {
            let path = format!("user.{name}");
            if self.ignored.contains(&path) {
                continue;
            }
            let objects = part(here).zip(part(there));
            match (name.as_str(), objects) {
                ("identifiers", Some((here, there))) => {
                    self.fields(&path, here, there, OneSided::Told);
                }
                ("attributes", Some((inner, other))) => {
                    let both = here.is_some() && there.is_some();
                    let one_sided = if both {
                        OneSided::Differs
                    } else {
                        OneSided::Told
                    };
                    self.fields(&path, inner, other, one_sided);
                }
                // Without it the answer is about nobody, and nothing else in it means anything.
                ("user_id", _) => self.field(path, here, there, OneSided::Differs),
                (_, _) => self.field(path, here, there, OneSided::Told),
            }
        }
    }

    fn fields(&mut self, place: &str, here: Fields<'_>, there: Fields<'_>, one_sided: OneSided) {
        for (name, here, there) in pairs(here, there) {
            self.field(format!("{place}.{name}"), here, there, one_sided);
        }
    }

    fn field(
        &mut self,
        path: String,
        here: Option<&RawValue>,
        there: Option<&RawValue>,
        one_sided: OneSided,
    ) {
        if self.ignored.contains(&path) || self.was_replaced(&path) {
            return;
        }
        let compared = &mut self.compared;
        let place = match (here, there, one_sided) {
            (Some(here), Some(there), _) if same_field(here, there, &path, self.ignored) => {
                &mut compared.equal
            }
            (Some(_), Some(_), _) | (Some(_), None, OneSided::Differs) => &mut compared.different,
            (None, Some(_), OneSided::Differs) => &mut compared.different,
            (Some(_), None, OneSided::Told) => &mut compared.only_mirror,
            (None, Some(_), OneSided::Told) => &mut compared.only_api,
            (None, None, _) => return,
        };
        place.push(path);
    }

    /// Whether the mirror could not keep this field, something in it or something around it as it
    /// was sent.
    fn was_replaced(&self, path: &str) -> bool {
        let within = |inner: &str, outer: &str| {
            inner
                .strip_prefix(outer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let mut issues = self.mirrored.issues.iter();
        issues.any(|issue| within(issue, path) || within(path, issue))
    }
}

/// The fields of a value; an absent one has none.
fn part(raw: Option<&RawValue>) -> Option<Fields<'_>> {
    match raw {
        None => Some(Fields::default()),
        Some(raw) => Fields::of(raw),
    }
}

/// The fields of two objects by name, in the order of the names. Absent and `null` are the same
/// (contract section 3).
fn pairs<'a>(
    here: Fields<'a>,
    there: Fields<'a>,
) -> Vec<(String, Option<&'a RawValue>, Option<&'a RawValue>)> {
    let filled = |fields: Fields<'a>| {
        let mut fields = fields.sorted();
        fields.retain(|field| json::kind(field.value) != Kind::Null);
        fields.into_iter().peekable()
    };
    let (mut here, mut there) = (filled(here), filled(there));
    let mut pairs = Vec::new();
    loop {
        let name = match (here.peek(), there.peek()) {
            (None, None) => return pairs,
            (Some(one), None) | (None, Some(one)) => one.name.clone(),
            (Some(one), Some(other)) => one.name.clone().min(other.name.clone()),
        };
        let one = here.next_if(|field| field.name == name);
        let other = there.next_if(|field| field.name == name);
        pairs.push((
            name.into_owned(),
            one.map(|field| field.value),
            other.map(|field| field.value),
        ));
    }
}

fn same_field(here: &RawValue, there: &RawValue, path: &str, ignored: &[String]) -> bool {
    let date = |raw| timestamp::read(raw).map(|read| read.at);
    // The one date with a column: a form of the export and another of the single user are the same
    // date.
    let same_date =
        path == "user.registered" && date(here).is_some_and(|at| Some(at) == date(there));
    same_date || same(here, there, path, ignored)
}

/// Whether two values are the same, whatever the order of names and the spelling of numbers and
/// text.
fn same(here: &RawValue, there: &RawValue, path: &str, ignored: &[String]) -> bool {
    let kind = json::kind(here);
    if kind != json::kind(there) {
        return false;
    }
    match kind {
        Kind::Boolean | Kind::Null => here.get() == there.get(),
        Kind::Text => match (json::text(here), json::text(there)) {
            (Some(here), Some(there)) => here.text == there.text,
            (Some(_) | None, None) | (None, Some(_)) => false,
        },
        Kind::Number => {
            here.get() == there.get()
                || decimal(here.get()).is_some_and(|one| Some(one) == decimal(there.get()))
        }
        Kind::Array => {
            let here = json::elements(here).unwrap_or_default();
            let there = json::elements(there).unwrap_or_default();
            here.len() == there.len()
                && here
                    .into_iter()
                    .zip(there)
                    .all(|(here, there)| same(here, there, path, ignored))
        }
        Kind::Object => {
            let here = Fields::of(here).unwrap_or_default();
            let there = Fields::of(there).unwrap_or_default();
            pairs(here, there).into_iter().all(|(name, here, there)| {
                let path = format!("{path}.{name}");
                ignored.contains(&path)
                    || here
                        .zip(there)
                        .is_some_and(|(here, there)| same(here, there, &path, ignored))
            })
        }
    }
}

/// A number by its value: sign, digits without zeros at either end, and the power of ten they are
/// multiplied with. Postgres writes `1e3` as `1000`.
fn decimal(text: &str) -> Option<(bool, String, i64)> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: i64 = exponent.parse().ok()?;
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some((false, String::new(), 0));
    }
    let zeros = digits.len() - significant.len();
    let power = exponent
        .checked_sub(fraction.len() as i64)?
        .checked_add(zeros as i64)?;
    Some((negative, significant.to_owned(), power))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A user whose record holds nothing but attributes and what is in `extra`.
    fn mirrored(attributes: &str, extra: &str) -> Mirrored {
        Mirrored {
            user_id: "u".into(),
            attributes: Some(attributes.into()),
            extra: extra.into(),
            ..Mirrored::default()
        }
    }

    fn compare(mirrored: &Mirrored, shown: &str, ignored: &[&str]) -> Compared {
        let ignored: Vec<String> = ignored.iter().map(|path| (*path).to_owned()).collect();
        let mut compared = users(
            mirrored,
            serde_json::from_str(shown).unwrap(),
            &ignored,
            &Rules::default(),
        );
        compared.equal.retain(|path| path != "user.user_id");
        compared
    }

    fn paths(paths: &[&str]) -> Vec<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    #[test]
    fn spelling_is_no_difference() {
        let mirrored = mirrored(
            r#"{"a": {"y": 2000, "x": ["é", null]}, "big": 340282366920938463463374607431768211457, "small": -0.0015, "zero": 0}"#,
            r#"{"user": {"none": null}}"#,
        );
        let compared = compare(
            &mirrored,
            r#"{"user_id":"u","attributes":{"zero":-0.0,"small":-1.50E-3,"big":340282366920938463463374607431768211457,
                "a":{"x":["\u00e9",null],"y":2E+3,"gone":null}}}"#,
            &[],
        );
        let attributes =
            ["a", "big", "small", "zero"].map(|slug| format!("user.attributes.{slug}"));
        assert_eq!(compared.equal, attributes);
        assert_eq!(compared.different, paths(&[]));
        assert_eq!(compared.only_mirror, paths(&[]));
        assert_eq!(compared.only_api, paths(&[]));
    }

    #[test]
    fn a_digit_beyond_a_double_is_a_difference() {
        let mirrored = mirrored(
            r#"{"big": 340282366920938463463374607431768211457, "text": "1"}"#,
            "{}",
        );
        let compared = compare(
            &mirrored,
            r#"{"user_id":"u","attributes":{"big":340282366920938463463374607431768211456,"text":1}}"#,
            &[],
        );
        assert_eq!(
            compared.different,
            paths(&["user.attributes.big", "user.attributes.text"])
        );
    }

    #[test]
    fn an_attribute_that_one_side_lacks_differs_and_another_field_is_told_apart() {
        let mirrored = mirrored(r#"{"a": 1}"#, r#"{"user": {"here": 1}}"#);
        let compared = compare(
            &mirrored,
            r#"{"user_id":"u","attributes":{"b":1},"there":1,"identifiers":{"username":"x"}}"#,
            &[],
        );
        assert_eq!(
            compared.different,
            paths(&["user.attributes.a", "user.attributes.b"])
        );
        assert_eq!(compared.only_mirror, paths(&["user.here"]));
        assert_eq!(
            compared.only_api,
            paths(&["user.identifiers.username", "user.there"])
        );
    }

    #[test]
    fn what_is_ignored_or_was_replaced_does_not_count() {
        let mut mirrored = mirrored(
            r#"{"deep": {"list": [1], "rest": 1}, "nick": "a\ufffdb", "points": {"now": 1, "all": 5}}"#,
            r#"{"user": {"last_login": "yesterday"}}"#,
        );
        mirrored.issues = paths(&["user.attributes.deep.list", "user.attributes.nick"]);
        let shown = r#"{"user_id":"u","last_login":"today","attributes":{"deep":{"list":[2],"rest":1},"nick":"other","points":{"now":2,"all":5}}}"#;
        let ignored = ["user.last_login", "user.attributes.points.now"];
        let compared = compare(&mirrored, shown, &ignored);
        assert_eq!(compared.different, paths(&[]));
        assert_eq!(compared.equal, paths(&["user.attributes.points"]));
    }

    #[test]
    fn another_form_of_the_same_date_is_no_difference() {
        let mut mirrored = mirrored("{}", "{}");
        mirrored.registered_at = timestamp::parse("2021-02-24T15:43:28Z");
        let shown = |date: &str| format!(r#"{{"user_id":"u","registered":"{date}"}}"#);
        let compared = compare(&mirrored, &shown("2021-02-24 15:43:28"), &[]);
        assert_eq!(compared.equal, paths(&["user.registered"]));
        let compared = compare(&mirrored, &shown("2021-02-24 15:43:29"), &[]);
        assert_eq!(compared.different, paths(&["user.registered"]));
    }

    #[test]
    fn an_answer_that_is_no_user_differs() {
        for shown in ["5", "{}", r#"{"message":"ok"}"#, r#"{"user_id":"v"}"#] {
            let compared = compare(&mirrored("{}", "{}"), shown, &[]);
            assert_eq!(compared.different, paths(&["user.user_id"]), "{shown}");
        }
    }
}
