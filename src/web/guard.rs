//! What each request has to show before anybody looks at it, and what each answer tells a browser.
//!
//! - **Whose host.** A page of somebody else can have its name point to this machine (DNS
//!   rebinding), and would then be of our origin to a browser. Its name is still in `Host`, so a
//!   name that is not ours is refused. An address in `Host` is nobody's name.
//! - **Who asks.** With a token, everything but health and the empty page wants it, or the cookie
//!   that a browser was given for it.
//! - **From where.** What changes anything wants a header that no form and no link can send, and an
//!   origin, where a browser tells one, that is this page's.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HOST, ORIGIN,
    REFERRER_POLICY, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::answer::Problem;
use super::settings::Settings;
use super::token::{self, Gate, Refusal};
use super::{Page, page};

/// The header that requests carry which change something. A page of another origin cannot send it
/// without asking us first, and we never say yes.
pub(super) const OURS: &str = "x-zephr-sync";

/// What needs no token: health, which says nothing that matters; the page, which is empty without
/// the API; and where the token is shown.
const OPEN: [&str; 4] = [page::PATH, "/healthz", "/readyz", "/api/session"];

/// Looks at a request, has it answered, and dresses the answer.
pub(super) async fn guard(State(page): State<Arc<Page>>, request: Request, next: Next) -> Response {
    let (method, uri) = (request.method(), request.uri());
    let answer = match admit(&page, method, uri, request.headers()).await {
        Ok(()) => next.run(request).await,
        Err(refused) => refused,
    };
    dressed(answer)
}

async fn admit(
    page: &Page,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), Response> {
    let host = host(uri, headers).filter(|host| is_ours(host, &page.settings));
    let Some(host) = host else {
        return Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "this page is not at the address that was asked for",
            "Ask for it by an IP address or as localhost, or add the name to `allowed_hosts` in the settings (ZEPHR_SYNC_ALLOWED_HOSTS).",
        )
        .into_response());
    };
    if !matches!(*method, Method::GET | Method::HEAD) {
        from_here(headers, &host, &page.settings).map_err(IntoResponse::into_response)?;
    }
    if OPEN.contains(&uri.path()) {
        return Ok(());
    }
    let known = shown(&page.gate, headers).await;
    known.map_err(|refusal| refused(refusal, !headers.contains_key(AUTHORIZATION)))
}

/// The name that was asked for; none if there is not exactly one.
fn host(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let mut named = headers.get_all(HOST).iter();
    let host = named.next()?.to_str().ok()?.parse::<Authority>().ok()?;
    // What a proxy is asked, `GET http://host/`, names it twice.
    let agrees = uri.authority().is_none_or(|asked| *asked == host);
    (named.next().is_none() && agrees && !host.as_str().contains('@')).then_some(host)
}

fn is_ours(host: &Authority, settings: &Settings) -> bool {
    let name = host.host().trim_end_matches('.');
    let address = name.trim_start_matches('[').trim_end_matches(']');
    match address.parse::<IpAddr>() {
        Ok(address) => {
            let listen = settings.listen.ip();
            address.is_loopback() || listen.is_unspecified() || address == listen
        }
        Err(_) => name.eq_ignore_ascii_case("localhost") || is_allowed(name, settings),
    }
}

fn is_allowed(name: &str, settings: &Settings) -> bool {
    let mut allowed = settings.allowed_hosts.iter();
    allowed.any(|allowed| allowed.trim_end_matches('.').eq_ignore_ascii_case(name))
}

/// Whether this page sent what changes something.
fn from_here(headers: &HeaderMap, host: &Authority, settings: &Settings) -> Result<(), Problem> {
    let refused = |error: &str| {
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            error,
            "Use the page itself; a program sends the header `X-Zephr-Sync: 1` and no `Origin`.",
        ))
    };
    if headers.get(OURS).is_none_or(|value| value != "1") {
        return refused("the header X-Zephr-Sync is missing");
    }
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return refused("the request came from another page");
    }
    match headers.get(ORIGIN) {
        None => Ok(()),
        Some(origin) => {
            let origin = origin
                .to_str()
                .ok()
                .and_then(|origin| origin.parse::<Uri>().ok());
            let authority = origin.as_ref().and_then(Uri::authority);
            // Behind a proxy that names another host to us, the browser still tells the name it
            // knows.
            match authority {
                Some(of) if of == host || is_allowed(of.host(), settings) => Ok(()),
                Some(_) | None => refused("the request came from another page"),
            }
        }
    }
}

/// Whether the request shows the token, or the cookie for it.
async fn shown(gate: &Gate, headers: &HeaderMap) -> Result<(), Refusal> {
    if !gate.is_closed() || sessions(headers).any(|session| gate.is_session(session)) {
        return Ok(());
    }
    match headers.get(AUTHORIZATION).map(HeaderValue::to_str) {
        Some(Ok(value)) => match value.split_once(' ') {
            Some((scheme, given)) if scheme.eq_ignore_ascii_case("bearer") => {
                gate.try_token(given.trim()).await
            }
            Some(_) | None => Err(Refusal::Wrong),
        },
        Some(Err(_)) | None => Err(Refusal::Wrong),
    }
}

/// The values of our cookie.
fn sessions(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let cookies = headers.get_all(COOKIE).iter();
    let pairs = cookies
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(|cookies| cookies.split(';'));
    pairs.filter_map(|pair| pair.trim().strip_prefix(token::COOKIE)?.strip_prefix('='))
}

