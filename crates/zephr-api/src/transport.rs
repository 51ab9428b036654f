//! One request over HTTP and its answer, signed and tried once.
//!
//! The request target is built once as a string; its two halves are signed, and the same bytes are
//! sent: if the URL type would have changed them, nothing goes out (contract section 2). Redirects
//! are not followed, and each attempt is signed anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Datelike, Utc};
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE,
    HeaderMap, HeaderValue, RETRY_AFTER, TRANSFER_ENCODING,
};
use reqwest::{Method, StatusCode, Url};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::base_url::BaseUrl;
use super::error::{Failure, Said};
use super::governor::Limits;
use super::json::{self, Fields};
use super::signing::{KeyPair, Signed};
use clock::Clock;
use record::memory::Spare;
use telemetry::span::{Note, Span};

/// Cloudflare in front of the API turns away clients without one; a stable name also lets Zephr's
/// support find our requests.
const USER_AGENT: &str = concat!("zephr-sync/", env!("CARGO_PKG_VERSION"));

/// A connection that takes longer will not come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Between two pieces of an answer. The contract warns that large exports take minutes before the
/// first byte.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

/// From the first piece of an answer to its last. The largest that is taken comes in this time over
/// four Mbit/s; what trickles for longer has no end.
const WHOLE_ANSWER: Duration = Duration::from_secs(600);

/// An answer is held in memory while it is parsed. A page of 500 users is half a MiB; an older
/// deployment may send a whole small tenant as one bare array.
const MAX_BODY_MIB: usize = 256;

/// Bytes that large answers have at most, as a rule. More is not reserved before it comes, and
/// memory of more is not kept.
const USUAL_BODY: usize = 1 << 20;

/// A `Retry-After` beyond this was not meant: a time in milliseconds, an instant written as a
/// number, a date with a wrong year. It counts as absent.
const LONGEST_MEANT: Duration = Duration::from_secs(24 * 60 * 60);

/// Successes that are no answer to what was asked: accepted for later, a part of it.
const IN_PART: [StatusCode; 2] = [StatusCode::ACCEPTED, StatusCode::PARTIAL_CONTENT];

/// Years in which a `Date` may lie: outside of them a clock was never set, or a header was made up.
/// It counts as absent.
const YEARS: std::ops::Range<i32> = 2015..2100;

/// Characters that are shown of a header that should not be there.
const SHOWN_OF_HEADER: usize = 40;

/// A request, complete.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path and query as they go out, percent-encoded by the caller; begins with `/`.
    pub target: String,
    /// The body's bytes; empty when there is none.
    pub body: Bytes,
    /// How people and logs name the path, where the path itself holds an identifier of a person.
    shown: Option<String>,
}

impl Request {
    /// A GET of this target.
    pub fn get(target: String) -> Self {
        Self {
            method: Method::GET,
            target,
            body: Bytes::new(),
            shown: None,
        }
    }

    /// A request with a body.
    pub fn new(method: Method, target: String, body: Bytes) -> Self {
        Self {
            method,
            body,
            ..Self::get(target)
        }
    }

    /// With a path that is shown in this form: identifiers of people stay out of errors and logs.
    pub fn shown_as(self, path: String) -> Self {
        Self {
            shown: Some(path),
            ..self
        }
    }

    /// Method and path, for people: the query stays out because it can hold an e-mail address.
    pub fn endpoint(&self) -> String {
        format!(
            "{} {}",
            self.method,
            self.shown.as_deref().unwrap_or(self.split().0)
        )
    }

    fn split(&self) -> (&str, &str) {
        self.target.split_once('?').unwrap_or((&self.target, ""))
    }
}

/// A successful answer, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status, a 2xx.
    pub status: StatusCode,
    /// The API's clock when it answered: its `Date` header, unless it cannot be meant.
    pub date: Option<DateTime<Utc>>,
    /// `Content-Type`, lower case, without parameters.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
    /// Whether HTTP says where it ends (`Content-Length`, or in chunks). What ends with its
    /// connection may have been cut off.
    pub is_delimited: bool,
}

/// Carries requests to one tenant's API and brings their answers back. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    http: reqwest::Client,
    base: BaseUrl,
    keys: KeyPair,
    clock: Clock,
    requests: Arc<AtomicU64>,
    /// What answers are read into: kept for half of those in flight, since where the API is near
    /// hardly more are there at a time.
    bodies: Arc<Spare>,
    max_retry_after: Duration,
}

