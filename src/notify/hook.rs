//! A command after a successful run. An argument vector and no shell: nothing in it is ever
//! interpreted.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use uuid::Uuid;

use telemetry::field;

/// A command and what it may know.
#[derive(Debug, Clone)]
pub struct Hook {
    /// The program.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// How long it may take.
    pub timeout: Duration,
    /// Variables that it sees although they hold secrets of ours, because the settings ask for them
    /// by name.
    pub allowed: Vec<String>,
    /// Variables beside our own that hold secrets: those the settings take other secrets from.
    pub secret: Vec<String>,
}

/// A run that succeeded.
#[derive(Debug, Clone)]
pub struct Success {
    /// The job.
    pub job: String,
    /// The run.
    pub run_id: Uuid,
    /// How complete it was.
    pub verdict: String,
}

/// How a hook ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With success.
    Well,
    /// With this exit code; none means that a signal ended it.
    Badly(Option<i32>),
    /// It took too long and was killed.
    TooLong,
    /// It could not be started.
    NotStarted(std::io::ErrorKind),
}

/// Our secrets. What begins like one of them is one too: `ZEPHR_SECRET_KEY_FILE` says where it is.
const SECRET: [&str; 4] = [
    "ZEPHR_SECRET_KEY",
    "DATABASE_URL",
    "ZEPHR_ACCESS_KEY",
    "ZEPHR_SYNC_HASH_KEY",
];

impl Hook {
    /// Runs it to its end, or to the end of its time, and logs how that was. A hook cannot fail a
    /// run: the run has succeeded.
    pub async fn run(&self, success: &Success) -> Ended {
        let names = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
        let ended = self.run_without(&self.hidden(names), success).await;
        let (job, run_id) = (success.job.as_str(), success.run_id);
        match ended {
            Ended::Well => {
                tracing::info!({ field::JOB } = job, { field::RUN } = %run_id, "the hook succeeded");
            }
            Ended::Badly(code) => {
                tracing::warn!({ field::JOB } = job, { field::RUN } = %run_id, { field::CODE } = code, "the hook failed");
            }
            Ended::TooLong => {
                tracing::warn!({ field::JOB } = job, { field::RUN } = %run_id, "the hook took too long and was killed");
            }
            Ended::NotStarted(kind) => {
                tracing::warn!({ field::JOB } = job, { field::RUN } = %run_id, { field::ERROR } = %kind, "the hook could not be started");
            }
        }
        ended
    }

    /// Which of these variables it does not see.
    fn hidden(&self, names: impl Iterator<Item = String>) -> Vec<String> {
        let is_secret = |name: &String| {
            SECRET.iter().any(|secret| name.starts_with(secret)) || self.secret.contains(name)
        };
        names
            .filter(|name| is_secret(name) && !self.allowed.contains(name))
            .collect()
    }

