//! What tests read of one person, and edits of one person that say what is to be there afterwards.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::edits::Change;
use super::json;
use super::person::People;
use super::tenant::Tenant;

impl People<'_> {
    /// Appends the attributes of a person as the API shows them.
    pub(super) fn write_attributes(&self, out: &mut Vec<u8>, index: u32) {
        let change = self.overlay.changes.get(&index);
        let registration = self.registration(index);
        super::attributes::of_person(out, self.population, index, registration, change);
    }

    /// The present value of an attribute; none for one that is not there.
    ///
    /// An awkward person whose attributes have a name no program can hold, or are no object, has
    /// those that were set.
    pub(super) fn attribute(&self, index: u32, slug: &str) -> Option<Box<RawValue>> {
        let set = self.overlay.changes.get(&index);
        if let Some(value) = set.and_then(|change| change.attributes.get(slug)) {
            return value.clone();
        }
        let mut all = Vec::new();
        self.write_attributes(&mut all, index);
        let mut all: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(&all).ok()?;
        all.remove(slug)
    }
}

impl Tenant {
    /// The attributes of a person as the API shows them, a JSON text; none if there is no such
    /// person.
    pub fn attributes(&self, index: u32) -> Option<String> {
        self.run_due_jobs();
        self.look(|people| {
            let mut all = Vec::new();
            people.is_living(index).then(|| {
                people.write_attributes(&mut all, index);
                String::from_utf8_lossy(&all).into_owned()
            })
        })
    }

    /// The present value of one attribute of a person.
    pub fn attribute(&self, index: u32, slug: &str) -> Option<Box<RawValue>> {
        self.run_due_jobs();
        self.look(|people| {
            let living = people.is_living(index);
            living.then(|| people.attribute(index, slug)).flatten()
        })
    }

    /// Sets attribute values of one person, now, leaving the others. False if there is no such
    /// person.
    pub fn set_attributes(
        &self,
        index: u32,
        values: impl IntoIterator<Item = (String, Box<RawValue>)>,
    ) -> bool {
        let values = values.into_iter();
        self.change_attributes(index, values.map(|(slug, value)| (slug, Some(value))))
    }

    /// Removes attributes of one person, now. False if there is no such person.
    pub fn clear_attributes(&self, index: u32, slugs: impl IntoIterator<Item = String>) -> bool {
        self.change_attributes(index, slugs.into_iter().map(|slug| (slug, None)))
    }

    fn change_attributes(
        &self,
        index: u32,
        values: impl Iterator<Item = (String, Option<Box<RawValue>>)>,
    ) -> bool {
        self.change_person(index, |change| change.attributes.extend(values))
    }

    /// Gives a person another e-mail address, now. False if there is no such person.
    pub fn readdress(&self, index: u32) -> bool {
        self.change_person(index, |change| change.addresses += 1)
    }

    /// Gives a person other foreign keys, now. False if there is no such person.
    pub fn rekey(&self, index: u32) -> bool {
        self.change_person(index, |change| change.keyed += 1)
    }

    /// Has a person show another registration, a second since 1970, or none; now. False if there is
    /// no such person, or if theirs cannot be read anyway.
    pub fn redate(&self, index: u32, registered: Option<u32>) -> bool {
        let readable = !self.is_awkward(index);
        readable
            && self.change_person(index, |_| {})
            && self.editing(|editing| {
                let living = editing.people().is_living(index);
                if living {
                    editing.redate(index, registered);
                }
                living
            })
    }

    fn change_person(&self, index: u32, how: impl FnOnce(&mut Change)) -> bool {
        self.run_due_jobs();
        let now = self.now();
        self.editing(|editing| {
            let living = editing.people().is_living(index);
            if living {
                editing.touch(index, now, how);
            }
            living
        })
    }

    /// Has another person come, now, under the user id of one who was deleted: another e-mail
    /// address, another name, another registration. False unless there was somebody and they were
    /// deleted.
    pub fn recreate(&self, index: u32) -> bool {
        self.run_due_jobs();
        let now = self.now();
        self.editing(|editing| {
            let people = editing.people();
            let deleted = index < people.end() && !people.is_living(index);
            if deleted {
                editing.readmit(index, now);
                editing.touch(index, now, |change| {
                    for (slug, text) in [("first-name", "Somebody"), ("last-name", "Else")] {
                        change
                            .attributes
                            .insert(slug.to_owned(), Some(json::text_value(text)));
                    }
                });
            }
            deleted
        })
    }
}
