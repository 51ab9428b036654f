//! Answers that are no lists, or empty ones, in the place of right ones: for each list that is
//! read, after a good run, once and again. Nothing is marked as deleted because of them but what
//! two runs in a row missed and nobody can be asked about; the typed view stays; the run says what
//! came from where.

use serde_json::Value;
use sqlx::Row;

use crate::support::scripted_zephr::{
    ACCOUNTS, ARTICLES, AUTHORS, Canned, EVENTS, SEGMENTS, Scripted, Tenant, USERS,
};
use crate::support::{Ended, Mirror, Program};

const SCHEMA: &str = "/v3/schema/users";
const MEMBERS: &str = "/v3/accounts/{}/users";
const GRANTS: &str = "/v3/accounts/{}/grants";
const USER_SEGMENTS: &str = "/v4/users/{}/segments";
const SESSIONS: &str = "/v3/users/{}/sessions";
const WEBHOOKS: &str = "/v3/webhooks";

const CATALOG: [&str; 6] = [
    "/v3/companies",
    "/v3/products",
    "/v3/bundles",
    "/v3/entitlements",
    "/v3/meters",
    "/v3/credits",
];

/// Rows in the mirror: one, which is never braked; within the allowance of ten; just beyond it;
/// many.
const SIZES: [usize; 4] = [1, 8, 11, 40];

/// The size for answers in which the number of rows makes no difference.
const ANY_SIZE: usize = 11;

/// What an answer with no items means for a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Its reference has no 404, and its items cannot be asked for by id.
    List,
    /// Its reference has no 404, and its items can be asked for by id.
    ById,
    /// Its reference says that 404 means none.
    NoneBy404,
    /// The members or grants of an account.
    OfAccount,
    /// A single account that the list shows.
    Detail,
    /// Nothing of it is ever marked as deleted.
    Events,
}

/// A list, and the job that reads it.
#[derive(Debug, Clone, Copy)]
struct Listed {
    job: &'static str,
    path: &'static str,
    table: &'static str,
    kind: Kind,
    /// What the job needs to be there.
    before: &'static [&'static str],
    /// The job file, where it is not built in.
    file: Option<&'static str>,
}

const BUILT_IN: Listed = Listed {
    job: "",
    path: "",
    table: "",
    kind: Kind::List,
    before: &[],
    file: None,
};

const fn of_catalog(path: &'static str, table: &'static str) -> Listed {
    Listed {
        job: "catalog",
        path,
        table,
        ..BUILT_IN
    }
}

const OF_USERS: Listed = Listed {
    job: "users",
    path: USERS,
    table: "users",
    kind: Kind::ById,
    ..BUILT_IN
};

const OF_SCHEMA: Listed = Listed {
    job: "schema",
    path: SCHEMA,
    table: "user_schema",
    before: &["users"],
    ..BUILT_IN
};

const OF_ACCOUNTS: Listed = Listed {
    job: "accounts",
    path: ACCOUNTS,
    table: "accounts",
    kind: Kind::ById,
    ..BUILT_IN
};

const DETAILS: Listed = Listed {
    path: "/v3/accounts/{}",
    kind: Kind::Detail,
    ..OF_ACCOUNTS
};

const OF_MEMBERS: Listed = Listed {
    path: MEMBERS,
    table: "account_users",
    kind: Kind::OfAccount,
    ..OF_ACCOUNTS
};

const OF_GRANTS: Listed = Listed {
    path: GRANTS,
    table: "account_grants",
    kind: Kind::OfAccount,
    ..OF_ACCOUNTS
};

const OF_SEGMENTS: Listed = Listed {
    job: "segments",
    path: SEGMENTS,
    table: "segments",
    kind: Kind::NoneBy404,
    before: &["users"],
    ..BUILT_IN
};

const MEMBERSHIPS: Listed = Listed {
    path: USER_SEGMENTS,
    table: "user_segments",
    ..OF_SEGMENTS
};

const UNPAGED: Listed = Listed {
    job: "hooks",
    path: WEBHOOKS,
    table: "hooks",
    file: Some(
        "resource = 'list'\npath = '/v3/webhooks'\ntable = 'hooks'\nkey = 'webhook_id'\ncolumns = { label = 'text' }\n",
    ),
    ..BUILT_IN
};

const PAGED_A: Listed = Listed {
    job: "articles",
    path: ARTICLES,
    table: "articles",
    file: Some(
        "resource = 'list'\npath = '/v3/articles'\ntable = 'articles'\nkey = 'id'\npaging = 'A'\n",
    ),
    ..BUILT_IN
};

