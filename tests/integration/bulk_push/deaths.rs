//! Killed anywhere, a push carries on from what is written down.

use std::time::Duration;

use rustix::process::Signal;
use simulator::Faults;
use zephr_sync::bulk::progress::Phase;

use super::Desk;
use super::desk::outcome;

fn named(phase: Phase) -> String {
    format!(r#""phase":"{}""#, phase.name())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_killed_at_any_phase_is_resumed_and_nothing_is_sent_twice() {
    for phase in Phase::ALL {
        for times in [1, 2] {
            let context = format!("killed at {} number {times}", phase.name());
            let desk = Desk::with(300, |options| {
                options.behaviour.bulk.delay_ms = 30;
                if phase == Phase::Lost {
                    options.faults.lost_after = 60.0;
                }
            })
            .await;
            desk.cities("a.csv", 0..200, "Port");
            let plan = desk.plan("a.csv").await;
            let mut running = desk.program.start(&["bulk", "apply", &plan, "--yes"]);
            let wanted = named(phase);
            for _ in 0..times {
                if !running.until(|line| line.contains(&wanted)).await {
                    break;
                }
            }
            running.kill().await;
            desk.simulator.set_faults(Faults::default());
            // Killed before it began, there is nothing to resume.
            let status = desk.status(&plan).await;
            let ended = if status["status"] == "planned" {
                desk.apply(&plan).await
            } else {
                desk.resume().await
            };
            assert_eq!(ended.code, Some(0), "{context}: {}", ended.stderr);
            desk.expect_cities(0..200, "Port", &context);
            let status = desk.status(&plan).await;
            assert_eq!(outcome(&status, "succeeded"), 200, "{context}");
            assert_eq!(status["status"], "finished", "{context}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_is_asked_to_stop_stops_and_carries_on_later() {
    let desk = Desk::with(300, |options| options.behaviour.bulk.delay_ms = 200).await;
    desk.cities("a.csv", 0..300, "Port");
    let plan = desk.plan("a.csv").await;
    let mut running = desk
        .program
        .start(&["bulk", "apply", &plan, "--yes", "--json"]);
    assert!(
        running
            .until(|line| line.contains(&named(Phase::Accepted)))
            .await
    );
    running.signal(Signal::INT);
    let ended = running.end().await.expect(130).json();
    assert_eq!(ended["status"], "applying");
    assert!(outcome(&ended, "succeeded") < 300);
    desk.resume().await.expect(0);
    desk.expect_cities(0..300, "Port", "stopped");
}

/// A process that slept through its lease wakes up with a request in its hands: it is not sent.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "waits for a lease to expire; run by `make soak`"]
async fn a_process_that_slept_through_its_lease_sends_nothing() {
    let desk = Desk::with(600, |options| options.faults.latency_ms = 30).await;
    desk.cities("a.csv", 0..600, "Port");
    let plan = desk.plan("a.csv").await;
    let mut sleeper = desk
        .program
        .start(&["bulk", "apply", &plan, "--yes", "--json"]);
    assert!(
        sleeper
            .until(|line| line.contains(&named(Phase::Sending)))
            .await
    );
    sleeper.signal(Signal::STOP);
    // Its session lives, so the lease is waited for until its time is over.
    let ended = desk.apply(&plan).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let writes = desk.simulator.stats().writes;
    sleeper.signal(Signal::CONT);
    let slept = tokio::time::timeout(Duration::from_secs(30), sleeper.end())
        .await
        .expect("it ends");
    assert_eq!(slept.code, Some(1), "{}", slept.stderr);
    // The request it was about to send when it was stopped may have been on its way.
    assert!(desk.simulator.stats().writes <= writes + 1);
    desk.expect_cities(0..600, "Port", "slept");
}

/// Fifty deaths at random moments, through lost answers, throttling and slow jobs, over a hundred
/// thousand rows.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; run by `make soak`"]
async fn fifty_deaths_through_faults_leave_each_row_done_once() {
    const PEOPLE: u32 = 100_000;
    let desk = Desk::with(PEOPLE, |options| {
        options.behaviour.bulk.delay_ms = 150;
        options.behaviour.bulk.halfway = true;
    })
    .await;
    let mut desk = desk;
    desk.program = desk.program.with("ZEPHR_SYNC_BULK_CHUNK_ROWS", "500");
    desk.cities("a.csv", 0..PEOPLE, "Port");
    let plan = desk.plan("a.csv").await;
    desk.simulator.set_faults(Faults {
        lost_before: 10.0,
        lost_after: 10.0,
        throttle: 5.0,
        ..Faults::default()
    });
    let mut state = 20_261_121_u64;
    let mut deaths = 0;
    let mut begun = false;
    while deaths < 50 {
        let arguments = if begun {
            vec!["bulk", "resume"]
        } else {
            vec!["bulk", "apply", &plan, "--yes"]
        };
        let mut running = desk.program.start(&arguments);
        let phases = 1 + draw(&mut state) % 60;
        for _ in 0..phases {
            if !running.until(|line| line.contains(r#""phase":""#)).await {
                break;
            }
        }
        let ended = running.kill().await;
        deaths += 1;
        begun |= desk.status(&plan).await["status"] != "planned";
        assert!(matches!(ended.code, None | Some(0 | 1)), "{}", ended.stderr);
    }
    desk.simulator.set_faults(Faults::default());
    let ended = desk.resume().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    desk.expect_cities(0..PEOPLE, "Port", "fifty deaths");
    let status = desk.status(&plan).await;
    assert_eq!(outcome(&status, "succeeded"), i64::from(PEOPLE));
}

fn draw(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}
