//! A full scan that several daemons share is what one would have made of it: whoever is killed or
//! stopped meanwhile, everybody is there once, each window is committed once, and together they
//! never ask more at once than the tenant's ceiling.

use std::time::{Duration, Instant};

use mirror::state::checkpoints::Learned;
use mirror::state::shared_windows::{self, Terms};
use rustix::process::Signal;
use simulator::{Edits, Faults, Options, Shape, Simulator};
use sqlx::{Connection, Row};
use uuid::Uuid;
use zephr_sync::sync::progress::Phase;

use crate::support::running::Running;
use crate::support::{Ended, Mirror, Program, tenant, truth};

const FULL: [&str; 3] = ["sync", "users", "--full"];

/// Windows of a scan that were committed twice, or overlap.
const DOUBLED: &str = "select count(*) from windows a join windows b on a.scan_id = b.scan_id and a.window_id < b.window_id
    and a.part = b.part and tstzrange(a.lower_bound, a.upper_bound) && tstzrange(b.lower_bound, b.upper_bound)";

/// Runs of the last scan whose counters are not the sum of what was committed under them.
const MISCOUNTED: &str = "select count(*) from runs r where scan_id = (select scan_id from runs order by started_at desc limit 1) and (rows_read <> rows_inserted + rows_updated + rows_unchanged + rows_rejected
    or rows_read <> (select coalesce(sum(w.rows_read), 0) from windows w where w.run_id = r.run_id))";

/// One tenant, one mirror, and the program as many times as a test wants.
struct Setting {
    simulator: Simulator,
    mirror: Mirror,
    program: Program,
    ceiling: usize,
}

impl Setting {
    async fn new(people: u32, latency_ms: u64, ceiling: usize) -> Self {
        let simulator = tenant(Options {
            shape: Shape {
                people,
                ..Shape::default()
            },
            faults: Faults {
                latency_ms,
                ..Faults::default()
            },
            ..Options::default()
        })
        .await;
        let mirror = Mirror::new().await;
        let program = Program::between(&simulator, &mirror)
            .users_when_asked()
            .telling_phases()
            .with("ZEPHR_SYNC_RPP", "100")
            .with("ZEPHR_SYNC_MAX_IN_FLIGHT", ceiling.to_string())
            // More leave in the meantime than a brake would let go.
            .with("ZEPHR_SYNC_MAX_DELETE_FRACTION", "1");
        program.run(&["migrate"]).await.expect(0);
        Self {
            simulator,
            mirror,
            program,
            ceiling,
        }
    }

