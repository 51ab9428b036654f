//! Everything of a mirror that follows from the tenant alone, to compare mirrors.

use sqlx::Row;

use super::{Mirror, Program, tenant};
use simulator::Options;

/// The rows as text, without what differs from run to run: our own columns, and `seq-no`, which
/// differs with the position on a page.
const ROWS: &str = "
    select concat_ws('|', 'user', user_id, email, username, email_verified, tracking_id, registered_at, registration_tenant, attributes, extra - 'seq-no',
                     encode(_zephr_hash, 'hex'), _zephr_deleted_at, _zephr_issues) as line
    from users
    union all
    select concat_ws('|', 'key', user_id, system, key, encode(_zephr_hash, 'hex'), _zephr_deleted_at, _zephr_issues)
    from user_foreign_keys";

impl Mirror {
    /// What is in the mirror, a line a row, sorted.
    pub async fn content(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .rows(ROWS)
            .await
            .iter()
            .map(|row| row.get("line"))
            .collect();
        lines.sort_unstable();
        lines
    }

    /// The same, also while there is no schema yet.
    pub async fn content_so_far(&self) -> Vec<String> {
        let migrated = "select to_regclass('zephr.user_foreign_keys') is not null";
        if self.value::<bool>(migrated).await {
            self.content().await
        } else {
            Vec::new()
        }
    }
}

/// What the mirror of a tenant holds after one undisturbed sync.
pub async fn of_undisturbed_sync(options: Options) -> Vec<String> {
    let people = options.shape.people as usize;
    let simulator = tenant(options).await;
    let mirror = Mirror::new().await;
    Program::between(&simulator, &mirror)
        .run(&["sync", "users"])
        .await
        .expect(0);
    let content = mirror.content().await;
    assert_eq!(
        content
            .iter()
            .filter(|line| line.starts_with("user|"))
            .count(),
        people
    );
    content
}

/// Fails, and shows the first difference, when two mirrors differ.
#[track_caller]
pub fn assert_same(found: &[String], expected: &[String], context: &str) {
    let differs = found
        .iter()
        .zip(expected)
        .find(|(found, expected)| found != expected);
    if let Some((found, expected)) = differs {
        panic!("{context}: found\n{found}\nexpected\n{expected}");
    }
    assert_eq!(found.len(), expected.len(), "{context}: rows");
}
