//! What was read, into its table: compared by key and hash, then merged with counters, visits and
//! tombstones in one transaction; or only compared.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::super::progress::Phase;
use super::super::run::Run;
use super::super::{Environment, Error};
use ::privacy::Erased;
use mirror::load::merge::Failure;
use mirror::load::pieces::Pieces;
use mirror::load::rows::{self, Known};
use mirror::state::candidates::{self, Among};
use mirror::state::runs::{self, Counts};
use mirror::state::{poll_schedule, rejects};
use record::Reject;
use record::table::{Row, Table};
use resource::Below;
use telemetry::span::{Span, Work};

/// Where what was read goes.
pub(super) enum Store<'a> {
    /// Into the mirror.
    Merge(&'a Run<'a>),
    /// Nowhere: it is compared in a session that may only read.
    Compare {
        pool: &'a PgPool,
        env: &'a Environment,
    },
}

/// What commits together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Rows, each key once.
    pub(super) rows: Vec<Row>,
    pub(super) rejects: Vec<Reject>,
    /// Items about people who were erased.
    pub(super) left_out: i64,
    /// Items that are known to be equal without having been made into rows.
    pub(super) unchanged: i64,
    /// The API's clock when it answered with them.
    pub(super) answered_at: Option<DateTime<Utc>>,
    pub(super) visits: Option<Visits>,
    pub(super) missed: Option<Missed>,
}

/// What is missing below some parents.
#[derive(Debug)]
pub(super) struct Missed {
    /// Where the key of the parent stands in the key of a row.
    pub(super) position: usize,
    /// Those that were asked for.
    pub(super) parents: Vec<String>,
    /// Keys of the rows that were not shown.
    pub(super) keys: Vec<Vec<String>>,
}

impl Missed {
    /// Nothing so far.
    pub(super) fn of(position: usize) -> Self {
        Self {
            position,
            parents: Vec::new(),
            keys: Vec::new(),
        }
    }
}

impl Batch {
    /// Takes what came of one parent.
    pub(super) fn add(&mut self, mut rows: Vec<Row>, mut rejects: Vec<Reject>) {
        self.rows.append(&mut rows);
        self.rejects.append(&mut rejects);
    }
}

/// Whom the API was asked for.
#[derive(Debug)]
pub(super) struct Visits {
    pub(super) at: DateTime<Utc>,
    pub(super) parents: Vec<(String, Option<Vec<u8>>)>,
}

impl Store<'_> {
    /// A session to look something up.
    pub(super) fn pool(&self) -> &PgPool {
        match self {
            Self::Merge(run) => run.pool,
            Self::Compare { pool, .. } => pool,
        }
    }

    /// Stores a batch, without those rows that are about people who were erased; they count as
    /// read.
    pub(super) async fn commit(
        &self,
        table: &Table,
        mut batch: Batch,
        erased: &Erased,
    ) -> Result<(), Error> {
        let before = batch.rows.len();
        if !erased.is_empty() {
            batch
                .rows
                .retain(|row| !user_of(table, row).is_some_and(|user| erased.is(user)));
        }
        batch.left_out = (before - batch.rows.len()) as i64;
        once_each(&mut batch.rows);
        match self {
            Self::Merge(run) => {
                let rows = batch.rows.len();
                let span = Span::of(|| Work::Batch { rows });
                span.over(merge(run, table, batch)).await
            }
            Self::Compare { pool, env } => compare(pool, env, table, batch).await,
        }
    }
}

/// Whom a row is about, if the table says that.
fn user_of<'r>(table: &Table, row: &'r Row) -> Option<&'r str> {
    let cells = row
        .key
        .iter()
        .map(Some)
        .chain(row.cells.iter().map(Option::as_ref));
    table
        .all_columns()
        .zip(cells)
        .find(|(column, _)| column.name == "user_id")
        .and_then(|(_, cell)| cell.map(String::as_str))
}

/// Of a key that was sent twice the last counts.
fn once_each(rows: &mut Vec<Row>) {
    rows.reverse();
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    rows.dedup_by(|later, kept| later.key == kept.key);
}

async fn lookup(
    connection: &mut PgConnection,
    table: &Table,
    rows: &[Row],
) -> Result<Known, sqlx::Error> {
    let keys: Vec<&[String]> = rows.iter().map(|row| row.key.as_slice()).collect();
    rows::known(connection, table, &keys).await
}

async fn merge(run: &Run<'_>, table: &Table, batch: Batch) -> Result<(), Error> {
    let read = (batch.rows.len() + batch.rejects.len()) as i64 + batch.unchanged + batch.left_out;
    let from_numbers = batch.rows.iter().map(|row| i64::from(row.from_numbers));
    let mut counts = Counts {
        read,
        times_from_numbers: from_numbers.sum(),
        ..Counts::default()
    };
    let mut transaction = run.transaction().await?;
    let known = lookup(&mut transaction, table, &batch.rows).await?;
    run.env.progress.enter(Phase::BatchCompared);
    let mut unstorable =
        merge_changed(&mut transaction, run, table, &batch, &known, &mut counts).await?;
    unstorable.extend(batch.rejects);
    note(
        &mut transaction,
        run.run_id,
        table,
        batch.missed.as_ref(),
        batch.visits.as_ref(),
    )
    .await?;
    run.env.progress.enter(Phase::BatchMerged);
    let others = unstorable.len() as i64 + batch.left_out;
    counts.unchanged = read - counts.inserted - counts.updated - others;
    if !unstorable.is_empty() {
        let met = rejects::store(
            &mut *transaction,
            &run.job.name,
            run.job.resource,
            run.run_id,
            &unstorable,
        )
        .await?;
        counts.rejected = met as i64;
    }
    runs::add(&mut *transaction, run.run_id, counts).await?;
    transaction.commit().await?;
    run.env.progress.committed(counts);
    Ok(())
}

