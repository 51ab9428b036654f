//! The scan as a property: whatever the tenant, whatever its server's habits, whoever comes,
//! changes and goes between any two answers, and wherever the scan is interrupted, a verdict says
//! no more than is true.
//!
//! The same property is shown to fail for plain paging, and for two equal passes taken as proof: it
//! can see what it looks for.

mod mirror;
mod tenant;

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use record::Query;
use scan::Source;
use scan::verdict::Verdict;

use self::mirror::{Manner, Mirror, Writing};
use tenant::{Count, Drift, Endless, Habits, Order, Says, Server, at, name};

/// Scans tried by each of the tests that must hold.
const CASES: u32 = 4_000;

/// A tenant, its server, and what happens meanwhile.
#[derive(Debug, Clone)]
struct Scenario {
    registered: Vec<Option<i64>>,
    /// Of each person, whether the mirror holds it already.
    known: Vec<bool>,
    /// People whom the mirror holds and who were deleted before the scan began.
    ghosts: Vec<Option<i64>>,
    habits: Habits,
    drift: Drift,
    manner: Manner,
    seed: u64,
}

/// A thousand seconds, so that crowds come about; or a hundred thousand, so that gaps do.
fn registrations() -> impl Strategy<Value = Vec<Option<i64>>> {
    let second = prop_oneof![
        3 => 0..100_000_i64,
        2 => 0..1_000_i64,
        1 => Just(500_i64),
    ];
    let undated = prop_oneof![4 => Just(0_usize), 1 => 3..9_usize];
    // Also tenants that just fill a page, or just do not.
    let people = prop_oneof![3 => 0..200_usize, 1 => 8..18_usize];
    let dated = people.prop_flat_map(move |people| prop::collection::vec(second.clone(), people));
    (dated, undated).prop_map(|(dated, undated)| {
        let dated = dated.into_iter().map(|second| Some(1_600_000_000 + second));
        dated.chain(std::iter::repeat_n(None, undated)).collect()
    })
}

fn habits() -> impl Strategy<Value = Habits> {
    let order = prop_oneof![
        Just(Order::Registered),
        Just(Order::LatestFirst),
        Just(Order::Updated),
        Just(Order::LatestUpdatedFirst),
        Just(Order::Any),
    ];
    let count =
        prop_oneof![2 => Just(Count::Total), 1 => Just(Count::Page), 1 => Just(Count::Absent)];
    let says = prop_oneof![
        Just(Says::Truth),
        Just(Says::WhatWasAsked),
        Just(Says::Nothing)
    ];
    let clamp = prop_oneof![1 => Just(None), 1 => (8..16_u64).prop_map(Some)];
    let twice = prop_oneof![3 => Just(0_usize), 1 => 5..20_usize];
    (
        (order, any::<bool>(), clamp, count),
        (
            says,
            any::<bool>(),
            prop::bool::weighted(0.9),
            prop::bool::weighted(0.95),
            twice,
        ),
    )
        .prop_map(
            |((order, inclusive, clamp, count), (says, links, pages, filters, twice))| Habits {
                order,
                inclusive,
                clamp,
                count,
                says,
                links,
                pages,
                filters,
                twice,
            },
        )
}

/// Fewer come than can be read, or no scan would ever end.
fn drift() -> impl Strategy<Value = Drift> {
    prop_oneof![
        1 => Just((0, 0, 0)),
        3 => (0..4_u64, 0..2_u64, 0..3_u64),
    ]
    .prop_map(|(updates, creations, deletions)| Drift {
        updates,
        creations,
        deletions,
    })
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let interruptions = prop::collection::vec(1..25_usize, 0..4);
    let ghosts = prop::collection::vec(
        prop::option::weighted(0.9, 1_600_000_000..1_600_100_000_i64),
        0..6,
    );
    (
        (registrations(), any::<u64>(), prop::bool::ANY, ghosts),
        (
            habits(),
            drift(),
            8..30_u64,
            1..9_usize,
            interruptions,
            any::<u64>(),
        ),
    )
        .prop_map(
            |(
                (registered, mask, loaded, ghosts),
                (habits, drift, rpp, in_flight, interrupted_after, seed),
            )| {
                let known = (0..registered.len()).map(|id| loaded && (mask >> (id % 64)) & 3 != 0);
                Scenario {
                    known: known.collect(),
                    ghosts: if loaded { ghosts } else { Vec::new() },
                    registered,
                    habits,
                    drift,
                    manner: Manner {
                        rpp,
                        in_flight,
                        interrupted_after,
                    },
                    seed,
                }
            },
        )
}

/// What came of a scan.
struct Scanned {
    verdict: Verdict,
    seen: BTreeSet<String>,
    candidates: BTreeSet<String>,
}

impl Scenario {
    fn server(&self) -> Server {
        Server::new(&self.registered, self.habits, self.drift, self.seed)
    }

    fn ghost(number: usize) -> String {
        format!("ghost-{number}")
    }

    async fn scan(&self, server: &Server, writing: Writing) -> Result<Scanned, Endless> {
        let known = self.registered.iter().zip(&self.known).enumerate();
        let known = known
            .filter(|(_, (_, known))| **known)
            .map(|(id, (registered, _))| (name(id), registered.map(at)));
        let ghosts = self.ghosts.iter().enumerate();
        let ghosts = ghosts.map(|(number, registered)| (Self::ghost(number), registered.map(at)));
        let mut mirror = Mirror::holding(known.chain(ghosts));
        let verdict = mirror.scan(server, &self.manner, writing).await?;
        Ok(Scanned {
            verdict,
            candidates: mirror.candidates(),
            seen: mirror.seen,
        })
    }

