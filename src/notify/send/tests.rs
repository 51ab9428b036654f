//! A receiver on this machine that answers as it is told and keeps what it was sent.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use secrecy::SecretString;

use super::*;
use crate::notify::document::tests::{notice, run};
use crate::notify::event::Event;
use crate::notify::settings::Settings;

/// What arrived: the signature, and the body.
type Arrived = Arc<Mutex<Vec<(Option<String>, Bytes)>>>;

/// The answer in place of a status: none at all.
const SILENCE: u16 = 0;

/// Answers with these statuses in turn, the last one for ever; returns its address and what
/// arrives.
async fn receiver(statuses: &[u16]) -> (String, Arrived) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/T0/hidden", listener.local_addr().unwrap());
    let arrived = Arrived::default();
    let kept = arrived.clone();
    let statuses = Arc::new(Mutex::new(VecDeque::from(statuses.to_vec())));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (kept, statuses) = (kept.clone(), statuses.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let (kept, statuses) = (kept.clone(), statuses.clone());
                async move {
                    let signature = request.headers().get(signature::HEADER);
                    let signature = signature.map(|value| value.to_str().unwrap().to_owned());
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    kept.lock().unwrap().push((signature, body));
                    let status = {
                        let mut statuses = statuses.lock().unwrap();
                        if statuses.len() > 1 {
                            statuses.pop_front()
                        } else {
                            statuses.front().copied()
                        }
                    };
                    let status = status.unwrap();
                    if status == SILENCE {
                        std::future::pending::<()>().await;
                    }
                    let answer = Response::builder()
                        .status(status)
                        .header("location", "/elsewhere");
                    Ok::<_, Infallible>(answer.body(Empty::<Bytes>::new()).unwrap())
                }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    (url, arrived)
}

fn quick() -> Pace {
    Pace {
        first: Duration::from_millis(1),
        longest: Duration::from_millis(4),
        attempts: 5,
        attempt: Duration::from_millis(300),
        total: Duration::from_secs(5),
    }
}

fn to(url: &str, rest: &str) -> Receiver {
    let settings: Settings = toml::from_str(&format!("url = '{url}'\n{rest}")).unwrap();
    settings.receiver(&|_| None).unwrap()
}

fn clock() -> Clock {
    Clock::from_fn(|| UNIX_EPOCH + Duration::from_secs(1_700_000_000))
}

async fn deliver(receiver: &Receiver, pace: Pace) -> Delivery {
    let notice = notice(Event::RunFailed(Box::new(run())));
    Sender::new(clock(), pace)
        .unwrap()
        .deliver(receiver, &notice)
        .await
}

#[tokio::test]
async fn a_receiver_that_refuses_twice_gets_it_the_third_time_signed() {
    let (url, arrived) = receiver(&[503, 429, 204]).await;
    assert_eq!(
        deliver(&to(&url, "secret = 'whsec'"), quick()).await,
        Delivery::Done
    );
    let arrived = arrived.lock().unwrap();
    assert_eq!(arrived.len(), 3);
    let secret: SecretString = "whsec".into();
    for (signature, body) in arrived.iter() {
        assert_eq!(
            signature.as_deref(),
            Some(signature::sign(&secret, 1_700_000_000, body).as_str())
        );
        let document: serde_json::Value = serde_json::from_slice(body).unwrap();
        assert_eq!(document["event"], "failed");
    }
}

#[tokio::test]
async fn without_a_secret_nothing_is_signed_and_slack_gets_a_message() {
    let (url, arrived) = receiver(&[200]).await;
    assert_eq!(
        deliver(&to(&url, "format = 'slack'"), quick()).await,
        Delivery::Done
    );
    let arrived = arrived.lock().unwrap();
    let (signature, body) = &arrived[0];
    assert_eq!(signature, &None);
    let message: serde_json::Value = serde_json::from_slice(body).unwrap();
    assert_eq!(message["text"], "zephr: users failed");
}

#[tokio::test]
async fn what_came_back_decides_whether_it_is_sent_again() {
    for (status, attempts, delivery) in [
        (200, 1, Delivery::Done),
        (299, 1, Delivery::Done),
        (302, 1, Delivery::Refused(302)),
        (400, 1, Delivery::Refused(400)),
        (404, 1, Delivery::Refused(404)),
        (410, 1, Delivery::Refused(410)),
        (408, 5, Delivery::OutOfTime(Some(408))),
        (425, 5, Delivery::OutOfTime(Some(425))),
        (429, 5, Delivery::OutOfTime(Some(429))),
        (500, 5, Delivery::OutOfTime(Some(500))),
        (599, 5, Delivery::OutOfTime(Some(599))),
    ] {
        let (url, arrived) = receiver(&[status]).await;
        assert_eq!(deliver(&to(&url, ""), quick()).await, delivery, "{status}");
        assert_eq!(arrived.lock().unwrap().len(), attempts, "{status}");
    }
}

#[tokio::test]
async fn a_receiver_that_is_silent_or_gone_costs_no_more_than_its_time() {
    let (url, arrived) = receiver(&[SILENCE]).await;
    let pace = Pace {
        attempts: 100,
        total: Duration::from_millis(700),
        ..quick()
    };
    let begun = tokio::time::Instant::now();
    assert_eq!(
        deliver(&to(&url, ""), pace).await,
        Delivery::OutOfTime(None)
    );
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    assert!(arrived.lock().unwrap().len() >= 2);
    // Port 9 of this machine: nobody is there.
    assert_eq!(
        deliver(&to("http://127.0.0.1:9/hidden", ""), quick()).await,
        Delivery::OutOfTime(None)
    );
}

#[test]
fn nothing_secret_prints() {
    let receiver = to("https://hooks.example/T0/hidden", "secret = 'hidden'");
    let sender = Sender::new(clock(), quick()).unwrap();
    let request = sender.request(&receiver.address, receiver.secret.as_ref(), b"{}");
    assert!(request.build().is_ok());
    let printed = format!(
        "{receiver:?} {sender:?} {:?} {:?}",
        Attempt(Some(500)),
        Delivery::Refused(410)
    );
    assert!(!printed.contains("hidden"), "{printed}");
}
