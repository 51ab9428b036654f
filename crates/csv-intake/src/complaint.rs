//! What is wrong with a file, said so that the person who made it can find the cell.

use std::fmt;

use serde::Serialize;
use utoipa::ToSchema;

/// So much of a value is shown: enough to recognise it, however long it is.
const SHOWN: usize = 100;

/// What is wrong with a cell, a row or the header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Complaint {
    /// Where its row begins in the file, from 1.
    pub line: u64,
    /// The column as the header names it; none when it is about the whole row.
    pub column: Option<String>,
    /// What stands there, cut when it is long.
    pub value: Option<String>,
    /// What is wrong with it, and what would be right.
    pub reason: String,
}

impl Complaint {
    /// About a whole row.
    #[must_use]
    pub fn about_row(line: u64, reason: impl Into<String>) -> Self {
        Self {
            line,
            column: None,
            value: None,
            reason: reason.into(),
        }
    }

    /// About a cell.
    #[must_use]
    pub fn about_cell(line: u64, column: &str, value: &str, reason: impl Into<String>) -> Self {
        Self {
            line,
            column: Some(column.to_owned()),
            value: Some(cut(value)),
            reason: reason.into(),
        }
    }

    /// What stands in a rejects file, where line and value are in other columns.
    #[must_use]
    pub fn beside_its_row(&self) -> String {
        match &self.column {
            Some(column) => format!("{column}: {}", self.reason),
            None => self.reason.clone(),
        }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if let Some(column) = &self.column {
            write!(f, ", column `{column}`")?;
        }
        if let Some(value) = &self.value {
            write!(f, ", value {value:?}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// The beginning of a text that may be long.
pub fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_says_where_and_what() {
        let cell = Complaint::about_cell(7, "age", "x\"y", "is no number");
        assert_eq!(
            cell.to_string(),
            r#"line 7, column `age`, value "x\"y": is no number"#
        );
        assert_eq!(cell.beside_its_row(), "age: is no number");
        let row = Complaint::about_row(7, "is short");
        assert_eq!(row.to_string(), "line 7: is short");
        assert_eq!(row.beside_its_row(), "is short");
    }

    #[test]
    fn a_long_value_is_cut_between_characters() {
        assert_eq!(cut(&"ü".repeat(100)), "ü".repeat(100));
        assert_eq!(cut(&"ü".repeat(101)), format!("{}…", "ü".repeat(100)));
    }
}
