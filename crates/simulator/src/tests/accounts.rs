use std::collections::HashSet;

use super::*;
use crate::AccountsOrder;

/// Reads every page of accounts.
async fn read_all(client: &Client, rpp: usize) -> Vec<Value> {
    let mut all = Vec::new();
    for page in 1.. {
        let answer = client
            .json(&format!("/v3/accounts?rpp={rpp}&page={page}"))
            .await;
        let items = answer["results"].as_array().unwrap();
        if items.is_empty() {
            assert_eq!(answer["total"], all.len());
            break;
        }
        all.extend(items.iter().cloned());
    }
    all
}

#[tokio::test]
async fn list_and_detail_together_are_the_truth() {
    for dates in [false, true] {
        let mut options = small(20_000);
        options.behaviour.account_dates = dates;
        let simulator = Simulator::start(options).await.unwrap();
        let client = Client::of(&simulator);
        let truth = rows(&simulator, List::Accounts);
        let listed = read_all(&client, 20).await;
        assert_eq!((listed.len(), truth.len()), (43, 43));
        for (item, row) in listed.iter().zip(&truth) {
            assert_eq!(item.get("created_date").is_some(), dates);
            let path = format!("/v3/accounts/{}", text(item, "account_id"));
            let detail = client.json(&path).await;
            assert!(detail.get("account_id").is_none());
            let mut merged = item.as_object().unwrap().clone();
            merged.extend(detail.as_object().unwrap().clone());
            assert_eq!(&Value::Object(merged), row);
        }
        assert_eq!(simulator.stats().of_route("GET /v3/accounts/{}"), 43);
        assert_eq!(simulator.stats().of_route("GET /v3/accounts"), 4);
    }
}

#[tokio::test]
async fn without_parameters_it_is_the_tenth_page_of_ten() {
    let simulator = Simulator::start(small(50_000)).await.unwrap();
    let client = Client::of(&simulator);
    let forgotten = client.json("/v3/accounts").await;
    assert_eq!(forgotten, client.json("/v3/accounts?rpp=10&page=10").await);
    assert_eq!(forgotten["results"].as_array().unwrap().len(), 10);
    let name = text(&forgotten["results"][3], "name").to_owned();
    let word = name.split(' ').next().unwrap().to_lowercase();
    let found = client
        .json(&format!("/v3/accounts?page=1&rpp=200&search={word}"))
        .await;
    let found = found["results"].as_array().unwrap();
    assert!(found.iter().any(|item| item["name"] == name.as_str()));
    assert!(
        found
            .iter()
            .all(|item| text(item, "name").to_lowercase().contains(&word))
    );
    let stranger = "/v3/accounts/00000000-0000-4000-8000-000000000000";
    assert_eq!(client.get(stranger).await.status(), 404);
}

#[tokio::test]
async fn edits_show_at_once_and_recent_ones_come_first_where_told() {
    for order in [AccountsOrder::Stable, AccountsOrder::RecentlyModified] {
        let mut options = small(10_000);
        options.behaviour.accounts_order = order;
        let simulator = Simulator::start(options).await.unwrap();
        let (client, tenant) = (Client::of(&simulator), simulator.tenant());
        assert!(tenant.rename_account(7, "Renamed \"Ltd\""));
        assert!(tenant.set_account_seats(7, 4321));
        let added = tenant.add_account();
        assert!(tenant.delete_account(3) && !tenant.delete_account(3));
        assert_eq!(tenant.accounts().len(), 23);
        let all = read_all(&client, 5).await;
        let ids: Vec<&str> = all.iter().map(|item| text(item, "account_id")).collect();
        let place = |index| ids.iter().position(|id| **id == *tenant.account_id(index));
        assert_eq!(place(3), None);
        let renamed = &all[place(7).unwrap()];
        assert_eq!(renamed["name"], "Renamed \"Ltd\"");
        assert_eq!(renamed["number_of_seats"], 4321);
        match order {
            AccountsOrder::Stable => assert_eq!(place(added), Some(22)),
            AccountsOrder::RecentlyModified => {
                assert_eq!((place(added), place(7)), (Some(0), Some(1)));
            }
        }
        assert_eq!(
            tenant
                .account_index(ids[0])
                .map(|index| tenant.account_id(index))
                .as_deref(),
            Some(ids[0])
        );
        let gone = format!("/v3/accounts/{}", tenant.account_id(3));
        assert_eq!(client.get(&gone).await.status(), 404);
        let new = client
            .json(&format!("/v3/accounts/{}", tenant.account_id(added)))
            .await;
        assert!(new["company_id"].is_string());
    }
}

#[tokio::test]
async fn drift_of_accounts_moves_pages_and_leaves_people_alone() {
    let mut options = small(20_000);
    options.behaviour.accounts_order = AccountsOrder::RecentlyModified;
    options.drift = Edits {
        updates: 5,
        account_changes: 2,
        ..Edits::NONE
    };
    let simulator = Simulator::start(options).await.unwrap();
    let people = simulator.tenant().truth();
    let all = read_all(&Client::of(&simulator), 5).await;
    let distinct: HashSet<&str> = all.iter().map(|item| text(item, "account_id")).collect();
    assert!(distinct.len() < all.len(), "nobody was seen twice");
    assert_eq!(simulator.tenant().truth(), people);
}

#[tokio::test]
async fn random_edits_of_accounts_repeat_from_the_seed() {
    let edits = Edits {
        account_changes: 3,
        account_deletions: 2,
        member_changes: 10,
        segment_moves: 10,
        ..Edits::NONE
    };
    let one = Simulator::start(small(10_000)).await.unwrap();
    let two = Simulator::start(small(10_000)).await.unwrap();
    let before = rows(&one, List::AccountUsers);
    let edited = one.tenant().edit(edits);
    assert_eq!(edited, two.tenant().edit(edits));
    assert_eq!(
        (edited.accounts_changed.len(), edited.accounts_deleted.len()),
        (3, 2)
    );
    assert_eq!(
        (edited.members_changed.len(), edited.segments_moved.len()),
        (10, 10)
    );
    for list in [List::Accounts, List::AccountUsers, List::UserSegments] {
        assert_eq!(one.tenant().truth_of(list), two.tenant().truth_of(list));
    }
    assert_ne!(rows(&one, List::AccountUsers), before);
    let body = r#"{"account_changes":1}"#;
    let client = Client::of(&one);
    let answer = client.control(Method::POST, "edit", body).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn hidden_lists_answer_as_if_empty() {
    let simulator = Simulator::start(small(10_000)).await.unwrap();
    let client = Client::of(&simulator);
    simulator.tenant().hide_list(List::Accounts, true);
    let page = client.json("/v3/accounts?rpp=5&page=1").await;
    assert_eq!(page, serde_json::json!({"results": [], "total": 0}));
    assert_eq!(rows(&simulator, List::Accounts).len(), 23);
    client
        .control(Method::POST, "hide", r#"["segments","products"]"#)
        .await;
    assert_eq!(client.json("/v3/accounts?rpp=5&page=1").await["total"], 23);
    assert_eq!(client.get("/v4/users/segments").await.status(), 404);
    assert_eq!(
        client.json("/v3/products").await["results"],
        serde_json::json!([[]])
    );
    simulator.tenant().hide_list(List::Segments, false);
    assert_eq!(client.get("/v4/users/segments").await.status(), 200);
}
