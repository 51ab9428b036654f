//! What happened to the tenant since it started, laid over the generated people.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Changes to one person.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// How often an edit changed the person; shows in `loyalty-points`.
    pub revision: u32,
    /// Seconds since 1970 of the last change.
    pub updated: u32,
    /// Attribute values set through the API.
    pub attributes: BTreeMap<String, Box<RawValue>>,
}

/// All edits so far.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    /// Registration seconds of people created after the start; their indices follow the last generated one.
    pub created: Vec<u32>,
    pub changes: HashMap<u32, Change>,
    pub deleted: HashSet<u32>,
}

/// How many edits to make, chosen by the tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Edits {
    /// People whose attributes change.
    pub updates: u32,
    /// People who register now.
    pub creations: u32,
    /// People who are removed. Planted people never are.
    pub deletions: u32,
}

impl Edits {
    /// Nothing to do.
    pub const NONE: Self = Self {
        updates: 0,
        creations: 0,
        deletions: 0,
    };
}

/// The people an edit touched, by user id.
///
/// For awkward people the id is the UUID behind what the export shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edited {
    /// Whose attributes changed.
    pub updated: Vec<String>,
    /// Who registered.
    pub created: Vec<String>,
    /// Who was removed.
    pub deleted: Vec<String>,
}
