use super::*;

#[tokio::test]
async fn unsigned_and_wrongly_signed_requests_are_refused_with_a_reason() {
    let simulator = Simulator::start(small(10)).await.unwrap();
    let client = Client::of(&simulator);
    let unsigned = client
        .http
        .get(format!("{}/v3/users", client.base))
        .send()
        .await
        .unwrap();
    assert_eq!(unsigned.status(), 401);
    let body: Value = serde_json::from_slice(&unsigned.bytes().await.unwrap()).unwrap();
    assert!(body["error"].is_string());

    let signature = client.signature("GET", "/v3/users?rpp=1", b"", "once");
    for (target, status) in [
        ("/v3/users?rpp=2", 401),
        ("/v3/users?rpp=1", 200),
        ("/v3/users?rpp=1", 401),
    ] {
        let url = format!("{}{target}", client.base);
        let request = client.http.get(url).header("Authorization", &signature);
        assert_eq!(request.send().await.unwrap().status(), status, "{target}");
    }
    let stats = simulator.stats();
    assert_eq!((stats.unauthorised, stats.requests), (3, 4));
    assert_eq!(stats.refusals["the nonce was used before"], 1);
}

#[tokio::test]
async fn the_query_counts_as_it_was_sent() {
    let simulator = Simulator::start(small(10)).await.unwrap();
    let client = Client::of(&simulator);
    for target in [
        "/v3/user-export?since=2024-01-01T00:00:00Z&appIds=a,b",
        "/v3/user-export?since=2024-01-01T00%3A00%3A00Z",
        "/v3/users?",
    ] {
        assert_eq!(client.get(target).await.status(), 200, "{target}");
    }
}

#[tokio::test]
async fn a_skewed_clock_shows_in_the_date_and_refuses_honest_timestamps() {
    let mut options = small(10);
    options.clock_skew = -600;
    let simulator = Simulator::start(options).await.unwrap();
    let mut client = Client::of(&simulator);
    let response = client.get("/v3/users").await;
    assert_eq!(response.status(), 401);
    let date = response.headers()["date"].to_str().unwrap();
    client.now = httpdate::parse_http_date(date).unwrap();
    assert_eq!(client.now, UNIX_EPOCH + NOW - Duration::from_secs(600));
    assert_eq!(client.get("/v3/users").await.status(), 200);
}
