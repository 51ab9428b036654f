//! What an operator starts from.

use crate::support::Program;

const FILES: [&str; 4] = [
    "zephr-sync.toml",
    ".env.example",
    "jobs/users.toml",
    "reader-role.sql",
];

#[tokio::test]
async fn init_writes_what_is_not_there_and_keeps_what_is() {
    let program = Program::new();
    let settings = program.directory().join(FILES[0]);
    std::fs::write(&settings, "rpp = 250\n").expect("a file");

    let first = program.run(&["init", "--json"]).await.expect(0).json();
    assert_eq!(first["written"].as_array().map(Vec::len), Some(3));
    assert_eq!(first["kept"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        std::fs::read_to_string(&settings).expect("a file"),
        "rpp = 250\n"
    );

    let second = program.run(&["init", "--json"]).await.expect(0).json();
    assert_eq!(second["written"].as_array().map(Vec::len), Some(0));
    assert_eq!(second["kept"].as_array().map(Vec::len), Some(4));
}

#[tokio::test]
async fn what_init_writes_is_accepted_as_it_is() {
    let program = Program::new();
    program.run(&["init", "new/place"]).await.expect(0);
    for file in FILES {
        assert!(
            program.directory().join("new/place").join(file).is_file(),
            "{file}"
        );
    }

    let program = Program::new()
        .with("ZEPHR_TENANT", "news")
        .with("ZEPHR_ACCESS_KEY", "a")
        .with("ZEPHR_SECRET_KEY", "s");
    program.run(&["init"]).await.expect(0);
    let checks = program
        .run(&["check", "--offline", "--json"])
        .await
        .expect(0)
        .json();
    let jobs: Vec<_> = checks["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .filter(|check| check["name"] == "job")
        .collect();
    assert!(
        jobs.iter().any(|job| job["detail"]
            .as_str()
            .is_some_and(|detail| detail.starts_with("users,"))),
        "{jobs:?}"
    );
}
