//! How late the mirror heard of users.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// When the mirror last heard of these users: when the API answered with the version that the row
/// holds, or was found not to have the user any more. Who has no row is left out.
pub async fn known_at(
    connection: &mut PgConnection,
    ids: &[&str],
) -> Result<HashMap<String, DateTime<Utc>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select user_id, greatest(_zephr_extracted_at, _zephr_deleted_at) as "known_at!" from users where user_id = any($1)"#,
        ids as &[&str],
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.user_id, row.known_at))
        .collect())
}
