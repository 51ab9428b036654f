//! The users of a tenant arrive, complete and as they are, and an edit at the tenant changes
//! exactly the edited.

use std::collections::BTreeSet;
use std::time::Duration;

use simulator::{Edited, Edits, Simulator};
use sqlx::{AssertSqlSafe, Row};

use crate::support::{Ended, Mirror, Program, people, truth};

/// Enough for several windows at each page size and for each share of the simulator's drawn fields;
/// seconds in an unoptimised build.
const PEOPLE: u32 = 20_000;

/// Enough that the scan plans from counts, splits repeatedly and fills the queue between reading
/// and writing.
const MANY_PEOPLE: u32 = 200_000;

const EDITS: Edits = Edits {
    updates: 40,
    creations: 15,
    deletions: 0,
    ..Edits::NONE
};

async fn arrive_as_they_are(number: u32) {
    let simulator = people(number).await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror);

    let first = program
        .run(&["sync", "users", "--json"])
        .await
        .expect(0)
        .json();
    let run = &first["runs"][0];
    assert_eq!(run["verdict"], "proven");
    assert_eq!(
        (&run["mode"], &run["rows_read"], &run["rows_inserted"]),
        (&"full".into(), &number.into(), &number.into())
    );
    truth::expect_equal(&simulator.tenant(), &mirror).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_arrive_as_they_are_field_by_field() {
    arrive_as_they_are(PEOPLE).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn many_users_arrive_as_they_are_field_by_field() {
    arrive_as_they_are(MANY_PEOPLE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incremental_run_reads_and_changes_exactly_the_edited() {
    let (simulator, mirror, program) = mirrored().await;
    let edited = simulator.tenant().edit(EDITS);

    let run = program.run(&["sync", "users", "--json"]).await.expect(0);

    let wanted = expect_changed(&run, &edited, &mirror).await;
    assert_eq!(run.json()["runs"][0]["mode"], "incremental");
    assert_eq!(run.json()["runs"][0]["rows_read"], wanted);
    truth::expect_equal(&simulator.tenant(), &mirror).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_run_reads_everybody_and_changes_exactly_the_edited() {
    let (simulator, mirror, program) = mirrored().await;
    let edited = simulator.tenant().edit(EDITS);

    let run = program
        .run(&["sync", "users", "--full", "--json"])
        .await
        .expect(0);

    expect_changed(&run, &edited, &mirror).await;
    assert_eq!(run.json()["runs"][0]["mode"], "full");
    assert_eq!(
        run.json()["runs"][0]["rows_read"],
        FEW_PEOPLE + EDITS.creations
    );
    truth::expect_equal(&simulator.tenant(), &mirror).await;
}

/// Several windows, and quick: what is looked at is the edited.
const FEW_PEOPLE: u32 = 3_000;

/// A tenant and its mirror after the first run, with the rows of then in `public.before`.
async fn mirrored() -> (Simulator, Mirror, Program) {
    let simulator = people(FEW_PEOPLE).await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror);
    program.run(&["sync", "users"]).await.expect(0);
    mirror
        .execute("create table public.before as select * from users")
        .await;
    (simulator, mirror, program)
}

/// The rows that this run changed are the edited ones, all others are what they were; how many were
/// edited.
async fn expect_changed(run: &Ended, edited: &Edited, mirror: &Mirror) -> usize {
    let run = &run.json()["runs"][0];
    let updated: BTreeSet<&String> = edited.updated.iter().collect();
    let wanted: BTreeSet<String> = edited
        .updated
        .iter()
        .chain(&edited.created)
        .cloned()
        .collect();
    assert_eq!(run["rows_inserted"], edited.created.len());
    assert_eq!(run["rows_updated"], updated.len());

    let sql = format!(
        "select user_id from users where _zephr_run_id = '{}'",
        run["run_id"].as_str().expect("an id")
    );
    let changed: BTreeSet<String> = mirror
        .rows(&sql)
        .await
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(changed, wanted);
    let touched: BTreeSet<String> = mirror
        .rows("select user_id from (select u.* from users u except select * from public.before) changed")
        .await
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(touched, wanted);
    wanted.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_in_any_column_is_noticed() {
    let (simulator, mirror, _) = mirrored().await;
    for (number, change) in [
        "email = 'x'",
        "username = 'x'",
        "email_verified = not email_verified",
        "tracking_id = null",
        "registered_at = registered_at + interval '1 second'",
        "registration_tenant = null",
        r#"attributes = attributes || '{"loyalty-points": -1}'"#,
        "extra = extra #- '{user,last_login}'",
        "_zephr_issues = '[]'",
        "_zephr_deleted_at = now()",
    ]
    .iter()
    .enumerate()
    {
        mirror
            .execute(&format!("update users set {change} where user_id = (select user_id from users order by 1 limit 1 offset {number})"))
            .await;
    }
    mirror.execute("update user_foreign_keys set key = 'x' where key = (select min(key) from user_foreign_keys)").await;
    // Ten users, and a key that is missing and one that is there instead.
    assert_eq!(
        truth::differences(&simulator.tenant(), &mirror).await.len(),
        12
    );
}

/// Another writer has somebody who is there, and adds somebody whom this one is to add: each would
/// wait for the other, if rows were locked after others were added.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_there_is_locked_before_anybody_is_added_however_many_pieces_there_are() {
    // More than a statement writes, and one page.
    let (simulator, mirror) = (people(700).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror).with("ZEPHR_SYNC_RPP", "1000");
    program.run(&["sync", "users", "--full"]).await.expect(0);
    let id = |which: &str| format!(r#"select {which}(user_id collate "C") from users"#);
    let [first, last]: [String; 2] = [
        mirror.value(&id("min")).await,
        mirror.value(&id("max")).await,
    ];
    mirror
        .execute(&format!(
            "delete from users where user_id <> '{last}'; update users set username = 'another', _zephr_hash = sha256('')"
        ))
        .await;

    let mut other = mirror.connect().await;
    let lock = format!("begin; select from users where user_id = '{last}' for no key update");
    sqlx::raw_sql(AssertSqlSafe(lock))
        .execute(&mut other)
        .await
        .expect("a lock");
    let running = program.start(&["sync", "users", "--full"]);
    let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    while mirror.value::<i64>(waiting).await == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let add = format!(
        "insert into users (user_id, _zephr_run_id, _zephr_first_seen_at, _zephr_loaded_at, _zephr_extracted_at, _zephr_hash)
         values ('{first}', gen_random_uuid(), now(), now(), now(), '\\x00'); commit"
    );
    sqlx::raw_sql(AssertSqlSafe(add))
        .execute(&mut other)
        .await
        .expect("no deadlock");
    running.end().await.expect(0);
    truth::expect_equal(&simulator.tenant(), &mirror).await;
}
