//! Who was erased, as far as that may still be known: by the keyed hash of the identifier.

use std::collections::HashSet;

use super::HashKey;

/// Those who were erased. Every writer of records about users asks it, and leaves theirs out.
#[derive(Debug, Default)]
pub struct Erased {
    key: Option<HashKey>,
    hashes: HashSet<[u8; 32]>,
}

impl Erased {
    /// Those with these keyed hashes.
    pub fn new(key: Option<HashKey>, hashes: HashSet<[u8; 32]>) -> Self {
        Self { key, hashes }
    }

    /// Whether nobody was; then there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Whether this user was erased.
    pub fn is(&self, user_id: &str) -> bool {
        self.find(user_id).is_some()
    }

    /// The keyed hash of this user, if they were erased.
    pub fn find(&self, user_id: &str) -> Option<[u8; 32]> {
        if self.hashes.is_empty() {
            return None;
        }
        let hash = self.key.as_ref()?.of_erased(user_id);
        self.hashes.contains(&hash).then_some(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_was_erased_is() {
        let key = HashKey::random();
        let hashes = HashSet::from([key.of_erased("ann")]);
        let erased = Erased::new(Some(key), hashes);
        assert!(erased.is("ann") && !erased.is("bert"));
        assert!(!Erased::default().is("ann"));
    }
}
