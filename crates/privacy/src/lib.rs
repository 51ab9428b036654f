//! What of a record may be kept, and who may not be kept at all.
//!
//! It decides by rules about paths in a record. It knows neither how a record is read nor where it
//! is stored.
//!
//! [`Choices`] are the settings `[privacy]`, checked against [`tables`]. With the [`HashKey`] they
//! are a [`Policy`], and [`Policy::for_table`] gives the [`Rules`] for the records of one table:
//! where in a record something is to be dropped or hashed. Whoever reads records of a resource
//! applies them (`zephr::redact::apply`) to the record as it was parsed, before anything is made of
//! it: row, hash, issues and rejects then follow from what may be kept. [`Erased`] tells whose
//! records are not taken at all.

// On times the operators panic where a type ends: `clock::time` has what does not.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod choices;
pub mod erased;
pub mod key;
pub mod tables;

use serde::{Deserialize, Serialize};

pub use choices::{Choices, Error};
pub use erased::Erased;
pub use key::HashKey;

/// What is done with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is kept as it was sent.
    Keep,
    /// Its keyed hash is kept: equal values can be joined and counted, and not read.
    Hash,
    /// It is not kept.
    Drop,
}

/// The table whose columns have places of their own in an item of the export.
pub const USERS: &str = "users";

/// The column of everything that has no column of its own.
const EXTRA: &str = "extra";

/// The column that holds an event whole: like `extra`, it is the record itself.
const PAYLOAD: &str = "payload";

/// The settings with the key of the hashes.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    choices: Choices,
    key: Option<HashKey>,
}

impl Policy {
    /// These settings, with the key if there is need for one.
    pub fn new(choices: Choices, key: Option<HashKey>) -> Self {
        Self { choices, key }
    }

    /// The settings.
    pub fn choices(&self) -> &Choices {
        &self.choices
    }

    /// The key of the hashes; none where nothing needs one.
    pub fn key(&self) -> Option<&HashKey> {
        self.key.as_ref()
    }

    /// The same key, other settings.
    pub fn with(&self, choices: Choices) -> Self {
        Self {
            choices,
            key: self.key.clone(),
        }
    }

    /// What is to be done with the records of a table. `places` says where in a record the value of
    /// a column may be: paths joined by dots, in all spellings that the API is known to use.
    /// `extra` is the record itself.
    pub fn for_table(&self, table: &str, places: impl Fn(&str) -> Vec<String>) -> Rules {
        let mut rules = Vec::new();
        for (target, action) in self
            .choices
            .iter()
            .filter(|(target, _)| target.table == table)
        {
            if target.column == EXTRA || target.column == PAYLOAD {
                rules.push(Rule {
                    path: target.inside,
                    action,
                });
                continue;
            }
            for place in places(&target.column) {
                let outer = place.split('.').map(str::to_owned);
                rules.push(Rule {
                    path: outer.chain(target.inside.iter().cloned()).collect(),
                    action,
                });
            }
        }
        Rules {
            rules,
            key: self.key.clone(),
        }
    }
}

/// What is to be done with one place in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Names of fields, from the outside in.
    pub path: Vec<String>,
    /// What is done with what is there.
    pub action: Action,
}

/// What is to be done with the records of one table.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    key: Option<HashKey>,
}

impl Rules {
    /// Whether records are kept as they are.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Each place.
    pub fn all(&self) -> &[Rule] {
        &self.rules
    }

    /// The hash of a value in hex; none where there is no key, and then the value must be dropped.
    pub fn hash(&self, value: &str) -> Option<String> {
        self.key.as_ref().map(|key| key.hash_value(value))
    }

    /// The hash that takes the place of one that was made of a whole record: with the rest of the
    /// record at hand, a plain hash would give away a short value.
    pub fn veil(&self, hash: &[u8]) -> Option<[u8; 32]> {
        self.key.as_ref().map(|key| key.veil(hash))
    }
}
