//! Whose mirror it is. Settings that name another tenant than the mirror holds are refused before
//! anything is read or written: two tenants in one mirror look like deletions and registrations,
//! and nothing tells them apart later.
//!
//! ```text
//! address and key known to lead to the tenant? ─ yes ─► go on
//!        │ no: another host? ─ yes ─► refused
//!        └ another key, or another place on this machine ─► some users of the mirror are asked for ─► one exists: known from now on; none, and others do: refused
//! ```
//!
//! A tenant's host is its name (`news.api.zephr.com`). On this machine (a simulator, a tunnel) an
//! address says nothing, and what is there is asked instead.

use std::fmt;

use reqwest::Url;
use sqlx::PgConnection;

use mirror::load::{people, sample};
use mirror::state::{marks, tenant};
use record::Query;
use remedy::Remedy;
use zephr::{self, BaseUrl, Reader};

/// Users of the mirror that are asked for, and users that are looked at: one that both sides have
/// is enough, and five in a row are not gone by chance.
const SAMPLE: i64 = 5;

/// The address of a tenant, by which it is told from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    text: String,
    is_local: bool,
}

impl Address {
    /// Of these settings.
    pub fn of(base: &BaseUrl) -> Self {
        let url = Url::parse(base.as_str()).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
        let host = host.trim_end_matches('.');
        let text = match url.as_ref().and_then(Url::port) {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Self {
            text,
            is_local: base.is_loopback(),
        }
    }

    /// As it was written down.
    fn noted(text: String) -> Self {
        let url = Url::parse(&format!("http://{text}")).ok();
        let base = url.and_then(|url| BaseUrl::parse(url.as_str()).ok());
        Self {
            // Without encryption it can only be on this machine.
            is_local: base.is_some_and(|base| base.is_loopback()),
            text,
        }
    }

    /// Whether the addresses alone say that these are two tenants.
    fn differs(&self, other: &Self) -> bool {
        self.text != other.text && !(self.is_local && other.is_local)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why the mirror is not for these settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another host.
    #[error("this mirror holds the tenant {held}, and the settings name {named}")]
    Other {
        /// The tenant that the mirror holds.
        held: Address,
        /// The one that the settings name.
        named: Address,
    },
    /// The same host, or this machine, and other people.
    #[error(
        "this mirror holds {held}, and the address and key pair of the settings lead to another tenant at {named}: none of {asked} users of the mirror exists there, and it shows users whom the mirror does not know"
    )]
    Strangers {
        /// The tenant that the mirror holds, in words.
        held: String,
        /// What the settings name.
        named: Address,
        /// How many users of the mirror were asked for.
        asked: usize,
    },
    /// Another place, which shows other people and no single users.
    #[error(
        "this mirror holds the tenant {held}, and the settings name {named}, which shows users whom the mirror does not know and does not tell whether those of the mirror exist there"
    )]
    Untold {
        /// The tenant that the mirror holds.
        held: Address,
        /// The one that the settings name.
        named: Address,
    },
}

impl Refusal {
    /// What to do about it.
    pub const REMEDY: &str = "Correct ZEPHR_TENANT or ZEPHR_BASE_URL and the key pair, or give this tenant a schema of its own (`schema`, ZEPHR_SYNC_SCHEMA). If it is the same tenant, which has moved, `zephr-sync adopt` looks and makes the mirror its own.";
}

/// Why it is not known that the mirror is for these settings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The API, when it was to tell whether it is the same tenant.
    #[error(transparent)]
    Api(#[from] zephr::Error),
    /// Postgres.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Whether what is learned may be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It may.
    Write,
    /// Nothing may be written.
    ReadOnly,
}

/// What asking told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// Somebody of the mirror is there.
    Same,
    /// None of so many of the mirror is there, and others are.
    Strangers(usize),
    /// It shows users, none of whom the mirror knows, and does not tell whether those of the mirror
    /// are there.
    Untold,
    /// Nothing that says the one or the other: a mirror without users, a tenant that shows none, or
    /// keys that may not see them.
    Unknown,
}

/// Refuses what the address alone tells to be another tenant. The API is not asked: this is for
/// commands that do not ask it.
///
/// # Errors
/// [`Refusal::Other`], or Postgres.
pub async fn check_address(connection: &mut PgConnection, base: &BaseUrl) -> Result<(), Error> {
    let named = Address::of(base);
    let noted = tenant::noted(connection, &named.text, None).await?;
    let Some(held) = noted.and_then(|noted| noted.address).map(Address::noted) else {
        return Ok(());
    };
    if held.differs(&named) && marks::any_rows(connection).await? {
        return Err(Refusal::Other { held, named }.into());
    }
    Ok(())
}

/// Writes down whose mirror it is while it holds nothing yet, for who writes to it.
pub async fn claim(connection: &mut PgConnection, base: &BaseUrl) -> Result<(), sqlx::Error> {
    let named = Address::of(base);
    let noted = tenant::noted(connection, &named.text, None).await?;
    let is_claimed = noted.is_none_or(|noted| noted.address.as_ref() == Some(&named.text));
    if !is_claimed && !marks::any_rows(connection).await? {
        tenant::note(connection, &named.text).await?;
    }
    Ok(())
}

