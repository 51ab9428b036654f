//! Servers that never end. Whatever a server answers, a run comes to its end within a bound that is
//! counted in requests: three times those of an honest server of that size, and fifty. It claims
//! nothing that such a server leaves open, marks nobody as deleted who is there, and takes no more
//! memory.
//!
//! Each test is one list and one habit of the server; it goes through a tenant that stands still,
//! one to which somebody comes after each answer, and one from which somebody goes, by a run after
//! a good one and by a first load. What went wrong is collected, so that one test shows all of it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::Row;

use crate::support::scripted_zephr::{
    ACCOUNTS, ARTICLES, AUTHORS, Drift, EVENTS, Habit, SEGMENTS, Scripted, Tenant, USERS,
};
use crate::support::{Ended, Mirror, Program};

/// Longer than any of these runs takes on a busy machine; what is not done by then counts as
/// endless.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the process is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Requests of a run, as a multiple of an honest server's and beyond that.
const TIMES: u64 = 3;
const BEYOND: u64 = 50;

/// Memory beyond that of a run against an honest server, in KiB: what a debug build's allocator
/// keeps differs by some MiB from run to run.
const MORE_MEMORY: u64 = 15 * 1024;

/// Records of a page.
const RPP: &str = "20";

/// A list and the job that reads it.
#[derive(Debug, Clone, Copy)]
struct Family {
    job: &'static str,
    /// The path as the server counts it.
    path: &'static str,
    table: &'static str,
    /// The column that holds the key of an item.
    key: &'static str,
    /// What the job needs to be there.
    before: &'static [&'static str],
    /// The job file, where it is not built in.
    file: Option<&'static str>,
    tenant: fn() -> Tenant,
}

const OF_USERS: Family = Family {
    job: "users",
    path: USERS,
    table: "users",
    key: "user_id",
    before: &[],
    file: None,
    tenant: || Tenant::default().with(USERS, "u", 200),
};

const OF_EVENTS: Family = Family {
    job: "events",
    path: EVENTS,
    table: "user_events",
    key: "event_key",
    before: &[],
    file: None,
    tenant: || Tenant::default().with(USERS, "u", 1).with(EVENTS, "e", 200),
};

const OF_ACCOUNTS: Family = Family {
    job: "accounts",
    path: ACCOUNTS,
    table: "accounts",
    key: "account_id",
    before: &[],
    file: None,
    tenant: || {
        Tenant::default()
            .with(USERS, "u", 1)
            .with(ACCOUNTS, "a", 100)
    },
};

const OF_SEGMENTS: Family = Family {
    job: "segments",
    path: SEGMENTS,
    table: "segments",
    key: "segment_id",
    before: &["users"],
    file: None,
    tenant: || {
        Tenant::default()
            .with(USERS, "u", 3)
            .with(SEGMENTS, "s", 100)
    },
};

const PAGED_A: Family = Family {
    job: "articles",
    path: ARTICLES,
    table: "articles",
    key: "id",
    before: &[],
    file: Some(
        "resource = 'list'\npath = '/v3/articles'\ntable = 'articles'\nkey = 'id'\npaging = 'A'\n",
    ),
    tenant: || {
        Tenant::default()
            .with(USERS, "u", 1)
            .with(ARTICLES, "x", 100)
    },
};

const PAGED_B: Family = Family {
    job: "authors",
    path: AUTHORS,
    table: "authors",
    key: "id",
    before: &[],
    file: Some(
        "resource = 'list'\npath = '/v3/authors'\ntable = 'authors'\nkey = 'id'\npaging = 'B'\n",
    ),
    tenant: || {
        Tenant::default()
            .with(USERS, "u", 1)
            .with(AUTHORS, "x", 100)
    },
};

/// A paged list below each of five users.
const BELOW: Family = Family {
    job: "user-sessions",
    path: "/v3/users/{}/sessions",
    table: "user_sessions",
    key: "session_id",
    before: &["users"],
    file: Some(
        "resource = 'list'\npath = '/v3/users/{user_id}/sessions'\nfor_each = 'users'\ntable = 'user_sessions'\nkey = 'session_id'\npaging = 'A'\n",
    ),
    tenant: || {
        let mut tenant = Tenant::default().with(USERS, "u", 5);
        for user in tenant.ids(USERS) {
            tenant = tenant.with(&format!("/v3/users/{user}/sessions"), &user, 50);
        }
        tenant
    },
};

