//! The third part of planning: what a row would change.

use std::sync::Arc;

use serde::{Serialize, Serializer as _};
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::check::Checked;
use super::look::Found;
use crate::bulk::field::Fields;
use crate::bulk::push::EMAIL;
use crate::bulk::settings::Wire;
use crate::bulk::{equality, wire};
use csv_intake::complaint::Complaint;
use mirror::load::people::Named;
use mirror::state::bulk::rows::{Action, New, State, Values};
use privacy::HashKey;
use record::By;

/// Bytes of an object of some attributes.
const OBJECT: usize = 128;

/// What is to be said and counted about a row, beside what goes into the ledger.
#[derive(Debug)]
pub(super) struct Compared {
    pub(super) changes: Vec<Change>,
    pub(super) complaints: Vec<Complaint>,
}

/// A value that changes.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) slug: Arc<str>,
    pub(super) before: Option<Box<RawValue>>,
    pub(super) after: Box<RawValue>,
}

/// Compares.
pub(super) struct Compare {
    pub(super) by: By,
    /// The column that names them, as the header has it.
    pub(super) column: String,
    /// The key under which the mirror keeps names as hashes, if it does.
    pub(super) hashing: Option<HashKey>,
    /// Whether the mirror holds addresses as they are.
    pub(super) keeps_email: bool,
    pub(super) slugs: Vec<Arc<str>>,
    pub(super) fields: Arc<Fields>,
    pub(super) wire: Wire,
}

impl Compare {
    /// Takes batches until there are no more, and hands on what became of them.
    pub(super) fn all(
        &self,
        mut batches: mpsc::Receiver<Vec<Found>>,
        out: &mpsc::Sender<Vec<(New, Compared)>>,
    ) {
        while let Some(batch) = batches.blocking_recv() {
            let compared = batch.into_iter().map(|Found { row, named, lower }| {
                let (mut new, compared) = self.row(row, &named, lower);
                // The ledger keeps of people what the mirror keeps.
                if let Some(key) = &self.hashing {
                    new.identifier = new.identifier.map(|name| key.hash_value(&name));
                }
                (new, compared)
            });
            // Whoever does not take it any more has failed, and says why.
            if out.blocking_send(compared.collect()).is_err() {
                break;
            }
        }
    }

    fn row(&self, row: Checked, named: &[Named], lower: bool) -> (New, Compared) {
        if !row.complaints.is_empty() {
            return rejected(row);
        }
        let mut living = named
            .iter()
            .filter(|named| named.deleted_at.is_none() && !named.pushed_away);
        match (living.next(), living.count()) {
            (Some(user), 0) => self.of_user(row, user),
            (Some(_), others) => self.complain(
                row,
                &format!(
                    "{} users have this {}; name the one who is meant by user_id",
                    others + 1,
                    self.what()
                ),
            ),
            (None, _) => {
                let reason = self.nobody(named, lower);
                self.complain(row, &reason)
            }
        }
    }

    fn what(&self) -> String {
        match &self.by {
            By::UserId => "user_id".into(),
            By::Email => "e-mail address".into(),
            By::Username => "user name".into(),
            By::ForeignKey(system) => format!("key in {system}"),
        }
    }

    fn nobody(&self, named: &[Named], lower: bool) -> String {
        if named.iter().any(|named| named.pushed_away) {
            return "this user was deleted by an earlier push".into();
        }
        if let Some(at) = named.iter().find_map(|named| named.deleted_at) {
            return format!(
                "this user no longer exists, as a sync found on {}",
                at.format("%Y-%m-%d")
            );
        }
        let what = self.what();
        if lower {
            format!("no user has this {what}, but one has it in lower case")
        } else {
            format!("no user in the mirror has this {what}")
        }
    }

    fn complain(&self, mut row: Checked, reason: &str) -> (New, Compared) {
        row.complaints.push(Complaint::about_cell(
            row.line.unsigned_abs(),
            &self.column,
            &row.identifier,
            reason,
        ));
        rejected(row)
    }

    fn of_user(&self, row: Checked, user: &Named) -> (New, Compared) {
        let changes = self.changes(&row, user);
        let state = match row.action {
            Action::Set if changes.is_empty() => State::Unchanged,
            Action::Set | Action::Delete => State::Planned,
        };
        let (old_values, new_values) = match row.action {
            Action::Delete => (object(&self.image(user)), None),
            Action::Set if changes.is_empty() => (None, None),
            Action::Set => (
                object(
                    changes
                        .iter()
                        .map(|change| (&*change.slug, change.before.as_deref())),
                ),
                object(changes.iter().map(|change| (&*change.slug, &*change.after))),
            ),
        };
        let new = New {
            row_number: row.number,
            line: row.line,
            identifier: Some(row.identifier),
            user_id: Some(user.user_id.clone()),
            action: row.action,
            registered_at: user.registered_at,
            old_values,
            new_values,
            state,
            message: None,
        };
        let complaints = Vec::new();
        (
            new,
            Compared {
                changes,
                complaints,
            },
        )
    }

    /// What is kept of somebody who is to be deleted: what tells them from somebody else under the
    /// same id.
    fn image(&self, user: &Named) -> Values {
        let email = user.email.as_deref().filter(|_| self.keeps_email);
        email
            .map(|email| (EMAIL.to_owned(), wire::string(email)))
            .into_iter()
            .collect()
    }

    fn changes(&self, row: &Checked, user: &Named) -> Vec<Change> {
        let mut changes = Vec::new();
        for ((slug, wanted), present) in self.slugs.iter().zip(&row.values).zip(&user.values) {
            let Some(wanted) = wanted else {
                continue;
            };
            let present = present.as_deref();
            let stored: Option<&RawValue> =
                present.and_then(|json| serde_json::from_str(json).ok());
            let is_so = match self.fields.get(slug) {
                Some(field) => field.says(stored, wanted),
                None => stored.map(equality::text).unwrap_or_default() == *wanted,
            };
            if !is_so {
                changes.push(Change {
                    slug: slug.clone(),
                    before: stored.map(ToOwned::to_owned),
                    after: wire::value(&self.fields, slug, wanted, stored, self.wire),
                });
            }
        }
        changes
    }
}

/// Attributes and their values as JSON, without a tree in between.
fn object(values: impl IntoIterator<Item = (impl Serialize, impl Serialize)>) -> Option<String> {
    let mut out = Vec::with_capacity(OBJECT);
    serde_json::Serializer::new(&mut out)
        .collect_map(values)
        .ok()?;
    String::from_utf8(out).ok()
}

/// A row that is left out, for what was said about it.
fn rejected(row: Checked) -> (New, Compared) {
    let new = reject(
        row.number,
        row.line,
        row.identifier,
        row.action,
        &row.complaints,
    );
    let compared = Compared {
        changes: Vec::new(),
        complaints: row.complaints,
    };
    (new, compared)
}

/// The ledger's row for a row that is left out.
pub(super) fn reject(
    row_number: i64,
    line: i64,
    identifier: String,
    action: Action,
    complaints: &[Complaint],
) -> New {
    let reasons: Vec<String> = complaints.iter().map(Complaint::beside_its_row).collect();
    New {
        row_number,
        line,
        // What Postgres cannot store is a reason to be left out, and shown as a cell that is no
        // text is.
        identifier: Some(identifier.replace('\0', "\u{FFFD}"))
            .filter(|identifier| !identifier.is_empty()),
        user_id: None,
        action,
        registered_at: None,
        old_values: None,
        new_values: None,
        state: State::Rejected,
        message: Some(reasons.join("; ")),
    }
}
