//! Lists in order, the way `select … order by … limit … offset …` over changing data would answer
//! them: a sorted array per order, built when first needed and kept right under edits, so that
//! pages shift exactly as a database's would.

use super::behaviour::Order;
use super::identity;
use super::mix::{Purpose, draw};
use super::person::People;

/// Marks the second row of someone listed twice.
const SECOND: u32 = 1 << 31;

/// What a ranking is sorted by; descending orders read it backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Registered,
    Updated,
    UserId,
    Shuffled,
}

const ALL: [By; 4] = [By::Registered, By::Updated, By::UserId, By::Shuffled];

impl By {
    /// What an order is sorted by, and whether it is read backwards.
    pub(super) fn order(order: Order) -> (Self, bool) {
        match order {
            Order::RegisteredAsc => (Self::Registered, false),
            Order::RegisteredDesc => (Self::Registered, true),
            Order::UpdatedAsc => (Self::Updated, false),
            Order::UpdatedDesc => (Self::Updated, true),
            Order::UserId => (Self::UserId, false),
            Order::Shuffled => (Self::Shuffled, false),
        }
    }
}

type Key = (u64, u32);

/// Who is in a row.
pub(super) fn person(row: u32) -> u32 {
    row & !SECOND
}

fn key(people: People<'_>, by: By, row: u32) -> Key {
    let index = person(row);
    let first = match by {
        By::Registered => people.registered(index).map_or(u64::MAX, u64::from),
        By::Updated => u64::from(people.updated(index)),
        By::UserId => identity::sort_key(people.population.seed, index),
        By::Shuffled => draw(people.population.seed, Purpose::Shuffle, u64::from(row)),
    };
    (first, row.rotate_left(1))
}

/// Time filters in milliseconds since 1970, ends as asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Filter {
    pub since: Option<i64>,
    pub registered_since: Option<i64>,
    pub registered_before: Option<i64>,
    /// Whether the instants named are themselves included.
    pub inclusive: bool,
}

impl Filter {
    fn after(self, seconds: u32, bound: i64) -> bool {
        let millis = i64::from(seconds) * 1000;
        if self.inclusive {
            millis >= bound
        } else {
            millis > bound
        }
    }

    fn before(self, seconds: u32, bound: i64) -> bool {
        let millis = i64::from(seconds) * 1000;
        if self.inclusive {
            millis <= bound
        } else {
            millis < bound
        }
    }

    fn windowed(self) -> bool {
        self.registered_since.is_some() || self.registered_before.is_some()
    }

    fn takes_updated(self, people: People<'_>, index: u32) -> bool {
        self.since
            .is_none_or(|bound| self.after(people.updated(index), bound))
    }

    fn takes_registered(self, people: People<'_>, index: u32) -> bool {
        !self.windowed()
            || people.registered(index).is_some_and(|at| {
                self.registered_since
                    .is_none_or(|bound| self.after(at, bound))
                    && self
                        .registered_before
                        .is_none_or(|bound| self.before(at, bound))
            })
    }
}

/// One page of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Selected {
    pub rows: Vec<u32>,
    /// How many rows match altogether.
    pub total: usize,
}

/// The sorted arrays that have been needed so far.
#[derive(Debug, Default)]
pub(super) struct Rankings([Option<Vec<u32>>; 4]);

impl Rankings {
    pub(super) fn has(&self, by: By) -> bool {
        self.0[by as usize].is_some()
    }

    fn rows(&self, by: By) -> &[u32] {
        self.0[by as usize].as_deref().unwrap_or_default()
    }

    /// Sorts everybody alive, if that was not done before.
    pub(super) fn build(&mut self, people: People<'_>, by: By) {
        if self.has(by) {
            return;
        }
        let mut keyed = Vec::with_capacity(people.end() as usize);
        for index in (0..people.end()).filter(|index| people.is_living(*index)) {
            keyed.push(key(people, by, index));
            if people.population.is_duplicated(index) {
                keyed.push(key(people, by, index | SECOND));
            }
        }
        keyed.sort_unstable();
        self.0[by as usize] = Some(keyed.iter().map(|key| key.1.rotate_right(1)).collect());
    }

    /// Drops an array; who needs it next builds it.
    pub(super) fn forget(&mut self, by: By) {
        self.0[by as usize] = None;
    }

    /// Puts someone into every array built so far.
    pub(super) fn insert(&mut self, people: People<'_>, index: u32) {
        for by in ALL {
            self.insert_by(people, by, index);
        }
    }

    pub(super) fn insert_by(&mut self, people: People<'_>, by: By, index: u32) {
        let Some(rows) = &mut self.0[by as usize] else {
            return;
        };
        let twice = people
            .population
            .is_duplicated(index)
            .then_some(index | SECOND);
        for row in [Some(index), twice].into_iter().flatten() {
            let wanted = key(people, by, row);
            let at = rows.partition_point(|other| key(people, by, *other) < wanted);
            rows.insert(at, row);
        }
    }

