//! Who may see the page, under which name, from where, and what no path and no body can do.

use std::time::Duration;

use serde_json::json;

use crate::support::page::{Answer, Daemon, OURS};
use crate::support::{Mirror, Program, people};

const TOKEN: &str = "0123456789abcdef-long-and-random";
const STATUS: &str = "/api/tenants/zephr/status";
const TRIGGER: &str = "/api/tenants/zephr/jobs/users/trigger";

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_shown_without_the_token() {
    let (simulator, mirror) = (people(10).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror).with("ZEPHR_SYNC_TOKEN", TOKEN);
    let daemon = Daemon::start(&program).await;
    daemon.until_status("/readyz", 200).await;

    for (method, path) in operations(&daemon).await {
        let headers = [OURS, ("Content-Type", "application/json")];
        let path = path.replace(['{', '}'], "");
        let answer = daemon.ask(&method, &path, &headers, "{}").await;
        let open = ["/healthz", "/readyz", "/api/session"].contains(&path.as_str());
        assert_eq!(answer.status == 401, !open, "{method} {path}: {answer:?}");
    }
    for wrong in ["", "x", &TOKEN[1..], &format!("{TOKEN}x"), "Bearer"] {
        let answer = daemon
            .ask("GET", STATUS, &[("Authorization", &bearer(wrong))], "")
            .await;
        answer.expect(401).explains();
    }
    daemon
        .ask("GET", STATUS, &[("Authorization", &bearer(TOKEN))], "")
        .await
        .expect(200);
    daemon
        .ask("GET", "/metrics", &[("Authorization", &bearer(TOKEN))], "")
        .await
        .expect(200);

    // A browser shows it once.
    let page = daemon.get("/").await.expect(200);
    assert!(!page.body.contains(TOKEN));
    daemon
        .post("/api/session", &json!({ "token": "wrong" }))
        .await
        .expect(401)
        .explains();
    let signed = daemon
        .post("/api/session", &json!({ "token": TOKEN }))
        .await
        .expect(204);
    let cookie = signed.header("set-cookie").expect("a cookie");
    assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
    assert!(!cookie.contains(TOKEN), "{cookie}");
    let (value, _) = cookie.split_once(';').expect("attributes");
    daemon
        .ask("GET", STATUS, &[("Cookie", value)], "")
        .await
        .expect(200);
    let tampered = value.replace(".", "1.");
    daemon
        .ask("GET", STATUS, &[("Cookie", &tampered)], "")
        .await
        .expect(401);

    let ended = daemon.stop().await.expect(0);
    assert!(!ended.stderr.contains(TOKEN));
}

