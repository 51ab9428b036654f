//! The view with a typed column per attribute follows the tenant's schema, breaks nothing that is
//! built on it, and never fails.

mod odd;
mod values;

use mirror::attributes::{self, Note, Refreshed};
use sqlx::{Acquire, Row};

use crate::support::{Mirror, Program};

/// The mirror's own columns, of which nothing here depends.
const OWN: &str =
    "gen_random_uuid(), clock_timestamp(), clock_timestamp(), clock_timestamp(), ''::bytea";
const OWN_NAMES: &str =
    "_zephr_run_id, _zephr_first_seen_at, _zephr_loaded_at, _zephr_extracted_at, _zephr_hash";

/// A migrated mirror.
async fn migrated() -> Mirror {
    let mirror = Mirror::new().await;
    migrate(&mirror).await;
    mirror
}

async fn migrate(mirror: &Mirror) -> String {
    Program::new()
        .with("DATABASE_URL", &mirror.url)
        .run(&["migrate"])
        .await
        .expect(0)
        .stderr
}

/// The schema has these attributes and no others; then the view follows.
async fn schema(mirror: &Mirror, attributes: &[(&str, &str)]) -> Refreshed {
    let mut connection = mirror.connect().await;
    let mut transaction = connection.begin().await.expect("a transaction");
    let (slugs, types): (Vec<&str>, Vec<&str>) = attributes.iter().copied().unzip();
    let upsert = format!(
        "insert into user_schema (slug, input_type, {OWN_NAMES}) select slug, input_type, {OWN} from unnest($1, $2) as a (slug, input_type)
         on conflict (slug) do update set input_type = excluded.input_type, _zephr_deleted_at = null"
    );
    sqlx::query(sqlx::AssertSqlSafe(upsert))
        .bind(&slugs)
        .bind(types)
        .execute(&mut *transaction)
        .await
        .expect("attributes");
    sqlx::query("update user_schema set _zephr_deleted_at = '2021-02-24' where slug <> all($1)")
        .bind(slugs)
        .execute(&mut *transaction)
        .await
        .expect("tombstones");
    let refreshed = attributes::refresh(&mut transaction)
        .await
        .expect("the view follows");
    transaction.commit().await.expect("a commit");
    refreshed
}

/// Users with these attributes, called 0, 1 and so on.
async fn users(mirror: &Mirror, attributes: &[serde_json::Value]) {
    let mut connection = mirror.connect().await;
    let insert = format!(
        "insert into users (user_id, attributes, {OWN_NAMES}) select (nr - 1)::text, attributes, {OWN} from unnest($1) with ordinality as u (attributes, nr)"
    );
    sqlx::query(sqlx::AssertSqlSafe(insert))
        .bind(attributes)
        .execute(&mut connection)
        .await
        .expect("users");
}