    /// What every tool in the field does: page after page until one is empty, and then it was
    /// everybody.
    async fn page_through(&self, server: &Server) -> Result<Scanned, Endless> {
        let mut seen = BTreeSet::new();
        for number in 1.. {
            let query = Query {
                updated_since: None,
                registered_since: None,
                registered_before: None,
                rpp: self.manner.rpp,
                page: number,
            };
            let page = server.page(query).await?;
            let before = seen.len();
            seen.extend(page.items.into_iter().map(|item| item.id));
            if seen.len() == before {
                break;
            }
        }
        Ok(Scanned {
            verdict: Verdict::Proven,
            seen,
            candidates: BTreeSet::new(),
        })
    }
}

/// How the scans of a test are read and judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// As the product does.
    Scan,
    /// Page by page.
    PlainPaging,
    /// As the product does, but two equal passes are taken for proof.
    AgreedIsProof,
    /// As the product does, but a writer takes windows without rows for nothing.
    ForgetsEmptyWindows,
}

fn check(scenario: &Scenario, reading: Reading) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let server = scenario.server();
    let scanned = runtime.block_on(async {
        match reading {
            Reading::Scan | Reading::AgreedIsProof => {
                scenario.scan(&server, Writing::AsTheProduct).await
            }
            Reading::ForgetsEmptyWindows => {
                scenario.scan(&server, Writing::ForgetsEmptyWindows).await
            }
            Reading::PlainPaging => scenario.page_through(&server).await,
        }
    });
    let Ok(scanned) = scanned else {
        return Err(TestCaseError::fail("the scan does not end"));
    };
    let proven = match scanned.verdict {
        Verdict::Proven => true,
        Verdict::Agreed => reading == Reading::AgreedIsProof,
        Verdict::Partial | Verdict::Incomplete => false,
    };
    let tenant = server.tenant();
    for person in &tenant.people {
        let there_throughout =
            person.alive && person.untouched && person.id < scenario.registered.len();
        prop_assert!(
            !(proven && there_throughout) || scanned.seen.contains(&name(person.id)),
            "{} (registered {:?}) is missing, and the verdict is {}",
            name(person.id),
            person.registered,
            scanned.verdict
        );
    }
    match reading {
        Reading::Scan | Reading::ForgetsEmptyWindows => {}
        Reading::PlainPaging | Reading::AgreedIsProof => return Ok(()),
    }
    // The witness keeps everybody who exists from becoming a tombstone; but what a scan has proven
    // to be gone must not need one.
    let alive = |id: &String| {
        let number = id
            .strip_prefix("user-")
            .and_then(|id| id.parse::<usize>().ok());
        number.is_some_and(|id| tenant.people[id].alive && tenant.people[id].untouched)
    };
    match scanned.verdict {
        Verdict::Proven => {
            let wrong: Vec<_> = scanned.candidates.iter().filter(|id| alive(id)).collect();
            prop_assert!(
                wrong.is_empty(),
                "{wrong:?} would be asked for, and are alive"
            );
        }
        Verdict::Agreed | Verdict::Partial | Verdict::Incomplete => {}
    }
    if scanned.verdict != Verdict::Incomplete {
        for number in 0..scenario.ghosts.len() {
            prop_assert!(
                scanned.candidates.contains(&Scenario::ghost(number)),
                "a user who was deleted before the scan is not noticed"
            );
        }
    }
    let at_rest = scenario.drift.updates + scenario.drift.creations + scenario.drift.deletions == 0;
    if at_rest && scenario.habits.filters && scenario.habits.pages {
        prop_assert_ne!(scanned.verdict, Verdict::Incomplete);
        for id in 0..scenario.registered.len() {
            prop_assert!(scanned.seen.contains(&name(id)), "{} never came", name(id));
        }
    }
    Ok(())
}

fn runner(cases: u32) -> TestRunner {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    // The same scenarios each time: what fails today failed yesterday.
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[test]
fn a_verdict_says_no_more_than_is_true() {
    let tried = runner(CASES).run(&scenario(), |scenario| check(&scenario, Reading::Scan));
    if let Err(error) = tried {
        panic!("{error}");
    }
}

#[test]
fn a_verdict_says_no_more_than_is_true_through_a_thousand_interruptions() {
    let interrupted = scenario().prop_filter("not interrupted", |scenario| {
        !scenario.manner.interrupted_after.is_empty()
    });
    let tried = runner(1_000).run(&interrupted, |scenario| check(&scenario, Reading::Scan));
    if let Err(error) = tried {
        panic!("{error}");
    }
}

/// Whether a counterexample is found.
fn fails(reading: Reading, cases: u32) -> bool {
    let config = Config {
        cases,
        failure_persistence: None,
        // One is enough; it need not be the smallest.
        max_shrink_iters: 0,
        ..Config::default()
    };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    match runner.run(&scenario(), |scenario| check(&scenario, reading)) {
        Ok(()) => false,
        Err(TestError::Fail(..)) => true,
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

#[test]
fn plain_paging_does_not_hold() {
    assert!(fails(Reading::PlainPaging, CASES));
}

#[test]
fn two_equal_passes_are_no_proof() {
    assert!(fails(Reading::AgreedIsProof, 20 * CASES));
}

#[test]
fn a_writer_that_takes_an_empty_window_for_nothing_does_not_hold() {
    assert!(fails(Reading::ForgetsEmptyWindows, CASES));
}

#[test]
#[ignore = "long: make soak"]
fn a_verdict_says_no_more_than_is_true_in_scenarios_never_tried_before() {
    let config = Config {
        cases: 60_000,
        failure_persistence: None,
        ..Config::default()
    };
    let tried =
        TestRunner::new(config).run(&scenario(), |scenario| check(&scenario, Reading::Scan));
    if let Err(error) = tried {
        panic!("{error}");
    }
}
