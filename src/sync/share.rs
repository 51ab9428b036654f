//! A full scan of users, read and written by several daemons (design section 8).
//!
//! One of them holds the lease and leads: it has the plan, looks for people in no window, settles
//! the deletions, and gives the verdict. It [lends](lend) windows to the others as rows in
//! Postgres, the only thing they have in common, and hears from there what became of them.
//!
//! ```text
//! leader: plan ──► offered ──► claimed ──► whole, committed with its rows ──► plan, verdict        another daemon: claimed to committed
//!                     │           └──────► too large, or not to be read so ──► cut, or read by the leader
//!                     └──► taken back when the leader has nothing else to do, or when the claimant is gone
//! ```
//!
//! What is written for a scan is written under the leader's token, by whomever, and a window by
//! whoever still holds the claim on it: an [assistant](assist) that was too slow, or works for a
//! leader that lost its lease, changes nothing.

mod assist;
mod lend;

use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

pub use assist::{Assistant, Assisted};
pub(super) use lend::Lending;

use ::scan::window::Window;
use mirror::state::shared_windows::{Asked, Bounds};

/// How a run shares its scan, and what others asked for it.
#[derive(Debug, Default)]
pub struct Sharing {
    /// This process on the list of daemons.
    daemon: Option<Uuid>,
    asked: Mutex<Asked>,
}

impl Sharing {
    /// Shares the scan of one run with all daemons but this one.
    pub fn but_with(daemon: Uuid) -> Self {
        Self {
            daemon: Some(daemon),
            asked: Mutex::default(),
        }
    }

    /// What others asked the API for this run.
    pub(super) fn asked(&self) -> Asked {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, more: Asked) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.requests += more.requests;
        asked.retries += more.retries;
    }
}

fn bounds(window: Window) -> Bounds {
    (window.from, window.until)
}

fn window((from, until): Bounds) -> Window {
    Window { from, until }
}
