//! Accounts, segments, schema and catalog: each table equals the simulator's truth after a sync,
//! after changes, after deletions and after a kill.

use std::collections::BTreeMap;

use simulator::{Behaviour, Business, Edits, List, Nothing, Options, Shape, Simulator};

use crate::support::truth::lists::expect_list;
use crate::support::{Mirror, Program, status_of, tenant};

/// The tables of each job, with the list that says what they should hold.
const ACCOUNTS: [(List, &str); 3] = [
    (List::Accounts, "accounts"),
    (List::AccountUsers, "account_users"),
    (List::AccountGrants, "account_grants"),
];
const SEGMENTS: [(List, &str); 2] = [
    (List::Segments, "segments"),
    (List::UserSegments, "user_segments"),
];
const SCHEMA: [(List, &str); 1] = [(List::UserSchema, "user_schema")];
const CATALOG: [(List, &str); 5] = [
    (List::Products, "products"),
    (List::Bundles, "bundles"),
    (List::Entitlements, "entitlements"),
    (List::Meters, "meters"),
    (List::Credits, "credits"),
];

fn shape(people: u32, accounts: u32) -> Shape {
    Shape {
        people,
        business: Business {
            accounts: Some(accounts),
            ..Business::default()
        },
        ..Shape::default()
    }
}

struct Setting {
    simulator: Simulator,
    mirror: Mirror,
    program: Program,
}

impl Setting {
    async fn new(options: Options) -> Self {
        let simulator = tenant(options).await;
        let mirror = Mirror::new().await;
        let program = Program::between(&simulator, &mirror);
        Self {
            simulator,
            mirror,
            program,
        }
    }

