//! People who change, vanish, come back as others, or work on the same thing.

use serde_json::value::RawValue;
use simulator::Faults;

use super::Desk;
use super::desk::{id, outcome};

fn text(value: &str) -> Box<RawValue> {
    RawValue::from_string(serde_json::Value::from(value).to_string()).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_changed_since_is_left_alone_unless_forced_and_undo_brings_back_what_was_there()
{
    let desk = Desk::new(300).await;
    desk.cities("a.csv", 0..60, "Port");
    let plan = desk.plan("a.csv").await;
    let tenant = desk.simulator.tenant();
    tenant.set_attributes(7, [("city".into(), text("Changed"))]);
    tenant.delete(8);
    tenant.delete(9);
    tenant.recreate(9);
    let theirs = desk.city(9);
    let ended = desk.apply(&plan).await.expect(3).json();
    assert_eq!(outcome(&ended, "succeeded"), 57);
    assert_eq!(outcome(&ended, "failed"), 3);
    assert_eq!(desk.city(7).as_deref(), Some("Changed"));
    assert_eq!(desk.city(9), theirs);
    let results = desk.results(&plan).await;
    let said = |at: usize| {
        results[at]["message"]
            .as_str()
            .expect("a message")
            .to_owned()
    };
    assert!(
        said(7).contains("changed since it was planned: city"),
        "{}",
        said(7)
    );
    assert!(said(8).contains("no user"), "{}", said(8));
    assert!(said(9).contains("somebody else"), "{}", said(9));

    let before = desk.city(70);
    desk.cities("b.csv", 70..80, "Port");
    let plan = desk.plan("b.csv").await;
    tenant.set_attributes(71, [("city".into(), text("Changed"))]);
    desk.program
        .run(&["bulk", "apply", &plan, "--yes", "--force"])
        .await
        .expect(0);
    assert_eq!(desk.city(71).as_deref(), Some("Port 71"));
    let undo = id(&desk
        .program
        .run(&["bulk", "undo", &plan, "--json"])
        .await
        .expect(0)
        .json());
    desk.apply(&undo).await.expect(0);
    assert_eq!(desk.city(71).as_deref(), Some("Changed"));
    assert_eq!(desk.city(70), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changed_since_is_not_applied_unless_forced() {
    let desk = Desk::new(300).await;
    desk.cities("a.csv", 0..10, "Port");
    let plan = desk.plan("a.csv").await;
    desk.cities("a.csv", 0..11, "Port");
    let ended = desk.apply(&plan).await.expect(1);
    assert!(
        ended.stderr.contains("changed since it was planned"),
        "{}",
        ended.stderr
    );
    assert_eq!(desk.simulator.stats().writes, 0);
    desk.program
        .run(&["bulk", "apply", &plan, "--yes", "--force"])
        .await
        .expect(0);
    desk.expect_cities(0..10, "Port", "forced");
    // A file that is gone has not changed.
    desk.cities("b.csv", 20..30, "Port");
    let plan = desk.plan("b.csv").await;
    std::fs::remove_file(desk.program.directory().join("b.csv")).expect("it was there");
    desk.apply(&plan).await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_yes_nothing_is_sent() {
    let desk = Desk::new(300).await;
    desk.cities("a.csv", 0..10, "Port");
    let plan = desk.plan("a.csv").await;
    desk.program.run(&["bulk", "apply", &plan]).await.expect(2);
    desk.program.run(&["bulk", "run", "a.csv"]).await.expect(2);
    assert_eq!(desk.simulator.stats().writes, 0);
    desk.program.run(&["bulk", "resume", &plan]).await.expect(2);
    let run = desk
        .program
        .run(&["bulk", "run", "a.csv", "--yes", "--json"])
        .await
        .expect(0);
    assert_eq!(outcome(&run.json(), "succeeded"), 10);
    desk.expect_cities(0..10, "Port", "run");
}

fn deletions(desk: &Desk, name: &str, people: std::ops::Range<u32>) {
    let header = std::iter::once("user_id,_action".to_owned());
    let rows = people.map(|person| format!("{},delete", desk.id(person)));
    desk.file(name, header.chain(rows));
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_want_a_word_of_their_own_and_pass_a_brake() {
    let desk = Desk::new(600).await;
    deletions(&desk, "a.csv", 0..13);
    let plan = desk.plan("a.csv").await;
    desk.apply(&plan).await.expect(4);
    let ended = desk
        .program
        .run(&["bulk", "apply", &plan, "--yes", "--allow-deletes"])
        .await
        .expect(4);
    // 2 % of 600.
    assert!(
        ended.stderr.contains("more than 12 of 600"),
        "{}",
        ended.stderr
    );
    assert_eq!(desk.simulator.stats().writes, 0);
    let allowed = [
        "bulk",
        "apply",
        &plan,
        "--yes",
        "--allow-deletes",
        "--max-delete-fraction",
        "0.05",
    ];
    desk.program.run(&allowed).await.expect(0);
    assert_eq!(desk.simulator.tenant().living(), 587);
    assert!(desk.deleted().values().all(|times| *times == 1));
    let undo = desk.program.run(&["bulk", "undo", &plan]).await.expect(1);
    assert!(undo.stderr.contains("nothing of plan"), "{}", undo.stderr);
    // As far as is known they are gone, before any sync has seen it.
    let again = desk
        .program
        .run(&["bulk", "plan", "a.csv", "--json"])
        .await
        .expect(1)
        .json();
    assert_eq!(again["rows_rejected"], 13);
    assert!(
        again["complaints"][0]["reason"]
            .as_str()
            .expect("a reason")
            .contains("deleted by an earlier push")
    );
}

/// The answer to a deletion is lost; meanwhile somebody else gets the same id. They are not
/// deleted.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_came_after_is_deleted_in_place_of_another() {
    let desk = Desk::new(600).await;
    deletions(&desk, "a.csv", 0..5);
    let plan = desk.plan("a.csv").await;
    desk.simulator.set_faults(Faults {
        lost_after: 100.0,
        ..Faults::default()
    });
    let apply = ["bulk", "apply", &plan, "--yes", "--allow-deletes", "--json"];
    let mut running = desk.program.start(&apply);
    assert!(
        running
            .until(|line| line.contains(r#""phase":"answered""#))
            .await
    );
    running.kill().await;
    desk.simulator.set_faults(Faults::default());
    let tenant = desk.simulator.tenant();
    tenant.finish_jobs();
    for person in 0..5 {
        assert!(tenant.recreate(person), "they were deleted");
    }
    let ended = desk.resume().await.expect(0).json();
    assert_eq!(outcome(&ended, "succeeded"), 5);
    assert_eq!(tenant.living(), 600);
    assert!(desk.deleted().values().all(|times| *times == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_operators_at_once_do_not_send_anything_twice() {
    let desk = Desk::with(600, |options| options.behaviour.bulk.delay_ms = 100).await;
    desk.cities("a.csv", 0..300, "Port");
    desk.cities("b.csv", 200..400, "Quay");
    let (one, other) = (desk.plan("a.csv").await, desk.plan("b.csv").await);
    let again = desk.plan("a.csv").await;
    let (first, second, third, fourth) = tokio::join!(
        desk.apply(&one),
        desk.apply(&one),
        desk.apply(&again),
        desk.apply(&other),
    );
    for ended in [&first, &second, &third, &fourth] {
        assert!(matches!(ended.code, Some(0 | 3)), "{}", ended.stderr);
    }
    // Whoever came second to a person found them changed, or as they should be.
    let applied = desk.applied();
    assert_eq!(applied.len(), 400);
    assert!(applied.values().all(|times| *times == 1));
    for person in 0..200 {
        assert_eq!(desk.city(person), Some(format!("Port {person}")));
    }
    for person in 300..400 {
        assert_eq!(desk.city(person), Some(format!("Quay {person}")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_says_can_be_typed() {
    let page = include_str!("../../../docs/bulk.md");
    let (_, rest) = page.split_once("```sh\n").expect("a block");
    let (block, _) = rest.split_once("```").expect("its end");
    let desk = Desk::new(300).await;
    desk.cities("users.csv", 0..10, "Port");
    let mut plan = String::new();
    let mut typed = 0;
    for line in block.lines() {
        let line = line
            .split('#')
            .next()
            .expect("a command")
            .replace("PLAN", &plan);
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        desk.program.run(&words).await.expect(0);
        if plan.is_empty() {
            let listed = desk
                .program
                .run(&["bulk", "status", "--json"])
                .await
                .expect(0)
                .json();
            plan = id(&listed["plans"][0]);
        }
        typed += 1;
    }
    assert_eq!(typed, 4);
    assert_eq!(desk.applied().len(), 10);
}
