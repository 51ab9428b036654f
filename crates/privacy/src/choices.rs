//! The settings `[privacy]`, checked: which column or attribute is hashed or dropped.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::tables::{self, Kind, Table};
use super::{Action, EXTRA, USERS};
use toml_file::closest;

const ACTIONS: [(&str, Action); 3] = [
    ("keep", Action::Keep),
    ("hash", Action::Hash),
    ("drop", Action::Drop),
];

/// The parts of a user's record that name the user, or that tables and scans are keyed by.
const NEEDED_OF_A_USER: [&[&str]; 6] = [
    &["user", "user_id"],
    &["user", "registered"],
    &["user", "foreign_keys"],
    &["user", "foreignKeys"],
    &["foreign_keys"],
    &["foreignKeys"],
];

/// Settings that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("[privacy]: {0}")]
pub struct Error(String);

/// What a setting is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The table.
    pub table: String,
    /// Its column.
    pub column: String,
    /// A part of that column's JSON: names from the outside in; empty for the column itself.
    pub inside: Vec<String>,
}

/// The settings `[privacy]`: what is hashed or dropped. Everything else is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Choices(BTreeMap<String, Action>);

impl Choices {
    /// Checks what the settings file says. `defined` names the tables that job files define: their
    /// columns are not known beforehand.
    ///
    /// # Errors
    /// The first entry that cannot be followed.
    pub fn parse(entries: &toml::Table, defined: &[&str]) -> Result<Self, Error> {
        let mut flat = Vec::new();
        flatten("", entries, &mut flat);
        let mut choices = BTreeMap::new();
        for (name, value) in flat {
            let action = action(&name, value)?;
            check(&name, action, defined)?;
            // What is kept is as if it were not named.
            if action != Action::Keep {
                choices.insert(name, action);
            }
        }
        Ok(Self(choices))
    }

    /// Whether everything is kept.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is done with a column or a part of it, named as in the settings.
    pub fn of(&self, name: &str) -> Action {
        self.0.get(name).copied().unwrap_or(Action::Keep)
    }

    /// What is hashed or dropped.
    pub fn iter(&self) -> impl Iterator<Item = (Target, Action)> {
        self.0
            .iter()
            .filter_map(|(name, action)| Some((target(name)?, *action)))
    }

    /// What is hashed or dropped, by the names in the settings.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What these do that earlier ones did not: what is to be done with rows that were stored under
    /// those. What they kept hashed stays as it is where these keep it again, until it is read
    /// anew.
    pub fn since(&self, earlier: &Self) -> Self {
        let new = self
            .0
            .iter()
            .filter(|(name, action)| earlier.of(name) != **action);
        Self(new.map(|(name, action)| (name.clone(), *action)).collect())
    }
}

impl FromIterator<(String, Action)> for Choices {
    fn from_iter<I: IntoIterator<Item = (String, Action)>>(names: I) -> Self {
        let chosen = names
            .into_iter()
            .filter(|(_, action)| *action != Action::Keep);
        Self(chosen.collect())
    }
}

/// Dotted keys without quotes are tables in tables; they mean the same.
fn flatten<'t>(before: &str, table: &'t toml::Table, flat: &mut Vec<(String, &'t toml::Value)>) {
    for (name, value) in table {
        let name = if before.is_empty() {
            name.clone()
        } else {
            format!("{before}.{name}")
        };
        match value.as_table() {
            Some(inner) => flatten(&name, inner, flat),
            None => flat.push((name, value)),
        }
    }
}

fn action(name: &str, value: &toml::Value) -> Result<Action, Error> {
    let Some(text) = value.as_str() else {
        return Err(Error(format!("`{name}` is neither keep, hash nor drop")));
    };
    let known = ACTIONS.iter().find(|(known, _)| *known == text);
    known.map(|(_, action)| *action).ok_or_else(|| {
        let suggestion = suggestion(text, &ACTIONS.map(|(known, _)| known));
        Error(format!(
            "`{name}`: `{text}` is neither keep, hash nor drop{suggestion}"
        ))
    })
}

