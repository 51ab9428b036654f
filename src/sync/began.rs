//! When a scan began, as the next one has to know it: what changed since then is asked of the API,
//! so it goes by the API's clock, as far as that can be believed. Where it cannot, it goes by
//! Postgres's. A watermark that is too early costs requests; one that is too late loses changes for
//! ever, so in doubt the earlier one counts.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::Error;
use super::run::Run;
use clock::time;
use mirror::state::runs;

/// The API may be so much ahead of Postgres: clocks are not quite equal, and the first answer of a
/// large export takes minutes.
const AHEAD: TimeDelta = TimeDelta::minutes(5);

/// An API that is further behind Postgres did not say what time it is: it takes signatures of about
/// the present only, so it knows.
const BEHIND: TimeDelta = TimeDelta::days(1);

/// Where only Postgres's clock is known, it may be ahead of the API's by this much, beside the
/// overlap of the job: machines whose clocks nobody sets are off by minutes.
const MARGIN: TimeDelta = TimeDelta::minutes(5);

/// Differences of less are not worth a word.
const WORTH_SAYING: TimeDelta = TimeDelta::hours(1);

/// When a scan began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Began {
    /// The watermark.
    pub(super) at: DateTime<Utc>,
    /// What is odd about the API's clock.
    pub(super) doubt: Option<String>,
}

impl Began {
    /// By the API's clock at its first answer, and by Postgres's at the beginning of the run and
    /// now.
    pub(super) fn of(api: Option<DateTime<Utc>>, began: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        let by_postgres = time::before(began, MARGIN);
        let Some(api) = api else {
            let doubt =
                "no usable Date came with what was read, so the next run goes by Postgres's clock";
            return Self {
                at: by_postgres,
                doubt: Some(doubt.to_owned()),
            };
        };
        let (behind, ahead) = (
            began.signed_duration_since(api),
            api.signed_duration_since(now),
        );
        let doubt = |difference: TimeDelta, words: &str| {
            (difference > WORTH_SAYING)
                .then(|| format!("Zephr's Date is {} {words}", in_words(difference)))
        };
        if behind > BEHIND {
            Self {
                at: by_postgres,
                doubt: doubt(
                    behind,
                    "behind Postgres's clock and not believed: the next run goes by Postgres's clock",
                ),
            }
        } else if api > time::after(began, AHEAD) {
            Self {
                at: began,
                doubt: doubt(
                    ahead,
                    "ahead of Postgres's clock: the next run goes by Postgres's clock, the earlier one",
                ),
            }
        } else {
            Self {
                at: api,
                doubt: doubt(
                    behind,
                    "behind Postgres's clock: each run reads the changes of that time again",
                ),
            }
        }
    }

    /// A reason, with what is odd about the clock.
    pub(super) fn explain(&self, reason: String) -> String {
        match &self.doubt {
            Some(doubt) => format!("{reason}; {doubt}"),
            None => reason,
        }
    }
}

/// In whole minutes.
fn in_words(time: TimeDelta) -> String {
    let minutes = time.num_minutes().unsigned_abs();
    humantime::format_duration(Duration::from_secs(minutes.saturating_mul(60))).to_string()
}

impl Run<'_> {
    /// When the scan of this run began, of which the API's clock showed this at its first answer.
    pub(super) async fn began(&self, api: Option<DateTime<Utc>>) -> Result<Began, Error> {
        let (began, now) = runs::began(self.pool, self.run_id).await?;
        Ok(Began::of(api, began, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    fn of(api: Option<&str>) -> (String, Option<String>) {
        let began = Began::of(
            api.map(at),
            at("2026-05-05T12:00:00Z"),
            at("2026-05-05T12:01:00Z"),
        );
        (began.at.to_rfc3339(), began.doubt)
    }

    #[test]
    fn the_apis_clock_counts_as_far_as_it_can_be_believed_and_the_watermark_is_never_in_the_future()
    {
        for (api, watermark, words) in [
            (
                Some("2026-05-05T12:00:02Z"),
                "2026-05-05T12:00:02+00:00",
                None,
            ),
            (
                Some("2026-05-05T12:04:59Z"),
                "2026-05-05T12:04:59+00:00",
                None,
            ),
            (
                Some("2026-05-05T12:06:00Z"),
                "2026-05-05T12:00:00+00:00",
                None,
            ),
            (
                Some("2026-05-05T15:01:00Z"),
                "2026-05-05T12:00:00+00:00",
                Some("Zephr's Date is 3h ahead"),
            ),
            (
                Some("2099-12-31T00:00:00Z"),
                "2026-05-05T12:00:00+00:00",
                Some("ahead of Postgres's clock"),
            ),
            (
                Some("2026-05-05T11:30:00Z"),
                "2026-05-05T11:30:00+00:00",
                None,
            ),
            (
                Some("2026-05-05T09:00:00Z"),
                "2026-05-05T09:00:00+00:00",
                Some("Zephr's Date is 3h behind"),
            ),
            (
                Some("2015-01-01T00:00:00Z"),
                "2026-05-05T11:55:00+00:00",
                Some("not believed"),
            ),
            (None, "2026-05-05T11:55:00+00:00", Some("no usable Date")),
        ] {
            let (got, doubt) = of(api);
            assert_eq!(got, watermark, "{api:?}");
            match words {
                None => assert_eq!(doubt, None, "{api:?}"),
                Some(words) => assert!(
                    doubt.as_ref().is_some_and(|d| d.contains(words)),
                    "{doubt:?}"
                ),
            }
        }
    }
}
