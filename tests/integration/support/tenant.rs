//! A simulated tenant.

use zephr_sync::simulator::{Options, Simulator};

/// Starts a simulator on a free port.
pub async fn start(options: Options) -> Simulator {
    Simulator::start(options)
        .await
        .expect("the simulator starts")
}
