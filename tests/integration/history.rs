//! What users were before: superseded versions with their validity, none for a first load.

use chrono::{DateTime, Utc};
use simulator::Edits;
use sqlx::Row;

use crate::support::{Mirror, Program, people};

const FULL: [&str; 3] = ["sync", "users", "--full"];

/// Versions of a user that overlap, or leave a gap although the user was never deleted.
const DISORDER: &str = "select count(*) from (
    select valid_to, lead(valid_from) over (partition by user_id order by valid_from) as next from users_versions
) v where next is not null and next is distinct from valid_to";

#[tokio::test(flavor = "multi_thread")]
async fn each_change_keeps_the_version_before_it() {
    let (simulator, mirror) = (people(1_500).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror);
    program.run(&FULL).await.expect(0);
    assert_eq!(
        mirror
            .value::<i64>("select count(*) from users_history")
            .await,
        0
    );
    mirror
        .execute("create table public.first as select * from users")
        .await;
    let first: DateTime<Utc> = mirror.value("select clock_timestamp()").await;

    let edited = simulator.tenant().edit(Edits {
        updates: 30,
        creations: 4,
        deletions: 6,
        ..Edits::NONE
    });
    program.run(&["sync", "users"]).await.expect(0);
    simulator.tenant().edit(Edits {
        updates: 30,
        ..Edits::NONE
    });
    program.run(&FULL).await.expect(0);

    assert_eq!(mirror.value::<i64>(DISORDER).await, 0);
    assert_eq!(
        mirror
            .value::<i64>("select count(*) from users_versions where valid_to is null")
            .await,
        1_498
    );
    // As of then, everybody is as they were.
    let as_of = format!(
        "select count(*) from (
             (select user_id, attributes, extra from users_versions where valid_from <= '{first}' and (valid_to > '{first}' or valid_to is null))
             except (select user_id, attributes, extra from public.first)
         ) changed"
    );
    assert_eq!(mirror.value::<i64>(&as_of).await, 0);
    let then = format!(
        "select count(*) from users_versions where valid_from <= '{first}' and (valid_to > '{first}' or valid_to is null)"
    );
    assert_eq!(mirror.value::<i64>(&then).await, 1_500);
    // While deleted there is no version.
    for id in edited.deleted {
        let sql = format!(
            "select count(*) from users_versions where user_id = '{id}' and valid_to is null"
        );
        assert_eq!(mirror.value::<i64>(&sql).await, 0);
    }
    let bare = mirror
        .rows("select user_id, valid_from, valid_to, email, attributes, extra from users_versions limit 1")
        .await;
    assert_eq!(bare[0].columns().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_comes_back_has_a_gap() {
    let (simulator, mirror) = (people(300).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror);
    program.run(&FULL).await.expect(0);
    let id: String = mirror.value("select min(user_id) from users").await;
    // As the mirror would be had the user been found deleted: nobody can be made to come back at
    // the API.
    mirror
        .execute(&format!(
            "insert into users_history (user_id, valid_from, valid_to, _zephr_run_id, _zephr_extracted_at, _zephr_hash)
             select user_id, _zephr_loaded_at, clock_timestamp(), _zephr_run_id, _zephr_extracted_at, _zephr_hash from users where user_id = '{id}';
             update users set _zephr_deleted_at = clock_timestamp(), _zephr_loaded_at = clock_timestamp() where user_id = '{id}'"
        ))
        .await;
    program.run(&FULL).await.expect(0);
    let versions = mirror
        .rows(&format!("select valid_from, valid_to from users_versions where user_id = '{id}' order by valid_from"))
        .await;
    assert_eq!(versions.len(), 2);
    let (until, from): (Option<DateTime<Utc>>, DateTime<Utc>) =
        (versions[0].get(1), versions[1].get(0));
    assert!(until.is_some_and(|until| until < from));
    assert_eq!(versions[1].get::<Option<DateTime<Utc>>, _>(1), None);
}
