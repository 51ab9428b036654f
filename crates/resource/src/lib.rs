//! What is mirrored beside the users and their events: lists of the API and what it tells one
//! parent at a time, described and not programmed.
//!
//! It decides which list belongs in which table and column by column where a value is found. It
//! knows nothing of requests, of storing, or of when a job runs.
//!
//! A job is some [`Step`]s. Adding a resource is adding a table to a migration and a file here;
//! `docs/adding-a-resource.md` walks through it.

// On times the operators panic where a type ends: `clock::time` has what does not.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod accounts;
pub mod catalog;
pub mod grants;
pub mod list;
pub mod schema;
pub mod segments;

use std::borrow::Cow;

use record::table::Table;

/// One thing a job does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Reads a list into its table.
    List(List),
    /// Asks once per row of another table.
    Below(Below),
}

/// A list of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Where its items go.
    pub table: Cow<'static, Table>,
    /// Its path.
    pub path: Cow<'static, str>,
    /// The field its items are in, by dots; none means that the known envelopes are tried.
    pub items: Option<String>,
    /// How it is paged.
    pub paging: Paging,
    /// The path of a single item, with `{}` for its key, where that shows more than the list does.
    /// It is asked for items that are new or changed, and is the witness of those that are missing.
    pub detail: Option<Cow<'static, str>>,
    /// What a 404 means.
    pub not_found: NotFound,
}

/// What a 404 on a list means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotFound {
    /// The contract documents it as "none" (section 3).
    MeansNone,
    /// That something answers, and nothing about what there is.
    MeansNothing,
}

impl NotFound {
    /// What it means on this path, whose keys are `{}`.
    pub fn on(path: &str) -> Self {
        let bare = path.split('?').next().unwrap_or(path);
        if DOCUMENTED_AS_NONE.contains(&bare) {
            Self::MeansNone
        } else {
            Self::MeansNothing
        }
    }
}

/// Lists for which the contract documents, or clients report, a 404 where there are none (sections
/// 3, 6.7, 11, 12.2).
const DOCUMENTED_AS_NONE: [&str; 6] = [
    "/v4/users/segments",
    "/v4/users/{}/segments",
    "/v3/users/{}/accounts",
    "/v3/users/{}/sessions",
    "/v4/users/{}/sessions",
    "/v4/user-updates",
];

/// What the API tells one parent at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Below {
    /// Where the items go. Its key contains the parent's.
    pub table: Cow<'static, Table>,
    /// The table of the parents.
    pub parents: Cow<'static, str>,
    /// The key of that table, and the column that holds it in this one.
    pub parent_key: Cow<'static, str>,
    /// The path, with `{}` for the parent's key.
    pub path: Cow<'static, str>,
    /// The field the items are in, by dots; none means that the known envelopes are tried.
    pub items: Option<String>,
    /// How it is paged.
    pub paging: Paging,
    /// The path of a single parent, where there is one: whether it exists is asked there.
    pub parent_path: Option<Cow<'static, str>>,
    /// What a 404 below a parent that exists means.
    pub not_found: NotFound,
    /// What the budget of a run is for.
    pub budget: Budgeted,
}

/// What the budget of a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budgeted {
    /// Every request. Parents that changed come first.
    All,
    /// Going round those that did not change; the others are always asked for.
    Unchanged,
}

/// How a list is paged (contract section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
pub enum Paging {
    /// `rpp` and `page`; the answer has `meta` and `links`.
    A,
    /// `rpp` and `page`; the answer has `total`.
    B,
    /// Not at all: one answer is everything.
    #[serde(rename = "none")]
    Unpaged,
}

impl List {
    /// A list of a built-in resource without paging.
    const fn unpaged(table: &'static Table, path: &'static str) -> Self {
        Self {
            table: Cow::Borrowed(table),
            path: Cow::Borrowed(path),
            items: None,
            paging: Paging::Unpaged,
            detail: None,
            not_found: NotFound::MeansNothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use record::table::Kind;

    /// All built-in tables.
    fn tables() -> Vec<Cow<'static, Table>> {
        let steps = [
            accounts::steps(),
            catalog::steps(),
            schema::steps(),
            segments::steps(),
        ];
        let mut tables: Vec<_> = steps
            .into_iter()
            .flatten()
            .map(|step| match step {
                Step::List(list) => list.table,
                Step::Below(below) => below.table,
            })
            .collect();
        tables.push(Cow::Borrowed(&grants::USER_GRANTS));
        tables
    }

    #[test]
    fn the_descriptions_and_the_migration_agree() {
        let migration = include_str!("../../../migrations/0006_what_analysts_join.sql");
        let rekeyed = include_str!("../../../migrations/0021_whose_grant_it_is.sql");
        for table in tables() {
            let opening = format!("create table {} (", table.name);
            let body = migration
                .split_once(&opening)
                .and_then(|(_, rest)| rest.split_once("\n);"))
                .unwrap_or_else(|| panic!("{opening}"))
                .0;
            let defined: BTreeSet<(&str, &str)> = body
                .lines()
                .filter_map(|line| {
                    let mut words = line.trim().trim_end_matches(',').split_whitespace();
                    Some((words.next()?, words.next()?))
                })
                .filter(|(name, _)| *name != "primary" && *name != "extra")
                .collect();
            let described: BTreeSet<(&str, &str)> = table
                .all_columns()
                .map(|column| (column.name.as_ref(), column.kind.sql()))
                .collect();
            assert_eq!(described, defined, "{}", table.name);
            let key: Vec<_> = table
                .key
                .iter()
                .map(|column| column.name.as_ref())
                .collect();
            let key = key.join(", ");
            let later = format!("on {} ({key});", table.name);
            assert!(
                body.contains(&format!("primary key ({key})")) || rekeyed.contains(&later),
                "{}",
                table.name
            );
            assert!(table.key.iter().all(|column| column.kind == Kind::Text));
        }
    }
}
