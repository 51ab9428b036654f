//! Somebody who was erased is nowhere, stays away whatever is synced, and is not missed by
//! anything.

use serde_json::{Value, json};
use simulator::{Options, PLANTED_EMAILS, PLANTED_PHONES, Shape, Simulator};
use zephr_sync::sync::progress::Phase;

use crate::support::{Mirror, Program, people, tenant};

const FULL: [&str; 4] = ["sync", "users", "--full", "--json"];
const EMAIL: &str = PLANTED_EMAILS[1];

/// A tenant, its mirror after a sync and a change, and somebody in it.
async fn mirrored() -> (Simulator, Mirror, Program, String) {
    let (simulator, mirror) = (people(300).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror).with("ZEPHR_SYNC_LOG", "trace");
    program.run(&FULL).await.expect(0);
    simulator.tenant().update(1);
    program.run(&["sync", "users"]).await.expect(0);
    let id = simulator.tenant().user_id(1);
    let there = format!("select count(*) from users where user_id = '{id}' and email = '{EMAIL}'");
    assert_eq!(mirror.value::<i64>(&there).await, 1);
    (simulator, mirror, program, id)
}

/// Rows about a person in every table that can hold some, and in one that a job made.
async fn plant(mirror: &Mirror, id: &str) {
    let own = "gen_random_uuid(), now(), now(), now(), '\\x00'";
    let columns =
        "_zephr_run_id, _zephr_first_seen_at, _zephr_loaded_at, _zephr_extracted_at, _zephr_hash";
    mirror
        .execute(&format!(
            "create table user_events_rest partition of user_events default;
             create table sessions (session_id bigint primary key, user_id varchar(100), ip text);
             insert into sessions values (1, '{id}', '10.0.0.1'), (2, '{id}', '10.0.0.2'), (3, 'other', '10.0.0.3');
             insert into user_grants (grant_id, user_id, {columns}) values ('g', '{id}', {own}), ('h', 'other', {own});
             insert into user_segments (segment_id, user_id, {columns}) values ('s', '{id}', {own});
             insert into account_users (account_id, user_id, {columns}) values ('a', '{id}', {own});
             insert into user_events (occurred_at, event_key, user_id, payload, {columns}) values (now(), 'e', '{id}', '{{\"who\":\"{id}\"}}', {own});
             insert into scan_notes values (gen_random_uuid(), 'missing', '{id}');
             insert into visits values ('user_segments', '{id}', null, now()), ('user_segments', 'other', null, now());
             insert into rejects (job, resource, content_hash, record_id, reason, record, first_run_id, last_run_id) values
                 ('users', 'users', '\\x01', '{id}', 'planted', '{{}}', gen_random_uuid(), gen_random_uuid()),
                 ('users', 'users', '\\x02', null, 'planted', '{{\"of\": \"{id}\"}}', gen_random_uuid(), gen_random_uuid()),
                 ('users', 'users', '\\x03', 'other', 'planted', '{{}}', gen_random_uuid(), gen_random_uuid());
             insert into bulk_plans (plan_id, file_name, file_hash, rows_planned, rows_skipped) values (gen_random_uuid(), 'f', '', 1, 0);
             insert into bulk_rows (plan_id, row_number, line, user_id, action, old_values, state)
                 select plan_id, 1, 2, '{id}', 'set', '{{\"telephone\":\"{phone}\"}}', 'planned' from bulk_plans;
             insert into bulk_chunks (plan_id, chunk, action, state, answer) select plan_id, 0, 'set', 'done', '{{\"user\":\"{id}\"}}' from bulk_plans;
             insert into verifications (verification_id, job, finished_at, rows_mirror, rows_sampled, rows_equal, rows_different, rows_gone, differences)
                 values (gen_random_uuid(), 'users', now(), 2, 2, 0, 2, 0, '[{{\"user_id\":\"{id}\"}}, {{\"user_id\":\"other\"}}]')",
            phone = PLANTED_PHONES[1]
        ))
        .await;
}

