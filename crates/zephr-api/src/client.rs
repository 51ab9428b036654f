//! One signed request, governed, retried and counted.
//!
//! The request target is built once as a string; its two halves are signed, and the same bytes are
//! sent: if the URL type would have changed them, nothing goes out (contract section 2). Redirects
//! are not followed, and each attempt is signed anew.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;
use chrono::{DateTime, Datelike, Utc};
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap,
    RETRY_AFTER,
};
use reqwest::{Method, StatusCode, Url};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::error::{Error, Failure, Said};
use super::governor::{Governor, Limits, Outcome, Snapshot};
use super::json::{self, Fields};
use super::signing::{KeyPair, Signed};
use clock::Clock;
use lifecycle::Shutdown;
use record::memory::Spare;
use remedy::Remedy;
use telemetry::field;
use telemetry::span::{Note, Span, Work};

/// Cloudflare in front of the API turns away clients without one; a stable name also lets Zephr's
/// support find our requests.
const USER_AGENT: &str = concat!("zephr-sync/", env!("CARGO_PKG_VERSION"));

/// A connection that takes longer will not come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Between two pieces of an answer. The contract warns that large exports take minutes before the
/// first byte.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

/// An answer is held in memory while it is parsed. A page of 500 users is half a MiB; an older
/// deployment may send a whole small tenant as one bare array.
const MAX_BODY_MIB: usize = 256;

/// Bytes that large answers have at most, as a rule. More is not reserved before it comes, and
/// memory of more is not kept.
const USUAL_BODY: usize = 1 << 20;

/// Attempts per request: with one in five failing, one request in ten million fails ten times.
const MAX_ATTEMPTS: usize = 10;

/// The first pause; each next one doubles, with jitter of up to its own length, to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Pauses do not grow beyond this, so that a recovered API is noticed soon. `Retry-After` may be
/// longer, and is obeyed up to [`Limits::max_retry_after`].
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// A `Retry-After` beyond this was not meant: a time in milliseconds, an instant written as a
/// number, a date with a wrong year. It counts as absent.
const LONGEST_MEANT: Duration = Duration::from_secs(24 * 60 * 60);

/// Years in which a `Date` may lie: outside of them a clock was never set, or a header was made up.
/// It counts as absent.
const YEARS: std::ops::Range<i32> = 2015..2100;

/// Characters that are shown of a header that should not be there.
const SHOWN_OF_HEADER: usize = 40;

/// Where the API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(String);

/// Why an address cannot be the API's.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BaseUrlError {
    /// Not an address at all.
    #[error("`{0}` is not a web address")]
    Malformed(String),
    /// Plain http to another machine would show signatures and readers' data to the network.
    #[error(
        "`{0}` is neither https nor on this machine; plain http is only for 127.0.0.1, [::1] and localhost"
    )]
    Plain(String),
    /// More than scheme, host and port.
    #[error("`{0}` has more than scheme, host and port")]
    Path(String),
    /// A tenant name that cannot be part of a host name.
    #[error("`{0}` is not a tenant id: letters, digits and hyphens only")]
    Tenant(String),
}

impl BaseUrl {
    /// From a whole address such as `https://news.api.zephr.com`.
    pub fn parse(text: &str) -> Result<Self, BaseUrlError> {
        let url = Url::parse(text).map_err(|_| BaseUrlError::Malformed(text.into()))?;
        let host = url
            .host_str()
            .ok_or_else(|| BaseUrlError::Malformed(text.into()))?;
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(host) => {}
            _ => return Err(BaseUrlError::Plain(text.into())),
        }
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !bare || !url.username().is_empty() || url.password().is_some() {
            return Err(BaseUrlError::Path(text.into()));
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }

    /// From a tenant id: `news` means `https://news.api.zephr.com` (contract section 1).
    pub fn of_tenant(tenant: &str) -> Result<Self, BaseUrlError> {
        let fits = !tenant.is_empty()
            && tenant.len() <= 63
            && tenant
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !fits {
            return Err(BaseUrlError::Tenant(tenant.into()));
        }
        Self::parse(&format!(
            "https://{}.api.zephr.com",
            tenant.to_ascii_lowercase()
        ))
    }

    /// The address, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is on this machine.
    pub fn is_loopback(&self) -> bool {
        let url = Url::parse(&self.0).ok();
        url.is_some_and(|url| url.host_str().is_some_and(is_loopback))
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

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
}

/// What was sent so far, for the run record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Requests, retries included.
    pub requests: u64,
    /// Requests that repeated another.
    pub retries: u64,
}

