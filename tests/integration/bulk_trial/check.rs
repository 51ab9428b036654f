//! What the program says, beside what it should say.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use zephr_sync::bulk::plan::SHOWN;

use super::expected::Step;
use super::file::{Fate, File};
use crate::support::bulk::{Bench, Person, csv_rows};

/// A row of the results.
#[derive(Debug, Deserialize)]
pub struct Told {
    line: u64,
    identifier: String,
    user_id: String,
    outcome: String,
    message: String,
    settled_at: String,
    pub confirmed_at: String,
}

/// What should be told of a row.
#[derive(Debug)]
pub struct Should {
    line: u64,
    name: String,
    /// Empty where nobody is meant.
    user_id: String,
    pub outcome: &'static str,
    /// How the message begins.
    message: String,
}

/// The results of a plan.
pub async fn results(bench: &Bench, plan_id: &str) -> Vec<Told> {
    let results = ["results", plan_id, "--output", "results.csv"];
    bench.bulk(&results).await.expect(0);
    let text = bench.read("results.csv");
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let rows = reader.deserialize().map(|row| row.expect("a row"));
    rows.collect()
}

/// Fails unless each row is told once, in the order of the file, with what became of it.
#[track_caller]
pub fn told(told: &[Told], should: &[Should]) {
    for (told, should) in told.iter().zip(should) {
        assert!(
            told.line == should.line
                && told.identifier == should.name
                && told.user_id == should.user_id
                && told.outcome == should.outcome
                && told.message.starts_with(&should.message),
            "{told:?} is not {should:?}"
        );
        assert!(
            should.outcome != "succeeded" || !told.settled_at.is_empty(),
            "{told:?}"
        );
    }
    assert_eq!(told.len(), should.len());
}

/// Fails unless a sync has seen everything that succeeded, and nothing else is said to be seen.
#[track_caller]
pub fn confirmed(told: &[Told]) {
    for row in told {
        let is_confirmed = !row.confirmed_at.is_empty();
        assert_eq!(is_confirmed, row.outcome == "succeeded", "{row:?}");
    }
}

/// What should be told of the rows of the file; `outcome` is that of the rows that change
/// something.
pub fn pushed(file: &File, people: &[Person], outcome: &'static str) -> Vec<Should> {
    let rows = file.rows.iter().map(|row| {
        let (outcome, message) = match &row.fate {
            Fate::Set(_) | Fate::Delete => (outcome, String::new()),
            Fate::Same => ("unchanged", String::new()),
            Fate::Wrong(wrong) => ("rejected", wrong.complaints[0].beside_its_row()),
        };
        let user_id = if row.is_wrong() {
            String::new()
        } else {
            people[row.person].user_id.clone()
        };
        Should {
            line: row.line,
            name: row.name.clone(),
            user_id,
            outcome,
            message,
        }
    });
    rows.collect()
}

/// The attributes that a row changes and that had no value before.
fn had_none<'a>(
    changes: &'a BTreeMap<&'static str, String>,
    person: &'a Person,
) -> impl Iterator<Item = &'static str> {
    let slugs = changes.keys().copied();
    slugs.filter(|slug| person.typed(slug).is_empty())
}

/// What should be told of the way back.
pub fn taken_back(file: &File, people: &[Person], step: Step) -> Vec<Should> {
    let mut all = Vec::new();
    for row in &file.rows {
        let person = &people[row.person];
        let (outcome, message) = match (&row.fate, step) {
            (Fate::Same | Fate::Wrong(_), _) => continue,
            (Fate::Delete, _) => ("rejected", "a deletion cannot be taken back".to_owned()),
            (Fate::Set(_), Step::Pushed) => ("succeeded", String::new()),
            (Fate::Set(changes), Step::Cleared) => {
                // All that had a value has it again already.
                let nothing = had_none(changes, person).next().is_none();
                let outcome = if nothing { "unchanged" } else { "succeeded" };
                (outcome, String::new())
            }
            (Fate::Set(changes), Step::Back) => {
                let none: Vec<String> = had_none(changes, person)
                    .map(|slug| format!("{slug} had no value before"))
                    .collect();
                let nothing = none.len() == changes.len();
                (
                    if nothing { "rejected" } else { "succeeded" },
                    none.join("; "),
                )
            }
        };
        let user_id = match outcome {
            "rejected" => String::new(),
            _ => person.user_id.clone(),
        };
        all.push(Should {
            line: row.line,
            name: person.user_id.clone(),
            user_id,
            outcome,
            message,
        });
    }
    all
}

/// Fails unless the document says so many rows.
#[track_caller]
pub fn counts(document: &Value, planned: usize, skipped: usize, rejected: usize) {
    let counts = ["rows_planned", "rows_skipped", "rows_rejected"].map(|name| &document[name]);
    assert_eq!(counts, [&json!(planned), &json!(skipped), &json!(rejected)]);
    let read = planned + skipped + rejected;
    assert_eq!(document["rows_read"], read);
}

