//! A Zephr that is scripted and not simulated: the lists of a tenant as plain data, and answers as
//! the API's contract and the vendor's reference show them. It shares no reading of the API with
//! the program or its simulator, so what the two of them have misread is not misread here too. It
//! checks no signature, counts what it is asked for, and can be told to answer as no honest server
//! would.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, SecondsFormat};
use clock::Clock;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{Mirror, Program};

mod withholds;

pub use withholds::Withholds;

/// Where users are.
pub const USERS: &str = "/v3/user-export";

/// Where events are.
pub const EVENTS: &str = "/v4/user-export";

/// Where accounts are.
pub const ACCOUNTS: &str = "/v3/accounts";

/// Where segments are.
pub const SEGMENTS: &str = "/v4/users/segments";

/// A list that only a job file knows, with `meta` and `links`.
pub const ARTICLES: &str = "/v3/articles";

/// A list that only a job file knows, with `total`.
pub const AUTHORS: &str = "/v3/authors";

/// The first registration or event: 1 January 2020.
const FIRST: i64 = 1_577_836_800;

/// From one to the next: seven hours.
const STEP: i64 = 7 * 3_600;

/// A page holds no more, whatever is asked for.
const MOST_PER_PAGE: usize = 500;

/// How the identifiers of items begin that are in no tenant. By id they are all there.
const MADE_UP: &str = "made-up-";

/// The date of a record that has none.
const UNDATED: i64 = i64::MIN;

/// Requests that are remembered word by word.
const REMEMBERED: usize = 12;

/// One item of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its key.
    pub id: String,
    /// When it registered or happened, in seconds since 1970.
    pub at: i64,
}

/// All lists, by their paths.
#[derive(Debug, Clone, Default)]
pub struct Tenant {
    lists: BTreeMap<String, Vec<Record>>,
}

impl Tenant {
    /// The same with so many items in this list, named by their number.
    pub fn with(mut self, path: &str, prefix: &str, items: usize) -> Self {
        let records = (0..items).map(|number| Record {
            id: format!("{prefix}-{number:05}"),
            at: FIRST + number as i64 * STEP,
        });
        self.lists.insert(path.to_owned(), records.collect());
        self
    }

    /// The same with so many more in this list who all registered, or happened, in one second.
    pub fn with_crowd(self, path: &str, prefix: &str, items: usize) -> Self {
        self.with_more(path, prefix, items, FIRST - STEP)
    }

    /// The same with so many more in this list of whom nobody knows when they registered.
    pub fn with_undated(self, path: &str, prefix: &str, items: usize) -> Self {
        self.with_more(path, prefix, items, UNDATED)
    }

    fn with_more(mut self, path: &str, prefix: &str, items: usize, at: i64) -> Self {
        let records = (0..items).map(|number| Record {
            id: format!("{prefix}-{number:05}"),
            at,
        });
        self.list(path).extend(records);
        self
    }

    /// The keys of a list.
    pub fn ids(&self, path: &str) -> Vec<String> {
        let records = self.lists.get(path).into_iter().flatten();
        records.map(|record| record.id.clone()).collect()
    }

    /// The items of a list, to be changed.
    pub fn list(&mut self, path: &str) -> &mut Vec<Record> {
        self.lists.entry(path.to_owned()).or_default()
    }
}

/// How a server answers that keeps a scan running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// Each answer is all that the filter lets through, as a bare array, whatever page is asked
    /// for.
    IgnoresPage,
    /// Each answer is the whole tenant, as a bare array.
    IgnoresPageAndFilter,
    /// Pages are right; who registered when does not matter.
    IgnoresFilter,
    /// Each answer is the same record, without what could be its key.
    SameKeylessRecord,
    /// Each answer is the first page, and nothing says how many there are.
    SamePage,
    /// Each answer is the first page, and says that there are more.
    SamePageOfMany,
    /// Behind each page is another one, with items that were never there before.
    AlwaysOneMorePage,
    /// Each answer has a link to a next page, which is itself.
    LinksToItself,
    /// The total is one more with each answer.
    TotalGrows,
    /// Whatever window is asked for holds one more than fits on a page.
    WindowsOneMoreThanFits,
    /// Who registered when does not matter; after the last page the first one comes again, and each
    /// has a link to a next one.
    BeginsAgain,
}

