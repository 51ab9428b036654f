//! Rows that vanish below their parents, run by run: a fault of the API that lasts is one incident,
//! however few parents each run may ask for.

use sqlx::PgConnection;

use record::table::Table;

/// How many rows were marked in the runs of this incident.
pub async fn marked(connection: &mut PgConnection, table: &Table) -> Result<i64, sqlx::Error> {
    let rows = sqlx::query_scalar!(
        "select rows from vanishing where table_name = $1",
        table.name.as_ref()
    )
    .fetch_optional(connection)
    .await?;
    Ok(rows.unwrap_or(0))
}

/// Notes that more were marked.
pub async fn add(
    connection: &mut PgConnection,
    table: &Table,
    marked: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into vanishing as v (table_name, rows) values ($1, $2)
         on conflict (table_name) do update set rows = v.rows + excluded.rows",
        table.name.as_ref(),
        marked,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A run whose answers showed what is known, or somebody's word: what vanishes from now on is
/// another incident.
pub async fn over(connection: &mut PgConnection, table: &Table) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from vanishing where table_name = $1",
        table.name.as_ref()
    )
    .execute(connection)
    .await?;
    Ok(())
}
