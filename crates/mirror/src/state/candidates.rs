//! Living rows that the API did not show, of tables whose rows cannot be asked for by their key.
//! One run that misses a row proves nothing; two do, unless so many are missing that a brake holds
//! them. What is held stays written down, so that it counts as one incident however many runs come;
//! a run that a brake stopped is no witness against any row.
//!
//! Which columns a key has is known at run time only, so this SQL is made here; names are quoted,
//! and all values are bound.

use sqlx::{AssertSqlSafe, PgConnection, PgExecutor};
use uuid::Uuid;

use record::table::{Table, quoted};

/// What of a table a run has read, so that what it did not show is missing and what it did show is
/// not.
#[derive(Debug, Clone, Copy)]
pub enum Among<'a> {
    /// All of it.
    Everything,
    /// What is below these parents, which are in the key's column at this position.
    Below {
        /// From 0.
        position: usize,
        /// Their keys.
        parents: &'a [&'a str],
    },
}

/// Notes what is missing among what a run has read, and takes back what is not.
pub async fn miss(
    connection: &mut PgConnection,
    table: &Table,
    run_id: Uuid,
    among: Among<'_>,
    keys: &[Vec<String>],
) -> Result<(), sqlx::Error> {
    let columns = Columns::of(table);
    let (position, parents) = match among {
        Among::Everything => (0, None),
        Among::Below { position, parents } => (position, Some(parents)),
    };
    let shown_again = format!(
        "delete from deletion_candidates c where c.table_name = $1 and ($2::text[] is null or c.record_key[{}] = any($2))
             and not exists (select from unnest({}) as i ({}) where c.record_key = array[{}])",
        position + 1,
        columns.lists(3),
        columns.names(),
        columns.prefixed("i"),
    );
    let query = sqlx::query(AssertSqlSafe(shown_again))
        .bind(table.name.as_ref())
        .bind(parents);
    columns.bind(query, keys).execute(&mut *connection).await?;
    if keys.is_empty() {
        return Ok(());
    }
    let missed = format!(
        "insert into deletion_candidates (table_name, record_key, last_run_id)
         select distinct $1, array[{}], $2::uuid from unnest({}) as i ({})
         on conflict (table_name, record_key) do update set last_run_id = excluded.last_run_id",
        columns.prefixed("i"),
        columns.lists(3),
        columns.names(),
    );
    let query = sqlx::query(AssertSqlSafe(missed))
        .bind(table.name.as_ref())
        .bind(run_id);
    columns.bind(query, keys).execute(connection).await?;
    Ok(())
}

/// How many rows are missing, over all runs that are not settled; those that are no longer there
/// are forgotten.
pub async fn count(connection: &mut PgConnection, table: &Table) -> Result<i64, sqlx::Error> {
    let gone = format!(
        "delete from deletion_candidates c where c.table_name = $1
             and not exists (select from {} t where {} and t._zephr_deleted_at is null)",
        quoted(&table.name),
        Columns::of(table).equal(),
    );
    sqlx::query(AssertSqlSafe(gone))
        .bind(table.name.as_ref())
        .execute(&mut *connection)
        .await?;
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from deletion_candidates where table_name = $1"#,
        table.name.as_ref(),
    )
    .fetch_one(connection)
    .await
}

/// How many of them a brake held back in this scan, whose deletions somebody confirms.
pub async fn confirmed(
    executor: impl PgExecutor<'_>,
    table: &Table,
    scan_id: Uuid,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from deletion_candidates c
           join scan_notes n on n.scan_id = $2 and n.note = 'missing' and n.record_id = c.table_name || ' ' || array_to_string(c.record_key, ' ')
           where c.table_name = $1"#,
        table.name.as_ref(),
        scan_id,
    )
    .fetch_one(executor)
    .await
}

/// Notes them all as held back by a brake in this scan, so that they can be confirmed.
pub async fn hold_back(
    executor: impl PgExecutor<'_>,
    table: &Table,
    scan_id: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into scan_notes (scan_id, note, record_id)
         select $2, 'missing', c.table_name || ' ' || array_to_string(c.record_key, ' ') from deletion_candidates c
         where c.table_name = $1 on conflict do nothing",
        table.name.as_ref(),
        scan_id,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Marks those as gone that this run missed and an earlier one before it, or that a brake held back
/// in the scan which somebody confirms; answers how many. The others that it missed are from now on
/// missed once: only a run that no brake stopped may say so.
pub async fn tombstone(
    connection: &mut PgConnection,
    table: &Table,
    run_id: Uuid,
    confirmed: Option<Uuid>,
) -> Result<i64, sqlx::Error> {
    let twice =
        "c.table_name = $1 and c.last_run_id = $2 and (c.first_run_id is not null or exists (
             select from scan_notes n where n.scan_id = $3 and n.note = 'missing'
                 and n.record_id = c.table_name || ' ' || array_to_string(c.record_key, ' ')))";
    let marked = format!(
        "update {} t set _zephr_deleted_at = now(), _zephr_loaded_at = now(), _zephr_run_id = $2
         from deletion_candidates c where {twice} and {} and t._zephr_deleted_at is null",
        quoted(&table.name),
        Columns::of(table).equal(),
    );
    let done = sqlx::query(AssertSqlSafe(marked))
        .bind(table.name.as_ref())
        .bind(run_id)
        .bind(confirmed)
        .execute(&mut *connection)
        .await?;
    sqlx::query(AssertSqlSafe(format!(
        "delete from deletion_candidates c where {twice}"
    )))
    .bind(table.name.as_ref())
    .bind(run_id)
    .bind(confirmed)
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update deletion_candidates set first_run_id = $2 where table_name = $1 and last_run_id = $2",
        table.name.as_ref(),
        run_id,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() as i64)
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// The columns of a table's key, as SQL.
struct Columns(Vec<String>);

impl Columns {
    fn of(table: &Table) -> Self {
        let names = table.key.iter().map(|column| quoted(&column.name));
        Self(names.collect())
    }

    fn names(&self) -> String {
        self.0.join(", ")
    }

    fn prefixed(&self, alias: &str) -> String {
        let names: Vec<String> = self
            .0
            .iter()
            .map(|name| format!("{alias}.{name}"))
            .collect();
        names.join(", ")
    }

    /// A list of values for each column, numbered from `first`.
    fn lists(&self, first: usize) -> String {
        let lists = (first..).take(self.0.len());
        let lists: Vec<String> = lists.map(|number| format!("${number}::text[]")).collect();
        lists.join(", ")
    }

    /// Row `t` has the key of candidate `c`.
    fn equal(&self) -> String {
        let equal = (1..).zip(&self.0);
        let equal: Vec<String> = equal
            .map(|(place, name)| format!("t.{name} = c.record_key[{place}]"))
            .collect();
        equal.join(" and ")
    }

    fn bind<'q>(&self, mut query: Query<'q>, keys: &[Vec<String>]) -> Query<'q> {
        for position in 0..self.0.len() {
            let column = keys.iter().map(|key| key.get(position).cloned());
            query = query.bind(column.collect::<Vec<Option<String>>>());
        }
        query
    }
}
