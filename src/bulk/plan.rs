//! A file made into a plan: checked whole, compared with the mirror, stored. Nothing in here can
//! write to the tenant: there is a reader, and no writer.
//!
//! ```text
//! FILE ─► rows ─► cells checked against the tenant's schema ─► who is it, what is there now? ─► compared ─► ledger, one transaction
//!                                                       FILE, once more ─► rows with a complaint ─► rejects CSV
//! ```
//!
//! The four parts work at the same time, each on a batch of its own; memory is those batches,
//! however long the file is.

mod check;
mod compare;
mod duplicates;
mod look;
mod store;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::Connection;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::error::Error;
use super::field::Fields;
use super::progress::Progress;
use super::settings::Wire;
use crate::identity::{self, Access};
use compare::Compare;
use csv_intake::complaint::Complaint;
use csv_intake::{Header, Intake, Reading, Rejects, Row};
use look::Look;
use mirror::load::people;
use mirror::postgres::connect::Database;
use mirror::state::bulk::plans::{self, New as NewPlan, Sums};
use mirror::state::bulk::rows;
use privacy::{Action, Policy};
use record::By;
use zephr::Reader;

/// Batches that wait between two parts.
const WAITING: usize = 2;

/// Of the session that writes a plan: one transaction, in which it waits for rows as long as the
/// file and the mirror take. It holds no lease and keeps nobody from anything.
const UNHURRIED: (&str, &str) = ("idle_in_transaction_session_timeout", "10min");

/// Rows of a rejects file that are fetched at once.
const REJECTS: i64 = 1_000;

/// Where the tenant says what its attributes are (contract section 7).
const SCHEMA: &str = "/v3/schema/users";

/// What planning works with.
#[derive(Debug)]
pub struct Environment {
    /// The mirror, with the ledger.
    pub database: Database,
    /// Asks the tenant for its schema.
    pub reader: Reader,
    /// What the mirror keeps.
    pub policy: Policy,
    /// How values go out.
    pub wire: Wire,
    /// Who plans, for whoever asks later.
    pub operator: String,
    /// Where people see how it goes.
    pub progress: Arc<Progress>,
}

/// What an empty cell means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Empty {
    /// Leave the attribute alone.
    #[default]
    Keep,
    /// Take its value away, by an empty one; whether that clears is not documented.
    Clear,
    /// It is a mistake.
    Error,
}

/// What becomes of the file when it is planned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Origin {
    /// It stays where it is: whoever applies the plan looks whether it changed.
    #[default]
    Stays,
    /// It came from elsewhere, under this name, and is not kept.
    Sent {
        /// For people; none when nobody said it.
        name: Option<String>,
    },
}

impl Origin {
    /// How the file is called, and where it can be found again.
    fn of<'a>(&'a self, path: &'a Path) -> (Option<&'a str>, Option<&'a str>) {
        match self {
            Self::Stays => (
                path.file_name().and_then(|name| name.to_str()),
                path.to_str(),
            ),
            Self::Sent { name } => (name.as_deref(), None),
        }
    }

    /// Where people find the rows that were left out.
    fn shows<'a>(&self, rejects: Option<&'a Path>) -> Option<&'a str> {
        match self {
            Self::Stays => rejects.and_then(Path::to_str),
            // Where they are now is nobody else's business, and not for long.
            Self::Sent { .. } => None,
        }
    }
}

/// How a file is planned.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What becomes of the file.
    pub origin: Origin,
    /// How it is read.
    pub reading: Reading,
    /// What an empty cell means.
    pub empty: Empty,
    /// Where rows with a complaint go; beside the file unless told.
    pub rejects: Option<PathBuf>,
}

/// Complaints that are kept to be shown; all are in the rejects file.
pub const SHOWN: usize = 1_000;

/// What became of a file.
#[derive(Debug, Serialize)]
pub struct Planned {
    /// The plan; none when no row could be planned.
    pub plan_id: Option<Uuid>,
    /// Rows that were left out with a complaint, in all.
    pub rows_rejected: i64,
    /// The first complaints, by line.
    pub complaints: Vec<Complaint>,
    /// Where the rows with a complaint are.
    pub rejects_path: Option<PathBuf>,
    /// What of the tenant's schema was not understood, and so not checked.
    pub warnings: Vec<String>,
    /// How old the mirror is.
    pub synced_at: Option<DateTime<Utc>>,
}

