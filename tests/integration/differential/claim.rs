//! What a run claims, and whether that is so.
//!
//! A claim is about what was so from the begin of the scan to its end: what was there all the while
//! is in the mirror as it was; what was not there all the while is not. Where nobody changed
//! anything both together are everything.

use std::collections::BTreeMap;
use std::fmt;

use super::tables::{Below, EVENTS, Held, Snapshot, Table, of_jobs};
use crate::support::Mirror;
use crate::support::truth::{self, Others};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A claim, and a row of the tenant is not in the mirror, or is marked as gone there.
    Missing,
    /// A claim, and a row that is gone from the tenant lives on in the mirror.
    Lingers,
    /// A claim, and a row is not as the tenant has it.
    Differs,
    /// A row was marked as gone that is there.
    FalseTombstone,
    /// A row lives below one that is marked as gone.
    Orphan,
    /// A brake held a table, and rows of it were marked as gone all the same.
    BrakeLeaks,
    /// An export that showed nobody is called proof, though the mirror had living users.
    ProvenByNothing,
    /// The program ended as it should not, or a run failed where nothing went wrong.
    Ending,
    /// A run asks for ever.
    Endless,
    /// Run after run over a tenant at rest comes to no claim.
    NeverClaims,
}

/// Something that is wrong.
#[derive(Debug, Clone)]
pub struct Wrong {
    pub kind: Kind,
    pub table: String,
    pub says: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}: {}", self.kind, self.table, self.says)
    }
}

impl Wrong {
    pub fn new(kind: Kind, table: &str, says: impl Into<String>) -> Self {
        Self {
            kind,
            table: table.into(),
            says: says.into(),
        }
    }

    /// Rows that have the same wrong with them.
    fn rows(kind: Kind, table: &Table, rows: &[&str]) -> Option<Self> {
        const SHOWN: usize = 12;
        let shown = rows
            .iter()
            .take(SHOWN)
            .copied()
            .collect::<Vec<_>>()
            .join("; ");
        (!rows.is_empty())
            .then(|| Self::new(kind, table.name, format!("{} rows: {shown}", rows.len())))
    }
}

/// What a tenant held when something began and when it ended.
#[derive(Debug, Clone)]
pub struct Stretch {
    pub began: Snapshot,
    pub ended: Snapshot,
    /// What the mirror held at the begin: who comes and goes meanwhile may have been read.
    pub held: Held,
}

impl Stretch {
    /// Whether a row was there all the while.
    fn had(&self, table: &Table, name: &str) -> bool {
        self.began.has(table.name, name) && self.ended.has(table.name, name)
    }

    /// Whether a row was there at no time.
    fn lacked(&self, table: &Table, name: &str) -> bool {
        !self.began.has(table.name, name) && !self.ended.has(table.name, name)
    }

    /// Rows that were there all the while and did not change, and can be compared word for word.
    fn unchanged<'a>(&'a self, table: &'a Table) -> impl Iterator<Item = (&'a str, &'a str)> {
        let rows = self.began.rows(table.name).iter();
        let same = rows.filter(|(name, row)| {
            row.is_plain && self.ended.rows(table.name).get(*name) == Some(*row)
        });
        same.map(|(name, row)| (name.as_str(), row.line.as_str()))
    }
}

/// A claim to be looked into.
#[derive(Debug)]
pub struct Claim<'a> {
    pub tables: Vec<&'static Table>,
    /// Everything was read, so that what is gone is known as well.
    pub is_full: bool,
    pub stretch: &'a Stretch,
    /// The claim before this, if no run of the job was in between.
    pub before: Option<&'a Stretch>,
    /// Tables whose rows the API shows under no identifier, or has some awkward ones in.
    pub not_word_for_word: &'a [&'static str],
    /// What the run says itself.
    pub reason: &'a str,
}

