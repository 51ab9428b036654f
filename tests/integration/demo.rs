//! The demo, on a machine where nothing is configured.

use private_postgres::{Durability, PrivateCluster};

use crate::support::{Mirror, Program};

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_needs_nothing_and_leaves_nothing_running() {
    let directory = tempfile::tempdir().expect("a directory");
    let program = Program::new().with("ZEPHR_SYNC_DATA_DIR", directory.path().to_string_lossy());

    let shown = program
        .run(&["demo", "--users", "300", "--json"])
        .await
        .expect(0)
        .json();

    let runs = shown["runs"].as_array().expect("runs").clone();
    // Its cluster again, to look into and to take away.
    let cluster = PrivateCluster::start_with(&directory.path().join("demo"), Durability::None)
        .await
        .expect("a cluster");
    let mirror = Mirror { url: cluster.url() };
    let people: i64 = mirror.value("select count(*) from users_current").await;
    let was_stopped: bool = mirror
        .value("select pg_postmaster_start_time() > max(finished_at) from sync_runs")
        .await;
    let home = cluster.home().to_owned();
    cluster.stop().await.expect("the cluster stops");
    std::fs::remove_dir_all(home).expect("its directory goes");

    assert_eq!(runs.len(), 3);
    assert_eq!(
        (
            &runs[0]["mode"],
            &runs[0]["rows_inserted"],
            &runs[0]["verdict"]
        ),
        (&"full".into(), &300.into(), &"proven".into())
    );
    assert_eq!(
        (&runs[1]["mode"], &runs[1]["rows_inserted"]),
        (&"incremental".into(), &5.into())
    );
    assert!(
        runs[1]["rows_updated"]
            .as_u64()
            .is_some_and(|updated| (1..=20).contains(&updated))
    );
    assert_eq!(
        (
            &runs[2]["mode"],
            &runs[2]["rows_tombstoned"],
            &runs[2]["verdict"]
        ),
        (&"full".into(), &3.into(), &"proven".into())
    );
    let pushes = shown["pushes"].as_array().expect("pushes");
    assert_eq!(pushes.len(), 3);
    assert_eq!(pushes[0]["rows_rejected"], 2);
    let planned = &pushes[0]["rows_planned"];
    assert!(planned.as_u64().is_some_and(|rows| rows > 30), "{planned}");
    // What was set is set back.
    assert_eq!(&pushes[1]["outcomes"]["succeeded"], planned);
    assert_eq!(&pushes[2]["outcomes"]["succeeded"], planned);
    assert_eq!(people, 302);
    assert!(was_stopped, "the demo left its Postgres running");
}
