//! The binary, run as a user would, in an empty directory and with nothing of our environment.

use std::process::Stdio;
use std::time::{Duration, Instant};

use simulator::Simulator;
use tokio::process::{Child, Command};

/// The program with its settings.
#[derive(Debug)]
pub struct Program {
    directory: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Program {
    /// Without any setting.
    pub fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a directory"),
            variables: Vec::new(),
        }
    }

    /// For a tenant and a mirror.
    pub fn between(simulator: &Simulator, mirror: &super::Mirror) -> Self {
        let keys = simulator.keys();
        Self::new()
            .with("ZEPHR_BASE_URL", simulator.base_url())
            .with("ZEPHR_ACCESS_KEY", &keys.access)
            .with("ZEPHR_SECRET_KEY", &keys.secret)
            .with("DATABASE_URL", &mirror.url)
    }

    /// With an environment variable; a later one wins.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.retain(|(known, _)| *known != name);
        self.variables.push((name, value.into()));
        self
    }

    /// With this settings file.
    pub fn configured(self, text: &str) -> Self {
        std::fs::write(self.directory.path().join("zephr-sync.toml"), text).expect("a file");
        self
    }

    /// With this job file.
    pub fn job(self, name: &str, text: &str) -> Self {
        let directory = self.directory.path().join("jobs");
        std::fs::create_dir_all(&directory).expect("a directory");
        std::fs::write(directory.join(format!("{name}.toml")), text).expect("a file");
        self
    }

    /// With users every so often, and no other job.
    pub fn users_every(self, every: &str) -> Self {
        self.users_when(&format!("every = \"{every}\"\nmode = \"full\"\n"))
    }

    /// With users when somebody asks for them, and no other job: its daemon helps others, and does
    /// nothing by itself.
    pub fn users_when_asked(self) -> Self {
        self.users_when("")
    }

    fn users_when(self, keys: &str) -> Self {
        let program = ["accounts", "catalog", "events", "schema", "segments"]
            .iter()
            .fold(self, |program, name| {
                program.job(name, &format!("resource = \"{name}\"\nenabled = false\n"))
            });
        program.job("users", &format!("resource = \"users\"\n{keys}"))
    }

    /// Its current directory.
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// The command, to start by hand; stdout and stderr are pipes.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zephr-sync"));
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Starts it.
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().expect("the program starts")
    }

    /// Runs it to its end.
    pub async fn run(&self, arguments: &[&str]) -> Ended {
        let output = self
            .command(arguments)
            .output()
            .await
            .expect("the program runs");
        Ended::of(output)
    }
}

/// What a run took.
#[derive(Debug, Clone, Copy)]
pub struct Peak {
    pub time: Duration,
    /// The most resident memory, in KiB, as the kernel keeps it.
    pub kib: u64,
}

impl Program {
    /// Runs it to its end, and watches what it takes.
    pub async fn peak(&self, arguments: &[&str]) -> (Ended, Peak) {
        let began = Instant::now();
        let child = self.spawn(arguments);
        let status = format!("/proc/{}/status", child.id().expect("it runs"));
        let mut output = std::pin::pin!(child.wait_with_output());
        let mut kib = 0;
        let output = loop {
            tokio::select! {
                output = &mut output => break output.expect("it ends"),
                () = tokio::time::sleep(Duration::from_millis(20)) => {
                    let text = std::fs::read_to_string(&status).unwrap_or_default();
                    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
                    kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0).max(kib);
                }
            }
        };
        let time = began.elapsed();
        (Ended::of(output), Peak { time, kib })
    }
}

impl Ended {
    fn of(output: std::process::Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }

    /// The one JSON document on stdout.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fails the test unless it ended with this code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }
}
