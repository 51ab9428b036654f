//! What `init --dbt` writes, run by a real dbt as an analyst would run it, on a mirror that was
//! synced and on one that was broken on purpose.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use simulator::{Business, Options, Shape};
use sqlx::postgres::PgConnectOptions;
use tokio::process::Command;

use crate::support::{Mirror, Program, tenant};

/// Where `scripts/setup` puts it: beside the build.
fn program() -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_zephr-sync"))
        .ancestors()
        .nth(2)
        .expect("a build is in target/PROFILE");
    let dbt = target.join("dbt/bin/dbt");
    assert!(
        dbt.is_file(),
        "{} is missing: run `make setup`",
        dbt.display()
    );
    dbt
}

/// A project and the role that runs it.
struct Project<'a> {
    directory: PathBuf,
    mirror: &'a Mirror,
    role: String,
}

impl Project<'_> {
    /// The variables of `profiles.yml` for the test's database.
    fn environment(&self) -> Vec<(&'static str, String)> {
        let options = PgConnectOptions::from_str(&self.mirror.url).expect("a URL");
        let host = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => options.get_host().to_owned(),
        };
        vec![
            ("DBT_HOST", host),
            ("DBT_PORT", options.get_port().to_string()),
            (
                "DBT_DATABASE",
                options.get_database().expect("a database").to_owned(),
            ),
            ("DBT_USER", self.role.clone()),
            ("HOME", self.directory.display().to_string()),
        ]
    }

    /// Runs dbt; whether it was content, and the status of each thing it did, by a name that people
    /// would use.
    async fn dbt(&self, arguments: &[&str], results: &str) -> (bool, BTreeMap<String, String>) {
        let output = Command::new(program())
            .arg("--no-use-colors")
            .args(arguments)
            .current_dir(&self.directory)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(self.environment())
            .output()
            .await
            .expect("dbt runs");
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        let text = std::fs::read(self.directory.join("target").join(results))
            .unwrap_or_else(|error| panic!("{error}: {shown}"));
        let document: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        let statuses = document["results"]
            .as_array()
            .expect("results")
            .iter()
            .map(|result| {
                let id = result["unique_id"].as_str().expect("an id");
                let name = id
                    .split('.')
                    .nth(if id.starts_with("source") { 3 } else { 2 });
                (
                    name.expect("a name").to_owned(),
                    result["status"].as_str().expect("a status").to_owned(),
                )
            })
            .collect();
        (output.status.success(), statuses)
    }

    fn text(&self, path: &str) -> String {
        std::fs::read_to_string(self.directory.join(path)).expect(path)
    }
}

