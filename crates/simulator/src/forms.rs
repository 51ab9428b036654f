//! The forms lists may answer in: what surrounds the items, how their fields are spelt, what no
//! items look like.

use serde::Serialize;

use super::answer::Answer;
use super::json;

/// The order of the account list; the API documents none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum AccountsOrder {
    /// One order that nothing changes, new accounts last.
    Stable,
    /// The most recently modified first: every change shifts the pages before it.
    RecentlyModified,
}

/// What surrounds the items of an unpaged list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Wrapping {
    /// A bare array.
    Bare,
    /// `{"results":[…]}`.
    Results,
    /// `{"data":[…]}`.
    Data,
}

/// How field names are spelt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Spelling {
    /// `user_id`.
    Snake,
    /// `userId`.
    Camel,
}

/// What a list without items answers (contract section 3, "Errors").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Nothing {
    /// 404.
    NotFound,
    /// 200 and an empty list.
    EmptyList,
}

/// What the events of the v4 export come as: CSV says its text, JSON its schema (contract 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum EventsFormat {
    /// A header line and a line per event.
    Csv,
    /// The envelope of the v3 export.
    Json,
}

/// Appends items in their wrapping.
pub(super) fn wrapped<T>(
    out: &mut Vec<u8>,
    wrapping: Wrapping,
    items: impl IntoIterator<Item = T>,
    item: impl FnMut(&mut Vec<u8>, T),
) {
    let name = match wrapping {
        Wrapping::Bare => return json::array(out, items, item),
        Wrapping::Results => "results",
        Wrapping::Data => "data",
    };
    named(out, name, items, item);
}

/// Appends items under a name.
pub(super) fn named<T>(
    out: &mut Vec<u8>,
    name: &str,
    items: impl IntoIterator<Item = T>,
    item: impl FnMut(&mut Vec<u8>, T),
) {
    json::object(out, |out| {
        json::key(out, name);
        json::array(out, items, item);
    });
}

/// The answer of an unpaged list, in its wrapping and in the form none have.
pub(super) fn answer<T>(
    wrapping: Wrapping,
    nothing: Nothing,
    items: Vec<T>,
    item: impl FnMut(&mut Vec<u8>, T),
) -> Answer {
    if items.is_empty() && nothing == Nothing::NotFound {
        return Answer::error(404, "there are none");
    }
    let mut body = Vec::new();
    wrapped(&mut body, wrapping, items, item);
    Answer::json(200, body)
}
