//! Whether the mirror is as the last run left it. A schema that was restored, a table that was
//! truncated or swapped: what the bookkeeping says of it is not so any more, and an incremental run
//! over it would prove nothing. So it is noticed before a run decides what to read, and answered by
//! reading everything; what was erased is erased again.

use std::collections::BTreeSet;

use sqlx::{Connection, PgConnection};

use super::{Environment, Error};
use crate::job::Job;
use mirror::load::erase;
use mirror::state::marks::{self, Sign};
use mirror::state::{checkpoints, erasures, personal_data, poll_schedule, readings};
use record::{HASH_BYTES, Resource};
use resource::Step;
use telemetry::field;

/// The tables that only this job knows: those of a job file, and the months of events.
pub(super) async fn own_tables(
    connection: &mut PgConnection,
    job: &Job,
) -> Result<Vec<String>, sqlx::Error> {
    match job.resource {
        Resource::List => {
            let tables = job.steps.iter().map(|step| match step {
                Step::List(list) => list.table.name.to_string(),
                Step::Below(below) => below.table.name.to_string(),
            });
            Ok(tables.collect())
        }
        Resource::Events => marks::months(connection).await,
        Resource::Users
        | Resource::Accounts
        | Resource::Segments
        | Resource::Schema
        | Resource::Catalog => Ok(Vec::new()),
    }
}

/// Why a verdict may be believed, and why everything was read.
pub(super) fn because(reason: &str, why: &str) -> String {
    format!("{reason}; everything is read anew, since {why}")
}

/// What is wrong with the mirror, if anything is.
pub(super) async fn doubt(
    connection: &mut PgConnection,
    job: &Job,
) -> Result<Option<String>, sqlx::Error> {
    let own = own_tables(connection, job).await?;
    let seen = marks::look(connection, &own).await?;
    Ok((!seen.signs.is_empty()).then(|| said(&seen.signs)))
}

/// Signs that are told one by one.
const TOLD: usize = 3;

fn said(signs: &BTreeSet<Sign>) -> String {
    // With a schema that was restored all of its tables are others.
    if signs.contains(&Sign::Restored) {
        return Sign::Restored.to_string();
    }
    let told = signs.iter().take(TOLD).map(ToString::to_string);
    let mut told = told.collect::<Vec<_>>().join(", and ");
    if signs.len() > TOLD {
        told.push_str(&format!(", and so on: {} tables", signs.len()));
    }
    told
}

/// Makes sure that what a run will go by is so, before it looks at it.
pub(super) async fn settle(
    connection: &mut PgConnection,
    env: &Environment,
    job: &Job,
) -> Result<(), Error> {
    let own = own_tables(connection, job).await?;
    let seen = marks::look(connection, &own).await?;
    if seen.signs.is_empty() {
        if seen.made_again {
            marks::forget_tables(connection).await?;
        }
        return Ok(());
    }
    let mut transaction = connection.begin().await?;
    checkpoints::hold(&mut *transaction).await?;
    marks::hold(&mut transaction).await?;
    // Another run may have settled it meanwhile.
    let signs = marks::look(&mut transaction, &own).await?.signs;
    if signs.is_empty() {
        return Ok(());
    }
    let why = said(&signs);
    let is_own = |sign: &Sign| {
        sign.table()
            .is_some_and(|table| own.iter().any(|own| own == table))
    };
    if let Some(Sign::Gone(table)) = signs
        .iter()
        .find(|sign| matches!(sign, Sign::Gone(_)) && !is_own(sign))
    {
        // Settled as anything else, nobody would ask for it again.
        return Err(Error::Dropped(table.clone()));
    }
    compare_anew(&mut transaction, &signs).await?;
    if signs.iter().all(is_own) {
        checkpoints::distrust(&mut *transaction, Some(&job.name), &why).await?;
        poll_schedule::forget_tables(&mut *transaction, Some(&own)).await?;
        marks::settle(&mut transaction, Some(&own)).await?;
    } else {
        marks::make(&mut *transaction).await?;
        erase_again(&mut transaction, env).await?;
        distrust_all(&mut transaction, &why).await?;
    }
    transaction.commit().await?;
    tracing::warn!(
        { field::JOB } = job.name,
        { field::NOTE } = why,
        "the mirror is not as the last run left it: everything is read again"
    );
    Ok(())
}

/// What hangs on a user, and is written with the user.
const OF_USERS: [&str; 3] = ["users", "user_foreign_keys", "user_grants"];

/// No hash of a record.
const NO_HASH: [u8; HASH_BYTES] = [0; HASH_BYTES];

/// Rows whose hash is that of the record that comes are not looked at. So where a table is another
/// one, or what hangs on a row is gone, the hashes are taken away: each row is compared with its
/// record, and completed. Who is the same gets no version for that.
async fn compare_anew(
    connection: &mut PgConnection,
    signs: &BTreeSet<Sign>,
) -> Result<(), sqlx::Error> {
    let tables = signs.iter().filter_map(|sign| match sign {
        Sign::Truncated(table) | Sign::Replaced(table) | Sign::Emptied(table)
            if OF_USERS.contains(&table.as_str()) =>
        {
            Some("users")
        }
        Sign::Replaced(table) => Some(table.as_str()),
        Sign::Truncated(_) | Sign::Emptied(_) | Sign::Gone(_) | Sign::Restored => None,
    });
    for table in tables.collect::<BTreeSet<_>>() {
        marks::take_hashes(connection, table, &NO_HASH).await?;
    }
    Ok(())
}

/// Nothing that the bookkeeping says of any job's progress is believed any more.
pub async fn distrust_all(connection: &mut PgConnection, why: &str) -> Result<(), sqlx::Error> {
    checkpoints::distrust(&mut *connection, None, why).await?;
    poll_schedule::forget_tables(&mut *connection, None).await?;
    readings::forget_forms(&mut *connection).await?;
    marks::settle(connection, None).await
}

/// Removes who was erased and came back with what was restored. Whatever run is under way knows
/// them, and takes none of them in.
async fn erase_again(connection: &mut PgConnection, env: &Environment) -> Result<(), Error> {
    marks::share_erasures(connection).await?;
    let erased = erasures::erased(&mut *connection, env.privacy.key()).await?;
    if erased.is_empty() {
        return Ok(());
    }
    let holders = erase::holders(connection, env.database.schemas().data()).await?;
    let mut back = personal_data::wanted(connection, |id| erased.is(id)).await?;
    for holder in &holders {
        back.append(&mut holder.wanted(connection, |id| erased.is(id)).await?);
    }
    for user_id in &back {
        personal_data::remove(connection, user_id).await?;
        for holder in &holders {
            holder.remove(connection, user_id).await?;
        }
    }
    if !back.is_empty() {
        tracing::warn!(
            { field::REMOVED } = back.len(),
            "who was erased and came back with what was restored was erased again"
        );
    }
    Ok(())
}
