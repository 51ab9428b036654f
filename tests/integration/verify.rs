//! Verifying tells whether the mirror is what the API shows: it finds nothing where nothing
//! differs, names who and which fields where something does, and shows nobody's data.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use simulator::{
    Behaviour, Count, Edits, Options, PLANTED_EMAILS, PLANTED_PHONES, Shape, Simulator,
};
use zephr_sync::sync::progress::Phase;

use crate::support::{Ended, Mirror, Program, people, tenant};

/// Few enough that a sample holds all of them.
const PEOPLE: u32 = 90;

/// A tenant, and its mirror after a sync.
async fn mirrored() -> (Simulator, Mirror, Program) {
    let simulator = people(PEOPLE).await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror);
    program.run(&["sync", "users"]).await.expect(0);
    (simulator, mirror, program)
}

/// What a comparison said.
fn verification(ended: &Ended) -> Value {
    let document = ended.json();
    assert_eq!(document["verifications"].as_array().map(Vec::len), Some(1));
    document["verifications"][0].clone()
}

fn differences(ended: &Ended) -> Value {
    verification(ended)["differences"].clone()
}

fn differs(user_id: &str, fields: &[&str]) -> Value {
    json!({ "user_id": user_id, "gone": false, "fields": fields })
}

/// The comparisons that are kept, the latest first.
async fn kept(mirror: &Mirror) -> Vec<Value> {
    let rows = mirror
        .rows("select to_jsonb(v) - '{started_at,finished_at}'::text[] as line from verifications v order by started_at desc")
        .await;
    rows.iter().map(|row| sqlx::Row::get(row, 0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_sync_everything_is_equal_and_that_is_kept_and_shown() {
    let (_simulator, mirror, program) = mirrored().await;

    let said = program.run(&["verify"]).await.expect(0).stdout;
    assert!(
        said.contains("users: all of 90 sampled records are equal")
            && said.contains("90 in the mirror, 90 at the API: the counts agree"),
        "{said}"
    );

    let verified = program
        .run(&["verify", "users", "--sample", "7", "--json"])
        .await
        .expect(0);
    let shown = verification(&verified);
    let columns = [
        ("job", json!("users")),
        ("rows_mirror", json!(90)),
        ("rows_api", json!(90)),
        ("rows_sampled", json!(7)),
        ("rows_equal", json!(7)),
        ("rows_different", json!(0)),
        ("rows_gone", json!(0)),
        ("differences", json!([])),
    ];
    let kept = kept(&mirror).await;
    assert_eq!(kept.len(), 2);
    for (column, value) in columns {
        assert_eq!(
            (&shown[column], &kept[0][column]),
            (&value, &value),
            "{column}"
        );
    }
    assert_eq!(shown["verification_id"], kept[0]["verification_id"]);
    let fields = shown["fields_compared"].as_array().expect("fields");
    for field in [
        "user.user_id",
        "user.identifiers.email_address",
        "user.registered",
        "user.last_login",
        "user.foreign_keys",
        "user.attributes.city",
    ] {
        assert!(
            fields.contains(&field.into()),
            "{field} is not in {fields:?}"
        );
    }
    assert_eq!(
        (&shown["fields_one_sided"], &shown["remedy"]),
        (&json!([]), &Value::Null)
    );

    let status = program.run(&["status", "--json"]).await.expect(0).json();
    let last = &crate::support::status_of(&status, "users")["last_verification"];
    assert_eq!(last["verification_id"], shown["verification_id"]);
    let status = program.run(&["status"]).await.expect(0).stdout;
    assert!(
        status.contains("users: all of 7 sampled records are equal (verified at "),
        "{status}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn awkward_people_are_equal_too_however_the_server_answers() {
    let mut said_how_many = BTreeSet::new();
    for seed in 0..6 {
        let behaviour = Behaviour::drawn(seed);
        let shape = Shape {
            people: 700,
            seed,
            awkward_percent: 40.0,
            undated: 5,
            ..Shape::default()
        };
        let simulator = tenant(Options {
            shape,
            behaviour: behaviour.clone(),
            ..Options::default()
        })
        .await;
        let mirror = Mirror::new().await;
        let program = Program::between(&simulator, &mirror);
        program.run(&["sync", "users"]).await.expect(3);

        let verified = program.run(&["verify", "--sample", "700", "--json"]).await;

        let shown = verification(&verified);
        let about = format!("seed {seed}, {behaviour:?}: {shown:#}");
        assert_eq!(verified.code, Some(0), "{about}");
        let rejects: i64 = mirror.value("select count(*) from rejects").await;
        assert_eq!(shown["rows_sampled"], 700 - rejects, "{about}");
        assert_eq!(shown["rows_equal"], 700 - rejects, "{about}");
        assert_eq!(shown["rows_kept_aside"], rejects, "{about}");
        said_how_many.insert(!shown["rows_api"].is_null());
    }
    assert_eq!(said_how_many.len(), 2, "only one kind of server was met");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tampered_cell_is_named_by_user_and_field() {
    let (simulator, mirror, program) = mirrored().await;
    let mut expected = Vec::new();
    for (index, (change, field)) in [
        ("email = 'x'", "user.identifiers.email_address"),
        ("email = null", "user.identifiers.email_address"),
        ("username = 'x'", "user.identifiers.username"),
        ("email_verified = not email_verified", "user.email_verified"),
        ("tracking_id = null", "user.tracking_id"),
        (
            "registered_at = registered_at + interval '1 second'",
            "user.registered",
        ),
        ("registration_tenant = 'x'", "user.registration_tenant"),
        (
            r#"attributes = attributes || '{"loyalty-points": -1}'"#,
            "user.attributes.loyalty-points",
        ),
        ("attributes = attributes - 'city'", "user.attributes.city"),
        (
            r#"attributes = attributes || '{"more": "x"}'"#,
            "user.attributes.more",
        ),
        ("extra = extra #- '{user,last_login}'", "user.last_login"),
        (
            r#"extra = jsonb_set(extra, '{user,foreign_keys}', '{"crm":"x"}')"#,
            "user.foreign_keys",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let id = simulator.tenant().user_id(index as u32);
        mirror
            .execute(&format!("update users set {change} where user_id = '{id}'"))
            .await;
        expected.push(differs(&id, &[field]));
    }
    expected.sort_by_key(|difference| difference["user_id"].to_string());

    let verified = program.run(&["verify", "users", "--json"]).await.expect(1);

    assert_eq!(differences(&verified), Value::from(expected.clone()));
    let shown = verification(&verified);
    assert_eq!(
        (&shown["rows_different"], &shown["rows_equal"]),
        (&json!(12), &json!(PEOPLE - 12))
    );
    assert_eq!(
        kept(&mirror).await[0]["differences"],
        Value::from(expected.clone())
    );

    let said = program.run(&["verify", "users"]).await.expect(1).stdout;
    for difference in &expected {
        let (id, field) = (&difference["user_id"], &difference["fields"][0]);
        let line = format!(
            "{}: {}",
            id.as_str().expect("text"),
            field.as_str().expect("text")
        );
        assert!(said.contains(&line), "{line} is not in\n{said}");
    }
    assert!(
        said.contains("Run `zephr-sync sync users --full`, then `zephr-sync verify users` again.")
            && said.contains("_zephr_hash"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_changed_or_went_since_the_sync_is_named_until_the_next_one() {
    let (simulator, _mirror, program) = mirrored().await;
    let tenant = simulator.tenant();
    let (changed, gone) = (tenant.user_id(20), tenant.user_id(21));
    assert!(tenant.update(20) && tenant.delete(21));

    let verified = program.run(&["verify", "--json"]).await.expect(1);
    let mut expected = [
        differs(
            &changed,
            &["user.attributes.loyalty-points", "user.last_login"],
        ),
        json!({ "user_id": gone, "gone": true, "fields": [] }),
    ];
    expected.sort_by_key(|difference| difference["user_id"].to_string());
    assert_eq!(differences(&verified), json!(expected));
    let shown = verification(&verified);
    assert_eq!(
        (
            &shown["rows_equal"],
            &shown["rows_different"],
            &shown["rows_gone"]
        ),
        (&json!(88), &json!(1), &json!(1))
    );

    let said = program.run(&["verify"]).await.expect(1).stdout;
    assert!(
        said.contains(&format!("{gone}: gone from the API"))
            && said.contains("90 in the mirror, 89 at the API: the tenant may have changed since the last run, which began at "),
        "{said}"
    );

    program.run(&["sync", "users", "--full"]).await.expect(0);
    let verified = program.run(&["verify", "--json"]).await.expect(0);
    assert_eq!(verification(&verified)["rows_sampled"], 89);
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_do_not_count_as_a_change_do_not_differ() {
    let (simulator, mirror, _) = mirrored().await;
    let program = Program::between(&simulator, &mirror).with(
        "ZEPHR_SYNC_IGNORE_FIELDS",
        "user.last_login, user.attributes.loyalty-points",
    );
    assert!(simulator.tenant().update(20));
    let verified = program.run(&["verify", "--json"]).await.expect(0);
    assert_eq!(verification(&verified)["rows_equal"], PEOPLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_that_differs_is_told_although_all_sampled_are_equal() {
    let (simulator, mirror, program) = mirrored().await;
    let lost = simulator.tenant().user_id(30);
    mirror
        .execute(&format!("delete from users where user_id = '{lost}'"))
        .await;
    let said = program.run(&["verify"]).await.expect(1).stdout;
    assert!(
        said.contains("all of 89 sampled records are equal")
            && said.contains("89 in the mirror, 90 at the API: the tenant may have changed"),
        "{said}"
    );
    // And the other way round.
    program.run(&["sync", "users", "--full"]).await.expect(0);
    let created = simulator.tenant().edit(Edits {
        creations: 2,
        ..Edits::NONE
    });
    assert_eq!(created.created.len(), 2);
    let shown = verification(&program.run(&["verify", "--json"]).await.expect(1));
    assert_eq!(
        (&shown["rows_mirror"], &shown["rows_api"]),
        (&json!(90), &json!(92))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_api_does_not_say_how_many_it_has_nothing_is_made_up() {
    for count in [Count::Page, Count::Absent] {
        for (number, told) in [(1, json!(1)), (3, Value::Null)] {
            let simulator = tenant(Options {
                shape: Shape {
                    people: number,
                    ..Shape::default()
                },
                behaviour: Behaviour {
                    count,
                    ..Behaviour::plain()
                },
                ..Options::default()
            })
            .await;
            let program = Program::between(&simulator, &Mirror::new().await);
            program.run(&["sync", "users"]).await.expect(0);
            let shown = verification(&program.run(&["verify", "--json"]).await.expect(0));
            assert_eq!(shown["rows_api"], told, "{count:?} of {number}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_without_anybody_is_compared_by_count() {
    let simulator = people(5).await;
    let program = Program::between(&simulator, &Mirror::new().await);
    let said = program.run(&["verify"]).await.expect(1).stdout;
    assert!(
        said.contains("the mirror holds nobody to compare")
            && said.contains("0 in the mirror, 5 at the API, and no run has read from it yet"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_of_a_large_table_is_a_random_one() {
    let simulator = people(20_000).await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror);
    program.run(&["sync", "users"]).await.expect(0);
    // Everybody differs, so that the drawn are named; half of the rows are tombstones, which are
    // not drawn.
    mirror
        .execute("update users set tracking_id = 'x', _zephr_deleted_at = case when user_id < '8' then now() end")
        .await;
    mirror.execute("analyze users").await;
    let mut drawn = BTreeSet::new();
    for _ in 0..3 {
        let verified = program
            .run(&["verify", "--sample", "20", "--json"])
            .await
            .expect(1);
        let ids: BTreeSet<String> = differences(&verified)
            .as_array()
            .expect("differences")
            .iter()
            .map(|difference| difference["user_id"].as_str().expect("an id").to_owned())
            .collect();
        assert_eq!(ids.len(), 20);
        assert!(ids.iter().all(|id| id.as_str() >= "8"), "{ids:?}");
        drawn.extend(ids);
    }
    // Sixty at best; twenty if it were always the same.
    assert!(drawn.len() > 50, "{}", drawn.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_under_way_is_neither_waited_for_nor_disturbed() {
    let (simulator, mirror, _) = mirrored().await;
    let program = Program::between(&simulator, &mirror).telling_phases();
    let edited = simulator.tenant().edit(Edits {
        updates: 5,
        ..Edits::NONE
    });
    let changed: BTreeSet<&String> = edited.updated.iter().collect();
    // Its merge waits for somebody who holds all rows, so it is in the middle of one as long as we
    // like.
    let mut holder = mirror.connect().await;
    sqlx::Executor::execute(&mut holder, "begin; select from users for update")
        .await
        .expect("a lock");
    let mut sync = program.start(&["sync", "users", "--full"]);
    assert!(sync.until_phase(Phase::BatchCompared, 1).await);

    let verified = program.run(&["verify", "--json"]).await.expect(1);

    sqlx::Executor::execute(&mut holder, "rollback")
        .await
        .expect("the end of it");
    sync.end().await.expect(0);
    assert!(
        !verified.stderr.contains("waiting for"),
        "{}",
        verified.stderr
    );
    assert_eq!(verification(&verified)["rows_different"], changed.len());
    program.run(&["verify"]).await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_is_shown_or_kept_outside_its_place() {
    let (simulator, mirror, _) = mirrored().await;
    let secrets = ["tampered-with-5c1", "set-at-the-api-93e"];
    let ids: Vec<String> = (0..3)
        .map(|index| simulator.tenant().user_id(index))
        .collect();
    mirror
        .execute(&format!(
            "update users set email = '{0}', tracking_id = '{0}', attributes = attributes || '{{\"telephone\": \"{0}\"}}' where user_id = '{1}'",
            secrets[0], ids[0]
        ))
        .await;
    let telephone = serde_json::value::to_raw_value(secrets[1]).expect("JSON");
    let set = [("telephone".to_owned(), telephone)];
    assert!(simulator.tenant().set_attributes(1, set));
    assert!(simulator.tenant().delete(2));
    let mut said = String::new();
    for format in ["text", "json"] {
        let program = Program::between(&simulator, &mirror)
            .with("ZEPHR_SYNC_LOG", "trace")
            .with("ZEPHR_SYNC_LOG_FORMAT", format);
        for arguments in [
            &["verify"][..],
            &["verify", "--json"],
            &["status", "--json"],
            &["status"],
        ] {
            let ended = program.run(arguments).await;
            said.push_str(&ended.stdout);
            said.push_str(&ended.stderr);
        }
    }
    for row in kept(&mirror).await {
        said.push_str(&row.to_string());
    }
    // What is searched is not empty, and speaks of these people.
    for id in &ids {
        assert!(said.contains(id), "{id}");
    }
    assert!(said.contains("user.attributes.telephone"));
    let planted = PLANTED_EMAILS.into_iter().chain(PLANTED_PHONES);
    for value in planted.chain(secrets) {
        let line = said.lines().find(|line| line.contains(value));
        assert!(line.is_none(), "{value} in: {}", line.unwrap_or_default());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_a_usage_error() {
    let simulator = people(5).await;
    let program = Program::between(&simulator, &Mirror::new().await);
    for sample in ["0", "-1", "some", "1000000", ""] {
        program.run(&["verify", "--sample", sample]).await.expect(2);
    }
    program.run(&["verify", "usres"]).await.expect(2);
    assert_eq!(simulator.stats().requests, 0);
}
