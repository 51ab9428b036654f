//! When a file is complete: nothing tells, so it is when it has rested.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::{Duration, Instant, SystemTime};

/// How long a file must not have changed. Copies and uploads that go on write more often than this;
/// whoever cannot be sure writes under another name, and renames.
const REST: Duration = Duration::from_secs(5);

/// A file as it is seen in the inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arrived {
    pub(super) name: OsString,
    pub(super) stamp: Stamp,
}

/// What changes when a file is written to, or replaced by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) length: u64,
    pub(super) modified: SystemTime,
    pub(super) inode: u64,
}

/// The files that are waited for, and since when each is as it is, by our own clock: that of a file
/// server may be wrong.
#[derive(Debug, Default)]
pub(super) struct Watched(BTreeMap<OsString, (Stamp, Instant)>);

impl Watched {
    /// Notes what is there now; the files that are complete, the oldest first.
    pub(super) fn complete(&mut self, now_there: Vec<Arrived>, now: Instant) -> Vec<Arrived> {
        self.0
            .retain(|name, _| now_there.iter().any(|arrived| arrived.name == *name));
        let mut complete = Vec::new();
        for arrived in now_there {
            let since = match self.0.get(&arrived.name) {
                Some((stamp, since)) if *stamp == arrived.stamp => *since,
                Some(_) | None => now,
            };
            self.0.insert(arrived.name.clone(), (arrived.stamp, since));
            if now.duration_since(since) >= REST {
                complete.push(arrived);
            }
        }
        complete.sort_by(|a, b| (a.stamp.modified, &a.name).cmp(&(b.stamp.modified, &b.name)));
        complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, length: u64, modified: u64) -> Arrived {
        Arrived {
            name: name.into(),
            stamp: Stamp {
                length,
                modified: SystemTime::UNIX_EPOCH + Duration::from_secs(modified),
                inode: 1,
            },
        }
    }

    #[test]
    fn a_file_is_complete_when_it_has_rested() {
        let mut watched = Watched::default();
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert!(
            watched
                .complete(vec![file("a.csv", 1, 0)], at(0))
                .is_empty()
        );
        assert!(
            watched
                .complete(vec![file("a.csv", 2, 0)], at(4))
                .is_empty()
        );
        assert!(
            watched
                .complete(vec![file("a.csv", 2, 0)], at(8))
                .is_empty()
        );
        // The same length, written again.
        assert!(
            watched
                .complete(vec![file("a.csv", 2, 1)], at(9))
                .is_empty()
        );
        assert_eq!(watched.complete(vec![file("a.csv", 2, 1)], at(14)).len(), 1);
        // Gone and back is another one.
        assert!(watched.complete(Vec::new(), at(15)).is_empty());
        assert!(
            watched
                .complete(vec![file("a.csv", 2, 1)], at(30))
                .is_empty()
        );
    }

    #[test]
    fn the_oldest_comes_first() {
        let mut watched = Watched::default();
        let files = || {
            vec![
                file("a.csv", 1, 9),
                file("c.csv", 1, 5),
                file("b.csv", 1, 5),
            ]
        };
        let begin = Instant::now();
        watched.complete(files(), begin);
        let complete = watched.complete(files(), begin + REST);
        let names: Vec<_> = complete
            .iter()
            .map(|file| file.name.to_str().unwrap())
            .collect();
        assert_eq!(names, ["b.csv", "c.csv", "a.csv"]);
    }
}
