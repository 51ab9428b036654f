//! Half of the mirror restored from a backup, a table truncated, swapped or dropped: noticed at the
//! next start, answered by reading everything, and said.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;
use simulator::{Edits, Options, Shape, Simulator};

use crate::support::truth;
use crate::support::{Mirror, Program, people, tenant};

const USERS: [&str; 3] = ["sync", "users", "--json"];

async fn mirrored() -> (Simulator, Mirror, Program) {
    let (simulator, mirror) = (people(300).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror);
    program.run(&["sync", "users", "--full"]).await.expect(0);
    (simulator, mirror, program)
}

/// A schema as `pg_dump` writes it.
fn dump(mirror: &Mirror, schema: &str) -> Vec<u8> {
    let dumped = Command::new("pg_dump")
        .args(["--schema", schema, "--dbname", &mirror.url])
        .stderr(Stdio::inherit())
        .output()
        .expect("pg_dump");
    assert!(dumped.status.success());
    dumped.stdout
}

/// Puts a schema back as it was.
async fn restore(mirror: &Mirror, schema: &str, dumped: &[u8]) {
    mirror.alone().await;
    mirror
        .execute(&format!("drop schema {schema} cascade"))
        .await;
    let mut psql = Command::new("psql")
        .args([
            "--quiet",
            "--no-psqlrc",
            "--set",
            "ON_ERROR_STOP=1",
            "--dbname",
            &mirror.url,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("psql");
    let mut input = psql.stdin.take().expect("a pipe");
    input.write_all(dumped).expect("psql reads");
    drop(input);
    assert!(psql.wait().expect("psql ends").success());
}

/// The latest run of users, which ended well.
async fn users(program: &Program) -> Value {
    let document = program.run(&USERS).await.expect(0).json();
    document["runs"][0].clone()
}

/// It read everything, and says why.
#[track_caller]
fn expect_anew(run: &Value, why: &str) {
    assert_eq!(run["mode"], "full", "{run:#}");
    let reason = run["verdict_reason"].as_str().expect("a reason");
    assert!(
        reason.contains("everything is read anew") && reason.contains(why),
        "{reason}"
    );
}

/// It is an ordinary run.
#[track_caller]
fn expect_usual(run: &Value) {
    assert_eq!(run["mode"], "incremental", "{run:#}");
    let reason = run["verdict_reason"].as_str().expect("a reason");
    assert!(!reason.contains("anew"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_were_restored_are_read_anew() {
    let (simulator, mirror, program) = mirrored().await;
    let old = dump(&mirror, "zephr");
    simulator.tenant().edit(Edits {
        updates: 50,
        creations: 20,
        deletions: 5,
        ..Edits::NONE
    });
    expect_usual(&users(&program).await);
    program.run(&["sync", "users", "--full"]).await.expect(0);
    restore(&mirror, "zephr", &old).await;

    expect_anew(&users(&program).await, "one of them was restored");

    truth::expect_equal(&simulator.tenant(), &mirror).await;
    expect_usual(&users(&program).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_from_before_a_run_that_did_not_end_is_noticed_too() {
    let (simulator, mirror, program) = mirrored().await;
    let old = dump(&mirror, "zephr");
    let mut begun = program.telling_phases().start(&["sync", "users", "--full"]);
    begun
        .until_phase(zephr_sync::sync::progress::Phase::BatchMerged, 1)
        .await;
    begun.kill().await;
    restore(&mirror, "zephr", &old).await;

    let program = Program::between(&simulator, &mirror);
    expect_anew(&users(&program).await, "one of them was restored");
    truth::expect_equal(&simulator.tenant(), &mirror).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bookkeeping_that_was_restored_is_not_believed() {
    let (simulator, mirror, program) = mirrored().await;
    let old = dump(&mirror, "zephr_sync");
    simulator.tenant().edit(Edits {
        updates: 50,
        ..Edits::NONE
    });
    expect_usual(&users(&program).await);
    restore(&mirror, "zephr_sync", &old).await;

    expect_anew(&users(&program).await, "one of them was restored");

    truth::expect_equal(&simulator.tenant(), &mirror).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_restored_together_are_believed() {
    let (simulator, mirror, program) = mirrored().await;
    let (tables, bookkeeping) = (dump(&mirror, "zephr"), dump(&mirror, "zephr_sync"));
    mirror.execute("drop schema zephr cascade").await;
    restore(&mirror, "zephr_sync", &bookkeeping).await;
    mirror.execute("create schema zephr").await;
    restore(&mirror, "zephr", &tables).await;

    expect_usual(&users(&program).await);
    truth::expect_equal(&simulator.tenant(), &mirror).await;
    // And a table of them that is swapped later is noticed.
    mirror
        .execute("alter table accounts rename to elsewhere; create table accounts (like elsewhere including all)")
        .await;
    expect_anew(&users(&program).await, "the table accounts is another one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_not_what_the_last_run_left_is_read_anew() {
    let (simulator, mirror, program) = mirrored().await;
    for (done, why) in [
        ("truncate users", "the table users was truncated"),
        (
            "create table kept as table users; truncate users; insert into users select * from kept limit 100; drop table kept",
            "the table users was truncated",
        ),
        ("delete from users", "the table users had rows and is empty"),
        (
            "alter table users rename to old_users; create table users (like old_users including all); insert into users select * from old_users limit 10;
             alter table old_users rename to elsewhere",
            "the table users is another one",
        ),
    ] {
        mirror.execute(done).await;
        let run = users(&program).await;
        expect_anew(&run, why);
        let living: i64 = mirror.value("select count(*) from users where _zephr_deleted_at is null").await;
        assert_eq!(living, 300, "{done}");
        expect_usual(&users(&program).await);
    }
    truth::expect_equal(&simulator.tenant(), &mirror).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_on_users_comes_back_and_nobody_gets_a_version_for_it() {
    let (simulator, mirror, program) = mirrored().await;
    let living = "select count(*) from user_foreign_keys where _zephr_deleted_at is null";
    let keys: i64 = mirror.value(living).await;
    assert!(keys > 50, "{keys}");
    for (done, why) in [
        (
            "truncate user_foreign_keys",
            "the table user_foreign_keys was truncated",
        ),
        (
            "delete from user_foreign_keys",
            "the table user_foreign_keys had rows and is empty",
        ),
        (
            "alter table user_foreign_keys rename to old; create table user_foreign_keys (like old including all);
             insert into user_foreign_keys select * from old limit 30; update user_foreign_keys set key = 'stale'; drop table old",
            "the table user_foreign_keys is another one",
        ),
    ] {
        mirror.execute(done).await;
        let run = users(&program).await;
        expect_anew(&run, why);
        assert_eq!(run["rows_updated"], 0, "{run:#}");
        assert_eq!(mirror.value::<i64>(living).await, keys, "{done}");
        expect_usual(&users(&program).await);
    }
    let versions: i64 = mirror.value("select count(*) from users_history").await;
    assert_eq!(versions, 0);
    truth::expect_equal(&simulator.tenant(), &mirror).await;

    mirror.execute("drop table user_foreign_keys").await;
    for _ in 0..2 {
        let refused = program.run(&["sync", "users"]).await.expect(1);
        let said = &refused.stderr;
        assert!(
            said.contains("the table user_foreign_keys of the mirror was dropped")
                && said.contains("backup"),
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_only_rewritten_is_believed() {
    let (_simulator, mirror, program) = mirrored().await;
    mirror.execute("vacuum full users").await;
    mirror.execute("cluster users using users_pkey").await;
    mirror.execute("truncate account_grants").await;
    // What was truncated was empty, and is read anew all the same; what was rewritten is not spoken
    // of.
    let reason = users(&program).await["verdict_reason"].to_string();
    assert!(reason.contains("account_grants was truncated"), "{reason}");
    assert!(!reason.contains("table users"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_so_and_writes_nothing() {
    let (_simulator, mirror, program) = mirrored().await;
    mirror.execute("truncate users").await;
    let before = mirror.everything().await;
    let shown = program
        .run(&["sync", "users", "--dry-run", "--json"])
        .await
        .expect(0);
    assert!(shown.stdout.contains("users was truncated"), "{shown:?}");
    assert!(shown.stdout.contains("\"rows_inserted\": 300"), "{shown:?}");
    assert_eq!(mirror.everything().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rounds_of_all_jobs_begin_anew() {
    let simulator = tenant(Options {
        shape: Shape {
            people: 60,
            ..Shape::default()
        },
        ..Options::default()
    })
    .await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror);
    program.run(&["sync"]).await.expect(0);
    let old = dump(&mirror, "zephr");
    let tables = "select array_agg(n order by n)::text from (
        select 'accounts ' || count(*) from accounts union all select 'members ' || count(*) from account_users
        union all select 'segments ' || count(*) from user_segments union all select 'events ' || count(*) from user_events) as t (n)";
    let whole: String = mirror.value(tables).await;
    program.run(&["sync"]).await.expect(0);
    restore(&mirror, "zephr", &old).await;
    // As an older backup would hold them.
    mirror
        .execute(
            "set session_replication_role = replica; delete from account_users; delete from user_segments;
             delete from user_events where occurred_at < (select max(occurred_at) from user_events)",
        )
        .await;
    let since: chrono::DateTime<chrono::Utc> = mirror.value("select clock_timestamp()").await;

    program.run(&["sync"]).await.expect(0);

    assert_eq!(mirror.value::<String>(tables).await, whole);
    let stale = format!(
        "select count(*) from visits where visited_at < '{}'",
        since.to_rfc3339()
    );
    assert_eq!(mirror.value::<i64>(&stale).await, 0);
    let silent = "select count(*) from runs where started_at > (select max(started_at) from runs where job = 'schema') - interval '1 microsecond'
        and verdict_reason not like '%everything is read anew%'";
    assert_eq!(mirror.value::<i64>(silent).await, 0);
    let again = "select count(*) from checkpoints where distrusted is not null";
    assert_eq!(mirror.value::<i64>(again).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_whose_table_was_dropped_is_read_anew_and_nothing_else_is() {
    let (_simulator, mirror, program) = mirrored().await;
    let program = program.job(
        "sessions",
        "resource = \"list\"\nfor_each = \"users\"\npath = \"/v3/users/{user_id}/sessions\"\ntable = \"sessions\"\nkey = \"session_id\"\nbudget = 1000\n",
    );
    program.run(&["sync", "sessions"]).await.expect(0);
    let count = "select count(*) from sessions where _zephr_deleted_at is null";
    let all: i64 = mirror.value(count).await;
    assert!(all > 0);
    mirror.execute("drop table sessions").await;

    expect_usual(&users(&program).await);
    let run = program.run(&["sync", "sessions"]).await.expect(0);
    assert!(
        run.stdout.contains("the table sessions was dropped"),
        "{run:?}"
    );
    assert_eq!(mirror.value::<i64>(count).await, all);
    mirror.execute("truncate sessions").await;
    expect_usual(&users(&program).await);
    let run = program.run(&["sync", "sessions"]).await.expect(0);
    assert!(
        run.stdout.contains("the table sessions was truncated"),
        "{run:?}"
    );
    assert_eq!(mirror.value::<i64>(count).await, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_erased_stays_away_whichever_half_is_restored() {
    let (simulator, mirror, program) = mirrored().await;
    // The key of the hashes is older than the backups.
    let first = simulator.tenant().user_id(7);
    program.run(&["erase", &first, "--yes"]).await.expect(0);
    let (tables, bookkeeping) = (dump(&mirror, "zephr"), dump(&mirror, "zephr_sync"));
    let id = simulator.tenant().user_id(1);
    mirror
        .execute(&format!("insert into rejects (job, resource, content_hash, record_id, reason, record, first_run_id, last_run_id)
             values ('users', 'users', '\\x01', '{first}', 'planted', '{{}}', gen_random_uuid(), gen_random_uuid())"))
        .await;
    program.run(&["erase", &id, "--yes"]).await.expect(0);
    let needles = [first.as_str(), id.as_str()];

    restore(&mirror, "zephr", &tables).await;
    let there = format!("select count(*) from users where user_id = '{id}'");
    assert_eq!(mirror.value::<i64>(&there).await, 1);
    program.run(&["sync", "users"]).await.expect(0);
    mirror.expect_nowhere(&needles).await;

    restore(&mirror, "zephr_sync", &bookkeeping).await;
    let known = "select count(*) from erasures";
    assert_eq!(mirror.value::<i64>(known).await, 1);
    program.run(&["sync", "users"]).await.expect(0);
    mirror.expect_nowhere(&needles).await;
    assert_eq!(mirror.value::<i64>(known).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_from_before_there_were_marks_are_read_anew() {
    let (simulator, mirror, program) = mirrored().await;
    mirror
        .execute("drop table mirror_mark; drop function mirror_mark_truncated cascade")
        .await;
    expect_anew(&users(&program).await, "one of them was restored");
    expect_usual(&users(&program).await);
    mirror.execute("truncate users").await;
    expect_anew(&users(&program).await, "the table users was truncated");
    truth::expect_equal(&simulator.tenant(), &mirror).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_of_events_that_is_gone_is_read_anew() {
    use crate::support::scripted_zephr::{EVENTS, Scripted, Tenant};

    // Seven hours from one to the next: three months.
    let server = Scripted::start(Tenant::default().with(EVENTS, "e", 300)).await;
    let mirror = Mirror::new().await;
    let program = server.program(&mirror);
    let sync = ["sync", "events", "--json"];
    program.run(&sync).await.expect(0);
    let run = program.run(&sync).await.expect(0).json();
    assert_eq!(run["runs"][0]["mode"], "incremental");
    for (done, why) in [
        (
            "truncate user_events_2020_02",
            "user_events_2020_02 had rows and is empty",
        ),
        (
            "delete from user_events_2020_01",
            "user_events_2020_01 had rows and is empty",
        ),
        (
            "drop table user_events_2020_03",
            "user_events_2020_03 was dropped",
        ),
    ] {
        mirror.execute(done).await;
        let run = program.run(&sync).await.expect(0).json()["runs"][0].clone();
        let reason = run["verdict_reason"].as_str().unwrap_or_default();
        assert!(reason.contains(why), "{done}: {run}");
        assert_eq!(
            mirror
                .value::<i64>("select count(*) from user_events")
                .await,
            300,
            "{done}"
        );
        let run = program.run(&sync).await.expect(0).json()["runs"][0].clone();
        assert_eq!(run["mode"], "incremental", "{done}: {run}");
    }
}
