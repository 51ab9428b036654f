//! The view with a typed column per attribute: `user_attributes` follows the tenant's own schema.
//!
//! [`plan`] decides the columns, [`kind`] their types and [`name`] their names, all without a
//! database; [`statements`] spells that out for Postgres, [`catalog`] asks and writes down what
//! there is. The casts and the views that never change are in the migration of typed attributes.

mod catalog;
mod kind;
mod name;
mod plan;
mod statements;

use std::fmt;

use sqlx::{AssertSqlSafe, Executor, PgConnection};

use crate::postgres::ddl::{self, Attempt, Held};
use crate::state::waiting_changes;

use plan::{Freedom, Plan};
use statements::Statements;

/// The view, and what its change is called while it waits.
const VIEW: &str = "user_attributes";
const CHANGE: &str = "its columns follow the tenant's schema";

/// What became of the view.
#[derive(Debug, Default)]
pub struct Refreshed {
    /// Whether it was built; it is left alone while nothing changes.
    pub built: bool,
    /// Columns that it should have, without `user_id`.
    pub columns: usize,
    /// What people should know.
    pub notes: Vec<Note>,
}

impl Refreshed {
    /// Whether others held the view, as an attempt that may be repeated.
    pub fn attempt(self) -> Attempt<Self> {
        let held = self.notes.iter().find_map(|note| match note {
            Note::Waits(held) => Some(held.clone()),
            Note::KeepsType { .. } | Note::NoRoom(_) | Note::NotBuilt(_) => None,
        });
        match held {
            Some(held) => Attempt::Held(held),
            None => Attempt::Done(self),
        }
    }
}

/// Something about the view that is not as the schema says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A column has its old type, because something is built on the view.
    KeepsType {
        /// The column.
        column: String,
        /// The type it keeps.
        has: &'static str,
        /// The type that the schema says.
        wanted: &'static str,
        /// What is built on the view.
        dependents: Vec<String>,
    },
    /// Attributes for which there is no room.
    NoRoom(Vec<String>),
    /// The view stays as it was.
    NotBuilt(&'static str),
    /// The view stays as it was until others are through with it.
    Waits(Held),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeepsType {
                column,
                has,
                wanted,
                dependents,
            } => write!(
                f,
                "user_attributes.{column} stays {has} although the schema says {wanted} now: {} is built on the view. Drop that, run `zephr-sync migrate`, \
                 and make it again.",
                dependents.join(", ")
            ),
            Self::NoRoom(slugs) => write!(
                f,
                "{} attributes have no column in user_attributes, which is full: {}{}.",
                slugs.len(),
                slugs[..slugs.len().min(5)].join(", "),
                if slugs.len() > 5 { ", …" } else { "" }
            ),
            Self::Waits(held) => write!(
                f,
                "user_attributes does not follow the tenant's schema yet: it is held by {held}. The next run tries again"
            ),
            Self::NotBuilt(why) => write!(
                f,
                "user_attributes stays as it was: {why}. `zephr-sync migrate` tries again."
            ),
        }
    }
}

/// Makes `user_attributes` follow `user_schema`, inside the caller's transaction. Whoever reads the
/// view is waited for a moment.
///
/// What stands in the way of the view is told in [`Refreshed::notes`] and undone: the caller's own
/// work is not lost because somebody reads the view for long.
pub async fn refresh(connection: &mut PgConnection) -> Result<Refreshed, sqlx::Error> {
    let (last, waits, now) = catalog::lock(connection).await?;
    let schema = catalog::schema_of_analysts(connection).await?;
    let attributes = catalog::attributes(connection).await?;
    let there = catalog::columns_of_view(connection, &schema).await?;
    let mut known = catalog::known(connection).await?;
    if there.is_empty() {
        // Nobody can have built on columns that are not there, so what is gone need not come back.
        let living = |slug: &str| {
            attributes
                .iter()
                .any(|attribute| attribute.slug == slug && attribute.gone_at.is_none())
        };
        known.retain(|known| living(&known.slug));
    }
    let dependents = catalog::dependents(connection, &schema).await?;
    let mut freedom = if dependents.is_empty() {
        Freedom::Remake
    } else {
        Freedom::Append(dependents)
    };
    loop {
        let plan = plan::plan(&attributes, &known, &freedom, now);
        let statements = Statements::of(&schema, &plan);
        let mut refreshed = Refreshed {
            built: false,
            columns: plan.columns.len(),
            notes: notes(&plan, &freedom),
        };
        let is_built = !there.is_empty() && last.as_ref() == Some(&statements.fingerprint);
        if is_built && !waits {
            return Ok(refreshed);
        }
        let built = match is_built {
            true => Ok(Attempt::Done(())),
            false => build(connection, &schema, &there, &plan, &statements).await,
        };
        match built {
            Ok(Attempt::Done(())) => {
                refreshed.built = !is_built;
                if waits {
                    waiting_changes::settle(&mut *connection, VIEW).await?;
                }
            }
            Ok(Attempt::Held(held)) => {
                waiting_changes::note(&mut *connection, VIEW, CHANGE, &held).await?;
                refreshed.notes.push(Note::Waits(held));
            }
            Err(error) => match obstacle(&error) {
                None => return Err(error),
                // Something depends on it in a way that the catalog was not asked for.
                Some(Obstacle::Dependents) if freedom == Freedom::Remake => {
                    freedom = Freedom::Append(vec!["something".into()]);
                    continue;
                }
                Some(obstacle) => refreshed.notes.push(Note::NotBuilt(obstacle.text())),
            },
        }
        return Ok(refreshed);
    }
}

