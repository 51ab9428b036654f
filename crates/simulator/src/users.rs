//! Users one at a time, and their schema (contract 6.1, 6.3, 6.4, 6.6, 7).

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::answer::Answer;
use super::behaviour::{Boundary, Lookup};
use super::json;
use super::ranking::{Filter, person};
use super::routes::Call;

/// `GET /v3/users/{user_id}`: the bare user, 404 when missing or deleted.
pub(super) fn read(call: &Call<'_>) -> Answer {
    call.tenant
        .look(|people| match people.by_user_id(call.param(0)) {
            Some(index) if !call.tenant.hides_single_users() => {
                let mut body = Vec::new();
                people.user(&mut body, index, true);
                Answer::json(200, body)
            }
            Some(_) | None => Answer::error(404, "no such user"),
        })
}

/// `GET /v3/users`: an exact lookup, or a page of everybody.
pub(super) fn search(call: &Call<'_>) -> Answer {
    let by_email = call
        .query
        .get("identifiers.email_address")
        .map(|text| (text, false));
    let by_name = call
        .query
        .get("identifiers.username")
        .map(|text| (text, true));
    match by_email.or(by_name) {
        Some((text, username)) => lookup(call, text, username),
        None => list(call),
    }
}

fn lookup(call: &Call<'_>, text: &str, username: bool) -> Answer {
    let bare = call.tenant.behaviour().lookup == Lookup::Object;
    call.tenant.look(|people| {
        let found = people.by_identifier(text, username);
        if bare && found.is_none() {
            return Answer::error(404, "no such user");
        }
        let mut body = Vec::new();
        if !bare {
            json::raw(&mut body, "{\"results\":[");
        }
        if let Some(index) = found {
            people.user(&mut body, index, true);
        }
        if !bare {
            json::raw(&mut body, "]}");
        }
        Answer::json(200, body)
    })
}

fn list(call: &Call<'_>) -> Answer {
    let (rpp, page) = match (call.query.count("rpp"), call.query.count("page")) {
        (Ok(rpp), Ok(page)) => (rpp.unwrap_or(50) as usize, page.unwrap_or(1) as usize),
        (Err(reason), _) | (_, Err(reason)) => return Answer::error(400, &reason),
    };
    let behaviour = call.tenant.behaviour();
    let everybody = Filter {
        inclusive: behaviour.boundary == Boundary::Inclusive,
        ..Filter::default()
    };
    let offset = (page - 1).saturating_mul(rpp).min(1 << 40);
    call.tenant.page(
        everybody,
        behaviour.order,
        offset,
        rpp,
        |people, selected| {
            let mut body = Vec::new();
            json::raw(&mut body, "{\"results\":[");
            for (at, row) in selected.rows.iter().enumerate() {
                if at > 0 {
                    body.push(b',');
                }
                people.user(&mut body, person(*row), true);
            }
            json::raw(&mut body, "]}");
            Answer::json(200, body)
        },
    )
}

/// `PATCH /v3/users/{user_id}/attributes`: slugs not named stay.
pub(super) fn patch_attributes(call: &Call<'_>) -> Answer {
    let values: BTreeMap<String, Box<RawValue>> = match serde_json::from_slice(call.body) {
        Ok(values) => values,
        Err(_) => return Answer::error(400, "the body is not an object of attributes"),
    };
    match call.tenant.index_of(call.param(0)) {
        Some(index) if call.tenant.set_attributes(index, values) => {
            Answer::message(200, "The user attributes were updated")
        }
        _ => Answer::error(404, "no such user"),
    }
}

/// `DELETE /v3/users/{user_id}`.
pub(super) fn delete(call: &Call<'_>) -> Answer {
    match call.tenant.index_of(call.param(0)) {
        Some(index) if call.tenant.delete(index) => Answer::message(200, "The user was deleted"),
        _ => Answer::error(404, "no such user"),
    }
}