/// What a refusal is answered with.
pub(super) fn refused(refusal: Refusal, nothing_shown: bool) -> Response {
    match refusal {
        Refusal::Wrong => {
            let error = if nothing_shown {
                "this needs the token of the daemon"
            } else {
                "this is not the token of the daemon"
            };
            let remedy = "Sign in on the page; a program sends it as `Authorization: Bearer …`. It is what ZEPHR_SYNC_TOKEN, or the file named by ZEPHR_SYNC_TOKEN_FILE, says.";
            let problem = Problem::new(StatusCode::UNAUTHORIZED, error, remedy);
            ([(WWW_AUTHENTICATE, "Bearer")], problem).into_response()
        }
        Refusal::TooMany => {
            let problem = Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too many wrong tokens come at once",
                "Try again in a second.",
            );
            ([(RETRY_AFTER, "1")], problem).into_response()
        }
    }
}

/// What every answer tells a browser.
fn dressed(answer: Response) -> Response {
    let mut answer = explained(answer);
    let headers = answer.headers_mut();
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // The page has its own, which lets it run its own script.
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(
            "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ));
    answer
}

/// Errors that no handler of ours made, as JSON too.
fn explained(answer: Response) -> Response {
    let status = answer.status();
    let json = answer
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|value| value == "application/json");
    if json || !(status.is_client_error() || status.is_server_error()) {
        return answer;
    }
    let (error, remedy) = match status {
        StatusCode::NOT_FOUND => (
            "there is nothing at this path",
            "/api/openapi.json lists what there is.",
        ),
        StatusCode::METHOD_NOT_ALLOWED => (
            "this path does not take this method",
            "/api/openapi.json lists what there is.",
        ),
        StatusCode::PAYLOAD_TOO_LARGE => ("the request is too large", ""),
        other => (
            other.canonical_reason().unwrap_or("the request failed"),
            "/api/openapi.json tells what is expected.",
        ),
    };
    let mut problem = Problem::new(status, error, remedy).into_response();
    if let Some(allowed) = answer.headers().get(axum::http::header::ALLOW) {
        problem
            .headers_mut()
            .insert(axum::http::header::ALLOW, allowed.clone());
    }
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(listen: &str, allowed: &[&str]) -> Settings {
        Settings {
            listen: listen.parse().unwrap(),
            token: None,
            allowed_hosts: allowed.iter().map(|&name| name.to_owned()).collect(),
            max_upload_bytes: 0,
        }
    }

    #[test]
    fn a_name_is_ours_or_it_is_refused() {
        let here = settings("127.0.0.1:8087", &["sync.example.com"]);
        for ours in [
            "127.0.0.1:8087",
            "localhost",
            "LOCALHOST:1",
            "[::1]:8087",
            "sync.example.com",
            "Sync.Example.com.:443",
        ] {
            assert!(is_ours(&ours.parse().unwrap(), &here), "{ours}");
        }
        for other in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "192.0.2.1",
            "x.sync.example.com",
            "0x7f000001",
        ] {
            assert!(!is_ours(&other.parse().unwrap(), &here), "{other}");
        }
        let everywhere = settings("0.0.0.0:8087", &[]);
        assert!(is_ours(&"192.0.2.1:8087".parse().unwrap(), &everywhere));
        assert!(!is_ours(&"evil.example".parse().unwrap(), &everywhere));
    }

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            (
                name.parse::<HeaderName>().unwrap(),
                value.parse::<HeaderValue>().unwrap(),
            )
        });
        pairs.collect()
    }

    #[test]
    fn only_this_page_changes_anything() {
        let settings = settings("127.0.0.1:8087", &["sync.example.com"]);
        let host: Authority = "127.0.0.1:8087".parse().unwrap();
        for (fine, pairs) in [
            (true, &[(OURS, "1")][..]),
            (
                true,
                &[
                    (OURS, "1"),
                    ("origin", "http://127.0.0.1:8087"),
                    ("sec-fetch-site", "same-origin"),
                ],
            ),
            (true, &[(OURS, "1"), ("origin", "https://sync.example.com")]),
            (false, &[]),
            (false, &[(OURS, "2")]),
            (
                false,
                &[
                    ("origin", "http://127.0.0.1:8087"),
                    ("sec-fetch-site", "same-origin"),
                ],
            ),
            (false, &[(OURS, "1"), ("origin", "http://127.0.0.1:9999")]),
            (false, &[(OURS, "1"), ("origin", "null")]),
            (false, &[(OURS, "1"), ("origin", "https://evil.example")]),
            (false, &[(OURS, "1"), ("sec-fetch-site", "same-site")]),
            (false, &[(OURS, "1"), ("sec-fetch-site", "cross-site")]),
        ] {
            assert_eq!(
                from_here(&headers(pairs), &host, &settings).is_ok(),
                fine,
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn one_host_is_named() {
        let named = |uri: &str, pairs: &[(&str, &str)]| {
            host(&uri.parse().unwrap(), &headers(pairs)).is_some()
        };
        assert!(named("/", &[("host", "localhost")]));
        assert!(named("http://localhost/", &[("host", "localhost")]));
        assert!(!named("http://evil.example/", &[("host", "localhost")]));
        assert!(!named("/", &[]));
        assert!(!named("/", &[("host", "evil@localhost")]));
        let mut twice = headers(&[("host", "localhost")]);
        twice.append(HOST, HeaderValue::from_static("evil.example"));
        assert!(host(&"/".parse().unwrap(), &twice).is_none());
    }

    #[test]
    fn our_cookie_is_found_among_others() {
        let cookies = headers(&[(
            "cookie",
            "a=1; zephr_sync_session=x.y; zephr_sync_session2=z",
        )]);
        assert_eq!(sessions(&cookies).collect::<Vec<_>>(), ["x.y"]);
    }
}