    /// Starts so many daemons that have nothing to do but to help, and waits until each of them may
    /// ask.
    async fn daemons(&self, count: usize) -> Vec<Running> {
        let running: Vec<_> = (0..count).map(|_| self.program.daemon()).collect();
        let ready = "select count(*) from daemons where places > 0";
        let end = Instant::now() + Duration::from_secs(60);
        while self.mirror.value::<i64>(ready).await < count as i64 {
            assert!(Instant::now() < end, "they are not ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        running
    }

    /// The mirror is the tenant, the last scan is proven, the bookkeeping adds up.
    async fn expect_perfect(&self, context: &str) {
        truth::expect_equal(&self.simulator.tenant(), &self.mirror).await;
        let verdict = "select status || ' ' || coalesce(verdict, '') from runs order by started_at desc limit 1";
        assert_eq!(
            self.mirror.value::<String>(verdict).await,
            "succeeded proven",
            "{context}"
        );
        assert_eq!(self.mirror.value::<i64>(DOUBLED).await, 0, "{context}");
        assert_eq!(self.mirror.value::<i64>(MISCOUNTED).await, 0, "{context}");
        let left = "select (select count(*) from offers) + (select count(*) from shared_scans)";
        assert_eq!(
            self.mirror.value::<i64>(left).await,
            0,
            "{context}: offers are left"
        );
        let peak = self.simulator.stats().peak_in_flight;
        assert!(
            peak <= self.ceiling,
            "{context}: {peak} requests at once of {}",
            self.ceiling
        );
    }
}

/// Asks it to stop, and answers how many windows it read for others.
async fn dismiss(running: Running) -> u64 {
    running.signal(Signal::TERM);
    let ended: Ended = running.end().await.expect(0);
    let lines = ended.stderr.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        line["windows"].as_u64().unwrap_or_default()
    });
    lines.sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_load_and_an_unchanged_scan_shared_by_three_are_what_one_would_make_of_them() {
    let setting = Setting::new(20_000, 40, 6).await;
    let helpers = setting.daemons(2).await;
    let first = setting
        .program
        .run(&[&FULL[..], &["--json"]].concat())
        .await
        .expect(0)
        .json();
    assert_eq!(first["runs"][0]["rows_read"], 20_000);
    assert_eq!(first["runs"][0]["rows_inserted"], 20_000);
    setting.expect_perfect("first load").await;
    for helper in helpers {
        let windows = dismiss(helper).await;
        assert!(windows > 12, "one helped with {windows} windows");
    }

    let helpers = setting.daemons(2).await;
    let second = setting
        .program
        .run(&[&FULL[..], &["--json"]].concat())
        .await
        .expect(0)
        .json();
    assert_eq!(second["runs"][0]["rows_unchanged"], 20_000);
    setting.expect_perfect("unchanged").await;

    setting.simulator.tenant().edit(Edits {
        deletions: 100,
        ..Edits::NONE
    });
    let third = setting
        .program
        .run(&[&FULL[..], &["--json"]].concat())
        .await
        .expect(0)
        .json();
    assert_eq!(third["runs"][0]["rows_tombstoned"], 100);
    setting.expect_perfect("with deletions").await;

    // Nobody else asked anything.
    let requests: i64 = setting
        .mirror
        .value("select sum(requests)::bigint from runs")
        .await;
    assert_eq!(requests as u64, setting.simulator.stats().requests);
    for helper in helpers {
        let windows = dismiss(helper).await;
        assert!(windows > 80, "one helped with {windows} windows");
    }
    assert_eq!(
        setting
            .mirror
            .value::<i64>("select count(*) from daemons")
            .await,
        0
    );
}

/// Kills one who helps or the leader, again and again, after random numbers of phases, and lets the
/// last scan come to its end.
async fn kill_at_random_moments(kills: u32, people: u32, seed: u64) {
    println!("seed {seed}");
    let setting = Setting::new(people, 20, 48).await;
    let mut helpers = setting.daemons(2).await;
    let mut state = seed;
    let mut draw = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut leader = setting.program.start(&FULL);
    for kill in 0..kills {
        let context = format!("seed {seed}, kill {kill}");
        let leads = draw(2) == 0;
        let victim = if leads { &mut leader } else { &mut helpers[0] };
        let phases = 1 + draw(25);
        for _ in 0..phases {
            let phase = victim.until(|line| line.contains(r#""phase":""#));
            // One who helps hears of nothing when the scan is over.
            match tokio::time::timeout(Duration::from_secs(3), phase).await {
                Ok(true) => {}
                Ok(false) | Err(_) => break,
            }
        }
        if leads {
            let ended = leader.kill().await;
            assert!(matches!(ended.code, None | Some(0)), "{context}: {ended:?}");
            leader = setting.program.start(&FULL);
        } else {
            helpers.remove(0).kill().await;
            helpers.push(setting.program.daemon());
        }
    }
    leader.end().await.expect(0);
    setting
        .expect_perfect(&format!("seed {seed}, the last of those that were killed"))
        .await;
    setting.program.run(&FULL).await.expect(0);
    setting.expect_perfect(&format!("seed {seed}")).await;
    for helper in helpers {
        dismiss(helper).await;
    }
}

/// `ZEPHR_TEST_SEED` repeats a run that failed.
fn seed() -> u64 {
    let given = std::env::var("ZEPHR_TEST_SEED")
        .ok()
        .map(|seed| seed.parse().expect("a number"));
    given.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_at_random_moments_everybody_is_there_once() {
    kill_at_random_moments(8, 8_000, seed()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn many_killed_at_random_moments_leave_everybody_there_once() {
    kill_at_random_moments(80, 30_000, seed()).await;
}

/// Every stored version of every row: a write of the same values changes it too.
async fn versions(mirror: &Mirror) -> Vec<String> {
    let sql = "select concat_ws(' ', 'users', user_id, ctid, xmin) as line from users
        union all select concat_ws(' ', 'keys', user_id, ctid, xmin) from user_foreign_keys
        union all select concat_ws(' ', 'windows', window_id, ctid, xmin) from windows
        union all select concat_ws(' ', 'runs', run_id, ctid, xmin) from runs
        order by line";
    let rows = mirror.rows(sql).await;
    rows.iter().map(|row| row.get("line")).collect()
}

/// Stops one who helps in the middle of a window until the scan is over without it, and lets it go
/// on.
async fn stop_at(phase: Phase) {
    let context = phase.name();
    let setting = Setting::new(20_000, 20, 6).await;
    setting.program.run(&FULL).await.expect(0);
    setting.simulator.tenant().edit(Edits {
        updates: 4_000,
        ..Edits::NONE
    });
    let mut helpers = setting.daemons(2).await;
    let mut leader = setting.program.start(&FULL);
    let mut stuck = helpers.remove(0);
    assert!(stuck.until_phase(phase, 3).await, "{context}");
    stuck.signal(Signal::STOP);
    assert!(leader.until_phase(Phase::Finished, 1).await, "{context}");
    leader.end().await.expect(0);
    let before = versions(&setting.mirror).await;
    stuck.signal(Signal::CONT);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(
        versions(&setting.mirror).await == before,
        "{context}: the mirror changed"
    );
    setting.expect_perfect(context).await;
    // It may have ended by itself: Postgres ends a session that stalls in a transaction.
    stuck.signal(Signal::TERM);
    stuck.end().await;
    for helper in helpers {
        dismiss(helper).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_slept_through_its_claim_changes_nothing() {
    stop_at(Phase::WindowRead).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn one_who_slept_through_its_claim_in_the_middle_of_writing_changes_nothing() {
    for phase in [
        Phase::BatchCompared,
        Phase::BatchMerged,
        Phase::BatchCommitted,
    ] {
        stop_at(phase).await;
    }
}

/// A session in the middle of a COPY is at work as far as Postgres knows: nothing ends it but who
/// leads the scan.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_gone_in_the_middle_of_a_copy_does_not_keep_its_claim() {
    let setting = Setting::new(100, 0, 2).await;
    setting.program.run(&FULL).await.expect(0);
    let run_id: Uuid = setting.mirror.value("select run_id from runs").await;
    let mut leader = setting.mirror.connect().await;
    let terms = Terms {
        leader: None,
        token: 1,
        settings: &[],
        rpp: 100,
        notes_changes: true,
        learned: Learned::default(),
    };
    shared_windows::share(&mut leader, run_id, terms)
        .await
        .unwrap();
    shared_windows::offer(&mut leader, run_id, &[(None, None)])
        .await
        .unwrap();
    // One that never beat.
    let claimed = shared_windows::claim(&mut leader, run_id, Uuid::nil(), 1)
        .await
        .unwrap();
    let mut helper = setting.mirror.connect().await;
    let mut writing = helper.begin().await.unwrap();
    assert!(
        shared_windows::stands(&mut writing, claimed[0].0)
            .await
            .unwrap()
    );
    let mut copy = writing.copy_in_raw("copy users from stdin").await.unwrap();
    let mut back = Vec::new();
    let end = Instant::now() + Duration::from_secs(30);
    while back.is_empty() {
        assert!(Instant::now() < end, "the claim is never taken back");
        back = shared_windows::take_back_lost(&mut leader, run_id)
            .await
            .unwrap();
    }
    assert_eq!(back, [(None, None)]);
    let sent = copy.send(&b"\\.\n"[..]).await;
    let ended = match sent {
        Ok(_) => copy.finish().await.map(drop),
        Err(error) => Err(error),
    };
    assert!(ended.is_err(), "its session lives");
}

#[tokio::test(flavor = "multi_thread")]
async fn different_settings_do_not_work_on_the_same_scan() {
    let setting = Setting::new(8_000, 20, 6).await;
    let other = Program::between(&setting.simulator, &setting.mirror)
        .with("ZEPHR_SYNC_IGNORE_FIELDS", "tracking_id")
        .with("ZEPHR_SYNC_MAX_IN_FLIGHT", "6")
        .users_when_asked()
        .telling_phases()
        .daemon();
    let ready = "select count(*) from daemons where places > 0";
    while setting.mirror.value::<i64>(ready).await == 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    setting.program.run(&FULL).await.expect(0);
    setting.expect_perfect("different settings").await;
    assert_eq!(dismiss(other).await, 0);
}

/// Asks the daemons for a full scan, as the page does, and waits for its end; how long it took.
async fn asked_for(mirror: &Mirror) -> Duration {
    let ended = "select count(*) from runs where status <> 'running'";
    let before: i64 = mirror.value(ended).await;
    let started = Instant::now();
    let ask = "insert into triggers (trigger_id, job, full_scan, requested_by) values (gen_random_uuid(), 'users', true, 'somebody')";
    mirror.execute(ask).await;
    while mirror.value::<i64>(ended).await == before {
        assert!(started.elapsed() < Duration::from_secs(3_600), "no end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn three_daemons_are_more_than_twice_as_fast_as_one() {
    let people = 500_000;
    let simulator = tenant(Options {
        shape: Shape {
            people,
            ..Shape::default()
        },
        ..Options::default()
    })
    .await;
    let mirror = Mirror::new().await;
    let program = |ceiling: &str| {
        Program::between(&simulator, &mirror)
            .users_when_asked()
            .with("ZEPHR_SYNC_LOG_FORMAT", "json")
            .with("ZEPHR_SYNC_MAX_IN_FLIGHT", ceiling)
    };
    program("6").run(&FULL).await.expect(0);
    simulator.set_faults(Faults {
        latency_ms: 100,
        ..Faults::default()
    });
    let (alone, together) = (program("2"), program("6"));
    let setting = Setting {
        program: alone,
        simulator,
        mirror,
        ceiling: 6,
    };
    let one = setting.daemons(1).await;
    let one_takes = asked_for(&setting.mirror).await;
    for daemon in one {
        assert_eq!(dismiss(daemon).await, 0);
    }
    let setting = Setting {
        program: together,
        ..setting
    };
    let three = setting.daemons(3).await;
    let three_take = asked_for(&setting.mirror).await;
    setting.expect_perfect("soak").await;
    let mut windows = Vec::new();
    for daemon in three {
        windows.push(dismiss(daemon).await);
    }
    println!(
        "{people} unchanged users, 100 ms per answer, 2 in flight each: one daemon takes {one_takes:.1?}, three take {three_take:.1?}; windows read for whoever leads: {windows:?}; at most {} requests at once",
        setting.simulator.stats().peak_in_flight
    );
    let idle = windows.iter().filter(|windows| **windows == 0).count();
    assert_eq!(idle, 1, "one leads, and the others help: {windows:?}");
    let unchanged = "select rows_unchanged = rows_read from runs order by started_at desc limit 1";
    assert!(setting.mirror.value::<bool>(unchanged).await);
    assert!(
        three_take * 2 < one_takes,
        "one takes {one_takes:?}, three take {three_take:?}"
    );
}
