//! The file, and what should come of each of its rows.

use std::collections::BTreeMap;

use super::wrong::{self, Kind, Wrong};
use super::{Empty, Trial};
use crate::support::bulk::Person;

/// The attributes, behind `_action` and the identifier.
pub const SLUGS: [&str; 7] = [
    "city",
    "country",
    "newsletter",
    "loyalty-points",
    "date-of-birth",
    "code",
    "notes",
];

/// Columns in front of the attributes.
pub const ACTION: usize = 0;
pub const NAME: usize = 1;

/// Where an attribute stands.
pub fn place(slug: &str) -> usize {
    let at = SLUGS.iter().position(|other| *other == slug);
    2 + at.expect("a column")
}

/// Whom rows can be about.
#[derive(Debug)]
pub struct Cast<'a> {
    pub people: &'a [Person],
    /// A name that leads to one person, and who that is.
    pub known: Vec<(String, usize)>,
    /// Names of people who are gone, as the mirror knows.
    pub gone: Vec<String>,
    /// Names that lead to two people.
    pub shared: Vec<String>,
}

/// What should come of a row.
#[derive(Debug)]
pub enum Fate {
    /// These attributes change, to these texts; an empty one clears.
    Set(BTreeMap<&'static str, String>),
    Delete,
    /// It changes nothing.
    Same,
    Wrong(Wrong),
}

/// A row.
#[derive(Debug)]
pub struct Row {
    pub line: u64,
    /// As it stands in the column of the identifier.
    pub name: String,
    /// The person it is about; that of a wrong row is in no other row.
    pub person: usize,
    pub fate: Fate,
}

impl Row {
    pub fn is_wrong(&self) -> bool {
        matches!(self.fate, Fate::Wrong(_))
    }

    /// Whether there is something to be done.
    pub fn changes(&self) -> bool {
        matches!(self.fate, Fate::Set(_) | Fate::Delete)
    }
}

/// The file.
#[derive(Debug)]
pub struct File {
    pub text: Vec<u8>,
    pub rows: Vec<Row>,
    pub header: Vec<String>,
    next_line: u64,
}

impl File {
    /// A file for a trial; the same each time.
    pub fn of(trial: &Trial, cast: &Cast<'_>) -> Self {
        let names = ["_action", trial.column].into_iter().chain(SLUGS);
        let header: Vec<String> = names.map(str::to_owned).collect();
        let mut file = Self {
            text: format!("{}\r\n", header.join(",")).into_bytes(),
            rows: Vec::new(),
            header,
            next_line: 2,
        };
        let mut draw = Draw(20_261_121);
        let mut known = cast.known.clone();
        draw.shuffle(&mut known);
        assert!(known.len() >= trial.rows, "{} people", known.len());
        let mut kinds = trial.kinds.iter().copied().cycle();
        for (number, (name, at)) in known.into_iter().take(trial.rows).enumerate() {
            let person = &cast.people[at];
            let one_in = |many: usize| number % many == many - 1;
            let mut cells = base(trial.empty, &name, person);
            // Each of a thousand lots once in a thousand rows, and not in order.
            match number * 617 % 1_000 {
                0..30 => {
                    let kind = kinds.next().expect("kinds");
                    wrong::add(&mut file, &mut draw, trial, cast, kind, cells, at);
                }
                _ if trial.deletes_one_in.is_some_and(one_in) => {
                    cells[ACTION] = "DELETE".to_owned();
                    cells[place("loyalty-points")] = "not looked at".to_owned();
                    file.row(&cells, at, Fate::Delete);
                }
                30..130 => {
                    file.row(&as_a_spreadsheet_has_them(cells, person), at, Fate::Same);
                }
                _ => {
                    change(&mut cells, &mut draw, trial.empty, person, number);
                    let fate = fate(trial.empty, &cells, person);
                    file.row(&cells, at, fate);
                }
            }
        }
        file
    }

    /// Adds a row.
    pub fn row(&mut self, cells: &[String], person: usize, fate: Fate) {
        let quoted = cells.iter().map(|cell| {
            let needs = cell.contains([',', '"', '\n', '\r']);
            let inner = cell.replace('"', "\"\"");
            if needs { format!("\"{inner}\"") } else { inner }
        });
        let quoted: Vec<String> = quoted.collect();
        self.bytes(quoted.join(",").as_bytes(), &cells[NAME], person, fate);
    }

