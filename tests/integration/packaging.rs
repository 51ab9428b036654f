//! What a package is made of agrees with the program: commands, settings, metrics, exit codes. No
//! engine, cluster or Prometheus is needed; `scripts/lint-files` hands the same files to their own
//! tools where those are installed.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::{CommandFactory, Parser};
use zephr_sync::cli::Cli;
use zephr_sync::cli::exit::Exit;

use crate::support::Program;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// All Rust files of the program.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![root().join("src"), root().join("crates")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}

/// The words of these characters in a text.
fn words(text: &str, of: impl Fn(char) -> bool) -> BTreeSet<&str> {
    text.split(|character| !of(character))
        .filter(|word| !word.is_empty())
        .collect()
}

/// The environment variables of ours that a text names.
fn variables(text: &str) -> BTreeSet<&str> {
    words(text, |character| {
        character.is_ascii_alphanumeric() || character == '_'
    })
    .into_iter()
    .filter(|word| word.starts_with("ZEPHR_") || word.starts_with("DATABASE_URL"))
    .collect()
}

/// The metrics that a text names, a histogram's parts by its own name.
fn metrics(text: &str) -> BTreeSet<String> {
    words(text, |character| {
        character.is_ascii_lowercase() || character == '_' || character == ':'
    })
    .into_iter()
    .filter(|word| word.starts_with("zephr_sync_") || word.starts_with("process_"))
    .map(|word| {
        let whole = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|part| word.strip_suffix(part));
        whole.unwrap_or(word).to_owned()
    })
    .collect()
}

/// The JSON lists after this key, wherever a line has it.
fn lists(text: &str, key: &str) -> Vec<Vec<String>> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix(key))
        .map(|list| serde_json::from_str(list.trim()).unwrap_or_else(|_| panic!("{key}{list}")))
        .collect()
}

/// What a block scalar of YAML holds.
fn block(yaml: &str, key: &str) -> String {
    let start = format!("  {key}: |\n");
    let (_, rest) = yaml.split_once(&start).expect("the key");
    rest.lines()
        .map_while(|line| line.strip_prefix("    "))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn what_is_started_is_a_command() {
    let mut started = lists(&read("docker-compose.yml"), "command:");
    started.extend(lists(&read("deploy/kubernetes.yaml"), "args:"));
    started.extend(lists(&read("Dockerfile"), "CMD "));
    let unit = read("deploy/zephr-sync.service");
    started.extend(
        unit.lines()
            .filter_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/zephr-sync "))
            .map(|arguments| arguments.split(' ').map(str::to_owned).collect()),
    );
    assert_eq!(started.len(), 6, "{started:?}");
    for arguments in started {
        let typed = std::iter::once("zephr-sync").chain(arguments.iter().map(String::as_str));
        if let Err(error) = Cli::try_parse_from(typed) {
            panic!("{arguments:?}: {error}");
        }
    }
}

#[test]
fn what_is_set_is_a_setting() {
    let page = read("README.md");
    let (_, table) = page.split_once("\n## Settings").expect("the section");
    let (table, _) = table.split_once("\n## ").expect("its end");
    let documented = variables(table);
    let code: String = sources()
        .iter()
        .map(|path| std::fs::read_to_string(path).expect("a file"))
        .collect();
    for name in [
        "Dockerfile",
        "docker-compose.yml",
        "deploy/zephr-sync.service",
        "deploy/kubernetes.yaml",
        "deploy/healthcheck",
        "deploy/README.md",
    ] {
        for variable in variables(&read(name)) {
            assert!(documented.contains(variable), "{name}: {variable}");
            assert!(
                code.contains(&format!("\"{variable}\"")),
                "{name}: {variable}"
            );
        }
    }
}

#[test]
fn each_setting_is_documented_and_in_the_file_that_init_writes() {
    let page = read("README.md");
    let (_, table) = page.split_once("\n## Settings").expect("the section");
    let (table, _) = table.split_once("\nProxy").expect("its end");
    let written = read("src/cli/init/zephr-sync.toml");
    for key in zephr_sync::config::keys() {
        let named = [
            format!("`{key}`"),
            format!("`[{key}]`"),
            format!("`[[{key}]]`"),
            format!("`[{key}.NAME]`"),
        ];
        assert!(
            named.iter().any(|named| table.contains(named)),
            "README.md: {key}"
        );
        // Secrets are given by a file there; the page says how else.
        let by_file = written.contains(&format!("# {key}_file = "));
        let starts = [
            format!("# {key} = "),
            format!("# [{key}]"),
            format!("# [[{key}]]"),
            format!("# [{key}."),
        ];
        assert!(
            by_file || starts.iter().any(|start| written.contains(start.as_str())),
            "the settings file: {key}"
        );
    }
}

/// Bytes, as Kubernetes and Docker write them.
fn bytes(size: &str) -> u64 {
    let digits = size.trim_end_matches(|character: char| character.is_alphabetic());
    let unit = match &size[digits.len()..] {
        "m" | "Mi" => 20,
        "g" | "Gi" => 30,
        other => panic!("{other}"),
    };
    digits.parse::<u64>().expect("a number") << unit
}

/// The value after this key, in its first line that has it.
fn value<'a>(text: &'a str, key: &str) -> &'a str {
    let (_, rest) = text.split_once(key).unwrap_or_else(|| panic!("{key}"));
    rest.split([' ', '"', '\n', ',', '}'])
        .find(|word| !word.is_empty())
        .expect("a value")
}

