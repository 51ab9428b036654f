//! What the tables are and mean, read from `docs/tables.md`: that page is written from the comments
//! in the database and a test compares the two, so what is read here is what the database says,
//! also where no database can be reached.

use record::table::Table;
use resource::{List, Step};

/// The page, as it was when this binary was built.
const PAGE: &str = include_str!("../../docs/tables.md");

/// A table or view for analysts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Relation {
    /// Its name, without the schema.
    pub name: String,
    /// What it is.
    pub about: String,
    /// The columns that tell its rows apart; none for views.
    pub key: Vec<String>,
    /// Its columns in order.
    pub columns: Vec<Column>,
    /// Whether names may be words of SQL: those that an operator chose in a job file.
    pub quoted: bool,
}

/// A column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub about: String,
}

impl Relation {
    /// The columns that are about the tenant and not about the mirror.
    pub fn own_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns
            .iter()
            .filter(|column| !column.name.starts_with("_zephr_"))
    }

    /// Whether its rows can be tombstones, so that a query has to leave those out.
    pub fn keeps_the_dead(&self) -> bool {
        self.columns
            .iter()
            .any(|column| column.name == "_zephr_deleted_at")
    }
}

/// The table that is not for analysts: the mark by which a restore is noticed.
const MARK: &str = "mirror_mark";

/// The tables and views for analysts that every mirror has.
pub fn relations() -> Vec<Relation> {
    let mut relations = read(PAGE);
    relations.retain(|relation| relation.name != MARK);
    relations
}

/// The table of a list that only a job file knows.
pub fn described(job: &str, step: &Step) -> Relation {
    let (table, path): (&Table, &str) = match step {
        Step::List(List { table, path, .. }) => (table, path),
        Step::Below(below) => (&below.table, &below.path),
    };
    let column = |name: &str, about: String| Column {
        name: name.to_owned(),
        about,
    };
    let mut columns: Vec<Column> = table
        .all_columns()
        .map(|described| {
            let sent = described.sent_as.first().map_or("", |sent| sent.as_ref());
            let about = if sent.is_empty() {
                "Hash of the item.".to_owned()
            } else {
                format!("{sent}, as sent.")
            };
            column(&described.name, about)
        })
        .collect();
    columns.push(column(
        "extra",
        "Everything else that was sent about it and has no column of its own.".to_owned(),
    ));
    // The mirror's own columns are the same everywhere, so any table tells them.
    let own = relations()
        .into_iter()
        .find(|relation| relation.name == "segments");
    columns.extend(
        own.into_iter()
            .flat_map(|relation| relation.columns)
            .filter(|column| column.name.starts_with("_zephr_")),
    );
    Relation {
        name: table.name.clone().into_owned(),
        about: format!("What GET {path} lists, read by the job {job}."),
        key: table
            .key
            .iter()
            .map(|column| column.name.clone().into_owned())
            .collect(),
        columns,
        quoted: true,
    }
}

fn read(page: &str) -> Vec<Relation> {
    let mut relations: Vec<Relation> = Vec::new();
    for line in page.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            relations.push(Relation {
                name: name.trim_matches('`').to_owned(),
                ..Relation::default()
            });
            continue;
        }
        let Some(relation) = relations.last_mut() else {
            continue;
        };
        if let Some(key) = line.strip_prefix("Key: ") {
            relation.key = key
                .trim_matches('`')
                .split(", ")
                .map(str::to_owned)
                .collect();
        } else if let Some(column) = line.strip_prefix("| `").and_then(column) {
            relation.columns.push(column);
        } else if !line.is_empty() && !line.starts_with('|') && relation.about.is_empty() {
            relation.about = line.to_owned();
        }
    }
    relations
}

/// A row of a table of columns, after its first backtick.
fn column(row: &str) -> Option<Column> {
    let (name, rest) = row.split_once("` | ")?;
    let about = rest.splitn(3, " | ").nth(2)?.strip_suffix(" |")?;
    Some(Column {
        name: name.to_owned(),
        about: about.replace("\\|", "|"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_read_as_it_was_written() {
        let page = "# Tables\n\nIntroduction.\n\n## `a`\n\nWhat a is.\n\nKey: `x, y`\n\n| column | type | null | meaning |\n| --- | --- | --- | --- |\n\
            | `x` | text | no | One \\| two. |\n| `y` | timestamp with time zone |  | When. |\n";
        let column = |name: &str, about: &str| Column {
            name: name.into(),
            about: about.into(),
        };
        assert_eq!(
            read(page),
            [Relation {
                name: "a".into(),
                about: "What a is.".into(),
                key: vec!["x".into(), "y".into()],
                columns: vec![column("x", "One | two."), column("y", "When.")],
                quoted: false,
            }]
        );
    }

    #[test]
    fn each_table_has_its_columns_and_its_key() {
        let relations = relations();
        assert!(relations.len() >= 20, "{}", relations.len());
        for relation in relations {
            assert!(!relation.about.is_empty(), "{}", relation.name);
            assert!(!relation.columns.is_empty(), "{}", relation.name);
            for key in &relation.key {
                assert!(
                    relation.columns.iter().any(|column| column.name == *key),
                    "{}.{key}",
                    relation.name
                );
            }
        }
    }
}