    /// Takes someone out of every array; must be called while their facts are still the ones they
    /// were sorted by.
    pub(super) fn remove(&mut self, people: People<'_>, index: u32) {
        for by in ALL {
            self.remove_by(people, by, index);
        }
    }

    pub(super) fn remove_by(&mut self, people: People<'_>, by: By, index: u32) {
        let Some(rows) = &mut self.0[by as usize] else {
            return;
        };
        for row in [index, index | SECOND] {
            let wanted = key(people, by, row);
            let at = rows.partition_point(|other| key(people, by, *other) < wanted);
            if rows.get(at) == Some(&row) {
                rows.remove(at);
            }
        }
    }

    /// A person in the list, by rank; for choosing whom to edit.
    pub(super) fn nth(&self, draw: u64) -> Option<u32> {
        let rows = self.rows(By::Registered);
        let at = (draw as usize).checked_rem(rows.len())?;
        rows.get(at).copied().map(person)
    }

    /// The arrays a question needs; the caller builds them first.
    pub(super) fn needed(filter: Filter, order: Order) -> impl Iterator<Item = By> {
        let (by, _) = By::order(order);
        let unfiltered = !filter.windowed() && filter.since.is_none();
        [
            unfiltered.then_some(by),
            filter.windowed().then_some(By::Registered),
            filter.since.is_some().then_some(By::Updated),
        ]
        .into_iter()
        .flatten()
    }

    /// Answers one page in time proportional to the rows of its filter, or of the page when the
    /// order is the filter's own.
    pub(super) fn select(
        &self,
        people: People<'_>,
        filter: Filter,
        order: Order,
        offset: usize,
        limit: usize,
    ) -> Selected {
        let (by, backwards) = By::order(order);
        let window = filter.windowed().then(|| self.window(people, filter));
        let fresh = filter.since.map(|bound| {
            let rows = self.rows(By::Updated);
            &rows[rows.partition_point(|row| !filter.after(people.updated(person(*row)), bound))..]
        });
        let matching: Vec<u32> = match (window, fresh) {
            (None, None) => return page(self.rows(by), backwards, offset, limit),
            (Some(rows), None) if by == By::Registered => {
                return page(rows, backwards, offset, limit);
            }
            (None, Some(rows)) if by == By::Updated => return page(rows, backwards, offset, limit),
            (Some(rows), None) | (None, Some(rows)) => rows.to_vec(),
            (Some(window), Some(fresh)) if window.len() <= fresh.len() => window
                .iter()
                .copied()
                .filter(|row| filter.takes_updated(people, person(*row)))
                .collect(),
            (Some(_), Some(fresh)) => fresh
                .iter()
                .copied()
                .filter(|row| filter.takes_registered(people, person(*row)))
                .collect(),
        };
        let keyed = matching.iter().map(|row| key(people, by, *row)).collect();
        page_by_key(keyed, backwards, offset, limit)
    }

    fn window(&self, people: People<'_>, filter: Filter) -> &[u32] {
        let rows = self.rows(By::Registered);
        let dated = |row: &u32| people.registered(person(*row));
        let rows = &rows[..rows.partition_point(|row| dated(row).is_some())];
        let from = filter.registered_since.map_or(0, |bound| {
            rows.partition_point(|row| dated(row).is_some_and(|at| !filter.after(at, bound)))
        });
        let to = filter.registered_before.map_or(rows.len(), |bound| {
            rows.partition_point(|row| dated(row).is_some_and(|at| filter.before(at, bound)))
        });
        rows.get(from..to).unwrap_or_default()
    }
}

/// The page of rows that are in no order yet.
fn page_by_key(mut keyed: Vec<Key>, backwards: bool, offset: usize, limit: usize) -> Selected {
    let total = keyed.len();
    let from = if backwards {
        total.saturating_sub(offset + limit)
    } else {
        offset.min(total)
    };
    let to = if backwards {
        total.saturating_sub(offset)
    } else {
        (offset + limit).min(total)
    };
    // Only the page is sorted: everything before it and after it is merely put on its side.
    if to < total {
        keyed.select_nth_unstable(to);
    }
    let keyed = &mut keyed[..to];
    if from > 0 && from < to {
        keyed.select_nth_unstable(from);
    }
    let keyed = &mut keyed[from.min(to)..];
    keyed.sort_unstable();
    if backwards {
        keyed.reverse();
    }
    Selected {
        rows: keyed.iter().map(|key| key.1.rotate_right(1)).collect(),
        total,
    }
}

/// The page of rows that are in their order already.
fn page(rows: &[u32], backwards: bool, offset: usize, limit: usize) -> Selected {
    let total = rows.len();
    let rows = if backwards {
        rows.iter()
            .rev()
            .skip(offset)
            .take(limit)
            .copied()
            .collect()
    } else {
        rows.iter().skip(offset).take(limit).copied().collect()
    };
    Selected { rows, total }
}
