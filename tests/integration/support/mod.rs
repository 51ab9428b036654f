//! Starts what a test needs: a database of its own, a simulated tenant, the program.

pub mod browser;
pub mod bulk;
pub mod cluster;
pub mod content;
pub mod mirror;
pub mod page;
pub mod program;
pub mod receiver;
pub mod running;
pub mod scripted;
pub mod scripted_zephr;
pub mod tenant;
pub mod truth;

pub use self::mirror::Mirror;
pub use cluster::Cluster;
pub use program::{Ended, Program};
pub use tenant::{people, start as tenant};

/// What `status --json` says of a job.
pub fn status_of<'a>(status: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    let jobs = status["jobs"].as_array().expect("jobs");
    jobs.iter().find(|job| job["job"] == name).expect("the job")
}