/// The view's columns with their types, a word each.
async fn columns(mirror: &Mirror) -> Vec<String> {
    let sql = "select concat(attname, ':', format_type(atttypid, null)) from pg_attribute
        where attrelid = 'zephr.user_attributes'::regclass and attnum > 0 order by attnum";
    let rows = mirror.rows(sql).await;
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn before_a_schema_is_read_the_view_has_the_users_alone() {
    let mirror = migrated().await;
    users(&mirror, &[serde_json::json!({"a": 1})]).await;
    assert_eq!(columns(&mirror).await, ["user_id:text"]);
    for sql in [
        "select count(*) - 1 from user_attributes",
        "select count(*) from attribute_issues",
        "select count(*) from attribute_columns",
    ] {
        assert_eq!(mirror.value::<i64>(sql).await, 0, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_view_is_built_when_the_schema_changed_and_only_then() {
    let mirror = migrated().await;
    let built = "select concat(c.oid, ' ', r.xmin, ' ', v.built_at) from pg_class c join pg_rewrite r on r.ev_class = c.oid, attribute_view v
        where c.oid = 'zephr.user_attributes'::regclass";
    assert!(
        schema(&mirror, &[("city", "text"), ("age", "number")])
            .await
            .built
    );
    let first: String = mirror.value(built).await;

    let again = schema(&mirror, &[("age", "number"), ("city", "text")]).await;
    migrate(&mirror).await;
    assert!(!again.built && again.notes.is_empty(), "{again:?}");
    assert_eq!(again.columns, 2);
    assert_eq!(mirror.value::<String>(built).await, first);

    // A comment is all that changes, and it is part of the view.
    mirror
        .execute("update user_schema set label = 'It''s the \\age' where slug = 'age'")
        .await;
    migrate(&mirror).await;
    assert_ne!(mirror.value::<String>(built).await, first);
    let comment = "select col_description(attrelid, attnum) from pg_attribute where attrelid = 'zephr.user_attributes'::regclass and attname = 'age'";
    assert_eq!(
        mirror.value::<String>(comment).await,
        r"It's the \age. Attribute age (number)."
    );
    assert_eq!(
        mirror
            .value::<String>("select label from attribute_columns where slug = 'age'")
            .await,
        r"It's the \age"
    );

    // Somebody dropped it.
    mirror.execute("drop view zephr.user_attributes").await;
    migrate(&mirror).await;
    assert_eq!(columns(&mirror).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_built_on_the_view_outlives_new_and_gone_attributes() {
    let mirror = migrated().await;
    users(
        &mirror,
        &[serde_json::json!({"m": "1", "z": "2", "a": "3"})],
    )
    .await;
    schema(&mirror, &[("m", "number"), ("z", "text")]).await;
    mirror
        .execute("create view public.built as select * from zephr.user_attributes")
        .await;

    let refreshed = schema(&mirror, &[("a", "text"), ("z", "text")]).await;

    assert!(
        refreshed.built && refreshed.notes.is_empty(),
        "{refreshed:?}"
    );
    assert_eq!(
        columns(&mirror).await,
        ["user_id:text", "m:numeric", "z:text", "a:text"]
    );
    let row = "select concat_ws('|', m is null, z, a) from user_attributes";
    assert_eq!(mirror.value::<String>(row).await, "t|2|3");
    assert_eq!(
        mirror
            .value::<i64>("select count(*) from public.built where m is null and z = '2'")
            .await,
        1
    );
    assert_eq!(
        mirror
            .value::<String>(
                "select gone_since::date::text from attribute_columns where slug = 'm'"
            )
            .await,
        "2021-02-24"
    );
    let comment = "select col_description('zephr.user_attributes'::regclass, 2)";
    assert_eq!(
        mirror.value::<String>(comment).await,
        "Attribute m (number). Not in the schema since 2021-02-24, and null."
    );
    // It comes back to its place.
    schema(&mirror, &[("a", "text"), ("m", "number"), ("z", "text")]).await;
    assert_eq!(mirror.value::<String>(row).await, "f|2|3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_changes_as_soon_as_nothing_is_built_on_the_view() {
    let mirror = migrated().await;
    users(&mirror, &[serde_json::json!({"a": "2021-02-24", "b": "1"})]).await;
    schema(&mirror, &[("a", "text"), ("b", "text")]).await;
    mirror
        .execute("create role somebody; grant select on zephr.user_attributes to somebody; grant select (b) on zephr.user_attributes to public")
        .await;
    mirror
        .execute("create view public.built as select a from zephr.user_attributes")
        .await;

    let held = schema(&mirror, &[("a", "date"), ("b", "text"), ("c", "date")]).await;

    assert_eq!(
        columns(&mirror).await,
        ["user_id:text", "a:text", "b:text", "c:date"]
    );
    let note = Note::KeepsType {
        column: "a".into(),
        has: "text",
        wanted: "date",
        dependents: vec!["public.built".into()],
    };
    assert_eq!(held.notes, [note]);
    let reason: String = mirror
        .value("select reason from attribute_columns where slug = 'a'")
        .await;
    assert!(
        reason.contains("says date") && reason.contains("public.built"),
        "{reason}"
    );
    assert!(
        migrate(&mirror)
            .await
            .contains("public.built is built on the view")
    );

    mirror.execute("drop view public.built").await;
    assert_eq!(migrate(&mirror).await, "");
    assert_eq!(
        columns(&mirror).await,
        ["user_id:text", "a:date", "b:text", "c:date"]
    );
    let may = "select has_table_privilege('somebody', 'zephr.user_attributes', 'select') and has_table_privilege('zephr_reader', 'zephr.user_attributes', 'select')
        and (select attacl is not null from pg_attribute where attrelid = 'zephr.user_attributes'::regclass and attname = 'b')";
    assert!(mirror.value::<bool>(may).await);
    mirror
        .execute("drop owned by somebody; drop role somebody")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_on_the_row_type_is_in_the_way_too() {
    let mirror = migrated().await;
    schema(&mirror, &[("a", "text")]).await;
    mirror
        .execute("create function public.rows_of() returns setof zephr.user_attributes language sql as 'select * from zephr.user_attributes'")
        .await;
    let held = schema(&mirror, &[("a", "date")]).await;
    assert!(
        matches!(&held.notes[..], [Note::KeepsType { dependents, .. }] if dependents[0].contains("rows_of")),
        "{held:?}"
    );
    assert_eq!(columns(&mirror).await, ["user_id:text", "a:text"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_the_view_for_long_delays_the_view_and_not_the_schema() {
    let mirror = migrated().await;
    schema(&mirror, &[("a", "text")]).await;
    let mut reader = mirror.connect().await;
    let mut reading = reader.begin().await.expect("a transaction");
    sqlx::query("select * from user_attributes")
        .fetch_all(&mut *reading)
        .await
        .expect("rows");

    let late = schema(&mirror, &[("a", "text"), ("b", "text")]).await;

    assert!(
        !late.built && matches!(late.notes[..], [Note::Waits(_)]),
        "{late:?}"
    );
    let attributes = "select count(*) from user_schema where _zephr_deleted_at is null";
    assert_eq!(mirror.value::<i64>(attributes).await, 2);
    assert_eq!(columns(&mirror).await, ["user_id:text", "a:text"]);
    reading.rollback().await.expect("it ends");
    migrate(&mirror).await;
    assert_eq!(columns(&mirror).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn analysts_read_the_views_and_none_of_the_bookkeeping() {
    let mirror = migrated().await;
    users(&mirror, &[serde_json::json!({"age": "old", "x": 1})]).await;
    schema(&mirror, &[("age", "number")]).await;
    // Rights may have been taken from everybody, as hardened databases have it.
    mirror
        .execute("revoke execute on all functions in schema zephr from public")
        .await;
    migrate(&mirror).await;
    let mut analyst = mirror.connect().await;
    sqlx::query("set role zephr_reader")
        .execute(&mut analyst)
        .await
        .expect("the role");
    for sql in [
        "select * from zephr.user_attributes",
        "select * from zephr.attribute_issues",
        "select * from zephr.attribute_columns",
    ] {
        let rows = sqlx::query(sql).fetch_all(&mut analyst).await.expect(sql);
        assert!(!rows.is_empty(), "{sql}");
    }
    assert!(
        sqlx::query("select * from zephr_sync.attribute_view")
            .fetch_all(&mut analyst)
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_of_another_name_has_its_own_view() {
    let mirror = Mirror::new().await;
    let news = Program::new()
        .with("DATABASE_URL", &mirror.url)
        .with("ZEPHR_SYNC_SCHEMA", "news");
    news.run(&["migrate"]).await.expect(0);
    mirror
        .execute(&format!("insert into news.user_schema (slug, input_type, {OWN_NAMES}) values ('age', 'number', {OWN})"))
        .await;
    news.run(&["migrate"]).await.expect(0);
    assert_eq!(
        mirror
            .value::<i64>("select count(age) from news.user_attributes")
            .await,
        0
    );
}
