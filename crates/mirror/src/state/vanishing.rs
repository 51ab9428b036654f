//! Rows that vanish below their parents, run by run: a fault of the API that lasts is one incident,
//! however few parents each run may ask for.

use sqlx::PgConnection;
use uuid::Uuid;

use record::table::Table;

/// Counts what this run was the first to miss to what vanished in the runs before it; answers how
/// much that is.
pub async fn add(
    connection: &mut PgConnection,
    table: &Table,
    run_id: Uuid,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"insert into vanishing as v (table_name, rows)
           select $1, count(*) from deletion_candidates c where c.table_name = $1 and c.last_run_id = $2 and c.first_run_id is null
           on conflict (table_name) do update set rows = v.rows + excluded.rows
           returning rows as "rows!""#,
        table.name.as_ref(),
        run_id,
    )
    .fetch_one(connection)
    .await
}

/// A run whose answers showed what is known, or somebody's word: what vanishes from now on is
/// another incident. Answers what is left of this one.
pub async fn over(connection: &mut PgConnection, table: &Table) -> Result<i64, sqlx::Error> {
    sqlx::query!(
        "delete from vanishing where table_name = $1",
        table.name.as_ref()
    )
    .execute(connection)
    .await?;
    Ok(0)
}
