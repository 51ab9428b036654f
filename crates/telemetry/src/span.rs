//! Spans: work that takes time, for traces. They are at the level of runs, windows and requests,
//! never of rows, and hold ids of ours, counts and statuses: never an id or a value of the
//! tenant's. With the feature `otlp` they are sent to a collector; without it all of this is
//! nothing, and costs nothing.

#[cfg(feature = "otlp")]
#[path = "span/sent.rs"]
mod kind;
#[cfg(not(feature = "otlp"))]
#[path = "span/unsent.rs"]
mod kind;

use uuid::Uuid;

pub use kind::Span;

/// The target of our spans: logs leave them out, and traces hold nothing else.
pub(super) const TARGET: &str = "zephr_sync_traces";

/// What takes time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// A run of a job, the wait for its lease included.
    Run {
        /// The job's name.
        job: String,
    },
    /// Windows of a run that another daemon leads.
    Help {
        /// That run.
        run_id: Uuid,
    },
    /// A window that is read, until it is whole or known to be too large.
    Window,
    /// A batch that is compared, merged and committed.
    Batch {
        /// Records in it.
        rows: usize,
    },
    /// A request to the API, from the moment it may go out until its answer is here whole.
    Request {
        /// Method and path, as logs name them.
        endpoint: String,
    },
    /// A plan that is carried through.
    Push {
        /// The plan.
        plan_id: Uuid,
    },
    /// A step of a push: a chunk is sent, followed or settled.
    Chunk {
        /// Its number.
        chunk: i32,
    },
}

/// What is known of work only while it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The run.
    Run(Uuid),
    /// How a run ended.
    Ended(&'static str),
    /// What a scan is worth.
    Verdict(String),
    /// The status of an answer; a request without one had none.
    Status(u16),
}