/// Merges what is new or different, and answers what Postgres cannot hold of it.
async fn merge_changed(
    connection: &mut PgConnection,
    run: &Run<'_>,
    table: &Table,
    batch: &Batch,
    known: &Known,
    counts: &mut Counts,
) -> Result<Vec<Reject>, Error> {
    let is_new =
        |row: &&Row| known.get(&row.key).and_then(Option::as_deref) != Some(row.hash.as_slice());
    let changed: Vec<&Row> = batch.rows.iter().filter(is_new).collect();
    let (run_id, at) = (run.run_id, batch.answered_at);
    let mut unstorable = Vec::new();
    let mut pieces = Pieces::of(&changed);
    while let Some(piece) = pieces.next() {
        match rows::merge(connection, table, run_id, at, piece).await {
            Ok(merged) => {
                counts.inserted += merged.inserted;
                counts.updated += merged.updated;
            }
            Err(Failure::Database(error)) => return Err(error.into()),
            Err(Failure::Unstorable(reason)) => {
                if let Some(row) = pieces.refused(piece) {
                    unstorable.push(Reject {
                        id: Some(row.key.join(" ")),
                        reason,
                        text: row.text.clone(),
                        content_hash: row.hash,
                        answered_at: at,
                    });
                }
            }
        }
    }
    Ok(unstorable)
}

/// Notes what is missing below the parents that were asked for, and that they were asked for.
async fn note(
    connection: &mut PgConnection,
    run_id: Uuid,
    table: &Table,
    missed: Option<&Missed>,
    visits: Option<&Visits>,
) -> Result<(), Error> {
    if let Some(missed) = missed {
        let parents: Vec<&str> = missed.parents.iter().map(String::as_str).collect();
        let among = Among::Below {
            position: missed.position,
            parents: &parents,
        };
        candidates::miss(connection, table, run_id, among, &missed.keys).await?;
    }
    if let Some(visited) = visits {
        let parents: Vec<(&str, Option<&[u8]>)> = visited
            .parents
            .iter()
            .map(|(id, hash)| (id.as_str(), hash.as_deref()))
            .collect();
        poll_schedule::note(&mut *connection, &table.name, visited.at, &parents).await?;
    }
    Ok(())
}

async fn compare(
    pool: &PgPool,
    env: &Environment,
    table: &Table,
    batch: Batch,
) -> Result<(), Error> {
    let mut transaction = pool.begin_with("begin read only").await?;
    let known = lookup(&mut transaction, table, &batch.rows).await?;
    transaction.commit().await?;
    let mut counts = Counts {
        read: (batch.rows.len() + batch.rejects.len()) as i64 + batch.unchanged + batch.left_out,
        rejected: batch.rejects.len() as i64,
        unchanged: batch.unchanged,
        ..Counts::default()
    };
    for row in &batch.rows {
        match known.get(&row.key) {
            None => counts.inserted += 1,
            Some(Some(hash)) if *hash == row.hash => counts.unchanged += 1,
            Some(Some(_) | None) => counts.updated += 1,
        }
    }
    env.progress.committed(counts);
    Ok(())
}

/// Marks rows as gone that two runs have missed, or that are confirmed; answers how many.
pub(super) async fn tombstone_missed(
    run: &Run<'_>,
    table: &Table,
    confirmed: Option<Uuid>,
) -> Result<i64, Error> {
    let mut transaction = run.transaction().await?;
    let marked = candidates::tombstone(&mut transaction, table, run.run_id, confirmed).await?;
    tombstoned(run, transaction, marked).await?;
    Ok(marked)
}

/// Marks rows as gone, and forgets the visits to them.
pub(super) async fn tombstone(run: &Run<'_>, table: &Table, keys: &[String]) -> Result<(), Error> {
    let mut transaction = run.transaction().await?;
    let ids: Vec<&str> = keys.iter().map(String::as_str).collect();
    let gone: Vec<Vec<String>> = keys.iter().map(|key| vec![key.clone()]).collect();
    let marked = rows::tombstone(&mut transaction, table, run.run_id, &gone).await?;
    poll_schedule::forget(&mut *transaction, &table.name, &ids).await?;
    tombstoned(run, transaction, marked).await
}

/// Marks what is below parents that are gone as gone with them.
pub(super) async fn tombstone_orphans(run: &Run<'_>, below: &Below) -> Result<(), Error> {
    let mut transaction = run.transaction().await?;
    let (parents, key) = (&below.parents, &below.parent_key);
    let marked =
        rows::tombstone_orphans(&mut transaction, &below.table, parents, key, run.run_id).await?;
    tombstoned(run, transaction, marked).await
}

/// Counts what was marked, and commits.
async fn tombstoned(
    run: &Run<'_>,
    mut transaction: Transaction<'_, Postgres>,
    marked: i64,
) -> Result<(), Error> {
    let counts = Counts {
        tombstoned: marked,
        ..Counts::default()
    };
    runs::add(&mut *transaction, run.run_id, counts).await?;
    transaction.commit().await?;
    if marked > 0 {
        run.env.progress.tombstoned(counts);
        run.env.progress.enter(Phase::Tombstoned);
    }
    Ok(())
}
