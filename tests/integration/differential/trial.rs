//! A scenario, played: the tenant changes, the program runs, is killed, is helped; and each claim
//! is looked into.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use simulator::{Edits, FIRST_REGISTRATION, Faults, LAST_REGISTRATION, List, Nothing, Simulator};
use sqlx::Row;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::chance::Chance;
use super::change::Changes;
use super::claim::{self, Claim, Kind, Stretch, Wrong};
use super::scenario::Scenario;
use super::tables::{Held, Job, Snapshot, Table, of_jobs};
use super::tally::Tally;
use crate::support::running::Running;
use crate::support::{Mirror, Program, tenant};

/// Requests of one command beyond which it is taken to ask for ever: a whole sync of the largest
/// tenant here takes some hundreds.
const MOST_REQUESTS: u64 = 8_000;

/// Records per answer, from which on somebody may come after each answer.
const FAST: u32 = 8;

/// And the longest time it may take; one request in some dozens that goes wrong costs a second.
const LONGEST: Duration = Duration::from_secs(90);

/// Runs of a tenant at rest within which everything must be claimed, twice in a row.
const MOST_ROUNDS: u32 = 6;

/// A scenario under way.
pub struct Trial {
    scenario: Scenario,
    chance: Chance,
    simulator: Simulator,
    mirror: Mirror,
    program: Program,
    helpers: Vec<Running>,
    added: u32,
    events: Vec<String>,
    jobs: BTreeMap<Job, Watched>,
    known_runs: BTreeSet<Uuid>,
    not_word_for_word: Vec<&'static str>,
    /// What happened, a line each.
    pub steps: Vec<String>,
    pub wrong: Vec<Wrong>,
    pub tally: Tally,
}

/// What is remembered of a job.
#[derive(Debug, Default)]
struct Watched {
    /// What the tenant and the mirror held when a full scan began that has not come to its end.
    began: Option<(Snapshot, Held)>,
    /// The last claim, if it was the last run.
    before: Option<Stretch>,
    /// Whether a full scan claimed everybody, and rightly: only then incremental ones claim the
    /// rest.
    is_loaded: bool,
}

/// A run as it stands in the bookkeeping.
#[derive(Debug, Clone)]
struct Run {
    id: Uuid,
    job: Job,
    mode: String,
    status: String,
    verdict: Option<String>,
    reason: String,
    error: String,
}

impl Run {
    fn is_full(&self) -> bool {
        self.mode == "full"
    }

    fn claims(&self) -> bool {
        self.status == "succeeded" && matches!(self.verdict.as_deref(), Some("proven" | "agreed"))
    }

    /// Whether it did nothing but the deletions that a brake had held.
    fn confirms(&self) -> bool {
        self.reason.starts_with("about the deletions that run ")
    }

    fn is_proven(&self) -> bool {
        self.verdict.as_deref() == Some("proven")
    }

    fn is_over(&self) -> bool {
        matches!(self.status.as_str(), "succeeded" | "braked" | "failed")
    }
}

/// What a command meets.
#[derive(Debug, Clone, Default)]
struct Meets {
    drift: Edits,
    incident: Option<Incident>,
    /// Killed after so many phases.
    killed_after: Option<u32>,
}

impl Meets {
    /// Whether a path answers 404 that is there.
    fn is_lost(&self) -> bool {
        matches!(self.incident, Some(Incident::Lost(_)))
    }
}