/// All operations that the description names.
async fn operations(daemon: &Daemon) -> Vec<(String, String)> {
    let headers = [("Authorization", &*bearer(TOKEN))];
    let described = daemon
        .ask("GET", "/api/openapi.json", &headers, "")
        .await
        .expect(200)
        .json();
    let paths = described["paths"].as_object().expect("paths").clone();
    let operations = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().expect("methods").keys();
        methods.map(move |method| (method.to_uppercase(), path.clone()))
    });
    operations.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn others_see_it_only_with_a_token() {
    let (simulator, mirror) = (people(1).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror);
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let arguments = ["daemon", "--listen", listen, "--json"];
        // One that starts would run for ever.
        let ended = tokio::time::timeout(Duration::from_secs(60), program.run(&arguments));
        let refused = ended.await.expect("it ends").expect(2);
        let remedy = refused.json()["remedy"]
            .as_str()
            .expect("a remedy")
            .to_owned();
        assert!(remedy.contains("ZEPHR_SYNC_TOKEN_FILE"), "{remedy}");
    }
    let program = program.with("ZEPHR_SYNC_TOKEN", "fifteen letters");
    program
        .run(&["daemon", "--listen", "0.0.0.0:0"])
        .await
        .expect(2);
    let program = program.with("ZEPHR_SYNC_TOKEN", "only-15-letters");
    let refused = program
        .run(&["daemon", "--listen", "127.0.0.1:0"])
        .await
        .expect(2);
    assert!(refused.stderr.contains("shorter"), "{refused:?}");
    assert!(!refused.stderr.contains("only-15"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_page_itself_changes_anything() {
    let (simulator, mirror) = (people(10).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror)
        .with("ZEPHR_SYNC_ALLOWED_HOSTS", "sync.example.com, b.example");
    let daemon = Daemon::start(&program).await;
    daemon.until_status("/readyz", 200).await;

    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "192.0.2.1",
        "",
        "a@localhost",
        "localhost, evil.example",
    ] {
        for path in ["/", "/healthz", STATUS, "/metrics"] {
            let answer = daemon.ask("GET", path, &[("Host", host)], "").await;
            // A name that is no name is refused before that.
            assert!(
                matches!(answer.status, 400 | 421),
                "{host} {path}: {answer:?}"
            );
        }
    }
    daemon
        .ask("GET", "/", &[("Host", "evil.example")], "")
        .await
        .expect(421)
        .explains();
    for host in [
        "localhost",
        "LOCALHOST:8087",
        "[::1]",
        "sync.example.com:443",
        "b.example",
    ] {
        daemon
            .ask("GET", STATUS, &[("Host", host)], "")
            .await
            .expect(200);
    }

    let origin = format!("http://{}", daemon.address);
    let json = ("Content-Type", "application/json");
    for headers in [
        vec![json],
        vec![json, ("Origin", origin.as_str())],
        vec![json, OURS, ("Origin", "https://evil.example")],
        vec![json, OURS, ("Origin", "null")],
        vec![json, OURS, ("Origin", "http://127.0.0.1:1")],
        vec![json, OURS, ("Sec-Fetch-Site", "cross-site")],
        vec![json, OURS, ("Sec-Fetch-Site", "same-site")],
        vec![("X-Zephr-Sync", "0"), json],
    ] {
        daemon
            .ask("POST", TRIGGER, &headers, "{}")
            .await
            .expect(403)
            .explains();
    }
    let form = daemon
        .ask(
            "POST",
            TRIGGER,
            &[OURS, ("Content-Type", "application/x-www-form-urlencoded")],
            "full_scan=true",
        )
        .await;
    form.expect(415).explains();
    let asked = "select (select count(*) from triggers) + (select count(*) from runs)";
    assert_eq!(
        mirror
            .value::<Option<i64>>(&format!("select ({asked})::bigint"))
            .await,
        Some(0)
    );
    let answer = daemon
        .ask(
            "OPTIONS",
            TRIGGER,
            &[
                ("Origin", "https://evil.example"),
                ("Access-Control-Request-Method", "POST"),
            ],
            "",
        )
        .await;
    assert!(
        answer.header("access-control-allow-origin").is_none(),
        "{answer:?}"
    );

    let asked = daemon
        .ask(
            "POST",
            TRIGGER,
            &[
                OURS,
                json,
                ("Origin", &origin),
                ("Sec-Fetch-Site", "same-origin"),
            ],
            "{}",
        )
        .await;
    assert_eq!(asked.expect(202).json()["job"], "users");
    let ran = |runs: &serde_json::Value| {
        let runs = runs["runs"].as_array().expect("runs");
        let users = runs.iter().find(|run| run["job"] == "users");
        users.is_some_and(|run| run["status"] == "succeeded" && run["rows_read"] == 10)
    };
    daemon.until("/api/tenants/zephr/runs", ran).await;
    daemon.stop().await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_and_no_method_does_anything_unexpected() {
    let (simulator, mirror) = (people(1).await, Mirror::new().await);
    let daemon = Daemon::start(&Program::between(&simulator, &mirror)).await;
    daemon.until_status("/readyz", 200).await;
    let long = format!("/api/{}", "a/".repeat(10_000));
    for path in [
        "/api/../etc/passwd",
        "/api/%2e%2e/%2e%2e/etc/passwd",
        "/%2e%2e%2fetc%2fpasswd",
        "/api/tenants/zephr/bulk/uploads/..%2f..%2fetc%2fpasswd",
        "/api/tenants/zephr/bulk/uploads/..%2f..%2fetc%2fpasswd/rejects",
        "/api/tenants/..%2f/status",
        "/api/tenants/zephr%00/status",
        "/api/tenants/%ff/status",
        "/api/tenants/zephr';drop%20schema%20zephr_sync/status",
        "/api/tenants/zephr/runs/1%20or%201=1",
        "/api/tenants/zephr/runs/00000000-0000-0000-0000-000000000000",
        "/api/tenants/zephr/runs?last=0",
        "/api/tenants/zephr/runs?last=9999999999999999999999",
        "/api/tenants/zephr/runs?lsat=5",
        "//",
        "/index.html",
        "/page.html",
        &long,
    ] {
        let answer = daemon.get(path).await;
        assert!(
            (400..=404).contains(&answer.status) || answer.status == 414,
            "{path}: {answer:?}"
        );
        answer.explains();
        assert!(!answer.body.contains("root:"), "{path}");
    }
    for (method, path) in [
        ("POST", "/"),
        ("PUT", STATUS),
        ("DELETE", STATUS),
        ("GET", TRIGGER),
        ("PATCH", "/healthz"),
        ("BREW", STATUS),
    ] {
        let answer = daemon.ask(method, path, &[OURS], "").await.expect(405);
        answer.explains();
        assert!(answer.header("allow").is_some(), "{answer:?}");
    }
    daemon.ask("TRACE", STATUS, &[OURS], "").await.expect(405);
    let body = format!(
        "{{\"full_scan\": false, \"x\": \"{}\"}}",
        "x".repeat(100_000)
    );
    daemon
        .ask(
            "POST",
            TRIGGER,
            &[OURS, ("Content-Type", "application/json")],
            &body,
        )
        .await
        .expect(413)
        .explains();
    daemon
        .post(TRIGGER, &json!({ "full_scna": true }))
        .await
        .expect(422)
        .explains();
    daemon
        .post("/api/tenants/zephr/jobs/nothing/trigger", &json!({}))
        .await
        .expect(404)
        .explains();
    assert_eq!(
        mirror.value::<i64>("select count(*) from triggers").await,
        0
    );
    daemon.stop().await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_tells_a_browser_to_be_careful() {
    let (simulator, mirror) = (people(1).await, Mirror::new().await);
    let daemon = Daemon::start(&Program::between(&simulator, &mirror)).await;
    daemon.until_status("/readyz", 200).await;
    let careful = |answer: &Answer| {
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{answer:?}"
        );
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert!(
            policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        policy.to_owned()
    };
    for path in [
        STATUS,
        "/healthz",
        "/metrics",
        "/api/openapi.json",
        "/nothing",
    ] {
        careful(&daemon.get(path).await);
    }
    let (one, other) = (daemon.get("/").await, daemon.get("/").await);
    let policy = careful(&one);
    assert_ne!(policy, careful(&other), "each page has a nonce of its own");
    let (_, nonce) = policy.split_once("script-src 'nonce-").expect("a nonce");
    let (nonce, _) = nonce.split_once('\'').expect("its end");
    assert_eq!(one.body.matches(&format!("nonce=\"{nonce}\"")).count(), 2);
    assert!(!one.body.contains("{{"));
    for foreign in [
        "http://",
        "https://",
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        " style=\"",
        " onclick=\"",
    ] {
        let found = one
            .body
            .replace("http://www.w3.org/2000/svg", "")
            .contains(foreign);
        assert!(!found, "{foreign}");
    }
    daemon.stop().await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_too_large_is_refused_however_it_comes() {
    let (simulator, mirror) = (people(10).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror).with("ZEPHR_SYNC_MAX_UPLOAD_BYTES", "1000");
    program.run(&["sync", "schema", "users"]).await.expect(0);
    let daemon = Daemon::start(&program).await;
    let path = "/api/tenants/zephr/bulk/uploads?file_name=large.csv";
    let large = "email,city\n".repeat(100);
    daemon
        .ask("POST", path, &[OURS], &large)
        .await
        .expect(413)
        .explains();
    // Without a length nobody knows before.
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nX-Zephr-Sync: 1\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n",
        daemon.address,
        large.len()
    );
    daemon.say(request.as_bytes()).await.expect(413);
    assert_eq!(
        mirror.value::<i64>("select count(*) from bulk_plans").await,
        0
    );
    daemon.stop().await.expect(0);
}
