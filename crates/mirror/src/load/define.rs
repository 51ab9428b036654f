//! Makes the table of a list that is not built in, from its description in a job file, and changes
//! it where the description does. While nothing changes nobody's lock is in the way.

use std::fmt::Write as _;

use sqlx::{AssertSqlSafe, Executor, PgConnection};

use crate::postgres::ddl::{self, Attempt};
use record::table::{Column, Kind, Table, quoted};

/// Why a table cannot be what its job file says.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was made from another description.
    #[error("the table {table} was made with another {what}")]
    Different {
        /// The table.
        table: String,
        /// What is different: the key, or a column.
        what: String,
    },
    /// The name is that of another table, of the mirror's own bookkeeping for example.
    #[error("the name {0} belongs to another table")]
    Taken(String),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// The mirror's own columns, with what they mean.
const OWN: [(&str, &str, &str); 7] = [
    (
        "_zephr_run_id",
        "uuid not null",
        "The run that last changed this row.",
    ),
    (
        "_zephr_first_seen_at",
        "timestamptz not null",
        "When this row first appeared in the mirror.",
    ),
    (
        "_zephr_loaded_at",
        "timestamptz not null",
        "When this row last changed in the mirror; untouched while it stays the same.",
    ),
    (
        "_zephr_extracted_at",
        "timestamptz not null",
        "When the API answered with this version (the API's clock).",
    ),
    (
        "_zephr_deleted_at",
        "timestamptz",
        "When it was found to be gone; null for a living row.",
    ),
    (
        "_zephr_hash",
        "bytea not null",
        "Hash of the row's content: equal hash, equal row.",
    ),
    (
        "_zephr_issues",
        "jsonb",
        "Values that could not be kept as sent, with the reason; null when there are none.",
    ),
];

/// Makes the table, or changes what its description says otherwise. `path` is where its items come
/// from, for the comment. Answers the columns that the description has no more: what was read into
/// them stays. Where others hold the table, nothing is changed.
///
/// # Errors
/// A table of this name that has another key, or a column of another type.
pub async fn list(
    connection: &mut PgConnection,
    table: &Table,
    path: &str,
) -> Result<Attempt<Vec<String>>, Error> {
    let schema = super::data_schema(connection).await?;
    let name = format!("{schema}.{}", quoted(&table.name));
    let elsewhere: bool = sqlx::query_scalar(
        "select coalesce(to_regclass($1) <> to_regclass($2), to_regclass($1) is not null)",
    )
    .bind(quoted(&table.name))
    .bind(&name)
    .fetch_one(&mut *connection)
    .await?;
    if elsewhere {
        return Err(Error::Taken(table.name.to_string()));
    }
    // Rows of another list would be missing from this one, and be taken for deleted.
    let noted: Option<String> =
        sqlx::query_scalar("select obj_description(to_regclass($1), 'pg_class')")
            .bind(&name)
            .fetch_one(&mut *connection)
            .await?;
    let before = noted.as_deref().and_then(|noted| {
        noted
            .strip_prefix(COMMENT_BEFORE)?
            .strip_suffix(COMMENT_AFTER)
    });
    if let Some(before) = before.filter(|before| *before != path) {
        return Err(Error::Different {
            table: table.name.to_string(),
            what: format!("path ({before})"),
        });
    }
    let mut there = columns(connection, table).await?;
    if there.is_empty() {
        let sql = create(&name, table);
        connection.execute(AssertSqlSafe(sql)).await?;
        there = columns(connection, table).await?;
    }
    let left = check(table, &there)?;
    let mut changes = String::new();
    for column in absent(table, &there) {
        let (column, kind) = (quoted(&column.name), column.kind.sql());
        let _ = write!(
            changes,
            "alter table {name} add column if not exists {column} {kind};"
        );
    }
    changes.push_str(&comments(table, path, &left, noted.as_deref(), &there));
    if changes.is_empty() {
        return Ok(Attempt::Done(left));
    }
    let objects = [name.as_str()];
    let changed = ddl::attempt(connection, &objects, async |connection| {
        connection.execute(AssertSqlSafe(changes)).await
    });
    Ok(match changed.await? {
        Attempt::Done(_) => Attempt::Done(left),
        Attempt::Held(held) => Attempt::Held(held),
    })
}

/// The columns of a description that its table has not yet.
pub async fn lacking(
    connection: &mut PgConnection,
    table: &Table,
) -> Result<Vec<String>, sqlx::Error> {
    let there = columns(connection, table).await?;
    Ok(absent(table, &there)
        .map(|column| column.name.to_string())
        .collect())
}

fn absent<'t>(table: &'t Table, there: &'t [There]) -> impl Iterator<Item = &'t Column> {
    let is_there = |column: &Column| there.iter().any(|there| there.name == column.name);
    table.columns.iter().filter(move |column| !is_there(column))
}

