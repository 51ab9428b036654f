//! Rows that the API did not show: what is noted of them, when they are held back, and when they
//! are marked as gone. The decision is made for the whole of a table before its first row is
//! marked.

use super::store::{self, Store};
use super::{Read, Stop, Work};
use crate::sync::ALWAYS_ALLOWED;
use ::scan::verdict::Verdict;
use mirror::state::candidates::{self, Among};
use mirror::state::scan_findings::{self, Note};
use mirror::state::vanishing;
use record::table::Table;

/// What a run heard of the rows below those parents that it asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visited {
    /// Rows that were known.
    pub(super) known: i64,
    /// Those of them that were not shown.
    pub(super) missing: i64,
}

impl Visited {
    /// Whether so many vanished that a fault of the API is as likely as anything; nothing where
    /// nothing was known that could vanish.
    fn vanishes(self) -> Option<bool> {
        (self.known > 0).then_some(self.missing.saturating_mul(2) >= self.known)
    }
}

impl Work<'_> {
    /// Notes the keys that are missing from a list that was read as a whole.
    pub(super) async fn miss(&self, table: &Table, gone: &[String]) -> Result<(), Stop> {
        let Store::Merge(run) = &self.store else {
            return Ok(());
        };
        let mut transaction = run.transaction().await?;
        let keys: Vec<Vec<String>> = gone.iter().map(|key| vec![key.clone()]).collect();
        let among = Among::Everything;
        candidates::miss(&mut transaction, table, run.run_id, among, &keys).await?;
        Ok(transaction.commit().await?)
    }

    /// Marks what two runs have missed, unless there is more missing than may be: then all of it is
    /// held back, and this run is no witness. What earlier runs missed counts too: a brake is about
    /// an incident and not about a run.
    pub(super) async fn settle(
        &self,
        table: &Table,
        living: i64,
        visited: Option<Visited>,
        read: &mut Read,
    ) -> Result<(), Stop> {
        let Store::Merge(run) = &self.store else {
            return Ok(());
        };
        let mut transaction = run.transaction().await?;
        let missing = candidates::count(&mut transaction, table).await?;
        // Within a budget a run sees a part of the parents only, so a fault that lasts shows in
        // many runs, a few rows in each.
        let vanishes = visited.and_then(Visited::vanishes);
        let in_a_row = match vanishes {
            Some(true) => missing + vanishing::marked(&mut transaction, table).await?,
            Some(false) => {
                vanishing::over(&mut transaction, table).await?;
                0
            }
            None => 0,
        };
        if missing == 0 {
            return Ok(transaction.commit().await?);
        }
        let confirmed = match self.plan.confirmed {
            Some(scan_id) => candidates::confirmed(&mut *transaction, table, scan_id).await?,
            None => 0,
        };
        let allowed = self.env.brakes.deletions_without_witness(living);
        let is_one_incident = confirmed == 0 && in_a_row > ALWAYS_ALLOWED;
        if missing - confirmed > allowed || is_one_incident {
            candidates::hold_back(&mut *transaction, table, self.plan.scan_id).await?;
            transaction.commit().await?;
            let name = &table.name;
            read.braked.push(if is_one_incident {
                format!(
                    "{missing} living rows of {name} are missing from the tenant, {in_a_row} have vanished in runs in a row whose answers lacked half of what is known or more, and {ALWAYS_ALLOWED} may so: none was marked as deleted"
                )
            } else {
                format!(
                    "{missing} living rows of {name} are missing from the tenant, and {allowed} may be: none was marked as deleted"
                )
            });
            return Ok(());
        }
        if confirmed > 0 {
            vanishing::over(&mut transaction, table).await?;
        }
        transaction.commit().await?;
        let marked = store::tombstone_missed(run, table, self.plan.confirmed).await?;
        if vanishes == Some(true) && confirmed == 0 && marked > 0 {
            let mut transaction = run.transaction().await?;
            vanishing::add(&mut transaction, table, marked).await?;
            transaction.commit().await?;
        }
        if missing > marked {
            read.judged.push((
                Verdict::Agreed,
                format!(
                    "{}: {} rows were not shown, and are marked as deleted if the next run misses them too",
                    table.name,
                    missing - marked
                ),
            ));
        }
        Ok(())
    }

    /// How many of these keys of a table are confirmed to be gone.
    pub(super) async fn confirmed(&self, table: &str, keys: &[String]) -> Result<i64, Stop> {
        let Some(scan_id) = self.plan.confirmed else {
            return Ok(0);
        };
        let held = held(table, keys);
        let ids: Vec<&str> = held.iter().map(String::as_str).collect();
        let having = scan_findings::having(self.store.pool(), scan_id, Note::Missing, &ids).await?;
        Ok(having.len() as i64)
    }

    /// Notes keys of a table as held back, so that they can be confirmed.
    pub(super) async fn hold_back(&self, table: &str, keys: &[String]) -> Result<(), Stop> {
        let held = held(table, keys);
        let ids: Vec<&str> = held.iter().map(String::as_str).collect();
        Ok(scan_findings::add(self.store.pool(), self.plan.scan_id, Note::Missing, &ids).await?)
    }
}

/// Keys as they are noted: one job may hold back rows of several tables.
fn held(table: &str, keys: &[String]) -> Vec<String> {
    keys.iter().map(|key| format!("{table} {key}")).collect()
}
