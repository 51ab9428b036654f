//! A plan and what became of it, as text that a person can forward.

use crate::bulk::document::{Document, Documents};
use crate::bulk::results::change;
use crate::bulk::undo::Impossible;
use crate::cli::exit::Exit;
use crate::cli::output::{printable, table, thousands};
use csv_intake::complaint::cut;
use mirror::state::bulk::plans::Plan;
use mirror::state::bulk::rows::Outcomes;

/// Complaints that a preview shows; JSON shows more, and the rejects file all.
const COMPLAINTS: usize = 10;

impl Document {
    /// How a push of it ends.
    pub(super) fn exit(&self) -> Exit {
        if self.outcomes.failed + self.outcomes.unknown > 0 {
            Exit::Rejects
        } else {
            Exit::Done
        }
    }

    /// What it would change, or did.
    pub(in crate::cli) fn preview(&self) -> String {
        let Some(plan) = &self.plan else {
            let rows = self.rows_rejected.unwrap_or_default();
            return printable(&format!(
                "None of the {} rows can be planned, so there is no plan.\n{}",
                thousands(rows),
                self.complained()
            ));
        };
        let mut text = heading(plan);
        text.push_str(&counts(plan));
        text.push_str(&totals(plan));
        text.push_str(&as_text(plan));
        text.push_str(&self.sampled());
        text.push_str(&self.complained());
        for warning in self.warnings.iter().flatten() {
            text.push_str(&format!("Not checked: {warning}\n"));
        }
        if let Some(impossible) = self.impossible {
            text.push_str(&left_behind(impossible));
        }
        text.push_str(&match self.status {
            "planned" if plan.rows_planned == 0 => "There is nothing to send.\n".to_owned(),
            "planned" => format!(
                "Nothing was sent. `zephr-sync bulk apply {} --yes{}` sends this plan and nothing else.\n",
                plan.plan_id,
                if plan.rows_deleting > 0 { " --allow-deletes" } else { "" }
            ),
            _ => self.became(plan),
        });
        printable(&text)
    }

    /// What it would change, in numbers alone: what services collect of stderr should hold nobody's
    /// values.
    pub(super) fn brief(&self) -> String {
        match &self.plan {
            Some(plan) => printable(&format!(
                "{}{}{}{}",
                heading(plan),
                counts(plan),
                totals(plan),
                as_text(plan)
            )),
            None => self.preview(),
        }
    }

    /// What became of it.
    pub(in crate::cli) fn report(&self) -> String {
        match &self.plan {
            Some(plan) => printable(&format!(
                "{}{}{}",
                heading(plan),
                self.became(plan),
                as_text(plan)
            )),
            None => self.preview(),
        }
    }

    fn became(&self, plan: &Plan) -> String {
        let Outcomes {
            planned,
            sent,
            succeeded,
            failed,
            unknown,
            confirmed,
            refuted,
        } = self.outcomes;
        let mut text = format!(
            "{} of {} rows were done, {} failed, {} are unknown.\n",
            thousands(succeeded),
            thousands(plan.rows_planned),
            thousands(failed),
            thousands(unknown)
        );
        // Changed by others to what was planned, between plan and push.
        let in_place = plan.rows_planned - succeeded - failed - unknown - planned - sent;
        if in_place > 0 {
            text.push_str(&format!(
                "{} were in place already, and nothing was sent for them.\n",
                thousands(in_place)
            ));
        }
        let by = plan.applied_by.as_deref().unwrap_or_default();
        if let (Some(from), Some(until)) = (plan.applied_at, plan.finished_at) {
            text.push_str(&format!(
                "Applied by {by} from {} to {} UTC.\n",
                time(from),
                time(until)
            ));
        }
        let id = plan.plan_id;
        if planned + sent > 0 {
            text.push_str(&format!(
                "{} rows have no outcome yet: `zephr-sync bulk resume {id}` carries on.\n",
                thousands(planned + sent)
            ));
        }
        if confirmed + refuted > 0 {
            text.push_str(&format!(
                "Syncs have seen {} of them in the mirror; {} did not arrive.\n",
                thousands(confirmed),
                thousands(refuted)
            ));
        }
        if unknown > 0 {
            text.push_str(&format!(
                "Nothing tells whether the unknown ones were done. `zephr-sync bulk resume {id}` looks again; --assume sent or --assume unsent settles them.\n"
            ));
        }
        if plan.finished_at.is_some() && plan.rows_planned > 0 {
            text.push_str(&format!("`zephr-sync bulk results {id}` tells of each row; `zephr-sync bulk undo {id}` plans the way back.\n"));
        }
        for undo in &self.undone_by {
            text.push_str(&format!("Plan {undo} takes it back.\n"));
        }
        text
    }

    fn sampled(&self) -> String {
        if self.sample.is_empty() {
            return String::new();
        }
        let rows: Vec<_> = self
            .sample
            .iter()
            .map(|row| {
                let user = row.identifier.as_ref().or(row.user_id.as_ref());
                [
                    row.line.to_string(),
                    cut(user.map_or("", String::as_str)),
                    change(row, cut),
                ]
            })
            .collect();
        format!("\n{}\n", table(["line", "user", "change"], &rows))
    }

