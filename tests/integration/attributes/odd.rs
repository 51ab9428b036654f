//! Slugs that are no names: the page about them says what the database does, and there are limits.

use std::fmt::Write;
use std::path::Path;

use sqlx::Row;

use super::{columns, migrated, schema, users};

/// A stretch of the page that is written from the database.
const BEGIN: &str = "<!-- names -->\n";
const END: &str = "<!-- /names -->\n";

/// Odd slugs, and fitting ones that they resemble.
fn odd() -> Vec<String> {
    let slugs = [
        "city",
        "first-name",
        "first_name",
        "crmIdentifier",
        "Select",
        "select",
        "a\"b",
        "x.y",
        "x y",
        "user_id",
        "2fa",
        "it's \\",
        "Ünïcode",
        "🦊",
        "",
        "nul\u{fffd}inside",
    ];
    let mut slugs: Vec<String> = slugs.map(str::to_owned).into();
    slugs.push("very-long-".repeat(10));
    slugs
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_slugs_have_columns_and_the_page_tells_which() {
    let mirror = migrated().await;
    let slugs = odd();
    let attributes: Vec<(&str, &str)> = slugs.iter().map(|slug| (slug.as_str(), "text")).collect();
    let person: serde_json::Map<String, serde_json::Value> = slugs
        .iter()
        .map(|slug| (slug.clone(), format!("value of {slug}").into()))
        .collect();
    users(&mirror, &[person.into()]).await;
    schema(&mirror, &attributes).await;

    let mut table = String::from("| slug | column | why |\n| --- | --- | --- |\n");
    let named = mirror
        .rows("select slug, column_name, coalesce(reason, '') from attribute_columns order by slug collate \"C\"")
        .await;
    assert_eq!(named.len(), slugs.len());
    for row in named {
        let (slug, column, why): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let sql = format!("select {column} from user_attributes");
        assert_eq!(
            mirror.value::<String>(&sql).await,
            format!("value of {slug}")
        );
        let shown = if slug.is_empty() {
            "(empty)".into()
        } else {
            format!("`{slug}`")
        };
        let _ = writeln!(table, "| {shown} | `{column}` | {why} |");
    }

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/attributes.md");
    let page = std::fs::read_to_string(&path).expect("the page");
    let (before, rest) = page.split_once(BEGIN).expect(BEGIN);
    let (committed, after) = rest.split_once(END).expect(END);
    if std::env::var_os("ZEPHR_TEST_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}"))
            .expect("the page is written");
    } else {
        assert_eq!(
            committed, table,
            "docs/attributes.md is old: run `make tables`"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_word_of_sql_makes_a_column_that_needs_no_quotes() {
    let mirror = migrated().await;
    let words = mirror
        .rows("select word from pg_get_keywords() union select attname from pg_attribute where attrelid = 'users'::regclass and attnum < 0")
        .await;
    let words: Vec<String> = words.iter().map(|row| row.get(0)).collect();
    let attributes: Vec<(&str, &str)> = words.iter().map(|word| (word.as_str(), "text")).collect();
    schema(&mirror, &attributes).await;
    let person: serde_json::Map<String, serde_json::Value> = words
        .iter()
        .map(|word| (word.clone(), format!("value of {word}").into()))
        .collect();
    users(&mirror, &[person.into()]).await;
    let named = mirror
        .rows("select slug, column_name from attribute_columns")
        .await;
    assert_eq!(named.len(), words.len());
    let mut connection = mirror.connect().await;
    for row in named {
        let (word, column): (String, String) = (row.get(0), row.get(1));
        // A table made from the view has each of the names too, and what looks like the column is
        // it: `session_user` would be somebody else.
        let sql = format!(
            "create temp table made as select {column} from user_attributes u where {column} <> '' order by u.{column};
             create temp table told as select {column} as it from made"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .expect(&column);
        let it: String = sqlx::query_scalar("select it from told")
            .persistent(false)
            .fetch_one(&mut connection)
            .await
            .expect(&column);
        assert_eq!(it, format!("value of {word}"));
        sqlx::raw_sql("drop table made, told")
            .execute(&mut connection)
            .await
            .expect("they go");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_stays_with_whom_it_has_whoever_comes() {
    let mirror = migrated().await;
    schema(&mirror, &[("first-name", "text"), ("Select", "text")]).await;
    let first = columns(&mirror).await;
    assert_eq!(
        first,
        ["user_id:text", "select_attribute:text", "first_name:text"]
    );
    schema(
        &mirror,
        &[
            ("first-name", "text"),
            ("first_name", "text"),
            ("Select", "text"),
            ("select", "text"),
        ],
    )
    .await;
    let then = columns(&mirror).await;
    assert_eq!(then[..3], first);
    assert!(
        then[3].starts_with("first_name_") && then[4].starts_with("select_attribute_"),
        "{then:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn more_attributes_than_columns_leave_the_last_out() {
    let mirror = migrated().await;
    let slugs: Vec<String> = (0..1_700).map(|nr| format!("slug_{nr:04}")).collect();
    let types = ["number", "date", "datetime", "text"];
    let attributes: Vec<(&str, &str)> = slugs
        .iter()
        .enumerate()
        .map(|(nr, slug)| (slug.as_str(), types[nr % 4]))
        .collect();
    users(
        &mirror,
        &[serde_json::json!({"slug_0000": "1", "slug_1699": "x"})],
    )
    .await;

    let refreshed = schema(&mirror, &attributes).await;

    assert_eq!(refreshed.columns, 1_599);
    let note = refreshed
        .notes
        .first()
        .map(ToString::to_string)
        .unwrap_or_default();
    assert!(
        note.starts_with("101 attributes have no column") && note.contains("slug_1599, "),
        "{note}"
    );
    let all = mirror
        .rows("select * from user_attributes order by slug_0001")
        .await;
    assert_eq!(all[0].columns().len(), 1_600);
    assert_eq!(mirror.value::<i64>("select count(*) from attribute_columns where column_name is null and reason like '%1600%'").await, 101);
    // Who was left out is in the schema, and so no issue.
    assert_eq!(
        mirror
            .value::<i64>("select count(*) from attribute_issues")
            .await,
        0
    );
    assert!(!schema(&mirror, &attributes).await.built);
}
