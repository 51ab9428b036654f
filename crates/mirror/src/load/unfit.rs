//! Columns of which so many values did not fit that nobody should rely on them. Each row says in
//! `_zephr_issues` what of it did not fit, which nobody reads of a column that is null for
//! everybody; so they are counted. It is the table that is counted and not what a run changed, so
//! that the figure stays as long as the trouble does.
//!
//! Which columns there are is known at run time only, so this SQL is made here and not checked when
//! it is compiled; names are quoted, and all values are bound.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::unfit::Unfit;
use record::table::quoted;

/// Fewer values than this say nothing about a column.
const LEAST_VALUES: i64 = 10;

/// A column is unfit when this many times as many values did fit as did not, or fewer: a tenth of
/// all did not.
const FIT_PER_UNFIT: i64 = 9;

/// A column, and where in a record its value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The column's name.
    pub column: String,
    /// How issues name the value.
    pub paths: Vec<String>,
}

/// The columns of a table of which a tenth or more of the values of living rows did not fit. Reads
/// the rows that have issues, and of a column that has any only as many others as it takes to know.
pub async fn columns(
    connection: &mut PgConnection,
    table: &str,
    places: &[Place],
) -> Result<Vec<Unfit>, sqlx::Error> {
    let mut unfit = Vec::new();
    for (place, count) in places
        .iter()
        .zip(counts(connection, table, places).await?)
        .filter(|(_, count)| *count > 0)
    {
        let most = count.saturating_mul(FIT_PER_UNFIT);
        let fit = fit(connection, table, &place.column, most.saturating_add(1)).await?;
        let values = fit.saturating_add(count);
        if fit <= most && values >= LEAST_VALUES {
            unfit.push(Unfit {
                table: table.to_owned(),
                column: place.column.clone(),
                unfit: count,
                values,
            });
        }
    }
    Ok(unfit)
}

/// How many values of each column did not fit.
async fn counts(
    connection: &mut PgConnection,
    table: &str,
    places: &[Place],
) -> Result<Vec<i64>, sqlx::Error> {
    let counts: Vec<String> = places
        .iter()
        .zip(1..)
        .map(|(place, number)| {
            // An issue that only explains a value that is there says nothing against it.
            format!(
                "count(*) filter (where {} is null and exists (
                     select from jsonb_array_elements(_zephr_issues) issue where issue ->> 'path' = any(${number}::text[])))",
                quoted(&place.column)
            )
        })
        .collect();
    let sql = format!(
        "select array[{}]::bigint[] from {} where _zephr_issues is not null and _zephr_deleted_at is null",
        counts.join(", "),
        quoted(table),
    );
    let mut query = sqlx::query_scalar(AssertSqlSafe(sql));
    for place in places {
        query = query.bind(&place.paths);
    }
    query.fetch_one(connection).await
}

/// How many values of a column did fit; of more than `most` not how many more.
async fn fit(
    connection: &mut PgConnection,
    table: &str,
    column: &str,
    most: i64,
) -> Result<i64, sqlx::Error> {
    let sql = format!(
        "select count(*) from (select from {} where {} is not null and _zephr_deleted_at is null limit $1) fit",
        quoted(table),
        quoted(column),
    );
    let query = sqlx::query_scalar(AssertSqlSafe(sql)).bind(most);
    query.fetch_one(connection).await
}
