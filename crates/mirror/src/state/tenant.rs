//! Whose mirror it is, as it was written down: the tenant's address, and the keys that are known to
//! lead to it.

use sqlx::{PgConnection, PgExecutor};

/// What is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// The address of the tenant.
    pub address: Option<String>,
    /// Whether the address and the key that were asked about are known to lead to it.
    pub is_known: bool,
}

/// What is written down; none where the bookkeeping is not there yet, or is older than this.
pub async fn noted(
    connection: &mut PgConnection,
    address: &str,
    key_check: Option<&[u8]>,
) -> Result<Option<Noted>, sqlx::Error> {
    let is_there =
        sqlx::query_scalar!(r#"select to_regclass('tenant_keys') is not null as "is_there!""#)
            .fetch_one(&mut *connection)
            .await?;
    if !is_there {
        return Ok(None);
    }
    let noted = sqlx::query_as!(
        Noted,
        r#"select (select address from tenant) as "address",
                  exists (select from tenant_keys where address = $1 and key_check = $2) as "is_known!""#,
        address,
        key_check,
    )
    .fetch_one(connection)
    .await?;
    Ok(Some(noted))
}

/// Notes that the mirror is of the tenant at this address, whatever was noted before.
pub async fn note(executor: impl PgExecutor<'_>, address: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into tenant as t (address) values ($1)
         on conflict (only_one) do update set address = excluded.address, noted_at = excluded.noted_at where t.address <> excluded.address",
        address
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Notes that this key leads to the tenant at this address.
pub async fn know(
    executor: impl PgExecutor<'_>,
    address: &str,
    key_check: &[u8],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into tenant_keys (address, key_check) values ($1, $2) on conflict do nothing",
        address,
        key_check,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Forgets which keys lead to the tenant.
pub async fn forget_keys(executor: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from tenant_keys")
        .execute(executor)
        .await?;
    Ok(())
}
