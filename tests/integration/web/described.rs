//! The description of the API and the API are the same.

use std::collections::BTreeSet;

use crate::support::page::{Daemon, OURS};
use crate::support::{Mirror, Program, people};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_described_is_there_and_what_is_there_is_described() {
    let (simulator, mirror) = (people(3).await, Mirror::new().await);
    let daemon = Daemon::start(&Program::between(&simulator, &mirror)).await;
    daemon.until_status("/readyz", 200).await;
    let described = daemon.get("/api/openapi.json").await.expect(200).json();
    assert!(
        described["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1")),
        "{}",
        described["openapi"]
    );
    let paths = described["paths"].as_object().expect("paths");
    assert!(paths.len() >= 17, "{:?}", paths.keys());
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("methods") {
            let id = "00000000-0000-0000-0000-000000000000";
            let asked = path
                .replace("{tenant}", "zephr")
                .replace("{job}", "users")
                .replace("{run_id}", id)
                .replace("{plan_id}", id)
                .replace("{upload_id}", id);
            assert!(!asked.contains('{'), "{path}");
            let headers = [OURS, ("Content-Type", "application/json")];
            let answer = daemon
                .ask(&method.to_uppercase(), &asked, &headers, "{}")
                .await;
            assert_ne!(answer.status, 405, "{method} {path}");
            assert!(answer.status < 500, "{method} {path}: {answer:?}");
            // The path is there: what is missing is the thing that was asked for.
            assert!(
                !answer.body.contains("nothing at this path"),
                "{method} {path}"
            );
            let known = operation["responses"].as_object().expect("responses");
            let undescribed = ["400", "422"];
            let status = answer.status.to_string();
            assert!(
                known.contains_key(&status) || undescribed.contains(&status.as_str()),
                "{method} {path}: {answer:?}"
            );
            assert!(
                operation["summary"]
                    .as_str()
                    .is_some_and(|text| text.len() > 5),
                "{method} {path}"
            );
        }
    }
    // Routes are given to the router in one place only, and that place describes them; the page
    // alone is no part of the API.
    let source = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/web/api.rs"));
    let source = source.expect("the routes");
    assert_eq!(source.matches(".route(").count(), 1);
    assert_eq!(
        source.matches(".route_service(").count() + source.matches(".nest_service(").count(),
        0
    );

    // What the page asks for is described.
    let page = daemon.get("/").await.expect(200).body;
    let used: BTreeSet<&str> = page
        .match_indices("here(\"")
        .map(|(at, found)| page[at + found.len()..].split('"').next().expect("a word"))
        .collect();
    for word in used {
        assert!(
            paths
                .keys()
                .any(|path| path.contains(&format!("/api/tenants/{{tenant}}/{word}"))),
            "{word}"
        );
    }
    daemon.stop().await.expect(0);
}
