//! Which batches of a scan commit together. A night changes a few users in each window, and a
//! commit of its own for those costs ten times what their rows do, so batches of which little is to
//! be written wait for company.
//!
//! Whatever waits is something: a window that came back empty carries who is missing from it, and
//! that it is done. So there is no "nothing" that a batch could be taken for; what waits is a batch
//! or is not there.

/// What can be committed together with others of its kind.
pub trait Batch {
    /// Takes in a later one.
    fn append(&mut self, later: Self);

    /// Whether its commit can wait for company.
    fn may_wait(&self) -> bool;
}

/// Batches that wait to be committed together.
#[derive(Debug)]
pub struct Together<T> {
    waiting: Option<T>,
}

impl<T> Default for Together<T> {
    fn default() -> Self {
        Self { waiting: None }
    }
}

impl<T: Batch> Together<T> {
    /// Whether something waits.
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Takes in a batch, and gives back what is to be committed now: everything that waits with it,
    /// or nothing yet.
    #[must_use = "what comes back is committed by nobody else"]
    pub fn take_in(&mut self, batch: T) -> Option<T> {
        let all = match self.waiting.take() {
            Some(mut waiting) => {
                waiting.append(batch);
                waiting
            }
            None => batch,
        };
        if all.may_wait() {
            self.waiting = Some(all);
            None
        } else {
            Some(all)
        }
    }

    /// Gives back all that waits.
    #[must_use = "what comes back is committed by nobody else"]
    pub fn take_all(&mut self) -> Option<T> {
        self.waiting.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Windows with how many rows of each are to be written.
    #[derive(Debug, PartialEq, Eq)]
    struct Windows(Vec<u32>);

    impl Batch for Windows {
        fn append(&mut self, mut later: Self) {
            self.0.append(&mut later.0);
        }

        fn may_wait(&self) -> bool {
            self.0.iter().sum::<u32>() < 10 && self.0.len() < 3
        }
    }

    #[test]
    fn a_window_without_rows_waits_and_is_committed_as_any_other() {
        let mut together = Together::default();
        assert_eq!(together.take_in(Windows(vec![0])), None);
        assert!(together.is_waiting());
        assert_eq!(together.take_all(), Some(Windows(vec![0])));
        assert_eq!(together.take_all(), None);
    }

    #[test]
    fn nothing_that_was_taken_in_is_lost() {
        let mut together = Together::default();
        assert_eq!(together.take_in(Windows(vec![0])), None);
        assert_eq!(together.take_in(Windows(vec![4])), None);
        assert_eq!(
            together.take_in(Windows(vec![0])),
            Some(Windows(vec![0, 4, 0]))
        );
        assert_eq!(together.take_in(Windows(vec![20])), Some(Windows(vec![20])));
        assert!(!together.is_waiting());
    }
}
