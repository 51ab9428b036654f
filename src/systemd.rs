//! Telling systemd how we are: what `sd_notify(3)` says over its socket, without its library. Where
//! nobody listens nothing is said.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Whoever started the process and wants to hear from it.
#[derive(Debug)]
pub struct Supervisor {
    listener: Option<(UnixDatagram, SocketAddr)>,
    heartbeat: Option<Duration>,
}

impl Supervisor {
    /// As the environment says: `NOTIFY_SOCKET`, and for the watchdog `WATCHDOG_USEC` and
    /// `WATCHDOG_PID`.
    pub fn of_this_process() -> Self {
        let number = |name| std::env::var(name).ok()?.parse().ok();
        Self::new(
            std::env::var_os("NOTIFY_SOCKET"),
            number("WATCHDOG_USEC"),
            number("WATCHDOG_PID"),
        )
    }

    /// A socket that cannot be used is treated as none: systemd notices the silence, and our work
    /// does not depend on it.
    fn new(socket: Option<OsString>, watchdog_micros: Option<u64>, pid: Option<u64>) -> Self {
        let ours = pid.is_none_or(|pid| pid == u64::from(std::process::id()));
        Self {
            listener: socket.and_then(|socket| connect(&socket).ok()),
            // Half of it, as systemd advises: one that is late is then no reason to be killed.
            heartbeat: watchdog_micros
                .filter(|micros| ours && *micros > 0)
                .map(|micros| Duration::from_micros(micros / 2)),
        }
    }

    /// How often [`alive`](Self::alive) is to be called; none when nobody watches.
    pub fn heartbeat(&self) -> Option<Duration> {
        self.heartbeat
    }

    /// The work has begun.
    pub fn ready(&self) {
        self.say("READY=1");
    }

    /// Still alive. Say it from where the work is steered, not from a thread that would go on
    /// without it.
    pub fn alive(&self) {
        self.say("WATCHDOG=1");
    }

    /// Draining.
    pub fn stopping(&self) {
        self.say("STOPPING=1");
    }

    /// A line for `systemctl status`.
    pub fn status(&self, line: &str) {
        self.say(&format!("STATUS={}", line.replace('\n', " ")));
    }

    fn say(&self, text: &str) {
        if let Some((socket, listener)) = &self.listener {
            // Lost like a letter when systemd is being restarted; the next one arrives.
            let _ = socket.send_to_addr(text.as_bytes(), listener);
        }
    }
}

fn connect(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        [b'@', name @ ..] => abstract_address(name)?,
        _ => return Err(io::ErrorKind::Unsupported.into()),
    };
    let socket = UnixDatagram::unbound()?;
    // A listener that does not read must not hold us up.
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(listener: &UnixDatagram) -> String {
        let mut letter = [0; 200];
        let length = listener.recv(&mut letter).unwrap();
        String::from_utf8(letter[..length].to_vec()).unwrap()
    }

    #[test]
    fn systemd_hears_what_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        let supervisor = Supervisor::new(Some(path.into()), Some(60_000_000), None);
        assert_eq!(supervisor.heartbeat(), Some(Duration::from_secs(30)));
        supervisor.ready();
        supervisor.status("two jobs\nREADY=0");
        supervisor.alive();
        supervisor.stopping();
        assert_eq!(heard(&listener), "READY=1");
        assert_eq!(heard(&listener), "STATUS=two jobs READY=0");
        assert_eq!(heard(&listener), "WATCHDOG=1");
        assert_eq!(heard(&listener), "STOPPING=1");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_socket_without_a_file_is_found() {
        let name = format!("zephr-sync-test-{}", std::process::id());
        let address = abstract_address(name.as_bytes()).unwrap();
        let listener = UnixDatagram::bind_addr(&address).unwrap();
        Supervisor::new(Some(format!("@{name}").into()), None, None).ready();
        assert_eq!(heard(&listener), "READY=1");
    }

    #[test]
    fn nobody_who_listens_is_no_trouble() {
        for socket in [None, Some("/nowhere/at/all".into()), Some("vsock:2".into())] {
            let supervisor = Supervisor::new(socket, None, None);
            supervisor.ready();
            assert_eq!(supervisor.heartbeat(), None);
        }
    }

    #[test]
    fn the_watchdog_of_another_process_is_not_ours() {
        assert_eq!(
            Supervisor::new(None, Some(1_000), Some(1)).heartbeat(),
            None
        );
    }
}
