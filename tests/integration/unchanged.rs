//! A full run over a tenant that has not changed writes no row, and next to nothing to Postgres's
//! log.

use private_postgres::{Durability, PrivateCluster};

use crate::support::{Mirror, Program, people, truth};

/// A row rewritten in place is over 800 bytes of log; 20,000 of them drown what a run writes about
/// itself.
const PEOPLE: i64 = 20_000;

/// The run's own record, its windows and checkpoint are a few kilobytes, however many people there
/// are.
const WAL_BYTES_PER_PERSON: i64 = 10;

/// What Postgres counted as written to the tables of users, per table.
const WRITTEN: &str = "select string_agg(concat_ws(' ', relname, n_tup_ins, n_tup_upd, n_tup_del), ', ' order by relname)
    from pg_stat_user_tables where relname in ('users', 'user_foreign_keys')";

/// All columns of all rows.
const CONTENT: &str = "select md5(string_agg(md5(u::text), '' order by user_id)) from users u";

#[tokio::test(flavor = "multi_thread")]
async fn a_full_run_over_unchanged_users_writes_no_row() {
    let simulator = people(PEOPLE as u32).await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror);
    program.run(&["sync", "users"]).await.expect(0);
    let (written, content) = (
        written(&mirror).await,
        mirror.value::<String>(CONTENT).await,
    );
    let keys: i64 = mirror.value("select count(*) from user_foreign_keys").await;
    assert_eq!(
        written,
        format!("user_foreign_keys {keys} 0 0, users {PEOPLE} 0 0")
    );

    let second = program
        .run(&["sync", "users", "--full", "--json"])
        .await
        .expect(0)
        .json();

    assert_eq!(second["runs"][0]["rows_read"], PEOPLE);
    assert_eq!(second["runs"][0]["rows_unchanged"], PEOPLE);
    assert_eq!(self::written(&mirror).await, written);
    assert_eq!(mirror.value::<String>(CONTENT).await, content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_run_over_unchanged_users_hardly_writes_to_the_log() {
    let simulator = people(PEOPLE as u32).await;
    // A cluster of its own: the log is one for all databases of a cluster, and autovacuum writes
    // there when it likes.
    let directory = tempfile::tempdir().expect("a directory");
    let cluster = PrivateCluster::start_with(directory.path(), Durability::None)
        .await
        .expect("a cluster");
    let mirror = Mirror { url: cluster.url() };
    mirror.execute("alter system set autovacuum = off").await;
    mirror.execute("select pg_reload_conf()").await;
    let program = Program::between(&simulator, &mirror);
    let first = program.run(&["sync", "users"]).await;

    // The checkpoint comes first: after it, the first change of a page logs the whole page, and
    // that is the load's doing.
    mirror.execute("checkpoint").await;
    mirror.execute("vacuum analyze").await;
    let before: i64 = mirror
        .value("select (pg_current_wal_insert_lsn() - '0/0')::bigint")
        .await;
    let second = program.run(&["sync", "users", "--full", "--json"]).await;
    let after: i64 = mirror
        .value("select (pg_current_wal_insert_lsn() - '0/0')::bigint")
        .await;

    let home = cluster.home().to_owned();
    cluster.stop().await.expect("the cluster stops");
    std::fs::remove_dir_all(home).expect("its directory goes");
    first.expect(0);
    assert_eq!(second.expect(0).json()["runs"][0]["rows_unchanged"], PEOPLE);
    let bytes = after - before;
    assert!(
        bytes < WAL_BYTES_PER_PERSON * PEOPLE,
        "{bytes} bytes of log for {PEOPLE} unchanged people"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_of_which_little_changed_commit_together() {
    let simulator = people(PEOPLE as u32).await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror);
    program.run(&["sync", "users"]).await.expect(0);
    // A few in each window.
    for index in (0..PEOPLE as u32).step_by(100) {
        assert!(simulator.tenant().update(index));
    }

    let second = program
        .run(&["sync", "users", "--full", "--json"])
        .await
        .expect(0)
        .json();

    assert_eq!(second["runs"][0]["rows_updated"], PEOPLE / 100);
    truth::expect_equal(&simulator.tenant(), &mirror).await;
    let windows: i64 = mirror.value("select count(*) from windows").await;
    assert!(windows >= PEOPLE / 500, "{windows} windows");
    // Rows of one transaction have it in common. Each of two writers waits half a second and no
    // longer, so a slow machine commits more often.
    let commits: i64 = mirror
        .value("select count(distinct xmin::text) from windows")
        .await;
    let seconds: f64 = mirror
        .value("select extract(epoch from max(finished_at - started_at))::float8 from runs where rows_updated > 0")
        .await;
    assert!(
        commits as f64 <= 6.0 + 4.0 * seconds,
        "{commits} commits of {windows} windows in {seconds} s"
    );
}

/// The counts, once all sessions of the program are gone: a session hands in its counts before it
/// leaves the list.
async fn written(mirror: &Mirror) -> String {
    mirror.alone().await;
    mirror.value(WRITTEN).await
}

/// How often somebody other than autovacuum vacuumed the users, and analysed them.
const CLEANED: &str = "select vacuum_count::text || ' ' || analyze_count from pg_stat_user_tables where relname = 'users'";

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_loads_or_changes_much_cleans_up_behind_itself_and_no_other_does() {
    let simulator = people(3_000).await;
    let (tenant, mirror) = (simulator.tenant(), Mirror::new().await);
    let program = Program::between(&simulator, &mirror);
    let full = ["sync", "users", "--full"];

    program.run(&full).await.expect(0);
    assert_eq!(mirror.value::<String>(CLEANED).await, "1 1");
    let known: i64 = mirror
        .value("select reltuples::bigint from pg_class where oid = 'users'::regclass")
        .await;
    assert_eq!(known, 3_000);

    program.run(&full).await.expect(0);
    assert_eq!(mirror.value::<String>(CLEANED).await, "1 1");

    let change = async |people: std::ops::Range<u32>| {
        for index in people {
            assert!(tenant.update(index));
        }
        program.run(&full).await.expect(0);
        mirror.alone().await;
        mirror.value::<String>(CLEANED).await
    };
    assert_eq!(change(0..500).await, "1 1");
    assert_eq!(change(0..1_500).await, "2 1");

    // Little each night is much after some. By which is for Postgres's counts to say: what a run
    // did itself may not be in them when it looks.
    for _ in 0..3 {
        change(0..600).await;
    }
    assert_ne!(mirror.value::<String>(CLEANED).await, "2 1");
}