/// Something that the API answers wrongly for a while.
#[derive(Debug, Clone, Copy)]
enum Incident {
    /// 404 for a path.
    Lost(&'static str),
    /// A list that answers as if there were nothing in it.
    Hidden(List),
    /// Single users are not found.
    NoSingleUsers,
    /// The export shows only who registered before.
    ShownUntil(i64),
}

impl Incident {
    fn drawn(jobs: &[Job], chance: &mut Chance) -> Self {
        let mut all = vec![
            Self::NoSingleUsers,
            Self::ShownUntil(i64::from(
                chance.among(FIRST_REGISTRATION..=LAST_REGISTRATION),
            )),
            Self::Lost("/v3/user-export"),
        ];
        for job in jobs {
            match job {
                Job::Users => {}
                Job::Accounts => all.extend([
                    Self::Lost("/v3/accounts"),
                    Self::Lost("/v3/accounts/{}"),
                    Self::Lost("/v3/accounts/{}/users"),
                    Self::Lost("/v3/accounts/{}/grants"),
                    Self::Hidden(List::Accounts),
                    Self::Hidden(List::AccountUsers),
                ]),
                Job::Segments => all.extend([
                    Self::Lost("/v4/users/segments"),
                    Self::Lost("/v4/users/{}/segments"),
                    Self::Hidden(List::Segments),
                    Self::Hidden(List::UserSegments),
                ]),
                Job::Schema => all.extend([
                    Self::Lost("/v3/schema/users"),
                    Self::Hidden(List::UserSchema),
                ]),
                Job::Catalog => all.extend([
                    Self::Lost("/v3/companies"),
                    Self::Lost("/v3/products"),
                    Self::Lost("/v3/meters"),
                    Self::Hidden(List::Products),
                    Self::Hidden(List::Bundles),
                    Self::Hidden(List::Credits),
                ]),
                Job::Events => all.push(Self::Lost("/v4/user-export")),
                Job::Webhooks => {
                    all.extend([Self::Lost("/v3/webhooks"), Self::Hidden(List::Webhooks)])
                }
                Job::Rules => all.extend([
                    Self::Lost("/v3/rules/request"),
                    Self::Hidden(List::RequestRules),
                ]),
                Job::Sessions => all.push(Self::Lost("/v3/users/{}/sessions")),
            }
        }
        *chance.one_of(&all).expect("there are some")
    }

    fn begin(self, simulator: &Simulator) {
        let tenant = simulator.tenant();
        match self {
            Self::Lost(path) => tenant.lose_paths(&[path]),
            Self::Hidden(list) => tenant.hide_list(list, true),
            Self::NoSingleUsers => tenant.hide_single_users(true),
            Self::ShownUntil(second) => tenant.show_only_until(Some(second)),
        }
    }

    fn end(self, simulator: &Simulator) {
        let tenant = simulator.tenant();
        match self {
            Self::Lost(_) => tenant.lose_paths(&[]),
            Self::Hidden(list) => tenant.hide_list(list, false),
            Self::NoSingleUsers => tenant.hide_single_users(false),
            Self::ShownUntil(_) => tenant.show_only_until(None),
        }
    }
}

/// A database with the schema and nothing in it, made once in a process.
async fn empty_mirror() -> Mirror {
    static MADE: OnceCell<Mirror> = OnceCell::const_new();
    let made = MADE.get_or_init(|| async {
        let mirror = Mirror::new().await;
        let program = Program::new().with("DATABASE_URL", &mirror.url);
        program.run(&["migrate"]).await.expect(0);
        mirror.alone().await;
        mirror
    });
    made.await.copy().await
}

impl Trial {
    pub async fn new(seed: u64) -> Self {
        let mut chance = Chance::of(seed);
        let scenario = Scenario::drawn(&mut chance);
        let simulator = tenant(scenario.options.clone()).await;
        let mirror = empty_mirror().await;
        let program = scenario.settle(Program::between(&simulator, &mirror));
        let behaviour = &scenario.options.behaviour;
        let mut not_word_for_word = vec!["webhooks", "request_rules", "user_sessions"];
        if !behaviour.company_ids {
            not_word_for_word.push("companies");
        }
        if !behaviour.catalog_ids {
            not_word_for_word.extend(["entitlements", "meters", "credits"]);
        }
        if scenario.options.shape.awkward_percent > 0.0 {
            not_word_for_word.extend([
                "segments",
                "user_segments",
                "user_schema",
                "companies",
                "products",
                "bundles",
                "entitlements",
                "meters",
                "credits",
            ]);
        }
        Self {
            chance,
            helpers: Vec::new(),
            added: 0,
            events: Vec::new(),
            jobs: scenario
                .jobs
                .iter()
                .map(|job| (*job, Watched::default()))
                .collect(),
            known_runs: BTreeSet::new(),
            not_word_for_word,
            steps: vec![scenario.to_string()],
            wrong: Vec::new(),
            tally: Tally::default(),
            scenario,
            simulator,
            mirror,
            program,
        }
    }

