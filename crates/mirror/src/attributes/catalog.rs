//! What is asked of the database and written down in it about the view; a function per query.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::kind::Kind;
use super::plan::{Attribute, Known, Plan};

/// Locks the bookkeeping of the view until the end of the transaction; what the view was last built
/// from, whether a change of it waits, and the time.
pub async fn lock(
    connection: &mut PgConnection,
) -> Result<(Option<Vec<u8>>, bool, DateTime<Utc>), sqlx::Error> {
    let row = sqlx::query!(
        r#"select fingerprint, clock_timestamp() as "now!",
                  exists (select from waiting_changes where object = 'user_attributes') as "waits!"
           from attribute_view for update"#
    )
    .fetch_one(connection)
    .await?;
    Ok((row.fingerprint, row.waits, row.now))
}

/// The schema of analysts: the one that `users` is in.
pub async fn schema_of_analysts(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select n.nspname::text as "name!" from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = 'users'::regclass"#
    )
    .fetch_one(connection)
    .await
}

/// The tenant's own schema, with what is gone from it.
pub async fn attributes(connection: &mut PgConnection) -> Result<Vec<Attribute>, sqlx::Error> {
    sqlx::query_as!(
        Attribute,
        "select slug, label, public_description, internal_description, input_type, _zephr_deleted_at as gone_at from user_schema"
    )
    .fetch_all(connection)
    .await
}

/// The columns that were written down, in the order of the view.
pub async fn known(connection: &mut PgConnection) -> Result<Vec<Known>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select slug, column_name as "name!", type as "kind!", input_type, label, gone_since
           from attribute_columns where position is not null order by position"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Known {
            slug: row.slug,
            name: row.name,
            // The check of the table admits no other.
            kind: Kind::of_sql(&row.kind).unwrap_or(Kind::Text),
            input_type: row.input_type,
            label: row.label,
            gone_since: row.gone_since,
        })
        .collect())
}

/// The columns that the view has, with the types as the catalog spells them; none when there is no
/// view.
pub async fn columns_of_view(
    connection: &mut PgConnection,
    schema: &str,
) -> Result<Vec<(String, String)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select attname::text as "name!", format_type(atttypid, null) as "kind!" from pg_attribute
           where attrelid = to_regclass(format('%I.user_attributes', $1::text)) and attnum > 0 and not attisdropped order by attnum"#,
        schema,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.name, row.kind)).collect())
}

/// What is built on the view, by name: views, and functions that use it or its row type.
pub async fn dependents(
    connection: &mut PgConnection,
    schema: &str,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_file_scalar!("src/attributes/dependents.sql", schema)
        .fetch_all(connection)
        .await
}

/// The statements that give others the rights on the view that they have now.
pub async fn grants(
    connection: &mut PgConnection,
    schema: &str,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_file_scalar!("src/attributes/grants.sql", schema)
        .fetch_all(connection)
        .await
}

/// Writes down what was built.
pub async fn record(
    connection: &mut PgConnection,
    plan: &Plan,
    fingerprint: &[u8],
) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from attribute_columns")
        .execute(&mut *connection)
        .await?;
    let columns = &plan.columns;
    let texts = |of: fn(&super::plan::Column) -> Option<&str>| -> Vec<Option<&str>> {
        columns.iter().map(of).collect()
    };
    sqlx::query!(
        "insert into attribute_columns (slug, column_name, position, type, input_type, label, gone_since, reason)
         select slug, column_name, row_number() over (order by nr), type, input_type, label, gone_since, reason
         from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[])
             with ordinality as c (slug, column_name, type, input_type, label, gone_since, reason, nr)",
        &texts(|column| Some(&column.slug)) as &[Option<&str>],
        &texts(|column| Some(&column.name)) as &[Option<&str>],
        &texts(|column| Some(column.kind.sql())) as &[Option<&str>],
        &texts(|column| column.input_type.as_deref()) as &[Option<&str>],
        &texts(|column| column.label.as_deref()) as &[Option<&str>],
        &columns.iter().map(|column| column.gone_since).collect::<Vec<_>>() as &[Option<DateTime<Utc>>],
        &texts(|column| column.reason.as_deref()) as &[Option<&str>],
    )
    .execute(&mut *connection)
    .await?;
    let left_out = &plan.left_out;
    sqlx::query!(
        "insert into attribute_columns (slug, input_type, label, reason)
         select *, 'a view has at most 1600 columns' from unnest($1::text[], $2::text[], $3::text[])",
        &left_out.iter().map(|left| left.slug.as_str()).collect::<Vec<_>>() as &[&str],
        &left_out.iter().map(|left| left.input_type.as_deref()).collect::<Vec<_>>() as &[Option<&str>],
        &left_out.iter().map(|left| left.label.as_deref()).collect::<Vec<_>>() as &[Option<&str>],
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update attribute_view set fingerprint = $1, built_at = clock_timestamp()",
        fingerprint,
    )
    .execute(connection)
    .await?;
    Ok(())
}
