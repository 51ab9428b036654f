//! An analyst's transaction stays open on everything there is: no run waits for it for long, nobody
//! else waits behind a run, and what could not be changed is shown and made up for.

use std::time::Duration;

use simulator::{Business, List, Options, Shape, Simulator};
use sqlx::{Connection, Executor, PgConnection};
use tokio::sync::oneshot;

use crate::support::{Mirror, Program, tenant};

/// Longer than this nobody may wait who only reads.
const LONGEST: &str = "200ms";

async fn setting() -> (Simulator, Mirror, Program) {
    let simulator = tenant(Options {
        shape: Shape {
            people: 60,
            business: Business {
                events: Some(400),
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

fn hooks(program: &Program, columns: &str) {
    let text = format!(
        "resource = 'list'\npath = '/v3/webhooks'\ntable = 'hooks'\nkey = 'webhook_id'\n{columns}"
    );
    job(program, "hooks", &text);
}

/// All that analysts read.
async fn readable(session: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar(
        "select c.oid::regclass::text from pg_class c where c.relnamespace = 'zephr'::regnamespace and c.relkind in ('r', 'p', 'v')",
    )
    .fetch_all(session)
    .await
    .expect("names")
}

/// A session whose transaction has read everything and does not end.
async fn lingering(mirror: &Mirror) -> PgConnection {
    let mut session = mirror.connect().await;
    let names = readable(&mut session).await;
    session
        .execute("set application_name = 'notebook'; begin")
        .await
        .expect("a transaction");
    for name in names {
        let select = format!("select from {name} limit 1");
        session
            .execute(sqlx::AssertSqlSafe(select))
            .await
            .expect("rows");
    }
    session
}

/// Others who read everything again and again, each time in a moment, until they are told to end.
struct Readers {
    end: oneshot::Sender<()>,
    reading: tokio::task::JoinHandle<u32>,
}

impl Readers {
    async fn start(mirror: &Mirror) -> Self {
        let mut session = mirror.connect().await;
        let (end, mut ended) = oneshot::channel();
        let reading = tokio::spawn(async move {
            let limit = format!("set lock_timeout = '{LONGEST}'");
            session
                .execute(sqlx::AssertSqlSafe(limit))
                .await
                .expect("a setting");
            let mut rounds = 0;
            while ended.try_recv().is_err() {
                for name in readable(&mut session).await {
                    let select = format!("select from {name} limit 1");
                    match session.execute(sqlx::AssertSqlSafe(select)).await {
                        Ok(_) => {}
                        Err(error) => {
                            let code = error.as_database_error().and_then(|said| said.code());
                            // What was dropped since it was listed is nothing to wait for.
                            assert_eq!(code.as_deref(), Some("42P01"), "{name}: {error}");
                        }
                    }
                }
                rounds += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            rounds
        });
        Self { end, reading }
    }

    /// None of them has waited.
    async fn end(self) {
        let _ = self.end.send(());
        let rounds = self.reading.await.expect("nobody waits for long");
        assert!(rounds > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_changes_no_lock_is_asked_for() {
    let (_simulator, mirror, program) = setting().await;
    hooks(&program, "columns = { label = 'text' }\n");
    program.run(&["sync"]).await.expect(0);
    let held = lingering(&mirror).await;
    let readers = Readers::start(&mirror).await;
    program.run(&["sync", "hooks"]).await.expect(0);
    program.run(&["sync"]).await.expect(0);
    for command in [&["status"][..], &["runs"], &["rejects", "list"]] {
        program.run(command).await.expect(0);
    }
    readers.end().await;
    let status = program.run(&["status", "--json"]).await.expect(0).json();
    assert_eq!(status["waiting_changes"], serde_json::json!([]));
    held.close().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_is_told_and_made_up_for() {
    let (simulator, mirror, program) = setting().await;
    hooks(&program, "");
    program.run(&["sync"]).await.expect(0);

    // A new attribute, a new column, and a month that is too old.
    hooks(&program, "columns = { label = 'text' }\n");
    let fields = String::from_utf8(simulator.tenant().truth_of(List::UserSchema)).expect("text");
    let added = r#"{"slug":"shoe-size","label":"Shoe size","input-type":"number"}"#;
    let fields: Vec<&str> = fields.lines().chain([added]).collect();
    simulator
        .tenant()
        .set_schema(&format!("[{}]", fields.join(",")))
        .expect("JSON");
    let days: i64 = mirror
        .value("select floor(extract(epoch from now() - date_trunc('month', max(occurred_at))) / 86400)::bigint from user_events")
        .await;
    job(
        &program,
        "events",
        &format!(
            "resource = 'events'\nmode = 'incremental'\nfull_every = 'never'\nretention = '{days}d'\n"
        ),
    );
    let partitions = "select count(*) from pg_inherits where inhparent = 'user_events'::regclass and not inhdetachpending";
    mirror
        .execute(
            "create table zephr.user_events_2020_01 (like zephr.user_events including all);
             alter table zephr.user_events attach partition zephr.user_events_2020_01 for values from ('2020-01-01 00:00:00+00') to ('2020-02-01 00:00:00+00')",
        )
        .await;
    assert!(mirror.value::<i64>(partitions).await > 2, "two are too old");

    let held = lingering(&mirror).await;
    let readers = Readers::start(&mirror).await;
    let told = program
        .run(&["sync", "hooks", "schema", "events"])
        .await
        .expect(0);
    readers.end().await;

    // Nothing is lost meanwhile.
    let kept = "select count(*) from hooks where extra ? 'label'";
    let all = "select count(*) from hooks";
    assert_eq!(
        mirror.value::<i64>(kept).await,
        mirror.value::<i64>(all).await
    );
    let status = program.run(&["status", "--json"]).await.expect(0).json();
    let waiting: Vec<&str> = status["waiting_changes"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["object"].as_str())
        .collect();
    assert!(
        waiting.contains(&"hooks")
            && waiting.contains(&"user_attributes")
            && waiting.iter().any(|name| name.starts_with("user_events_")),
        "{status:#} {told:?}"
    );
    let words = program.run(&["status"]).await.expect(0).stdout;
    assert!(words.contains("(zephr, notebook)"), "{words}");
    let reasons: i64 = mirror
        .value("select count(distinct job) from runs where verdict_reason like '%notebook%'")
        .await;
    assert_eq!(reasons, 3);

    // The night after.
    held.close().await.expect("it ends");
    let readers = Readers::start(&mirror).await;
    program
        .run(&["sync", "hooks", "schema", "events"])
        .await
        .expect(0);
    readers.end().await;
    let unfilled = "select count(*) from hooks where label is null or extra ? 'label'";
    assert_eq!(mirror.value::<i64>(unfilled).await, 0);
    assert_eq!(mirror.value::<i64>(partitions).await, 1);
    let old =
        "select count(*) from pg_class where relname ~ '^user_events_2.*[0-9]$' and relkind = 'r'";
    assert_eq!(mirror.value::<i64>(old).await, 1);
    let column: i64 = mirror
        .value("select count(*) from attribute_columns where slug = 'shoe-size' and position is not null")
        .await;
    assert_eq!(column, 1);
    let status = program.run(&["status", "--json"]).await.expect(0).json();
    assert_eq!(status["waiting_changes"], serde_json::json!([]));
    program.run(&["sync", "--full"]).await.expect(0);
    program.run(&["verify"]).await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_waits_for_nobody_and_says_for_whom_it_would() {
    let (_simulator, mirror, program) = setting().await;
    program.run(&["migrate"]).await.expect(0);
    // As if the last one had not been applied.
    mirror
        .execute("delete from zephr_sync._sqlx_migrations where version = 20; drop table zephr_sync.waiting_changes; delete from zephr_sync._sqlx_migrations where version = 19")
        .await;
    let mut held = mirror.connect().await;
    held.execute("set application_name = 'notebook'; begin; select from deletion_candidates")
        .await
        .expect("a transaction");
    let refused = program.run(&["migrate"]).await.expect(1);
    assert!(
        refused.stderr.contains("notebook") || refused.stdout.contains("notebook"),
        "{refused:?}"
    );
    held.close().await.expect("it ends");
    program.run(&["migrate"]).await.expect(0);
}

/// What is to be hashed or dropped may not be in `extra` until there is a column for it.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_kept_is_not_read_until_it_has_its_column() {
    let (_simulator, mirror, program) = setting().await;
    hooks(&program, "");
    program.run(&["migrate"]).await.expect(0);
    mirror
        .execute("create table zephr.hooks (webhook_id text primary key, extra jsonb, _zephr_run_id uuid not null, _zephr_first_seen_at timestamptz not null, _zephr_loaded_at timestamptz not null, _zephr_extracted_at timestamptz not null, _zephr_deleted_at timestamptz, _zephr_hash bytea not null, _zephr_issues jsonb)")
        .await;
    hooks(&program, "columns = { label = 'text' }\n");
    let program = program.configured("[privacy]\n\"hooks.label\" = \"drop\"\n");
    let held = lingering(&mirror).await;
    let refused = program.run(&["sync", "hooks"]).await.expect(1);
    let said = format!("{}{}", refused.stdout, refused.stderr);
    assert!(
        said.contains("notebook") && said.contains("[privacy]"),
        "{said}"
    );
    let kept = "select count(*) from hooks";
    assert_eq!(mirror.value::<i64>(kept).await, 0);
    held.close().await.expect("it ends");
    program.run(&["sync", "hooks"]).await.expect(0);
    let dropped = "select count(*) filter (where label is null and not extra ? 'label') = count(*) and count(*) > 0 from hooks";
    assert!(mirror.value::<bool>(dropped).await);
}