    /// Plays it to its end, or to the first thing that is wrong.
    pub async fn play(mut self) -> Self {
        self.acts().await;
        for helper in std::mem::take(&mut self.helpers) {
            helper.kill().await;
        }
        self
    }

    /// Removes what it left behind.
    pub async fn remove(self) {
        self.mirror.remove().await;
        self.simulator.stop().await;
    }

    async fn acts(&mut self) {
        if self.scenario.daemons > 0 {
            self.call_helpers().await;
        }
        // The first load: of an answer that is wrong then, no row that was there tells.
        if self.chance.percent(12) {
            let incident = Some(Incident::drawn(&self.scenario.jobs, &mut self.chance));
            let meets = Meets {
                incident,
                ..Meets::default()
            };
            self.run(&[&["sync", "--full"]], meets).await;
        }
        // Killed on the way now and then.
        while self.chance.percent(20) && self.wrong.is_empty() {
            let meets = Meets {
                killed_after: Some(self.chance.among(1..=30)),
                ..Meets::default()
            };
            self.run(&[&["sync", "--full"]], meets).await;
        }
        let meets = Meets {
            drift: self.scenario.drift(),
            ..Meets::default()
        };
        self.run(&[&["sync", "--full"]], meets).await;
        for _ in 0..self.chance.among(2..=4) {
            if !self.wrong.is_empty() {
                return;
            }
            self.change();
            self.act().await;
        }
        if self.wrong.is_empty() {
            self.change();
            self.come_to_rest().await;
        }
    }

    fn change(&mut self) {
        let tenant = self.simulator.tenant();
        for _ in 0..self.chance.pick(&[0, 1, 1, 2, 3, 5]) {
            let mut changes = Changes {
                tenant: &tenant,
                scenario: &self.scenario,
                added: &mut self.added,
                events: &mut self.events,
            };
            self.steps.extend(changes.one(&mut self.chance));
        }
    }

