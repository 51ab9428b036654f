//! Settings that cannot be right end a command with exit code 2, in words that name the setting,
//! before anything is sent or written.

use crate::support::Program;

/// Runs a command that fails for its settings; what it says.
async fn complaint(program: &Program, arguments: &[&str]) -> String {
    let shown = program.run(arguments).await.expect(2);
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    let document = program.run(&arguments).await.expect(2).json();
    let error = document["error"].as_str().expect("an error").to_owned();
    assert!(document["remedy"].is_string(), "{document:#}");
    assert!(
        shown.stderr.contains(&error),
        "people read the same: {}",
        shown.stderr
    );
    assert_eq!(shown.stdout, "");
    error
}

/// A program that lacks nothing, for a tenant and a database that are not there.
fn configured() -> Program {
    Program::new()
        .with("ZEPHR_TENANT", "news")
        .with("ZEPHR_ACCESS_KEY", "access")
        .with("ZEPHR_SECRET_KEY", "secret")
        .with("DATABASE_URL", "postgres://nobody@127.0.0.1:9/nothing")
}

#[tokio::test]
async fn plain_http_to_another_machine_is_refused() {
    let program = Program::new().with("ZEPHR_BASE_URL", "http://news.api.zephr.com");
    assert!(complaint(&program, &["sync"]).await.contains("https"));
}

#[tokio::test]
async fn an_unknown_key_in_the_settings_file_is_an_error_with_a_suggestion() {
    let program = configured();
    std::fs::write(
        program.directory().join("zephr-sync.toml"),
        "max_in_fligth = 3\n",
    )
    .expect("a file");
    let error = complaint(&program, &["sync"]).await;
    assert!(
        error.contains("`max_in_fligth`") && error.contains("did you mean `max_in_flight`?"),
        "{error}"
    );
}

/// The same value is wrong wherever it stands; what differs is what a person has to change. The nearest source counts, and its place is named.
#[tokio::test]
async fn a_value_that_does_not_fit_is_named_where_it_was_set() {
    let program = configured();
    let write = |program: &Program| {
        let path = program.directory().join("zephr-sync.toml");
        std::fs::write(path, "rpp = 0\nmax_retry_after = \"soon\"\n").expect("a file");
    };
    write(&program);
    let in_file = complaint(&program, &["sync"]).await;
    assert!(
        in_file.starts_with("`rpp` in ") && in_file.contains("zephr-sync.toml: must be at least 1"),
        "{in_file}"
    );
    let program = configured().with("ZEPHR_SYNC_RPP", "0");
    write(&program);
    let in_variable = complaint(&program, &["sync"]).await;
    assert_eq!(in_variable, "ZEPHR_SYNC_RPP: must be at least 1");
    let in_flag = complaint(&program, &["sync", "--rpp", "0"]).await;
    assert_eq!(in_flag, "--rpp: must be at least 1");
    let length = complaint(&program, &["sync", "--rpp", "1"]).await;
    assert!(
        length.starts_with("`max_retry_after` in ") && length.contains("soon"),
        "{length}"
    );
}

#[tokio::test]
async fn an_unknown_job_is_an_error_with_a_suggestion() {
    let error = complaint(&configured(), &["sync", "user"]).await;
    assert!(
        error.contains("`user`") && error.contains("did you mean `users`?"),
        "{error}"
    );
}

#[tokio::test]
async fn missing_keys_are_named() {
    let program = Program::new().with("ZEPHR_TENANT", "news");
    let error = complaint(&program, &["sync"]).await;
    assert!(
        error.contains("ZEPHR_ACCESS_KEY") && error.contains("ZEPHR_SECRET_KEY"),
        "{error}"
    );
}

#[tokio::test]
async fn a_missing_tenant_is_named() {
    let error = complaint(&Program::new(), &["api", "GET", "/v3/schema/users"]).await;
    assert!(error.contains("ZEPHR_TENANT"), "{error}");
}

