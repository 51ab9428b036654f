//! Rows in COPY's binary format: what Postgres takes in with the least work. Columns and their
//! types have to be those of the table, to the letter.

use chrono::{DateTime, Utc};
use uuid::Uuid;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// What a value is preceded by that is none.
const NULL: i32 = -1;

/// In place of a number of columns: there are no more rows.
const END: i16 = -1;

/// Before the text of a `jsonb`: which form it is sent in.
const JSONB: u8 = 1;

/// Seconds from 1970 to 2000, which Postgres counts from.
const EPOCH: i64 = 946_684_800;

/// Rows, as they are written.
#[derive(Debug)]
pub(super) struct Rows(Vec<u8>);

impl Rows {
    /// With room for so many bytes.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        let mut rows = Vec::with_capacity(bytes);
        rows.extend_from_slice(SIGNATURE);
        // Neither flags nor an extension of the header.
        rows.extend_from_slice(&[0; 8]);
        Self(rows)
    }

    /// Begins a row of so many columns, whose values follow.
    pub(super) fn row(&mut self, columns: i16) {
        self.0.extend_from_slice(&columns.to_be_bytes());
    }

    pub(super) fn uuid(&mut self, value: Uuid) {
        self.value(&[], value.as_bytes());
    }

    pub(super) fn bigint(&mut self, value: i64) {
        self.value(&[], &value.to_be_bytes());
    }

    pub(super) fn text(&mut self, value: Option<&str>) {
        match value {
            Some(text) => self.value(&[], text.as_bytes()),
            None => self.null(),
        }
    }

    pub(super) fn jsonb(&mut self, value: Option<&str>) {
        match value {
            Some(json) => self.value(&[JSONB], json.as_bytes()),
            None => self.null(),
        }
    }

    pub(super) fn timestamptz(&mut self, value: Option<DateTime<Utc>>) {
        match value {
            Some(at) => self.bigint(at.timestamp_micros() - EPOCH * 1_000_000),
            None => self.null(),
        }
    }

    /// All of it, to be sent.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&END.to_be_bytes());
        self.0
    }

    fn null(&mut self) {
        self.0.extend_from_slice(&NULL.to_be_bytes());
    }

    fn value(&mut self, prefix: &[u8], bytes: &[u8]) {
        // Postgres takes no value above a gigabyte and says so itself; a length that is cut is
        // refused as well.
        let length = i32::try_from(prefix.len() + bytes.len()).unwrap_or(i32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(prefix);
        self.0.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_postgres_writes_it() {
        let mut rows = Rows::with_capacity(0);
        rows.row(5);
        rows.bigint(7);
        rows.text(Some("é"));
        rows.text(None);
        rows.jsonb(Some("{}"));
        rows.timestamptz("1999-12-31T23:59:59.5Z".parse().ok());
        // What `copy (select 7::bigint, 'é', null, '{}'::jsonb,
        // '1999-12-31T23:59:59.5Z'::timestamptz) to stdout (format binary)` writes.
        let expected = "5047434f50590aff0d0a00000000000000000000050000000800000000000000070000000\
                        2c3a9ffffffff00000003017b7d00000008fffffffffff85ee0ffff";
        assert_eq!(hex::encode(rows.finish()), expected);
    }
}
