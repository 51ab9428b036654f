//! The simulator over real HTTP: that it is the tenant the contract describes, and goes wrong only
//! as told.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "tests pick one form out of all"
)]

mod access;
mod accounts;
mod awkward;
mod catalog;
mod edits;
mod events;
mod export;
mod faults;
mod grants;
mod lists;
mod members;
mod people;
mod segments;
mod speed;
mod user_updates;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::{Method, Response};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    Behaviour, Clock, Edits, Envelope, List, MADE_UP_ACCESS_KEY, MADE_UP_SECRET_KEY, Options,
    Shape, Simulator, Wrapping,
};

/// 2026-01-01T00:00:00Z: after every registration the generator makes.
const NOW: Duration = Duration::from_secs(1_767_225_600);

fn still_clock() -> Clock {
    Arc::new(|| UNIX_EPOCH + NOW)
}

fn small(people: u32) -> Options {
    Options {
        shape: Shape {
            people,
            seed: 11,
            ..Shape::default()
        },
        clock: still_clock(),
        ..Options::default()
    }
}

struct Client {
    http: reqwest::Client,
    base: String,
    now: SystemTime,
}

impl Client {
    fn of(simulator: &Simulator) -> Self {
        // Another test may have been first; one provider is as good as another.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            http,
            base: simulator.base_url(),
            now: UNIX_EPOCH + NOW,
        }
    }

    fn signature(&self, method: &str, target: &str, body: &[u8], nonce: &str) -> String {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let time = self
            .now
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_millis()
            .to_string();
        let mut hash = Sha256::new();
        hash.update(MADE_UP_SECRET_KEY);
        hash.update(body);
        hash.update(format!("{path}{query}{method}{time}{nonce}"));
        let hash = hex::encode(hash.finalize());
        format!("ZEPHR-HMAC-SHA256 {MADE_UP_ACCESS_KEY}:{time}:{nonce}:{hash}")
    }

    async fn send(&self, method: Method, target: &str, body: &str) -> reqwest::Result<Response> {
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        let signature = self.signature(method.as_str(), target, body.as_bytes(), &nonce);
        self.http
            .request(method, format!("{}{target}", self.base))
            .header("Authorization", signature)
            .header("Content-Type", "application/json")
            .body(body.to_owned())
            .send()
            .await
    }

    async fn get(&self, target: &str) -> Response {
        self.send(Method::GET, target, "").await.unwrap()
    }

    async fn json(&self, target: &str) -> Value {
        let response = self.get(target).await;
        assert_eq!(response.status(), 200, "{target}");
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }

    async fn control(&self, method: Method, path: &str, body: &str) -> Response {
        let request = self
            .http
            .request(method, format!("{}/_simulator/{path}", self.base));
        request.body(body.to_owned()).send().await.unwrap()
    }
}

/// The items of an export answer, which must have the envelope it was told to have.
fn items(envelope: Envelope, answer: &Value) -> Vec<Value> {
    let list = match envelope {
        Envelope::Nested => {
            assert_eq!(answer["results"].as_array().unwrap().len(), 1);
            &answer["results"][0]
        }
        Envelope::Flat => &answer["results"],
        Envelope::Bare => answer,
    };
    list.as_array().unwrap().clone()
}

/// Reads by page number until a page is empty.
async fn read_by_page(
    client: &Client,
    behaviour: &Behaviour,
    query: &str,
    rpp: usize,
) -> Vec<Value> {
    let mut all = Vec::new();
    for page in 1.. {
        let target = format!("/v3/user-export?attributes=true&rpp={rpp}&page={page}{query}");
        let answer = client.json(&target).await;
        let page = items(behaviour.envelope, &answer);
        if page.is_empty() {
            break;
        }
        all.extend(page);
    }
    all
}

fn truth(simulator: &Simulator) -> Vec<Value> {
    let lines = simulator.tenant().truth();
    lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

/// The rows a perfect copy of a list would hold.
fn rows(simulator: &Simulator, list: List) -> Vec<Value> {
    let lines = simulator.tenant().truth_of(list);
    lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

/// The text under a name.
fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name} in {row}"))
}

/// The items of an unpaged list, whatever it is wrapped in.
fn unwrapped(wrapping: Wrapping, answer: &Value) -> Vec<Value> {
    let list = match wrapping {
        Wrapping::Bare => answer,
        Wrapping::Results => &answer["results"],
        Wrapping::Data => &answer["data"],
    };
    list.as_array().unwrap().clone()
}

fn id(item: &Value) -> String {
    item["user"]["user_id"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn ids(items: &[Value]) -> Vec<String> {
    items.iter().map(id).collect()
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}