#[test]
fn uploads_fit_where_they_are_written() {
    let page = read("README.md");
    let default: u64 = value(&page, "| `max_upload_bytes` | ")
        .parse()
        .expect("bytes");
    // Two at a time, each with its rejected rows.
    let cluster = read("deploy/kubernetes.yaml");
    assert!(bytes(value(&cluster, "{ name: tmp, emptyDir: { sizeLimit: ")) >= 4 * default);
    let compose = read("docker-compose.yml");
    let most: u64 = value(&compose, "ZEPHR_SYNC_MAX_UPLOAD_BYTES: ")
        .parse()
        .expect("bytes");
    assert!(bytes(value(&compose, "/tmp:size=")) >= 4 * most);
}

#[test]
fn what_is_watched_is_a_metric_and_each_metric_is_watched() {
    let page = read("docs/metrics.md");
    let documented: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .flat_map(metrics)
        .collect();
    assert_eq!(documented.len(), 18, "{documented:?}");
    let mut watched = BTreeSet::new();
    for name in [
        "deploy/prometheus-rules.yml",
        "deploy/prometheus-rules.test.yml",
        "deploy/grafana-dashboard.json",
    ] {
        let named = metrics(&read(name));
        let unknown: Vec<_> = named.difference(&documented).collect();
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
        watched.extend(named);
    }
    assert_eq!(watched, documented);
}

#[test]
fn each_alert_is_explained_and_tested() {
    let (rules, tests, page) = (
        read("deploy/prometheus-rules.yml"),
        read("deploy/prometheus-rules.test.yml"),
        read("docs/metrics.md"),
    );
    let mut alerts: Vec<_> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    let mut explained: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `ZephrSync")?.split_once('`'))
        .map(|(name, _)| format!("ZephrSync{name}"))
        .collect();
    alerts.sort_unstable();
    explained.sort_unstable();
    assert_eq!(alerts, explained);
    for alert in alerts {
        let fires = format!("alertname: {alert}\n        exp_alerts:\n");
        assert!(tests.contains(&fires), "{alert} is not tested");
    }
}

#[test]
fn the_intervals_of_the_alerts_are_those_of_the_jobs() {
    let rules = read("deploy/prometheus-rules.yml");
    for entry in std::fs::read_dir(root().join("jobs")).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            continue;
        }
        let job = path.file_stem().expect("a name").to_string_lossy();
        let file: toml::Table = std::fs::read_to_string(&path)
            .expect("a file")
            .parse()
            .expect("TOML");
        let schedule = file["schedule"].as_str().expect("a schedule");
        assert!(
            schedule.ends_with(" * * *"),
            "{job} is not daily: {schedule}"
        );
        let interval = format!("labels: {{ job: {job} }}, expr: vector(86400)");
        assert!(rules.contains(&interval), "{job}");
    }
}

