//! The open questions of bulk user updates (contract 12), each with the answers a real server might
//! give.

use serde::Serialize;

use super::forms::Nothing;
use super::mix::{Choices, Purpose};

/// The words a job's status is said in, before and after its end; the reference names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum StatusWords {
    /// `pending`, `completed`.
    PendingCompleted,
    /// `PROCESSING`, `COMPLETED`.
    ProcessingCompleted,
    /// `queued`, `DONE`.
    QueuedDone,
    /// `in_progress`, `Finished`.
    InProgressFinished,
    /// `stage-2`, `settled`: words nobody could have guessed.
    Unheard,
}

impl StatusWords {
    pub(super) fn word(self, finished: bool) -> &'static str {
        let (before, after) = match self {
            Self::PendingCompleted => ("pending", "completed"),
            Self::ProcessingCompleted => ("PROCESSING", "COMPLETED"),
            Self::QueuedDone => ("queued", "DONE"),
            Self::InProgressFinished => ("in_progress", "Finished"),
            Self::Unheard => ("stage-2", "settled"),
        };
        if finished { after } else { before }
    }
}

/// The words the outcome of a row is said in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum RowWords {
    /// `success`, `error`.
    SuccessError,
    /// `SUCCEEDED`, `FAILED`.
    SucceededFailed,
    /// `ok`, `failed`.
    OkFailed,
}

impl RowWords {
    pub(super) fn word(self, succeeded: bool) -> &'static str {
        let (good, bad) = match self {
            Self::SuccessError => ("success", "error"),
            Self::SucceededFailed => ("SUCCEEDED", "FAILED"),
            Self::OkFailed => ("ok", "failed"),
        };
        if succeeded { good } else { bad }
    }
}

/// The form of `jobDate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum JobDate {
    /// `2022-06-01T00:00:00Z`.
    Iso,
    /// `2022-06-01 00:00:00`.
    Spaced,
    /// Milliseconds since 1970 in a string.
    Millis,
    /// The field is not there.
    Absent,
}

/// What `details` of a job is; the reference calls it an object and names no field of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Details {
    /// An array of objects.
    List,
    /// `{"updates":[…]}` of the same objects.
    Named,
    /// `{"USER":{"status":…,"message":…}}`.
    ObjectPerUser,
    /// `{"USER":"success"}`.
    WordPerUser,
    /// An array of the failed rows alone.
    FailedOnly,
    /// `{}`, whatever happened.
    Empty,
    /// The field is not there.
    Absent,
}

/// How an object of `details` names its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DetailsId {
    /// `"user_id":…`.
    Snake,
    /// `"userId":…`.
    Camel,
    /// `"identifier":{"user_id":…}`, as it was sent.
    Identifier,
}

/// Where a job can be read at all. Anything but everywhere is a malfunction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Readable {
    /// By its id and in the list.
    Everywhere,
    /// In the list; by its id it is 404 for ever.
    InListOnly,
    /// 404 by its id for ever, and not in the list either. It is carried out all the same.
    Nowhere,
}

/// What one bad entry does: an unknown attribute, a value that is no string, an unknown user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum BadEntry {
    /// Its own row fails.
    FailsRow,
    /// The whole request is refused with 400.
    FailsRequest,
}

/// What an attribute the schema does not have does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownSlug {
    /// It makes a bad entry.
    Refused,
    /// It is stored like any other.
    Stored,
}

/// What the empty string does as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum EmptyValue {
    /// The attribute is removed.
    Clears,
    /// It is stored.
    Stored,
    /// The row fails.
    FailsRow,
}

/// How strings are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Stored {
    /// As the string that came.
    AsSent,
    /// A checkbox as a boolean, a number as a number, where the string can be read as one.
    Typed,
}

/// One answer to every open question about bulk updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Bulk {
    /// The words of a job's status.
    pub status_words: StatusWords,
    /// The words of a row's outcome.
    pub row_words: RowWords,
    /// The form of `jobDate`.
    pub job_date: JobDate,
    /// What `details` is.
    pub details: Details,
    /// How `details` names users.
    pub details_id: DetailsId,
    /// What the list of jobs answers when there is none.
    pub no_jobs: Nothing,
    /// Whether the list of jobs begins with the newest.
    pub newest_first: bool,
    /// For this long a new job is 404 by its id.
    pub id_grace_ms: u64,
    /// For this long a new job is missing in the list.
    pub list_grace_ms: u64,
    /// Where a job can be read. Anything but everywhere is a malfunction, so never drawn: ask for
    /// it.
    pub readable: Readable,
    /// Whether a job says `total: 0` until a row of it was carried out.
    pub total_late: bool,
    /// How long a job takes.
    pub delay_ms: u64,
    /// Whether half of the rows are carried out after half of that time.
    pub halfway: bool,
    /// More entries than this in a request are 413.
    pub most_updates: Option<u32>,
    /// More bytes than this in a request are 413.
    pub most_bytes: Option<u32>,
    /// What one bad entry does.
    pub bad_entry: BadEntry,
    /// What an attribute the schema does not have does.
    pub unknown_slug: UnknownSlug,
    /// Whether a value that does not fit the schema fails its row.
    pub values_checked: bool,
    /// What the empty string does.
    pub empty_value: EmptyValue,
    /// How values are stored.
    pub stored: Stored,
    /// Whether a boolean or a number is taken too, and stored as it came. The reference knows
    /// strings only, so never drawn: ask for it.
    pub any_type: bool,
}

