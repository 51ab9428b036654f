//! `zephr-sync erase USER`: remove a person from the mirror and keep them out. What it says names
//! nobody: the operator knows whom they typed.

use serde::Serialize;

use super::exit::{Exit, Failure};
use super::opened::{self, Opened};
use super::operator::operator;
use super::output::{Output, table, thousands};
use super::sync::waiting;
use crate::config::Settings;
use crate::erase::{self, Environment};
use mirror::load::mentions::Mentions;
use mirror::state::erasures::{self, Erasure, Removed};
use mirror::state::marks;
use mirror::state::privacy::Access;
use privacy::{Action, Choices, HashKey};
use record::By;

/// Options of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The person: a user_id, or what --by says
    #[arg(required_unless_present_any = ["list", "forget"])]
    user: Option<String>,
    /// What names the person: user_id, email, username or foreign_key:SYSTEM
    #[arg(long, value_name = "WHAT", default_value = "user_id", value_parser = by)]
    by: By,
    /// Remove them; without it only what would be removed is shown
    #[arg(long)]
    yes: bool,
    /// Kept with the erasure, for example the number of a request; no personal data
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Show all erasures
    #[arg(long, conflicts_with_all = ["user", "yes", "reason", "forget"])]
    list: bool,
    /// Let this person, by user_id, into the mirror again; the next full scan brings them
    #[arg(long, value_name = "USER_ID", conflicts_with_all = ["user", "yes", "reason"])]
    forget: Option<String>,
}

fn by(text: &str) -> Result<By, String> {
    match (text, text.strip_prefix("foreign_key:")) {
        ("user_id", _) => Ok(By::UserId),
        ("email", _) => Ok(By::Email),
        ("username", _) => Ok(By::Username),
        (_, Some(system)) if !system.is_empty() => Ok(By::ForeignKey(system.to_owned())),
        (_, Some(_) | None) => Err("write user_id, email, username or foreign_key:<system>".into()),
    }
}

/// What was or would be removed, as one JSON document.
#[derive(Debug, Serialize)]
struct Document {
    /// Whether it was.
    erased: bool,
    /// Rows by table.
    removed: Removed,
    /// Rows that are about something else and name the person, by place; they stay.
    mentions: Mentions,
    /// The erasure that is noted, this one or an earlier one.
    erasure: Option<Erasure>,
}

#[derive(Debug, Serialize)]
struct Listed {
    erasures: Vec<Erasure>,
}

/// Runs the command.
///
/// # Errors
/// An unknown person, a lease that somebody holds, or a database that cannot be reached.
pub async fn run(settings: &Settings, args: &Args, output: Output) -> Result<Exit, Failure> {
    let mirror = opened::open(settings).await?;
    let done = match (&args.user, &args.forget) {
        (Some(user), _) => erase(settings, args, user, &mirror, output).await,
        (None, Some(user_id)) => forget(settings, user_id, &mirror, output).await,
        (None, None) => list(&mirror, output).await,
    };
    mirror.close().await?;
    done.map(|()| Exit::Done)
}

async fn erase(
    settings: &Settings,
    args: &Args,
    user: &str,
    mirror: &Opened,
    output: Output,
) -> Result<(), Failure> {
    mirror.migrate(output).await?;
    let access = if args.yes {
        Access::Erase
    } else {
        Access::ReadOnly
    };
    let key = key(settings, mirror, access).await?;
    let env = Environment {
        database: &mirror.database,
        key: &key,
    };
    let named = erase::named(&env, &args.by, user).await?;
    let user_id = match named.as_slice() {
        [one] => one,
        [] => return Err(unknown(&args.by, &settings.privacy)),
        several => return Err(ambiguous(several.len())),
    };
    output.note("Looking through all tables for this person; that reads each of them once.");
    let held = erase::held(&env, user_id, user).await?;
    if !args.yes {
        if held.rows.is_empty() && held.mentions.is_empty() && held.erasure.is_none() {
            return Err(unknown(&args.by, &settings.privacy));
        }
        let document = Document {
            erased: false,
            removed: held.rows,
            mentions: held.mentions,
            erasure: held.erasure,
        };
        output.result(&document, preview)?;
        return Ok(());
    }
    let told = |resource, holder: &_| waiting(output, resource)(holder);
    let reason = args.reason.as_deref();
    let erasure = erase::erase(&env, user_id, &operator(), reason, told).await?;
    let document = Document {
        erased: true,
        removed: erasure.removed.0.clone(),
        mentions: held.mentions,
        erasure: Some(erasure),
    };
    output.result(&document, erased)?;
    Ok(())
}

async fn key(settings: &Settings, mirror: &Opened, access: Access) -> Result<HashKey, Failure> {
    let policy = mirror.policy(settings, access).await?;
    policy
        .key()
        .cloned()
        .ok_or_else(|| Failure::new("there is no hash key", "Please report this."))
}

