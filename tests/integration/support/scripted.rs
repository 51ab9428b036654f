//! A Zephr of a few users that answers byte for byte as a test writes it: with headers that no
//! server library would send.

use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Mirror, Program};

/// The server. Everything is closed when the test ends.
#[derive(Debug)]
pub struct Scripted {
    /// Its address.
    pub url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

/// What is sent instead of a proper answer: to the request of this number, from 1, for this target.
/// None means a proper one.
pub type Script = dyn Fn(usize, &str) -> Option<Vec<u8>> + Send + Sync;

/// A record of the export.
pub fn user(id: usize, registered: Value) -> Value {
    json!({ "user": {
        "user_id": format!("u{id}"),
        "identifiers": { "email_address": format!("u{id}@example.com") },
        "registered": registered,
        "attributes": {},
    }})
}

/// A few of them, as they should be.
pub fn users() -> Vec<Value> {
    let registered = |id| json!(format!("2024-05-0{id}T10:00:00Z"));
    (1..=5).map(|id| user(id, registered(id))).collect()
}

/// An answer that the caller has written up to its headers' end; each stands in a line of its own.
pub fn raw(head: &str, body: &str) -> Vec<u8> {
    let head = head.replace('\n', "\r\n");
    format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n{body}").into_bytes()
}

/// What a proper answer to a request for the export holds.
pub fn body_of(users: &[Value], target: &str) -> String {
    let first = target.contains("page=1") || !target.contains("page=");
    json!({ "results": if first { users } else { &[] } }).to_string()
}

/// `Date` as it is now, so many seconds later.
pub fn http_date(ahead: i64) -> String {
    let now = SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("after 1970")
        .as_secs()
        .saturating_add_signed(ahead);
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(now))
}

impl Scripted {
    /// One that has these users and follows the script.
    pub async fn start(users: Vec<Value>, script: Box<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (users, script) = (Arc::new(users), Arc::new(script));
        let noted = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (users, script) = (Arc::clone(&users), Arc::clone(&script));
                let noted = Arc::clone(&noted);
                tokio::spawn(async move {
                    let answer = |target: &str| {
                        let mut noted = noted.lock().expect("no panic");
                        noted.push(target.to_owned());
                        script(noted.len(), target).unwrap_or_else(|| proper(&users, target))
                    };
                    serve(stream, answer).await;
                });
            }
        });
        Self { url, asked }
    }

    /// The targets that were asked for, so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }

    /// The program, for this tenant and a mirror.
    pub fn program(&self, mirror: &Mirror) -> Program {
        Program::new()
            .with("ZEPHR_BASE_URL", &self.url)
            .with("ZEPHR_ACCESS_KEY", "key")
            .with("ZEPHR_SECRET_KEY", "secret")
            .with("DATABASE_URL", &mirror.url)
    }
}

fn proper(users: &[Value], target: &str) -> Vec<u8> {
    let body = body_of(users, target);
    let head = format!(
        "200 OK\ncontent-type: application/json\ncontent-length: {}\ndate: {}",
        body.len(),
        http_date(0)
    );
    raw(&head, &body)
}

/// Reads a request, which has no body, and answers it.
async fn serve(mut stream: TcpStream, answer: impl FnOnce(&str) -> Vec<u8>) {
    let mut request = Vec::new();
    let mut part = [0; 4_096];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut part).await {
            Ok(count) if count > 0 => request.extend_from_slice(&part[..count]),
            Ok(_) | Err(_) => return,
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let target = request.split(' ').nth(1).unwrap_or_default();
    let _ = stream.write_all(&answer(target)).await;
    let _ = stream.shutdown().await;
}