    /// Adds a row of bytes.
    pub fn bytes(&mut self, row: &[u8], name: &str, person: usize, fate: Fate) {
        self.rows.push(Row {
            line: self.next_line,
            name: name.to_owned(),
            person,
            fate,
        });
        self.text.extend_from_slice(row);
        self.text.extend_from_slice(b"\r\n");
        self.next_line += 1 + row.iter().filter(|byte| **byte == b'\n').count() as u64;
    }

    /// What is wrong with it, with the lines.
    pub fn wrong(&self) -> impl Iterator<Item = (&Row, &Wrong)> {
        self.rows.iter().filter_map(|row| match &row.fate {
            Fate::Wrong(wrong) => Some((row, wrong)),
            Fate::Set(_) | Fate::Delete | Fate::Same => None,
        })
    }

    /// How many rows delete somebody.
    pub fn deletions(&self) -> usize {
        let deletes = |row: &&Row| matches!(row.fate, Fate::Delete);
        self.rows.iter().filter(deletes).count()
    }

    /// Its rows that are wrong in one way.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (&Row, &Wrong)> {
        self.wrong().filter(move |(_, wrong)| wrong.kind == kind)
    }
}

/// Cells that leave everything as it is.
fn base(empty: Empty, name: &str, person: &Person) -> Vec<String> {
    let present = |slug: &&str| match empty {
        Empty::Keep => String::new(),
        Empty::Clear => person.typed(slug),
    };
    let mut cells = vec![String::new(), name.to_owned()];
    cells.extend(SLUGS.iter().map(present));
    cells
}

/// What the person has, spelt otherwise.
fn as_a_spreadsheet_has_them(mut cells: Vec<String>, person: &Person) -> Vec<String> {
    for slug in SLUGS {
        cells[place(slug)] = person.typed(slug);
    }
    cells[ACTION] = "Set".to_owned();
    cells[place("newsletter")] = person.typed("newsletter").to_uppercase();
    cells[place("loyalty-points")].push_str(".0");
    cells
}

/// Puts something new into some of the cells.
fn change(cells: &mut [String], draw: &mut Draw, empty: Empty, person: &Person, number: usize) {
    let mut set = |slug: &str, value: String| cells[place(slug)] = value;
    let pattern = draw.below(5);
    if matches!(pattern, 0 | 3 | 4) {
        set("city", format!("Köln \"{number}\", Süd"));
        set("loyalty-points", (5_000 + draw.below(5_000)).to_string());
    }
    if matches!(pattern, 1 | 3) {
        let flag = person.typed("newsletter") != "true";
        set("newsletter", flag.to_string().to_uppercase());
        // May be what the person has already.
        set(
            "country",
            ["GB", "DE", "CH"][draw.below(3) as usize].to_owned(),
        );
        set(
            "date-of-birth",
            format!("2001-02-{:02}", 1 + draw.below(28)),
        );
    }
    if matches!(pattern, 2 | 3) {
        set("code", format!("ABC-{number}"));
        set("notes", format!("two\r\nlines, \"quoted\" {number}"));
    }
    if pattern == 4 && empty == Empty::Clear {
        set("notes", String::new());
        set("date-of-birth", String::new());
    }
}

/// What cells ask for beside what is there.
fn fate(empty: Empty, cells: &[String], person: &Person) -> Fate {
    let mut changes = BTreeMap::new();
    for slug in SLUGS {
        let cell = &cells[place(slug)];
        if cell.is_empty() && empty == Empty::Keep {
            continue;
        }
        let wanted = match slug {
            "newsletter" => cell.to_lowercase(),
            _ => cell.clone(),
        };
        if wanted != person.typed(slug) {
            changes.insert(slug, wanted);
        }
    }
    if changes.is_empty() {
        Fate::Same
    } else {
        Fate::Set(changes)
    }
}

/// Numbers that look drawn and are the same each time.
#[derive(Debug)]
pub struct Draw(u64);

impl Draw {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    /// One of some.
    pub fn one_of<'a>(&mut self, all: &'a [String]) -> &'a str {
        &all[self.below(all.len() as u64) as usize]
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            all.swap(at, self.below(at as u64 + 1) as usize);
        }
    }
}
