//! Settings that stop asking, or begin to: what is no longer read stays and is said to, and what
//! only we read in another way is no change of anybody.

use std::collections::BTreeSet;

use serde_json::Value;
use simulator::{Behaviour, Business, Edits, Options, Shape, Simulator};

use crate::support::{Mirror, Program, tenant};

const FULL: [&str; 4] = ["sync", "users", "--full", "--json"];
const PLAIN: &str = "resource = 'users'\nmode = 'incremental'\n";
const GRANTS: &str = "resource = 'users'\nmode = 'incremental'\ngrants = true\n";
const PUZZLES: &str = "resource = 'users'\nmode = 'incremental'\napp_ids = ['puzzles']\n";
const BOTH_APPS: &str =
    "resource = 'users'\nmode = 'incremental'\napp_ids = ['puzzles', 'reading-list']\n";

const PEOPLE: u32 = 300;

async fn setting() -> (Simulator, Mirror, Program) {
    let simulator = tenant(Options {
        shape: Shape {
            people: PEOPLE,
            ..Shape::default()
        },
        behaviour: Behaviour::plain(),
        ..Options::default()
    })
    .await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror);
    std::fs::create_dir(program.directory().join("jobs")).expect("a directory");
    (simulator, mirror, program)
}

fn job(program: &Program, text: &str) {
    let file = program.directory().join("jobs/users.toml");
    std::fs::write(file, text).expect("a file");
}

async fn run(program: &Program, arguments: &[&str]) -> Value {
    program.run(arguments).await.expect(0).json()["runs"][0].clone()
}

/// Inserted, updated, tombstoned, and missed by incremental runs.
fn counted(run: &Value) -> [i64; 4] {
    [
        "rows_inserted",
        "rows_updated",
        "rows_tombstoned",
        "rows_missed",
    ]
    .map(|column| run[column].as_i64().unwrap_or(-1))
}

/// How many people were updated: somebody may have been twice.
fn people_of(updated: Vec<String>) -> i64 {
    updated.into_iter().collect::<BTreeSet<_>>().len() as i64
}

async fn versions(mirror: &Mirror) -> i64 {
    mirror.value("select count(*) from users_history").await
}

/// Living grants, and tombstones.
async fn grants(mirror: &Mirror) -> [i64; 2] {
    let count =
        |which: &str| format!("select count(*) from user_grants where _zephr_deleted_at {which}");
    [
        mirror.value(&count("is null")).await,
        mirror.value(&count("is not null")).await,
    ]
}

async fn remember(mirror: &Mirror) {
    mirror
        .execute(
            "drop table if exists public.before; create table public.before as select * from users",
        )
        .await;
}