const PAGED_B: Listed = Listed {
    job: "authors",
    path: AUTHORS,
    table: "authors",
    file: Some(
        "resource = 'list'\npath = '/v3/authors'\ntable = 'authors'\nkey = 'id'\npaging = 'B'\n",
    ),
    ..BUILT_IN
};

const OF_SESSIONS: Listed = Listed {
    job: "user-sessions",
    path: SESSIONS,
    table: "user_sessions",
    kind: Kind::NoneBy404,
    before: &["users"],
    file: Some(
        "resource = 'list'\npath = '/v3/users/{user_id}/sessions'\nfor_each = 'users'\ntable = 'user_sessions'\nkey = 'session_id'\n",
    ),
};

const OF_EVENTS: Listed = Listed {
    job: "events",
    path: EVENTS,
    table: "user_events",
    kind: Kind::Events,
    ..BUILT_IN
};

impl Listed {
    /// A tenant with so many rows of it. What is told one parent at a time is told of as many
    /// parents, and of three that have none where there are fewer.
    fn tenant(&self, rows: usize) -> Tenant {
        let mut tenant = CATALOG
            .iter()
            .chain(&[SCHEMA, SEGMENTS, EVENTS, ACCOUNTS, WEBHOOKS])
            .chain(&[ARTICLES, AUTHORS])
            .fold(Tenant::default(), |tenant, path| tenant.with(path, "", 0))
            .with(USERS, "u", 3);
        if self.path == SCHEMA {
            return tenant.with(SCHEMA, "slug", rows);
        }
        let Some((before, after)) = self.path.split_once("{}") else {
            return tenant.with(self.path, "x", rows);
        };
        let (parents, prefix) = if before == "/v3/accounts/" {
            (ACCOUNTS, "a")
        } else {
            (USERS, "u")
        };
        tenant = tenant.with(parents, prefix, rows.max(3));
        for parent in tenant.ids(parents).into_iter().take(rows) {
            let below = format!("{before}{parent}{after}");
            if !after.is_empty() {
                tenant = tenant.with(&below, &format!("of-{parent}"), 1);
            }
        }
        tenant
    }

    /// The path as people are told it.
    fn shown(&self) -> String {
        self.path.replace("{}", "{id}")
    }

    fn program(&self, server: &Scripted, mirror: &Mirror) -> Program {
        let program = server.program(mirror);
        match self.file {
            Some(file) => program.job(self.job, file),
            None => program,
        }
    }

    /// A mirror of that tenant after a good run.
    async fn loaded(&self, server: &Scripted, rows: usize) -> Mirror {
        server.become_honest(self.tenant(rows));
        let mirror = Mirror::new().await;
        let program = self.program(server, &mirror);
        for job in self.before {
            program.run(&["sync", job]).await.expect(0);
        }
        program.run(&["sync", self.job, "--full"]).await.expect(0);
        mirror
    }

    async fn marked(&self, mirror: &Mirror) -> i64 {
        let column = format!(
            "select count(*) from {} where _zephr_deleted_at is not null",
            self.table
        );
        match self.kind {
            Kind::Events => 0,
            Kind::List | Kind::ById | Kind::NoneBy404 | Kind::OfAccount | Kind::Detail => {
                mirror.value(&column).await
            }
        }
    }
}

/// An answer in the place of the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    NotFound,
    Forbidden,
    Refused,
    EmptyObject,
    Null,
    EmptyArray,
    NoResults,
    NoItems,
    EmptyBody,
    Html,
}

/// Those that are not asked for again.
const AT_ONCE: [Answer; 8] = [
    Answer::NotFound,
    Answer::EmptyArray,
    Answer::Forbidden,
    Answer::Refused,
    Answer::EmptyObject,
    Answer::Null,
    Answer::NoResults,
    Answer::NoItems,
];

/// What a run makes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    /// It is not the list.
    Failure,
    /// There is nothing there, says something that may not be the list.
    NotFound,
    /// The list is empty.
    Nothing,
}

