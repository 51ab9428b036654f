//! Daemons as operators run them: real processes on one Postgres, killed, stopped and cut off from
//! what they need.

mod asked;
mod away;
mod day;
mod drain;
mod gates;
mod pooler;
mod slots;
mod tenants;
mod told;

use std::time::{Duration, Instant};

use crate::support::running::Running;
use crate::support::{Mirror, Program};

/// What is waited for comes within this time, also on a slow machine.
const DEADLINE: Duration = Duration::from_secs(90);

/// Starts a daemon whose page is on a free port.
fn start(program: &Program) -> Running {
    program.start(&["daemon", "--listen", "127.0.0.1:0"])
}

/// Starts so many, and waits until each is on the list.
async fn start_all(program: &Program, mirror: &Mirror, count: usize) -> Vec<Running> {
    program.run(&["migrate"]).await.expect(0);
    let running = (0..count).map(|_| start(program)).collect();
    until(mirror, &format!("select count(*) >= {count} from daemons")).await;
    running
}

/// Waits until a query says true.
async fn until(mirror: &Mirror, sql: &str) {
    let end = Instant::now() + DEADLINE;
    while !mirror.value::<bool>(sql).await {
        assert!(Instant::now() < end, "never true: {sql}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits for a line of its log that has all these words.
async fn says(daemon: &mut Running, words: &[&str]) {
    let said = daemon.until(|line| words.iter().all(|word| line.contains(word)));
    let said = tokio::time::timeout(DEADLINE, said).await;
    assert_eq!(said.ok(), Some(true), "{words:?} after {}", daemon.log());
}

/// A run ended well.
const SUCCEEDED: [&str; 2] = ["run ended", "succeeded"];

/// Tells all to stop, and expects that they drain.
async fn stop_all(daemons: Vec<Running>) -> Vec<String> {
    for daemon in &daemons {
        daemon.signal(rustix::process::Signal::TERM);
    }
    let mut logs = Vec::new();
    for daemon in daemons {
        logs.push(daemon.end().await.expect(0).stderr);
    }
    logs
}