impl Family {
    fn is_export(self) -> bool {
        self.path == USERS || self.path == EVENTS
    }
}

impl Habit {
    /// Whether a run may say that it holds everybody beyond doubt: nothing that such a server says
    /// of itself is wrong, and nobody can be hidden behind its answers. An export is read in
    /// windows that fit a page, so that it does not matter there which page was asked for.
    fn may_be_proven(self, family: Family, drift: Drift) -> bool {
        match self {
            // Somebody who comes is in the second answer, and who goes was in the first.
            Self::IgnoresPage => family.is_export() || drift != Drift::Comes,
            Self::SamePage => family.is_export(),
            Self::IgnoresPageAndFilter
            | Self::IgnoresFilter
            | Self::SameKeylessRecord
            | Self::SamePageOfMany
            | Self::AlwaysOneMorePage
            | Self::LinksToItself
            | Self::TotalGrows
            | Self::WindowsOneMoreThanFits
            | Self::BeginsAgain => false,
        }
    }

    /// Whether all items of the tenant can be read from such a server, and no others: then a run
    /// that claims something must be right.
    fn shows_the_truth(self, family: Family) -> bool {
        match self {
            Self::IgnoresPage
            | Self::IgnoresPageAndFilter
            | Self::IgnoresFilter
            | Self::LinksToItself
            | Self::TotalGrows
            | Self::BeginsAgain => true,
            Self::SamePage => family.is_export(),
            Self::SameKeylessRecord
            | Self::SamePageOfMany
            | Self::AlwaysOneMorePage
            | Self::WindowsOneMoreThanFits => false,
        }
    }

    /// Whether each of its answers says that there is more than it ever shows: then nothing may be
    /// claimed.
    fn says_that_it_hides(self) -> bool {
        match self {
            Self::SamePageOfMany => true,
            Self::IgnoresPage
            | Self::IgnoresPageAndFilter
            | Self::IgnoresFilter
            | Self::SameKeylessRecord
            | Self::SamePage
            | Self::AlwaysOneMorePage
            | Self::LinksToItself
            | Self::TotalGrows
            | Self::WindowsOneMoreThanFits
            | Self::BeginsAgain => false,
        }
    }

    /// Whether what is read from it is nowhere in the tenant, without any end: nothing says how
    /// much would be too much where nothing was read before.
    fn invents_without_end(self) -> bool {
        match self {
            Self::AlwaysOneMorePage => true,
            Self::IgnoresPage
            | Self::IgnoresPageAndFilter
            | Self::IgnoresFilter
            | Self::SameKeylessRecord
            | Self::SamePage
            | Self::SamePageOfMany
            | Self::LinksToItself
            | Self::TotalGrows
            | Self::WindowsOneMoreThanFits
            | Self::BeginsAgain => false,
        }
    }
}

/// What a run of an honest server takes.
#[derive(Debug, Clone, Copy)]
struct Cost {
    of_path: u64,
    in_all: u64,
    kib: u64,
}

/// A run, and what it took.
struct Took {
    ended: Ended,
    cost: Cost,
}

/// A list, its server, and mirrors before and after the first load.
struct Trial {
    family: Family,
    server: Scripted,
    empty: Mirror,
    loaded: Mirror,
    /// Of a first load, and of a full run after it.
    first: Cost,
    again: Cost,
}

impl Trial {
    async fn new(family: Family) -> Self {
        let server = Scripted::start((family.tenant)()).await;
        let empty = Mirror::new().await;
        let mut trial = Self {
            family,
            server,
            empty,
            loaded: Mirror { url: String::new() },
            first: UNBOUNDED,
            again: UNBOUNDED,
        };
        let program = trial.program(&trial.empty);
        program.run(&["migrate"]).await.expect(0);
        for job in family.before {
            program.run(&["sync", job]).await.expect(0);
        }
        trial.loaded = trial.empty.copy().await;
        let first = trial.honest().await;
        trial.again = trial.honest().await;
        trial.first = first;
        trial
    }

