//! Whatever dies, another daemon carries on: each value is applied once, and each file ends once.

use futures::future::join_all;

use super::office::{DEADLINE, Office};
use crate::bulk_push::desk::Desk;

const ALL: &[(&str, &str)] = &[("all", "files = '*'\napply = true\non_rejects = 'go_on'")];

async fn killed_at(moment: &str) {
    let office = Office::with(200, ALL).await;
    let text = format!("{}\nnobody-at-all,Nowhere", office.cities(0..150, "Port"));
    office.drop_in("a.csv", &text);
    let mut first = office.daemon();
    let reached = first.until(|line| line.contains(moment));
    let reached = tokio::time::timeout(DEADLINE, reached).await;
    assert_eq!(reached, Ok(true), "{moment}");
    first.kill().await;
    let _second = office.daemon();
    office.at_rest().await;
    let summary = office.ended("done", "a").await;
    assert_eq!(summary["outcomes"]["succeeded"], 150, "{moment}");
    office.desk.expect_cities(0..150, "Port", moment);
    assert_eq!(
        office.listing(),
        [
            "done/a.csv",
            "done/a.rejects.csv",
            "done/a.results.csv",
            "done/a.summary.json"
        ],
        "{moment}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_killed_before_anything_arrived_leaves_the_file_to_the_next() {
    let moments = [
        "planning a file of the inbox",
        "push starts",
        r#""phase":"begun""#,
        r#""phase":"sending""#,
        r#""phase":"answered""#,
    ];
    join_all(moments.map(killed_at)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_killed_later_leaves_the_file_to_the_next() {
    let moments = [
        r#""phase":"accepted""#,
        r#""phase":"chunk_done""#,
        r#""phase":"finished""#,
        "push ended",
        "a file of the inbox is through",
    ];
    join_all(moments.map(killed_at)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_found_wherever_its_daemon_died() {
    let office = Office::with(100, ALL).await;
    let case = |id: u32| office.path(&format!("working/019a0000-0000-7000-8000-{id:012}"));
    for id in 0..4 {
        std::fs::create_dir_all(case(id)).expect("a directory");
    }
    std::fs::create_dir_all(office.path("done")).expect("a directory");
    // Nothing was moved into the first; the second was claimed; the third has ended, and its
    // summary has not followed; so has the fourth, under a name with a number.
    std::fs::write(case(1).join("claimed.csv"), office.cities(0..5, "Port")).expect("a file");
    std::fs::write(case(1).join(".target"), "done/claimed.csv").expect("a file");
    std::fs::write(office.path("done/claimed.csv"), "another").expect("a file");
    for (id, name) in [(2, "ended"), (3, "ended-2")] {
        std::fs::write(office.path(&format!("done/{name}.csv")), name).expect("a file");
        std::fs::write(case(id).join(".target"), format!("done/{name}.csv")).expect("a file");
        let summary = format!("{{\"name\":\"{name}\"}}");
        std::fs::write(case(id).join(".summary.json"), summary).expect("a file");
    }
    let _daemon = office.daemon();
    office.at_rest().await;
    assert_eq!(office.ended("done", "ended").await["name"], "ended");
    assert_eq!(office.ended("done", "ended-2").await["name"], "ended-2");
    let summary = office.ended("done", "claimed-2").await;
    assert_eq!(summary["outcomes"]["succeeded"], 5);
    assert_eq!(office.read("done/claimed.csv"), "another");
    office.desk.expect_cities(0..5, "Port", "claimed");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_share_an_inbox_and_take_each_file_once() {
    let desk = Desk::with(300, |options| options.behaviour.bulk.delay_ms = 30).await;
    let office = Office::at(desk, ALL);
    let first = office.daemon();
    let second = office.daemon();
    for part in 0..3 {
        office.drop_in(
            &format!("a{part}.csv"),
            &office.cities(part * 50..(part + 1) * 50, "Port"),
        );
    }
    for part in 0..3 {
        office.ended("done", &format!("a{part}")).await;
    }
    // Whichever works on the inbox is gone, and the other takes over.
    first.kill().await;
    for part in 3..6 {
        office.drop_in(
            &format!("a{part}.csv"),
            &office.cities(part * 50..(part + 1) * 50, "Port"),
        );
    }
    for part in 3..6 {
        office.ended("done", &format!("a{part}")).await;
    }
    office.desk.expect_cities(0..300, "Port", "two daemons");
    office.at_rest().await;
    assert_eq!(office.listing().len(), 6 * 3, "{:?}", office.listing());
    second.kill().await;
    let plans: i64 = office
        .desk
        .mirror
        .value("select count(*) from bulk_plans")
        .await;
    assert_eq!(plans, 6);
}
