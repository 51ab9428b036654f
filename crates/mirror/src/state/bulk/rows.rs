//! The rows of a plan, with their before-images and outcomes.

mod binary;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use utoipa::ToSchema;
use uuid::Uuid;

use binary::Rows;

/// Attributes by slug, each as JSON; null where there is no value.
pub type Values = BTreeMap<String, Box<RawValue>>;

/// What is done to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, sqlx::Type, ToSchema)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Attributes are set.
    Set,
    /// The user is deleted.
    Delete,
}

impl Action {
    /// Its name in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Delete => "delete",
        }
    }
}

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, sqlx::Type, ToSchema)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is to be sent.
    Planned,
    /// It was written down as sent; the outcome is awaited.
    Sent,
    /// It was done.
    Succeeded,
    /// It was not done; the message says why.
    Failed,
    /// No evidence tells whether it was done.
    Unknown,
    /// It would change nothing, so it is never sent.
    Unchanged,
    /// It cannot be sent; the message says why.
    Rejected,
}

impl State {
    /// Its name in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Sent => "sent",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Unchanged => "unchanged",
            Self::Rejected => "rejected",
        }
    }
}

/// A row as planning makes it.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "each is the column of that name, and the columns carry comments"
)]
pub struct New {
    pub row_number: i64,
    pub line: i64,
    pub identifier: Option<String>,
    pub user_id: Option<String>,
    pub action: Action,
    pub registered_at: Option<DateTime<Utc>>,
    /// JSON.
    pub old_values: Option<String>,
    /// JSON.
    pub new_values: Option<String>,
    pub state: State,
    pub message: Option<String>,
}

/// What [`add`] writes, in its order.
const COPY: &str = "copy bulk_rows (plan_id, row_number, line, identifier, user_id, action, registered_at, old_values, new_values, state, message)
    from stdin with (format binary)";

/// Columns of [`COPY`].
const COLUMNS: i16 = 11;

/// Bytes of a row that has little to say.
const ROW: usize = 256;

/// Adds rows. That no user is in a plan twice is for the caller to see to.
pub async fn add(
    connection: &mut PgConnection,
    plan_id: Uuid,
    rows: &[New],
) -> Result<(), sqlx::Error> {
    let mut out = Rows::with_capacity(rows.len() * ROW);
    for row in rows {
        out.row(COLUMNS);
        out.uuid(plan_id);
        out.bigint(row.row_number);
        out.bigint(row.line);
        out.text(row.identifier.as_deref());
        out.text(row.user_id.as_deref());
        out.text(Some(row.action.name()));
        out.timestamptz(row.registered_at);
        out.jsonb(row.old_values.as_deref());
        out.jsonb(row.new_values.as_deref());
        out.text(Some(row.state.name()));
        out.text(row.message.as_deref());
    }
    let mut copy = connection.copy_in_raw(COPY).await?;
    copy.send(out.finish()).await?;
    copy.finish().await?;
    Ok(())
}

/// The lines of a plan at which these users stand.
pub async fn lines_of(
    executor: impl PgExecutor<'_>,
    plan_id: Uuid,
    users: &[&str],
) -> Result<BTreeMap<String, i64>, sqlx::Error> {
    let found = sqlx::query!(
        // One look into the index for each: the statistics of a plan in the making would make
        // Postgres believe that reading it whole is cheaper.
        r#"select u.user_id as "user_id!", r.line
           from unnest($2::text[]) as u (user_id)
           cross join lateral (select line from bulk_rows where user_id = u.user_id and plan_id = $1 limit 1) r"#,
        plan_id,
        users as &[&str],
    )
    .fetch_all(executor)
    .await?;
    Ok(found
        .into_iter()
        .map(|row| (row.user_id, row.line))
        .collect())
}

/// A row that is to be sent, or was.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "each is the column of that name, and the columns carry comments"
)]
pub struct Row {
    pub row_number: i64,
    pub line: i64,
    pub user_id: String,
    pub action: Action,
    pub registered_at: Option<DateTime<Utc>>,
    pub old_values: Option<Json<Values>>,
    pub new_values: Option<Json<Values>>,
}

