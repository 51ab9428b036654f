//! The one place where an answer becomes a named failure with its remedy.

use std::time::Duration;

use reqwest::StatusCode;

use remedy::Remedy;

/// A call to the Admin API that did not give what was asked for.
///
/// The endpoint is the method and the path without its query: a query can hold an e-mail address.
/// Bodies are never kept: they are personal data.
#[derive(Debug, thiserror::Error)]
#[error("{endpoint}: {failure}")]
pub struct Error {
    /// Method and path.
    pub endpoint: String,
    /// What happened.
    #[source]
    pub failure: Failure,
}

/// What can go wrong with a call.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The request target would not have gone out byte for byte as it was signed.
    #[error("the address cannot be sent exactly as it would be signed; percent-encode {0}")]
    Unsendable(&'static str),
    /// No connection, or none that could be trusted.
    #[error("no connection to Zephr: {0}")]
    Connect(String),
    /// The connection broke, or nothing came for too long, after the request had gone out.
    #[error("the connection broke before the answer was complete ({0})")]
    Broken(String),
    /// 401.
    #[error("Zephr refused the signature (401){}", clock_words(*.clock_ahead))]
    Unauthorized {
        /// By how many seconds our clock is ahead of the API's `Date`; absent when the answer had
        /// none.
        clock_ahead: Option<i64>,
    },
    /// 403 with anything but HTML: the key pair's user may not do this.
    #[error("Zephr does not allow this (403)")]
    Forbidden,
    /// 429, or Cloudflare's HTML with 403 (contract section 3).
    #[error("Zephr is throttling ({status})")]
    Throttled {
        /// The status it came with.
        status: StatusCode,
        /// `Retry-After`, in either form.
        after: Option<Duration>,
    },
    /// Refused, with the request to come back later than the settings let us wait; or not even
    /// sent, since an earlier answer said so.
    #[error("Zephr asks to be left alone for {}{}, and max_retry_after is {}", time_words(*.after), status_words(*.status), time_words(*.limit))]
    AskedToWait {
        /// The status it came with; none for a request that was not sent.
        status: Option<StatusCode>,
        /// How long it asked for, or what is left of that.
        after: Duration,
        /// How long the settings let us wait.
        limit: Duration,
    },
    /// 404.
    #[error("not found (404)")]
    NotFound,
    /// 5xx, Cloudflare's 520 to 529 among them.
    #[error("Zephr failed ({status})")]
    Server {
        /// The status.
        status: StatusCode,
        /// `Retry-After`, in either form.
        after: Option<Duration>,
    },
    /// Any other status that is not a success; redirects among them, since a signed request follows
    /// none.
    #[error("unexpected answer ({0})")]
    Status(StatusCode),
    /// A write that was refused, with what the API said about it.
    #[error("Zephr refused this ({status})")]
    Refused {
        /// The status.
        status: StatusCode,
        /// What it said.
        said: Said,
    },
    /// It was not sent: at the last moment it turned out that it might not be ours to send any
    /// more.
    #[error("it was not sent, since this process may no longer work on it")]
    Withheld,
    /// The process is to stop: it was not sent, or what it was to read is not waited for.
    #[error("it was given up, since this process is to stop")]
    Interrupted,
    /// A success whose body is encoded, which was not asked for.
    #[error("the answer is encoded ({0}), though no encoding was asked for")]
    Encoded(String),
    /// A success that is not JSON, as an edge's HTML page is not.
    #[error("the answer is not JSON but {0}")]
    NotJson(String),
    /// A success whose JSON is cut short or malformed.
    #[error("the answer is not complete JSON (line {line}, column {column})")]
    Malformed {
        /// Line in the body, from 1.
        line: usize,
        /// Column in that line.
        column: usize,
    },
    /// A 404 for a key with a slash. A server that takes the path apart after it has decoded it looks
    /// somewhere else, and says nothing about the key.
    #[error(
        "not found (404), for a key with a slash in it: Zephr may have looked for something else"
    )]
    Astray,
    /// A success with a field `error` beside what it shows, which may then be a part of it.
    #[error("the answer shows something and says `{field}` beside it: it may be only a part")]
    Partial {
        /// The name of that field.
        field: &'static str,
    },
    /// A success whose table ends in the middle of a row.
    #[error("the answer ends in the middle of a row (line {line}): it was cut short")]
    CutShort {
        /// Line in the body at which the last row begins, from 1.
        line: u64,
    },
    /// Proper JSON of another kind than was asked for.
    #[error("the answer is not {expected}: {found}")]
    Unexpected {
        /// What was asked for.
        expected: &'static str,
        /// What came, by shape and field names.
        found: String,
    },
    /// It goes on and on.
    #[error("the answer has not ended after {minutes} minutes")]
    Endless {
        /// The limit.
        minutes: u64,
    },
    /// More than we are willing to hold.
    #[error("the answer is larger than {limit_mib} MiB")]
    TooLarge {
        /// The limit.
        limit_mib: usize,
    },
}

