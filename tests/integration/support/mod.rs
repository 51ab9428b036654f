//! Starts what a test needs: a database of its own, a simulated tenant, the program.

pub mod mirror;
pub mod program;
pub mod tenant;
pub mod truth;

pub use mirror::Mirror;
pub use program::{Ended, Program};
pub use tenant::{people, start as tenant};
