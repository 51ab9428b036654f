//! Migrations are built into the binary, and nothing else tells cargo that one was added.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
