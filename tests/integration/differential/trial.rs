//! A scenario, played: the tenant changes, the program runs, is killed, is helped; and each claim
//! is looked into.

mod commands;
mod incident;
mod judge;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use simulator::{Count, Edits, Faults, List, Nothing, Simulator};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::chance::Chance;
use super::change::Changes;
use super::claim::{Claim, Kind, Stretch, Wrong};
use super::scenario::Scenario;
use super::tables::{Held, Job, Snapshot, Table, of_jobs};
use super::tally::Tally;
use crate::support::running::Running;
use crate::support::{Mirror, Program, tenant};
use commands::{Meets, Run};
use incident::Incident;
use judge::Watched;

/// Records per answer, from which on somebody may come after each answer.
const FAST: u32 = 8;

/// The longest time that daemons may take until they are ready.
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
            // Who went after an earlier run had read their time is not missing from the scan.
            let is_believed =
                matches!(braked.verdict.as_deref(), Some("proven" | "agreed")) && !braked.went_on();
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
                    reason: "",
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
            let is_claimed =
                |run: &Run| run.claims() || self.says_nothing(run) || self.may_be_a_part(run);
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
    ///
    /// The members that there are may be those of an account that cannot be stored, and so is not
    /// asked for: this simulator answers 404 only where there are none, so a run that says it was
    /// all that it heard is right.
    fn says_nothing(&self, run: &Run) -> bool {
        let (tenant, behaviour) = (self.simulator.tenant(), &self.scenario.options.behaviour);
        let has_none =
            |list, nothing| nothing == Nothing::NotFound && tenant.truth_of(list).is_empty();
        let nothings = [behaviour.no_members, behaviour.no_account_grants];
        let heard_nothing =
            nothings.contains(&Nothing::NotFound) && run.reason.contains("answered 404 for all of");
        run.job == Job::Accounts
            && (heard_nothing
                || has_none(List::AccountUsers, behaviour.no_members)
                || has_none(List::AccountGrants, behaviour.no_account_grants))
    }

    /// Whether the only user came alone from a server that sends one record a page and counts nobody
    /// (with one user it has no occasion to tell of more by a link): nothing distinguishes it from a server that sends one record and no second page.
    fn may_be_a_part(&self, run: &Run) -> bool {
        let behaviour = &self.scenario.options.behaviour;
        run.job == Job::Users
            && self.simulator.tenant().living() == 1
            && self.scenario.records_per_answer() == 1
            && behaviour.count != Count::Total
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
}
