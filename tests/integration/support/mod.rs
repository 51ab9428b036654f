//! Starts what a test needs: a database of its own, a simulated tenant, the program.

pub mod cluster;
pub mod content;
pub mod mirror;
pub mod program;
pub mod running;
pub mod tenant;
pub mod truth;

pub use cluster::Cluster;
pub use mirror::Mirror;
pub use program::{Ended, Program};
pub use tenant::{people, start as tenant};