impl Transport {
    /// A transport to the API at `base`.
    pub(super) fn new(
        base: BaseUrl,
        keys: KeyPair,
        clock: Clock,
        limits: Limits,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self {
            http: http(&base, limits.max_in_flight)?,
            base,
            keys,
            clock,
            requests: Arc::default(),
            bodies: Arc::new(Spare::new(limits.max_in_flight.div_ceil(2), USUAL_BODY)),
            max_retry_after: limits.max_retry_after,
        })
    }

    /// Where the API is.
    pub(super) fn base(&self) -> &BaseUrl {
        &self.base
    }

    /// By what the access key can be known again, as [`KeyPair::check_value`].
    pub(super) fn key_check(&self) -> [u8; 32] {
        self.keys.check_value()
    }

    /// Requests that went out so far.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Takes back the memory of an answer that was read.
    pub(super) fn give_back(&self, body: Vec<u8>) {
        self.bodies.give_back(body);
    }

    /// Sends a request once and reads the answer whole.
    pub(super) async fn exchange(&self, request: &Request) -> Result<Answer, Failure> {
        let outgoing = self.signed(request)?;
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut response = outgoing
            .send()
            .await
            .map_err(|error| transport_failure(&error))?;
        let status = response.status();
        Span::current().note(|| Note::Status(status.as_u16()));
        let headers = std::mem::take(response.headers_mut());
        let date = header_date(&headers, DATE.as_str()).filter(|date| YEARS.contains(&date.year()));
        let content_type = content_type(&headers);
        if !status.is_success() {
            let refusal = self.refusal(status, &content_type, &headers, date);
            if let Failure::Status(status) = refusal
                && !request.method.is_safe()
            {
                let said = said(&self.body(response).await.unwrap_or_default());
                return Err(Failure::Refused { status, said });
            }
            return Err(refusal);
        }
        if request.method.is_safe() && IN_PART.contains(&status) {
            return Err(Failure::Unexpected {
                expected: "a whole answer",
                found: status.to_string(),
            });
        }
        if let Some(encoding) = encoding(&headers) {
            return Err(Failure::Encoded(encoding));
        }
        let is_delimited =
            headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING);
        let body = self.body(response).await?;
        Ok(Answer {
            status,
            date,
            content_type,
            body,
            is_delimited,
        })
    }

    /// The request with its signature and its headers, ready to go out.
    fn signed(&self, request: &Request) -> Result<reqwest::RequestBuilder, Failure> {
        let url = self.url(request)?;
        let (path, query) = request.split();
        let nonce = Uuid::new_v4().simple().to_string();
        let mut authorization = HeaderValue::from_str(&self.keys.authorization(Signed {
            method: request.method.as_str(),
            path,
            query,
            body: &request.body,
            timestamp_ms: self.clock.unix_millis(),
            nonce: &nonce,
        }))
        .map_err(|_| {
            Failure::Unsendable("the access key: it holds characters no header can carry")
        })?;
        // Keeps it out of the HTTP libraries' own trace logs.
        authorization.set_sensitive(true);
        let outgoing = self
            .http
            .request(request.method.clone(), url)
            .header(AUTHORIZATION, authorization)
            .header(ACCEPT, "application/json, */*;q=0.5")
            // Without it any encoding would be welcome (RFC 9110, 12.5.3), and we know none.
            .header(ACCEPT_ENCODING, "identity");
        if request.body.is_empty() {
            return Ok(outgoing);
        }
        Ok(outgoing
            .header(CONTENT_TYPE, "application/json")
            .body(request.body.clone()))
    }

    /// The address, if it would go out exactly as it is signed.
    fn url(&self, request: &Request) -> Result<Url, Failure> {
        let text = format!("{}{}", self.base.as_str(), request.target);
        let url = Url::parse(&text).map_err(|_| Failure::Unsendable("the path"))?;
        if url.as_str() == text {
            Ok(url)
        } else {
            Err(Failure::Unsendable("the path or the query"))
        }
    }

    async fn body(&self, response: reqwest::Response) -> Result<Vec<u8>, Failure> {
        within(WHOLE_ANSWER, self.whole_body(response)).await
    }

    async fn whole_body(&self, mut response: reqwest::Response) -> Result<Vec<u8>, Failure> {
        let announced = response.content_length().unwrap_or(0) as usize;
        let limit = MAX_BODY_MIB << 20;
        if announced > limit {
            return Err(Failure::TooLarge {
                limit_mib: MAX_BODY_MIB,
            });
        }
        let mut body = self.bodies.take();
        // What is announced is believed only up to a point: it is data from outside.
        body.reserve_exact(announced.min(USUAL_BODY));
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| transport_failure(&error))?
        {
            if body.len() + chunk.len() > limit {
                return Err(Failure::TooLarge {
                    limit_mib: MAX_BODY_MIB,
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// What an answer without success means.
    fn refusal(
        &self,
        status: StatusCode,
        content_type: &str,
        headers: &HeaderMap,
        date: Option<DateTime<Utc>>,
    ) -> Failure {
        let after = retry_after(headers, date.unwrap_or_else(|| self.clock.now().into()));
        let throttles = status == StatusCode::TOO_MANY_REQUESTS
            || (status == StatusCode::FORBIDDEN && content_type.contains("html"));
        if let Some(after) = after
            && after > self.max_retry_after
            && (throttles || status.is_server_error())
        {
            return Failure::AskedToWait {
                status: Some(status),
                after,
                limit: self.max_retry_after,
            };
        }
        match status {
            StatusCode::UNAUTHORIZED => Failure::Unauthorized {
                clock_ahead: date.map(|date| {
                    DateTime::<Utc>::from(self.clock.now())
                        .signed_duration_since(date)
                        .num_seconds()
                }),
            },
            _ if throttles => Failure::Throttled { status, after },
            StatusCode::FORBIDDEN => Failure::Forbidden,
            StatusCode::NOT_FOUND => Failure::NotFound,
            status if status.is_server_error() => Failure::Server { status, after },
            status => Failure::Status(status),
        }
    }
}

/// Waits for a body for so long.
async fn within(
    limit: Duration,
    body: impl Future<Output = Result<Vec<u8>, Failure>>,
) -> Result<Vec<u8>, Failure> {
    let minutes = limit.as_secs() / 60;
    let body = tokio::time::timeout(limit, body).await;
    body.unwrap_or(Err(Failure::Endless { minutes }))
}

/// What speaks HTTP. Proxy variables and the system's certificates are honoured; `idle`
/// connections are kept open.
fn http(base: &BaseUrl, idle: usize) -> Result<reqwest::Client, reqwest::Error> {
    // Fails only when a provider was installed before, which is then the one to use.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder();
    if base.as_str().starts_with("http:") {
        // Reading the system's certificates, hundreds of files, takes longer than a small run.
        let nobody = rustls::ClientConfig::builder()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        builder = builder.tls_backend_preconfigured(nobody);
    }
    builder
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .pool_max_idle_per_host(idle)
        .build()
}

/// What an answer that refuses a write says: `error` or `message` (contract section 3).
fn said(body: &[u8]) -> Said {
    let text = serde_json::from_slice::<&RawValue>(body)
        .ok()
        .and_then(Fields::of)
        .and_then(|fields| {
            let named = ["error", "message"]
                .iter()
                .find_map(|name| fields.get(name));
            named.and_then(json::text)
        });
    Said::new(text.map(|text| text.text.into_owned()))
}

/// Names what broke by its innermost cause, without the address: reqwest's own text would show the
/// query.
fn transport_failure(error: &reqwest::Error) -> Failure {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let words = if error.is_timeout() {
        "timed out".to_owned()
    } else if std::ptr::eq(
        std::ptr::from_ref(cause).cast::<u8>(),
        std::ptr::from_ref(error).cast::<u8>(),
    ) {
        "the connection was closed".to_owned()
    } else {
        cause.to_string()
    };
    if error.is_connect() {
        Failure::Connect(words)
    } else {
        Failure::Broken(words)
    }
}

fn content_type(headers: &HeaderMap) -> String {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    value
        .split(';')
        .next()
        .unwrap_or("")
        .trim()
        .to_ascii_lowercase()
}

/// What the body is encoded with, where it is: no encoding was asked for, and none is known here,
/// so it would be read as what it is not.
fn encoding(headers: &HeaderMap) -> Option<String> {
    let sent = headers.get_all(CONTENT_ENCODING).iter();
    let sent = sent.map(|value| String::from_utf8_lossy(value.as_bytes()));
    let names: Vec<String> = sent
        .flat_map(|value| {
            value
                .split(',')
                .map(|name| name.trim().to_owned())
                .collect::<Vec<_>>()
        })
        .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity"))
        .collect();
    let shown = names.join(", ").chars().take(SHOWN_OF_HEADER).collect();
    (!names.is_empty()).then_some(shown)
}

fn header_date(headers: &HeaderMap, name: &str) -> Option<DateTime<Utc>> {
    let text = headers.get(name)?.to_str().ok()?;
    httpdate::parse_http_date(text).ok().map(Into::into)
}

/// `Retry-After` as seconds or as a date; a date is measured against the API's own clock. What
/// cannot be meant counts as absent: what is neither, a date that is over, and more than
/// [`LONGEST_MEANT`].
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let asked = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = header_date(headers, RETRY_AFTER.as_str())?;
            date.signed_duration_since(now).to_std().ok()?
        }
    };
    (asked <= LONGEST_MEANT).then_some(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transport() -> Transport {
        Transport::new(
            BaseUrl::parse("http://127.0.0.1:1").unwrap(),
            KeyPair::new("key".into(), "secret".into()),
            Clock::system(),
            Limits {
                max_in_flight: 1,
                max_per_second: None,
                max_retry_after: Duration::from_secs(900),
            },
        )
        .unwrap()
    }

    #[tokio::test]
    async fn an_answer_that_does_not_end_is_given_up() {
        let never = std::future::pending();
        let body = within(Duration::from_millis(1), never).await;
        assert!(matches!(body, Err(Failure::Endless { .. })), "{body:?}");
        let ends = within(WHOLE_ANSWER, async { Ok(vec![1]) }).await;
        assert!(matches!(ends.as_deref(), Ok([1])), "{ends:?}");
    }

    #[test]
    fn a_target_that_would_change_on_the_way_is_not_sent() {
        let transport = transport();
        for good in [
            "/v3/users?",
            "/v3/user-export?since=2024-01-01T00:00:00Z&a=b,c",
            "/zephr/x?foreign[system]=crm&q=%40%2B",
        ] {
            assert!(transport.url(&Request::get(good.into())).is_ok(), "{good}");
        }
        for bad in [
            "/v3/users?q=a b",
            "/v3/../users",
            "/v3/users?q=é",
            "/v3/users#x y",
        ] {
            assert!(
                matches!(
                    transport.url(&Request::get(bad.into())),
                    Err(Failure::Unsendable(_))
                ),
                "{bad}"
            );
        }
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now = DateTime::parse_from_rfc3339("2026-01-01T00:00:00Z")
            .unwrap()
            .to_utc();
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "7".parse().unwrap());
        assert_eq!(retry_after(&headers, now), Some(Duration::from_secs(7)));
        headers.insert(
            RETRY_AFTER,
            "Thu, 01 Jan 2026 00:00:09 GMT".parse().unwrap(),
        );
        assert_eq!(retry_after(&headers, now), Some(Duration::from_secs(9)));
        headers.insert(
            RETRY_AFTER,
            "Fri, 02 Jan 2026 00:00:00 GMT".parse().unwrap(),
        );
        assert_eq!(retry_after(&headers, now), Some(LONGEST_MEANT));
    }

    #[test]
    fn a_retry_after_that_cannot_be_meant_counts_as_absent() {
        let now = DateTime::parse_from_rfc3339("2026-01-01T00:00:00Z")
            .unwrap()
            .to_utc();
        let mut headers = HeaderMap::new();
        for text in [
            "",
            "soon",
            "-5",
            "NaN",
            "1e308",
            "86401",
            "1700000000",
            "1700000000000",
            "4294967296",
            "18446744073709551615",
            "18446744073709551616",
            "Wed, 31 Dec 2025 23:59:59 GMT",
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "Fri, 31 Dec 99999 23:59:59 GMT",
            "Thu, 32 Jan 2026 00:00:00 GMT",
        ] {
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            assert_eq!(retry_after(&headers, now), None, "{text}");
        }
    }

    #[test]
    fn an_encoding_is_named_and_identity_is_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(encoding(&headers), None);
        headers.insert(CONTENT_ENCODING, "Identity".parse().unwrap());
        assert_eq!(encoding(&headers), None);
        headers.append(CONTENT_ENCODING, "gzip, br".parse().unwrap());
        assert_eq!(encoding(&headers).as_deref(), Some("gzip, br"));
    }
}
