use std::collections::HashSet;

use super::*;
use crate::{Lookup, PLANTED_EMAILS, PLANTED_PHONES};

#[tokio::test]
async fn planted_people_keep_their_addresses_whatever_else_is_strange() {
    let mut options = small(500);
    options.shape.awkward_percent = 100.0;
    options.shape.undated = 100;
    let simulator = Simulator::start(options).await.unwrap();
    let text = String::from_utf8(simulator.tenant().truth()).unwrap();
    for (line, (email, phone)) in text.lines().zip(PLANTED_EMAILS.iter().zip(PLANTED_PHONES)) {
        let item: Value = serde_json::from_str(line).unwrap();
        assert_eq!(item["user"]["identifiers"]["email_address"], **email);
        assert_eq!(item["user"]["attributes"]["telephone"], phone);
        assert!(item["user"]["registered"].is_string());
        assert_eq!(text.matches(email).count(), 1);
    }
}

#[tokio::test]
async fn a_user_is_found_by_id_until_deleted() {
    let simulator = Simulator::start(small(100)).await.unwrap();
    let client = Client::of(&simulator);
    let item = truth(&simulator)[42].clone();
    let path = format!("/v3/users/{}", id(&item));
    assert_eq!(client.json(&path).await, item["user"]);
    let response = client.send(Method::DELETE, &path, "").await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(client.get(&path).await.status(), 404);
    assert_eq!(
        client
            .send(Method::DELETE, &path, "")
            .await
            .unwrap()
            .status(),
        404
    );
    let stranger = format!("/v3/users/{}", uuid::Uuid::new_v4());
    assert_eq!(client.get(&stranger).await.status(), 404);
    assert_eq!(client.get("/v3/nothing").await.status(), 404);
    assert_eq!(
        client
            .send(Method::PUT, "/v3/users", "")
            .await
            .unwrap()
            .status(),
        405
    );
}

#[tokio::test]
async fn lookups_answer_in_both_shapes() {
    for lookup in [Lookup::Results, Lookup::Object] {
        let mut options = small(100);
        options.behaviour.lookup = lookup;
        let simulator = Simulator::start(options).await.unwrap();
        let client = Client::of(&simulator);
        let all = truth(&simulator);
        let named = all
            .iter()
            .find(|item| item["user"]["identifiers"]["username"].is_string());
        for item in [&all[3], &all[77], named.unwrap()] {
            let identifiers = &item["user"]["identifiers"];
            for name in ["email_address", "username"] {
                let Some(text) = identifiers[name].as_str() else {
                    continue;
                };
                let found = client
                    .json(&format!("/v3/users?identifiers.{name}={text}"))
                    .await;
                let user = match lookup {
                    Lookup::Results => &found["results"][0],
                    Lookup::Object => &found,
                };
                assert_eq!(user, &item["user"]);
            }
        }
        let miss = client
            .get("/v3/users?identifiers.email_address=nobody.77@mail.example")
            .await;
        assert_eq!(
            miss.status(),
            if lookup == Lookup::Object { 404 } else { 200 }
        );
    }
}

#[tokio::test]
async fn patched_attributes_are_merged_and_count_as_an_update() {
    let simulator = Simulator::start(small(100)).await.unwrap();
    let client = Client::of(&simulator);
    let before = truth(&simulator)[8].clone();
    let path = format!("/v3/users/{}/attributes", id(&before));
    let body = r#"{"city":"Zürich","new \"slug\"":[1,2],"newsletter":null}"#;
    assert_eq!(
        client
            .send(Method::PATCH, &path, body)
            .await
            .unwrap()
            .status(),
        200
    );
    let after = truth(&simulator)[8].clone();
    let attributes = &after["user"]["attributes"];
    assert_eq!(attributes["city"], "Zürich");
    assert_eq!(attributes["new \"slug\""][1], 2);
    assert_eq!(attributes["newsletter"], Value::Null);
    assert_eq!(
        attributes["first-name"],
        before["user"]["attributes"]["first-name"]
    );
    let since = client
        .json("/v3/user-export?since=2025-12-31T00:00:00Z")
        .await;
    assert_eq!(ids(&items(Envelope::Nested, &since)), [id(&before)]);
    assert_eq!(
        client
            .send(Method::PATCH, &path, "[1]")
            .await
            .unwrap()
            .status(),
        400
    );
}

