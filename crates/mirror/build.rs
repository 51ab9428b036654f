//! Tells cargo what is built in beside the code.

fn main() {
    // Nothing else tells cargo that a migration was added.
    println!("cargo::rerun-if-changed=../../migrations");
}
