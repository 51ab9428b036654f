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

#[tokio::test]
async fn a_dbt_project_is_written_without_any_mirror_and_nothing_of_it_is_overwritten() {
    let program = Program::new().with("ZEPHR_SYNC_SCHEMA", "news");
    let first = program
        .run(&["init", "--dbt", "--json"])
        .await
        .expect(0)
        .json();
    let written = first["written"].as_array().expect("files").len();
    let read = |path: &str| std::fs::read_to_string(program.directory().join(path)).expect(path);
    assert!(read("dbt/dbt_project.yml").contains("zephr_schema: news\n"));
    assert!(read("dbt/models/sources.yml").contains("What accounts may use: one row per grant."));
    assert!(read("dbt/models/user_attributes.yml").contains("\"user_id\""));
    assert!(
        !program.directory().join(".zephr-sync").exists(),
        "no cluster is made to be asked"
    );

    let own = "select 1\n";
    let model = program
        .directory()
        .join("dbt/models/staging/stg_zephr__users.sql");
    std::fs::write(&model, own).expect("a file");
    let second = program
        .run(&["init", ".", "--dbt", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(second["written"].as_array().map(Vec::len), Some(0));
    assert_eq!(second["kept"].as_array().map(Vec::len), Some(written));
    assert_eq!(std::fs::read_to_string(&model).expect("a file"), own);
}

#[tokio::test]
async fn a_mirror_that_does_not_answer_is_said_and_does_not_matter() {
    let program = Program::new().with("DATABASE_URL", "postgres://u:hidden@127.0.0.1:9/none");
    let ended = program.run(&["init", "--dbt"]).await.expect(0);
    assert!(ended.stderr.contains("could not be asked"), "{ended:?}");
    assert!(!ended.stderr.contains("hidden"), "{ended:?}");
}

#[tokio::test]
async fn a_job_of_one_s_own_is_part_of_the_project() {
    let program = Program::new();
    std::fs::create_dir(program.directory().join("jobs")).expect("a directory");
    for (name, text) in [
        (
            "hooks",
            "resource = 'list'\npath = '/v3/webhooks'\ntable = 'webhooks'\nkey = 'id'\nevery = '10m'",
        ),
        ("users-by-day", "resource = 'users'\ngrants = true"),
        ("users", "resource = 'users'\nenabled = false"),
    ] {
        let path = program.directory().join(format!("jobs/{name}.toml"));
        std::fs::write(path, text).expect("a file");
    }
    program.run(&["init", "--dbt"]).await.expect(0);
    let read = |path: &str| std::fs::read_to_string(program.directory().join(path)).expect(path);
    let sources = read("dbt/models/sources.yml");
    assert!(sources.contains("warn_after: {count: 20, period: minute}"));
    assert!(sources.contains("job in ('users-by-day')"), "{sources}");
    assert!(read("dbt/models/staging/stg_zephr__webhooks.sql").contains("\"id\""));
}
