//! Tells cargo what the binary is made of beside the code, and the binary what it was made from.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    // Otherwise it runs again whenever a file of the package changes.
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = env::var("RUSTC").unwrap_or_default();
    let rustc = said(Command::new(rustc).arg("--version"));
    for (name, value) in [
        ("BUILT_FROM_COMMIT", commit()),
        ("BUILT_BY_RUSTC", rustc),
        ("BUILT_WITH_FEATURES", env::var("CARGO_CFG_FEATURE").ok()),
    ] {
        let value = value.unwrap_or_else(|| "unknown".into());
        println!("cargo::rustc-env={name}={value}");
    }
}

/// The commit that the sources are of. Where there is no git, as in an image, the variable says it.
fn commit() -> Option<String> {
    const GIVEN: &str = "BUILD_COMMIT";
    println!("cargo::rerun-if-env-changed={GIVEN}");
    if let Some(given) = env::var(GIVEN).ok().filter(|given| !given.is_empty()) {
        return Some(given);
    }
    // Only what is passed on needs it, and each commit would build everything anew.
    if env::var("PROFILE").ok()? != "release" {
        return None;
    }
    let here = env::var("CARGO_MANIFEST_DIR").ok()?;
    let git = |arguments: &[&str]| said(Command::new("git").args(["-C", &here]).args(arguments));
    // Sources that were unpacked inside another repository are not of its commits.
    let top = git(&["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != Path::new(&here).canonicalize().ok()? {
        return None;
    }
    for name in ["HEAD", "logs/HEAD"] {
        let path = Path::new(&here).join(git(&["rev-parse", "--git-path", name])?);
        // Cargo takes a file that is not there for one that changed.
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    // With these it may say -dirty, or no longer.
    for path in [
        "src",
        "crates",
        "migrations",
        "jobs",
        "build.rs",
        "Cargo.toml",
        "Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={path}");
    }
    git(&[
        "describe",
        "--always",
        "--dirty",
        "--abbrev=40",
        "--exclude=*",
    ])
}

/// What a program that ends well prints.
fn said(command: &mut Command) -> Option<String> {
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
