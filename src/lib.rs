//! zephr-sync

pub mod cli;
pub mod simulator;
