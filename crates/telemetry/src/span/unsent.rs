//! Without the feature `otlp`.

use super::{Note, Work};

/// A span that is nothing.
#[derive(Debug, Clone, Copy)]
pub struct Span;

impl Span {
    /// The span of this work, within the one that is under way.
    pub fn of(_: impl FnOnce() -> Work) -> Self {
        Self
    }

    /// The span of this work, if it is part of other work.
    pub fn within(_: impl FnOnce() -> Work) -> Self {
        Self
    }

    /// The span that is under way.
    pub fn current() -> Self {
        Self
    }

    /// Work that happens in this span.
    pub fn over<F: Future>(self, work: F) -> F {
        work
    }

    /// Adds what is known now.
    pub fn note(&self, _: impl FnOnce() -> Note) {}
}
