//! An event as a Slack message: `text` for notifications and old clients, `blocks` for the channel.

use serde_json::{Value, json};

use super::event::{Event, Notice, RunFacts};

/// Slack refuses a section with more than 3,000 characters, and escaping makes up to five of one.
const MOST: usize = 500;

/// The message.
pub(super) fn message(notice: &Notice) -> Value {
    let (title, detail) = words(notice);
    let title = escape(&title);
    let lines = detail.iter().filter(|line| !line.is_empty());
    let sections: Vec<Value> = std::iter::once(format!("*{title}*"))
        .chain(lines.map(|line| escape(line)))
        .map(|text| json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } }))
        .collect();
    json!({ "text": title, "blocks": sections })
}

fn words(notice: &Notice) -> (String, Vec<String>) {
    let schema = &notice.schema;
    match &notice.event {
        Event::RunFailed(run) => (format!("{schema}: {} failed", run.job), facts(run)),
        Event::RunBraked(run) => (format!("{schema}: a brake stopped {}", run.job), facts(run)),
        Event::RunRecovered(run) => (format!("{schema}: {} works again", run.job), facts(run)),
        Event::RunUnfit(run) => (
            format!("{schema}: {} reads values that do not fit", run.job),
            facts(run),
        ),
        Event::RunLate {
            job, scheduled_at, ..
        } => (
            format!("{schema}: {job} is late"),
            vec![format!(
                "It was due at {} UTC and has not succeeded yet.",
                scheduled_at.format("%Y-%m-%d %H:%M")
            )],
        ),
        Event::BulkFinished(bulk) => (
            format!("{schema}: a bulk job is done"),
            vec![
                format!(
                    "{} rows succeeded, {} failed, {} are unknown.",
                    bulk.rows_succeeded, bulk.rows_failed, bulk.rows_unknown
                ),
                format!("plan {}", bulk.plan_id),
            ],
        ),
    }
}

fn facts(run: &RunFacts) -> Vec<String> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let unfit: Vec<String> = run.unfit.iter().map(ToString::to_string).collect();
    vec![
        text(&run.error),
        text(&run.remedy),
        unfit.join("; "),
        format!("{} read, run {}", run.rows_read, run.run_id),
    ]
}

/// What Slack wants escaped, and nothing else (its reference: these three characters are its
/// control characters).
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars().take(MOST) {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            other => escaped.push(other),
        }
    }
    if text.chars().nth(MOST).is_some() {
        escaped.push('…');
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::document::tests::{every_kind, notice, run};
    use super::*;

    #[test]
    fn what_slack_would_interpret_is_escaped() {
        let message = message(&notice(Event::RunBraked(Box::new(run()))));
        assert_eq!(message["text"], "zephr: a brake stopped users");
        let sections = message["blocks"].as_array().unwrap();
        let texts: Vec<_> = sections
            .iter()
            .map(|section| section["text"]["text"].as_str().unwrap())
            .collect();
        assert_eq!(
            texts,
            [
                "*zephr: a brake stopped users*",
                "1 &lt; 2 &amp; 3 &gt; 2",
                "Look.",
                "5 read, run 00000000-0000-0000-0000-000000000000",
            ]
        );
    }

    #[test]
    fn each_kind_is_a_message_that_slack_takes() {
        for event in every_kind() {
            let mut long = run();
            long.error = Some("&".repeat(10_000));
            long.remedy = long.error.clone();
            let event = if matches!(event, Event::RunFailed(_)) {
                Event::RunFailed(Box::new(long))
            } else {
                event
            };
            let message = message(&notice(event));
            assert!(!message["text"].as_str().unwrap().is_empty());
            for section in message["blocks"].as_array().unwrap() {
                let length = section["text"]["text"].as_str().unwrap().chars().count();
                assert!((1..=3_000).contains(&length), "{length}");
            }
        }
    }
}
