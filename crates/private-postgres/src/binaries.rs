//! Finding `initdb`, `pg_ctl` and `postgres`. Distributions hide the server's programs outside
//! `PATH`, each in its own place.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::error::PrivateError;
use super::home::Home;
use super::owner::Owner;

/// The oldest major version that has what the mirror's SQL uses.
pub(super) const OLDEST: u32 = 14;

const PROGRAMS: [&str; 3] = ["initdb", "pg_ctl", "postgres"];

/// Directories with one subdirectory per version: parent, how a version's name begins, and where
/// its programs are.
const VERSIONED: [(&str, &str, &str); 8] = [
    // Debian, Ubuntu
    ("/usr/lib/postgresql", "", "bin"),
    // Fedora and RHEL, with packages of the Postgres project
    ("/usr", "pgsql-", "bin"),
    // Alpine
    ("/usr/libexec", "postgresql", ""),
    // openSUSE
    ("/usr/lib", "postgresql", "bin"),
    // Homebrew: Apple silicon, Intel, Linux
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql", "bin"),
    // Postgres.app
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// The programs of one installed Postgres.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    bin: PathBuf,
    major: u32,
}

impl Binaries {
    /// The programs for a cluster made by this major version, or the first that are new enough
    /// where there is no cluster yet.
    pub async fn find(
        made_by: Option<u32>,
        home: &Home,
        owner: Owner,
    ) -> Result<Self, PrivateError> {
        let mut found = Vec::new();
        for bin in candidates().await {
            if let Some(major) = major_of(&bin, owner).await {
                found.push(Self { bin, major });
            }
        }
        choose(made_by, found, &home.data())
    }

    pub fn initdb(&self) -> PathBuf {
        self.bin.join("initdb")
    }

    pub fn pg_ctl(&self) -> PathBuf {
        self.bin.join("pg_ctl")
    }
}

fn choose(
    made_by: Option<u32>,
    found: Vec<Binaries>,
    data: &Path,
) -> Result<Binaries, PrivateError> {
    if found.is_empty() {
        return Err(PrivateError::NotInstalled);
    }
    let listed = found
        .iter()
        .map(|one| format!("{} in {}", one.major, one.bin.display()))
        .collect::<Vec<_>>()
        .join(", ");
    let fits = |one: &Binaries| made_by.map_or(one.major >= OLDEST, |made_by| one.major == made_by);
    found.into_iter().find(fits).ok_or_else(|| match made_by {
        Some(made_by) => PrivateError::OtherVersion {
            data: data.to_owned(),
            made_by,
            found: listed,
        },
        None => PrivateError::TooOld { found: listed },
    })
}

/// Directories that hold all the programs: what the user has chosen first, then what the system
/// has, newest first.
async fn candidates() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path)
        .filter(|directory| directory.is_absolute())
        .collect();
    directories.extend(pg_config_bindir().await);
    for (parent, prefix, bin) in VERSIONED {
        directories.extend(versions_in(Path::new(parent), prefix, bin));
    }
    directories.retain(|directory| {
        PROGRAMS
            .iter()
            .all(|program| directory.join(program).is_file())
    });
    directories
}

async fn pg_config_bindir() -> Option<PathBuf> {
    let output = Command::new("pg_config")
        .arg("--bindir")
        .output()
        .await
        .ok()?;
    let bindir = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    bindir.is_absolute().then_some(bindir)
}

fn versions_in(parent: &Path, prefix: &str, bin: &str) -> Vec<PathBuf> {
    let Ok(entries) = parent.read_dir() else {
        return Vec::new();
    };
    let mut versions: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name
                .to_str()?
                .strip_prefix(prefix)?
                .trim_start_matches(['@', '-']);
            Some((leading_number(version)?, entry.path().join(bin)))
        })
        .collect();
    versions.sort_by_key(|(version, _)| Reverse(*version));
    versions.into_iter().map(|(_, path)| path).collect()
}

async fn major_of(bin: &Path, owner: Owner) -> Option<u32> {
    let output = owner
        .command(&bin.join("postgres"))
        .arg("--version")
        .output()
        .await
        .ok()?;
    major_in(&String::from_utf8(output.stdout).ok()?)
}

/// The major version in `postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)` or `… 18beta1`.
fn major_in(version: &str) -> Option<u32> {
    leading_number(version.split_once("(PostgreSQL) ")?.1)
}

fn leading_number(text: &str) -> Option<u32> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(majors: &[u32]) -> Vec<Binaries> {
        majors
            .iter()
            .map(|&major| Binaries {
                bin: format!("/pg/{major}/bin").into(),
                major,
            })
            .collect()
    }

    fn chosen(made_by: Option<u32>, majors: &[u32]) -> Result<u32, String> {
        choose(made_by, installed(majors), Path::new("/data"))
            .map(|one| one.major)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_new_cluster_gets_the_first_that_is_new_enough() {
        assert_eq!(chosen(None, &[13, 15, 17]), Ok(15));
    }

    #[test]
    fn an_existing_cluster_gets_the_version_that_made_it() {
        assert_eq!(chosen(Some(17), &[15, 17]), Ok(17));
    }

    #[test]
    fn another_version_is_an_error_that_names_both_and_the_choices() {
        let error = chosen(Some(16), &[15]).unwrap_err();
        for part in [
            "Postgres 16",
            "15 in /pg/15/bin",
            "postgresql-16",
            "--full",
            "pg_upgrade",
        ] {
            assert!(error.contains(part), "{part} is missing in: {error}");
        }
    }

    #[test]
    fn nothing_and_too_old_say_what_to_install() {
        for error in [
            chosen(None, &[]).unwrap_err(),
            chosen(None, &[13]).unwrap_err(),
        ] {
            assert!(
                error.contains("apt-get install postgresql") && error.contains("brew"),
                "{error}"
            );
        }
    }

    #[test]
    fn versions_are_read_in_all_their_forms() {
        assert_eq!(
            major_in("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(major_in("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_in("something else 3"), None);
    }
}
