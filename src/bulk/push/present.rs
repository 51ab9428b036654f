//! The users of a chunk as they are at this moment. Neighbours by registration come from the export
//! in an answer or two where that is less to ask for than each of them by id; whoever does not show
//! there is asked for by id, so nothing rests on what the export leaves out.

use std::collections::{BTreeMap, HashSet};

use chrono::TimeDelta;
use futures::{StreamExt, TryStreamExt, stream};

use super::Push;
use crate::bulk::Error;
use clock::time;
use mirror::load::people;
use mirror::state::bulk::rows::Row;
use record::Query;
use zephr::person::{Person, person};

/// Filters may include the instant they name or not (contract section 5.1), so a second more is
/// asked for on each side.
const OVERLAP: TimeDelta = TimeDelta::seconds(1);

/// Pages that are asked for beyond those that were reckoned with, before the rest is asked for by
/// id.
const SPARE_PAGES: u64 = 2;

impl Push<'_> {
    /// Reads the users of these rows; who is not there any more is not in the answer.
    pub(super) async fn present(&self, rows: &[Row]) -> Result<BTreeMap<String, Person>, Error> {
        let wanted: HashSet<&str> = rows.iter().map(|row| row.user_id.as_str()).collect();
        let mut found = BTreeMap::new();
        if let Some((window, pages)) = self.window(rows).await? {
            self.read_window(window, pages, &wanted, &mut found).await?;
        }
        let missing: Vec<&str> = wanted
            .into_iter()
            .filter(|id| !found.contains_key(*id))
            .collect();
        let asked = stream::iter(missing).map(async |id| {
            let shown = self.env.reader.user(id).await?;
            let person = shown.as_deref().and_then(person).map(|(_, person)| person);
            Ok::<_, Error>((id.to_owned(), person))
        });
        let asked: Vec<_> = asked
            .buffer_unordered(self.env.max_in_flight)
            .try_collect()
            .await?;
        found.extend(
            asked
                .into_iter()
                .filter_map(|(id, person)| Some((id, person?))),
        );
        Ok(found)
    }

    /// The stretch of registrations the rows are in, and how many pages it has, if that is less to
    /// ask for than each user.
    async fn window(&self, rows: &[Row]) -> Result<Option<(Query, u64)>, Error> {
        let dates = || rows.iter().filter_map(|row| row.registered_at);
        let (Some(from), Some(until)) = (dates().min(), dates().max()) else {
            return Ok(None);
        };
        let people = people::registered_between(self.pool, from, until).await?;
        let pages = people.unsigned_abs() / self.env.rpp + 1;
        // Pages are larger answers than single users, so they are to be at most half as many.
        if (pages + SPARE_PAGES) * 2 > rows.len() as u64 {
            return Ok(None);
        }
        let window = Query {
            updated_since: None,
            registered_since: Some(time::before(from, OVERLAP)),
            registered_before: Some(time::after(until, OVERLAP)),
            rpp: self.env.rpp,
            page: 1,
        };
        Ok(Some((window, pages)))
    }

    async fn read_window(
        &self,
        window: Query,
        pages: u64,
        wanted: &HashSet<&str>,
        found: &mut BTreeMap<String, Person>,
    ) -> Result<(), Error> {
        for page in 1..=pages + SPARE_PAGES {
            let read = self.env.reader.export(Query { page, ..window }).await?;
            for item in &read.items {
                if let Ok(raw) = serde_json::from_str(&item.text)
                    && let Some((id, person)) = person(raw)
                    && wanted.contains(id.as_str())
                {
                    found.insert(id, person);
                }
            }
            if read.is_empty() || found.len() == wanted.len() {
                break;
            }
        }
        Ok(())
    }
}
