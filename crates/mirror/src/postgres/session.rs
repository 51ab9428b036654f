//! What a session sets for itself when it begins. A role, a database or a pooler may have prescribed
//! anything; what our statements rest on is not left to them.

use std::fmt::Write as _;

use sqlx::{AssertSqlSafe, Executor, PgConnection, Row};

use super::connect::Schemas;
use crate::state::leases::LEASE;

/// A setting of the startup packet that Postgres takes from anybody, and that no pooler hands on:
/// where it is seen, nothing stands between.
pub(super) const DIRECT: &str = "zephr_sync.direct";

/// The version of Postgres that first knows a setting, as it counts versions.
type Since = u32;

/// The oldest version that we work with: whatever it knows, all know.
const ANY: Since = 0;

/// A session that holds locks and says nothing for this long is ended by Postgres, so that a
/// stalled process cannot outlive its lease.
const IDLE_IN_TRANSACTION: std::time::Duration =
    std::time::Duration::from_secs(LEASE.as_secs() / 2);

/// What is set, whoever the session is of.
///
/// Time limits are ours: a load may wait for the API for minutes, and a statement of a large tenant
/// takes as long as it takes. Formats are those that statements and the reading of their answers go
/// by. Without `jit` small runs take half as long: Postgres compiles what it thinks will be long,
/// and most of that is not.
const ALWAYS: [(&str, &str, Since); 17] = [
    ("client_encoding", "UTF8", ANY),
    ("timezone", "UTC", ANY),
    ("datestyle", "ISO, MDY", ANY),
    ("intervalstyle", "postgres", ANY),
    ("bytea_output", "hex", ANY),
    ("extra_float_digits", "1", ANY),
    ("quote_all_identifiers", "off", ANY),
    ("standard_conforming_strings", "on", ANY),
    ("default_transaction_isolation", "read committed", ANY),
    ("default_transaction_deferrable", "off", ANY),
    ("statement_timeout", "0", ANY),
    ("lock_timeout", "0", ANY),
    ("idle_session_timeout", "0", ANY),
    ("transaction_timeout", "0", 170_000),
    // Notices such as "already exists, skipping" are for people at psql.
    ("client_min_messages", "warning", ANY),
    // A process that was killed in the middle of a statement is noticed within this many
    // milliseconds, not at the statement's end.
    ("client_connection_check_interval", "500", ANY),
    ("jit", "off", ANY),
];

/// The settings of a kind of session.
#[derive(Debug, Clone)]
pub(super) struct Settings(Vec<(String, String, Since)>);

impl Settings {
    /// Those of every session on a tenant's schemas.
    pub(super) fn on(schemas: &Schemas) -> Self {
        let stall = IDLE_IN_TRANSACTION.as_millis().to_string();
        let ours = [
            ("search_path", schemas.state_path(), ANY),
            ("idle_in_transaction_session_timeout", stall, ANY),
        ];
        let always = ALWAYS.map(|(name, value, since)| (name, value.to_owned(), since));
        let all = always.into_iter().chain(ours);
        Self(
            all.map(|(name, value, since)| (name.to_owned(), value, since))
                .collect(),
        )
    }

    /// These and others, which win.
    pub(super) fn and(&self, others: &[(&str, &str)]) -> Self {
        let mut all = self.0.clone();
        for (name, value) in others {
            all.retain(|(known, _, _)| known != name);
            all.push(((*name).to_owned(), (*value).to_owned(), ANY));
        }
        Self(all)
    }

    /// Sets them.
    ///
    /// # Errors
    /// Postgres refuses one, and says which.
    pub(super) async fn set(&self, session: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.set_where("true", session).await.map(drop)
    }

    /// Sets them where nothing stands between this program and Postgres; whether that is so.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub(super) async fn set_if_direct(
        &self,
        session: &mut PgConnection,
    ) -> Result<bool, sqlx::Error> {
        let is_direct = format!("current_setting('{DIRECT}', true) = 'on'");
        self.set_where(&is_direct, session).await
    }

    /// One statement, in the words of the protocol without prepared statements: poolers trip over
    /// those before anything can be seen.
    async fn set_where(
        &self,
        condition: &str,
        session: &mut PgConnection,
    ) -> Result<bool, sqlx::Error> {
        let mut rows = String::new();
        for (name, value, since) in &self.0 {
            let comma = if rows.is_empty() { "" } else { ", " };
            let value = value.replace('\'', "''");
            let _ = write!(rows, "{comma}('{name}', '{value}', {since})");
        }
        let sql = format!(
            "select count(pg_catalog.set_config(name, value, false)) from (values {rows}) as wanted (name, value, since)
             where {condition} and since <= pg_catalog.current_setting('server_version_num')::int"
        );
        let set = session.fetch_one(AssertSqlSafe(sql)).await?;
        Ok(set.try_get::<i64, _>(0)? > 0)
    }
}
