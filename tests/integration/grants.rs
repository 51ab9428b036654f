//! Grants and extended profiles come with the users when the job asks, in each of the forms they
//! are seen in.

use simulator::{Behaviour, Grants, List, Options, Shape};

use crate::support::truth::lists::expect_list;
use crate::support::{Mirror, Program, tenant, truth};

#[tokio::test(flavor = "multi_thread")]
async fn grants_follow_their_users_in_every_form() {
    for grants in [Grants::Camel, Grants::Snake, Grants::Bare] {
        let simulator = tenant(Options {
            shape: Shape {
                people: 200,
                ..Shape::default()
            },
            behaviour: Behaviour {
                grants,
                ..Behaviour::plain()
            },
            ..Options::default()
        })
        .await;
        let mirror = Mirror::new().await;
        let program = Program::between(&simulator, &mirror);
        std::fs::create_dir(program.directory().join("jobs")).expect("a directory");
        let job = "resource = 'users'\nmode = 'incremental'\ngrants = true\napp_ids = ['games']\n";
        std::fs::write(program.directory().join("jobs/users.toml"), job).expect("a file");
        program.run(&["sync", "users"]).await.expect(0);
        let tenant = simulator.tenant();
        expect_list(&tenant, &mirror, List::UserGrants, "user_grants").await;
        let living: i64 = mirror
            .value("select count(*) from user_grants where _zephr_deleted_at is null")
            .await;
        assert!(living > 50, "{living}");

        // One grant comes, one goes, and somebody goes with all of theirs.
        let holders: Vec<u32> = (0..200)
            .filter(|index| !tenant.user_grant_ids(*index).is_empty())
            .collect();
        assert!(tenant.add_user_grant(holders[0]).is_some());
        let ended = tenant.user_grant_ids(holders[1]).remove(0);
        assert!(tenant.remove_user_grant(holders[1], &ended));
        assert!(tenant.delete(holders[2]));
        program.run(&["sync", "users"]).await.expect(0);
        program.run(&["sync", "users", "--full"]).await.expect(0);
        expect_list(&tenant, &mirror, List::UserGrants, "user_grants").await;
        let gone: bool = mirror
            .value(&format!(
                "select _zephr_deleted_at is not null from user_grants where grant_id = '{ended}'"
            ))
            .await;
        assert!(gone);
        let again = program
            .run(&["sync", "users", "--full", "--json"])
            .await
            .expect(0)
            .json();
        assert_eq!(again["runs"][0]["rows_updated"], 0, "{again}");
        let verified = program
            .run(&["verify", "users", "--json"])
            .await
            .expect(0)
            .json();
        assert_eq!(
            verified["verifications"][0]["rows_different"], 0,
            "{verified}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_does_not_ask_gets_none() {
    let simulator = tenant(Options {
        shape: Shape {
            people: 50,
            ..Shape::default()
        },
        ..Options::default()
    })
    .await;
    let mirror = Mirror::new().await;
    let program = Program::between(&simulator, &mirror);
    program.run(&["sync", "users"]).await.expect(0);
    assert_eq!(
        mirror
            .value::<i64>("select count(*) from user_grants")
            .await,
        0
    );
    truth::expect_equal(&simulator.tenant(), &mirror).await;
}