#[tokio::test]
async fn a_tenant_and_an_address_contradict_each_other() {
    let program = configured().with("ZEPHR_BASE_URL", "https://news.api.zephr.com");
    let error = complaint(&program, &["sync"]).await;
    assert!(
        error.contains("ZEPHR_TENANT") && error.contains("ZEPHR_BASE_URL"),
        "{error}"
    );
}

#[tokio::test]
async fn an_unknown_option_is_a_usage_error() {
    configured()
        .run(&["sync", "--no-such-option"])
        .await
        .expect(2);
}

#[tokio::test]
async fn two_jobs_on_one_resource_are_refused() {
    let program = configured().job("readers", "resource = \"users\"\ngrants = true\n");
    for command in [
        ["sync"].as_slice(),
        &["sync", "readers"],
        &["daemon", "--listen", "127.0.0.1:0"],
    ] {
        let error = complaint(&program, command).await;
        for part in [
            "`readers`",
            "readers.toml",
            "`users` (built in)",
            "`enabled = false`",
            "users.toml",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }
    let checked = program.run(&["check", "--offline"]).await.expect(2);
    assert!(
        checked.stdout.contains("both write the tables of resource"),
        "{checked:?}"
    );

    let program = program.job("users", "resource = \"users\"\nenabled = false\n");
    program.run(&["check", "--offline"]).await.expect(0);
}

#[tokio::test]
async fn two_lists_in_one_table_are_refused() {
    let list = "resource = \"list\"\npath = \"/v3/webhooks\"\nkey = \"webhook_id\"\ntable = \"webhooks\"\n";
    let program = configured().job("hooks", list).job("webhooks", list);
    let error = complaint(&program, &["sync"]).await;
    assert!(error.contains("both write the table webhooks"), "{error}");
}

#[tokio::test]
async fn paths_go_by_the_settings_file_wherever_the_command_is_started() {
    let program = Program::new()
        .configured("tenant = \"news\"\naccess_key = \"a\"\nsecret_key_file = \"secret\"\n")
        .job("readers", "resource = \"users\"\nevery = \"3h\"\n")
        .job("users", "resource = \"users\"\nenabled = false\n");
    let directory = program.directory();
    std::fs::write(directory.join("secret"), "s").expect("a file");
    let settings = directory.join("zephr-sync.toml");
    let settings = settings.to_str().expect("text");

    for start in ["/", directory.to_str().expect("text")] {
        let checked = program
            .command(&["--config", settings, "check", "--offline"])
            .current_dir(start)
            .output()
            .await
            .expect("it runs");
        let shown = String::from_utf8(checked.stdout).expect("text");
        assert_eq!(checked.status.code(), Some(0), "{shown}");
        assert!(shown.contains("readers, every 3h"), "{shown}");
        let private = format!("under {}", directory.join(".zephr-sync").display());
        assert!(shown.contains(&private), "{shown}");
    }
}

#[tokio::test]
async fn a_directory_that_is_named_must_be_there() {
    let error = complaint(&configured(), &["--jobs-dir", "/nonexistent", "sync"]).await;
    assert!(error.contains("--jobs-dir names /nonexistent"), "{error}");
    let program = configured().with("ZEPHR_SYNC_JOBS_DIR", "nowhere");
    let error = complaint(&program, &["sync"]).await;
    assert!(
        error.contains("ZEPHR_SYNC_JOBS_DIR names nowhere"),
        "{error}"
    );
    let program = configured().configured("jobs_dir = \"jbos\"\n");
    let error = complaint(&program, &["daemon"]).await;
    assert!(
        error.contains("`jobs_dir` in") && error.contains("jbos"),
        "{error}"
    );

    let program = configured().with("ZEPHR_SYNC_INBOX", "/nonexistent");
    let error = complaint(&program, &["daemon", "--listen", "127.0.0.1:0"]).await;
    assert!(
        error.contains("ZEPHR_SYNC_INBOX names /nonexistent"),
        "{error}"
    );
    program.run(&["check", "--offline"]).await.expect(2);
}
