use super::*;
use crate::{Fault, Faults, RetryAfter};

const TARGET: &str = "/v3/user-export?rpp=50&page=1";

async fn with(faults: Faults) -> (Simulator, Client) {
    let simulator = Simulator::start(Options {
        faults,
        ..small(50)
    })
    .await
    .unwrap();
    let client = Client::of(&simulator);
    (simulator, client)
}

#[tokio::test]
async fn throttling_says_when_to_come_back() {
    let faults = Faults {
        throttle: 100.0,
        retry_after_secs: 3,
        ..Faults::default()
    };
    let (simulator, client) = with(faults.clone()).await;
    let response = client.get(TARGET).await;
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "3");
    simulator.set_faults(Faults {
        retry_after: RetryAfter::Date,
        ..faults.clone()
    });
    let response = client.get(TARGET).await;
    let date = response.headers()["retry-after"]
        .to_str()
        .unwrap()
        .to_owned();
    let expected = UNIX_EPOCH + NOW + Duration::from_secs(3);
    assert_eq!(httpdate::parse_http_date(&date).unwrap(), expected);
    simulator.set_faults(Faults {
        retry_after: RetryAfter::None,
        ..faults
    });
    assert!(
        !client
            .get(TARGET)
            .await
            .headers()
            .contains_key("retry-after")
    );
    assert_eq!(simulator.stats().faults[&Fault::Throttle], 3);
}

#[tokio::test]
async fn gateways_fail_in_many_ways() {
    let (simulator, client) = with(Faults {
        server_error: 100.0,
        ..Faults::default()
    })
    .await;
    let mut seen = std::collections::HashSet::new();
    for _ in 0..60 {
        seen.insert(client.get(TARGET).await.status().as_u16());
    }
    assert!(seen.iter().all(|status| (500..530).contains(status)));
    assert!(seen.len() > 5, "{seen:?}");
    assert_eq!(simulator.stats().by_status.values().sum::<u64>(), 60);
}

#[tokio::test]
async fn pages_come_where_json_should() {
    let (simulator, client) = with(Faults {
        html: 100.0,
        ..Faults::default()
    })
    .await;
    let response = client.get(TARGET).await;
    assert_eq!(response.status(), 200);
    assert!(
        response
            .text()
            .await
            .unwrap()
            .starts_with("<!DOCTYPE html>")
    );
    simulator.set_faults(Faults {
        forbidden_html: 100.0,
        ..Faults::default()
    });
    let response = client.get(TARGET).await;
    assert_eq!(response.status(), 403);
    assert!(
        response.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
    assert!(response.text().await.unwrap().contains("restrict access"));
    simulator.set_faults(Faults {
        invalid_json: 100.0,
        ..Faults::default()
    });
    let response = client.get(TARGET).await;
    assert_eq!(response.status(), 200);
    let body = response.bytes().await.unwrap();
    assert!(body.len() > 10_000);
    assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_err());
    assert_eq!(simulator.stats().users_served, 0);
}

#[tokio::test]
async fn truncated_answers_begin_well_and_fail() {
    let (simulator, client) = with(Faults {
        truncate: 100.0,
        ..Faults::default()
    })
    .await;
    let mut announced = std::collections::HashSet::new();
    for _ in 0..12 {
        let mut response = client.get(TARGET).await;
        assert_eq!(response.status(), 200);
        announced.insert(response.content_length().is_some());
        let mut got = 0;
        let end = loop {
            match response.chunk().await {
                Ok(Some(chunk)) => got += chunk.len(),
                end => break end,
            }
        };
        assert!(end.is_err(), "the answer ended in good order");
        assert!(got > 5000, "{got} bytes");
    }
    assert_eq!(announced.len(), 2, "both forms of truncation");
    assert_eq!(simulator.stats().faults[&Fault::Truncate], 12);
}

#[tokio::test]
async fn a_reset_is_a_reset() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (simulator, client) = with(Faults {
        reset: 100.0,
        ..Faults::default()
    })
    .await;
    let signature = client.signature("GET", TARGET, b"", "raw");
    let mut socket = tokio::net::TcpStream::connect(simulator.address())
        .await
        .unwrap();
    let request = format!("GET {TARGET} HTTP/1.1\r\nHost: x\r\nAuthorization: {signature}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let error = socket.read(&mut [0; 16]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(client.send(Method::GET, TARGET, "").await.is_err());
    let stats = simulator.stats();
    assert_eq!(stats.exports[0].status, 0);
    assert!(stats.by_status.is_empty() && stats.faults[&Fault::Reset] >= 2);
}

#[tokio::test]
async fn faults_are_replaced_from_outside_and_spare_the_control_room() {
    let (simulator, client) = with(Faults {
        reset: 100.0,
        ..Faults::default()
    })
    .await;
    let response = client
        .control(Method::POST, "faults", r#"{"server_error":100}"#)
        .await;
    assert_eq!(response.status(), 200);
    assert!(client.get(TARGET).await.status().is_server_error());
    assert_eq!(
        client
            .control(Method::POST, "faults", r#"{"typo":1}"#)
            .await
            .status(),
        400
    );
    assert_eq!(
        client.control(Method::POST, "faults", "{}").await.status(),
        200
    );
    assert_eq!(client.get(TARGET).await.status(), 200);
    assert_eq!(simulator.faults(), Faults::default());
    let stats = client
        .control(Method::GET, "stats", "")
        .await
        .bytes()
        .await
        .unwrap();
    let stats: Value = serde_json::from_slice(&stats).unwrap();
    assert_eq!(stats["requests"], 2);
    assert_eq!(stats["faults"]["server_error"], 1);
    assert_eq!(stats["exports"][1]["rpp"], "50");
    assert_eq!(stats["users_served"], 50);
}

#[tokio::test]
async fn a_crowd_is_throttled() {
    let faults = Faults {
        latency_ms: 1000,
        retry_after_secs: 1,
        ..Faults::default()
    };
    let options = Options {
        faults,
        max_in_flight: Some(2),
        ..small(50)
    };
    let simulator = Simulator::start(options).await.unwrap();
    let client = Client::of(&simulator);
    let all = futures::future::join_all((0..8).map(|_| client.get(TARGET))).await;
    let throttled = all
        .iter()
        .filter(|response| response.status() == 429)
        .count();
    assert_eq!(throttled, 6);
    let stats = simulator.stats();
    assert!(stats.peak_in_flight >= 3);
    assert_eq!((stats.in_flight, stats.faults[&Fault::Crowded]), (0, 6));
}

#[tokio::test]
async fn stopping_gives_the_port_back() {
    let simulator = Simulator::start(small(10)).await.unwrap();
    let listen = simulator.address();
    let client = Client::of(&simulator);
    client.get(TARGET).await;
    let busy = Simulator::start(Options {
        listen,
        ..small(10)
    })
    .await;
    assert!(busy.is_err());
    simulator.stop().await;
    assert!(client.send(Method::GET, TARGET, "").await.is_err());
    let again = Simulator::start(Options {
        listen,
        ..small(10)
    })
    .await
    .unwrap();
    assert_eq!(client.get(TARGET).await.status(), 200);
    assert_eq!(again.stats().requests, 1);
}
