//! A list that is not built in, described in its job file: any list endpoint of the API without a
//! line of code.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Below, Budgeted, List, NotFound, Paging, Step};
use record::table::{Column, Kind, Table, WithoutKey};

/// The keys of a job file that describe a list.
#[derive(Debug, Default, Deserialize)]
pub struct Settings {
    path: Option<String>,
    items: Option<String>,
    table: Option<String>,
    key: Option<Key>,
    paging: Option<Paging>,
    for_each: Option<String>,
    columns: Option<BTreeMap<String, ColumnSettings>>,
}

/// The field, or fields, that tell the items of a list apart.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Key {
    One(String),
    Several(Vec<String>),
}

/// A column: its type, or the type and the field it is found in.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ColumnSettings {
    Kind(Kind),
    Field { from: String, r#type: Kind },
}

/// What says that there is no field that could be the key.
const HASH: &str = "hash";

/// Longest name in Postgres, in bytes.
const MAX_NAME_BYTES: usize = 63;

/// The key's column where the items have no key.
const ITEM_HASH: &str = "item_hash";

/// Tables that belong to built-in jobs or to the mirror itself.
const TAKEN: [&str; 25] = [
    "users",
    "users_history",
    "users_current",
    "users_versions",
    "user_foreign_keys",
    "user_grants",
    "user_attributes",
    "user_schema",
    "user_segments",
    "user_events",
    "attribute_issues",
    "attribute_columns",
    "sync_runs",
    "mirror_mark",
    "accounts",
    "account_users",
    "account_grants",
    "segments",
    "companies",
    "products",
    "bundles",
    "entitlements",
    "meters",
    "credits",
    "extra",
];

/// A table whose rows can be asked below of.
#[derive(Clone, Copy)]
struct Parent {
    table: &'static str,
    key: &'static str,
    /// Where a single one is.
    path: Option<&'static str>,
}

const fn parent(table: &'static str, key: &'static str, path: Option<&'static str>) -> Parent {
    Parent { table, key, path }
}

/// All of them.
const PARENTS: [Parent; 8] = [
    parent("users", "user_id", Some("/v3/users/{}")),
    parent("accounts", "account_id", Some("/v3/accounts/{}")),
    parent("segments", "segment_id", None),
    parent("companies", "company_id", None),
    parent("products", "product_id", None),
    parent("bundles", "bundle_id", None),
    parent("entitlements", "entitlement_id", None),
    parent("user_grants", "grant_id", None),
];

impl Parent {
    /// The one that a file names.
    fn named(name: &str) -> Result<Self, String> {
        let parent = PARENTS.iter().find(|parent| parent.table == name).copied();
        parent.ok_or_else(|| {
            let known = PARENTS.map(|parent| parent.table);
            format!("for_each = \"{name}\" is none of {}", known.join(", "))
        })
    }
}

impl Settings {
    /// The first of these keys that is there.
    pub fn said(&self) -> Option<&'static str> {
        let Self {
            path,
            items,
            table,
            key,
            paging,
            for_each,
            columns,
        } = self;
        [
            ("path", path.is_some()),
            ("items", items.is_some()),
            ("table", table.is_some()),
            ("key", key.is_some()),
            ("paging", paging.is_some()),
            ("for_each", for_each.is_some()),
            ("columns", columns.is_some()),
        ]
        .into_iter()
        .find_map(|(key, said)| said.then_some(key))
    }

    /// The one step that the file describes.
    ///
    /// # Errors
    /// What is missing or cannot be, and what would be right.
    pub fn steps(&self) -> Result<Vec<Step>, String> {
        let path = self
            .path
            .as_deref()
            .ok_or("path is missing; write for example path = \"/v3/webhooks\"")?;
        let name = self
            .table
            .as_deref()
            .ok_or("table is missing; write for example table = \"webhooks\"")?;
        if !path.starts_with('/') {
            return Err(format!("path = \"{path}\" must begin with a slash"));
        }
        named("table", name)?;
        if TAKEN.contains(&name) {
            return Err(format!(
                "table = \"{name}\" belongs to the mirror itself; choose another name"
            ));
        }
        let parent = self.for_each.as_deref().map(Parent::named).transpose()?;
        let table = self.table(name, parent.map(|parent| parent.key))?;
        Ok(vec![match parent {
            None => self.whole(table, path)?,
            Some(parent) => self.below(table, path, parent)?,
        }])
    }

    /// The step of a list that is there once.
    fn whole(&self, table: Table, path: &str) -> Result<Step, String> {
        if path.contains(['{', '}']) {
            return Err(format!(
                "path = \"{path}\" names a parent; say which with for_each = \"users\""
            ));
        }
        Ok(Step::List(List {
            table: Cow::Owned(table),
            path: Cow::Owned(path.to_owned()),
            items: self.items.clone(),
            paging: self.paging.unwrap_or(Paging::Unpaged),
            detail: None,
            not_found: NotFound::on(path),
        }))
    }

    /// The step of a list that each row of another table has.
    fn below(&self, table: Table, path: &str, parent: Parent) -> Result<Step, String> {
        let place = format!("{{{}}}", parent.key);
        if path.matches('{').count() != 1 || !path.contains(&place) {
            return Err(format!(
                "path = \"{path}\" must hold {place} once, where the key of the row in {} goes",
                parent.table
            ));
        }
        let path = path.replace(&place, "{}");
        Ok(Step::Below(Below {
            table: Cow::Owned(table),
            parents: Cow::Borrowed(parent.table),
            parent_key: Cow::Borrowed(parent.key),
            not_found: NotFound::on(&path),
            path: Cow::Owned(path),
            items: self.items.clone(),
            paging: self.paging.unwrap_or(Paging::Unpaged),
            parent_path: parent.path.map(Cow::Borrowed),
            budget: Budgeted::All,
        }))
    }

    /// The table that the items come into, with its key and columns.
    fn table(&self, name: &str, parent: Option<&str>) -> Result<Table, String> {
        let fields = match &self.key {
            None => {
                return Err(format!(
                    "key is missing; name the field that tells the items apart, or write key = \"{HASH}\" if there is none"
                ));
            }
            Some(Key::One(field)) => vec![field.clone()],
            Some(Key::Several(fields)) => fields.clone(),
        };
        let by_hash = fields == [HASH];
        let mut key: Vec<Column> = parent
            .map(|parent| column(parent, parent, Kind::Text))
            .into_iter()
            .collect();
        for field in &fields {
            let (name, field) = if by_hash {
                (ITEM_HASH, "")
            } else {
                (field.as_str(), field.as_str())
            };
            let name = name.replace(['.', '-'], "_");
            if Some(name.as_str()) == parent {
                continue;
            }
            named("key", &name)?;
            key.push(column(&name, field, Kind::Text));
        }
        let mut columns = Vec::new();
        for (name, settings) in self.columns.iter().flatten() {
            named("columns", name)?;
            if name == "extra" || key.iter().any(|column| column.name == *name) {
                return Err(format!("columns: {name} is there already"));
            }
            columns.push(match settings {
                ColumnSettings::Kind(kind) => column(name, name, *kind),
                ColumnSettings::Field { from, r#type } => column(name, from, *r#type),
            });
        }
        Ok(Table {
            name: Cow::Owned(name.to_owned()),
            key: Cow::Owned(key),
            columns: Cow::Owned(columns),
            without_key: if by_hash {
                WithoutKey::KeyedByHash
            } else {
                WithoutKey::Rejected
            },
        })
    }
}

