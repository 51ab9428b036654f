//! Values under types: what fits, what does not, and that nothing ever fails.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use sqlx::Row;

use super::{migrated, schema, users};

const TYPES: [&str; 7] = [
    "number", "range", "checkbox", "date", "time", "datetime", "text",
];

/// An input type, a value, and how Postgres shows it in the column; none for null.
const CASES: &[(&str, &str, Option<&str>)] = &[
    ("number", r#""12""#, Some("12")),
    ("number", "12.5", Some("12.5")),
    ("number", r#"" -1.5e3 ""#, Some("-1500")),
    ("number", r#"".5""#, Some("0.5")),
    ("number", r#""""#, None),
    ("number", "null", None),
    ("number", r#""1,5""#, None),
    ("number", r#""NaN""#, None),
    ("number", r#""Infinity""#, None),
    ("number", r#""0x10""#, None),
    ("number", r#""1_000""#, None),
    ("number", r#""1e400000""#, None),
    ("number", r#""1e-400000""#, None),
    ("number", r#""١٢""#, None),
    ("number", "[12]", None),
    ("number", "true", None),
    ("checkbox", "true", Some("true")),
    ("checkbox", r#""True""#, Some("true")),
    ("checkbox", r#""off""#, Some("false")),
    ("checkbox", "0", Some("false")),
    ("checkbox", r#""maybe""#, None),
    ("date", r#""2021-02-24""#, Some("2021-02-24")),
    ("date", r#"" 2020-02-29 ""#, Some("2020-02-29")),
    ("date", r#""1999-12-31""#, Some("1999-12-31")),
    ("date", r#""2021-02-24T00:00:00.000Z""#, Some("2021-02-24")),
    ("date", r#""2021-02-24T10:00:00Z""#, None),
    ("date", r#""2021-02-29""#, None),
    ("date", r#""1900-02-29""#, None),
    ("date", r#""2021-04-31""#, None),
    ("date", r#""2021-13-01""#, None),
    ("date", r#""2021-00-10""#, None),
    ("date", r#""2021-01-00""#, None),
    ("date", r#""0000-00-00""#, None),
    ("date", r#""0000-01-01""#, None),
    ("date", r#""12021-02-24""#, None),
    ("date", r#""0044-03-15 BC""#, None),
    ("date", r#""24/02/2021""#, None),
    ("date", r#""infinity""#, None),
    ("date", r#""today""#, None),
    ("date", r#""now""#, None),
    ("date", r#""----------""#, None),
    ("date", "20210224", None),
    ("time", r#""10:00""#, Some("10:00:00")),
    ("time", r#""23:59:59.9999999""#, Some("23:59:59.999999")),
    ("time", r#""24:00""#, None),
    ("time", r#""23:59:60""#, None),
    ("time", r#""10:00Z""#, None),
    ("time", r#""allballs""#, None),
    (
        "datetime",
        r#""2021-02-24T10:00:00Z""#,
        Some("2021-02-24 10:00:00+00"),
    ),
    (
        "datetime",
        r#""2021-02-24T10:00:00.123Z""#,
        Some("2021-02-24 10:00:00.123+00"),
    ),
    (
        "datetime",
        r#""2021-02-24T10:00""#,
        Some("2021-02-24 10:00:00+00"),
    ),
    (
        "datetime",
        r#""2021-02-24 10:00:00+0530""#,
        Some("2021-02-24 04:30:00+00"),
    ),
    (
        "datetime",
        r#""2021-02-24T10:00-05""#,
        Some("2021-02-24 15:00:00+00"),
    ),
    (
        "datetime",
        r#""2021-02-24""#,
        Some("2021-02-24 00:00:00+00"),
    ),
    (
        "datetime",
        r#""9999-12-31T23:59:59Z""#,
        Some("9999-12-31 23:59:59+00"),
    ),
    (
        "datetime",
        r#""0001-01-01T00:00:00Z""#,
        Some("0001-01-01 00:00:00+00"),
    ),
    ("datetime", r#""9999-12-31T23:59:59-01:00""#, None),
    ("datetime", r#""0001-01-01T00:00:00+01:00""#, None),
    ("datetime", r#""2021-02-30T10:00:00Z""#, None),
    ("datetime", r#""2016-12-31T23:59:60Z""#, None),
    ("datetime", r#""2021-02-24T10:00:00 Europe/London""#, None),
    ("datetime", r#""epoch""#, None),
    ("datetime", "1614160000000", None),
    ("week", r#""2021-W08""#, Some("2021-W08")),
    ("select", r#"["a", "b"]"#, Some(r#"["a", "b"]"#)),
    ("select", r#""""#, None),
    ("textarea", r#"{"a": 1}"#, Some(r#"{"a": 1}"#)),
];

#[tokio::test(flavor = "multi_thread")]
async fn values_are_what_they_spell_or_null_with_a_reason() {
    let mirror = migrated().await;
    let types: Vec<(String, &str)> = CASES
        .iter()
        .enumerate()
        .map(|(nr, case)| (format!("case_{nr}"), case.0))
        .collect();
    let attributes: Vec<(&str, &str)> = types
        .iter()
        .map(|(slug, of)| (slug.as_str(), *of))
        .collect();
    schema(&mirror, &attributes).await;
    let values: serde_json::Map<String, Value> = types
        .iter()
        .zip(CASES)
        .map(|((slug, _), case)| (slug.clone(), serde_json::from_str(case.1).expect(case.1)))
        .collect();
    users(
        &mirror,
        &[
            Value::Object(values),
            json!({}),
            Value::Null,
            json!([]),
            json!("x"),
        ],
    )
    .await;

    // A session elsewhere, with other habits, sees the same.
    let setting = "set timezone = 'Asia/Tokyo'; set datestyle = 'SQL, DMY'; set standard_conforming_strings = off;";
    let mut connection = mirror.connect().await;
    for prepare in ["", setting] {
        sqlx::raw_sql(prepare)
            .execute(&mut connection)
            .await
            .expect("settings");
        for (nr, (of, value, expected)) in CASES.iter().enumerate() {
            let sql = format!(
                "select to_jsonb(case_{nr} {}) #>> '{{}}' from user_attributes where user_id = '0'",
                if *of == "datetime" {
                    "at time zone 'UTC'"
                } else {
                    ""
                }
            );
            let found: Option<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
                .fetch_one(&mut connection)
                .await
                .expect(value);
            let expected = expected.map(|text| match *of {
                "datetime" => text.replace(' ', "T").replace("+00", ""),
                _ => text.to_owned(),
            });
            assert_eq!(found, expected, "{of} {value}");
        }
    }

    let issues = mirror.rows("select slug from attribute_issues").await;
    let mut issues: Vec<String> = issues.iter().map(|row| row.get(0)).collect();
    let mut expected: Vec<String> = CASES
        .iter()
        .enumerate()
        .filter(|(_, case)| case.2.is_none() && ![r#""""#, "null"].contains(&case.1))
        .map(|(nr, _)| format!("case_{nr}"))
        .collect();
    issues.sort_unstable();
    expected.sort_unstable();
    assert_eq!(issues, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn issues_name_the_user_and_count_slugs_that_the_schema_lacks() {
    let mirror = migrated().await;
    schema(&mirror, &[("birth-day", "date"), ("old", "number")]).await;
    schema(&mirror, &[("birth-day", "date")]).await;
    let attributes = [
        json!({"birth-day": "soon", "old": "x"}),
        json!({"birth-day": "2001-01-01", "old": 1, "odd": true}),
        json!({"birth-day": "never"}),
    ];
    users(&mirror, &attributes).await;
    mirror
        .execute("update zephr.users set _zephr_deleted_at = now() where user_id = '2'")
        .await;
    let sql = "select concat_ws('|', coalesce(user_id, '-'), slug, coalesce(column_name, '-'), coalesce(wanted_type, '-'), reason, users)
        from attribute_issues order by slug";
    let issues = mirror.rows(sql).await;
    let issues: Vec<String> = issues.iter().map(|row| row.get(0)).collect();
    assert_eq!(
        issues,
        [
            "0|birth-day|birth_day|date|not a day as 2021-02-24, or one that never was|1",
            "-|odd|-|-|not in the schema|1",
            "-|old|old|-|not in the schema|2",
        ]
    );
}

/// JSON as people and programs leave it: nearly right, hostile, or anything.
fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[0-9]{4}-[0-3][0-9]-[0-3][0-9]",
        "[0-2][0-9]:[0-6][0-9](:[0-6][0-9](\\.[0-9]{1,12})?)?",
        "[0-9]{4}-[01][0-9]-[0-3][0-9][T t][0-2][0-9]:[0-6][0-9](:[0-6][0-9](\\.[0-9]{1,12})?)?(Z|z|[-+][0-9]{2}(:?[0-9]{2})?)?",
        "(0000|0001|9999)-(01-01|12-31)T(00:00|23:59:59\\.9{1,9})(Z|[-+][01][0-9])?",
        "[0-9T:Z.-]{0,24}",
        "[0-9-]{4}-[0-9-]{2}-[0-9-]{2}(T[0-9:]{2}:[0-9:]{2}:[0-9.]{2}Z)?",
        " *[-+]?[0-9]{0,5}\\.?[0-9]{0,5}([eE][-+]?[0-9]{0,7})? *",
        "infinity|-infinity|nan|now|today|tomorrow|epoch|allballs|24:00|true|F|yes|0x1F|1_0|[1-9]{390,420}",
        "\\PC{0,40}",
        ".{0,10}",
    ];
    let text = text.prop_map(|text: String| text.replace('\0', "\u{fffd}"));
    let leaf = prop_oneof![
        8 => text.prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => Just(Value::from("9".repeat(2_000))),
    ];
    let leaf = leaf.boxed();
    prop_oneof![12 => leaf.clone(), 1 => vec(leaf, 0..3).prop_map(Value::from)]
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_sent_the_views_answer() {
    let mirror = migrated().await;
    schema(&mirror, &TYPES.map(|of| (of, of))).await;
    let mut runner = TestRunner::default();
    let people: Vec<Value> = (0..2_000)
        .map(|_| {
            let values = vec(value(), TYPES.len())
                .new_tree(&mut runner)
                .expect("values")
                .current();
            TYPES
                .iter()
                .map(|of| (*of).to_owned())
                .zip(values)
                .collect::<serde_json::Map<_, _>>()
                .into()
        })
        .collect();
    users(&mirror, &people).await;

    let answered = mirror
        .rows(
            "select u::text, number, range, checkbox, date, time, datetime from user_attributes u",
        )
        .await;
    assert_eq!(answered.len(), people.len());
    // A value is there, or it is empty, or it is an issue.
    let unexplained: i64 = mirror
        .value(
            "select count(*) from users u
             join user_attributes t using (user_id)
             cross join attribute_columns c
             left join attribute_issues i on i.user_id = u.user_id and i.slug = c.slug
             where (i.slug is null) = (to_jsonb(t) ->> c.column_name is null and btrim(u.attributes ->> c.slug) <> '')",
        )
        .await;
    assert_eq!(unexplained, 0);
    // Enough of what was drawn fits for the test to say something.
    for of in TYPES {
        let sql = format!("select count({of}) from user_attributes");
        assert!(mirror.value::<i64>(&sql).await > 10, "{of}");
    }
    let years = "select count(*) from user_attributes where not coalesce(date between '0001-01-01' and '9999-12-31', true)
        or not coalesce(datetime >= '0001-01-01T00:00:00Z' and datetime < '10000-01-01T00:00:00Z', true) or time = '24:00'";
    assert_eq!(mirror.value::<i64>(years).await, 0);
}
