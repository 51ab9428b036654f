//! Bulk user updates (contract section 12): the one call that writes, and the calls that read what
//! became of it.
//!
//! Whoever holds a [`Reader`] can ask about jobs; only a [`Writer`] can make one.

pub mod body;
pub mod details;

use bytes::Bytes;
use reqwest::Method;
use serde_json::value::RawValue;

use super::client::{Answer, Client, Request};
use super::error::{Error, Failure};
use super::export;
use super::json::{self, Fields, Kind};
use super::read::Reader;

/// The operation.
const PATH: &str = "/v4/user-updates";

/// Words that say that a job is over, compared without case (contract section 12.4).
const OVER: [&str; 10] = [
    "completed",
    "complete",
    "finished",
    "done",
    "succeeded",
    "success",
    "failed",
    "error",
    "cancelled",
    "canceled",
];

/// Writes to a tenant. Planning has none.
#[derive(Debug, Clone)]
pub struct Writer {
    client: Client,
}

/// What became of a request to update users.
#[derive(Debug)]
pub enum Submitted {
    /// The API took it and named a job.
    Accepted(String),
    /// The API did nothing with it, and may take it later.
    NotNow(Error),
    /// The API did nothing with it: it is too large.
    TooLarge,
    /// The API did nothing with it: something in it is wrong. What it said about that.
    Invalid(Option<String>),
    /// The API did nothing with it, and will not: a person must act.
    Refused(Error),
    /// Nobody knows whether it arrived.
    Lost(Error),
}

impl Writer {
    /// Through this client, whose governor it shares with all that read.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Sends updates, once, if `allowed` says at the last moment that they may go out.
    pub async fn submit(&self, body: Bytes, allowed: impl Fn() -> bool) -> Submitted {
        let request = Request::new(Method::POST, PATH.into(), body);
        let read = self.client.once(&request, allowed).await;
        let failure = |failure| Error {
            endpoint: request.endpoint(),
            failure,
        };
        match read {
            Ok(answer) => match job_of(&answer) {
                Ok(job_id) => Submitted::Accepted(job_id),
                // It took something, or something else answered in its place.
                Err(unreadable) => Submitted::Lost(failure(unreadable)),
            },
            Err(error) => refused(error),
        }
    }
}

/// What follows from a request that did not give a job: the whole decision, in one place.
fn refused(error: Error) -> Submitted {
    match &error.failure {
        Failure::Refused { status, said } => match status.as_u16() {
            413 => Submitted::TooLarge,
            400 | 409 | 415 | 422 => Submitted::Invalid(said.words().map(str::to_owned)),
            // A timeout of the server's own: it may have read all of it.
            408 | 425 => Submitted::Lost(error),
            _ => Submitted::Refused(error),
        },
        Failure::Connect(_) | Failure::Throttled { .. } | Failure::Interrupted => {
            Submitted::NotNow(error)
        }
        // Nobody waits that long: the push stops, and says so.
        Failure::AskedToWait { .. } if error.certainly_not_processed() => Submitted::Refused(error),
        Failure::Unsendable(_)
        | Failure::Unauthorized { .. }
        | Failure::Forbidden
        | Failure::NotFound
        | Failure::Withheld => Submitted::Refused(error),
        Failure::Broken(_)
        | Failure::AskedToWait { .. }
        | Failure::Encoded(_)
        | Failure::Server { .. }
        | Failure::Status(_)
        | Failure::NotJson(_)
        | Failure::Malformed { .. }
        | Failure::Astray
        | Failure::Partial { .. }
        | Failure::CutShort { .. }
        | Failure::Unexpected { .. }
        | Failure::Endless { .. }
        | Failure::TooLarge { .. } => Submitted::Lost(error),
    }
}

/// The job that an answer names: `job_id` here, `jobId` elsewhere (contract section 12.2).
fn job_of(answer: &Answer) -> Result<String, Failure> {
    let root = export::document(answer)?;
    let fields = Fields::of(root).unwrap_or_default();
    let fields = fields.get("data").and_then(Fields::of).unwrap_or(fields);
    name(&fields).ok_or_else(|| Failure::Unexpected {
        expected: "the name of a job",
        found: "an answer without job_id".into(),
    })
}

fn name(fields: &Fields<'_>) -> Option<String> {
    let named = ["job_id", "jobId", "id"]
        .iter()
        .find_map(|name| fields.get(name))?;
    match json::kind(named) {
        Kind::Text => json::text(named).map(|text| text.text.into_owned()),
        Kind::Number => Some(named.get().to_owned()),
        Kind::Object | Kind::Array | Kind::Boolean | Kind::Null => None,
    }
    .filter(|name| !name.is_empty())
}

/// A job as the API shows it, alone or in the list.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its identifier.
    pub job_id: String,
    /// The API's word for its state; which words there are is not documented.
    pub status: Option<String>,
    /// Updates that were done.
    pub succeeded: Option<i64>,
    /// Updates that were not.
    pub errors: Option<i64>,
    /// Updates in all; zero while it is not known.
    pub total: Option<i64>,
    /// The answer as it came.
    pub raw: Box<RawValue>,
}

