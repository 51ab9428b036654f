//! The program under test and the simulator, each a process of its own.

use std::error::Error;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const PROGRAM: &str = env!("CARGO_BIN_EXE_zephr-sync");

/// How often the peak of a process's memory is read while it runs. The kernel keeps the peak, so only growth in the last moment is missed.
const LOOK: Duration = Duration::from_millis(10);

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
