//! Any request to the Admin API, signed and retried; lists by page.

use std::collections::BTreeSet;

use simulator::{Faults, Options, Shape};

use crate::support::{Mirror, Program, people, tenant, truth};

/// No database is used.
fn nowhere() -> Mirror {
    Mirror {
        url: "postgres://nobody@127.0.0.1:9/nothing".into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_printed_as_it_came() {
    let simulator = people(10).await;
    let shown = Program::between(&simulator, &nowhere())
        .run(&["api", "GET", "/v3/schema/users"])
        .await
        .expect(0)
        .json();
    assert!(
        shown
            .as_array()
            .is_some_and(|fields| fields.iter().any(|field| field["slug"] == "telephone")),
        "{shown:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_printed_item_by_item_each_once_on_a_line() {
    let faults = Faults {
        server_error: 10.0,
        reset: 10.0,
        ..Faults::default()
    };
    let simulator = tenant(Options {
        shape: Shape {
            people: 1_234,
            ..Shape::default()
        },
        faults,
        ..Options::default()
    })
    .await;
    let program = Program::between(&simulator, &nowhere());

    let shown = program
        .run(&[
            "api",
            "GET",
            "/v3/user-export?attributes=true",
            "--paginate",
            "--rpp",
            "100",
        ])
        .await
        .expect(0)
        .stdout;

    let lines: Vec<&str> = shown.lines().collect();
    let keys: BTreeSet<String> = lines.iter().filter_map(|line| truth::key(line)).collect();
    assert_eq!(lines.len(), 1_234);
    assert_eq!(keys, truth::keys(&simulator.tenant()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_a_failure_with_a_remedy() {
    let simulator = people(10).await;
    let program = Program::between(&simulator, &nowhere());
    let document = program
        .run(&["api", "GET", "/v3/no-such-thing", "--json"])
        .await
        .expect(1)
        .json();
    assert!(
        document["error"]
            .as_str()
            .is_some_and(|error| error.contains("404")),
        "{document:#}"
    );
    assert!(
        document["remedy"]
            .as_str()
            .is_some_and(|remedy| !remedy.is_empty()),
        "{document:#}"
    );
    program
        .run(&["api", "GET", "v3/schema/users"])
        .await
        .expect(2);
    program
        .run(&["api", "FETCH", "/v3/schema/users"])
        .await
        .expect(2);
}
