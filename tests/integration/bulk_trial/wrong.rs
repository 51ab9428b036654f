//! Rows that are wrong, and what should be said of them.

use super::Trial;
use super::file::{ACTION, Cast, Draw, Fate, File, NAME, SLUGS, place};

/// A way to be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Stranger,
    DeletesStranger,
    Gone,
    Shared,
    NameInOtherCase,
    Nameless,
    Twice,
    NoNumber,
    DecimalComma,
    NoFlag,
    NoOption,
    OptionInOtherCase,
    NoDay,
    DayThatNeverWas,
    Unmatched,
    RequiredEmptied,
    NoAction,
    TwoCells,
    Nul,
    NotUtf8,
    TextAfterQuote,
    Short,
    Long,
}

impl Kind {
    pub const ALL: [Self; 23] = [
        Self::Stranger,
        Self::DeletesStranger,
        Self::Gone,
        Self::Shared,
        Self::NameInOtherCase,
        Self::Nameless,
        Self::Twice,
        Self::NoNumber,
        Self::DecimalComma,
        Self::NoFlag,
        Self::NoOption,
        Self::OptionInOtherCase,
        Self::NoDay,
        Self::DayThatNeverWas,
        Self::Unmatched,
        Self::RequiredEmptied,
        Self::NoAction,
        Self::TwoCells,
        Self::Nul,
        Self::NotUtf8,
        Self::TextAfterQuote,
        Self::Short,
        Self::Long,
    ];
}

/// What should be said.
#[derive(Debug)]
pub struct Complaint {
    pub column: Option<String>,
    pub value: Option<String>,
    /// How it begins.
    pub reason: String,
}

impl Complaint {
    fn cell(column: &str, value: &str, reason: &str) -> Self {
        Self {
            column: Some(column.to_owned()),
            value: Some(value.to_owned()),
            reason: reason.to_owned(),
        }
    }

    fn row(reason: &str) -> Self {
        Self {
            column: None,
            value: None,
            reason: reason.to_owned(),
        }
    }

    /// As it stands in the rejects.
    pub fn beside_its_row(&self) -> String {
        match &self.column {
            Some(column) => format!("{column}: {}", self.reason),
            None => self.reason.clone(),
        }
    }
}

/// What is wrong with a row.
#[derive(Debug)]
pub struct Wrong {
    pub kind: Kind,
    pub complaints: Vec<Complaint>,
    /// Its cells, as the rejects should have them.
    pub cells: Vec<String>,
}

