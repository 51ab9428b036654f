//! A daemon with an inbox, and somebody who drops files.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::bulk_push::desk::Desk;
pub use crate::support::bulk::csv_rows;
use crate::support::running::Running;

/// Longer than anything waits here, on a slow machine too.
pub const DEADLINE: Duration = Duration::from_secs(120);

pub struct Office {
    pub desk: Desk,
}

impl Office {
    /// A mirrored tenant of so many people, and an inbox with these jobs.
    pub async fn with(people: u32, jobs: &[(&str, &str)]) -> Self {
        Self::at(
            Desk::with(people, |options| options.behaviour.bulk.delay_ms = 30).await,
            jobs,
        )
    }

    /// The same at a desk of the test's own.
    pub fn at(desk: Desk, jobs: &[(&str, &str)]) -> Self {
        let office = Self { desk };
        let directory = office.desk.program.directory();
        std::fs::create_dir(directory.join("inbox")).expect("a directory");
        std::fs::create_dir(directory.join("jobs")).expect("a directory");
        for (name, text) in jobs {
            let path = directory.join("jobs").join(format!("{name}.toml"));
            std::fs::write(path, format!("resource = 'bulk'\n{text}")).expect("a file");
        }
        office
    }

    pub fn daemon(&self) -> Running {
        self.desk.program.daemon()
    }

    /// A path in the inbox.
    pub fn path(&self, name: &str) -> PathBuf {
        self.desk.program.directory().join("inbox").join(name)
    }

    /// Puts a file there as a careful program does: under another name first.
    pub fn drop_in(&self, name: &str, content: &str) {
        let part = self.path(".being-written");
        std::fs::write(&part, content).expect("a file");
        std::fs::rename(part, self.path(name)).expect("a file");
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect(name)
    }

    /// A file that gives each of these people a city of their own.
    pub fn cities(&self, people: std::ops::Range<u32>, city: &str) -> String {
        let rows = people.map(|person| format!("{},{city} {person}", self.desk.id(person)));
        let lines: Vec<String> = std::iter::once("user_id,city".to_owned())
            .chain(rows)
            .collect();
        lines.join("\n")
    }

    /// Waits for the summary of a file; it comes last.
    pub async fn ended(&self, place: &str, stem: &str) -> Value {
        let (ended_in, summary) = self.ended_anywhere(stem).await;
        assert_eq!(ended_in, place, "{stem}: {summary:#}");
        summary
    }

    /// The same, wherever it ends.
    pub async fn ended_anywhere(&self, stem: &str) -> (&'static str, Value) {
        let end = tokio::time::Instant::now() + DEADLINE;
        loop {
            for place in ["done", "failed"] {
                let path = self.path(&format!("{place}/{stem}.summary.json"));
                if let Ok(text) = std::fs::read_to_string(path) {
                    return (place, serde_json::from_str(&text).expect("JSON"));
                }
            }
            assert!(
                tokio::time::Instant::now() < end,
                "{stem} does not end: {:?}",
                self.listing()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until nothing is being worked on and nothing waits.
    pub async fn at_rest(&self) {
        let end = tokio::time::Instant::now() + DEADLINE;
        let waits = |name: &String| !name.starts_with("done/") && !name.starts_with("failed/");
        while self.listing().iter().any(waits) {
            assert!(tokio::time::Instant::now() < end, "{:?}", self.listing());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// All files of the inbox but the lock, sorted.
    pub fn listing(&self) -> Vec<String> {
        let root = self.path("");
        let mut found = Vec::new();
        let mut directories = vec![root.clone()];
        while let Some(directory) = directories.pop() {
            // What is moved meanwhile is found where it goes.
            let Ok(entries) = std::fs::read_dir(&directory) else {
                continue;
            };
            for entry in entries.flatten() {
                let path = entry.path();
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    directories.push(path);
                    continue;
                }
                let name = path.strip_prefix(&root).expect("below it");
                found.push(name.to_string_lossy().into_owned());
            }
        }
        found.retain(|name| name != "working/.lock");
        found.sort();
        found
    }
}
