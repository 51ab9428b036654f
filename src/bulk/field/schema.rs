//! An item of the user schema as a field; nothing in it is taken for granted (contract section 7).

use serde_json::value::RawValue;

use super::Field;
use super::expression::Expression;
use super::input::Input;
use super::number;
use super::options::{self, Read, scalar};
use zephr::json::Fields;

/// The field that an item describes, and what of it is not checked; none when the item has no slug.
pub(super) fn read(item: &RawValue, warnings: &mut Vec<String>) -> Option<Field> {
    let fields = Fields::of(item);
    let slug = fields
        .as_ref()
        .and_then(|fields| text(fields, "slug"))
        .filter(|slug| !slug.is_empty());
    let (Some(fields), Some(slug)) = (fields, slug) else {
        warnings.push("an item of the schema has no slug and is left out".to_owned());
        return None;
    };
    let mut warn = |what: &str| warnings.push(format!("{slug}: {what}"));
    Some(Field {
        label: text(&fields, "label")
            .filter(|label| !label.trim().is_empty())
            .map(Box::from),
        required: text(&fields, "required").is_some_and(|required| required == "true"),
        input: input(&fields, &mut warn),
        expression: expression(&fields, &mut warn),
        slug: slug.into(),
    })
}

fn input(fields: &Fields<'_>, warn: &mut dyn FnMut(&str)) -> Input {
    let Some(name) = text(fields, "input-type") else {
        warn("it has no input type and is not checked");
        return Input::Text;
    };
    match name.as_str() {
        "text" | "textarea" | "hidden" | "password" => Input::Text,
        "number" | "range" => {
            let said = ["range-start", "range-end", "value-precision"]
                .map(|name| said(fields, name, warn));
            let [from, to, places] = &said;
            Input::Number(number::Rules::new(
                from.as_deref(),
                to.as_deref(),
                places.as_deref(),
                warn,
            ))
        }
        "checkbox" => match options::read(raw(fields, "select-options")) {
            // One option is the label of the box.
            Read::Options(options) => Input::Checkbox((options.len() > 1).then_some(options)),
            Read::None => Input::Checkbox(None),
            Read::Unclear => {
                warn("its options are not understood and are not checked");
                Input::Text
            }
        },
        "select" | "radio" => match options::read(raw(fields, "select-options")) {
            Read::Options(options) => Input::Choice(options),
            Read::None => {
                warn("it has no options to choose from and is not checked");
                Input::Text
            }
            Read::Unclear => {
                warn("its options are not understood and are not checked");
                Input::Text
            }
        },
        "date" => Input::Date,
        "month" => Input::Month,
        "week" => Input::Week,
        "time" => Input::Time,
        "datetime" => Input::DateTime,
        "email" => Input::Email,
        "url" => Input::Url,
        "tel" => Input::Tel,
        "color" => Input::Color,
        other => {
            warn(&format!(
                "its input type {other} is not known here and is not checked"
            ));
            Input::Text
        }
    }
}

fn expression(fields: &Fields<'_>, warn: &mut dyn FnMut(&str)) -> Option<Expression> {
    // As with `select-options`, the word may stand for nothing.
    let expression = said(fields, "validation-expression", warn)
        .filter(|expression| !expression.is_empty() && expression != "null")?;
    Expression::compile(&expression)
        .map_err(|reason| warn(&format!("its validation expression {expression} is not checked: not understood here ({reason})")))
        .ok()
}

/// A property, under its name or the one with underscores, as other parts of the API write it.
fn raw<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a RawValue> {
    fields
        .get(name)
        .or_else(|| fields.get(&name.replace('-', "_")))
}

/// A property as text, whether it came as text, number or boolean.
fn text(fields: &Fields<'_>, name: &str) -> Option<String> {
    raw(fields, name).and_then(scalar)
}

/// As [`text`], of a property that is a rule: one of another type is named.
fn said(fields: &Fields<'_>, name: &str, warn: &mut dyn FnMut(&str)) -> Option<String> {
    let text = text(fields, name);
    if text.is_none() && raw(fields, name).is_some() {
        warn(&format!("its {name} is not understood and is not checked"));
    }
    text
}
