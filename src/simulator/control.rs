//! Truth and control for tests in another process: `/_simulator/…`, unsigned, never faulty, in no count.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Response;
use serde::de::DeserializeOwned;

use super::answer::Answer;
use super::list::List;
use super::server::{Body, Broken, Server};

/// Bytes of truth rendered at a time; a million people never stand in memory together.
const TRUTH_PART: usize = 256 << 10;

pub(super) fn respond(
    server: &Arc<Server>,
    method: &str,
    path: &str,
    body: &[u8],
) -> Result<Response<Body>, Broken> {
    let answer = match (method, path) {
        ("GET", "truth") => return truth(server),
        ("GET", _) if path.starts_with("truth/") => {
            let name = path.trim_start_matches("truth/");
            match name.parse() {
                Ok(list) => return truth_of(server, list),
                Err(unknown) => Answer::error(404, &format!("{unknown}: {name}")),
            }
        }
        ("POST", "schema") => match std::str::from_utf8(body) {
            Ok(text) => match server.tenant.set_schema(text) {
                Ok(()) => Answer::message(200, "replaced"),
                Err(error) => Answer::error(400, &error.to_string()),
            },
            Err(error) => Answer::error(400, &error.to_string()),
        },
        ("POST", "hide") => with(body, |lists: Vec<List>| {
            server.tenant.hide_only(&lists);
            json(&lists)
        }),
        ("GET", "stats") => json(&*server.stats.lock()),
        ("GET", "faults") => json(&server.settings().faults),
        ("GET", "behaviour") => json(server.tenant.behaviour()),
        ("POST", "edit") => with(body, |edits| json(&server.tenant.edit(edits))),
        ("POST", "drift") => with(body, |drift| {
            server.settings().drift = drift;
            json(&drift)
        }),
        ("POST", "faults") => with(body, |faults| {
            let answer = json(&faults);
            server.settings().faults = faults;
            answer
        }),
        _ => Answer::error(
            404,
            "truth, truth/LIST, stats, behaviour, edit, schema, hide, drift and faults are here",
        ),
    };
    server.dress(answer)
}

fn json(value: &impl serde::Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(body) => Answer::json(200, body),
        Err(error) => Answer::error(500, &error.to_string()),
    }
}

fn with<T: DeserializeOwned>(body: &[u8], act: impl FnOnce(T) -> Answer) -> Answer {
    match serde_json::from_slice(body) {
        Ok(value) => act(value),
        Err(error) => Answer::error(400, &error.to_string()),
    }
}

/// Living people in index order, each part from one state; edits made while it streams may show in later parts.
fn truth(server: &Arc<Server>) -> Result<Response<Body>, Broken> {
    let tenant = Arc::clone(&server.tenant);
    let parts = futures::stream::unfold(Some(0), move |next| {
        let tenant = Arc::clone(&tenant);
        async move {
            let mut part = Vec::with_capacity(TRUTH_PART + 2048);
            let next = tenant.truth_part(&mut part, next?, TRUTH_PART);
            Some((Ok(Bytes::from(part)), next))
        }
    });
    server.stream("application/x-ndjson", parts)
}

/// The rows of a list, each part from one state.
fn truth_of(server: &Arc<Server>, list: List) -> Result<Response<Body>, Broken> {
    let tenant = Arc::clone(&server.tenant);
    let parts = futures::stream::unfold(Some(0), move |next| {
        let tenant = Arc::clone(&tenant);
        async move {
            let mut part = Vec::with_capacity(TRUTH_PART + 2048);
            let next = tenant.truth_of_part(&mut part, list, next?, TRUTH_PART);
            Some((Ok(Bytes::from(part)), next))
        }
    });
    server.stream("application/x-ndjson", parts)
}
