//! What goes wrong on the way: throttling, broken gateways, Cloudflare pages, lost and damaged
//! answers (contract 1, 3 "Errors"), drawn per request from a seeded stream so that a run can be
//! repeated.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::mix::{Purpose, draw, fraction};

/// How `Retry-After` is sent with a 429.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum RetryAfter {
    /// A count of seconds.
    #[default]
    Seconds,
    /// An HTTP date by the simulator's clock.
    Date,
    /// Not at all.
    None,
}

/// How often each fault strikes, in percent of requests, and how slow answers are. Rates beyond 100
/// in sum crowd out the later ones.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// 429 with `Retry-After`.
    pub throttle: f64,
    /// One of 500, 502, 503, 504 and 520 to 529.
    pub server_error: f64,
    /// The connection is reset; in half of the cases after the request was carried out.
    pub reset: f64,
    /// The answer stops in its middle.
    pub truncate: f64,
    /// 200 with an HTML page.
    pub html: f64,
    /// 403 with a page such as Cloudflare's.
    pub forbidden_html: f64,
    /// 200 with JSON that does not parse.
    pub invalid_json: f64,
    /// Of requests that write: lost before they were carried out, with a reset or a 504.
    pub lost_before: f64,
    /// Of requests that write: carried out, and the answer lost in the same ways, so that nobody
    /// can tell one from the other.
    pub lost_after: f64,
    /// How `Retry-After` is sent.
    pub retry_after: RetryAfter,
    /// What `Retry-After` says, in seconds from now.
    pub retry_after_secs: u64,
    /// Every answer waits at least this long.
    pub latency_ms: u64,
    /// And up to this much longer.
    pub jitter_ms: u64,
}

/// One fault that struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// 429, drawn.
    Throttle,
    /// 429, because too many requests were in flight.
    Crowded,
    /// A 5xx.
    ServerError,
    /// A reset connection.
    Reset,
    /// Half an answer.
    Truncate,
    /// 200 with HTML.
    Html,
    /// 403 with HTML.
    ForbiddenHtml,
    /// 200 with broken JSON.
    InvalidJson,
    /// A write that was not carried out, without an answer of its own.
    LostBefore,
    /// A write that was carried out, without an answer of its own.
    LostAfter,
}

/// The statuses of [`Fault::ServerError`], each as likely as any other.
const SERVER_ERRORS: &[u16] = &[
    500, 502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 527, 528, 529,
];

/// What the `number`-th request of a seed meets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fate {
    pub fault: Option<Fault>,
    /// Chooses among the forms of a fault.
    pub form: u64,
    pub delay: Duration,
}

impl Faults {
    /// Whether the request writes decides only about faults of writes: reads meet the same fate
    /// with them and without.
    pub(super) fn fate(&self, seed: u64, number: u64, writes: bool) -> Fate {
        let of_writes = |rate| if writes { rate } else { 0.0 };
        let mut roll = fraction(seed, Purpose::Fault, number) * 100.0;
        let fault = [
            (self.throttle, Fault::Throttle),
            (self.server_error, Fault::ServerError),
            (self.reset, Fault::Reset),
            (self.truncate, Fault::Truncate),
            (self.html, Fault::Html),
            (self.forbidden_html, Fault::ForbiddenHtml),
            (self.invalid_json, Fault::InvalidJson),
            (of_writes(self.lost_before), Fault::LostBefore),
            (of_writes(self.lost_after), Fault::LostAfter),
        ]
        .into_iter()
        .find_map(|(rate, fault)| {
            roll -= rate;
            (roll < 0.0).then_some(fault)
        });
        let form = draw(seed, Purpose::Latency, number);
        let jitter = (form >> 20) % (self.jitter_ms + 1);
        Fate {
            fault,
            form: form >> 40,
            delay: Duration::from_millis(self.latency_ms + jitter),
        }
    }

    pub(super) fn retry_after_header(&self, now: SystemTime) -> Option<String> {
        match self.retry_after {
            RetryAfter::Seconds => Some(self.retry_after_secs.to_string()),
            RetryAfter::Date => now
                .checked_add(Duration::from_secs(self.retry_after_secs))
                .map(httpdate::fmt_http_date),
            RetryAfter::None => None,
        }
    }
}

