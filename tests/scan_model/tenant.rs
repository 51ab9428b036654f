//! A tenant that changes between any two of its answers, and a server with habits of its own in
//! front of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use record::{Envelope, Grants, HASH_BYTES, Item, Page, Piece, Query};
use scan::Source;

/// In which order a server lists people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Registered,
    LatestFirst,
    Updated,
    LatestUpdatedFirst,
    Any,
}

/// What a server's count means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    Total,
    Page,
    Absent,
}

/// What a server says about the size of its pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    Truth,
    WhatWasAsked,
    Nothing,
}

/// A server's answers to the open questions of the contract (its section 13).
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    pub order: Order,
    pub inclusive: bool,
    pub clamp: Option<u64>,
    pub count: Count,
    pub says: Says,
    pub links: bool,
    /// It reads the page number.
    pub pages: bool,
    /// It reads the registration filter.
    pub filters: bool,
    /// Every so manyth person is listed twice; none at nought.
    pub twice: usize,
}

/// How many people are edited after each answer, at most.
#[derive(Debug, Clone, Copy)]
pub struct Drift {
    pub updates: u64,
    pub creations: u64,
    pub deletions: u64,
}

#[derive(Debug, Clone)]
pub struct Person {
    pub id: usize,
    pub registered: Option<i64>,
    updated: u64,
    pub alive: bool,
    /// Nobody touched it since the scan began.
    pub untouched: bool,
}

#[derive(Debug)]
pub struct Tenant {
    pub people: Vec<Person>,
    habits: Habits,
    drift: Drift,
    now: i64,
    state: u64,
    pub answers: usize,
}

/// A tenant that several tasks ask.
#[derive(Debug, Clone)]
pub struct Server(Arc<Mutex<Tenant>>);

/// More answers than any scan of so few people needs: it does not end.
const ENDLESS: usize = 10_000;

/// The scan does not end.
#[derive(Debug)]
pub struct Endless;

pub fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).expect("a time")
}

pub fn name(id: usize) -> String {
    format!("user-{id}")
}

impl Server {
    pub fn new(registered: &[Option<i64>], habits: Habits, drift: Drift, seed: u64) -> Self {
        let people = registered
            .iter()
            .enumerate()
            .map(|(id, registered)| Person {
                id,
                registered: *registered,
                updated: id as u64 * 7 % 1_000,
                alive: true,
                untouched: true,
            });
        let now = registered.iter().flatten().max().copied().unwrap_or(0) + 100;
        Self(Arc::new(Mutex::new(Tenant {
            people: people.collect(),
            habits,
            drift,
            now,
            state: seed,
            answers: 0,
        })))
    }

    pub fn tenant(&self) -> MutexGuard<'_, Tenant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Server {
    type Error = Endless;

    fn endpoint(&self) -> &'static str {
        "GET /v3/user-export"
    }

    async fn page(&self, query: Query) -> Result<Page, Endless> {
        // Whoever else is under way gets a turn, so that answers and edits mix.
        tokio::task::yield_now().await;
        let mut tenant = self.tenant();
        if tenant.answers == ENDLESS {
            return Err(Endless);
        }
        let page = tenant.answer(query);
        tenant.drift();
        Ok(page)
    }
}

impl Tenant {
    fn draw(&mut self, below: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % below.max(1)
    }

    fn drift(&mut self) {
        self.now += 1;
        for _ in 0..self.draw(self.drift.updates + 1) {
            if let Some(id) = self.somebody() {
                self.people[id].updated = 1_000 + self.now as u64;
                self.people[id].untouched = false;
            }
        }
        for _ in 0..self.draw(self.drift.creations + 1) {
            let person = Person {
                id: self.people.len(),
                registered: Some(self.now),
                updated: 1_000 + self.now as u64,
                alive: true,
                untouched: false,
            };
            self.people.push(person);
        }
        for _ in 0..self.draw(self.drift.deletions + 1) {
            // Counts tell whether anybody lacks a date unless as many come between two answers as
            // lack one; so many stay.
            if let Some(id) = self
                .somebody()
                .filter(|id| self.people[*id].registered.is_some())
            {
                self.people[id].alive = false;
            }
        }
    }

    fn somebody(&mut self) -> Option<usize> {
        (0..8).find_map(|_| {
            let id = self.draw(self.people.len() as u64) as usize;
            self.people.get(id).filter(|person| person.alive)?;
            Some(id)
        })
    }

    fn matches(&self, person: &Person, query: Query) -> bool {
        let (since, before) = (query.registered_since, query.registered_before);
        if !self.habits.filters || (since.is_none() && before.is_none()) {
            return true;
        }
        let Some(registered) = person.registered.map(at) else {
            return false;
        };
        let within = |bound: Option<DateTime<Utc>>, inside: fn(TimeDelta) -> bool| {
            bound.is_none_or(|bound| {
                inside(registered - bound) || (self.habits.inclusive && registered == bound)
            })
        };
        within(since, |past| past > TimeDelta::zero())
            && within(before, |past| past < TimeDelta::zero())
    }

    /// Everybody who matches, in the server's order.
    fn listed(&self, query: Query) -> Vec<&Person> {
        let mut listed: Vec<&Person> = Vec::new();
        for person in self.people.iter().filter(|person| person.alive) {
            if self.matches(person, query) {
                listed.push(person);
                if self.habits.twice > 0 && person.id % self.habits.twice == 0 {
                    listed.push(person);
                }
            }
        }
        let scattered = |id: usize| (id as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        match self.habits.order {
            Order::Registered => listed.sort_by_key(|person| person.registered),
            Order::LatestFirst => listed.sort_by_key(|person| std::cmp::Reverse(person.registered)),
            Order::Updated => listed.sort_by_key(|person| person.updated),
            Order::LatestUpdatedFirst => {
                listed.sort_by_key(|person| std::cmp::Reverse(person.updated));
            }
            Order::Any => listed.sort_by_key(|person| scattered(person.id)),
        }
        listed
    }

    fn answer(&mut self, query: Query) -> Page {
        self.answers += 1;
        let size = query.rpp.min(self.habits.clamp.unwrap_or(u64::MAX));
        let number = if self.habits.pages { query.page } else { 1 };
        let listed = self.listed(query);
        let total = listed.len();
        let from = ((number - 1) * size) as usize;
        let page: Vec<_> = listed.into_iter().skip(from).take(size as usize).collect();
        let envelope = Envelope {
            count: match self.habits.count {
                Count::Total => Some(total as u64),
                Count::Page => Some(page.len() as u64),
                Count::Absent => None,
            },
            rpp: match self.habits.says {
                Says::Truth => Some(size),
                Says::WhatWasAsked => Some(query.rpp),
                Says::Nothing => None,
            },
            next: self.habits.links && from + page.len() < total,
        };
        Page {
            items: page.into_iter().map(item).collect(),
            rejects: Vec::new(),
            envelope,
            answered_at: Some(at(self.now)),
            refused: false,
            not_found: false,
            may_be_cut: false,
        }
    }
}

fn item(person: &Person) -> Item {
    Item {
        id: name(person.id),
        registered_at: person.registered.map(at),
        from_number: false,
        grants: Grants::Told,
        hash: [0; HASH_BYTES],
        text: Piece::default(),
        issues: Vec::new(),
    }
}
