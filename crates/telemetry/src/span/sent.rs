//! With the feature `otlp`.

use tracing::field::Empty;
use tracing::instrument::{Instrument, Instrumented};
use tracing::{Level, span};

use super::{Note, TARGET, Work};

/// A span.
#[derive(Debug, Clone)]
pub struct Span(tracing::Span);

impl Span {
    /// The span of this work, within the one that is under way.
    pub fn of(work: impl FnOnce() -> Work) -> Self {
        Self(match work() {
            Work::Run { job } => span!(
                target: TARGET, Level::INFO, "run", job, run_id = Empty, status = Empty, verdict = Empty
            ),
            Work::Help { run_id } => span!(target: TARGET, Level::INFO, "help", %run_id),
            Work::Window => span!(target: TARGET, Level::INFO, "window"),
            Work::Batch { rows } => span!(target: TARGET, Level::INFO, "batch", rows),
            Work::Request { endpoint } => span!(
                target: TARGET, Level::INFO, "request", endpoint, status = Empty
            ),
            Work::Push { plan_id } => span!(target: TARGET, Level::INFO, "push", %plan_id),
            Work::Chunk { chunk } => span!(target: TARGET, Level::INFO, "chunk", chunk),
        })
    }

    /// The span of this work, if it is part of other work. What a person types for one request may
    /// name anybody, and belongs to nothing.
    pub fn within(work: impl FnOnce() -> Work) -> Self {
        if tracing::Span::current().is_none() {
            Self(tracing::Span::none())
        } else {
            Self::of(work)
        }
    }

    /// The span that is under way.
    pub fn current() -> Self {
        Self(tracing::Span::current())
    }

    /// Work that happens in this span.
    pub fn over<F: Future>(self, work: F) -> Instrumented<F> {
        work.instrument(self.0)
    }

    /// Adds what is known now.
    pub fn note(&self, note: impl FnOnce() -> Note) {
        if self.0.is_none() {
            return;
        }
        match note() {
            Note::Run(run_id) => self.0.record("run_id", tracing::field::display(run_id)),
            Note::Ended(how) => self.0.record("status", how),
            Note::Verdict(verdict) => self.0.record("verdict", verdict),
            Note::Status(status) => self.0.record("status", status),
        };
    }
}
