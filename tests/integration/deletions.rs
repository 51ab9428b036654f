//! Nobody becomes a tombstone who exists; everybody does who is gone: by absence from a scan that
//! may be believed, a brake, and a witness.

use std::collections::BTreeSet;

use serde_json::Value;
use simulator::{Edits, FIRST_REGISTRATION, LAST_REGISTRATION, Simulator};

use crate::support::{Ended, Mirror, Program, people, truth};

const PEOPLE: u32 = 3_000;

const FULL: [&str; 4] = ["sync", "users", "--full", "--json"];

struct Setting {
    simulator: Simulator,
    mirror: Mirror,
    program: Program,
}

impl Setting {
    /// A tenant and its mirror after the first run.
    async fn new() -> Self {
        let (simulator, mirror) = (people(PEOPLE).await, Mirror::new().await);
        let program = Program::between(&simulator, &mirror);
        program.run(&["sync", "users"]).await.expect(0);
        Self {
            simulator,
            mirror,
            program,
        }
    }

    fn delete(&self, deletions: u32) -> BTreeSet<String> {
        let edits = Edits {
            deletions,
            ..Edits::NONE
        };
        self.simulator
            .tenant()
            .edit(edits)
            .deleted
            .into_iter()
            .collect()
    }

    async fn tombstones(&self) -> BTreeSet<String> {
        let rows = self
            .mirror
            .rows("select user_id from users where _zephr_deleted_at is not null")
            .await;
        rows.iter().map(|row| sqlx::Row::get(row, 0)).collect()
    }
}

