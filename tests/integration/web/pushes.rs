//! Pushes through the API, with files of people who mean harm.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::bulk::{Bench, csv_rows};
use crate::support::page::Daemon;

/// What is waited for comes within this time, also on a slow machine.
const DEADLINE: Duration = Duration::from_secs(60);

const SCRIPT: &str = "<script>alert(1)</script>";

fn plan_path(plan: &str, what: &str) -> String {
    format!("/api/tenants/zephr/bulk/plans/{plan}{what}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_becomes_a_plan_an_order_results_and_a_way_back() {
    let bench = Bench::of(20).await;
    let persons = bench.persons();
    let daemon = Daemon::start(&bench.program).await;
    let file = format!(
        "user_id,city\n{},Ghent\n{},Ghent\nnobody,Ghent\n",
        persons[0].user_id, persons[1].user_id
    );
    let shown = daemon.upload("file_name=users.csv", &file).await;
    assert_eq!(
        (&shown["status"], &shown["file_name"]),
        (&json!("planned"), &json!("users.csv")),
        "{shown:#}"
    );
    let plan = &shown["plan"];
    assert_eq!(
        (&plan["rows_read"], &plan["rows_rejected"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(plan["complaints"][0]["line"], 4);
    assert_eq!(
        plan["rejects_path"],
        Value::Null,
        "where it is here is nobody's business"
    );
    let plan_id = plan["plan_id"].as_str().expect("a plan").to_owned();
    assert_eq!(
        bench
            .mirror
            .value::<Option<String>>("select file_path from bulk_plans")
            .await,
        None
    );

    // The same as the command says, but for what only planning knows.
    let mut command = bench.json(0, &["status", &plan_id]).await;
    let mut api = daemon
        .get(&plan_path(&plan_id, ""))
        .await
        .expect(200)
        .json();
    assert_eq!(api["order"], Value::Null);
    api.as_object_mut().expect("a document").remove("order");
    assert_eq!(
        command.as_object_mut().expect("a document"),
        api.as_object_mut().expect("a document")
    );

    let upload = shown["upload_id"].as_str().expect("an id");
    let rejects = daemon
        .get(&format!("/api/tenants/zephr/bulk/uploads/{upload}/rejects"))
        .await
        .expect(200);
    let rows = csv_rows(&rejects.body);
    assert_eq!(rows[0], ["_line", "_reason", "user_id", "city"]);
    assert_eq!((rows.len(), rows[1][2].as_str()), (2, "nobody"));

    daemon
        .post(&plan_path(&plan_id, "/undo"), &json!({}))
        .await
        .expect(409)
        .explains();
    let ordered = daemon
        .post(&plan_path(&plan_id, "/apply"), &json!({}))
        .await
        .expect(202)
        .json();
    assert_eq!(ordered["order"]["allow_deletes"], false);
    let again = daemon
        .post(&plan_path(&plan_id, "/apply"), &json!({}))
        .await;
    assert_eq!(again.status, 409, "{again:?}");
    bench.apply(0, &plan_id).await;
    let path = plan_path(&plan_id, "");
    daemon
        .until(&path, |plan| plan["status"] == "finished")
        .await;
    let results = daemon
        .get(&plan_path(&plan_id, "/results"))
        .await
        .expect(200);
    assert_eq!(
        results.body,
        bench.bulk(&["results", &plan_id]).await.expect(0).stdout
    );
    assert_eq!(
        results.header("content-disposition"),
        Some(format!("attachment; filename=\"results-{plan_id}.csv\"").as_str())
    );

    let undo = daemon
        .post(&plan_path(&plan_id, "/undo"), &json!({ "clear": true }))
        .await
        .expect(201)
        .json();
    assert_eq!(undo["undo_of"], plan_id.as_str());
    let undo_id = undo["plan_id"].as_str().expect("a plan").to_owned();
    bench.apply(0, &undo_id).await;
    let plans = daemon
        .get("/api/tenants/zephr/bulk/plans")
        .await
        .expect(200)
        .json();
    assert_eq!(plans["plans"].as_array().map(Vec::len), Some(2));
    assert_eq!(plans["plans"][1]["undone_by"][0], undo_id.as_str());
    daemon.stop().await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_wants_a_word_of_its_own() {
    let bench = Bench::of(20).await;
    let persons = bench.persons();
    let daemon = Daemon::start(&bench.program).await;
    let file = format!("user_id,_action\n{},delete\n", persons[0].user_id);
    let shown = daemon.upload("file_name=gone.csv", &file).await;
    assert_eq!(shown["plan"]["rows_deleting"], 1, "{shown:#}");
    let plan_id = shown["plan"]["plan_id"]
        .as_str()
        .expect("a plan")
        .to_owned();
    let apply = plan_path(&plan_id, "/apply");
    daemon.post(&apply, &json!({})).await.expect(409).explains();
    daemon
        .post(&apply, &json!({ "allow_changes": true }))
        .await
        .expect(409)
        .explains();
    assert_eq!(
        bench
            .mirror
            .value::<i64>("select count(*) from bulk_orders")
            .await,
        0
    );
    let ordered = daemon
        .post(&apply, &json!({ "allow_deletes": true }))
        .await
        .expect(202)
        .json();
    assert_eq!(ordered["order"]["allow_deletes"], true);
    daemon.stop().await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_file_holds_is_data_wherever_it_shows() {
    let bench = Bench::of(20).await;
    let persons = bench.persons();
    bench.set(persons[1].index, "city", &json!(SCRIPT));
    bench.sync().await;
    let daemon = Daemon::start(&bench.program).await;
    let file = format!(
        "user_id,city\n{SCRIPT},Ghent\n{},Ghent\n=1+1,Ghent\n",
        persons[1].user_id
    );
    // The name is somebody else's too.
    let query =
        "file_name=..%2F..%2F%3Cscript%3Ealert(1)%3C%2Fscript%3E%0D%0ASet-Cookie%3A%20a%3Db.csv";
    let shown = daemon.upload(query, &file).await;
    let name = shown["file_name"].as_str().expect("a name");
    assert!(!name.contains('/') || !name.contains(".."), "{name}");
    assert!(!name.contains(['\r', '\n']), "{name}");
    let upload = shown["upload_id"].as_str().expect("an id");
    let plan_id = shown["plan"]["plan_id"].as_str().expect("a plan");
    for path in [
        format!("/api/tenants/zephr/bulk/uploads/{upload}"),
        format!("/api/tenants/zephr/bulk/uploads/{upload}/rejects"),
        plan_path(plan_id, ""),
        plan_path(plan_id, "/results"),
        "/api/tenants/zephr/bulk/plans".into(),
    ] {
        let answer = daemon.get(&path).await.expect(200);
        assert!(
            answer.body.contains("<script>") || answer.body.contains("script"),
            "{path}"
        );
        let form = answer.header("content-type").expect("a type");
        assert!(
            form == "application/json" || form.starts_with("text/csv"),
            "{form}"
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("set-cookie"), None);
        if let Some(disposition) = answer.header("content-disposition") {
            assert!(!disposition.contains("script"), "{disposition}");
        }
    }
    let rejects = daemon
        .get(&format!("/api/tenants/zephr/bulk/uploads/{upload}/rejects"))
        .await;
    let cells: Vec<String> = csv_rows(&rejects.body).concat();
    assert!(cells.iter().any(|cell| cell == "'=1+1"), "{cells:?}");
    assert!(cells.iter().any(|cell| cell == SCRIPT), "{cells:?}");

    // A file that is none is refused with what is wrong, and without where it was put.
    let refused = daemon
        .upload("file_name=sheet.xlsx", "PK\u{3}\u{4}nothing")
        .await;
    assert_eq!(refused["status"], "refused", "{refused:#}");
    let error = refused["error"].as_str().expect("an error");
    assert!(
        !error.contains("/tmp") && !error.contains("upload.csv"),
        "{error}"
    );
    let header = daemon
        .upload("file_name=bad.csv", "user_id,no-such-thing\na,b\n")
        .await;
    assert_eq!(header["status"], "refused");
    assert!(
        header["error"]
            .as_str()
            .is_some_and(|error| error.contains("no-such-thing")),
        "{header:#}"
    );
    daemon.stop().await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_pushed_are_counted_by_their_outcome() {
    let bench = Bench::of(20).await;
    let persons = bench.persons();
    let daemon = Daemon::start(&bench.program).await;
    let count = |outcome: &str, rows: u64| {
        format!("zephr_sync_bulk_rows_total{{tenant=\"zephr\",outcome=\"{outcome}\"}} {rows}\n")
    };
    let metrics = daemon.get("/metrics").await.expect(200).body;
    assert!(metrics.contains(&count("succeeded", 0)), "{metrics}");
    for (city, succeeded) in [("Ghent", 20), ("Bruges", 40)] {
        let lines = persons
            .iter()
            .map(|person| format!("{},{city}\n", person.user_id));
        let file = format!("user_id,city\n{}", lines.collect::<String>());
        let shown = daemon.upload("file_name=users.csv", &file).await;
        let plan_id = shown["plan"]["plan_id"].as_str().expect("a plan");
        daemon
            .post(&plan_path(plan_id, "/apply"), &json!({}))
            .await
            .expect(202);
        let metrics = daemon
            .until_says("/metrics", |metrics| {
                metrics.contains(&count("succeeded", succeeded))
            })
            .await;
        assert!(metrics.contains(&count("unknown", 0)), "{metrics}");
    }
    // Of somebody who left meanwhile nothing can be set.
    let file = format!("user_id,city\n{},Antwerp\n", persons[0].user_id);
    let shown = daemon.upload("file_name=users.csv", &file).await;
    let plan_id = shown["plan"]["plan_id"].as_str().expect("a plan");
    assert!(bench.simulator.tenant().delete(persons[0].index));
    daemon
        .post(&plan_path(plan_id, "/apply"), &json!({}))
        .await
        .expect(202);
    let metrics = daemon
        .until_says("/metrics", |metrics| metrics.contains(&count("failed", 1)))
        .await;
    assert!(metrics.contains(&count("succeeded", 40)), "{metrics}");
    daemon.stop().await.expect(0);
}

/// What is in a directory of temporary files.
fn left(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    entries
        .map(|entry| entry.expect("an entry").file_name().into_string())
        .collect::<Result<_, _>>()
        .expect("names")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_daemon_was_sent_goes_with_the_next_one() {
    let temporary = tempfile::tempdir().expect("a directory");
    let bench = Bench::with(20, Default::default(), |program| {
        program.with("TMPDIR", temporary.path().to_str().expect("text"))
    })
    .await;
    let file = "user_id,city\nnobody,Ghent\n";
    let living = Daemon::start(&bench.program).await;
    let kept = living.upload("file_name=kept.csv", file).await;
    let kept_by_living = left(temporary.path());
    assert_eq!(kept_by_living.len(), 1);
    let killed = Daemon::start(&bench.program).await;
    killed.upload("file_name=lost.csv", file).await;
    killed.kill().await;
    assert_eq!(left(temporary.path()).len(), 2);
    let next = Daemon::start(&bench.program).await;
    let end = Instant::now() + DEADLINE;
    while left(temporary.path()) != kept_by_living {
        assert!(Instant::now() < end, "{:?}", left(temporary.path()));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Who is still there has lost nothing.
    let upload = kept["upload_id"].as_str().expect("an id");
    let path = format!("/api/tenants/zephr/bulk/uploads/{upload}/rejects");
    assert_eq!(csv_rows(&living.get(&path).await.expect(200).body).len(), 2);
    living.stop().await.expect(0);
    next.stop().await.expect(0);
    assert_eq!(left(temporary.path()), Vec::<String>::new());
}
