//! The body of `POST /v4/user-updates`, read strictly: what the contract does not describe is
//! refused, so that a client that sends it finds out.

use serde_json::Value;

/// Whom an entry is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Identifier {
    UserId(String),
    /// A property of `foreign_key`. Its name is the system, unless it is the word of the reference,
    /// which leaves no place for one.
    ForeignKey {
        name: String,
        key: String,
    },
}

/// The name the reference literally gives the only property of `foreign_key`.
const LITERAL_NAME: &str = "foreign-system";

impl Identifier {
    /// The text `details` names the user by.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::UserId(id) => id,
            Self::ForeignKey { key, .. } => key,
        }
    }

    /// The system of a foreign key, if it says one.
    pub(super) fn system(name: &str) -> Option<&str> {
        Some(name).filter(|name| *name != LITERAL_NAME)
    }
}

/// One thing to do to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Sets an attribute; none for a value that is no string, which the tenant may hold against the
    /// row or the request.
    Set {
        field: String,
        value: Option<String>,
        /// The JSON of a boolean or a number, which some tenants take.
        typed: Option<String>,
    },
    Delete,
}

/// One entry of `updates`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub identifier: Identifier,
    pub actions: Vec<Action>,
}

/// The entries of a body, or what is wrong with it.
pub(super) fn read(body: &[u8]) -> Result<Vec<Entry>, String> {
    let whole: Value =
        serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))?;
    let updates = whole.get("updates").and_then(Value::as_array);
    let updates = updates.ok_or("updates must be an array")?;
    if updates.is_empty() {
        return Err("updates must not be empty".to_owned());
    }
    let entries = updates.iter().enumerate();
    entries
        .map(|(at, update)| entry(update).map_err(|wrong| format!("updates[{at}]: {wrong}")))
        .collect()
}

fn entry(update: &Value) -> Result<Entry, &'static str> {
    let actions = update.get("actions").and_then(Value::as_array);
    let actions = actions.ok_or("actions must be an array")?;
    if actions.is_empty() {
        return Err("actions must not be empty");
    }
    Ok(Entry {
        identifier: identifier(update.get("identifier").unwrap_or(&Value::Null))?,
        actions: actions.iter().map(action).collect::<Result<_, _>>()?,
    })
}

fn identifier(value: &Value) -> Result<Identifier, &'static str> {
    match (value.get("user_id"), value.get("foreign_key")) {
        (Some(Value::String(id)), None) if !id.is_empty() => Ok(Identifier::UserId(id.clone())),
        (None, Some(Value::Object(keys))) if keys.len() == 1 => {
            let (name, key) = keys.iter().next().ok_or("foreign_key must not be empty")?;
            Ok(Identifier::ForeignKey {
                name: name.clone(),
                key: key
                    .as_str()
                    .ok_or("a foreign key must be a string")?
                    .to_owned(),
            })
        }
        (Some(_), Some(_)) => Err("identifier must have user_id or foreign_key, not both"),
        _ => Err("identifier must have a user_id or a foreign_key with one property"),
    }
}

fn action(value: &Value) -> Result<Action, &'static str> {
    match value.get("type").and_then(Value::as_str) {
        Some("delete-user") => Ok(Action::Delete),
        Some("set-attribute") => {
            let attribute = value.get("attribute").ok_or("attribute is missing")?;
            let field = attribute.get("field").and_then(Value::as_str);
            let value = attribute.get("value");
            let text = value.and_then(Value::as_str);
            let typed = value.filter(|value| value.is_boolean() || value.is_number());
            Ok(Action::Set {
                field: field.ok_or("field must be a string")?.to_owned(),
                value: text.map(str::to_owned),
                typed: typed.map(Value::to_string),
            })
        }
        Some(_) | None => Err("type must be set-attribute or delete-user"),
    }
}
