//! The calls that read. Whoever holds a [`Reader`] cannot write to the tenant.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::canonical::SHARED_BYTES;
use super::client::{Answer, BaseUrl, Client, Request, Sent};
use super::error::{Error, Failure};
use super::event;
use super::export;
use super::governor::{Governor, Snapshot};
use super::json::{self, Fields};
use super::list::{self, Listed};
use super::reread::Parts;
use super::{timestamp, user};
use clock::time;
use privacy::{Policy, Rules};
use record::memory::Spare;
use record::{Envelope, Page, Query};

/// Reads a tenant.
#[derive(Debug, Clone)]
pub struct Reader {
    client: Client,
    ignored: Vec<String>,
    /// What the export is asked for beside the users, and how that stands in the query.
    parts: Parts,
    more: String,
    rules: Arc<Rules>,
    /// Whether the export has answered before; a 404 is then no mistake in the address.
    export_exists: Arc<AtomicBool>,
    /// Whether anything has answered before.
    answered: Arc<AtomicBool>,
    /// The API's clock, as far as its answers have told it.
    clock: Arc<Mutex<Option<Told>>>,
    /// What records are written into.
    records: Arc<Spare>,
}

/// Pieces of memory for records that are kept, two MiB: those of five pages, which come and go at a
/// time where nothing waits.
const SPARE_PIECES: usize = 250;

/// What the API's clock said, and when. Its `Date` counts whole seconds, in which dozens of answers
/// come; the time that has passed since one of them says in which order they came.
#[derive(Debug, Clone, Copy)]
struct Told {
    date: DateTime<Utc>,
    at: Instant,
}

/// A `Date` that differs by more from what has passed since the last one: a clock was set, or this
/// machine slept.
const CLOCK_WAS_SET: TimeDelta = TimeDelta::seconds(2);

/// The least that can be asked of the export.
pub const ONE_RECORD: Query = Query {
    updated_since: None,
    registered_since: None,
    registered_before: None,
    rpp: 1,
    page: 1,
};

/// What a 404 is to a scan.
const NOT_FOUND: Page = Page {
    items: Vec::new(),
    rejects: Vec::new(),
    envelope: Envelope {
        count: None,
        rpp: None,
        next: false,
    },
    answered_at: None,
    not_found: true,
    refused: false,
    may_be_cut: false,
};

/// What a page beyond the first is that is refused.
fn refused() -> Page {
    Page {
        refused: true,
        ..NOT_FOUND
    }
}

/// What a path segment must have escaped; the rest goes out as it is (RFC 3986, unreserved
/// characters).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

impl Reader {
    /// Reads through this client. `ignored` names the fields of a record that do not count as a
    /// change.
    pub fn new(client: Client, ignored: Vec<String>) -> Self {
        Self {
            client,
            ignored,
            parts: Parts::default(),
            more: String::new(),
            rules: Arc::default(),
            export_exists: Arc::default(),
            answered: Arc::default(),
            clock: Arc::default(),
            records: Arc::new(Spare::new(SPARE_PIECES, SHARED_BYTES)),
        }
    }

    /// The same, asking the export for grants and for the extended profiles of these apps too
    /// (contract section 5.1). The parameters are sent only when they are wanted: whether an empty
    /// one means none or all is not documented.
    pub fn with(&self, grants: bool, app_ids: &[String]) -> Self {
        let mut more = String::new();
        if grants {
            more.push_str("&grants=true");
        }
        if !app_ids.is_empty() {
            let ids: Vec<String> = app_ids.iter().map(|id| escaped(id)).collect();
            more.push_str(&format!("&appIds={}", ids.join(",")));
        }
        Self {
            parts: Parts {
                grants,
                apps: app_ids.to_vec(),
            },
            more,
            ..self.clone()
        }
    }

    /// Takes of each user only what this policy lets it keep.
    pub fn under(self, policy: &Policy) -> Self {
        Self {
            rules: Arc::new(user::rules(policy)),
            ..self
        }
    }

    /// When an answer with this `Date` came, by the API's clock and in the order of arrival.
    fn arrived(&self, date: DateTime<Utc>) -> DateTime<Utc> {
        let now = Instant::now();
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let reckoned = clock.and_then(|told| {
            let passed = time::signed(now.duration_since(told.at));
            let reckoned = time::after(told.date, passed);
            (reckoned.signed_duration_since(date).abs() <= CLOCK_WAS_SET).then_some(reckoned)
        });
        reckoned.unwrap_or_else(|| {
            *clock = Some(Told { date, at: now });
            date
        })
    }

    /// One page of the user export. A 404 is a page that says so, once the export is known to
    /// exist: what it proves is for the scan to decide.
    ///
    /// # Errors
    /// As [`Client::call`]; what is not an export is an error.
    pub async fn export(&self, query: Query) -> Result<Page, Error> {
        match self.page(query).await {
            Err(error) if error.is_not_found() => {
                if !self.export_exists.load(Ordering::Relaxed) {
                    self.page(ONE_RECORD).await?;
                }
                Ok(NOT_FOUND)
            }
            Err(error) if query.page > 1 && error.is_refused_page() => Ok(refused()),
            other => other,
        }
    }

