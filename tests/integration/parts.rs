//! Servers that send a part of what there is, again and again: they do not go by the number of the
//! page, or cut off what is too much, and do not say so. What they hold back is not in the mirror,
//! and no run says that it is.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sqlx::Row;

use crate::support::scripted_zephr::{
    ACCOUNTS, ARTICLES, Canned, EVENTS, Habit, Record, SEGMENTS, Scripted, Tenant, USERS, Withholds,
};
use crate::support::{Ended, Mirror, Program};

/// Records of a page.
const RPP: &str = "20";

/// More than a page, all of one second or of none.
const CROWD: usize = 60;

/// Those beside them.
const OTHERS: usize = 100;

const ARTICLES_JOB: &str =
    "resource = 'list'\npath = '/v3/articles'\ntable = 'articles'\nkey = 'id'\npaging = 'A'\n";

const SCHEMA: &str = "/v3/schema/users";

/// A list, its job, and where it lands.
#[derive(Debug, Clone, Copy)]
struct Listed {
    job: &'static str,
    path: &'static str,
    table: &'static str,
    key: &'static str,
}

const OF_USERS: Listed = Listed {
    job: "users",
    path: USERS,
    table: "users",
    key: "user_id",
};

const OF_EVENTS: Listed = Listed {
    job: "events",
    path: EVENTS,
    table: "user_events",
    key: "event_key",
};

const OF_ACCOUNTS: Listed = Listed {
    job: "accounts",
    path: ACCOUNTS,
    table: "accounts",
    key: "account_id",
};

const OF_ARTICLES: Listed = Listed {
    job: "articles",
    path: ARTICLES,
    table: "articles",
    key: "id",
};

impl Listed {
    fn program(self, server: &Scripted, mirror: &Mirror, rpp: &str) -> Program {
        let program = server.program(mirror).with("ZEPHR_SYNC_RPP", rpp);
        if self.path == ARTICLES {
            program.job(self.job, ARTICLES_JOB)
        } else {
            program
        }
    }

