//! A mirror as a map: what the product does in Postgres, in a few lines, so that thousands of scans
//! can be tried.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use record::Item;
use scan::part::{Asking, Fetched, Stopped};
use scan::together::{Batch, Together};
use scan::verdict::{Proof, Verdict};
use scan::walk::{Part, Step, Walk};
use scan::whole::Learned;
use scan::window::Window;
use tokio::sync::mpsc;

use super::tenant::{Endless, Server};

/// What a scan is told.
#[derive(Debug, Clone)]
pub struct Manner {
    pub rpp: u64,
    pub in_flight: usize,
    /// After so many steps each, the scan is dropped and begun again with what was committed.
    pub interrupted_after: Vec<usize>,
}

/// How what was read is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    AsTheProduct,
    /// A batch in which no rows came is taken for none.
    ForgetsEmptyWindows,
}

/// Changed rows that are worth a commit, and windows that commit together: small, as the tenants
/// are.
const WORTH_A_COMMIT: usize = 6;
const WINDOWS_TOGETHER: usize = 4;

/// What is to be committed of some windows, compared with the mirror as it was when they came.
struct Compared {
    items: Vec<Item>,
    changed: usize,
    missing: Vec<String>,
    done: Vec<Window>,
}

impl Batch for Compared {
    fn append(&mut self, mut later: Self) {
        self.items.append(&mut later.items);
        self.changed += later.changed;
        self.missing.append(&mut later.missing);
        self.done.append(&mut later.done);
    }

    fn may_wait(&self) -> bool {
        self.changed < WORTH_A_COMMIT && self.done.len() < WINDOWS_TOGETHER
    }
}

#[derive(Debug, Default)]
pub struct Mirror {
    /// Registration by id.
    living: BTreeMap<String, Option<DateTime<Utc>>>,
    /// Who was sent in this scan.
    pub seen: BTreeSet<String>,
    undated: BTreeSet<String>,
    missing: BTreeSet<String>,
}

impl Mirror {
    /// A mirror that holds some people before the scan.
    pub fn holding(people: impl IntoIterator<Item = (String, Option<DateTime<Utc>>)>) -> Self {
        Self {
            living: people.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Every so many registrations, as the product cuts time by them.
    fn cuts(&self, rows: u64) -> Vec<DateTime<Utc>> {
        let mut dates: Vec<_> = self.living.values().flatten().copied().collect();
        dates.sort_unstable();
        let rows = ((rows as f64 * 0.98) as usize).max(1);
        dates.into_iter().skip(rows).step_by(rows).collect()
    }

    /// Scans, through all interruptions, to the end.
    pub async fn scan(
        &mut self,
        server: &Server,
        manner: &Manner,
        writing: Writing,
    ) -> Result<Verdict, Endless> {
        let mut committed = Vec::new();
        let mut interruptions = manner.interrupted_after.iter();
        loop {
            let asking = Asking {
                rpp: manner.rpp,
                since: None,
                may_be_undated: true,
                expected: None,
            };
            let mut walk = Walk::new(server.clone(), asking, Learned::default(), manner.in_flight);
            walk.resume(&committed);
            walk.cut_at(&self.cuts(manner.rpp));
            // Wide enough that nothing waits for a writer: writing is done here, between the steps.
            let (pages, mut received) = mpsc::channel(100_000);
            let steps = interruptions.next().copied().unwrap_or(usize::MAX);
            let ended = self
                .steps(
                    &mut walk,
                    (steps, writing),
                    &pages,
                    &mut received,
                    &mut committed,
                )
                .await?;
            if ended {
                self.end(&walk);
                return Ok(walk.verdict().0);
            }
        }
    }

    async fn steps(
        &mut self,
        walk: &mut Walk<Server>,
        (steps, writing): (usize, Writing),
        pages: &mpsc::Sender<Fetched>,
        received: &mut mpsc::Receiver<Fetched>,
        committed: &mut Vec<(Part, Proof)>,
    ) -> Result<bool, Endless> {
        // What waits here when the scan is interrupted is lost, as it is when a process is killed.
        let mut together = Together::default();
        for _ in 0..steps {
            let step = match walk.step(pages).await {
                Ok(step) => step,
                Err(Stopped::Source(endless)) => return Err(endless),
                Err(Stopped::Closed) => panic!("a task ended without a word"),
            };
            while let Ok(fetched) = received.try_recv() {
                self.take_in(fetched, &mut together, committed);
            }
            match step {
                None => {
                    if let Some(compared) = together.take_all()
                        && (writing == Writing::AsTheProduct || !compared.items.is_empty())
                    {
                        self.commit(compared, committed);
                    }
                    return Ok(true);
                }
                Some(Step::Learned) => {}
                Some(Step::Read(fetched)) => self.take_in(fetched, &mut together, committed),
            }
        }
        Ok(false)
    }

    fn take_in(
        &mut self,
        fetched: Fetched,
        together: &mut Together<Compared>,
        committed: &mut Vec<(Part, Proof)>,
    ) {
        let compared = self.compare(fetched);
        if let Some(ready) = together.take_in(compared) {
            self.commit(ready, committed);
        }
    }

    fn compare(&self, Fetched { page, completes }: Fetched) -> Compared {
        let sent: BTreeSet<&str> = page.items.iter().map(|item| item.id.as_str()).collect();
        let missing = self.living.iter().filter(|(id, registered)| {
            let belongs =
                completes.is_some_and(|window| registered.is_some_and(|at| window.contains(at)));
            belongs && !sent.contains(id.as_str())
        });
        let missing = missing.map(|(id, _)| id.clone()).collect();
        let is_new = |item: &&Item| self.living.get(&item.id) != Some(&item.registered_at);
        Compared {
            changed: page.items.iter().filter(is_new).count(),
            missing,
            done: completes.into_iter().collect(),
            items: page.items,
        }
    }

    fn commit(&mut self, compared: Compared, committed: &mut Vec<(Part, Proof)>) {
        self.missing.extend(compared.missing);
        for item in compared.items {
            if item.registered_at.is_none() {
                self.undated.insert(item.id.clone());
            }
            self.seen.insert(item.id.clone());
            self.living.insert(item.id, item.registered_at);
        }
        let done = compared.done.into_iter().map(Part::Window);
        committed.extend(done.map(|part| (part, Proof::Whole)));
    }

    /// Who is missing from the parts that were read by page.
    fn end(&mut self, walk: &Walk<Server>) {
        for (part, read) in walk.by_page() {
            let missing = self.living.iter().filter(|(id, registered)| {
                let belongs = match part {
                    Part::Undated => registered.is_none(),
                    Part::Window(window) => registered.is_some_and(|at| window.contains(at)),
                };
                belongs && !read.people.contains(id)
            });
            let missing: Vec<_> = missing.map(|(id, _)| id.clone()).collect();
            self.missing.extend(missing);
        }
    }

    /// Who would be asked for by id: missing, and not sent in any part of the scan.
    pub fn candidates(&self) -> BTreeSet<String> {
        let unseen = |id: &&String| !self.seen.contains(*id) && !self.undated.contains(*id);
        self.missing.iter().filter(unseen).cloned().collect()
    }
}
