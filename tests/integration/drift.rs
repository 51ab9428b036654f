//! People change, come and go after every answer. Paging loses some of them; a scan does not, and
//! says how far it may be believed.

use std::collections::BTreeSet;

use clock::Clock;
use record::Query;
use simulator::{
    Behaviour, Boundary, Count, Edits, Envelope, Links, Options, Order, Shape, Simulator,
};
use zephr::{BaseUrl, Client, KeyPair, Limits, Reader};

use crate::support::{Mirror, Program, tenant, truth};

/// After each answer of the export.
const DRIFT: Edits = Edits {
    updates: 20,
    creations: 5,
    deletions: 5,
    ..Edits::NONE
};

const FULL: [&str; 4] = ["sync", "users", "--full", "--json"];

/// What every tool in the field does: page after page, until one is empty.
async fn page_through(simulator: &Simulator) -> BTreeSet<String> {
    let keys = simulator.keys();
    let limits = Limits {
        max_in_flight: 1,
        max_per_second: None,
        max_retry_after: std::time::Duration::from_secs(900),
    };
    let client = Client::new(
        BaseUrl::parse(&simulator.base_url()).expect("an address"),
        KeyPair::new(keys.access.clone().into(), keys.secret.clone().into()),
        Clock::system(),
        limits,
    )
    .expect("a client");
    let reader = Reader::new(client, vec!["seq-no".into()]);
    let mut seen = BTreeSet::new();
    for page in 1.. {
        let query = Query {
            updated_since: None,
            registered_since: None,
            registered_before: None,
            rpp: 500,
            page,
        };
        let page = reader.export(query).await.expect("a page");
        if page.is_empty() {
            break;
        }
        seen.extend(page.items.into_iter().map(|item| item.id));
    }
    seen
}