    async fn honest(&self) -> Cost {
        let took = self
            .run(&self.loaded, UNBOUNDED)
            .await
            .expect("an honest server ends");
        let run = run_of(&took.ended).expect("a run");
        assert_eq!(took.ended.code, Some(0), "{run}");
        assert_eq!(run["rows_tombstoned"], 0, "{run}");
        assert_eq!(self.living(&self.loaded).await, self.truth(), "{run}");
        took.cost
    }

    /// What an honest server of the same size takes while somebody comes or goes after each answer:
    /// a first load, and a full run after it.
    async fn honest_under(&self, drift: Drift) -> (Cost, Cost) {
        if drift == Drift::Still {
            return (self.first, self.again);
        }
        let mut costs = Vec::new();
        for (mirror, at_rest) in [(&self.empty, self.first), (&self.loaded, self.again)] {
            let mirror = mirror.copy().await;
            self.server.become_honest((self.family.tenant)());
            self.server.drifts(self.family.path, drift);
            let took = self.run(&mirror, UNBOUNDED).await;
            mirror.remove().await;
            let cost = took.expect("an honest server ends").cost;
            costs.push(Cost {
                of_path: cost.of_path.max(at_rest.of_path),
                in_all: cost.in_all.max(at_rest.in_all),
                kib: cost.kib.max(at_rest.kib),
            });
        }
        self.server.become_honest((self.family.tenant)());
        (costs[0], costs[1])
    }

    fn program(&self, mirror: &Mirror) -> Program {
        let program = self.server.program(mirror).with("ZEPHR_SYNC_RPP", RPP);
        match self.family.file {
            Some(file) => program.job(self.family.job, file),
            None => program,
        }
    }

