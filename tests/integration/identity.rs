//! The mirror knows whose it is: settings that lead to another tenant are refused by every command
//! before anything is read or written.

use std::net::SocketAddr;

use serde_json::Value;
use simulator::{Keys, Options, Shape, Simulator};

use crate::support::{Ended, Mirror, Program, people, tenant};

const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// Every command that works with the mirror.
const ALL: [&[&str]; 24] = [
    &["check"],
    &["sync"],
    &["sync", "users"],
    &["sync", "users", "--full"],
    &["sync", "catalog"],
    &["sync", "--dry-run"],
    &["sync", "users", "--confirm-deletes", NOBODY],
    &["verify"],
    &["daemon", "--listen", "127.0.0.1:0"],
    &["bulk", "plan", "users.csv"],
    &["bulk", "run", "users.csv", "--yes"],
    &["bulk", "apply", NOBODY, "--yes"],
    &["bulk", "resume"],
    &["bulk", "undo", NOBODY],
    &["rejects", "replay"],
    &["migrate"],
    &["status"],
    &["runs"],
    &["rejects", "list"],
    &["rejects", "export"],
    &["bulk", "status"],
    &["bulk", "results", NOBODY],
    &["erase", "somebody", "--yes"],
    &["erase", "--list"],
];

/// Those of them that ask the tenant, or write what comes from it.
const ASKING: usize = 15;

/// A tenant of other people, at this address.
async fn other(listen: SocketAddr, seed: u64, keys: Keys) -> Simulator {
    tenant(Options {
        listen,
        keys,
        shape: Shape {
            people: 200,
            seed,
            ..Shape::default()
        },
        ..Options::default()
    })
    .await
}

fn free() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn address(simulator: &Simulator) -> String {
    simulator.base_url().replace("http://", "")
}

fn file(program: &Program) {
    let path = program.directory().join("users.csv");
    std::fs::write(path, "email,telephone\na@b.example,1\n").expect("a file");
}

