//! Several tenants in one daemon: one tenant's trouble does not touch another's runs.

use simulator::{Options, Shape, Simulator};

use super::{start, stop_all, until};
use crate::support::{Mirror, Program, tenant};

async fn simulator(people: u32) -> Simulator {
    tenant(Options {
        shape: Shape {
            people,
            ..Shape::default()
        },
        ..Options::default()
    })
    .await
}

fn table(name: &str, simulator: &Simulator) -> String {
    let keys = simulator.keys();
    format!(
        "[tenants.{name}]\nbase_url = \"{}\"\naccess_key = \"{}\"\nsecret_key = \"{}\"\n",
        simulator.base_url(),
        keys.access,
        keys.secret
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tenants_are_kept_while_others_are_in_trouble() {
    let (news, sport) = (simulator(200).await, simulator(300).await);
    let mirror = Mirror::new().await;
    let settings = format!(
        "rpp = 100\n{}{}schema = \"games\"\n[tenants.silent]\nbase_url = \"http://127.0.0.1:9\"\naccess_key = \"a\"\nsecret_key = \"b\"\n[tenants.homeless]\nbase_url = \"http://127.0.0.1:9\"\naccess_key = \"a\"\nsecret_key = \"b\"\ndatabase_url = \"postgres://nobody@127.0.0.1:9/nothing\"\n",
        table("news", &news),
        table("sport", &sport),
    );
    // The environment would stand in for each tenant's own.
    let settings = settings.replace(
        "rpp = 100\n",
        &format!("rpp = 100\ndatabase_url = \"{}\"\n", mirror.url),
    );
    let program = Program::new().configured(&settings).users_every("2s");
    let daemon = start(&program);
    for schema in ["news_sync", "games_sync"] {
        until(
            &mirror,
            &format!("select to_regclass('{schema}.runs') is not null"),
        )
        .await;
        let twice = format!("select count(*) >= 2 from {schema}.runs where status = 'succeeded'");
        until(&mirror, &twice).await;
    }
    until(
        &mirror,
        "select to_regclass('silent_sync.runs') is not null",
    )
    .await;
    until(&mirror, "select exists (select from silent_sync.runs)").await;
    let both = "select (select count(*) from news.users) + (select count(*) from games.users)";
    assert_eq!(mirror.value::<i64>(both).await, 500);
    let log = stop_all(vec![daemon]).await.remove(0);
    assert!(log.contains("tenant=\"homeless\""), "{log}");
    assert!(!log.contains("nobody@"), "{log}");

    let which = program.run(&["status"]).await.expect(2);
    assert!(
        which
            .stderr
            .contains("--tenant: homeless, news, silent, sport"),
        "{which:?}"
    );
    let one = program
        .run(&["--tenant", "sport", "sync", "users", "--full"])
        .await
        .expect(0);
    assert!(one.stdout.contains("of 300 read"), "{one:?}");
    let unknown = program
        .run(&["--tenant", "sprot", "status"])
        .await
        .expect(2);
    assert!(unknown.stderr.contains("no tenant `sprot`"), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_whose_mirror_is_anothers_does_not_stop_the_others() {
    let (news, sport) = (simulator(200).await, simulator(300).await);
    let mirror = Mirror::new().await;
    Program::between(&news, &mirror)
        .with("ZEPHR_SYNC_SCHEMA", "news")
        .run(&["sync", "users"])
        .await
        .expect(0);
    let strangers = tenant(Options {
        shape: Shape {
            people: 200,
            seed: 2,
            ..Shape::default()
        },
        ..Options::default()
    })
    .await;
    let program = Program::new()
        .configured(&format!(
            "database_url = \"{}\"\n{}{}",
            mirror.url,
            table("news", &strangers),
            table("sport", &sport)
        ))
        .users_every("2s");
    let mirrored = "select md5(string_agg(u::text, '' order by user_id)) from news.users u";
    let before: String = mirror.value(mirrored).await;

    let mut daemon = start(&program);
    super::says(
        &mut daemon,
        &["this tenant cannot be kept", "this mirror holds"],
    )
    .await;
    until(&mirror, "select to_regclass('sport_sync.runs') is not null").await;
    let twice = "select count(*) >= 2 from sport_sync.runs where status = 'succeeded'";
    until(&mirror, twice).await;

    stop_all(vec![daemon]).await;
    assert_eq!(mirror.value::<String>(mirrored).await, before);
    assert_eq!(
        mirror
            .value::<i64>("select count(*) from news_sync.runs")
            .await,
        1
    );
}
