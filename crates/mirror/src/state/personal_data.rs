//! Where the bookkeeping names a person: the places that an erasure clears.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use sqlx::PgConnection;

use super::erasures::Removed;

/// The forms in which the text of a record or an answer holds an identifier: as JSON text, and as a
/// number of `user_id` where it is one.
fn forms(user_id: &str) -> Vec<String> {
    let mut forms = vec![serde_json::Value::from(user_id).to_string()];
    if user_id.parse::<f64>().is_ok() {
        for space in ["", " "] {
            for end in [",", "}", " "] {
                forms.push(format!("\"user_id\":{space}{user_id}{end}"));
            }
        }
    }
    forms
}

/// How many rows there are, by table; tables without any are left out.
pub async fn count(connection: &mut PgConnection, user_id: &str) -> Result<Removed, sqlx::Error> {
    let forms = forms(user_id);
    let counted = sqlx::query_file!("src/state/personal_data/count.sql", user_id, &forms)
        .fetch_all(connection)
        .await?;
    Ok(counted
        .into_iter()
        .filter(|row| row.rows > 0)
        .map(|row| (row.name, row.rows))
        .collect())
}

/// Who of those whom the bookkeeping names is wanted.
pub async fn wanted(
    connection: &mut PgConnection,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<BTreeSet<String>, sqlx::Error> {
    let mut named = sqlx::query_scalar!(
        r#"select record_id as "id!" from rejects where record_id is not null
           union select record_id from scan_notes
           union select parent_id from visits
           union select user_id from bulk_rows where user_id is not null"#
    )
    .fetch(connection);
    let mut wanted = BTreeSet::new();
    while let Some(id) = named.try_next().await? {
        if is_wanted(&id) {
            wanted.insert(id);
        }
    }
    Ok(wanted)
}

/// Takes attributes out of the before-images of bulk updates, or all of them. A hash is no value
/// that could be set again, so hashed ones go too.
pub async fn drop_images(
    connection: &mut PgConnection,
    attributes: &[String],
    all: bool,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update bulk_rows set
             old_values = case when $2 then null else old_values - $1::text[] end,
             new_values = case when $2 then null else new_values - $1::text[] end
         where $2 or old_values ?| $1 or new_values ?| $1",
        attributes,
        all,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes them. Of comparisons and answers about many people only what is about this one goes.
pub async fn remove(connection: &mut PgConnection, user_id: &str) -> Result<(), sqlx::Error> {
    let forms = forms(user_id);
    sqlx::query!(
        "delete from rejects where record_id = $1 or exists (select from unnest($2::text[]) form where strpos(record, form) > 0)",
        user_id,
        &forms,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "delete from scan_notes where record_id = $1 or $1 = any (string_to_array(record_id, ' '))",
        user_id,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "delete from deletion_candidates where $1 = any (record_key)",
        user_id,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("delete from visits where parent_id = $1", user_id)
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        "delete from bulk_rows r where user_id = $1
             or user_id is null and (
                 identifier = $1
                 or exists (select from users u where u.user_id = $1 and lower(r.identifier) in (lower(u.email), lower(u.username)))
                 or exists (select from user_foreign_keys f where f.user_id = $1 and r.identifier = f.key)
             )",
        user_id,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update bulk_chunks set answer = null where exists (select from unnest($1::text[]) form where strpos(answer, form) > 0)",
        &forms,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update verifications set differences = (
             select coalesce(jsonb_agg(d), '[]') from jsonb_array_elements(differences) d where d ->> 'user_id' <> $1
         )
         where differences @> jsonb_build_array(jsonb_build_object('user_id', $1::text))",
        user_id,
    )
    .execute(connection)
    .await?;
    Ok(())
}