impl Row {
    /// The values before.
    pub fn before(&self) -> &Values {
        values(&self.old_values)
    }

    /// The values after.
    pub fn after(&self) -> &Values {
        values(&self.new_values)
    }
}

fn values(stored: &Option<Json<Values>>) -> &Values {
    static NONE: Values = Values::new();
    stored.as_ref().map_or(&NONE, |json| &json.0)
}

/// The rows of a chunk that have no outcome yet.
pub async fn of_chunk(
    executor: impl PgExecutor<'_>,
    plan_id: Uuid,
    chunk: i32,
) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"select row_number, line, user_id as "user_id!", action as "action: Action", registered_at,
                  old_values as "old_values: Json<Values>", new_values as "new_values: Json<Values>"
           from bulk_rows
           where plan_id = $1 and chunk = $2 and state in ('planned', 'sent')
           order by row_number"#,
        plan_id,
        chunk,
    )
    .fetch_all(executor)
    .await
}

/// The rows that were left out with a complaint, after one already seen: number and reason.
pub async fn rejected(
    executor: impl PgExecutor<'_>,
    plan_id: Uuid,
    after: i64,
    limit: i64,
) -> Result<Vec<(i64, String)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select row_number, coalesce(message, '') as "message!" from bulk_rows
           where plan_id = $1 and state = 'rejected' and row_number > $2
           order by row_number
           limit $3"#,
        plan_id,
        after,
        limit,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.row_number, row.message))
        .collect())
}

/// Rows in one state, after a row already seen.
pub async fn in_state(
    executor: impl PgExecutor<'_>,
    plan_id: Uuid,
    state: State,
    after: i64,
    limit: i64,
) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"select row_number, line, user_id as "user_id!", action as "action: Action", registered_at,
                  old_values as "old_values: Json<Values>", new_values as "new_values: Json<Values>"
           from bulk_rows
           where plan_id = $1 and state = $2 and row_number > $3 and user_id is not null
           order by row_number
           limit $4"#,
        plan_id,
        state.name(),
        after,
        limit,
    )
    .fetch_all(executor)
    .await
}

/// An outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The row.
    pub row_number: i64,
    /// What became of it.
    pub state: State,
    /// What is to be said about it.
    pub message: Option<String>,
}

