//! Every query that the documentation shows runs, and the questions of analysts are answered as the
//! tenant itself would answer them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Datelike, Days, Utc};
use serde_json::Value;
use simulator::{Business, Edits, List, Options, Shape, Simulator, Tenant};
use sqlx::{AssertSqlSafe, Executor, Row};

use crate::support::{Mirror, Program, tenant};

/// The pages that show SQL: the README and all of `docs/`.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md")];
    for entry in std::fs::read_dir(root.join("docs")).expect("docs") {
        let path = entry.expect("a file").path();
        if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    pages.sort();
    pages
}

/// The blocks of SQL in a page, each with the heading it is under.
fn blocks(page: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(page).expect("a page");
    let mut blocks = Vec::new();
    let (mut heading, mut block) = (String::new(), None::<String>);
    for line in text.lines() {
        match (&mut block, line) {
            (None, "```sql") => block = Some(String::new()),
            (None, line) if line.starts_with('#') => heading = line.to_owned(),
            (None, _) => {}
            (Some(sql), "```") => {
                blocks.push((heading.clone(), std::mem::take(sql)));
                block = None;
            }
            (Some(sql), line) => {
                sql.push_str(line);
                sql.push('\n');
            }
        }
    }
    assert_eq!(block, None, "{} ends within SQL", page.display());
    blocks
}

/// The query under the heading with this number in `docs/questions.md`.
fn question(number: usize) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/questions.md");
    let mut found: Vec<String> = blocks(&page)
        .into_iter()
        .filter(|(heading, _)| heading.starts_with(&format!("## {number}. ")))
        .map(|(_, sql)| sql.trim().trim_end_matches(';').to_owned())
        .collect();
    assert_eq!(found.len(), 1, "question {number}");
    found.remove(0)
}

/// The rows of an answer, as JSON by column.
async fn answer(mirror: &Mirror, number: usize) -> Vec<Value> {
    let sql = format!("select to_jsonb(a) from ({}) a", question(number));
    // Not the test's own time zone: answers must not depend on the reader's.
    let mut connection = mirror.connect().await;
    connection
        .execute("set timezone = 'Asia/Kathmandu'; set search_path = ''")
        .await
        .expect("settings");
    connection
        .fetch_all(AssertSqlSafe(sql.clone()))
        .await
        .unwrap_or_else(|error| panic!("{error}: {sql}"))
        .iter()
        .map(|row| row.get(0))
        .collect()
}

struct Setting {
    simulator: Simulator,
    mirror: Mirror,
}

impl Setting {
    /// A tenant, and a mirror that a sync of all jobs filled.
    async fn new() -> Self {
        let simulator = tenant(Options {
            shape: Shape {
                people: 600,
                business: Business {
                    accounts: Some(30),
                    ..Business::default()
                },
                ..Shape::default()
            },
            ..Options::default()
        })
        .await;
        let mirror = Mirror::new().await;
        let program = Program::between(&simulator, &mirror);
        let jobs = program.directory().join("jobs");
        std::fs::create_dir(&jobs).expect("a directory");
        std::fs::write(
            jobs.join("users.toml"),
            "resource = 'users'\ngrants = true\nmode = 'incremental'\n",
        )
        .expect("a file");
        program.run(&["sync"]).await.expect(0);
        let tenant = simulator.tenant();
        for account in tenant.accounts().into_iter().take(4) {
            assert!(tenant.set_account_seats(account, 2));
        }
        tenant.edit(Edits {
            updates: 17,
            creations: 5,
            ..Edits::NONE
        });
        program
            .run(&["sync", "accounts", "users", "segments"])
            .await
            .expect(0);
        let setting = Self { simulator, mirror };
        setting.fill("user_grants", List::UserGrants).await;
        setting.fill("user_events", List::UserEvents).await;
        setting
    }