impl Bulk {
    /// The answers the reference suggests, and the friendliest where it says nothing.
    pub const fn plain() -> Self {
        Self {
            status_words: StatusWords::PendingCompleted,
            row_words: RowWords::SuccessError,
            job_date: JobDate::Iso,
            details: Details::List,
            details_id: DetailsId::Snake,
            no_jobs: Nothing::NotFound,
            newest_first: true,
            id_grace_ms: 0,
            list_grace_ms: 0,
            readable: Readable::Everywhere,
            total_late: false,
            delay_ms: 5,
            halfway: false,
            most_updates: None,
            most_bytes: None,
            bad_entry: BadEntry::FailsRow,
            unknown_slug: UnknownSlug::Refused,
            values_checked: false,
            empty_value: EmptyValue::Clears,
            stored: Stored::AsSent,
            any_type: false,
        }
    }

    /// Answers drawn from a seed, apart from the other answers, which stay what they were before
    /// there were bulk updates.
    pub fn drawn(seed: u64) -> Self {
        let mut choices = Choices::new(seed, Purpose::BulkBehaviour, 0);
        Self {
            status_words: choices.pick(&[
                StatusWords::PendingCompleted,
                StatusWords::ProcessingCompleted,
                StatusWords::QueuedDone,
                StatusWords::InProgressFinished,
                StatusWords::Unheard,
            ]),
            row_words: choices.pick(&[
                RowWords::SuccessError,
                RowWords::SucceededFailed,
                RowWords::OkFailed,
            ]),
            job_date: choices.pick(&[
                JobDate::Iso,
                JobDate::Spaced,
                JobDate::Millis,
                JobDate::Absent,
            ]),
            details: choices.pick(&[
                Details::List,
                Details::Named,
                Details::ObjectPerUser,
                Details::WordPerUser,
                Details::FailedOnly,
                Details::Empty,
                Details::Absent,
            ]),
            details_id: choices.pick(&[DetailsId::Snake, DetailsId::Camel, DetailsId::Identifier]),
            no_jobs: choices.pick(&[Nothing::NotFound, Nothing::EmptyList]),
            newest_first: choices.chance(50),
            id_grace_ms: choices.pick(&[0, 0, 50, 300]),
            list_grace_ms: choices.pick(&[0, 0, 50, 300]),
            readable: Readable::Everywhere,
            total_late: choices.chance(50),
            delay_ms: choices.pick(&[0, 5, 30, 150, 400]),
            halfway: choices.chance(50),
            most_updates: choices.pick(&[None, None, Some(500), Some(100)]),
            most_bytes: choices.pick(&[None, None, Some(256 << 10), Some(32 << 10)]),
            bad_entry: choices.pick(&[BadEntry::FailsRow, BadEntry::FailsRequest]),
            unknown_slug: choices.pick(&[UnknownSlug::Refused, UnknownSlug::Stored]),
            values_checked: choices.chance(50),
            empty_value: choices.pick(&[
                EmptyValue::Clears,
                EmptyValue::Stored,
                EmptyValue::FailsRow,
            ]),
            stored: choices.pick(&[Stored::AsSent, Stored::Typed]),
            any_type: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn many_seeds_cover_the_answers_and_none_of_the_malfunctions() {
        let drawn: Vec<Bulk> = (0..200).map(Bulk::drawn).collect();
        let different = |what: fn(&Bulk) -> String| drawn.iter().map(what).collect::<HashSet<_>>();
        assert_eq!(
            different(|bulk| format!("{:?}", bulk.status_words)).len(),
            5
        );
        assert_eq!(different(|bulk| format!("{:?}", bulk.details)).len(), 7);
        assert_eq!(different(|bulk| format!("{:?}", bulk.empty_value)).len(), 3);
        assert_eq!(different(|bulk| format!("{:?}", bulk.readable)).len(), 1);
        assert_eq!(Bulk::drawn(4), Bulk::drawn(4));
    }
}
