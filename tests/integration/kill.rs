//! Killed at any moment and started again at once, a sync loses nobody, doubles nobody, waits for
//! nothing and reads again only what was not committed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rustix::process::Signal;
use simulator::{Edits, ExportRequest, Faults, Options, Shape, Simulator};
use sqlx::Row;
use zephr_sync::sync::progress::Phase;

use crate::support::content::{assert_same, of_undisturbed_sync};
use crate::support::{Ended, Mirror, Program, tenant, truth};

const FULL: [&str; 3] = ["sync", "users", "--full"];

/// Records per page: small, so that a scan has many windows.
const RPP: u64 = 100;

/// What may be read again: 8 pages in flight and 4 in the channel, and two batches of 1,500 that
/// may grow by a page.
const READ_AGAIN: i64 = (8 + 4) * RPP as i64 + 2 * (1_500 + RPP as i64);

/// A killed holder's lease is free at once; a wait for its 30 seconds must not hide in a slow
/// machine.
const NO_LEASE_WAIT: Duration = Duration::from_secs(20);

fn options(people: u32) -> Options {
    Options {
        shape: Shape {
            people,
            ..Shape::default()
        },
        // Slow enough that a kill lands in the middle of the run.
        faults: Faults {
            latency_ms: 10,
            ..Faults::default()
        },
        ..Options::default()
    }
}

/// One tenant, one mirror and the program between them.
struct Setting {
    simulator: Simulator,
    mirror: Mirror,
    program: Program,
}

impl Setting {
    async fn new(people: u32) -> Self {
        let simulator = tenant(options(people)).await;
        let mirror = Mirror::new().await;
        let program = Program::between(&simulator, &mirror)
            .telling_phases()
            .with("ZEPHR_SYNC_RPP", RPP.to_string());
        Self {
            simulator,
            mirror,
            program,
        }
    }

    /// Runs it to its end, which must be a good one and must not have waited for the lease of a
    /// dead process.
    async fn finish(&self, context: &str) -> Ended {
        let started = Instant::now();
        let ended = self.program.run(&FULL).await.expect(0);
        assert!(
            !ended.stderr.contains("waiting for"),
            "{context}: {}",
            ended.stderr
        );
        let took = started.elapsed();
        assert!(took < NO_LEASE_WAIT, "{context}: took {took:?}");
        ended
    }

    /// Starts it and kills it after so many phases, unless it ended before, and ended well.
    async fn kill(&self, phases: u64, context: &str) -> Ended {
        let mut running = self.program.start(&FULL);
        for _ in 0..phases {
            if !running.until(|line| line.contains(r#""phase":""#)).await {
                break;
            }
        }
        let ended = running.kill().await;
        assert!(matches!(ended.code, None | Some(0)), "{context}: {ended:?}");
        ended
    }

    /// The status of each run, oldest first.
    async fn statuses(&self) -> Vec<String> {
        let rows = self
            .mirror
            .rows("select status from runs order by started_at, run_id")
            .await;
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// The windows a run committed, with the records in each.
    async fn committed(&self, run: &str) -> Vec<(Span, i64)> {
        let sql = format!(
            "select lower_bound, upper_bound, rows_read from windows where run_id = ({run}) and part = 'window'"
        );
        let rows = self.mirror.rows(&sql).await;
        rows.iter()
            .map(|row| {
                (
                    Span {
                        from: row.get(0),
                        until: row.get(1),
                    },
                    row.get(2),
                )
            })
            .collect()
    }
}

/// A stretch of registration time.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
}

impl Span {
    /// The core of what was asked: a second of overlap at each side is not part of it.
    fn asked(request: &ExportRequest) -> Self {
        let second = chrono::TimeDelta::seconds(1);
        let at = |text: &Option<String>| {
            text.as_ref()
                .map(|text| text.parse::<DateTime<Utc>>().expect("a time"))
        };
        Self {
            from: at(&request.registered_since).map(|at| at + second),
            until: at(&request.registered_before).map(|at| at - second),
        }
    }

