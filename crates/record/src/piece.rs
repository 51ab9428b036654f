//! A text that is part of a larger one.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use crate::memory::Spare;

/// A text that has parts. Its memory goes back to where it came from when the last of them is gone.
#[derive(Default)]
pub struct Whole {
    text: String,
    home: Option<Arc<Spare>>,
}

impl Whole {
    /// A text, in memory from there.
    pub fn new(text: String, home: Option<Arc<Spare>>) -> Arc<Self> {
        Arc::new(Self { text, home })
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            home.give_back(std::mem::take(&mut self.text).into_bytes());
        }
    }
}

/// Part of a text that others are parts of too. Copying it copies no text; the whole stays in
/// memory as long as any part of it does.
#[derive(Clone, Default)]
pub struct Piece {
    whole: Arc<Whole>,
    range: Range<usize>,
}

impl Piece {
    /// What stands there; nothing where that is no part of the text.
    pub fn of(whole: &Arc<Whole>, range: Range<usize>) -> Self {
        Self {
            whole: Arc::clone(whole),
            range,
        }
    }

    /// The same text in memory of its own, for a piece that is kept longer than those beside it.
    pub fn alone(&self) -> Self {
        String::from(&**self).into()
    }
}

impl Deref for Piece {
    type Target = str;

    fn deref(&self) -> &str {
        self.whole.text.get(self.range.clone()).unwrap_or_default()
    }
}

impl From<String> for Piece {
    fn from(text: String) -> Self {
        let range = 0..text.len();
        Self::of(&Whole::new(text, None), range)
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
