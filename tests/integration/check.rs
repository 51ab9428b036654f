//! `check` tells before the night what would fail in it.

use serde_json::Value;
use simulator::Options;

use crate::support::{Ended, Mirror, Program, people, tenant};

/// The check of this name.
fn check(ended: &Ended, name: &str) -> Value {
    let document = ended.json();
    let found = document["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .find(|check| check["name"] == name);
    found
        .unwrap_or_else(|| panic!("no {name} in {document:#}"))
        .clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_in_order_before_and_after_the_first_migration() {
    let (simulator, mirror) = (people(10).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror);

    let before = program.run(&["check", "--json"]).await.expect(0);
    for name in ["settings", "job", "api", "clock", "postgres"] {
        assert_eq!(check(&before, name)["ok"], true, "{name}");
    }
    assert!(
        check(&before, "postgres")["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("will be"))
    );
    assert_eq!(
        mirror
            .value::<i64>("select count(*) from pg_namespace where nspname like 'zephr%'")
            .await,
        0
    );

    program.run(&["migrate"]).await.expect(0);
    let after = program.run(&["check", "--json"]).await.expect(0);
    assert!(
        check(&after, "postgres")["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("up to date"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_neither_the_api_nor_the_database_is_asked() {
    let simulator = people(10).await;
    let nowhere = Mirror {
        url: "postgres://nobody@127.0.0.1:9/nothing".into(),
    };
    let ended = Program::between(&simulator, &nowhere)
        .run(&["check", "--offline", "--json"])
        .await
        .expect(0);
    assert_eq!(check(&ended, "settings")["ok"], true);
    assert_eq!(simulator.stats().requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_named_with_its_remedy() {
    let mirror = Mirror::new().await;
    let simulator = tenant(Options {
        clock_skew: 90,
        ..Options::default()
    })
    .await;
    let late = Program::between(&simulator, &mirror)
        .run(&["check", "--json"])
        .await
        .expect(1);
    assert_eq!(
        (&check(&late, "api")["ok"], &check(&late, "clock")["ok"]),
        (&true.into(), &false.into())
    );
    assert!(
        check(&late, "clock")["remedy"]
            .as_str()
            .is_some_and(|remedy| remedy.contains("time synchronisation"))
    );

    let wrong = Program::between(&simulator, &mirror)
        .with("ZEPHR_SECRET_KEY", "wrong")
        .run(&["check", "--json"])
        .await;
    assert_eq!(wrong.code, Some(1));
    assert!(
        check(&wrong, "api")["remedy"]
            .as_str()
            .is_some_and(|remedy| remedy.contains("clock") || remedy.contains("ZEPHR_SECRET_KEY"))
    );
    assert_eq!(check(&wrong, "postgres")["ok"], true);

    let unconfigured = Program::new()
        .run(&["check", "--offline", "--json"])
        .await
        .expect(2);
    assert_eq!(check(&unconfigured, "settings")["ok"], false);
}

/// The same words in every command: where it was, and what to do there.
#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_cannot_be_reached_is_named_with_its_place() {
    let (simulator, mirror) = (people(10).await, Mirror::new().await);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port");
    let unknown = "no-such-host.invalid:5432".to_owned();
    for (place, words, remedy) in [
        (
            nobody.to_string(),
            format!("nobody listens at {nobody}/mirror"),
            "listen_addresses",
        ),
        (
            unknown.clone(),
            format!("the host of {unknown}/mirror is not known"),
            "getent hosts",
        ),
    ] {
        let program = Program::between(&simulator, &mirror).with(
            "DATABASE_URL",
            format!("postgres://u:hidden@{place}/mirror"),
        );
        for command in ["check", "status", "migrate", "sync", "runs"] {
            let ended = program.run(&[command]).await;
            let said = format!("{}{}", ended.stdout, ended.stderr);
            assert_ne!(ended.code, Some(0), "{command}: {said}");
            for expected in [words.as_str(), remedy] {
                assert_eq!(
                    said.matches(expected).count(),
                    1,
                    "{command}, {expected}: {said}"
                );
            }
            assert!(!said.contains("hidden"), "{said}");
        }
    }
}
