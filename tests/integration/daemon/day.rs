//! A day of schedules in some minutes: what a daemon holds at its end is what it held at its
//! beginning. And idle it costs next to nothing.

use std::time::{Duration, Instant};

use rustix::process::Pid;
use simulator::{Options, Shape};

use super::{start, stop_all, until};
use crate::support::{Mirror, Program, tenant};

/// Seconds of the schedules' time in a second of ours.
const TIMES: u32 = 240;

fn process(pid: Pid, file: &str) -> String {
    std::fs::read_to_string(format!("/proc/{}/{file}", pid.as_raw_nonzero())).expect("it runs")
}

/// Resident memory in KiB.
fn memory(pid: Pid) -> u64 {
    let status = process(pid, "status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.expect("a number")
}

fn handles(pid: Pid) -> usize {
    let listed = std::fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero()));
    listed.expect("it runs").count()
}

/// Processor time in hundredths of a second.
fn processor(pid: Pid) -> u64 {
    let stat = process(pid, "stat");
    let (_, fields) = stat.rsplit_once(") ").expect("fields");
    let fields: Vec<&str> = fields.split(' ').collect();
    let number = |at: usize| fields[at].parse::<u64>().expect("a number");
    number(11) + number(12)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn after_a_day_it_holds_what_it_held_in_the_morning() {
    let simulator = tenant(Options {
        shape: Shape {
            people: 500,
            ..Shape::default()
        },
        ..Options::default()
    })
    .await;
    let mirror = Mirror::new().await;
    let times = TIMES.to_string();
    let program = Program::between(&simulator, &mirror)
        .users_every("10m")
        .job("accounts", "resource = \"accounts\"\nschedule = \"*/30 * * * *\"\nmode = \"full\"\n")
        .job("segments", "resource = \"segments\"\nschedule = \"5 * * * *\"\nafter = [\"users\"]\nmode = \"incremental\"\nbudget = 20\n")
        .job("schema", "resource = \"schema\"\nschedule = \"15 */2 * * *\"\nmode = \"full\"\n");
    let daemon = program.start(&["daemon", "--listen", "127.0.0.1:0", "--times", &times]);
    until(&mirror, "select to_regclass('runs') is not null").await;
    let sessions = "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'zephr-sync'";
    // What is made once is made: an eighth of the day.
    until(
        &mirror,
        "select count(*) >= 18 from runs where job = 'users' and status = 'succeeded'",
    )
    .await;
    let pid = daemon.pid();
    let morning = (
        memory(pid),
        handles(pid),
        mirror.value::<i64>(sessions).await,
    );
    let day = Duration::from_secs(86_400) / TIMES;
    let end = Instant::now() + day;
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let evening = (
        memory(pid),
        handles(pid),
        mirror.value::<i64>(sessions).await,
    );
    let runs: i64 = mirror
        .value("select count(*) from runs where status = 'succeeded'")
        .await;
    println!(
        "{runs} runs; KiB, handles, sessions: in the morning {morning:?}, in the evening {evening:?}"
    );
    assert!(runs > 144 + 40, "{runs} runs in a day");
    assert!(
        evening.0 < morning.0 + 4_096,
        "memory grew: {morning:?}, {evening:?}"
    );
    assert!(
        evening.1 <= morning.1 + 4,
        "handles grew: {morning:?}, {evening:?}"
    );
    assert!(
        evening.2 <= morning.2 + 4,
        "sessions grew: {morning:?}, {evening:?}"
    );
    stop_all(vec![daemon]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak; figures are those of a release build"]
async fn idle_it_costs_next_to_nothing() {
    let simulator = tenant(Options::default()).await;
    let mirror = Mirror::new().await;
    let daemon = start(&Program::between(&simulator, &mirror));
    until(&mirror, "select to_regclass('daemons') is not null").await;
    until(&mirror, "select count(*) = 1 from daemons").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let pid = daemon.pid();
    let before = processor(pid);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let spent = processor(pid) - before;
    let held = memory(pid);
    println!("idle for a minute: {spent} hundredths of a second, {held} KiB");
    assert!(spent < 60, "{spent} hundredths of a second in a minute");
    assert!(held < 30 * 1_024, "{held} KiB");
    stop_all(vec![daemon]).await;
}