#[test]
fn the_dashboard_can_be_imported() {
    let dashboard: serde_json::Value =
        serde_json::from_str(&read("deploy/grafana-dashboard.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has an id of its own");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert!(
            panel["description"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{}",
            panel["title"]
        );
        // Asked for at the import, so no source of anybody's own is in the file.
        assert_eq!(panel["datasource"]["uid"], "${DS_PROMETHEUS}");
        let place = &panel["gridPos"];
        let right = place["x"].as_u64().zip(place["w"].as_u64());
        assert!(right.is_some_and(|(x, width)| x + width <= 24), "{place}");
    }
}

#[test]
fn whoever_stops_it_waits_as_long_for_what_is_under_way() {
    let unit = read("deploy/zephr-sync.service");
    assert!(unit.contains("\nTimeoutStopSec=2min\n"));
    assert!(read("docker-compose.yml").contains("\n  stop_grace_period: 2m\n"));
    let cluster = read("deploy/kubernetes.yaml");
    let graces: Vec<_> = cluster
        .lines()
        .filter_map(|line| line.trim().strip_prefix("terminationGracePeriodSeconds: "))
        .collect();
    assert_eq!(graces, ["120", "120"]);
}

#[test]
fn wrong_settings_are_not_tried_again() {
    let unit = read("deploy/zephr-sync.service");
    let usage = Exit::Usage.code();
    assert!(unit.contains(&format!("\nRestartPreventExitStatus={usage}\n")));
    let waits = format!(
        "operator: In, values: [{usage}, {}, {}]",
        Exit::Rejects.code(),
        Exit::Braked.code()
    );
    assert!(read("deploy/kubernetes.yaml").contains(&waits));
}

#[tokio::test]
async fn the_settings_of_the_cluster_are_right() {
    let cluster = read("deploy/kubernetes.yaml");
    let program = Program::new()
        .configured(&block(&cluster, "zephr-sync.toml"))
        .with("ZEPHR_ACCESS_KEY", "access")
        .with("ZEPHR_SECRET_KEY", "secret");
    let jobs = program.directory().join("jobs");
    std::fs::create_dir(&jobs).expect("a directory");
    std::fs::write(jobs.join("users.toml"), block(&cluster, "users.toml")).expect("a file");
    program.run(&["check", "--offline"]).await.expect(0);
}

#[test]
fn what_is_built_in_is_in_the_build_context_of_the_image() {
    let ignore = read(".dockerignore");
    let allowed: Vec<PathBuf> = ignore
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .map(|path| root().join(path))
        .collect();
    let mut seen = 0;
    for source in sources() {
        let text = std::fs::read_to_string(&source).expect("a file");
        for (_, rest) in text
            .match_indices("include_str!(\"")
            .map(|(start, found)| (start, &text[start + found.len()..]))
        {
            let (name, _) = rest.split_once('"').expect("its end");
            let path = source.parent().expect("a directory").join(name);
            let path = path.canonicalize().expect("the file");
            seen += 1;
            assert!(
                allowed.iter().any(|allowed| path.starts_with(allowed)),
                "{} is built in, and .dockerignore keeps it out",
                path.display()
            );
        }
    }
    assert!(seen > 0);
    for copied in ["deploy/healthcheck", "LICENSE-MIT", "LICENSE-APACHE"] {
        assert!(allowed.contains(&root().join(copied)), "{copied}");
    }
}

#[tokio::test]
async fn the_version_is_a_line_or_a_document() {
    let program = Program::new();
    let short = program.run(&["--version"]).await.expect(0);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(short.stdout, format!("zephr-sync {version}\n"));
    for arguments in [["--version", "--json"], ["--json", "-V"]] {
        let document = program.run(&arguments).await.expect(0).json();
        assert_eq!(document["name"], "zephr-sync");
        assert_eq!(document["version"], version);
        assert!(
            document["commit"]
                .as_str()
                .is_some_and(|commit| !commit.is_empty())
        );
        assert!(
            document["rustc"]
                .as_str()
                .is_some_and(|rustc| rustc.starts_with("rustc 1."))
        );
        assert!(document["features"].is_array());
        let migrations = std::fs::read_dir(root().join("migrations")).expect("a directory");
        let latest = migrations
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.get(..4)?.parse().ok())
            .max();
        assert_eq!(document["schema"].as_i64(), latest);
    }
}

/// Whether a program is installed.
fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// What a program says of its input; it has to end well.
fn fed(program: &str, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let fed = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input.as_bytes()));
        child.wait_with_output().expect("it ends")
    });
    let said = String::from_utf8_lossy(&fed.stderr).into_owned();
    assert!(fed.status.success(), "{program} {arguments:?}: {said}");
    said
}

