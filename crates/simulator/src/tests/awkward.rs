use super::*;
use crate::Business;

/// Lists of which any part may be unreadable to a strict parser, as raw text.
async fn raw(client: &Client, target: &str) -> String {
    let answer = client.get(target).await;
    assert_eq!(answer.status(), 200, "{target}");
    let text = answer.text().await.unwrap();
    let _: &serde_json::value::RawValue = serde_json::from_str(&text).unwrap();
    text
}

#[tokio::test]
async fn awkward_accounts_are_json_all_the_same() {
    let mut options = small(2_000);
    options.shape.awkward_percent = 60.0;
    options.shape.business = Business {
        accounts: Some(200),
        ..Business::default()
    };
    let simulator = Simulator::start(options).await.unwrap();
    let (client, tenant) = (Client::of(&simulator), simulator.tenant());
    let list = raw(&client, "/v3/accounts?rpp=1000&page=1").await;
    for mark in [
        "🏢",
        r#"\"tower\""#,
        r"\ud83e\udd8a",
        r"\u0000",
        r"\ud800",
        r#""account_id":"long-"#,
        r#""number_of_seats":"12""#,
        "340282366920938463463374607431768211457",
        "\"shard\":3",
        "{\"name\"",
    ] {
        assert!(list.contains(mark), "no account has {mark}");
    }
    let twice = tenant.accounts().into_iter().filter(|index| {
        let id = format!("\"{}\"", tenant.account_id(*index));
        list.matches(&id).count() == 2
    });
    assert!(twice.count() > 3);
    let truth = String::from_utf8(tenant.truth_of(List::Accounts)).unwrap();
    assert_eq!(truth.lines().count(), 200);
    assert!(truth.contains(r#""allow_oversubscription":"true""#));
    let mut read = 0;
    for index in tenant.accounts() {
        let path = format!("/v3/accounts/{}", tenant.account_id(index));
        raw(&client, &path).await;
        raw(&client, &format!("{path}/users")).await;
        read += tenant.members_of(index).len();
    }
    let members = rows(&simulator, List::AccountUsers).len();
    assert!(
        members < read && members > read * 8 / 10,
        "{members} of {read}"
    );
}

#[tokio::test]
async fn awkward_short_lists_are_json_all_the_same() {
    let mut options = small(500);
    options.shape.awkward_percent = 5.0;
    options.shape.business.segments = 9;
    let simulator = Simulator::start(options).await.unwrap();
    let client = Client::of(&simulator);
    let segments = raw(&client, "/v4/users/segments").await;
    for mark in [
        "🦊",
        r"\u0000",
        r"\ud800",
        "\"true\"",
        "1e400",
        "null",
        "empty key",
        "long-",
    ] {
        assert!(segments.contains(mark), "no segment has {mark}");
    }
    let tenant = simulator.tenant();
    let ids = tenant.record_ids(List::Segments);
    assert_eq!(ids.first(), ids.last());
    let truth = tenant.truth_of(List::Segments);
    assert_eq!(truth.iter().filter(|byte| **byte == b'\n').count(), 11);
    for path in [
        "/v3/companies",
        "/v3/products",
        "/v3/bundles",
        "/v3/entitlements",
        "/v3/meters",
        "/v3/credits",
        "/v3/webhooks",
        "/v3/rules/request",
    ] {
        assert!(raw(&client, path).await.contains("🦊"), "{path}");
    }
}
