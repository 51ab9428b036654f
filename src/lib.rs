//! zephr-sync
pub mod clock;
pub mod record;
pub mod remedy;
pub mod telemetry;
pub mod zephr;
