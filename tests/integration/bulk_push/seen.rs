//! What a sync says of what was pushed before it.

use serde_json::value::RawValue;
use simulator::{Since, Stored};

use super::Desk;
use super::desk::{id, outcome};

#[tokio::test(flavor = "multi_thread")]
async fn the_next_sync_confirms_what_arrived() {
    let desk = Desk::with(300, |options| options.behaviour.bulk.stored = Stored::Typed).await;
    let header = "user_id,city,newsletter,loyalty-points".to_owned();
    let rows = (0..40).map(|person| {
        format!(
            "{},Port {person},TRUE,{}.0",
            desk.id(person),
            90_000 + person
        )
    });
    desk.file("a.csv", std::iter::once(header).chain(rows));
    let plan = desk.plan("a.csv").await;
    desk.apply(&plan).await.expect(0);
    assert_eq!(outcome(&desk.status(&plan).await, "confirmed"), 0);
    let synced = desk
        .program
        .run(&["sync", "users", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(synced["runs"][0]["mode"], "incremental");
    assert_eq!(synced["runs"][0]["pushes_confirmed"], 40);
    assert_eq!(outcome(&desk.status(&plan).await, "confirmed"), 40);
    let results = desk.results(&plan).await;
    assert!(results.iter().all(|row| row["confirmed_at"].is_string()));
    // What was seen once is not looked for again.
    let synced = desk
        .program
        .run(&["sync", "users", "--full", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(synced["runs"][0]["pushes_confirmed"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_arrive_is_named() {
    let desk = Desk::with(300, |options| options.behaviour.since = Since::Registered).await;
    desk.cities("a.csv", 0..40, "Port");
    let plan = desk.plan("a.csv").await;
    desk.apply(&plan).await.expect(0);
    let lost = RawValue::from_string("\"Lost\"".into()).expect("JSON");
    desk.simulator
        .tenant()
        .set_attributes(7, [("city".into(), lost)]);
    // An incremental run that is shown nobody says nothing of anybody.
    let synced = desk
        .program
        .run(&["sync", "users", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(synced["runs"][0]["mode"], "incremental");
    assert_eq!(outcome(&desk.status(&plan).await, "confirmed"), 0);
    let full = desk
        .program
        .run(&["sync", "users", "--full", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(full["runs"][0]["pushes_confirmed"], 39);
    assert_eq!(full["runs"][0]["pushes_refuted"], 1);
    let results = desk.results(&plan).await;
    let message = results[7]["message"].as_str().expect("a message");
    assert!(message.contains("saw another value of city"), "{message}");
    assert!(results[7]["confirmed_at"].is_null());
    // A new plan begins with what is there.
    let again = desk
        .program
        .run(&["bulk", "plan", "a.csv", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(again["rows_planned"], 1);
    assert_eq!(again["sample"][0]["old_values"]["city"], "Lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_and_its_undo_are_both_confirmed_and_deletions_too() {
    let desk = Desk::new(300).await;
    desk.cities("a.csv", 0..40, "Port");
    let plan = desk.plan("a.csv").await;
    desk.apply(&plan).await.expect(0);
    let undo = id(&desk
        .program
        .run(&["bulk", "undo", &plan, "--json"])
        .await
        .expect(0)
        .json());
    desk.apply(&undo).await.expect(0);
    desk.file(
        "d.csv",
        ["user_id,_action".into(), format!("{},delete", desk.id(50))],
    );
    let gone = desk.plan("d.csv").await;
    let arguments = ["bulk", "apply", &gone, "--yes", "--allow-deletes"];
    desk.program.run(&arguments).await.expect(0);
    desk.program
        .run(&["sync", "users", "--full"])
        .await
        .expect(0);
    for (plan, rows) in [(&plan, 40), (&undo, 40), (&gone, 1)] {
        assert_eq!(outcome(&desk.status(plan).await, "confirmed"), rows);
    }
}
