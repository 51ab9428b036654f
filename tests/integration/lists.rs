//! Lists that only a job file knows: the examples that are shipped, changes of a description, and
//! files that cannot be used.

use simulator::{Business, List, Options, Shape, Simulator};

use crate::support::truth::lists::expect_list;
use crate::support::{Mirror, Program, tenant};

async fn setting() -> (Simulator, Mirror, Program) {
    let simulator = tenant(Options {
        shape: Shape {
            people: 60,
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
    std::fs::create_dir(program.directory().join("jobs")).expect("a directory");
    (simulator, mirror, program)
}

fn job(program: &Program, name: &str, text: &str) {
    std::fs::write(program.directory().join(format!("jobs/{name}.toml")), text).expect("a file");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_fill_their_tables_and_follow_changes() {
    let (simulator, mirror, program) = setting().await;
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs/examples");
    for name in ["webhooks", "request-rules", "user-sessions"] {
        let file = format!("{name}.toml");
        std::fs::copy(
            examples.join(&file),
            program.directory().join("jobs").join(&file),
        )
        .expect("an example");
    }
    program.run(&["check", "--offline"]).await.expect(0);
    program
        .run(&[
            "sync",
            "users",
            "webhooks",
            "request-rules",
            "user-sessions",
        ])
        .await
        .expect(0);
    let tenant = simulator.tenant();
    let sessions: i64 = mirror
        .value("select count(*) from user_sessions where _zephr_deleted_at is null")
        .await;
    let lines = |list| {
        String::from_utf8(tenant.truth_of(list))
            .expect("text")
            .lines()
            .count() as i64
    };
    assert!(sessions > 0);
    assert_eq!(sessions, lines(List::UserSessions));
    let untimed: i64 = mirror
        .value(
            "select count(*) from user_sessions where created_at is null or last_updated is null",
        )
        .await;
    assert_eq!(untimed, 0);
    expect_list(&tenant, &mirror, List::Webhooks, "webhooks").await;
    let rules: i64 = mirror
        .value("select count(*) from request_rules where created_at is not null")
        .await;
    assert_eq!(rules, lines(List::RequestRules));

    let id = tenant.record_ids(List::Webhooks).remove(0);
    assert!(tenant.delete_record(List::Webhooks, &id));
    tenant
        .add_record(
            List::Webhooks,
            r#"{"label":"new","method":"POST","target":"https://a.example","triggers":[]}"#,
        )
        .expect("JSON");
    // One run that does not see it proves nothing, two in a row do.
    for _ in 0..2 {
        program.run(&["sync", "webhooks"]).await.expect(0);
    }
    expect_list(&tenant, &mirror, List::Webhooks, "webhooks").await;
    let gone: i64 = mirror
        .value("select count(*) from webhooks where _zephr_deleted_at is not null")
        .await;
    assert_eq!(gone, 1);
    // Analysts may read what a job file made.
    let readable: bool = mirror
        .value("select has_table_privilege('zephr_reader', 'zephr.webhooks', 'select')")
        .await;
    assert!(readable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_added_is_filled_and_another_type_or_key_is_refused() {
    let (simulator, mirror, program) = setting().await;
    let begin = "resource = 'list'\npath = '/v3/webhooks'\ntable = 'hooks'\n";
    job(&program, "hooks", &format!("{begin}key = 'webhook_id'\n"));
    program.run(&["sync", "hooks"]).await.expect(0);
    job(
        &program,
        "hooks",
        &format!("{begin}key = 'webhook_id'\ncolumns = {{ label = 'text' }}\n"),
    );
    program.run(&["sync", "hooks"]).await.expect(0);
    let unfilled: i64 = mirror
        .value("select count(*) from hooks where label is null")
        .await;
    assert_eq!(unfilled, 0);
    let before: i64 = mirror.value("select count(*) from hooks").await;
    assert!(before > 0);
    let elsewhere = begin.replace("webhooks", "webhooks?archived=true");
    for (begin, other) in [
        (
            begin,
            "key = 'webhook_id'\ncolumns = { label = 'numeric' }\n",
        ),
        (begin, "key = ['webhook_id', 'label']\n"),
        // Its items would all be missing.
        (&elsewhere, "key = 'webhook_id'\n"),
    ] {
        job(&program, "hooks", &format!("{begin}{other}"));
        let ended = program.run(&["sync", "hooks"]).await.expect(1);
        assert!(ended.stdout.contains("drop table hooks"), "{ended:?}");
    }
    assert_eq!(
        mirror.value::<i64>("select count(*) from hooks").await,
        before
    );
    drop(simulator);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_without_a_key_and_one_below_accounts() {
    let (simulator, mirror, program) = setting().await;
    job(
        &program,
        "rules",
        "resource = 'list'\npath = '/v3/rules/request'\ntable = 'rules'\nkey = 'hash'\n",
    );
    job(
        &program,
        "members",
        "resource = 'list'\npath = '/v3/accounts/{account_id}/users'\ntable = 'members'\nkey = 'user_id'\nfor_each = 'accounts'\n",
    );
    program
        .run(&["sync", "accounts", "rules", "members"])
        .await
        .expect(0);
    let tenant = simulator.tenant();
    let lines = |list| {
        String::from_utf8(tenant.truth_of(list))
            .expect("text")
            .lines()
            .count() as i64
    };
    assert_eq!(
        mirror.value::<i64>("select count(*) from rules").await,
        lines(List::RequestRules)
    );
    let differs = "select count(*) from members m full join account_users a using (account_id, user_id) where m.user_id is null or a.user_id is null";
    assert_eq!(mirror.value::<i64>(differs).await, 0);
    assert_eq!(
        mirror.value::<i64>("select count(*) from members").await,
        lines(List::AccountUsers)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_used_says_what_would_be_right() {
    let (_simulator, _mirror, program) = setting().await;
    job(
        &program,
        "x",
        "resource = 'list'\npath = '/v3/webhooks'\ntable = 'users'\nkey = 'id'\n",
    );
    let ended = program.run(&["sync", "x"]).await.expect(2);
    assert!(ended.stderr.contains("belongs to the mirror"), "{ended:?}");
    // A name of the bookkeeping is known only to the database.
    let taken = "resource = 'list'\npath = '/v3/webhooks'\ntable = 'leases'\nkey = 'webhook_id'\n";
    job(&program, "x", taken);
    let ended = program.run(&["sync", "x"]).await.expect(1);
    assert!(ended.stdout.contains("another table name"), "{ended:?}");
    job(&program, "x", "resource = 'users'\npath = '/v3/webhooks'\n");
    let ended = program.run(&["sync", "x"]).await.expect(2);
    assert!(ended.stderr.contains("resource = \"list\""), "{ended:?}");
}
