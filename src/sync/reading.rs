//! How users are read by a run, and how their rows may have been read before. A setting that stops
//! asking for something is no answer of the API: what is not asked for stays, and the verdict's
//! reason says since when.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Environment, Error};
use ::privacy::{Action, Choices, Policy, USERS};
use ::scan::verdict::Verdict;
use mirror::load::unsaid;
use mirror::state::leases::Token;
use mirror::state::readings::{self, Part};
use zephr::reread::{self, Parts, Reading};
use zephr::{Reader, user};

/// The names of parts in `readings`.
const GRANTS: &str = "grants";
const APP_IDS: &str = "app_ids.";
const PRIVACY: &str = "privacy.";
const FORM: &str = "form.";

/// Hash of everything that decides what is stored of a user, and so of what the hash of a row says:
/// the program, the tenant, what is asked for, what may be kept. Two daemons that differ in it would
/// undo each other's work. The key of hashed values belongs to the mirror and is the same for all.
pub(super) fn form(reader: &Reader, policy: &Policy) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [
        env!("CARGO_PKG_VERSION"),
        &reader.manner(),
        &format!("{:?}", policy.choices()),
    ] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// The part that stands for all of them together.
fn form_part(reader: &Reader, policy: &Policy) -> String {
    format!("{FORM}{}", hex::encode(form(reader, policy)))
}

/// Notes what this run reads of users, and tells how.
pub(super) async fn begin(
    pool: &PgPool,
    token: Token,
    run_id: Uuid,
    reader: &Reader,
    policy: &Policy,
) -> Result<Arc<Reading>, Error> {
    let mut transaction = token.begin(pool).await?;
    let asked = reader.parts();
    let grants = asked.grants.then(|| GRANTS.to_owned());
    let apps = asked.apps.iter().map(|app| format!("{APP_IDS}{app}"));
    let form = std::iter::once(form_part(reader, policy));
    let parts: Vec<String> = grants.into_iter().chain(apps).chain(form).collect();
    let prefixes = [GRANTS, APP_IDS, FORM];
    readings::note(&mut *transaction, run_id, USERS, &prefixes, &parts).await?;
    transaction.commit().await?;
    known(&mut *pool.acquire().await?, reader, policy).await
}

/// How users are read, without noting it.
pub(super) async fn known(
    connection: &mut PgConnection,
    reader: &Reader,
    policy: &Policy,
) -> Result<Arc<Reading>, Error> {
    let parts = readings::of(&mut *connection, &[USERS]).await?;
    let reading = of(&parts, reader.ignored(), reader.parts(), policy);
    let is_by_hash = is_by_hash(&parts, &reading, &form_part(reader, policy))
        // The hashes of these are those of no record.
        && unsaid(&mut *connection, reader).await? == 0;
    Ok(Arc::new(Reading {
        is_by_hash,
        ..reading
    }))
}

/// Of how many users grants are known and stay, since their records say nothing of them.
async fn unsaid(connection: &mut PgConnection, reader: &Reader) -> Result<i64, sqlx::Error> {
    if reader.parts().grants {
        unsaid::count(connection, user::GRANTS_FIELD, reread::GRANTS_STAY).await
    } else {
        Ok(0)
    }
}

/// What a run may claim of users whose grants were asked for and not told. Of everybody that is
/// said also where no grants are known: that there are none is then no answer of the API.
pub(super) async fn weakened(
    pool: &PgPool,
    env: &Environment,
    is_full: bool,
    (verdict, reason): (Verdict, String),
) -> Result<(Verdict, String), sqlx::Error> {
    if !env.reader.parts().grants {
        return Ok((verdict, reason));
    }
    let mut connection = pool.acquire().await?;
    let unsaid = unsaid(&mut connection, &env.reader).await?;
    let heard = env.progress.now();
    let words = if unsaid > 0 {
        format!(
            "the grants of {unsaid} users stay as they were known: the export was asked for grants, and its records say nothing of them"
        )
    } else if is_full
        && heard.counts.read > 0
        && !heard.tells_grants
        && !unsaid::are_any_known(&mut *connection).await?
    {
        "the export was asked for grants, and none of its records says anything of them: that nobody has any rests on that".to_owned()
    } else {
        return Ok((verdict, reason));
    };
    let verdict = match verdict {
        Verdict::Proven | Verdict::Agreed => Verdict::Agreed,
        Verdict::Partial | Verdict::Incomplete => verdict,
    };
    Ok((verdict, format!("{reason}; {words}")))
}

