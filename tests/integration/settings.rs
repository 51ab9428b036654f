//! Settings that cannot be right end a command with exit code 2, in words that name the setting, before anything is sent or written.

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
