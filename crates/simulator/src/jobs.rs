//! The jobs bulk updates become: accepted at once, carried out later, whether or not anybody asks.
//!
//! No task carries them out. Whatever reads or changes the tenant first does what has fallen due,
//! at the time it fell due, which nobody can tell from a task that did it in time.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use super::applied::{Applied, Does, Log, Outcome};
use super::bulk::{Bulk, Readable};
use super::bulk_request::{Action, Entry, Identifier};
use super::calendar;
use super::ids;
use super::json;
use super::mix::Purpose;
use super::person::People;
use super::schema;
use super::tenant::{Editing, Tenant};
use super::values::Schema;

/// Steps of more rows than this have the order of updates sorted anew when somebody next asks for
/// it, instead of moving each row through it: among a million people that is the slower way from
/// about here on.
const MOST_MOVED: usize = 16;

/// One entry of a job.
#[derive(Debug)]
pub(super) struct Row {
    pub identifier: Identifier,
    /// What is still to be done.
    actions: Vec<Action>,
    /// What became of it: a text for people either way. None before it was its turn.
    pub outcome: Option<Result<&'static str, &'static str>>,
}

/// When something happened: by the simulator's clock, which tests may hold still or move, and by
/// one nobody can.
#[derive(Debug, Clone, Copy)]
struct Moment {
    /// Since 1970.
    clock: Duration,
    instant: Instant,
}

impl Moment {
    /// How long ago it was. A delay has passed when it has by either clock: a still clock holds up
    /// no job of milliseconds, and a clock that is moved on by an hour ends a job of an hour.
    fn age(self, now: Self) -> Duration {
        let by_clock = now.clock.saturating_sub(self.clock);
        by_clock.max(now.instant.saturating_duration_since(self.instant))
    }
}

/// One accepted request.
#[derive(Debug)]
pub(super) struct Job {
    pub id: String,
    accepted: Moment,
    pub rows: Vec<Row>,
    /// How many of the rows were carried out.
    pub done: usize,
    pub succeeded: u64,
    pub errors: u64,
}

impl Job {
    pub(super) fn is_finished(&self) -> bool {
        self.done == self.rows.len()
    }

    /// Milliseconds since 1970 at which it was accepted, by the simulator's clock.
    pub(super) fn accepted_millis(&self) -> u64 {
        u64::try_from(self.accepted.clock.as_millis()).unwrap_or(u64::MAX)
    }

    /// Rows carried out after the next step, and how long after its acceptance that is.
    fn next_step(&self, bulk: &Bulk) -> Option<(usize, Duration)> {
        let whole = Duration::from_millis(bulk.delay_ms);
        let half = self.rows.len() / 2;
        if self.is_finished() {
            None
        } else if bulk.halfway && self.done < half {
            Some((half, Duration::from_millis(bulk.delay_ms / 2)))
        } else {
            Some((self.rows.len(), whole))
        }
    }
}

/// All jobs, and what they did.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    /// In the order they were accepted.
    all: Vec<Job>,
    by_id: HashMap<String, usize>,
    /// The numbers of those not finished, in the same order.
    unfinished: Vec<usize>,
    pub log: Log,
    /// Requests whose body was not all ASCII.
    pub non_ascii: u64,
    /// Users whom one job named twice, or deleted and changed.
    pub twice_in_job: u64,
}

impl Jobs {
    /// How many were accepted.
    pub(super) fn count(&self) -> u64 {
        self.all.len() as u64
    }

    /// The step that fell due first, of those that have.
    fn due(&self, bulk: &Bulk, now: Moment, at_once: bool) -> Option<(usize, usize, Duration)> {
        let steps = self.unfinished.iter().filter_map(|number| {
            let job = self.all.get(*number)?;
            let (rows, after) = job.next_step(bulk)?;
            let due = at_once || job.accepted.age(now) >= after;
            due.then_some((*number, rows, job.accepted.clock.saturating_add(after)))
        });
        steps.min_by_key(|(number, _, at)| (*at, *number))
    }
}

impl Tenant {
    pub(super) fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moment(&self) -> Moment {
        Moment {
            clock: self.time(),
            instant: Instant::now(),
        }
    }