fn run_of(document: &Value) -> Value {
    document["runs"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_person_is_nowhere_and_does_not_come_back() {
    let (simulator, mirror, program, id) = mirrored().await;
    plant(&mirror, &id).await;
    let before = mirror.everything().await;

    let by_email = ["erase", EMAIL, "--by", "email"];
    let preview = program.run(&by_email).await.expect(0);
    assert!(mirror.everything().await == before, "only looked");
    assert!(preview.stdout.contains("--yes") && preview.stdout.contains("users_history"));
    let yes = [
        "erase",
        EMAIL,
        "--by",
        "email",
        "--yes",
        "--reason",
        "request 7",
    ];
    let erased = program
        .run(&[&yes[..], &["--json"]].concat())
        .await
        .expect(0);
    for said in [&preview, &erased] {
        assert!(!said.stdout.contains(&id) && !said.stderr.contains(&id));
        assert!(!said.stderr.contains(EMAIL), "{}", said.stderr);
    }
    let document = erased.json();
    let keys = document["removed"]["user_foreign_keys"].clone();
    assert_eq!(
        document["removed"],
        json!({
            "users": 1, "users_history": 1, "user_foreign_keys": keys, "user_grants": 1, "user_segments": 1, "account_users": 1,
            "user_events": 1, "sessions": 2, "scan_notes": 1, "visits": 1, "rejects": 2, "bulk_rows": 1, "bulk_chunks": 1, "verifications": 1,
        })
    );
    assert_eq!(document["erasure"]["reason"], "request 7");
    mirror
        .expect_nowhere(&[&id, EMAIL, PLANTED_PHONES[1]])
        .await;
    // Nobody else's rows went.
    let others = "select (select count(*) from sessions) + (select count(*) from user_grants) + (select count(*) from visits)
        + (select count(*) from rejects) + (select jsonb_array_length(differences) from verifications) + (select count(*) from users)";
    assert_eq!(mirror.value::<i64>(others).await, 5 + 299);
    mirror.execute("delete from rejects").await;

    let verified = program.run(&["verify", "--json"]).await.expect(0).json();
    assert_eq!(verified["verifications"][0]["rows_erased"], 1);
    assert_eq!(verified["verifications"][0]["rows_api"], 300);
    simulator.tenant().update(1);
    let incremental = run_of(
        &program
            .run(&["sync", "users", "--json"])
            .await
            .expect(0)
            .json(),
    );
    assert_eq!(incremental["mode"], "incremental");
    for command in [&FULL[..], &["sync", "users", "--restart", "--json"]] {
        let run = run_of(&program.run(command).await.expect(0).json());
        let counts = [
            "rows_inserted",
            "rows_updated",
            "rows_tombstoned",
            "rows_unchanged",
        ];
        assert_eq!(counts.map(|count| &run[count]), [0, 0, 0, 299], "{run:#}");
    }
    let dry = program
        .run(&["sync", "users", "--full", "--dry-run", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(
        (
            &dry["dry_run"][0]["rows_inserted"],
            &dry["dry_run"][0]["rows_unchanged"]
        ),
        (&json!(0), &json!(299))
    );
    mirror
        .expect_nowhere(&[&id, EMAIL, PLANTED_PHONES[1]])
        .await;
    let verified = program.run(&["verify"]).await.expect(0).stdout;
    assert!(
        verified.contains("299 in the mirror and 1 erased, 300 at the API: the counts agree"),
        "{verified}"
    );

    // Once Zephr has deleted them too they are not counted any more.
    let index = simulator.tenant().index_of(&id).expect("a person");
    simulator.tenant().delete(index);
    program.run(&FULL).await.expect(0);
    let verified = program.run(&["verify", "--json"]).await.expect(0).json();
    assert_eq!(verified["verifications"][0]["rows_erased"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_can_be_listed_and_forgotten() {
    let (_simulator, mirror, program, id) = mirrored().await;
    assert_eq!(
        program.run(&["erase", "--list"]).await.expect(0).stdout,
        "Nobody was erased.\n"
    );
    program.run(&["erase", "--forget", &id]).await.expect(1);
    program
        .run(&["erase", &id, "--yes", "--reason", "by mistake"])
        .await
        .expect(0);
    let listed = program.run(&["erase", "--list"]).await.expect(0).stdout;
    assert!(
        listed.contains("by mistake") && !listed.contains(&id),
        "{listed}"
    );
    let document = program
        .run(&["erase", "--list", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(document["erasures"].as_array().map(Vec::len), Some(1));

    let again = program.run(&["erase", &id]).await.expect(0).stdout;
    assert!(again.contains("They were erased on"), "{again}");
    program.run(&["erase", "--forget", &id]).await.expect(0);
    program.run(&FULL).await.expect(0);
    let back = format!("select count(*) from users where user_id = '{id}'");
    assert_eq!(mirror.value::<i64>(&back).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_unknown_is_an_error_but_an_identifier_can_be_noted() {
    let (simulator, mirror) = (people(50).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror);
    let id = simulator.tenant().user_id(1);
    let said = program
        .run(&["erase", &id, "--json"])
        .await
        .expect(1)
        .json();
    assert!(
        said["error"]
            .as_str()
            .is_some_and(|error| error.contains("holds nothing")),
        "{said:#}"
    );
    let by_email = ["erase", EMAIL, "--by", "email", "--yes"];
    program.run(&by_email).await.expect(1);
    program.run(&["erase"]).await.expect(2);
    program.run(&["erase", "x", "--by", "name"]).await.expect(2);

    let noted = program
        .run(&["erase", &id, "--yes", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(
        (&noted["erased"], &noted["removed"]),
        (&json!(true), &json!({}))
    );
    let run = run_of(&program.run(&FULL).await.expect(0).json());
    assert_eq!(run["rows_inserted"], 49, "{run:#}");
    mirror.expect_nowhere(&[&id, EMAIL]).await;
    program.run(&["verify"]).await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_named_by_what_the_mirror_has_hashes_too() {
    let (simulator, mirror) = (people(300).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror)
        .configured("[privacy]\n\"users.email\" = \"hash\"\n\"users.username\" = \"drop\"\n");
    program.run(&FULL).await.expect(0);
    let row = mirror
        .rows("select user_id, system, key from user_foreign_keys order by key limit 1")
        .await;
    let [id, system, key]: [String; 3] = [0, 1, 2].map(|column| sqlx::Row::get(&row[0], column));
    let by = format!("foreign_key:{system}");
    program
        .run(&["erase", &key, "--by", &by, "--yes"])
        .await
        .expect(0);
    mirror.expect_nowhere(&[&id]).await;

    let shouted = EMAIL.to_uppercase();
    program
        .run(&["erase", &shouted, "--by", "email", "--yes"])
        .await
        .expect(0);
    mirror
        .expect_nowhere(&[&simulator.tenant().user_id(1)])
        .await;
    let dropped = program
        .run(&["erase", "ann", "--by", "username", "--json"])
        .await
        .expect(1)
        .json();
    assert!(
        dropped["remedy"]
            .as_str()
            .is_some_and(|remedy| remedy.contains("drop users.username")),
        "{dropped:#}"
    );

    mirror.execute("update users set email = 'same@b.example' where user_id in (select user_id from users limit 2)").await;
    let ambiguous = program
        .run(&["erase", "same@b.example", "--by", "email", "--yes"])
        .await
        .expect(1);
    assert!(ambiguous.stderr.contains("2 users"), "{}", ambiguous.stderr);
    assert_eq!(mirror.value::<i64>("select count(*) from users").await, 298);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reject_does_not_come_back_either() {
    let simulator = tenant(Options {
        shape: Shape {
            people: 1_500,
            awkward_percent: 4.0,
            ..Shape::default()
        },
        ..Options::default()
    })
    .await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror);
    program.run(&FULL).await.expect(3);
    let find = "select substring(record from '\"user_id\":([0-9]+)') from rejects where reason = 'user.user_id is a number, not text' limit 1";
    let id: String = mirror.value(find).await;
    let like = format!("select count(*) from rejects where record like '%\"user_id\":{id}%'");
    assert_eq!(mirror.value::<i64>(&like).await, 1);
    program.run(&["erase", &id, "--yes"]).await.expect(0);
    program.run(&FULL).await.expect(3);
    assert_eq!(mirror.value::<i64>(&like).await, 0);
    program.run(&["verify", "--sample", "1"]).await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_waits_for_a_run_and_is_not_undone_by_it() {
    let (simulator, mirror, program, id) = mirrored().await;
    simulator.tenant().update(1);
    let program = program.telling_phases();
    let mut running = program.start(&["sync", "users", "--restart"]);
    assert!(running.until_phase(Phase::RunBegun, 1).await);
    let erase = ["erase", &id, "--yes"];
    let (erased, ended) = tokio::join!(program.run(&erase), running.end());
    erased.expect(0);
    ended.expect(0);
    mirror.expect_nowhere(&[&id, EMAIL]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_says_can_be_typed() {
    let page = include_str!("../../docs/privacy.md");
    let block = |language: &str| {
        let (_, rest) = page
            .split_once(&format!("```{language}\n"))
            .expect("a block");
        rest.split_once("```").expect("its end").0
    };
    let (_simulator, _mirror, program, id) = mirrored().await;
    let program = program.configured(block("toml"));
    program.run(&["check", "--offline"]).await.expect(0);
    let mut typed = 0;
    for line in block("sh").lines() {
        let line = line.replace("\"request 4711\"", "request-4711");
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        let words: Vec<&str> = words
            .into_iter()
            .map(|word| match word {
                "someone@private.example" => EMAIL,
                "USER_ID" => &id,
                other => other,
            })
            .collect();
        program.run(&words).await.expect(0);
        typed += 1;
    }
    assert_eq!(typed, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_an_erasure_emptied_is_no_sign_of_anything() {
    let (_simulator, mirror, program, id) = mirrored().await;
    mirror
        .execute(&format!(
            "insert into user_segments (segment_id, user_id, _zephr_run_id, _zephr_first_seen_at, _zephr_loaded_at, _zephr_extracted_at, _zephr_hash)
             values ('s', '{id}', gen_random_uuid(), now(), now(), now(), '\\x00')"
        ))
        .await;
    // Notes that the table has rows.
    program.run(&["sync", "users"]).await.expect(0);
    program.run(&["erase", &id, "--yes"]).await.expect(0);
    let rows = "select count(*) from user_segments";
    assert_eq!(mirror.value::<i64>(rows).await, 0);
    let ended = program.run(&["sync", "users", "--json"]).await.expect(0);
    let run = run_of(&serde_json::from_str(&ended.stdout).expect("JSON"));
    assert_eq!(run["mode"], "incremental", "{run:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_named_in_rows_of_others_is_said_and_can_be_kept_out() {
    let (_simulator, mirror, program, id) = mirrored().await;
    let shouted = EMAIL.to_uppercase();
    mirror
        .execute(&format!(
            "insert into accounts (account_id, email_address, extra, _zephr_run_id, _zephr_first_seen_at, _zephr_loaded_at, _zephr_extracted_at, _zephr_hash) values
                 ('one', '{shouted}', null, gen_random_uuid(), now(), now(), now(), '\\x00'),
                 ('two', null, '{{\"owner\": {{\"says\": \"I am {EMAIL}.\"}}, \"seats\": [{{\"of\": \"{id}\"}}]}}', gen_random_uuid(), now(), now(), now(), '\\x00'),
                 ('three', 'else@b.example', '{{\"owner\": {{\"says\": \"nobody\"}}}}', gen_random_uuid(), now(), now(), now(), '\\x00');
             create table sessions (session_id bigint primary key, user_id varchar(100), \"Shared with\" text);
             insert into sessions values (1, '{id}', '{id}'), (2, 'other', '{id}'), (3, 'other', null)"
        ))
        .await;
    let expected = json!({
        "accounts.email_address": 1, "accounts.extra.owner.says": 1, "accounts.extra.seats": 1, "sessions.Shared with": 1,
    });
    let before = mirror.everything().await;
    let preview = program.run(&["erase", &id, "--json"]).await.expect(0);
    assert_eq!(preview.json()["mentions"], expected);
    assert!(mirror.everything().await == before, "only looked");

    let erased = program.run(&["erase", &id, "--yes"]).await.expect(0);
    for said in [
        "Other rows name this person",
        "accounts.extra.owner.says",
        "`\"accounts.email_address\" = \"drop\"`",
    ] {
        assert!(erased.stdout.contains(said), "{}", erased.stdout);
    }
    assert!(
        !erased.stdout.to_lowercase().contains(&EMAIL.to_lowercase())
            && !erased.stdout.contains(&id)
    );

    // Afterwards the mirror does not know the address any more: who asks by identifier is told of that.
    let again = program
        .run(&["erase", &id, "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(
        again["mentions"],
        json!({ "accounts.extra.seats": 1, "sessions.Shared with": 1 })
    );
    mirror.execute("drop table sessions").await;
    let program = program.configured(
        "[privacy]\n\"accounts.email_address\" = \"drop\"\n\"accounts.extra.owner.says\" = \"drop\"\n\"accounts.extra.seats\" = \"drop\"\n",
    );
    program.run(&["sync", "users"]).await.expect(0);
    mirror.expect_nowhere(&[&id, EMAIL, &shouted]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_named_where_only_their_own_rows_are() {
    let (_simulator, _mirror, program, id) = mirrored().await;
    let preview = program.run(&["erase", &id]).await.expect(0).stdout;
    assert!(!preview.contains("Other rows"), "{preview}");
}
