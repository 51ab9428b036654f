//! Rows about somebody else, or about nobody, that name a person all the same: a field of an
//! account, an event, another user's record. An erasure leaves them, since they are not about the
//! person and the API would send them again; it says where they are.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection};

use super::erase;

/// From this length an identifier is told from other text, in bytes: it counts within a sentence
/// too. A shorter one may be any number or word, and counts only where it is the whole value.
const TELLING: usize = 8;

/// Columns of ours, which hold nothing that was sent.
const OURS: &str = "_zephr_";

/// How many rows name a person, by place: `table.column`, and for JSON the names of the fields down
/// to the value or to the first list, as the settings `[privacy]` name it.
pub type Mentions = BTreeMap<String, i64>;

/// What names a person, in any case.
#[derive(Debug, Clone, Default)]
pub struct Names(BTreeSet<String>);

impl Names {
    /// These identifiers; empty ones name nobody.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let names = names.into_iter().map(str::trim).filter(|n| !n.is_empty());
        Self(names.map(str::to_lowercase).collect())
    }

    fn are_in(&self, text: &str) -> bool {
        let text = text.trim().to_lowercase();
        self.0
            .iter()
            .any(|name| text == *name || is_an_identifier(name) && text.contains(name.as_str()))
    }

    /// As they stand in the text of a document.
    fn written(&self) -> Vec<String> {
        let written = self.0.iter().map(|name| {
            let quoted = Value::from(name.as_str()).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        });
        written.collect()
    }

    /// The places in a row.
    fn places_in(&self, row: &Value) -> BTreeSet<String> {
        let mut places = BTreeSet::new();
        let columns = row.as_object().into_iter().flatten();
        for (column, value) in columns.filter(|(column, _)| !column.starts_with(OURS)) {
            self.look(value, column, &mut places);
        }
        places
    }

    fn look(&self, value: &Value, place: &str, places: &mut BTreeSet<String>) {
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => {
                if self.are_in(&number.to_string()) {
                    places.insert(place.to_owned());
                }
            }
            Value::String(text) => {
                if self.are_in(text) {
                    places.insert(place.to_owned());
                }
            }
            Value::Array(items) => {
                if items.iter().any(|item| self.are_anywhere_in(item)) {
                    places.insert(place.to_owned());
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    // Where the person is the name of a field, it is the object that tells.
                    if self.are_in(name) {
                        places.insert(place.to_owned());
                    } else {
                        self.look(value, &format!("{place}.{name}"), places);
                    }
                }
            }
        }
    }

    fn are_anywhere_in(&self, value: &Value) -> bool {
        let mut within = BTreeSet::new();
        self.look(value, "", &mut within);
        !within.is_empty()
    }
}

/// A user name may be an everyday word, however long; an address and an identifier are not.
fn is_an_identifier(name: &str) -> bool {
    name.len() >= TELLING && name.contains(|c: char| c == '@' || c.is_ascii_digit())
}

/// What the mirror calls a user besides the identifier: the address and the user name.
pub async fn names(
    connection: &mut PgConnection,
    user_id: &str,
) -> Result<Vec<String>, sqlx::Error> {
    let found = sqlx::query!(
        "select email, username from users where user_id = $1
         union select email, username from users_history where user_id = $1",
        user_id,
    )
    .fetch_all(connection)
    .await?;
    Ok(found
        .into_iter()
        .flat_map(|row| [row.email, row.username])
        .flatten()
        .collect())
}

/// Where rows of a schema's tables name this person that are not theirs. Reads every table once,
/// from its beginning to its end.
pub async fn of(
    connection: &mut PgConnection,
    schema: &str,
    user_id: &str,
    names: &Names,
) -> Result<Mentions, sqlx::Error> {
    let written = names.written();
    let mut mentions = Mentions::new();
    for table in erase::tables(connection, schema).await? {
        let about = table.user_id.unwrap_or("null::text");
        // The name was quoted by Postgres.
        let sql = format!(
            "select document from (select to_jsonb(t) as document from {} t where {about} is distinct from $1) as rows
             where exists (select from unnest($2::text[]) as name where strpos(lower(document::text), lower(name)) > 0)",
            table.sql,
        );
        let mut rows = sqlx::query_scalar::<_, Value>(AssertSqlSafe(sql))
            .bind(user_id)
            .bind(&written)
            .fetch(&mut *connection);
        while let Some(row) = rows.try_next().await? {
            for place in names.places_in(&row) {
                *mentions
                    .entry(format!("{}.{place}", table.name))
                    .or_default() += 1;
            }
        }
    }
    Ok(mentions)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn places(names: &[&str], row: &Value) -> Vec<String> {
        Names::new(names.iter().copied())
            .places_in(row)
            .into_iter()
            .collect()
    }

    #[test]
    fn a_place_is_named_as_in_the_settings() {
        let row = json!({
            "account_id": "a",
            "email_address": "ANN@private.example",
            "extra": {
                "owner": {"contact": "mailto:ann@private.example"},
                "seats": [{"of": "ann@private.example"}, {"of": "bob@private.example"}],
                "notes": {"ann@private.example": 1},
                "free": true,
                "nothing": null,
            },
            "_zephr_issues": [{"reason": "ann@private.example"}],
        });
        assert_eq!(
            places(&["ann@private.example"], &row),
            [
                "email_address",
                "extra.notes",
                "extra.owner.contact",
                "extra.seats"
            ]
        );
    }

    #[test]
    fn a_short_or_everyday_name_counts_only_as_a_whole() {
        let row = json!({
            "title": "letters of ann", "by": "Ann", "number": 7, "version": "1.7", "shop": "bookseller-in-town",
        });
        assert_eq!(places(&["ann", "7", "bookseller"], &row), ["by", "number"]);
        assert_eq!(places(&["", " "], &row), Vec::<String>::new());
    }
}
