//! Memory that is used again.
//!
//! Pages of users come and go hundreds of times a second, half a MiB each, and their records as
//! much again. Memory that is given back to the kernel comes from it cleared, page by page, which
//! takes a tenth of the time of a night without changes; memory that an allocator keeps just in
//! case grows with the tenant.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Memory of one kind that nothing is in.
#[derive(Debug, Default)]
pub struct Spare {
    most: usize,
    largest: usize,
    free: Mutex<Vec<Vec<u8>>>,
}

impl Spare {
    /// Keeps so many, each of so many bytes at most.
    pub fn new(most: usize, largest: usize) -> Self {
        Self {
            most,
            largest,
            free: Mutex::default(),
        }
    }

    /// One with nothing in it, of whatever size.
    pub fn take(&self) -> Vec<u8> {
        self.free().pop().unwrap_or_default()
    }

    /// Takes one back. What is in it is gone.
    pub fn give_back(&self, mut memory: Vec<u8>) {
        memory.clear();
        let mut free = self.free();
        if free.len() < self.most && (1..=self.largest).contains(&memory.capacity()) {
            free.push(memory);
        }
    }

    fn free(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        // Whoever panicked meanwhile left a list of free memory behind.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_back_is_used_again_unless_there_is_enough_or_it_is_large() {
        let spare = Spare::new(1, 1_000);
        let first = b"somebody".to_vec();
        let (place, capacity) = (first.as_ptr(), first.capacity());
        spare.give_back(first);
        spare.give_back(vec![0; 10]);
        let again = spare.take();
        assert_eq!((again.as_ptr(), again.capacity()), (place, capacity));
        assert!(again.is_empty());
        assert_eq!(spare.take().capacity(), 0, "one is kept and no more");
        spare.give_back(vec![0; 1_001]);
        assert_eq!(spare.take().capacity(), 0);
    }
}