    /// Starts daemons that have nothing to do but to help, and waits until each of them may ask.
    async fn call_helpers(&mut self) {
        while self.helpers.len() < self.scenario.daemons as usize {
            self.helpers.push(self.program.daemon());
        }
        let ready = "select count(*) from daemons where places > 0";
        let end = tokio::time::Instant::now() + LONGEST;
        while self.mirror.value::<i64>(ready).await < self.helpers.len() as i64 {
            assert!(
                tokio::time::Instant::now() < end,
                "the daemons are not ready"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// One run of any kind, or two at once.
    async fn act(&mut self) {
        let jobs = self.some_jobs();
        let names: Vec<&str> = jobs.iter().map(|job| job.name()).collect();
        let full = [&["sync"][..], &names, &["--full"]].concat();
        let due = [&["sync"][..], &names].concat();
        let drift = self.scenario.drift();
        if drift != Edits::NONE && self.chance.percent(70) {
            let meets = Meets {
                drift,
                ..Meets::default()
            };
            self.run(&[&["sync", "users", "--full"]], meets).await;
            return;
        }
        match self.chance.among(1..=100) {
            1..=24 => self.run_and_confirm(&full, Meets::default()).await,
            25..=40 => drop(self.run(&[&due], Meets::default()).await),
            41..=54 => {
                let killed_after = Some(self.chance.among(1..=40));
                self.run(
                    &[&full],
                    Meets {
                        killed_after,
                        ..Meets::default()
                    },
                )
                .await;
                if self.chance.percent(60) {
                    self.change();
                }
                self.run_and_confirm(&full, Meets::default()).await;
            }
            55..=58 => {
                let killed_after = Some(self.chance.among(1..=20));
                let meets = Meets {
                    killed_after,
                    ..Meets::default()
                };
                self.run(&[&due], meets).await;
            }
            59..=64 => {
                let users: [&[&str]; 2] = [&["sync", "users", "--full"], &["sync", "users"]];
                self.run(&users, Meets::default()).await;
            }
            65..=67 => {
                let limit = self.chance.among(1..=30).to_string();
                self.run(
                    &[&[&due[..], &["--limit", &limit]].concat()],
                    Meets::default(),
                )
                .await;
            }
            68..=69 => {
                let dry = [&full[..], &["--dry-run"]].concat();
                self.run(&[&dry], Meets::default()).await;
            }
            70..=72 => {
                self.run_and_confirm(&[&full[..], &["--restart"]].concat(), Meets::default())
                    .await
            }
            73..=85 => {
                let incident = Some(Incident::drawn(&self.scenario.jobs, &mut self.chance));
                let meets = Meets {
                    incident,
                    ..Meets::default()
                };
                self.run(&[&["sync", "--full"]], meets).await;
                // What was answered wrongly is not taken for read when it is over.
                if self.chance.percent(60) {
                    self.run(&[&["sync", "--full"]], Meets::default()).await;
                }
            }
            _ => {
                let drift = self.drift();
                let command = if self.chance.percent(75) { &full } else { &due };
                self.run(
                    &[command],
                    Meets {
                        drift,
                        ..Meets::default()
                    },
                )
                .await;
            }
        }
        if !self.helpers.is_empty() && self.chance.percent(25) {
            self.helpers.remove(0).kill().await;
            self.steps
                .push("a daemon is killed, and another started".into());
            self.call_helpers().await;
        }
    }

    /// Fewer come than are read, or no scan would ever end: each pass by page over one second reads
    /// a page for an answer, hundreds come in each second, and there are five passes.
    fn drift(&mut self) -> Edits {
        let reads_fast = self.scenario.records_per_answer() >= FAST;
        let chance = &mut self.chance;
        let business = |chance: &mut Chance| if chance.percent(25) { 1 } else { 0 };
        Edits {
            updates: chance.among(0..=3),
            creations: if chance.percent(30) && reads_fast {
                1
            } else {
                0
            },
            deletions: if chance.percent(40) { 1 } else { 0 },
            account_changes: business(chance),
            account_deletions: business(chance),
            member_changes: business(chance),
            segment_moves: business(chance),
        }
    }

    /// Users mostly, and some of the others.
    fn some_jobs(&mut self) -> Vec<Job> {
        let chance = &mut self.chance;
        let all = self.scenario.jobs.iter().copied();
        let chosen: Vec<Job> = all
            .filter(|job| chance.percent(if *job == Job::Users { 80 } else { 45 }))
            .collect();
        if chosen.is_empty() {
            vec![Job::Users]
        } else {
            chosen
        }
    }

    /// Runs it, and confirms in half the cases what a brake held.
    async fn run_and_confirm(&mut self, arguments: &[&str], meets: Meets) {
        let runs = self.run(&[arguments], meets).await;
        if self.chance.percent(50) {
            self.confirm(&runs).await;
        }
    }

    async fn confirm(&mut self, runs: &[Run]) {
        for braked in runs.iter().filter(|run| run.status == "braked") {
            let id = braked.id.to_string();
            let began = self.now();
            let held = Held::of(&self.mirror, &self.scenario.jobs).await;
            let confirmed = self
                .run(
                    &[&["sync", braked.job.name(), "--confirm-deletes", &id]],
                    Meets::default(),
                )
                .await;
            // What was missing from a scan of a tenant that nobody changed since is gone once
            // somebody says that it may be.
            let is_done = confirmed.iter().all(|run| run.status == "succeeded");
            let is_believed = matches!(braked.verdict.as_deref(), Some("proven" | "agreed"));
            if is_done && is_believed && !confirmed.is_empty() && self.wrong.is_empty() {
                let stretch = Stretch {
                    ended: began.clone(),
                    began,
                    held,
                };
                let tables = self
                    .tables()
                    .into_iter()
                    .filter(|table| table.job == braked.job && table.has_witness);
                // What else it says of rows it has from the run that was braked, which may have
                // begun before others changed.
                let claim = Claim {
                    tables: tables.collect(),
                    is_full: true,
                    stretch: &stretch,
                    before: None,
                    not_word_for_word: &self.not_word_for_word,
                };
                let held = Held::of(&self.mirror, &self.scenario.jobs).await;
                self.wrong.extend(claim.lingers(&held));
            }
        }
    }

    /// Nobody changes anything any more: within a few runs everything is claimed, twice in a row.
    async fn come_to_rest(&mut self) {
        if !self.scenario.is_calm() {
            self.simulator.set_faults(Faults::default());
        }
        self.steps.push("at rest".into());
        let mut claimed = 0;
        for round in 1..=MOST_ROUNDS {
            let runs = self.run(&[&["sync", "--full"]], Meets::default()).await;
            if !self.wrong.is_empty() {
                return;
            }
            let is_claimed = |run: &Run| run.claims() || self.says_nothing(run.job);
            claimed = if runs.iter().all(is_claimed) {
                claimed + 1
            } else {
                0
            };
            if claimed == 2 || !self.scenario.is_honest() && round == 2 {
                return;
            }
            self.confirm(&runs).await;
        }
        if !self.scenario.is_calm() && self.scenario.options.max_in_flight.is_some() {
            return;
        }
        let last = self.steps.last().cloned().unwrap_or_default();
        self.wrong.push(Wrong::new(Kind::NeverClaims, "", last));
    }

    /// Whether all that a job asks for is answered by 404, which means none here and may mean that
    /// a path is gone: nobody can tell.
    fn says_nothing(&self, job: Job) -> bool {
        let (tenant, behaviour) = (self.simulator.tenant(), &self.scenario.options.behaviour);
        let has_none =
            |list, nothing| nothing == Nothing::NotFound && tenant.truth_of(list).is_empty();
        job == Job::Accounts
            && (has_none(List::AccountUsers, behaviour.no_members)
                || has_none(List::AccountGrants, behaviour.no_account_grants))
    }

    fn tables(&self) -> Vec<&'static Table> {
        let all = of_jobs(&self.scenario.jobs);
        // Grants are read with the users where the job asks for them.
        all.filter(|table| table.name != "user_grants" || self.scenario.grants)
            .collect()
    }

    fn now(&self) -> Snapshot {
        Snapshot::of(&self.simulator.tenant(), &self.scenario.jobs)
    }

    /// Runs a command, or several at once, and looks into what came of it.
    async fn run(&mut self, commands: &[&[&str]], meets: Meets) -> Vec<Run> {
        let began = self.now();
        let before = Held::of(&self.mirror, &self.scenario.jobs).await;
        self.simulator.set_drift(meets.drift);
        if let Some(incident) = meets.incident {
            incident.begin(&self.simulator);
        }
        let codes = self.commands(commands, &meets).await;
        self.simulator.set_drift(Edits::NONE);
        if let Some(incident) = meets.incident {
            incident.end(&self.simulator);
        }
        if meets.killed_after.is_some() && self.helpers.is_empty() {
            self.mirror.alone().await;
        }
        let stretch = Stretch {
            began,
            ended: self.now(),
            held: before.clone(),
        };
        let held = Held::of(&self.mirror, &self.scenario.jobs).await;
        let runs = self.new_runs().await;
        self.tell(commands, &meets, &codes, &runs);
        let Some(codes) = codes else {
            let words = format!("more than {MOST_REQUESTS} requests, or {LONGEST:?}");
            self.wrong.push(Wrong::new(Kind::Endless, "", words));
            return runs;
        };
        // A dry run says with its code what a run would have come to, and has no record.
        if !commands
            .iter()
            .any(|command| command.contains(&"--dry-run"))
        {
            self.look_at_endings(&meets, &codes, &runs);
        }
        self.wrong.extend(claim::false_tombstones(
            &self.tables(),
            &before,
            &held,
            &stretch,
        ));
        self.wrong.extend(claim::orphans(&held));
        for run in &runs {
            self.look_at_brake(run, &before, &held);
            if run.is_proven() && run.is_full() && run.job == Job::Users {
                self.look_at_nothing(&before, &stretch);
            }
        }
        let is_sample = commands.iter().any(|command| command.contains(&"--limit"));
        for run in &runs {
            if is_sample {
                break;
            }
            self.judge(run, &meets, &stretch, commands.len() > 1).await;
        }
        runs
    }

    /// The exit code of each; nothing when they do not end.
    async fn commands(&mut self, commands: &[&[&str]], meets: &Meets) -> Option<Vec<Option<i32>>> {
        let (program, killed_after) = (&self.program, meets.killed_after);
        let all = commands.iter().map(|arguments| async move {
            let mut running = program.start(&[arguments, &["--json"][..]].concat());
            let mut left = killed_after.unwrap_or(u32::MAX);
            while left > 0 && running.until(|line| line.contains(r#""phase":""#)).await {
                left -= 1;
            }
            let ended = if left == 0 {
                running.kill().await
            } else {
                running.end().await
            };
            (ended.code, ended)
        });
        let begin = self.simulator.stats().requests;
        let deadline = tokio::time::Instant::now() + LONGEST;
        let endless = async {
            loop {
                tokio::time::sleep(Duration::from_millis(200)).await;
                let asked = self.simulator.stats().requests - begin;
                if asked > MOST_REQUESTS || tokio::time::Instant::now() > deadline {
                    return;
                }
            }
        };
        let ended = tokio::select! {
            ended = futures::future::join_all(all) => ended,
            () = endless => return None,
        };
        for (code, ended) in &ended {
            let last: Vec<&str> = ended.stderr.lines().rev().take(3).collect();
            if *code == Some(1) {
                self.steps.push(format!("it says: {}", last.join(" | ")));
            }
            // What it said where it should not have ended so.
            if !matches!(code, None | Some(0 | 1 | 3 | 4)) {
                self.wrong.push(Wrong::new(
                    Kind::Ending,
                    "",
                    format!("code {code:?}: {} {}", ended.stdout, last.join(" | ")),
                ));
            }
        }
        Some(ended.into_iter().map(|(code, _)| code).collect())
    }

    async fn new_runs(&mut self) -> Vec<Run> {
        let sql = "select run_id, job, mode, status, verdict, coalesce(verdict_reason, '') as reason, coalesce(error, '') as error
            from runs order by started_at, run_id";
        let mut runs: Vec<Run> = self
            .mirror
            .rows(sql)
            .await
            .iter()
            .map(|row| Run {
                id: row.get("run_id"),
                job: Job::named(row.get("job")),
                mode: row.get("mode"),
                status: row.get("status"),
                verdict: row.get("verdict"),
                reason: row.get("reason"),
                error: row.get("error"),
            })
            .collect();
        runs.retain(|run| self.known_runs.insert(run.id));
        runs
    }

    fn tell(
        &mut self,
        commands: &[&[&str]],
        meets: &Meets,
        codes: &Option<Vec<Option<i32>>>,
        runs: &[Run],
    ) {
        let commands: Vec<String> = commands.iter().map(|command| command.join(" ")).collect();
        let mut step = commands.join(" & ");
        if meets.drift != Edits::NONE {
            step.push_str(&format!(", drifting {:?}", meets.drift));
        }
        if let Some(incident) = meets.incident {
            step.push_str(&format!(", while {incident:?}"));
        }
        if let Some(phases) = meets.killed_after {
            step.push_str(&format!(", killed after {phases} phases"));
        }
        step.push_str(&format!(" -> {codes:?}"));
        for Run {
            job,
            mode,
            status,
            verdict,
            reason,
            error,
            ..
        } in runs
        {
            let verdict = verdict.as_deref().unwrap_or("-");
            step.push_str(&format!(
                "\n      {} {mode}: {status}, {verdict} ({reason}) {error}",
                job.name()
            ));
        }
        self.steps.push(step);
    }

    /// Whether the program ended as what it met explains.
    fn look_at_endings(&mut self, meets: &Meets, codes: &[Option<i32>], runs: &[Run]) {
        if !self.scenario.is_calm() || meets.incident.is_some() || meets.killed_after.is_some() {
            return;
        }
        for run in runs {
            let is_told = matches!(run.verdict.as_deref(), Some("incomplete" | "partial"));
            if run.status == "failed" && !is_told {
                self.wrong.push(Wrong::new(
                    Kind::Ending,
                    "",
                    format!("{} failed: {}", run.job.name(), run.error),
                ));
            }
        }
        let failed = runs.iter().any(|run| run.status == "failed");
        if codes.contains(&Some(1)) && !failed {
            self.wrong
                .push(Wrong::new(Kind::Ending, "", "code 1, and no run failed"));
        }
    }

    /// What a brake names, it holds.
    fn look_at_brake(&mut self, run: &Run, before: &Held, held: &Held) {
        if run.status != "braked" {
            return;
        }
        for table in of_jobs(&[run.job]) {
            let is_held = match run.job {
                Job::Users => table.name == "users",
                Job::Accounts
                | Job::Segments
                | Job::Schema
                | Job::Catalog
                | Job::Events
                | Job::Webhooks
                | Job::Rules
                | Job::Sessions => {
                    let mut words = run.error.split(|c: char| !c.is_alphanumeric() && c != '_');
                    words.any(|word| word == table.name)
                }
            };
            let parents = table.below.table();
            let has_parent = |name: &str| match (parents, before.living(table.name).get(name)) {
                (Some(parents), Some(Some(parent))) => held.lives(parents, parent),
                (_, _) => true,
            };
            let marked = held
                .dead(table.name)
                .filter(|name| before.lives(table.name, name) && has_parent(name))
                .count();
            if is_held && marked > 0 {
                self.wrong.push(Wrong::new(
                    Kind::BrakeLeaks,
                    table.name,
                    format!("{marked} rows were marked: {}", run.error),
                ));
            }
        }
    }

    fn look_at_nothing(&mut self, before: &Held, stretch: &Stretch) {
        let nobody =
            stretch.began.rows("users").is_empty() && stretch.ended.rows("users").is_empty();
        let some = before.living("users").len();
        if nobody && some > 0 {
            self.wrong.push(Wrong::new(
                Kind::ProvenByNothing,
                "users",
                format!("{some} lived in the mirror"),
            ));
        }
    }

    /// Looks into what a run claims, and remembers what the next one needs.
    async fn judge(&mut self, run: &Run, meets: &Meets, stretch: &Stretch, is_among_others: bool) {
        let mut watched = self.jobs.remove(&run.job).unwrap_or_default();
        let of_this = (stretch.began.clone(), stretch.held.clone());
        let began = watched.began.take().unwrap_or_else(|| of_this.clone());
        let before = watched.before.take();
        if run.is_full() && (!run.is_over() || run.status == "failed") {
            // The next may go on where this one stopped.
            watched.began = Some(began.clone());
        }
        let (began, held) = if run.is_full() { began } else { of_this };
        let stretch = Stretch {
            began,
            held,
            ended: stretch.ended.clone(),
        };
        let counts = run.is_full()
            && run.is_over()
            && meets.incident.is_none()
            && self.scenario.is_honest()
            && self.scenario.is_calm()
            && !self.says_nothing(run.job);
        if counts {
            self.tally.full += 1;
            self.tally.claimed += u64::from(run.claims());
            if !run.claims() {
                *self
                    .tally
                    .why_not
                    .entry(format!(
                        "{} {} {}",
                        run.job.name(),
                        run.status,
                        run.verdict.as_deref().unwrap_or("-")
                    ))
                    .or_default() += 1;
            }
        }
        let may_claim = run.claims() && meets.incident.is_none();
        let is_due_and_seen = watched.is_loaded && self.scenario.shows_changes();
        let is_about_rows = run.is_full()
            || match run.job {
                Job::Users => is_due_and_seen,
                Job::Accounts
                | Job::Segments
                | Job::Schema
                | Job::Catalog
                | Job::Events
                | Job::Webhooks
                | Job::Rules
                | Job::Sessions => watched.is_loaded,
            };
        let is_settled = !is_among_others || run.job == Job::Users && run.is_full();
        if run.confirms() {
            // It claims nothing but deletions, which are looked into where it was asked for.
        } else if may_claim && is_about_rows && is_settled && run.mode != "replay" {
            let silent_grants =
                !run.is_full() && !self.scenario.options.behaviour.grants_touch_users;
            let of_job = self.tables().into_iter();
            let tables = of_job
                .filter(|table| table.job == run.job)
                .filter(|table| table.name != "user_grants" || !silent_grants)
                .collect();
            let wrong_before = self.wrong.len();
            self.look_into(tables, run.is_full(), &stretch, before.as_ref())
                .await;
            let is_evidence_only =
                run.verdict.as_deref() == Some("agreed") && meets.drift != Edits::NONE;
            if is_evidence_only {
                // Two passes that agree are evidence: somebody may have slipped through both, now
                // and then.
                let of_this = self.wrong.split_off(wrong_before);
                let (slipped, rest): (Vec<Wrong>, Vec<Wrong>) = of_this
                    .into_iter()
                    .partition(|wrong| wrong.kind == Kind::Missing);
                // Who was mirrored before does not show that they slipped through.
                let would_show = !watched.is_loaded || !slipped.is_empty();
                self.tally.agreed_under_drift += u64::from(would_show);
                self.tally.wrong_under_drift += u64::from(!slipped.is_empty());
                self.wrong.extend(rest);
                watched.is_loaded = slipped.is_empty() && (run.is_full() || watched.is_loaded);
            } else if run.is_full() {
                watched.is_loaded = self.wrong.len() == wrong_before;
            }
            watched.before = Some(stretch);
        } else if run.is_full() && may_claim {
            watched.is_loaded = true;
        } else if run.is_full() && meets.is_lost() && run.claims() && run.is_proven() {
            // A 404 proves nothing, so nothing is called proven that rests on one.
            let tables = self.tables().into_iter();
            let tables = tables.filter(|table| table.job == run.job).collect();
            let wrong_before = self.wrong.len();
            self.look_into(tables, false, &stretch, None).await;
            let of_this = self.wrong.split_off(wrong_before).into_iter();
            self.wrong
                .extend(of_this.filter(|wrong| wrong.kind == Kind::Missing));
        }
        self.jobs.insert(run.job, watched);
    }

    async fn look_into(
        &mut self,
        tables: Vec<&'static Table>,
        is_full: bool,
        stretch: &Stretch,
        before: Option<&Stretch>,
    ) {
        let held = Held::of(&self.mirror, &self.scenario.jobs).await;
        let claim = Claim {
            tables,
            is_full,
            stretch,
            before,
            not_word_for_word: &self.not_word_for_word,
        };
        self.wrong.extend(claim.wrong(&held, &self.mirror).await);
    }
}
