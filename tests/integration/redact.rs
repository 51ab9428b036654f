//! What the settings say is not to be kept is nowhere in the database, not in what is said, and not
//! in the past; what is hashed can still be joined.

use privacy::HashKey;
use privacy::tables::{Kind, TABLES};
use serde_json::value::RawValue;
use simulator::{Options, PLANTED_EMAILS, PLANTED_PHONES, Shape, Simulator};
use sqlx::Row;

use crate::support::{Ended, Mirror, Program, people, tenant};

const KEY: &str = "a-hash-key-nobody-may-see-55d0";
const FULL: [&str; 4] = ["sync", "users", "--full", "--json"];

const POLICY: &str = r#"
[privacy]
"users.email" = "hash"
"users.username" = "drop"
"users.tracking_id" = "drop"
"users.attributes.telephone" = "drop"
"users.attributes.city" = "hash"
"users.attributes.newsletter" = "hash"
"users.extra.user.last_login" = "drop"
"#;

/// Values that the policy lets nobody keep.
fn needles() -> Vec<&'static str> {
    PLANTED_EMAILS.into_iter().chain(PLANTED_PHONES).collect()
}

fn key() -> HashKey {
    HashKey::given(&KEY.into()).expect("it is long enough")
}

fn hashing(simulator: &Simulator, mirror: &Mirror) -> Program {
    Program::between(simulator, mirror)
        .with("ZEPHR_SYNC_HASH_KEY", KEY)
        .with("ZEPHR_SYNC_LOG", "trace")
}

fn counted(ended: &Ended) -> [i64; 3] {
    let run = ended.json()["runs"][0].clone();
    ["rows_inserted", "rows_updated", "rows_rejected"]
        .map(|column| run[column].as_i64().expect("a count"))
}