    async fn mirrored(self, mirror: &Mirror) -> BTreeSet<String> {
        let sql = format!("select {} from {}", self.key, self.table);
        let rows = mirror.rows(&sql).await;
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// What is wrong with two full runs in a row: one that claims has everything, one that does not
    /// says why.
    async fn wrong(self, server: &Scripted, rpp: &str) -> (Vec<String>, bool) {
        let mirror = Mirror::new().await;
        let program = self.program(server, &mirror, rpp);
        let truth: BTreeSet<String> = server.ids(self.path).into_iter().collect();
        let (mut wrong, mut claims) = (Vec::new(), false);
        for nth in 1..=2 {
            let ended = program.run(&["sync", self.job, "--full", "--json"]).await;
            let run = last_run(&ended);
            let held = self.mirrored(&mirror).await;
            let lacks = truth.difference(&held).count();
            claims = matches!(ended.code, Some(0 | 3));
            let is_told = match ended.code {
                Some(1) => run["verdict"] == "incomplete",
                // A brake holds back whom it did not see.
                Some(4) => run["status"] == "braked" && nth > 1,
                Some(_) | None => false,
            };
            if (claims && lacks > 0) || !(claims || is_told) {
                wrong.push(format!(
                    "run {nth} ends with {:?}, lacks {lacks} of {}: {} ({}) {}",
                    ended.code,
                    truth.len(),
                    run["verdict"],
                    run["verdict_reason"],
                    run["error"]
                ));
            }
        }
        mirror.remove().await;
        (wrong, claims)
    }
}

fn last_run(ended: &Ended) -> Value {
    let document: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
    let runs = document["runs"].as_array();
    runs.and_then(|runs| runs.last().cloned())
        .unwrap_or_default()
}

/// A tenant with so many of whom no window is small enough.
fn crowded(listed: Listed, of: fn(Tenant, &str, &str, usize) -> Tenant) -> Tenant {
    let tenant = Tenant::default().with(USERS, "u", 1);
    of(
        tenant.with(listed.path, "x", OTHERS),
        listed.path,
        "c",
        CROWD,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_behind_a_page_that_comes_again_is_read_or_said_to_be_missing() {
    let server = Scripted::start(Tenant::default()).await;
    let mut wrong = Vec::new();
    for (listed, kind, of) in [
        (
            OF_USERS,
            "crowd",
            Tenant::with_crowd as fn(Tenant, &str, &str, usize) -> Tenant,
        ),
        (OF_USERS, "undated", Tenant::with_undated),
        (OF_EVENTS, "crowd", Tenant::with_crowd),
    ] {
        for habit in [Habit::SamePage, Habit::SamePageOfMany] {
            for most in [None, Some(40), Some(CROWD)] {
                server.become_honest(crowded(listed, of));
                server.has_habit(listed.path, habit);
                if let Some(most) = most {
                    server.sends_at_most(listed.path, most);
                }
                let (found, claims) = listed.wrong(&server, RPP).await;
                let name = format!("{}, {kind}, {habit:?}, at most {most:?}", listed.job);
                wrong.extend(found.into_iter().map(|words| format!("{name}: {words}")));
                // Asked for enough at once, it shows all of the second.
                let shows_all = listed.path == EVENTS && habit == Habit::SamePage && most.is_none();
                if shows_all && !claims {
                    wrong.push(format!("{name}: claims nothing"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each window by itself looks whole; those between two of them are in neither.
#[tokio::test(flavor = "multi_thread")]
async fn people_whom_the_filter_hides_at_its_ends_are_read_or_said_to_be_missing() {
    let server = Scripted::start(Tenant::default()).await;
    let mut wrong = Vec::new();
    for habit in [Withholds::FilterByDays, Withholds::FilterByDaysSilently] {
        for people in [RPP.parse().expect("a number"), 2 * CROWD, 400] {
            server.become_honest(Tenant::default().with(USERS, "u", people + 1));
            server.withholds(USERS, habit);
            let (found, _) = OF_USERS.wrong(&server, RPP).await;
            let name = format!("{habit:?}, {people} people");
            wrong.extend(found.into_iter().map(|words| format!("{name}: {words}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_between_pages_that_hold_less_than_was_asked_for_is_read() {
    let server = Scripted::start(Tenant::default()).await;
    let mut wrong = Vec::new();
    for listed in [OF_USERS, OF_EVENTS, OF_ACCOUNTS, OF_ARTICLES] {
        let tenant = Tenant::default().with(USERS, "u", 1);
        let mut tenants = vec![tenant.clone().with(listed.path, "x", 3 * OTHERS)];
        if [USERS, EVENTS].contains(&listed.path) {
            tenants.push(crowded(listed, Tenant::with_crowd));
        }
        if listed.path == USERS {
            tenants.push(crowded(listed, Tenant::with_undated));
        }
        for (nth, tenant) in tenants.into_iter().enumerate() {
            server.become_honest(tenant);
            server.withholds(listed.path, Withholds::SkipsBetweenPages);
            server.sends_at_most(listed.path, 30);
            let (found, claims) = listed.wrong(&server, "200").await;
            let name = format!("{}, tenant {nth}", listed.job);
            wrong.extend(found.into_iter().map(|words| format!("{name}: {words}")));
            if !claims {
                wrong.push(format!("{name}: claims nothing"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_page_of_more_is_not_all() {
    let server = Scripted::start(Tenant::default()).await;
    let mut wrong = Vec::new();
    for listed in [OF_USERS, OF_EVENTS] {
        let only_crowd = Tenant::default()
            .with(USERS, "u", 1)
            .with(listed.path, "x", 0);
        for (habit, tenant) in [
            (Withholds::OnePage, crowded(listed, Tenant::with_crowd)),
            (
                Withholds::OnePage,
                only_crowd.with_crowd(listed.path, "c", CROWD),
            ),
            (
                Withholds::HalfOfWhatItCounts,
                Tenant::default()
                    .with(USERS, "u", 1)
                    .with(listed.path, "x", 2 * 9),
            ),
        ] {
            server.become_honest(tenant);
            server.withholds(listed.path, habit);
            if habit == Withholds::OnePage {
                server.sends_at_most(listed.path, RPP.parse().expect("a number"));
            }
            let (found, claims) = listed.wrong(&server, RPP).await;
            let name = format!("{}, {habit:?}", listed.job);
            wrong.extend(found.into_iter().map(|words| format!("{name}: {words}")));
            if claims {
                wrong.push(format!("{name}: claims"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Counts that are wrong in the same way for everybody and for everybody with a date.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_date_is_read_whatever_is_counted() {
    let server = Scripted::start(Tenant::default()).await;
    let mut wrong = Vec::new();
    for (people, undated) in [(12, 1), (OTHERS, 4)] {
        for withholds in [Withholds::CountsTheDated, Withholds::CountsUpTo(10)] {
            let tenant = Tenant::default().with(USERS, "u", people);
            server.become_honest(tenant.with_undated(USERS, "n", undated));
            server.withholds(USERS, withholds);
            let (found, claims) = OF_USERS.wrong(&server, "5").await;
            let name = format!("{withholds:?}, {people} and {undated}");
            wrong.extend(found.into_iter().map(|words| format!("{name}: {words}")));
            if !claims {
                wrong.push(format!("{name}: claims nothing"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The same pages come for the same questions, so two passes agree whatever is on none of them.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_on_no_page_since_others_are_on_two_is_said_to_be_missing() {
    let server = Scripted::start(Tenant::default()).await;
    let mut wrong = Vec::new();
    for (listed, rpp, crowd) in [
        (OF_USERS, "2", 4),
        (OF_USERS, RPP, CROWD),
        (OF_EVENTS, RPP, CROWD),
        (OF_ACCOUNTS, "10", 25),
    ] {
        let tenant = Tenant::default()
            .with(USERS, "u", 2)
            .with(listed.path, "x", 2);
        server.become_honest(tenant.with_crowd(listed.path, "c", crowd));
        server.withholds(listed.path, Withholds::TiesByPage);
        server.sends_at_most(listed.path, rpp.parse().expect("a number"));
        let (found, _) = listed.wrong(&server, rpp).await;
        let name = format!("{}, a crowd of {crowd}", listed.job);
        wrong.extend(found.into_iter().map(|words| format!("{name}: {words}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_ends_at_half_of_what_is_counted_is_not_whole() {
    let server = Scripted::start(Tenant::default()).await;
    let tenant = Tenant::default().with(USERS, "u", 3);
    server.become_honest(tenant.with_crowd(USERS, "c", 20));
    server.withholds(USERS, Withholds::EndsAfter(10));
    server.sends_at_most(USERS, 5);
    let (wrong, claims) = OF_USERS.wrong(&server, "5").await;
    assert!(wrong.is_empty() && !claims, "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_cut_off_and_comes_again_is_not_the_list() {
    let server = Scripted::start(Tenant::default()).await;
    let mut wrong = Vec::new();
    for listed in [OF_ACCOUNTS, OF_ARTICLES] {
        let tenant = Tenant::default().with(USERS, "u", 1);
        server.become_honest(tenant.with(listed.path, "x", OTHERS));
        server.has_habit(listed.path, Habit::SamePage);
        server.sends_at_most(listed.path, 40);
        let (found, claims) = listed.wrong(&server, "200").await;
        wrong.extend(found);
        if claims {
            wrong.push(format!("{}: claims", listed.job));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_table_of_events_without_a_header_is_no_answer() {
    let tenant = Tenant::default().with(USERS, "u", 1).with(EVENTS, "e", 30);
    let server = Scripted::start(tenant).await;
    let nothing = |body: &str| Canned::json(200, body).typed("text/csv");
    for body in ["", "\n\n"] {
        let mirror = Mirror::new().await;
        let program = OF_EVENTS.program(&server, &mirror, RPP).job(
            "events",
            "resource = 'events'\nmode = 'incremental'\noverlap = '1s'\nfull_every = '7d'\n",
        );
        server.answers(EVENTS, nothing(body));
        let first = program.run(&["sync", "events", "--json"]).await.expect(1);
        assert_eq!(last_run(&first)["verdict"], "incomplete", "{first:?}");
        server.answers_rightly();
        program.run(&["sync", "events"]).await.expect(0);
        let watermark = "select watermark::text from checkpoints where job = 'events'";
        let before: String = mirror.value(watermark).await;
        server.answers(EVENTS, nothing(body));
        let silent = program.run(&["sync", "events", "--json"]).await.expect(1);
        assert_eq!(last_run(&silent)["verdict"], "incomplete", "{silent:?}");
        assert_eq!(mirror.value::<String>(watermark).await, before);
        server.answers_rightly();
        program.run(&["sync", "events"]).await.expect(0);
    }
}

/// An item whose key cannot be read may be any of those that seem to be gone.
#[tokio::test(flavor = "multi_thread")]
async fn items_that_lost_their_keys_mark_nothing_as_deleted() {
    let tenant = Tenant::default()
        .with(USERS, "u", 3)
        .with(SCHEMA, "slug", 15)
        .with(SEGMENTS, "s", 15);
    let server = Scripted::start(tenant).await;
    let mirror = Mirror::new().await;
    let program = server.program(&mirror);
    program
        .run(&["sync", "users", "schema", "segments"])
        .await
        .expect(0);
    let schema = |keys: [Value; 2]| {
        let field = |slug: Value| json!({ "slug": slug, "label": "Field", "input-type": "text" });
        let others = (2..15).map(|number| field(json!(format!("slug-{number:05}"))));
        let items: Vec<Value> = keys.into_iter().map(field).chain(others).collect();
        json!(items).to_string()
    };
    for lost in [json!(null), json!(""), json!(["a"]), json!({})] {
        server.answers(
            SCHEMA,
            Canned::json(200, &schema([lost.clone(), lost.clone()])),
        );
        for nth in 1..=3 {
            let ended = program
                .run(&["sync", "schema", "--full", "--json"])
                .await
                .expect(3);
            let run = last_run(&ended);
            assert_eq!(run["rows_tombstoned"], 0, "{lost}, run {nth}: {run}");
            assert_eq!(run["verdict"], "agreed", "{lost}, run {nth}: {run}");
        }
    }
    // Two items with one key: the mirror has one of them, and says so.
    let same = json!("slug-00000");
    let mut twice: Value = serde_json::from_str(&schema([same.clone(), same])).unwrap();
    twice[1]["label"] = json!("another one");
    server.answers(SCHEMA, Canned::json(200, &twice.to_string()));
    let ended = program
        .run(&["sync", "schema", "--full", "--json"])
        .await
        .expect(0);
    let run = last_run(&ended);
    assert_eq!(run["verdict"], "agreed", "{run}");
    let reason = run["verdict_reason"].as_str().unwrap_or_default();
    assert!(reason.contains("have the key of another one"), "{reason}");
}

/// Who is found by id stands for the API's word about the others only as long as it is asked.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_marked_by_an_api_that_begins_to_answer_404_to_everybody() {
    const SINGLE: &str = "/v3/users/{}";
    let gone = || Canned::json(404, r#"{"message":"Not Found"}"#);
    let server = Scripted::start(Tenant::default().with(USERS, "u", 300)).await;
    let mirror = Mirror::new().await;
    let program = server.program(&mirror);
    program.run(&["sync", "users"]).await.expect(0);
    let tombstones = "select count(*) from users where _zephr_deleted_at is not null";
    let ids = server.ids(USERS);
    server.hides(ids[100..106].to_vec());
    server.answers_after(SINGLE, 3, gone());
    let ended = program.run(&["sync", "users", "--full", "--json"]).await;
    let run = last_run(&ended.expect(4));
    assert_eq!(mirror.value::<i64>(tombstones).await, 0, "{run}");
    // The same where a brake is let go.
    server.answers_rightly();
    server.hides(ids[100..200].to_vec());
    let braked = last_run(
        &program
            .run(&["sync", "users", "--full", "--json"])
            .await
            .expect(4),
    );
    server.hides([]);
    server.answers_after(SINGLE, 5, gone());
    let run_id = braked["run_id"].as_str().expect("an id");
    let confirm = ["sync", "users", "--confirm-deletes", run_id, "--json"];
    let run = last_run(&program.run(&confirm).await.expect(4));
    assert_eq!(mirror.value::<i64>(tombstones).await, 0, "{run}");
    server.answers_rightly();
    program.run(&["sync", "users", "--full"]).await.expect(0);
    assert_eq!(mirror.value::<i64>(tombstones).await, 0);
}

/// The key of an event is its time, too.
#[tokio::test(flavor = "multi_thread")]
async fn two_events_of_one_id_at_two_times_are_two() {
    let at = 1_600_000_000;
    let event = |at| Record {
        id: "e".to_owned(),
        at,
    };
    let mut tenant = Tenant::default().with(USERS, "u", 1);
    tenant
        .list(EVENTS)
        .extend([event(at), event(at + 1), event(at + 1)]);
    let server = Scripted::start(tenant).await;
    let mirror = Mirror::new().await;
    let program = OF_EVENTS.program(&server, &mirror, "500");
    program.run(&["sync", "events"]).await.expect(0);
    let events = "select count(*) from user_events";
    assert_eq!(mirror.value::<i64>(events).await, 2);
}

/// What is no answer about somebody says neither that they are gone nor that they are there.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_shown_and_about_whom_nothing_is_learned_stays() {
    let server = Scripted::start(Tenant::default().with(USERS, "u", 40)).await;
    let another = r#"{"user_id":"u-00039","identifiers":{},"attributes":{}}"#;
    for (answer, marked, words) in [
        (Canned::json(410, "{}"), 1, None),
        (Canned::json(400, "{}"), 0, Some("nothing was learned")),
        (Canned::json(200, "{}"), 0, Some("nothing was learned")),
        (Canned::json(200, "null"), 0, Some("nothing was learned")),
        (
            Canned::json(200, r#"{"error":"not found","status":404}"#),
            0,
            Some("nothing was learned"),
        ),
        (Canned::json(200, another), 0, Some("nothing was learned")),
    ] {
        server.become_honest(Tenant::default().with(USERS, "u", 40));
        let mirror = Mirror::new().await;
        let program = OF_USERS.program(&server, &mirror, RPP);
        program.run(&["sync", "users", "--full"]).await.expect(0);
        server.hides(["u-00007".to_owned()]);
        server.answers("/v3/users/u-00007", answer.clone());
        let ended = program.run(&["sync", "users", "--full", "--json"]).await;
        let run = last_run(&ended.expect(0));
        assert_eq!(run["rows_tombstoned"], marked, "{answer:?}: {run}");
        let reason = run["verdict_reason"].as_str().unwrap_or_default();
        let is_told = words.is_none_or(|words| reason.contains(words));
        assert!(
            is_told && !reason.contains("exist by id"),
            "{answer:?}: {run}"
        );
        mirror.remove().await;
    }
}

/// Of two records with one id in one answer nobody knows which is right.
#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_is_twice_in_one_answer_and_differs_is_told() {
    let server = Scripted::start(Tenant::default().with(USERS, "u", 3)).await;
    for alike in [true, false] {
        server.withholds(USERS, Withholds::ShowsTwice { alike });
        let mirror = Mirror::new().await;
        let program = OF_USERS.program(&server, &mirror, RPP);
        let ended = program.run(&["sync", "users", "--full", "--json"]).await;
        let run = last_run(&ended.expect(0));
        let reason = run["verdict_reason"].as_str().unwrap_or_default();
        assert_eq!(reason.contains("differ from it"), !alike, "{run}");
        let verdict = if alike { "proven" } else { "agreed" };
        assert_eq!(run["verdict"], verdict, "{run}");
    }
}

/// Of an answer that lacks its end and counts no more than it shows, only the count of a longer time
/// tells.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_lacks_its_end_is_read_again_where_more_are_counted() {
    let server = Scripted::start(Tenant::default()).await;
    let mut wrong = Vec::new();
    for listed in [OF_USERS, OF_EVENTS] {
        let tenant = Tenant::default().with(USERS, "u", 1);
        server.become_honest(tenant.with(listed.path, "x", 3 * OTHERS));
        let mirror = Mirror::new().await;
        let program = listed.program(&server, &mirror, RPP);
        let truth: BTreeSet<String> = server.ids(listed.path).into_iter().collect();
        for nth in 1..=2 {
            server.withholds(listed.path, Withholds::EndOfOneAnswer);
            let ended = program.run(&["sync", listed.job, "--full", "--json"]).await;
            let run = last_run(&ended);
            let lacks = truth.difference(&listed.mirrored(&mirror).await).count();
            let reason = run["verdict_reason"].as_str().unwrap_or_default();
            let is_told =
                run["verdict"] == "agreed" && reason.contains("fewer people than are counted");
            if lacks > 0 || !is_told || ended.code != Some(0) {
                wrong.push(format!("{}, run {nth} lacks {lacks}: {run}", listed.job));
            }
        }
        mirror.remove().await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Pages that are chosen first and made shorter then: what follows a short one is not nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_page_is_the_last_one_only_where_nothing_follows() {
    let server = Scripted::start(Tenant::default()).await;
    let mut wrong = Vec::new();
    for listed in [OF_USERS, OF_EVENTS] {
        for withholds in [
            Withholds::EndsOfPages { counted: true },
            Withholds::EndsOfPages { counted: false },
            Withholds::HiddenFromPages,
        ] {
            let tenant = Tenant::default().with(USERS, "u", 1);
            server.become_honest(tenant.with(listed.path, "x", OTHERS));
            if withholds == Withholds::HiddenFromPages {
                let every_seventh = (0..OTHERS).step_by(7);
                server.hides(every_seventh.map(|number| format!("x-{number:05}")));
            }
            server.withholds(listed.path, withholds);
            let (found, claims) = listed.wrong(&server, "10").await;
            let name = format!("{}, {withholds:?}", listed.job);
            wrong.extend(found.into_iter().map(|words| format!("{name}: {words}")));
            // Where pages end anywhere and nothing is counted, it may be told that nobody knows.
            if !claims && withholds != (Withholds::EndsOfPages { counted: false }) {
                wrong.push(format!("{name}: claims nothing"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_behind_all_that_are_counted_is_read() {
    let server = Scripted::start(Tenant::default()).await;
    let mut wrong = Vec::new();
    for (people, undated) in [(60, 3), (62, 1)] {
        let tenant = Tenant::default().with(USERS, "u", people);
        server.become_honest(tenant.with_undated(USERS, "n", undated));
        server.withholds(USERS, Withholds::CountsTheDatedFirst);
        let (found, claims) = OF_USERS.wrong(&server, "10").await;
        wrong.extend(found);
        if !claims {
            wrong.push(format!("{people} and {undated}: claims nothing"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_behind_the_last_one_may_be_refused() {
    let server = Scripted::start(Tenant::default()).await;
    for listed in [OF_USERS, OF_EVENTS] {
        let tenant = Tenant::default().with(USERS, "u", 1);
        for tenant in [
            tenant.clone().with(listed.path, "x", 9),
            tenant.with(listed.path, "x", OTHERS),
        ] {
            server.become_honest(tenant);
            server.withholds(listed.path, Withholds::RefusesPagesBehindTheLast);
            let (wrong, claims) = listed.wrong(&server, RPP).await;
            assert!(wrong.is_empty() && claims, "{}: {wrong:?}", listed.job);
        }
    }
}

/// A server that takes the path apart after it has decoded it finds nobody of this name.
#[tokio::test(flavor = "multi_thread")]
async fn a_404_for_an_id_with_a_slash_marks_nobody() {
    let server = Scripted::start(Tenant::default()).await;
    for listed in [OF_USERS, OF_ACCOUNTS] {
        let mut tenant = Tenant::default()
            .with(USERS, "u", 1)
            .with(listed.path, "x", 40);
        tenant.list(listed.path)[7].id = "a/b".to_owned();
        server.become_honest(tenant);
        let mirror = Mirror::new().await;
        let program = listed.program(&server, &mirror, RPP);
        let sync = ["sync", listed.job, "--full", "--json"];
        program.run(&sync).await.expect(0);
        server.hides(["a/b".to_owned()]);
        let run = last_run(&program.run(&sync).await.expect(0));
        assert_eq!(run["rows_tombstoned"], 0, "{}: {run}", listed.job);
        assert_eq!(run["verdict"], "agreed", "{}: {run}", listed.job);
        mirror.remove().await;
    }
}

/// What comes for one account and is another one says nothing about either.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_answered_with_another_one_stays_and_is_told() {
    let server = Scripted::start(Tenant::default().with(ACCOUNTS, "x", 12)).await;
    let mirror = Mirror::new().await;
    let program = OF_ACCOUNTS.program(&server, &mirror, RPP);
    let sync = ["sync", "accounts", "--full", "--json"];
    program.run(&sync).await.expect(0);
    let names =
        "select string_agg(account_id || ' ' || name, ', ' order by account_id) from accounts";
    let before: String = mirror.value(names).await;
    let another = r#"{"account_id":"x-00002","name":"WRONG","number_of_seats":1}"#;
    server.answers("/v3/accounts/x-00001", Canned::json(200, another));
    let run = last_run(&program.run(&sync).await.expect(1));
    assert_eq!(run["verdict"], "incomplete", "{run}");
    assert_eq!(mirror.value::<String>(names).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn results_beside_an_error_are_asked_for_again() {
    let server = Scripted::start(Tenant::default()).await;
    for (path, job, body) in [
        (USERS, "users", r#"{"results":[[]],"error":{"code":504}}"#),
        (
            EVENTS,
            "events",
            r#"{"results":[],"errors":["upstream timed out"]}"#,
        ),
        (
            ACCOUNTS,
            "accounts",
            r#"{"results":[],"total":0,"error":"timeout"}"#,
        ),
    ] {
        server.become_honest(Tenant::default().with(path, "x", 12));
        let mirror = Mirror::new().await;
        let program = server.program(&mirror);
        server.answers_next(path, 1, Canned::json(200, body));
        let run = last_run(&program.run(&["sync", job, "--json"]).await.expect(0));
        assert_eq!(run["rows_inserted"], 12, "{job}: {run}");
        assert_eq!(run["retries"], 1, "{job}: {run}");
        mirror.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_shows_nobody_proves_nothing() {
    let server = Scripted::start(Tenant::default().with(USERS, "u", 0).with(EVENTS, "e", 0)).await;
    let mirror = Mirror::new().await;
    for job in ["users", "events"] {
        let program = server.program(&mirror);
        let run = last_run(&program.run(&["sync", job, "--json"]).await.expect(0));
        assert_eq!(run["verdict"], "agreed", "{job}: {run}");
    }
}

/// Where events have no identifiers, one that is written otherwise is another one.
#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_written_otherwise_than_before_are_no_proof() {
    let server = Scripted::start(Tenant::default().with(EVENTS, "e", 40)).await;
    let without_id = |item: &mut Value| {
        if let Some(fields) = item.as_object_mut() {
            fields.remove("event_id");
        }
    };
    server.sends(EVENTS, without_id);
    let mirror = Mirror::new().await;
    let program = server.program(&mirror);
    let full = ["sync", "events", "--full", "--json"];
    for _ in 0..2 {
        let run = last_run(&program.run(&full).await.expect(0));
        assert_eq!(run["verdict"], "proven", "{run}");
    }
    server.sends(EVENTS, |item| {
        if let Some(fields) = item.as_object_mut() {
            fields.remove("event_id");
        }
        item["device"] = "phone".into();
    });
    let run = last_run(&program.run(&full).await.expect(0));
    assert_eq!(run["verdict"], "agreed", "{run}");
    let reason = run["verdict_reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains("writes events otherwise than before"),
        "{reason}"
    );
}
