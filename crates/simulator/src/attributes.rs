//! The tenant's own schema and the attribute values people have under it (contract 6 and 7).

use super::awkward::{self, Awkward};
use super::calendar;
use super::edits::Change;
use super::identity::{self, PLANTED_PHONES};
use super::json;
use super::mix::Choices;
use super::names;
use super::population::Population;

/// One attribute of the tenant: slug, label, `input-type`.
struct Field(&'static str, &'static str, &'static str);

/// What an edit that is not of one attribute changes.
pub(super) const POINTS: &str = "loyalty-points";

const FIELDS: &[Field] = &[
    Field("first-name", "First name", "text"),
    Field("last-name", "Last name", "text"),
    Field("telephone", "Telephone", "tel"),
    Field("city", "City", "text"),
    Field("country", "Country", "select"),
    Field("newsletter", "Newsletter", "checkbox"),
    Field("marketing-consent", "Marketing consent", "checkbox"),
    Field(POINTS, "Loyalty points", "number"),
    Field("reader_score", "Reader score", "number"),
    Field("date-of-birth", "Date of birth", "date"),
    Field("subscribed-on", "Subscribed on", "date"),
    Field("membership-number", "Membership number", "text"),
    Field("source-code", "Source", "text"),
    Field("favourite-topics", "Favourite topics", "text"),
    Field("notes", "Notes", "textarea"),
];

/// Appends the answer of `GET /v3/schema/users`: a bare array of fields.
pub(super) fn schema(out: &mut Vec<u8>) {
    for (at, Field(slug, label, input)) in FIELDS.iter().enumerate() {
        out.push(if at == 0 { b'[' } else { b',' });
        json::raw(out, "{\"slug\":");
        json::string(out, slug);
        json::text_field(out, "label", label);
        json::text_field(out, "internal-description", "");
        json::text_field(out, "public-description", label);
        json::text_field(out, "context", "user");
        json::text_field(out, "visibility", "PUBLIC");
        json::raw(
            out,
            ",\"required\":false,\"decision-point\":true,\"form-use\":true",
        );
        json::text_field(out, "validation-expression", "");
        json::text_field(out, "input-type", input);
        let options = if *input == "select" {
            r#"["GB","IE","DE","FR","CH","US","BR"]"#
        } else {
            "null"
        };
        json::text_field(out, "select-options", options);
        out.push(b'}');
    }
    out.push(b']');
}

/// Writes one attribute after another, letting the values of later edits win.
struct Writer<'a> {
    out: &'a mut Vec<u8>,
    change: Option<&'a Change>,
}

impl Writer<'_> {
    fn field(&mut self, slug: &str, write: impl FnOnce(&mut Vec<u8>)) {
        match self.change.and_then(|change| change.attributes.get(slug)) {
            Some(Some(value)) => json::raw_field(self.out, slug, value.get()),
            Some(None) => {}
            None => {
                json::key(self.out, slug);
                write(self.out);
            }
        }
    }

    /// A field few have: only the value of an edit, if there is one.
    fn edited(&mut self, slug: &str) {
        if let Some(Some(value)) = self.change.and_then(|change| change.attributes.get(slug)) {
            json::raw_field(self.out, slug, value.get());
        }
    }

    fn text(&mut self, slug: &str, text: &str) {
        self.field(slug, |out| json::string(out, text));
    }

    fn flag(&mut self, slug: &str, value: bool) {
        self.field(slug, |out| {
            json::raw(out, if value { "true" } else { "false" });
        });
    }

    fn date(&mut self, slug: &str, second: u32) {
        self.field(slug, |out| {
            out.push(b'"');
            calendar::date(out, second);
            out.push(b'"');
        });
    }

    /// Where a person is and can be called.
    fn contact(&mut self, index: u32, choices: &mut Choices) {
        let number = choices.below(1000);
        self.field("telephone", |out| {
            out.push(b'"');
            match PLANTED_PHONES.get(index as usize) {
                Some(planted) => json::raw(out, planted),
                None => {
                    json::raw(out, "+44 1632 960");
                    json::padded(out, number, 3);
                }
            }
            out.push(b'"');
        });
        self.text("city", choices.pick(names::CITIES));
        self.text("country", choices.pick(names::COUNTRIES));
    }

    /// What a person agreed to.
    fn consents(&mut self, choices: &mut Choices) {
        let flags = choices.next();
        self.flag("newsletter", flags & 1 == 0);
        self.flag("marketing-consent", flags & 2 == 0);
    }

    /// The numbers, whole and not.
    fn scores(&mut self, choices: &mut Choices) {
        // The value an edit changes: a step per revision, so that no two revisions look alike.
        let revision = self.change.map_or(0, |change| change.revision);
        let points = choices.below(5000) + u64::from(revision) * 5000;
        self.field(POINTS, |out| json::number(out, points));
        let score = choices.below(10_000);
        self.field("reader_score", |out| {
            json::number(out, score / 100);
            out.push(b'.');
            json::padded(out, score % 100, 2);
        });
    }

    /// The days of a person's life and of their subscription.
    fn dates(&mut self, registered: u32, choices: &mut Choices) {
        let born = choices.below(1_100_000_000) as u32;
        self.date("date-of-birth", born);
        let subscribed = registered.saturating_add(choices.below(40 * 86_400) as u32);
        self.date("subscribed-on", subscribed);
    }

    /// What a publisher notes about a member.
    fn membership(&mut self, index: u32, choices: &mut Choices) {
        self.field("membership-number", |out| {
            json::raw(out, "\"M-");
            json::padded(out, u64::from(index), 9);
            out.push(b'"');
        });
        self.text("source-code", choices.pick(names::SOURCES));
        let (one, two) = (choices.pick(names::TOPICS), choices.pick(names::TOPICS));
        self.field("favourite-topics", |out| {
            out.push(b'"');
            json::raw(out, one);
            out.push(b',');
            json::raw(out, two);
            out.push(b'"');
        });
        if choices.chance(60) {
            self.text("notes", choices.pick(names::NOTES));
        } else {
            self.edited("notes");
        }
    }
}

