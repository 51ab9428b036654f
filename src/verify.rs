//! Comparing the mirror with the API: a count, and a random sample of records field by field.
//!
//! ```text
//! mirror ──► draw ids ──► rows, a few at a time ──► ask for each by id (several at once) ──► compare ──► verifications
//! ```
//!
//! It takes no lease and writes nothing but its own record, so it works while a sync runs. It reads
//! each row right before it asks the API for it, and forgets both once they are compared: memory
//! does not grow with the records, only with what differs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use sqlx::PgPool;

use mirror::load::{compare, sample};
use mirror::postgres::connect::Database;
use mirror::state::verifications::{self, Difference, Found, Verification};
use mirror::state::{erasures, rejects};
use privacy::Rules;
use record::{Mirrored, Resource};
use zephr::difference::{self, Compared};
use zephr::{self, Reader};

/// Rows of the mirror that are held at once.
const ROWS_HELD: usize = 100;

/// What a comparison works with.
#[derive(Debug)]
pub struct Environment<'a> {
    /// The mirror.
    pub database: &'a Database,
    /// The tenant.
    pub reader: &'a Reader,
    /// Fields that do not count as a change, by their path.
    pub ignored: &'a [String],
    /// What of a record may be kept.
    pub rules: &'a Rules,
    /// Requests in flight at most.
    pub max_in_flight: usize,
    /// Where people see how it goes.
    pub progress: &'a Progress,
}

/// How far a comparison has come.
#[derive(Debug, Default)]
pub struct Progress {
    compared: AtomicU64,
    drawn: AtomicU64,
}

impl Progress {
    /// Records compared so far.
    pub fn compared(&self) -> u64 {
        self.compared.load(Ordering::Relaxed)
    }

    /// Records that are to be compared.
    pub fn drawn(&self) -> u64 {
        self.drawn.load(Ordering::Relaxed)
    }
}

/// What a comparison found.
#[derive(Debug)]
pub struct Verified {
    /// As it is stored.
    pub stored: Verification,
    /// Records that the last full run and those after it could not store: the API counts them, and
    /// the mirror holds them as rejects.
    pub rows_kept_aside: i64,
    /// People who were erased, and whom the API still had when it was last read.
    pub rows_erased: i64,
    /// The paths of the fields that were compared.
    pub fields_compared: Vec<String>,
    /// The paths of the fields that only one side ever shows, so that there was nothing to compare.
    pub fields_one_sided: Vec<String>,
    /// When the last run that read from the API began.
    pub last_read_at: Option<DateTime<Utc>>,
}

impl Verified {
    /// Whether both sides have as many records; none when the API does not say how many it has.
    pub fn counts_agree(&self) -> Option<bool> {
        let here = self.stored.rows_mirror + self.rows_kept_aside + self.rows_erased;
        self.stored.rows_api.map(|there| there == here)
    }

    /// Whether nothing was found that differs.
    pub fn agrees(&self) -> bool {
        let Verification {
            rows_different,
            rows_gone,
            ..
        } = self.stored;
        rows_different == 0 && rows_gone == 0 && self.counts_agree() != Some(false)
    }
}