/// Nothing was done, and one sentence says why, with both names.
#[track_caller]
fn expect_refused(ended: &Ended, names: [&str; 2]) {
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let said = format!("{}{}", ended.stdout, ended.stderr);
    let sentence = said
        .lines()
        .find(|line| names.iter().all(|name| line.contains(name)));
    assert!(
        sentence.is_some_and(|line| line.contains("this mirror holds")),
        "{said}"
    );
    assert!(said.contains("zephr-sync adopt"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenant_on_this_machine_is_refused_before_anything_is_read() {
    let (ours, mirror) = (people(200).await, Mirror::new().await);
    Program::between(&ours, &mirror)
        .run(&["sync"])
        .await
        .expect(0);
    let before = mirror.everything().await;

    let theirs = other(free(), 2, Keys::made_up()).await;
    let copied = Program::between(&theirs, &mirror);
    file(&copied);
    let names = [address(&ours), address(&theirs)];
    for command in &ALL[..ASKING] {
        let asked = theirs.stats().requests;
        let ended = copied.run(command).await;
        expect_refused(&ended, [&names[0], &names[1]]);
        assert!(theirs.stats().requests - asked <= 6, "{command:?}");
        assert_eq!(mirror.everything().await, before, "{command:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_another_tenant_at_the_same_address_are_refused() {
    let (ours, mirror) = (people(200).await, Mirror::new().await);
    let listen: SocketAddr = address(&ours).parse().expect("an address");
    Program::between(&ours, &mirror)
        .run(&["sync", "users"])
        .await
        .expect(0);
    ours.stop().await;
    let before = mirror.everything().await;

    let keys = Keys {
        access: "another".into(),
        secret: "secret".into(),
    };
    let theirs = other(listen, 2, keys).await;
    let names = [address(&theirs), address(&theirs)];
    let ended = Program::between(&theirs, &mirror)
        .run(&["sync", "users"])
        .await;

    expect_refused(&ended, [&names[0], &names[1]]);
    assert_eq!(mirror.everything().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_moved_on_this_machine_or_has_new_keys_is_still_the_same() {
    let (ours, mirror) = (people(200).await, Mirror::new().await);
    Program::between(&ours, &mirror)
        .run(&["sync", "users"])
        .await
        .expect(0);
    ours.stop().await;

    let keys = Keys {
        access: "renewed".into(),
        secret: "secret".into(),
    };
    let moved = other(free(), 1, keys).await;
    let program = Program::between(&moved, &mirror);
    let run = program.run(&["sync", "users"]).await.expect(0);

    assert!(run.stdout.contains("incremental scan"), "{run:?}");
    let noted: String = mirror.value("select address from tenant").await;
    assert_eq!(noted, address(&moved));
    // From now on it is known, and nothing is asked for that.
    let asked = moved.stats().requests;
    program.run(&["rejects", "replay"]).await.expect(0);
    assert_eq!(moved.stats().requests, asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_tenant_elsewhere_is_no_evidence_and_is_left_to_the_brake() {
    let (ours, mirror) = (people(200).await, Mirror::new().await);
    Program::between(&ours, &mirror)
        .run(&["sync", "users"])
        .await
        .expect(0);
    let empty = people(0).await;

    let ended = Program::between(&empty, &mirror)
        .run(&["sync", "users", "--full"])
        .await;

    assert_ne!(ended.code, Some(2), "{ended:?}");
    let living = "select count(*) from users where _zephr_deleted_at is null";
    assert_eq!(mirror.value::<i64>(living).await, 200);
}

/// A mirror of the tenant news, as far as it was written down, with somebody in it.
async fn of_news() -> (Mirror, Program) {
    let mirror = Mirror::new().await;
    let news = Program::new()
        .with("ZEPHR_TENANT", "news")
        .with("ZEPHR_ACCESS_KEY", "access")
        .with("ZEPHR_SECRET_KEY", "secret")
        .with("DATABASE_URL", &mirror.url);
    news.run(&["migrate"]).await.expect(0);
    mirror
        .execute(
            "insert into users (user_id, _zephr_run_id, _zephr_first_seen_at, _zephr_loaded_at, _zephr_extracted_at, _zephr_hash)
             values ('u', gen_random_uuid(), now(), now(), now(), '\\x00')",
        )
        .await;
    (mirror, news)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_host_is_refused_by_its_name() {
    let (mirror, news) = of_news().await;
    let before = mirror.everything().await;

    let sport = Program::new()
        .with("ZEPHR_TENANT", "sport")
        .with("ZEPHR_ACCESS_KEY", "access")
        .with("ZEPHR_SECRET_KEY", "secret")
        .with("DATABASE_URL", &mirror.url);
    file(&sport);
    for command in ALL {
        let ended = sport.run(command).await;
        expect_refused(&ended, ["news.api.zephr.com", "sport.api.zephr.com"]);
        assert_eq!(mirror.everything().await, before, "{command:?}");
    }

    // A tenant on this machine is another one too, and is not asked.
    let local = people(10).await;
    let ended = Program::between(&local, &mirror).run(&["sync"]).await;
    expect_refused(&ended, ["news.api.zephr.com", &address(&local)]);
    assert_eq!(local.stats().requests, 0);

    // One address has many spellings.
    for spelling in [
        "https://news.api.zephr.com",
        "https://NEWS.API.zephr.com:443/",
    ] {
        let mut spelt = Program::new().with("ZEPHR_BASE_URL", spelling);
        spelt = spelt.with("DATABASE_URL", &mirror.url);
        spelt.run(&["status"]).await.expect(0);
    }
    news.run(&["status"]).await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_moved_is_adopted() {
    let (mirror, _) = of_news().await;
    let moved = people(50).await;
    let program = Program::between(&moved, &mirror);

    let shown = program.run(&["adopt", "--json"]).await.expect(0).json();
    assert_eq!(shown["adopted"], false);
    assert_eq!(shown["held"], "news.api.zephr.com");
    assert_eq!(shown["named"], address(&moved));
    assert_eq!(shown["evidence"], "strangers");
    program.run(&["sync", "users"]).await.expect(2);

    let given = program.run(&["adopt", "--yes"]).await.expect(0);
    assert!(given.stdout.contains("sync --full"), "{given:?}");
    let run = program
        .run(&["sync", "users", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(run["runs"][0]["mode"], "full");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_without_rows_is_anybodys() {
    let (simulator, mirror) = (people(20).await, Mirror::new().await);
    let mistaken = Program::new()
        .with("ZEPHR_TENANT", "nwes")
        .with("DATABASE_URL", &mirror.url);
    mistaken.run(&["migrate"]).await.expect(0);

    Program::between(&simulator, &mirror)
        .run(&["sync", "users"])
        .await
        .expect(0);

    let noted: String = mirror.value("select address from tenant").await;
    assert_eq!(noted, address(&simulator));
    mistaken.run(&["status"]).await.expect(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_from_before_learns_whose_it_is_with_the_first_run() {
    let (ours, mirror) = (people(200).await, Mirror::new().await);
    let program = Program::between(&ours, &mirror);
    program.run(&["sync", "users"]).await.expect(0);
    mirror
        .execute("delete from tenant; delete from tenant_keys")
        .await;

    let theirs = other(free(), 2, Keys::made_up()).await;
    let ended = Program::between(&theirs, &mirror)
        .run(&["sync", "users"])
        .await
        .expect(2);
    assert!(
        ended.stderr.contains("was not written down yet"),
        "{ended:?}"
    );
    program.run(&["sync", "users"]).await.expect(0);
    let noted: String = mirror.value("select address from tenant").await;
    assert_eq!(noted, address(&ours));
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_the_tenant_and_asks_another_one_nothing_else() {
    let (ours, mirror) = (people(200).await, Mirror::new().await);
    let program = Program::between(&ours, &mirror);
    program.run(&["sync", "users"]).await.expect(0);
    let named = |ended: &Ended| -> Vec<(String, bool)> {
        let document = ended.json();
        let checks = document["checks"].as_array().expect("checks").iter();
        let one = |check: &Value| {
            let name = check["name"].as_str().expect("a name").to_owned();
            (name, check["ok"] == true)
        };
        checks.map(one).collect()
    };

    let good = named(&program.run(&["check", "--json"]).await.expect(0));
    assert!(good.contains(&("tenant".into(), true)), "{good:?}");

    let theirs = other(free(), 2, Keys::made_up()).await;
    let copied = Program::between(&theirs, &mirror);
    let bad = named(&copied.run(&["check", "--json"]).await.expect(2));
    assert!(bad.contains(&("tenant".into(), false)), "{bad:?}");
    assert!(bad.iter().all(|(name, _)| name != "api"), "{bad:?}");
}
