//! The steps of a trial.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Value, json};
use simulator::{Behaviour, Bulk, Options};

use super::check;
use super::expected::{Expected, Step, check_actions};
use super::file::{Cast, File, NAME, place};
use super::wrong::Kind;
use super::{Empty, Trial};
use crate::support::bulk::{Bench, Person, csv_rows, plan_id};
use crate::support::program::Peak;

/// Columns in front of a rejects file.
const OURS: usize = 2;

/// All of a trial.
pub async fn all(trial: &Trial) {
    let bench = mirrored(trial).await;
    let mut people = bench.persons();
    let gone = delete_some(trial, &bench, &mut people).await;
    let cast = cast(trial, &bench, &people, gone).await;
    let file = File::of(trial, &cast);
    assert_eq!(file.wrong().count() * 100, trial.rows * 3);
    for kind in &trial.kinds {
        assert!(file.of_kind(*kind).next().is_some(), "no row is {kind:?}");
    }
    let expected = Expected::new(&people, trial.stored, &file);
    let tenant = bench.simulator.tenant();
    bench.write("users.csv", &file.text);

    let (document, planning) = plan(trial, &bench).await;
    check::planned(&document, &file, &people);
    check::rejects(&bench, &file);
    let id = plan_id(&document);
    let planned = check::results(&bench, &id).await;
    check::told(&planned, &check::pushed(&file, &people, "planned"));
    corrected(trial, &bench, &file).await;
    assert_eq!(bench.simulator.stats().writes, 0, "planning sends nothing");

    let apply = ["bulk", "apply", &id, "--yes", "--json", "--allow-deletes"];
    let (ended, applying) = bench.program.peak(&apply).await;
    let succeeded = file.rows.iter().filter(|row| row.changes()).count();
    check::finished(&ended.expect(0).json(), succeeded);
    check_actions(&tenant.bulk_applied(), 0, &expected.actions(Step::Pushed));
    expected.check(&tenant, Step::Pushed);
    let applied = check::results(&bench, &id).await;
    check::told(&applied, &check::pushed(&file, &people, "succeeded"));
    assert!(applied.iter().all(|row| row.confirmed_at.is_empty()));

    bench.sync().await;
    check::confirmed(&check::results(&bench, &id).await);
    let (again, _) = plan(trial, &bench).await;
    let (deleted, wrong) = (file.deletions(), file.wrong().count());
    check::counts(&again, 0, trial.rows - wrong - deleted, wrong + deleted);

    for step in [Step::Back, Step::Cleared] {
        let before = tenant.bulk_applied().len();
        let clear: &[&str] = match step {
            Step::Cleared => &["--clear"],
            Step::Back | Step::Pushed => &[],
        };
        let undo = [&["undo", &id], clear].concat();
        let should = check::taken_back(&file, &people, step);
        let is_whole = should.iter().all(|row| row.outcome != "rejected");
        let document = bench.json(if is_whole { 0 } else { 3 }, &undo).await;
        check::undone(&document, &file, &people, &id, step, &should);
        let back = plan_id(&document);
        let taken = should.iter().filter(|row| row.outcome == "succeeded");
        check::finished(&bench.apply(0, &back).await, taken.count());
        check_actions(&tenant.bulk_applied(), before, &expected.actions(step));
        expected.check(&tenant, step);
        let results = check::results(&bench, &back).await;
        check::told(&results, &should);
        bench.sync().await;
        check::confirmed(&check::results(&bench, &back).await);
    }
    // But for those who were deleted, everything is to do that was at first.
    let (again, _) = plan(trial, &bench).await;
    check::counts(
        &again,
        succeeded - deleted,
        trial.rows - wrong - succeeded,
        wrong + deleted,
    );
    assert_eq!(bench.simulator.stats().bulk_twice_in_job, 0);
    println!(
        "{} rows by {}: planned in {:.1?} ({:.0} rows/s) with {} KiB at most, {succeeded} applied in {:.1?} with {} KiB at most",
        trial.rows,
        trial.column,
        planning.time,
        trial.rows as f64 / planning.time.as_secs_f64(),
        planning.kib,
        applying.time,
        applying.kib
    );
}

/// A tenant as the trial wants it, mirrored.
async fn mirrored(trial: &Trial) -> Bench {
    let mut behaviour = Behaviour::plain();
    behaviour.bulk = Bulk {
        stored: trial.stored,
        ..Bulk::plain()
    };
    let options = Options {
        behaviour,
        ..Options::default()
    };
    let bench = Bench::with(trial.people, options, |program| {
        program.with("ZEPHR_SYNC_BULK_POLL", trial.poll)
    })
    .await;
    let code = json!({"slug": "code", "label": "Code", "input-type": "text", "validation-expression": "[A-Z]{3}-\\d+"});
    bench.add_fields(&[code]).await;
    bench.require("city").await;
    bench
}

