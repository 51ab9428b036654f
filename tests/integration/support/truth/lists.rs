//! The tables beside the users against the simulator's truth, cell by cell, compared by Postgres.

use simulator::{List, Tenant};
use sqlx::{AssertSqlSafe, Executor, Row};

use super::Others;
use crate::support::Mirror;

/// Differences told.
const TOLD: i64 = 10;

/// Where the truth says what a column holds, when not under its name: names of fields from the
/// outside in.
const ELSEWHERE: [(&str, &str, &str); 9] = [
    ("segments", "segment_id", "id"),
    ("products", "product_id", "id"),
    ("products", "entitlement_type", "entitlement,type"),
    ("products", "entitlement_id", "entitlement,id"),
    ("products", "sharing_limit", "sharingLimit"),
    ("bundles", "bundle_id", "id"),
    ("entitlements", "entitlement_id", "id"),
    ("meters", "meter_id", "id"),
    ("credits", "credit_id", "id"),
];

/// Columns the truth does not speak of.
const UNTOLD: [(&str, &str); 1] = [("user_segments", "label")];

fn path(table: &str, column: &str) -> String {
    let elsewhere = ELSEWHERE
        .iter()
        .find(|(t, c, _)| (*t, *c) == (table, column));
    match (elsewhere, table, column) {
        (Some((_, _, path)), _, _) => (*path).to_owned(),
        (None, "user_schema", _) => column.replace('_', "-"),
        (None, "meters", "limit_value") => "limit".to_owned(),
        (None, "products" | "bundles" | "entitlements" | "meters" | "credits", "tenant_id") => {
            "tenantId".to_owned()
        }
        (None, _, _) => column.to_owned(),
    }
}

/// Fails the test unless the living rows of a table are exactly the truth of a list.
#[track_caller]
pub fn expect_list<'a>(
    tenant: &'a Tenant,
    mirror: &'a Mirror,
    list: List,
    table: &'static str,
) -> impl Future<Output = ()> + 'a {
    let caller = std::panic::Location::caller();
    async move {
        let differences = differences(tenant, mirror, list, table).await;
        assert!(
            differences.is_empty(),
            "{caller}: {table}\n{}",
            differences.join("\n")
        );
    }
}

/// What differs, ten rows at most.
pub async fn differences(tenant: &Tenant, mirror: &Mirror, list: List, table: &str) -> Vec<String> {
    let truth = String::from_utf8(tenant.truth_of(list)).expect("text");
    let lines: Vec<&str> = truth.lines().collect();
    differences_from(&lines, Others::AreTooMany, mirror, table).await
}

/// What differs from these rows of the truth, ten at most.
pub async fn differences_from(
    lines: &[&str],
    others: Others,
    mirror: &Mirror,
    table: &str,
) -> Vec<String> {
    let mut connection = mirror.connect().await;
    connection
        .execute("create temporary table listed (item jsonb)")
        .await
        .expect("a table");
    sqlx::query("insert into listed select i from unnest($1::jsonb[]) i")
        .bind(lines)
        .execute(&mut connection)
        .await
        .expect("JSON that Postgres can hold");
    let columns = sqlx::query(
        "select a.attname::text, format_type(a.atttypid, a.atttypmod),
                exists (select from pg_index i where i.indrelid = a.attrelid and i.indisprimary and a.attnum = any(i.indkey))
         from pg_attribute a where a.attrelid = $1::text::regclass and a.attnum > 0 and a.attname not like '\\_zephr%' and a.attname <> 'extra'",
    )
    .bind(table)
    .fetch_all(&mut connection)
    .await
    .expect("columns");
    let (mut expected, mut join, mut compared) = (Vec::new(), Vec::new(), Vec::new());
    for column in columns {
        let (name, kind, is_key): (String, String, bool) =
            (column.get(0), column.get(1), column.get(2));
        if UNTOLD.contains(&(table, name.as_str())) {
            continue;
        }
        let operator = if kind == "jsonb" { "#>" } else { "#>>" };
        expected.push(format!(
            "(item {operator} '{{{}}}')::{kind} as {name}",
            path(table, &name)
        ));
        if is_key {
            join.push(format!("m.{name} = e.{name}"));
        }
        compared.push(format!(
            "case when m.{name} is distinct from e.{name} then '{name}: ' || coalesce(m.{name}::text, 'null') || ' for ' || coalesce(e.{name}::text, 'null') end"
        ));
    }
    let sql = format!(
        "with e as (select distinct {} from listed), m as (select * from {table} where _zephr_deleted_at is null)
         select concat_ws(', ', {}, case when m._zephr_issues is not null then 'has issues' end) as d
         from e {} join m on {} where concat_ws(', ', {}, case when m._zephr_issues is not null then 'has issues' end) <> '' limit $1",
        expected.join(", "),
        compared.join(", "),
        match others {
            Others::AreTooMany => "full",
            Others::AreLeftAlone => "left",
        },
        join.join(" and "),
        compared.join(", "),
    );
    sqlx::query_scalar(AssertSqlSafe(sql.clone()))
        .bind(TOLD)
        .fetch_all(&mut connection)
        .await
        .unwrap_or_else(|error| panic!("{error}: {sql}"))
}
