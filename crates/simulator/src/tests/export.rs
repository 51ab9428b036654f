use super::*;
use crate::{Boundary, Count, ForeignKeys, Grants, Links, Order};

const ORDERS: [Order; 6] = [
    Order::RegisteredAsc,
    Order::RegisteredDesc,
    Order::UpdatedAsc,
    Order::UpdatedDesc,
    Order::UserId,
    Order::Shuffled,
];
const ENVELOPES: [Envelope; 3] = [Envelope::Nested, Envelope::Flat, Envelope::Bare];
const BOUNDARIES: [Boundary; 2] = [Boundary::Inclusive, Boundary::Exclusive];

fn registered(item: &Value) -> Option<&str> {
    item["user"]["registered"].as_str()
}

/// The generator shows the last update as the last login.
fn updated(item: &Value) -> &str {
    item["user"]["last_login"].as_str().unwrap()
}

/// Instants of one form compare as text.
fn inside(item: &Value, boundary: Boundary, window: [Option<&str>; 3]) -> bool {
    let [since, from, to] = window;
    let after = |at: &str, bound: &str| match boundary {
        Boundary::Inclusive => at >= bound,
        Boundary::Exclusive => at > bound,
    };
    since.is_none_or(|since| after(updated(item), since))
        && (from.is_none() && to.is_none()
            || registered(item).is_some_and(|at| {
                from.is_none_or(|from| after(at, from)) && to.is_none_or(|to| after(to, at))
            }))
}

fn check_order(order: Order, items: &[Value]) {
    let times = |of: fn(&Value) -> String| items.iter().map(of).collect::<Vec<_>>();
    let by_registered = |item: &Value| registered(item).unwrap_or("undated").to_owned();
    let by_updated = |item: &Value| updated(item).to_owned();
    match order {
        Order::RegisteredAsc => assert!(times(by_registered).is_sorted()),
        Order::RegisteredDesc => assert!(times(by_registered).iter().rev().is_sorted()),
        Order::UpdatedAsc => assert!(times(by_updated).is_sorted()),
        Order::UpdatedDesc => assert!(times(by_updated).iter().rev().is_sorted()),
        Order::UserId => assert!(times(id).is_sorted()),
        Order::Shuffled if items.len() > 40 => {
            assert!(!times(by_registered).is_sorted() && !times(id).is_sorted());
        }
        Order::Shuffled => {}
    }
}

#[tokio::test]
async fn windows_hold_exactly_their_people_in_every_order_and_envelope() {
    for order in ORDERS {
        for envelope in ENVELOPES {
            for boundary in BOUNDARIES {
                let behaviour = Behaviour {
                    order,
                    envelope,
                    boundary,
                    ..Behaviour::plain()
                };
                let mut options = small(160);
                options.shape.same_second = 30;
                options.shape.undated = 9;
                options.behaviour = behaviour.clone();
                let simulator = Simulator::start(options).await.unwrap();
                // The lists must also be right after edits, with people created now.
                read_by_page(&Client::of(&simulator), &behaviour, "", 1000).await;
                let edits = Edits {
                    updates: 20,
                    creations: 10,
                    deletions: 20,
                    ..Edits::NONE
                };
                simulator.tenant().edit(edits);
                check_windows(&simulator, &behaviour).await;
                simulator.stop().await;
            }
        }
    }
}

async fn check_windows(simulator: &Simulator, behaviour: &Behaviour) {
    let client = Client::of(simulator);
    let truth = truth(simulator);
    assert_eq!(truth.len(), 150);
    // Bounds that are somebody's very second, so that inclusive and exclusive differ.
    let mut dates: Vec<&str> = truth.iter().filter_map(registered).collect();
    dates.sort_unstable();
    let (early, late, crowd) = (dates[30], dates[110], dates[70]);
    let mut updates: Vec<&str> = truth.iter().map(updated).collect();
    updates.sort_unstable();
    let (recent, old) = (updates[120], updates[10]);
    for window in [
        [None, None, None],
        [None, Some(early), None],
        [None, None, Some(late)],
        [None, Some(early), Some(late)],
        [None, Some(crowd), Some(crowd)],
        [None, Some(late), Some(early)],
        [Some(recent), None, None],
        [Some(old), Some(early), Some(late)],
        [Some(recent), Some(early), None],
    ] {
        let mut query = String::new();
        for (name, bound) in ["since", "registeredSince", "registeredBefore"]
            .iter()
            .zip(window)
        {
            if let Some(bound) = bound {
                query.push_str(&format!("&{name}={bound}"));
            }
        }
        let got = read_by_page(&client, behaviour, &query, 37).await;
        let expected: Vec<Value> = truth
            .iter()
            .filter(|item| inside(item, behaviour.boundary, window))
            .cloned()
            .collect();
        let context = format!("{behaviour:?} {window:?}");
        assert_eq!(sorted(ids(&got)), sorted(ids(&expected)), "{context}");
        check_order(behaviour.order, &got);
    }
}