impl Answer {
    fn canned(self) -> Canned {
        let html = "<!DOCTYPE html><html><title>One moment</title></html>";
        match self {
            Self::NotFound => Canned::json(404, r#"{"message":"Not Found"}"#),
            Self::Forbidden => Canned::json(403, r#"{"message":"Forbidden"}"#),
            Self::Refused => Canned::json(400, r#"{"message":"Bad Request"}"#),
            Self::EmptyObject => Canned::json(200, "{}"),
            Self::Null => Canned::json(200, "null"),
            Self::EmptyArray => Canned::json(200, "[]"),
            Self::NoResults => Canned::json(200, r#"{"results":[]}"#),
            Self::NoItems => Canned::json(200, r#"{"items":[]}"#),
            Self::EmptyBody => Canned::json(200, ""),
            Self::Html => Canned::json(200, html).typed("text/html"),
        }
    }

    /// Whether the rows in the mirror make a difference.
    fn goes_by_rows(self) -> bool {
        matches!(self, Self::NotFound | Self::EmptyArray)
    }

    fn means(self, kind: Kind) -> Means {
        match (self, kind) {
            (
                Self::Forbidden
                | Self::Refused
                | Self::EmptyObject
                | Self::Null
                | Self::EmptyBody
                | Self::Html,
                _,
            ) => Means::Failure,
            (Self::NotFound, Kind::NoneBy404 | Kind::OfAccount) => Means::Nothing,
            (Self::NotFound, Kind::List | Kind::ById | Kind::Detail | Kind::Events) => {
                Means::NotFound
            }
            (Self::EmptyArray | Self::NoResults | Self::NoItems, Kind::Detail) => Means::Failure,
            (Self::EmptyArray | Self::NoResults | Self::NoItems, _) => Means::Nothing,
        }
    }
}

/// How a run is to end.
#[derive(Debug)]
struct Expected {
    codes: &'static [i32],
    /// None where the run failed before there was one.
    verdicts: &'static [Option<&'static str>],
    /// Rows marked as deleted when it has ended.
    marked: i64,
    says: Vec<String>,
}

const NOT_PROVEN: &[Option<&str>] = &[Some("agreed"), Some("incomplete"), Some("partial")];

/// Something is not settled yet.
const UNSETTLED: &[Option<&str>] = &[Some("agreed"), Some("partial")];

impl Expected {
    /// Nothing can be said about a list that something else answered for; the run says which, and
    /// fails.
    fn not_found(listed: &Listed) -> Self {
        Self {
            codes: &[1],
            verdicts: &[None, Some("incomplete")],
            marked: 0,
            says: vec![listed.shown(), "404".into()],
        }
    }

    /// After so many runs in a row that got this answer.
    fn of(listed: &Listed, answer: Answer, rows: usize, nth: usize) -> Self {
        let ends = |codes, verdicts| Self {
            codes,
            verdicts,
            marked: 0,
            says: Vec::new(),
        };
        let is_export = matches!(listed.path, USERS | EVENTS);
        match answer.means(listed.kind) {
            // An export is documented with `results`, and other names may be refused.
            Means::Nothing if answer == Answer::NoItems && is_export => ends(
                &[0, 1, 4],
                &[None, Some("agreed"), Some("incomplete"), Some("partial")],
            ),
            Means::Failure => Self {
                says: vec![listed.shown()],
                ..ends(&[1], &[None, Some("incomplete")])
            },
            Means::NotFound => Self::not_found(listed),
            Means::Nothing => match listed.kind {
                Kind::Events => ends(&[0, 1, 4], NOT_PROVEN),
                // It is there by id.
                Kind::ById if rows == 1 => ends(&[0], UNSETTLED),
                Kind::List | Kind::NoneBy404 | Kind::OfAccount if rows == 1 => Self {
                    marked: i64::from(nth > 1),
                    ..ends(&[0], UNSETTLED)
                },
                Kind::List | Kind::ById | Kind::NoneBy404 | Kind::OfAccount | Kind::Detail => {
                    Self {
                        says: vec!["--confirm-deletes".into()],
                        ..ends(&[4], NOT_PROVEN)
                    }
                }
            },
        }
    }

    /// What is wrong with a run, in one line; none when it is as designed.
    fn differs(&self, ended: &Ended, marked: i64) -> Option<String> {
        let run = run_of(ended);
        let verdict = run["verdict"].as_str();
        let mut wrong = Vec::new();
        if !self.codes.iter().any(|code| Some(*code) == ended.code) {
            wrong.push(format!("exit code not one of {:?}", self.codes));
        }
        if !self.verdicts.contains(&verdict) {
            wrong.push(format!("verdict not one of {:?}", self.verdicts));
        }
        if marked != self.marked {
            wrong.push(format!("{marked} marked and not {}", self.marked));
        }
        for words in &self.says {
            if !ended.stdout.contains(words) && !ended.stderr.contains(words) {
                wrong.push(format!("does not say `{words}`"));
            }
        }
        (!wrong.is_empty()).then(|| format!("{}: {}", wrong.join(", "), told(ended)))
    }
}

/// The record of the last run of a command; null where it tells no run.
fn run_of(ended: &Ended) -> Value {
    let document: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
    let runs = document["runs"].as_array();
    runs.and_then(|runs| runs.last().cloned())
        .unwrap_or_default()
}

/// What a command told, in short.
fn told(ended: &Ended) -> String {
    let run = run_of(ended);
    if run.is_null() {
        return format!("{ended:?}");
    }
    format!(
        "exit {}, {} {} ({}), {} tombstoned, error {}",
        ended.code.unwrap_or(-1),
        run["status"],
        run["verdict"],
        run["verdict_reason"],
        run["rows_tombstoned"],
        run["error"],
    )
}

/// What a table or view holds, as a hash.
async fn content(mirror: &Mirror, relation: &str) -> String {
    let sql = format!(
        "select count(*) || ' ' || coalesce(md5(string_agg(to_jsonb(t)::text, ' ' order by to_jsonb(t)::text)), '') from {relation} t"
    );
    mirror.value(&sql).await
}

/// What analysts see of a job: its tables, and the typed view.
async fn seen(mirror: &Mirror, listed: &Listed) -> String {
    let relations: &[&str] = match listed.job {
        "accounts" => &["accounts", "account_users", "account_grants"],
        "segments" => &["segments", "user_segments"],
        "schema" => &["user_schema", "user_attributes"],
        _ => &[listed.table],
    };
    let mut seen = Vec::new();
    for relation in relations {
        seen.push(content(mirror, relation).await);
    }
    seen.join(", ")
}

/// Goes through all answers for one list.
async fn stands(listed: Listed, answers: &[Answer], sizes: &[usize]) {
    let server = Scripted::start(Tenant::default()).await;
    let mut wrong = Vec::new();
    for rows in sizes {
        let loaded = listed.loaded(&server, *rows).await;
        let before = seen(&loaded, &listed).await;
        for answer in answers {
            if !answer.goes_by_rows() && *rows != ANY_SIZE {
                continue;
            }
            let mirror = loaded.copy().await;
            server.become_honest(listed.tenant(*rows));
            server.answers(listed.path, answer.canned());
            let found = twice(&listed, &server, &mirror, *answer, *rows, &before).await;
            mirror.remove().await;
            wrong.extend(
                found
                    .into_iter()
                    .map(|wrong| format!("{answer:?}, {rows} rows, {wrong}")),
            );
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", listed.path, wrong.join("\n"));
}

/// Two runs in a row that get an answer, and what is wrong with them; then an honest one.
async fn twice(
    listed: &Listed,
    server: &Scripted,
    mirror: &Mirror,
    answer: Answer,
    rows: usize,
    before: &str,
) -> Vec<String> {
    let program = listed.program(server, mirror);
    let full = ["sync", listed.job, "--full", "--json"];
    let mut wrong = Vec::new();
    let mut braked = None;
    for nth in 1..=2 {
        let ended = program.run(&full).await;
        let expected = Expected::of(listed, answer, rows, nth);
        let marked = listed.marked(mirror).await;
        // The members of all accounts may be gone, or something else may have answered: a run may
        // take it for either, and not for both.
        let is_not_found = answer == Answer::NotFound
            && listed.kind == Kind::OfAccount
            && Expected::not_found(listed)
                .differs(&ended, marked)
                .is_none();
        if let Some(differs) = expected.differs(&ended, marked)
            && !is_not_found
        {
            wrong.push(format!("run {nth}: {differs}"));
        }
        if expected.marked == 0 && seen(mirror, listed).await != *before {
            wrong.push(format!("run {nth}: what analysts see has changed"));
        }
        if ended.code == Some(4) {
            braked = run_of(&ended)["run_id"].as_str().map(str::to_owned);
        }
    }
    let is_confirmed = match listed.kind {
        Kind::List | Kind::NoneBy404 | Kind::OfAccount => rows == 40,
        Kind::ById | Kind::Detail | Kind::Events => false,
    };
    match braked {
        Some(run) if is_confirmed => {
            let confirm = ["sync", listed.job, "--confirm-deletes", &run, "--json"];
            let ended = program.run(&confirm).await;
            let marked = listed.marked(mirror).await;
            if ended.code != Some(0) || marked != rows as i64 {
                wrong.push(format!("confirmed: {marked} marked: {}", told(&ended)));
            }
        }
        Some(_) | None => {
            server.answers_rightly();
            let ended = program.run(&full).await;
            let living = listed.marked(mirror).await == 0;
            if ended.code != Some(0) || !living {
                wrong.push(format!("a good run after them: {}", told(&ended)));
            }
        }
    }
    wrong
}

/// The same where the mirror holds nothing: 404 says nothing about it unless that is what the
/// reference says, and an empty list is an empty list.
async fn stands_empty(listed: Listed) {
    let server = Scripted::start(Tenant::default()).await;
    let loaded = listed.loaded(&server, 0).await;
    let mut wrong = Vec::new();
    for answer in [Answer::NotFound, Answer::EmptyArray] {
        let mirror = loaded.copy().await;
        server.answers(listed.path, answer.canned());
        let program = listed.program(&server, &mirror);
        let ended = program.run(&["sync", listed.job, "--full", "--json"]).await;
        let expected = match (answer.means(listed.kind), listed.kind) {
            // All accounts answer so, and nothing says that they would answer otherwise if there
            // were something.
            (Means::Nothing, Kind::OfAccount) if answer == Answer::NotFound => {
                Expected::not_found(&listed)
            }
            (Means::Nothing, Kind::NoneBy404) if answer == Answer::NotFound => Expected {
                codes: &[0],
                verdicts: &[Some("agreed")],
                marked: 0,
                says: Vec::new(),
            },
            (Means::Nothing, _) => Expected {
                codes: &[0],
                verdicts: &[Some("proven"), Some("agreed")],
                marked: 0,
                says: Vec::new(),
            },
            (Means::NotFound | Means::Failure, _) => Expected::not_found(&listed),
        };
        let marked = listed.marked(&mirror).await;
        if let Some(differs) = expected.differs(&ended, marked) {
            wrong.push(format!("{answer:?}: {differs}"));
        }
        server.answers_rightly();
    }
    assert!(wrong.is_empty(), "{}\n{}", listed.path, wrong.join("\n"));
}

/// Tests of each list: with rows in the mirror, and without.
macro_rules! lists {
    ($($name:ident => $listed:expr),+ $(,)?) => {
        $(
            mod $name {
                use super::*;

                #[tokio::test(flavor = "multi_thread")]
                async fn stays_as_it_was() {
                    stands($listed, &AT_ONCE, &SIZES).await;
                }

                #[tokio::test(flavor = "multi_thread")]
                async fn is_empty_only_where_something_says_so() {
                    stands_empty($listed).await;
                }
            }
        )+
    };
}

lists! {
    users => OF_USERS,
    companies => of_catalog("/v3/companies", "companies"),
    products => of_catalog("/v3/products", "products"),
    bundles => of_catalog("/v3/bundles", "bundles"),
    entitlements => of_catalog("/v3/entitlements", "entitlements"),
    meters => of_catalog("/v3/meters", "meters"),
    credits => of_catalog("/v3/credits", "credits"),
    user_schema => OF_SCHEMA,
    accounts => OF_ACCOUNTS,
    account_members => OF_MEMBERS,
    account_grants => OF_GRANTS,
    segments => OF_SEGMENTS,
    user_segments => MEMBERSHIPS,
    unpaged_list => UNPAGED,
    list_paged_as_exports => PAGED_A,
    list_paged_as_accounts => PAGED_B,
    list_below_users => OF_SESSIONS,
    events => OF_EVENTS,
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_that_are_listed_and_not_found_by_id_stay_as_they_are() {
    stands(DETAILS, &AT_ONCE, &SIZES).await;
}

/// A page of HTML and nothing at all are asked for again, up to ten times with pauses that grow, so
/// that this takes minutes.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn what_is_no_json_leaves_everything_as_it_was() {
    let lists = [
        OF_USERS,
        of_catalog("/v3/companies", "companies"),
        of_catalog("/v3/products", "products"),
        of_catalog("/v3/credits", "credits"),
        OF_SCHEMA,
        OF_ACCOUNTS,
        DETAILS,
        OF_MEMBERS,
        OF_GRANTS,
        OF_SEGMENTS,
        MEMBERSHIPS,
        UNPAGED,
        PAGED_A,
        PAGED_B,
        OF_SESSIONS,
        OF_EVENTS,
    ];
    let mut under_way = tokio::task::JoinSet::new();
    for listed in lists {
        for answer in [Answer::EmptyBody, Answer::Html] {
            under_way.spawn(async move { stands(listed, &[answer], &[ANY_SIZE]).await });
        }
    }
    let mut wrong = Vec::new();
    while let Some(done) = under_way.join_next().await {
        if let Err(panic) = done {
            wrong.push(panic.to_string());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An export that answers nothing, for so many runs in a row.
async fn export_without_users(users: usize, runs: usize) {
    let server = Scripted::start(Tenant::default()).await;
    let tenant = Tenant::default().with(USERS, "u", users);
    server.become_honest(tenant.clone());
    let loaded = Mirror::new().await;
    let program = server.program(&loaded);
    program.run(&["sync", "users"]).await.expect(0);
    for body in ["[]", r#"{"results":[]}"#] {
        let mirror = loaded.copy().await;
        let program = server.program(&mirror);
        server.answers(USERS, Canned::json(200, body));
        for nth in 1..=runs {
            let ended = program.run(&["sync", "users", "--full", "--json"]).await;
            let run = run_of(&ended);
            assert_eq!(ended.code, Some(4), "{body}, run {nth}: {}", told(&ended));
            assert_ne!(run["verdict"], "proven", "{body}, run {nth}: {run}");
            assert_eq!(OF_USERS.marked(&mirror).await, 0, "{body}, run {nth}");
        }
        server.answers_rightly();
        let ended = program.run(&["sync", "users", "--full", "--json"]).await;
        assert_eq!(ended.code, Some(0), "{}", told(&ended));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_users_are_not_gone_because_the_export_is_empty() {
    export_without_users(200, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_users_are_not_gone_because_the_export_is_empty() {
    export_without_users(5, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_who_are_all_gone_are_marked_when_somebody_confirms_it() {
    let server = Scripted::start(Tenant::default().with(USERS, "u", 5)).await;
    let mirror = Mirror::new().await;
    let program = server.program(&mirror);
    program.run(&["sync", "users"]).await.expect(0);
    server.change(|tenant| tenant.list(USERS).clear());
    let mut run = Value::Null;
    for nth in 1..=3 {
        let ended = program.run(&["sync", "users", "--full", "--json"]).await;
        run = run_of(&ended);
        assert_eq!(ended.code, Some(4), "run {nth}: {}", told(&ended));
        assert_ne!(run["verdict"], "proven", "run {nth}: {run}");
        assert_eq!(OF_USERS.marked(&mirror).await, 0, "run {nth}");
    }
    let run = run["run_id"].as_str().expect("an id");
    let ended = program
        .run(&["sync", "users", "--confirm-deletes", run, "--json"])
        .await;
    assert_eq!(ended.code, Some(0), "{}", told(&ended));
    assert_eq!(OF_USERS.marked(&mirror).await, 5);
}

/// A user schema of twelve fields after a good run.
async fn twelve_fields() -> (Scripted, Mirror, Program) {
    let server = Scripted::start(Tenant::default()).await;
    let mirror = OF_SCHEMA.loaded(&server, 12).await;
    let program = OF_SCHEMA.program(&server, &mirror);
    (server, mirror, program)
}

/// The first of the fields, in an envelope that says something of itself.
fn three_fields(more: &str) -> Canned {
    let fields = (0..3).map(|number| {
        serde_json::json!({ "slug": format!("slug-{number:05}"), "label": format!("Field slug-{number:05}"), "input-type": "text", "required": false, "form-use": true })
    });
    let fields = Value::Array(fields.collect());
    Canned::json(200, &format!(r#"{{"results":{fields}{more}}}"#))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_answer_says_of_itself_counts() {
    let (server, mirror, program) = twelve_fields().await;
    let before = seen(&mirror, &OF_SCHEMA).await;
    for more in [
        r#","total":12"#,
        r#","meta":{"count":12}"#,
        r#","links":{"next":{"url":"https://example.com?page=2","page":2}}"#,
    ] {
        server.answers(SCHEMA, three_fields(more));
        for nth in 1..=2 {
            let ended = program.run(&["sync", "schema", "--json"]).await;
            let run = run_of(&ended);
            assert_eq!(ended.code, Some(1), "{more}, run {nth}: {}", told(&ended));
            assert_eq!(run["verdict"], "incomplete", "{more}, run {nth}: {run}");
            assert_eq!(seen(&mirror, &OF_SCHEMA).await, before, "{more}, run {nth}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_turns_out_to_have_pages_is_read_to_its_end() {
    for (listed, rows) in [(OF_SCHEMA, 12), (UNPAGED, 40), (OF_SEGMENTS, 12)] {
        let server = Scripted::start(Tenant::default()).await;
        let mirror = listed.loaded(&server, rows).await;
        let before = seen(&mirror, &listed).await;
        server.pages_of(listed.path, 3);
        server.forget_what_was_asked();
        let program = listed.program(&server, &mirror);
        let ended = program.run(&["sync", listed.job, "--full", "--json"]).await;
        assert_eq!(ended.code, Some(0), "{}: {}", listed.path, told(&ended));
        assert_eq!(seen(&mirror, &listed).await, before, "{}", listed.path);
        let asked = server.asked(listed.path);
        assert!(asked >= rows as u64 / 3, "{}: {asked}", listed.path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_run_missed_is_gone_when_the_next_misses_it_too() {
    let (server, mirror, program) = twelve_fields().await;
    server.answers(SCHEMA, three_fields(""));
    let first = program.run(&["sync", "schema", "--json"]).await;
    assert_eq!(first.code, Some(0), "{}", told(&first));
    assert_eq!(OF_SCHEMA.marked(&mirror).await, 0, "{}", told(&first));
    let second = program.run(&["sync", "schema", "--json"]).await;
    assert_eq!(second.code, Some(0), "{}", told(&second));
    assert_eq!(OF_SCHEMA.marked(&mirror).await, 9, "{}", told(&second));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_run_between_two_that_missed_something_begins_anew() {
    let (server, mirror, program) = twelve_fields().await;
    for _ in 0..2 {
        server.answers_next(SCHEMA, 1_000, three_fields(""));
        program.run(&["sync", "schema"]).await.expect(0);
        server.answers_rightly();
        program.run(&["sync", "schema"]).await.expect(0);
        assert_eq!(OF_SCHEMA.marked(&mirror).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brake_holds_however_many_runs_come() {
    let server = Scripted::start(Tenant::default()).await;
    let mirror = OF_SCHEMA.loaded(&server, 40).await;
    let before = seen(&mirror, &OF_SCHEMA).await;
    server.answers(SCHEMA, three_fields(""));
    let program = OF_SCHEMA.program(&server, &mirror);
    for nth in 1..=5 {
        let ended = program.run(&["sync", "schema", "--json"]).await;
        assert_eq!(ended.code, Some(4), "run {nth}: {}", told(&ended));
        assert_eq!(seen(&mirror, &OF_SCHEMA).await, before, "run {nth}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memberships_that_seem_to_be_gone_all_at_once_stay_night_after_night() {
    let server = Scripted::start(Tenant::default()).await;
    let mirror = MEMBERSHIPS.loaded(&server, 33).await;
    server.answers(USER_SEGMENTS, Answer::NotFound.canned());
    let program = MEMBERSHIPS.program(&server, &mirror);
    for night in 1..=5 {
        let ended = program.run(&["sync", "segments", "--json"]).await;
        let run = run_of(&ended);
        assert_eq!(ended.code, Some(4), "night {night}: {}", told(&ended));
        assert_eq!(run["status"], "braked", "night {night}: {run}");
        assert_eq!(run["rows_tombstoned"], 0, "night {night}: {run}");
        assert_eq!(MEMBERSHIPS.marked(&mirror).await, 0, "night {night}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_is_not_through_says_how_much_is_left() {
    let server = Scripted::start(Tenant::default()).await;
    server.become_honest(MEMBERSHIPS.tenant(200));
    let mirror = Mirror::new().await;
    let job = "resource = 'segments'\nmode = 'incremental'\nbudget = 20\nfull_every = 'never'\n";
    let program = server.program(&mirror).job("segments", job);
    program.run(&["sync", "users"]).await.expect(0);
    for night in 1..=11 {
        let ended = program.run(&["sync", "segments", "--json"]).await.expect(0);
        let run = run_of(&ended);
        let left = 200 - 20 * night;
        let reason = run["verdict_reason"].as_str().unwrap_or_default();
        if left > 0 {
            assert_eq!(run["verdict"], "partial", "night {night}: {run}");
            assert!(reason.contains(&left.to_string()), "night {night}: {run}");
        } else {
            let verdict = run["verdict"].as_str();
            let whole = matches!(verdict, Some("proven" | "agreed"));
            assert!(whole, "night {night}: {run}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_without_members_are_believed_where_others_have_some() {
    for listed in [OF_MEMBERS, OF_GRANTS] {
        let server = Scripted::start(Tenant::default()).await;
        let mirror = listed.loaded(&server, 1).await;
        let before = seen(&mirror, &listed).await;
        for account in ["a-00001", "a-00002"] {
            let path = listed.path.replace("{}", account);
            server.answers(&path, Answer::NotFound.canned());
        }
        let program = listed.program(&server, &mirror);
        let ended = program.run(&["sync", "accounts", "--full", "--json"]).await;
        let run = run_of(&ended);
        assert_eq!(ended.code, Some(0), "{}", told(&ended));
        assert_eq!(run["verdict"], "agreed", "{run}");
        assert_eq!(seen(&mirror, &listed).await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_list_that_is_not_found_is_named_beside_those_that_are_read() {
    let server = Scripted::start(Tenant::default()).await;
    let mirror = of_catalog("/v3/products", "products")
        .loaded(&server, 8)
        .await;
    let program = server.program(&mirror);
    server.change(|tenant| *tenant = tenant.clone().with("/v3/bundles", "new", 4));
    server.answers("/v3/products", Answer::NotFound.canned());
    let ended = program.run(&["sync", "catalog", "--json"]).await;
    assert_eq!(ended.code, Some(1), "{}", told(&ended));
    let living = mirror
        .rows("select 1 from products where _zephr_deleted_at is null")
        .await;
    assert_eq!(living.len(), 8);
    let bundles = mirror.rows("select bundle_id from bundles").await;
    let bundles: Vec<String> = bundles.iter().map(|row| row.get(0)).collect();
    assert_eq!(bundles.len(), 4, "{}", told(&ended));
    // Its answer names itself to somebody who asks afterwards, too.
    let listed = program
        .run(&["runs", "--json", "--last", "1"])
        .await
        .expect(0);
    assert!(listed.stdout.contains("/v3/products"), "{}", listed.stdout);
    assert!(!listed.stdout.contains("/v3/bundles:"), "{}", listed.stdout);
}

/// Each run may ask for a few of them only, so each sees a few that are gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_that_lasts_is_one_incident_however_few_parents_a_run_asks_for() {
    let server = Scripted::start(Tenant::default()).await;
    server.become_honest(MEMBERSHIPS.tenant(60));
    let mirror = Mirror::new().await;
    let job = "resource = 'segments'\nmode = 'incremental'\nbudget = 8\nfull_every = 'never'\n";
    let program = server.program(&mirror).job("segments", job);
    program.run(&["sync", "users"]).await.expect(0);
    program.run(&["sync", "segments", "--full"]).await.expect(0);
    server.answers(USER_SEGMENTS, Canned::json(200, "[]"));
    let mut braked = Vec::new();
    for _ in 0..10 {
        let ended = program.run(&["sync", "segments", "--json"]).await;
        if ended.code == Some(4) {
            braked.push(run_of(&ended)["run_id"].as_str().expect("a run").to_owned());
        }
    }
    assert!(braked.len() >= 6, "{braked:?}");
    let marked = MEMBERSHIPS.marked(&mirror).await;
    assert!(marked <= 10, "{marked} are marked");

    // Somebody says that they are gone.
    let last = braked.last().expect("a run");
    program
        .run(&["sync", "segments", "--confirm-deletes", last])
        .await
        .expect(0);
    assert!(MEMBERSHIPS.marked(&mirror).await > marked);

    // They are not: all is as it was.
    server.answers_rightly();
    for _ in 0..2 {
        program.run(&["sync", "segments", "--full"]).await.expect(0);
    }
    assert_eq!(MEMBERSHIPS.marked(&mirror).await, 0);
    let over: i64 = mirror.value("select count(*) from vanishing").await;
    assert_eq!(over, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn items_that_name_another_parent_are_no_proof() {
    for listed in [OF_MEMBERS, OF_GRANTS] {
        let server = Scripted::start(Tenant::default()).await;
        server.become_honest(listed.tenant(3));
        server.sends(listed.path, |item| item["account_id"] = "a-00000".into());
        let mirror = Mirror::new().await;
        let program = listed.program(&server, &mirror);
        program.run(&["sync", "users"]).await.expect(0);
        let ended = program.run(&["sync", "accounts", "--json"]).await;
        let run = run_of(&ended);
        assert_eq!(run["verdict"], "agreed", "{run}");
        let reason = run["verdict_reason"].as_str().unwrap_or_default();
        assert!(
            reason.contains("name another one of the accounts"),
            "{reason}"
        );
    }
}

/// The brake is lifted, and nobody is left who could show that the API finds anybody by id.
#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_is_shown_and_nobody_found_nobody_is_marked() {
    let server = Scripted::start(Tenant::default().with(USERS, "u", 30)).await;
    let mirror = Mirror::new().await;
    let program = server.program(&mirror);
    program.run(&["sync", "users", "--full"]).await.expect(0);
    server.answers(USERS, Canned::json(200, "[]"));
    server.answers("/v3/users/{}", Answer::NotFound.canned());
    let full = [
        "sync",
        "users",
        "--full",
        "--max-delete-fraction",
        "1",
        "--json",
    ];
    let ended = program.run(&full).await;
    assert_eq!(ended.code, Some(4), "{}", told(&ended));
    let gone = "select count(*) from users where _zephr_deleted_at is not null";
    assert_eq!(mirror.value::<i64>(gone).await, 0);
    // Somebody who knows better may say so.
    let run_id = run_of(&ended)["run_id"].as_str().expect("a run").to_owned();
    program
        .run(&["sync", "users", "--confirm-deletes", &run_id])
        .await
        .expect(0);
    assert_eq!(mirror.value::<i64>(gone).await, 30);
}
