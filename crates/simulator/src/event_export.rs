//! `GET /v4/user-export` (contract 5.2): events, or subscriptions, as CSV or as JSON.

use super::answer::Answer;
use super::behaviour::{Behaviour, Boundary};
use super::events::COLUMNS;
use super::export::{self, Page};
use super::forms::EventsFormat;
use super::identity;
use super::json;
use super::list::List;
use super::query::Query;
use super::ranking::person;
use super::routes::Call;

/// The documented default of `rpp`.
const DEFAULT_RPP: u32 = 500;

/// The columns of the subscribers' file.
const SUBSCRIBER_COLUMNS: [&str; 11] = [
    "user_id",
    "email_address",
    "registered",
    "first-name",
    "last-name",
    "grant_id",
    "product_id",
    "entitlement_id",
    "expiry_state",
    "start_time",
    "end_time",
];

pub(super) fn export(call: &Call<'_>) -> Answer {
    let exported = if call.query.is_true("eventsExport") {
        events(call)
    } else {
        subscribers(call)
    };
    exported.unwrap_or_else(|reason| Answer::error(400, &reason))
}

/// Appends a line of CSV, quoting what needs it.
fn line<'a>(out: &mut Vec<u8>, values: impl IntoIterator<Item = &'a str>) {
    for (at, value) in values.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        if value.contains(['"', ',', '\n', '\r']) {
            json::raw(out, "\"");
            json::raw(out, &value.replace('"', "\"\""));
            json::raw(out, "\"");
        } else {
            json::raw(out, value);
        }
    }
    out.push(b'\n');
}

fn csv(body: Vec<u8>) -> Answer {
    Answer {
        content_type: "text/csv; charset=UTF-8",
        ..Answer::json(200, body)
    }
}

/// The window asked for, as the first millisecond in it and the first after it.
fn window(query: &Query, behaviour: &Behaviour) -> Result<(Option<u64>, Option<u64>), String> {
    let inclusive = behaviour.events_boundary == Boundary::Inclusive;
    let millis = |name, add: u64| {
        let at = export::instant(query, name)?;
        Ok::<_, String>(at.map(|at| u64::try_from(at).unwrap_or_default() + add))
    };
    Ok((
        millis("from", u64::from(!inclusive))?,
        millis("to", u64::from(inclusive))?,
    ))
}

fn events(call: &Call<'_>) -> Result<Answer, String> {
    let behaviour = call.tenant.behaviour();
    let (from, before) = window(&call.query, behaviour)?;
    let most = behaviour.events_rpp_clamp.unwrap_or(u32::MAX);
    let rpp = call.query.count("rpp")?.unwrap_or(DEFAULT_RPP).min(most);
    let number = call.query.count("page")?.unwrap_or(1);
    let hidden = call.tenant.hides(List::UserEvents);
    let seed = call.tenant.seed();
    call.tenant.world(|world| {
        let window = world.events_within(from, before);
        let offset = u64::from(number - 1) * u64::from(rpp);
        let (total, events) = if hidden {
            (0, Vec::new())
        } else {
            (window.len(), world.events(&window, offset, rpp as usize))
        };
        let mut body = Vec::new();
        match behaviour.events_format {
            EventsFormat::Csv => {
                let id = behaviour.event_ids.then_some("event_id");
                line(&mut body, id.into_iter().chain(COLUMNS));
                for event in &events {
                    let id = behaviour.event_ids.then(|| event.id(seed));
                    let values = event.values(seed);
                    let all = id.iter().chain(&values).map(String::as_str);
                    line(&mut body, all);
                }
                Ok(csv(body))
            }
            EventsFormat::Json => {
                export::open(&mut body, behaviour);
                for (at, event) in events.iter().enumerate() {
                    if at > 0 {
                        body.push(b',');
                    }
                    json::object(&mut body, |out| {
                        if behaviour.event_ids {
                            json::text_field(out, "event_id", &event.id(seed));
                        }
                        for (name, value) in COLUMNS.iter().zip(event.values(seed)) {
                            if !value.is_empty() {
                                json::text_field(out, name, &value);
                            }
                        }
                    });
                }
                let page = Page {
                    number,
                    rpp,
                    here: events.len(),
                    total: total as usize,
                };
                export::close(&mut body, behaviour, &page);
                Ok(Answer::json(200, body))
            }
        }
    })
}

/// One line per grant, with the user's details before it; a user without grants has one line. Pages
/// count users.
fn subscribers(call: &Call<'_>) -> Result<Answer, String> {
    let wanted = export::wanted(call)?;
    let seed = call.tenant.seed();
    let order = call.tenant.behaviour().order;
    let (offset, rpp) = (wanted.offset(), wanted.rpp as usize);
    let page = |people: super::person::People<'_>, rows: &[u32]| {
        let mut body = Vec::new();
        line(&mut body, SUBSCRIBER_COLUMNS);
        for index in rows.iter().copied().map(person) {
            let written = |write: &dyn Fn(&mut Vec<u8>)| {
                let mut out = Vec::new();
                write(&mut out);
                String::from_utf8_lossy(&out).into_owned()
            };
            let (first, last, _) = identity::names(seed, index);
            let user = [
                identity::user_id_text(seed, index),
                written(&|out| identity::email(out, seed, index)),
                written(&|out| super::calendar::instant(out, people.registration(index))),
                first.to_owned(),
                last.to_owned(),
            ];
            let mut lines: Vec<[String; 6]> = people
                .grants(index)
                .iter()
                .map(|grant| grant.columns())
                .collect();
            if lines.is_empty() {
                lines.push(Default::default());
            }
            for grant in &lines {
                line(&mut body, user.iter().chain(grant).map(String::as_str));
            }
        }
        csv(body)
    };
    Ok(call
        .tenant
        .page(wanted.filter, order, offset, rpp, |people, selected| {
            page(people, &selected.rows)
        }))
}