/// Makes a row that is right wrong in this way, and adds it.
pub fn add(
    file: &mut File,
    draw: &mut Draw,
    trial: &Trial,
    cast: &Cast<'_>,
    kind: Kind,
    mut cells: Vec<String>,
    person: usize,
) {
    let name = cells[NAME].clone();
    let named = |cells: &mut Vec<String>, name: &str, reason: &str| {
        cells[NAME] = name.to_owned();
        vec![Complaint::cell(trial.column, name, reason)]
    };
    let cell = |cells: &mut Vec<String>, slug: &str, value: &str, reason: &str| {
        cells[place(slug)] = value.to_owned();
        vec![Complaint::cell(slug, value, reason)]
    };
    // What no writer of CSV would write; the row has nothing else in it.
    let mut as_bytes = None;
    let complaints = match kind {
        Kind::Stranger => {
            let name = format!("nobody-{}", draw.below(1_000_000));
            named(&mut cells, &name, "no user in the mirror has this")
        }
        Kind::DeletesStranger => {
            cells[ACTION] = "delete".to_owned();
            let name = format!("nobody-{}", draw.below(1_000_000));
            named(&mut cells, &name, "no user in the mirror has this")
        }
        Kind::Gone => named(
            &mut cells,
            draw.one_of(&cast.gone),
            "this user no longer exists, as a sync found on",
        ),
        Kind::Shared => named(&mut cells, draw.one_of(&cast.shared), "2 users have this"),
        Kind::NameInOtherCase => named(
            &mut cells,
            &name.to_uppercase(),
            "no user has this e-mail address, but one has it in lower case",
        ),
        Kind::Nameless => {
            // A row with nothing in it at all would be none.
            cells[place("city")] = "Nowhere".to_owned();
            named(&mut cells, "", "is empty, so the row names no user")
        }
        Kind::Twice => {
            // The first that is right, near or far; the very first row of a file may be none.
            let far = draw.below(file.rows.len() as u64) as usize;
            let mut earlier = file.rows[far..].iter().chain(&file.rows);
            let first = earlier
                .find(|row| !row.is_wrong())
                .expect("a row that is right");
            let reason = format!(
                "is the same user as on line {}; a user may stand in a file once",
                first.line
            );
            let name = first.name.clone();
            named(&mut cells, &name, &reason)
        }
        Kind::NoNumber => cell(&mut cells, "loyalty-points", "abc", "is not a number"),
        Kind::DecimalComma => cell(
            &mut cells,
            "loyalty-points",
            "1,5",
            "is not a number; write 1.5",
        ),
        Kind::NoFlag => cell(
            &mut cells,
            "newsletter",
            "yes",
            "is neither true nor false; write true",
        ),
        Kind::NoOption => cell(
            &mut cells,
            "country",
            "Atlantis",
            "is not one of its options (GB, IE, DE, FR, CH, US, BR)",
        ),
        Kind::OptionInOtherCase => cell(
            &mut cells,
            "country",
            "gb",
            "is not one of its options (GB, IE, DE, FR, CH, US, BR); did you mean GB?",
        ),
        Kind::NoDay => cell(
            &mut cells,
            "date-of-birth",
            "31.12.1980",
            "is not a day as 2026-11-21; write 1980-12-31",
        ),
        Kind::DayThatNeverWas => cell(
            &mut cells,
            "date-of-birth",
            "1981-02-29",
            "is a day that never was",
        ),
        Kind::Unmatched => cell(
            &mut cells,
            "code",
            "abc-1",
            "does not match its validation expression [A-Z]{3}-\\d+",
        ),
        Kind::RequiredEmptied => cell(
            &mut cells,
            "city",
            "",
            "is empty, and the tenant's schema requires a value",
        ),
        Kind::NoAction => {
            cells[ACTION] = "remove".to_owned();
            vec![Complaint::cell(
                "_action",
                "remove",
                "is no action; write `set`, `delete`, or nothing for `set`",
            )]
        }
        Kind::TwoCells => {
            let mut both = cell(&mut cells, "loyalty-points", "many", "is not a number");
            let other = "is not a day as 2026-11-21";
            both.extend(cell(&mut cells, "date-of-birth", "soon", other));
            both
        }
        Kind::Nul => cell(&mut cells, "notes", "a\0b", "has a NUL character in it"),
        Kind::NotUtf8 => {
            as_bytes = Some(("city", &b"Z\xfcrich"[..]));
            cells[NAME + 1..].fill(String::new());
            cell(&mut cells, "city", "Z\u{fffd}rich", "is not valid UTF-8")
        }
        Kind::TextAfterQuote => {
            as_bytes = Some(("notes", &b"\"a\"b"[..]));
            cells[NAME + 1..].fill(String::new());
            let reason = "has text after its closing quote";
            cell(&mut cells, "notes", "\"a\"b", reason)
        }
        Kind::Short => {
            cells.truncate(4);
            vec![Complaint::row("has 4 cells, and the header has 9")]
        }
        Kind::Long => {
            cells.push("more".to_owned());
            vec![Complaint::row("has 10 cells, and the header has 9")]
        }
    };
    let fate = Fate::Wrong(Wrong {
        kind,
        complaints,
        cells: cells.clone(),
    });
    match as_bytes {
        None => file.row(&cells, person, fate),
        Some((slug, bytes)) => {
            let mut row = format!(",{name}").into_bytes();
            for other in SLUGS {
                row.push(b',');
                if other == slug {
                    row.extend_from_slice(bytes);
                }
            }
            file.bytes(&row, &name, person, fate);
        }
    }
}
