//! What people did: a function of the event's number, sorted by time, so that ten million events
//! cost no memory; added events lie between them.

use std::ops::Range;

use super::business::World;
use super::calendar::{self, EVENTS_SPAN, LAST_EVENT};
use super::identity;
use super::ids;
use super::json;
use super::mix::{Choices, Purpose, draw};
use super::names;

const KINDS: &[&str] = &[
    "page-view",
    "page-view",
    "page-view",
    "login",
    "paywall-shown",
    "grant-start",
    "newsletter, signup",
];

/// What would break a reader of CSV that splits at commas and line ends.
const TITLES: &[&str] = &[
    "Cup final",
    "Rain, wind and sun",
    "\"No,\" says minister",
    "Line one\nline two",
    "Carriage\r\nreturn, \"quoted\"",
    "Elections – «überall»",
    "",
];

/// An event an edit added.
#[derive(Debug, Clone)]
pub(super) struct Added {
    /// Milliseconds since 1970.
    pub at: u64,
    /// Its number, above all generated ones.
    pub number: u64,
    pub person: u32,
    pub kind: String,
}

/// One event, whichever way it came to be.
#[derive(Debug, Clone)]
pub(super) struct Event {
    number: u64,
    pub at: u64,
    person: u32,
    kind: String,
}

/// The column names of an event without its id, in order; of all but the times and ids the value
/// may be empty.
pub(super) const COLUMNS: [&str; 7] = [
    "user_id",
    "event_type",
    "timestamp",
    "path",
    "product_id",
    "title",
    "referrer",
];

impl Event {
    pub(super) fn id(&self, seed: u64) -> String {
        ids::text(seed, Purpose::EventId, self.number)
    }

    /// The values under [`COLUMNS`].
    pub(super) fn values(&self, seed: u64) -> [String; 7] {
        let mut choices = Choices::new(seed, Purpose::Event, self.number);
        let topic = choices.pick(names::TOPICS);
        let path = format!("/{topic}/{}", choices.below(100_000));
        let product = choices.pick(&["", "", "gold", "digital"]);
        let referrer = choices.pick(&["", "https://search.example/?q=a,b"]);
        [
            identity::user_id_text(seed, self.person),
            self.kind.clone(),
            self.time(),
            path,
            product.to_owned(),
            choices.pick(TITLES).to_owned(),
            referrer.to_owned(),
        ]
    }

    fn time(&self) -> String {
        let mut time = Vec::new();
        calendar::instant_millis(&mut time, self.at);
        String::from_utf8_lossy(&time).into_owned()
    }

    /// Appends it as a copy would hold it.
    pub(super) fn truth(&self, out: &mut Vec<u8>, seed: u64, with_id: bool) {
        json::object(out, |out| {
            if with_id {
                json::text_field(out, "event_id", &self.id(seed));
            }
            json::raw(out, ",\"user_id\":\"");
            identity::user_id(out, seed, self.person);
            out.push(b'"');
            json::text_field(out, "event_type", &self.kind);
            json::text_field(out, "occurred_at", &self.time());
        });
    }
}

/// The events within a window of time, generated and added.
#[derive(Debug, Clone)]
pub(super) struct Window {
    generated: Range<u64>,
    added: Range<usize>,
}

impl Window {
    pub(super) fn len(&self) -> u64 {
        self.generated.end - self.generated.start + self.added.len() as u64
    }
}

impl World<'_> {
    /// When a generated event happened; never before the one with the number below.
    fn event_time(&self, number: u64) -> u64 {
        let count = self.scale.events.max(1);
        let span = u64::from(EVENTS_SPAN) * 1000;
        let start = u64::from(LAST_EVENT) * 1000 - span;
        let share = u128::from(number) * u128::from(span) / u128::from(count);
        let step = (span / count).max(1);
        start + share as u64 + draw(self.seed(), Purpose::EventTime, number) % step
    }

    fn generated_event(&self, number: u64) -> Event {
        let draw = draw(self.seed(), Purpose::Event, number);
        let people = u64::from(self.people.population.people.max(1));
        Event {
            number,
            at: self.event_time(number),
            person: ((draw >> 16) % people) as u32,
            kind: KINDS[(draw % KINDS.len() as u64) as usize].to_owned(),
        }
    }

    fn added_event(&self, added: &Added) -> Event {
        Event {
            number: added.number,
            at: added.at,
            person: added.person,
            kind: added.kind.clone(),
        }
    }

    /// An event by its place: generated ones first, then added ones.
    pub(super) fn event_at(&self, place: u64) -> Option<Event> {
        match place.checked_sub(self.scale.events) {
            None => Some(self.generated_event(place)),
            Some(late) => {
                let added = self.books.events.get(late as usize)?;
                Some(self.added_event(added))
            }
        }
    }

    /// The first generated event at or after a time.
    fn event_from(&self, at: u64) -> u64 {
        let (mut low, mut high) = (0, self.scale.events);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.event_time(middle) < at {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The events from one millisecond on and before another.
    pub(super) fn events_within(&self, from: Option<u64>, before: Option<u64>) -> Window {
        let added = &self.books.events;
        let rank = |at: u64| added.partition_point(|event| event.at < at);
        let first = (
            from.map_or(0, |at| self.event_from(at)),
            from.map_or(0, rank),
        );
        let last = match before {
            Some(at) => (self.event_from(at).max(first.0), rank(at).max(first.1)),
            None => (self.scale.events, added.len()),
        };
        Window {
            generated: first.0..last.0,
            added: first.1..last.1,
        }
    }

    /// Part of a window, by time.
    pub(super) fn events(&self, window: &Window, offset: u64, limit: usize) -> Vec<Event> {
        let added = &self.books.events[window.added.clone()];
        // Where each added event stands among all of the window.
        let place = |(at, event): (usize, &Added)| {
            let before = self.event_from(event.at).max(window.generated.start);
            before - window.generated.start + at as u64
        };
        let passed = added
            .iter()
            .enumerate()
            .take_while(|(at, event)| place((*at, event)) < offset)
            .count();
        let mut generated = (window.generated.start + (offset - passed as u64).min(window.len())
            ..window.generated.end)
            .peekable();
        let mut added = added[passed..].iter().peekable();
        let mut events = Vec::new();
        while events.len() < limit {
            let late = match (generated.peek(), added.peek()) {
                (None, None) => break,
                (Some(_), None) => false,
                (None, Some(_)) => true,
                (Some(number), Some(late)) => late.at <= self.event_time(*number),
            };
            let event = if late {
                added.next().map(|event| self.added_event(event))
            } else {
                generated.next().map(|number| self.generated_event(number))
            };
            events.extend(event);
        }
        events
    }
}
