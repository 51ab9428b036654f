//! The key of the keyed hashes, and the privacy settings that everything stored follows.

use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};

use privacy::{Choices, HashKey, Policy};

/// Why there is no key to work with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Another key was used before.
    #[error(
        "the hash key is not the one that this mirror's hashes were made with: equal values would have two hashes, and people who were erased would come back"
    )]
    Differs {
        /// Whether the key in use is kept in the database.
        kept: bool,
    },
    /// A key was given before, and now there is none.
    #[error("this mirror's hashes were made with a key that was given, and now none is")]
    NotGiven,
    /// The database.
    #[error("Postgres failed")]
    Database(#[from] sqlx::Error),
}

impl KeyError {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Differs { kept: true } => {
                "Unset ZEPHR_SYNC_HASH_KEY and ZEPHR_SYNC_HASH_KEY_FILE (hash_key in the file): the key in use was made by zephr-sync and is kept in its bookkeeping.".into()
            }
            Self::Differs { kept: false } | Self::NotGiven => {
                "Set ZEPHR_SYNC_HASH_KEY or ZEPHR_SYNC_HASH_KEY_FILE to the key that was used before.".into()
            }
            Self::Database(_) => {
                "Check that Postgres runs and can be reached, then run the command again.".into()
            }
        }
    }
}

/// What a session may do about a key that is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Keep a new one, if settings or erasures need one.
    Write,
    /// Keep a new one in any case: somebody is about to be erased.
    Erase,
    /// Nothing: a new one lives as long as the command.
    ReadOnly,
}

/// These settings with the mirror's key. `given` is the key from outside.
///
/// # Errors
/// See [`KeyError`].
pub async fn policy(
    connection: &mut PgConnection,
    choices: &Choices,
    given: Option<&HashKey>,
    access: Access,
) -> Result<Policy, KeyError> {
    let known = known(&mut *connection).await?;
    let key = match (known, access) {
        (Some(known), _) => Some(known.checked(given)?),
        (None, Access::Write) if choices.is_empty() => None,
        (None, Access::ReadOnly) => Some(given.cloned().unwrap_or_else(HashKey::random)),
        (None, Access::Write | Access::Erase) => {
            keep(&mut *connection, given).await?;
            // Another process may have been first; then its key is the mirror's.
            match self::known(&mut *connection).await? {
                Some(known) => Some(known.checked(given)?),
                None => None,
            }
        }
    };
    Ok(Policy::new(choices.clone(), key))
}

/// The key as it is known to the mirror.
struct Known {
    key: Option<Vec<u8>>,
    check_value: Vec<u8>,
}

impl Known {
    fn checked(self, given: Option<&HashKey>) -> Result<HashKey, KeyError> {
        let kept = self.key.is_some();
        let key = match (given, self.key) {
            (Some(given), _) => given.clone(),
            (None, Some(key)) => HashKey::stored(key),
            (None, None) => return Err(KeyError::NotGiven),
        };
        if key.check_value().as_slice() == self.check_value {
            Ok(key)
        } else {
            Err(KeyError::Differs { kept })
        }
    }
}

async fn known(executor: impl PgExecutor<'_>) -> Result<Option<Known>, sqlx::Error> {
    sqlx::query_as!(Known, "select key, check_value from hash_key")
        .fetch_optional(executor)
        .await
}

async fn keep(executor: impl PgExecutor<'_>, given: Option<&HashKey>) -> Result<(), sqlx::Error> {
    let made = given.is_none().then(HashKey::random);
    let check_value = given.or(made.as_ref()).map(HashKey::check_value);
    sqlx::query!(
        "insert into hash_key (key, check_value) values ($1, $2) on conflict do nothing",
        made.as_ref().map(HashKey::expose),
        check_value.as_ref().map(<[u8; 32]>::as_slice),
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// The settings that everything stored follows.
pub async fn followed(executor: impl PgExecutor<'_>) -> Result<Choices, sqlx::Error> {
    let choices = sqlx::query_scalar!(r#"select choices as "choices: Json<Choices>" from privacy"#)
        .fetch_optional(executor)
        .await?;
    Ok(choices.map(|Json(choices)| choices).unwrap_or_default())
}

/// The same, and nobody else rewrites anything until the transaction ends.
pub async fn followed_alone(connection: &mut PgConnection) -> Result<Choices, sqlx::Error> {
    sqlx::query!("insert into privacy (choices) values ('{}') on conflict do nothing")
        .execute(&mut *connection)
        .await?;
    let Json(choices) = sqlx::query_scalar!(
        r#"select choices as "choices: Json<Choices>" from privacy for update"#
    )
    .fetch_one(connection)
    .await?;
    Ok(choices)
}

/// Notes the settings that everything stored follows now.
pub async fn note_followed(
    executor: impl PgExecutor<'_>,
    choices: &Choices,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update privacy set choices = $1, applied_at = clock_timestamp()",
        Json(choices) as _,
    )
    .execute(executor)
    .await?;
    Ok(())
}
