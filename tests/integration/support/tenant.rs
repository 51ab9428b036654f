//! A simulated tenant.

use simulator::{Options, Shape, Simulator};

/// Starts a simulator on a free port.
pub async fn start(options: Options) -> Simulator {
    Simulator::start(options)
        .await
        .expect("the simulator starts")
}

/// Starts a plain simulator with so many people.
pub async fn people(people: u32) -> Simulator {
    start(Options {
        shape: Shape {
            people,
            ..Shape::default()
        },
        ..Options::default()
    })
    .await
}
