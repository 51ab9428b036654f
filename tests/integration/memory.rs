//! Memory is bounded by pages in flight, not by the size of the tenant.

use simulator::{Business, Options, Shape};

use crate::support::{Mirror, Program, people, tenant};

/// Peak resident memory of a first load of users, in KiB.
async fn peak(users: u32) -> u64 {
    let simulator = people(users).await;
    let mirror = Mirror::new().await;
    let peak = peak_of(&Program::between(&simulator, &mirror), "users").await;
    assert_eq!(
        mirror.value::<i64>("select count(*) from users").await,
        i64::from(users)
    );
    peak
}

/// Peak resident memory of a first load of events, in KiB, and of a second one of the same, which
/// adds none.
async fn peak_of_events(events: u64) -> u64 {
    let simulator = tenant(Options {
        shape: Shape {
            people: 1_000,
            business: Business {
                events: Some(events),
                ..Business::default()
            },
            ..Shape::default()
        },
        ..Options::default()
    })
    .await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror);
    let first = peak_of(&program, "events").await;
    let content = "select count(*) || ' ' || md5(string_agg(occurred_at::text || event_key || payload::text, '' order by occurred_at, event_key)) from user_events";
    let before: String = mirror.value(content).await;
    assert!(before.starts_with(&format!("{events} ")), "{before}");
    program.run(&["sync", "events", "--full"]).await.expect(0);
    assert_eq!(mirror.value::<String>(content).await, before);
    first
}

/// Peak resident memory of a run of a job, in KiB.
async fn peak_of(program: &Program, job: &str) -> u64 {
    let (ended, peak) = program.peak(&["sync", job, "--json"]).await;
    ended.expect(0);
    peak.kib
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn a_million_users_take_no_more_memory_than_a_tenth_of_them() {
    let small = peak(100_000).await;
    let large = peak(1_000_000).await;
    println!("peak memory: {small} KiB for 100,000 users, {large} KiB for 1,000,000");
    assert!(
        large * 10 <= small * 12,
        "{large} KiB for a million, {small} KiB for a tenth"
    );
    assert!(large < 48 * 1024, "{large} KiB");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn a_million_events_take_no_more_memory_than_a_tenth_of_them() {
    let small = peak_of_events(100_000).await;
    let large = peak_of_events(1_000_000).await;
    println!("peak memory: {small} KiB for 100,000 events, {large} KiB for 1,000,000");
    assert!(
        large * 10 <= small * 13,
        "{large} KiB for a million, {small} KiB for a tenth"
    );
    assert!(large < 128 * 1024, "{large} KiB");
}
