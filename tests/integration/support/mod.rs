//! Starts what a test needs: a database of its own, a simulated tenant, the program.

pub mod mirror;
pub mod program;
pub mod tenant;

pub use mirror::Mirror;
pub use program::{Ended, Program};
pub use tenant::start as tenant;
