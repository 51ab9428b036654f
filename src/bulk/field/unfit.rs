//! Why a text does not fit a field.

use std::borrow::Cow;
use std::fmt;

/// Why a text does not fit a field: what comes after the field's name in a sentence for a person.
/// The text itself is left to the caller, who knows whether it may be shown; a hint may repeat it
/// in the form that would fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    reason: Cow<'static, str>,
    hint: Option<String>,
}

impl Unfit {
    /// As `is not a number`.
    pub(super) fn because(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason: reason.into(),
            hint: None,
        }
    }

    /// With what to do about it, if that can be told.
    pub(super) fn hinting(self, hint: Option<String>) -> Self {
        Self { hint, ..self }
    }

    /// The sentence without its hint: the same for all texts that fail in the same way, so that
    /// they can be counted by it.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// What to do about it, as `write 1.5`.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Unfit {}