/// What the API said when it refused a write. It may quote the value, so it shows itself to nobody
/// who does not ask.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Said(Option<String>);

/// As long as a sentence: more is not a reason but a page.
const MOST_SAID: usize = 300;

impl Said {
    pub(super) fn new(text: Option<String>) -> Self {
        Self(text.map(|text| text.chars().take(MOST_SAID).collect()))
    }

    /// The words; none when there were none.
    pub fn words(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Said")
    }
}

/// From this difference on, the clock is named as the likely cause of a 401. Zephr publishes no
/// tolerance; five minutes is usual, and a machine with time synchronisation is right within a
/// second.
const SUSPICIOUS_CLOCK_SECONDS: i64 = 60;

fn clock_words(clock_ahead: Option<i64>) -> String {
    match clock_ahead {
        Some(seconds) if seconds.abs() >= SUSPICIOUS_CLOCK_SECONDS => {
            let direction = if seconds > 0 { "ahead of" } else { "behind" };
            format!(
                "; this machine's clock is {} s {direction} Zephr's",
                seconds.abs()
            )
        }
        Some(_) | None => String::new(),
    }
}

/// A time as people write it, in whole seconds.
fn time_words(time: Duration) -> String {
    humantime::format_duration(Duration::from_secs(time.as_secs())).to_string()
}

fn status_words(status: Option<StatusCode>) -> String {
    status.map_or_else(String::new, |status| format!(" ({})", status.as_u16()))
}

impl Error {
    /// What to do about it.
    pub fn remedy(&self) -> Remedy {
        self.failure.remedy()
    }

    /// Whether it is a 404, which on a list may mean an empty one (contract section 3).
    pub fn is_not_found(&self) -> bool {
        matches!(self.failure, Failure::NotFound)
    }

    /// Whether no request can say what was meant: none was sent, or it was taken for another one.
    pub fn is_unsendable(&self) -> bool {
        matches!(self.failure, Failure::Unsendable(_) | Failure::Astray)
    }

    /// The same, where the key that was asked for has a slash: then a 404 says nothing about it.
    pub(super) fn about_key(self, key: &str) -> Self {
        if self.is_not_found() && key.contains(['/', '\\']) {
            Self {
                failure: Failure::Astray,
                ..self
            }
        } else {
            self
        }
    }

    /// Whether a page beyond the first one was refused, and not for who asks: it is past the end, or
    /// deeper than the server pages.
    pub(super) fn is_refused_page(&self) -> bool {
        matches!(
            self.failure,
            Failure::Status(
                StatusCode::BAD_REQUEST
                    | StatusCode::RANGE_NOT_SATISFIABLE
                    | StatusCode::UNPROCESSABLE_ENTITY
            )
        )
    }

    /// Whether nothing was learned about what was asked for, and asking again would bring the same:
    /// no request can name it, or what came is no answer to it.
    pub fn says_nothing(&self) -> bool {
        matches!(
            self.failure,
            Failure::Unsendable(_)
                | Failure::Astray
                | Failure::Status(_)
                | Failure::Unexpected { .. }
        )
    }