/// Fails unless so many rows succeeded and there are no others.
#[track_caller]
pub fn finished(document: &Value, succeeded: usize) {
    assert_eq!(document["status"], "finished");
    let outcomes = json!({
        "planned": 0, "sent": 0, "succeeded": succeeded, "failed": 0, "unknown": 0, "confirmed": 0, "refuted": 0
    });
    assert_eq!(document["outcomes"], outcomes);
}

/// Fails unless the preview is right: what is counted, and what is said of each row that is wrong.
#[track_caller]
pub fn planned(document: &Value, file: &File, people: &[Person]) {
    let changing = file.rows.iter().filter(|row| row.changes()).count();
    let wrong = file.wrong().count();
    let same = file.rows.len() - changing - wrong;
    counts(document, changing, same, wrong);
    assert_eq!(document["rows_deleting"], file.deletions());
    assert_eq!(totals_of(document), totals(file, people));

    let complaints = document["complaints"].as_array().expect("complaints");
    let expected = file.wrong().flat_map(|(row, wrong)| {
        let complaints = wrong.complaints.iter();
        complaints.map(|complaint| (row.line, complaint))
    });
    let expected: Vec<_> = expected.collect();
    for (found, (line, complaint)) in complaints.iter().zip(&expected) {
        let said = found["reason"].as_str().expect("a reason");
        assert!(
            found["line"] == *line
                && found["column"] == json!(complaint.column)
                && found["value"] == json!(complaint.value)
                && said.starts_with(&complaint.reason),
            "{found:#} is not line {line}, {complaint:?}"
        );
    }
    assert_eq!(complaints.len(), expected.len().min(SHOWN));
}

/// Rows, values that are new, that replace another, and that are cleared, by attribute.
type Totals = BTreeMap<String, [u64; 4]>;

fn totals_of(document: &Value) -> Totals {
    let totals = document["totals"].as_array().expect("totals");
    let total = |total: &Value| {
        let counts = ["rows", "added", "changed", "cleared"];
        let counts = counts.map(|name| total[name].as_u64().expect("a number"));
        let slug = total["attribute"].as_str().expect("a slug");
        (slug.to_owned(), counts)
    };
    totals.iter().map(total).collect()
}

fn totals(file: &File, people: &[Person]) -> Totals {
    let mut totals = Totals::new();
    for row in &file.rows {
        let Fate::Set(changes) = &row.fate else {
            continue;
        };
        for (slug, text) in changes {
            let had_none = people[row.person].typed(slug).is_empty();
            let total = totals.entry((*slug).to_owned()).or_default();
            total[0] += 1;
            total[if text.is_empty() {
                3
            } else if had_none {
                1
            } else {
                2
            }] += 1;
        }
    }
    totals
}

/// Fails unless the rejects are the rows that are wrong, in their order, as they stand in the file.
#[track_caller]
pub fn rejects(bench: &Bench, file: &File) {
    let rejects = csv_rows(&bench.read("users.rejects.csv"));
    assert_eq!(rejects[0][..2], ["_line", "_reason"]);
    assert_eq!(rejects[0][2..], file.header);
    for (found, (row, wrong)) in rejects[1..].iter().zip(file.wrong()) {
        assert_eq!(found[0], row.line.to_string(), "{wrong:?}");
        assert_eq!(found[2..], wrong.cells, "line {}", row.line);
        let mut rest = found[1].as_str();
        for complaint in &wrong.complaints {
            let said = complaint.beside_its_row();
            let after = rest.strip_prefix(&said);
            assert!(after.is_some(), "{} is not {said}", found[1]);
            rest = after
                .and_then(|rest| rest.split_once("; "))
                .map_or("", |(_, rest)| rest);
        }
    }
    assert_eq!(rejects.len() - 1, file.wrong().count());
}

/// Fails unless the way back says what it leaves out.
#[track_caller]
pub fn undone(
    document: &Value,
    file: &File,
    people: &[Person],
    plan_id: &str,
    step: Step,
    should: &[Should],
) {
    assert_eq!(document["undo_of"], plan_id);
    let had_no_value: usize = match step {
        Step::Pushed | Step::Cleared => 0,
        Step::Back => {
            let rows = file.rows.iter().map(|row| match &row.fate {
                Fate::Set(changes) => had_none(changes, &people[row.person]).count(),
                Fate::Delete | Fate::Same | Fate::Wrong(_) => 0,
            });
            rows.sum()
        }
    };
    let impossible = json!({
        "deletions": file.deletions(), "had_no_value": had_no_value, "no_text": 0, "unknown": 0
    });
    assert_eq!(document["impossible"], impossible);
    let rejected = should
        .iter()
        .filter(|row| row.outcome == "rejected")
        .count();
    counts(document, should.len() - rejected, 0, rejected);
}