#[tokio::test]
async fn an_item_is_its_truth_and_a_sequence_number() {
    let simulator = Simulator::start(small(50)).await.unwrap();
    let client = Client::of(&simulator);
    let mut got = read_by_page(&client, &Behaviour::plain(), "", 20).await;
    let numbers: Vec<u64> = got
        .iter_mut()
        .map(|item| item["seq-no"].take().as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (1..=50).collect::<Vec<u64>>());
    for item in &mut got {
        item.as_object_mut().unwrap().remove("seq-no");
    }
    assert_eq!(got, truth(&simulator));
    let bytes = simulator.tenant().truth().len() / 50;
    assert!((650..950).contains(&bytes), "{bytes} bytes an item");
}

#[tokio::test]
async fn attributes_and_grants_come_when_asked_for() {
    for (grants, wrapped, key) in [
        (Grants::Camel, true, "grantId"),
        (Grants::Snake, true, "grant_id"),
        (Grants::Bare, false, "grantId"),
    ] {
        let mut options = small(30);
        options.behaviour.grants = grants;
        let simulator = Simulator::start(options).await.unwrap();
        let client = Client::of(&simulator);
        let plain = items(
            Envelope::Nested,
            &client.json("/v3/user-export?rpp=30&page=1").await,
        );
        assert!(
            plain
                .iter()
                .all(|item| item["user"].get("attributes").is_none())
        );
        assert!(plain.iter().all(|item| item.get("grants").is_none()));
        let answer = client
            .json("/v3/user-export?attributes=true&grants=true&rpp=30")
            .await;
        let full = items(Envelope::Nested, &answer);
        assert!(
            full.iter()
                .all(|item| item["user"]["attributes"]["first-name"].is_string())
        );
        let lists: Vec<&Value> = full
            .iter()
            .map(|item| {
                if wrapped {
                    &item["grants"]["results"]
                } else {
                    &item["grants"]
                }
            })
            .collect();
        assert!(lists.iter().all(|list| list.is_array()));
        assert!(
            lists.iter().any(|list| list[0][key].is_string()),
            "{grants:?}"
        );
    }
}

#[tokio::test]
async fn counts_and_links_say_what_they_were_told_to() {
    for count in [Count::Total, Count::Page, Count::Absent] {
        for links in [Links::Full, Links::NextOnly, Links::Absent] {
            let mut options = small(25);
            options.behaviour = Behaviour {
                count,
                links,
                ..Behaviour::plain()
            };
            let simulator = Simulator::start(options).await.unwrap();
            let client = Client::of(&simulator);
            let last = client.json("/v3/user-export?rpp=10&page=3").await;
            let expected = match count {
                Count::Total => Some(25),
                Count::Page => Some(5),
                Count::Absent => None,
            };
            assert_eq!(last["meta"]["count"].as_u64(), expected);
            assert_eq!(last["meta"]["rpp"], 10);
            let first = client.json("/v3/user-export?rpp=10&page=1").await;
            let next = first["links"]["next"]["page"].as_u64();
            assert_eq!(next, (links != Links::Absent).then_some(2));
            assert_eq!(last["links"]["next"]["page"].as_u64(), None);
            let previous = last["links"]["previous"]["page"].as_u64();
            assert_eq!(previous, (links == Links::Full).then_some(2));
            assert_eq!(first.get("links").is_none(), links == Links::Absent);
        }
    }
}

