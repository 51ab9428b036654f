//! On real clusters, each in a directory of its own that is gone afterwards.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::Executor;

use super::*;

struct DataDir(PathBuf);

impl DataDir {
    fn new() -> Self {
        Self(
            std::env::temp_dir().join(format!("zephr-sync-test-{}", uuid::Uuid::new_v4().simple())),
        )
    }

    async fn start(&self) -> Result<PrivateCluster, PrivateError> {
        PrivateCluster::start_with(&self.0, Durability::None).await
    }

    /// What the cluster has on disk, before or after it runs.
    async fn home(&self) -> Home {
        Home::prepare(&self.0, Owner::for_this_process().await.unwrap()).unwrap()
    }

    async fn pid(&self) -> Option<rustix::process::Pid> {
        let file = self.home().await.read("postmaster.pid").unwrap()?;
        rustix::process::Pid::from_raw(file.lines().next().unwrap().trim().parse().unwrap())
    }
}

impl Drop for DataDir {
    /// Whatever the test left: a failed one must not leave a server behind.
    fn drop(&mut self) {
        let data_dir = self.0.clone();
        let cleaning = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let owner = Owner::for_this_process().await.unwrap();
                let home = Home::prepare(&data_dir, owner).unwrap();
                if let Ok(binaries) = Binaries::find(None, &home, owner).await {
                    let server = Server::new(home, binaries, Durability::None, None);
                    let _ = server.ensure_stopped(Haste::Abrupt).await;
                    let _ = server.home().remove();
                }
            });
            let _ = std::fs::remove_dir_all(&data_dir);
        });
        let _ = cleaning.join();
    }
}

async fn ask(cluster: &PrivateCluster, sql: &'static str) -> Result<String, sqlx::Error> {
    let mut connection = PgConnection::connect_with(&cluster.connect_options()).await?;
    let answer = sqlx::query_scalar(sql).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(answer)
}

