//! Files that are dropped into the inbox: each is planned, applied if its job allows it, and ends
//! once, with what became of it.

mod deaths;
mod odd;
mod office;

use rustix::process::Signal;
use simulator::Does;

use office::{DEADLINE, Office, csv_rows};

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_file_is_applied_exactly_and_ends_with_its_results() {
    let office = Office::with(200, &[("crm", "files = 'crm-*.csv'\napply = true")]).await;
    let daemon = office.daemon();
    let file = office.cities(0..120, "Port");
    office.drop_in("crm-1.csv", &file);
    let summary = office.ended("done", "crm-1").await;
    office.desk.expect_cities(0..120, "Port", "dropped");
    assert_eq!(summary["status"], "finished");
    assert_eq!(summary["job"], "crm");
    assert_eq!(summary["outcomes"]["succeeded"], 120);
    assert_eq!(summary["applied_by"], "inbox, job crm");
    assert_eq!(summary["error"], serde_json::Value::Null);
    assert_eq!(office.read("done/crm-1.csv"), file);
    let results = csv_rows(&office.read("done/crm-1.results.csv"));
    assert_eq!(results.len(), 121);
    assert!(results[1..].iter().all(|row| row[5] == "succeeded"));
    office.at_rest().await;
    assert_eq!(
        office.listing(),
        [
            "done/crm-1.csv",
            "done/crm-1.results.csv",
            "done/crm-1.summary.json"
        ]
    );

    // The same again changes nothing, and replaces nothing.
    office.drop_in("crm-1.csv", &file);
    let again = office.ended("done", "crm-1-2").await;
    assert_eq!(again["rows_planned"], 0);
    assert_eq!(again["rows_skipped"], 120);
    office.desk.expect_cities(0..120, "Port", "dropped twice");
    office.at_rest().await;
    assert_eq!(office.listing().len(), 6);
    let orders: i64 = office
        .desk
        .mirror
        .value("select count(*) from bulk_orders")
        .await;
    assert_eq!(orders, 1);
    daemon.signal(Signal::TERM);
    daemon.end().await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_no_job_applies_is_planned_and_its_plan_can_be_applied_by_hand() {
    let office = Office::with(
        100,
        &[
            ("a", "files = '*.csv'\nenabled = false\napply = true"),
            ("b", "files = 'crm-*.csv'"),
        ],
    )
    .await;
    let _daemon = office.daemon();
    for (name, job) in [("crm-1", Some("b")), ("other", None)] {
        office.drop_in(&format!("{name}.csv"), &office.cities(0..50, name));
        let summary = office.ended("done", name).await;
        assert_eq!(summary["status"], "planned");
        assert_eq!(summary["job"].as_str(), job);
        assert_eq!(summary["rows_planned"], 50);
        let results = csv_rows(&office.read(&format!("done/{name}.results.csv")));
        assert!(
            results[1..]
                .iter()
                .all(|row| row[5] == "planned" && row[4].contains(name))
        );
        if name == "other" {
            assert!(office.desk.applied().is_empty(), "something was sent");
            let plan = summary["plan_id"].as_str().expect("a plan");
            office.desk.apply(plan).await.expect(0);
            office.desk.expect_cities(0..50, name, "by hand");
        }
    }
    // Of the other one the file is looked at where it is now.
    let plan: String = office
        .desk
        .mirror
        .value("select plan_id::text from bulk_plans where file_name = 'crm-1.csv'")
        .await;
    std::fs::write(office.path("done/crm-1.csv"), "user_id,city\n").expect("a file");
    let ended = office.desk.apply(&plan).await.expect(1);
    assert!(
        ended.stderr.contains("changed since it was planned"),
        "{}",
        ended.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_bad_rows_fails_with_its_rejects_unless_the_job_goes_on() {
    let office = Office::with(
        100,
        &[
            ("strict", "files = 'strict*'\napply = true"),
            ("lax", "files = 'lax*'\napply = true\non_rejects = 'go_on'"),
        ],
    )
    .await;
    let _daemon = office.daemon();
    let file = format!("{}\nnobody-at-all,Nowhere", office.cities(0..10, "Port"));
    office.drop_in("strict.csv", &file);
    let summary = office.ended("failed", "strict").await;
    assert_eq!(summary["status"], "planned");
    assert_eq!(summary["rows_rejected"], 1);
    assert!(
        summary["error"]
            .as_str()
            .expect("why")
            .contains("1 rows cannot be planned")
    );
    let at = summary["rejects_path"].as_str().expect("a path");
    assert!(at.ends_with("/failed/strict.rejects.csv"), "{at}");
    let stored: String = office
        .desk
        .mirror
        .value("select rejects_path from bulk_plans")
        .await;
    assert_eq!(stored, at);
    assert!(
        office
            .read("failed/strict.rejects.csv")
            .contains("nobody-at-all")
    );
    assert!(office.desk.applied().is_empty(), "something was sent");

    office.drop_in("lax.csv", &file);
    let summary = office.ended("done", "lax").await;
    assert_eq!(summary["outcomes"]["succeeded"], 10);
    assert!(
        office
            .read("done/lax.rejects.csv")
            .contains("nobody-at-all")
    );
    office.desk.expect_cities(0..10, "Port", "went on");

    // With only bad rows there is no plan, and of what is no CSV there is not even a row.
    office.drop_in("lax-none.csv", "user_id,city\nnobody-at-all,Nowhere");
    let summary = office.ended("failed", "lax-none").await;
    assert_eq!(summary["status"], "rejected");
    assert_eq!(summary["rows_rejected"], 1);
    assert!(summary.get("plan_id").is_none());
    assert!(
        office
            .read("failed/lax-none.rejects.csv")
            .contains("nobody-at-all")
    );
    office.drop_in("lax-zip.csv", "PK\u{3}\u{4}zzzz\u{0}\u{0}");
    let summary = office.ended("failed", "lax-zip").await;
    let error = summary["error"].as_str().expect("why");
    assert!(error.starts_with("lax-zip.csv is not a CSV"), "{error}");
    office.drop_in(
        "lax-column.csv",
        &office.cities(0..1, "Port").replace("city", "citty"),
    );
    let summary = office.ended("failed", "lax-column").await;
    assert!(
        summary["error"]
            .as_str()
            .expect("why")
            .contains("did you mean city")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_and_large_files_need_to_be_allowed() {
    let office = Office::with(
        100,
        &[
            ("keeps", "files = 'keeps*'\napply = true\nmax_rows = 3"),
            (
                "deletes",
                "files = 'deletes*'\napply = true\nallow_deletes = true",
            ),
        ],
    )
    .await;
    let _daemon = office.daemon();
    let file = format!("user_id,_action\n{},delete\n", office.desk.id(1));
    office.drop_in("keeps.csv", &file);
    let summary = office.ended("failed", "keeps").await;
    assert!(
        summary["error"]
            .as_str()
            .expect("why")
            .contains("deletes 1 users")
    );
    assert!(
        summary["remedy"]
            .as_str()
            .expect("what to do")
            .contains("allow_deletes = true")
    );
    assert!(office.desk.deleted().is_empty());

    office.drop_in("keeps-many.csv", &office.cities(0..4, "Port"));
    let summary = office.ended("failed", "keeps-many").await;
    assert!(summary["error"].as_str().expect("why").contains("allows 3"));
    assert!(office.desk.applied().is_empty(), "something was sent");

    office.drop_in("deletes.csv", &file);
    let summary = office.ended("done", "deletes").await;
    assert_eq!(summary["outcomes"]["succeeded"], 1);
    let deleted = office.desk.simulator.tenant().bulk_applied();
    assert!(
        deleted
            .iter()
            .all(|action| action.action == Does::DeleteUser)
    );
    assert_eq!(office.desk.deleted().len(), 1);

    // More than the brake lets through, whatever the job says.
    let rows: String = (10..40)
        .map(|person| format!("{},delete\n", office.desk.id(person)))
        .collect();
    office.drop_in("deletes-many.csv", &format!("user_id,_action\n{rows}"));
    let summary = office.ended("failed", "deletes-many").await;
    assert!(summary["error"].as_str().expect("why").contains("brake"));
    assert_eq!(office.desk.deleted().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_zephr_refuses_takes_the_file_to_failed() {
    let office = Office::with(100, &[("crm", "files = '*'\napply = true")]).await;
    office.drop_in("a.csv", &office.cities(0..5, "Port"));
    // Changed by somebody else between plan and push: that row is not sent.
    let mut daemon = office.daemon();
    let leased = daemon.until(|line| line.contains(r#""phase":"leased""#));
    assert_eq!(tokio::time::timeout(DEADLINE, leased).await, Ok(true));
    daemon.signal(Signal::STOP);
    office.desk.simulator.tenant().set_attributes(
        2,
        [(
            "city".to_owned(),
            serde_json::value::to_raw_value("Elsewhere").expect("a value"),
        )],
    );
    daemon.signal(Signal::CONT);
    let (place, summary) = office.ended_anywhere("a").await;
    // The push may have been past its look when it was stopped.
    if place == "failed" {
        assert_eq!(summary["outcomes"]["failed"], 1);
        assert!(
            summary["error"]
                .as_str()
                .expect("why")
                .contains("1 of 5 rows")
        );
    }
    let results = csv_rows(&office.read(&format!("{place}/a.results.csv")));
    assert_eq!(results.len(), 6);
}