#[tokio::test]
async fn pages_are_clamped_and_bare_answers_without_paging_are_whole() {
    let mut options = small(60);
    options.behaviour.rpp_clamp = Some(20);
    let simulator = Simulator::start(options).await.unwrap();
    let answer = Client::of(&simulator)
        .json("/v3/user-export?rpp=500&page=2")
        .await;
    assert_eq!(answer["meta"]["rpp"], 20);
    assert_eq!(answer["results"][0][0]["seq-no"], 21);
    assert_eq!(items(Envelope::Nested, &answer).len(), 20);

    let mut options = small(700);
    options.behaviour.envelope = Envelope::Bare;
    let simulator = Simulator::start(options).await.unwrap();
    let client = Client::of(&simulator);
    let whole = client.json("/v3/user-export?attributes=true").await;
    assert_eq!(whole.as_array().unwrap().len(), 700);
    let page = client.json("/v3/user-export?page=2").await;
    assert_eq!(page.as_array().unwrap().len(), 200);
}

#[tokio::test]
async fn filters_can_be_ignored_and_bad_parameters_are_refused() {
    let mut options = small(40);
    options.behaviour.ignore_filters = true;
    let simulator = Simulator::start(options).await.unwrap();
    let client = Client::of(&simulator);
    let answer = client
        .json("/v3/user-export?rpp=100&registeredBefore=2010-01-01T00:00:00Z")
        .await;
    assert_eq!(items(Envelope::Nested, &answer).len(), 40);
    for bad in ["rpp=0", "page=0", "rpp=many", "since=yesterday"] {
        let response = client.get(&format!("/v3/user-export?{bad}")).await;
        assert_eq!(response.status(), 400, "{bad}");
    }
}

#[tokio::test]
async fn pages_can_be_ignored() {
    let mut options = small(40);
    options.behaviour.ignore_pages = true;
    options.behaviour.rpp_clamp = Some(10);
    let simulator = Simulator::start(options).await.unwrap();
    let client = Client::of(&simulator);
    for page in [1, 2, 9] {
        let answer = client
            .json(&format!("/v3/user-export?rpp=5&page={page}"))
            .await;
        assert_eq!(items(Envelope::Nested, &answer).len(), 40);
    }
}

#[tokio::test]
async fn duplicates_fill_rows_on_one_page_and_across_pages() {
    let mut options = small(3000);
    options.shape.duplicates = true;
    options.behaviour.order = Order::Shuffled;
    let simulator = Simulator::start(options).await.unwrap();
    let client = Client::of(&simulator);
    let got = read_by_page(&client, simulator.tenant().behaviour(), "", 500).await;
    let mut distinct = sorted(ids(&got));
    distinct.dedup();
    assert_eq!(distinct, sorted(ids(&truth(&simulator))));
    assert!(got.len() > 3010, "{} rows", got.len());
    let place = |wanted: &str| got.iter().position(|item| id(item) == wanted);
    let far = got
        .iter()
        .enumerate()
        .any(|(at, item)| place(&id(item)).unwrap() / 500 < at / 500);
    assert!(far, "nobody is on two pages");
}

#[tokio::test]
async fn foreign_keys_take_their_form_and_some_people_hold_several_of_a_system() {
    for form in [
        ForeignKeys::Map,
        ForeignKeys::SystemKey,
        ForeignKeys::ForeignSystemKey,
    ] {
        let mut options = small(200);
        options.behaviour.foreign_keys = form;
        let simulator = Simulator::start(options).await.unwrap();
        let all: Vec<Value> = truth(&simulator)
            .iter()
            .map(|item| item["user"]["foreign_keys"].clone())
            .collect();
        let several = match form {
            ForeignKeys::Map => all.iter().any(|keys| keys["billing"].is_array()),
            ForeignKeys::SystemKey => all
                .iter()
                .any(|keys| keys[2]["system"] == "billing" && keys[2]["key"].is_string()),
            ForeignKeys::ForeignSystemKey => all.iter().any(|keys| {
                keys[2]["foreign_system"] == "billing" && keys[2]["foreign_key"].is_string()
            }),
        };
        assert!(several, "{form:?}");
        assert!(
            all.iter()
                .all(|keys| keys.is_object() == (form == ForeignKeys::Map))
        );
    }
}
