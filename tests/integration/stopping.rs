//! Told to stop, a command comes to its end soon, whatever the API does meanwhile: what was
//! committed stays, the record says what happened, and the next command goes on from there. Left
//! alone, each of these would wait for minutes.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use simulator::{Edits, Fault, Faults, Options, Shape, Simulator};
use zephr_sync::bulk::progress::Phase as Pushing;
use zephr_sync::sync::progress::Phase;

use crate::bulk_push::desk::Desk;
use crate::support::running::Running;
use crate::support::{Ended, Mirror, Program, tenant, truth};

/// What is waited for comes within this time, also on a slow machine; the API keeps us waiting for
/// longer.
const DEADLINE: Duration = Duration::from_secs(60);

/// Each answer asks to wait for ten minutes.
pub fn asks_to_wait() -> Faults {
    Faults {
        throttle: 100.0,
        retry_after_secs: 600,
        ..Faults::default()
    }
}

/// No answer comes for ten minutes.
pub fn says_nothing() -> Faults {
    Faults {
        latency_ms: 600_000,
        ..Faults::default()
    }
}

/// An API that takes its time, so that a test can act in the middle of something.
async fn slow(people: u32) -> Simulator {
    tenant(Options {
        shape: Shape {
            people,
            ..Shape::default()
        },
        faults: Faults {
            latency_ms: 20,
            ..Faults::default()
        },
        ..Options::default()
    })
    .await
}

/// Waits until the API was asked so often.
async fn asked(simulator: &Simulator, requests: u64) {
    let end = Instant::now() + DEADLINE;
    while simulator.stats().requests < requests {
        assert!(Instant::now() < end, "{requests} requests never came");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// From here on the API behaves like this; waits until somebody has felt it.
pub async fn trouble(simulator: &Simulator, faults: Faults) {
    let silent = faults == says_nothing();
    simulator.set_faults(faults);
    let end = Instant::now() + DEADLINE;
    loop {
        let stats = simulator.stats();
        let before = (stats.requests, stats.in_flight);
        let felt = if silent {
            // Whoever asked before has its answer; who asks now has none.
            tokio::time::sleep(Duration::from_millis(200)).await;
            let stats = simulator.stats();
            stats.in_flight > 0 && (stats.requests, stats.in_flight) == before
        } else {
            stats.faults.contains_key(&Fault::Throttle)
        };
        if felt {
            return;
        }
        assert!(Instant::now() < end, "nobody asks");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Tells it to stop, as Ctrl-C does.
async fn stopped(running: Running, context: &str) -> Ended {
    running.signal(Signal::INT);
    let ended = tokio::time::timeout(DEADLINE, running.end()).await;
    ended.unwrap_or_else(|_| panic!("{context}: it does not stop"))
}

/// A job is stopped after so many requests, and says so; run again, it comes to its end.
async fn job_stops(job: &str, requests: u64) {
    for faults in [asks_to_wait(), says_nothing()] {
        let context = format!("{job} after {requests} requests, {faults:?}");
        let simulator = slow(600).await;
        let mirror = Mirror::new().await;
        let program = Program::between(&simulator, &mirror).with("ZEPHR_SYNC_RPP", "50");
        // What is asked once a user goes by users that are there.
        program.run(&["sync", "users"]).await.expect(0);
        let before = simulator.stats().requests;
        let running = program.start(&["sync", job, "--full", "--json"]);
        asked(&simulator, before + requests).await;
        trouble(&simulator, faults).await;
        let ended = stopped(running, &context).await.expect(130);
        let run = &ended.json()["runs"][0];
        assert_eq!(run["status"], "interrupted", "{context}: {run}");
        assert_eq!(run["error"], "stopped on request", "{context}: {run}");
        simulator.set_faults(Faults::default());
        program.run(&["sync", job, "--full"]).await.expect(0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_of_users_stops_while_the_api_keeps_it_waiting() {
    job_stops("users", 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_of_events_stops_while_the_api_keeps_it_waiting() {
    job_stops("events", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_stops_while_the_api_keeps_it_waiting() {
    job_stops("catalog", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn details_of_a_list_stop_while_the_api_keeps_them_waiting() {
    job_stops("accounts", 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_once_a_user_stops_while_the_api_keeps_it_waiting() {
    job_stops("segments", 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_stops_while_the_api_keeps_it_waiting() {
    let simulator = slow(50).await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror);
    program.run(&["migrate"]).await.expect(0);
    let running = program.start(&["sync", "segments", "--dry-run"]);
    trouble(&simulator, asks_to_wait()).await;
    stopped(running, "a dry run").await.expect(130);
}

/// Who is missing is asked for by id; nobody is believed to be gone because that was broken off.
#[tokio::test(flavor = "multi_thread")]
async fn the_witness_of_deletions_stops_while_the_api_keeps_it_waiting() {
    for faults in [asks_to_wait(), says_nothing()] {
        let context = format!("{faults:?}");
        let simulator = slow(3_000).await;
        let mirror = Mirror::new().await;
        // One after the other, so that asking for everybody takes a while.
        let program = Program::between(&simulator, &mirror)
            .with("ZEPHR_SYNC_MAX_IN_FLIGHT", "1")
            .telling_phases();
        program.run(&["sync", "users"]).await.expect(0);
        simulator.tenant().edit(Edits {
            deletions: 60,
            ..Edits::NONE
        });
        let mut running = program.start(&["sync", "users", "--full", "--json"]);
        assert!(running.until_phase(Phase::ScanRead, 1).await, "{context}");
        trouble(&simulator, faults).await;
        let ended = stopped(running, &context).await.expect(130);
        let run = &ended.json()["runs"][0];
        assert_eq!(run["status"], "interrupted", "{context}: {run}");
        simulator.set_faults(Faults::default());
        program.run(&["sync", "users", "--full"]).await.expect(0);
        truth::expect_equal(&simulator.tenant(), &mirror).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_stops_while_the_api_keeps_it_waiting_and_carries_on_later() {
    for faults in [asks_to_wait(), says_nothing()] {
        let context = format!("{faults:?}");
        let desk = Desk::with(300, |options| options.behaviour.bulk.delay_ms = 200).await;
        desk.cities("a.csv", 0..300, "Port");
        let plan = desk.plan("a.csv").await;
        let mut running = desk
            .program
            .start(&["bulk", "apply", &plan, "--yes", "--json"]);
        let accepted = format!(r#""phase":"{}""#, Pushing::Accepted.name());
        assert!(running.until(|line| line.contains(&accepted)).await);
        trouble(&desk.simulator, faults).await;
        let ended = stopped(running, &context).await.expect(130).json();
        assert_eq!(ended["status"], "applying", "{context}");
        desk.simulator.set_faults(Faults::default());
        desk.resume().await.expect(0);
        desk.expect_cities(0..300, "Port", &context);
    }
}
