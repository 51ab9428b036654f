//! `docs/architecture.md` says which crate uses which: compared with what cargo knows.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

const PAGE: &str = include_str!("../../docs/architecture.md");
const CONTRIBUTING: &str = include_str!("../../CONTRIBUTING.md");

/// The crates of the workspace, each with those of them that it uses; the application's own are
/// left out.
fn known_to_cargo() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{output:?}");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let name = |package: &serde_json::Value| package["name"].as_str().expect("a name").to_owned();
    let ours: BTreeSet<String> = packages.iter().map(name).collect();
    let uses = |package: &serde_json::Value| -> BTreeSet<String> {
        let all = package["dependencies"].as_array().expect("dependencies");
        let normal = all.iter().filter(|one| one["kind"].is_null());
        normal.map(name).filter(|one| ours.contains(one)).collect()
    };
    packages
        .iter()
        .map(|package| (name(package), uses(package)))
        .collect()
}

/// The rows of the page's table, in its order.
fn written_down() -> Vec<(String, String)> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" |").map(str::trim).collect();
        let [name, _decides, _knows_nothing_of, uses] = cells[..] else {
            panic!("not four cells: {row}");
        };
        (
            name.trim_matches(['|', ' ', '`']).to_owned(),
            uses.to_owned(),
        )
    })
    .collect()
}

#[test]
fn the_page_names_each_crate_and_what_it_uses_and_nothing_points_down() {
    let known = known_to_cargo();
    let written = written_down();
    let names: BTreeSet<&String> = written.iter().map(|(name, _)| name).collect();
    assert_eq!(names, known.keys().collect(), "the crates of the table");
    let mut above: BTreeSet<String> = BTreeSet::new();
    for (name, uses) in &written {
        let used = &known[name];
        let said: BTreeSet<String> = if uses == "all of them" {
            above.clone()
        } else {
            let each = uses.split(", ").filter(|one| !one.is_empty());
            each.map(|one| one.trim_matches('`').to_owned()).collect()
        };
        assert_eq!(&said, used, "what {name} uses");
        assert!(used.is_subset(&above), "{name} uses what stands below it");
        above.insert(name.clone());
    }
}

/// Whoever follows a path of these pages finds a file.
#[test]
fn each_file_that_the_pages_name_is_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let quoted = |page: &'static str| page.split('`').skip(1).step_by(2);
    let is_path = |name: &&str| {
        let folders = ["src/", "crates/", "tests/", "migrations/"];
        folders.iter().any(|folder| name.starts_with(folder))
    };
    let paths: Vec<&str> = quoted(PAGE)
        .chain(quoted(CONTRIBUTING))
        .filter(is_path)
        .collect();
    assert!(paths.len() > 20, "{paths:?}");
    for path in paths {
        assert!(root.join(path).exists(), "{path}");
    }
}
