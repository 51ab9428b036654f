//! What the tenant should be, and what it should have been asked to do, worked out from the file
//! and from what was there before.

use std::collections::HashMap;

use serde_json::{Map, Value};
use simulator::{Applied, Does, Outcome, Stored, Tenant};

use super::file::{Fate, File};
use crate::support::bulk::Person;

/// An attribute set, or a person deleted: whom, which attribute, to what text.
pub type Action = (String, Option<String>, Option<String>);

/// The tenant by what was there at the beginning.
#[derive(Debug)]
pub struct Expected<'a> {
    pub people: &'a [Person],
    pub stored: Stored,
    file: &'a File,
}

/// How far the trial is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Pushed.
    Pushed,
    /// Taken back, but for what had no value before.
    Back,
    /// That too.
    Cleared,
}

impl<'a> Expected<'a> {
    pub fn new(people: &'a [Person], stored: Stored, file: &'a File) -> Self {
        Self {
            people,
            stored,
            file,
        }
    }

    /// What each step should have the tenant do, in the order of names.
    pub fn actions(&self, step: Step) -> Vec<Action> {
        let mut actions = Vec::new();
        for row in &self.file.rows {
            let person = &self.people[row.person];
            let id = || person.user_id.clone();
            match (&row.fate, step) {
                (Fate::Delete, Step::Pushed) => actions.push((id(), None, None)),
                (Fate::Set(changes), _) => {
                    for (slug, text) in changes {
                        let before = person.typed(slug);
                        let text = match step {
                            Step::Pushed => text.clone(),
                            Step::Back if before.is_empty() => continue,
                            Step::Back => before,
                            Step::Cleared if before.is_empty() => String::new(),
                            Step::Cleared => continue,
                        };
                        actions.push((id(), Some((*slug).to_owned()), Some(text)));
                    }
                }
                (Fate::Delete, Step::Back | Step::Cleared) | (Fate::Same | Fate::Wrong(_), _) => {}
            }
        }
        actions.sort();
        actions
    }

    /// Fails unless every person, of the file or not, is as they should be.
    #[track_caller]
    pub fn check(&self, tenant: &Tenant, step: Step) {
        let rows = self.file.rows.iter();
        let by_person: HashMap<usize, &Fate> = rows
            .filter(|row| !row.is_wrong())
            .map(|row| (row.person, &row.fate))
            .collect();
        for (at, person) in self.people.iter().enumerate() {
            let expected = self.attributes(person, by_person.get(&at).copied(), step);
            let found = tenant.attributes(person.index);
            let found: Option<Value> =
                found.map(|text| serde_json::from_str(&text).expect("attributes"));
            assert!(
                found == expected.map(Value::Object),
                "{step:?}: person {at} is {found:?}"
            );
        }
    }

    fn attributes(
        &self,
        person: &Person,
        fate: Option<&Fate>,
        step: Step,
    ) -> Option<Map<String, Value>> {
        let mut attributes = person.attributes.as_object().expect("an object").clone();
        let changes = match fate {
            Some(Fate::Delete) => return None,
            Some(Fate::Set(changes)) => changes,
            Some(Fate::Same | Fate::Wrong(_)) | None => return Some(attributes),
        };
        for (slug, pushed) in changes {
            let before = person.typed(slug);
            let text = match step {
                Step::Pushed => pushed.clone(),
                Step::Back if before.is_empty() => pushed.clone(),
                Step::Back | Step::Cleared => before,
            };
            match self.value(slug, &text) {
                Some(value) => attributes.insert((*slug).to_owned(), value),
                None => attributes.remove(*slug),
            };
        }
        Some(attributes)
    }

    /// What the tenant makes of a text that is sent.
    fn value(&self, slug: &str, text: &str) -> Option<Value> {
        if text.is_empty() {
            return None;
        }
        Some(match (self.stored, slug) {
            (Stored::Typed, "newsletter") => Value::from(text == "true"),
            (Stored::Typed, "loyalty-points") => {
                Value::from(text.parse::<u64>().expect("a number"))
            }
            (Stored::Typed | Stored::AsSent, _) => Value::from(text),
        })
    }
}

/// Fails unless the tenant did these things and nothing else after the first `before` of all, each
/// once.
#[track_caller]
pub fn check_actions(all: &[Applied], before: usize, expected: &[Action]) {
    let mut done = Vec::new();
    for action in &all[before..] {
        assert_eq!(action.outcome, Outcome::Applied, "{action:?}");
        let is_deletion = action.action == Does::DeleteUser;
        assert_eq!(is_deletion, action.field.is_none(), "{action:?}");
        let id = action.user_id.clone().expect("somebody");
        done.push((id, action.field.clone(), action.value.clone()));
    }
    done.sort();
    let differs = done
        .iter()
        .zip(expected)
        .find(|(done, expected)| done != expected);
    assert_eq!(differs, None);
    assert_eq!(done.len(), expected.len());
}