#[tokio::test]
async fn accounts_and_schema_are_listed() {
    let simulator = Simulator::start(small(10_000)).await.unwrap();
    let client = Client::of(&simulator);
    let first = client.json("/v3/accounts?rpp=20&page=1").await;
    let second = client.json("/v3/accounts?rpp=20&page=2").await;
    assert_eq!(first["total"], 23);
    let all: HashSet<String> = [&first, &second]
        .iter()
        .flat_map(|page| page["results"].as_array().unwrap())
        .map(|account| account["account_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(all.len(), 23);
    let schema = client.json("/v3/schema/users").await;
    let slugs: HashSet<&str> = schema
        .as_array()
        .unwrap()
        .iter()
        .map(|field| field["slug"].as_str().unwrap())
        .collect();
    for item in truth(&simulator).iter().take(50) {
        for slug in item["user"]["attributes"].as_object().unwrap().keys() {
            assert!(slugs.contains(slug.as_str()), "{slug}");
        }
    }
}

#[tokio::test]
async fn awkward_people_are_json_all_the_same() {
    let mut options = small(3000);
    options.shape.awkward_percent = 60.0;
    let simulator = Simulator::start(options).await.unwrap();
    let client = Client::of(&simulator);
    let text = String::from_utf8(simulator.tenant().truth()).unwrap();
    for mark in [
        r"\u0000",
        r"\ud800",
        "🦊",
        r"\ud83e\udd8a",
        "1e400",
        "9007199254740993",
        "\"email_verified\":\"true\"",
        "\"attributes\":null",
        "\"attributes\":[]",
        "\"registered\":\"yesterday\"",
        "\"user_id\":null",
        "\"user_id\":\"\"",
        "\"user_id\":9",
        "\"user_id\":\"long-",
        "[[[[[[",
        r#""say \"hi\"":"#,
        "\"foreign_system\"",
        "\"foreign_keys\":null",
    ] {
        assert!(text.contains(mark), "nobody has {mark}");
    }
    let (mut undated, mut found, mut missing) = (0, 0, 0);
    for line in text.lines() {
        // Lone surrogates are no strings and 1e400 is no f64, but both are JSON.
        let item: &serde_json::value::RawValue = serde_json::from_str(line).unwrap();
        let Ok(item) = serde_json::from_str::<Value>(item.get()) else {
            continue;
        };
        let registered = item["user"]["registered"].as_str();
        undated += usize::from(registered.is_none_or(|at| at == "yesterday"));
        let id = match &item["user"]["user_id"] {
            Value::String(id) if !id.is_empty() => id.clone(),
            Value::Number(id) => id.to_string(),
            _ => {
                missing += 1;
                continue;
            }
        };
        if id.len() == 36 && found > 200 {
            continue;
        }
        found += 1;
        assert_eq!(
            client.get(&format!("/v3/users/{id}")).await.status(),
            200,
            "{id}"
        );
    }
    assert!(
        undated > 50 && missing > 50 && found > 200,
        "{undated} {missing} {found}"
    );
    let all = client.json("/v3/user-export?rpp=1&page=1").await["meta"]["count"].as_u64();
    let dated = "/v3/user-export?rpp=1&page=1&registeredSince=1970-01-01T00:00:00Z";
    let dated = client.json(dated).await["meta"]["count"].as_u64();
    assert_eq!(all.unwrap() - dated.unwrap(), undated as u64);
}
