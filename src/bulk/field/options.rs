//! What may be chosen in a `select`, `radio` or `checkbox`: `select-options` in the shapes that it
//! may come in.

use std::collections::{BTreeMap, HashMap};

use serde_json::value::RawValue;

use super::unfit::Unfit;
use zephr::json::{self, Fields, Kind};

/// A message names this many options and counts the others.
const SHOWN: usize = 8;

/// The options of a field: at least one.
#[derive(Debug)]
pub(super) struct Options {
    values: Vec<Box<str>>,
    places: HashMap<Box<str>, usize>,
    /// What readers see, folded, by which a value can be found for a hint.
    labels: HashMap<String, usize>,
    shown: Box<str>,
}

/// An option as the schema gives it.
struct Choice {
    value: String,
    label: Option<String>,
}

/// What `select-options` said.
#[derive(Debug)]
pub(super) enum Read {
    /// These.
    Options(Options),
    /// That there are none: absent, `null`, the string `null`, or an empty list.
    None,
    /// Something that is not understood, or not all of it.
    Unclear,
}

/// Reads `select-options`, JSON or JSON inside a string.
pub(super) fn read(raw: Option<&RawValue>) -> Read {
    let Some(raw) = raw else { return Read::None };
    match json::kind(raw) {
        Kind::Text => match json::text(raw) {
            Some(text) if !text.replaced => read_text(text.text.trim()),
            Some(_) | None => Read::Unclear,
        },
        Kind::Object | Kind::Array | Kind::Boolean | Kind::Null | Kind::Number => read_json(raw),
    }
}

fn read_text(text: &str) -> Read {
    if text.is_empty() {
        return Read::None;
    }
    match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) => read_json(raw),
        Err(_) => Read::Unclear,
    }
}

fn read_json(raw: &RawValue) -> Read {
    let choices = match json::kind(raw) {
        Kind::Null => return Read::None,
        Kind::Array => {
            json::elements(raw).and_then(|elements| elements.into_iter().map(choice).collect())
        }
        Kind::Object => from_map(raw),
        Kind::Text | Kind::Boolean | Kind::Number => None,
    };
    // If only some options were understood, checking against them would refuse the others.
    let Some(choices): Option<Vec<Choice>> = choices else {
        return Read::Unclear;
    };
    if choices.is_empty() {
        return Read::None;
    }
    Read::Options(Options::new(choices))
}

/// An element of a list: the value itself, or an object that names it.
fn choice(raw: &RawValue) -> Option<Choice> {
    let Some(fields) = Fields::of(raw) else {
        return scalar(raw).map(|value| Choice { value, label: None });
    };
    let named = |names: [&str; 4]| {
        names
            .into_iter()
            .find_map(|name| fields.get(name).and_then(scalar))
    };
    // Of an object with an id and a name the id is kept and the name is shown, whatever else it
    // has.
    let value = named(["value", "id", "name", "label"])?;
    let label = named(["label", "name", "id", "value"]).filter(|label| *label != value);
    Some(Choice { value, label })
}

/// An object that maps values to labels.
fn from_map(raw: &RawValue) -> Option<Vec<Choice>> {
    let map: BTreeMap<String, Box<RawValue>> = serde_json::from_str(raw.get()).ok()?;
    map.into_iter()
        .map(|(value, label)| {
            let label = Some(scalar(&label)?);
            Some(Choice { value, label })
        })
        .collect()
}

/// A string, number or boolean as text.
pub(super) fn scalar(raw: &RawValue) -> Option<String> {
    match json::kind(raw) {
        Kind::Text => json::text(raw)
            .filter(|text| !text.replaced)
            .map(|text| text.text.into_owned()),
        Kind::Number | Kind::Boolean => Some(raw.get().to_owned()),
        Kind::Object | Kind::Array | Kind::Null => None,
    }
}

impl Options {
    fn new(choices: Vec<Choice>) -> Self {
        let mut options = Self {
            values: Vec::with_capacity(choices.len()),
            places: HashMap::with_capacity(choices.len()),
            labels: HashMap::new(),
            shown: Box::default(),
        };
        for Choice { value, label } in choices {
            let value: Box<str> = value.into();
            if options.places.contains_key(&value) {
                continue;
            }
            let place = options.values.len();
            options.places.insert(value.clone(), place);
            for text in label.iter().map(String::as_str).chain([&*value]) {
                options.labels.entry(folded(text)).or_insert(place);
            }
            options.values.push(value);
        }
        let mut shown = options.values[..options.values.len().min(SHOWN)].join(", ");
        if options.values.len() > SHOWN {
            shown.push_str(&format!(" and {} more", options.values.len() - SHOWN));
        }
        options.shown = shown.into();
        options
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether the text is one of them, to the letter.
    pub fn has(&self, text: &str) -> bool {
        self.places.contains_key(text)
    }

    /// Whether the text is one of them, or why not; with the one that was probably meant.
    pub fn check(&self, text: &str) -> Result<(), Unfit> {
        if self.has(text) {
            return Ok(());
        }
        let meant = self
            .labels
            .get(&folded(text))
            .map(|place| &self.values[*place]);
        let reason = format!("is not one of its options ({})", self.shown);
        Err(Unfit::because(reason).hinting(meant.map(|value| format!("did you mean {value}?"))))
    }
}

/// Without what people overlook: case and surrounding spaces.
fn folded(text: &str) -> String {
    text.trim().to_lowercase()
}