fn column(name: &str, field: &str, kind: Kind) -> Column {
    Column {
        name: Cow::Owned(name.to_owned()),
        kind,
        sent_as: Cow::Owned(vec![Cow::Owned(field.to_owned())]),
    }
}

/// A name that analysts can type without quotes, and that is not one of the mirror's own columns.
fn named(key: &str, name: &str) -> Result<(), String> {
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    let fits = name.len() <= MAX_NAME_BYTES
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if starts && fits {
        Ok(())
    } else {
        Err(format!(
            "{key}: \"{name}\" cannot be a name; use up to {MAX_NAME_BYTES} small letters, digits and underscores, a letter first"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str) -> Result<Vec<Step>, String> {
        toml::from_str::<Settings>(text).unwrap().steps()
    }

    #[test]
    fn a_list_and_what_is_below_users_are_described() {
        let made = steps("path = '/v3/webhooks'\ntable = 'webhooks'\nkey = 'webhook_id'\ncolumns = { label = 'text', at = { from = 'a.b', type = 'timestamptz' } }").unwrap();
        let [Step::List(list)] = made.as_slice() else {
            panic!("{made:?}")
        };
        assert_eq!(list.paging, Paging::Unpaged);
        let columns: Vec<_> = list
            .table
            .all_columns()
            .map(|c| (c.name.as_ref(), c.kind, c.sent_as[0].as_ref()))
            .collect();
        assert_eq!(
            columns,
            [
                ("webhook_id", Kind::Text, "webhook_id"),
                ("at", Kind::Timestamptz, "a.b"),
                ("label", Kind::Text, "label")
            ]
        );
        let made = steps("path = '/v3/users/{user_id}/sessions'\ntable = 'user_sessions'\nkey = ['user_id', 'session_id']\nfor_each = 'users'\npaging = 'none'").unwrap();
        let [Step::Below(below)] = made.as_slice() else {
            panic!("{made:?}")
        };
        assert_eq!(below.path, "/v3/users/{}/sessions");
        let key: Vec<_> = below.table.key.iter().map(|c| c.name.as_ref()).collect();
        assert_eq!(key, ["user_id", "session_id"]);
    }

    #[test]
    fn what_is_missing_or_wrong_is_said() {
        for (text, part) in [
            ("table = 'a'\nkey = 'b'", "path is missing"),
            ("path = '/a'\nkey = 'b'", "table is missing"),
            ("path = '/a'\ntable = 'a'", "key is missing"),
            ("path = 'a'\ntable = 'a'\nkey = 'b'", "begin with a slash"),
            (
                "path = '/a'\ntable = 'users'\nkey = 'b'",
                "belongs to the mirror",
            ),
            ("path = '/a'\ntable = 'A b'\nkey = 'b'", "small letters"),
            ("path = '/a/{user_id}'\ntable = 'a'\nkey = 'b'", "for_each"),
            (
                "path = '/a'\ntable = 'a'\nkey = 'b'\nfor_each = 'users'",
                "{user_id}",
            ),
            (
                "path = '/a'\ntable = 'a'\nkey = 'b'\nfor_each = 'people'",
                "is none of users",
            ),
            (
                "path = '/a'\ntable = 'a'\nkey = 'b'\ncolumns = { b = 'text' }",
                "there already",
            ),
        ] {
            let message = steps(text).unwrap_err();
            assert!(message.contains(part), "{message}");
        }
    }
}
