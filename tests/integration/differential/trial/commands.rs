//! The program's commands: what they meet while they run, how they end, and which runs they left.

use std::time::Duration;

use simulator::Edits;
use sqlx::Row;
use uuid::Uuid;

use super::Trial;
use super::incident::Incident;
use crate::differential::claim::{Kind, Stretch, Wrong};
use crate::differential::tables::{Held, Job};

/// Requests of one command beyond which it is taken to ask for ever: a whole sync of the largest
/// tenant here takes some hundreds.
const MOST_REQUESTS: u64 = 8_000;

/// How often is looked whether a command has come to its end, before it is taken to have none: for
/// a minute and a half, where one request in some dozens that goes wrong costs a second.
const LOOKS: u32 = 450;
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// A run as it stands in the bookkeeping.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) id: Uuid,
    pub(super) job: Job,
    pub(super) mode: String,
    pub(super) status: String,
    pub(super) verdict: Option<String>,
    pub(super) reason: String,
    pub(super) error: String,
}

impl Run {
    pub(super) fn is_full(&self) -> bool {
        self.mode == "full"
    }

    pub(super) fn claims(&self) -> bool {
        self.status == "succeeded" && matches!(self.verdict.as_deref(), Some("proven" | "agreed"))
    }

    /// Whether it did nothing but the deletions that a brake had held.
    pub(super) fn confirms(&self) -> bool {
        self.reason.starts_with("about the deletions that run ")
    }

    /// Whether an earlier run read a part of what it claims, before others changed.
    pub(super) fn went_on(&self) -> bool {
        self.reason
            .contains("it went on with the scan that an earlier run began")
    }

    pub(super) fn is_proven(&self) -> bool {
        self.verdict.as_deref() == Some("proven")
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.status.as_str(), "succeeded" | "braked" | "failed")
    }
}

/// What a command meets.
#[derive(Debug, Clone, Default)]
pub(super) struct Meets {
    pub(super) drift: Edits,
    pub(super) incident: Option<Incident>,
    /// Killed after so many phases.
    pub(super) killed_after: Option<u32>,
}

impl Meets {
    /// Whether a path answers 404 that is there.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self.incident, Some(Incident::Lost(_)))
    }
}

impl Trial {
    /// Runs a command, or several at once, and looks into what came of it.
    pub(super) async fn run(&mut self, commands: &[&[&str]], meets: Meets) -> Vec<Run> {
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
            held: before,
        };
        let held = Held::of(&self.mirror, &self.scenario.jobs).await;
        let runs = self.new_runs().await;
        self.tell(commands, &meets, &codes, &runs);
        let Some(codes) = codes else {
            let words = format!(
                "more than {MOST_REQUESTS} requests, or {LOOKS} looks {BETWEEN_LOOKS:?} apart"
            );
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
        self.look_at_rows(&runs, &held, &stretch);
        let is_sample = commands.iter().any(|command| command.contains(&"--limit"));
        for run in &runs {
            // What a sample took in, no claim before it has shown to be gone.
            if is_sample {
                self.forget_claim(run.job);
                continue;
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
        let endless = async {
            // Looks are counted: a machine that was paused for minutes shows a clock that has gone
            // on, and programs that have not.
            for _ in 0..LOOKS {
                tokio::time::sleep(BETWEEN_LOOKS).await;
                if self.simulator.stats().requests - begin > MOST_REQUESTS {
                    return;
                }
            }
        };
        let ended = tokio::select! {
            biased;
            ended = futures::future::join_all(all) => ended,
            () = endless => return None,
        };
        for (code, ended) in &ended {
            let last: Vec<&str> = ended.stderr.lines().rev().take(3).collect();
            if *code == Some(1) {
                self.steps.push(format!("it says: {}", last.join(" | ")));
            }
            // Beside another one it may wait for that one's lease as long as it waits for any.
            let gave_up_waiting = commands.len() > 1 && *code == Some(5);
            // What it said where it should not have ended so.
            if !matches!(code, None | Some(0 | 1 | 3 | 4)) && !gave_up_waiting {
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
}
