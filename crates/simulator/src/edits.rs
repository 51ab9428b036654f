//! What happened to the tenant since it started, laid over the generated people.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::attributes::POINTS;
use super::grants::Grant;

/// Changes to one person.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// How often an edit changed the person; shows in `loyalty-points`.
    pub revision: u32,
    /// Seconds since 1970 of the last change.
    pub updated: u32,
    /// Attribute values set through the API; none for one that was removed.
    pub attributes: BTreeMap<String, Option<Box<RawValue>>>,
    /// The grants, if they were edited.
    pub grants: Option<Vec<Grant>>,
    /// How often the e-mail address changed; shows in it.
    pub addresses: u32,
    /// How often the foreign keys changed; shows in which there are.
    pub keyed: u32,
}

impl Change {
    /// An edit that is not of one attribute: it changes the points, whatever they were set to.
    pub fn revise(&mut self) {
        self.revision += 1;
        self.attributes.remove(POINTS);
    }
}

/// All edits so far.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    /// Registration seconds of people created after the start; their indices follow the last
    /// generated one.
    pub created: Vec<u32>,
    pub changes: HashMap<u32, Change>,
    pub deleted: HashSet<u32>,
    /// Registration seconds of those who came again under the user id of somebody deleted.
    pub recreated: HashMap<u32, u32>,
    /// The registration shown of those in whose record it was changed, by whatever people do at
    /// their consoles; none for those who show none any more.
    pub redated: HashMap<u32, Option<u32>>,
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
    /// Accounts whose seats change.
    pub account_changes: u32,
    /// Accounts that are removed.
    pub account_deletions: u32,
    /// Times someone enters or leaves an account.
    pub member_changes: u32,
    /// Times someone enters or leaves a segment.
    pub segment_moves: u32,
}

impl Edits {
    /// Nothing to do.
    pub const NONE: Self = Self {
        updates: 0,
        creations: 0,
        deletions: 0,
        account_changes: 0,
        account_deletions: 0,
        member_changes: 0,
        segment_moves: 0,
    };

    /// The same without the edits of people.
    pub(super) fn of_business(self) -> Self {
        Self {
            updates: 0,
            creations: 0,
            deletions: 0,
            ..self
        }
    }
}

/// What an edit touched: people by user id, accounts by account id.
///
/// For awkward people the id is the UUID behind what the export shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Edited {
    /// Whose attributes changed.
    pub updated: Vec<String>,
    /// Who registered.
    pub created: Vec<String>,
    /// Who was removed.
    pub deleted: Vec<String>,
    /// Accounts whose seats changed.
    pub accounts_changed: Vec<String>,
    /// Accounts that were removed.
    pub accounts_deleted: Vec<String>,
    /// Account and user id of those who entered or left an account.
    pub members_changed: Vec<(String, String)>,
    /// Who entered or left a segment.
    pub segments_moved: Vec<String>,
}
