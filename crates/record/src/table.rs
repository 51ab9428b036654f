//! What a mirrored table holds and where in an item each column is found: all that reading and
//! merging need to know of a resource.

use std::borrow::Cow;

/// A table of the mirror whose rows are items of a list of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name, without the schema.
    pub name: Cow<'static, str>,
    /// The columns of its key, in order. They hold text.
    pub key: Cow<'static, [Column]>,
    /// The other columns, without `extra` and the mirror's own.
    pub columns: Cow<'static, [Column]>,
    /// What becomes of an item in which a key cannot be found.
    pub without_key: WithoutKey,
}

/// A column and where its value is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name in the table.
    pub name: Cow<'static, str>,
    /// Its type there.
    pub kind: Kind,
    /// Names under which the API sends the value, the first that is there counts: the API mixes
    /// spellings (contract section 3). A dot goes into an object.
    pub sent_as: Cow<'static, [Cow<'static, str>]>,
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `text`
    Text,
    /// `numeric`
    Numeric,
    /// `boolean`
    Boolean,
    /// `timestamptz`
    Timestamptz,
    /// `jsonb`
    Jsonb,
}

/// What becomes of an item in which a key cannot be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithoutKey {
    /// It goes to the rejects.
    Rejected,
    /// Its hash is its key: of some lists no identifier is documented (contract section 10). A
    /// changed item is then a new row.
    KeyedByHash,
}

impl Kind {
    /// The type's name in SQL.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Numeric => "numeric",
            Self::Boolean => "boolean",
            Self::Timestamptz => "timestamptz",
            Self::Jsonb => "jsonb",
        }
    }
}

impl Column {
    /// A column of a built-in table. The names are written where tables are described, so this is
    /// for constants.
    pub const fn new(
        name: &'static str,
        kind: Kind,
        sent_as: &'static [Cow<'static, str>],
    ) -> Self {
        Self {
            name: Cow::Borrowed(name),
            kind,
            sent_as: Cow::Borrowed(sent_as),
        }
    }
}

/// Columns as they are written down for built-in tables: `name: Kind = "sent as", "or as"`; where
/// nothing is said, it is sent under the column's name.
#[macro_export]
macro_rules! columns {
    ($($name:ident: $kind:ident $(= $($sent:literal),+)?;)*) => {{
        const COLUMNS: &[$crate::table::Column] = &[$($crate::table::Column::new(
            stringify!($name),
            $crate::table::Kind::$kind,
            $crate::columns!(@sent $name $($($sent),+)?),
        )),*];
        COLUMNS
    }};
    (@sent $name:ident) => { $crate::columns!(@names stringify!($name)) };
    (@sent $name:ident $($sent:literal),+) => { $crate::columns!(@names $($sent),+) };
    (@names $($sent:expr),+) => {{
        const NAMES: &[::std::borrow::Cow<'static, str>] = &[$(::std::borrow::Cow::Borrowed($sent)),+];
        NAMES
    }};
}

impl Table {
    /// A built-in table, for constants.
    pub const fn new(
        name: &'static str,
        key: &'static [Column],
        columns: &'static [Column],
        without_key: WithoutKey,
    ) -> Self {
        Self {
            name: Cow::Borrowed(name),
            key: Cow::Borrowed(key),
            columns: Cow::Borrowed(columns),
            without_key,
        }
    }

    /// Key and other columns.
    pub fn all_columns(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().chain(self.columns.iter())
    }
}

/// A name as SQL takes it, whatever it holds.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// An item of a list as a row of its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The key, a value per column.
    pub key: Vec<String>,
    /// A value per other column, in the form in which Postgres reads its type.
    pub cells: Vec<Option<String>>,
    /// All the rest of the item, as JSON.
    pub extra: String,
    /// Of key and content.
    pub hash: [u8; crate::HASH_BYTES],
    /// The item in canonical JSON, for the case that Postgres does not take the row.
    pub text: String,
    /// How many of its timestamps came as numbers.
    pub from_numbers: u32,
    /// Whether it names another parent than the one that was asked.
    pub names_another: bool,
    /// What could not be kept as sent.
    pub issues: Vec<crate::Issue>,
}