    /// A full run; ended, and told what it had asked, if it does not end by itself.
    async fn run(&self, mirror: &Mirror, honest: Cost) -> Result<Took, String> {
        self.server.forget_what_was_asked();
        let program = self.program(mirror);
        let began = Instant::now();
        let child = program.spawn(&["sync", self.family.job, "--full", "--json"]);
        let status = format!("/proc/{}/status", child.id().expect("it runs"));
        let mut output = Box::pin(child.wait_with_output());
        let mut kib = 0;
        let output = loop {
            tokio::select! {
                output = &mut output => break output.expect("it ends"),
                () = tokio::time::sleep(LOOK) => {}
            }
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let peak = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
            kib = peak.unwrap_or(0).max(kib);
            // Far beyond the bound: nothing is gained by waiting.
            let endless = self.server.asked_in_all() > honest.bound(honest.in_all) * 3;
            if endless || began.elapsed() > PATIENCE {
                // Dropped with its output, it is killed.
                return Err(format!(
                    "does not end: {} requests in {:.1} s: {}",
                    self.server.asked_in_all(),
                    began.elapsed().as_secs_f64(),
                    self.server.last_asked()
                ));
            }
        };
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let ended = Ended {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        let cost = Cost {
            of_path: self.server.asked(self.family.path),
            in_all: self.server.asked_in_all(),
            kib,
        };
        Ok(Took { ended, cost })
    }

    /// The keys in the mirror of items that are alive, or are not.
    async fn mirrored(&self, mirror: &Mirror, condition: &str) -> BTreeSet<String> {
        let Family { table, key, .. } = self.family;
        let exists: Option<String> = mirror
            .value(&format!("select to_regclass('{table}')::text"))
            .await;
        if exists.is_none() {
            return BTreeSet::new();
        }
        let sql = format!("select {key} from {table} where {condition}");
        let rows = mirror.rows(&sql).await;
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// The keys of those who are alive in the mirror.
    async fn living(&self, mirror: &Mirror) -> BTreeSet<String> {
        let living = match self.family.path {
            EVENTS => "true",
            _ => "_zephr_deleted_at is null",
        };
        self.mirrored(mirror, living).await
    }

    /// The keys in the tenant.
    fn truth(&self) -> BTreeSet<String> {
        match self.family.path.split_once("{}") {
            None => self.server.ids(self.family.path).into_iter().collect(),
            Some((before, after)) => {
                let users = self.server.ids(USERS);
                let lists = users
                    .iter()
                    .map(|user| self.server.ids(&format!("{before}{user}{after}")));
                lists.flatten().collect()
            }
        }
    }

    /// What is wrong with a run against a server of this habit, a line each.
    async fn wrong(
        &self,
        mirror: &Mirror,
        habit: Habit,
        drift: Drift,
        honest: Cost,
    ) -> Vec<String> {
        self.server.become_honest((self.family.tenant)());
        let before = self.truth();
        self.server.has_habit(self.family.path, habit);
        self.server.drifts(self.family.path, drift);
        let took = match self.run(mirror, honest).await {
            Ok(took) => took,
            Err(endless) => return vec![endless],
        };
        let Some(run) = run_of(&took.ended) else {
            return vec![format!("left no record: {:?}", took.ended)];
        };
        let mut wrong = Vec::new();
        for (asked, allowed, what) in [
            (
                took.cost.of_path,
                honest.bound(honest.of_path),
                self.family.path,
            ),
            (took.cost.in_all, honest.bound(honest.in_all), "all paths"),
        ] {
            if asked > allowed {
                wrong.push(format!("{asked} requests of {what}, {allowed} may be"));
            }
        }
        if took.cost.kib > honest.kib + MORE_MEMORY {
            wrong.push(format!(
                "{} KiB, and {} against an honest server",
                took.cost.kib, honest.kib
            ));
        }
        let (verdict, reason) = (
            run["verdict"].as_str(),
            run["verdict_reason"].as_str().unwrap_or(""),
        );
        let fits = match (took.ended.code, verdict) {
            (Some(0 | 3), _) if habit.says_that_it_hides() => false,
            (Some(0 | 3), Some("proven")) => habit.may_be_proven(self.family, drift),
            (Some(0 | 3), Some("agreed")) => !reason.is_empty(),
            (Some(1), Some("incomplete")) => !reason.is_empty() && run["error"].is_string(),
            (Some(4), Some("incomplete" | "agreed")) => run["error"].is_string(),
            _ => false,
        };
        if !fits {
            wrong.push(format!("ends with {:?}", took.ended.code));
        }
        let truth = self.truth();
        if self.family.path != EVENTS {
            let marked = self.mirrored(mirror, "_zephr_deleted_at is not null").await;
            let there = marked.intersection(&truth).count();
            if there > 0 || (drift != Drift::Goes && !marked.is_empty()) {
                wrong.push(format!(
                    "marked {} as deleted, {there} of whom are there",
                    marked.len()
                ));
            }
        }
        let claims = matches!(took.ended.code, Some(0 | 3));
        if claims && habit.shows_the_truth(self.family) {
            let mirrored = self.living(mirror).await;
            // Whoever came or went meanwhile may be in the mirror or not.
            let stayed = truth
                .intersection(&before)
                .filter(|id| !mirrored.contains(*id));
            let lacks = stayed.count();
            if lacks > 0 || (drift == Drift::Still && mirrored != truth) {
                wrong.push(format!(
                    "claims to be right with {} of {}, and lacks {lacks}",
                    mirrored.len(),
                    truth.len()
                ));
            }
        }
        if !wrong.is_empty() {
            wrong.push(format!(
                "(verdict {verdict:?}: {reason}; error {}; {} requests, {} honest; {} tombstones)",
                run["error"], took.cost.in_all, honest.in_all, run["rows_tombstoned"],
            ));
        }
        wrong
    }
}

/// Before it is known what an honest server takes.
const UNBOUNDED: Cost = Cost {
    of_path: 1_000,
    in_all: 1_000,
    kib: 1_000_000,
};

impl Cost {
    fn bound(self, requests: u64) -> u64 {
        requests * TIMES + BEYOND
    }
}

/// The record of the last run of a command, as it tells it; none where it tells no run.
fn run_of(ended: &Ended) -> Option<Value> {
    let document: Value = serde_json::from_str(&ended.stdout).ok()?;
    document["runs"].as_array()?.last().cloned()
}

/// Goes through one habit of the server of one list.
async fn ends(family: Family, habit: Habit) {
    let trial = Trial::new(family).await;
    let mut wrong = Vec::new();
    for drift in [Drift::Still, Drift::Comes, Drift::Goes] {
        let (first, again) = trial.honest_under(drift).await;
        let mirror = trial.loaded.copy().await;
        let found = trial.wrong(&mirror, habit, drift, again).await;
        mirror.remove().await;
        if !found.is_empty() {
            wrong.push(format!(
                "{drift:?}, a good run before: {}",
                found.join("; ")
            ));
        }
        if habit.invents_without_end() {
            continue;
        }
        let mirror = trial.empty.copy().await;
        let found = trial.wrong(&mirror, habit, drift, first).await;
        mirror.remove().await;
        if !found.is_empty() {
            wrong.push(format!("{drift:?}, first load: {}", found.join("; ")));
        }
    }
    assert!(wrong.is_empty(), "{habit:?}\n{}", wrong.join("\n"));
}

/// A test for each habit of a server of this list.
macro_rules! habits {
    ($list:ident, $family:ident: $($name:ident => $habit:ident),+ $(,)?) => {
        mod $list {
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    ends($family, Habit::$habit).await;
                }
            )+
        }
    };
}

