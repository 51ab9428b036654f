//! A large file from one end to the other: rows of many kinds, a few in a hundred wrong, planned,
//! corrected, applied, confirmed and taken back. At each step everything there is (every row, every
//! user of the tenant, every action it carried out) is compared with what the test worked out by
//! itself.

mod check;
mod expected;
mod file;
mod run;
mod wrong;

use simulator::Stored;

use wrong::Kind;

/// What an empty cell of the file means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Empty {
    Keep,
    Clear,
}

/// What is tried.
#[derive(Debug)]
struct Trial {
    /// The column that names the users.
    column: &'static str,
    rows: usize,
    /// People of the tenant: more than rows, so that there are some whom no row is about.
    people: u32,
    empty: Empty,
    /// How the tenant keeps what it is sent.
    stored: Stored,
    /// One row in so many deletes its user.
    deletes_one_in: Option<usize>,
    /// Ways to be wrong, taken in turn.
    kinds: Vec<Kind>,
    /// The longest pause between two looks at a job.
    poll: &'static str,
}

impl Trial {
    fn by_email(rows: usize) -> Self {
        Self {
            column: "email",
            rows,
            people: rows as u32 * 5 / 4,
            empty: Empty::Keep,
            stored: Stored::Typed,
            deletes_one_in: Some(400),
            kinds: Kind::ALL
                .into_iter()
                .filter(|kind| *kind != Kind::RequiredEmptied)
                .collect(),
            poll: "50ms",
        }
    }

    /// One person in seven has no such key, and large tenants have people who share one.
    fn by_key(rows: usize) -> Self {
        Self {
            column: "foreign_key:crm",
            rows,
            people: rows as u32 * 8 / 5,
            empty: Empty::Clear,
            stored: Stored::AsSent,
            deletes_one_in: None,
            kinds: Kind::ALL
                .into_iter()
                // Keys are digits, which have no case.
                .filter(|kind| *kind != Kind::NameInOtherCase)
                .collect(),
            poll: "50ms",
        }
    }

    /// As somebody who changed no setting pushes.
    fn unhurried(self) -> Self {
        Self { poll: "1m", ..self }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_rows_by_email() {
    run::all(&Trial::by_email(2_000)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_rows_by_foreign_key() {
    run::all(&Trial::by_key(2_000)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn a_hundred_thousand_rows_by_email() {
    run::all(&Trial::by_email(100_000).unhurried()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn a_hundred_thousand_rows_by_foreign_key() {
    run::all(&Trial::by_key(100_000).unhurried()).await;
}