    fn truth(&self, list: List) -> Vec<Value> {
        let truth = self.simulator.tenant().truth_of(list);
        String::from_utf8(truth)
            .expect("text")
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }

    /// Tables that the sync leaves empty are filled from the truth, so that the questions about
    /// them are asked all the same.
    async fn fill(&self, table: &str, list: List) {
        let count: i64 = self
            .mirror
            .value(&format!("select count(*) from {table}"))
            .await;
        if count > 0 {
            return;
        }
        let now: DateTime<Utc> = self.mirror.value("select now()").await;
        let mut connection = self.mirror.connect().await;
        if table == "user_events" {
            connection
                .execute("create table user_events_all partition of user_events default")
                .await
                .expect("a partition");
        }
        let items: Vec<String> = self
            .truth(list)
            .into_iter()
            .enumerate()
            .map(|(place, mut item)| {
                item["event_key"] = item
                    .get("event_id")
                    .cloned()
                    .unwrap_or(place.to_string().into());
                item["type"] = item["event_type"].take();
                item["payload"] = serde_json::json!({});
                item["_zephr_run_id"] = uuid::Uuid::nil().to_string().into();
                item["_zephr_hash"] = "\\x00".into();
                for time in ["first_seen", "loaded", "extracted"] {
                    item[format!("_zephr_{time}_at")] = now.to_rfc3339().into();
                }
                item.to_string()
            })
            .collect();
        sqlx::query(AssertSqlSafe(format!(
            "insert into {table} select (jsonb_populate_record(null::{table}, i)).* from unnest($1::jsonb[]) i"
        )))
        .bind(items)
        .execute(&mut connection)
        .await
        .expect("rows");
    }

    /// Who has an active grant of which products.
    async fn active(&self) -> BTreeMap<String, BTreeSet<String>> {
        let now: DateTime<Utc> = self.mirror.value("select now()").await;
        let mut active: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for grant in self.truth(List::UserGrants) {
            let begun = instant(&grant, "start_time").is_none_or(|start| start <= now);
            let ended = instant(&grant, "end_time").is_some_and(|end| end <= now);
            if grant["expiry_state"] == "active"
                && begun
                && !ended
                && grant["product_id"].is_string()
            {
                active
                    .entry(text(&grant, "user_id"))
                    .or_default()
                    .insert(text(&grant, "product_id"));
            }
        }
        active
    }

    /// The people, by what the mirror holds: that it holds what the tenant does is what other tests
    /// are about.
    async fn registered(&self) -> Vec<(String, String)> {
        self.mirror
            .rows("select user_id, to_char(registered_at, 'YYYY-MM') from users_current")
            .await
            .iter()
            .map(|row| (row.get(0), row.get(1)))
            .collect()
    }
}

fn text(item: &Value, name: &str) -> String {
    item[name].as_str().unwrap_or_default().to_owned()
}

fn instant(item: &Value, name: &str) -> Option<DateTime<Utc>> {
    item[name]
        .as_str()
        .map(|text| text.parse().expect("an instant"))
}

fn count(item: &Value, name: &str) -> u64 {
    item[name].as_u64().unwrap_or_else(|| panic!("{item}"))
}

fn living(tenant: &Tenant) -> usize {
    tenant.living() as usize
}