#[tokio::test]
async fn every_command_has_a_page_in_the_manual() {
    let program = Program::new();
    let document = program.run(&["man", "--out", "man", "--json"]).await;
    let document = document.expect(0).json();
    let written = document["written"].as_array().expect("a list");
    let pages: Vec<_> = written
        .iter()
        .map(|page| page.as_str().expect("a path"))
        .collect();
    for page in [
        "zephr-sync.1",
        "zephr-sync-sync.1",
        "zephr-sync-bulk-apply.1",
    ] {
        assert!(pages.contains(&format!("man/{page}").as_str()), "{pages:?}");
    }
    assert!(pages.len() > Cli::command().get_subcommands().count());
    for page in pages {
        let text = std::fs::read_to_string(program.directory().join(page)).expect("a page");
        assert!(
            text.lines().any(|line| line.starts_with(".TH zephr-sync")),
            "{page}"
        );
        if installed("groff") {
            let complaints = fed("groff", &["-Kutf8", "-man", "-ww", "-z", "-Tutf8"], &text);
            assert_eq!(complaints, "", "{page}");
        }
    }
    let one = program.run(&["man", "bulk", "apply"]).await.expect(0);
    let same = std::fs::read_to_string(program.directory().join("man/zephr-sync-bulk-apply.1"));
    assert_eq!(one.stdout, same.expect("a page"));
    program.run(&["man", "nothing"]).await.expect(2);
}

#[tokio::test]
async fn completions_are_scripts_of_their_shells() {
    let program = Program::new();
    for (shell, mark, check) in [
        ("bash", "complete -F", Some(("bash", "-n"))),
        ("zsh", "#compdef zephr-sync", Some(("zsh", "-n"))),
        (
            "fish",
            "complete -c zephr-sync",
            Some(("fish", "--no-execute")),
        ),
        ("powershell", "Register-ArgumentCompleter", None),
    ] {
        let script = program.run(&["completions", shell]).await.expect(0).stdout;
        assert!(script.contains(mark), "{shell}");
        if let Some((shell, flag)) = check.filter(|(shell, _)| installed(shell)) {
            assert_eq!(fed(shell, &[flag], &script), "", "{shell}");
        }
    }
}

/// Answers one request, and tells what was asked.
fn answering(answer: &'static str) -> (u16, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).expect("a request");
            request.push(byte[0]);
        }
        stream.write_all(answer.as_bytes()).expect("an answer");
        String::from_utf8(request).expect("text")
    });
    (port, asked)
}

fn healthcheck(port: u16, arguments: &[&str], token: Option<&Path>) -> bool {
    let mut command = Command::new("bash");
    command
        .arg(root().join("deploy/healthcheck"))
        .args(arguments)
        .env_clear()
        .env("HEALTHCHECK_PORT", port.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(token) = token {
        command.env("ZEPHR_SYNC_TOKEN_FILE", token);
    }
    command.status().expect("it ends").success()
}

#[test]
fn the_image_knows_whether_the_daemon_is_well() {
    let (port, asked) = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert!(healthcheck(port, &[], None));
    let request = asked.join().expect("a request");
    assert!(
        request.starts_with("GET /healthz HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(!request.contains("Authorization"));

    let token = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(token.path(), "long and random\n").expect("a token");
    let (port, asked) = answering("HTTP/1.1 503 Service Unavailable\r\n\r\n");
    assert!(!healthcheck(port, &["/readyz"], Some(token.path())));
    let request = asked.join().expect("a request");
    assert!(request.starts_with("GET /readyz HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nAuthorization: Bearer long and random\r\n"));

    let (port, asked) = answering("");
    assert!(!healthcheck(port, &[], None), "an answer is needed");
    asked.join().expect("a request");
    assert!(
        !healthcheck(port, &[], None),
        "nobody listens there any more"
    );
}

#[test]
fn the_steps_without_an_engine_are_those_of_the_image() {
    let (image, steps) = (read("Dockerfile"), read("scripts/image-steps"));
    for step in [
        "cargo build --release --locked",
        "strip ",
        "10001",
        "/healthcheck",
    ] {
        assert!(image.contains(step), "Dockerfile: {step}");
        assert!(steps.contains(step), "scripts/image-steps: {step}");
    }
}