/// Makes sure that a reader reads the tenant that the mirror holds.
///
/// # Errors
/// It does not, or it could not be found out.
pub async fn check(
    connection: &mut PgConnection,
    reader: &Reader,
    access: Access,
) -> Result<(), Error> {
    let (named, key) = (Address::of(reader.base()), reader.key_check());
    let Some(noted) = tenant::noted(connection, &named.text, Some(&key)).await? else {
        return Ok(());
    };
    let held = noted.address.map(Address::noted);
    if noted.is_known && held.as_ref().is_some_and(|held| !held.differs(&named)) {
        return Ok(());
    }
    let evidence = if !marks::any_rows(connection).await? {
        // A mirror without rows is anybody's.
        Evidence::Same
    } else if let Some(held) = held.clone().filter(|held| held.differs(&named)) {
        return Err(Refusal::Other { held, named }.into());
    } else {
        ask(connection, reader).await?
    };
    match (evidence, &held) {
        (Evidence::Strangers(asked), _) => Err(Refusal::Strangers {
            held: match held {
                Some(held) => format!("the tenant {held}"),
                None => "a tenant whose name was not written down yet".to_owned(),
            },
            named,
            asked,
        }
        .into()),
        (Evidence::Untold, Some(held)) if *held != named => Err(Refusal::Untold {
            held: held.clone(),
            named,
        }
        .into()),
        // It is asked again next time.
        (Evidence::Unknown | Evidence::Untold, Some(_)) => Ok(()),
        (Evidence::Same, _) | (Evidence::Unknown | Evidence::Untold, None) => {
            if access == Access::Write {
                tenant::note(&mut *connection, &named.text).await?;
                tenant::know(connection, &named.text, &key).await?;
                if let Some(held) = held.filter(|held| *held != named) {
                    tracing::info!("the tenant of this mirror was at {held} and is at {named} now");
                }
            }
            Ok(())
        }
    }
}

/// Asks the tenant whether it is the one that the mirror holds.
///
/// # Errors
/// The API does not answer, or Postgres.
pub async fn ask(connection: &mut PgConnection, reader: &Reader) -> Result<Evidence, Error> {
    let drawn = sample::draw(connection, SAMPLE).await?;
    if drawn.is_empty() {
        return Ok(Evidence::Unknown);
    }
    let first = Query {
        updated_since: None,
        registered_since: None,
        registered_before: None,
        rpp: SAMPLE.unsigned_abs(),
        page: 1,
    };
    let shown = match reader.export(first).await {
        Ok(page) => page.items,
        Err(error) if may_pass(&error) => return Err(error.into()),
        // What the keys may not see, or no export at all: whoever reads it says so.
        Err(_) => Vec::new(),
    };
    let ids: Vec<&str> = shown.iter().map(|item| item.id.as_str()).collect();
    if people::any_of(connection, &ids).await? {
        return Ok(Evidence::Same);
    }
    let mut asked = 0;
    for id in &drawn {
        match reader.user(id).await {
            Ok(Some(_)) => return Ok(Evidence::Same),
            Ok(None) => asked += 1,
            Err(error) if may_pass(&error) => return Err(error.into()),
            Err(_) => {}
        }
    }
    Ok(if ids.is_empty() {
        Evidence::Unknown
    } else if asked == drawn.len() {
        Evidence::Strangers(asked)
    } else {
        Evidence::Untold
    })
}

/// Whether it is worth asking again: then nothing is known, and nothing may be believed.
fn may_pass(error: &zephr::Error) -> bool {
    match error.remedy() {
        Remedy::Retry { .. } => true,
        Remedy::Person(_) => error.is_interruption(),
    }
}

/// Makes the mirror that of the tenant that these settings name, whatever it held before.
pub async fn adopt(connection: &mut PgConnection, reader: &Reader) -> Result<(), sqlx::Error> {
    let named = Address::of(reader.base());
    tenant::forget_keys(&mut *connection).await?;
    tenant::note(&mut *connection, &named.text).await?;
    tenant::know(connection, &named.text, &reader.key_check()).await
}

/// The tenant that the mirror holds, as far as that is written down.
pub async fn held(connection: &mut PgConnection) -> Result<Option<Address>, sqlx::Error> {
    let noted = tenant::noted(connection, "", None).await?;
    Ok(noted.and_then(|noted| noted.address).map(Address::noted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Address {
        Address::of(&BaseUrl::parse(url).unwrap())
    }

    #[test]
    fn a_tenant_has_one_address_however_it_is_written() {
        let news = Address::of(&BaseUrl::of_tenant("news").unwrap());
        assert_eq!(news.to_string(), "news.api.zephr.com");
        for same in [
            "https://news.api.zephr.com",
            "https://NEWS.api.zephr.com:443/",
            "https://news.api.zephr.com.",
        ] {
            assert_eq!(address(same), news, "{same}");
        }
        assert_eq!(Address::noted(news.to_string()), news);
        let other = address("https://news.api.zephr.com:8443");
        assert!(other.differs(&news));
        assert_eq!(Address::noted(other.to_string()), other);
    }

    #[test]
    fn on_this_machine_an_address_says_nothing() {
        let here = address("http://127.0.0.1:8000");
        assert_eq!(Address::noted(here.to_string()), here);
        for other in [
            "http://127.0.0.1:8001",
            "http://localhost:8000",
            "http://[::1]:8000",
        ] {
            assert!(!address(other).differs(&here), "{other}");
        }
        assert!(address("https://news.api.zephr.com").differs(&here));
    }
}