/// What happens after each answer of the list with the habit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drift {
    /// Nothing.
    Still,
    /// Somebody comes.
    Comes,
    /// Somebody goes: the oldest, the newest and one in the middle, in turn.
    Goes,
}

/// An answer in the place of the right one.
#[derive(Debug, Clone)]
pub struct Canned {
    status: u16,
    content_type: &'static str,
    body: Vec<u8>,
}

impl Canned {
    /// A JSON answer.
    pub fn json(status: u16, body: &str) -> Self {
        Self {
            status,
            content_type: "application/json",
            body: body.as_bytes().to_owned(),
        }
    }

    /// The same under another content type.
    pub fn typed(self, content_type: &'static str) -> Self {
        Self {
            content_type,
            ..self
        }
    }

    fn response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.body)));
        *response.status_mut() = StatusCode::from_u16(self.status).expect("a status");
        let content_type = HeaderValue::from_static(self.content_type);
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response
    }
}

/// An answer of a path in the place of the right one, as often as is left.
#[derive(Debug)]
struct Override {
    answer: Canned,
    /// Requests that are answered rightly before.
    before: u32,
    left: Option<u32>,
}

/// Changes an item before it is sent.
pub type Form = fn(&mut Value);

#[derive(Debug, Default)]
struct State {
    tenant: Tenant,
    overrides: BTreeMap<String, Override>,
    /// The template whose answers are not honest.
    habit: Option<(String, Habit)>,
    /// The template whose answers lack something.
    withholds: Option<(String, Withholds)>,
    /// The template whose items are sent in another form.
    form: Option<(String, Form)>,
    /// The template whose list changes after each answer.
    drift: Option<(String, Drift)>,
    /// A page of these holds so many at most, whatever is asked for.
    pages_of: BTreeMap<String, usize>,
    /// An answer of these holds so many at most, and fewer where fewer are asked for.
    most: BTreeMap<String, usize>,
    /// Keys that no list shows.
    hidden: BTreeSet<String>,
    /// Requests by template.
    asked: BTreeMap<String, u64>,
    last: VecDeque<String>,
    /// Items that were made up so far.
    invented: u64,
}