/// Appends the `attributes` value of a person.
pub(super) fn of_person(
    out: &mut Vec<u8>,
    population: &Population,
    index: u32,
    registered: u32,
    change: Option<&Change>,
) {
    let awkward = population.awkward(index);
    let revised = change.is_some_and(|change| change.revision > 0);
    let without = match awkward {
        Some(Awkward::AttributesNull) => Some("null"),
        Some(Awkward::AttributesArray) => Some("[]"),
        Some(Awkward::AttributesEmpty) => Some("{}"),
        _ => None,
    };
    if let Some(nothing) = without.filter(|_| !revised) {
        return match change.filter(|change| !change.attributes.is_empty()) {
            // One value that was set brings none of the others with it.
            Some(change) => json::object(out, |out| others(out, change, |_| true)),
            None => json::raw(out, nothing),
        };
    }
    let (first, last, mut choices) = identity::names(population.seed, index);
    let start = out.len();
    let mut to = Writer { out, change };
    to.text("first-name", first);
    to.text("last-name", last);
    to.contact(index, &mut choices);
    to.consents(&mut choices);
    to.scores(&mut choices);
    to.dates(registered, &mut choices);
    to.membership(index, &mut choices);
    if let Some(change) = change {
        others(to.out, change, |slug| {
            FIELDS.iter().all(|field| field.0 != slug)
        });
    }
    if let Some(awkward) = awkward {
        awkward_values(out, population.seed, index, awkward);
    }
    out[start] = b'{';
    out.push(b'}');
}

/// Appends the values that were set of some attributes.
fn others(out: &mut Vec<u8>, change: &Change, wanted: impl Fn(&str) -> bool) {
    for (slug, value) in &change.attributes {
        if let Some(value) = value.as_ref().filter(|_| wanted(slug)) {
            out.push(b',');
            json::string(out, slug);
            out.push(b':');
            json::raw(out, value.get());
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "most ways of being awkward are about other places of a record"
)]
fn awkward_values(out: &mut Vec<u8>, seed: u64, index: u32, awkward: Awkward) {
    match awkward {
        Awkward::NulInAttribute => json::raw(
            out,
            r#","nickname":"nul\u0000inside","deep":{"list":["a\u0000",{"key\u0000":1}]}"#,
        ),
        Awkward::LoneSurrogate => json::raw(
            out,
            r#","nickname":"half \ud800 of","tail":"end\udfff","k\udc00y":"\ude00\ud83d""#,
        ),
        Awkward::EmojiRaw => json::raw(out, ",\"nickname\":\"🦊 👩‍👩‍👧 é\""),
        Awkward::EmojiEscaped => json::raw(out, r#","nickname":"\ud83e\udd8a \u00e9""#),
        Awkward::HugeString => {
            json::raw(out, ",\"biography\":\"");
            awkward::noise(out, seed, index, 100_000);
            out.push(b'"');
        }
        Awkward::BigInteger => json::raw(
            out,
            r#","legacy-id":9007199254740993,"other-id":340282366920938463463374607431768211457,"below":-9223372036854775809"#,
        ),
        Awkward::HugeExponent => json::raw(out, r#","ratio":1e400,"tiny":-1.5E-400,"plus":2E+3"#),
        Awkward::LongDecimal => {
            json::raw(
                out,
                r#","ratio":0.1000000000000000055511151231257827021181583404541015625"#,
            );
        }
        Awkward::ExtraFields => json::raw(
            out,
            r#","_internal":{"a":[1,null,{"b":false}]},"":"empty key""#,
        ),
        Awkward::OddKeys => {
            json::raw(
                out,
                r#","say \"hi\"":1,"dotted.key.name":"x","with space":true,"Ünïcode":"y","back\\slash":0,"#,
            );
            out.push(b'"');
            awkward::noise(out, seed, index, 300);
            json::raw(out, "\":\"long key\"");
        }
        Awkward::DeepNesting => {
            json::raw(out, ",\"nested\":");
            out.extend(std::iter::repeat_n(b'[', 100));
            out.extend(std::iter::repeat_n(b']', 100));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_an_array_with_every_slug() {
        let mut out = Vec::new();
        schema(&mut out);
        let fields: Vec<serde_json::Value> = serde_json::from_slice(&out).unwrap();
        assert_eq!(fields.len(), FIELDS.len());
        assert_eq!(fields[2]["slug"], "telephone");
        assert_eq!(fields[4]["input-type"], "select");
    }
}
