//! Keys in other systems come and go with their user.

use crate::support::{Mirror, Program, people, truth};

const LIVE: &str = "select _zephr_deleted_at is null from user_foreign_keys";

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_gone_becomes_a_tombstone_and_one_that_came_back_is_live_again() {
    let simulator = people(500).await;
    let (tenant, mirror) = (simulator.tenant(), Mirror::new().await);
    let program = Program::between(&simulator, &mirror);
    program.run(&["sync", "users"]).await.expect(0);

    // As if two earlier runs had seen one key more of a user, and another one gone that is there today.
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