/// Speaks to one tenant's Admin API. Cheap to clone; all clones share one governor.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: BaseUrl,
    keys: KeyPair,
    clock: Clock,
    governor: Governor,
    sent: Arc<Counters>,
    /// What answers are read into: kept for half of those in flight, since where the API is near
    /// hardly more are there at a time.
    bodies: Arc<Spare>,
    shutdown: Shutdown,
}

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    retries: AtomicU64,
}

impl Client {
    /// A client for the tenant at `base`. Proxy variables and the system's certificates
    /// (`SSL_CERT_FILE` for a private CA) are honoured.
    pub fn new(
        base: BaseUrl,
        keys: KeyPair,
        clock: Clock,
        limits: Limits,
    ) -> Result<Self, reqwest::Error> {
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
        let http = builder
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .pool_max_idle_per_host(limits.max_in_flight)
            .build()?;
        let governor = Governor::new(limits);
        Ok(Self {
            http,
            base,
            keys,
            clock,
            governor,
            sent: Arc::default(),
            bodies: Arc::new(Spare::new(limits.max_in_flight.div_ceil(2), USUAL_BODY)),
            shutdown: Shutdown::never(),
        })
    }

    /// The same until the process is told to stop. From then on nothing is asked: whoever waits for
    /// an answer, a pause or a place hears at once that there will be none, which may otherwise
    /// take minutes. Only a write that is on its way is waited for.
    pub fn until(self, shutdown: Shutdown) -> Self {
        Self { shutdown, ..self }
    }

    /// What the governor is doing.
    pub fn governor(&self) -> Snapshot {
        self.governor.snapshot()
    }

    /// Where the API is.
    pub fn base(&self) -> &BaseUrl {
        &self.base
    }

    /// By what the access key can be known again, as [`KeyPair::check_value`].
    pub fn key_check(&self) -> [u8; 32] {
        self.keys.check_value()
    }

    /// The governor itself, for who divides the tenant's ceiling.
    pub fn limiter(&self) -> Governor {
        self.governor.clone()
    }

    /// What was sent so far.
    pub fn sent(&self) -> Sent {
        Sent {
            requests: self.sent.requests.load(Ordering::Relaxed),
            retries: self.sent.retries.load(Ordering::Relaxed),
        }
    }

    /// Sends a request until it is answered, refused for good, or the attempts are used up. `read`
    /// turns the answer into what is wanted, and its failures are retried like those of the
    /// transport: an edge's HTML with 200 is as passing as its 502.
    ///
    /// # Errors
    /// What the API refuses, what kept its answer from coming until the attempts were used up, or
    /// that the process is to stop.
    pub async fn call<T>(
        &self,
        request: &Request,
        read: impl Fn(&Answer) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let attempt = || async {
            let answer = self.send_once(request).await?;
            let read = read(&answer);
            self.bodies.give_back(answer.body);
            read.map_err(|failure| Error {
                endpoint: request.endpoint(),
                failure,
            })
        };
        let answered = attempt
            .retry(
                ExponentialBuilder::new()
                    .with_min_delay(FIRST_PAUSE)
                    .with_max_delay(MAX_PAUSE)
                    .with_max_times(MAX_ATTEMPTS - 1)
                    .with_jitter(),
            )
            .when(|error| match error.remedy() {
                // Who is to stop hears of it below, in the pause; a write is not asked for again
                // then.
                Remedy::Retry { .. } => {
                    !error.asks_for_too_long()
                        && (request.method.is_safe()
                            || (error.certainly_not_processed() && !self.shutdown.is_requested()))
                }
                Remedy::Person(_) => false,
            })
            .adjust(|error, pause| match error.remedy() {
                Remedy::Retry {
                    after: Some(after), ..
                } => pause.map(|pause| pause.max(after)),
                Remedy::Retry { after: None, .. } | Remedy::Person(_) => pause,
            })
            .notify(|error, pause| {
                self.sent.retries.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(
                    { field::ENDPOINT } = error.endpoint,
                    { field::ERROR } = %error.failure,
                    { field::PAUSE_MS } = pause.as_millis() as u64,
                    "request failed, trying again"
                );
            });
        tokio::select! {
            biased;
            () = self.shutdown.requested(), if request.method.is_safe() => Err(Error {
                endpoint: request.endpoint(),
                failure: Failure::Interrupted,
            }),
            answered = answered => answered,
        }
    }

    /// Sends a request once, if `allowed` says at the last moment that it may go out. Repeating it
    /// is for the caller, who knows what a second time would do.
    ///
    /// # Errors
    /// What the API refuses, or what kept its answer from coming.
    pub async fn once(
        &self,
        request: &Request,
        allowed: impl Fn() -> bool,
    ) -> Result<Answer, Error> {
        self.send(request, allowed).await
    }

