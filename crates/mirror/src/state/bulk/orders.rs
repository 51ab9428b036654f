//! Plans that somebody asked the daemons to apply. Postgres is the only coordinator: whoever takes
//! an order holds the lease of pushes while it works on it, and an order without an end whose
//! holder is gone is taken up by the next.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{PgExecutor, query, query_as, query_scalar};
use utoipa::ToSchema;
use uuid::Uuid;

/// A plan that was asked to be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[expect(
    missing_docs,
    reason = "each is the column of that name, and the columns carry comments"
)]
pub struct Order {
    pub plan_id: Uuid,
    pub allow_changes: bool,
    pub allow_deletes: bool,
    pub ordered_by: String,
    pub ordered_at: DateTime<Utc>,
    pub taken_by: Option<String>,
    pub taken_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub error: Option<String>,
    pub remedy: Option<String>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
#[expect(
    missing_docs,
    reason = "each is the column of that name, and the columns carry comments"
)]
pub struct New<'a> {
    pub plan_id: Uuid,
    pub allow_changes: bool,
    pub allow_deletes: bool,
    pub ordered_by: &'a str,
}

/// Asks for a plan to be applied. One that was asked for and has ended may be asked for again;
/// answers false while it is under way.
///
/// # Errors
/// As sqlx; there is no such plan.
pub async fn place(executor: impl PgExecutor<'_>, new: &New<'_>) -> Result<bool, sqlx::Error> {
    let placed = query!(
        "insert into bulk_orders (plan_id, allow_changes, allow_deletes, ordered_by) values ($1, $2, $3, $4)
         on conflict (plan_id) do update
         set allow_changes = excluded.allow_changes, allow_deletes = excluded.allow_deletes, ordered_by = excluded.ordered_by,
             ordered_at = excluded.ordered_at, taken_by = null, taken_at = null, ended_at = null, error = null, remedy = null
         where bulk_orders.ended_at is not null",
        new.plan_id,
        new.allow_changes,
        new.allow_deletes,
        new.ordered_by,
    )
    .execute(executor)
    .await?;
    Ok(placed.rows_affected() == 1)
}

/// Takes the oldest order that has no end, as this holder. Whether somebody is at work on it is for
/// the lease of pushes to say: look there first.
pub async fn take(
    executor: impl PgExecutor<'_>,
    holder: &str,
) -> Result<Option<Order>, sqlx::Error> {
    query_as!(
        Order,
        "update bulk_orders set taken_by = $1, taken_at = clock_timestamp()
         where plan_id = (select plan_id from bulk_orders where ended_at is null order by ordered_at, plan_id for update skip locked limit 1)
         returning plan_id, allow_changes, allow_deletes, ordered_by, ordered_at, taken_by, taken_at, ended_at, error, remedy",
        holder,
    )
    .fetch_optional(executor)
    .await
}

/// Says how an order ended: with an outcome of each row, or with a reason why not and what to do.
/// Answers when, or none if it had an end already, or was placed anew since it was taken: then what
/// is said here is not about it.
pub async fn end(
    executor: impl PgExecutor<'_>,
    order: &Order,
    trouble: Option<(&str, &str)>,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    let (error, remedy) = trouble.unzip();
    query_scalar!(
        r#"update bulk_orders set ended_at = clock_timestamp(), error = $3, remedy = $4
           where plan_id = $1 and ordered_at = $2 and ended_at is null
           returning ended_at as "ended_at!""#,
        order.plan_id,
        order.ordered_at,
        error,
        remedy,
    )
    .fetch_optional(executor)
    .await
}

/// The order of a plan, if it was ever asked for.
pub async fn of(
    executor: impl PgExecutor<'_>,
    plan_id: Uuid,
) -> Result<Option<Order>, sqlx::Error> {
    query_as!(
        Order,
        "select plan_id, allow_changes, allow_deletes, ordered_by, ordered_at, taken_by, taken_at, ended_at, error, remedy
         from bulk_orders where plan_id = $1",
        plan_id,
    )
    .fetch_optional(executor)
    .await
}
