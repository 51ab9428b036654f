//! Reading an export whole.
//!
//! It decides which windows of time are asked for, whether an answer is whole, and what a scan
//! proves. It knows neither HTTP nor tables: a [`Source`] answers, and whoever calls keeps what was
//! read.
//!
//! An export is paged by number over people who change while it is read, so paging through it skips
//! some. Here the time line of registrations is cut into [`window`]s until each answer is whole:
//! one response cannot drift. [`walk`] is a scan under way: [`plan`] says which windows to ask,
//! [`part`] reads one, [`whole`] tells whether an answer holds all there is, `undated` looks for
//! people in no window, `borders` for people between two, [`short`] for windows that held fewer than
//! are counted in them, [`sightings`] tells whether answers fit together, [`together`] says what
//! commits together, and [`verdict`] how far all of it may be believed.

// On times the operators panic where a type ends: `clock::time` has what does not.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod borders;
pub mod listing;
pub mod part;
pub mod plan;
pub mod short;
pub mod sightings;
pub mod together;
mod undated;
pub mod verdict;
pub mod walk;
pub mod whole;
pub mod window;

use record::{Page, Query};

/// Where pages come from.
pub trait Source: Clone + Send + Sync + 'static {
    /// Why a page did not come.
    type Error: Send + 'static;

    /// How people name what is asked: method and path.
    fn endpoint(&self) -> &'static str;

    /// Asks for one page.
    fn page(&self, query: Query) -> impl Future<Output = Result<Page, Self::Error>> + Send;
}
