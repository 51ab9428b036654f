//! The pair of schemas: made, brought up to date, taken away, and kept from an older program.

use serde_json::json;

use crate::support::{Mirror, Program, people};

/// What anybody made in this database: schemas, and tables, views and functions in them.
const MADE: &str = "select (select count(*) from pg_namespace where nspname !~ '^(pg_|information_schema$|public$)')
    + (select count(*) from pg_class c join pg_namespace n on n.oid = relnamespace where nspname !~ '^(pg_|information_schema$)')
    + (select count(*) from pg_proc p join pg_namespace n on n.oid = pronamespace where nspname !~ '^(pg_|information_schema$)')";

fn with(mirror: &Mirror) -> Program {
    Program::new().with("DATABASE_URL", &mirror.url)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_migration_finds_nothing_to_do() {
    let mirror = Mirror::new().await;
    let first = with(&mirror)
        .run(&["migrate", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(first["schema"], "zephr");
    assert!(
        first["applied"]
            .as_array()
            .is_some_and(|applied| applied.last() == Some(&first["version"]))
    );

    let second = with(&mirror)
        .run(&["migrate", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(
        (&second["applied"], &second["version"]),
        (&json!([]), &first["version"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_analysts_may_read_is_granted_once_and_again_when_it_was_taken_away() {
    let mirror = Mirror::new().await;
    let migrate = async || {
        with(&mirror).run(&["migrate"]).await.expect(0);
    };
    // The transaction that last wrote the rights of a table.
    let granted = async || {
        let by = "select xmin::text from pg_class where oid = 'zephr.users'::regclass";
        mirror.value::<String>(by).await
    };
    migrate().await;
    let first = granted().await;
    migrate().await;
    assert_eq!(granted().await, first);

    for taken in [
        "revoke select on zephr.users from zephr_reader",
        "revoke usage on schema zephr from zephr_reader",
        "alter default privileges in schema zephr revoke select on tables from zephr_reader",
    ] {
        mirror.execute(taken).await;
        migrate().await;
        let may = "select has_schema_privilege('zephr_reader', 'zephr', 'usage') and has_table_privilege('zephr_reader', 'zephr.users', 'select')";
        assert!(mirror.value::<bool>(may).await, "{taken}");
        mirror.execute("create table zephr.later ()").await;
        let may = "select has_table_privilege('zephr_reader', 'zephr.later', 'select')";
        assert!(mirror.value::<bool>(may).await, "{taken}");
        mirror.execute("drop table zephr.later").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_of_another_name_has_a_pair_of_its_own_and_dropping_it_leaves_nothing() {
    let (simulator, mirror) = (people(50).await, Mirror::new().await);
    let news = Program::between(&simulator, &mirror).with("ZEPHR_SYNC_SCHEMA", "news");
    let before: i64 = mirror.value(MADE).await;

    for _ in 0..2 {
        let migrated = news.run(&["migrate", "--json"]).await.expect(0).json();
        assert_eq!(migrated["schema"], "news");
        assert!(
            migrated["applied"]
                .as_array()
                .is_some_and(|applied| !applied.is_empty()),
            "it starts afresh"
        );
        news.run(&["sync", "users"]).await.expect(0);
        assert_eq!(
            mirror
                .value::<i64>("select count(*) from news.users_current")
                .await,
            50
        );
        assert_eq!(
            mirror
                .value::<i64>("select count(*) from news_sync.runs")
                .await,
            1
        );
        assert_eq!(
            mirror
                .value::<i64>("select count(*) from pg_namespace where nspname like 'zephr%'")
                .await,
            0
        );

        mirror.execute("drop schema news, news_sync cascade").await;
        assert_eq!(mirror.value::<i64>(MADE).await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_in_one_database_do_not_meet() {
    let (one, two, mirror) = (people(30).await, people(20).await, Mirror::new().await);
    Program::between(&one, &mirror)
        .run(&["sync", "users"])
        .await
        .expect(0);
    Program::between(&two, &mirror)
        .with("ZEPHR_SYNC_SCHEMA", "news")
        .run(&["sync", "users"])
        .await
        .expect(0);
    assert_eq!(
        mirror
            .value::<i64>("select count(*) from zephr.users")
            .await,
        30
    );
    assert_eq!(
        mirror.value::<i64>("select count(*) from news.users").await,
        20
    );
    assert_eq!(
        mirror
            .value::<i64>("select count(*) from zephr_sync.runs")
            .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_program_refuses_a_newer_schema() {
    let (simulator, mirror) = (people(10).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror);
    program.run(&["migrate"]).await.expect(0);
    mirror
        .execute(
            "insert into zephr_sync._sqlx_migrations (version, description, success, checksum, execution_time)
             values (9999, 'of the future', true, ''::bytea, 0)",
        )
        .await;

    for command in [
        &["migrate", "--json"][..],
        &["sync", "--json"],
        &["status", "--json"],
        &["sync", "--dry-run", "--json"],
    ] {
        let document = program.run(command).await.expect(1).json();
        assert!(
            document["error"]
                .as_str()
                .is_some_and(|error| error.contains("9999") && error.contains("newer")),
            "{document:#}"
        );
    }
    assert_eq!(simulator.stats().requests, 0);
    let checks = program.run(&["check", "--json"]).await.expect(1).stdout;
    assert!(
        checks.contains("9999") && checks.contains("use a newer version"),
        "{checks}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn analysts_may_read_the_mirror_and_nothing_else() {
    let mirror = Mirror::new().await;
    with(&mirror).run(&["migrate"]).await.expect(0);
    let may = |table: &str, right: &str| {
        format!("select has_table_privilege('zephr_reader', '{table}', '{right}')")
    };
    assert!(
        mirror
            .value::<bool>(&may("zephr.users_current", "select"))
            .await
    );
    assert!(
        !mirror
            .value::<bool>(&may("zephr.users", "insert, update, delete"))
            .await
    );
    assert!(
        !mirror
            .value::<bool>("select has_schema_privilege('zephr_reader', 'zephr_sync', 'usage')")
            .await
    );
}