async fn awkward() -> Simulator {
    tenant(Options {
        shape: Shape {
            people: 1_500,
            awkward_percent: 4.0,
            ..Shape::default()
        },
        ..Options::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hashed_or_dropped_is_nowhere_and_everything_else_goes_on() {
    let (simulator, mirror) = (awkward().await, Mirror::new().await);
    let program = hashing(&simulator, &mirror).configured(POLICY);

    let first = program.run(&FULL).await.expect(3);
    let [inserted, _, rejected] = counted(&first);
    assert!(inserted > 1_400 && rejected > 3, "{inserted} {rejected}");
    let again = program.run(&FULL).await.expect(3);
    assert_eq!(counted(&again), [0, 0, rejected], "nothing changed");
    let verified = program.run(&["verify", "--sample", "500"]).await.expect(0);
    let replayed = program.run(&["rejects", "replay"]).await.expect(3);
    simulator.tenant().update(0);
    let incremental = program.run(&["sync", "users"]).await;

    mirror.expect_nowhere(&needles()).await;
    mirror
        .expect_nowhere(&["last_login\": \"2", "\"tracking_id\": \"", KEY])
        .await;
    let kept =
        "select count(*) from rejects where record like '%\"username\"%' or record like '%@%'";
    assert_eq!(mirror.value::<i64>(kept).await, 0);
    for ended in [first, again, verified, replayed, incremental] {
        for needle in needles().into_iter().chain([KEY]) {
            assert!(!ended.stderr.contains(needle) && !ended.stdout.contains(needle));
        }
    }
    // What is hashed is the keyed hash, whatever it was; what is not named is there.
    let hash = key().hash_value(PLANTED_EMAILS[1]);
    let found =
        format!("select count(*) from users where email = '{hash}' and attributes ? 'country'");
    assert_eq!(mirror.value::<i64>(&found).await, 1);
    let hashes = [key().hash_value("true"), key().hash_value("false")].join("','");
    let newsletter =
        format!("select count(*) from users where attributes ->> 'newsletter' in ('{hashes}')");
    assert!(mirror.value::<i64>(&newsletter).await > 100);
    let dropped = "select count(*) from users where username is not null or tracking_id is not null or attributes ? 'telephone'";
    assert_eq!(mirror.value::<i64>(dropped).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_settings_rewrite_the_past_before_anything_is_read() {
    let (simulator, mirror) = (awkward().await, Mirror::new().await);
    let program = hashing(&simulator, &mirror);
    program.run(&FULL).await.expect(3);
    for index in 0..5 {
        simulator.tenant().update(index);
    }
    program.run(&["sync", "users", "--json"]).await;
    // Somebody who is no longer at the API, a reject and a before-image hold values too.
    let id: String = mirror
        .value(&format!(
            "select user_id from users where email = '{}'",
            PLANTED_EMAILS[1]
        ))
        .await;
    mirror
        .execute(&format!(
            "update users set _zephr_deleted_at = now() where user_id = '{id}';
             insert into rejects (job, resource, content_hash, reason, record, first_run_id, last_run_id)
             values ('users', 'users', '\\x01', 'planted', '{{\"user\":{{\"identifiers\":{{\"email_address\":\"{0}\"}}}}}}', gen_random_uuid(), gen_random_uuid());
             insert into bulk_plans (plan_id, file_name, file_hash, rows_planned, rows_skipped) values (gen_random_uuid(), 'f', '', 1, 0);
             insert into bulk_rows (plan_id, row_number, line, user_id, action, old_values, new_values, state)
             select plan_id, 1, 2, 'x', 'set', '{{\"telephone\":\"{1}\",\"country\":\"FR\"}}', '{{\"telephone\":\"{1}\"}}', 'planned' from bulk_plans",
            PLANTED_EMAILS[0], PLANTED_PHONES[0],
        ))
        .await;
    let before = mirror.everything().await;
    for table in ["users ", "users_history ", "rejects ", "bulk_rows "] {
        let holds = |line: &&String| {
            line.starts_with(table) && needles().iter().any(|needle| line.contains(needle))
        };
        assert!(before.iter().any(|line| holds(&line)), "nothing in {table}");
    }
    // Deleted at the mirror alone, so that only the rewriting can reach the row.
    let index = simulator.tenant().index_of(&id).expect("a person");
    simulator.tenant().delete(index);

    let program = program.configured(POLICY);
    program.run(&["sync", "users", "--json"]).await;

    mirror.expect_nowhere(&needles()).await;
    mirror.expect_nowhere(&["last_login\": \"2"]).await;
    let hash = key().hash_value(PLANTED_EMAILS[1]);
    let tombstone = format!(
        "select count(*) from users where user_id = '{id}' and email = '{hash}' and _zephr_deleted_at is not null"
    );
    assert_eq!(mirror.value::<i64>(&tombstone).await, 1);
    let image: serde_json::Value = mirror.value("select old_values from bulk_rows").await;
    assert_eq!(image, serde_json::json!({"country": "FR"}));

    // Once: a hash is not hashed again. A full scan reads everybody once more, and nobody of them
    // has changed.
    let versions = "select count(*) from users_history";
    let versions_before: i64 = mirror.value(versions).await;
    for _ in 0..2 {
        let [inserted, updated, _] = counted(&program.run(&FULL).await.expect(3));
        assert_eq!((inserted, updated), (0, 0));
    }
    assert_eq!(mirror.value::<i64>(versions).await, versions_before);
    mirror.expect_nowhere(&needles()).await;
    let once = format!(
        "select count(*) from users_history where email = '{}'",
        key().hash_value(PLANTED_EMAILS[0])
    );
    assert!(mirror.value::<i64>(&once).await > 0);
    program.run(&["verify", "--sample", "300"]).await.expect(0);

    // What is kept again comes back.
    let program = program.configured("");
    program.run(&FULL).await.expect(3);
    let back = format!(
        "select count(*) from users where email = '{}'",
        PLANTED_EMAILS[0]
    );
    assert_eq!(mirror.value::<i64>(&back).await, 1);
    program.run(&["verify", "--sample", "300"]).await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewriting_that_is_killed_has_changed_nothing() {
    let (simulator, mirror) = (people(300).await, Mirror::new().await);
    let program = hashing(&simulator, &mirror);
    program.run(&FULL).await.expect(0);
    // The last thing it rewrites fails.
    mirror
        .execute(
            "insert into accounts (account_id, email_address, _zephr_run_id, _zephr_first_seen_at, _zephr_loaded_at, _zephr_extracted_at, _zephr_hash)
             values ('a', 'a@b.example', gen_random_uuid(), now(), now(), now(), '');
             alter table accounts add constraint refuses check (email_address is not null)",
        )
        .await;
    let before = mirror.content().await;
    let program = program.configured(&format!("{POLICY}\n\"accounts.email_address\" = \"drop\""));
    program.run(&FULL).await.expect(1);
    assert_eq!(mirror.content().await, before);
    mirror
        .execute("alter table accounts drop constraint refuses")
        .await;
    program.run(&FULL).await.expect(0);
    let hash = key().hash_value(PLANTED_EMAILS[1]);
    let once = format!("select count(*) from users where email = '{hash}'");
    assert_eq!(mirror.value::<i64>(&once).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_tables_follow_too_and_join_by_the_hash() {
    let (simulator, mirror) = (people(50).await, Mirror::new().await);
    let program = hashing(&simulator, &mirror);
    program.run(&FULL).await.expect(0);
    mirror
        .execute(&format!(
            "insert into accounts (account_id, name, email_address, registration_code, session_limit, branding, extra,
                                   _zephr_run_id, _zephr_first_seen_at, _zephr_loaded_at, _zephr_extracted_at, _zephr_hash)
             select 'a' || n, 'Name ' || n, case n when 1 then upper('{}') when 2 then null else 'other@b.example' end, 'secret code', 17,
                    '{{\"logo\":\"http://logo.example\",\"path\":\"/p\"}}', '{{\"contact\":{{\"phone\":\"no-such-phone\",\"room\":1}}}}',
                    gen_random_uuid(), now(), now(), now(), '\\x00'
             from generate_series(1, 3) n",
            PLANTED_EMAILS[1]
        ))
        .await;
    let program = program.configured(
        "[privacy]\n\"users.email\" = \"hash\"\n\"accounts.email_address\" = \"hash\"\n\"accounts.registration_code\" = \"drop\"\n\
         \"accounts.session_limit\" = \"drop\"\n\"accounts.branding.logo\" = \"hash\"\n\"accounts.extra.contact.phone\" = \"drop\"",
    );
    program.run(&["sync", "users"]).await.expect(0);

    mirror
        .expect_nowhere(&[
            "other@b.example",
            "secret code",
            "logo.example",
            "no-such-phone",
            "PLANTED-1@",
        ])
        .await;
    let joined = "select count(*) from accounts a join users u on u.email = a.email_address";
    assert_eq!(mirror.value::<i64>(joined).await, 1);
    let left = "select count(*) from accounts where session_limit is null and extra = '{\"contact\":{\"room\":1}}' and branding ->> 'path' = '/p'";
    assert_eq!(mirror.value::<i64>(left).await, 3);
    let nothing = "select count(*) from accounts where email_address is null and account_id = 'a2'";
    assert_eq!(mirror.value::<i64>(nothing).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_once_and_another_one_is_refused() {
    let (simulator, mirror) = (people(50).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror);
    let keys = "select count(*) from hash_key where key is not null";
    program.run(&FULL).await.expect(0);
    assert_eq!(mirror.value::<i64>(keys).await, 0, "nothing needs one");
    let policy = "[privacy]\nusers.email = \"hash\"\n";
    let program = program.configured(policy);
    program.run(&FULL).await.expect(0);
    program.run(&FULL).await.expect(0);
    assert_eq!(mirror.value::<i64>(keys).await, 1);

    let program = program.with("ZEPHR_SYNC_HASH_KEY", KEY);
    let refused = program.run(&FULL).await.expect(2).json();
    let says = |document: &serde_json::Value, text: &str| {
        let remedy = document["remedy"].as_str().expect("text");
        assert!(remedy.contains(text), "{document:#}");
        assert!(!document.to_string().contains(KEY));
    };
    says(&refused, "Unset ZEPHR_SYNC_HASH_KEY");

    // A key that is given is not kept.
    let given = Mirror::new().await;
    let program = Program::between(&simulator, &given).configured(policy);
    let file = program.directory().join("key");
    std::fs::write(&file, format!("{KEY}\n")).expect("a file");
    let with_file = program.with("ZEPHR_SYNC_HASH_KEY_FILE", file.to_string_lossy());
    with_file.run(&FULL).await.expect(0);
    given.expect_nowhere(&[KEY, &hex::encode(KEY)]).await;
    let other = with_file.with("ZEPHR_SYNC_HASH_KEY", "another-key-that-is-long-enough");
    says(&other.run(&FULL).await.expect(2).json(), "used before");
    let unset = Program::between(&simulator, &given).configured(policy);
    says(&unset.run(&FULL).await.expect(2).json(), "used before");
    let short = unset.with("ZEPHR_SYNC_HASH_KEY", "short");
    let error = short.run(&FULL).await.expect(2).json();
    assert!(
        error["error"]
            .as_str()
            .is_some_and(|error| error.contains("at least 16"))
    );
}

#[tokio::test]
async fn settings_that_cannot_be_followed_are_errors_that_say_what_to_write() {
    for (entry, said) in [
        ("\"users.emial\" = \"drop\"", "did you mean `email`?"),
        ("\"users.email\" = \"dorp\"", "did you mean `drop`?"),
        ("\"user.email\" = \"drop\"", "did you mean `users`?"),
        ("\"users.user_id\" = \"hash\"", "can only be kept"),
        ("\"users_history.email\" = \"drop\"", "`users.email`"),
    ] {
        let program = Program::new().configured(&format!("[privacy]\n{entry}\n"));
        let document = program
            .run(&["check", "--offline", "--json"])
            .await
            .expect(2)
            .json();
        let error = document["error"].as_str().expect("an error");
        assert!(error.contains(said), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_settings_know_each_table_and_column() {
    let mirror = Mirror::new().await;
    let program = Program::new().with("DATABASE_URL", &mirror.url);
    program.run(&["migrate"]).await.expect(0);
    let columns = "select c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod),
            coalesce(a.attnum = any(i.indkey), false) or a.attnotnull and a.atttypid <> 'jsonb'::regtype
        from pg_class c join pg_attribute a on a.attrelid = c.oid left join pg_index i on i.indrelid = c.oid and i.indisprimary
        where c.relnamespace = 'zephr'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition and a.attnum > 0
          and a.attname not like '\\_zephr\\_%' and c.relname not in ('users_history', 'attribute_columns', 'mirror_mark')
        order by 1, a.attnum";
    let mut there = Vec::new();
    for row in mirror.rows(columns).await {
        let (table, column, sql, is_key): (String, String, String, bool) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        let is_key = is_key || column == "user_id" || column == "registered_at";
        let kind = match (is_key, sql.as_str()) {
            (true, _) => "key".to_owned(),
            (false, "timestamp with time zone") => "timestamptz".to_owned(),
            (false, other) => other.to_owned(),
        };
        there.push(format!("{table}.{column}: {kind}"));
    }
    let mut known = Vec::new();
    for table in TABLES {
        for column in table.columns() {
            let kind = match table.kind(column).expect("its own column") {
                Kind::Key => "key",
                Kind::Text => "text",
                Kind::Json => "jsonb",
                Kind::Other(sql) => sql,
            };
            known.push(format!("{}.{column}: {kind}", table.name));
        }
    }
    there.sort_unstable();
    known.sort_unstable();
    assert_eq!(known, there);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_in_an_unexpected_shape_is_dropped_as_well() {
    let (simulator, mirror) = (people(20).await, Mirror::new().await);
    let hidden: Box<RawValue> =
        serde_json::from_str(r#"{"deep":["hidden-value",{"x":1}]}"#).expect("JSON");
    for index in 0..4 {
        simulator
            .tenant()
            .set_attributes(index, [("notes".to_owned(), hidden.clone())]);
    }
    let program = hashing(&simulator, &mirror)
        .configured("[privacy]\n\"users.attributes.notes\" = \"hash\"\n");
    program.run(&FULL).await.expect(0);
    mirror.expect_nowhere(&["hidden-value"]).await;
    let hash = key().hash_value(r#"{"deep":["hidden-value",{"x":1}]}"#);
    let found = format!("select count(*) from users where attributes ->> 'notes' = '{hash}'");
    assert!(mirror.value::<i64>(&found).await > 0);
}