    /// Whether it is a 410: what was asked for was there, and is gone.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self.failure, Failure::Status(StatusCode::GONE))
    }

    /// Whether nothing is wrong but that the process is to stop.
    pub fn is_interruption(&self) -> bool {
        matches!(self.failure, Failure::Interrupted)
    }

    /// Whether Zephr asks for more patience than the settings have, so that repeating it now is
    /// against its wish.
    pub fn asks_for_too_long(&self) -> bool {
        matches!(self.failure, Failure::AskedToWait { .. })
    }

    /// Whether the API certainly did nothing: then even a write may be sent again.
    pub fn certainly_not_processed(&self) -> bool {
        match &self.failure {
            Failure::AskedToWait { status, .. } => {
                status.is_none_or(|status| status.is_client_error())
            }
            Failure::Connect(_)
            | Failure::Throttled { .. }
            | Failure::Unsendable(_)
            | Failure::Withheld
            | Failure::Interrupted => true,
            Failure::Broken(_)
            | Failure::Unauthorized { .. }
            | Failure::Forbidden
            | Failure::NotFound
            | Failure::Server { .. }
            | Failure::Status(_)
            | Failure::Refused { .. }
            | Failure::Encoded(_)
            | Failure::NotJson(_)
            | Failure::Malformed { .. }
            | Failure::Astray
            | Failure::Partial { .. }
            | Failure::CutShort { .. }
            | Failure::Unexpected { .. }
            | Failure::Endless { .. }
            | Failure::TooLarge { .. } => false,
        }
    }
}

impl Failure {
    /// Whether the API is telling us to slow down; the governor halves on it (contract section 3).
    pub fn is_overload(&self) -> bool {
        match self {
            Self::Throttled { .. } | Self::Server { .. } | Self::AskedToWait { .. } => true,
            Self::Unsendable(_)
            | Self::Connect(_)
            | Self::Broken(_)
            | Self::Unauthorized { .. }
            | Self::Forbidden
            | Self::NotFound
            | Self::Status(_)
            | Self::Refused { .. }
            | Self::Withheld
            | Self::Interrupted
            | Self::Encoded(_)
            | Self::NotJson(_)
            | Self::Malformed { .. }
            | Self::Astray
            | Self::Partial { .. }
            | Self::CutShort { .. }
            | Self::Unexpected { .. }
            | Self::Endless { .. }
            | Self::TooLarge { .. } => false,
        }
    }