impl Job {
    fn read(raw: &RawValue) -> Option<Self> {
        let fields = Fields::of(raw)?;
        let inner = fields.get("data").and_then(Fields::of);
        let fields = inner.unwrap_or(fields);
        let count = |name| {
            let text = fields.get(name)?.get();
            text.trim_matches('"').parse::<f64>().ok().map(|n| n as i64)
        };
        Some(Self {
            job_id: name(&fields)?,
            status: fields
                .get("status")
                .and_then(json::text)
                .map(|text| text.text.into_owned()),
            succeeded: count("succeeded"),
            errors: count("errors"),
            total: count("total"),
            raw: raw.to_owned(),
        })
    }

    /// Whether nothing more will come of it: by its counts, or by a word that is known to say so
    /// (contract section 12.4).
    pub fn is_over(&self) -> bool {
        self.is_over_by_counts() || self.says_over()
    }

    /// Whether its counts add up to its total.
    pub fn is_over_by_counts(&self) -> bool {
        let counted = self.succeeded.unwrap_or(0) + self.errors.unwrap_or(0);
        self.total
            .is_some_and(|total| total > 0 && counted >= total)
    }

    fn says_over(&self) -> bool {
        let status = self.status.as_deref().unwrap_or_default();
        OVER.iter().any(|word| status.eq_ignore_ascii_case(word))
    }

    /// Whether it is over, all of it was done and none of it failed.
    pub fn is_all_done(&self, updates: i64) -> bool {
        self.errors.unwrap_or(0) == 0 && self.succeeded.is_some_and(|done| done >= updates)
    }
}

impl Reader {
    /// The jobs that the API lists; none where it answers 404, which may mean that there are none
    /// (contract section 12.2).
    ///
    /// # Errors
    /// As [`Client::call`]; what is not a list is an error.
    pub async fn update_jobs(&self) -> Result<Option<Vec<Job>>, Error> {
        let listed = self.list(PATH, None, None, None).await?;
        Ok(listed.map(|listed| {
            let items = listed.items.iter();
            items.filter_map(|item| Job::read(item)).collect()
        }))
    }

    /// One job; none on a 404, which right after the job was made need not mean anything (contract
    /// section 12.4).
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn update_job(&self, job_id: &str) -> Result<Option<Job>, Error> {
        let raw = self.single("/v4/user-updates/{}", job_id).await?;
        Ok(raw.and_then(|raw| {
            Job::read(&raw).or_else(|| {
                // An answer that does not repeat the id is about what was asked for.
                let text = raw.get().strip_prefix('{')?;
                let comma = if text.trim_start().starts_with('}') {
                    ""
                } else {
                    ","
                };
                let id = serde_json::Value::from(job_id);
                let whole = RawValue::from_string(format!("{{\"jobId\":{id}{comma}{text}")).ok()?;
                Job::read(&whole)
            })
        }))
    }
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;
    use crate::error::Said;

    fn job(text: &str) -> Job {
        Job::read(serde_json::from_str(text).unwrap()).unwrap()
    }

    #[test]
    fn a_job_is_over_by_its_counts_or_by_its_word() {
        for (text, over) in [
            (
                r#"{"jobId":"a","status":"running","succeeded":3,"errors":1,"total":4}"#,
                true,
            ),
            (
                r#"{"jobId":"a","status":"stage-2","succeeded":3,"errors":0,"total":4}"#,
                false,
            ),
            (
                r#"{"job_id":"a","status":"stage-2","succeeded":"3","errors":"1","total":"4"}"#,
                true,
            ),
            (
                r#"{"jobId":"a","status":"queued","succeeded":0,"errors":0,"total":0}"#,
                false,
            ),
            (r#"{"jobId":"a","status":"COMPLETED"}"#, true),
            (r#"{"jobId":7}"#, false),
        ] {
            assert_eq!(job(text).is_over(), over, "{text}");
        }
    }

    #[test]
    fn what_is_certain_not_to_have_been_done_is_told_from_what_is_lost() {
        let refusal = |status: u16| {
            refused(Error {
                endpoint: "POST".into(),
                failure: Failure::Refused {
                    status: StatusCode::from_u16(status).unwrap(),
                    said: Said::default(),
                },
            })
        };
        assert!(matches!(refusal(413), Submitted::TooLarge));
        assert!(matches!(refusal(400), Submitted::Invalid(None)));
        assert!(matches!(refusal(418), Submitted::Refused(_)));
        assert!(matches!(refusal(408), Submitted::Lost(_)));
        let server = refused(Error {
            endpoint: "POST".into(),
            failure: Failure::Server {
                status: StatusCode::SERVICE_UNAVAILABLE,
                after: None,
            },
        });
        assert!(matches!(server, Submitted::Lost(_)));
    }
}
