//! The server programs of the system, 14 or newer.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::PrivateError;

/// The oldest major version that has what we use.
const OLDEST: u32 = 14;

/// Where packages put them, with `*` for one directory; newest version first when sorted backwards.
const PLACES: [&str; 6] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/usr/local/pgsql/bin",
];

/// The programs of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    directory: PathBuf,
    /// Major version.
    pub major: u32,
}

impl Binaries {
    /// A program's path.
    pub fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The programs for a cluster of this major version, or the newest there are for a new one.
    ///
    /// # Errors
    /// None are installed, or none of that version.
    pub async fn find(wanted: Option<u32>) -> Result<Self, PrivateError> {
        let mut found = Vec::new();
        for directory in directories() {
            if let Some(major) = version(&directory).await {
                found.push(Self { directory, major });
            }
        }
        found.retain(|binaries| binaries.major >= OLDEST);
        found.sort_by_key(|binaries| std::cmp::Reverse(binaries.major));
        match wanted {
            None => found.into_iter().next().ok_or(PrivateError::NotInstalled),
            Some(major) => {
                let newest = found.first().map(|binaries| binaries.major);
                found.into_iter().find(|binaries| binaries.major == major).ok_or(match newest {
                    None => PrivateError::NotInstalled,
                    Some(installed) => PrivateError::OtherVersion { cluster: major, installed },
                })
            }
        }
    }
}

/// Directories that hold all three programs.
fn directories() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = PLACES.iter().flat_map(|place| expand(place)).collect();
    directories.extend(std::env::split_paths(&path));
    let mut complete = Vec::new();
    for directory in directories {
        // A link in the path names the directory its target is in, where the programs find their libraries.
        let Ok(initdb) = std::fs::canonicalize(directory.join("initdb")) else { continue };
        let Some(directory) = initdb.parent().map(Path::to_owned) else { continue };
        let all = ["pg_ctl", "postgres"].iter().all(|name| directory.join(name).exists());
        if all && !complete.contains(&directory) {
            complete.push(directory);
        }
    }
    complete
}

fn expand(place: &str) -> Vec<PathBuf> {
    let Some((before, after)) = place.split_once('*') else { return vec![place.into()] };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let Ok(entries) = std::fs::read_dir(parent) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| PathBuf::from(format!("{}{after}", entry.path().display())))
        .collect()
}

/// `postgres (PostgreSQL) 15.18 (…)` gives 15.
async fn version(directory: &Path) -> Option<u32> {
    let output = Command::new(directory.join("postgres")).arg("--version").output().await.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let number = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let digits = number.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}
