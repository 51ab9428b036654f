//! The program under test and the simulator, each a process of its own.

use std::error::Error;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_zephr-sync");

/// How often the peak of a process's memory is read while it runs. The kernel keeps the peak, so
/// only growth in the last moment is missed.
const LOOK: Duration = Duration::from_millis(10);

/// In which the kernel tells CPU time, whatever its own clock: `USER_HZ` of Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// The built-in job, but for the overlap: what an earlier round changed is not to be read again.
const JOB: &str =
    "resource = \"users\"\nmode = \"incremental\"\noverlap = \"1s\"\nfull_every = \"7d\"\n";

pub struct Simulator {
    child: Child,
    variables: Vec<(String, String)>,
}

impl Simulator {
    pub async fn start(users: usize, options: &[&str]) -> Result<Self, Box<dyn Error>> {
        let mut child = Command::new(PROGRAM)
            .args([
                "simulate",
                "--plain",
                "--listen",
                "127.0.0.1:0",
                "--users",
                &users.to_string(),
            ])
            .args(options)
            .env_clear()
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no stdout")?).lines();
        let mut variables = Vec::new();
        while variables.len() < 3 {
            let line = lines.next_line().await?.ok_or("the simulator ended")?;
            let (name, value) = line.split_once('=').ok_or("not a variable")?;
            variables.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self { child, variables })
    }

    pub fn base_url(&self) -> &str {
        &self.variables[0].1
    }

    /// Access key and secret key.
    pub fn keys(&self) -> (&str, &str) {
        (&self.variables[1].1, &self.variables[2].1)
    }

    /// Changes about so many people, and says how many: who is drawn twice counts once. The same
    /// calls change the same people in every run.
    pub async fn change(&self, people: usize) -> Result<usize, Box<dyn Error>> {
        #[derive(Deserialize)]
        struct Edited {
            updated: std::collections::HashSet<String>,
        }
        let url = format!("{}/_simulator/edit", self.base_url());
        let answer = reqwest::Client::new()
            .post(url)
            .body(format!("{{\"updates\":{people}}}"))
            .send()
            .await?
            .error_for_status()?
            .bytes()
            .await?;
        Ok(serde_json::from_slice::<Edited>(&answer)?.updated.len())
    }

    pub async fn stop(mut self) -> Result<(), Box<dyn Error>> {
        Ok(self.child.kill().await?)
    }
}

/// Runs the program to its good end; its peak resident memory in KiB.
pub async fn run(
    simulator: &Simulator,
    url: &str,
    arguments: &[&str],
) -> Result<u64, Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    std::fs::create_dir(directory.path().join("jobs"))?;
    std::fs::write(directory.path().join("jobs/users.toml"), JOB)?;
    let mut child = Command::new(PROGRAM)
        .args(arguments)
        .current_dir(directory.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("DATABASE_URL", url)
        .envs(
            simulator
                .variables
                .iter()
                .map(|(name, value)| (name, value)),
        )
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let status_file = format!("/proc/{}/status", child.id().ok_or("no process")?);
    let mut peak = 0;
    loop {
        tokio::select! {
            status = child.wait() => {
                let status = status?;
                return if status.success() { Ok(peak) } else { Err(format!("{arguments:?}: {status}").into()) };
            }
            () = tokio::time::sleep(LOOK) => {
                let text = std::fs::read_to_string(&status_file).unwrap_or_default();
                let seen = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
                let kib = seen.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
                peak = peak.max(kib.unwrap_or(0));
            }
        }
    }
}

/// What Linux tells of a process.
#[derive(Debug, Clone, Copy)]
pub struct Stat {
    pub parent: i32,
    /// CPU seconds of its own.
    pub own: f64,
    /// CPU seconds of children that ended and were waited for.
    buried: f64,
}

impl Stat {
    pub fn of(pid: i32) -> Result<Self, Box<dyn Error>> {
        Self::read(&format!("/proc/{pid}/stat"))
    }

    fn read(path: &str) -> Result<Self, Box<dyn Error>> {
        let text = std::fs::read_to_string(path)?;
        // The name before may hold anything, brackets too.
        let (_, fields) = text.rsplit_once(") ").ok_or("no fields")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<i64>().ok());
        let seconds = |at| number(at).map(|ticks| ticks as f64 / TICKS_PER_SECOND);
        let read = || {
            Some(Self {
                parent: number(1)?.try_into().ok()?,
                own: seconds(11)? + seconds(12)?,
                buried: seconds(13)? + seconds(14)?,
            })
        };
        Ok(read().ok_or("not the fields that Linux has")?)
    }

    pub fn with_buried_children(self) -> f64 {
        self.own + self.buried
    }
}

/// CPU seconds of the children of this process that have ended.
pub fn cpu_of_children() -> Result<f64, Box<dyn Error>> {
    Ok(Stat::read("/proc/self/stat")?.buried)
}
