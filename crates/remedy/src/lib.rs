//! What follows from a failure: the machine tries again, or a person must act.
//!
//! The words in which each crate that understands a failure says so. It knows none of the failures.

// On times the operators panic where a type ends: `clock::time` has what does not.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::time::Duration;

/// What to do about an error. Decided once, where the error is understood, by one exhaustive match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// The same thing may work later.
    Retry {
        /// How long the other side asked us to wait, when it said so.
        after: Option<Duration>,
        /// What a person can do when repeating did not help.
        hint: &'static str,
    },
    /// Repeating cannot help; a person has to do this.
    Person(String),
}

impl Remedy {
    /// The sentence that tells a person what to do.
    pub fn hint(&self) -> &str {
        match self {
            Self::Retry { hint, .. } => hint,
            Self::Person(hint) => hint,
        }
    }
}

/// What happened, from the outside in, by `Display` alone: debug forms may quote values.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Errors that show their source themselves would say it twice.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