/// The server.
#[derive(Debug)]
pub struct Scripted {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    serving: JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Scripted {
    /// Starts it on a free port.
    pub async fn start(tenant: Tenant) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(Mutex::new(State {
            tenant,
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let service = service_fn(|request: Request<Incoming>| {
                        let response = lock(&shared).answer(&request);
                        async move { Ok::<_, Infallible>(response) }
                    });
                    // Whoever hangs up is a program that was ended.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            address,
            state,
            serving,
        }
    }

    /// A program for this tenant and a mirror.
    pub fn program(&self, mirror: &Mirror) -> Program {
        Program::new()
            .with("ZEPHR_BASE_URL", format!("http://{}", self.address))
            .with("ZEPHR_ACCESS_KEY", "11111111-2222-4333-8444-555555555555")
            .with("ZEPHR_SECRET_KEY", "0123456789abcdef0123456789abcdef")
            .with("DATABASE_URL", &mirror.url)
    }

    /// Answers honestly from now on, with this tenant, and forgets what was asked.
    pub fn become_honest(&self, tenant: Tenant) {
        *lock(&self.state) = State {
            tenant,
            ..State::default()
        };
    }

    /// Changes the tenant.
    pub fn change<T>(&self, change: impl FnOnce(&mut Tenant) -> T) -> T {
        change(&mut lock(&self.state).tenant)
    }

    /// The keys that a list shows, as it is now.
    pub fn ids(&self, path: &str) -> Vec<String> {
        let state = lock(&self.state);
        let mut ids = state.tenant.ids(path);
        ids.retain(|id| !state.hidden.contains(id));
        ids
    }

    /// Answers a path in this way from now on; `{}` in it stands for any identifier that is not
    /// named itself.
    pub fn answers(&self, template: &str, answer: Canned) {
        self.answers_after(template, 0, answer);
    }

    /// Answers so many requests for a path rightly, and all that follow in this way.
    pub fn answers_after(&self, template: &str, before: u32, answer: Canned) {
        let replaced = Override {
            answer,
            before,
            left: None,
        };
        lock(&self.state)
            .overrides
            .insert(template.to_owned(), replaced);
    }

    /// Answers the next requests for a path in this way.
    pub fn answers_next(&self, template: &str, times: u32, answer: Canned) {
        let replaced = Override {
            answer,
            before: 0,
            left: Some(times),
        };
        lock(&self.state)
            .overrides
            .insert(template.to_owned(), replaced);
    }

    /// Answers honestly again.
    pub fn answers_rightly(&self) {
        lock(&self.state).overrides.clear();
    }

    /// Answers a list as no honest server would.
    pub fn has_habit(&self, template: &str, habit: Habit) {
        lock(&self.state).habit = Some((template.to_owned(), habit));
    }

    /// Holds back something of a list.
    pub fn withholds(&self, template: &str, withholds: Withholds) {
        lock(&self.state).withholds = Some((template.to_owned(), withholds));
    }

    /// Sends each item of these in another form from now on.
    pub fn sends(&self, template: &str, form: Form) {
        lock(&self.state).form = Some((template.to_owned(), form));
    }

    /// Changes a list after each of its answers.
    pub fn drifts(&self, template: &str, drift: Drift) {
        lock(&self.state).drift = Some((template.to_owned(), drift));
    }

    /// Sends so many items of a list at a time at most, and says that there are more, though its
    /// reference knows no pages.
    pub fn pages_of(&self, template: &str, items: usize) {
        lock(&self.state)
            .pages_of
            .insert(template.to_owned(), items);
    }

    /// Sends so many items of a list at a time at most, and does not say so.
    pub fn sends_at_most(&self, template: &str, items: usize) {
        lock(&self.state).most.insert(template.to_owned(), items);
    }

    /// Shows these in no list; by id they are there.
    pub fn hides(&self, ids: impl IntoIterator<Item = String>) {
        lock(&self.state).hidden = ids.into_iter().collect();
    }

    /// Requests for a path so far.
    pub fn asked(&self, template: &str) -> u64 {
        lock(&self.state).asked.get(template).copied().unwrap_or(0)
    }

    /// All requests so far.
    pub fn asked_in_all(&self) -> u64 {
        lock(&self.state).asked.values().sum()
    }

    /// What was asked last, for a message.
    pub fn last_asked(&self) -> String {
        let state = lock(&self.state);
        let lines: Vec<&str> = state.last.iter().map(String::as_str).collect();
        format!("{:?}, at last {}", state.asked, lines.join(" "))
    }

    /// Begins to count anew.
    pub fn forget_what_was_asked(&self) {
        let mut state = lock(&self.state);
        state.asked.clear();
        state.last.clear();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a request for a list asks for.
#[derive(Debug, Clone, Copy)]
struct Asked {
    page: usize,
    rpp: usize,
    updated_after: Option<i64>,
    after: Option<i64>,
    before: Option<i64>,
}

impl Asked {
    fn of(template: &str, query: &str) -> Self {
        let pairs: BTreeMap<&str, &str> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .collect();
        let number = |name, default| {
            let sent = pairs.get(name);
            sent.and_then(|text| text.parse::<usize>().ok())
                .unwrap_or(default)
                .max(1)
        };
        let time = |name| {
            let sent = pairs.get(name)?.replace("%3A", ":");
            let at = DateTime::parse_from_rfc3339(&sent).ok()?;
            Some(at.timestamp())
        };
        let (after, before) = if template == EVENTS {
            ("from", "to")
        } else {
            ("registeredSince", "registeredBefore")
        };
        Self {
            page: number("page", 1),
            rpp: number(
                "rpp",
                if template == ACCOUNTS {
                    10
                } else {
                    MOST_PER_PAGE
                },
            )
            .min(MOST_PER_PAGE),
            updated_after: time("since"),
            after: time(after),
            before: time(before),
        }
    }

    /// Whether the filters let a record through: registered after the one and before the other, as
    /// the reference says.
    fn lets_through(&self, record: &Record) -> bool {
        let is_after = |bound: Option<i64>| bound.is_none_or(|bound| record.at > bound);
        if record.at == UNDATED {
            return self.after.or(self.before).or(self.updated_after).is_none();
        }
        is_after(self.after)
            && is_after(self.updated_after)
            && self.before.is_none_or(|bound| record.at < bound)
    }

    /// A time that the filters let through, another one for each number as far as there are such.
    fn inside(&self, number: u64) -> i64 {
        let number = number as i64;
        match (self.after.max(self.updated_after), self.before) {
            (None, None) => FIRST + number * 60,
            (Some(after), None) => after + 1 + number,
            (None, Some(before)) => before - 1 - number,
            (Some(after), Some(before)) => after + 1 + number % (before - after - 1).max(1),
        }
    }
}

/// How the items of a list are wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Envelope {
    /// `[…]`
    Bare,
    /// `{"results": […]}`
    Results,
    /// `{"items": […]}`
    Items,
    /// `{"results": […], "total": n}`
    Total,
    /// `{"results": [[…]], "meta": {…}, "links": {…}}`
    Export,
}

/// What the reference shows for a list.
fn documented(template: &str) -> Envelope {
    match template {
        USERS | EVENTS | ARTICLES | "/v3/users/{}/sessions" => Envelope::Export,
        ACCOUNTS | AUTHORS => Envelope::Total,
        SEGMENTS | "/v4/users/{}/segments" => Envelope::Items,
        "/v3/schema/users" | "/v3/accounts/{}/users" | "/v3/accounts/{}/grants" => Envelope::Bare,
        _ => Envelope::Results,
    }
}

/// Whether the reference knows pages of a list.
fn is_paged(template: &str) -> bool {
    matches!(documented(template), Envelope::Export | Envelope::Total)
}

/// Lists for which the reference documents a 404 where there is nothing.
fn is_404_when_empty(template: &str) -> bool {
    matches!(template, SEGMENTS | "/v4/users/{}/segments")
}

/// A list, and what is asked of it.
#[derive(Debug, Clone, Copy)]
struct List<'a> {
    template: &'a str,
    parent: Option<&'a str>,
    asked: Asked,
    /// Items of a page.
    rpp: usize,
    paged: bool,
    /// Keys that no answer shows.
    hidden: &'a BTreeSet<String>,
}

impl List<'_> {
    fn show(&self, records: &[Record]) -> Vec<Value> {
        let items = records.iter().enumerate();
        items
            .map(|(position, record)| item(self.template, self.parent, record, position))
            .collect()
    }

