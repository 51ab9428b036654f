//! The rows of the yardsticks, made before anything is timed: what COPY wants, in batches.

use std::error::Error;

use privacy::Rules;
use record::User;
use serde_json::value::RawValue;
use zephr::user;

use super::process::Simulator;

/// Rows per COPY and upsert: larger batches than the product's, which is kind to the yardsticks.
const BATCH: usize = 5_000;

/// Of a larger tenant the yardsticks load only so many, which is kind to them too: what they write
/// must fit into memory, some 2 KiB a row.
const MOST: usize = 1_000_000;

/// One batch in COPY's text format.
pub struct Batch {
    /// `user_id, document, hash`
    pub documents: String,
    /// The columns of `users` that a sync fills.
    pub users: String,
    /// `user_id, system, key`
    pub foreign_keys: String,
}

/// The rows of a tenant, or of its first people.
pub struct Rows {
    pub batches: Vec<Batch>,
    pub count: usize,
}

impl Rows {
    pub async fn fetch(simulator: &Simulator) -> Result<Self, Box<dyn Error>> {
        let url = format!("{}/_simulator/truth", simulator.base_url());
        let mut answer = reqwest::Client::new().get(url).send().await?;
        let mut rows = Self {
            batches: Vec::new(),
            count: 0,
        };
        let mut waiting = Vec::new();
        let mut last = Vec::new();
        while rows.count + waiting.len() < MOST {
            let Some(part) = answer.chunk().await? else {
                break;
            };
            let mut lines = part.split(|byte| *byte == b'\n').peekable();
            while let Some(line) = lines.next() {
                last.extend_from_slice(line);
                if lines.peek().is_some() {
                    waiting.push(String::from_utf8(std::mem::take(&mut last))?);
                }
            }
            if waiting.len() >= BATCH {
                rows.take(waiting.drain(..BATCH).as_slice())?;
            }
        }
        for left in waiting.chunks(BATCH) {
            rows.take(left)?;
        }
        Ok(rows)
    }

    fn take(&mut self, lines: &[String]) -> Result<(), Box<dyn Error>> {
        self.batches.push(batch(lines)?);
        self.count += lines.len();
        Ok(())
    }
}

fn batch(lines: &[String]) -> Result<Batch, Box<dyn Error>> {
    let mut batch = Batch {
        documents: String::new(),
        users: String::new(),
        foreign_keys: String::new(),
    };
    for line in lines {
        let raw: &RawValue = serde_json::from_str(line)?;
        let item = user::item(raw, &[], &Rules::default()).map_err(|reject| reject.reason)?;
        let hash = format!("\\x{}", hex::encode(item.hash));
        write(
            &mut batch.documents,
            &[Some(&item.id), Some(&item.text), Some(&hash)],
        );
        let user = user::row(&item);
        write_user(&mut batch, &user, &hash);
    }
    Ok(batch)
}

fn write_user(batch: &mut Batch, user: &User, hash: &str) {
    let verified = user.email_verified.map(|verified| verified.to_string());
    let registered = user.registered_at.map(|at| at.to_rfc3339());
    write(
        &mut batch.users,
        &[
            Some(&user.user_id),
            user.email.as_deref(),
            user.username.as_deref(),
            verified.as_deref(),
            user.tracking_id.as_deref(),
            registered.as_deref(),
            user.registration_tenant.as_deref(),
            user.attributes.as_deref(),
            Some(&user.extra),
            Some(hash),
        ],
    );
    for key in &user.foreign_keys {
        write(
            &mut batch.foreign_keys,
            &[Some(&user.user_id), Some(&key.system), Some(&key.key)],
        );
    }
}

fn write(out: &mut String, cells: &[Option<&str>]) {
    for (position, cell) in cells.iter().enumerate() {
        if position > 0 {
            out.push('\t');
        }
        match cell {
            None => out.push_str("\\N"),
            Some(text) => {
                for c in text.chars() {
                    match c {
                        '\\' => out.push_str("\\\\"),
                        '\t' => out.push_str("\\t"),
                        '\n' => out.push_str("\\n"),
                        '\r' => out.push_str("\\r"),
                        other => out.push(other),
                    }
                }
            }
        }
    }
    out.push('\n');
}