    async fn run_without(&self, hidden: &[String], success: &Success) -> Ended {
        let mut command = Command::new(&self.program);
        for name in hidden {
            command.env_remove(name);
        }
        command
            .args(&self.arguments)
            .env("ZEPHR_SYNC_JOB", &success.job)
            .env("ZEPHR_SYNC_RUN_ID", success.run_id.to_string())
            .env("ZEPHR_SYNC_VERDICT", &success.verdict)
            .stdin(Stdio::null())
            // Our stdout is for results. What the hook has to say about itself is said on stderr,
            // beside our logs.
            .stdout(Stdio::null())
            // A group of its own, so that what it started can be ended with it.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return Ended::NotStarted(error.kind()),
        };
        let group = child
            .id()
            .and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
        match tokio::time::timeout(self.timeout, child.wait()).await {
            Ok(Ok(status)) if status.success() => Ended::Well,
            Ok(Ok(status)) => Ended::Badly(status.code()),
            Ok(Err(error)) => Ended::NotStarted(error.kind()),
            Err(_) => {
                if let Some(group) = group {
                    // Gone already is as good.
                    let _ =
                        rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
                }
                let _ = child.wait().await;
                Ended::TooLong
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Hook {
        Hook {
            program: "sh".into(),
            arguments: vec!["-c".into(), script.into()],
            timeout: Duration::from_secs(20),
            allowed: vec!["DATABASE_URL".into()],
            secret: vec!["SLACK_URL".into()],
        }
    }

    fn success() -> Success {
        Success {
            job: "users".into(),
            run_id: Uuid::nil(),
            verdict: "proven".into(),
        }
    }

    async fn ended(hook: &Hook) -> Ended {
        hook.run(&success()).await
    }

    #[tokio::test]
    async fn it_learns_what_ran() {
        let script = format!(
            "test \"$ZEPHR_SYNC_JOB-$ZEPHR_SYNC_RUN_ID-$ZEPHR_SYNC_VERDICT\" = users-{}-proven",
            Uuid::nil()
        );
        assert_eq!(ended(&shell(&script)).await, Ended::Well);
        assert_eq!(ended(&shell("exit 3")).await, Ended::Badly(Some(3)));
        assert_eq!(ended(&shell("kill -9 $$")).await, Ended::Badly(None));
        let mut gone = shell("");
        gone.program = "/nonexistent/hook".into();
        assert_eq!(
            ended(&gone).await,
            Ended::NotStarted(std::io::ErrorKind::NotFound)
        );
    }

    #[tokio::test]
    async fn nothing_is_interpreted() {
        let mut hook = shell("");
        hook.program = "test".into();
        hook.arguments = ["$HOME", "=", "$HOME"].map(Into::into).into();
        assert_eq!(ended(&hook).await, Ended::Well);
        hook.arguments = ["a; exit 0", "=", "b"].map(Into::into).into();
        assert_eq!(ended(&hook).await, Ended::Badly(Some(1)));
    }

    #[tokio::test]
    async fn what_takes_too_long_is_ended_with_what_it_started() {
        let directory = tempfile::tempdir().unwrap();
        let mark = directory.path().join("mark");
        let mut hook = shell(&format!("(sleep 1; touch {}) & sleep 60", mark.display()));
        hook.timeout = Duration::from_millis(200);
        assert_eq!(ended(&hook).await, Ended::TooLong);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert!(!mark.exists());
    }

    #[test]
    fn secrets_are_hidden_unless_they_are_asked_for() {
        let names = [
            "HOME",
            "PATH",
            "ZEPHR_TENANT",
            "ZEPHR_SECRET_KEY",
            "ZEPHR_SECRET_KEY_FILE",
            "ZEPHR_ACCESS_KEY",
            "ZEPHR_SYNC_HASH_KEY",
            "DATABASE_URL",
            "DATABASE_URL_FILE",
            "SLACK_URL",
        ];
        let hidden = shell("").hidden(names.into_iter().map(ToOwned::to_owned));
        assert_eq!(
            hidden,
            [
                "ZEPHR_SECRET_KEY",
                "ZEPHR_SECRET_KEY_FILE",
                "ZEPHR_ACCESS_KEY",
                "ZEPHR_SYNC_HASH_KEY",
                "DATABASE_URL_FILE",
                "SLACK_URL"
            ]
        );
    }

    #[tokio::test]
    async fn what_is_hidden_is_not_in_its_environment() {
        // A variable of cargo stands for a secret: it is there in every test, and setting variables
        // of a test process is not safe.
        let mut hook = shell("test -z \"$CARGO_MANIFEST_DIR\"");
        assert_eq!(ended(&hook).await, Ended::Badly(Some(1)));
        hook.secret.push("CARGO_MANIFEST_DIR".into());
        assert_eq!(ended(&hook).await, Ended::Well);
        hook.allowed.push("CARGO_MANIFEST_DIR".into());
        assert_eq!(ended(&hook).await, Ended::Badly(Some(1)));
    }
}
