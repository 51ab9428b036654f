//! Records that Postgres cannot hold as they were sent are repaired and explained, or kept aside:
//! never dropped, never the end of a run.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use simulator::{Options, Shape, Simulator};

use crate::support::{Ended, Mirror, Program, tenant, truth};

/// About fifteen people for each way to be awkward.
async fn awkward() -> (Simulator, Mirror, Program) {
    let shape = Shape {
        people: 1_800,
        awkward_percent: 30.0,
        ..Shape::default()
    };
    let simulator = tenant(Options {
        shape,
        ..Options::default()
    })
    .await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror);
    (simulator, mirror, program)
}

fn without_position(record: &str) -> String {
    let mut record: Value = serde_json::from_str(record).expect("JSON");
    record.as_object_mut().expect("a record").remove("seq-no");
    record.to_string()
}

/// The records without a usable key.
fn keyless(simulator: &Simulator) -> BTreeSet<String> {
    let lines = truth::lines(&simulator.tenant());
    lines
        .iter()
        .filter(|line| truth::key(line).is_none())
        .map(|line| without_position(line))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_without_a_usable_key_are_kept_aside_once_and_all_others_arrive() {
    let (simulator, mirror, program) = awkward().await;
    let keyless = keyless(&simulator);
    assert!(keyless.len() > 20, "{} people without a key", keyless.len());

    let first = program
        .run(&["sync", "users", "--json"])
        .await
        .expect(3)
        .json();

    assert_eq!(first["runs"][0]["status"], "succeeded");
    assert_eq!(first["runs"][0]["rows_rejected"], keyless.len());
    assert_eq!(
        truth::mirrored(&mirror).await,
        truth::keys(&simulator.tenant())
    );
    let listed = rejects(&program).await;
    let records: BTreeSet<String> = listed
        .iter()
        .map(|reject| without_position(reject["record"].as_str().expect("text")))
        .collect();
    assert_eq!((listed.len(), records), (keyless.len(), keyless.clone()));
    assert!(listed.iter().all(|reject| reject["times_seen"] == 1));
    assert!(listed.iter().all(|reject| {
        reject["reason"]
            .as_str()
            .expect("a reason")
            .contains("user_id")
    }));

    program.run(&["sync", "users", "--full"]).await.expect(3);
    let listed = rejects(&program).await;
    assert_eq!(listed.len(), keyless.len());
    assert!(listed.iter().all(|reject| reject["times_seen"] == 2));
}

async fn rejects(program: &Program) -> Vec<Value> {
    let listed = program
        .run(&["rejects", "list", "--last", "100000", "--json"])
        .await
        .expect(0)
        .json();
    let rejects = listed["rejects"].as_array().expect("a list").clone();
    assert_eq!(listed["total"], rejects.len());
    rejects
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_are_listed_and_exported_as_csv_with_their_records() {
    let (simulator, _mirror, program) = awkward().await;
    program.run(&["sync", "users"]).await.expect(3);
    let keyless = keyless(&simulator);

    let listed = program
        .run(&["rejects", "list", "--last", "5", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(listed["total"], keyless.len());
    assert_eq!(listed["rejects"].as_array().map(Vec::len), Some(5));

    let Ended { stdout, .. } = program.run(&["rejects", "export"]).await.expect(0);
    let mut csv = csv::Reader::from_reader(stdout.as_bytes());
    let columns: Vec<String> = csv
        .headers()
        .expect("columns")
        .iter()
        .map(str::to_owned)
        .collect();
    assert_eq!(
        columns,
        [
            "reject_id",
            "job",
            "resource",
            "record_id",
            "reason",
            "times_seen",
            "first_seen_at",
            "last_seen_at",
            "record"
        ]
    );
    let rows: Vec<csv::StringRecord> = csv.records().collect::<Result<_, _>>().expect("CSV");
    let records: BTreeSet<String> = rows.iter().map(|row| without_position(&row[8])).collect();
    assert_eq!((rows.len(), records), (keyless.len(), keyless));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_postgres_cannot_hold_is_replaced_in_its_place_and_explained() {
    let (simulator, mirror, program) = awkward().await;
    program.run(&["sync", "users"]).await.expect(3);

    for (sent, shown, issue) in [
        (
            r#""nickname":"nul\u0000inside""#,
            "attributes ->> 'nickname' = 'nul\u{FFFD}inside'",
            "user.attributes.nickname",
        ),
        (
            r#"["a\u0000",{"key\u0000":1}]"#,
            "attributes #>> '{deep,list,1,key\u{FFFD}}' = '1'",
            "user.attributes.deep",
        ),
        (
            r#""nickname":"half \ud800 of""#,
            "attributes ->> 'nickname' = 'half \u{FFFD} of'",
            "user.attributes.nickname",
        ),
        (
            r#""tail":"end\udfff""#,
            "attributes ->> 'tail' = 'end\u{FFFD}'",
            "user.attributes.tail",
        ),
        (
            r#""k\udc00y""#,
            "attributes ->> 'k\u{FFFD}y' = '\u{FFFD}\u{FFFD}'",
            "user.attributes.k\u{FFFD}y",
        ),
        (
            r#""username":"reader\u0000"#,
            "username like 'reader\u{FFFD}%'",
            "user.identifiers.username",
        ),
        (
            r#""email_address":1"#,
            "email is null and extra #>> '{user,identifiers,email_address}' like '1%'",
            "user.identifiers.email_address",
        ),
        (
            r#""email_verified":"true""#,
            "email_verified is null and extra #> '{user,email_verified}' = '\"true\"'",
            "user.email_verified",
        ),
        (
            r#""registered":"yesterday""#,
            "registered_at is null and extra #>> '{user,registered}' = 'yesterday'",
            "user.registered",
        ),
        (r#""attributes":[]"#, "attributes = '[]'", "user.attributes"),
        (
            r#""nested":[[["#,
            "jsonb_typeof(attributes #> '{nested,0,0,0}') = 'array'",
            "user.attributes.nested",
        ),
    ] {
        let ids = whose(&simulator, sent);
        let explained = format!(
            "exists (select from jsonb_array_elements(_zephr_issues) issue
                     where starts_with(issue ->> 'path', '{issue}') and issue ->> 'reason' <> '')"
        );
        let wrong = format!(
            "user_id = any('{{{}}}') and not coalesce({shown} and {explained}, false)",
            ids.join(",")
        );
        let sql = format!(
            "select count(*) filter (where {wrong}), count(*) filter (where user_id = any('{{{}}}')) from users",
            ids.join(",")
        );
        let row = &mirror.rows(&sql).await[0];
        let (wrong, found): (i64, i64) = (sqlx::Row::get(row, 0), sqlx::Row::get(row, 1));
        assert_eq!((wrong, found), (0, ids.len() as i64), "{sent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_unusual_is_kept_exactly_and_without_an_issue() {
    let (simulator, mirror, program) = awkward().await;
    program.run(&["sync", "users"]).await.expect(3);

    for (sent, shown) in [
        ("🦊 👩‍👩‍👧 é", "attributes ->> 'nickname' = '🦊 👩‍👩‍👧 é'"),
        (
            r#""nickname":"\ud83e\udd8a \u00e9""#,
            "attributes ->> 'nickname' = '🦊 é'",
        ),
        (
            r#""biography":""#,
            "length(attributes ->> 'biography') = 100000",
        ),
        (
            "9007199254740993",
            "attributes ->> 'legacy-id' = '9007199254740993'",
        ),
        (
            "9007199254740993",
            "attributes ->> 'other-id' = '340282366920938463463374607431768211457'",
        ),
        (
            "1e400",
            "(attributes ->> 'ratio')::numeric = 1e400 and (attributes ->> 'tiny')::numeric = -1.5e-400",
        ),
        (
            r#""ratio":0.1"#,
            "attributes ->> 'ratio' = '0.1000000000000000055511151231257827021181583404541015625'",
        ),
        (
            "dotted.key.name",
            "attributes ->> 'dotted.key.name' = 'x' and attributes ->> 'say \"hi\"' = '1'",
        ),
        (
            r#""shard":3"#,
            "extra ->> 'shard' = '3' and extra #> '{user,registration_state,complete}' = 'true'",
        ),
        (r#""shard":3"#, "attributes ->> '' = 'empty key'"),
        (r#""attributes":{}"#, "attributes = '{}'"),
        (
            r#""foreign_keys":[{"foreign_system":"crm""#,
            "exists (select from user_foreign_keys k where k.user_id = u.user_id and system = 'crm')",
        ),
    ] {
        let ids = whose(&simulator, sent).join(",");
        let sql = format!(
            "select coalesce(bool_and({shown} and _zephr_issues is null), false) from users u where user_id = any('{{{ids}}}')"
        );
        assert!(mirror.value::<bool>(&sql).await, "{sent}: {shown}");
    }
}

/// The keys of people whose record, as sent, has this in it; somebody has.
fn whose(simulator: &Simulator, sent: &str) -> Vec<String> {
    let lines = truth::lines(&simulator.tenant());
    let keys: Vec<String> = lines
        .iter()
        .filter(|line| line.contains(sent))
        .filter_map(|line| truth::key(line))
        .collect();
    assert!(!keys.is_empty(), "{}", json!(sent));
    keys
}