    /// Makes sure, once, that there is an API behind the address: a 404 from something else says
    /// nothing.
    async fn must_exist(&self) -> Result<(), Error> {
        if !self.answered.load(Ordering::Relaxed) {
            self.page(ONE_RECORD).await?;
        }
        Ok(())
    }

    async fn page(&self, query: Query) -> Result<Page, Error> {
        let request = Request::get(target(query, &self.more));
        let mut page = self
            .client
            .call(&request, |answer| {
                export::page(answer, &self.ignored, &self.rules, &self.records)
            })
            .await?;
        page.answered_at = page.answered_at.map(|date| self.arrived(date));
        self.export_exists.store(true, Ordering::Relaxed);
        self.answered.store(true, Ordering::Relaxed);
        Ok(page)
    }

    /// The cheap authenticated probe of contract section 1; the API's clock, where it tells. A
    /// tenant without accounts may answer 404 (section 3), and then one record of the export tells
    /// more.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn probe(&self) -> Result<Option<DateTime<Utc>>, Error> {
        let request = Request::get("/v3/accounts?page=1&rpp=1".into());
        let probed = self
            .client
            .call(&request, |answer| {
                export::document(answer).map(|_| answer.date)
            })
            .await;
        match probed {
            Err(error) if error.is_not_found() => {
                self.page(ONE_RECORD).await.map(|page| page.answered_at)
            }
            other => other,
        }
    }

    /// How many users there are in all; none where the server does not say. Its count may be that
    /// of the page: only one above the records on the page is a total beyond doubt, and none or one
    /// can be seen.
    ///
    /// # Errors
    /// As [`Self::export`].
    pub async fn total(&self) -> Result<Option<u64>, Error> {
        let first = self.export(ONE_RECORD).await?;
        let count = first.envelope.count.unwrap_or(0);
        if first.not_found {
            return Ok(None);
        }
        if first.is_empty() {
            return Ok((count == 0 && !first.envelope.next).then_some(0));
        }
        if count > first.len() as u64 {
            return Ok(Some(count));
        }
        if first.len() > 1 {
            return Ok(None);
        }
        let second = Query {
            page: 2,
            ..ONE_RECORD
        };
        let second = self.export(second).await?;
        Ok((second.is_empty() && !second.not_found).then_some(1))
    }

    /// One user as the API shows it by id (contract section 6.3); none when there is no such user.
    ///
    /// # Errors
    /// As [`Client::call`]; an id that no path can carry unchanged (`.` or `..`) cannot be asked
    /// for.
    pub async fn user(&self, id: &str) -> Result<Option<Box<RawValue>>, Error> {
        self.single("/v3/users/{}", id).await
    }

    /// One answer of a list; none on a 404, which on a list may mean that it is empty (contract
    /// section 3). `{}` in the path stands for the key of a parent.
    ///
    /// # Errors
    /// As [`Client::call`]; what is not a list is an error.
    pub async fn list(
        &self,
        path: &str,
        parent: Option<&str>,
        items: Option<&str>,
        page: Option<(u64, u64)>,
    ) -> Result<Option<Listed>, Error> {
        let mut target = path.replace("{}", &escaped(parent.unwrap_or_default()));
        let mut shown = path.replace("{}", "{id}");
        if let Some((rpp, page)) = page {
            let separator = if target.contains('?') { '&' } else { '?' };
            target.push_str(&format!("{separator}rpp={rpp}&page={page}"));
        }
        if let Some(query) = shown.find('?') {
            shown.truncate(query);
        }
        let request = Request::get(target).shown_as(shown);
        let read = self
            .client
            .call(&request, |answer| list::read(answer, items))
            .await;
        match read {
            Err(error) if error.is_not_found() => {
                self.must_exist().await?;
                Ok(None)
            }
            Err(error) => Err(error),
            Ok(mut listed) => {
                self.answered.store(true, Ordering::Relaxed);
                listed.answered_at = listed.answered_at.map(|date| self.arrived(date));
                Ok(Some(listed))
            }
        }
    }

    /// A single item by its key; none when there is no such item.
    ///
    /// # Errors
    /// As [`Client::call`]; a key that no path can carry unchanged (`.` or `..`) cannot be asked
    /// for, and about one with a slash a 404 says nothing.
    pub async fn single(&self, path: &str, key: &str) -> Result<Option<Box<RawValue>>, Error> {
        let request =
            Request::get(path.replace("{}", &escaped(key))).shown_as(path.replace("{}", "{id}"));
        let read = self
            .client
            .call(&request, |answer| single(answer).map(ToOwned::to_owned))
            .await;
        match read {
            Err(error) if error.is_gone() => Ok(None),
            Err(error) => match error.about_key(key) {
                error if error.is_not_found() => Ok(None),
                error => Err(error),
            },
            Ok(found) => Ok(Some(found)),
        }
    }

    /// What the export is asked for beside the users.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Where the API is.
    pub fn base(&self) -> &BaseUrl {
        self.client.base()
    }

    /// By what the access key can be known again.
    pub fn key_check(&self) -> [u8; 32] {
        self.client.key_check()
    }

    /// The fields of a record that do not count as a change.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// What was sent so far.
    pub fn sent(&self) -> Sent {
        self.client.sent()
    }

    /// The governor itself, for who divides the tenant's ceiling.
    pub fn limiter(&self) -> Governor {
        self.client.limiter()
    }

    /// Everything that decides what comes of a record: which tenant is asked, for what, and what of
    /// it does not count.
    pub fn manner(&self) -> String {
        let Self { more, ignored, .. } = self;
        format!("{} {more} {ignored:?}", self.client.base().as_str())
    }

    /// What the governor is doing.
    pub fn governor(&self) -> Snapshot {
        self.client.governor()
    }
}