/// Makes the table with all that it is described to have.
fn create(name: &str, table: &Table) -> String {
    let key = table.key.iter();
    let described = table.columns.iter();
    let mut parts: Vec<String> = key
        .map(|column| format!("{} text not null", quoted(&column.name)))
        .chain(described.map(|column| format!("{} {}", quoted(&column.name), column.kind.sql())))
        .collect();
    parts.push("extra jsonb".to_owned());
    parts.extend(
        OWN.iter()
            .map(|(column, kind, _)| format!("{column} {kind}")),
    );
    let key: Vec<String> = table
        .key
        .iter()
        .map(|column| quoted(&column.name))
        .collect();
    parts.push(format!("primary key ({})", key.join(", ")));
    format!("create table {name} ({})", parts.join(", "))
}

/// How the comment of a table says where its items come from.
fn described(path: &str) -> String {
    format!("{COMMENT_BEFORE}{path}{COMMENT_AFTER}")
}

const COMMENT_BEFORE: &str = "The items of ";
const COMMENT_AFTER: &str = ", as a job file describes them.";

/// The statements that give the table and its columns the comments that they have not.
fn comments(
    table: &Table,
    path: &str,
    left: &[String],
    noted: Option<&str>,
    there: &[There],
) -> String {
    let name = quoted(&table.name);
    let text = |text: &str| text.replace('\'', "''");
    let mut wanted: Vec<(&str, String)> = Vec::new();
    for column in table.all_columns() {
        let sent_as: Vec<&str> = column
            .sent_as
            .iter()
            .map(AsRef::as_ref)
            .filter(|name| !name.is_empty())
            .collect();
        let meaning = if sent_as.is_empty() {
            "Hash of the item, which has no key of its own.".to_owned()
        } else {
            format!("{} of the item.", sent_as.join(" or "))
        };
        wanted.push((&column.name, meaning));
    }
    wanted.push((
        "extra",
        "Everything else that was sent about it and has no column of its own.".to_owned(),
    ));
    for column in left {
        wanted.push((column, "No longer read, since the job file does not name it. What was read before stays; what is sent now is in extra.".to_owned()));
    }
    for (column, _, meaning) in OWN {
        wanted.push((column, meaning.to_owned()));
    }
    let mut sql = String::new();
    let described = described(path);
    if noted != Some(&described) {
        let _ = write!(sql, "comment on table {name} is '{}';", text(&described));
    }
    for (column, meaning) in wanted {
        let has = there.iter().find(|there| there.name == column);
        if has.and_then(|has| has.comment.as_deref()) != Some(&meaning) {
            let (column, meaning) = (quoted(column), text(&meaning));
            let _ = write!(sql, "comment on column {name}.{column} is '{meaning}';");
        }
    }
    sql
}

/// A column as the table has it.
#[derive(Debug, sqlx::FromRow)]
struct There {
    name: String,
    kind: String,
    in_key: bool,
    comment: Option<String>,
}

/// The columns that the table has; none where there is no table.
async fn columns(connection: &mut PgConnection, table: &Table) -> Result<Vec<There>, sqlx::Error> {
    sqlx::query_as(
        "select a.attname::text as name, format_type(a.atttypid, null) as kind,
                coalesce(a.attnum = any(i.indkey), false) as in_key, col_description(a.attrelid, a.attnum) as comment
         from pg_attribute a left join pg_index i on i.indrelid = a.attrelid and i.indisprimary
         where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped",
    )
    .bind(quoted(&table.name))
    .fetch_all(connection)
    .await
}

/// Whether the table is that of this description. Answers the columns it has beside those.
fn check(table: &Table, there: &[There]) -> Result<Vec<String>, Error> {
    let different = |what: String| Error::Different {
        table: table.name.to_string(),
        what,
    };
    let mut key: Vec<&str> = there
        .iter()
        .filter(|column| column.in_key)
        .map(|column| column.name.as_str())
        .collect();
    let mut described: Vec<&str> = table
        .key
        .iter()
        .map(|column| column.name.as_ref())
        .collect();
    key.sort_unstable();
    described.sort_unstable();
    if key != described {
        return Err(different(format!("key: {}", key.join(", "))));
    }
    for column in table.columns.iter() {
        let kind = match column.kind {
            Kind::Timestamptz => "timestamp with time zone",
            Kind::Text | Kind::Numeric | Kind::Boolean | Kind::Jsonb => column.kind.sql(),
        };
        let other = there
            .iter()
            .find(|there| there.name == column.name && there.kind != kind);
        if let Some(other) = other {
            return Err(different(format!("type of {}: {}", other.name, other.kind)));
        }
    }
    let is_described = |name: &str| {
        name == "extra"
            || OWN.iter().any(|(own, _, _)| *own == name)
            || table.all_columns().any(|column| column.name == name)
    };
    let names = there.iter().map(|column| &column.name);
    Ok(names.filter(|name| !is_described(name)).cloned().collect())
}
