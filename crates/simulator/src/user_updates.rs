//! Bulk user updates (contract 12): a request becomes a job, jobs are listed and read one by one.

use std::collections::{BTreeMap, HashMap};

use super::answer::Answer;
use super::bulk::{BadEntry, Bulk, Details, DetailsId, JobDate};
use super::bulk_request::{self, Action, Entry, Identifier};
use super::calendar;
use super::forms::Nothing;
use super::jobs::{Job, Row, whom};
use super::json;
use super::routes::Call;
use super::tenant::Tenant;

/// Where jobs are made and listed.
pub(super) const PATH: &str = "/v4/user-updates";

/// `POST /v4/user-updates`: 202 with the id of a job, once everything that can be wrong with a
/// request is not.
pub(super) fn accept(call: &Call<'_>) -> Answer {
    let bulk = call.tenant.behaviour().bulk;
    if !call.body.is_ascii() {
        call.tenant.jobs().non_ascii += 1;
    }
    let is_json =
        |kind: &str| kind.split(';').next().unwrap_or_default().trim() == "application/json";
    if !call.content_type.is_some_and(is_json) {
        return Answer::error(400, "Unsupported MIME type provided");
    }
    let most_bytes = bulk.most_bytes.map_or(usize::MAX, |most| most as usize);
    if call.body.len() > most_bytes {
        return Answer::error(413, "the body is too large");
    }
    let entries = match bulk_request::read(call.body) {
        Ok(entries) => entries,
        Err(wrong) => return Answer::error(400, &wrong),
    };
    let most_updates = bulk.most_updates.map_or(usize::MAX, |most| most as usize);
    if entries.len() > most_updates {
        return Answer::error(413, "too many updates");
    }
    match bulk.bad_entry {
        BadEntry::FailsRow => {}
        BadEntry::FailsRequest => {
            if let Some(wrong) = bad_entry(call.tenant, &bulk, &entries) {
                return Answer::error(400, &wrong);
            }
        }
    }
    let twice = named_twice(call.tenant, &entries);
    call.tenant.jobs().twice_in_job += twice;
    let id = call.tenant.accept_job(entries);
    let mut body = Vec::new();
    json::object(&mut body, |out| {
        json::text_field(out, "message", "The user updates were accepted");
        json::text_field(out, "job_id", &id);
    });
    Answer::json(202, body)
}

/// What is wrong with the first entry that is bad, if one is.
fn bad_entry(tenant: &Tenant, bulk: &Bulk, entries: &[Entry]) -> Option<String> {
    let schema = tenant.read_schema();
    let wrong_action = |action: &Action| match action {
        Action::Set {
            value: None, typed, ..
        } if typed.is_none() || !bulk.any_type => Some("the value is not a string"),
        Action::Set { field, .. } if !schema.allows(bulk, field) => Some("no such attribute"),
        Action::Set { .. } | Action::Delete => None,
    };
    tenant.look(|people| {
        entries.iter().enumerate().find_map(|(at, entry)| {
            let stranger = whom(people, &entry.identifier).is_none();
            let wrong = stranger.then_some("no such user");
            let wrong = wrong.or_else(|| entry.actions.iter().find_map(wrong_action))?;
            Some(format!("updates[{at}]: {wrong}"))
        })
    })
}

/// How many users a job names more than once, or deletes and changes: what comes of that the
/// contract does not say.
fn named_twice(tenant: &Tenant, entries: &[Entry]) -> u64 {
    tenant.look(|people| {
        // Somebody may be named by id and by foreign key.
        let mut users: HashMap<(Option<u32>, &str), (u32, bool, bool)> = HashMap::new();
        for entry in entries {
            let index = whom(people, &entry.identifier);
            let stranger = match index {
                Some(_) => "",
                None => entry.identifier.text(),
            };
            let (times, sets, deletes) = users.entry((index, stranger)).or_default();
            *times += 1;
            for action in &entry.actions {
                match action {
                    Action::Set { .. } => *sets = true,
                    Action::Delete => *deletes = true,
                }
            }
        }
        let twice = |(times, sets, deletes): &&(u32, bool, bool)| *times > 1 || (*sets && *deletes);
        users.values().filter(twice).count() as u64
    })
}

/// `GET /v4/user-updates`: a bare array of summaries.
pub(super) fn list(call: &Call<'_>) -> Answer {
    let bulk = call.tenant.behaviour().bulk;
    call.tenant.listed_jobs(|jobs| {
        if jobs.is_empty() && bulk.no_jobs == Nothing::NotFound {
            return Answer::error(404, "there are none");
        }
        let mut body = Vec::new();
        json::array(&mut body, jobs, |out, job| {
            json::object(out, |out| summary(out, &bulk, job));
        });
        Answer::json(200, body)
    })
}

