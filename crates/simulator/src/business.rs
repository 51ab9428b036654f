//! What a tenant has besides people: how much of it, what was edited in it, and both together as
//! handlers see them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::OnceLock;

use serde_json::value::RawValue;

use super::accounts::{self, AccountChange};
use super::behaviour::Behaviour;
use super::catalog;
use super::events::Added;
use super::grants::Grant;
use super::list::List;
use super::members::Member;
use super::person::People;
use super::population::{Population, Shape};
use super::record::Record;

/// How much a tenant has besides people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Business {
    /// Accounts; not given, three and one more per 500 people.
    pub accounts: Option<u32>,
    /// Members of an account on average. One account in eight has none.
    pub members: u32,
    /// Segments.
    pub segments: u32,
    /// Events in the 60 days before [`LAST_EVENT`](super::LAST_EVENT); not given, three per person.
    pub events: Option<u64>,
}

impl Default for Business {
    fn default() -> Self {
        Self {
            accounts: None,
            members: 8,
            segments: 6,
            events: None,
        }
    }
}

/// The numbers [`Business`] comes to for so many people.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub accounts: u32,
    pub members: u32,
    pub segments: u32,
    pub events: u64,
    pub companies: u32,
}

impl Scale {
    pub(super) fn of(shape: &Shape) -> Self {
        let Business {
            accounts,
            members,
            segments,
            events,
        } = shape.business;
        let accounts = accounts.unwrap_or(3 + shape.people / 500);
        Self {
            accounts,
            members,
            segments,
            events: events.unwrap_or(u64::from(shape.people) * 3),
            companies: 2 + (accounts / 20).min(500),
        }
    }
}

/// Everything that is kept: short lists as they are, and edits of what is generated.
#[derive(Debug)]
pub(super) struct Books {
    /// Indices of living accounts in the order they are listed.
    pub accounts: Vec<u32>,
    /// Seconds at which accounts were added; their indices follow the last generated one.
    pub accounts_added: Vec<u32>,
    pub accounts_deleted: HashSet<u32>,
    pub account_changes: HashMap<u32, AccountChange>,
    /// The members of accounts whose members were edited.
    pub members: HashMap<u32, Vec<Member>>,
    /// The generated memberships, by person then account, once someone asked.
    pub memberships: OnceLock<Vec<(u32, u32)>>,
    /// The grants of accounts whose grants were edited.
    pub account_grants: HashMap<u32, Vec<Grant>>,
    /// The short lists.
    pub records: BTreeMap<List, Vec<Record>>,
    /// The segments, by id, of people who were moved.
    pub user_segments: HashMap<u32, BTreeSet<String>>,
    /// Added events, by time.
    pub events: Vec<Added>,
    /// The schema that replaces the generated one.
    pub schema: Option<Box<RawValue>>,
    /// Ids given to added things so far.
    pub given: u64,
    /// Random edits made so far.
    pub edits: u64,
}

impl Books {
    pub(super) fn new(population: &Population, scale: Scale, behaviour: &Behaviour) -> Self {
        Self {
            accounts: accounts::order(population, scale, behaviour.accounts_order),
            accounts_added: Vec::new(),
            accounts_deleted: HashSet::new(),
            account_changes: HashMap::new(),
            members: HashMap::new(),
            memberships: OnceLock::new(),
            account_grants: HashMap::new(),
            records: catalog::records(population, scale),
            user_segments: HashMap::new(),
            events: Vec::new(),
            schema: None,
            given: 0,
            edits: 0,
        }
    }

    pub(super) fn records(&self, list: List) -> &[Record] {
        self.records
            .get(&list)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    pub(super) fn record(&self, list: List, id: &str) -> Option<&Record> {
        self.records(list).iter().find(|record| record.id == id)
    }
}

/// One consistent state of everything.
#[derive(Debug, Clone, Copy)]
pub(super) struct World<'a> {
    pub people: People<'a>,
    pub books: &'a Books,
    pub scale: Scale,
}

impl World<'_> {
    pub(super) fn seed(&self) -> u64 {
        self.people.population.seed
    }
}
