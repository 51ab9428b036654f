//! The second part of planning: whom a row is about.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use sqlx::PgPool;
use tokio::sync::mpsc;

use super::check::Checked;
use crate::bulk::error::Error;
use mirror::load::people::{self, Named};
use mirror::postgres::connect::Database;
use privacy::HashKey;
use record::By;

/// Lookups at once: they cost Postgres more than all else of planning, and a session of it does one
/// at a time.
const SESSIONS: u32 = 2;

/// A row, and whom it names.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) row: Checked,
    /// Those whom it names as it stands.
    pub(super) named: Vec<Named>,
    /// Whether it names nobody as it stands, and somebody in lower case: a hint for the person,
    /// never a guess of ours.
    pub(super) lower: bool,
}

/// Looks up users in the mirror.
#[derive(Debug)]
pub(super) struct Look {
    sessions: PgPool,
    by: By,
    /// The key under which the mirror keeps names as hashes, if it does.
    hashing: Option<HashKey>,
    slugs: Vec<Arc<str>>,
}

impl Look {
    pub(super) fn new(
        database: &Database,
        by: By,
        hashing: Option<HashKey>,
        slugs: Vec<Arc<str>>,
    ) -> Self {
        Self {
            sessions: people::reading(database, SESSIONS),
            by,
            hashing,
            slugs,
        }
    }

    /// Takes batches until there are no more, and hands them on in their order.
    pub(super) async fn all(
        self,
        batches: mpsc::Receiver<Vec<Checked>>,
        out: mpsc::Sender<Vec<Found>>,
    ) -> Result<(), Error> {
        let batches = stream::unfold(batches, async |mut batches| {
            Some((batches.recv().await?, batches))
        });
        let mut found = std::pin::pin!(
            batches
                .map(|batch| self.batch(batch))
                .buffered(SESSIONS as usize)
        );
        while let Some(found) = found.try_next().await? {
            // Whoever does not take it any more has failed, and says why.
            if out.send(found).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn batch(&self, batch: Vec<Checked>) -> Result<Vec<Found>, Error> {
        let found = batch.into_iter().map(|row| Found {
            row,
            named: Vec::new(),
            lower: false,
        });
        let mut found: Vec<Found> = found.collect();
        // Rows with a complaint are not looked up.
        let (places, names): (Vec<usize>, Vec<String>) = (found.iter().enumerate())
            .filter(|(_, found)| found.row.complaints.is_empty())
            .map(|(at, found)| (at, self.name(&found.row.identifier)))
            .unzip();
        for (place, one) in self.look_up(&places, &names).await? {
            found[place].named.push(one);
        }
        let (places, names): (Vec<usize>, Vec<String>) = (found.iter().enumerate())
            .filter(|(_, found)| {
                found.row.complaints.is_empty()
                    && found.named.is_empty()
                    && found.row.identifier.chars().any(char::is_uppercase)
            })
            .map(|(at, found)| (at, self.name(&found.row.identifier.to_lowercase())))
            .unzip();
        for (place, _) in self.look_up(&places, &names).await? {
            found[place].lower = true;
        }
        Ok(found)
    }

    /// Those whom the names name, each with the place of its row.
    async fn look_up(
        &self,
        places: &[usize],
        names: &[String],
    ) -> Result<impl Iterator<Item = (usize, Named)>, Error> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let slugs: Vec<&str> = self.slugs.iter().map(AsRef::as_ref).collect();
        let named = if names.is_empty() {
            Vec::new()
        } else {
            people::named(
                &mut *self.sessions.acquire().await?,
                &self.by,
                &names,
                &slugs,
            )
            .await?
        };
        Ok(named.into_iter().filter_map(|one| {
            let at = usize::try_from(one.ordinal - 1).ok()?;
            Some((*places.get(at)?, one))
        }))
    }

    /// A name as the mirror holds it.
    fn name(&self, identifier: &str) -> String {
        match &self.hashing {
            Some(key) => key.hash_value(identifier),
            None => identifier.to_owned(),
        }
    }
}
