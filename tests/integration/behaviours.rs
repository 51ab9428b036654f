//! Whatever the API's undocumented answers turn out to be, everybody is found: awkward people,
//! people listed twice, people without a date, a crowd in one second.

use simulator::{Behaviour, Count, Envelope, Links, Options, Shape, Simulator};

use crate::support::{Mirror, Program, tenant, truth};

/// A tenant with some of everything.
async fn mixed(seed: u64, behaviour: Behaviour) -> Simulator {
    let shape = Shape {
        people: 1_500,
        seed,
        awkward_percent: 3.0,
        duplicates: true,
        same_second: 700,
        undated: 20,
        ..Shape::default()
    };
    tenant(Options {
        shape,
        behaviour,
        ..Options::default()
    })
    .await
}

async fn everybody_is_found(seed: u64) {
    let behaviour = Behaviour::drawn(seed);
    let simulator = mixed(seed, behaviour.clone()).await;
    let mirror = Mirror::new().await;

    let ended = Program::between(&simulator, &mirror)
        .run(&["sync", "users", "--json"])
        .await;

    let run = &ended.json()["runs"][0];
    let about = format!("seed {seed}, {behaviour:?}: {run:#}");
    let keys = truth::keys(&simulator.tenant());
    let rejects = truth::lines(&simulator.tenant()).len() - keys.len();
    assert_eq!(ended.code, Some(if rejects > 0 { 3 } else { 0 }), "{about}");
    assert!(
        run["verdict"] == "proven" || run["verdict"] == "agreed",
        "{about}"
    );
    let mirrored = truth::mirrored(&mirror).await;
    let missing: Vec<_> = keys.difference(&mirrored).collect();
    let surplus: Vec<_> = mirrored.difference(&keys).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "{about}\nmissing {missing:?}\nsurplus {surplus:?}"
    );
    assert_eq!(
        mirror.value::<i64>("select count(*) from rejects").await,
        rejects as i64,
        "{about}"
    );
}

// Several tests, so that they run side by side.

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_found_under_behaviours_0_to_5() {
    for seed in 0..6 {
        everybody_is_found(seed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_found_under_behaviours_6_to_11() {
    for seed in 6..12 {
        everybody_is_found(seed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_found_under_behaviours_12_to_17() {
    for seed in 12..18 {
        everybody_is_found(seed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_found_under_behaviours_18_to_23() {
    for seed in 18..24 {
        everybody_is_found(seed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ignores_filters_makes_an_incomplete_run_that_keeps_what_it_read() {
    let simulator = mixed(
        1,
        Behaviour {
            ignore_filters: true,
            ..Behaviour::plain()
        },
    )
    .await;
    let mirror = Mirror::new().await;

    let ended = Program::between(&simulator, &mirror)
        .run(&["sync", "users", "--json"])
        .await
        .expect(1);

    let run = &ended.json()["runs"][0];
    assert_eq!(
        (&run["status"], &run["verdict"]),
        (&"failed".into(), &"incomplete".into())
    );
    assert!(
        run["verdict_reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("does not honour registeredSince")),
        "{run:#}"
    );
    assert_eq!(
        truth::mirrored(&mirror).await,
        truth::keys(&simulator.tenant())
    );
    assert!(
        mirror
            .value::<bool>("select coalesce(bool_and(watermark is null), true) from checkpoints")
            .await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_hold_nothing_storable_do_not_end_a_pass() {
    // Everybody is awkward, so one in seven cannot be stored, and with one on a page two such pages
    // follow each other.
    let shape = Shape {
        people: 120,
        awkward_percent: 100.0,
        ..Shape::default()
    };
    let silent = Behaviour {
        envelope: Envelope::Bare,
        count: Count::Absent,
        links: Links::Absent,
        rpp_clamp: Some(1),
        ..Behaviour::plain()
    };
    for (behaviour, rpp) in [(Behaviour::plain(), "1"), (silent, "500")] {
        let options = Options {
            shape: shape.clone(),
            behaviour,
            ..Options::default()
        };
        let simulator = tenant(options).await;
        let mirror = Mirror::new().await;

        Program::between(&simulator, &mirror)
            .run(&["sync", "users", "--rpp", rpp])
            .await
            .expect(3);

        let keys = truth::keys(&simulator.tenant());
        let mirrored = truth::mirrored(&mirror).await;
        assert_eq!(
            mirrored.symmetric_difference(&keys).count(),
            0,
            "{:?}",
            simulator.tenant().behaviour()
        );
        let rejects: i64 = mirror.value("select count(*) from rejects").await;
        assert_eq!(rejects, 120 - keys.len() as i64);
    }
}