/// `GET /v4/user-updates/{job_id}`: the summary and what became of each row.
pub(super) fn read(call: &Call<'_>) -> Answer {
    let bulk = call.tenant.behaviour().bulk;
    let found = call.tenant.job(call.param(0), |job| {
        let mut body = Vec::new();
        json::object(&mut body, |out| {
            summary(out, &bulk, job);
            details(out, &bulk, job);
        });
        Answer::json(200, body)
    });
    found.unwrap_or_else(|| Answer::error(404, "no such job"))
}

fn summary(out: &mut Vec<u8>, bulk: &Bulk, job: &Job) {
    json::text_field(out, "jobId", &job.id);
    json::text_field(out, "status", bulk.status_words.word(job.is_finished()));
    let millis = job.accepted_millis();
    let second = u32::try_from(millis / 1000).unwrap_or(u32::MAX);
    let write: Option<fn(&mut Vec<u8>, u32)> = match bulk.job_date {
        JobDate::Iso => Some(calendar::instant),
        JobDate::Spaced => Some(calendar::spaced),
        JobDate::Millis => {
            json::text_field(out, "jobDate", &millis.to_string());
            None
        }
        JobDate::Absent => None,
    };
    if let Some(write) = write {
        json::key(out, "jobDate");
        out.push(b'"');
        write(out, second);
        out.push(b'"');
    }
    json::number_field(out, "succeeded", job.succeeded);
    json::number_field(out, "errors", job.errors);
    let hidden = bulk.total_late && job.done == 0;
    let total = if hidden { 0 } else { job.rows.len() };
    json::number_field(out, "total", total as u64);
}

/// A row that had its turn: what the API says of it, and whether it succeeded.
type Told<'a> = (&'a Row, bool, &'static str);

fn details(out: &mut Vec<u8>, bulk: &Bulk, job: &Job) {
    let told = || {
        let rows = job.rows.iter();
        rows.filter_map(|row| {
            let outcome = row.outcome?;
            Some((
                row,
                outcome.is_ok(),
                outcome.unwrap_or_else(|failed| failed),
            ))
        })
    };
    let object = |out: &mut Vec<u8>, row: Told<'_>| object(out, bulk, row);
    match bulk.details {
        Details::List => {
            json::key(out, "details");
            json::array(out, told(), object);
        }
        Details::Named => {
            json::key(out, "details");
            super::forms::named(out, "updates", told(), object);
        }
        Details::FailedOnly => {
            json::key(out, "details");
            json::array(out, told().filter(|(_, succeeded, _)| !succeeded), object);
        }
        Details::ObjectPerUser => per_user(out, told(), |out, row| {
            json::object(out, |out| outcome(out, bulk, row));
        }),
        Details::WordPerUser => per_user(out, told(), |out, (_, succeeded, _)| {
            json::string(out, bulk.row_words.word(succeeded));
        }),
        Details::Empty => json::raw_field(out, "details", "{}"),
        Details::Absent => {}
    }
}

/// Appends `details` as a map; of somebody named twice it holds the last row, as maps do.
fn per_user<'a>(
    out: &mut Vec<u8>,
    rows: impl Iterator<Item = Told<'a>>,
    value: impl Fn(&mut Vec<u8>, Told<'a>),
) {
    let by_user: BTreeMap<&str, Told<'a>> =
        rows.map(|told| (told.0.identifier.text(), told)).collect();
    json::key(out, "details");
    json::object(out, |out| {
        for (user, told) in by_user {
            out.push(b',');
            json::string(out, user);
            out.push(b':');
            value(out, told);
        }
    });
}

fn object(out: &mut Vec<u8>, bulk: &Bulk, told: Told<'_>) {
    json::object(out, |out| {
        let as_sent = |out: &mut Vec<u8>| match &told.0.identifier {
            Identifier::UserId(id) => json::text_field(out, "user_id", id),
            Identifier::ForeignKey { name, key } => {
                json::key(out, "foreign_key");
                out.push(b'{');
                json::string(out, name);
                out.push(b':');
                json::string(out, key);
                out.push(b'}');
            }
        };
        match (&told.0.identifier, bulk.details_id) {
            (_, DetailsId::Identifier) => {
                json::key(out, "identifier");
                json::object(out, as_sent);
            }
            (Identifier::UserId(id), DetailsId::Camel) => json::text_field(out, "userId", id),
            (_, DetailsId::Snake | DetailsId::Camel) => as_sent(out),
        }
        outcome(out, bulk, told);
    });
}

fn outcome(out: &mut Vec<u8>, bulk: &Bulk, (_, succeeded, message): Told<'_>) {
    json::text_field(out, "status", bulk.row_words.word(succeeded));
    json::text_field(out, "message", message);
}
