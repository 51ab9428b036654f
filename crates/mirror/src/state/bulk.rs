//! The ledger of bulk updates: what is to be sent, what was sent, what became of it. A push is
//! written down here before it is sent, so that after any death evidence settles what happened.

pub mod chunks;
pub mod jobs;
pub mod orders;
pub mod plans;
pub mod rows;
