//! What is not taken, or not at once; and what people call files.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::office::{DEADLINE, Office};

const ALL: &[(&str, &str)] = &[("all", "files = '*'\napply = true")];

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_still_written_is_not_taken() {
    let office = Office::with(100, ALL).await;
    let _daemon = office.daemon();
    let text = office.cities(0..80, "Port");
    let mut file = std::fs::File::create(office.path("a.csv")).expect("a file");
    // One that rests meanwhile tells that the inbox is looked at.
    office.drop_in("b.csv", &office.cities(90..91, "Port"));
    let parts: Vec<&str> = text.split_inclusive('\n').collect();
    for part in parts.chunks(8) {
        for line in part {
            file.write_all(line.as_bytes()).expect("a line");
        }
        tokio::time::sleep(Duration::from_millis(800)).await;
        assert!(
            office.path("a.csv").exists(),
            "taken before it was complete"
        );
    }
    drop(file);
    office.ended("done", "b").await;
    let summary = office.ended("done", "a").await;
    assert_eq!(summary["rows_read"], 80);
    office.desk.expect_cities(0..80, "Port", "written slowly");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_meant_for_us_is_left_alone() {
    let office = Office::with(100, ALL).await;
    let mut daemon = office.daemon();
    let text = office.cities(0..1, "Port");
    for name in [".hidden.csv", "a.csv.part", "b.csv.tmp", "c.xlsx"] {
        std::fs::write(office.path(name), &text).expect("a file");
    }
    std::fs::create_dir(office.path("d.csv")).expect("a directory");
    let secret = office.desk.program.directory().join("secret.csv");
    std::fs::write(&secret, &text).expect("a file");
    std::os::unix::fs::symlink(&secret, office.path("link.csv")).expect("a link");
    let said =
        daemon.until(|line| line.contains("link.csv") && line.contains("not a regular file"));
    let said = tokio::time::timeout(DEADLINE, said).await;
    assert_eq!(said, Ok(true), "the link is not named");
    office.drop_in("e.csv", &office.cities(1..2, "Port"));
    office.ended("done", "e").await;
    for name in [
        ".hidden.csv",
        "a.csv.part",
        "b.csv.tmp",
        "c.xlsx",
        "d.csv",
        "link.csv",
    ] {
        assert!(office.path(name).symlink_metadata().is_ok(), "{name}");
    }
    assert_eq!(office.desk.applied().len(), 1);
    let ended = daemon.kill().await;
    let named = ended.stderr.matches("link.csv").count();
    assert_eq!(named, 1, "said once");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_data() {
    let office = Office::with(100, ALL).await;
    let daemon = office.daemon();
    let long = "l".repeat(251);
    let names = [
        ("-rf", "-rf".to_owned()),
        ("a b; $(rm) ünï", "a b; $(rm) ünï".to_owned()),
        ("esc\u{1b}[31m\nline", "esc_[31m_line".to_owned()),
        ("..", "..".to_owned()),
        (long.as_str(), "l".repeat(200)),
    ];
    for (number, (name, _)) in (0_u32..).zip(&names) {
        // Two dots and an ending begin with a dot, and are left alone.
        office.drop_in(
            &format!("{name}.csv"),
            &office.cities(number..number + 1, "Port"),
        );
    }
    for (number, (name, ends_as)) in (0_u32..).zip(&names) {
        if *name == ".." {
            continue;
        }
        office.ended("done", ends_as).await;
        assert!(office.path(&format!("done/{ends_as}.csv")).is_file());
        office.desk.expect_cities(number..number + 1, "Port", name);
    }
    assert!(office.path("...csv").is_file());
    let ended = daemon.kill().await;
    assert!(
        !ended.stderr.contains('\u{1b}') && !ended.stderr.contains("\\u001b"),
        "a control character is logged"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_read_a_file_may_read_what_became_of_it() {
    let office = Office::with(100, ALL).await;
    let _daemon = office.daemon();
    let part = office.path(".a");
    let text = format!("{}\nnobody-at-all,Nowhere", office.cities(0..1, "Port"));
    std::fs::write(&part, text).expect("a file");
    std::fs::set_permissions(&part, std::fs::Permissions::from_mode(0o640)).expect("rights");
    std::fs::rename(part, office.path("a.csv")).expect("a file");
    office.ended("failed", "a").await;
    for name in ["a.csv", "a.results.csv", "a.rejects.csv", "a.summary.json"] {
        let mode = std::fs::metadata(office.path(&format!("failed/{name}")))
            .expect(name)
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o640, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_with_the_directory_is_said_once_and_passes() {
    let office = Office::with(100, ALL).await;
    std::fs::write(office.path("done"), "in the way").expect("a file");
    let mut daemon = office.daemon();
    office.drop_in("a.csv", &office.cities(0..1, "Port"));
    let waits = |line: &str| line.contains("the inbox waits");
    let said = tokio::time::timeout(DEADLINE, daemon.until(waits)).await;
    assert_eq!(said, Ok(true));
    // Some looks later.
    tokio::time::sleep(Duration::from_secs(7)).await;
    std::fs::remove_file(office.path("done")).expect("it goes");
    office.ended("done", "a").await;
    let ended = daemon.kill().await;
    assert!(ended.stderr.contains("the inbox goes on"));
    let said = ended.stderr.lines().filter(|line| waits(line)).count();
    assert_eq!(said, 1);
}
