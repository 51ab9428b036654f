//! Why no session could be opened, in the words of whoever has to mend it: where, and what happened
//! there.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::Duration;

/// A session could not be opened. It travels inside of the [`sqlx::Error`] that says so.
#[derive(Debug)]
pub struct Unreachable {
    place: String,
    why: Why,
    source: Option<io::Error>,
}

/// What keeps a session from being opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Nobody listens there.
    Refused,
    /// No address is known for the name.
    UnknownHost,
    /// No answer came within this time.
    Silent(Duration),
    /// What answers cannot show that it is who it has to be.
    Certificate,
    /// Anything else between here and there.
    Network,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = &self.place;
        match self.why {
            Why::Refused => write!(f, "nobody listens at {place}"),
            Why::UnknownHost => write!(f, "the host of {place} is not known"),
            Why::Silent(time) => write!(
                f,
                "{place} did not answer within {}",
                humantime::format_duration(time)
            ),
            Why::Certificate => write!(f, "the certificate of {place} is not to be trusted"),
            Why::Network => write!(f, "{place} cannot be reached"),
        }?;
        match &self.source {
            Some(source) => write!(f, " ({source})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Unreachable {}

impl Why {
    fn of(error: &io::Error) -> Self {
        let is_tls = error
            .get_ref()
            .is_some_and(|inner| inner.to_string().contains("certificate"));
        // The standard library has no kind for what the resolver says.
        let is_unknown = error.to_string().starts_with("failed to lookup address");
        let refused = [
            io::ErrorKind::ConnectionRefused,
            // There is no such socket in the file system.
            io::ErrorKind::NotFound,
        ];
        if refused.contains(&error.kind()) {
            Self::Refused
        } else if is_tls {
            Self::Certificate
        } else if is_unknown {
            Self::UnknownHost
        } else {
            Self::Network
        }
    }

    /// What to do.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Refused => {
                "Check that Postgres runs there and listens on that address (`listen_addresses`), and host and port in DATABASE_URL. Nothing is lost: the command continues after the last commit."
            }
            Self::UnknownHost => {
                "Check the host in DATABASE_URL; `getent hosts NAME` on this machine shows whether it is known here."
            }
            Self::Silent(_) => {
                "Check host and port in DATABASE_URL, and whether a firewall lets this machine through. Nothing is lost: the command continues after the last commit."
            }
            Self::Certificate => {
                "Check the host in DATABASE_URL against the certificate, and name the authority that has signed it: sslrootcert=FILE in DATABASE_URL."
            }
            Self::Network => {
                "Check the network between this machine and Postgres. Nothing is lost: the command continues after the last commit."
            }
        }
    }

    /// Whether it may pass without anybody doing anything.
    pub fn may_pass(self) -> bool {
        match self {
            Self::Refused | Self::UnknownHost | Self::Silent(_) | Self::Network => true,
            Self::Certificate => false,
        }
    }
}

/// Says of an error while a session was being opened where that was.
pub(super) fn explained(error: sqlx::Error, place: &str) -> sqlx::Error {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "not ours; what the server itself says needs no place"
    )]
    match error {
        sqlx::Error::Io(source) => unreachable(place, Why::of(&source), Some(source)),
        sqlx::Error::Tls(source) if source.to_string().contains("certificate") => {
            let source = io::Error::other(source);
            unreachable(place, Why::Certificate, Some(source))
        }
        other => other,
    }
}

/// No answer within this time.
pub(super) fn silent(time: Duration, place: &str) -> sqlx::Error {
    unreachable(place, Why::Silent(time), None)
}

fn unreachable(place: &str, why: Why, source: Option<io::Error>) -> sqlx::Error {
    let kind = source
        .as_ref()
        .map_or(io::ErrorKind::TimedOut, io::Error::kind);
    let place = place.to_owned();
    sqlx::Error::Io(io::Error::new(kind, Unreachable { place, why, source }))
}

/// Why a session could not be opened, if that is what an error is about.
pub fn why(error: &sqlx::Error) -> Option<Why> {
    let found = error.source()?.downcast_ref::<io::Error>()?.get_ref()?;
    found
        .downcast_ref::<Unreachable>()
        .map(|unreachable| unreachable.why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_and_where_is_said_once() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let error = explained(sqlx::Error::Io(refused), "db.example:5432/mirror");
        assert_eq!(why(&error), Some(Why::Refused));
        assert_eq!(
            error.to_string(),
            "error communicating with database: nobody listens at db.example:5432/mirror (connection refused)"
        );
        let silent = silent(Duration::from_secs(30), "db.example:5432/mirror");
        assert_eq!(why(&silent), Some(Why::Silent(Duration::from_secs(30))));
        let distrusted = io::Error::new(
            io::ErrorKind::InvalidData,
            "invalid peer certificate: UnknownIssuer",
        );
        let error = explained(sqlx::Error::Io(distrusted), "db.example:5432/mirror");
        assert!(why(&error).is_some_and(|why| !why.may_pass()));
    }

    #[test]
    fn what_the_server_says_stays_as_it_is() {
        let error = explained(sqlx::Error::PoolClosed, "db.example:5432/mirror");
        assert!(matches!(error, sqlx::Error::PoolClosed));
    }
}
