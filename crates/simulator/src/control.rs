//! Truth and control for tests in another process: `/_simulator/…`, unsigned, never faulty, in no
//! count.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use hyper::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::answer::Answer;
use super::identity;
use super::list::List;
use super::server::{Body, Broken, Server};
use super::tenant::Tenant;

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
        ("GET", "truth/bulk") => return bulk_applied(server),
        ("GET", _) if path.starts_with("truth/") => {
            let name = path.trim_start_matches("truth/");
            match name.parse() {
                Ok(list) => return truth_of(server, list),
                Err(unknown) => Answer::error(404, &format!("{unknown}: {name}")),
            }
        }
        ("POST", "schema") => set_schema(server, body),
        ("POST", "hide") => with(body, |lists: Vec<List>| {
            server.tenant.hide_only(&lists);
            json(&lists)
        }),
        ("GET", "stats") => json(&server.stats()),
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
        ("POST", "set") => with(body, |set| set_attributes(server, set)),
        ("POST", "recreate") => with(body, |somebody| recreate(server, &somebody)),
        ("POST", "finish-jobs") => {
            server.tenant.finish_jobs();
            Answer::message(200, "finished")
        }
        _ => Answer::error(
            404,
            "truth, truth/LIST, truth/bulk, stats, behaviour, edit, schema, hide, drift, faults, set, recreate and \
             finish-jobs are here",
        ),
    };
    server.dress(answer)
}

/// Whom a control is about, by the UUID behind what the export shows.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Somebody {
    user_id: String,
}

/// Attributes to set and to remove of one person, by the `user_id` the export shows.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    user_id: String,
    #[serde(default)]
    attributes: BTreeMap<String, Box<RawValue>>,
    #[serde(default)]
    clear: Vec<String>,
}

/// Replaces the tenant's user schema.
fn set_schema(server: &Server, body: &[u8]) -> Answer {
    let replaced = match std::str::from_utf8(body) {
        Ok(text) => server.tenant.set_schema(text),
        Err(error) => return Answer::error(400, &error.to_string()),
    };
    match replaced {
        Ok(()) => Answer::message(200, "replaced"),
        Err(error) => Answer::error(400, &error.to_string()),
    }
}

/// Has another person come under the user id of one who was deleted.
fn recreate(server: &Server, somebody: &Somebody) -> Answer {
    let tenant = &server.tenant;
    let index = identity::index_of_user_id(tenant.seed(), &somebody.user_id);
    if index.is_some_and(|index| tenant.recreate(index)) {
        Answer::message(200, "recreated")
    } else {
        Answer::error(404, "nobody deleted had this user id")
    }
}

fn set_attributes(server: &Server, set: Set) -> Answer {
    let tenant = &server.tenant;
    match tenant.index_of(&set.user_id) {
        Some(index)
            if tenant.set_attributes(index, set.attributes)
                && tenant.clear_attributes(index, set.clear) =>
        {
            Answer::message(200, "set")
        }
        _ => Answer::error(404, "no such user"),
    }
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

/// Living people in index order, each part from one state; edits made while it streams may show in
/// later parts.
fn truth(server: &Arc<Server>) -> Result<Response<Body>, Broken> {
    server.tenant.run_due_jobs();
    lines(server, 0, |tenant, part, from| {
        tenant.truth_part(part, from, TRUTH_PART)
    })
}

/// The rows of a list, each part from one state.
fn truth_of(server: &Arc<Server>, list: List) -> Result<Response<Body>, Broken> {
    server.tenant.run_due_jobs();
    lines(server, 0, move |tenant, part, from| {
        tenant.truth_of_part(part, list, from, TRUTH_PART)
    })
}

/// What bulk updates did, in the order they did it.
fn bulk_applied(server: &Arc<Server>) -> Result<Response<Body>, Broken> {
    lines(server, 0, |tenant, part, from| {
        tenant.bulk_applied_part(part, from, TRUTH_PART)
    })
}

/// Lines of JSON, made a part at a time: each call appends from a place on and says where to go on.
fn lines<P: Send + 'static>(
    server: &Arc<Server>,
    from: P,
    make: impl Fn(&Tenant, &mut Vec<u8>, P) -> Option<P> + Clone + Send + 'static,
) -> Result<Response<Body>, Broken> {
    let tenant = Arc::clone(&server.tenant);
    let parts = futures::stream::unfold(Some(from), move |next| {
        let (tenant, make) = (Arc::clone(&tenant), make.clone());
        async move {
            let mut part = Vec::with_capacity(TRUTH_PART + 2048);
            let next = make(&tenant, &mut part, next?);
            Some((Ok(Bytes::from(part)), next))
        }
    });
    server.stream("application/x-ndjson", parts)
}
