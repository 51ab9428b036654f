//! Keys in other systems come and go with their user.

use crate::support::{Mirror, Program, people, truth};

const LIVE: &str = "select _zephr_deleted_at is null from user_foreign_keys";

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_gone_becomes_a_tombstone_and_one_that_came_back_is_live_again() {
    let simulator = people(500).await;
    let (tenant, mirror) = (simulator.tenant(), Mirror::new().await);
    let program = Program::between(&simulator, &mirror);
    program.run(&["sync", "users"]).await.expect(0);

    // As if two earlier runs had seen one key more of a user, and another one gone that is there
    // today.
    let user: String = mirror
        .value("select max(user_id) from user_foreign_keys where system = 'crm'")
        .await;
    mirror
        .execute(&format!(
            "insert into user_foreign_keys
             select user_id, 'legacy', '7', _zephr_run_id, now(), now(), now(), null, _zephr_hash, null
             from user_foreign_keys where user_id = '{user}' and system = 'crm'"
        ))
        .await;
    mirror
        .execute(&format!(
            "update user_foreign_keys set _zephr_deleted_at = now() where user_id = '{user}' and system = 'crm'"
        ))
        .await;
    assert!(tenant.update(tenant.index_of(&user).expect("a living user")));
    program.run(&["sync", "users"]).await.expect(0);

    assert!(
        !mirror
            .value::<bool>(&format!(
                "{LIVE} where user_id = '{user}' and system = 'legacy'"
            ))
            .await
    );
    assert!(
        mirror
            .value::<bool>(&format!(
                "{LIVE} where user_id = '{user}' and system = 'crm'"
            ))
            .await
    );
    assert_eq!(
        mirror
            .value::<i64>(
                "select count(*) from user_foreign_keys where _zephr_deleted_at is not null"
            )
            .await,
        1
    );
    truth::expect_equal(&tenant, &mirror).await;
}

/// The hash of a row, as the statement makes it that adds a key to a user who is there.
const OTHER_HASH: &str = "select count(*) from user_foreign_keys
    where _zephr_hash <> substring(sha256(convert_to(json_build_array(user_id, system, key)::text, 'UTF8')) from 1 for 16)";

#[tokio::test(flavor = "multi_thread")]
async fn keys_have_one_hash_however_they_came() {
    let simulator = people(500).await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror);
    program.run(&["sync", "users"]).await.expect(0);
    let keys = "select count(*) from user_foreign_keys";
    assert!(mirror.value::<i64>(keys).await > 100);
    assert_eq!(mirror.value::<i64>(OTHER_HASH).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_there_before_its_user_is_no_obstacle() {
    let simulator = people(500).await;
    let (tenant, mirror) = (simulator.tenant(), Mirror::new().await);
    let program = Program::between(&simulator, &mirror);
    program.run(&["sync", "users"]).await.expect(0);
    // As another writer leaves it who comes in between: what is new goes by COPY, which fails on
    // such a key.
    mirror
        .execute(
            "delete from users where user_id in (select user_id from user_foreign_keys limit 20)",
        )
        .await;

    let again = program
        .run(&["sync", "users", "--full", "--json"])
        .await
        .expect(0)
        .json();

    let inserted = again["runs"][0]["rows_inserted"].as_i64();
    assert!(inserted.is_some_and(|inserted| inserted > 10), "{again:#}");
    truth::expect_equal(&tenant, &mirror).await;
}