    fn overlaps(self, other: Self) -> bool {
        let begins_before = |from: Option<_>, until: Option<_>| match (from, until) {
            (Some(from), Some(until)) => from < until,
            (None, _) | (_, None) => true,
        };
        begins_before(self.from, other.until) && begins_before(other.from, self.until)
    }
}

/// The requests that read windows; the others compare counts, a record at a time, or look whether
/// somebody is behind the last page of everybody.
fn reads(requests: &[ExportRequest]) -> impl Iterator<Item = &ExportRequest> {
    requests.iter().filter(|request| {
        request.rpp.as_deref() != Some("1") && request.page.as_deref() == Some("1")
    })
}

/// Records in answers that held all of their window, without what the second of overlap adds.
fn read_whole(requests: &[ExportRequest]) -> i64 {
    reads(requests)
        .filter(|request| u64::from(request.users) < RPP)
        .map(|request| i64::from(request.users))
        .sum()
}

/// Kills a sync when it has entered a phase so many times, and checks what the next one does.
async fn kill_at(phase: Phase, times: usize, people: u32, truth: &[String]) {
    let context = format!("killed at {} number {times}", phase.name());
    let setting = Setting::new(people).await;
    let mut first = setting.program.start(&FULL);
    assert!(
        first.until_phase(phase, times).await,
        "{context}: the phase never came"
    );
    first.kill().await;
    let before: Vec<_> = setting.simulator.stats().exports.into();
    setting.finish(&context).await;

    assert_same(&setting.mirror.content().await, truth, &context);
    let statuses = setting.statuses().await;
    let (last, killed) = statuses.split_last().expect("a run");
    assert_eq!(last, "succeeded", "{context}");
    let after: Vec<_> = setting.simulator.stats().exports.into();
    let after = after[before.len()..].to_vec();
    match killed {
        // Killed before its record, or in its last moment, when all was committed.
        [] => assert_eq!(phase, Phase::Leased, "{context}"),
        [status] if status == "succeeded" => {
            assert!(
                matches!(phase, Phase::ScanRead | Phase::Finished),
                "{context}"
            );
        }
        [status] => {
            assert_eq!(status, "interrupted", "{context}");
            // A takeover waits for the transactions of the killed process: nothing of it is
            // committed later.
            let committed = setting
                .committed("select run_id from runs order by started_at limit 1")
                .await;
            if matches!(phase, Phase::BatchCommitted | Phase::ScanRead) {
                assert!(!committed.is_empty(), "{context}: nothing was committed");
            }
            for asked in reads(&after).map(Span::asked) {
                let again = committed.iter().find(|(span, _)| span.overlaps(asked));
                assert!(
                    again.is_none(),
                    "{context}: {asked:?} was asked again, committed as {again:?}"
                );
            }
            let rows: i64 = committed.iter().map(|(_, rows)| rows).sum();
            let again = read_whole(&before) - rows;
            assert!(
                again <= READ_AGAIN,
                "{context}: {again} records were read again"
            );
        }
        several => panic!("{context}: {several:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_killed_at_any_phase_continues_at_once_after_its_last_commit() {
    let people = 6_000;
    let truth = of_undisturbed_sync(options(people)).await;
    // Nobody is deleted in this tenant; that has a test of its own.
    for phase in Phase::ALL
        .into_iter()
        .filter(|phase| *phase != Phase::Tombstoned)
    {
        kill_at(phase, 1, people, &truth).await;
        if matches!(
            phase,
            Phase::WindowRead | Phase::BatchCompared | Phase::BatchMerged | Phase::BatchCommitted
        ) {
            kill_at(phase, 2, people, &truth).await;
        }
    }
}

/// Kills the same sync again and again, each time after a random number of phases, until it was
/// killed so many times; whenever a full scan comes to its end in the meantime, the next begins
/// another.
async fn kill_at_random_moments(kills: u32, people: u32, most_phases: u64, seed: u64) {
    println!("seed {seed}");
    let truth = of_undisturbed_sync(options(people)).await;
    let setting = Setting::new(people).await;
    let mut state = seed;
    for kill in 0..kills {
        let context = format!("seed {seed}, kill {kill}");
        let phases = 1 + draw(&mut state) % most_phases;
        let ended = setting.kill(phases, &context).await;
        assert!(
            !ended.stderr.contains("waiting for"),
            "{context}: {}",
            ended.stderr
        );
        let content = setting.mirror.content_so_far().await;
        assert!(
            content.iter().all(|line| truth.binary_search(line).is_ok()),
            "{context}: a row is not as it was sent"
        );
    }
    let context = format!("seed {seed}");
    setting.finish(&context).await;
    assert_same(&setting.mirror.content().await, &truth, &context);
    let statuses = setting.statuses().await;
    assert!(
        statuses.iter().any(|status| status == "interrupted"),
        "{context}: {statuses:?}"
    );
    assert!(
        !statuses
            .iter()
            .any(|status| status == "running" || status == "failed"),
        "{context}: {statuses:?}"
    );
    assert_eq!(
        statuses.last().map(String::as_str),
        Some("succeeded"),
        "{context}"
    );
    let doubled = "select count(*) from (select from windows a join windows b on a.scan_id = b.scan_id and a.window_id < b.window_id
        and a.part = b.part and tstzrange(a.lower_bound, a.upper_bound) && tstzrange(b.lower_bound, b.upper_bound)) pairs";
    assert_eq!(
        setting.mirror.value::<i64>(doubled).await,
        0,
        "{context}: windows were committed twice"
    );
}

/// The next number of a seeded stream (SplitMix64).
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// `ZEPHR_TEST_SEED` repeats a run that failed.
fn seed() -> u64 {
    let given = std::env::var("ZEPHR_TEST_SEED")
        .ok()
        .map(|seed| seed.parse().expect("a number"));
    given.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_killed_at_random_moments_ends_with_everybody_once() {
    kill_at_random_moments(15, 6_000, 40, seed()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn a_large_sync_killed_a_hundred_times_ends_with_everybody_once() {
    kill_at_random_moments(100, 50_000, 300, seed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_asked_to_stop_drains_and_the_next_continues_its_scan() {
    let people = 6_000;
    let truth = of_undisturbed_sync(options(people)).await;
    let setting = Setting::new(people).await;
    let mut first = setting.program.start(&FULL);
    assert!(first.until_phase(Phase::BatchCommitted, 1).await);
    first.signal(Signal::TERM);
    first.end().await.expect(130);
    let run = "select run_id from runs order by started_at limit 1";
    let committed: i64 = setting
        .committed(run)
        .await
        .iter()
        .map(|(_, rows)| rows)
        .sum();
    assert!(
        (1..i64::from(people)).contains(&committed),
        "{committed} records committed"
    );
    assert_eq!(
        setting
            .mirror
            .value::<i64>("select count(*) from users")
            .await,
        committed
    );
    assert_eq!(setting.statuses().await, ["interrupted"]);

    setting.finish("continued").await;
    assert_eq!(setting.statuses().await, ["interrupted", "succeeded"]);
    assert_eq!(
        setting
            .mirror
            .value::<i64>("select count(distinct scan_id) from runs")
            .await,
        1
    );
    let verdict = "select verdict from runs order by started_at desc limit 1";
    assert_eq!(setting.mirror.value::<String>(verdict).await, "proven");
    assert_same(&setting.mirror.content().await, &truth, "continued");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_killed_between_tombstones_marks_the_rest_next_time_and_nobody_twice() {
    let setting = Setting::new(3_000).await;
    setting.finish("first").await;
    let deleted = setting.simulator.tenant().edit(Edits {
        deletions: 450,
        ..Edits::NONE
    });
    let mut program = setting.program;
    program = program.with("ZEPHR_SYNC_MAX_DELETE_FRACTION", "1");
    let mut first = program.start(&FULL);
    assert!(first.until_phase(Phase::Tombstoned, 1).await);
    first.kill().await;
    let marked = "select count(*) from users where _zephr_deleted_at is not null";
    let before: i64 = setting.mirror.value(marked).await;
    assert!(
        (1..450).contains(&before),
        "{before} were marked before the kill"
    );

    program.run(&FULL).await.expect(0);

    let gone: BTreeSet<String> = deleted.deleted.into_iter().collect();
    let rows = setting
        .mirror
        .rows("select user_id from users where _zephr_deleted_at is not null")
        .await;
    let found: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(found, gone);
    let versions: i64 = setting
        .mirror
        .value("select count(*) from users_history")
        .await;
    assert_eq!(versions, 450);
    let counted: i64 = setting
        .mirror
        .value("select sum(rows_tombstoned)::bigint from runs")
        .await;
    assert_eq!(counted, 450);
    truth::expect_equal(&setting.simulator.tenant(), &setting.mirror).await;
}

/// Kills a sync of a tenant that changes all the while, again and again, and lets it come to its
/// end: what the verdict says must be true.
async fn kill_under_drift(kills: u32, people: u32, most_phases: u64, seed: u64) {
    println!("seed {seed}");
    let mut setting = Setting::new(people).await;
    setting.finish("first").await;
    // More leave in the meantime than a brake would let go.
    setting.program = setting.program.with("ZEPHR_SYNC_MAX_DELETE_FRACTION", "1");
    let mut state = seed;
    // Who is there from now to the end is there from the begin of the last scan to its end.
    let before = truth::keys(&setting.simulator.tenant());
    setting.simulator.set_drift(Edits {
        updates: 3,
        creations: 1,
        deletions: 1,
        ..Edits::NONE
    });
    for kill in 0..kills {
        let phases = 1 + draw(&mut state) % most_phases;
        setting
            .kill(phases, &format!("seed {seed}, kill {kill}"))
            .await;
    }
    let document = setting
        .program
        .run(&["sync", "users", "--full", "--json"])
        .await
        .expect(0)
        .json();
    let run = &document["runs"][0];
    assert_eq!(run["verdict"], "proven", "seed {seed}: {run:#}");
    // More register in a second than a page holds, and each answer brings another: a scan that ran
    // after them would not end.
    let requests = run["requests"].as_u64().expect("a number");
    assert!(requests < 1_000, "seed {seed}: {requests} requests");
    let after = truth::keys(&setting.simulator.tenant());
    let mirrored = truth::mirrored(&setting.mirror).await;
    let missing = before
        .intersection(&after)
        .filter(|id| !mirrored.contains(*id))
        .count();
    assert_eq!(missing, 0, "seed {seed}: the verdict is proven");
    let rows = setting
        .mirror
        .rows("select user_id from users where _zephr_deleted_at is not null")
        .await;
    let marked: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(
        marked.intersection(&after).count(),
        0,
        "seed {seed}: somebody who lives is marked"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_killed_under_drift_says_no_more_than_is_true() {
    kill_under_drift(8, 3_000, 30, seed()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn a_sync_killed_fifty_times_under_drift_says_no_more_than_is_true() {
    kill_under_drift(50, 10_000, 120, seed()).await;
}

#[tokio::test]
async fn a_run_whose_process_is_gone_is_not_told_as_running() {
    let setting = Setting::new(1_000).await;
    let mut first = setting.program.start(&FULL);
    assert!(first.until_phase(Phase::BatchMerged, 1).await);
    first.kill().await;
    // Its session ends when Postgres notices.
    let give_up = Instant::now() + NO_LEASE_WAIT;
    loop {
        let said = setting.program.run(&["status"]).await.expect(0).stdout;
        if said.contains("the process of the last run is gone") {
            assert!(!said.contains("running"), "{said}");
            break;
        }
        assert!(Instant::now() < give_up, "{said}");
    }
}
