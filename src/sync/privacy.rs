//! What is stored follows the privacy settings: when they ask for more than before, the first run
//! under them rewrites rows, history, rejects and before-images before it reads anything. In one
//! transaction, since a hash of a hash would be another value: either all follows the new settings
//! or none.
//!
//! What the settings keep again comes back when it is read again, with the next full scan.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::{PgConnection, PgPool};

use super::{Error, reading};
use ::privacy::{Action, Policy, Rules, USERS};
use mirror::load::redact::{self, Place, Versions};
use mirror::state::leases::Token;
use mirror::state::{privacy, rejects};
use record::{Mirrored, Resource, User};
use zephr::{redact as of_record, rejoin, user};

/// Rows that are held at once.
const BATCH: i64 = 1_000;

/// Rewrites what is stored, if these settings are others than those it follows. Every run that
/// writes calls this first, under its lease.
pub(super) async fn follow(
    pool: &PgPool,
    token: Token,
    schema: &str,
    policy: &Policy,
) -> Result<(), Error> {
    if privacy::followed(pool).await? == *policy.choices() {
        return Ok(());
    }
    let mut transaction = token.begin(pool).await?;
    let followed = privacy::followed_alone(&mut transaction).await?;
    reading::follow(&mut transaction, &followed, policy.choices()).await?;
    let new = policy.with(policy.choices().since(&followed));
    let rules = user::rules(&new);
    if !rules.is_empty() {
        tracing::info!("rewriting what is stored for new privacy settings");
        versions(&mut transaction, Versions::Present, &rules).await?;
        versions(&mut transaction, Versions::Past, &rules).await?;
        // Under rules that were there before, content hashes are veiled already.
        let plain = user::rules(&policy.with(followed)).is_empty();
        kept_aside(&mut transaction, &rules, plain).await?;
        let choices = new.choices().iter();
        let attributes: Vec<String> = choices
            .filter(|(target, _)| target.table == USERS && target.column == "attributes")
            .flat_map(|(target, _)| target.inside)
            .collect();
        let all = new.choices().of("users.attributes") != Action::Keep;
        mirror::state::personal_data::drop_images(&mut transaction, &attributes, all).await?;
    }
    for (target, action) in new
        .choices()
        .iter()
        .filter(|(target, _)| target.table != USERS)
    {
        let place = Place {
            schema,
            table: &target.table,
            column: &target.column,
            inside: &target.inside,
        };
        match action {
            Action::Keep => {}
            Action::Drop => place.drop_values(&mut transaction).await?,
            Action::Hash => {
                let hash = |stored: &str| hashed(stored, !target.inside.is_empty(), policy);
                place.hash_values(&mut transaction, hash).await?;
            }
        }
    }
    privacy::note_followed(&mut *transaction, policy.choices()).await?;
    transaction.commit().await?;
    Ok(())
}

/// The hash of a stored value: of a column's text, or of a part of its JSON.
fn hashed(stored: &str, is_json: bool, policy: &Policy) -> Option<String> {
    let text = if is_json {
        let raw: &RawValue = serde_json::from_str(stored).ok()?;
        of_record::text_to_hash(raw)
    } else {
        stored.to_owned()
    };
    let key = policy.key()?;
    (!text.is_empty()).then(|| key.hash_value(&text))
}

async fn versions(connection: &mut PgConnection, of: Versions, rules: &Rules) -> Result<(), Error> {
    let mut after: Option<(String, DateTime<Utc>)> = None;
    loop {
        let place = after.as_ref().map(|(id, from)| (id.as_str(), *from));
        let rows = redact::versions(&mut *connection, of, place, BATCH).await?;
        let Some((last, from)) = rows.last() else {
            return Ok(());
        };
        after = Some((last.user_id.clone(), *from));
        let changed: Vec<_> = rows
            .iter()
            .filter_map(|(row, from)| Some((rewritten(row, rules)?, *from)))
            .collect();
        if !changed.is_empty() {
            redact::rewrite(&mut *connection, of, &changed).await?;
        }
    }
}

/// What is left of a user, made the way a user who was just read is made; none where nothing was to
/// be taken out.
fn rewritten(row: &Mirrored, rules: &Rules) -> Option<User> {
    let text = rejoin::record(row);
    let raw: &RawValue = serde_json::from_str(&text).ok()?;
    let made = |rules| {
        user::item(raw, &[], rules)
            .ok()
            .map(|item| user::row(&item))
    };
    let (before, after) = (made(&Rules::default())?, made(rules)?);
    let same = before.email == after.email
        && before.username == after.username
        && before.email_verified == after.email_verified
        && before.tracking_id == after.tracking_id
        && before.registration_tenant == after.registration_tenant
        && before.attributes == after.attributes
        && before.extra == after.extra;
    (!same).then_some(after)
}

/// Rewrites the rejects of users. `plain` says whether their content hashes are those of whole
/// records.
async fn kept_aside(
    connection: &mut PgConnection,
    rules: &Rules,
    plain: bool,
) -> Result<(), Error> {
    let mut after = None;
    loop {
        let kept = rejects::oldest(&mut *connection, Resource::Users, after, BATCH).await?;
        let Some(last) = kept.last() else {
            return Ok(());
        };
        after = Some((last.extracted_at, last.reject_id));
        let mut rewritten = Vec::with_capacity(kept.len());
        for reject in &kept {
            let raw: Result<&RawValue, _> = serde_json::from_str(&reject.record);
            let text = match raw {
                Ok(raw) => of_record::apply(raw, rules, &mut Vec::new())
                    .get()
                    .to_owned(),
                // What cannot be read may hold anything.
                Err(_) => "null".to_owned(),
            };
            let hash = plain.then(|| user::veiled(&reject.content_hash, rules));
            rewritten.push((reject.reject_id, text, hash));
        }
        rejects::rewrite(&mut *connection, &rewritten).await?;
    }
}