/// The status of a server error.
pub(super) fn server_error(form: u64) -> u16 {
    SERVER_ERRORS[form as usize % SERVER_ERRORS.len()]
}

/// What arrives in place of a lost answer: nothing, as the connection is reset, or a gateway's word
/// that it waited too long.
pub(super) fn lost(form: u64) -> Option<Answer> {
    let waited = !form.is_multiple_of(2);
    waited.then(|| Answer::html(504, gateway_page(504)))
}

/// A gateway's page about a status.
pub(super) fn gateway_page(status: u16) -> String {
    format!(
        "<!DOCTYPE html>\n<html><head><title>{status}</title></head>\n<body><center><h1>{status}</h1></center><hr>\
         <center>cloudflare</center></body></html>\n"
    )
}

/// What Cloudflare shows a client it has had enough of.
pub(super) const CLOUDFLARE_PAGE: &str = "<!DOCTYPE html>\n<!--[if lt IE 7]> <html class=\"no-js ie6 oldie\" lang=\"en-US\"> \
<![endif]-->\n<html lang=\"en-US\"><head><title>Access denied | api.zephr.example used Cloudflare to restrict access</title>\
<meta charset=\"UTF-8\"/></head>\n<body><div id=\"cf-wrapper\"><h1>Error <span>1015</span> Ray ID: 0000000000000000</h1>\
<h2>You are being rate limited</h2></div></body></html>\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_strike_at_their_rates_and_repeat() {
        let faults = Faults {
            throttle: 10.0,
            reset: 20.0,
            invalid_json: 5.0,
            ..Faults::default()
        };
        let count = |fault| {
            (0..20_000)
                .filter(|n| faults.fate(1, *n, false).fault == fault)
                .count()
        };
        for (fault, expected) in [
            (Some(Fault::Throttle), 2000),
            (Some(Fault::Reset), 4000),
            (Some(Fault::InvalidJson), 1000),
            (Some(Fault::Html), 0),
            (None, 13_000),
        ] {
            let found = count(fault);
            assert!(
                found.abs_diff(expected) <= expected / 8,
                "{fault:?}: {found}"
            );
        }
        assert_eq!(faults.fate(1, 5, false), faults.fate(1, 5, false));
    }

    #[test]
    fn a_certain_fault_always_strikes() {
        let faults = Faults {
            html: 100.0,
            ..Faults::default()
        };
        assert!((0..1000).all(|n| faults.fate(3, n, false).fault == Some(Fault::Html)));
    }

    #[test]
    fn lost_writes_change_nothing_for_reads() {
        let others = Faults {
            throttle: 10.0,
            reset: 20.0,
            jitter_ms: 50,
            ..Faults::default()
        };
        let lossy = Faults {
            lost_before: 30.0,
            lost_after: 10.0,
            ..others.clone()
        };
        let mut lost = (0_u32, 0_u32);
        for number in 0..10_000 {
            assert_eq!(lossy.fate(1, number, false), others.fate(1, number, false));
            match lossy.fate(1, number, true).fault {
                Some(Fault::LostBefore) => lost.0 += 1,
                Some(Fault::LostAfter) => lost.1 += 1,
                fault => assert_eq!(fault, others.fate(1, number, true).fault),
            }
        }
        assert!(
            lost.0.abs_diff(3000) < 300 && lost.1.abs_diff(1000) < 150,
            "{lost:?}"
        );
    }

    #[test]
    fn retry_after_takes_three_forms() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(60);
        let mut faults = Faults {
            retry_after_secs: 2,
            ..Faults::default()
        };
        assert_eq!(faults.retry_after_header(now).as_deref(), Some("2"));
        faults.retry_after = RetryAfter::Date;
        let date = faults.retry_after_header(now).unwrap();
        assert_eq!(
            httpdate::parse_http_date(&date).unwrap(),
            now + Duration::from_secs(2)
        );
        faults.retry_after = RetryAfter::None;
        assert_eq!(faults.retry_after_header(now), None);
    }
}
