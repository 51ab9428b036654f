//! Older never overwrites newer, in whatever order answers reach the writers.

use chrono::{DateTime, TimeDelta, Utc};
use mirror::load::merge::{self, Extracted, Merged};
use mirror::postgres::savepoint::Savepoint;
use record::User;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::support::{Mirror, Program};

fn user(email: &str, hash: u8) -> User {
    User {
        user_id: "ann".into(),
        email: Some(email.into()),
        username: None,
        email_verified: None,
        tracking_id: None,
        registered_at: None,
        registration_tenant: None,
        attributes: None,
        extra: "{}".into(),
        foreign_keys: vec![],
        grants: None,
        hash: [hash; 16],
        issues: vec![],
    }
}

async fn merge(connection: &mut PgConnection, run: Uuid, rows: &mut Vec<Extracted>) -> Merged {
    let mut transaction = connection.begin().await.expect("a transaction");
    let savepoint = &mut Savepoint::none();
    let merged = merge::users(&mut transaction, savepoint, run, None, rows).await;
    transaction.commit().await.expect("a commit");
    merged.expect("it merges")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_came_earlier_does_not_replace_one_that_came_later() {
    let mirror = Mirror::new().await;
    Program::new()
        .with("DATABASE_URL", &mirror.url)
        .run(&["migrate"])
        .await
        .expect(0);
    let mut connection = mirror.connect().await;
    let (run, next_run) = (Uuid::now_v7(), Uuid::now_v7());
    let later: DateTime<Utc> = mirror.value("select now()").await;
    let earlier = later - TimeDelta::milliseconds(1);
    let email = "select email from users";

    for (run, email, hash, at) in [
        (run, "new@example.com", 1, later),
        // Read before, and held up on its way.
        (run, "old@example.com", 2, earlier),
    ] {
        let mut rows = vec![(user(email, hash), Some(at))];
        merge(&mut connection, run, &mut rows).await;
    }
    assert_eq!(mirror.value::<String>(email).await, "new@example.com");
    assert_eq!(
        mirror
            .value::<i64>("select count(*) from users_history")
            .await,
        0
    );

    // A later run's answer is newer, even if the API's clock was set back in between.
    let mut rows = vec![(user("newest@example.com", 3), Some(earlier))];
    let merged = merge(&mut connection, next_run, &mut rows).await;
    assert_eq!((merged.inserted, merged.updated), (0, 1));
    assert_eq!(mirror.value::<String>(email).await, "newest@example.com");
    assert_eq!(
        mirror
            .value::<String>("select email from users_history")
            .await,
        "new@example.com"
    );
}
