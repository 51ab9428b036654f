//! What keeps the inbox from going on, said once while it lasts. None of it stops the daemon.

use std::collections::BTreeMap;
use std::io;

use crate::bulk::Error;
use telemetry::field;

/// Something that may be better at the next look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// What happened, and where.
    pub(super) error: String,
    /// What to do about it.
    pub(super) remedy: String,
}

impl Trouble {
    pub(super) fn new(error: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            remedy: remedy.into(),
        }
    }

    /// What the system says about something that was done with a file.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "not ours, and it grows; the last arm has an advice for whatever comes"
    )]
    pub(super) fn of_system(what: &str, error: &io::Error) -> Self {
        let remedy = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                "Give the user of the daemon the right to read the file, and to write to the inbox and the directories in it."
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "Make room on the file system of the inbox."
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                "Mount the inbox so that the daemon may write to it, or name another directory with ZEPHR_SYNC_INBOX."
            }
            io::ErrorKind::CrossesDevices => {
                "Keep working/, done/ and failed/ on the file system of the inbox: files are moved there in one step."
            }
            io::ErrorKind::AlreadyExists => "Move that file elsewhere: nothing is replaced.",
            _ => "It is tried again; look at the file system of the inbox if it stays.",
        };
        Self::new(format!("{what}: {error}"), remedy)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::new(error.chain(), error.remedy())
    }
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Error::from(error).into()
    }
}

/// What was said, by what it is about.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    whole: Option<Trouble>,
    files: BTreeMap<String, Trouble>,
}

impl Troubles {
    /// Something that keeps everything waiting.
    pub(super) fn say(&mut self, trouble: &Trouble) {
        if self.whole.as_ref() == Some(trouble) {
            return;
        }
        tracing::warn!(
            { field::ERROR } = trouble.error,
            { field::NOTE } = trouble.remedy,
            "the inbox waits; it is tried again"
        );
        self.whole = Some(trouble.clone());
    }

    /// Nothing keeps everything waiting any more.
    pub(super) fn over(&mut self) {
        if self.whole.take().is_some() {
            tracing::info!("the inbox goes on");
        }
    }

    /// Something about one file, by its name as it may be shown.
    pub(super) fn say_of(&mut self, shown: &str, trouble: Trouble) {
        if self.files.get(shown) == Some(&trouble) {
            return;
        }
        tracing::warn!(
            { field::FILE } = shown,
            { field::ERROR } = trouble.error,
            { field::NOTE } = trouble.remedy,
            "a file stays in the inbox"
        );
        self.files.insert(shown.to_owned(), trouble);
    }

    /// Forgets files that are not there any more, or go on.
    pub(super) fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.files.retain(|shown, _| is_there(shown));
    }
}
