//! Secrets and readers' data are nowhere but where they belong: not in what is printed, not in a
//! log at its finest level, not in the bookkeeping.

use simulator::{Faults, Options, PLANTED_EMAILS, PLANTED_PHONES, Shape, Simulator};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use zephr_sync::sync::progress::Phase;

use crate::support::{Cluster, Ended, Mirror, Program, tenant};

const PASSWORD: &str = "a-password-nobody-may-see-7f3a";
const SECRET_KEY: &str = "a-secret-key-nobody-may-see-91c2";

/// Everything that was said so far.
#[derive(Default)]
struct Haystack(String);

impl Haystack {
    fn add(&mut self, ended: &Ended) {
        self.0.push_str(&ended.stdout);
        self.0.push_str(&ended.stderr);
    }

    fn expect_none_of(&self, needles: &[&str]) {
        for needle in needles {
            let found = self.0.lines().find(|line| line.contains(needle));
            assert!(
                found.is_none(),
                "{needle} in: {}",
                found.unwrap_or_default()
            );
        }
    }
}

async fn simulator(clock_skew: i64) -> Simulator {
    let mut options = Options {
        shape: Shape {
            people: 1_500,
            awkward_percent: 2.0,
            ..Shape::default()
        },
        clock_skew,
        ..Options::default()
    };
    options.keys.secret = SECRET_KEY.into();
    tenant(options).await
}

/// All of the bookkeeping as text; a reject may hold the record itself.
async fn bookkeeping(mirror: &Mirror) -> String {
    let tables =
        "select table_name from information_schema.tables where table_schema = 'zephr_sync'";
    let mut text = String::new();
    for table in mirror.rows(tables).await {
        let table: String = table.get(0);
        let rows = format!("select (to_jsonb(t) - 'record')::text from zephr_sync.{table} t");
        for row in mirror.rows(&rows).await {
            text.push_str(row.get(0));
            text.push('\n');
        }
    }
    text
}

/// A mirror behind a password, as a user's is.
async fn with_password(mirror: &Mirror) -> Mirror {
    let mut connection = PgConnection::connect(&mirror.url)
        .await
        .expect("the server answers");
    let role = format!("reader_{}", uuid::Uuid::new_v4().simple());
    let sql = format!("create role {role} superuser login password '{PASSWORD}'");
    connection
        .execute(AssertSqlSafe(sql))
        .await
        .expect("a role");
    Mirror {
        url: mirror.url.replace("zephr@", &format!("{role}:{PASSWORD}@")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_said_or_kept_shows_a_secret_or_a_reader() {
    let mut cluster = Cluster::new().await;
    let mirror = with_password(&cluster.mirror()).await;
    let simulator = simulator(0).await;
    let mut said = Haystack::default();
    for format in ["text", "json"] {
        let program = Program::between(&simulator, &mirror)
            .with("ZEPHR_SYNC_LOG", "trace")
            .with("ZEPHR_SYNC_LOG_FORMAT", format)
            .with("ZEPHR_SYNC_RPP", "100");
        said.add(&program.run(&["check"]).await.expect(0));
        said.add(&program.run(&["sync", "users", "--full"]).await.expect(3));
        simulator.tenant().update(0);
        said.add(&program.run(&["sync"]).await);
        simulator.set_faults(Faults {
            throttle: 5.0,
            server_error: 5.0,
            html: 3.0,
            truncate: 3.0,
            reset: 3.0,
            ..Faults::default()
        });
        said.add(&program.run(&["sync", "users", "--full", "--json"]).await);
        simulator.set_faults(Faults::default());
        for command in [
            &["status"][..],
            &["runs", "--json"],
            &["rejects", "list"],
            &["sync", "users", "--dry-run", "--full"],
            &[
                "api",
                "GET",
                "/v3/users?identifiers.email_address=planted-0%40private.example&x=%zz",
            ],
        ] {
            let mut ended = program.run(command).await;
            if command[0] == "api" {
                // What was asked for is printed, and only there.
                ended.stdout.clear();
            }
            said.add(&ended);
        }
        let wrong = Program::between(&simulator, &mirror)
            .with("ZEPHR_SYNC_LOG", "trace")
            .with("ZEPHR_SECRET_KEY", format!("{SECRET_KEY}-not"));
        said.add(&wrong.run(&["sync", "users"]).await.expect(1));
        let killed = {
            let mut running = program
                .telling_phases()
                .with("ZEPHR_SYNC_LOG", "trace")
                .start(&["sync", "users", "--full", "--restart"]);
            assert!(running.until_phase(Phase::BatchMerged, 1).await);
            running.kill().await
        };
        said.add(&killed);
    }
    let late = self::simulator(900).await;
    let skewed = Program::between(&late, &mirror)
        .with("ZEPHR_SYNC_LOG", "trace")
        .run(&["sync", "users"])
        .await
        .expect(1);
    assert!(skewed.stderr.contains("clock"), "{}", skewed.stderr);
    said.add(&skewed);

    // The planted people did pass through, and what is searched is not empty.
    for email in PLANTED_EMAILS {
        let found = format!(
            "select count(*) from users where email = '{email}' and attributes::text like '%+44 7700 9000%'"
        );
        assert_eq!(mirror.value::<i64>(&found).await, 1);
    }
    let kept = bookkeeping(&mirror).await;
    for phase in Phase::ALL {
        assert!(
            said.0.contains(phase.name()),
            "{} was not logged",
            phase.name()
        );
    }
    assert!(
        kept.contains("succeeded") && kept.contains("user.user_id is"),
        "{kept}"
    );
    said.0.push_str(&kept);

    let program = Program::between(&simulator, &mirror).with("ZEPHR_SYNC_LOG", "trace");
    cluster.stop_hard(rustix::process::Signal::QUIT);
    said.add(&program.run(&["sync", "users"]).await.expect(1));
    cluster.start_again().await;
    cluster.remove().await;

    let needles: Vec<&str> = PLANTED_EMAILS
        .into_iter()
        .chain(PLANTED_PHONES)
        .chain([SECRET_KEY, PASSWORD, simulator.keys().access.as_str()])
        .collect();
    said.expect_none_of(&needles);
}
