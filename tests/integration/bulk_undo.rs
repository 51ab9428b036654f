//! The way back: what a plan changed is what it was before, and what cannot be taken back is said.

use serde_json::{Value, json};
use simulator::{Behaviour, Bulk, Options, Stored};

use crate::support::bulk::{Bench, Person, csv_rows, plan_id};

/// A tenant that stores values as the schema says they are, as what it has is.
fn typed() -> Options {
    let mut behaviour = Behaviour::plain();
    behaviour.bulk = Bulk {
        stored: Stored::Typed,
        ..Bulk::plain()
    };
    Options {
        behaviour,
        ..Options::default()
    }
}

/// Plans the way back; the document.
async fn undo(bench: &Bench, code: i32, plan: &str) -> Value {
    bench.json(code, &["undo", plan]).await
}

fn all(bench: &Bench, people: &[Person]) -> Vec<Value> {
    people
        .iter()
        .map(|person| bench.attributes(person.index))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_is_what_it_was_before() {
    let bench = Bench::with(700, typed(), |program| program).await;
    let people = &bench.persons()[..600];
    let rows = people.iter().enumerate().map(|(at, person)| {
        let flag = !person.attributes["newsletter"].as_bool().expect("a flag");
        format!(
            "{},\"Neu, \"\"{at}\"\"\",{flag},{},2001-02-03\n",
            person.email,
            100_000 + at
        )
    });
    let file = format!(
        "email,city,newsletter,loyalty-points,date-of-birth\n{}",
        rows.collect::<String>()
    );
    let before = all(&bench, people);
    let id = bench.push(&file).await;
    let pushed = all(&bench, people);
    assert!(
        before
            .iter()
            .zip(&pushed)
            .all(|(before, pushed)| before["city"] != pushed["city"]
                && before["newsletter"] != pushed["newsletter"])
    );

    let planned = undo(&bench, 0, &id).await;
    let back = plan_id(&planned);
    assert_eq!(
        (&planned["undo_of"], &planned["rows_planned"]),
        (&json!(id), &json!(600))
    );
    assert_eq!(
        planned["impossible"],
        json!({"deletions": 0, "had_no_value": 0, "no_text": 0, "unknown": 0})
    );
    assert!(
        all(&bench, people) == pushed,
        "planning the way back sends nothing"
    );
    bench.apply(0, &back).await;
    assert!(all(&bench, people) == before, "everybody is as before");
    let results = bench.results(&back).await;
    assert!(results.iter().all(|row| row["state"] == "succeeded"));
    assert_eq!(
        bench.json(0, &["status", &id]).await["undone_by"],
        json!([back])
    );
    let said = bench.bulk(&["status", &id]).await.expect(0).stdout;
    assert!(
        said.contains(&format!("Plan {back} takes it back.")),
        "{said}"
    );

    // Once more finds that all is so already, and sends nothing.
    let writes = bench.simulator.stats().writes;
    let again = plan_id(&undo(&bench, 0, &id).await);
    bench.apply(0, &again).await;
    assert!(all(&bench, people) == before);
    assert_eq!(bench.simulator.stats().writes, writes);

    // The way back from the way back.
    let forth = plan_id(&undo(&bench, 0, &back).await);
    bench.apply(0, &forth).await;
    assert!(all(&bench, people) == pushed, "everybody is as pushed");
    bench.sync().await;
    assert_eq!(bench.plan(0, &file).await["rows_planned"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_back_is_said_and_left_out() {
    let bench = Bench::with(100, typed(), |program| program).await;
    let everybody = bench.persons();
    bench.set(everybody[12].index, "city", &json!(["a", "list"]));
    bench
        .simulator
        .tenant()
        .clear_attributes(everybody[10].index, ["notes".to_owned()]);
    bench
        .simulator
        .tenant()
        .clear_attributes(everybody[11].index, ["notes".to_owned()]);
    bench.set(everybody[11].index, "city", &json!("Ulm"));
    bench.sync().await;
    let ids: Vec<&str> = everybody
        .iter()
        .map(|person| person.user_id.as_str())
        .collect();
    let file = format!(
        "user_id,city,notes,_action\n{},,first,\n{},Bern,second,\n{},Bern,,\n{},,,delete\n",
        ids[10], ids[11], ids[12], ids[13]
    );
    let id = plan_id(&bench.plan(0, &file).await);
    bench
        .bulk(&["apply", &id, "--yes", "--allow-deletes"])
        .await
        .expect(0);

    let planned = undo(&bench, 3, &id).await;
    let impossible = json!({"deletions": 1, "had_no_value": 2, "no_text": 1, "unknown": 0});
    assert_eq!(planned["impossible"], impossible);
    assert_eq!(
        (
            &planned["rows_read"],
            &planned["rows_planned"],
            &planned["rows_rejected"]
        ),
        (&json!(4), &json!(1), &json!(3))
    );
    let back = plan_id(&planned);
    let said = bench.bulk(&["undo", &id]).await.expect(3).stdout;
    for part in [
        "1 deletions, which nothing brings back",
        "2 values of attributes that had none before",
        "--clear",
        "1 values that were lists or objects",
    ] {
        assert!(said.contains(part), "{said}");
    }
    let messages = |results: &[Value]| -> Vec<String> {
        let messages = results
            .iter()
            .map(|row| row["message"].as_str().unwrap_or_default());
        messages.map(str::to_owned).collect()
    };
    let expected = [
        "notes had no value before",
        "notes had no value before",
        "city held something before that no text can say",
        "a deletion cannot be taken back",
    ];
    assert_eq!(messages(&bench.results(&back).await), expected);
    bench.apply(0, &back).await;
    assert_eq!(bench.attributes(everybody[11].index)["city"], "Ulm");
    assert_eq!(bench.attributes(everybody[11].index)["notes"], "second");
    assert_eq!(bench.attributes(everybody[10].index)["notes"], "first");
    assert_eq!(
        messages(&bench.results(&back).await),
        [
            expected[0],
            "notes had no value before; the user was updated",
            expected[2],
            expected[3]
        ],
        "what was left out is still told"
    );

    let cleared = bench.json(3, &["undo", &id, "--clear"]).await;
    assert_eq!(
        cleared["impossible"],
        json!({"deletions": 1, "had_no_value": 0, "no_text": 1, "unknown": 0})
    );
    bench.apply(0, &plan_id(&cleared)).await;
    for index in [10, 11] {
        assert_eq!(
            bench.attributes(everybody[index].index)["notes"],
            Value::Null
        );
    }
    assert_eq!(bench.attributes(everybody[12].index)["city"], "Bern");
    assert!(bench.simulator.tenant().index_of(ids[13]).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_a_way_back_only_from_what_was_done() {
    let bench = Bench::of(50).await;
    let everybody = bench.persons();
    let planned = plan_id(
        &bench
            .plan(0, &format!("email,city\n{},Bern\n", everybody[10].email))
            .await,
    );
    let said = bench.bulk(&["undo", &planned]).await.expect(2).stderr;
    assert!(
        said.contains("was not applied yet")
            && said.contains(&format!("bulk apply {planned} --yes")),
        "{said}"
    );
    bench
        .mirror
        .execute("update bulk_plans set applied_at = now()")
        .await;
    let said = bench.bulk(&["undo", &planned]).await.expect(2).stderr;
    assert!(
        said.contains("is not finished") && said.contains(&format!("bulk resume {planned}")),
        "{said}"
    );
    bench.mirror.execute("delete from bulk_plans").await;

    // Nothing was done, or nothing that can be taken back.
    let same = format!(
        "email,city\n{},{}\n",
        everybody[10].email,
        everybody[10].typed("city")
    );
    let unchanged = bench.push(&same).await;
    let goner = plan_id(
        &bench
            .plan(
                0,
                &format!("email,_action\n{},delete\n", everybody[11].email),
            )
            .await,
    );
    bench
        .bulk(&["apply", &goner, "--yes", "--allow-deletes"])
        .await
        .expect(0);
    let plans: i64 = bench.mirror.value("select count(*) from bulk_plans").await;
    for plan in [&unchanged, &goner] {
        let said = bench.bulk(&["undo", plan]).await.expect(1).stderr;
        assert!(
            said.contains("can be taken back") && said.contains("bulk results"),
            "{said}"
        );
    }
    assert_eq!(
        bench
            .mirror
            .value::<i64>("select count(*) from bulk_plans")
            .await,
        plans
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_changed_after_the_push_stays() {
    let bench = Bench::with(50, typed(), |program| program).await;
    let everybody = bench.persons();
    let [one, two, three] = [&everybody[10], &everybody[11], &everybody[12]];
    let file = format!(
        "user_id,city,loyalty-points\n{},Bern,90001\n{},Bern,90002\n{},Bern,90003\n",
        one.user_id, two.user_id, three.user_id
    );
    let id = bench.push(&file).await;
    // One that the push set, one that it did not.
    bench.set(two.index, "city", &json!("Theirs"));
    bench.set(three.index, "first-name", &json!("Theirs"));
    let planned = undo(&bench, 0, &id).await;
    let back = plan_id(&planned);
    bench.apply(3, &back).await;
    assert_eq!(bench.attributes(one.index), one.attributes);
    assert_eq!(bench.attributes(two.index)["city"], "Theirs");
    assert_eq!(bench.attributes(two.index)["loyalty-points"], 90_002);
    assert_eq!(
        bench.attributes(three.index)["city"],
        three.attributes["city"]
    );
    assert_eq!(bench.attributes(three.index)["first-name"], "Theirs");
    let rows = csv_rows(&bench.bulk(&["results", &back]).await.expect(0).stdout);
    let told: Vec<(&str, &str)> = rows[1..]
        .iter()
        .map(|row| (row[5].as_str(), row[6].as_str()))
        .collect();
    assert_eq!(told[1], ("failed", "changed since it was planned: city"));
    assert_eq!((told[0].0, told[2].0), ("succeeded", "succeeded"));
}

/// A tenant that stores what comes as it comes, numbers and booleans included.
fn any_type() -> Options {
    let mut behaviour = Behaviour::plain();
    behaviour.bulk = Bulk {
        any_type: true,
        ..Bulk::plain()
    };
    Options {
        behaviour,
        ..Options::default()
    }
}

/// A file that changes a number and a boolean of these people, and a text.
fn of_each_kind(people: &[Person]) -> String {
    let rows = people.iter().enumerate().map(|(at, person)| {
        let flag = !person.attributes["newsletter"].as_bool().expect("a flag");
        format!("{},Neu {at},{flag},{}\n", person.email, 100_000 + at)
    });
    format!(
        "email,city,newsletter,loyalty-points\n{}",
        rows.collect::<String>()
    )
}

fn to_text(document: &Value) -> Vec<(String, i64)> {
    let totals = document["totals"].as_array().expect("totals");
    let one = |total: &Value| {
        (
            total["attribute"].as_str().expect("a slug").to_owned(),
            total["to_text"].as_i64().expect("a count"),
        )
    };
    totals.iter().map(one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_numbers_is_said_before_and_after() {
    let bench = Bench::with(100, any_type(), |program| program).await;
    let people = &bench.persons()[..20];
    let of_each = |count: i64| {
        ["city", "loyalty-points", "newsletter"].map(|slug| {
            let count = if slug == "city" { 0 } else { count };
            (slug.to_owned(), count)
        })
    };
    let sorted = |document: &Value| {
        let mut counts = to_text(document);
        counts.sort();
        counts
    };

    let planned = bench.plan(0, &of_each_kind(people)).await;
    assert_eq!(sorted(&planned), of_each(20), "{planned:#}");
    let id = plan_id(&planned);
    let said = bench.bulk(&["status", &id]).await.expect(0).stdout;
    assert!(
        said.contains("go out as text") && said.contains("20 of loyalty-points"),
        "{said}"
    );
    let pushed = bench.bulk(&["apply", &id, "--yes"]).await.expect(0).stdout;
    assert!(
        pushed.contains("went out as text") && pushed.contains("way back sends text"),
        "{pushed}"
    );
    assert!(
        all(&bench, people)
            .iter()
            .all(|person| person["loyalty-points"].is_string())
    );

    let back = undo(&bench, 0, &id).await;
    assert_eq!(sorted(&back), of_each(20), "{back:#}");
    let said = bench
        .bulk(&["status", &plan_id(&back)])
        .await
        .expect(0)
        .stdout;
    assert!(
        said.contains("come back as text") && said.contains("20 of newsletter"),
        "{said}"
    );
    bench.apply(0, &plan_id(&back)).await;
    let restored = all(&bench, people);
    for (person, restored) in people.iter().zip(&restored) {
        assert_eq!(restored["loyalty-points"], person.typed("loyalty-points"));
        assert_eq!(restored["city"], person.attributes["city"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_values_keep_their_types_both_ways() {
    let typed = |program: crate::support::Program| program.with("ZEPHR_SYNC_BULK_VALUES", "typed");
    let bench = Bench::with(100, any_type(), typed).await;
    let people = &bench.persons()[..20];
    let before = all(&bench, people);

    let planned = bench.plan(0, &of_each_kind(people)).await;
    assert!(
        to_text(&planned).iter().all(|(_, count)| *count == 0),
        "{planned:#}"
    );
    let id = plan_id(&planned);
    let said = bench.bulk(&["status", &id]).await.expect(0).stdout;
    assert!(!said.contains("as text"), "{said}");
    bench.apply(0, &id).await;
    let pushed = all(&bench, people);
    assert!(pushed.iter().all(|person| person["loyalty-points"].is_number() && person["newsletter"].is_boolean()));
    let back = plan_id(&undo(&bench, 0, &id).await);
    bench.apply(0, &back).await;
    assert!(all(&bench, people) == before, "everybody is as before");
}
