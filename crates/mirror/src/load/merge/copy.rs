//! Rows that are new, by COPY in its binary form: what is nowhere yet needs no upsert, and this
//! costs Postgres half as much.
//!
//! The form is Postgres's own ("COPY", binary format): a header, a count of fields before each row,
//! a length before each field, a count of -1 at the end.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use sqlx::postgres::PgCopyIn;
use uuid::Uuid;

use super::Extracted;
use record::HASH_BYTES;

const USERS: &str = "copy users (
    user_id, email, username, email_verified, tracking_id, registered_at, registration_tenant, attributes, extra,
    _zephr_run_id, _zephr_first_seen_at, _zephr_loaded_at, _zephr_extracted_at, _zephr_hash, _zephr_issues
) from stdin (format binary)";
const USER_FIELDS: i16 = 15;

const FOREIGN_KEYS: &str = "copy user_foreign_keys (
    user_id, system, key, _zephr_run_id, _zephr_first_seen_at, _zephr_loaded_at, _zephr_extracted_at, _zephr_hash
) from stdin (format binary)";
const FOREIGN_KEY_FIELDS: i16 = 8;

/// The signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Binary jsonb is text behind a version.
const JSONB_VERSION: &[u8] = &[1];

/// Seconds from 1970 to 2000, which is where Postgres counts its microseconds from.
const POSTGRES_EPOCH_SECONDS: i64 = 946_684_800;

/// Bytes that are sent together, about: larger ones are not faster, and both this and sqlx's own
/// buffer keep their size.
const SENT_AT_ONCE: usize = 64 * 1024;

/// Inserts users and their foreign keys, as loaded at this time of Postgres's.
///
/// # Errors
/// As sqlx; a unique violation if one of them is there.
pub(super) async fn users(
    connection: &mut PgConnection,
    run_id: Uuid,
    now: DateTime<Utc>,
    users: &[&Extracted],
) -> Result<(), sqlx::Error> {
    if users.is_empty() {
        return Ok(());
    }
    let mut rows = Rows::into(connection, USERS).await?;
    for (user, extracted_at) in users {
        rows.begin(USER_FIELDS).await?;
        rows.text(Some(&user.user_id));
        rows.text(user.email.as_deref());
        rows.text(user.username.as_deref());
        rows.bytes(
            user.email_verified
                .map(u8::from)
                .as_ref()
                .map(std::slice::from_ref),
        );
        rows.text(user.tracking_id.as_deref());
        rows.time(user.registered_at);
        rows.text(user.registration_tenant.as_deref());
        rows.jsonb(user.attributes.as_deref());
        rows.jsonb(Some(&user.extra));
        rows.bytes(Some(run_id.as_bytes()));
        rows.time(Some(now));
        rows.time(Some(now));
        rows.time(Some(extracted_at.unwrap_or(now)));
        rows.bytes(Some(&user.hash));
        rows.jsonb(user.issues_as_json().as_deref());
    }
    rows.end().await?;

    if users.iter().all(|(user, _)| user.foreign_keys.is_empty()) {
        return Ok(());
    }
    let mut rows = Rows::into(connection, FOREIGN_KEYS).await?;
    for (user, extracted_at) in users {
        for key in &user.foreign_keys {
            rows.begin(FOREIGN_KEY_FIELDS).await?;
            rows.text(Some(&user.user_id));
            rows.text(Some(&key.system));
            rows.text(Some(&key.key));
            rows.bytes(Some(run_id.as_bytes()));
            rows.time(Some(now));
            rows.time(Some(now));
            rows.time(Some(extracted_at.unwrap_or(now)));
            rows.bytes(Some(&foreign_key_hash([
                &user.user_id,
                &key.system,
                &key.key,
            ])));
        }
    }
    rows.end().await
}

/// As `user_foreign_keys.sql` makes it of Postgres's `json_build_array`.
fn foreign_key_hash(parts: [&str; 3]) -> [u8; HASH_BYTES] {
    let [user_id, system, key] = parts.map(|part| serde_json::Value::from(part).to_string());
    let text = format!("[{user_id}, {system}, {key}]");
    let mut hash = [0; HASH_BYTES];
    hash.copy_from_slice(&Sha256::digest(text)[..HASH_BYTES]);
    hash
}

/// Rows in the binary form, on their way into a table.
struct Rows<'c> {
    copy: PgCopyIn<&'c mut PgConnection>,
    out: Vec<u8>,
}

impl<'c> Rows<'c> {
    async fn into(
        connection: &'c mut PgConnection,
        statement: &'static str,
    ) -> Result<Self, sqlx::Error> {
        let mut out = Vec::with_capacity(SENT_AT_ONCE * 2);
        out.extend_from_slice(HEADER);
        Ok(Self {
            copy: connection.copy_in_raw(statement).await?,
            out,
        })
    }

    /// Begins a row of so many fields.
    async fn begin(&mut self, fields: i16) -> Result<(), sqlx::Error> {
        if self.out.len() >= SENT_AT_ONCE {
            self.copy.send(self.out.as_slice()).await?;
            self.out.clear();
        }
        self.out.extend_from_slice(&fields.to_be_bytes());
        Ok(())
    }

    fn bytes(&mut self, value: Option<&[u8]>) {
        self.parts(value.map(|value| [value, &[]]));
    }

    fn text(&mut self, value: Option<&str>) {
        self.bytes(value.map(str::as_bytes));
    }

    fn jsonb(&mut self, value: Option<&str>) {
        self.parts(value.map(|value| [JSONB_VERSION, value.as_bytes()]));
    }

    fn time(&mut self, value: Option<DateTime<Utc>>) {
        let micros = value.map(|at| at.timestamp_micros() - POSTGRES_EPOCH_SECONDS * 1_000_000);
        self.bytes(
            micros
                .map(i64::to_be_bytes)
                .as_ref()
                .map(<[u8; 8]>::as_slice),
        );
    }

    fn parts(&mut self, value: Option<[&[u8]; 2]>) {
        let Some([first, second]) = value else {
            self.out.extend_from_slice(&(-1_i32).to_be_bytes());
            return;
        };
        // A value beyond 2 GiB: Postgres takes none beyond 1 GiB, and refuses this one for what it
        // claims to be.
        let length = i32::try_from(first.len() + second.len()).unwrap_or(i32::MAX);
        self.out.extend_from_slice(&length.to_be_bytes());
        self.out.extend_from_slice(first);
        self.out.extend_from_slice(second);
    }

    async fn end(mut self) -> Result<(), sqlx::Error> {
        self.out.extend_from_slice(&(-1_i16).to_be_bytes());
        self.copy.send(self.out).await?;
        self.copy.finish().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_key_has_the_hash_that_postgres_gives_it() {
        // select substring(sha256(convert_to(json_build_array(…)::text, 'UTF8')) from 1 for 16)
        let hash = foreign_key_hash(["u\"1\\", "cr\tm\n\u{8}\u{c}\u{1}\u{1f}\u{7f}/", "käy 😀"]);
        assert_eq!(hex::encode(hash), "9cff45fcf1de79aa790beec2221c9598");
    }
}
