//! The way back: a plan that sets again what another plan's rows found. Made from the ledger alone,
//! so it is possible right after the push, and only of what is known to have been done.

use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::Error;
use super::equality;
use super::field::Fields;
use super::settings::Wire;
use super::wire;
use mirror::postgres::connect::Database;
use mirror::state::bulk::plans::{self, New as NewPlan, Plan, Sums};
use mirror::state::bulk::rows::{self, Action, New, Row, State, Values};

/// Rows that are held at once.
const BATCH: i64 = 1_000;

/// What the rows of a way back name users by.
const USER_ID: &str = "user_id";

/// What cannot be taken back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Impossible {
    /// Rows that deleted a user.
    pub deletions: i64,
    /// Values of attributes that had none before: the API has no documented way to clear (contract
    /// section 12.1).
    pub had_no_value: i64,
    /// Values that were no text, as lists are: the API sets text.
    pub no_text: i64,
    /// Rows of which nobody knows whether they were done.
    pub unknown: i64,
}

impl Impossible {
    /// Whether everything can be taken back.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// How a plan is taken back.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether an empty value is sent where there was none before.
    pub clear: bool,
    /// How values go out.
    pub wire: Wire,
}

/// Plans the way back; nothing is sent. Answers the new plan, and what it leaves out.
///
/// # Errors
/// The plan is not finished, or there is nothing to take back.
pub async fn plan(
    database: &Database,
    plan_id: Uuid,
    options: Options,
    operator: &str,
) -> Result<(Uuid, Impossible), Error> {
    let mut connection = database.connect().await?;
    let undone = plans::get(&mut connection, plan_id)
        .await?
        .ok_or(Error::NoPlan(plan_id))?;
    if undone.applied_at.is_none() {
        return Err(Error::NotApplied(plan_id));
    }
    if undone.finished_at.is_none() {
        return Err(Error::NotFinished(plan_id));
    }
    let mut way_back = WayBack {
        fields: Fields::parse(&undone.fields),
        options,
        sums: Sums::default(),
        impossible: Impossible {
            unknown: rows::outcomes(&mut connection, plan_id).await?.unknown,
            ..Impossible::default()
        },
    };
    let undo_id = Uuid::now_v7();
    let mut transaction = sqlx::Connection::begin(&mut connection).await?;
    plans::add(&mut transaction, &new_plan(undo_id, &undone, operator)).await?;
    let mut after = 0;
    loop {
        let done =
            rows::in_state(&mut *transaction, plan_id, State::Succeeded, after, BATCH).await?;
        let Some(last) = done.last() else {
            break;
        };
        after = last.row_number;
        let new: Vec<New> = done.iter().map(|row| way_back.row(row)).collect();
        rows::add(&mut transaction, undo_id, &new).await?;
    }
    if way_back.sums.rows_planned == 0 {
        transaction.rollback().await?;
        return Err(Error::NothingToUndo(plan_id));
    }
    plans::sum_up(&mut transaction, undo_id, &way_back.sums, None, None).await?;
    transaction.commit().await?;
    Ok((undo_id, way_back.impossible))
}

fn new_plan<'a>(undo_id: Uuid, undone: &'a Plan, operator: &'a str) -> NewPlan<'a> {
    NewPlan {
        plan_id: undo_id,
        file_name: None,
        file_path: None,
        file_hash: None,
        identifier: USER_ID,
        created_by: operator,
        undo_of: Some(undone.plan_id),
        fields: &undone.fields,
        synced_at: None,
    }
}

struct WayBack {
    fields: Fields,
    options: Options,
    sums: Sums,
    impossible: Impossible,
}

impl WayBack {
    /// The inverse of a row, or a row that says why there is none.
    fn row(&mut self, row: &Row) -> New {
        self.sums.rows_read += 1;
        let (after, why) = match row.action {
            Action::Delete => {
                self.impossible.deletions += 1;
                (
                    Values::new(),
                    vec!["a deletion cannot be taken back".to_owned()],
                )
            }
            Action::Set => self.values(row),
        };
        let message = Some(why.join("; ")).filter(|why| !why.is_empty());
        let new = |state, user_id, before: &Values, after: &Values| New {
            row_number: row.row_number,
            line: row.line,
            identifier: Some(row.user_id.clone()),
            user_id,
            action: Action::Set,
            registered_at: row.registered_at,
            old_values: serde_json::to_string(before).ok(),
            new_values: serde_json::to_string(after).ok(),
            state,
            message: message.clone(),
        };
        if after.is_empty() {
            self.sums.rows_rejected += 1;
            return new(State::Rejected, None, &Values::new(), &after);
        }
        // What was pushed is what is expected to be there.
        let mut before = row.after().clone();
        before.retain(|slug, _| after.contains_key(slug));
        self.sums.rows_planned += 1;
        for (slug, value) in &after {
            let pushed = before.get(slug).map(AsRef::as_ref);
            // What comes back as text was not always text.
            let as_text = wire::becomes_text(row.before().get(slug).map(AsRef::as_ref), value);
            self.sums.count(slug, pushed, value, as_text);
        }
        new(State::Planned, Some(row.user_id.clone()), &before, &after)
    }

    /// The values that can be set again, and why the others cannot.
    fn values(&mut self, row: &Row) -> (Values, Vec<String>) {
        let mut values = Values::new();
        let mut why = Vec::new();
        for slug in row.after().keys() {
            let before = row.before().get(slug).map(AsRef::as_ref);
            match self.text_before(slug, before) {
                Ok(Some(text)) => {
                    values.insert(slug.clone(), wire::again(before, &text, self.options.wire));
                }
                Ok(None) if self.options.clear => {
                    values.insert(slug.clone(), wire::string(""));
                }
                Ok(None) => {
                    self.impossible.had_no_value += 1;
                    why.push(format!("{slug} had no value before"));
                }
                Err(()) => {
                    self.impossible.no_text += 1;
                    why.push(format!("{slug} held something before that no text can say"));
                }
            }
        }
        (values, why)
    }

    fn text_before(&self, slug: &str, before: Option<&RawValue>) -> Result<Option<String>, ()> {
        match (self.fields.get(slug), before) {
            (Some(field), before) => field.text_of(before).map_err(drop),
            (None, None) => Ok(None),
            (None, Some(before)) => {
                Ok(Some(equality::text(before)).filter(|text| !text.is_empty() && text != "null"))
            }
        }
    }
}