/// What the file calls somebody.
fn name(trial: &Trial, person: &Person) -> Option<String> {
    match trial.column {
        "email" => Some(person.email.clone()),
        _ => person.crm.clone(),
    }
}

/// Deletes some of the people, of which the mirror then knows; their names.
async fn delete_some(trial: &Trial, bench: &Bench, people: &mut Vec<Person>) -> Vec<String> {
    let held = held(trial, people);
    let mut gone = Vec::new();
    people.retain(|person| {
        let name = name(trial, person).filter(|name| held[name] == 1);
        match name {
            Some(name) if person.index % 500 == 400 => {
                assert!(bench.simulator.tenant().delete(person.index));
                gone.push(name);
                false
            }
            Some(_) | None => true,
        }
    });
    bench.sync().await;
    gone
}

/// How many people have each name.
fn held(trial: &Trial, people: &[Person]) -> HashMap<String, usize> {
    let mut held = HashMap::new();
    for name in people.iter().filter_map(|person| name(trial, person)) {
        *held.entry(name).or_default() += 1;
    }
    held
}

async fn cast<'a>(
    trial: &Trial,
    bench: &Bench,
    people: &'a [Person],
    gone: Vec<String>,
) -> Cast<'a> {
    let held = held(trial, people);
    let named = people.iter().enumerate();
    let named = named.filter_map(|(at, person)| Some((name(trial, person)?, at)));
    let mut known: Vec<(String, usize)> = named.filter(|(name, _)| held[name] == 1).collect();
    let mut shared: Vec<String> = held
        .into_iter()
        .filter_map(|(name, people)| (people == 2).then_some(name))
        .collect();
    if shared.is_empty() {
        // A tenant has each address once; a mirror may be told otherwise, as by a merge of two
        // tenants.
        let last = known.split_off(known.len() - 6);
        for pair in last.chunks(2) {
            let sql = format!(
                "update users set email = '{}' where user_id = '{}'",
                pair[0].0, people[pair[1].1].user_id
            );
            bench.mirror.execute(&sql).await;
            shared.push(pair[0].0.clone());
        }
    }
    shared.sort_unstable();
    Cast {
        people,
        known,
        gone,
        shared,
    }
}

fn flag(empty: Empty) -> &'static str {
    match empty {
        Empty::Keep => "keep",
        Empty::Clear => "clear",
    }
}

/// Plans the file; the document, and what it took.
async fn plan(trial: &Trial, bench: &Bench) -> (Value, Peak) {
    let empty = flag(trial.empty);
    let plan = ["bulk", "plan", "users.csv", "--empty", empty, "--json"];
    let (ended, peak) = bench.program.peak(&plan).await;
    (ended.expect(3).json(), peak)
}

/// Corrects the rows that are wrong in one way where the rejects have them, and plans that.
async fn corrected(trial: &Trial, bench: &Bench, file: &File) {
    let lines: HashSet<String> = file
        .of_kind(Kind::NoNumber)
        .map(|(row, _)| row.line.to_string())
        .collect();
    let mut rows = csv_rows(&bench.read("users.rejects.csv"));
    let mut names = HashSet::new();
    let header = rows.remove(0);
    rows.retain(|row| lines.contains(&row[0]));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&header).expect("a row");
    for row in &mut rows {
        names.insert(row[OURS + NAME].clone());
        row[OURS + place("loyalty-points")] = "70001".to_owned();
        writer.write_record(row).expect("a row");
    }
    bench.write("corrected.csv", writer.into_inner().expect("a file"));
    let plan = ["plan", "corrected.csv", "--empty", flag(trial.empty)];
    let document = bench.json(0, &plan).await;
    check::counts(&document, lines.len(), 0, 0);
    let planned: BTreeMap<String, Value> = bench
        .results(&plan_id(&document))
        .await
        .into_iter()
        .map(|row| {
            let name = row["identifier"].as_str().expect("a name").to_owned();
            (name, row["new_values"].clone())
        })
        .collect();
    assert_eq!(planned.len(), names.len());
    for (name, values) in planned {
        assert!(names.contains(&name), "{name} was not corrected");
        assert_eq!(values, json!({"loyalty-points": "70001"}), "{name}");
    }
}
