//! `GET /v3/user-export` (contract 5.1) in all the shapes it may have.

use super::answer::Answer;
use super::behaviour::{Behaviour, Boundary, Count, Envelope, Links, Since};
use super::calendar;
use super::json;
use super::list::List;
use super::person::Parts;
use super::population::MOST_PEOPLE;
use super::query::Query;
use super::ranking::{Filter, person};
use super::routes::Call;
use super::stats::ExportRequest;

/// The documented default of `rpp`.
const DEFAULT_RPP: u32 = 500;
/// A guess at the size of an item, so that the buffer grows once.
const ITEM_BYTES: usize = 900;

pub(super) const PATH: &str = "/v3/user-export";

/// The parameters tests ask about, before anything is known of the outcome.
pub(super) fn request(query: &Query) -> ExportRequest {
    let text = |name| query.get(name).map(str::to_owned);
    ExportRequest {
        since: text("since"),
        registered_since: text("registeredSince"),
        registered_before: text("registeredBefore"),
        page: text("page"),
        rpp: text("rpp"),
        ..ExportRequest::default()
    }
}

pub(super) fn instant(query: &Query, name: &str) -> Result<Option<i64>, String> {
    let Some(text) = query.get(name) else {
        return Ok(None);
    };
    let millis = calendar::parse(text).ok_or_else(|| format!("{name} is not an ISO 8601 date"))?;
    Ok(Some(millis))
}

/// What part of which list is wanted.
pub(super) struct Wanted<'a> {
    pub filter: Filter,
    parts: Parts<'a>,
    pub page: u32,
    /// Items on a page, after the limit.
    pub rpp: u32,
    /// Neither `rpp` nor `page` was asked.
    unpaged: bool,
}

impl Wanted<'_> {
    /// How many items stand on the pages before.
    pub(super) fn offset(&self) -> usize {
        (self.page as usize - 1)
            .saturating_mul(self.rpp as usize)
            .min(1 << 40)
    }
}

pub(super) fn wanted<'a>(call: &'a Call<'_>) -> Result<Wanted<'a>, String> {
    let query = &call.query;
    let behaviour = call.tenant.behaviour();
    let mut filter = Filter {
        since: instant(query, "since")?,
        registered_since: instant(query, "registeredSince")?,
        registered_before: instant(query, "registeredBefore")?,
        inclusive: behaviour.boundary == Boundary::Inclusive,
    };
    if behaviour.since == Since::Registered {
        filter.registered_since = filter.registered_since.max(filter.since.take());
    }
    if let Some(until) = call.tenant.shown_until() {
        let until = until * 1_000;
        filter.registered_before = Some(
            filter
                .registered_before
                .map_or(until, |before| before.min(until)),
        );
    }
    if behaviour.ignore_filters {
        filter = Filter::default();
    }
    let (asked, page) = (query.count("rpp")?, query.count("page")?);
    let (rpp, page) = if behaviour.ignore_pages {
        (MOST_PEOPLE, Some(1))
    } else {
        let most = behaviour.rpp_clamp.unwrap_or(u32::MAX);
        (asked.unwrap_or(DEFAULT_RPP).min(most), page)
    };
    Ok(Wanted {
        filter,
        parts: Parts {
            attributes: query.is_true("attributes"),
            grants: query.is_true("grants"),
            without_grants: call.tenant.hides(List::UserGrants),
            apps: query.get("appIds"),
        },
        page: page.unwrap_or(1),
        rpp,
        unpaged: asked.is_none() && page.is_none(),
    })
}

pub(super) fn export(call: &Call<'_>) -> Answer {
    let wanted = match wanted(call) {
        Ok(wanted) => wanted,
        Err(reason) => return Answer::error(400, &reason),
    };
    let behaviour = call.tenant.behaviour();
    let whole = behaviour.envelope == Envelope::Bare && wanted.unpaged;
    let limit = if whole {
        usize::MAX >> 1
    } else {
        wanted.rpp as usize
    };
    let offset = wanted.offset();
    call.tenant.page(
        wanted.filter,
        behaviour.order,
        offset,
        limit,
        |people, selected| {
            let mut out = Vec::with_capacity(selected.rows.len() * ITEM_BYTES + 1024);
            open(&mut out, behaviour);
            for (at, row) in selected.rows.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                let seq_no = (offset + at + 1) as u64;
                people.item(&mut out, person(*row), Some(seq_no), wanted.parts);
            }
            let page = Page {
                number: wanted.page,
                rpp: wanted.rpp,
                here: selected.rows.len(),
                total: selected.total,
            };
            close(&mut out, behaviour, &page);
            Answer {
                users: selected.rows.len() as u32,
                ..Answer::json(200, out)
            }
        },
    )
}

/// What an envelope tells about the page in it.
pub(super) struct Page {
    pub number: u32,
    pub rpp: u32,
    pub here: usize,
    pub total: usize,
}

/// Appends what stands before the items.
pub(super) fn open(out: &mut Vec<u8>, behaviour: &Behaviour) {
    json::raw(
        out,
        match behaviour.envelope {
            Envelope::Nested => "{\"results\":[[",
            Envelope::Flat => "{\"results\":[",
            Envelope::Bare => "[",
        },
    );
}

/// Appends what stands after the items.
pub(super) fn close(out: &mut Vec<u8>, behaviour: &Behaviour, page: &Page) {
    json::raw(
        out,
        match behaviour.envelope {
            Envelope::Nested => "]]",
            Envelope::Flat => "]",
            Envelope::Bare => return out.push(b']'),
        },
    );
    meta(out, behaviour.count, page);
    links(out, behaviour.links, page);
    out.push(b'}');
}

fn meta(out: &mut Vec<u8>, count: Count, page: &Page) {
    json::raw(out, ",\"meta\":{");
    let shown = match count {
        Count::Total => Some(page.total),
        Count::Page => Some(page.here),
        Count::Absent => None,
    };
    if let Some(shown) = shown {
        json::raw(out, "\"count\":");
        json::number(out, shown as u64);
        out.push(b',');
    }
    json::raw(out, "\"rpp\":");
    json::number(out, u64::from(page.rpp));
    json::raw(out, ",\"paginated\":true}");
}

fn link(out: &mut Vec<u8>, name: &str, page: Option<u64>, rpp: u32) {
    json::string(out, name);
    out.push(b':');
    match page {
        Some(page) => {
            json::raw(out, "{\"url\":\"https://example.com?rpp=");
            json::number(out, u64::from(rpp));
            json::raw(out, "&page=");
            json::number(out, page);
            json::raw(out, "\",\"page\":");
            json::number(out, page);
            out.push(b'}');
        }
        None => json::raw(out, "{}"),
    }
}

fn links(out: &mut Vec<u8>, links: Links, here: &Page) {
    let page = u64::from(here.number);
    let last = (here.total as u64).div_ceil(u64::from(here.rpp)).max(1);
    let next = (page < last).then_some(page + 1);
    match links {
        Links::Absent => {}
        Links::NextOnly => {
            json::raw(out, ",\"links\":{");
            if next.is_some() {
                link(out, "next", next, here.rpp);
            }
            out.push(b'}');
        }
        Links::Full => {
            json::raw(out, ",\"links\":{");
            link(out, "first", Some(1), here.rpp);
            out.push(b',');
            link(out, "last", Some(last), here.rpp);
            out.push(b',');
            link(out, "previous", (page > 1).then(|| page - 1), here.rpp);
            out.push(b',');
            link(out, "next", next, here.rpp);
            out.push(b'}');
        }
    }
}
