//! One item of a short list: an id and fields kept as the JSON that is sent, so that text no
//! program can hold may stand in it.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::json;

/// A company, product, segment, webhook or the like.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub id: String,
    /// In the order they are sent, each value raw JSON.
    pub fields: Vec<(String, String)>,
    /// The id is left out of the answer although others of the list show theirs.
    pub nameless: bool,
}

impl Record {
    pub(super) fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            fields: Vec::new(),
            nameless: false,
        }
    }

    /// With a text field more.
    pub(super) fn text(self, name: &str, text: &str) -> Self {
        let mut value = Vec::new();
        json::string(&mut value, text);
        self.raw(name, &String::from_utf8_lossy(&value))
    }

    /// With a field more that is JSON already.
    pub(super) fn raw(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Replaces a field or adds it.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        match self.fields.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.fields.push((name.to_owned(), value.to_owned())),
        }
    }

    /// Replaces the fields named in a JSON object.
    pub(super) fn set_all(&mut self, object: &str) -> Result<(), serde_json::Error> {
        let values: BTreeMap<String, Box<RawValue>> = serde_json::from_str(object)?;
        for (name, value) in values {
            self.set(&name, value.get());
        }
        Ok(())
    }

    /// Appends it as JSON, its id under this name or not at all.
    pub(super) fn write(&self, out: &mut Vec<u8>, id_name: Option<&str>) {
        json::object(out, |out| {
            if let Some(name) = id_name.filter(|_| !self.nameless) {
                json::text_field(out, name, &self.id);
            }
            for (name, value) in &self.fields {
                json::raw_field(out, name, value);
            }
        });
    }
}