/// Those that did not go as they should.
fn bad(statuses: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    statuses
        .iter()
        .filter(|(_, status)| !matches!(status.as_str(), "success" | "pass"))
        .map(|(name, status)| (name.as_str(), status.as_str()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_dbt_is_content_with_a_mirror_that_is_right_and_finds_what_is_wrong() {
    let simulator = tenant(Options {
        shape: Shape {
            people: 300,
            business: Business {
                accounts: Some(40),
                ..Business::default()
            },
            ..Shape::default()
        },
        ..Options::default()
    })
    .await;
    let mirror = Mirror::new().await;
    let sync = Program::between(&simulator, &mirror);
    sync.run(&["sync"]).await.expect(0);
    simulator.tenant().delete_account(7);
    sync.run(&["sync", "accounts"]).await.expect(0);
    // A label that dbt must not take for a template, in a mirror that has the view of attributes.
    mirror
        .execute("update user_schema set label = 'Score of {{ env_var(''NOBODY_HAS_THIS'') }}' where slug = 'reader_score'")
        .await;
    let ended = sync.run(&["init", "--dbt"]).await.expect(0);
    assert_eq!(ended.stderr, "");
    let project = Project {
        directory: sync.directory().join("dbt"),
        mirror: &mirror,
        role: format!("dbt_{}", uuid::Uuid::new_v4().simple()),
    };
    let attributes = project.text("models/user_attributes.yml");
    assert!(
        attributes.contains("Score of { { env_var('NOBODY_HAS_THIS') }}"),
        "{attributes}"
    );
    // What the project's own README says that dbt needs, and nothing more.
    let readme = project.text("README.md");
    let (_, rest) = readme.split_once("```sql\n").expect("SQL");
    let (rights, _) = rest.split_once("```").expect("its end");
    mirror
        .execute(
            &rights
                .replace("role dbt ", &format!("role {} ", project.role))
                .replace(
                    "authorization dbt;",
                    &format!("authorization {};", project.role),
                ),
        )
        .await;

    // A quiet quarter: runs came and found nothing new.
    for table in ["users", "accounts", "account_users", "segments", "products"] {
        mirror
            .execute(&format!(
                "update {table} set _zephr_loaded_at = now() - interval '90 days'"
            ))
            .await;
    }
    let (content, built) = project.dbt(&["build"], "run_results.json").await;
    assert_eq!(bad(&built), []);
    assert!(content);
    assert!(built.len() > 70, "{}", built.len());
    let (content, fresh) = project.dbt(&["source", "freshness"], "sources.json").await;
    assert_eq!(bad(&fresh), []);
    assert!(content);
    assert!(fresh.len() > 15, "{}", fresh.len());
    assert_eq!(
        mirror
            .value::<i64>("select count(*) from zephr_staging.stg_zephr__accounts")
            .await,
        39,
        "tombstones stay out"
    );
    assert!(
        !project.directory.join(".user.yml").exists() && !project.directory.join(".dbt").exists(),
        "dbt made itself an identity to report under"
    );

    // Each fault has one test that finds it.
    for fault in [
        "alter table accounts drop constraint accounts_pkey",
        "insert into accounts select * from accounts where _zephr_deleted_at is null limit 1",
        "alter table user_segments drop constraint user_segments_pkey",
        "insert into user_segments select * from user_segments where _zephr_deleted_at is null limit 1",
        "insert into account_users select (jsonb_populate_record(u, '{\"account_id\": \"no-such-account\"}')).* from account_users u where _zephr_deleted_at is null limit 1",
        "update account_users set user_id = 'read-before-the-users' where ctid = (select ctid from account_users where _zephr_deleted_at is null and account_id <> 'no-such-account' limit 1)",
        "update bundles set auto_assign = 'sometimes' where bundle_id = (select min(bundle_id) from bundles)",
        "update zephr_sync.runs set finished_at = now() - interval '3 days' where job = 'users'",
        "update zephr_sync.runs set finished_at = now() - interval '30 hours' where job = 'catalog'",
        "insert into zephr_sync.runs (run_id, job, resource, mode, status, verdict, error, finished_at)
             values (gen_random_uuid(), 'users', 'users', 'full', 'failed', 'incomplete', 'somebody may be missing', now())",
    ] {
        mirror.execute(fault).await;
    }
    let (content, tested) = project.dbt(&["test"], "run_results.json").await;
    assert_eq!(
        bad(&tested),
        [
            (
                "accepted_values_stg_zephr__bundles_auto_assign__none__all__anonymous__authenticated",
                "warn"
            ),
            ("last_runs_are_complete", "warn"),
            (
                "relationships_stg_zephr__account_users_account_id__account_id__ref_stg_zephr__accounts_",
                "fail"
            ),
            (
                "relationships_stg_zephr__account_users_user_id__user_id__ref_stg_zephr__users_",
                "warn"
            ),
            ("unique_stg_zephr__accounts_account_id", "fail"),
            (
                "unique_together_stg_zephr__user_segments_user_id__segment_id",
                "fail"
            ),
        ]
    );
    assert!(!content);
    let (content, fresh) = project.dbt(&["source", "freshness"], "sources.json").await;
    let mut stale: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, status) in bad(&fresh) {
        stale.entry(status).or_default().push(name);
    }
    assert_eq!(
        stale["warn"],
        [
            "bundles",
            "companies",
            "credits",
            "entitlements",
            "meters",
            "products"
        ]
    );
    for table in [
        "users",
        "user_foreign_keys",
        "users_current",
        "user_attributes",
    ] {
        assert!(stale["error"].contains(&table), "{stale:?}");
    }
    assert!(!stale["error"].contains(&"accounts"), "{stale:?}");
    assert!(!content);
}