    /// Carries out what has fallen due of the jobs accepted so far.
    ///
    /// Must not be called while the people are being looked at: it may have to change them.
    pub(super) fn run_due_jobs(&self) {
        self.run_jobs(false);
    }

    /// Carries out all jobs accepted so far, now, whatever time they were to take.
    pub fn finish_jobs(&self) {
        self.run_jobs(true);
    }

    fn run_jobs(&self, at_once: bool) {
        let mut jobs = self.jobs();
        if jobs.unfinished.is_empty() {
            return;
        }
        let bulk = self.behaviour().bulk;
        let now = self.moment();
        while let Some((number, rows, due)) = jobs.due(&bulk, now, at_once) {
            let Jobs { all, log, .. } = &mut *jobs;
            if let Some(job) = all.get_mut(number) {
                self.step(&bulk, job, rows, due.min(now.clock), log);
                if job.is_finished() {
                    jobs.unfinished.retain(|other| *other != number);
                }
            }
        }
    }

    /// Carries out the rows of a job up to a number, with nobody looking in between.
    fn step(&self, bulk: &Bulk, job: &mut Job, to: usize, at: Duration, log: &mut Log) {
        let schema = self.read_schema();
        self.editing(|editing| {
            if to.saturating_sub(job.done) > MOST_MOVED {
                editing.forget_update_order();
            }
            let mut turn = Turn {
                bulk,
                schema: &schema,
                seed: self.seed(),
                job_id: &job.id,
                at,
                editing,
                log,
            };
            for row in job.rows.get_mut(job.done..to).unwrap_or_default() {
                let outcome = turn.row(row);
                if outcome.is_ok() {
                    job.succeeded += 1;
                } else {
                    job.errors += 1;
                }
                row.outcome = Some(outcome);
            }
        });
        job.done = to;
    }

    pub(super) fn read_schema(&self) -> Schema {
        let mut answer = Vec::new();
        self.world(|world| schema::write(&mut answer, world.books.schema.as_deref()));
        Schema::read(&answer)
    }

    /// Makes entries a job and answers its id.
    pub(super) fn accept_job(&self, entries: Vec<Entry>) -> String {
        let accepted = self.moment();
        let mut jobs = self.jobs();
        let number = jobs.all.len();
        // A simulator that is started again must not give an id twice: no server does.
        let millis = u64::try_from(accepted.clock.as_millis()).unwrap_or(u64::MAX);
        let unique = millis.wrapping_shl(16).wrapping_add(number as u64);
        let id = ids::text(self.seed(), Purpose::JobId, unique);
        let rows = entries.into_iter().map(|entry| Row {
            identifier: entry.identifier,
            actions: entry.actions,
            outcome: None,
        });
        jobs.all.push(Job {
            id: id.clone(),
            accepted,
            rows: rows.collect(),
            done: 0,
            succeeded: 0,
            errors: 0,
        });
        jobs.by_id.insert(id.clone(), number);
        jobs.unfinished.push(number);
        id
    }

    /// Runs `look` on the job of an id, if it can be read by it yet.
    pub(super) fn job<T>(&self, id: &str, look: impl FnOnce(&Job) -> T) -> Option<T> {
        let bulk = self.behaviour().bulk;
        let grace = Duration::from_millis(bulk.id_grace_ms);
        let now = self.moment();
        let jobs = self.jobs();
        let job = jobs.all.get(*jobs.by_id.get(id)?)?;
        let shown = match bulk.readable {
            Readable::Everywhere => job.accepted.age(now) >= grace,
            Readable::InListOnly | Readable::Nowhere => false,
        };
        shown.then(|| look(job))
    }

    /// Runs `look` on the jobs the list shows by now, in its order.
    pub(super) fn listed_jobs<T>(&self, look: impl FnOnce(&[&Job]) -> T) -> T {
        let bulk = self.behaviour().bulk;
        let grace = Duration::from_millis(bulk.list_grace_ms);
        let now = self.moment();
        let jobs = self.jobs();
        let shown = |job: &&Job| match bulk.readable {
            Readable::Everywhere | Readable::InListOnly => job.accepted.age(now) >= grace,
            Readable::Nowhere => false,
        };
        let mut listed: Vec<&Job> = jobs.all.iter().filter(shown).collect();
        if bulk.newest_first {
            listed.reverse();
        }
        look(&listed)
    }
}

