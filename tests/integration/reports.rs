//! What people and scripts ask afterwards: `status`, `runs` and completions.

use crate::support::{Mirror, Program, people};

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_how_each_job_last_went() {
    let (simulator, mirror) = (people(60).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror);
    let before = program.run(&["status", "--json"]).await.expect(0).json();
    assert_eq!(
        (
            &crate::support::status_of(&before, "users")["job"],
            crate::support::status_of(&before, "users")["last_run"].is_null()
        ),
        (&"users".into(), true)
    );

    program.run(&["sync", "users"]).await.expect(0);

    let after = program.run(&["status", "--json"]).await.expect(0).json();
    let users = &crate::support::status_of(&after, "users");
    assert_eq!(
        (
            &users["last_run"]["status"],
            &users["last_run"]["rows_read"]
        ),
        (&"succeeded".into(), &60.into())
    );
    assert!(
        users["watermark"].is_string() && users["full_finished_at"].is_string(),
        "{users:#}"
    );
    assert!(
        users["holder"].is_null() && users["unfinished_windows"].is_null(),
        "{users:#}"
    );
    assert_eq!(after["rejects"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_lists_the_latest_first_and_shows_one_by_its_identifier() {
    let (simulator, mirror) = (people(60).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror);
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(
            program
                .run(&["sync", "users", "--json"])
                .await
                .expect(0)
                .json()["runs"][0]["run_id"]
                .clone(),
        );
    }
    ids.reverse();

    let listed = program
        .run(&["runs", "--last", "2", "--json"])
        .await
        .expect(0)
        .json();
    let found: Vec<_> = listed["runs"]
        .as_array()
        .expect("runs")
        .iter()
        .map(|run| run["run_id"].clone())
        .collect();
    assert_eq!(found, ids[..2]);

    let id = ids[2].as_str().expect("an id");
    let one = program.run(&["runs", id, "--json"]).await.expect(0).json();
    assert_eq!(
        (&one["runs"][0]["run_id"], &one["runs"][0]["mode"]),
        (&ids[2], &"full".into())
    );
    assert!(
        program
            .run(&["runs", id])
            .await
            .expect(0)
            .stdout
            .contains("60 read: 60 inserted")
    );

    let unknown = "00000000-0000-7000-8000-000000000000";
    let document = program
        .run(&["runs", unknown, "--json"])
        .await
        .expect(1)
        .json();
    assert!(
        document["error"]
            .as_str()
            .is_some_and(|error| error.contains(unknown)),
        "{document:#}"
    );
}

#[tokio::test]
async fn completions_are_a_script_that_the_shell_reads() {
    let script = Program::new()
        .run(&["completions", "bash"])
        .await
        .expect(0)
        .stdout;
    let checked = tokio::process::Command::new("bash")
        .args(["-n", "-c", &script])
        .status()
        .await
        .expect("bash runs");
    assert!(checked.success());
    assert!(
        script
            .lines()
            .any(|line| line.contains("complete -F") && line.ends_with("zephr-sync"))
    );
}