/// Rows of which something else than how they were read is different from what was remembered.
async fn changed(mirror: &Mirror, columns: &str) -> i64 {
    mirror
        .value(&format!(
            "select count(*) from (
                 (select user_id, {columns} from users except select user_id, {columns} from public.before)
                 union (select user_id, {columns} from public.before except select user_id, {columns} from users)
             ) changed"
        ))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_that_are_no_longer_read_stay_and_go_on_when_they_are_read_again() {
    let (simulator, mirror, program) = setting().await;
    job(&program, GRANTS);
    run(&program, &FULL).await;
    let [living, _] = grants(&mirror).await;
    assert!(living > 50, "{living}");
    remember(&mirror).await;

    for text in [
        PLAIN,
        "resource = 'users'\nmode = 'incremental'\ngrants = false\n",
    ] {
        job(&program, text);
        let full = run(&program, &FULL).await;
        assert_eq!(counted(&full), [0, 0, 0, 0], "{full:#}");
        let reason = full["verdict_reason"].as_str().expect("a reason");
        assert!(
            reason.contains("grants are no longer read since"),
            "{reason}"
        );
        assert_eq!(grants(&mirror).await, [living, 0]);
        assert_eq!(versions(&mirror).await, 0);
        let seen = "attributes, extra - 'seq-no', _zephr_loaded_at, _zephr_run_id, _zephr_issues";
        assert_eq!(changed(&mirror, seen).await, 0);
    }
    let status = program.run(&["status", "--json"]).await.expect(0).json();
    let jobs = status["jobs"].as_array().expect("jobs");
    let users = jobs
        .iter()
        .find(|job| job["job"] == "users")
        .expect("users");
    assert_eq!(users["not_read"][0]["part"], "grants", "{users:#}");
    let words = program.run(&["status"]).await.expect(0).stdout;
    assert!(
        words.contains("users: grants are no longer read since"),
        "{words}"
    );
    let reason: String = mirror
        .value("select verdict_reason from sync_runs order by started_at desc limit 1")
        .await;
    assert!(reason.contains("and stay as they were"), "{reason}");
    // So does a dry run.
    let preview = program
        .run(&["sync", "users", "--full", "--dry-run", "--json"])
        .await
        .expect(0);
    assert_eq!(preview.json()["dry_run"][0]["rows_updated"], 0);

    // Who changes meanwhile keeps theirs too, and has one version more.
    let edited = simulator.tenant().edit(Edits {
        updates: 40,
        ..Edits::NONE
    });
    let incremental = run(&program, &["sync", "users", "--json"]).await;
    let updated = people_of(edited.updated);
    assert_eq!(
        counted(&incremental)[..3],
        [0, updated, 0],
        "{incremental:#}"
    );
    assert_eq!(grants(&mirror).await, [living, 0]);
    assert_eq!(versions(&mirror).await, updated);

    // Read again, one is gone and one is there that came meanwhile; nobody else changed.
    let tenant = simulator.tenant();
    let holders: Vec<u32> = (0..PEOPLE)
        .filter(|index| !tenant.user_grant_ids(*index).is_empty())
        .collect();
    let ended = tenant.user_grant_ids(holders[0]).remove(0);
    assert!(tenant.remove_user_grant(holders[0], &ended));
    assert!(tenant.add_user_grant(holders[1]).is_some());
    job(&program, GRANTS);
    let again = run(&program, &FULL).await;
    assert_eq!(counted(&again)[..3], [0, 2, 0], "{again:#}");
    assert_eq!(grants(&mirror).await, [living, 1]);
    assert_eq!(versions(&mirror).await, updated + 2);
    let reason = again["verdict_reason"].as_str().expect("a reason");
    assert!(!reason.contains("no longer read"), "{reason}");
    let last = run(&program, &FULL).await;
    assert_eq!(counted(&last), [0, 0, 0, 0], "{last:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_for_the_first_time_is_no_change_and_from_then_on_it_is_one() {
    for asking in [GRANTS, PUZZLES] {
        let (simulator, mirror, program) = setting().await;
        job(&program, PLAIN);
        run(&program, &FULL).await;
        remember(&mirror).await;

        job(&program, asking);
        let full = run(&program, &FULL).await;

        assert_eq!(counted(&full), [0, 0, 0, 0], "{full:#}");
        assert_eq!(versions(&mirror).await, 0);
        assert_eq!(
            changed(&mirror, "attributes, _zephr_loaded_at, _zephr_run_id").await,
            0
        );
        let learned: i64 = mirror
            .value("select count(*) from users where extra ? 'grants' or extra -> 'profiles' ? 'puzzles'")
            .await;
        assert!(learned > 50, "{learned}");
        let next = run(&program, &FULL).await;
        assert_eq!(counted(&next), [0, 0, 0, 0], "{next:#}");
        // From now on a grant that comes is a change, also of somebody who had none.
        if asking == GRANTS {
            let tenant = simulator.tenant();
            let bare = (0..PEOPLE).find(|index| tenant.user_grant_ids(*index).is_empty());
            assert!(tenant.add_user_grant(bare.expect("somebody")).is_some());
            let next = run(&program, &FULL).await;
            assert_eq!(counted(&next)[..3], [0, 1, 0], "{next:#}");
            assert_eq!(versions(&mirror).await, 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn extended_profiles_that_are_no_longer_read_stay() {
    let (_simulator, mirror, program) = setting().await;
    job(&program, BOTH_APPS);
    run(&program, &FULL).await;
    remember(&mirror).await;
    let held = "select count(*) from users where extra -> 'profiles' ? 'reading-list'";
    let before: i64 = mirror.value(held).await;
    assert!(before > 20, "{before}");

    for (text, left) in [
        (PUZZLES, "reading-list"),
        (PLAIN, "puzzles"),
        (BOTH_APPS, ""),
    ] {
        job(&program, text);
        let full = run(&program, &FULL).await;
        assert_eq!(counted(&full), [0, 0, 0, 0], "{full:#}");
        let reason = full["verdict_reason"].as_str().expect("a reason");
        assert_eq!(
            reason.contains("no longer read"),
            !left.is_empty(),
            "{reason}"
        );
        assert!(reason.contains(left), "{reason}");
        assert_eq!(versions(&mirror).await, 0);
        assert_eq!(
            changed(&mirror, "extra - 'seq-no', _zephr_loaded_at").await,
            0
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_about_what_counts_and_what_is_kept_make_no_versions() {
    let (simulator, mirror, program) = setting().await;
    run(&program, &FULL).await;
    // A watermark, without which a full scan counts nothing as missed.
    run(&program, &["sync", "users", "--json"]).await;
    let emails = "select count(*) from users where email like '%@%'";
    let all: i64 = mirror.value(emails).await;
    assert!(all > 200, "{all}");

    let settings = [
        ("ignore_fields = ['user.last_login']\n", all),
        ("ignore_fields = []\n", all),
        (
            "[privacy]\n\"users.email\" = \"hash\"\n\"users.attributes.city\" = \"drop\"\n",
            0,
        ),
        ("[privacy]\n\"users.attributes.city\" = \"drop\"\n", all),
        ("", all),
    ];
    let mut program = program;
    for (text, readable) in settings {
        remember(&mirror).await;
        program = program.configured(text);
        let full = run(&program, &FULL).await;
        assert_eq!(counted(&full), [0, 0, 0, 0], "{text}: {full:#}");
        assert_eq!(versions(&mirror).await, 0, "{text}");
        assert_eq!(
            changed(&mirror, "_zephr_loaded_at, _zephr_run_id").await,
            0,
            "{text}"
        );
        assert_eq!(mirror.value::<i64>(emails).await, readable, "{text}");
        let next = run(&program, &FULL).await;
        assert_eq!(counted(&next), [0, 0, 0, 0], "{text}: {next:#}");
    }
    // What is a change is one, also in the night on which the settings change.
    let edited = simulator.tenant().edit(Edits {
        updates: 30,
        ..Edits::NONE
    });
    let program = program.configured("ignore_fields = ['user.tracking_id']\n");
    let full = run(&program, &FULL).await;
    let updated = people_of(edited.updated);
    assert_eq!(counted(&full), [0, updated, 0, 0], "{full:#}");
    assert_eq!(versions(&mirror).await, updated);
}

/// A row's hash may have been made in another way; once a full scan has read everybody as records
/// are read now, it was not.
#[tokio::test(flavor = "multi_thread")]
async fn another_hash_is_another_user_once_everybody_was_read_in_this_way() {
    let (_simulator, mirror, program) = setting().await;
    job(&program, PLAIN);
    run(&program, &FULL).await;
    let hashed_otherwise = "update users set _zephr_hash = decode(md5(user_id), 'hex')
        where user_id in (select user_id from users order by user_id limit 5)";
    let of_another_version =
        "update readings set part = 'form.of another version' where part ~ '^form'";
    mirror.execute(of_another_version).await;
    mirror.execute(hashed_otherwise).await;
    assert_eq!(counted(&run(&program, &FULL).await), [0, 0, 0, 0]);
    assert_eq!(versions(&mirror).await, 0);
    let noted = "select string_agg(is_read || ' ' || (whole_at is not null), ', ' order by is_read) from readings where part ~ '^form'";
    assert_eq!(mirror.value::<String>(noted).await, "false true, true true");
    mirror.execute(hashed_otherwise).await;
    assert_eq!(counted(&run(&program, &FULL).await)[1], 5);
    assert_eq!(versions(&mirror).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_a_job_file_no_longer_names_stays_and_says_so() {
    let simulator = tenant(Options {
        shape: Shape {
            people: 20,
            business: Business {
                accounts: Some(5),
                ..Business::default()
            },
            ..Shape::default()
        },
        ..Options::default()
    })
    .await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror);
    let begin = "resource = 'list'\npath = '/v3/webhooks'\ntable = 'hooks'\nkey = 'webhook_id'\n";
    let program = program.job("hooks", &format!("{begin}columns = {{ label = 'text' }}\n"));
    run(&program, &["sync", "hooks", "--json"]).await;
    let filled = "select count(*) from hooks where label is not null and _zephr_deleted_at is null";
    let before: i64 = mirror.value(filled).await;
    assert!(before > 0);

    let program = program.job("hooks", begin);
    let without = run(&program, &["sync", "hooks", "--json"]).await;

    assert_eq!(without["rows_tombstoned"], 0);
    assert_eq!(mirror.value::<i64>(filled).await, before);
    let reason = without["verdict_reason"].as_str().expect("a reason");
    assert!(
        reason.contains("hooks.label are no longer read since"),
        "{reason}"
    );
    let comment: String = mirror
        .value(
            "select col_description('hooks'::regclass, attnum) from pg_attribute
             where attrelid = 'hooks'::regclass and attname = 'label'",
        )
        .await;
    assert!(comment.contains("No longer read"), "{comment}");
    let words = program.run(&["status"]).await.expect(0).stdout;
    assert!(words.contains("hooks.label are no longer read"), "{words}");

    let program = program.job("hooks", &format!("{begin}columns = {{ label = 'text' }}\n"));
    let again = run(&program, &["sync", "hooks", "--json"]).await;
    let reason = again["verdict_reason"].as_str().expect("a reason");
    assert!(!reason.contains("no longer read"), "{reason}");
}
