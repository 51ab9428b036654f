//! Telling others how runs went: webhooks to people and machines, and a command after a success.
//!
//! ```text
//! event ──► document (JSON or Slack) ──► signed ──► sent, repeated where that can help      one queue and one task per receiver
//! ```
//!
//! Nothing here can hold a run up or fail it: events go into a bounded queue, and what cannot be
//! delivered in time is given up and logged. What goes out is what the bookkeeping says of a run:
//! names, counts, times, and errors that hold no personal data.

mod document;
mod event;
mod hook;
mod outbox;
mod send;
mod settings;
mod signature;
mod slack;

pub use document::body;
pub use event::{Bulk, Event, Kind, Notice, RunFacts};
pub use hook::{Ended, Hook, Success};
pub use outbox::Outbox;
pub use send::{Delivery, Pace, Sender, Verdict, verdict};
pub use settings::{Address, Error, Format, HookSettings, Receiver, Settings};
pub use signature::{HEADER, sign};