/// What kept a comparison from its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API.
    #[error("reading from Zephr failed")]
    Api(#[from] zephr::Error),
    /// Postgres.
    #[error("Postgres failed")]
    Database(#[from] sqlx::Error),
}

impl Error {
    /// What happened, from the outside in.
    pub fn chain(&self) -> String {
        remedy::chain(self)
    }
}

/// Compares so many users, drawn at random, and how many there are; stores what it found.
///
/// # Errors
/// What kept it from its end; nothing is stored then.
pub async fn users(env: &Environment<'_>, job: &str, size: i64) -> Result<Verified, Error> {
    let pool = env.database.pool_at_once(1);
    let verified = verify(env, &pool, job, size).await;
    pool.close().await;
    verified
}

async fn verify(
    env: &Environment<'_>,
    pool: &PgPool,
    job: &str,
    size: i64,
) -> Result<Verified, Error> {
    let mut connection = pool.acquire().await?;
    let started_at = verifications::now(&mut *connection).await?;
    let last_read_at = verifications::last_read(&mut *connection, job).await?;
    let rows_mirror = compare::count_living(&mut connection).await?;
    let aside = rejects::met_lately(&mut *connection, Resource::Users).await?;
    let ids: Vec<&str> = aside.ids.iter().map(String::as_str).collect();
    // Of somebody whose newest record cannot be stored, the mirror has the one before.
    let there_too = sample::count_living_of(&mut connection, &ids).await?;
    let rows_kept_aside = aside.without_id + ids.len() as i64 - there_too;
    let rows_erased = erasures::count_met_lately(&mut *connection).await?;
    let drawn = sample::draw(&mut connection, size).await?;
    drop(connection);
    let rows_api = env.reader.total().await?.map(|total| total as i64);

    env.progress
        .drawn
        .store(drawn.len() as u64, Ordering::Relaxed);
    let mut tally = Tally::default();
    let answers = stream::iter(drawn.chunks(ROWS_HELD))
        .then(|ids| rows(pool, ids))
        .map_ok(|rows| stream::iter(rows.into_iter().map(Ok)))
        .try_flatten()
        .map_ok(|row| ask(env, row))
        .try_buffer_unordered(env.max_in_flight);
    let mut answers = std::pin::pin!(answers);
    while let Some((user_id, answer)) = answers.try_next().await? {
        tally.add(user_id, answer);
        env.progress.compared.fetch_add(1, Ordering::Relaxed);
    }

    let tallied = tally.finish();
    let found = Found {
        started_at,
        rows_mirror,
        rows_api,
        rows_sampled: tallied.sampled,
        rows_equal: tallied.sampled - tallied.differences.len() as i64,
        rows_different: tallied.differences.len() as i64 - tallied.gone,
        rows_gone: tallied.gone,
        differences: tallied.differences,
    };
    Ok(Verified {
        stored: verifications::store(pool, job, &found).await?,
        rows_kept_aside,
        rows_erased,
        fields_compared: tallied.compared,
        fields_one_sided: tallied.one_sided,
        last_read_at,
    })
}

async fn rows(pool: &PgPool, ids: &[String]) -> Result<Vec<Mirrored>, Error> {
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    Ok(sample::rows(&mut *pool.acquire().await?, &ids).await?)
}

/// What the API says about a user of the mirror.
#[derive(Debug)]
enum Answer {
    /// There is no such user.
    Gone,
    /// No request can carry the key, so nothing can be said.
    Unaskable,
    /// Compared field by field.
    Compared(Compared),
}

async fn ask(env: &Environment<'_>, row: Mirrored) -> Result<(String, Answer), Error> {
    let answer = match env.reader.user(&row.user_id).await {
        Ok(Some(shown)) => {
            let compared = difference::users(&row, &shown, env.ignored, env.rules);
            Answer::Compared(compared)
        }
        Ok(None) => Answer::Gone,
        Err(error) if error.is_unsendable() => Answer::Unaskable,
        Err(error) => return Err(error.into()),
    };
    Ok((row.user_id, answer))
}

/// Which sides ever showed a field.
#[derive(Debug, Clone, Copy, Default)]
struct Shown {
    here: bool,
    there: bool,
}

/// What was found so far.
///
/// A field that one side lacks in one record means something only if that side shows it elsewhere:
/// the answer about a single user may have other fields than the export. So it waits until all
/// records were seen.
#[derive(Debug, Default)]
struct Tally {
    sampled: i64,
    gone: i64,
    fields: HashMap<String, usize>,
    shown: Vec<Shown>,
    differences: Vec<Difference>,
    /// Records with fields of one side, with the places of those in `shown`.
    waiting: Vec<(Difference, Vec<usize>)>,
}

/// What was found.
#[derive(Debug)]
struct Tallied {
    sampled: i64,
    gone: i64,
    differences: Vec<Difference>,
    compared: Vec<String>,
    one_sided: Vec<String>,
}

impl Tally {
    fn add(&mut self, user_id: String, answer: Answer) {
        let compared = match answer {
            Answer::Unaskable => return,
            Answer::Gone => {
                self.sampled += 1;
                self.gone += 1;
                self.differences.push(Difference {
                    user_id,
                    gone: true,
                    fields: vec![],
                });
                return;
            }
            Answer::Compared(compared) => compared,
        };
        self.sampled += 1;
        let Compared {
            equal,
            different,
            only_mirror,
            only_api,
        } = compared;
        for field in equal.into_iter().chain(different.iter().cloned()) {
            self.see(field, true, true);
        }
        let here = only_mirror.into_iter().map(|field| (field, true));
        let there = only_api.into_iter().map(|field| (field, false));
        let one_sided: Vec<usize> = here
            .chain(there)
            .map(|(field, here)| self.see(field, here, !here))
            .collect();
        let difference = Difference {
            user_id,
            gone: false,
            fields: different,
        };
        if !one_sided.is_empty() {
            self.waiting.push((difference, one_sided));
        } else if !difference.fields.is_empty() {
            self.differences.push(difference);
        }
    }

    fn see(&mut self, field: String, here: bool, there: bool) -> usize {
        let next = self.shown.len();
        let place = *self.fields.entry(field).or_insert(next);
        if place == next {
            self.shown.push(Shown::default());
        }
        self.shown[place].here |= here;
        self.shown[place].there |= there;
        place
    }

    fn finish(mut self) -> Tallied {
        let mut names = vec![""; self.shown.len()];
        for (name, place) in &self.fields {
            names[*place] = name;
        }
        let both = |place: usize| self.shown[place].here && self.shown[place].there;
        for (mut difference, one_sided) in self.waiting {
            let missing = one_sided.into_iter().filter(|place| both(*place));
            difference
                .fields
                .extend(missing.map(|place| names[place].to_owned()));
            difference.fields.sort_unstable();
            if !difference.fields.is_empty() {
                self.differences.push(difference);
            }
        }
        // The answers came in any order.
        self.differences
            .sort_unstable_by(|a, b| a.user_id.cmp(&b.user_id));
        let sorted = |wanted: bool| {
            let places = (0..names.len()).filter(|place| both(*place) == wanted);
            let mut sorted: Vec<String> = places.map(|place| names[place].to_owned()).collect();
            sorted.sort_unstable();
            sorted
        };
        Tallied {
            sampled: self.sampled,
            gone: self.gone,
            compared: sorted(true),
            one_sided: sorted(false),
            differences: self.differences,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(fields: &[&str]) -> Vec<String> {
        fields.iter().map(|field| (*field).to_owned()).collect()
    }

    #[test]
    fn a_field_of_one_side_counts_once_the_other_side_shows_it_elsewhere() {
        let mut tally = Tally::default();
        let lacking = Compared {
            equal: fields(&["id"]),
            only_api: fields(&["email", "links"]),
            ..Compared::default()
        };
        tally.add("lacks".into(), Answer::Compared(lacking));
        let ordinary = Compared {
            equal: fields(&["email", "id"]),
            only_api: fields(&["links"]),
            ..Compared::default()
        };
        tally.add("has".into(), Answer::Compared(ordinary));

        let tallied = tally.finish();

        let difference = Difference {
            user_id: "lacks".into(),
            gone: false,
            fields: fields(&["email"]),
        };
        assert_eq!(tallied.differences, [difference]);
        assert_eq!(tallied.compared, ["email", "id"]);
        assert_eq!(tallied.one_sided, ["links"]);
    }

    #[test]
    fn who_cannot_be_asked_for_is_not_in_the_sample() {
        let mut tally = Tally::default();
        tally.add(".".into(), Answer::Unaskable);
        tally.add("gone".into(), Answer::Gone);
        let tallied = tally.finish();
        assert_eq!((tallied.sampled, tallied.gone), (1, 1));
        assert!(tallied.differences[0].gone);
    }
}
