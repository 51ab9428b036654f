use super::*;
use crate::PROFILE_APPS;

#[tokio::test]
async fn webhooks_and_rules_are_listed_and_edited() {
    let simulator = Simulator::start(small(100)).await.unwrap();
    let (client, tenant) = (Client::of(&simulator), simulator.tenant());
    let hooks = client.json("/v3/webhooks").await;
    assert_eq!(
        hooks["results"].as_array().unwrap(),
        &rows(&simulator, List::Webhooks)
    );
    let id = text(&hooks["results"][0], "webhook_id");
    let change = r#"{"target":"https://elsewhere.example/"}"#;
    assert!(tenant.change_record(List::Webhooks, id, change).unwrap());
    let hooks = client.json("/v3/webhooks").await;
    assert_eq!(hooks["results"][0]["target"], "https://elsewhere.example/");
    let rules = client.json("/v3/rules/request").await;
    assert_eq!(
        rules.as_array().unwrap(),
        &rows(&simulator, List::RequestRules)
    );
    assert_eq!(rules[0]["created"], "2011-11-11T11:11:11.000");
}

#[tokio::test]
async fn sessions_and_profiles_are_there_for_some() {
    let simulator = Simulator::start(small(60)).await.unwrap();
    let client = Client::of(&simulator);
    let truth = rows(&simulator, List::UserSessions);
    let (mut with, mut profiled) = (0, 0);
    let apps = PROFILE_APPS.join(",");
    let target = format!("/v3/user-export?attributes=true&appIds={apps}&rpp=60&page=1");
    for item in items(Envelope::Nested, &client.json(&target).await) {
        let person = id(&item);
        let answer = client.get(&format!("/v3/users/{person}/sessions")).await;
        let expected: Vec<&Value> = truth
            .iter()
            .filter(|row| row["user_id"] == *person)
            .collect();
        assert_eq!(answer.status(), if expected.is_empty() { 404 } else { 200 });
        with += usize::from(!expected.is_empty());
        for app in PROFILE_APPS {
            let path = format!("/v3/users/{person}/profile/{app}");
            match item["profiles"].get(app) {
                Some(profile) => {
                    assert_eq!(&client.json(&path).await, profile);
                    profiled += 1;
                }
                None => assert_eq!(client.get(&path).await.status(), 404),
            }
        }
    }
    assert!(with > 5 && profiled > 10, "{with} {profiled}");
    let session = truth[0].clone();
    assert!(text(&session, "created").ends_with("M UTC") && session["last_updated"].is_u64());
    let restricted = format!(
        "/v3/users/{}/profile/_restricted_x",
        text(&session, "user_id")
    );
    assert_eq!(client.get(&restricted).await.status(), 400);
}

#[tokio::test]
async fn the_schema_can_be_replaced() {
    let simulator = Simulator::start(small(5)).await.unwrap();
    let client = Client::of(&simulator);
    assert_eq!(rows(&simulator, List::UserSchema).len(), 15);
    let schema = "[{\"slug\":\"one\",\n \"half\":\"\\ud800\"},{\"slug\":\"two\"}]";
    simulator.tenant().set_schema(schema).unwrap();
    let sent = client.get("/v3/schema/users").await.text().await.unwrap();
    assert_eq!(sent, schema);
    let lines = simulator.tenant().truth_of(List::UserSchema);
    assert_eq!(
        lines,
        b"{\"slug\":\"one\", \"half\":\"\\ud800\"}\n{\"slug\":\"two\"}\n"
    );
    let answer = client.control(Method::POST, "schema", "[]").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(client.json("/v3/schema/users").await, serde_json::json!([]));
    assert_eq!(
        client
            .control(Method::POST, "schema", "nonsense")
            .await
            .status(),
        400
    );
}

#[tokio::test]
async fn truth_of_a_list_is_read_over_http_and_routes_are_counted() {
    let simulator = Simulator::start(small(2_000)).await.unwrap();
    let client = Client::of(&simulator);
    for (name, list) in [
        ("account_users", List::AccountUsers),
        ("user_grants", List::UserGrants),
        ("user_events", List::UserEvents),
        ("request_rules", List::RequestRules),
    ] {
        let streamed = client
            .control(Method::GET, &format!("truth/{name}"), "")
            .await;
        let expected = simulator.tenant().truth_of(list);
        assert!(!expected.is_empty());
        assert_eq!(streamed.bytes().await.unwrap(), expected, "{name}");
    }
    let unknown = client.control(Method::GET, "truth/nothing", "").await;
    assert_eq!(unknown.status(), 404);
    client.get("/v3/webhooks").await;
    let stats = client.control(Method::GET, "stats", "").await;
    let stats: Value = serde_json::from_slice(&stats.bytes().await.unwrap()).unwrap();
    assert_eq!(
        stats["by_route"],
        serde_json::json!({"GET /v3/webhooks": 1})
    );
}
