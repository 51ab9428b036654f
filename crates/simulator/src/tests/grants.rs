use std::collections::HashSet;

use super::*;
use crate::{Grants, Nothing};

#[tokio::test]
async fn grants_of_accounts_and_people_are_their_truth_and_in_the_catalog() {
    let simulator = Simulator::start(small(2_000)).await.unwrap();
    let (client, tenant) = (Client::of(&simulator), simulator.tenant());
    let known = |list| -> HashSet<String> { tenant.record_ids(list).into_iter().collect() };
    let products = known(List::Products);
    let (mut indefinite, mut none) = (0, 0);
    for (list, owner) in [
        (List::AccountGrants, "account_id"),
        (List::UserGrants, "user_id"),
    ] {
        for grant in rows(&simulator, list) {
            let entitled = match text(&grant, "entitlement_type") {
                "bundle" => known(List::Bundles),
                "entitlement" => known(List::Entitlements),
                "meter" => known(List::Meters),
                "credits" => known(List::Credits),
                other => panic!("{other}"),
            };
            assert!(entitled.contains(text(&grant, "entitlement_id")));
            assert!(
                grant["product_id"]
                    .as_str()
                    .is_none_or(|id| products.contains(id))
            );
            assert!(text(&grant, "start_time").ends_with('Z') && grant[owner].is_string());
            indefinite += usize::from(grant["end_time"].is_null());
        }
    }
    assert!(indefinite > 50);
    let truth = rows(&simulator, List::AccountGrants);
    for index in tenant.accounts() {
        let id = tenant.account_id(index);
        let answer = client.get(&format!("/v3/accounts/{id}/grants")).await;
        let expected: Vec<&Value> = truth
            .iter()
            .filter(|row| row["account_id"] == *id)
            .collect();
        if expected.is_empty() {
            assert_eq!(answer.status(), 404);
            none += 1;
            continue;
        }
        let grants: Vec<Value> = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        assert_eq!(grants.len(), expected.len());
        for (grant, row) in grants.iter().zip(expected) {
            assert_eq!(grant["grantId"], row["grant_id"]);
            let start = text(grant, "startTime").replace(' ', "T") + "Z";
            assert_eq!(start, text(row, "start_time"));
            assert_eq!(grant.get("endTime").is_none(), row["end_time"].is_null());
        }
    }
    assert!(none < 7);
}

#[tokio::test]
async fn grants_are_given_and_taken() {
    for touches in [true, false] {
        let mut options = small(300);
        options.behaviour.grants_touch_users = touches;
        options.behaviour.grants = Grants::Snake;
        options.behaviour.no_account_grants = Nothing::EmptyList;
        options.behaviour.user_grants_wrapping = Wrapping::Bare;
        let simulator = Simulator::start(options).await.unwrap();
        let (client, tenant) = (Client::of(&simulator), simulator.tenant());
        let given = tenant.add_user_grant(8).unwrap();
        let path = format!("/v3/users/{}/grants", tenant.user_id(8));
        let grants = unwrapped(Wrapping::Bare, &client.json(&path).await);
        assert!(grants.iter().any(|grant| grant["grant_id"] == *given));
        let since = "/v3/user-export?grants=true&rpp=9&page=1&since=2025-12-31T00:00:00Z";
        let fresh = items(Envelope::Nested, &client.json(since).await);
        assert_eq!(fresh.len(), usize::from(touches));
        assert!(tenant.remove_user_grant(8, &given) && !tenant.remove_user_grant(8, &given));
        assert!(!tenant.user_grant_ids(8).contains(&given));

        let account = tenant.add_account();
        let path = format!("/v3/accounts/{}/grants", tenant.account_id(account));
        assert_eq!(client.json(&path).await, serde_json::json!([]));
        let given = tenant.add_account_grant(account).unwrap();
        assert_eq!(client.json(&path).await[0]["grant_id"], *given);
        assert!(tenant.remove_account_grant(account, &given));
        assert!(tenant.account_grant_ids(account).is_empty());
    }
}

#[tokio::test]
async fn hidden_grants_are_hidden_in_the_export_too() {
    let simulator = Simulator::start(small(50)).await.unwrap();
    let client = Client::of(&simulator);
    simulator.tenant().hide_list(List::UserGrants, true);
    let page = client
        .json("/v3/user-export?grants=true&rpp=50&page=1")
        .await;
    for item in items(Envelope::Nested, &page) {
        assert_eq!(item["grants"], serde_json::json!({"results": []}));
    }
}
