//! When the API was last asked about what it tells one parent at a time, and who is to be asked for
//! next.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, PgConnection, PgExecutor};

use record::table::quoted;

/// A table whose rows come one parent at a time.
#[derive(Debug, Clone, Copy)]
pub struct Round<'a> {
    /// The table.
    pub table: &'a str,
    /// The table of the parents.
    pub parents: &'a str,
    /// The key of that table.
    pub parent_key: &'a str,
}

/// Which parents are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Those that changed since they were asked for, then those that never were, the newest first.
    New,
    /// Those that did not change, longest ago first.
    Old,
    /// All: the new ones and then the old ones.
    All,
}

impl Due {
    fn condition(self) -> &'static str {
        match self {
            Self::New => "(v.visited_at is null or p._zephr_loaded_at > v.visited_at)",
            Self::Old => "v.visited_at >= p._zephr_loaded_at",
            Self::All => "true",
        }
    }
}

impl Round<'_> {
    fn joined(&self) -> String {
        format!(
            "{} p left join visits v on v.table_name = $1 and v.parent_id = p.{}",
            quoted(self.parents),
            quoted(self.parent_key)
        )
    }

    /// Living parents that are to be asked for and have not been since this run began, and
    /// Postgres's clock.
    pub async fn due(
        &self,
        connection: &mut PgConnection,
        due: Due,
        limit: i64,
    ) -> Result<Vec<String>, sqlx::Error> {
        let key = quoted(self.parent_key);
        let sql = format!(
            "select p.{key} from {} where p._zephr_deleted_at is null and {}
             order by case when v.visited_at is null then 1 when p._zephr_loaded_at > v.visited_at then 0 else 2 end,
                      v.visited_at, p._zephr_first_seen_at desc, p.{key}
             limit $2",
            self.joined(),
            due.condition(),
        );
        sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(self.table)
            .bind(limit)
            .fetch_all(connection)
            .await
    }

    /// Living parents that were not asked for since an instant, after a key already seen, in order.
    pub async fn unvisited(
        &self,
        connection: &mut PgConnection,
        since: DateTime<Utc>,
        after: &str,
        limit: i64,
    ) -> Result<Vec<String>, sqlx::Error> {
        let key = quoted(self.parent_key);
        let sql = format!(
            "select p.{key} from {} where p._zephr_deleted_at is null and p.{key} > $2
                 and (v.visited_at is null or v.visited_at < $3)
             order by p.{key} limit $4",
            self.joined(),
        );
        sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(self.table)
            .bind(after)
            .bind(since)
            .bind(limit)
            .fetch_all(connection)
            .await
    }

    /// How far the round has come.
    pub async fn state(&self, connection: &mut PgConnection) -> Result<State, sqlx::Error> {
        let sql = format!(
            "select count(*), count(*) filter (where v.visited_at is null),
                    count(*) filter (where p._zephr_loaded_at > v.visited_at), min(v.visited_at)
             from {} where p._zephr_deleted_at is null",
            self.joined(),
        );
        let (parents, never_visited, changed, oldest_visit) = sqlx::query_as(AssertSqlSafe(sql))
            .bind(self.table)
            .fetch_one(connection)
            .await?;
        Ok(State {
            parents,
            never_visited,
            changed,
            oldest_visit,
        })
    }
}

/// How far a round has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Living parents.
    pub parents: i64,
    /// Those that were never asked for.
    pub never_visited: i64,
    /// Those that changed since they were asked for.
    pub changed: i64,
    /// When the one was asked for that was asked for longest ago.
    pub oldest_visit: Option<DateTime<Utc>>,
}

/// Notes that these parents were asked for, at an instant not later than the request, and how their
/// list showed them then.
pub async fn note(
    executor: impl PgExecutor<'_>,
    table: &str,
    at: DateTime<Utc>,
    parents: &[(&str, Option<&[u8]>)],
) -> Result<(), sqlx::Error> {
    let mut parents = parents.to_vec();
    parents.sort_unstable();
    parents.dedup_by_key(|(id, _)| *id);
    let ids: Vec<&str> = parents.iter().map(|(id, _)| *id).collect();
    let hashes: Vec<Option<&[u8]>> = parents.iter().map(|(_, hash)| *hash).collect();
    sqlx::query!(
        "insert into visits (table_name, parent_id, shown_hash, visited_at)
         select $1, i.parent_id, i.shown_hash, $2 from unnest($3::text[], $4::bytea[]) as i (parent_id, shown_hash)
         on conflict (table_name, parent_id) do update set shown_hash = excluded.shown_hash, visited_at = excluded.visited_at",
        table,
        at,
        &ids as &[&str],
        &hashes as &[Option<&[u8]>],
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// How these were shown when they were last asked for, and when that was.
pub async fn shown(
    executor: impl PgExecutor<'_>,
    table: &str,
    ids: &[&str],
) -> Result<HashMap<String, Shown>, sqlx::Error> {
    let rows = sqlx::query!(
        "select parent_id, shown_hash, visited_at from visits where table_name = $1 and parent_id = any($2)",
        table,
        ids as &[&str],
    )
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let shown = Shown {
                hash: row.shown_hash,
                visited_at: row.visited_at,
            };
            (row.parent_id, shown)
        })
        .collect())
}

/// A visit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Hash of how the list showed it.
    pub hash: Option<Vec<u8>>,
    /// When it was asked for.
    pub visited_at: DateTime<Utc>,
}

/// Forgets visits to what is gone: should it come back, it is asked for again.
pub async fn forget(
    executor: impl PgExecutor<'_>,
    table: &str,
    ids: &[&str],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from visits where table_name = $1 and parent_id = any($2)",
        table,
        ids as &[&str],
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Forgets all visits for these tables, or for all of them: everybody is asked for anew.
pub async fn forget_tables(
    executor: impl PgExecutor<'_>,
    tables: Option<&[String]>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from visits where $1::text[] is null or table_name = any($1)",
        tables as Option<&[String]>,
    )
    .execute(executor)
    .await?;
    Ok(())
}
