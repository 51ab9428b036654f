//! From the tenant's schema and the columns that are there to the columns that should be.
//!
//! What is built on the view decides the rules: a column that exists keeps its name and its place,
//! whatever comes or goes.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::kind::Kind;
use super::name;

/// Columns that fit: Postgres gives a view 1600, and one is the user.
pub const ROOM: usize = 1599;

/// An attribute as the tenant's schema has it.
#[derive(Debug, Clone, Default)]
pub struct Attribute {
    /// The key of its values.
    pub slug: String,
    /// What people call it.
    pub label: Option<String>,
    /// For readers.
    pub public_description: Option<String>,
    /// For staff.
    pub internal_description: Option<String>,
    /// What decides the type.
    pub input_type: Option<String>,
    /// When it was found to be gone; none for a living one.
    pub gone_at: Option<DateTime<Utc>>,
}

/// A column that the view has.
#[derive(Debug, Clone)]
pub struct Known {
    /// The attribute.
    pub slug: String,
    /// The name.
    pub name: String,
    /// The type.
    pub kind: Kind,
    /// As the schema said it when it last had the attribute.
    pub input_type: Option<String>,
    /// As the schema said it when it last had the attribute.
    pub label: Option<String>,
    /// When the schema was found without it.
    pub gone_since: Option<DateTime<Utc>>,
}

/// What may happen to the columns that are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freedom {
    /// Nothing is built on the view: types may change.
    Remake,
    /// These are built on it: columns can only be added.
    Append(Vec<String>),
}

/// A column that the view should have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Column {
    /// The attribute.
    pub slug: String,
    /// The name.
    pub name: String,
    /// The type.
    pub kind: Kind,
    /// The type it would have if nothing were built on the view.
    pub wanted: Kind,
    /// As the schema says it.
    pub input_type: Option<String>,
    /// As the schema says it.
    pub label: Option<String>,
    /// What it is, from the schema's label and descriptions.
    pub meaning: String,
    /// When the schema was found without it: the column is null.
    pub gone_since: Option<DateTime<Utc>>,
    /// Why name or type are not what one would expect.
    pub reason: Option<String>,
}

/// An attribute that has no column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The attribute.
    pub slug: String,
    /// As the schema says it.
    pub input_type: Option<String>,
    /// As the schema says it.
    pub label: Option<String>,
}

/// What should be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// In the order of the view.
    pub columns: Vec<Column>,
    /// In the order of their slugs.
    pub left_out: Vec<LeftOut>,
}

/// Plans the columns. `known` is in the order of the view.
///
/// New attributes come in the order of their slugs, those first whose slug is a name as it is:
/// where several would have one name, the one that is called so gets it. When there is no room for
/// all, the last in this order are left out.
pub fn plan(schema: &[Attribute], known: &[Known], freedom: &Freedom, now: DateTime<Utc>) -> Plan {
    let by_slug: HashMap<&str, &Attribute> = schema
        .iter()
        .map(|attribute| (attribute.slug.as_str(), attribute))
        .collect();
    let mut plan = Plan::default();
    for known in known {
        let attribute = by_slug.get(known.slug.as_str()).copied();
        plan.columns.push(kept(known, attribute, freedom, now));
    }
    let mut taken: HashSet<String> = known.iter().map(|known| known.name.clone()).collect();
    let there: HashSet<&str> = known.iter().map(|known| known.slug.as_str()).collect();
    let mut new: Vec<&Attribute> = schema
        .iter()
        .filter(|attribute| attribute.gone_at.is_none() && !there.contains(attribute.slug.as_str()))
        .collect();
    new.sort_by_cached_key(|new| (!name::wish(&new.slug).is_the_slug(), new.slug.as_str()));
    for attribute in new {
        if plan.columns.len() < ROOM {
            let name = name::assign(&attribute.slug, &taken);
            taken.insert(name.clone());
            plan.columns.push(fresh(attribute, name));
        } else {
            plan.left_out.push(LeftOut {
                slug: attribute.slug.clone(),
                input_type: attribute.input_type.clone(),
                label: attribute.label.clone(),
            });
        }
    }
    plan.left_out.sort_by(|a, b| a.slug.cmp(&b.slug));
    plan
}

/// A new column.
fn fresh(attribute: &Attribute, name: String) -> Column {
    let kind = kind(attribute);
    Column {
        reason: reasons(attribute, &name, None),
        slug: attribute.slug.clone(),
        name,
        kind,
        wanted: kind,
        input_type: attribute.input_type.clone(),
        label: attribute.label.clone(),
        meaning: meaning(attribute),
        gone_since: None,
    }
}

/// A column that is there already.
fn kept(
    known: &Known,
    attribute: Option<&Attribute>,
    freedom: &Freedom,
    now: DateTime<Utc>,
) -> Column {
    if let Some(attribute) = attribute.filter(|attribute| attribute.gone_at.is_none()) {
        let wanted = kind(attribute);
        let (kind, stays) = match freedom {
            Freedom::Append(dependents) if wanted != known.kind => (
                known.kind,
                Some(format!(
                    "the schema says {} now, but {} is built on {}",
                    wanted.sql(),
                    dependents.join(", "),
                    known.kind.sql()
                )),
            ),
            Freedom::Append(_) | Freedom::Remake => (wanted, None),
        };
        return Column {
            kind,
            wanted,
            reason: reasons(attribute, &known.name, stays),
            ..fresh(attribute, known.name.clone())
        };
    }
    let gone_at = attribute.and_then(|attribute| attribute.gone_at);
    let of = Attribute {
        slug: known.slug.clone(),
        label: known.label.clone(),
        input_type: known.input_type.clone(),
        ..Attribute::default()
    };
    Column {
        kind: known.kind,
        wanted: known.kind,
        gone_since: known.gone_since.or(gone_at).or(Some(now)),
        ..fresh(&of, known.name.clone())
    }
}

fn kind(attribute: &Attribute) -> Kind {
    let input_type = attribute.input_type.as_deref();
    input_type.and_then(Kind::of_input).unwrap_or(Kind::Text)
}

fn reasons(attribute: &Attribute, name: &str, stays: Option<String>) -> Option<String> {
    let unknown = match attribute.input_type.as_deref() {
        Some(input_type) if Kind::of_input(input_type).is_none() => {
            Some(format!("input type {input_type} is not known here"))
        }
        Some(_) => None,
        None => Some("the schema tells no input type".into()),
    };
    let reasons = [name::reason(&attribute.slug, name), unknown, stays];
    let reasons: Vec<String> = reasons.into_iter().flatten().collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// Label and descriptions, each said once.
fn meaning(attribute: &Attribute) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in [
        &attribute.label,
        &attribute.public_description,
        &attribute.internal_description,
    ] {
        let part = part.as_deref().unwrap_or_default().trim();
        if !part.is_empty() && !parts.contains(&part) {
            parts.push(part);
        }
    }
    parts.join(". ")
}

#[cfg(test)]
mod tests;