    async fn send_once(&self, request: &Request) -> Result<Answer, Error> {
        self.send(request, || true).await
    }

    async fn send(&self, request: &Request, allowed: impl Fn() -> bool) -> Result<Answer, Error> {
        let permit = tokio::select! {
            biased;
            () = self.shutdown.requested() => return Err(Error {
                endpoint: request.endpoint(),
                failure: Failure::Interrupted,
            }),
            permit = self.governor.admit() => permit,
        };
        let result = if let Some(left) = self.governor.closed_for() {
            Err(self.too_long(None, left))
        } else if allowed() {
            let span = Span::within(|| Work::Request {
                endpoint: request.endpoint(),
            });
            span.over(self.exchange(request)).await
        } else {
            Err(Failure::Withheld)
        };
        permit.finish(match &result {
            Ok(_) => Outcome::Good,
            Err(Failure::Throttled { after, .. } | Failure::Server { after, .. }) => {
                Outcome::Refused { after: *after }
            }
            Err(Failure::AskedToWait {
                status: Some(_),
                after,
                ..
            }) => Outcome::Closed { after: *after },
            Err(_) => Outcome::Neutral,
        });
        result.map_err(|failure| Error {
            endpoint: request.endpoint(),
            failure,
        })
    }

    async fn exchange(&self, request: &Request) -> Result<Answer, Failure> {
        let url = self.url(request)?;
        let (path, query) = request.split();
        let nonce = Uuid::new_v4().simple().to_string();
        let mut authorization =
            reqwest::header::HeaderValue::from_str(&self.keys.authorization(Signed {
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
        let mut outgoing = self
            .http
            .request(request.method.clone(), url)
            .header(AUTHORIZATION, authorization)
            .header(ACCEPT, "application/json, */*;q=0.5")
            // Without it any encoding would be welcome (RFC 9110, 12.5.3), and we know none.
            .header(ACCEPT_ENCODING, "identity");
        if !request.body.is_empty() {
            outgoing = outgoing
                .header(CONTENT_TYPE, "application/json")
                .body(request.body.clone());
        }
        self.sent.requests.fetch_add(1, Ordering::Relaxed);
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
        if let Some(encoding) = encoding(&headers) {
            return Err(Failure::Encoded(encoding));
        }
        let body = self.body(response).await?;
        Ok(Answer {
            status,
            date,
            content_type,
            body,
        })
    }

    async fn body(&self, mut response: reqwest::Response) -> Result<Vec<u8>, Failure> {
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
            && after > self.governor.limits().max_retry_after
            && (throttles || status.is_server_error())
        {
            return self.too_long(Some(status), after);
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

    fn too_long(&self, status: Option<StatusCode>, after: Duration) -> Failure {
        Failure::AskedToWait {
            status,
            after,
            limit: self.governor.limits().max_retry_after,
        }
    }
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

    fn client() -> Client {
        Client::new(
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

    #[test]
    fn a_tenant_is_a_host_name() {
        assert_eq!(
            BaseUrl::of_tenant("news").unwrap().as_str(),
            "https://news.api.zephr.com"
        );
        assert!(matches!(
            BaseUrl::of_tenant("a.b/c"),
            Err(BaseUrlError::Tenant(_))
        ));
    }

    #[test]
    fn plain_http_is_only_for_this_machine() {
        for good in [
            "http://127.0.0.1:8090",
            "http://[::1]:8090/",
            "http://localhost:1",
        ] {
            assert!(BaseUrl::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "http://news.api.zephr.com",
            "http://10.0.0.1",
            "ftp://127.0.0.1",
        ] {
            assert!(
                matches!(BaseUrl::parse(bad), Err(BaseUrlError::Plain(_))),
                "{bad}"
            );
        }
        assert!(matches!(
            BaseUrl::parse("https://a.b/v3"),
            Err(BaseUrlError::Path(_))
        ));
    }

    #[test]
    fn a_target_that_would_change_on_the_way_is_not_sent() {
        let client = client();
        for good in [
            "/v3/users?",
            "/v3/user-export?since=2024-01-01T00:00:00Z&a=b,c",
            "/zephr/x?foreign[system]=crm&q=%40%2B",
        ] {
            assert!(client.url(&Request::get(good.into())).is_ok(), "{good}");
        }
        for bad in [
            "/v3/users?q=a b",
            "/v3/../users",
            "/v3/users?q=é",
            "/v3/users#x y",
        ] {
            assert!(
                matches!(
                    client.url(&Request::get(bad.into())),
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