/// How rejects are read again: as their users are read now, as far as is noted.
pub(super) async fn noted(
    connection: &mut PgConnection,
    ignored: &[String],
    policy: &Policy,
) -> Result<Reading, Error> {
    let parts = readings::of(connection, &[USERS]).await?;
    let read = parts.iter().filter(|part| part.is_read);
    let mut asked = Parts::default();
    for part in read {
        match part.part.strip_prefix(APP_IDS) {
            Some(app) => asked.apps.push(app.to_owned()),
            None => asked.grants |= part.part == GRANTS,
        }
    }
    Ok(of(&parts, ignored, &asked, policy))
}

fn of(parts: &[Part], ignored: &[String], asked: &Parts, policy: &Policy) -> Reading {
    let mut reading = Reading {
        ignored: ignored.to_vec(),
        left: Parts {
            grants: !asked.grants,
            apps: Vec::new(),
        },
        ..Reading::default()
    };
    let mut stricter = Vec::new();
    for part in parts {
        // Of a part that is not noted as read a full scan has not read everything.
        let is_new = !part.is_read || part.whole_at.is_none();
        if let Some(app) = part.part.strip_prefix(APP_IDS) {
            if !asked.apps.iter().any(|asked| asked == app) {
                reading.left.apps.push(app.to_owned());
            }
        } else if let (Some(name), Some(action)) = (part.part.strip_prefix(PRIVACY), action(part))
            && is_new
        {
            stricter.push((name.to_owned(), action));
        }
    }
    let is_whole = |name: &str| {
        let mut parts = parts.iter();
        parts.any(|part| part.part == name && part.is_read && part.whole_at.is_some())
    };
    reading.new.grants = asked.grants && !is_whole(GRANTS);
    let apps = asked.apps.iter();
    reading.new.apps = apps
        .filter(|app| !is_whole(&format!("{APP_IDS}{app}")))
        .cloned()
        .collect();
    reading.stricter = user::rules(&policy.with(stricter.into_iter().collect()));
    reading
}

/// Whether the hash of every row was made as it is made now, and nothing of a row is to be taken
/// over that is no longer asked for.
fn is_by_hash(parts: &[Part], reading: &Reading, form: &str) -> bool {
    let is_whole = |part: &Part| part.part == form && part.is_read && part.whole_at.is_some();
    let is_left = |part: &Part| !part.is_read && !part.part.starts_with(FORM);
    parts.iter().any(is_whole)
        && !parts.iter().any(is_left)
        && reading.new.is_nothing()
        && reading.stricter.is_empty()
}

/// What was done before with what is kept again.
fn action(part: &Part) -> Option<Action> {
    match part.was.as_deref() {
        Some("hash") => Some(Action::Hash),
        Some("drop") => Some(Action::Drop),
        Some(_) | None => None,
    }
}

/// Notes what these settings keep of users that earlier ones did not.
pub(super) async fn follow(
    connection: &mut PgConnection,
    earlier: &Choices,
    later: &Choices,
) -> Result<(), Error> {
    let part = |name: &str| format!("{PRIVACY}{name}");
    let (mut again, mut over) = (Vec::new(), Vec::new());
    let users = |name: &&str| {
        name.strip_prefix(USERS)
            .is_some_and(|rest| rest.starts_with('.'))
    };
    for name in earlier.names().chain(later.names()).filter(users) {
        match (earlier.of(name), later.of(name)) {
            (Action::Drop, Action::Keep | Action::Hash) => again.push((part(name), "drop")),
            (Action::Hash, Action::Keep) => again.push((part(name), "hash")),
            (Action::Keep | Action::Hash, Action::Drop) | (Action::Keep, Action::Hash) => {
                over.push(part(name))
            }
            (Action::Keep, Action::Keep)
            | (Action::Hash, Action::Hash)
            | (Action::Drop, Action::Drop) => {}
        }
    }
    again.sort_unstable();
    again.dedup();
    readings::note_kept_again(connection, USERS, &again, &over).await?;
    Ok(())
}

/// Notes that a full scan has read everybody this way.
pub(super) async fn whole(pool: &PgPool, token: Token, scan_id: Uuid) -> Result<(), Error> {
    let mut transaction = token.begin(pool).await?;
    readings::note_whole(&mut *transaction, USERS, scan_id).await?;
    transaction.commit().await?;
    Ok(())
}

/// A verdict's reason, with what is no longer read.
pub(super) async fn said(pool: &PgPool, tables: &[&str], reason: String) -> Result<String, Error> {
    let parts = readings::of(pool, tables).await?;
    let words: Vec<String> = parts.iter().filter_map(Part::words).collect();
    Ok(if words.is_empty() {
        reason
    } else {
        format!("{reason}; {}", words.join("; "))
    })
}
