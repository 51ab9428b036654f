//! zephr-sync
pub mod clock;
pub mod lifecycle;
pub mod load;
pub mod postgres;
pub mod record;
pub mod remedy;
pub mod scan;
pub mod state;
pub mod sync;
pub mod telemetry;
pub mod zephr;
