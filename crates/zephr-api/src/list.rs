//! Lists by page, in whatever envelope they come (contract section 3).

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::client::{Answer, Client, Request};
use super::envelope::Said;
use super::error::{Error, Failure};
use super::export;
use super::json::{self, Fields, Kind};

/// Under which names lists were seen.
const LIST_FIELDS: [&str; 3] = ["results", "items", "data"];

/// A list that never ends must.
const MAX_PAGES: u64 = 100_000;

/// Walks a list page by page until one is empty, or brings nothing new: what a list without paging
/// does.
#[derive(Debug)]
pub struct Pages {
    client: Client,
    target: String,
    rpp: u64,
    page: u64,
    previous: HashSet<u64>,
}

impl Pages {
    /// The list at this target; `rpp` and `page` are added to its query.
    pub fn new(client: Client, target: String, rpp: u64) -> Self {
        Self {
            client,
            target,
            rpp,
            page: 0,
            previous: HashSet::new(),
        }
    }

    /// The items of the next page as they came, one a line; none at the end.
    ///
    /// # Errors
    /// As [`Client::call`]; what is not a list is an error.
    pub async fn next(&mut self) -> Result<Option<String>, Error> {
        self.page += 1;
        if self.page > MAX_PAGES {
            return Ok(None);
        }
        let separator = if self.target.contains('?') { '&' } else { '?' };
        let target = format!(
            "{}{separator}rpp={}&page={}",
            self.target, self.rpp, self.page
        );
        let request = Request::get(target);
        let items = self
            .client
            .call(&request, |answer| items(export::document(answer)?))
            .await?;
        let hashes: HashSet<u64> = items
            .iter()
            .map(|item| {
                let mut hasher = DefaultHasher::new();
                item.hash(&mut hasher);
                hasher.finish()
            })
            .collect();
        if items.is_empty() || hashes == self.previous {
            return Ok(None);
        }
        self.previous = hashes;
        let mut text = String::new();
        for item in items {
            text.push_str(&item);
            text.push('\n');
        }
        Ok(Some(text))
    }
}

/// The items of a list, each on one line.
fn items(root: &RawValue) -> Result<Vec<String>, Failure> {
    // Line breaks in JSON are white space between tokens: inside strings they are escaped.
    let on_one_line = |raw: &RawValue| raw.get().replace(['\n', '\r'], " ");
    Ok(elements(root, None)?.into_iter().map(on_one_line).collect())
}

/// The items of a list, in whatever envelope they come, or in the field that is named, by dots.
fn elements<'a>(root: &'a RawValue, field: Option<&str>) -> Result<Vec<&'a RawValue>, Failure> {
    let unexpected = |found: String| Failure::Unexpected {
        expected: "a list",
        found,
    };
    let list = match (json::kind(root), field) {
        (_, Some(field)) => field
            .split('.')
            .try_fold(root, |at, name| Fields::of(at)?.get(name))
            .filter(|raw| json::kind(raw) == Kind::Array)
            .ok_or_else(|| unexpected("an answer without the field that the job names".into()))?,
        (Kind::Array, None) => root,
        (Kind::Object, None) => {
            let fields = Fields::of(root).unwrap_or_default();
            let lists = LIST_FIELDS.iter().filter_map(|name| fields.get(name));
            let lists: Vec<&RawValue> =
                lists.filter(|raw| json::kind(raw) == Kind::Array).collect();
            match lists.as_slice() {
                [list] => *list,
                [] => {
                    return Err(unexpected(
                        "an object without results, items or data".into(),
                    ));
                }
                // Which of them it is, nobody knows.
                [_, ..] => {
                    return Err(unexpected(
                        "an object with more than one of results, items and data".into(),
                    ));
                }
            }
        }
        (kind @ (Kind::Text | Kind::Boolean | Kind::Null | Kind::Number), None) => {
            return Err(unexpected(kind.to_string()));
        }
    };
    let mut items = Vec::new();
    for element in json::elements(list).unwrap_or_default() {
        match json::elements(element) {
            Some(inner) => items.extend(inner),
            None => items.push(element),
        }
    }
    Ok(items)
}

/// One answer of a list.
#[derive(Debug, Default)]
pub struct Listed {
    /// Its items as they came.
    pub items: Vec<Box<RawValue>>,
    /// How many there are in all, where the envelope says so: `total`, or `meta.count`, which may
    /// mean the page (contract section 3).
    pub total: Option<u64>,
    /// Whether a link names a next page.
    pub next: bool,
    /// The API's clock when it answered.
    pub answered_at: Option<DateTime<Utc>>,
}

/// Reads an answer of a list whose items are in the field that is named, by dots, or in one of the
/// known envelopes.
///
/// # Errors
/// What is not a list is a failure, never an empty one.
pub fn read(answer: &Answer, field: Option<&str>) -> Result<Listed, Failure> {
    let root = export::document(answer)?;
    let items = elements(root, field)?
        .into_iter()
        .map(ToOwned::to_owned)
        .collect();
    let mut said = Said::default();
    for field in Fields::of(root).unwrap_or_default().sorted() {
        if let Some(field) = json::complaint(&field.name, field.value) {
            return Err(Failure::Partial { field });
        }
        said.take_in(&field.name, field.value);
    }
    Ok(Listed {
        items,
        total: said.count,
        next: said.next,
        answered_at: answer.date,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_found_in_each_envelope() {
        for text in [
            "[1,\n2]",
            r#"{"results":[1,2],"total":2}"#,
            r#"{"items":[1,2]}"#,
            r#"{"results":[[1,2]]}"#,
        ] {
            let root: &RawValue = serde_json::from_str(text).unwrap();
            assert_eq!(items(root).unwrap(), ["1", "2"], "{text}");
        }
        let other: &RawValue = serde_json::from_str(r#"{"message":"no"}"#).unwrap();
        assert!(matches!(items(other), Err(Failure::Unexpected { .. })));
    }
}