    fn complained(&self) -> String {
        let complaints = self.complaints.as_deref().unwrap_or_default();
        let mut text = String::new();
        if complaints.is_empty() {
            return text;
        }
        let (rows, rejects) = match &self.plan {
            Some(plan) => (plan.rows_rejected, &plan.rejects_path),
            None => (self.rows_rejected.unwrap_or_default(), &self.rejects_path),
        };
        text.push_str(&format!("{} rows are left out:\n", thousands(rows)));
        for complaint in complaints.iter().take(COMPLAINTS) {
            text.push_str(&format!("  {complaint}\n"));
        }
        if complaints.len() > COMPLAINTS {
            text.push_str("  …\n");
        }
        if let Some(path) = rejects {
            text.push_str(&format!("All of them are in {path}, with the reason in front; correct them there and plan that file.\n"));
        }
        text
    }
}

impl Documents {
    /// A line each.
    pub(super) fn listed(&self) -> String {
        let rows: Vec<_> = self
            .plans
            .iter()
            .filter_map(|document| {
                let plan = document.plan.as_ref()?;
                Some([
                    plan.plan_id.to_string(),
                    time(plan.created_at),
                    named(plan),
                    document.status.to_owned(),
                    thousands(plan.rows_planned),
                    thousands(document.outcomes.succeeded),
                    thousands(document.outcomes.failed),
                    thousands(document.outcomes.unknown),
                ])
            })
            .collect();
        if rows.is_empty() {
            return "Nothing was planned yet. `zephr-sync bulk plan FILE` makes a plan of a CSV file.\n".into();
        }
        let headings = [
            "plan",
            "planned (UTC)",
            "of",
            "status",
            "rows",
            "done",
            "failed",
            "unknown",
        ];
        table(headings, &rows)
    }

    /// What became of each.
    pub(super) fn reports(&self) -> String {
        if self.plans.is_empty() {
            return "There is nothing to resume.\n".into();
        }
        let reports: Vec<String> = self.plans.iter().map(Document::report).collect();
        reports.join("\n")
    }
}

fn time(at: chrono::DateTime<chrono::Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

fn named(plan: &Plan) -> String {
    match (&plan.file_name, plan.undo_of) {
        (Some(name), _) => name.clone(),
        (None, Some(undone)) => format!("undo of {undone}"),
        (None, None) => String::new(),
    }
}

fn heading(plan: &Plan) -> String {
    let compared = match plan.synced_at {
        Some(at) => format!(", compared with the mirror as of {} UTC", time(at)),
        None => String::new(),
    };
    format!("Plan {} ({}){compared}\n", plan.plan_id, named(plan))
}

fn counts(plan: &Plan) -> String {
    let deleting = if plan.rows_deleting > 0 {
        format!(" ({} of them delete a user)", thousands(plan.rows_deleting))
    } else {
        String::new()
    };
    format!(
        "{} rows: {} change something{deleting}, {} change nothing, {} are left out\n",
        thousands(plan.rows_read),
        thousands(plan.rows_planned),
        thousands(plan.rows_skipped),
        thousands(plan.rows_rejected)
    )
}

fn totals(plan: &Plan) -> String {
    if plan.totals.is_empty() {
        return String::new();
    }
    let rows: Vec<_> = plan
        .totals
        .iter()
        .map(|total| {
            [
                total.attribute.clone(),
                thousands(total.rows),
                thousands(total.added),
                thousands(total.changed),
                thousands(total.cleared),
            ]
        })
        .collect();
    let headings = ["attribute", "rows", "had none", "had another", "cleared"];
    format!("\n{}", table(headings, &rows))
}

/// What becomes of numbers and booleans, which Zephr documents no way to send.
fn as_text(plan: &Plan) -> String {
    let changing = plan.totals.iter().filter(|total| total.to_text > 0);
    let which: Vec<String> = changing
        .map(|total| format!("{} of {}", thousands(total.to_text), total.attribute))
        .collect();
    if which.is_empty() {
        return String::new();
    }
    let which = which.join(", ");
    let instead = "`values = \"typed\"` under [bulk] sends them as what they are, which Zephr does not document.";
    match (plan.undo_of, plan.status()) {
        (Some(_), _) => format!(
            "Numbers and true/false come back as text, which Zephr documents as the only form of a value: {which} were something else before the push. {instead}\n"
        ),
        (None, "finished") => format!(
            "Numbers and true/false went out as text: {which}. Unless Zephr turned them back they are text there now, which a sync takes for the same value, and the way back sends text too. {instead}\n"
        ),
        (None, _) => format!(
            "Numbers and true/false go out as text, which Zephr documents as the only form of a value: {which} become text there, unless Zephr turns them back, and an undo sends text as well. {instead}\n"
        ),
    }
}

fn left_behind(impossible: Impossible) -> String {
    let Impossible {
        deletions,
        had_no_value,
        no_text,
        unknown,
    } = impossible;
    let mut text = String::new();
    let mut say = |count: i64, what: &str| {
        if count > 0 {
            text.push_str(&format!("Not taken back: {} {what}\n", thousands(count)));
        }
    };
    say(deletions, "deletions, which nothing brings back.");
    say(
        had_no_value,
        "values of attributes that had none before: Zephr documents no way to clear one. --clear sends an empty value.",
    );
    say(
        no_text,
        "values that were lists or objects before, which no update can say.",
    );
    say(
        unknown,
        "rows of which nobody knows whether they were done; `bulk resume` first.",
    );
    text
}
