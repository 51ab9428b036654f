//! What the same rows cost in the database alone, staged and upserted through one connection.

use sqlx::{Connection, Executor, PgConnection};

use super::rows::Rows;

pub const Y_TABLES: &str = "
    create table y (user_id text primary key, document jsonb not null, hash bytea not null, loaded_at timestamptz not null);
    create unlogged table y_stage (user_id text, document jsonb, hash bytea)";

pub const Y_PRIME_STAGES: &str = "
    create unlogged table stage_users (
        user_id text, email text, username text, email_verified boolean, tracking_id text, registered_at timestamptz,
        registration_tenant text, attributes jsonb, extra jsonb, hash bytea
    );
    create unlogged table stage_keys (user_id text, system text, key text)";

pub async fn y(connection: &mut PgConnection, rows: &Rows) -> Result<(), sqlx::Error> {
    for batch in &rows.batches {
        let mut transaction = connection.begin().await?;
        copy(
            &mut transaction,
            "copy y_stage from stdin",
            &batch.documents,
        )
        .await?;
        transaction
            .execute(
                "insert into y select user_id, document, hash, now() from y_stage
                 on conflict (user_id) do update set document = excluded.document, hash = excluded.hash, loaded_at = excluded.loaded_at",
            )
            .await?;
        transaction.execute("truncate y_stage").await?;
        transaction.commit().await?;
    }
    Ok(())
}

pub async fn y_prime(connection: &mut PgConnection, rows: &Rows) -> Result<(), sqlx::Error> {
    for batch in &rows.batches {
        let mut transaction = connection.begin().await?;
        copy(
            &mut transaction,
            "copy stage_users from stdin",
            &batch.users,
        )
        .await?;
        copy(
            &mut transaction,
            "copy stage_keys from stdin",
            &batch.foreign_keys,
        )
        .await?;
        transaction
            .execute(
                "insert into users (user_id, email, username, email_verified, tracking_id, registered_at, registration_tenant, attributes, extra,
                     _zephr_run_id, _zephr_first_seen_at, _zephr_loaded_at, _zephr_extracted_at, _zephr_hash)
                 select user_id, email, username, email_verified, tracking_id, registered_at, registration_tenant, attributes, extra,
                     '00000000-0000-0000-0000-000000000000', now(), now(), now(), hash
                 from stage_users
                 on conflict (user_id) do update set email = excluded.email, username = excluded.username,
                     email_verified = excluded.email_verified, tracking_id = excluded.tracking_id, registered_at = excluded.registered_at,
                     registration_tenant = excluded.registration_tenant, attributes = excluded.attributes, extra = excluded.extra,
                     _zephr_run_id = excluded._zephr_run_id, _zephr_loaded_at = excluded._zephr_loaded_at,
                     _zephr_extracted_at = excluded._zephr_extracted_at, _zephr_hash = excluded._zephr_hash",
            )
            .await?;
        transaction
            .execute(
                "insert into user_foreign_keys (user_id, system, key,
                     _zephr_run_id, _zephr_first_seen_at, _zephr_loaded_at, _zephr_extracted_at, _zephr_hash)
                 select user_id, system, key, '00000000-0000-0000-0000-000000000000', now(), now(), now(), '\\x00'
                 from stage_keys
                 on conflict (user_id, system, key) do update set _zephr_loaded_at = excluded._zephr_loaded_at",
            )
            .await?;
        transaction
            .execute("truncate stage_users, stage_keys")
            .await?;
        transaction.commit().await?;
    }
    Ok(())
}

async fn copy(
    connection: &mut PgConnection,
    statement: &str,
    text: &str,
) -> Result<(), sqlx::Error> {
    let mut copy = connection.copy_in_raw(statement).await?;
    copy.send(text.as_bytes()).await?;
    copy.finish().await?;
    Ok(())
}
