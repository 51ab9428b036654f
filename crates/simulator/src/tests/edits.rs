use std::collections::HashSet;

use super::*;
use crate::Order;

/// Reads everything by page while people change, and says who was there throughout but was not
/// seen, and how many were seen twice.
async fn lost_and_doubled(order: Order, drift: Edits) -> (usize, usize) {
    let mut options = small(400);
    options.behaviour.order = order;
    options.drift = drift;
    let simulator = Simulator::start(options).await.unwrap();
    let before = ids(&truth(&simulator));
    let client = Client::of(&simulator);
    let behaviour = simulator.tenant().behaviour().clone();
    let mut seen = Vec::new();
    for page in 1..=60 {
        let target = format!("/v3/user-export?rpp=20&page={page}");
        let page = items(behaviour.envelope, &client.json(&target).await);
        if page.is_empty() {
            break;
        }
        seen.extend(ids(&page));
    }
    let after: HashSet<String> = ids(&truth(&simulator)).into_iter().collect();
    let distinct: HashSet<&String> = seen.iter().collect();
    let lost = before
        .iter()
        .filter(|id| after.contains(*id) && !distinct.contains(id))
        .count();
    (lost, seen.len() - distinct.len())
}

#[tokio::test]
async fn paging_loses_and_doubles_people_only_under_drift() {
    for order in [Order::RegisteredAsc, Order::UpdatedDesc, Order::Shuffled] {
        assert_eq!(
            lost_and_doubled(order, Edits::NONE).await,
            (0, 0),
            "{order:?}"
        );
    }
    let deletions = Edits {
        deletions: 4,
        ..Edits::NONE
    };
    let updates = Edits {
        updates: 4,
        ..Edits::NONE
    };
    let creations = Edits {
        creations: 4,
        ..Edits::NONE
    };
    for (order, drift, loses, doubles) in [
        (Order::RegisteredAsc, deletions, true, false),
        (Order::RegisteredAsc, creations, false, false),
        (Order::RegisteredAsc, updates, false, false),
        (Order::RegisteredDesc, creations, false, true),
        (Order::UpdatedAsc, updates, true, true),
        (Order::UpdatedDesc, updates, true, true),
        (Order::UserId, deletions, true, false),
        (Order::UserId, creations, false, true),
        (Order::Shuffled, deletions, true, false),
    ] {
        let (lost, doubled) = lost_and_doubled(order, drift).await;
        assert_eq!(
            (lost > 0, doubled > 0),
            (loses, doubles),
            "{order:?} {drift:?}"
        );
    }
}

#[tokio::test]
async fn edits_show_in_truth_and_repeat_from_the_seed() {
    let simulator = Simulator::start(small(300)).await.unwrap();
    let client = Client::of(&simulator);
    let before = truth(&simulator);
    let answer = client
        .control(
            Method::POST,
            "edit",
            r#"{"updates":5,"creations":3,"deletions":7}"#,
        )
        .await;
    let edited: crate::Edited = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(
        (
            edited.updated.len(),
            edited.created.len(),
            edited.deleted.len()
        ),
        (5, 3, 7)
    );
    let after = truth(&simulator);
    assert_eq!(after.len(), 296);
    assert_eq!(simulator.tenant().living(), 296);
    let find = |list: &[Value], wanted: &str| list.iter().find(|item| id(item) == wanted).cloned();
    for gone in &edited.deleted {
        assert!(find(&after, gone).is_none() && find(&before, gone).is_some());
    }
    for new in &edited.created {
        assert_eq!(
            find(&after, new).unwrap()["user"]["registered"],
            "2026-01-01T00:00:00Z"
        );
    }
    for changed in edited
        .updated
        .iter()
        .filter(|id| !edited.deleted.contains(id))
    {
        let points = |list: &[Value]| {
            find(list, changed).unwrap()["user"]["attributes"]["loyalty-points"].clone()
        };
        assert_ne!(points(&before), points(&after));
    }
    let since = client
        .json("/v3/user-export?rpp=100&since=2025-12-31T00:00:00Z")
        .await;
    let mut expected: Vec<String> = edited
        .updated
        .iter()
        .chain(&edited.created)
        .cloned()
        .collect();
    expected.retain(|id| !edited.deleted.contains(id));
    let mut expected = sorted(expected);
    expected.dedup();
    assert_eq!(sorted(ids(&items(Envelope::Nested, &since))), expected);

    let twin = Simulator::start(small(300)).await.unwrap();
    let edits = Edits {
        updates: 5,
        creations: 3,
        deletions: 7,
        ..Edits::NONE
    };
    assert_eq!(twin.tenant().edit(edits), edited);
    assert_eq!(twin.tenant().truth(), simulator.tenant().truth());
}