/// Notes outcomes. What was to be said about a row before it had one, as of an undo that leaves a
/// value out, stays.
pub async fn settle(
    connection: &mut PgConnection,
    plan_id: Uuid,
    outcomes: &[Outcome],
) -> Result<(), sqlx::Error> {
    let numbers: Vec<i64> = outcomes.iter().map(|outcome| outcome.row_number).collect();
    let states: Vec<&str> = outcomes
        .iter()
        .map(|outcome| outcome.state.name())
        .collect();
    let messages: Vec<Option<&str>> = outcomes
        .iter()
        .map(|outcome| outcome.message.as_deref())
        .collect();
    let plan_ids = vec![plan_id; outcomes.len()];
    sqlx::query!(
        // The plan stands beside each number, not by itself: of a plan that is younger than the
        // table's statistics Postgres believes that it has hardly a row, and would read all of it
        // for each chunk.
        "update bulk_rows r set state = o.state,
             message = nullif(concat_ws('; ', case when r.state in ('planned', 'sent') then r.message end, o.message), ''),
             settled_at = case when o.state in ('succeeded', 'failed', 'unknown') then clock_timestamp() end
         from unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[]) as o (plan_id, number, state, message)
         where r.plan_id = o.plan_id and r.row_number = o.number",
        &plan_ids,
        &numbers,
        &states as &[&str],
        &messages as &[Option<&str>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Replaces before-images, where a row is sent although the user changed since it was planned: undo
/// then brings back what was there.
pub async fn replace_old(
    connection: &mut PgConnection,
    plan_id: Uuid,
    images: &[(i64, String)],
) -> Result<(), sqlx::Error> {
    let numbers: Vec<i64> = images.iter().map(|(number, _)| *number).collect();
    let values: Vec<&str> = images.iter().map(|(_, values)| values.as_str()).collect();
    let plan_ids = vec![plan_id; images.len()];
    sqlx::query!(
        // As in `settle`.
        "update bulk_rows r set old_values = i.values::jsonb from unnest($1::uuid[], $2::bigint[], $3::text[]) as i (plan_id, number, values)
         where r.plan_id = i.plan_id and r.row_number = i.number",
        &plan_ids,
        &numbers,
        &values as &[&str],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes rows without evidence rows to be sent again; the caller gives them a chunk.
pub async fn plan_again(
    connection: &mut PgConnection,
    plan_id: Uuid,
    rows: &[i64],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update bulk_rows set state = 'planned', settled_at = null, message = null where plan_id = $1 and row_number = any($2)",
        plan_id,
        rows,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// How many rows of a plan are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[expect(missing_docs, reason = "each is the state of that name")]
pub struct Outcomes {
    pub planned: i64,
    pub sent: i64,
    pub succeeded: i64,
    pub failed: i64,
    pub unknown: i64,
    /// Succeeded, and seen in the mirror.
    pub confirmed: i64,
    /// Succeeded as the API said, and not there as a full sync saw.
    pub refuted: i64,
}

impl Outcomes {
    /// Rows that have an outcome.
    pub fn settled(&self) -> i64 {
        self.succeeded + self.failed + self.unknown
    }
}

/// How many rows are in which state.
pub async fn outcomes(
    executor: impl PgExecutor<'_>,
    plan_id: Uuid,
) -> Result<Outcomes, sqlx::Error> {
    sqlx::query_as!(
        Outcomes,
        r#"select count(*) filter (where state = 'planned') as "planned!",
                  count(*) filter (where state = 'sent') as "sent!",
                  count(*) filter (where state = 'succeeded') as "succeeded!",
                  count(*) filter (where state = 'failed') as "failed!",
                  count(*) filter (where state = 'unknown') as "unknown!",
                  count(confirmed_at) as "confirmed!",
                  count(refuted_at) as "refuted!"
           from bulk_rows where plan_id = $1"#,
        plan_id,
    )
    .fetch_one(executor)
    .await
}

/// A row as it is reported.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(
    missing_docs,
    reason = "each is the column of that name, and the columns carry comments"
)]
pub struct Reported {
    pub row_number: i64,
    pub line: i64,
    pub identifier: Option<String>,
    pub user_id: Option<String>,
    pub action: Action,
    pub state: State,
    pub message: Option<String>,
    #[schema(value_type = Option<Object>)]
    pub old_values: Option<Json<Values>>,
    #[schema(value_type = Option<Object>)]
    pub new_values: Option<Json<Values>>,
    pub job_id: Option<String>,
    pub settled_at: Option<DateTime<Utc>>,
    pub confirmed_at: Option<DateTime<Utc>>,
    pub refuted_at: Option<DateTime<Utc>>,
}

/// The rows of a plan in the order of the file, after a row already seen.
pub async fn reported(
    executor: impl PgExecutor<'_>,
    plan_id: Uuid,
    after: i64,
    limit: i64,
) -> Result<Vec<Reported>, sqlx::Error> {
    sqlx::query_as!(
        Reported,
        r#"select row_number, line, identifier, user_id, r.action as "action: Action", r.state as "state: State", message,
                  old_values as "old_values: Json<Values>", new_values as "new_values: Json<Values>", c.job_id as "job_id?",
                  settled_at, confirmed_at, refuted_at
           from bulk_rows r left join bulk_chunks c using (plan_id, chunk)
           where plan_id = $1 and row_number > $2
           order by row_number
           limit $3"#,
        plan_id,
        after,
        limit,
    )
    .fetch_all(executor)
    .await
}

/// The first rows that would change something.
pub async fn sample(
    executor: impl PgExecutor<'_>,
    plan_id: Uuid,
    limit: i64,
) -> Result<Vec<Reported>, sqlx::Error> {
    sqlx::query_as!(
        Reported,
        r#"select row_number, line, identifier, user_id, r.action as "action: Action", r.state as "state: State", message,
                  old_values as "old_values: Json<Values>", new_values as "new_values: Json<Values>", c.job_id as "job_id?",
                  settled_at, confirmed_at, refuted_at
           from bulk_rows r left join bulk_chunks c using (plan_id, chunk)
           where plan_id = $1 and r.state not in ('unchanged', 'rejected')
           order by row_number
           limit $2"#,
        plan_id,
        limit,
    )
    .fetch_all(executor)
    .await
}

/// A row that the API said was done, beside what the mirror holds of the user.
#[derive(Debug)]
pub struct Unconfirmed {
    /// The plan.
    pub plan_id: Uuid,
    /// The row.
    pub row_number: i64,
    /// The user.
    pub user_id: String,
    /// What was done.
    pub action: Action,
    /// When the user who was planned registered.
    pub registered_at: Option<DateTime<Utc>>,
    /// What was set.
    pub new_values: Option<Json<Values>>,
    /// When the living user of that identifier registered, as the mirror holds them.
    pub present_registered_at: Option<DateTime<Utc>>,
    /// Whether the mirror holds a living user of that identifier.
    pub living: bool,
    /// Their attributes, as far as they were set.
    pub present: Option<Json<Values>>,
    /// Attributes that later pushes set too.
    pub set_later: Vec<String>,
    /// Whether a later push deleted the user.
    pub deleted_later: bool,
}

/// The rows that were done before this time and that no sync has seen, after one already looked at.
/// Of users whom a run did not write nothing is told, unless that run saw everybody.
pub async fn unconfirmed(
    executor: impl PgExecutor<'_>,
    before: DateTime<Utc>,
    only_of_run: Option<Uuid>,
    after: (&str, Uuid),
    limit: i64,
) -> Result<Vec<Unconfirmed>, sqlx::Error> {
    let (user_id, plan_id) = after;
    sqlx::query_file_as!(
        Unconfirmed,
        "src/state/bulk/rows/unconfirmed.sql",
        before,
        only_of_run,
        user_id,
        plan_id,
        limit
    )
    .fetch_all(executor)
    .await
}

/// Notes what a sync saw of rows: those that arrived, and those that did not, with what is to be
/// said about these.
pub async fn seen(
    connection: &mut PgConnection,
    arrived: &[(Uuid, i64)],
    refuted: &[(Uuid, i64, String)],
) -> Result<(), sqlx::Error> {
    let (plans, numbers): (Vec<Uuid>, Vec<i64>) = arrived.iter().copied().unzip();
    sqlx::query!(
        "update bulk_rows r set confirmed_at = clock_timestamp() from unnest($1::uuid[], $2::bigint[]) as a (plan_id, number)
         where r.plan_id = a.plan_id and r.row_number = a.number",
        &plans,
        &numbers,
    )
    .execute(&mut *connection)
    .await?;
    let plans: Vec<Uuid> = refuted.iter().map(|(plan, _, _)| *plan).collect();
    let numbers: Vec<i64> = refuted.iter().map(|(_, number, _)| *number).collect();
    let messages: Vec<&str> = refuted.iter().map(|(_, _, said)| said.as_str()).collect();
    sqlx::query!(
        "update bulk_rows r set refuted_at = clock_timestamp(), message = concat_ws('; ', r.message, n.said)
         from unnest($1::uuid[], $2::bigint[], $3::text[]) as n (plan_id, number, said)
         where r.plan_id = n.plan_id and r.row_number = n.number",
        &plans,
        &numbers,
        &messages as &[&str],
    )
    .execute(connection)
    .await?;
    Ok(())
}