/// Plans a file.
///
/// # Errors
/// The file as a whole cannot be planned, or the mirror or the tenant cannot be asked. Rows that
/// cannot be planned are no error.
pub async fn plan(env: &Environment, path: &Path, options: &Options) -> Result<Planned, Error> {
    let mut connection = env.database.with(&[UNHURRIED]).connect().await?;
    identity::check(&mut connection, &env.reader, Access::Write).await?;
    if !people::any(&mut connection).await? {
        return Err(Error::EmptyMirror);
    }
    let synced_at = plans::mirror_as_of(&mut connection).await?;
    let items = schema(&env.reader).await?;
    let fields = Fields::parse(&items);
    let warnings = fields.warnings().to_vec();
    let intake = open(path, options, &fields, &env.policy).await?;
    let plan_id = Uuid::now_v7();
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (file_name, file_path) = options.origin.of(&absolute);
    let named = NewPlan {
        plan_id,
        file_name,
        file_path,
        // Known when it was read; the constraint wants something until then.
        file_hash: Some(&[]),
        identifier: &intake.header().identifier.by.to_string(),
        created_by: &env.operator,
        undo_of: None,
        fields: &used(&items, intake.header()),
        synced_at,
    };
    let mut transaction = connection.begin().await?;
    plans::add(&mut transaction, &named).await?;
    let (sums, complaints, digest) = rows_into(
        env,
        options.empty,
        &mut transaction,
        plan_id,
        intake,
        fields,
    )
    .await?;
    let rejects_path = match sums.rows_rejected {
        0 => None,
        _ => Some(write_rejects(&mut transaction, plan_id, path, options, digest).await?),
    };
    let only_rejects = sums.rows_rejected > 0 && sums.rows_rejected == sums.rows_read;
    if only_rejects {
        transaction.rollback().await?;
    } else {
        let shown = options.origin.shows(rejects_path.as_deref());
        plans::sum_up(&mut transaction, plan_id, &sums, Some(&digest), shown).await?;
        transaction.commit().await?;
    }
    Ok(Planned {
        plan_id: (!only_rejects).then_some(plan_id),
        rows_rejected: sums.rows_rejected,
        complaints,
        rejects_path,
        warnings,
        synced_at,
    })
}

/// Opens a file whose columns can all be planned.
async fn open(
    path: &Path,
    options: &Options,
    fields: &Fields,
    policy: &Policy,
) -> Result<Intake, Error> {
    let reading = options.reading.clone();
    let owned = path.to_owned();
    let intake = blocking(move || Ok(Intake::open(&owned, &reading)?)).await?;
    let complaints = complaints_about(intake.header(), fields, policy);
    if complaints.is_empty() {
        return Ok(intake);
    }
    let path = path.to_owned();
    Err(Error::Header { path, complaints })
}

/// The tenant's schema as it is now: the mirror's may be a night old.
async fn schema(reader: &Reader) -> Result<Vec<Box<RawValue>>, Error> {
    let listed = reader.list(SCHEMA, None, None, None).await?;
    let items = listed.map(|listed| listed.items).unwrap_or_default();
    if items.is_empty() {
        return Err(Error::NoSchema);
    }
    Ok(items)
}

/// The items of the schema for the columns of the file: what later comparisons of the plan go by.
fn used(items: &[Box<RawValue>], header: &Header) -> Vec<Box<RawValue>> {
    let slugs = || header.attributes.iter().map(|attribute| &attribute.slug);
    let of_one: Vec<(Fields, &Box<RawValue>)> = items
        .iter()
        .map(|item| (Fields::parse(std::slice::from_ref(item)), item))
        .collect();
    let used = of_one
        .into_iter()
        .filter(|(field, _)| slugs().any(|slug| field.get(slug).is_some()));
    used.map(|(_, item)| item.clone()).collect()
}

/// What is wrong with the columns.
fn complaints_about(header: &Header, fields: &Fields, policy: &Policy) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for attribute in &header.attributes {
        let slug = &attribute.slug;
        let reason = match fields.get(slug) {
            None => match fields.nearest(slug) {
                Some(nearest) => format!("is not an attribute of the tenant; did you mean {nearest}?"),
                None => "is not an attribute of the tenant".into(),
            },
            Some(_) => match attribute_is_kept(policy, slug) {
                Action::Keep => continue,
                Action::Hash | Action::Drop => {
                    "is hashed or dropped by the privacy settings, so the mirror does not tell what it is now".into()
                }
            },
        };
        complaints.push(Complaint {
            line: header.line,
            column: Some(slug.clone()),
            value: None,
            reason,
        });
    }
    complaints
}