/// A single item: an object with fields. Anything else says nothing about it, not even that it is
/// there.
fn single(answer: &Answer) -> Result<&RawValue, Failure> {
    let root = export::document(answer)?;
    let found = match Fields::of(root) {
        Some(fields) if fields.names().next().is_none() => "an empty object".to_owned(),
        // A list's envelope without anything in it.
        Some(fields) if fields.names().all(|name| is_empty_list(&fields, name)) => {
            "an empty list".to_owned()
        }
        Some(_) => return Ok(root),
        None => json::kind(root).to_string(),
    };
    Err(Failure::Unexpected {
        expected: "a single item",
        found,
    })
}

fn is_empty_list(fields: &Fields<'_>, name: &str) -> bool {
    let items = fields.get(name).and_then(json::elements);
    items.is_some_and(|items| items.is_empty())
}

/// A key as a segment of a path.
fn escaped(key: &str) -> String {
    utf8_percent_encode(key, SEGMENT).to_string()
}

/// Reads the events of a tenant: the v4 export in events mode, by the time they happened (contract
/// section 5.2).
#[derive(Debug, Clone)]
pub struct Events {
    reader: Reader,
    rules: Arc<Rules>,
}

impl Events {
    /// Through this reader, keeping of each event only what this policy lets it keep.
    pub fn new(reader: Reader, policy: &Policy) -> Self {
        Self {
            reader,
            rules: Arc::new(event::rules(policy)),
        }
    }

    /// One page. What users are asked for by registration, events are asked for by the time they
    /// happened. A 404 is a page that says so, once the API is known to be there.
    ///
    /// # Errors
    /// As [`Client::call`]; what is not an export is an error.
    pub async fn page(&self, query: Query) -> Result<Page, Error> {
        let Self { reader, rules } = self;
        let request = Request::get(events_target(query));
        let read = reader
            .client
            .call(&request, |answer| {
                event::page(answer, &reader.ignored, rules)
            })
            .await;
        match read {
            Err(error) if error.is_not_found() => {
                reader.must_exist().await?;
                Ok(NOT_FOUND)
            }
            Err(error) if query.page > 1 && error.is_refused_page() => Ok(refused()),
            Err(error) => Err(error),
            Ok(mut page) => {
                page.answered_at = page.answered_at.map(|date| reader.arrived(date));
                Ok(page)
            }
        }
    }
}

fn events_target(query: Query) -> String {
    let mut target = format!(
        "/v4/user-export?eventsExport=true&rpp={}&page={}",
        query.rpp, query.page
    );
    let from = query.registered_since.max(query.updated_since);
    for (name, at) in [("from", from), ("to", query.registered_before)] {
        if let Some(at) = at {
            target.push_str(&format!("&{name}={}", timestamp::format(at)));
        }
    }
    target
}

/// The request target. Colons stay literal, so that the encoded and the decoded form are the same
/// bytes (contract section 2).
fn target(query: Query, more: &str) -> String {
    let mut target = format!(
        "/v3/user-export?attributes=true{more}&rpp={}&page={}",
        query.rpp, query.page
    );
    let filters = [
        ("since", query.updated_since),
        ("registeredSince", query.registered_since),
        ("registeredBefore", query.registered_before),
    ];
    for (name, at) in filters {
        if let Some(at) = at {
            target.push_str(&format!("&{name}={}", timestamp::format(at)));
        }
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colons_stay_literal() {
        let query = Query {
            updated_since: timestamp::parse("2025-01-01T00:00:00Z"),
            registered_since: timestamp::parse("2024-01-01T00:00:00Z"),
            registered_before: timestamp::parse("2024-02-01T00:00:00Z"),
            rpp: 500,
            page: 1,
        };
        assert_eq!(
            target(query, ""),
            "/v3/user-export?attributes=true&rpp=500&page=1&since=2025-01-01T00:00:00Z&registeredSince=2024-01-01T00:00:00Z&registeredBefore=2024-02-01T00:00:00Z"
        );
    }
}
