//! The body of a delivery.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::event::{Bulk, Event, Kind, Notice, RunFacts};
use super::settings::Format;
use super::slack;

#[derive(Serialize)]
struct Document<'a> {
    event: Kind,
    event_id: Uuid,
    occurred_at: DateTime<Utc>,
    schema: &'a str,
    #[serde(flatten)]
    about: About<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum About<'a> {
    Run(&'a RunFacts),
    Slot {
        job: &'a str,
        scheduled_at: DateTime<Utc>,
        late_since: DateTime<Utc>,
    },
    Bulk(&'a Bulk),
}

/// What is sent, byte for byte: these bytes are signed.
pub fn body(notice: &Notice, format: Format) -> Vec<u8> {
    let value = match format {
        Format::Json => json(notice),
        Format::Slack => slack::message(notice),
    };
    value.to_string().into_bytes()
}

fn json(notice: &Notice) -> serde_json::Value {
    let Notice {
        event_id,
        occurred_at,
        schema,
        event,
    } = notice;
    let about = match event {
        Event::RunFailed(run)
        | Event::RunBraked(run)
        | Event::RunRecovered(run)
        | Event::RunUnfit(run) => About::Run(run),
        Event::RunLate {
            job,
            scheduled_at,
            late_since,
        } => About::Slot {
            job,
            scheduled_at: *scheduled_at,
            late_since: *late_since,
        },
        Event::BulkFinished(bulk) => About::Bulk(bulk),
    };
    let document = Document {
        event: event.kind(),
        event_id: *event_id,
        occurred_at: *occurred_at,
        schema,
        about,
    };
    // Names, numbers, texts and times: there is nothing in it that JSON could not hold.
    serde_json::to_value(document).unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests {
    use mirror::state::runs::{Mode, Status};

    use super::*;

    pub(in crate::notify) fn run() -> RunFacts {
        RunFacts {
            run_id: Uuid::nil(),
            job: "users".into(),
            mode: Mode::Full,
            status: Status::Braked,
            verdict: Some("proven".into()),
            verdict_reason: None,
            scheduled_at: Some(DateTime::UNIX_EPOCH),
            attempt: 1,
            started_at: DateTime::UNIX_EPOCH,
            finished_at: None,
            rows_read: 5,
            rows_inserted: 0,
            rows_updated: 0,
            rows_unchanged: 5,
            rows_tombstoned: 0,
            rows_rejected: 0,
            requests: 3,
            retries: 0,
            throttled_ms: 0,
            unfit: Vec::new(),
            error: Some("1 < 2 & 3 > 2".into()),
            remedy: Some("Look.".into()),
        }
    }

    pub(in crate::notify) fn notice(event: Event) -> Notice {
        Notice {
            event_id: Uuid::nil(),
            occurred_at: DateTime::UNIX_EPOCH,
            schema: "zephr".into(),
            event,
        }
    }

    pub(in crate::notify) fn every_kind() -> [Event; 6] {
        [
            Event::RunFailed(Box::new(run())),
            Event::RunBraked(Box::new(run())),
            Event::RunLate {
                job: "users".into(),
                scheduled_at: DateTime::UNIX_EPOCH,
                late_since: DateTime::UNIX_EPOCH,
            },
            Event::RunRecovered(Box::new(run())),
            Event::RunUnfit(Box::new(run())),
            Event::BulkFinished(Bulk {
                plan_id: Uuid::nil(),
                rows_succeeded: 1_200,
                rows_failed: 3,
                rows_unknown: 0,
            }),
        ]
    }

    #[test]
    fn names_are_those_of_the_columns() {
        let documents = every_kind().map(|event| {
            let body = body(&notice(event), Format::Json);
            serde_json::from_slice::<serde_json::Value>(&body).unwrap()
        });
        let kinds = documents
            .each_ref()
            .map(|document| document["event"].as_str().unwrap());
        assert_eq!(
            kinds,
            [
                "failed",
                "braked",
                "late",
                "recovered",
                "unfit",
                "bulk_finished"
            ]
        );
        assert_eq!(documents[1]["run"]["job"], "users");
        assert_eq!(documents[1]["run"]["scheduled_at"], "1970-01-01T00:00:00Z");
        assert_eq!(documents[1]["schema"], "zephr");
        assert_eq!(documents[2]["slot"]["late_since"], "1970-01-01T00:00:00Z");
        assert_eq!(documents[5]["bulk"]["rows_failed"], 3);
        let columns = concat!(
            include_str!("../../migrations/0001_bookkeeping.sql"),
            include_str!("../../migrations/0015_what_did_not_fit.sql"),
        );
        let run = documents[0]["run"].as_object().unwrap();
        for name in run.keys() {
            assert!(
                columns.contains(&format!("comment on column runs.{name} is")),
                "{name}"
            );
        }
    }
}