#[tokio::test]
async fn data_is_there_after_stop_and_start() {
    let dir = DataDir::new();
    let cluster = PrivateCluster::start(&dir.0).await.unwrap();
    let mut connection = PgConnection::connect_with(&cluster.connect_options())
        .await
        .unwrap();
    connection
        .execute("create table t as select 'kept' as x")
        .await
        .unwrap();
    connection.close().await.unwrap();
    for (setting, wanted) in [
        ("show fsync", "on"),
        ("show server_encoding", "UTF8"),
        ("show lc_collate", "C.UTF-8"),
        ("show data_checksums", "on"),
    ] {
        assert_eq!(ask(&cluster, setting).await.unwrap(), wanted, "{setting}");
    }
    cluster.stop().await.unwrap();
    assert_eq!(dir.pid().await, None);

    let cluster = dir.start().await.unwrap();
    assert_eq!(ask(&cluster, "select x from t").await.unwrap(), "kept");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn the_last_of_two_users_stops_it() {
    let dir = DataDir::new();
    let (first, second) = tokio::join!(dir.start(), dir.start());
    let (first, second) = (first.unwrap(), second.unwrap());
    first.stop().await.unwrap();
    assert_eq!(
        ask(&second, "select 'still here'").await.unwrap(),
        "still here"
    );
    second.stop().await.unwrap();
    assert_eq!(dir.pid().await, None);
}

#[tokio::test]
async fn a_server_left_behind_is_adopted_and_stopped() {
    let dir = DataDir::new();
    drop(dir.start().await.unwrap());
    let left = dir.pid().await;
    assert!(left.is_some());
    let cluster = dir.start().await.unwrap();
    assert_eq!(dir.pid().await, left);
    cluster.stop().await.unwrap();
    assert_eq!(dir.pid().await, None);
}

#[tokio::test]
async fn a_killed_server_is_started_again() {
    let dir = DataDir::new();
    let first = dir.start().await.unwrap();
    rustix::process::kill_process(dir.pid().await.unwrap(), rustix::process::Signal::KILL).unwrap();
    let second = dir.start().await.unwrap();
    assert_eq!(ask(&second, "select 'back'").await.unwrap(), "back");
    first.stop().await.unwrap();
    second.stop().await.unwrap();
    assert_eq!(dir.pid().await, None);
}

#[tokio::test]
async fn a_pid_file_that_names_another_process_does_not_stop_the_start() {
    let dir = DataDir::new();
    dir.start().await.unwrap().stop().await.unwrap();
    let home = dir.home().await;
    let stale = format!(
        "{}\n{}\n1\n5432\n\n\n\n",
        std::process::id(),
        home.data().display()
    );
    std::fs::write(home.data().join("postmaster.pid"), stale).unwrap();
    home.owner()
        .hand_over(&home.data().join("postmaster.pid"))
        .unwrap();
    let cluster = dir.start().await.unwrap();
    assert_eq!(ask(&cluster, "select 'up'").await.unwrap(), "up");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn data_of_another_version_is_refused_with_the_choices() {
    let dir = DataDir::new();
    let home = dir.home().await;
    std::fs::create_dir(home.data()).unwrap();
    std::fs::write(home.data().join("PG_VERSION"), "12\n").unwrap();
    let error = dir.start().await.unwrap_err();
    assert!(
        matches!(error, PrivateError::OtherVersion { made_by: 12, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn what_an_interrupted_initdb_left_is_thrown_away() {
    let dir = DataDir::new();
    let workshop = dir.home().await.workshop().unwrap();
    std::fs::write(workshop.join("PG_VERSION"), "15\n").unwrap();
    let cluster = dir.start().await.unwrap();
    assert!(!workshop.exists());
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_long_path_with_awkward_letters_works() {
    let mut dir = DataDir::new();
    let top = dir.0.clone();
    dir.0 = top.join("x".repeat(120)).join("it's $(not) \"a shell's\"");
    let cluster = dir.start().await.unwrap();
    assert_eq!(ask(&cluster, "select 'up'").await.unwrap(), "up");
    let url: PgConnectOptions = cluster.url().parse().unwrap();
    PgConnection::connect_with(&url)
        .await
        .unwrap()
        .close()
        .await
        .unwrap();
    cluster.remove().await.unwrap();
    drop(dir);
    std::fs::remove_dir_all(top).unwrap();
}

#[tokio::test]
async fn a_socket_directory_of_somebody_else_is_refused() {
    let dir = DataDir::new();
    let socket_dir = dir.home().await.socket_dir().to_owned();
    std::fs::remove_dir(&socket_dir).unwrap();
    std::os::unix::fs::symlink("/tmp", &socket_dir).unwrap();
    let error = dir.start().await.unwrap_err();
    std::fs::remove_file(&socket_dir).unwrap();
    assert!(matches!(error, PrivateError::Unsafe { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_does_not_start_is_quoted() {
    let dir = DataDir::new();
    dir.start().await.unwrap().stop().await.unwrap();
    let home = dir.home().await;
    home.rewrite("postgresql.conf", "no_such_setting = 1\n")
        .unwrap();
    let error = dir.start().await.unwrap_err().to_string();
    assert!(error.contains("no_such_setting"), "{error}");
}

#[tokio::test]
async fn starting_waits_for_the_one_who_stops() {
    let dir = DataDir::new();
    let phase = locks::phase(&dir.home().await).await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(300), dir.start()).await;
    assert!(waiting.is_err());
    drop(phase);
    dir.start().await.unwrap().stop().await.unwrap();
}

#[tokio::test]
async fn values_do_not_reach_the_log() {
    let dir = DataDir::new();
    let cluster = dir.start().await.unwrap();
    ask(&cluster, "select 'reader@example.com'::int::text")
        .await
        .unwrap_err();
    cluster.stop().await.unwrap();
    assert!(
        !dir.home()
            .await
            .read("server.log")
            .unwrap()
            .unwrap()
            .contains("reader@")
    );
}
