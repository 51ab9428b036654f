//! The text of a cell against the field of the tenant's user schema that it is meant for (contract
//! sections 6 and 7), before anything is sent.
//!
//! Pure: what the schema says comes in, what is wrong with a text comes out. Two mistakes are
//! possible, and they are not alike: a value that is let through and that the API refuses costs one
//! row with a message; a value that is refused here by mistake cannot be sent at all. So a rule
//! that is not understood, or that nothing says the API keeps, is not checked, and
//! [`Fields::warnings`] says which.

mod contact;
mod decimal;
mod expression;
mod input;
mod java;
mod moment;
mod nearest;
mod number;
mod options;
mod schema;
#[cfg(test)]
mod tests;
mod unfit;

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Serialize;
use serde_json::value::RawValue;

use expression::Expression;
use input::Input;
use zephr::json::{self, Kind};

pub use unfit::Unfit;

/// The tenant's schema as rules for cells.
#[derive(Debug, Default)]
pub struct Fields {
    fields: Vec<Field>,
    places: HashMap<Box<str>, usize>,
    warnings: Vec<String>,
}

/// A field of the tenant's schema.
#[derive(Debug)]
pub struct Field {
    slug: Box<str>,
    label: Option<Box<str>>,
    required: bool,
    input: Input,
    expression: Option<Expression>,
}

/// A checked text as the type of its field, for those who ask for typed values on the wire.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub enum Typed<'a> {
    /// Of a `checkbox`.
    Boolean(bool),
    /// Of a `number` or `range`, digit by digit as it was written.
    Number(&'a RawValue),
    /// Of all others.
    Text(&'a str),
}

impl Fields {
    /// From the items of `GET /v3/schema/users` as they came. An item without a slug is skipped, a
    /// type that is not known here is not checked, and whatever else is not understood is left
    /// unchecked; each is named in [`Self::warnings`]. Of a slug that comes twice the first counts.
    pub fn parse(items: &[Box<RawValue>]) -> Self {
        let mut fields = Self::default();
        for item in items {
            let Some(field) = schema::read(item, &mut fields.warnings) else {
                continue;
            };
            if fields.places.contains_key(&field.slug) {
                let again = format!(
                    "{} comes twice in the schema; the first one counts",
                    field.slug
                );
                fields.warnings.push(again);
                continue;
            }
            fields
                .places
                .insert(field.slug.clone(), fields.fields.len());
            fields.fields.push(field);
        }
        fields
    }

    /// The field of this slug, to the letter.
    pub fn get(&self, slug: &str) -> Option<&Field> {
        self.places.get(slug).map(|place| &self.fields[*place])
    }

    /// The slug that was probably meant: one that differs in case or in `_` and `-`, whose label
    /// this is, or that looks much like it.
    pub fn nearest(&self, slug: &str) -> Option<&str> {
        nearest::nearest(slug, &self.fields).map(Field::slug)
    }

    /// All fields, in the order of the schema.
    pub fn iter(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter()
    }

    /// What of the schema was not understood and is not checked, a sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether the schema has no field at all.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

impl Field {
    /// The attribute's key.
    pub fn slug(&self) -> &str {
        &self.slug
    }

    /// What people call it.
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// Whether the schema wants a value.
    pub fn required(&self) -> bool {
        self.required
    }

    /// How many texts passed [`Self::check`] only because the validation expression took too long
    /// on them.
    pub fn given_up(&self) -> u32 {
        self.expression.as_ref().map_or(0, Expression::given_up)
    }

    /// The value as it is to be sent. Spaces around it are dropped, except from free text, where
    /// they may be meant, and from an option, which has to be right to the letter. What an empty
    /// cell means is for the caller to say; here it is a text like any other.
    ///
    /// # Errors
    /// Why it does not fit.
    pub fn check<'a>(&self, cell: &'a str) -> Result<Cow<'a, str>, Unfit> {
        let value = self.input.check(cell)?;
        match &self.expression {
            Some(expression) if !expression.admits(&value) => Err(Unfit::because(format!(
                "does not match its validation expression {}",
                expression.as_str()
            ))),
            Some(_) | None => Ok(value),
        }
    }

    /// Whether a stored value, as the API shows it, already says the same as this text. Absent,
    /// `null` and an empty string say what an empty text says.
    pub fn says(&self, stored: Option<&RawValue>, text: &str) -> bool {
        match self.read(stored) {
            Ok(None) => text.is_empty(),
            Ok(Some(stored)) => !text.is_empty() && self.input.is_same(&stored, text),
            Err(_) => false,
        }
    }

    /// The text that would set this stored value again; `None` where there is no value.
    ///
    /// # Errors
    /// No text says it: a list, an object, or text with something in it that Postgres cannot store.
    pub fn text_of(&self, stored: Option<&RawValue>) -> Result<Option<String>, Unfit> {
        self.read(stored).map(|text| text.map(Cow::into_owned))
    }

    /// A checked text as the type of the field. A text that is not of that type stays text.
    pub fn typed<'a>(&self, text: &'a str) -> Typed<'a> {
        let typed = match self.input {
            Input::Number(_) => serde_json::from_str::<&RawValue>(text)
                .ok()
                .filter(|raw| json::kind(raw) == Kind::Number)
                .map(Typed::Number),
            Input::Checkbox(_) => input::boolean(text).map(Typed::Boolean),
            Input::Text
            | Input::Choice(_)
            | Input::Date
            | Input::Month
            | Input::Week
            | Input::Time
            | Input::DateTime => None,
            Input::Email | Input::Url | Input::Tel | Input::Color => None,
        };
        typed.unwrap_or(Typed::Text(text))
    }

    /// A stored value as text; `None` where there is no value.
    fn read<'a>(&self, stored: Option<&'a RawValue>) -> Result<Option<Cow<'a, str>>, Unfit> {
        let Some(stored) = stored else {
            return Ok(None);
        };
        match json::kind(stored) {
            Kind::Null => Ok(None),
            Kind::Number | Kind::Boolean => Ok(Some(Cow::Borrowed(stored.get()))),
            Kind::Text => match json::text(stored) {
                Some(text) if !text.replaced => Ok(Some(text.text).filter(|text| !text.is_empty())),
                Some(_) | None => Err(Unfit::because(
                    "holds NUL or half a surrogate pair, which no text can say",
                )),
            },
            kind @ (Kind::Object | Kind::Array) => {
                Err(Unfit::because(format!("is {kind}, which no text can say")))
            }
        }
    }
}
