//! Incremental runs: one request for what changed, and a full scan that says what they did not see.

use simulator::{Behaviour, Edits, Options, Shape, Since};

use crate::support::{Mirror, Program, people, tenant, truth};

const FULL: [&str; 4] = ["sync", "users", "--full", "--json"];

#[tokio::test(flavor = "multi_thread")]
async fn fifty_changes_take_one_request_and_two_where_the_server_tells_nothing() {
    let mut single = 0;
    for seed in 0..10 {
        let behaviour = Behaviour {
            // Fifty fit one page of each.
            ..Behaviour::drawn(seed)
        };
        let shape = Shape {
            people: 2_500,
            seed,
            ..Shape::default()
        };
        let options = Options {
            shape,
            behaviour: behaviour.clone(),
            ..Options::default()
        };
        let (simulator, mirror) = (tenant(options).await, Mirror::new().await);
        let program = Program::between(&simulator, &mirror);
        program.run(&FULL).await.expect(0);
        simulator.tenant().edit(Edits {
            updates: 50,
            ..Edits::NONE
        });
        let before = simulator.stats().requests;

        let document = program
            .run(&["sync", "users", "--json"])
            .await
            .expect(0)
            .json();

        let run = &document["runs"][0];
        assert_eq!(run["mode"], "incremental");
        let requests = simulator.stats().requests - before;
        // Without a count or a link the next page has to show that there is nothing on it.
        assert!((1..=2).contains(&requests), "{behaviour:?}: {run:#}");
        single += usize::from(requests == 1);
        assert_eq!(run["verdict"], "proven", "{run:#}");
        truth::expect_equal(&simulator.tenant(), &mirror).await;
    }
    assert!(single >= 3, "of ten servers {single} tell");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_scan_counts_the_changes_that_incremental_runs_do_not_see() {
    let options = Options {
        shape: Shape {
            people: 2_000,
            ..Shape::default()
        },
        behaviour: Behaviour {
            since: Since::Registered,
            ..Behaviour::plain()
        },
        ..Options::default()
    };
    let (simulator, mirror) = (tenant(options).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror);
    program.run(&FULL).await.expect(0);
    let edited = simulator.tenant().edit(Edits {
        updates: 25,
        creations: 5,
        deletions: 0,
        ..Edits::NONE
    });
    let updated: std::collections::BTreeSet<_> = edited.updated.iter().collect();
    // Only the created are seen.
    let run = program
        .run(&["sync", "users", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(run["runs"][0]["rows_inserted"], 5);
    assert_eq!(run["runs"][0]["rows_updated"], 0);

    let document = program.run(&FULL).await.expect(0).json();

    let run = &document["runs"][0];
    assert_eq!(run["rows_updated"], updated.len(), "{run:#}");
    assert_eq!(run["rows_missed"], updated.len(), "{run:#}");
    let words = program.run(&["runs"]).await.expect(0).stdout;
    assert!(!words.is_empty());
    let again = program
        .run(&["sync", "users", "--full"])
        .await
        .expect(0)
        .stdout;
    assert!(!again.contains("full_every"), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_incremental_runs_see_is_not_counted_as_missed() {
    let (simulator, mirror) = (people(2_000).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror);
    let first = program.run(&FULL).await.expect(0).json();
    assert!(first["runs"][0]["rows_missed"].is_null(), "{first:#}");
    simulator.tenant().edit(Edits {
        updates: 25,
        creations: 5,
        deletions: 3,
        ..Edits::NONE
    });
    let run = program.run(&FULL).await.expect(0).json();
    assert_eq!(run["runs"][0]["rows_missed"], 0, "{run:#}");
    assert_eq!(
        mirror.value::<i64>("select count(*) from scan_notes").await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_and_an_incremental_run_started_together_write_each_change_once() {
    let (simulator, mirror) = (people(4_000).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror);
    program.run(&FULL).await.expect(0);
    for _ in 0..3 {
        let edited = simulator.tenant().edit(Edits {
            updates: 40,
            creations: 10,
            deletions: 0,
            ..Edits::NONE
        });
        let changed: std::collections::BTreeSet<_> =
            edited.updated.iter().chain(&edited.created).collect();
        let history = "select count(*) from users_history";
        let before: i64 = mirror.value(history).await;

        let (full, incremental) = tokio::join!(
            program.run(&FULL),
            program.run(&["sync", "users", "--json"])
        );

        let written = |ended: &crate::support::Ended| {
            let run = &ended.json()["runs"][0];
            run["rows_inserted"].as_u64().expect("a count")
                + run["rows_updated"].as_u64().expect("a count")
        };
        let (full, incremental) = (full.expect(0), incremental.expect(0));
        assert_eq!(written(&full) + written(&incremental), changed.len() as u64);
        let updated: std::collections::BTreeSet<_> = edited.updated.iter().collect();
        assert_eq!(
            mirror.value::<i64>(history).await - before,
            updated.len() as i64
        );
        truth::expect_equal(&simulator.tenant(), &mirror).await;
    }
}

/// What changes after Zephr's clock went back has earlier times than the last run's beginning.
#[tokio::test(flavor = "multi_thread")]
async fn the_watermark_goes_back_where_the_clock_did() {
    let (simulator, mirror) = (people(20).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror);
    program.run(&["sync", "users"]).await.expect(0);
    mirror
        .execute(
            "update checkpoints set watermark = now() + interval '30 minutes' where job = 'users'",
        )
        .await;
    program.run(&["sync", "users"]).await.expect(0);
    let is_back = "select watermark <= now() from checkpoints where job = 'users'";
    assert!(mirror.value::<bool>(is_back).await);
}
