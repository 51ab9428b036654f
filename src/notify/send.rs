//! One delivery: signed anew for each attempt, repeated where that can help, within a bound.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;

use super::document;
use super::event::Notice;
use super::settings::{Address, Receiver};
use super::signature;
use clock::Clock;
use telemetry::field;

/// How patient a delivery is.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The first pause; each next one doubles, with jitter.
    pub first: Duration,
    /// Pauses do not grow beyond this.
    pub longest: Duration,
    /// Attempts in all.
    pub attempts: usize,
    /// One attempt.
    pub attempt: Duration,
    /// All of them.
    pub total: Duration,
}

impl Default for Pace {
    /// Long enough for a receiver that restarts, short enough that what comes after is still news.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            attempts: 10,
            attempt: Duration::from_secs(15),
            total: Duration::from_secs(5 * 60),
        }
    }
}

/// What follows from what came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It arrived.
    Delivered,
    /// Another attempt may get through.
    Again,
    /// Repeating cannot help.
    GiveUp,
}

/// What follows from this status; none means that no answer came.
pub fn verdict(status: Option<u16>) -> Verdict {
    match status {
        None => Verdict::Again,
        Some(200..=299) => Verdict::Delivered,
        // The receiver was slow, is early, or has enough for now.
        Some(408 | 425 | 429) => Verdict::Again,
        // 410 among them: nobody listens there any more.
        Some(400..=499) => Verdict::GiveUp,
        // Redirects are not followed, since the address was checked and where it leads was not; and
        // a receiver that moved has moved for long.
        Some(300..=399) => Verdict::GiveUp,
        Some(0..=199 | 500..) => Verdict::Again,
    }
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It arrived.
    Done,
    /// It was refused for good, with this status.
    Refused(u16),
    /// It could not be delivered in time; the last status, if any answer came.
    OutOfTime(Option<u16>),
}

/// One attempt that was not successful. Without its cause: that one holds the address.
#[derive(Debug, Clone, Copy)]
struct Attempt(Option<u16>);

/// Sends.
#[derive(Debug, Clone)]
pub struct Sender {
    http: reqwest::Client,
    clock: Clock,
    pace: Pace,
}

impl Sender {
    /// A sender. Proxies are as the environment says.
    ///
    /// # Errors
    /// The proxy variables or the system's certificates cannot be used.
    pub fn new(clock: Clock, pace: Pace) -> Result<Self, reqwest::Error> {
        // An error means that somebody else has chosen already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .user_agent(concat!("zephr-sync/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .timeout(pace.attempt)
            .build()?;
        Ok(Self { http, clock, pace })
    }

    /// Delivers, or gives up.
    pub async fn deliver(&self, receiver: &Receiver, notice: &Notice) -> Delivery {
        let body = document::body(notice, receiver.format);
        let last = std::sync::Mutex::new(None);
        let pauses = ExponentialBuilder::default()
            .with_min_delay(self.pace.first)
            .with_max_delay(self.pace.longest)
            .with_max_times(self.pace.attempts.saturating_sub(1))
            .with_jitter();
        let attempts = (|| self.attempt(receiver, &body))
            .retry(pauses)
            .when(|Attempt(status)| verdict(*status) == Verdict::Again)
            .notify(|Attempt(status), pause| {
                if let Ok(mut last) = last.lock() {
                    *last = *status;
                }
                tracing::debug!(
                    { field::PAUSE_MS } = pause.as_millis() as u64,
                    { field::HOST } = receiver.address.host(),
                    { field::STATUS } = status,
                    "a notification is sent again"
                );
            });
        match tokio::time::timeout(self.pace.total, attempts).await {
            Ok(Ok(())) => Delivery::Done,
            Ok(Err(Attempt(status))) => match (verdict(status), status) {
                (Verdict::GiveUp, Some(status)) => Delivery::Refused(status),
                (Verdict::GiveUp | Verdict::Again | Verdict::Delivered, status) => {
                    Delivery::OutOfTime(status)
                }
            },
            Err(_) => Delivery::OutOfTime(last.lock().map_or(None, |last| *last)),
        }
    }

    async fn attempt(&self, receiver: &Receiver, body: &[u8]) -> Result<(), Attempt> {
        let answer = self
            .request(&receiver.address, receiver.secret.as_ref(), body)
            .send()
            .await;
        let status = answer.ok().map(|answer| answer.status().as_u16());
        match verdict(status) {
            Verdict::Delivered => Ok(()),
            Verdict::Again | Verdict::GiveUp => Err(Attempt(status)),
        }
    }

    fn request(
        &self,
        address: &Address,
        secret: Option<&secrecy::SecretString>,
        body: &[u8],
    ) -> reqwest::RequestBuilder {
        let request = self
            .http
            .post(address.expose())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(body.to_vec());
        match secret {
            None => request,
            Some(secret) => {
                let seconds = u64::try_from(self.clock.unix_millis() / 1_000).unwrap_or(u64::MAX);
                request.header(signature::HEADER, signature::sign(secret, seconds, body))
            }
        }
    }
}

#[cfg(test)]
mod tests;
