//! A daemon with its page, and somebody who asks it. The requests are written by hand: what a
//! client would put right before sending it is what has to be tried.

use std::cell::RefCell;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::running::Running;
use super::{Ended, Program};

/// What is waited for comes within this time, also on a slow machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Where the page is, as the log says it.
const THERE: &str = "the page is there";

/// The header of requests that change something.
pub const OURS: (&str, &str) = ("X-Zephr-Sync", "1");

/// A daemon that runs.
#[derive(Debug)]
pub struct Daemon {
    running: Running,
    /// Host and port of its page.
    pub address: String,
}

/// What a request was answered with.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// As they came, a line each.
    pub head: String,
    pub body: String,
}

impl Daemon {
    /// Starts one on a free port.
    pub async fn start(program: &Program) -> Self {
        let mut running = program.start(&["daemon", "--listen", "127.0.0.1:0"]);
        let address = RefCell::new(None);
        let found = running.until(|line| {
            let after = line.split_once("http://").filter(|_| line.contains(THERE));
            let found = after.and_then(|(_, rest)| Some(rest.split_once('/')?.0.to_owned()));
            address.replace(found).is_some() || address.borrow().is_some()
        });
        assert!(found.await, "the daemon ended");
        Self {
            running,
            address: address.into_inner().expect("an address"),
        }
    }

    /// Sends a request as it stands, and waits for the whole answer.
    pub async fn say(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(&self.address)
            .await
            .expect("a connection");
        // One that is refused is not read to its end.
        let _ = stream.write_all(request).await;
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        let text = String::from_utf8(bytes).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text.as_str(), ""));
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Answer {
            status: status.unwrap_or_else(|| panic!("no answer: {text:?}")),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    /// Asks with these headers. HTTP/1.0, so that the answer ends with the connection.
    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = format!(
            "{method} {path} HTTP/1.0\r\nContent-Length: {}\r\n",
            body.len()
        );
        if !headers.iter().any(|(name, _)| *name == "Host") {
            request.push_str(&format!("Host: {}\r\n", self.address));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        request.push_str(body);
        self.say(request.as_bytes()).await
    }

    /// Asks for a path.
    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").await
    }

    /// Sends what the page would send.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        let headers = [OURS, ("Content-Type", "application/json")];
        self.ask("POST", path, &headers, &body.to_string()).await
    }

    /// Uploads a file and waits until it was looked at; the document.
    pub async fn upload(&self, query: &str, content: &str) -> Value {
        let path = format!("/api/tenants/zephr/bulk/uploads?{query}");
        let sent = self
            .ask(
                "POST",
                &path,
                &[OURS, ("Content-Type", "text/csv")],
                content,
            )
            .await;
        let id = sent.expect(202).json()["upload_id"]
            .as_str()
            .expect("an id")
            .to_owned();
        let path = format!("/api/tenants/zephr/bulk/uploads/{id}");
        self.until(&path, |shown| shown["status"] != "planning")
            .await
    }

    /// Asks for a path until the document is as it should be; the document.
    pub async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = tokio::time::Instant::now() + DEADLINE;
        loop {
            let answer = self.get(path).await;
            let document = serde_json::from_str(&answer.body).unwrap_or_default();
            if answer.status == 200 && wanted(&document) {
                return document;
            }
            assert!(tokio::time::Instant::now() < end, "{path}: {answer:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a path is answered with this status.
    pub async fn until_status(&self, path: &str, status: u16) -> Answer {
        let end = tokio::time::Instant::now() + DEADLINE;
        loop {
            let answer = self.get(path).await;
            if answer.status == status {
                return answer;
            }
            assert!(tokio::time::Instant::now() < end, "{path}: {answer:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Asks for a path until what is said is as it should be; what is said.
    pub async fn until_says(&self, path: &str, wanted: impl Fn(&str) -> bool) -> String {
        let end = tokio::time::Instant::now() + DEADLINE;
        loop {
            let answer = self.get(path).await;
            if answer.status == 200 && wanted(&answer.body) {
                return answer.body;
            }
            assert!(tokio::time::Instant::now() < end, "{path}: {answer:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends it without a word.
    pub async fn kill(self) -> Ended {
        self.running.kill().await
    }

    /// Tells it to stop, and waits until it has.
    pub async fn stop(self) -> Ended {
        self.running.signal(Signal::TERM);
        self.running.end().await
    }
}

impl Answer {
    /// Fails the test unless it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fails the test unless it says what happened and what to do.
    #[track_caller]
    pub fn explains(&self) {
        let said = self.json();
        assert!(
            said["error"].as_str().is_some_and(|text| !text.is_empty()),
            "{self:?}"
        );
        assert!(said["remedy"].is_string(), "{self:?}");
    }

    /// A header, by its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}
