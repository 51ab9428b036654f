//! Behind a connection pooler that hands sessions from transaction to transaction every command says
//! that it needs sessions, before it sets or writes anything. Behind one that gives each connection
//! a session of its own everything works, and nobody else's session is taken for ours.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor, PgConnection, Row};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::DEADLINE;
use crate::support::{Mirror, Program, people, tenant, truth};
use simulator::{Edits, Options};

/// What PgBouncer takes in a startup packet beside what it knows itself: as it comes, and as many
/// set it for other programs.
const STOCK: &str = "";
const LENIENT: &str = "options,extra_float_digits";

/// A PgBouncer before the mirror's Postgres.
struct Pooler {
    _process: Child,
    _directory: tempfile::TempDir,
    url: String,
}

impl Pooler {
    async fn before(mirror: &Mirror, mode: &str, ignored: &str) -> Self {
        let options: PgConnectOptions = mirror.url.parse().expect("a URL");
        let socket = options.get_socket().map(|path| path.display().to_string());
        let host = socket.unwrap_or_else(|| options.get_host().to_owned());
        let directory = tempfile::tempdir().expect("a directory");
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a port")
            .port();
        let database = options.get_database().expect("a database");
        let user = options.get_username();
        let ini = format!(
            "[databases]\n{database} = host={host} port={} dbname={database} user={user}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\nignore_startup_parameters = {ignored}\n",
            options.get_port(),
        );
        std::fs::write(directory.path().join("pgbouncer.ini"), ini).expect("a file");
        let process = run(directory.path(), &host);
        let end = Instant::now() + DEADLINE;
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(Instant::now() < end, "pgbouncer does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Self {
            _process: process,
            _directory: directory,
            url: format!("postgres://{user}@127.0.0.1:{port}/{database}"),
        }
    }
}

impl Pooler {
    /// Somebody else's session, of another program.
    async fn stranger(&self) -> PgConnection {
        let options: PgConnectOptions = self.url.parse().expect("a URL");
        // What sqlx sends unless it is told not to, and PgBouncer does not know.
        let options = options.extra_float_digits(None);
        PgConnection::connect_with(&options)
            .await
            .expect("a session")
    }
}

/// It refuses to run as root, and the server's socket is open to the server's user only: as root it
/// becomes that one.
fn run(directory: &Path, host: &str) -> Child {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("pgbouncer");
    // Debian has it where only root looks.
    command.env("PATH", format!("{path}:/usr/sbin"));
    if rustix::process::geteuid().is_root() {
        std::fs::set_permissions(directory, Permissions::from_mode(0o755)).expect("a mode");
        let owner = std::fs::metadata(host)
            .map(|socket| socket.uid())
            .unwrap_or(0);
        let users = std::fs::read_to_string("/etc/passwd").expect("users");
        let name = users.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            (fields.get(2)?.parse() == Ok(owner)).then(|| fields[0].to_owned())
        });
        command.args([
            "-u",
            &name
                .filter(|name| name != "root")
                .unwrap_or_else(|| "nobody".into()),
        ]);
    }
    command
        .arg(directory.join("pgbouncer.ini"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("pgbouncer is installed: scripts/setup does it")
}

/// In transaction mode each command is refused, and nobody's session is changed.
async fn refused(ignored: &str) {
    let simulator = tenant(Options::default()).await;
    let mirror = Mirror::new().await;
    let pooler = Pooler::before(&mirror, "transaction", ignored).await;
    let program = Program::between(&simulator, &mirror).with("DATABASE_URL", &pooler.url);
    for (arguments, code) in [
        (&["daemon", "--listen", "127.0.0.1:0"][..], 2),
        (&["check"], 1),
        (&["sync", "users"], 2),
        (&["status"], 2),
        (&["migrate"], 2),
    ] {
        let ended = program.run(arguments).await;
        let told = format!("{}{}", ended.stdout, ended.stderr);
        assert!(
            told.contains("two of our connections were given the same session"),
            "{arguments:?}: {told}"
        );
        assert!(told.contains("needs sessions"), "{arguments:?}: {told}");
        assert_eq!(ended.code, Some(code), "{arguments:?}: {told}");
    }
    let schemas: i64 = mirror
        .value("select count(*) from pg_namespace where nspname like 'zephr%'")
        .await;
    assert_eq!(schemas, 0, "nothing is half made");
    let mut stranger = pooler.stranger().await;
    let path = stranger
        .fetch_one("select current_setting('search_path')")
        .await
        .expect("an answer");
    assert_eq!(path.get::<String, _>(0), "\"$user\", public");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_shares_sessions_is_seen() {
    refused(LENIENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_shares_sessions_is_seen_as_it_comes() {
    refused(STOCK).await;
}

/// Two loads with changes in between, through a pooler that hands each session on once its holder
/// is gone.
async fn works(ignored: &str) {
    let simulator = people(300).await;
    let mirror = Mirror::new().await;
    let pooler = Pooler::before(&mirror, "session", ignored).await;
    let program = Program::between(&simulator, &mirror).with("DATABASE_URL", &pooler.url);
    program.run(&["check"]).await.expect(0);
    program.run(&["sync"]).await.expect(0);
    let edits = Edits {
        updates: 20,
        creations: 5,
        deletions: 3,
        ..Edits::NONE
    };
    simulator.tenant().edit(edits);
    // Whoever comes now is given the sessions that the run has left.
    let left: i64 = mirror
        .value("select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
        .await;
    assert!(left > 1, "the pooler has closed what it was to hand on");
    let mut strangers = Vec::new();
    for _ in 0..left {
        let stranger = pooler.stranger().await;
        strangers.push(stranger);
    }

    program.run(&["sync", "users", "--full"]).await.expect(0);

    for stranger in &mut strangers {
        stranger.ping().await.expect("nobody ended it");
    }
    truth::expect_equal(&simulator.tenant(), &mirror).await;
    program.run(&["status"]).await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_hands_on_whole_sessions_is_worked_with() {
    works(LENIENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_hands_on_whole_sessions_is_worked_with_as_it_comes() {
    works(STOCK).await;
}
