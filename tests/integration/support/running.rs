//! The program under way: its log is read as it comes, so that a test can act at a named moment.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use zephr_sync::sync::progress::Phase;

use super::{Ended, Mirror, Program};

/// A started program.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: JoinHandle<String>,
    lines: mpsc::UnboundedReceiver<String>,
    log: String,
}

impl Program {
    /// With a log that names the phases.
    pub fn telling_phases(self) -> Self {
        self.with("ZEPHR_SYNC_LOG", "zephr_sync=debug")
            .with("ZEPHR_SYNC_LOG_FORMAT", "json")
    }

    /// Starts its daemon, whose page takes a free port.
    pub fn daemon(&self) -> Running {
        self.start(&["daemon", "--listen", "127.0.0.1:0"])
    }

    /// Starts it and follows its log.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut stdout = child.stdout.take().expect("a pipe");
        let mut stderr = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let stdout = tokio::spawn(async move {
            let mut text = String::new();
            stdout.read_to_string(&mut text).await.expect("text");
            text
        });
        let (sender, lines) = mpsc::unbounded_channel();
        // Read at all times: a full pipe would hold the program up.
        tokio::spawn(async move {
            while let Ok(Some(line)) = stderr.next_line().await {
                let _ = sender.send(line);
            }
        });
        Running {
            child,
            stdout,
            lines,
            log: String::new(),
        }
    }
}

impl Running {
    /// Waits for a line of stderr; false when the program ended without it.
    pub async fn until(&mut self, wanted: impl Fn(&str) -> bool) -> bool {
        while let Some(line) = self.lines.recv().await {
            let found = wanted(&line);
            self.log.push_str(&line);
            self.log.push('\n');
            if found {
                return true;
            }
        }
        false
    }

    /// What it said so far, as far as it was waited for.
    pub fn log(&self) -> &str {
        &self.log
    }

    /// Waits until a phase was entered this many times; false when the program ended before.
    pub async fn until_phase(&mut self, phase: Phase, times: usize) -> bool {
        let named = format!(r#""phase":"{}""#, phase.name());
        for _ in 0..times {
            if !self.until(|line| line.contains(&named)).await {
                return false;
            }
        }
        true
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        let pid = self.child.id().expect("it has not been waited for");
        Pid::from_raw(pid as i32).expect("a process id")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it can be signalled");
    }

    /// Stops it in the middle of the second COPY of a batch, when the users of the first are written
    /// and not committed: Postgres waits for the rest, and takes the session for one that is at
    /// work, so that no time limit of idle ones ends it.
    pub async fn stop_in_a_copy(&self, mirror: &Mirror) {
        let copies = "select count(*) > 0 from pg_stat_activity
            where datname = current_database() and state = 'active' and wait_event = 'ClientRead' and query ~* '^copy user_foreign_keys'";
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            assert!(Instant::now() < end, "it was never met in a COPY");
            self.signal(Signal::STOP);
            // What it had sent already is read first.
            let mut seen = 0;
            while seen < 3 && mirror.value::<bool>(copies).await {
                seen += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            if seen == 3 {
                return;
            }
            self.signal(Signal::CONT);
            tokio::task::yield_now().await;
        }
    }

    /// Ends it without a word, and waits until it is gone.
    pub async fn kill(mut self) -> Ended {
        self.child.start_kill().expect("it can be killed");
        self.end().await
    }

    /// Waits for its end.
    pub async fn end(mut self) -> Ended {
        let status = self.child.wait().await.expect("it ends");
        self.until(|_| false).await;
        let stdout = self.stdout.await.expect("stdout is read");
        Ended {
            code: status.code(),
            stdout,
            stderr: self.log,
        }
    }
}
