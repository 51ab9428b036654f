//! The operations the simulator knows: a table of method, path and handler. A new operation is a
//! line here and a function.

use super::accounts;
use super::answer::Answer;
use super::auth::Signed;
use super::catalog;
use super::event_export;
use super::export;
use super::grants;
use super::lists;
use super::members;
use super::query::{self, Query};
use super::schema;
use super::segments;
use super::tenant::Tenant;
use super::user_updates;
use super::users;

/// A request that was let in, as handlers see it.
pub(super) struct Call<'a> {
    pub tenant: &'a Tenant,
    /// What stood in the places of `{}`, decoded.
    pub params: Vec<String>,
    pub query: Query,
    /// What the request says its body is.
    pub content_type: Option<&'a str>,
    pub body: &'a [u8],
}

impl Call<'_> {
    /// The path parameter at a position; the table guarantees that it is there.
    pub(super) fn param(&self, at: usize) -> &str {
        self.params.get(at).map(String::as_str).unwrap_or_default()
    }
}

type Handler = fn(&Call<'_>) -> Answer;

/// Earlier lines win, so a fixed path stands above one with a parameter in its place.
const ROUTES: &[(&str, &str, Handler)] = &[
    ("GET", export::PATH, export::export),
    ("GET", "/v3/users", users::search),
    ("GET", "/v3/users/{}", users::read),
    ("DELETE", "/v3/users/{}", users::delete),
    ("PATCH", "/v3/users/{}/attributes", users::patch_attributes),
    ("GET", "/v3/users/{}/accounts", members::of_user),
    ("GET", "/v3/users/{}/grants", grants::of_user),
    ("GET", "/v3/users/{}/sessions", lists::sessions),
    ("GET", "/v3/users/{}/profile/{}", lists::profile),
    ("GET", "/v3/schema/users", schema::read),
    ("GET", accounts::PATH, accounts::list),
    ("GET", "/v3/accounts/{}", accounts::read),
    ("GET", "/v3/accounts/{}/users", members::of_account),
    ("GET", "/v3/accounts/{}/grants", grants::of_account),
    ("GET", "/v4/user-export", event_export::export),
    ("GET", "/v4/users/segments", segments::list),
    ("GET", "/v4/users/segments/{}", segments::read),
    ("GET", "/v4/users/{}/segments", segments::of_user),
    ("POST", user_updates::PATH, user_updates::accept),
    ("GET", user_updates::PATH, user_updates::list),
    ("GET", "/v4/user-updates/{}", user_updates::read),
    ("GET", "/v3/companies", catalog::companies),
    ("GET", "/v4/companies/{}", catalog::read_company),
    ("GET", "/v3/products", catalog::products),
    ("GET", "/v3/bundles", catalog::bundles),
    ("GET", "/v3/entitlements", catalog::entitlements),
    ("GET", "/v3/meters", catalog::meters),
    ("GET", "/v3/credits", catalog::credits),
    ("GET", "/v3/webhooks", lists::list_webhooks),
    ("GET", "/v3/rules/request", lists::list_request_rules),
];

/// The parameters of a path if it has the form of a pattern.
fn fit(pattern: &str, path: &str) -> Option<Vec<String>> {
    let mut params = Vec::new();
    let mut parts = path.split('/');
    for wanted in pattern.split('/') {
        let part = parts.next()?;
        if wanted == "{}" && !part.is_empty() {
            params.push(query::decode(&part.replace('+', "%2B")));
        } else if wanted != part {
            return None;
        }
    }
    parts.next().is_none().then_some(params)
}

/// The pattern a request is counted under; none for what no operation has.
pub(super) fn pattern(method: &str, path: &str) -> Option<&'static str> {
    let (_, pattern, _) = ROUTES
        .iter()
        .find(|(wanted, pattern, _)| *wanted == method && fit(pattern, path).is_some())?;
    Some(pattern)
}

/// The reading operations of these patterns, a bit for each by its place in the table.
pub(super) fn reading(patterns: &[&str]) -> u64 {
    let places = ROUTES.iter().enumerate();
    let wanted =
        places.filter(|(_, (method, pattern, _))| *method == "GET" && patterns.contains(pattern));
    wanted.fold(0, |all, (place, _)| all | 1 << place)
}

/// Carries out a request.
pub(super) fn route(tenant: &Tenant, signed: Signed<'_>, content_type: Option<&str>) -> Answer {
    let Signed {
        method,
        path,
        query,
        body,
    } = signed;
    let mut known = false;
    for (place, (wanted, pattern, handler)) in ROUTES.iter().enumerate() {
        let Some(params) = fit(pattern, path) else {
            continue;
        };
        known = true;
        if *wanted == method && tenant.loses(place) {
            return Answer::error(404, "no such path");
        }
        if *wanted == method {
            return handler(&Call {
                tenant,
                params,
                query: Query::parse(query),
                content_type,
                body,
            });
        }
    }
    if known {
        Answer::error(405, "this path does not know the method")
    } else {
        Answer::error(404, "no such path")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_fit_their_patterns() {
        assert_eq!(
            fit("/v3/users/{}", "/v3/users/a%20b"),
            Some(vec!["a b".to_owned()])
        );
        assert_eq!(fit("/v3/users/{}", "/v3/users/"), None);
        assert_eq!(fit("/v3/users/{}", "/v3/users/a/b"), None);
        assert_eq!(fit("/v3/users", "/v3/users"), Some(vec![]));
    }
}
