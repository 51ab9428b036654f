//! A random sample of the living users, drawn where they are: a large table is not read for a small
//! sample.

use sqlx::PgConnection;

use record::Mirrored;

/// So many times the sample is drawn by the page before it is drawn by the row: people on one page
/// arrived together, and few of each page are taken then.
const SPREAD: f64 = 10.0;

/// Draws the keys of so many living users, or of all where there are fewer.
pub async fn draw(connection: &mut PgConnection, size: i64) -> Result<Vec<String>, sqlx::Error> {
    let rows = sqlx::query_scalar!(
        r#"select reltuples as "rows!" from pg_class where oid = 'users'::regclass"#
    )
    .fetch_one(&mut *connection)
    .await?;
    let percent = SPREAD * 100.0 * size as f64 / f64::from(rows);
    // Without statistics the estimate is -1 or 0. Of a table of which half is read anyway all may
    // be.
    if rows > 0.0 && percent < 50.0 {
        let drawn = by_page(connection, percent as f32, size).await?;
        // The estimate may be old, and tombstones are in it.
        if drawn.len() as i64 == size {
            return Ok(drawn);
        }
    }
    of_all(connection, size).await
}

/// `system` reads the pages it draws and no others; `bernoulli` would read all of them.
async fn by_page(
    connection: &mut PgConnection,
    percent: f32,
    size: i64,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select user_id from users tablesample system ($1) where _zephr_deleted_at is null order by random() limit $2",
        percent,
        size,
    )
    .fetch_all(connection)
    .await
}

async fn of_all(connection: &mut PgConnection, size: i64) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select user_id from users where _zephr_deleted_at is null order by random() limit $1",
        size,
    )
    .fetch_all(connection)
    .await
}

/// These users, as far as they live.
pub async fn rows(
    connection: &mut PgConnection,
    ids: &[&str],
) -> Result<Vec<Mirrored>, sqlx::Error> {
    sqlx::query_as!(
        Mirrored,
        r#"select user_id, email, username, email_verified, tracking_id, registered_at, registration_tenant,
                  attributes::text as attributes, coalesce(extra, '{}')::text as "extra!",
                  array(select issue ->> 'path' from jsonb_array_elements(_zephr_issues) issue) as "issues!"
           from users where user_id = any($1) and _zephr_deleted_at is null"#,
        ids as &[&str],
    )
    .fetch_all(connection)
    .await
}

/// How many of these users live.
pub async fn count_living_of(
    connection: &mut PgConnection,
    ids: &[&str],
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from users where user_id = any($1) and _zephr_deleted_at is null"#,
        ids as &[&str],
    )
    .fetch_one(connection)
    .await
}
