//! Columns that cannot be relied on: found in the tables, kept with the run, told to people.

use serde::Serialize;

/// A column of which so many values did not fit that it cannot be relied on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Unfit {
    /// The table.
    pub table: String,
    /// The column.
    pub column: String,
    /// Living rows in which a value was sent that did not fit, so that the column is null.
    pub unfit: i64,
    /// Living rows in which a value was sent.
    pub values: i64,
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            table,
            column,
            unfit,
            values,
        } = self;
        write!(
            f,
            "{unfit} of {values} values of {table}.{column} did not fit and are null"
        )
    }
}
