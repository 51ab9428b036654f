//! Makes the table of a list that is not built in, from its description in a job file.

use sqlx::{AssertSqlSafe, Executor, PgConnection};

use record::table::{Kind, Table, quoted};

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
        "When the API answered with this version (the API''s clock).",
    ),
    (
        "_zephr_deleted_at",
        "timestamptz",
        "When it was found to be gone; null for a living row.",
    ),
    (
        "_zephr_hash",
        "bytea not null",
        "Hash of the row''s content: equal hash, equal row.",
    ),
    (
        "_zephr_issues",
        "jsonb",
        "Values that could not be kept as sent, with the reason; null when there are none.",
    ),
];

/// Makes the table, or adds the columns that its description has more. `path` is where its items
/// come from, for the comment. Answers the columns that the description has no more: what was read
/// into them stays.
///
/// # Errors
/// A table of this name that has another key, or a column of another type.
pub async fn list(
    connection: &mut PgConnection,
    table: &Table,
    path: &str,
) -> Result<Vec<String>, Error> {
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
    let mut parts: Vec<String> = table
        .key
        .iter()
        .map(|column| format!("{} text not null", quoted(&column.name)))
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
    let mut sql = format!("create table if not exists {name} ({});", parts.join(", "));
    for column in table.columns.iter() {
        sql.push_str(&format!(
            "alter table {name} add column if not exists {} {};",
            quoted(&column.name),
            column.kind.sql()
        ));
    }
    connection.execute(AssertSqlSafe(sql)).await?;
    let left = check(connection, table).await?;
    connection
        .execute(AssertSqlSafe(comments(table, path, &left)))
        .await?;
    Ok(left)
}

/// How the comment of a table says where its items come from.
fn described(path: &str) -> String {
    format!("{COMMENT_BEFORE}{path}{COMMENT_AFTER}")
}

const COMMENT_BEFORE: &str = "The items of ";
const COMMENT_AFTER: &str = ", as a job file describes them.";

fn comments(table: &Table, path: &str, left: &[String]) -> String {
    let name = quoted(&table.name);
    let text = |text: String| text.replace('\'', "''");
    let mut sql = format!("comment on table {name} is '{}';", text(described(path)));
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
        sql.push_str(&format!(
            "comment on column {name}.{} is '{}';",
            quoted(&column.name),
            text(meaning)
        ));
    }
    sql.push_str(&format!("comment on column {name}.extra is 'Everything else that was sent about it and has no column of its own.';"));
    for column in left {
        sql.push_str(&format!(
            "comment on column {name}.{} is 'No longer read, since the job file does not name it. What was read before stays; what is sent now is in extra.';",
            quoted(column)
        ));
    }
    for (column, _, meaning) in OWN {
        sql.push_str(&format!(
            "comment on column {name}.{column} is '{meaning}';"
        ));
    }
    sql
}

/// Whether the table is that of this description. Answers the columns it has beside those.
async fn check(connection: &mut PgConnection, table: &Table) -> Result<Vec<String>, Error> {
    let different = |what: String| Error::Different {
        table: table.name.to_string(),
        what,
    };
    let there: Vec<(String, String, bool)> = sqlx::query_as(
        "select a.attname::text, format_type(a.atttypid, null), coalesce(a.attnum = any(i.indkey), false)
         from pg_attribute a left join pg_index i on i.indrelid = a.attrelid and i.indisprimary
         where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped",
    )
    .bind(quoted(&table.name))
    .fetch_all(connection)
    .await?;
    let mut key: Vec<&str> = there
        .iter()
        .filter(|(_, _, in_key)| *in_key)
        .map(|(name, _, _)| name.as_str())
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
            .find(|(name, is, _)| *name == column.name && is != kind);
        if let Some((name, is, _)) = other {
            return Err(different(format!("type of {name}: {is}")));
        }
    }
    let is_described = |name: &str| {
        name == "extra"
            || OWN.iter().any(|(own, _, _)| *own == name)
            || table.all_columns().any(|column| column.name == name)
    };
    let names = there.into_iter().map(|(name, _, _)| name);
    Ok(names.filter(|name| !is_described(name)).collect())
}
