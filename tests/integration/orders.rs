//! Pushes that were ordered are carried through by the daemons, each once, whatever dies.

use std::time::Duration;

use futures::future::join_all;
use rustix::process::Signal;
use simulator::Faults;
use zephr_sync::bulk::progress::Phase;

use crate::bulk_push::desk::{Desk, outcome};
use crate::support::bulk::Bench;
use crate::support::running::Running;
use crate::support::{Cluster, Mirror, Program, receiver, tenant};

/// Longer than anything waits here, on a slow machine too.
const DEADLINE: Duration = Duration::from_secs(120);

/// Places an order as whoever asks for it does.
async fn order(mirror: &Mirror, plan: &str, allow_deletes: bool) {
    mirror
        .execute(&format!(
            "insert into bulk_orders (plan_id, allow_changes, allow_deletes, ordered_by)
             values ('{plan}', false, {allow_deletes}, 'ann')"
        ))
        .await;
}

async fn open_orders(mirror: &Mirror) -> i64 {
    mirror
        .value("select count(*) from bulk_orders where ended_at is null")
        .await
}

/// Waits until no order is open.
async fn all_ended(mirror: &Mirror) {
    let end = tokio::time::Instant::now() + DEADLINE;
    while open_orders(mirror).await > 0 {
        assert!(tokio::time::Instant::now() < end, "an order stays open");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn named(phase: Phase) -> String {
    format!(r#""phase":"{}""#, phase.name())
}

/// Waits for a phase of a push.
async fn until(daemon: &mut Running, phase: Phase) {
    let wanted = named(phase);
    let reached = daemon.until(|line| line.contains(&wanted));
    let reached = tokio::time::timeout(DEADLINE, reached).await;
    assert_eq!(reached, Ok(true), "{}", phase.name());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_carried_through_in_the_name_of_who_placed_it() {
    let desk = Desk::new(200).await;
    desk.cities("a.csv", 0..120, "Port");
    let plan = desk.plan("a.csv").await;
    order(&desk.mirror, &plan, false).await;
    let daemon = desk.program.daemon();
    all_ended(&desk.mirror).await;
    desk.expect_cities(0..120, "Port", "ordered");
    let status = desk.status(&plan).await;
    assert_eq!(status["status"], "finished");
    assert_eq!(status["applied_by"], "ann");
    assert_eq!(outcome(&status, "succeeded"), 120);
    daemon.signal(Signal::TERM);
    daemon.end().await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_allowed_ends_the_order_with_its_remedy() {
    let desk = Desk::new(100).await;
    desk.file(
        "d.csv",
        ["user_id,_action".into(), format!("{},delete", desk.id(1))],
    );
    let plan = desk.plan("d.csv").await;
    order(&desk.mirror, &plan, false).await;
    let _daemon = desk.program.daemon();
    all_ended(&desk.mirror).await;
    let said: String = desk
        .mirror
        .value("select error || ' ' || remedy from bulk_orders")
        .await;
    assert!(said.contains("deletes 1 users"), "{said}");
    assert!(said.contains("--allow-deletes"), "{said}");
    assert!(desk.deleted().is_empty());

    // Asked for again with what it needs.
    let again = "update bulk_orders set ended_at = null, error = null, remedy = null, allow_deletes = true, ordered_at = clock_timestamp()";
    desk.mirror.execute(again).await;
    all_ended(&desk.mirror).await;
    assert_eq!(desk.deleted().len(), 1);
}

async fn killed_at(phase: Phase) {
    let context = format!("killed at {}", phase.name());
    let desk = Desk::with(200, |options| {
        options.behaviour.bulk.delay_ms = 30;
        if phase == Phase::Lost {
            options.faults.lost_after = 60.0;
        }
    })
    .await;
    desk.cities("a.csv", 0..150, "Port");
    let plan = desk.plan("a.csv").await;
    order(&desk.mirror, &plan, false).await;
    let mut first = desk.program.daemon();
    until(&mut first, phase).await;
    first.kill().await;
    desk.simulator.set_faults(Faults::default());
    let _second = desk.program.daemon();
    all_ended(&desk.mirror).await;
    desk.expect_cities(0..150, "Port", &context);
    let succeeded = outcome(&desk.status(&plan).await, "succeeded");
    assert_eq!(succeeded, 150, "{context}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_killed_anywhere_leaves_the_order_to_the_next() {
    for phases in Phase::ALL.chunks(4) {
        join_all(phases.iter().map(|phase| killed_at(*phase))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_stops_leaves_the_order_open_and_the_next_carries_on() {
    let desk = Desk::with(300, |options| options.behaviour.bulk.delay_ms = 300).await;
    desk.cities("a.csv", 0..300, "Port");
    let plan = desk.plan("a.csv").await;
    order(&desk.mirror, &plan, false).await;
    let mut first = desk.program.daemon();
    until(&mut first, Phase::Accepted).await;
    first.signal(Signal::TERM);
    tokio::time::timeout(DEADLINE, first.end())
        .await
        .expect("it drains")
        .expect(0);
    assert_eq!(open_orders(&desk.mirror).await, 1);
    assert!(outcome(&desk.status(&plan).await, "succeeded") < 300);
    let _second = desk.program.daemon();
    all_ended(&desk.mirror).await;
    desk.expect_cities(0..300, "Port", "drained");
}

/// A daemon that was stopped holds its lease until its time is over; then another goes on, and the
/// first one, awake again, sends nothing more.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "waits for a lease to expire; run by `make soak`"]
async fn a_daemon_that_slept_through_its_lease_sends_nothing() {
    let desk = Desk::with(600, |options| options.faults.latency_ms = 30).await;
    desk.cities("a.csv", 0..600, "Port");
    let plan = desk.plan("a.csv").await;
    order(&desk.mirror, &plan, false).await;
    let mut sleeper = desk.program.daemon();
    until(&mut sleeper, Phase::Sending).await;
    sleeper.signal(Signal::STOP);
    let _other = desk.program.daemon();
    all_ended(&desk.mirror).await;
    let writes = desk.simulator.stats().writes;
    sleeper.signal(Signal::CONT);
    // It notices, and goes on as a daemon does: what is ordered now is carried through by one of
    // the two.
    desk.cities("b.csv", 0..600, "Haven");
    let next = desk.plan("b.csv").await;
    order(&desk.mirror, &next, false).await;
    all_ended(&desk.mirror).await;
    let expected = writes + 600 / crate::bulk_push::desk::CHUNK as u64;
    let sent = desk.simulator.stats().writes;
    // The request it was about to send when it was stopped may have been on its way.
    assert!(
        (expected..=expected + 1).contains(&sent),
        "{sent}, not {expected}"
    );
    for (user, times) in desk.applied() {
        assert_eq!(times, 2, "{user}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_carry_each_of_many_orders_through_once_and_tell_it_once() {
    let (url, mut told) = receiver::start().await;
    let mut desk = Desk::with(400, |options| options.behaviour.bulk.delay_ms = 50).await;
    desk.program = desk.program.configured(&format!(
        "[[notify]]\nurl = \"{url}\"\non = [\"bulk_finished\"]\n"
    ));
    let mut plans = Vec::new();
    for part in 0..4 {
        let name = format!("{part}.csv");
        desk.cities(&name, part * 100..(part + 1) * 100, "Port");
        let plan = desk.plan(&name).await;
        order(&desk.mirror, &plan, false).await;
        plans.push(plan);
    }
    let daemons = [desk.program.daemon(), desk.program.daemon()];
    all_ended(&desk.mirror).await;
    desk.expect_cities(0..400, "Port", "two daemons");
    for daemon in &daemons {
        daemon.signal(Signal::TERM);
    }
    for daemon in daemons {
        tokio::time::timeout(DEADLINE, daemon.end())
            .await
            .expect("it drains")
            .expect(0);
    }
    // They have delivered what they had before they ended.
    let mut heard = Vec::new();
    while let Ok(document) = told.try_recv() {
        assert_eq!(document["event"], "bulk_finished");
        assert_eq!(document["bulk"]["rows_succeeded"], 100);
        let plan = document["bulk"]["plan_id"].as_str().expect("a plan");
        heard.push(plan.to_owned());
    }
    heard.sort();
    plans.sort();
    assert_eq!(heard, plans);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_outlives_an_outage_of_postgres() {
    let mut options = simulator::Options::default();
    options.shape.people = 300;
    options.behaviour.bulk.delay_ms = 200;
    let simulator = tenant(options).await;
    let mut cluster = Cluster::new().await;
    let mirror = cluster.mirror();
    let program = Program::between(&simulator, &mirror)
        .telling_phases()
        .with("ZEPHR_SYNC_BULK_CHUNK_ROWS", "50")
        .with("ZEPHR_SYNC_BULK_GRACE", "1s")
        .with("ZEPHR_SYNC_BULK_POLL", "300ms");
    let bench = Bench {
        simulator,
        mirror,
        program,
    };
    bench.sync().await;
    let people = bench.persons();
    let rows: String = people
        .iter()
        .map(|person| format!("{},Port {}\n", person.user_id, person.index))
        .collect();
    let planned = bench.plan(0, &format!("user_id,city\n{rows}")).await;
    let plan = crate::support::bulk::plan_id(&planned);
    order(&bench.mirror, &plan, false).await;
    let mut daemon = bench.program.daemon();
    until(&mut daemon, Phase::Accepted).await;
    cluster.stop_hard(Signal::QUIT);
    let away = daemon.until(|line| line.contains("Postgres is away"));
    assert_eq!(tokio::time::timeout(DEADLINE, away).await, Ok(true));
    cluster.start_again().await;
    all_ended(&bench.mirror).await;
    for person in &people {
        let city = bench.attributes(person.index)["city"].clone();
        assert_eq!(city, format!("Port {}", person.index));
    }
    let applied = bench.simulator.tenant().bulk_applied();
    assert_eq!(applied.len(), people.len(), "each once");
    daemon.kill().await;
    cluster.remove().await;
}