fn attribute_is_kept(policy: &Policy, slug: &str) -> Action {
    let choices = policy.choices();
    match choices.of("users.attributes") {
        Action::Keep => choices.of(&format!("users.attributes.{slug}")),
        other @ (Action::Hash | Action::Drop) => other,
    }
}

/// What the privacy settings do to what the file names users by.
fn names_are_kept(policy: &Policy, by: &By) -> Result<Action, Error> {
    let column = match by {
        By::UserId => return Ok(Action::Keep),
        By::Email => "users.email",
        By::Username => "users.username",
        By::ForeignKey(_) => "user_foreign_keys.key",
    };
    match policy.choices().of(column) {
        Action::Drop => Err(Error::NotKept(column)),
        kept @ (Action::Keep | Action::Hash) => Ok(kept),
    }
}

/// Brings the rows of a file into the ledger, all four parts at once.
async fn rows_into(
    env: &Environment,
    empty: Empty,
    ledger: &mut sqlx::PgConnection,
    plan_id: Uuid,
    intake: Intake,
    fields: Fields,
) -> Result<(Sums, Vec<Complaint>, csv_intake::Digest), Error> {
    let by = intake.header().identifier.by.clone();
    let column = intake.header().name(intake.header().identifier.column);
    let names = names_are_kept(&env.policy, &by)?;
    let slugs: Vec<Arc<str>> = intake
        .header()
        .attributes
        .iter()
        .map(|attribute| attribute.slug.as_str().into())
        .collect();
    let fields = Arc::new(fields);
    let (checked_in, checked) = mpsc::channel(WAITING);
    let (found_in, found) = mpsc::channel(WAITING);
    let (compared_in, compared) = mpsc::channel(WAITING);
    let checking = {
        let fields = Arc::clone(&fields);
        blocking(move || check::rows(intake, &fields, empty, &checked_in))
    };
    let hashing = match names {
        Action::Hash => env.policy.key().cloned(),
        Action::Keep | Action::Drop => None,
    };
    let look = Look::new(&env.database, by.clone(), hashing.clone(), slugs.clone());
    let compare = Compare {
        by,
        column: column.clone(),
        hashing,
        keeps_email: env.policy.choices().of("users.email") == Action::Keep,
        slugs,
        fields,
        wire: env.wire,
    };
    // A task of its own: taking in what the mirror answers costs as much as all the rest.
    let looking = joined(tokio::spawn(look.all(checked, found_in)));
    let comparing = blocking(move || {
        compare.all(found, &compared_in);
        Ok(())
    });
    let storing = store::Store::new(ledger, plan_id, column, &env.progress);
    let (digest, (), (), (sums, complaints)) =
        tokio::try_join!(checking, looking, comparing, storing.all(compared))?;
    Ok((sums, complaints, digest))
}

/// Writes the rows with a complaint, as they stand in the file, beside what is wrong with them.
async fn write_rejects(
    ledger: &mut sqlx::PgConnection,
    plan_id: Uuid,
    path: &Path,
    options: &Options,
    digest: csv_intake::Digest,
) -> Result<PathBuf, Error> {
    let named = options.rejects.clone();
    let target = named.unwrap_or_else(|| csv_intake::default_rejects_path(path));
    let mut intake = Intake::open(path, &options.reading)?;
    let mut rejects = Rejects::create(&target, path, intake.header())?;
    let mut row = Row::default();
    let mut after = 0;
    loop {
        let rejected = rows::rejected(&mut *ledger, plan_id, after, REJECTS).await?;
        let Some((last, _)) = rejected.last() else {
            break;
        };
        after = *last;
        // The file is read as fast as a disk allows; what is around it waits so long.
        for (number, reason) in rejected {
            while intake.next(&mut row)? {
                if row.number == number.unsigned_abs() {
                    rejects.add(&row, &reason)?;
                    break;
                }
            }
        }
    }
    while intake.next(&mut row)? {}
    if intake.finish()? != digest {
        return Err(Error::FileChanged(path.to_owned()));
    }
    rejects.finish()?;
    Ok(target)
}

/// Runs what reads files or computes for long outside of the tasks that talk to others.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    joined(tokio::task::spawn_blocking(work)).await
}

async fn joined<T>(part: JoinHandle<Result<T, Error>>) -> Result<T, Error> {
    match part.await {
        Ok(done) => done,
        Err(_) => Err(Error::Broken("a part of the planning ended unexpectedly")),
    }
}
