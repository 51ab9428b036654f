//! Asks until there is an answer: governed, retried and counted. How one request goes over HTTP is
//! the transport's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};

pub use super::base_url::{BaseUrl, BaseUrlError};
use super::error::{Error, Failure};
use super::governor::{Governor, Limits, Outcome, Snapshot};
use super::signing::KeyPair;
use super::transport::Transport;
pub use super::transport::{Answer, Request};
use clock::Clock;
use lifecycle::Shutdown;
use remedy::Remedy;
use telemetry::field;
use telemetry::span::{Span, Work};

/// Attempts per request: with one in five failing, one request in ten million fails ten times.
const MAX_ATTEMPTS: usize = 10;

/// The first pause; each next one doubles, with jitter of up to its own length, to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Pauses do not grow beyond this, so that a recovered API is noticed soon. `Retry-After` may be
/// longer, and is obeyed up to [`Limits::max_retry_after`].
const MAX_PAUSE: Duration = Duration::from_secs(30);

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
    transport: Transport,
    governor: Governor,
    retries: Arc<AtomicU64>,
    shutdown: Shutdown,
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
        Ok(Self {
            transport: Transport::new(base, keys, clock, limits)?,
            governor: Governor::new(limits),
            retries: Arc::default(),
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
        self.transport.base()
    }

    /// By what the access key can be known again, as [`KeyPair::check_value`].
    pub fn key_check(&self) -> [u8; 32] {
        self.transport.key_check()
    }

    /// The governor itself, for who divides the tenant's ceiling.
    pub fn limiter(&self) -> Governor {
        self.governor.clone()
    }

    /// What was sent so far.
    pub fn sent(&self) -> Sent {
        Sent {
            requests: self.transport.requests(),
            retries: self.retries.load(Ordering::Relaxed),
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
            self.transport.give_back(answer.body);
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
                self.retries.fetch_add(1, Ordering::Relaxed);
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
            Err(Failure::AskedToWait {
                status: None,
                after: left,
                limit: self.governor.limits().max_retry_after,
            })
        } else if allowed() {
            let span = Span::within(|| Work::Request {
                endpoint: request.endpoint(),
            });
            span.over(self.transport.exchange(request)).await
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
}
