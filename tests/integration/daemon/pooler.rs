//! Behind a connection pooler that hands sessions from transaction to transaction the daemon says
//! that it needs sessions, and so does `check`.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::DEADLINE;
use crate::support::{Mirror, Program, tenant};
use simulator::Options;

/// A PgBouncer before the mirror's Postgres, in transaction mode.
struct Pooler {
    _process: Child,
    _directory: tempfile::TempDir,
    url: String,
}

impl Pooler {
    async fn before(mirror: &Mirror, ignored: &str) -> Self {
        let options: sqlx::postgres::PgConnectOptions = mirror.url.parse().expect("a URL");
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
            "[databases]\n{database} = host={host} port={} dbname={database} user={user}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\nignore_startup_parameters = {ignored}\n",
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

async fn refused(ignored: &str, said: &str) {
    let simulator = tenant(Options::default()).await;
    let mirror = Mirror::new().await;
    let pooler = Pooler::before(&mirror, ignored).await;
    let program = Program::between(&simulator, &mirror).with("DATABASE_URL", &pooler.url);
    for arguments in [&["daemon", "--listen", "127.0.0.1:0"][..], &["check"]] {
        let ended = program.run(arguments).await;
        let told = format!("{}{}", ended.stdout, ended.stderr);
        assert!(told.contains(said), "{arguments:?}: {told}");
        assert!(told.contains("needs sessions"), "{arguments:?}: {told}");
        let code = if arguments[0] == "daemon" { 2 } else { 1 };
        assert_eq!(ended.code, Some(code), "{arguments:?}: {told}");
    }
    let schemas: i64 = mirror
        .value("select count(*) from pg_namespace where nspname like 'zephr%'")
        .await;
    assert_eq!(schemas, 0, "nothing is half made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_shares_sessions_is_seen() {
    refused(
        "options,extra_float_digits",
        "two of our connections were given the same session",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_refuses_settings_of_a_session_is_named() {
    refused("extra_float_digits", "does not take settings of a session").await;
}
