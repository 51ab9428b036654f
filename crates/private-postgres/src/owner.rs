//! Who the cluster runs as. Postgres refuses to run as root, so root hands it to another user.

use tokio::process::Command;

use super::error::PrivateError;

/// The user that owns the cluster's files and runs its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub uid: u32,
    gid: u32,
    handed_over: bool,
}

/// Users to hand the cluster to, the better one first.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// Variables that a Postgres program may see. Ours hold key pairs and proxies, and the PG… ones are
/// about other servers.
const VISIBLE: [&str; 4] = [
    "PATH",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
];

impl Owner {
    /// Ourselves, or for root one of the others.
    pub async fn for_this_process() -> Result<Self, PrivateError> {
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        if !uid.is_root() {
            return Ok(Self {
                uid: uid.as_raw(),
                gid: gid.as_raw(),
                handed_over: false,
            });
        }
        for name in CANDIDATES {
            if let (Some(uid), Some(gid)) = (id("-u", name).await, id("-g", name).await) {
                return Ok(Self {
                    uid,
                    gid,
                    handed_over: true,
                });
            }
        }
        Err(PrivateError::NoUser)
    }

    /// Whether the cluster belongs to another user than the one we are.
    pub fn is_another(self) -> bool {
        self.handed_over
    }

    /// Gives a file or directory that we made to this user.
    pub fn hand_over(self, path: &std::path::Path) -> Result<(), PrivateError> {
        if !self.handed_over {
            return Ok(());
        }
        std::os::unix::fs::lchown(path, Some(self.uid), Some(self.gid)).map_err(PrivateError::io(
            format!("give {} to the cluster's user", path.display()),
        ))
    }

    /// A command that runs as this user, out of reach of the terminal's Ctrl-C: the server must
    /// outlive the signal until we have drained.
    pub fn command(self, program: &std::path::Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear();
        for name in VISIBLE {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            // Messages that we recognise are in English.
            .env("LC_ALL", "C")
            // The current directory may be closed to the user.
            .current_dir("/")
            .stdin(std::process::Stdio::null())
            .process_group(0);
        if self.handed_over {
            // Setting the user also drops the supplementary groups of root.
            command.uid(self.uid).gid(self.gid);
        }
        command
    }
}

/// Asks `id`, which knows users of every kind, not only those in `/etc/passwd`.
async fn id(what: &str, name: &str) -> Option<u32> {
    let output = Command::new("id").args([what, name]).output().await.ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
