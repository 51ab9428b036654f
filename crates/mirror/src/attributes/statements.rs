//! The statements that make the view what a plan says.

use sha2::{Digest, Sha256};

use super::plan::{Column, Plan};

/// What is sent to Postgres.
#[derive(Debug)]
pub struct Statements {
    /// The view, without the words that decide what happens to one that is there.
    pub view: String,
    /// The comments of the view and its columns.
    pub comments: String,
    /// Of the statements and of what is written down beside them: equal hash, nothing to do.
    pub fingerprint: Vec<u8>,
}

impl Statements {
    /// For the view in this schema.
    pub fn of(schema: &str, plan: &Plan) -> Self {
        let name = format!("{}.user_attributes", identifier(schema));
        let mut view = format!("view {name} as select user_id");
        let mut comments = format!(
            "comment on view {name} is {};\ncomment on column {name}.user_id is 'Zephr''s identifier of the user.';",
            literal(ABOUT)
        );
        for column in &plan.columns {
            view.push_str(",\n    ");
            view.push_str(&expression(column));
            comments.push_str(&format!(
                "\ncomment on column {name}.{} is {};",
                identifier(&column.name),
                literal(&comment(column))
            ));
        }
        view.push_str("\nfrom users where _zephr_deleted_at is null");
        let mut hash = Sha256::new();
        hash.update(&view);
        hash.update(&comments);
        // What the table of columns says beyond that.
        hash.update(format!("{plan:?}"));
        Self {
            fingerprint: hash.finalize().to_vec(),
            view,
            comments,
        }
    }
}

const ABOUT: &str = "Living users with a column per attribute of the tenant's own schema. A value that is not of its column's type is null here and listed in attribute_issues; attribute_columns tells which attribute is which column.";

fn expression(column: &Column) -> String {
    let name = identifier(&column.name);
    if column.gone_since.is_some() {
        return format!("null::{} as {name}", column.kind.sql());
    }
    let text = format!("attributes ->> {}", literal(&column.slug));
    format!("{} as {name}", column.kind.cast(&text))
}

/// What analysts read about a column: its meaning, where it comes from, and what is odd about it.
fn comment(column: &Column) -> String {
    let mut parts = Vec::new();
    if !column.meaning.is_empty() {
        parts.push(column.meaning.clone());
    }
    parts.push(match &column.input_type {
        Some(input_type) => format!("Attribute {} ({input_type})", column.slug),
        None => format!("Attribute {}", column.slug),
    });
    if let Some(since) = column.gone_since {
        parts.push(format!(
            "Not in the schema since {}, and null",
            since.format("%Y-%m-%d")
        ));
    }
    if let Some(reason) = &column.reason {
        parts.push(format!("Name or type: {reason}"));
    }
    parts.join(". ") + "."
}

/// A name, quoted.
fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text, quoted so that it means the same whatever `standard_conforming_strings` says.
fn literal(text: &str) -> String {
    let text = text.replace('\'', "''");
    if text.contains('\\') {
        format!(" E'{}'", text.replace('\\', "\\\\"))
    } else {
        format!("'{text}'")
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::super::kind::Kind;
    use super::*;

    fn column(slug: &str, kind: Kind) -> Column {
        Column {
            slug: slug.into(),
            name: "it".into(),
            kind,
            wanted: kind,
            input_type: None,
            label: None,
            meaning: "Isn't it".into(),
            gone_since: None,
            reason: None,
        }
    }

    #[test]
    fn a_slug_with_quotes_and_backslashes_stays_one_literal() {
        assert_eq!(
            expression(&column(r"it's \", Kind::Number)),
            r#"attribute_number(attributes ->>  E'it''s \\') as "it""#
        );
    }

    #[test]
    fn a_column_whose_attribute_is_gone_is_null_of_its_type_and_says_since_when() {
        let mut column = column("it", Kind::DateTime);
        column.gone_since = DateTime::from_timestamp(1_614_160_000, 0);
        assert_eq!(expression(&column), r#"null::timestamptz as "it""#);
        assert_eq!(
            comment(&column),
            "Isn't it. Attribute it. Not in the schema since 2021-02-24, and null."
        );
    }

    #[test]
    fn the_same_plan_has_the_same_fingerprint_and_another_comment_another() {
        let plan = |meaning: &str| Plan {
            columns: vec![Column {
                meaning: meaning.into(),
                ..column("it", Kind::Text)
            }],
            ..Plan::default()
        };
        let print = |plan| Statements::of("zephr", &plan).fingerprint;
        assert_eq!(print(plan("a")), print(plan("a")));
        assert_ne!(print(plan("a")), print(plan("b")));
    }
}