impl Claim<'_> {
    /// What is wrong with it.
    pub async fn wrong(&self, held: &Held, mirror: &Mirror) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        for table in &self.tables {
            wrong.extend(self.missing(table, held));
            if self.is_full && table.forgets && !self.is_undecided(table) {
                wrong.extend(self.lingering(table, held));
            }
            wrong.extend(self.different(table, held, mirror).await);
        }
        wrong
    }

    /// Whether the parent of a row is there on both sides: what is below it is not for this claim
    /// otherwise.
    fn has_parent(&self, table: &Table, parent: Option<&str>, held: &Held) -> bool {
        match (table.below, parent) {
            (Below::Nothing, _) => true,
            (Below::Users | Below::Accounts, None) => false,
            (Below::Users | Below::Accounts, Some(parent)) => {
                let parents = table.below.table().expect("it is below something");
                let there = |snapshot: &Snapshot| {
                    let parent = snapshot.rows(parents).get(parent);
                    parent.is_some_and(|parent| parent.is_plain || table.below == Below::Accounts)
                };
                held.lives(parents, parent)
                    && there(&self.stretch.began)
                    && there(&self.stretch.ended)
            }
        }
    }

    /// Rows that live in the mirror and are gone from the tenant, of tables that forget.
    pub fn lingers(&self, held: &Held) -> Vec<Wrong> {
        let tables = self.tables.iter().filter(|table| table.forgets);
        tables
            .filter_map(|table| self.lingering(table, held))
            .collect()
    }

    /// Whether the run says that it left the missing rows of a table alone, since items without a
    /// key may be those.
    fn is_undecided(&self, table: &Table) -> bool {
        let about = format!("{}: ", table.name);
        let mut parts = self.reason.split("; ");
        parts.any(|part| part.starts_with(&about) && part.contains("items have no key"))
    }

    fn missing(&self, table: &Table, held: &Held) -> Option<Wrong> {
        let rows = self.stretch.began.rows(table.name).iter();
        let missing: Vec<&str> = rows
            .filter(|(name, row)| {
                self.stretch.had(table, name)
                    && self.has_parent(table, row.parent.as_deref(), held)
                    && !held.lives(table.name, name)
            })
            .map(|(name, _)| name.as_str())
            .collect();
        Wrong::rows(Kind::Missing, table, &missing)
    }

    fn lingering(&self, table: &Table, held: &Held) -> Option<Wrong> {
        let is_known_to_be_gone = |name: &str| {
            let twice = self.before.is_some_and(|before| before.lacked(table, name));
            self.stretch.held.lives(table.name, name)
                && self.stretch.lacked(table, name)
                && (table.has_witness || twice)
        };
        let lingering: Vec<&str> = held
            .living(table.name)
            .iter()
            .filter(|(name, parent)| {
                is_known_to_be_gone(name) && self.has_parent(table, parent.as_deref(), held)
            })
            .map(|(name, _)| name.as_str())
            .collect();
        Wrong::rows(Kind::Lingers, table, &lingering)
    }

    /// Rows that are in the mirror, and are not as they were all the while.
    async fn different(&self, table: &Table, held: &Held, mirror: &Mirror) -> Option<Wrong> {
        // Foreign keys are compared with their users.
        if self.not_word_for_word.contains(&table.name)
            || table.name == EVENTS.name
            || table.name == "user_foreign_keys"
        {
            return None;
        }
        let parent_of = |name: &str| {
            self.stretch
                .began
                .rows(table.name)
                .get(name)?
                .parent
                .as_deref()
        };
        let lines: Vec<&str> = self
            .stretch
            .unchanged(table)
            .filter(|(name, _)| {
                held.lives(table.name, name) && self.has_parent(table, parent_of(name), held)
            })
            .map(|(_, line)| line)
            .collect();
        if lines.is_empty() {
            return None;
        }
        let differences = if table.name == "users" {
            let lines: Vec<String> = lines.into_iter().map(str::to_owned).collect();
            truth::differences_from(&lines, Others::AreLeftAlone, mirror).await
        } else {
            truth::lists::differences_from(&lines, Others::AreLeftAlone, mirror, table.name).await
        };
        (!differences.is_empty())
            .then(|| Wrong::new(Kind::Differs, table.name, differences.join("; ")))
    }
}

/// Rows that were marked as gone meanwhile and were there all the while: wrong whatever was
/// claimed. Of a table that had one row at most, an answer without it says nothing else than that
/// it is gone. What is below a parent goes with it: whether the parent was rightly marked is asked
/// of its own table, and one that came back since has not been seen by the job of that table yet.
pub fn false_tombstones(
    tables: &[&Table],
    before: &Held,
    now: &Held,
    stretch: &Stretch,
) -> Vec<Wrong> {
    let wrong = tables.iter().filter_map(|table| {
        if before.living(table.name).len() <= 1 {
            return None;
        }
        let parents = table.below.table();
        let goes_with_parent = |name: &str| {
            let parent = before.living(table.name).get(name)?.as_deref()?;
            Some(!now.lives(parents?, parent))
        };
        let marked: Vec<&str> = now
            .dead(table.name)
            .filter(|name| {
                before.lives(table.name, name)
                    && stretch.had(table, name)
                    && goes_with_parent(name) != Some(true)
            })
            .collect();
        Wrong::rows(Kind::FalseTombstone, table, &marked)
    });
    wrong.collect()
}

/// Rows that live below one that is marked as gone, where both are of one record.
pub fn orphans(held: &Held) -> Vec<Wrong> {
    let of_users =
        of_jobs(&[super::tables::Job::Users]).filter(|table| table.below == Below::Users);
    let wrong = of_users.filter_map(|table| {
        let dead: BTreeMap<&str, ()> = held.dead("users").map(|id| (id, ())).collect();
        let orphans: Vec<&str> = held
            .living(table.name)
            .iter()
            .filter(|(_, parent)| {
                parent
                    .as_ref()
                    .is_some_and(|parent| dead.contains_key(parent.as_str()))
            })
            .map(|(name, _)| name.as_str())
            .collect();
        Wrong::rows(Kind::Orphan, table, &orphans)
    });
    wrong.collect()
}