    async fn expect(&self, tables: &[(List, &'static str)]) {
        for (list, table) in tables {
            expect_list(&self.simulator.tenant(), &self.mirror, *list, table).await;
        }
    }

    /// Requests by route that a command costs.
    async fn requests(&self, arguments: &[&str]) -> BTreeMap<String, u64> {
        let before = self.simulator.stats().by_route;
        self.program.run(arguments).await.expect(0);
        let mut after = self.simulator.stats().by_route;
        after.retain(|route, count| {
            *count -= before.get(route).copied().unwrap_or(0);
            *count > 0
        });
        after
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_of_every_job_equals_the_tenant() {
    let setting = Setting::new(Options {
        shape: shape(300, 40),
        ..Options::default()
    })
    .await;
    let ended = setting.program.run(&["sync", "--json"]).await.expect(0);
    let runs = ended.json()["runs"].as_array().expect("runs").clone();
    let jobs: Vec<_> = runs
        .iter()
        .map(|run| run["job"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(
        jobs,
        [
            "schema", "catalog", "users", "accounts", "events", "segments"
        ]
    );
    for tables in [&ACCOUNTS[..], &SEGMENTS, &SCHEMA, &CATALOG] {
        setting.expect(tables).await;
    }
    // Nothing has changed: nothing is written, and no account is asked for but those of the round.
    let again = setting
        .program
        .run(&["sync", "accounts", "schema", "catalog", "--json"])
        .await
        .expect(0);
    for run in again.json()["runs"].as_array().expect("runs") {
        assert_eq!(run["rows_inserted"], 0, "{run}");
        assert_eq!(run["rows_updated"], 0, "{run}");
        assert_eq!(run["rows_tombstoned"], 0, "{run}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_follow_changes_and_deletions() {
    let setting = Setting::new(Options {
        shape: shape(300, 40),
        ..Options::default()
    })
    .await;
    setting
        .program
        .run(&["sync", "users", "accounts"])
        .await
        .expect(0);
    let tenant = setting.simulator.tenant();
    let accounts = tenant.accounts();
    assert!(tenant.rename_account(accounts[0], "Another & Co"));
    assert!(tenant.set_account_seats(accounts[1], 77));
    assert!(tenant.delete_account(accounts[2]));
    assert!(tenant.delete_account(accounts[3]));
    let new = tenant.add_account();
    assert!(tenant.add_member(new, 5, true));
    let emptied = accounts[4];
    for person in tenant.members_of(emptied) {
        assert!(tenant.remove_member(emptied, person));
    }
    assert!(tenant.add_account_grant(accounts[5]).is_some());
    // Within the budget the round comes to all of so few accounts. Who is no longer a member cannot
    // be asked for, and is gone when a second run misses him too.
    let first = setting.program.run(&["sync", "accounts", "--json"]).await;
    let run = &first.expect(0).json()["runs"][0];
    assert_eq!(run["verdict"], "agreed", "{run}");
    let reason = run["verdict_reason"].as_str().expect("a reason");
    assert!(
        reason.contains("if the next run misses them too"),
        "{reason}"
    );
    setting.program.run(&["sync", "accounts"]).await.expect(0);
    setting.expect(&ACCOUNTS).await;
    let gone: i64 = setting
        .mirror
        .value("select count(*) from accounts where _zephr_deleted_at is not null")
        .await;
    assert_eq!(gone, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn schema_and_catalog_follow_changes_and_deletions() {
    let setting = Setting::new(Options {
        shape: shape(50, 3),
        ..Options::default()
    })
    .await;
    setting
        .program
        .run(&["sync", "schema", "catalog", "users"])
        .await
        .expect(0);
    setting.expect(&CATALOG).await;
    let tenant = setting.simulator.tenant();
    let products = tenant.record_ids(List::Products);
    let changed = tenant.change_record(
        List::Products,
        &products[0],
        r#"{"label":"Another \"label\""}"#,
    );
    assert!(changed.expect("JSON"));
    assert!(tenant.delete_record(List::Products, &products[1]));
    tenant
        .add_record(
            List::Meters,
            r#"{"label":"new","unit":"article","limit":"12","cycle":"month"}"#,
        )
        .expect("JSON");
    let odd = [
        "Select",
        "select",
        "a\"b",
        "x.y",
        "user_id",
        &"long-".repeat(20),
    ]
    .map(|slug| serde_json::json!({ "slug": slug, "label": slug, "input-type": "number" }));
    tenant
        .set_schema(&serde_json::json!(odd).to_string())
        .expect("JSON");
    let living = "select count(*) from products where _zephr_deleted_at is null";
    let before: i64 = setting.mirror.value(living).await;
    setting.program.run(&["sync", "catalog"]).await.expect(0);
    assert_eq!(setting.mirror.value::<i64>(living).await, before);
    setting.program.run(&["sync", "catalog"]).await.expect(0);
    assert_eq!(setting.mirror.value::<i64>(living).await, before - 1);
    // All fields that were there are gone: that has to be confirmed, and is then read once more.
    let braked = setting
        .program
        .run(&["sync", "schema", "--json"])
        .await
        .expect(4)
        .json();
    let run = braked["runs"][0]["run_id"]
        .as_str()
        .expect("a run")
        .to_owned();
    setting
        .program
        .run(&["sync", "schema", "--confirm-deletes", &run])
        .await
        .expect(0);
    setting.expect(&SCHEMA).await;
    for (list, table) in [
        (List::Products, "products"),
        (List::Bundles, "bundles"),
        (List::Credits, "credits"),
    ] {
        expect_list(&tenant, &setting.mirror, list, table).await;
    }
    let limit: bool = setting
        .mirror
        .value("select limit_value = 12 from meters where label = 'new'")
        .await;
    assert!(limit);
    // The typed view follows: a column per slug beside the key, and it answers.
    let columns: i64 = setting
        .mirror
        .value(
            "select count(*) from attribute_columns where type = 'numeric' and gone_since is null",
        )
        .await;
    assert_eq!(columns, 6);
    let people: i64 = setting
        .mirror
        .value("select count(*) from (select * from user_attributes) u")
        .await;
    assert_eq!(people, 50);
}

/// The identifier of a truth's line, if it is one that a key can be.
fn storable(line: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Account {
        account_id: Option<Box<serde_json::value::RawValue>>,
    }
    let account: Account = serde_json::from_str(line).expect(line);
    let id: String = serde_json::from_str(account.account_id?.get()).ok()?;
    (!id.is_empty() && id.len() <= 800).then_some(id)
}

#[tokio::test(flavor = "multi_thread")]
async fn awkward_accounts_are_stored_explained_or_kept_aside() {
    let setting = Setting::new(Options {
        shape: Shape {
            awkward_percent: 40.0,
            ..shape(200, 120)
        },
        ..Options::default()
    })
    .await;
    setting.program.run(&["sync", "accounts"]).await.expect(3);
    let truth =
        String::from_utf8(setting.simulator.tenant().truth_of(List::Accounts)).expect("text");
    let expected: std::collections::BTreeSet<String> = truth.lines().filter_map(storable).collect();
    let rows = setting
        .mirror
        .rows("select account_id from accounts where _zephr_deleted_at is null")
        .await;
    let stored: std::collections::BTreeSet<String> =
        rows.iter().map(|row| sqlx::Row::get(row, 0)).collect();
    assert_eq!(stored, expected);
    assert!(
        expected.len() < truth.lines().count(),
        "nothing awkward was drawn"
    );
    let explained: i64 = setting
        .mirror
        .value("select count(*) from accounts where _zephr_issues is not null")
        .await;
    assert!(explained > 0);
    let aside: i64 = setting
        .mirror
        .value("select count(*) from rejects where resource = 'accounts'")
        .await;
    assert!(aside > 0);
    // What is awkward is so again, and is not written again.
    let again = setting
        .program
        .run(&["sync", "accounts", "--full", "--json"])
        .await
        .expect(3)
        .json();
    assert_eq!(again["runs"][0]["rows_updated"], 0, "{again}");
    assert_eq!(again["runs"][0]["rows_tombstoned"], 0, "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incremental_run_asks_for_what_the_list_shows_as_changed_and_goes_round_the_rest() {
    let setting = Setting::new(Options {
        shape: shape(200, 60),
        ..Options::default()
    })
    .await;
    std::fs::create_dir(setting.program.directory().join("jobs")).expect("a directory");
    let job = "resource = 'accounts'\nmode = 'incremental'\nbudget = 10\n";
    std::fs::write(setting.program.directory().join("jobs/accounts.toml"), job).expect("a file");
    setting.program.run(&["sync", "accounts"]).await.expect(0);
    let tenant = setting.simulator.tenant();
    for account in tenant.accounts().into_iter().take(3) {
        assert!(tenant.set_account_seats(account, 999));
    }
    let asked = setting.requests(&["sync", "accounts"]).await;
    let expected = [
        ("GET /v3/accounts", 1),
        ("GET /v3/accounts/{}", 3),
        ("GET /v3/accounts/{}/grants", 13),
        ("GET /v3/accounts/{}/users", 13),
    ];
    assert_eq!(
        asked,
        expected
            .map(|(route, count)| (route.to_owned(), count))
            .into()
    );
    let full = setting.requests(&["sync", "accounts", "--full"]).await;
    assert_eq!(full["GET /v3/accounts/{}"], 60, "{full:?}");
    assert_eq!(full["GET /v3/accounts/{}/users"], 60, "{full:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_go_round_the_tenant_and_the_changed_come_first() {
    let setting = Setting::new(Options {
        shape: shape(100, 3),
        ..Options::default()
    })
    .await;
    std::fs::create_dir(setting.program.directory().join("jobs")).expect("a directory");
    let job = "resource = 'segments'\nmode = 'incremental'\nbudget = 30\nfull_every = 'never'\n";
    std::fs::write(setting.program.directory().join("jobs/segments.toml"), job).expect("a file");
    setting.program.run(&["sync", "users"]).await.expect(0);
    for _ in 0..3 {
        let asked = setting.requests(&["sync", "segments"]).await;
        assert_eq!(asked["GET /v4/users/{}/segments"], 30, "{asked:?}");
    }
    let status = setting
        .program
        .run(&["status", "--json"])
        .await
        .expect(0)
        .json();
    let job = status_of(&status, "segments");
    assert_eq!(job["rounds"][0]["never_visited"], 10, "{job}");
    assert_eq!(job["rounds"][0]["runs_left"], 1, "{job}");
    setting.program.run(&["sync", "segments"]).await.expect(0);
    setting.expect(&SEGMENTS).await;

    // Somebody who changed is asked for before the round comes to them.
    let tenant = setting.simulator.tenant();
    let segment = tenant.record_ids(List::Segments).remove(0);
    let person = (0..100)
        .find(|index| !tenant.segments_of(*index).contains(&segment))
        .expect("somebody");
    tenant.enter_segment(person, &segment);
    assert!(tenant.update(person));
    setting
        .program
        .run(&["sync", "users", "segments"])
        .await
        .expect(0);
    setting.expect(&SEGMENTS).await;

    let left = tenant.segments_of(person);
    for segment in &left {
        tenant.leave_segment(person, segment);
    }
    for _ in 0..2 {
        let full = ["sync", "segments", "--full"];
        setting.program.run(&full).await.expect(0);
    }
    setting.expect(&SEGMENTS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brake_holds_back_what_an_empty_list_would_delete() {
    let setting = Setting::new(Options {
        shape: shape(300, 40),
        ..Options::default()
    })
    .await;
    setting
        .program
        .run(&["sync", "users", "accounts"])
        .await
        .expect(0);
    let living = "select count(*) from accounts where _zephr_deleted_at is null";
    let tenant = setting.simulator.tenant();
    tenant.hide_list(List::Accounts, true);
    let ended = setting.program.run(&["sync", "accounts"]).await.expect(4);
    assert!(
        ended.stderr.contains("--confirm-deletes") || ended.stdout.contains("--confirm-deletes"),
        "{ended:?}"
    );
    assert_eq!(setting.mirror.value::<i64>(living).await, 40);

    // Members of all accounts seem to be gone: all stay, however many runs come.
    tenant.hide_only(&[List::AccountUsers]);
    let members = "select count(*) from account_users where _zephr_deleted_at is null";
    let all: i64 = setting.mirror.value(members).await;
    for _ in 0..3 {
        setting.program.run(&["sync", "accounts"]).await.expect(4);
        assert_eq!(setting.mirror.value::<i64>(members).await, all);
    }

    // It was a mistake of the server's: the next run finds everybody again.
    tenant.hide_only(&[]);
    setting.program.run(&["sync", "accounts"]).await.expect(0);
    setting.expect(&ACCOUNTS).await;
}

/// Nobody was ever a member, so nothing shows that the path of members is there: accounts that are
/// gone explain its 404s, and accounts that exist do not.
#[tokio::test(flavor = "multi_thread")]
async fn accounts_without_members_that_are_all_gone_can_be_confirmed() {
    let setting = Setting::new(Options {
        shape: Shape {
            people: 10,
            business: Business {
                accounts: Some(5),
                members: 0,
                ..Business::default()
            },
            ..Shape::default()
        },
        behaviour: Behaviour {
            no_members: Nothing::EmptyList,
            ..Behaviour::plain()
        },
        ..Options::default()
    })
    .await;
    let program = &setting.program;
    let full = ["sync", "accounts", "--full", "--json"];
    program.run(&full).await.expect(0);
    let tenant = setting.simulator.tenant();
    tenant.lose_paths(&["/v3/accounts/{}/users"]);
    let lost = program.run(&full).await.expect(1);
    assert!(
        lost.stdout.contains("answered 404 for all of 5 accounts"),
        "{lost:?}"
    );
    tenant.lose_paths(&[]);
    for index in 0..5 {
        assert!(tenant.delete_account(index));
    }
    let braked = program.run(&full).await.expect(4);
    assert!(
        braked.stdout.contains("5 of them do not exist any more"),
        "{braked:?}"
    );
    let run: String = setting
        .mirror
        .value("select run_id::text from runs order by started_at desc limit 1")
        .await;
    let confirm = ["sync", "accounts", "--confirm-deletes", &run];
    program.run(&confirm).await.expect(0);
    let living = "select count(*) from accounts where _zephr_deleted_at is null";
    assert_eq!(setting.mirror.value::<i64>(living).await, 0);
    program.run(&full).await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn confirmed_deletions_go_through() {
    let setting = Setting::new(Options {
        shape: shape(300, 40),
        ..Options::default()
    })
    .await;
    setting
        .program
        .run(&["sync", "users", "accounts"])
        .await
        .expect(0);
    let tenant = setting.simulator.tenant();
    for account in tenant.accounts().into_iter().take(15) {
        assert!(tenant.delete_account(account));
    }
    let braked = setting
        .program
        .run(&["sync", "accounts", "--json"])
        .await
        .expect(4)
        .json();
    let run = braked["runs"][0]["run_id"]
        .as_str()
        .expect("a run")
        .to_owned();
    setting
        .program
        .run(&["sync", "accounts", "--confirm-deletes", &run])
        .await
        .expect(0);
    setting.expect(&ACCOUNTS).await;
    let again = setting
        .program
        .run(&["sync", "accounts", "--confirm-deletes", &run])
        .await;
    assert_ne!(again.code, Some(0), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_the_next_run_makes_it_right() {
    let setting = Setting::new(Options {
        shape: shape(300, 60),
        ..Options::default()
    })
    .await;
    let program = Program::between(&setting.simulator, &setting.mirror).telling_phases();
    program.run(&["sync", "users"]).await.expect(0);
    program.run(&["sync", "accounts"]).await.expect(0);
    setting.simulator.tenant().edit(Edits {
        account_changes: 10,
        account_deletions: 3,
        member_changes: 10,
        ..Edits::NONE
    });
    for phases in [1, 2, 3, 4, 6, 8, 11, 14, 18] {
        let mut running = program.start(&["sync", "accounts", "--full"]);
        for _ in 0..phases {
            if !running.until(|line| line.contains(r#""phase":""#)).await {
                break;
            }
        }
        running.kill().await;
    }
    for _ in 0..2 {
        program.run(&["sync", "accounts", "--full"]).await.expect(0);
    }
    setting.expect(&ACCOUNTS).await;
}

/// Longer than the time between two notes about how much was asked.
const SLOW_BATCH: &str = "
    create function dawdle() returns trigger language plpgsql as $$ begin perform pg_sleep(2.5); return null; end $$;
    create trigger dawdle after update of rows_read on runs for each row
        when (old.rows_read = 0 and new.rows_read > 0) execute function dawdle();";

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_takes_long_to_store_is_not_held_up_by_the_record_of_its_run() {
    let setting = Setting::new(Options {
        shape: shape(50, 20),
        ..Options::default()
    })
    .await;
    setting.program.run(&["migrate"]).await.expect(0);
    setting.mirror.execute(SLOW_BATCH).await;
    setting.program.run(&["sync", "accounts"]).await.expect(0);
    setting.expect(&ACCOUNTS).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn five_thousand_accounts_of_twenty_members() {
    let mut of_twenty = shape(20_000, 5_000);
    of_twenty.business.members = 20;
    let setting = Setting::new(Options {
        shape: of_twenty,
        ..Options::default()
    })
    .await;
    let first = setting.requests(&["sync", "accounts"]).await;
    assert_eq!(first["GET /v3/accounts/{}"], 5_000, "{first:?}");
    setting.expect(&ACCOUNTS).await;

    let tenant = setting.simulator.tenant();
    for account in tenant.accounts().into_iter().step_by(100) {
        assert!(tenant.set_account_seats(account, 4_321));
    }
    // One pass over the list, a detail for each of the fifty that changed, and beside them the
    // round: 500 of the others, as the built-in job says.
    let asked = setting.requests(&["sync", "accounts"]).await;
    let expected = [
        ("GET /v3/accounts", 10),
        ("GET /v3/accounts/{}", 50),
        ("GET /v3/accounts/{}/grants", 550),
        ("GET /v3/accounts/{}/users", 550),
    ];
    assert_eq!(
        asked,
        expected
            .map(|(route, count)| (route.to_owned(), count))
            .into()
    );
    setting.expect(&ACCOUNTS).await;

    let full = setting.requests(&["sync", "accounts", "--full"]).await;
    for route in [
        "GET /v3/accounts/{}",
        "GET /v3/accounts/{}/grants",
        "GET /v3/accounts/{}/users",
    ] {
        assert_eq!(full[route], 5_000, "{full:?}");
    }
}
