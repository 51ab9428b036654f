//! Grants that are asked for, and of which an answer says nothing: what is known of them stays, and
//! the run says so. A record that tells is believed, also where it tells of none.

use serde_json::{Value, json};

use crate::support::scripted_zephr::{Scripted, Tenant, USERS};
use crate::support::{Ended, Mirror, Program};

const JOB: &str = "resource = 'users'\ngrants = true\n";

const LIVING: &str = "select count(*) from user_grants where _zephr_deleted_at is null";

fn told(item: &mut Value) {
    let id = format!("g-{}", item["user"]["user_id"].as_str().unwrap_or_default());
    item["grants"] = json!({ "results": [{ "grantId": id, "entitlement_type": "bundle", "entitlement_id": "b", "product_id": "p",
        "expiry_state": "active", "startTime": "2022-06-01 00:00:00", "createdAt": "2022-05-31 23:59:59" }] });
}

/// The oldest user has none, of a server that leaves out what is empty.
fn told_but_of_one(item: &mut Value) {
    if item["user"]["user_id"] != "u-00000" {
        told(item);
    }
}

async fn setting() -> (Scripted, Mirror, Program) {
    let server = Scripted::start(Tenant::default().with(USERS, "u", 40)).await;
    server.sends(USERS, told);
    let mirror = Mirror::new().await;
    let program = server.program(&mirror).job("users", JOB);
    let run = run(&program, &["--full"]).await;
    assert_eq!(run["verdict"], "proven", "{run}");
    assert_eq!(mirror.value::<i64>(LIVING).await, 40);
    (server, mirror, program)
}

async fn run(program: &Program, more: &[&str]) -> Value {
    let arguments = [&["sync", "users", "--json"], more].concat();
    let ended: Ended = program.run(&arguments).await;
    ended.expect(0).json()["runs"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_of_which_nothing_is_said_stay() {
    let forms: [fn(&mut Value); 4] = [
        |_| {},
        |item| item["grants"] = Value::Null,
        |item| item["grants"] = json!("error"),
        |item| item["grants"] = json!({ "message": "timed out" }),
    ];
    for form in forms {
        let (server, mirror, program) = setting().await;
        server.sends(USERS, form);
        for _ in 0..2 {
            let run = run(&program, &["--full"]).await;
            assert_eq!(mirror.value::<i64>(LIVING).await, 40, "{run}");
            assert_eq!(run["verdict"], "agreed", "{run}");
            assert_eq!(run["rows_updated"], 0, "{run}");
            let reason = run["verdict_reason"].as_str().unwrap_or_default();
            assert!(
                reason.contains("the grants of 40 users stay as they were known"),
                "{reason}"
            );
        }
        let explained =
            "select count(*) from users where _zephr_issues::text like '%says nothing of them%'";
        assert_eq!(mirror.value::<i64>(explained).await, 40);

        server.sends(USERS, told);
        let run = run(&program, &["--full"]).await;
        assert_eq!(run["rows_updated"], 0, "{run}");
        assert_eq!(run["verdict"], "proven", "{run}");
        assert_eq!(mirror.value::<i64>(explained).await, 0);
        assert_eq!(mirror.value::<i64>(LIVING).await, 40);
        let versions = "select count(*) from users_history";
        assert_eq!(mirror.value::<i64>(versions).await, 0, "nobody changed");
        mirror.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_changed_meanwhile_changes_and_keeps_their_grants() {
    let (server, mirror, program) = setting().await;
    server.sends(USERS, |item| {
        item["user"]["email_verified"] = json!(false);
    });
    let changed = run(&program, &["--full"]).await;
    assert_eq!(changed["rows_updated"], 40, "{changed}");
    assert_eq!(changed["verdict"], "agreed", "{changed}");
    assert_eq!(mirror.value::<i64>(LIVING).await, 40);
    let again = run(&program, &["--full"]).await;
    assert_eq!(again["rows_updated"], 0, "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_record_tells_is_believed() {
    let (server, mirror, program) = setting().await;
    // Beside others who have some, who has no such field has none.
    server.sends(USERS, told_but_of_one);
    let run_of_one = run(&program, &["--full"]).await;
    assert_eq!(run_of_one["verdict"], "proven", "{run_of_one}");
    assert_eq!(mirror.value::<i64>(LIVING).await, 39);
    server.sends(USERS, |item| item["grants"] = json!({ "results": [] }));
    let none = run(&program, &["--full"]).await;
    assert_eq!(none["verdict"], "proven", "{none}");
    assert_eq!(mirror.value::<i64>(LIVING).await, 0);
}

/// Two users show one grant.
fn shared(item: &mut Value) {
    told(item);
    if item["user"]["user_id"] == "u-00001" {
        item["grants"]["results"][0]["grantId"] = json!("g-u-00000");
    }
}

/// Only the second one shows it any more.
fn left_by_one(item: &mut Value) {
    shared(item);
    if item["user"]["user_id"] == "u-00000" {
        item["grants"] = json!({ "results": [] });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_two_users_show_is_each_ones_own() {
    let (server, mirror, program) = setting().await;
    let holders = "select string_agg(user_id, ' ' order by user_id) from user_grants where grant_id = 'g-u-00000' and _zephr_deleted_at is null";
    server.sends(USERS, shared);
    run(&program, &["--full"]).await;
    assert_eq!(mirror.value::<String>(holders).await, "u-00000 u-00001");
    server.sends(USERS, left_by_one);
    for _ in 0..2 {
        run(&program, &["--full"]).await;
        assert_eq!(mirror.value::<String>(holders).await, "u-00001");
    }
    // It moves, and who gets it is not read again.
    server.sends(USERS, told);
    run(&program, &["--full"]).await;
    assert_eq!(mirror.value::<String>(holders).await, "u-00000");
    assert_eq!(mirror.value::<i64>(LIVING).await, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn that_nobody_has_grants_is_not_proven_by_records_without_any() {
    let server = Scripted::start(Tenant::default().with(USERS, "u", 40)).await;
    let mirror = Mirror::new().await;
    let program = server.program(&mirror).job("users", JOB);
    for _ in 0..2 {
        let silent = run(&program, &["--full"]).await;
        assert_eq!(silent["verdict"], "agreed", "{silent}");
        let reason = silent["verdict_reason"].as_str().unwrap_or_default();
        assert!(
            reason.contains("none of its records says anything of them"),
            "{reason}"
        );
    }
    server.sends(USERS, |item| item["grants"] = json!({ "results": [] }));
    let none = run(&program, &["--full"]).await;
    assert_eq!(none["verdict"], "proven", "{none}");
}
