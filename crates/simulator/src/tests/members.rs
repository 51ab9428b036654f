use std::collections::BTreeSet;

use super::*;
use crate::{Nothing, Spelling};

/// Members as account, person and type.
fn triples(rows: &[Value]) -> BTreeSet<(String, String, String)> {
    let triple = |row: &Value| {
        let part = |name| text(row, name).to_owned();
        (part("account_id"), part("user_id"), part("user_type"))
    };
    rows.iter().map(triple).collect()
}

#[tokio::test]
async fn members_are_the_same_from_both_sides() {
    let simulator = Simulator::start(small(3_000)).await.unwrap();
    let (client, tenant) = (Client::of(&simulator), simulator.tenant());
    let truth = rows(&simulator, List::AccountUsers);
    assert_eq!(
        triples(&truth),
        triples(&rows(&simulator, List::UserAccounts))
    );
    let mut seen = Vec::new();
    for index in tenant.accounts() {
        let path = format!("/v3/accounts/{}/users", tenant.account_id(index));
        let members = client.json(&path).await;
        let members = members.as_array().unwrap();
        let managers = members
            .iter()
            .filter(|member| member["user_type"] == "manager");
        assert!(managers.count() <= 1);
        seen.extend(members.iter().cloned());
    }
    assert_eq!(triples(&seen), triples(&truth));
    let user = text(&truth[0], "user_id");
    let accounts = client.json(&format!("/v3/users/{user}/accounts")).await;
    let accounts = unwrapped(Wrapping::Results, &accounts);
    assert!(triples(&accounts).is_subset(&triples(&truth)));
    let all = ids(&super::truth(&simulator));
    let alone = all
        .iter()
        .find(|id| truth.iter().all(|row| text(row, "user_id") != *id));
    let path = format!("/v3/users/{}/accounts", alone.unwrap());
    assert_eq!(client.get(&path).await.status(), 404);
}

#[tokio::test]
async fn members_come_in_every_form() {
    for wrapping in [Wrapping::Bare, Wrapping::Results, Wrapping::Data] {
        for (spelling, key) in [(Spelling::Snake, "user_id"), (Spelling::Camel, "userId")] {
            for nothing in [Nothing::NotFound, Nothing::EmptyList] {
                let mut options = small(100);
                options.behaviour.members_wrapping = wrapping;
                options.behaviour.members_spelling = spelling;
                options.behaviour.no_members = nothing;
                let simulator = Simulator::start(options).await.unwrap();
                let (client, tenant) = (Client::of(&simulator), simulator.tenant());
                let new = tenant.add_account();
                let path = format!("/v3/accounts/{}/users", tenant.account_id(new));
                let expected = if nothing == Nothing::NotFound {
                    404
                } else {
                    200
                };
                assert_eq!(client.get(&path).await.status(), expected);
                assert!(tenant.add_member(new, 6, true));
                let members = unwrapped(wrapping, &client.json(&path).await);
                assert_eq!(members[0][key], tenant.user_id(6).as_str());
            }
        }
    }
}

#[tokio::test]
async fn members_come_and_go() {
    let simulator = Simulator::start(small(3_000)).await.unwrap();
    let tenant = simulator.tenant();
    let full = tenant
        .accounts()
        .into_iter()
        .find(|index| tenant.members_of(*index).len() > 2);
    let account = full.unwrap();
    let before = tenant.members_of(account);
    assert!(tenant.delete(before[1]));
    assert!(tenant.remove_member(account, before[0]));
    assert!(tenant.add_member(account, 4, true) && tenant.add_member(account, 4, false));
    assert!(
        !tenant.add_member(account, before[1], false),
        "deleted people join nothing"
    );
    let mut expected = before[2..].to_vec();
    expected.retain(|person| *person != 4);
    expected.push(4);
    assert_eq!(tenant.members_of(account), expected);
    assert_eq!(
        triples(&rows(&simulator, List::AccountUsers)),
        triples(&rows(&simulator, List::UserAccounts))
    );
    simulator.tenant().hide_list(List::AccountUsers, true);
    let path = format!("/v3/accounts/{}/users", tenant.account_id(account));
    assert_eq!(
        Client::of(&simulator).json(&path).await,
        serde_json::json!([])
    );
}
