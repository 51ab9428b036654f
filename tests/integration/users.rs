//! The users of a tenant arrive, complete and as they are, and a second run changes nothing.

use zephr_sync::simulator::{Options, Shape};

use crate::support::{Mirror, Program, tenant};

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_arrives_whole_and_a_second_run_writes_nothing() {
    let simulator = tenant(Options {
        shape: Shape {
            people: 3_000,
            ..Shape::default()
        },
        ..Options::default()
    })
    .await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror);

    let first = program
        .run(&["sync", "users", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(first["runs"][0]["rows_inserted"], 3_000);
    assert_eq!(first["runs"][0]["verdict"], "proven");

    let second = program
        .run(&["sync", "users", "--full", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(second["runs"][0]["rows_unchanged"], 3_000);
    assert_eq!(
        mirror.value::<i64>("select count(*) from users").await,
        3_000
    );
}
