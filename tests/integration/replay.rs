//! Rejects that can be stored after a fix are stored by a replay: each once, under the lease, never
//! over something newer, and none is lost on the way.

use std::collections::BTreeSet;

use rustix::process::Signal;
use serde_json::{Value, json};
use simulator::{Options, Shape, Simulator};
use sqlx::Row;
use zephr_sync::sync::progress::Phase;

use crate::support::{Mirror, Program, people, tenant, truth};

const REPLAY: [&str; 2] = ["rejects", "replay"];
const REPLAY_JSON: [&str; 3] = ["rejects", "replay", "--json"];

/// A tenant and its mirror after a sync, which rejected nobody.
async fn mirrored() -> (Simulator, Mirror, Program) {
    let simulator = people(60).await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror);
    program.run(&["sync", "users"]).await.expect(0);
    (simulator, mirror, program)
}

/// A record of a user who calls themselves so.
fn record(user_id: &str, username: &str) -> Value {
    json!({ "seq-no": 1, "user": {
        "user_id": user_id,
        "identifiers": { "username": username },
        "registered": "2021-02-24T15:43:28Z",
        "foreign_keys": { "crm": username },
        "attributes": { "city": "Leeds" },
    } })
}

/// Rejects, as an older binary might have left them: the API answered with them then.
async fn plant(mirror: &Mirror, records: &[Value], then: &str) {
    let mut connection = mirror.connect().await;
    let records: Vec<String> = records.iter().map(Value::to_string).collect();
    let sql = format!(
        "insert into rejects (job, resource, content_hash, record_id, reason, record, first_run_id, last_run_id, extracted_at)
         select 'users', 'users', sha256(convert_to(record, 'UTF8')), record::jsonb #>> '{{user,user_id}}', 'planted', record,
                gen_random_uuid(), gen_random_uuid(), {then}
         from unnest($1::text[]) record"
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(records)
        .execute(&mut connection)
        .await
        .expect("rejects");
}

async fn rejects(mirror: &Mirror) -> i64 {
    mirror.value("select count(*) from rejects").await
}

async fn username(mirror: &Mirror, user_id: &str) -> String {
    let sql = format!(
        "select concat_ws(' ', u.username, k.key) from users u
         left join user_foreign_keys k on k.user_id = u.user_id and k._zephr_deleted_at is null
         where u.user_id = '{user_id}'"
    );
    mirror.value(&sql).await
}

/// Every stored version of every row: a write of the same values changes it too.
async fn versions(mirror: &Mirror) -> BTreeSet<String> {
    let sql = "select concat_ws(' ', 'users', user_id, ctid, xmin) as line from users
        union all select concat_ws(' ', 'keys', user_id, ctid, xmin) from user_foreign_keys
        union all select concat_ws(' ', 'history', user_id, ctid, xmin) from users_history";
    let rows = mirror.rows(sql).await;
    rows.iter().map(|row| row.get("line")).collect()
}

/// The last replay as it is recorded.
async fn recorded(mirror: &Mirror) -> Value {
    mirror
        .value(
            "select to_jsonb(r) from runs r where mode = 'replay' order by started_at desc limit 1",
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_stored_now_is_stored_and_no_reject_any_more() {
    let (simulator, mirror, program) = mirrored().await;
    let known = simulator.tenant().user_id(7);
    let planted = [record("new", "anna"), record(&known, "bert")];
    plant(&mirror, &planted, "now() + interval '1 minute'").await;

    let said = program.run(&REPLAY).await.expect(0).stdout;

    assert_eq!(
        said,
        "2 replayed: 2 stored, 0 superseded by newer records, 0 still cannot be stored.\n"
    );
    assert_eq!(rejects(&mirror).await, 0);
    assert_eq!(username(&mirror, "new").await, "anna anna");
    assert_eq!(username(&mirror, &known).await, "bert bert");
    // What the row was before is history, and the row says when the API answered with what it is
    // now.
    let history = format!("select count(*) from users_history where user_id = '{known}'");
    assert_eq!(mirror.value::<i64>(&history).await, 1);
    let later = "select bool_and(_zephr_extracted_at > now()) from users where username in ('anna', 'bert')";
    assert!(mirror.value::<bool>(later).await);
    let run = recorded(&mirror).await;
    let counted = [
        "rows_read",
        "rows_inserted",
        "rows_updated",
        "rows_unchanged",
        "rows_rejected",
    ];
    assert_eq!(counted.map(|column| &run[column]), [2, 1, 1, 0, 0]);
    assert_eq!(
        (&run["status"], &run["resource"]),
        (&json!("succeeded"), &json!("users"))
    );

    let nothing = program.run(&REPLAY).await.expect(0).stdout;
    assert_eq!(nothing, "No rejects.\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_the_row_is_dropped_and_the_row_untouched() {
    let (simulator, mirror, program) = mirrored().await;
    let ids: Vec<String> = (7..10)
        .map(|index| simulator.tenant().user_id(index))
        .collect();
    // One row is as old as the reject, one is a tombstone, and one became a tombstone after the API
    // had answered with the reject.
    mirror
        .execute(&format!(
            "update users set _zephr_extracted_at = '2026-01-01 10:00:00Z' where user_id = '{0}';
             update users set _zephr_deleted_at = '2025-06-01' where user_id = '{1}';
             update users set _zephr_extracted_at = '2025-01-01', _zephr_deleted_at = '2026-06-01' where user_id = '{2}'",
            ids[0], ids[1], ids[2]
        ))
        .await;
    let planted: Vec<Value> = ids.iter().map(|id| record(id, "bert")).collect();
    plant(&mirror, &planted, "'2026-01-01 10:00:00Z'").await;
    let before = versions(&mirror).await;

    let replayed = program.run(&REPLAY_JSON).await.expect(0).json();

    assert_eq!(
        (
            &replayed["stored"],
            &replayed["superseded"],
            &replayed["rejects"]
        ),
        (&json!(0), &json!(3), &json!(0))
    );
    assert_eq!(replayed["runs"][0]["rows_unchanged"], 3);
    assert_eq!(rejects(&mirror).await, 0);
    assert!(versions(&mirror).await == before, "a row was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tombstone_of_before_comes_back_to_life() {
    let (simulator, mirror, program) = mirrored().await;
    let id = simulator.tenant().user_id(7);
    mirror
        .execute(&format!(
            "update users set _zephr_extracted_at = '2025-01-01', _zephr_deleted_at = '2025-06-01' where user_id = '{id}'"
        ))
        .await;
    plant(&mirror, &[record(&id, "bert")], "'2026-01-01'").await;
    program.run(&REPLAY).await.expect(0);
    assert_eq!(username(&mirror, &id).await, "bert bert");
    let living = format!("select _zephr_deleted_at is null from users where user_id = '{id}'");
    assert!(mirror.value::<bool>(&living).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_rejects_of_a_user_the_newest_counts_and_the_others_are_its_history() {
    let (_simulator, mirror, program) = mirrored().await;
    plant(&mirror, &[record("new", "second")], "'2026-02-01'").await;
    plant(&mirror, &[record("new", "first")], "'2026-01-01'").await;
    plant(&mirror, &[record("new", "third")], "'2026-03-01'").await;
    plant(
        &mirror,
        &[record("new", "as late as the third")],
        "'2026-03-01'",
    )
    .await;

    let replayed = program.run(&REPLAY_JSON).await.expect(0).json();

    assert_eq!(
        (&replayed["stored"], &replayed["superseded"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(username(&mirror, "new").await, "third third");
    let history = "select string_agg(username, ' ' order by valid_from) from users_history where user_id = 'new'";
    assert_eq!(mirror.value::<String>(history).await, "first second");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_key_remains_and_a_second_replay_changes_nothing() {
    let simulator = tenant(Options {
        shape: Shape {
            people: 600,
            awkward_percent: 40.0,
            ..Shape::default()
        },
        ..Options::default()
    })
    .await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror);
    program.run(&["sync", "users"]).await.expect(3);
    let keyless = rejects(&mirror).await;
    assert!(keyless > 10, "{keyless}");
    plant(&mirror, &[record("new", "anna")], "now()").await;
    let kept = "select md5(string_agg(to_jsonb(r)::text, ' ' order by reject_id)) from rejects r where reason <> 'planted'";
    let before: String = mirror.value(kept).await;

    let first = program.run(&REPLAY).await.expect(3).stdout;

    assert_eq!(
        first,
        format!(
            "{} replayed: 1 stored, 0 superseded by newer records, {keyless} still cannot be stored.\n\
             `zephr-sync rejects list` says why each could not be stored.\n",
            keyless + 1
        )
    );
    assert_eq!(rejects(&mirror).await, keyless);
    let versions_between = versions(&mirror).await;
    let second = program.run(&REPLAY_JSON).await.expect(3).json();
    assert_eq!(
        (&second["stored"], &second["superseded"], &second["rejects"]),
        (&json!(0), &json!(0), &json!(keyless))
    );
    assert_eq!(second["runs"][0]["rows_rejected"], keyless);
    assert!(
        versions(&mirror).await == versions_between,
        "a row was written"
    );
    assert_eq!(mirror.value::<String>(kept).await, before);
    // The replay is no run of the job: what was last read is still told.
    let status = program.run(&["status", "--json"]).await.expect(0).json();
    assert_eq!(
        crate::support::status_of(&status, "users")["last_run"]["mode"],
        "full"
    );
    assert_eq!(
        truth::mirrored(&mirror).await.len(),
        truth::keys(&simulator.tenant()).len() + 1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_postgres_refuses_remains_alone_until_its_cause_is_gone() {
    let (_simulator, mirror, program) = mirrored().await;
    // An index that somebody made: its entries end at 2,704 bytes, and this does not compress.
    mirror
        .execute("create index too_narrow on users (username)")
        .await;
    let long: String = (0..200)
        .map(|_| uuid::Uuid::new_v4().simple().to_string())
        .collect();
    let mut planted: Vec<Value> = (0..9)
        .map(|n| record(&format!("new-{n}"), "anna"))
        .collect();
    planted.insert(4, record("long", &long));
    plant(&mirror, &planted, "now()").await;

    let first = program.run(&REPLAY_JSON).await.expect(3).json();

    assert_eq!(
        (&first["stored"], &first["rejects"]),
        (&json!(9), &json!(1))
    );
    let reason: String = mirror
        .value("select reason from rejects where record_id = 'long'")
        .await;
    assert!(reason.contains("54000"), "{reason}");
    mirror.execute("drop index too_narrow").await;
    program.run(&REPLAY).await.expect(0);
    assert!(username(&mirror, "long").await.starts_with(&long[..50]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_waits_for_whoever_holds_the_lease() {
    let (_simulator, mirror, program) = mirrored().await;
    let program = program.telling_phases();
    plant(&mirror, &[record("new", "anna")], "now()").await;
    let mut sync = program.start(&["sync", "users", "--full"]);
    assert!(sync.until_phase(Phase::RunBegun, 1).await);
    sync.signal(Signal::STOP);

    let mut replay = program.start(&REPLAY);
    assert!(
        replay.until(|line| line.starts_with("waiting for ")).await,
        "it did not wait"
    );
    assert_eq!(rejects(&mirror).await, 1);
    sync.signal(Signal::CONT);
    sync.end().await.expect(0);
    replay.end().await.expect(0);

    assert_eq!(rejects(&mirror).await, 0);
    let overlapping = "select count(*) from runs a join runs b on a.run_id < b.run_id and a.finished_at > b.started_at";
    assert_eq!(mirror.value::<i64>(overlapping).await, 0);
    assert_eq!(recorded(&mirror).await["status"], "succeeded");
}

/// Enough for several batches.
const MANY: i64 = 900;

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_it_loses_nothing_and_the_next_one_goes_on() {
    let (_simulator, mirror, program) = mirrored().await;
    let program = program.telling_phases();
    let planted: Vec<Value> = (0..MANY)
        .map(|n| record(&format!("new-{n}"), "anna"))
        .collect();
    plant(&mirror, &planted, "now()").await;
    let stored = "select count(*) from users where user_id like 'new-%'";
    let mut settled = 0;
    for phase in [Phase::BatchMerged, Phase::BatchCommitted] {
        let mut running = program.start(&REPLAY);
        assert!(running.until_phase(phase, 2).await, "{}", phase.name());
        running.kill().await;
        // What the killed one had begun to commit ends one way or the other.
        mirror.alone().await;
        let there: i64 = mirror.value(stored).await;
        assert_eq!(there + rejects(&mirror).await, MANY, "{}", phase.name());
        assert!(there > settled && there < MANY, "{}: {there}", phase.name());
        let run = recorded(&mirror).await;
        assert_eq!(run["rows_inserted"], there - settled, "{}", phase.name());
        settled = there;
    }

    program.run(&REPLAY).await.expect(0);

    assert_eq!(
        (mirror.value::<i64>(stored).await, rejects(&mirror).await),
        (MANY, 0)
    );
    let history = "select count(*) from users_history where user_id like 'new-%'";
    assert_eq!(
        mirror.value::<i64>(history).await,
        0,
        "somebody was written twice"
    );
    let statuses =
        "select string_agg(status, ' ' order by started_at) from runs where mode = 'replay'";
    assert_eq!(
        mirror.value::<String>(statuses).await,
        "interrupted interrupted succeeded"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reject_knows_when_the_api_last_answered_with_it() {
    // The API's clock is behind, which tells it from Postgres's.
    let simulator = tenant(Options {
        shape: Shape {
            people: 300,
            awkward_percent: 40.0,
            ..Shape::default()
        },
        clock_skew: -200,
        ..Options::default()
    })
    .await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror);
    program.run(&["sync", "users"]).await.expect(3);
    let behind = "select bool_and(extract(epoch from last_seen_at - extracted_at) between 190 and 230) from rejects";
    assert!(mirror.value::<bool>(behind).await);
    mirror
        .execute("update rejects set extracted_at = '2020-01-01'")
        .await;
    program.run(&["sync", "users", "--full"]).await.expect(3);
    assert!(mirror.value::<bool>(behind).await);
}
