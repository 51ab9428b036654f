//! A file made into a plan: what is wrong in it is named to the cell and comes back in the rejects,
//! everything else is planned, and nothing is written but the plan.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use simulator::{List, Options, PLANTED_EMAILS, PLANTED_PHONES};

use crate::support::bulk::{Bench, Person, csv_rows, plan_id};
use crate::support::{Mirror, Program, people};

/// A file as it is written, with what should come of each row.
struct File {
    text: Vec<u8>,
    line: u64,
    /// Line, column, value and the beginning of the reason.
    complaints: Vec<(u64, Option<&'static str>, Option<String>, String)>,
    /// Line, and the cells as they should stand in the rejects.
    rejects: Vec<(u64, Vec<String>)>,
    /// Line and state of every row.
    states: Vec<(u64, &'static str)>,
}

/// Behind the identifier; the identifier itself is first, so that a row that is too short still has
/// it.
const COLUMNS: [&str; 9] = [
    "_action",
    "newsletter",
    "loyalty-points",
    "country",
    "date-of-birth",
    "contact",
    "code",
    "notes",
    "city",
];

impl File {
    fn new(identifier: &str) -> Self {
        Self {
            text: format!("{identifier},{}\r\n", COLUMNS.join(",")).into_bytes(),
            line: 2,
            complaints: Vec::new(),
            rejects: Vec::new(),
            states: Vec::new(),
        }
    }

    /// A row as bytes that stand in the file so.
    fn raw(&mut self, row: &[u8], state: &'static str) {
        self.states.push((self.line, state));
        self.text.extend_from_slice(row);
        self.text.extend_from_slice(b"\r\n");
        self.line += 1 + row.iter().filter(|byte| **byte == b'\n').count() as u64;
    }

    fn row(&mut self, cells: &[String], state: &'static str) {
        let quoted = cells.iter().map(|cell| {
            let needs = cell.contains([',', '"', '\n', '\r']);
            let inner = cell.replace('"', "\"\"");
            if needs { format!("\"{inner}\"") } else { inner }
        });
        let row: Vec<String> = quoted.collect();
        self.raw(row.join(",").as_bytes(), state);
    }

    /// A row with a complaint; `column` none for one about the whole row.
    fn wrong(&mut self, cells: &[String], column: Option<(&'static str, &str)>, reason: &str) {
        let (column, value) = column.unzip();
        let value = value.map(str::to_owned);
        self.complaints
            .push((self.line, column, value, reason.to_owned()));
        self.rejects.push((self.line, cells.to_vec()));
        self.row(cells, "rejected");
    }

    /// The same of a row that cannot be written cell by cell.
    fn wrong_bytes(
        &mut self,
        row: &[u8],
        shown: &[String],
        column: &'static str,
        value: &str,
        reason: &str,
    ) {
        let complaint = (
            self.line,
            Some(column),
            Some(value.to_owned()),
            reason.to_owned(),
        );
        self.complaints.push(complaint);
        self.rejects.push((self.line, shown.to_vec()));
        self.raw(row, "rejected");
    }
}

/// A row that sets nothing: who, and empty cells.
fn nothing(name: &str) -> Vec<String> {
    let mut cells = vec![name.to_owned()];
    cells.resize(1 + COLUMNS.len(), String::new());
    cells
}

fn with(name: &str, values: &[(&str, &str)]) -> Vec<String> {
    let mut cells = nothing(name);
    for (column, value) in values {
        let at = COLUMNS.iter().position(|name| name == column);
        cells[1 + at.expect("a column")] = (*value).to_owned();
    }
    cells
}

/// A row that changes nothing, though spelt as a spreadsheet spells.
fn the_same(name: &str, person: &Person) -> Vec<String> {
    let flag = person.typed("newsletter").to_uppercase();
    let points = format!("{}.0", person.typed("loyalty-points"));
    let born = person.typed("date-of-birth");
    with(
        name,
        &[
            ("newsletter", &flag),
            ("loyalty-points", &points),
            ("date-of-birth", &born),
            ("city", &person.typed("city")),
            ("_action", "Set"),
        ],
    )
}

/// Rows that are wrong, one way each. `named` names the people who are in no other row: enough for
/// a row each.
fn wrong_rows(
    file: &mut File,
    column: &'static str,
    named: &[String],
    gone: &str,
    several: Option<&str>,
) {
    let mut named = named.iter().map(String::as_str);
    let mut next = || named.next().expect("enough people");
    let about_a_cell = [
        ("loyalty-points", "abc", "is not a number"),
        ("loyalty-points", "1,5", "is not a number; write 1.5"),
        ("newsletter", "yes", "is neither true nor false; write true"),
        (
            "country",
            "Atlantis",
            "is not one of its options (GB, IE, DE, FR, CH, US, BR)",
        ),
        (
            "date-of-birth",
            "31.12.1980",
            "is not a day as 2026-11-21; write 1980-12-31",
        ),
        ("date-of-birth", "1981-02-29", "is a day that never was"),
        ("contact", "nobody", "is not an e-mail address: it has no @"),
        (
            "code",
            "abc-1",
            "does not match its validation expression [A-Z]{3}-\\d+",
        ),
        (
            "_action",
            "remove",
            "is no action; write `set`, `delete`, or nothing for `set`",
        ),
        ("notes", "a\0b", "has a NUL character in it"),
    ];
    for (slug, value, reason) in about_a_cell {
        file.wrong(&with(next(), &[(slug, value)]), Some((slug, value)), reason);
    }
    // What a spreadsheet would run is escaped in the rejects, whatever the row is left out for.
    let formula = with(
        next(),
        &[("notes", "=1+1"), ("city", "'s Gravenhage"), ("code", "x")],
    );
    file.wrong(&formula, Some(("code", "x")), "does not match");

    let stranger = nothing("nobody-has-this");
    file.wrong(
        &stranger,
        Some((column, "nobody-has-this")),
        "no user in the mirror has this",
    );
    file.wrong(
        &nothing("a\0b"),
        Some((column, "a\0b")),
        "has a NUL character in it",
    );
    file.wrong(
        &nothing(gone),
        Some((column, gone)),
        "this user no longer exists, as a sync found on",
    );
    if let Some(several) = several {
        file.wrong(
            &nothing(several),
            Some((column, several)),
            "2 users have this",
        );
    }
    let empty = with("", &[("city", "Nowhere")]);
    file.wrong(
        &empty,
        Some((column, "")),
        "is empty, so the row names no user",
    );

    let short = nothing(next())[..4].to_vec();
    file.wrong(&short, None, "has 4 cells, and the header has 10");
    let mut long = nothing(next());
    long.push("more".to_owned());
    file.wrong(&long, None, "has 11 cells, and the header has 10");

    let twice = with(next(), &[("city", "Bern")]);
    let first = file.line;
    file.row(&twice, "planned");
    let reason = format!("is the same user as on line {first}; a user may stand in a file once");
    file.wrong(&twice, Some((column, &twice[0])), &reason);

    let shown = with(next(), &[("city", "Z\u{fffd}rich")]);
    let row = format!("{},,,,,,,,,", shown[0]).into_bytes();
    let row = [&row[..], b"Z\xfcrich"].concat();
    file.wrong_bytes(&row, &shown, "city", "Z\u{fffd}rich", "is not valid UTF-8");
    let shown = with(next(), &[("notes", "\"a\"b"), ("city", "x")]);
    let row = format!("{},,,,,,,,\"a\"b,x", shown[0]);
    file.wrong_bytes(
        row.as_bytes(),
        &shown,
        "notes",
        "\"a\"b",
        "has text after its closing quote",
    );
    let shown = with(next(), &[("notes", " \"a, b\"")]);
    let row = format!("{},,,,,,,, \"a\",", shown[0]);
    let shown = {
        let mut shown = shown;
        shown[8] = " \"a\"".to_owned();
        shown
    };
    file.wrong_bytes(
        row.as_bytes(),
        &shown,
        "notes",
        " \"a\"",
        "has blanks before its opening quote",
    );
}

/// As the rejects should hold a cell.
fn escaped(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\'']) {
        format!("'{cell}")
    } else {
        cell.to_owned()
    }
}

async fn expect(bench: &Bench, column: &str, file: &File) {
    bench.write("users.csv", &file.text);
    let document = bench.json(3, &["plan", "users.csv"]).await;
    let complaints = document["complaints"].as_array().expect("complaints");
    for (found, (line, column, value, reason)) in complaints.iter().zip(&file.complaints) {
        assert_eq!(found["line"], *line, "{found:#} is not {reason}");
        assert_eq!(found["column"], json!(column), "{found:#}");
        assert_eq!(found["value"], json!(value), "{found:#}");
        let said = found["reason"].as_str().expect("a reason");
        assert!(said.starts_with(reason), "{said} is not {reason}");
    }
    assert_eq!(complaints.len(), file.complaints.len());

    let rejects = csv_rows(&bench.read("users.rejects.csv"));
    let header: Vec<&str> = ["_line", "_reason", column]
        .into_iter()
        .chain(COLUMNS)
        .collect();
    assert_eq!(rejects[0], header);
    for (found, (line, cells)) in rejects[1..].iter().zip(&file.rejects) {
        assert_eq!(found[0], line.to_string());
        let expected: Vec<String> = cells.iter().map(|cell| escaped(cell)).collect();
        assert_eq!(found[2..], expected, "{}", found[1]);
        let (_, column, _, reason) = &file.complaints[file
            .rejects
            .iter()
            .position(|row| row.0 == *line)
            .expect("it")];
        let reason = match column {
            Some(column) => format!("{column}: {reason}"),
            None => reason.clone(),
        };
        assert!(
            found[1].starts_with(&reason),
            "{} is not {reason}",
            found[1]
        );
    }
    assert_eq!(rejects.len() - 1, file.rejects.len());

    let results = bench.results(&plan_id(&document)).await;
    let states: Vec<(u64, &str)> = results
        .iter()
        .map(|row| {
            (
                row["line"].as_u64().expect("a line"),
                row["state"].as_str().expect("a state"),
            )
        })
        .collect();
    let differs = states
        .iter()
        .zip(&file.states)
        .find(|(one, other)| one != other);
    assert_eq!(differs, None);
    assert_eq!(states.len(), file.states.len());
    let count = |state| file.states.iter().filter(|row| row.1 == state).count();
    assert_eq!(document["rows_read"], file.states.len());
    assert_eq!(document["rows_planned"], count("planned"));
    assert_eq!(document["rows_skipped"], count("unchanged"));
    assert_eq!(document["rows_rejected"], count("rejected"));
    assert_eq!(document["identifier"], column);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_rows_are_named_to_the_cell_and_all_others_are_planned() {
    let bench = Bench::of(6_000).await;
    let fields = [
        json!({"slug": "contact", "label": "Contact", "input-type": "email"}),
        json!({"slug": "code", "label": "Code", "input-type": "text", "validation-expression": "[A-Z]{3}-\\d+"}),
    ];
    bench.add_fields(&fields).await;
    let everybody = bench.persons();
    type Name = fn(&Person) -> Option<String>;
    let ways: [(&'static str, Name, &str); 4] = [
        (
            "email",
            |person| Some(person.email.clone()),
            "update users set email = $several where user_id = $other",
        ),
        (
            "foreign_key:crm",
            |person| person.crm.clone(),
            "update user_foreign_keys set key = $several where user_id = $other and system = 'crm'",
        ),
        ("user_id", |person| Some(person.user_id.clone()), ""),
        (
            "username",
            |person| person.username.clone(),
            "update users set username = $several where user_id = $other",
        ),
    ];
    // Those who are gone, and those whom a name leads to together, one pair for each way.
    let mut special = BTreeMap::new();
    for (place, (column, name, _)) in ways.iter().enumerate() {
        let mut having = everybody
            .iter()
            .filter(|person| name(person).is_some() && person.index > 10)
            .skip(place * 100);
        let mut one = || having.next().expect("somebody").clone();
        special.insert(*column, [one(), one(), one()]);
    }
    for [gone, _, _] in special.values() {
        assert!(bench.simulator.tenant().delete(gone.index));
    }
    bench.sync().await;
    for (column, name, several) in ways {
        let [_, one, other] = &special[column];
        let sql = several
            .replace("$several", &format!("'{}'", name(one).expect("a name")))
            .replace("$other", &format!("'{}'", other.user_id));
        bench.mirror.execute(&sql).await;
    }

    for (column, name, several) in ways {
        let [gone, one, _] = &special[column];
        let mut held: BTreeMap<String, usize> = BTreeMap::new();
        for person in &everybody {
            *held.entry(name(person).unwrap_or_default()).or_default() += 1;
        }
        let is_special = |person: &&Person| {
            special
                .values()
                .flatten()
                .any(|other| other.index == person.index)
        };
        let usable: Vec<(String, &Person)> = everybody
            .iter()
            .filter(|person| !is_special(person))
            .filter_map(|person| Some((name(person)?, person)))
            .filter(|(name, _)| held[name] == 1)
            .collect();
        let reserved = 20 * 3;
        assert!(usable.len() > 600, "{column}: {}", usable.len());
        let (wrong, good) = usable.split_at(reserved);
        let wrong: Vec<String> = wrong.iter().map(|(name, _)| name.clone()).collect();
        let mut file = File::new(column);
        for (at, (name, person)) in good.iter().enumerate() {
            if at % (good.len() / 3) == 5 {
                let set = at / (good.len() / 3);
                let gone = name_of(gone, column);
                let ambiguous = name_of(one, column);
                // A name may be left out for the same reason again.
                let ambiguous = (!several.is_empty()).then_some(ambiguous.as_str());
                wrong_rows(
                    &mut file,
                    column,
                    &wrong[set * 20..(set + 1) * 20],
                    &gone,
                    ambiguous,
                );
            }
            match at % 4 {
                0 => file.row(&the_same(name, person), "unchanged"),
                1 => {
                    let points = person.attributes["loyalty-points"]
                        .as_u64()
                        .expect("points")
                        + 1;
                    file.row(
                        &with(name, &[("loyalty-points", &points.to_string())]),
                        "planned",
                    );
                }
                2 => file.row(
                    &with(
                        name,
                        &[("code", "ABC-7"), ("notes", "two\r\nlines, \"quoted\"")],
                    ),
                    "planned",
                ),
                _ => file.row(
                    &with(
                        name,
                        &[("_action", "DELETE"), ("loyalty-points", "not looked at")],
                    ),
                    "planned",
                ),
            }
        }
        expect(&bench, column, &file).await;
    }
    assert_eq!(bench.simulator.stats().writes, 0);
}

fn name_of(person: &Person, column: &str) -> String {
    match column {
        "email" => person.email.clone(),
        "foreign_key:crm" => person.crm.clone().expect("a key"),
        "user_id" => person.user_id.clone(),
        _ => person.username.clone().expect("a user name"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_that_are_corrected_are_a_plan_of_themselves() {
    let bench = Bench::of(50).await;
    let (one, two) = (&bench.persons()[10], &bench.persons()[11]);
    let file = format!(
        "telephone;notes;email;loyalty-points\n+49 30 1234;=1+1;{};abc\n-1;'s Gravenhage;{};7x\n;;{};1\n",
        one.email,
        two.email,
        bench.persons()[12].email
    );
    let document = bench.plan(3, &file).await;
    assert_eq!(document["rows_planned"], 1);
    assert_eq!(document["rejects_path"], "users.rejects.csv");
    let rejects = bench.read("users.rejects.csv");
    let lines: Vec<&str> = rejects.trim_start_matches('\u{feff}').lines().collect();
    assert_eq!(
        lines[0],
        "_line;_reason;telephone;notes;email;loyalty-points"
    );
    assert!(
        lines[1].ends_with(&format!(";'+49 30 1234;'=1+1;{};abc", one.email)),
        "{rejects}"
    );
    assert!(
        lines[2].ends_with(&format!(";'-1;''s Gravenhage;{};7x", two.email)),
        "{rejects}"
    );

    let corrected = rejects
        .replace(";abc", ";70001")
        .replace(";7x", ";70002")
        .replace(";'-1;", ";'+41 44 000;");
    bench.write("users.rejects.csv", corrected);
    let again = bench.json(0, &["plan", "users.rejects.csv"]).await;
    assert_eq!(
        (&again["rows_read"], &again["rows_planned"]),
        (&json!(2), &json!(2)),
        "{again:#}"
    );
    assert!(!bench.has("users.rejects.rejects.csv"));
    let results = bench.results(&plan_id(&again)).await;
    let new: Vec<&Value> = results.iter().map(|row| &row["new_values"]).collect();
    assert_eq!(
        new[0],
        &json!({"telephone": "+49 30 1234", "notes": "=1+1", "loyalty-points": "70001"})
    );
    assert_eq!(
        new[1],
        &json!({"telephone": "+41 44 000", "notes": "'s Gravenhage", "loyalty-points": "70002"})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_plan_ends() {
    let bench = Bench::of(50).await;
    let email = &bench.persons()[10].email;
    let good = format!("email,city\n{email},Bern\n");
    let planned = bench.plan(0, &good).await;
    assert_eq!(planned["complaints"], json!([]));
    assert!(!bench.has("users.rejects.csv"));
    bench.plan(3, &format!("{good}stranger,Bern\n")).await;

    let before = bench.mirror.everything().await;
    let bad = bench.plan(1, "email,city\nstranger,Bern\n,Bern\n").await;
    assert_eq!(
        (&bad["plan_id"], &bad["rows_rejected"], &bad["status"]),
        (&Value::Null, &json!(2), &json!("rejected"))
    );
    assert_eq!(bad["complaints"].as_array().map(Vec::len), Some(2));
    assert_eq!(bad["rejects_path"], "users.rejects.csv");
    assert_eq!(csv_rows(&bench.read("users.rejects.csv")).len(), 3);
    assert!(bench.mirror.everything().await == before, "no plan is left");
    let listed = bench.json(0, &["status"]).await;
    assert_eq!(listed["plans"].as_array().map(Vec::len), Some(2));
    let said = bench.bulk(&["plan", "users.csv"]).await.expect(1).stdout;
    assert!(
        said.starts_with("None of the 2 rows can be planned, so there is no plan."),
        "{said}"
    );
    assert!(said.contains("users.rejects.csv"), "{said}");

    for usage in [
        &["plan"][..],
        &["plan", "users.csv", "--empty", "never"],
        &["plan", "users.csv", "--delimiter", "ab"],
        &["apply", "no-plan", "--yes"],
        &["results", "0199aaaa-0000-7000-8000-000000000000"],
        &["status", "0199aaaa-0000-7000-8000-000000000000"],
        &["undo", "0199aaaa-0000-7000-8000-000000000000"],
        &["apply", planned["plan_id"].as_str().expect("a plan")],
        &["run", "users.csv"],
    ] {
        bench.bulk(usage).await.expect(2);
    }
    assert_eq!(bench.simulator.stats().writes, 0);
}

/// What is said of a file that cannot be planned at all: on stderr and, as a document, on stdout.
async fn refused(bench: &Bench, content: impl AsRef<[u8]>, arguments: &[&str]) -> String {
    bench.write("bad.csv", content);
    let arguments = [&["plan", "bad.csv", "--json"], arguments].concat();
    let ended = bench.bulk(&arguments).await.expect(1);
    let document = ended.json();
    let error = document["error"].as_str().expect("an error").to_owned();
    assert!(
        ended.stderr.contains(error.lines().next().expect("a line")),
        "{ended:?}"
    );
    format!(
        "{error}\n{}",
        document["remedy"].as_str().expect("a remedy")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_planned_is_refused_with_the_place_and_the_remedy() {
    let bench = Bench::of(50).await;
    let before = bench.mirror.everything().await;
    let email = &bench.persons()[10].email;
    let long = "x".repeat(3 << 20);
    let workbook = b"PK\x03\x04rest of a zip".to_vec();
    let utf16_unmarked: Vec<u8> = "email,city\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let cases: Vec<(Vec<u8>, &[&str])> = vec![
        (
            format!("email,Loyalty_Points\n{email},5\n").into(),
            &[
                "line 1, column `Loyalty_Points`",
                "did you mean loyalty-points?",
                "--ignore-columns",
            ],
        ),
        (
            format!("\n\nemail,shoe-size\n{email},5\n").into(),
            &[
                "line 3, column `shoe-size`: is not an attribute of the tenant\n",
                "/v3/schema/users",
            ],
        ),
        (
            format!("email,city,city\n{email},a,b\n").into(),
            &["line 1, column `city`: is named twice, by columns 2 and 3"],
        ),
        (format!("email,city\nemail,city\n{email},a\n").into(), &[]),
        (
            "city,country\nBern,CH\n".into(),
            &["line 1: no column names the user", "`city`, `country`"],
        ),
        (
            "email,user_id,city\na,b,c\n".into(),
            &["names the user as other columns do", "--ignore-columns"],
        ),
        (
            "foreign_key:,city\na,b\n".into(),
            &["does not name the system"],
        ),
        (Vec::new(), &["is empty"]),
        ("\u{feff}\r\n\r\n".into(), &["is empty"]),
        (workbook, &["workbook", "CSV UTF-8"]),
        (utf16_unmarked, &["UTF-16 without a byte order mark"]),
        (
            format!("email,city\n{email},\"{long}\n").into(),
            &["line 2"],
        ),
        (
            format!("email,city\n{email},\"a\n").into(),
            &["line 2, cell 2: the quote that opens here is never closed"],
        ),
        (
            format!("email,city\n{email},{long}\n").into(),
            &["line 2: the row is longer than"],
        ),
    ];
    for (content, expected) in cases {
        // A header that stands there twice is a row about nobody.
        if expected.is_empty() {
            bench.write("bad.csv", &content);
            let document = bench.json(3, &["plan", "bad.csv"]).await;
            assert_eq!(document["complaints"][0]["line"], 2);
            bench.mirror.execute("delete from bulk_plans").await;
            continue;
        }
        let said = refused(&bench, &content, &[]).await;
        for part in expected {
            assert!(said.contains(part), "{part} is not in {said}");
        }
        assert!(
            !bench.has("bad.rejects.csv") || bench.read("bad.rejects.csv").contains("email"),
            "{said}"
        );
    }
    let good = format!("email,city\n{email},a\n");
    for (arguments, expected) in [
        (["--ignore-columns", "shoe"], "no column has this name"),
        (["--rejects", "bad.csv"], ""),
        (["--rejects", "no/such/place.csv"], "cannot be written"),
    ] {
        if expected.is_empty() {
            let said = refused(&bench, format!("{good}stranger,b\n"), &arguments).await;
            assert!(said.contains("is the file that is being read"), "{said}");
            assert_eq!(bench.read("bad.csv"), format!("{good}stranger,b\n"));
        } else {
            let said = refused(&bench, format!("{good}stranger,b\n"), &arguments).await;
            assert!(said.contains(expected), "{said}");
        }
    }
    let said = bench.bulk(&["plan", "nowhere.csv"]).await.expect(1).stderr;
    assert!(said.contains("nowhere.csv cannot be read"), "{said}");
    assert!(
        bench.mirror.everything().await == before,
        "a refused file leaves nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_in_many_dialects() {
    let bench = Bench::of(50).await;
    let (one, two) = (&bench.persons()[10], &bench.persons()[11]);
    let rows = [
        ["email", "city", "notes"],
        [&one.email, "Köln am Rhein", "a b"],
        [&two.email, "Łódź", "c"],
    ];
    let text = |delimiter: &str, end: &str| rows.map(|row| row.join(delimiter)).join(end);
    let utf16 = |mark: bool, big: bool| -> Vec<u8> {
        let text = format!(
            "{}{}",
            if mark { "\u{feff}" } else { "" },
            text("\t", "\r\n")
        );
        let bytes = |unit: u16| {
            if big {
                unit.to_be_bytes()
            } else {
                unit.to_le_bytes()
            }
        };
        text.encode_utf16().flat_map(bytes).collect()
    };
    let files: [(Vec<u8>, &[&str]); 9] = [
        (text(",", "\n").into(), &[]),
        (text(";", "\r\n").into(), &[]),
        (text("\t", "\n").into(), &[]),
        (format!("\u{feff}{}\r\n", text(",", "\r\n")).into(), &[]),
        (
            format!(
                "\u{feff}\"email\";\"city\";\"notes\"\r\n{}",
                text(";", "\r\n").split_once("\r\n").expect("rows").1
            )
            .into(),
            &[],
        ),
        (utf16(true, false), &[]),
        (utf16(true, true), &[]),
        (text("|", "\n").into(), &["--delimiter", "|"]),
        (text("\t", "\n").into(), &["--delimiter", "tab"]),
    ];
    for (at, (content, arguments)) in files.iter().enumerate() {
        bench.write("users.csv", content);
        let document = bench
            .json(0, &[&["plan", "users.csv"], *arguments].concat())
            .await;
        let results = bench.results(&plan_id(&document)).await;
        let new: Vec<&Value> = results.iter().map(|row| &row["new_values"]).collect();
        assert_eq!(
            new,
            [
                &json!({"city": "Köln am Rhein", "notes": "a b"}),
                &json!({"city": "Łódź", "notes": "c"})
            ],
            "file {at}"
        );
        assert_eq!(results[1]["line"], 3, "file {at}");
    }
    bench.write("users.csv", text(",", "\n"));
    let said = bench
        .bulk(&["plan", "users.csv", "--delimiter", "semicolon"])
        .await
        .expect(1)
        .stderr;
    assert!(said.contains("with `;` between them"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_empty_cell_means_is_for_the_person_to_say() {
    let bench = Bench::of(50).await;
    bench
        .add_fields(&[
            json!({"slug": "must", "label": "Must", "input-type": "text", "required": true}),
        ])
        .await;
    let everybody = bench.persons();
    let having: Vec<&Person> = everybody
        .iter()
        .filter(|person| !person.attributes["notes"].is_null())
        .skip(3)
        .take(2)
        .collect();
    let without = everybody
        .iter()
        .find(|person| person.attributes["notes"].is_null())
        .expect("somebody");
    bench.set(having[1].index, "must", &json!("it"));
    bench.sync().await;
    let file = format!(
        "email,city,notes,must\n{},Bern,,x\n{},Bern,,\n{},Bern,,x\n",
        having[0].email, having[1].email, without.email
    );

    let kept = bench.plan(0, &file).await;
    assert_eq!(kept["rows_planned"], 3);
    assert_eq!(
        bench.results(&plan_id(&kept)).await[0]["new_values"],
        json!({"city": "Bern", "must": "x"})
    );

    let cleared = bench
        .json(3, &["plan", "users.csv", "--empty", "clear"])
        .await;
    assert_eq!(
        (&cleared["rows_planned"], &cleared["rows_rejected"]),
        (&json!(2), &json!(1))
    );
    let complaint = &cleared["complaints"][0];
    assert_eq!(
        (
            &complaint["line"],
            &complaint["column"],
            &complaint["value"]
        ),
        (&json!(3), &json!("must"), &json!(""))
    );
    assert_eq!(
        complaint["reason"],
        "is empty, and the tenant's schema requires a value"
    );
    let results = bench.results(&plan_id(&cleared)).await;
    assert_eq!(
        results[0]["new_values"],
        json!({"city": "Bern", "must": "x", "notes": ""})
    );
    // Nothing is there to be cleared.
    assert_eq!(
        results[2]["new_values"],
        json!({"city": "Bern", "must": "x"})
    );
    let totals = cleared["totals"].as_array().expect("totals");
    let notes = totals
        .iter()
        .find(|total| total["attribute"] == "notes")
        .expect("notes");
    assert_eq!((&notes["rows"], &notes["cleared"]), (&json!(1), &json!(1)));

    let refused = bench
        .json(
            1,
            &[
                "plan",
                "users.csv",
                "--empty",
                "error",
                "--rejects",
                "left out.csv",
            ],
        )
        .await;
    let cells = refused["complaints"].as_array().expect("complaints");
    let cells: Vec<_> = cells
        .iter()
        .map(|cell| {
            (
                cell["line"].as_u64(),
                cell["column"].as_str(),
                cell["reason"].as_str(),
            )
        })
        .collect();
    let at = |line, column| (Some(line), Some(column), Some("is empty"));
    assert_eq!(
        cells,
        [
            at(2, "notes"),
            at(3, "notes"),
            at(3, "must"),
            at(4, "notes")
        ]
    );
    let rejects = csv_rows(&bench.read("left out.csv"));
    assert_eq!(rejects.len(), 4);
    assert_eq!(rejects[2][1], "notes: is empty; must: is empty");
    assert_eq!(refused["rejects_path"], "left out.csv");

    let ignored = [
        "plan",
        "users.csv",
        "--empty",
        "error",
        "--ignore-columns",
        "notes,must",
    ];
    let document = bench.json(0, &ignored).await;
    assert_eq!(document["rows_planned"], 3);
    assert_eq!(
        bench.results(&plan_id(&document)).await[1]["new_values"],
        json!({"city": "Bern"})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_planning_needs_and_is_not_there_is_said_with_its_remedy() {
    let simulator = people(50).await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror);
    std::fs::write(program.directory().join("users.csv"), "email,city\na,b\n").expect("a file");
    let plan = ["bulk", "plan", "users.csv", "--json"];
    let document = program.run(&plan).await.expect(1).json();
    assert_eq!(
        document["error"],
        "the mirror holds no users, so there is nothing to compare the file with"
    );
    assert_eq!(
        document["remedy"],
        "Run `zephr-sync sync schema users` first."
    );

    program.run(&["sync", "users"]).await.expect(0);
    for hidden in [true, false] {
        if hidden {
            simulator.tenant().hide_list(List::UserSchema, true);
        } else {
            simulator.tenant().hide_list(List::UserSchema, false);
            simulator.tenant().set_schema("[]").expect("a schema");
        }
        let document = program.run(&plan).await.expect(1).json();
        assert!(
            document["error"]
                .as_str()
                .is_some_and(|error| error.contains("no attribute in the tenant's user schema")),
            "{document:#}"
        );
        assert!(
            document["remedy"]
                .as_str()
                .is_some_and(|remedy| remedy.contains("key pair")),
            "{document:#}"
        );
    }
    assert_eq!(
        mirror.value::<i64>("select count(*) from bulk_plans").await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn planning_writes_nothing_but_the_plan() {
    let bench = Bench::of(300).await;
    let everybody = bench.persons();
    let rows: Vec<String> = everybody
        .iter()
        .map(|person| format!("{},Bern,\n", person.email))
        .collect();
    let file = format!(
        "email,city,_action\n{}stranger,Bern,\n{},,delete\n",
        rows[..200].concat(),
        everybody[250].email
    );
    let before = (bench.mirrored().await, bench.simulator.tenant().truth());
    let id = plan_id(&bench.plan(3, &file).await);
    for arguments in [&["status"][..], &["status", &id], &["results", &id]] {
        bench.bulk(arguments).await.expect(0);
    }
    bench.bulk(&["apply", &id]).await.expect(2);
    bench.bulk(&["apply", &id, "--yes"]).await.expect(4);
    bench.bulk(&["undo", &id]).await.expect(2);
    bench.bulk(&["resume"]).await.expect(0);
    let stats = bench.simulator.stats();
    assert_eq!((stats.writes, stats.bulk_jobs), (0, 0));
    assert!(
        stats.by_route.keys().all(|route| route.starts_with("GET ")),
        "{:?}",
        stats.by_route
    );
    assert!(bench.simulator.tenant().truth() == before.1);
    assert!(
        bench.mirrored().await == before.0,
        "the mirror is as it was"
    );
    let untouched = "select count(*) from bulk_rows where state not in ('planned', 'rejected') or chunk is not null";
    assert_eq!(bench.mirror.value::<i64>(untouched).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_pushed_has_nothing_to_do_until_somebody_else_changes_something() {
    let bench = Bench::of(100).await;
    let everybody = bench.persons();
    let rows: Vec<String> = everybody[10..20]
        .iter()
        .map(|person| format!("{},Bern,TRUE,70.50\n", person.user_id))
        .collect();
    let file = format!(
        "user_id,city,newsletter,reader_score\n{}{},,,\n",
        rows.concat(),
        everybody[30].user_id
    );
    bench.push(&file).await;
    for _ in 0..2 {
        let again = bench.plan(0, &file).await;
        assert_eq!(
            (&again["rows_planned"], &again["rows_skipped"]),
            (&json!(0), &json!(11)),
            "{again:#}"
        );
        bench.sync().await;
    }
    bench.set(everybody[15].index, "city", &json!("Basel"));
    bench.set(everybody[16].index, "newsletter", &json!(false));
    assert_eq!(bench.plan(0, &file).await["rows_planned"], 0);
    bench.sync().await;
    let changed = bench.plan(0, &file).await;
    assert_eq!(changed["rows_planned"], 2);
    let old: Vec<_> = changed["sample"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| row["old_values"].clone())
        .collect();
    assert_eq!(
        old,
        [json!({"city": "Basel"}), json!({"newsletter": false})]
    );

    // Somebody who was deleted by a push is gone before a sync sees it.
    let goner = format!("user_id,_action\n{},delete\n", everybody[20].user_id);
    let id = plan_id(&bench.plan(0, &goner).await);
    bench
        .bulk(&["apply", &id, "--yes", "--allow-deletes"])
        .await
        .expect(0);
    let document = bench.plan(1, &goner).await;
    assert_eq!(
        document["complaints"][0]["reason"],
        "this user was deleted by an earlier push"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_privacy_settings_do_to_names_and_values() {
    let hashing = |program: Program| {
        program.configured("[privacy]\n\"users.email\" = \"hash\"\n\"users.username\" = \"drop\"\n\"users.attributes.telephone\" = \"hash\"\n\"users.attributes.notes\" = \"drop\"\n")
    };
    let bench = Bench::with(50, Options::default(), hashing).await;
    let file = format!(
        "email,city\n{},Bern\nnobody@private.example,Bern\n",
        PLANTED_EMAILS[1]
    );
    let document = bench.plan(3, &file).await;
    let results = bench.results(&plan_id(&document)).await;
    assert_eq!(
        results[0]["user_id"],
        json!(bench.simulator.tenant().user_id(1))
    );
    assert_eq!(
        (&results[0]["state"], &results[1]["state"]),
        (&json!("planned"), &json!("rejected"))
    );
    bench.apply(0, &plan_id(&document)).await;
    assert_eq!(bench.attributes(1)["city"], "Bern");

    for slug in ["telephone", "notes"] {
        let said = refused(
            &bench,
            format!("email,{slug}\n{},1\n", PLANTED_EMAILS[1]),
            &[],
        )
        .await;
        let reason =
            format!("line 1, column `{slug}`: is hashed or dropped by the privacy settings");
        assert!(said.contains(&reason), "{said}");
    }
    let said = refused(&bench, "username,city\nsomebody,Bern\n", &[]).await;
    assert!(said.contains("Name users by user_id"), "{said}");
    assert_eq!(
        bench
            .mirror
            .value::<i64>("select count(*) from bulk_plans")
            .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_can_be_read_and_forwarded() {
    let bench = Bench::of(50).await;
    bench
        .add_fields(&[json!({"slug": "odd", "label": "Odd", "input-type": "text", "validation-expression": "/\u{1b}[31m/"})])
        .await;
    let everybody = bench.persons();
    let [one, two, three] = [&everybody[1], &everybody[11], &everybody[12]];
    bench.set(1, "city", &json!("Old\u{1b}]0;title\u{7}"));
    bench.set(1, "loyalty-points", &json!(5));
    bench.sync().await;
    let long = "long ".repeat(50_000);
    let file = format!(
        "email,city,loyalty-points,odd,_action\n{},New\u{1b}[2J,5.0,\n{},,abc\u{9b}1m,,\n{},,,,delete\n",
        one.email, two.email, three.email
    );
    let file = file.replace("5.0,\n", &format!("5.0,{long},\n"));
    bench.write("us\u{1b}[1mers.csv", file);
    let said = bench
        .bulk(&["plan", "us\u{1b}[1mers.csv"])
        .await
        .expect(3)
        .stdout;
    assert!(
        said.chars().all(|c| c == '\n' || !c.is_control()),
        "{said:?}"
    );
    assert!(said.len() < 10_000, "{} bytes", said.len());
    let id = bench.json(0, &["status"]).await["plans"][0]["plan_id"]
        .as_str()
        .expect("a plan")
        .to_owned();
    let lines: Vec<&str> = said.lines().map(str::trim_end).collect();
    assert!(
        lines[0].starts_with(&format!(
            "Plan {id} (us\u{fffd}[1mers.csv), compared with the mirror as of 20"
        )),
        "{said}"
    );
    assert_eq!(
        lines[1],
        "3 rows: 2 change something (1 of them delete a user), 0 change nothing, 1 are left out"
    );
    assert_eq!(lines[3], "attribute  rows  had none  had another  cleared");
    assert_eq!(lines[4], "city          1         0            1        0");
    assert_eq!(lines[5], "odd           1         1            0        0");
    assert_eq!(
        lines[7].split_whitespace().collect::<Vec<_>>(),
        ["line", "user", "change"]
    );
    assert!(
        lines[8].contains(&one.email)
            && lines[8].contains(
                "city: Old\u{fffd}]0;title\u{fffd} → New\u{fffd}[2J; odd: (none) → long long"
            ),
        "{said}"
    );
    assert!(
        lines[9].ends_with("deleted") && lines[9].contains(&three.email),
        "{said}"
    );
    assert_eq!(lines[11], "1 rows are left out:");
    assert_eq!(
        lines[12],
        "  line 3, column `loyalty-points`, value \"abc\\u{9b}1m\": is not a number"
    );
    assert!(
        lines[13].starts_with("All of them are in us\u{fffd}[1mers.rejects.csv"),
        "{said}"
    );
    assert!(
        lines[14].starts_with("Not checked: odd: its validation expression"),
        "{said}"
    );
    assert_eq!(
        lines[15],
        format!(
            "Nothing was sent. `zephr-sync bulk apply {id} --yes --allow-deletes` sends this plan and nothing else."
        )
    );
    assert_eq!(lines.len(), 16);

    for arguments in [&["status"][..], &["status", &id], &["apply", &id]] {
        let ended = bench.bulk(arguments).await;
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(
            said.chars().all(|c| c == '\n' || !c.is_control()),
            "{said:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_tells_nothing_of_anybody() {
    for format in ["json", "text"] {
        let mut options = Options::default();
        // Long enough that the job is looked at while it runs, which is logged.
        options.behaviour.bulk.delay_ms = 500;
        let bench = Bench::with(50, options, |program| {
            program
                .with("ZEPHR_SYNC_LOG", "trace")
                .with("ZEPHR_SYNC_LOG_FORMAT", format)
        })
        .await;
        let file = format!(
            "email,telephone,notes,loyalty-points\n{},+49 171 5550001,a private note,5\n{},,,not-a-number-7\nstranger@private.example,,,1\n",
            PLANTED_EMAILS[1], PLANTED_EMAILS[2]
        );
        bench.write("users.csv", file);
        let planned = bench.bulk(&["plan", "users.csv", "--json"]).await.expect(3);
        let id = plan_id(&planned.json());
        let mut ended = vec![planned];
        for arguments in [
            &["apply", &id, "--yes"][..],
            &["status", &id],
            &["results", &id],
            &["undo", &id],
            &["resume"],
        ] {
            ended.push(bench.bulk(arguments).await);
        }
        let secret = [
            "private.example",
            PLANTED_PHONES[1],
            "5550001",
            "a private note",
            "not-a-number-7",
            "stranger",
        ];
        for line in ended.iter().flat_map(|ended| ended.stderr.lines()) {
            for needle in secret {
                assert!(!line.contains(needle), "{needle} is in {line}");
            }
        }
        assert!(ended[1].stderr.contains("state of the job"), "{ended:?}");
    }
}