fn run_of(ended: &Ended) -> Value {
    ended.json()["runs"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deleted_become_tombstones_with_their_foreign_keys() {
    let setting = Setting::new().await;
    let deleted = setting.delete(40);
    let requests = setting.simulator.stats().requests;

    // What changed lately does not show who is gone.
    setting.program.run(&["sync", "users"]).await.expect(0);
    assert!(setting.tombstones().await.is_empty());
    let run = run_of(&setting.program.run(&FULL).await.expect(0));

    assert_eq!(run["rows_tombstoned"], 40, "{run:#}");
    assert_eq!(setting.tombstones().await, deleted);
    truth::expect_equal(&setting.simulator.tenant(), &setting.mirror).await;
    let keys_of_the_dead = "select count(*) from user_foreign_keys k join users u using (user_id)
        where u._zephr_deleted_at is not null and k._zephr_deleted_at is distinct from u._zephr_deleted_at";
    assert_eq!(setting.mirror.value::<i64>(keys_of_the_dead).await, 0);
    // One request for each of them, and one for somebody who exists.
    let asked = setting.simulator.stats().requests - requests;
    assert!(asked < 41 + 40, "{asked} requests");

    let again = run_of(&setting.program.run(&FULL).await.expect(0));
    assert_eq!(again["rows_tombstoned"], 0, "{again:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_comes_back_is_live_again() {
    let setting = Setting::new().await;
    let back = "(select user_id from users order by user_id limit 5)";
    for (table, of) in [("users", "user_id"), ("user_foreign_keys", "user_id")] {
        let gone = format!("update {table} set _zephr_deleted_at = now() where {of} in {back}");
        setting.mirror.execute(&gone).await;
    }
    let run = run_of(&setting.program.run(&FULL).await.expect(0));
    assert_eq!(
        (&run["rows_updated"], &run["rows_inserted"]),
        (&5.into(), &0.into())
    );
    truth::expect_equal(&setting.simulator.tenant(), &setting.mirror).await;
    assert!(setting.tombstones().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_whom_the_scan_does_not_show_but_the_api_does_stays() {
    let setting = Setting::new().await;
    // Known to the mirror under another day: missing from one window, unchanged in another.
    setting
        .mirror
        .execute("update users set registered_at = registered_at - interval '400 days' where user_id in (select user_id from users order by user_id limit 7)")
        .await;

    let run = run_of(&setting.program.run(&FULL).await.expect(0));

    assert_eq!(run["rows_tombstoned"], 0, "{run:#}");
    assert!(setting.tombstones().await.is_empty());
    assert_eq!(
        truth::mirrored(&setting.mirror).await,
        truth::keys(&setting.simulator.tenant())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_tenant_trips_the_brake_and_nobody_is_marked() {
    let setting = Setting::new().await;
    let half = i64::from((FIRST_REGISTRATION + LAST_REGISTRATION) / 2);
    setting.simulator.tenant().show_only_until(Some(half));

    let braked = run_of(&setting.program.run(&FULL).await.expect(4));

    assert_eq!(
        (&braked["status"], &braked["verdict"]),
        (&"braked".into(), &"proven".into())
    );
    assert_eq!(braked["rows_tombstoned"], 0);
    let text = |key: &str| braked[key].as_str().expect("text").to_owned();
    assert!(
        text("error").contains("nobody was marked as deleted"),
        "{braked:#}"
    );
    let id = text("run_id");
    let confirm = format!("zephr-sync sync users --confirm-deletes {id}");
    assert!(
        text("remedy").contains(&confirm) && text("remedy").contains("key pair"),
        "{braked:#}"
    );
    assert!(setting.tombstones().await.is_empty());
    let status = setting.program.run(&["status"]).await.expect(0).stdout;
    assert!(status.contains(&confirm), "{status}");

    // They exist by id, so even a confirmation marks nobody.
    let confirmed = run_of(
        &setting
            .program
            .run(&["sync", "users", "--confirm-deletes", &id, "--json"])
            .await
            .expect(0),
    );
    assert_eq!(confirmed["rows_tombstoned"], 0, "{confirmed:#}");
    assert!(
        confirmed["verdict_reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("exist by id")),
        "{confirmed:#}"
    );
    setting.simulator.tenant().show_only_until(None);
    setting.program.run(&FULL).await.expect(0);
    truth::expect_equal(&setting.simulator.tenant(), &setting.mirror).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_lets_through_what_a_brake_held_back() {
    let setting = Setting::new().await;
    let deleted = setting.delete(400);
    let braked = run_of(&setting.program.run(&FULL).await.expect(4));
    let id = braked["run_id"].as_str().expect("an id").to_owned();
    let confirm = ["sync", "users", "--confirm-deletes", &id, "--json"];

    // What changed in the meantime is read as ever.
    setting.simulator.tenant().edit(Edits {
        updates: 5,
        creations: 5,
        ..Edits::NONE
    });
    setting.program.run(&["sync", "users"]).await.expect(0);
    let run = run_of(&setting.program.run(&confirm).await.expect(0));

    assert_eq!(run["rows_tombstoned"], 400, "{run:#}");
    assert_eq!(setting.tombstones().await, deleted);
    truth::expect_equal(&setting.simulator.tenant(), &setting.mirror).await;

    let twice = setting.program.run(&confirm).await.expect(2).json();
    assert!(
        twice["error"]
            .as_str()
            .is_some_and(|error| error.contains("holds nothing back")),
        "{twice:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_with_full_also_reads_everything() {
    let setting = Setting::new().await;
    let deleted = setting.delete(100);
    let braked = run_of(&setting.program.run(&FULL).await.expect(4));
    let id = braked["run_id"].as_str().expect("an id").to_owned();
    let both = [
        "sync",
        "users",
        "--full",
        "--confirm-deletes",
        &id,
        "--json",
    ];
    let document = setting.program.run(&both).await.expect(0).json();
    assert_eq!(document["runs"][0]["rows_tombstoned"], 100);
    assert_eq!(document["runs"][1]["rows_read"], PEOPLE - 100);
    assert_eq!(setting.tombstones().await, deleted);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_brake_goes_by_its_setting() {
    let setting = Setting::new().await;
    // Ten may always be missing.
    setting.delete(10);
    let strict = ["sync", "users", "--full", "--max-delete-fraction", "0"];
    setting.program.run(&strict).await.expect(0);
    setting.delete(11);
    setting.program.run(&strict).await.expect(4);
    let loose = ["sync", "users", "--full", "--max-delete-fraction", "0.01"];
    setting.program.run(&loose).await.expect(0);
    assert_eq!(setting.tombstones().await.len(), 21);
    // A job's own goes before the setting.
    let jobs = setting.program.directory().join("jobs");
    std::fs::create_dir(&jobs).expect("a directory");
    let job = "resource = \"users\"\nmax_delete_fraction = 0";
    std::fs::write(jobs.join("users.toml"), job).expect("a file");
    setting.delete(11);
    setting.program.run(&loose).await.expect(4);
    setting
        .program
        .run(&["sync", "--max-delete-fraction", "2"])
        .await
        .expect(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_brake_goes_by_who_was_there_before_the_run() {
    let setting = Setting::new().await;
    // More than two in a hundred of those, and fewer of those and the new ones together.
    setting.delete(70);
    setting.simulator.tenant().edit(Edits {
        creations: 1_000,
        ..Edits::NONE
    });
    let braked = run_of(&setting.program.run(&FULL).await.expect(4));
    let error = braked["error"].as_str().expect("text");
    assert!(
        error.starts_with("70 ") && error.contains("and 60 may be"),
        "{error}"
    );
    assert!(setting.tombstones().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_witness_nobody_is_marked() {
    let setting = Setting::new().await;
    let deleted = setting.delete(5);
    setting.simulator.tenant().hide_single_users(true);
    let run = run_of(&setting.program.run(&FULL).await.expect(4));
    assert!(
        run["error"]
            .as_str()
            .is_some_and(|error| error.contains("cannot be asked for by id")),
        "{run:#}"
    );
    assert!(setting.tombstones().await.is_empty());

    setting.simulator.tenant().hide_single_users(false);
    setting.program.run(&FULL).await.expect(0);
    assert_eq!(setting.tombstones().await, deleted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_marks_nobody() {
    let setting = Setting::new().await;
    setting.delete(20);
    let sample = ["sync", "users", "--full", "--limit", "100000"];
    setting.program.run(&sample).await.expect(0);
    assert!(setting.tombstones().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ignores_the_filter_marks_nobody() {
    use crate::support::tenant;
    use simulator::{Behaviour, Options, Shape};
    let options = Options {
        shape: Shape {
            people: 1_200,
            ..Shape::default()
        },
        behaviour: Behaviour {
            ignore_filters: true,
            ..Behaviour::plain()
        },
        ..Options::default()
    };
    let (simulator, mirror) = (tenant(options).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror);
    program.run(&FULL).await.expect(1);
    simulator.tenant().edit(Edits {
        deletions: 5,
        ..Edits::NONE
    });
    program.run(&FULL).await.expect(1);
    assert_eq!(
        mirror
            .value::<i64>("select count(*) from users where _zephr_deleted_at is not null")
            .await,
        0
    );
}