    /// The decision to retry, all of it.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Unsendable(_) => Remedy::Person(
                "Write the path and query with these characters percent-encoded.".into(),
            ),
            Self::Connect(_) => Remedy::Retry {
                after: None,
                hint: "Check the network, the proxy settings and ZEPHR_TENANT or ZEPHR_BASE_URL, then run the command again.",
            },
            Self::Broken(_) | Self::CutShort { .. } => Remedy::Retry {
                after: None,
                hint: "The network or Zephr's edge keeps cutting answers short. Run the command again; if it persists, lower rpp.",
            },
            Self::Partial { .. } => Remedy::Retry {
                after: None,
                hint: "Zephr could not answer in full. Run the command again; if it persists, lower rpp, or ask Zephr's support what the error says.",
            },
            Self::Astray => Remedy::Person(
                "Ask Zephr's support whether keys with a slash can be asked for.".into(),
            ),
            Self::Unauthorized { clock_ahead: Some(seconds) }
                if seconds.abs() >= SUSPICIOUS_CLOCK_SECONDS =>
            {
                Remedy::Person(
                    "Set this machine's clock (time synchronisation is off, it seems), then run the command again.".into(),
                )
            }
            Self::Unauthorized { .. } => Remedy::Person(
                "Check ZEPHR_ACCESS_KEY and ZEPHR_SECRET_KEY, and that the key pair belongs to this tenant and still exists.".into(),
            ),
            Self::Forbidden => Remedy::Person(
                "Give the admin user that owns the key pair a role that may read this, or switch the job off.".into(),
            ),
            Self::Throttled { after, .. } => Remedy::Retry {
                after: *after,
                hint: "Zephr kept throttling. Run the command again later, or lower max_in_flight or set max_requests_per_second.",
            },
            Self::AskedToWait { after, .. } => Remedy::Retry {
                after: Some(*after),
                hint: "Run the command again when that time is over; what was read is kept. To have it wait instead, raise max_retry_after.",
            },
            Self::NotFound => Remedy::Person(
                "Check ZEPHR_TENANT or ZEPHR_BASE_URL, and that this operation exists for the tenant.".into(),
            ),
            Self::Server { after, .. } => Remedy::Retry {
                after: *after,
                hint: "Zephr kept failing. Run the command again later; what was read is kept.",
            },
            Self::Status(_) => Remedy::Person(
                "Check ZEPHR_TENANT or ZEPHR_BASE_URL. `zephr-sync api GET <path>` shows the answer itself.".into(),
            ),
            Self::Refused { .. } => Remedy::Person(
                "`zephr-sync api` with the same request shows the whole answer; see what it says about the request.".into(),
            ),
            Self::Withheld => Remedy::Person(
                "Run the command again: it continues where this process stopped.".into(),
            ),
            Self::Interrupted => Remedy::Retry {
                after: None,
                hint: "Run the command again: it continues where this process stopped.",
            },
            Self::Encoded(_) => Remedy::Person(
                "Something between here and Zephr compresses what it passes on. Check the address and any proxy: answers must come as they are (identity).".into(),
            ),
            Self::NotJson(_) => Remedy::Retry {
                after: None,
                hint: "Something between here and Zephr answers in its place. Check the address and any proxy, then run the command again.",
            },
            Self::Malformed { .. } => Remedy::Retry {
                after: None,
                hint: "Zephr kept sending broken JSON. Run the command again later; `zephr-sync api GET <path>` shows the answer itself.",
            },
            Self::Unexpected { .. } => Remedy::Person(
                "Check ZEPHR_BASE_URL: this does not look like the Zephr Admin API. `zephr-sync api GET <path>` shows the answer itself.".into(),
            ),
            Self::Endless { .. } => Remedy::Person(
                "Lower rpp, so that each answer is smaller. If it persists, something between here and Zephr keeps answers open: check the address and any proxy.".into(),
            ),
            Self::TooLarge { .. } => Remedy::Person("Lower rpp, so that each answer is smaller.".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_named_as_the_cause() {
        let failure = Failure::Unauthorized {
            clock_ahead: Some(-420),
        };
        assert_eq!(
            failure.to_string(),
            "Zephr refused the signature (401); this machine's clock is 420 s behind Zephr's"
        );
        assert!(failure.remedy().hint().contains("clock"));
    }

    #[test]
    fn who_asks_for_too_long_is_quoted() {
        let failure = |status| Failure::AskedToWait {
            status,
            after: Duration::from_millis(7_200_900),
            limit: Duration::from_secs(900),
        };
        assert_eq!(
            failure(Some(StatusCode::TOO_MANY_REQUESTS)).to_string(),
            "Zephr asks to be left alone for 2h (429), and max_retry_after is 15m"
        );
        assert_eq!(
            failure(None).to_string(),
            "Zephr asks to be left alone for 2h, and max_retry_after is 15m"
        );
        assert!(failure(None).remedy().hint().contains("max_retry_after"));
    }

    #[test]
    fn a_clock_that_is_right_is_not_blamed() {
        let failure = Failure::Unauthorized {
            clock_ahead: Some(2),
        };
        assert_eq!(failure.to_string(), "Zephr refused the signature (401)");
        assert!(failure.remedy().hint().contains("ZEPHR_SECRET_KEY"));
        assert!(matches!(failure.remedy(), Remedy::Person(_)));
    }
}