habits! { users, OF_USERS:
    ignores_the_page => IgnoresPage,
    ignores_page_and_filter => IgnoresPageAndFilter,
    ignores_the_filter => IgnoresFilter,
    sends_the_same_record_without_a_key => SameKeylessRecord,
    sends_the_same_page => SamePage,
    sends_the_same_page_of_many => SamePageOfMany,
    has_always_one_more_page => AlwaysOneMorePage,
    links_to_itself => LinksToItself,
    begins_again_after_its_last_page => BeginsAgain,
    tells_a_total_that_grows => TotalGrows,
    holds_one_more_than_fits_in_each_window => WindowsOneMoreThanFits,
}

habits! { events, OF_EVENTS:
    ignores_the_page => IgnoresPage,
    ignores_page_and_filter => IgnoresPageAndFilter,
    ignores_the_filter => IgnoresFilter,
    sends_the_same_record_without_a_key => SameKeylessRecord,
    sends_the_same_page => SamePage,
    sends_the_same_page_of_many => SamePageOfMany,
    has_always_one_more_page => AlwaysOneMorePage,
    links_to_itself => LinksToItself,
    begins_again_after_its_last_page => BeginsAgain,
    tells_a_total_that_grows => TotalGrows,
    holds_one_more_than_fits_in_each_window => WindowsOneMoreThanFits,
}

habits! { accounts, OF_ACCOUNTS:
    ignores_the_page => IgnoresPage,
    sends_the_same_record_without_a_key => SameKeylessRecord,
    sends_the_same_page => SamePage,
    sends_the_same_page_of_many => SamePageOfMany,
    has_always_one_more_page => AlwaysOneMorePage,
    links_to_itself => LinksToItself,
    begins_again_after_its_last_page => BeginsAgain,
    tells_a_total_that_grows => TotalGrows,
}

// The reference knows no pages of it: a server that sends all of it at once is an honest one.
habits! { segments, OF_SEGMENTS:
    sends_the_same_record_without_a_key => SameKeylessRecord,
    sends_the_same_page_of_many => SamePageOfMany,
    has_always_one_more_page => AlwaysOneMorePage,
    links_to_itself => LinksToItself,
    tells_a_total_that_grows => TotalGrows,
}

habits! { list_paged_as_exports, PAGED_A:
    ignores_the_page => IgnoresPage,
    sends_the_same_record_without_a_key => SameKeylessRecord,
    sends_the_same_page => SamePage,
    sends_the_same_page_of_many => SamePageOfMany,
    has_always_one_more_page => AlwaysOneMorePage,
    links_to_itself => LinksToItself,
    begins_again_after_its_last_page => BeginsAgain,
    tells_a_total_that_grows => TotalGrows,
}

habits! { list_paged_as_accounts, PAGED_B:
    ignores_the_page => IgnoresPage,
    sends_the_same_record_without_a_key => SameKeylessRecord,
    sends_the_same_page => SamePage,
    sends_the_same_page_of_many => SamePageOfMany,
    has_always_one_more_page => AlwaysOneMorePage,
    links_to_itself => LinksToItself,
    begins_again_after_its_last_page => BeginsAgain,
    tells_a_total_that_grows => TotalGrows,
}

habits! { list_below_users, BELOW:
    ignores_the_page => IgnoresPage,
    sends_the_same_record_without_a_key => SameKeylessRecord,
    sends_the_same_page => SamePage,
    sends_the_same_page_of_many => SamePageOfMany,
    has_always_one_more_page => AlwaysOneMorePage,
    links_to_itself => LinksToItself,
    tells_a_total_that_grows => TotalGrows,
}
