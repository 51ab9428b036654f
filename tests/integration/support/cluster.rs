//! A Postgres of a test's own, to stop.

use std::path::PathBuf;

use private_postgres::PrivateCluster;
use rustix::process::{Pid, Signal, kill_process};

use super::Mirror;

/// A cluster that only one test uses.
#[derive(Debug)]
pub struct Cluster {
    directory: tempfile::TempDir,
    running: Option<PrivateCluster>,
    home: PathBuf,
}

impl Cluster {
    /// Makes and starts one, durable as a user's.
    pub async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let running = PrivateCluster::start(directory.path())
            .await
            .expect("a cluster");
        let home = running.home().to_owned();
        Self {
            directory,
            running: Some(running),
            home,
        }
    }

    /// Its database.
    pub fn mirror(&self) -> Mirror {
        Mirror {
            url: self.running.as_ref().expect("it runs").url(),
        }
    }

    /// Stops its server in the middle of everything: `QUIT` is an immediate shutdown, `KILL` a
    /// crash.
    pub fn stop_hard(&self, signal: Signal) {
        let pid = std::fs::read_to_string(self.home.join("data/postmaster.pid"))
            .expect("the server runs");
        let pid = pid
            .lines()
            .next()
            .and_then(|pid| pid.parse().ok())
            .and_then(Pid::from_raw);
        kill_process(pid.expect("a process id"), signal).expect("it can be signalled");
    }

    /// Starts it again.
    pub async fn start_again(&mut self) {
        self.running = Some(
            PrivateCluster::start(self.directory.path())
                .await
                .expect("the cluster recovers"),
        );
    }

    /// Stops it and removes it.
    pub async fn remove(mut self) {
        if let Some(running) = self.running.take() {
            running.remove().await.expect("it stops and goes");
        }
    }
}
