//! What was pushed, seen in the mirror: a sync that began after a push tells whether the values
//! really arrived.
//!
//! A full scan has seen everybody. An incremental one tells only of the users it wrote: that it
//! shows nothing of somebody may also mean that a push does not count as an update there (contract
//! section 5.1).

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Error;
use super::run::Run;
use crate::bulk::equality::same;
use crate::bulk::field::Fields;
use mirror::state::bulk::plans;
use mirror::state::bulk::rows::{self, Action, Unconfirmed};
use mirror::state::runs;
use telemetry::field;

/// Rows that are looked at in one transaction.
const BATCH: i64 = 500;

/// What a sync saw of a row.
#[derive(Debug, PartialEq, Eq)]
enum Sight {
    Arrived,
    /// It did not, and this is what is to be said.
    Missing(String),
}

impl Run<'_> {
    /// Looks for what was pushed before the scan that this run brought to its end began. `scan_id`
    /// is that of a full scan.
    pub(super) async fn confirm_pushes(&self, scan_id: Option<Uuid>) -> Result<(), Error> {
        let began = match scan_id {
            Some(scan_id) => runs::scan_began(self.pool, scan_id).await?,
            None => runs::get(self.pool, self.run_id)
                .await?
                .map(|run| run.started_at),
        };
        let Some(began) = began else {
            return Ok(());
        };
        let only_of_run = scan_id.is_none().then_some(self.run_id);
        let mut after = (String::new(), Uuid::nil());
        let mut schema: Option<(Uuid, Fields)> = None;
        loop {
            let batch =
                rows::unconfirmed(self.pool, began, only_of_run, (&after.0, after.1), BATCH)
                    .await?;
            let Some(last) = batch.last() else {
                return Ok(());
            };
            after = (last.user_id.clone(), last.plan_id);
            let (mut arrived, mut refuted) = (Vec::new(), Vec::new());
            for row in &batch {
                let fields = match &schema {
                    Some((plan_id, fields)) if *plan_id == row.plan_id => fields,
                    Some(_) | None => {
                        let plan = plans::get(self.pool, row.plan_id).await?;
                        let fields = plan
                            .map(|plan| Fields::parse(&plan.fields))
                            .unwrap_or_default();
                        &schema.insert((row.plan_id, fields)).1
                    }
                };
                match see(fields, row, began) {
                    Sight::Arrived => arrived.push((row.plan_id, row.row_number)),
                    Sight::Missing(said) => refuted.push((row.plan_id, row.row_number, said)),
                }
            }
            let mut transaction = self.transaction().await?;
            rows::seen(&mut transaction, &arrived, &refuted).await?;
            let counts = (arrived.len() as i64, refuted.len() as i64);
            runs::note_pushes(&mut *transaction, self.run_id, counts.0, counts.1).await?;
            transaction.commit().await?;
            if !refuted.is_empty() {
                tracing::warn!({ field::RUN } = %self.run_id, { field::REFUTED } = refuted.len(), "pushed values did not arrive");
            }
        }
    }
}

fn see(fields: &Fields, row: &Unconfirmed, began: DateTime<Utc>) -> Sight {
    let is_another = row.registered_at.is_some()
        && row.present_registered_at.is_some()
        && row.registered_at != row.present_registered_at;
    let said = |what: String| {
        Sight::Missing(format!(
            "the sync of {} saw {what}",
            began.format("%Y-%m-%d %H:%M UTC")
        ))
    };
    match row.action {
        Action::Delete if !row.living || is_another => Sight::Arrived,
        Action::Delete => said("the user still there".into()),
        // Whoever pushed later saw the values before they sent theirs.
        Action::Set if row.deleted_later => Sight::Arrived,
        Action::Set if !row.living || is_another => said("the user no longer there".into()),
        Action::Set => {
            let present = row.present.as_ref();
            let pushed = row.new_values.iter().flat_map(|values| values.iter());
            let missing: Vec<&str> = pushed
                .filter(|(slug, _)| !row.set_later.contains(slug))
                .filter(|(slug, value)| {
                    let present = present
                        .and_then(|values| values.get(*slug))
                        .map(AsRef::as_ref);
                    !same(fields, slug, present, Some(value))
                })
                .map(|(slug, _)| slug.as_str())
                .collect();
            if missing.is_empty() {
                Sight::Arrived
            } else {
                said(format!("another value of {}", missing.join(", ")))
            }
        }
    }
}