async fn tombstones(mirror: &Mirror) -> BTreeSet<String> {
    let rows = mirror
        .rows("select user_id from users where _zephr_deleted_at is not null")
        .await;
    rows.iter().map(|row| sqlx::Row::get(row, 0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_under_drift_is_proven_and_loses_nobody_where_paging_does() {
    let options = Options {
        shape: Shape {
            people: 100_000,
            ..Shape::default()
        },
        behaviour: Behaviour {
            order: Order::UpdatedAsc,
            ..Behaviour::plain()
        },
        ..Options::default()
    };
    let (simulator, mirror) = (tenant(options).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror);
    program.run(&["sync", "users"]).await.expect(0);
    let gone: BTreeSet<String> = simulator
        .tenant()
        .edit(Edits {
            deletions: 300,
            ..Edits::NONE
        })
        .deleted
        .into_iter()
        .collect();
    let before = truth::keys(&simulator.tenant());
    simulator.set_drift(DRIFT);

    let document = program.run(&FULL).await.expect(0).json();

    let run = &document["runs"][0];
    assert_eq!(run["verdict"], "proven", "{run:#}");
    let after = truth::keys(&simulator.tenant());
    let mirrored = truth::mirrored(&mirror).await;
    let throughout: BTreeSet<&String> = before.intersection(&after).collect();
    let missing: Vec<_> = throughout
        .iter()
        .filter(|id| !mirrored.contains(**id))
        .collect();
    assert!(missing.is_empty(), "{} are missing", missing.len());
    let tombstones = tombstones(&mirror).await;
    assert!(
        gone.is_subset(&tombstones),
        "some who were gone before are not marked"
    );
    assert_eq!(
        tombstones.intersection(&after).count(),
        0,
        "somebody who lives is marked"
    );

    // The comparison: the same tenant, the same drift.
    let before = truth::keys(&simulator.tenant());
    let paged = page_through(&simulator).await;
    let after = truth::keys(&simulator.tenant());
    let lost = before
        .intersection(&after)
        .filter(|id| !paged.contains(*id))
        .count();
    assert!(
        lost > 0,
        "plain paging lost nobody: the drift does not bite"
    );
    println!("plain paging lost {lost} people who were there throughout; the scan lost none");
}

/// Whatever is odd at once: a crowd in one second, people without a date, people listed twice,
/// small pages.
fn odd(envelope: Envelope, boundary: Boundary, number: usize) -> Options {
    let counts = [Count::Total, Count::Page, Count::Absent];
    let links = [Links::Full, Links::NextOnly, Links::Absent];
    let orders = [
        Order::RegisteredAsc,
        Order::UpdatedDesc,
        Order::Shuffled,
        Order::UpdatedAsc,
    ];
    Options {
        shape: Shape {
            people: 4_500,
            duplicates: true,
            same_second: 3_000,
            undated: 500,
            ..Shape::default()
        },
        behaviour: Behaviour {
            envelope,
            boundary,
            rpp_clamp: Some(100),
            count: counts[number % 3],
            links: links[(number / 2) % 3],
            order: orders[number % 4],
            ..Behaviour::plain()
        },
        ..Options::default()
    }
}

/// Loads the tenant, lets some go, and scans again under this drift.
async fn an_odd_tenant_is_told_honestly(envelope: Envelope, boundary: Boundary, number: usize) {
    let about = format!("{envelope:?}, {boundary:?}, {number}");
    let simulator = tenant(odd(envelope, boundary, number)).await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror);
    program.run(&FULL).await.expect(0);
    assert_eq!(
        truth::mirrored(&mirror).await,
        truth::keys(&simulator.tenant()),
        "{about}: at rest all arrive"
    );
    let edits = Edits {
        deletions: 30,
        ..Edits::NONE
    };
    let gone: BTreeSet<String> = simulator.tenant().edit(edits).deleted.into_iter().collect();
    for drift in [Edits::NONE, DRIFT] {
        let before = truth::keys(&simulator.tenant());
        simulator.set_drift(drift);
        let ended = program.run(&FULL).await;
        simulator.set_drift(Edits::NONE);
        let about = format!("{about}, {drift:?}: {}", ended.stdout);
        let run = &ended.json()["runs"][0];
        let after = truth::keys(&simulator.tenant());
        let mirrored = truth::mirrored(&mirror).await;
        let missing = before
            .intersection(&after)
            .filter(|id| !mirrored.contains(*id))
            .count();
        if run["verdict"] == "proven" {
            assert_eq!(missing, 0, "{about}");
        }
        let marked = tombstones(&mirror).await;
        assert_eq!(
            marked.intersection(&after).count(),
            0,
            "somebody who lives is marked: {about}"
        );
        if drift == Edits::NONE {
            assert!(
                run["verdict"] == "agreed" || run["verdict"] == "proven",
                "{about}"
            );
            assert_eq!(missing, 0, "{about}");
            assert_eq!(marked, gone, "{about}");
        }
    }
}

// A test each, so that they run side by side and none for long.

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_tenant_is_told_honestly_in_the_nested_envelope_with_inclusive_bounds() {
    an_odd_tenant_is_told_honestly(Envelope::Nested, Boundary::Inclusive, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_tenant_is_told_honestly_in_the_nested_envelope_with_exclusive_bounds() {
    an_odd_tenant_is_told_honestly(Envelope::Nested, Boundary::Exclusive, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_tenant_is_told_honestly_in_the_flat_envelope_with_inclusive_bounds() {
    an_odd_tenant_is_told_honestly(Envelope::Flat, Boundary::Inclusive, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_tenant_is_told_honestly_in_the_flat_envelope_with_exclusive_bounds() {
    an_odd_tenant_is_told_honestly(Envelope::Flat, Boundary::Exclusive, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_tenant_is_told_honestly_in_a_bare_array_with_inclusive_bounds() {
    an_odd_tenant_is_told_honestly(Envelope::Bare, Boundary::Inclusive, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_tenant_is_told_honestly_in_a_bare_array_with_exclusive_bounds() {
    an_odd_tenant_is_told_honestly(Envelope::Bare, Boundary::Exclusive, 5).await;
}
