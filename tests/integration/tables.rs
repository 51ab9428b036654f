//! `docs/tables.md` says what the database says about itself, so that neither can be forgotten.

use std::fmt::Write;
use std::path::Path;

use sqlx::Row;

use crate::support::{Mirror, Program};

/// Each table and view of analysts, what it is, and its key.
const RELATIONS: &str = "select c.oid::regclass::text, c.relname::text, c.relkind::text,
        obj_description(c.oid, 'pg_class') as comment,
        (select string_agg(a.attname, ', ' order by array_position(i.indkey::int2[], a.attnum))
         from pg_index i join pg_attribute a on a.attrelid = c.oid and a.attnum = any(i.indkey)
         where i.indrelid = c.oid and i.indisprimary) as key
    from pg_class c where c.relnamespace = 'zephr'::regnamespace and c.relkind in ('r', 'p', 'v') and not c.relispartition
    order by c.relkind = 'v', c.relname";

const COLUMNS: &str = "select a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull, col_description(a.attrelid, a.attnum)
    from pg_attribute a where a.attrelid = ('zephr.' || quote_ident('TABLE'))::regclass and a.attnum > 0 and not a.attisdropped order by a.attnum";

/// The page as the database would have it, and what it says nothing about.
async fn page(mirror: &Mirror) -> (String, Vec<String>) {
    let mut page = String::from(
        "# Tables\n\nWhat schema `zephr` holds for analysts. Written by `make tables` from the comments in the database, where `\\d+` shows them too;\n\
         a test compares the two.\n",
    );
    let mut silent = Vec::new();
    for relation in mirror.rows(RELATIONS).await {
        let name: String = relation.get("relname");
        let what: Option<String> = relation.get("comment");
        if what.is_none() {
            silent.push(name.clone());
        }
        let _ = write!(page, "\n## `{name}`\n\n{}\n", what.unwrap_or_default());
        if let Some(key) = relation.get::<Option<String>, _>("key") {
            let _ = write!(page, "\nKey: `{key}`\n");
        }
        page.push_str("\n| column | type | null | meaning |\n| --- | --- | --- | --- |\n");
        let is_view = relation.get::<String, _>("relkind") == "v";
        for column in mirror.rows(&COLUMNS.replace("TABLE", &name)).await {
            let (column, kind, not_null, meaning): (String, String, bool, Option<String>) =
                (column.get(0), column.get(1), column.get(2), column.get(3));
            if meaning.is_none() {
                silent.push(format!("{name}.{column}"));
            }
            let null = match (is_view, not_null) {
                (true, _) => "",
                (false, true) => "no",
                (false, false) => "yes",
            };
            let meaning = meaning.unwrap_or_default().replace('|', "\\|");
            let _ = writeln!(page, "| `{column}` | {kind} | {null} | {meaning} |");
        }
    }
    (page, silent)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_and_column_is_explained_and_the_page_says_the_same() {
    let mirror = Mirror::new().await;
    Program::new()
        .with("DATABASE_URL", &mirror.url)
        .run(&["migrate"])
        .await
        .expect(0);

    let (page, silent) = page(&mirror).await;

    assert!(silent.is_empty(), "without a comment: {silent:?}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tables.md");
    if std::env::var_os("ZEPHR_TEST_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("the page is written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(committed, page, "docs/tables.md is old: run `make tables`");
}
