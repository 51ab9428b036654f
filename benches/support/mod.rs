//! What the benchmark is made of.

pub mod process;
pub mod report;
pub mod rows;
pub mod server;
pub mod yardstick;

/// A number given on the command line.
pub fn option(name: &str, default: usize) -> usize {
    let arguments: Vec<String> = std::env::args().collect();
    arguments
        .iter()
        .position(|argument| argument == name)
        .and_then(|position| arguments.get(position + 1))
        .and_then(|value| value.replace('_', "").parse().ok())
        .unwrap_or(default)
}