    fn cut(&self, records: &[Record], page: usize) -> Vec<Value> {
        if !self.paged {
            return self.show(records);
        }
        let begin = ((page - 1).saturating_mul(self.rpp)).min(records.len());
        let end = (begin + self.rpp).min(records.len());
        self.show(&records[begin..end])
    }

    fn honest(&self, records: &[Record]) -> Page {
        let Self {
            asked, rpp, paged, ..
        } = *self;
        Page {
            envelope: documented(self.template),
            items: self.cut(records, asked.page),
            count: paged.then_some(records.len() as u64),
            rpp,
            next: (paged && asked.page.saturating_mul(rpp) < records.len())
                .then_some(asked.page + 1),
        }
    }

    /// The only page, which says nothing of others.
    fn only(&self, items: impl FnOnce() -> Vec<Value>, count: Option<u64>) -> Page {
        Page {
            items: match self.asked.page {
                1 => items(),
                _ => Vec::new(),
            },
            count,
            next: None,
            ..self.honest(&[])
        }
    }
}

/// One answer of a list.
#[derive(Debug)]
struct Page {
    envelope: Envelope,
    items: Vec<Value>,
    count: Option<u64>,
    rpp: usize,
    next: Option<usize>,
}

impl Page {
    fn body(self) -> String {
        let link = |page: usize| json!({ "url": format!("https://example.com?rpp={}", self.rpp), "page": page });
        let links = self.next.map_or_else(
            || json!({ "first": link(1) }),
            |next| json!({ "first": link(1), "next": link(next) }),
        );
        let body = match self.envelope {
            Envelope::Bare if self.count.is_none() && self.next.is_none() => json!(self.items),
            Envelope::Items if self.count.is_none() && self.next.is_none() => {
                json!({ "items": self.items })
            }
            Envelope::Results if self.count.is_none() && self.next.is_none() => {
                json!({ "results": self.items })
            }
            Envelope::Export => {
                let items: Vec<Value> = self.items.into_iter().map(|item| json!([item])).collect();
                let mut body = json!({ "results": items, "meta": { "rpp": self.rpp, "paginated": true }, "links": links });
                if let Some(count) = self.count {
                    body["meta"]["count"] = json!(count);
                }
                body
            }
            // A list that says more of itself than its reference does.
            Envelope::Bare | Envelope::Items | Envelope::Results | Envelope::Total => {
                let name = if self.envelope == Envelope::Items {
                    "items"
                } else {
                    "results"
                };
                let mut body = json!({ name: self.items });
                if let Some(count) = self.count {
                    body["total"] = json!(count);
                }
                if self.next.is_some() {
                    body["links"] = links;
                }
                body
            }
        };
        body.to_string()
    }
}

fn template_of(path: &str) -> (String, Option<&str>) {
    let mut parts: Vec<&str> = path.split('/').collect();
    let below = parts.len() > 3 && matches!(parts[2], "users" | "accounts");
    if below && parts[3] != "segments" {
        let id = std::mem::replace(&mut parts[3], "{}");
        (parts.join("/"), Some(id))
    } else {
        (path.to_owned(), None)
    }
}

fn not_found() -> Canned {
    Canned::json(404, r#"{"message":"Not Found"}"#)
}

impl State {
    fn answer(&mut self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or(""));
        let (template, parent) = template_of(path);
        *self.asked.entry(template.clone()).or_default() += 1;
        if self.last.len() == REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back(format!("{path}?{query}"));
        if request.method() != Method::GET {
            return not_found().response();
        }
        for place in [path, template.as_str()] {
            if let Some(replaced) = self.overrides.get_mut(place)
                && replaced.left != Some(0)
            {
                if replaced.before > 0 {
                    replaced.before -= 1;
                    continue;
                }
                replaced.left = replaced.left.map(|left| left - 1);
                return replaced.answer.clone().response();
            }
        }
        let answer = match (template.as_str(), parent) {
            ("/v3/users/{}", Some(id)) => self.single(USERS, id),
            ("/v3/accounts/{}", Some(id)) => self.single(ACCOUNTS, id),
            (_, Some(id)) => {
                let parents = if template.starts_with("/v3/accounts/") {
                    ACCOUNTS
                } else {
                    USERS
                };
                let parents = self.tenant.list(parents);
                match id.starts_with(MADE_UP) || parents.iter().any(|one| one.id == *id) {
                    true => self.page(&template, path, Some(id), query),
                    false => not_found(),
                }
            }
            (_, None) => match self.tenant.lists.contains_key(path) {
                true => self.page(&template, path, None, query),
                false => not_found(),
            },
        };
        self.drift(&template, path);
        answer.response()
    }

    /// One user or account.
    fn single(&mut self, list: &str, id: &str) -> Canned {
        let made_up = id.starts_with(MADE_UP).then(|| Record {
            id: id.to_owned(),
            at: FIRST,
        });
        let known = self.tenant.list(list).iter().find(|one| one.id == id);
        let Some(record) = known.or(made_up.as_ref()) else {
            return not_found();
        };
        let body = if list == ACCOUNTS {
            json!({
                "name": format!("Account {id}"), "company_id": "company-1", "registration_code": format!("code-{id}"),
                "email_address": format!("{id}@example.com"), "number_of_seats": 20, "allow_oversubscription": false,
            })
        } else {
            user(record, false)
        };
        Canned::json(200, &body.to_string())
    }

    fn page(&mut self, template: &str, path: &str, parent: Option<&str>, query: &str) -> Canned {
        let asked = Asked::of(template, query);
        let habit = self
            .habit
            .as_ref()
            .filter(|(of, _)| of == template)
            .map(|(_, habit)| *habit);
        let withholds = self
            .withholds
            .as_ref()
            .filter(|(of, _)| of == template)
            .map(|(_, withholds)| *withholds);
        let mut all = self.tenant.list(path).clone();
        let hides_later = withholds == Some(Withholds::HiddenFromPages);
        all.retain(|record| hides_later || !self.hidden.contains(&record.id));
        if all.is_empty() && is_404_when_empty(template) && habit.is_none() {
            return not_found();
        }
        let inside: Vec<Record> = all
            .iter()
            .filter(|record| withholds::lets_through(withholds, &asked, record))
            .cloned()
            .collect();
        let (rpp, paged) = match self.pages_of.get(template) {
            Some(most) => (*most, true),
            None => {
                let most = self.most.get(template).copied();
                (
                    asked.rpp.min(most.unwrap_or(usize::MAX)),
                    is_paged(template),
                )
            }
        };
        let list = List {
            template,
            parent,
            asked,
            rpp,
            paged,
            hidden: &self.hidden,
        };
        if withholds == Some(Withholds::RefusesPagesBehindTheLast)
            && asked.page > 1
            && (asked.page - 1).saturating_mul(rpp) >= inside.len()
        {
            return Canned::json(400, r#"{"message":"page is out of range"}"#);
        }
        if withholds == Some(Withholds::EndOfOneAnswer) && list.lacks_its_end(&inside) {
            self.withholds = None;
        }
        let page = match habit {
            None => list.withheld(withholds, &inside),
            Some(Habit::IgnoresFilter) => list.honest(&all),
            Some(Habit::IgnoresPage) => Page {
                envelope: Envelope::Bare,
                items: list.show(&inside),
                count: None,
                rpp,
                next: None,
            },
            Some(Habit::IgnoresPageAndFilter) => Page {
                envelope: Envelope::Bare,
                items: list.show(&all),
                count: None,
                rpp,
                next: None,
            },
            Some(Habit::SameKeylessRecord) => Page {
                envelope: Envelope::Results,
                items: vec![keyless(template)],
                count: None,
                rpp,
                next: None,
            },
            Some(Habit::SamePage) => Page {
                envelope: Envelope::Results,
                items: list.cut(&inside, 1),
                count: None,
                rpp,
                next: None,
            },
            Some(Habit::SamePageOfMany) => Page {
                items: list.cut(&inside, 1),
                count: Some(inside.len() as u64 + 1),
                next: Some(asked.page + 1),
                ..list.honest(&inside)
            },
            Some(Habit::AlwaysOneMorePage) => {
                let mut page = list.honest(&inside);
                while page.items.len() < rpp {
                    self.invented += 1;
                    let made_up = Record {
                        id: format!("{MADE_UP}{:08}", self.invented),
                        at: asked.inside(self.invented),
                    };
                    page.items.push(item(template, parent, &made_up, 0));
                }
                Page {
                    count: None,
                    next: Some(asked.page + 1),
                    ..page
                }
            }
            Some(Habit::LinksToItself) => Page {
                next: Some(asked.page),
                ..list.honest(&inside)
            },
            Some(Habit::BeginsAgain) => {
                let pages = all.len().div_ceil(rpp).max(1);
                Page {
                    items: list.cut(&all, (asked.page - 1) % pages + 1),
                    count: None,
                    next: Some(asked.page + 1),
                    ..list.honest(&all)
                }
            }
            Some(Habit::TotalGrows) => {
                let answers = self.asked.get(template).copied().unwrap_or(0);
                Page {
                    count: Some(inside.len() as u64 + answers),
                    next: None,
                    ..list.honest(&inside)
                }
            }
            Some(Habit::WindowsOneMoreThanFits) => {
                let window = format!("{}-{}", asked.after.unwrap_or(0), asked.before.unwrap_or(0));
                let made_up: Vec<Record> = (0..=asked.rpp as u64)
                    .map(|number| Record {
                        id: format!("{MADE_UP}{window}-{number:03}"),
                        at: asked.inside(number),
                    })
                    .collect();
                list.honest(&made_up)
            }
        };
        let mut page = page;
        if let Some((_, form)) = self.form.as_ref().filter(|(of, _)| of == template) {
            page.items.iter_mut().for_each(form);
        }
        Canned::json(200, &page.body())
    }

    fn drift(&mut self, template: &str, path: &str) {
        let Some((_, drift)) = self.drift.as_ref().filter(|(of, _)| of == template) else {
            return;
        };
        let turn = self.asked.get(template).copied().unwrap_or(0);
        match drift {
            Drift::Still => {}
            Drift::Comes => {
                let new = Record {
                    id: format!("new-{turn:06}"),
                    at: Clock::system().unix_millis() as i64 / 1_000,
                };
                self.tenant.list(path).push(new);
            }
            Drift::Goes => {
                let list = self.tenant.list(path);
                if let Some(newest) = list.len().checked_sub(1) {
                    list.remove([0, newest, newest / 2][turn as usize % 3]);
                }
            }
        }
    }
}

fn time(at: i64) -> String {
    let at = DateTime::from_timestamp(at, 0).expect("a time");
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn user(record: &Record, keyless: bool) -> Value {
    let id = &record.id;
    let mut user = json!({
        "user_id": id, "identifiers": { "email_address": format!("{id}@example.com") }, "attributes": { "slug-00000": format!("value of {id}") },
        "email_verified": true, "tracking_id": format!("t-{id}"), "registered": time(record.at.max(FIRST - STEP)), "registration_tenant": "news|news",
    });
    if let Some(fields) = user.as_object_mut() {
        if keyless {
            fields.remove("user_id");
        }
        if record.at == UNDATED {
            fields.remove("registered");
        }
    }
    user
}

fn item(template: &str, parent: Option<&str>, record: &Record, position: usize) -> Value {
    let id = &record.id;
    let labelled = json!({ "id": id, "label": format!("Label {id}"), "description": "as it is" });
    match template {
        USERS => json!({ "seq-no": position + 1, "user": user(record, false) }),
        EVENTS => {
            json!({ "event_id": id, "user_id": "u-00000", "event_type": "read", "timestamp": time(record.at) })
        }
        ACCOUNTS => {
            json!({ "account_id": id, "name": format!("Account {id}"), "tenant_id": "news", "number_of_seats": 20, "email_address": format!("{id}@example.com") })
        }
        SEGMENTS | "/v4/users/{}/segments" => {
            json!({ "id": id, "label": format!("Segment {id}"), "description": "who reads", "active": true, "archived": false })
        }
        "/v3/schema/users" => {
            json!({ "slug": id, "label": format!("Field {id}"), "input-type": "text", "required": false, "form-use": true })
        }
        "/v3/accounts/{}/users" => {
            json!({ "user_id": id, "account_id": parent, "user_type": "user" })
        }
        "/v3/accounts/{}/grants" => json!({
            "grantId": id, "account_id": parent, "expiry_state": "active", "entitlement_type": "bundle", "entitlement_id": "bundle-1",
            "startTime": "2022-06-01 00:00:00", "createdAt": "2022-05-31 23:59:59", "product_id": "product-1",
        }),
        "/v3/companies" => {
            json!({ "name": format!("Company {id}"), "description": "a company", "website": "https://example.com", "contact": "somebody" })
        }
        "/v3/webhooks" => {
            json!({ "webhook_id": id, "label": format!("Hook {id}"), "triggers": ["user.create"], "method": "POST", "target": "https://example.com" })
        }
        "/v3/users/{}/sessions" => {
            json!({ "session_id": id, "user_id": parent, "state": "active" })
        }
        _ => labelled,
    }
}

/// An item of a list that nothing tells from another one: no key, and of an event no time.
fn keyless(template: &str) -> Value {
    let record = Record {
        id: "nobody".to_owned(),
        at: FIRST,
    };
    match template {
        USERS => json!({ "seq-no": 1, "user": user(&record, true) }),
        EVENTS => json!({ "event_type": "read", "title": "of no time" }),
        _ => json!({ "label": "of no key" }),
    }
}