#[tokio::test]
async fn whoever_is_edited_moves_in_the_order_of_updates_however_many_at_once() {
    let simulator = Simulator::start(small(3_000)).await.unwrap();
    let client = Client::of(&simulator);
    let since = "/v3/user-export?rpp=3000&since=2025-12-31T00:00:00Z";
    let mut expected = Vec::new();
    for updates in [10, 1_500] {
        // Whoever asks has the order sorted before the edit.
        let fresh = ids(&items(Envelope::Nested, &client.json(since).await));
        assert_eq!(sorted(fresh), expected);
        let edited = simulator.tenant().edit(Edits {
            updates,
            ..Edits::NONE
        });
        assert_eq!(edited.updated.len(), updates as usize);
        expected.extend(edited.updated);
        expected.sort();
        expected.dedup();
    }
    let fresh = ids(&items(Envelope::Nested, &client.json(since).await));
    assert_eq!(sorted(fresh), expected);
}

#[tokio::test]
async fn addresses_keys_and_registrations_change_as_updates_of_their_person() {
    let simulator = Simulator::start(small(30)).await.unwrap();
    let (client, tenant) = (Client::of(&simulator), simulator.tenant());
    let user = |index: u32| {
        let wanted = tenant.user_id(index);
        let all = truth(&simulator);
        let found = all.into_iter().find(|item| id(item) == wanted);
        found.unwrap()["user"].clone()
    };
    let before: Vec<Value> = (0..30).map(user).collect();
    assert!(tenant.readdress(10) && tenant.rekey(11) && tenant.redate(12, None));
    let second = crate::FIRST_REGISTRATION + 60;
    assert!(tenant.redate(13, Some(second)));
    assert!(tenant.delete(14) && !tenant.readdress(14) && !tenant.redate(14, None));

    let email = |user: &Value| user["identifiers"]["email_address"].clone();
    assert_ne!(email(&user(10)), email(&before[10]));
    assert_ne!(user(11)["foreign_keys"], before[11]["foreign_keys"]);
    assert_eq!(user(12)["registered"], Value::Null);
    assert_eq!(user(13)["registered"], "2017-03-01T00:01:00Z");
    let since = client
        .json("/v3/user-export?rpp=100&since=2025-12-31T00:00:00Z")
        .await;
    let expected = sorted((10..14).map(|index| tenant.user_id(index)).collect());
    assert_eq!(sorted(ids(&items(Envelope::Nested, &since))), expected);
    // Filters go by the registration that shows.
    let early = client
        .json("/v3/user-export?rpp=100&registeredBefore=2017-03-01T00:01:00Z")
        .await;
    assert!(ids(&items(Envelope::Nested, &early)).contains(&tenant.user_id(13)));
    let dated = client
        .json("/v3/user-export?rpp=100&registeredSince=2000-01-01T00:00:00Z")
        .await;
    let dated = ids(&items(Envelope::Nested, &dated));
    assert_eq!(dated.len(), 28);
    assert!(!dated.contains(&tenant.user_id(12)));
    assert_eq!(tenant.everybody().len(), 29);
}

#[tokio::test]
async fn paths_can_be_lost_and_come_back() {
    let simulator = Simulator::start(small(10)).await.unwrap();
    let (client, tenant) = (Client::of(&simulator), simulator.tenant());
    tenant.lose_paths(&["/v3/products", "/v3/accounts/{}/users"]);
    let account = tenant.account_id(0);
    let members = format!("/v3/accounts/{account}/users");
    for (path, status) in [("/v3/products", 404), (&members, 404), ("/v3/bundles", 200)] {
        assert_eq!(client.get(path).await.status(), status, "{path}");
    }
    tenant.lose_paths(&[]);
    assert_eq!(client.get("/v3/products").await.status(), 200);
}

#[tokio::test]
async fn truth_is_streamed_whole() {
    let simulator = Simulator::start(small(2000)).await.unwrap();
    let client = Client::of(&simulator);
    let streamed = client
        .control(Method::GET, "truth", "")
        .await
        .bytes()
        .await
        .unwrap();
    assert!(streamed.len() > 1_000_000);
    assert_eq!(streamed, simulator.tenant().truth());
}

#[test]
fn an_emptied_tenant_takes_edits() {
    let shape = Shape {
        people: 8,
        ..Shape::default()
    };
    let tenant = crate::Tenant::new(&shape, Behaviour::plain(), still_clock());
    let edited = tenant.edit(Edits {
        updates: 0,
        creations: 0,
        deletions: 100,
        ..Edits::NONE
    });
    assert_eq!(edited.deleted.len(), 3, "planted people stay");
    assert!((0..5).all(|index| tenant.delete(index)));
    assert!(!tenant.delete(0));
    assert_eq!(
        tenant
            .edit(Edits {
                updates: 3,
                creations: 0,
                deletions: 3,
                ..Edits::NONE
            })
            .updated
            .len(),
        0
    );
    assert_eq!(tenant.living(), 0);
    assert_eq!(
        tenant
            .edit(Edits {
                creations: 2,
                ..Edits::NONE
            })
            .created
            .len(),
        2
    );
    assert_eq!(tenant.living(), 2);
}
