//! A text that is part of a larger one.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// Part of a text that others are parts of too. Copying it copies no text; the whole stays in memory as long as any part of it does.
#[derive(Clone, Default)]
pub struct Piece {
    whole: Arc<String>,
    range: Range<usize>,
}

impl Piece {
    /// What stands there; nothing where that is no part of the text.
    pub fn of(whole: &Arc<String>, range: Range<usize>) -> Self {
        Self {
            whole: Arc::clone(whole),
            range,
        }
    }
}

impl Deref for Piece {
    type Target = str;

    fn deref(&self) -> &str {
        self.whole.get(self.range.clone()).unwrap_or_default()
    }
}

impl From<String> for Piece {
    fn from(text: String) -> Self {
        let range = 0..text.len();
        Self::of(&Arc::new(text), range)
    }
}

impl PartialEq for Piece {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Piece {}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
