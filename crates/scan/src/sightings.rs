//! Who was seen in the answers, and whether these fit together.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::window::Window;
use record::{Item, Page};

/// Who was seen, eight bytes each: memory stays small where a whole tenant has to be read by page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sightings(HashSet<u64>);

impl Sightings {
    /// Everybody on a page, storable or not: two pages of rejects are different pages.
    pub(super) fn on(page: &Page) -> Self {
        let items = page.items.iter().map(|item| short(item.id.as_str()));
        let rejects = page.rejects.iter().map(|reject| match &reject.id {
            Some(id) => short(id.as_str()),
            None => short(&reject.content_hash),
        });
        Self(items.chain(rejects).collect())
    }

    /// Whether somebody with this id was seen. Two of a million ids share their eight bytes once in
    /// thirty million scans, and then somebody who is gone stays until the next one.
    pub fn contains(&self, id: &str) -> bool {
        self.0.contains(&short(id))
    }

    pub(super) fn shows(&self, who: Shown) -> bool {
        self.0.contains(&who.id)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many records of this page have the id of another one on it, and differ from it.
    pub(super) fn differing(&self, page: &Page) -> u64 {
        // As many ids as records: nobody is there twice.
        if self.0.len() == page.len() {
            return 0;
        }
        let mut hashes = HashMap::new();
        let items = page.items.iter();
        let differ = items.filter(|item| {
            let before = hashes.insert(item.id.as_str(), item.hash);
            before.is_some_and(|before| before != item.hash)
        });
        differ.count() as u64
    }

    pub(super) fn add(&mut self, others: &Self) {
        self.0.extend(&others.0);
    }

    pub(super) fn is_subset(&self, others: &Self) -> bool {
        self.0.is_subset(&others.0)
    }

    /// How many of these are in one of the others.
    pub(super) fn shared_with<const N: usize>(&self, others: [&Self; N]) -> usize {
        let is_there = |id: &&u64| others.iter().any(|other| other.0.contains(id));
        self.0.iter().filter(is_there).count()
    }
}

/// Somebody in an answer that was too large: when they registered, in seconds since 1970, and their
/// id in eight bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shown {
    second: i64,
    id: u64,
}

impl Shown {
    /// Who is in this record, if it has a date that a filter knows.
    pub fn of(item: &Item) -> Option<Self> {
        if item.from_number {
            return None;
        }
        let second = item.registered_at?.timestamp();
        Some(Self {
            second,
            id: short(item.id.as_str()),
        })
    }
}

/// So few people may be gone for any reason when their window is read.
const FEW: usize = 3;

/// So many windows may lack most of those who were shown in them: many may have been deleted
/// meanwhile.
const MOST_CONTRADICTED: u32 = 1;

/// Whether what is cut explains what was cut: who was shown in an answer that was too large has to
/// be there when that time is read to its end. A server that makes up its answers could be asked
/// for ever smaller windows.
#[derive(Debug, Default)]
pub struct Explained {
    /// Who was shown and whose time is not read yet, with the window whose answer showed them.
    waiting: BTreeMap<Shown, Window>,
    contradicted: u32,
}

impl Explained {
    /// Takes in who was shown in the answer to a window that was too large.
    pub fn add(&mut self, window: Window, shown: impl IntoIterator<Item = Shown>) {
        let shown = shown.into_iter().map(|shown| (shown, window));
        self.waiting.extend(shown);
    }

    /// A window was read to its end, and these were in it; none if that is not known here. Answers
    /// who was shown for its time and is not among them, by the window whose answer showed them.
    pub fn read(&mut self, window: Window, seen: Option<&Sightings>) -> Vec<(Shown, Window)> {
        let second = |at: chrono::DateTime<chrono::Utc>| Shown {
            second: at.timestamp(),
            id: 0,
        };
        let mut inside = match window.from {
            Some(from) => self.waiting.split_off(&second(from)),
            None => std::mem::take(&mut self.waiting),
        };
        if let Some(until) = window.until {
            self.waiting.append(&mut inside.split_off(&second(until)));
        }
        let Some(seen) = seen else {
            return Vec::new();
        };
        let among = inside.len();
        let missing = inside.into_iter().filter(|(shown, _)| !seen.shows(*shown));
        let missing: Vec<(Shown, Window)> = missing.collect();
        if missing.len() >= FEW && missing.len() * 2 > among {
            self.contradicted += 1;
        }
        missing
    }

    /// Whether the answers contradict each other.
    pub fn is_contradicted(&self) -> bool {
        self.contradicted > MOST_CONTRADICTED
    }

    /// Forgets who was shown.
    pub fn clear(&mut self) {
        self.waiting.clear();
    }
}

fn short(id: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn window(from: i64, until: i64) -> Window {
        Window {
            from: DateTime::from_timestamp(from, 0),
            until: DateTime::from_timestamp(until, 0),
        }
    }

    fn seen(ids: &[&str]) -> Sightings {
        Sightings(ids.iter().map(|id| short(*id)).collect())
    }

    fn shown(second: i64, ids: &[&str]) -> Vec<Shown> {
        let of = |id: &&str| Shown {
            second,
            id: short(*id),
        };
        ids.iter().map(of).collect()
    }

    #[test]
    fn who_was_shown_and_is_there_contradicts_nothing() {
        let mut explained = Explained::default();
        for second in 0..10 {
            explained.add(Window::ALL, shown(second, &["a", "b", "c", "d"]));
            // One left, one came.
            explained.read(
                window(second, second + 1),
                Some(&seen(&["a", "b", "c", "e"])),
            );
        }
        assert!(!explained.is_contradicted() && explained.waiting.is_empty());
    }

    #[test]
    fn others_than_were_shown_contradict_when_it_happens_again_and_again() {
        let mut explained = Explained::default();
        explained.add(
            Window::ALL,
            (0..5).flat_map(|second| shown(second, &["a", "b", "c", "d"])),
        );
        for second in 0..2 {
            assert!(!explained.is_contradicted());
            explained.read(window(second, second + 1), Some(&seen(&["d", "e", "f"])));
        }
        assert!(explained.is_contradicted());
        assert_eq!(explained.waiting.len(), 12);
    }

    #[test]
    fn a_window_that_others_read_is_only_done() {
        let mut explained = Explained::default();
        for second in 0..5 {
            explained.add(Window::ALL, shown(second, &["a", "b", "c"]));
            explained.read(window(second, second + 1), None);
        }
        explained.add(Window::ALL, shown(7, &["a"]));
        explained.read(Window::ALL, None);
        assert!(!explained.is_contradicted() && explained.waiting.is_empty());
    }
}