/// Builds the view and writes that down; on a failure the transaction goes on from before the call.
async fn build(
    connection: &mut PgConnection,
    schema: &str,
    there: &[(String, String)],
    plan: &Plan,
    statements: &Statements,
) -> Result<Attempt<()>, sqlx::Error> {
    // The schema's name was checked when it was chosen: letters, digits and underscores.
    let view = format!(r#""{schema}".{VIEW}"#);
    ddl::attempt(connection, &[&view], async |savepoint| {
        if there.is_empty() || continues(there, plan) {
            let create = format!("create or replace {}", statements.view);
            savepoint.execute(AssertSqlSafe(create)).await?;
        } else {
            let grants = catalog::grants(&mut *savepoint, schema).await?;
            let drop = format!("drop view {view}");
            savepoint.execute(AssertSqlSafe(drop)).await?;
            let create = format!("create {}", statements.view);
            savepoint.execute(AssertSqlSafe(create)).await?;
            for grant in grants {
                savepoint.execute(AssertSqlSafe(grant)).await?;
            }
        }
        savepoint
            .execute(AssertSqlSafe(statements.comments.clone()))
            .await?;
        catalog::record(savepoint, plan, &statements.fingerprint).await
    })
    .await
}

/// Whether the planned columns only add to those that are there, which is all that `create or
/// replace view` can do.
fn continues(there: &[(String, String)], plan: &Plan) -> bool {
    let planned = plan
        .columns
        .iter()
        .map(|column| (column.name.as_str(), column.kind.catalog()));
    let mut planned = std::iter::once(("user_id", "text")).chain(planned);
    there
        .iter()
        .all(|(name, kind)| planned.next() == Some((name, kind)))
}

fn notes(plan: &Plan, freedom: &Freedom) -> Vec<Note> {
    let mut notes = Vec::new();
    if let Freedom::Append(dependents) = freedom {
        let keep = plan
            .columns
            .iter()
            .filter(|column| column.kind != column.wanted);
        notes.extend(keep.map(|column| Note::KeepsType {
            column: column.name.clone(),
            has: column.kind.sql(),
            wanted: column.wanted.sql(),
            dependents: dependents.clone(),
        }));
    }
    if !plan.left_out.is_empty() {
        let slugs = plan.left_out.iter().map(|left| left.slug.clone());
        notes.push(Note::NoRoom(slugs.collect()));
    }
    notes
}

/// What can stand in the way of the view without anything being wrong with the mirror.
#[derive(Debug, Clone, Copy)]
enum Obstacle {
    Dependents,
    OtherColumns,
    OtherOwner,
    NoView,
}

fn obstacle(error: &sqlx::Error) -> Option<Obstacle> {
    match error.as_database_error()?.code()?.as_ref() {
        "2BP01" => Some(Obstacle::Dependents),
        "42P16" => Some(Obstacle::OtherColumns),
        "42501" => Some(Obstacle::OtherOwner),
        "42809" => Some(Obstacle::NoView),
        _ => None,
    }
}

impl Obstacle {
    fn text(self) -> &'static str {
        match self {
            Self::Dependents => "something is built on it that does not let it change",
            Self::OtherColumns => "somebody changed its columns, and something is built on it",
            Self::OtherOwner => "it belongs to another role",
            Self::NoView => "something that is not a view has its name",
        }
    }
}
