//! From a socket to an answer: signature, crowd, delay, fault, operation, drift; in that order, so
//! that a refused request changes nothing and a retried one needs a new nonce whatever happened to
//! the first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, DATE, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::accounts;
use super::answer::Answer;
use super::auth::{Gate, Refusal, Signed};
use super::control;
use super::edits::Edits;
use super::export;
use super::faults::{self, CLOUDFLARE_PAGE, Fate, Fault, Faults};
use super::query::Query;
use super::routes;
use super::stats::{Counter, ExportRequest, Stats};
use super::tenant::{Clock, Tenant};
use super::wire::{Cut, Wire};

/// The largest request body read.
const LARGEST_REQUEST: usize = 32 << 20;
/// How long the first half of a cut answer gets to leave before the connection ends.
const LAST_WORDS: Duration = Duration::from_millis(20);

/// A body that may end badly on purpose.
pub(super) type Body = UnsyncBoxBody<Bytes, Broken>;

/// The connection ends here, as the faults wanted.
#[derive(Debug, thiserror::Error)]
#[error("broken off on purpose")]
pub(super) struct Broken;

/// What all connections share.
#[derive(Debug)]
pub(super) struct Server {
    pub tenant: Arc<Tenant>,
    pub stats: Counter,
    pub settings: Mutex<Settings>,
    pub gate: Mutex<Gate>,
    pub clock: ServerClock,
    pub max_in_flight: Option<usize>,
}

/// What may change while serving.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub faults: Faults,
    pub drift: Edits,
    /// Requests whose fate was drawn.
    pub drawn: u64,
}

/// The simulator's idea of the time.
#[derive(Clone)]
pub(super) struct ServerClock(pub Clock);

impl std::fmt::Debug for ServerClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerClock")
    }
}

/// Accepts connections until it is dropped; they end with it.
pub(super) async fn serve(listener: TcpListener, server: Arc<Server>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&server)));
                }
                // Out of file handles, most likely: give connections time to end.
                Err(error) => {
                    tracing::warn!(%error, "simulator cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, server: Arc<Server>) {
    // Answers leave in one piece anyway; waiting for more only adds latency.
    let _ = stream.set_nodelay(true);
    let cut = Cut::default();
    let wire = TokioIo::new(Wire::new(stream, cut.clone()));
    let service = service_fn(move |request| {
        let (server, cut) = (Arc::clone(&server), cut.clone());
        async move { respond(&server, request, &cut).await }
    });
    if let Err(error) = hyper::server::conn::http1::Builder::new()
        .serve_connection(wire, service)
        .await
    {
        tracing::debug!(%error, "simulator connection ended");
    }
}

/// Checks a request, has it treated, and counts and sends what came of it.
async fn respond(
    server: &Arc<Server>,
    request: Request<Incoming>,
    cut: &Cut,
) -> Result<Response<Body>, Broken> {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, LARGEST_REQUEST).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return server.dress(Answer::error(413, "the body is too large")),
    };
    let path = head.uri.path();
    if let Some(rest) = path.strip_prefix("/_simulator/") {
        return control::respond(server, head.method.as_str(), rest, &body);
    }
    let query = head.uri.query().unwrap_or_default();
    let method = head.method.as_str();
    let route = routes::pattern(method, path).map(|pattern| format!("{method} {pattern}"));
    let handled = route.is_some();
    let present = server.stats.enter(route);
    let header = head
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let content_type = head.headers.get(CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let signed = Signed {
        method,
        path,
        query,
        body: &body,
    };
    let verdict = lock(&server.gate).check((server.clock.0)(), header, signed);
    let log = (path == export::PATH).then(|| export::request(&Query::parse(query)));
    let treated = match verdict {
        Err(refusal) => server.refuse(refusal),
        Ok(()) if server.is_crowded(present.present) => Treated {
            answer: Some(Answer::error(429, "too many requests at once")),
            struck: Some(Fault::Crowded),
            form: 0,
        },
        Ok(()) => server.operate(signed, content_type, handled).await,
    };
    server.count(&treated, log);
    server.send(treated, cut)
}

