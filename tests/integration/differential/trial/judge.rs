//! What came of a command: whether it ended as it should, and whether what its runs claim is true.

use simulator::Edits;

use super::Trial;
use super::commands::{Meets, Run};
use crate::differential::claim::{self, Claim, Kind, Stretch, Wrong};
use crate::differential::tables::{Held, Job, Snapshot, Table, of_jobs};

/// What is remembered of a job.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// What the tenant and the mirror held when a full scan began that has not come to its end.
    began: Option<(Snapshot, Held)>,
    /// The last claim, if it was the last run.
    before: Option<Stretch>,
    /// Whether a full scan claimed everybody, and rightly: only then incremental ones claim the
    /// rest.
    is_loaded: bool,
}

impl Trial {
    /// The last claim of a job says nothing about what it may have taken in since.
    pub(super) fn forget_claim(&mut self, job: Job) {
        if let Some(watched) = self.jobs.get_mut(&job) {
            watched.before = None;
        }
    }

    /// Whether the program ended as what it met explains.
    pub(super) fn look_at_endings(&mut self, meets: &Meets, codes: &[Option<i32>], runs: &[Run]) {
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

    /// Whether what the mirror holds now can be, whatever was claimed.
    pub(super) fn look_at_rows(&mut self, runs: &[Run], held: &Held, stretch: &Stretch) {
        let before = &stretch.held;
        self.wrong.extend(claim::false_tombstones(
            &self.tables(),
            before,
            held,
            stretch,
        ));
        self.wrong.extend(claim::orphans(held));
        for run in runs {
            self.look_at_brake(run, before, held);
            // What a run showed that went on with an earlier scan, that one has read.
            let is_of_now = run.is_full() && !run.went_on();
            if run.is_proven() && is_of_now && run.job == Job::Users {
                self.look_at_nothing(before, stretch);
            }
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
    pub(super) async fn judge(
        &mut self,
        run: &Run,
        meets: &Meets,
        stretch: &Stretch,
        is_among_others: bool,
    ) {
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
        self.count(run, meets);
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
            self.look_into(tables, run, &stretch, before.as_ref()).await;
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
            self.look_into(tables, run, &stretch, None).await;
            let of_this = self.wrong.split_off(wrong_before).into_iter();
            self.wrong
                .extend(of_this.filter(|wrong| wrong.kind == Kind::Missing));
        }
        self.jobs.insert(run.job, watched);
    }

    /// Counts how often a full scan that nothing stood in the way of claims everything.
    fn count(&mut self, run: &Run, meets: &Meets) {
        let counts = run.is_full()
            && run.is_over()
            && meets.incident.is_none()
            && self.scenario.is_honest()
            && self.scenario.is_calm()
            && !self.says_nothing(run);
        if !counts {
            return;
        }
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

    async fn look_into(
        &mut self,
        tables: Vec<&'static Table>,
        run: &Run,
        stretch: &Stretch,
        before: Option<&Stretch>,
    ) {
        let held = Held::of(&self.mirror, &self.scenario.jobs).await;
        let claim = Claim {
            tables,
            is_full: run.is_full(),
            stretch,
            before,
            not_word_for_word: &self.not_word_for_word,
            reason: &run.reason,
        };
        self.wrong.extend(claim.wrong(&held, &self.mirror).await);
    }
}