fn unknown(by: &By, choices: &Choices) -> Failure {
    let (what, setting) = match by {
        By::UserId => {
            return Failure::new(
                "the mirror holds nothing about a user with this user_id",
                "Check the identifier. With --yes it is noted all the same, so that no later sync takes that person in.",
            );
        }
        By::Email => ("e-mail address", "users.email"),
        By::Username => ("user name", "users.username"),
        By::ForeignKey(_) => ("foreign key", "user_foreign_keys.key"),
    };
    let remedy = if choices.of(setting) == Action::Drop {
        format!("The privacy settings drop {setting}: name the person by user_id.")
    } else {
        "Check the spelling, or name the person by user_id.".into()
    };
    Failure::new(format!("the mirror holds nobody with this {what}"), remedy)
}

fn ambiguous(people: usize) -> Failure {
    Failure::new(
        format!("{people} users of the mirror are named so; nobody was removed"),
        "Find the one who is meant in the table users, and name them by user_id.",
    )
}

fn rows(removed: &Removed) -> String {
    let rows: Vec<_> = removed
        .iter()
        .map(|(name, rows)| [name.clone(), thousands(*rows)])
        .collect();
    if rows.is_empty() {
        "The mirror holds nothing about this person.\n".into()
    } else {
        table(["table", "rows"], &rows)
    }
}

/// Where the person is named in rows that are not about them, and what can be done about it.
fn mentioned(mentions: &Mentions) -> String {
    let Some(place) = mentions.keys().next() else {
        return String::new();
    };
    let rows: Vec<_> = mentions
        .iter()
        .map(|(place, rows)| [place.clone(), thousands(*rows)])
        .collect();
    format!(
        "\nOther rows name this person, and stay as they are: they are about something else, and Zephr would send them again.\n{}\
         Have it changed at Zephr, or keep the field out of the mirror: `\"{}\" = \"drop\"` under [privacy]; docs/privacy.md says which can be.\n",
        table(["named in", "rows"], &rows),
        setting(place),
    )
}

/// The name under which the settings have a place: the history follows the users.
fn setting(place: &str) -> String {
    place
        .strip_prefix("users_history.")
        .map_or_else(|| place.to_owned(), |rest| format!("users.{rest}"))
}

fn preview(document: &Document) -> String {
    let mut text = rows(&document.removed);
    text.push_str(&mentioned(&document.mentions));
    if let Some(erasure) = &document.erasure {
        text.push_str(&format!(
            "They were erased on {} UTC, and are kept out.\n",
            erasure.erased_at.format("%Y-%m-%d %H:%M:%S")
        ));
    }
    if !document.removed.is_empty() {
        text.push_str("Nothing was removed yet: run the same command with --yes to remove these rows for good.\n");
    }
    text
}

fn erased(document: &Document) -> String {
    format!(
        "{}Removed for good, and kept out of later syncs. Zephr was not told: delete the person there too, and see to your own backups.\n{}",
        rows(&document.removed),
        mentioned(&document.mentions)
    )
}

async fn forget(
    settings: &Settings,
    user_id: &str,
    mirror: &Opened,
    output: Output,
) -> Result<(), Failure> {
    mirror.migrate(output).await?;
    let key = key(settings, mirror, Access::ReadOnly).await?;
    let mut connection = mirror.database.connect().await?;
    // In a schema from an older backup there is none.
    marks::make(&mut connection).await?;
    if !erasures::forget(&mut connection, key.of_erased(user_id)).await? {
        return Err(Failure::new(
            "nobody with this user_id was erased",
            "`zephr-sync erase --list` shows how many were; whom, nobody can tell any more.",
        ));
    }
    output.result(&serde_json::json!({ "forgotten": true }), |_| {
        "The erasure is forgotten; the next full scan brings the person back, if Zephr still has them.\n".into()
    })?;
    Ok(())
}

async fn list(mirror: &Opened, output: Output) -> Result<(), Failure> {
    mirror.migrate(output).await?;
    let mut connection = mirror.database.connect().await?;
    let erasures = erasures::list(&mut connection).await?;
    output.result(&Listed { erasures }, |listed| {
        if listed.erasures.is_empty() {
            return "Nobody was erased.\n".into();
        }
        let rows: Vec<_> = listed
            .erasures
            .iter()
            .map(|erasure| {
                [
                    erasure.erased_at.format("%Y-%m-%d %H:%M:%S").to_string(),
                    erasure.erased_by.clone(),
                    thousands(erasure.removed.values().sum()),
                    erasure.reason.clone().unwrap_or_default(),
                ]
            })
            .collect();
        table(["erased (UTC)", "by", "rows", "reason"], &rows)
    })?;
    Ok(())
}
