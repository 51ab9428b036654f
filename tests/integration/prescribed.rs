//! A database in which somebody has prescribed something to every session: what our statements rest
//! on is set by ourselves, and what makes a mirror impossible is named before anything is written.

use simulator::{Edits, Options};

use crate::support::{Mirror, Program, people, tenant, truth};

/// What people set on roles and databases. A statement of the load takes longer than each limit.
const PRESCRIBED: [(&str, &str); 16] = [
    ("default_transaction_isolation", "'serializable'"),
    ("default_transaction_deferrable", "on"),
    ("statement_timeout", "1000"),
    ("lock_timeout", "1000"),
    ("idle_in_transaction_session_timeout", "1000"),
    ("idle_session_timeout", "1000"),
    ("search_path", "''"),
    ("timezone", "'Asia/Kolkata'"),
    ("datestyle", "'SQL, DMY'"),
    ("intervalstyle", "'sql_standard'"),
    ("bytea_output", "'escape'"),
    ("extra_float_digits", "-15"),
    ("quote_all_identifiers", "on"),
    ("standard_conforming_strings", "off"),
    ("client_encoding", "'LATIN1'"),
    ("jit_above_cost", "0"),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_prescribed_to_sessions_changes_nothing() {
    let (simulator, mirror) = (people(200).await, Mirror::new().await);
    mirror.prescribe(&PRESCRIBED).await;
    let program = Program::between(&simulator, &mirror);

    program.run(&["check"]).await.expect(0);
    program.run(&["migrate"]).await.expect(0);
    mirror
        .execute(
            "create function linger() returns trigger language plpgsql as 'begin perform pg_sleep(1.5); return null; end';
             create trigger linger after insert on zephr.users execute function linger()",
        )
        .await;
    program.run(&["sync"]).await.expect(0);
    simulator.tenant().edit(Edits {
        updates: 20,
        creations: 5,
        deletions: 3,
        ..Edits::NONE
    });
    program.run(&["sync", "users"]).await.expect(0);
    program.run(&["sync", "users", "--full"]).await.expect(0);
    program.run(&["verify"]).await.expect(0);
    program.run(&["status"]).await.expect(0);

    let usual = PRESCRIBED.map(|(name, _)| (name, "default"));
    mirror.prescribe(&usual).await;
    truth::expect_equal(&simulator.tenant(), &mirror).await;
}

/// Two writers count in one row.
#[tokio::test(flavor = "multi_thread")]
async fn each_level_of_isolation_is_as_good_as_another() {
    let (simulator, mirror) = (people(2_000).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror).with("ZEPHR_SYNC_RPP", "50");
    for level in ["'repeatable read'", "'serializable'"] {
        mirror
            .prescribe(&[("default_transaction_isolation", level)])
            .await;
        program.run(&["sync", "users", "--full"]).await.expect(0);
        simulator.tenant().edit(Edits {
            updates: 500,
            ..Edits::NONE
        });
    }
}

/// Each command that would write says so in these words and writes nothing.
async fn refused(mirror: &Mirror, said: &str) {
    let simulator = tenant(Options::default()).await;
    let program = Program::between(&simulator, mirror);
    for arguments in [
        &["check"][..],
        &["migrate"],
        &["sync", "users"],
        &["daemon", "--listen", "127.0.0.1:0"],
    ] {
        let ended = program.run(arguments).await;
        let told = format!("{}{}", ended.stdout, ended.stderr);
        assert!(told.contains(said), "{arguments:?}: {told}");
        assert_ne!(ended.code, Some(0), "{arguments:?}: {told}");
    }
    let schemas: i64 = mirror
        .value("select count(*) from pg_namespace where nspname like 'zephr%'")
        .await;
    assert_eq!(schemas, 0, "something was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_only_read_is_refused_and_named() {
    let mirror = Mirror::new().await;
    mirror
        .prescribe(&[("default_transaction_read_only", "on")])
        .await;
    refused(&mirror, "default_transaction_read_only is on").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_another_encoding_is_refused_before_anything_is_written() {
    for encoding in ["LATIN1", "WIN1252", "SQL_ASCII"] {
        let mirror = Mirror::encoded(encoding).await;
        refused(
            &mirror,
            &format!("the encoding of this database is {encoding}"),
        )
        .await;
    }
}
