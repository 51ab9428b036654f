//! Keys of records: what an index of Postgres can hold, and nothing that would have to be altered
//! for it.

use serde_json::value::RawValue;

use super::json::{self, Kind, Text};

/// Keys are indexed, and a B-tree entry of Postgres ends at 2,704 bytes; the entry of a foreign
/// key, or of a row below another, holds up to three of them.
pub const MAX_KEY_BYTES: usize = 800;

/// Why a record has no key that could be stored.
#[derive(Debug)]
pub struct Keyless {
    /// The key, if it can be shown.
    pub id: Option<String>,
    /// Why it cannot be stored.
    pub reason: String,
}

impl From<String> for Keyless {
    fn from(reason: String) -> Self {
        Self { id: None, reason }
    }
}

/// The key a value holds. `path` says where it is, for the reason.
///
/// # Errors
/// It is not text, or not text that a key can be.
pub fn read(value: &RawValue, path: &str) -> Result<String, Keyless> {
    let Some(Text { text, replaced }) = json::text(value) else {
        return Err(format!("{path} is {}, not text", json::kind(value)).into());
    };
    if text.is_empty() {
        return Err(format!("{path} is empty").into());
    }
    if replaced {
        return Err(Keyless {
            id: Some(text.into_owned()),
            reason: format!(
                "{path} holds NUL or half a surrogate pair, which Postgres cannot store"
            ),
        });
    }
    if text.len() > MAX_KEY_BYTES {
        return Err(format!(
            "{path} has {} bytes; a key may have {MAX_KEY_BYTES}",
            text.len()
        )
        .into());
    }
    Ok(text.into_owned())
}

/// As [`read`], of a list whose identifiers may be numbers: their digits are the key.
///
/// # Errors
/// As [`read`].
pub fn read_or_number(value: &RawValue, path: &str) -> Result<String, Keyless> {
    if json::kind(value) == Kind::Number && value.get().len() <= MAX_KEY_BYTES {
        return Ok(value.get().to_owned());
    }
    read(value, path)
}