/// Whom an identifier means among the living.
pub(super) fn whom(people: People<'_>, identifier: &Identifier) -> Option<u32> {
    match identifier {
        Identifier::UserId(id) => people.by_user_id(id),
        Identifier::ForeignKey { name, key } => {
            people.by_foreign_key(Identifier::system(name), key)
        }
    }
}

/// What a step needs to carry out a row.
struct Turn<'a, 'b> {
    bulk: &'a Bulk,
    schema: &'a Schema,
    seed: u64,
    job_id: &'a str,
    /// Since 1970.
    at: Duration,
    editing: &'a mut Editing<'b>,
    log: &'a mut Log,
}

impl Turn<'_, '_> {
    /// Carries out the actions of a row in their order, up to one that fails; those before it stay
    /// done.
    fn row(&mut self, row: &mut Row) -> Result<&'static str, &'static str> {
        let mut done = "nothing to do";
        for action in std::mem::take(&mut row.actions) {
            let index = whom(self.editing.people(), &row.identifier);
            let user_id = match (&row.identifier, index) {
                (Identifier::UserId(id), _) => Some(id.clone()),
                (Identifier::ForeignKey { .. }, Some(index)) => {
                    Some(super::identity::user_id_text(self.seed, index))
                }
                (Identifier::ForeignKey { .. }, None) => None,
            };
            let (does, field, value, typed) = match action {
                Action::Set {
                    field,
                    value,
                    typed,
                } => (Does::SetAttribute, Some(field), value, typed),
                Action::Delete => (Does::DeleteUser, None, None, None),
            };
            let before = index.and_then(|index| self.before(index, field.as_deref()));
            let outcome = match (index, &field) {
                (None, _) => Err("no such user"),
                (Some(index), Some(field)) => {
                    self.set(index, field, value.as_deref(), typed.as_deref())
                }
                (Some(index), None) => {
                    self.editing.expel(index);
                    Ok("the user was deleted")
                }
            };
            let mut at = Vec::new();
            let millis = u64::try_from(self.at.as_millis()).unwrap_or(u64::MAX);
            calendar::instant_millis(&mut at, millis);
            self.log.push(Applied {
                job_id: self.job_id.to_owned(),
                user_id,
                action: does,
                field,
                value,
                before,
                outcome: match outcome {
                    Ok(_) => Outcome::Applied,
                    Err(_) => Outcome::Error,
                },
                message: outcome.err().unwrap_or_default().to_owned(),
                at: String::from_utf8_lossy(&at).into_owned(),
            });
            done = outcome?;
        }
        Ok(done)
    }

    /// The value of an attribute, or who a person is that may be deleted.
    fn before(&self, index: u32, field: Option<&str>) -> Option<Box<RawValue>> {
        let people = self.editing.people();
        let Some(field) = field else {
            let mut person = Vec::new();
            json::object(&mut person, |out| {
                json::number_field(out, "index", u64::from(index));
                json::raw(out, ",\"registered\":\"");
                calendar::instant(out, people.registration(index));
                out.push(b'"');
            });
            return serde_json::from_slice(&person).ok();
        };
        people.attribute(index, field)
    }

    fn set(
        &mut self,
        index: u32,
        field: &str,
        value: Option<&str>,
        typed: Option<&str>,
    ) -> Result<&'static str, &'static str> {
        let typed = typed.filter(|_| self.bulk.any_type);
        let said = value.or(typed).ok_or("the value is not a string")?;
        let judged = self.schema.judge(self.bulk, field, said)?;
        let as_sent = typed.and_then(|json| RawValue::from_string(json.to_owned()).ok());
        let value = as_sent.or(judged);
        let second = u32::try_from(self.at.as_secs()).unwrap_or(u32::MAX);
        self.editing.touch(index, second, |change| {
            change.attributes.insert(field.to_owned(), value);
        });
        Ok("the user was updated")
    }
}