/// What became of a request.
struct Treated {
    /// None when the connection is to be reset.
    answer: Option<Answer>,
    struck: Option<Fault>,
    /// Which form of the fault was drawn.
    form: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    pub(super) fn settings(&self) -> MutexGuard<'_, Settings> {
        lock(&self.settings)
    }

    /// The counts at this moment, those of the jobs among them.
    pub(super) fn stats(&self) -> Stats {
        self.tenant.run_due_jobs();
        let mut stats = self.stats.lock().clone();
        let jobs = self.tenant.jobs();
        stats.bulk_jobs = jobs.count();
        stats.bulk_applied = jobs.log.applied;
        stats.bulk_non_ascii = jobs.non_ascii;
        stats.bulk_twice_in_job = jobs.twice_in_job;
        stats
    }

    /// Answers a request whose signature is not right.
    fn refuse(&self, refusal: Refusal) -> Treated {
        let mut stats = self.stats.lock();
        stats.unauthorised += 1;
        *stats.refusals.entry(refusal.to_string()).or_default() += 1;
        Treated {
            answer: Some(Answer::error(401, &refusal.to_string())),
            struck: None,
            form: 0,
        }
    }

    /// Whether so many at once are too many.
    fn is_crowded(&self, present: usize) -> bool {
        self.max_in_flight.is_some_and(|most| present > most)
    }

    /// Carries a request out as far as its fate allows.
    async fn operate(
        &self,
        signed: Signed<'_>,
        content_type: Option<&str>,
        handled: bool,
    ) -> Treated {
        let writes = signed.method != "GET";
        let Fate { fault, form, delay } = self.next_fate(writes);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let answer = self.answer_under(fault, form, || {
            self.tenant.run_due_jobs();
            if writes && handled {
                self.stats.lock().writes += 1;
            }
            let answer = routes::route(&self.tenant, signed, content_type);
            if answer.status == 200 {
                self.drift_behind(signed.path);
            }
            answer
        });
        Treated {
            answer,
            struck: fault,
            form,
        }
    }

    /// Lets others change the tenant behind an answer that a scan goes by.
    fn drift_behind(&self, path: &str) {
        let people_too = path == export::PATH;
        if !people_too && path != accounts::PATH {
            return;
        }
        let drift = self.settings().drift;
        self.tenant.edit(if people_too {
            drift
        } else {
            drift.of_business()
        });
    }

    /// Counts what became of a request; `log` is there for one of the export.
    fn count(&self, treated: &Treated, log: Option<ExportRequest>) {
        let Treated { answer, struck, .. } = treated;
        let damaged = answer.is_none()
            || matches!(
                struck,
                Some(Fault::Truncate | Fault::InvalidJson | Fault::Html | Fault::ForbiddenHtml)
            );
        let mut stats = self.stats.lock();
        if let Some(fault) = struck {
            *stats.faults.entry(*fault).or_default() += 1;
        }
        if let Some(answer) = answer {
            *stats.by_status.entry(answer.status).or_default() += 1;
        }
        if let Some(mut log) = log {
            log.status = answer.as_ref().map_or(0, |answer| answer.status);
            log.users = answer.as_ref().map_or(0, |answer| answer.users);
            log.damaged = damaged;
            stats.export(log);
        }
    }

    /// The response as the fault leaves it; the connection ends where there is none.
    fn send(&self, treated: Treated, cut: &Cut) -> Result<Response<Body>, Broken> {
        let Some(answer) = treated.answer else {
            cut.cut();
            return Err(Broken);
        };
        let struck = treated.struck;
        if struck == Some(Fault::Truncate) {
            return self.truncate(answer, treated.form);
        }
        if !matches!(struck, Some(Fault::Throttle | Fault::Crowded)) {
            return self.dress(answer);
        }
        let after = self.settings().faults.retry_after_header((self.clock.0)());
        let mut response = self.dress(answer)?;
        if let Some(after) = after.and_then(|after| after.parse().ok()) {
            response.headers_mut().insert(RETRY_AFTER, after);
        }
        Ok(response)
    }

    fn next_fate(&self, writes: bool) -> Fate {
        let mut settings = self.settings();
        settings.drawn += 1;
        let number = settings.drawn;
        settings.faults.fate(self.tenant.seed(), number, writes)
    }

    /// The answer a fault leaves of an operation, none when the connection is to be reset.
    fn answer_under(
        &self,
        fault: Option<Fault>,
        form: u64,
        operate: impl FnOnce() -> Answer,
    ) -> Option<Answer> {
        Some(match fault {
            None | Some(Fault::Truncate) => operate(),
            Some(Fault::InvalidJson) => {
                let mut answer = operate();
                // Whatever the JSON was, it is none with its last bracket gone and this in its
                // place.
                answer.body.pop();
                answer.body.extend_from_slice(b",}");
                answer.status = 200;
                answer
            }
            Some(Fault::Reset) => {
                if form.is_multiple_of(2) {
                    operate();
                }
                return None;
            }
            Some(Fault::LostBefore) => faults::lost(form)?,
            Some(Fault::LostAfter) => {
                operate();
                faults::lost(form)?
            }
            Some(Fault::Throttle | Fault::Crowded) => Answer::error(429, "too many requests"),
            Some(Fault::ServerError) => {
                let status = faults::server_error(form >> 1);
                if form.is_multiple_of(2) {
                    Answer::html(status, faults::gateway_page(status))
                } else {
                    Answer::error(status, "something went wrong")
                }
            }
            Some(Fault::Html) => {
                let mut answer = Answer::html(200, faults::gateway_page(200));
                if form.is_multiple_of(4) {
                    answer.content_type = "application/json";
                }
                answer
            }
            Some(Fault::ForbiddenHtml) => Answer::html(403, CLOUDFLARE_PAGE),
        })
    }

    fn head(&self, status: u16, content_type: &'static str) -> hyper::http::response::Builder {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Response::builder()
            .status(status)
            .header(CONTENT_TYPE, content_type)
            .header(DATE, httpdate::fmt_http_date((self.clock.0)()))
    }

    /// A whole response.
    pub(super) fn dress(&self, answer: Answer) -> Result<Response<Body>, Broken> {
        let body = Full::new(Bytes::from(answer.body))
            .map_err(|never| match never {})
            .boxed_unsync();
        self.head(answer.status, answer.content_type)
            .body(body)
            .map_err(|_| Broken)
    }

    /// A response without an announced length.
    pub(super) fn stream(
        &self,
        content_type: &'static str,
        parts: impl futures::Stream<Item = Result<Bytes, Broken>> + Send + 'static,
    ) -> Result<Response<Body>, Broken> {
        let frames = futures::StreamExt::map(parts, |part| part.map(Frame::data));
        let body = StreamBody::new(frames).boxed_unsync();
        self.head(200, content_type).body(body).map_err(|_| Broken)
    }

    /// A response that stops in the middle: of its announced length, or of its chunks.
    fn truncate(&self, mut answer: Answer, form: u64) -> Result<Response<Body>, Broken> {
        let length = answer.body.len();
        answer.body.truncate(length / 2);
        let half = Bytes::from(answer.body);
        let parts = futures::stream::unfold(Some(half), |left| async move {
            match left {
                Some(half) => Some((Ok(Frame::data(half)), None)),
                None => {
                    tokio::time::sleep(LAST_WORDS).await;
                    Some((Err(Broken), None))
                }
            }
        });
        let mut head = self.head(answer.status, answer.content_type);
        if form.is_multiple_of(2) {
            head = head.header(CONTENT_LENGTH, length);
        }
        head.body(StreamBody::new(parts).boxed_unsync())
            .map_err(|_| Broken)
    }
}
