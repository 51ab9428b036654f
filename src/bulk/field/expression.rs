//! Validation expressions, as Java would match them: the whole value, from its first character to
//! its last.
//!
//! What cannot be read here as Java reads it is not checked at all. A value that the API would have
//! refused costs a row that fails with a message; a value that is refused here by mistake cannot be
//! sent at all.

use std::sync::atomic::{AtomicU32, Ordering};

use fancy_regex::{Regex, RegexBuilder};

use super::java;

/// Steps back after which an expression is given up on for a value: some milliseconds.
const MAX_BACKTRACKS: usize = 50_000;

/// An expression that was given up on this often is not tried again: a file has millions of cells,
/// each of which would cost those milliseconds.
const MAX_GIVEN_UP: u32 = 50;

/// A compiled expression.
#[derive(Debug)]
pub(super) struct Expression {
    shown: Box<str>,
    regex: Regex,
    given_up: AtomicU32,
}

impl Expression {
    /// Compiles an expression, or says why it is not checked.
    pub fn compile(expression: &str) -> Result<Self, String> {
        if expression.len() > 1 && expression.starts_with('/') && expression.ends_with('/') {
            return Err("it stands between slashes, as in JavaScript".to_owned());
        }
        let translated = java::translate(expression)?;
        let compile = |pattern: &str| {
            RegexBuilder::new(pattern)
                .backtrack_limit(MAX_BACKTRACKS)
                .build()
                .map_err(|error| error.to_string().replace('\n', " "))
        };
        // By itself first: `a)|(b` would only become an expression by what is put around it.
        compile(&translated)?;
        Ok(Self {
            shown: expression.into(),
            regex: compile(&format!(r"\A(?:{translated})\z"))?,
            given_up: AtomicU32::new(0),
        })
    }

    /// Whether it matches all of the text; also true when that takes too long to find out.
    pub fn admits(&self, text: &str) -> bool {
        if self.given_up.load(Ordering::Relaxed) >= MAX_GIVEN_UP {
            return true;
        }
        self.regex.is_match(text).unwrap_or_else(|_| {
            self.given_up.fetch_add(1, Ordering::Relaxed);
            true
        })
    }

    /// How many texts were let through because finding out took too long.
    pub fn given_up(&self) -> u32 {
        self.given_up.load(Ordering::Relaxed)
    }

    /// As the schema has it.
    pub fn as_str(&self) -> &str {
        &self.shown
    }
}