#[tokio::test(flavor = "multi_thread")]
async fn each_question_is_answered_as_the_tenant_would() {
    let setting = Setting::new().await;
    let active = setting.active().await;
    assert!(active.len() > 50, "{}", active.len());

    // 1. Subscribers by product.
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for product in active.values().flatten() {
        *expected.entry(product.clone()).or_default() += 1;
    }
    let rows = answer(&setting.mirror, 1).await;
    let found: BTreeMap<String, u64> = rows
        .iter()
        .map(|row| (text(row, "product_id"), count(row, "subscribers")))
        .collect();
    assert_eq!(found, expected);
    assert!(rows.iter().all(|row| row["label"].is_string()), "{rows:?}");

    // 3. Accounts over their seats.
    let mut members: BTreeMap<String, u64> = BTreeMap::new();
    for member in setting.truth(List::AccountUsers) {
        *members.entry(text(&member, "account_id")).or_default() += 1;
    }
    let expected: BTreeMap<String, u64> = setting
        .truth(List::Accounts)
        .iter()
        .filter_map(|account| {
            let id = text(account, "account_id");
            let seats = account["number_of_seats"].as_f64()?;
            let members = *members.get(&id)?;
            (members as f64 > seats).then_some((id, members))
        })
        .collect();
    let found: BTreeMap<String, u64> = answer(&setting.mirror, 3)
        .await
        .iter()
        .map(|row| (text(row, "account_id"), count(row, "members")))
        .collect();
    assert!(!expected.is_empty());
    assert_eq!(found, expected);

    // 4. Segments that overlap.
    let mut segments: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for member in setting.truth(List::UserSegments) {
        segments
            .entry(text(&member, "segment_id"))
            .or_default()
            .insert(text(&member, "user_id"));
    }
    let mut expected = BTreeMap::new();
    for (one, its) in &segments {
        for (other, theirs) in segments.iter().filter(|(other, _)| *other != one) {
            let both = its.intersection(theirs).count() as u64;
            if both > 0 {
                expected.insert((one.clone(), other.clone()), both);
            }
        }
    }
    let found: BTreeMap<(String, String), u64> = answer(&setting.mirror, 4)
        .await
        .iter()
        .map(|row| {
            let pair = (text(row, "segment_id"), text(row, "other_segment_id"));
            (pair, count(row, "users"))
        })
        .collect();
    assert!(!expected.is_empty());
    assert_eq!(found, expected);

    // 5. What the last run changed: the edits since the first.
    let found: BTreeMap<String, u64> = answer(&setting.mirror, 5)
        .await
        .iter()
        .map(|row| (text(row, "what"), count(row, "users")))
        .collect();
    assert_eq!(found["new"], 5, "{found:?}");
    assert!((1..=17).contains(&found["changed"]), "{found:?}");
    assert_eq!(found.len(), 2, "{found:?}");

    // 6. Registrations by month, and the share that subscribes.
    let mut expected: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (user, month) in setting.registered().await {
        let (registrations, subscribers) = expected.entry(month).or_default();
        *registrations += 1;
        *subscribers += u64::from(active.contains_key(&user));
    }
    let found: BTreeMap<String, (u64, u64)> = answer(&setting.mirror, 6)
        .await
        .iter()
        .map(|row| {
            let share =
                100.0 * count(row, "subscribers") as f64 / count(row, "registrations") as f64;
            assert!(
                (row["percent"].as_f64().expect("a share") - share).abs() < 0.06,
                "{row}"
            );
            (
                text(row, "month"),
                (count(row, "registrations"), count(row, "subscribers")),
            )
        })
        .collect();
    assert_eq!(found, expected);
    let all: u64 = found.values().map(|(registrations, _)| registrations).sum();
    assert_eq!(all as usize, living(&setting.simulator.tenant()));

    // 8. Nobody's members, without grants.
    let tied: BTreeSet<String> = [List::AccountUsers, List::UserGrants]
        .into_iter()
        .flat_map(|list| setting.truth(list))
        .map(|item| text(&item, "user_id"))
        .collect();
    let found = answer(&setting.mirror, 8).await;
    assert!(
        found
            .iter()
            .all(|row| !tied.contains(&text(row, "user_id")))
    );
    assert_eq!(
        found.len(),
        living(&setting.simulator.tenant()) - tied.len()
    );

    // 9. Events of subscribers by week and type.
    let mut expected: BTreeMap<(String, String), u64> = BTreeMap::new();
    for event in setting.truth(List::UserEvents) {
        if active.contains_key(&text(&event, "user_id")) {
            let day = instant(&event, "occurred_at").expect("a time").date_naive();
            let monday = day - Days::new(u64::from(day.weekday().num_days_from_monday()));
            let key = (monday.to_string(), text(&event, "event_type"));
            *expected.entry(key).or_default() += 1;
        }
    }
    let found: BTreeMap<(String, String), u64> = answer(&setting.mirror, 9)
        .await
        .iter()
        .map(|row| ((text(row, "week"), text(row, "type")), count(row, "events")))
        .collect();
    assert!(!expected.is_empty());
    assert_eq!(found, expected);

    // 10. Every job, proven.
    let rows = answer(&setting.mirror, 10).await;
    let jobs: BTreeSet<String> = rows.iter().map(|row| text(row, "job")).collect();
    let expected = [
        "accounts", "catalog", "events", "schema", "segments", "users",
    ];
    assert_eq!(jobs, expected.map(str::to_owned).into());
    for row in &rows {
        assert_eq!(row["last_status"], "succeeded", "{row}");
        let claims = row["last_verdict"] == "proven" || row["last_verdict"] == "agreed";
        assert!(claims, "{row}");
        assert!(row["last_good_run"].is_string(), "{row}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_that_end_are_found_before_and_after() {
    let setting = Setting::new().await;
    // One person each: leaves this month, is withdrawn now, renews in time, ends soon, ends soon
    // but goes on with another grant of the product.
    let people: Vec<String> = setting
        .mirror
        .rows("select user_id from users_current order by 1 limit 5")
        .await
        .iter()
        .map(|row| row.get(0))
        .collect();
    setting.mirror.execute("truncate user_grants").await;
    let month: String = setting
        .mirror
        .value("select to_char(now() at time zone 'UTC', 'YYYY-MM-01\"T00:00:00Z\"')")
        .await;
    for (number, (person, state, end, withdrawn)) in [
        (0, "expired", format!("'{month}'"), "null"),
        (
            1,
            "active",
            "now() + interval '200 days'".to_owned(),
            "now() - interval '1 millisecond'",
        ),
        (2, "expired", format!("'{month}'"), "null"),
        (2, "active", "null".to_owned(), "null"),
        (3, "active", "now() + interval '29 days'".to_owned(), "null"),
        (4, "active", "now() + interval '3 days'".to_owned(), "null"),
        (
            4,
            "active",
            "now() + interval '300 days'".to_owned(),
            "null",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        setting
            .mirror
            .execute(&format!(
                "insert into user_grants (grant_id, user_id, entitlement_type, entitlement_id, product_id, expiry_state, start_time, end_time, \
                     _zephr_run_id, _zephr_first_seen_at, _zephr_loaded_at, _zephr_extracted_at, _zephr_deleted_at, _zephr_hash) \
                 values ('{number}', '{}', 'bundle', 'gold-bundle', 'gold', '{state}', '2020-01-01Z', {end}, gen_random_uuid(), now(), now(), now(), {withdrawn}, '')",
                people[person]
            ))
            .await;
    }
    let who = |rows: Vec<Value>| -> BTreeSet<String> {
        rows.iter().map(|row| text(row, "user_id")).collect()
    };
    assert_eq!(
        who(answer(&setting.mirror, 2).await),
        [people[0].clone(), people[1].clone()].into()
    );
    assert_eq!(
        who(answer(&setting.mirror, 7).await),
        [people[3].clone()].into()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_that_the_documentation_shows_runs() {
    let setting = Setting::new().await;
    let mut shown = 0;
    for page in pages() {
        for (heading, sql) in blocks(&page) {
            shown += 1;
            let mut connection = setting.mirror.connect().await;
            connection.execute("begin").await.expect("a transaction");
            if let Err(error) = connection.execute(AssertSqlSafe(sql)).await {
                panic!("{}, {heading}: {error}", page.display());
            }
        }
    }
    assert!(shown >= 10, "{shown}");
}
