//! What an answer says of itself counts in whatever form it says it: more items than it shows,
//! another page, a part. And a run that heard nothing is no witness.

use serde_json::{Value, json};

use crate::support::scripted_zephr::{Canned, Scripted, Tenant};
use crate::support::{Mirror, Program};

const HOOKS: &str = "/v3/hooks";

const JOB: &str =
    "resource = 'list'\npath = '/v3/hooks'\ntable = 'hooks'\nkey = 'id'\npaging = 'none'\n";

fn hooks(count: usize) -> Vec<Value> {
    let items = 0..count;
    items
        .map(|id| json!({ "id": format!("h-{id:03}") }))
        .collect()
}

async fn run(program: &Program, job: &str) -> (Option<i32>, Value) {
    let ended = program.run(&["sync", job, "--json"]).await;
    let document: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
    (ended.code, document["runs"][0].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_says_that_there_is_more_is_not_whole() {
    let server = Scripted::start(Tenant::default()).await;
    let mirror = Mirror::new().await;
    let program = server.program(&mirror).job("hooks", JOB);
    for (sign, is_more) in [
        (json!({}), false),
        (json!({ "total": 20 }), false),
        (
            json!({ "has_more": false, "links": { "next": null } }),
            false,
        ),
        (json!({ "total": 50 }), true),
        (json!({ "total": "50" }), true),
        (json!({ "total": 50.0 }), true),
        (json!({ "total_count": 50 }), true),
        (json!({ "meta": { "count": 5e1 } }), true),
        (json!({ "meta": { "total": 50 } }), true),
        (json!({ "links": { "next": "/v3/hooks?page=2" } }), true),
        (
            json!({ "links": { "next": { "href": "/v3/hooks?page=2" } } }),
            true,
        ),
        (
            json!({ "links": { "next": { "url": "/v3/hooks?page=2" } } }),
            true,
        ),
        (json!({ "next": "/v3/hooks?page=2" }), true),
        (json!({ "has_more": true }), true),
        (json!({ "pagination": { "nextToken": "x" } }), true),
    ] {
        let mut body = sign.clone();
        body["results"] = json!(hooks(20));
        server.answers(HOOKS, Canned::json(200, &body.to_string()));
        let (code, run) = run(&program, "hooks").await;
        let expected = if is_more {
            (Some(1), json!("incomplete"))
        } else {
            (Some(0), json!("proven"))
        };
        assert_eq!((code, run["verdict"].clone()), expected, "{sign}: {run}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_part_and_one_with_two_lists_are_none() {
    let server = Scripted::start(Tenant::default()).await;
    let mirror = Mirror::new().await;
    let program = server.program(&mirror).job("hooks", JOB);
    let whole = json!({ "results": hooks(20) }).to_string();
    let two = json!({ "results": hooks(20), "items": hooks(30) }).to_string();
    let beside = json!({ "results": [], "data": hooks(50) }).to_string();
    for (answer, said) in [
        (Canned::json(206, &whole), "206 Partial Content"),
        (Canned::json(202, &whole), "202 Accepted"),
        (
            Canned::json(200, &two),
            "more than one of results, items and data",
        ),
        (
            Canned::json(200, &beside),
            "more than one of results, items and data",
        ),
    ] {
        server.answers(HOOKS, answer);
        let (code, run) = run(&program, "hooks").await;
        assert_eq!(code, Some(1), "{said}: {run}");
        assert!(run["error"].to_string().contains(said), "{said}: {run}");
    }
}

/// An API that comes back from an outage first empty and then half filled.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_a_brake_stopped_is_no_witness() {
    for (before, after) in [(400, 392), (5, 1)] {
        let server = Scripted::start(Tenant::default()).await;
        let mirror = Mirror::new().await;
        let program = server.program(&mirror).job("hooks", JOB);
        let answers = |count: usize| {
            let body = json!({ "results": hooks(count) }).to_string();
            server.answers(HOOKS, Canned::json(200, &body));
        };
        let living = "select count(*) from hooks where _zephr_deleted_at is null";
        answers(before);
        assert_eq!(run(&program, "hooks").await.0, Some(0));
        answers(0);
        assert_eq!(run(&program, "hooks").await.0, Some(4));
        answers(after);
        let (code, first) = run(&program, "hooks").await;
        assert_eq!(code, Some(0), "{first}");
        assert_eq!(mirror.value::<i64>(living).await, before as i64, "{first}");
        let (code, second) = run(&program, "hooks").await;
        assert_eq!(code, Some(0), "{second}");
        assert_eq!(mirror.value::<i64>(living).await, after as i64, "{second}");
        mirror.remove().await;
    }
}