fn suggestion(name: &str, known: &[&'static str]) -> String {
    closest(name, known)
        .map(|meant| format!("; did you mean `{meant}`?"))
        .unwrap_or_default()
}

/// `table.column`, `users.attributes.SLUG` or another part of a column that holds JSON. A slug may
/// have dots; the path of a field in `extra` has.
fn target(name: &str) -> Option<Target> {
    let (table, rest) = name.split_once('.')?;
    let (column, inside) = match rest.split_once('.') {
        None => (rest, vec![]),
        Some((EXTRA, path)) => (EXTRA, path.split('.').map(str::to_owned).collect()),
        Some((column, part)) => (column, vec![part.to_owned()]),
    };
    Some(Target {
        table: table.to_owned(),
        column: column.to_owned(),
        inside,
    })
}

/// Whether there is such a column, and whether this may be done with it.
fn check(name: &str, action: Action, defined: &[&str]) -> Result<(), Error> {
    let Some(target) = target(name) else {
        return Err(Error(format!(
            "`{name}` is no column; write for example `users.email`"
        )));
    };
    let (table, column) = (target.table.as_str(), target.column.as_str());
    if tables::FOLLOW_USERS.contains(&table) {
        return Err(Error(format!(
            "`{name}`: {table} follows users; write `users.{column}`"
        )));
    }
    if table == tables::GRANTS && action != Action::Keep {
        return Err(Error(format!(
            "`{name}` can only be kept: grants are read from their users' records and stay there; write `users.extra.grants` = \"drop\" to keep none, or leave out `grants = true` in the job"
        )));
    }
    let Some(known) = Table::named(table) else {
        if defined.contains(&table) {
            return Ok(());
        }
        let suggestion = suggestion(table, &Table::names());
        return Err(Error(format!(
            "`{name}`: there is no table `{table}`{suggestion}"
        )));
    };
    let Some(kind) = known.kind(column) else {
        let suggestion = suggestion(column, &known.columns());
        return Err(Error(format!(
            "`{name}`: table {table} has no column `{column}`{suggestion}"
        )));
    };
    if action == Action::Keep {
        return Ok(());
    }
    may(&target, kind, action).map_err(|why| Error(format!("`{name}` {why}")))
}

/// Whether a column of this kind, or a part of it, may be hashed or dropped.
fn may(target: &Target, kind: Kind, action: Action) -> Result<(), String> {
    let (table, column) = (target.table.as_str(), target.column.as_str());
    let refused = |why: &str| Err(why.to_owned());
    match (kind, target.inside.is_empty()) {
        (Kind::Key, true) => refused(
            "can only be kept: rows are found, joined and compared by it, and without it the mirror could not tell who is who",
        ),
        (Kind::Text, true) => Ok(()),
        (Kind::Other(_) | Kind::Key, false) | (Kind::Text, false) => {
            refused("has no parts; name the column alone")
        }
        (Kind::Other(sql), true) if action == Action::Hash => refused(&format!(
            "cannot be hashed: the column is {sql}, and a hash is text. It can be kept or dropped"
        )),
        (Kind::Other(_), true) => Ok(()),
        (Kind::Json, true) if column == EXTRA => refused(
            "holds whatever has no column of its own; name the field of the record, for example `users.extra.user.last_login`",
        ),
        (Kind::Json, true) if action == Action::Hash => refused(
            "cannot be hashed as a whole: a hash is text, and this is JSON. Name each part, for example `users.attributes.date-of-birth`",
        ),
        (Kind::Json, true) => Ok(()),
        (Kind::Json, false) if table == USERS && column == EXTRA && is_needed(&target.inside) => {
            refused(
                "can only be kept: the user's identifier, date of registration and foreign keys are what rows are found, joined and compared by",
            )
        }
        (Kind::Json, false) => Ok(()),
    }
}

/// Whether a path is that of something needed, of a part of it or of something around it.
fn is_needed(path: &[String]) -> bool {
    NEEDED_OF_A_USER.iter().any(|needed| {
        let shorter = needed.len().min(path.len());
        needed[..shorter] == path[..shorter]
    })
}

impl FromStr for Choices {
    type Err = Error;

    /// From the text of a settings section.
    fn from_str(text: &str) -> Result<Self, Error> {
        let table = toml::from_str(text).map_err(|error| Error(error.message().to_owned()))?;
        Self::parse(&table, &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> String {
        text.parse::<Choices>().unwrap_err().to_string()
    }

    #[test]
    fn columns_and_attributes_are_named_with_and_without_quotes() {
        let choices: Choices = "\"users.email\" = \"hash\"\nusers.attributes.date-of-birth = \"drop\"\n\"accounts.name\" = \"keep\""
            .parse()
            .unwrap();
        assert_eq!(choices.of("users.email"), Action::Hash);
        assert_eq!(choices.of("users.attributes.date-of-birth"), Action::Drop);
        assert_eq!(choices.iter().count(), 2);
    }

    #[test]
    fn a_slip_gets_a_suggestion() {
        assert_eq!(
            complaint("\"users.emial\" = \"hash\""),
            "[privacy]: `users.emial`: table users has no column `emial`; did you mean `email`?"
        );
        assert_eq!(
            complaint("\"user.email\" = \"hash\""),
            "[privacy]: `user.email`: there is no table `user`; did you mean `users`?"
        );
        assert_eq!(
            complaint("\"users.email\" = \"hsah\""),
            "[privacy]: `users.email`: `hsah` is neither keep, hash nor drop; did you mean `hash`?"
        );
    }

    #[test]
    fn what_rows_are_found_by_is_kept() {
        for name in [
            "users.user_id",
            "users.registered_at",
            "accounts.account_id",
            "user_foreign_keys.key",
            "user_grants.user_id",
            "users.extra.user",
            "users.extra.user.user_id",
            "users.extra.user.foreign_keys.crm",
        ] {
            for action in ["hash", "drop"] {
                let said = complaint(&format!("\"{name}\" = \"{action}\""));
                assert!(said.contains("can only be kept"), "{said}");
            }
        }
        assert!(complaint("\"users.extra\" = \"drop\"").contains("name the field"));
        assert!(complaint("\"users.email_verified\" = \"hash\"").contains("a hash is text"));
        assert!(complaint("\"users.attributes\" = \"hash\"").contains("Name each part"));
        assert!(complaint("\"users_history.email\" = \"drop\"").contains("`users.email`"));
        assert!(complaint("\"users.email.x\" = \"drop\"").contains("no parts"));
        assert!(complaint("users = \"drop\"").contains("is no column"));
    }

    #[test]
    fn a_table_that_a_job_defines_may_have_any_column() {
        let entries: toml::Table = toml::from_str("\"sessions.ip\" = \"drop\"").unwrap();
        assert!(Choices::parse(&entries, &[]).is_err());
        assert!(Choices::parse(&entries, &["sessions"]).is_ok());
    }

    #[test]
    fn what_is_new_is_what_differs() {
        let choices = |text: &str| text.parse::<Choices>().unwrap();
        let earlier = choices("\"users.email\" = \"hash\"\n\"users.username\" = \"hash\"");
        let later = choices("\"users.email\" = \"hash\"\n\"users.username\" = \"drop\"");
        assert_eq!(
            later.since(&earlier),
            choices("\"users.username\" = \"drop\"")
        );
        assert!(Choices::default().since(&earlier).is_empty());
    }
}
