//! Options of the sockets to Postgres that sqlx 0.9.0 does not set.
//!
//! Without `TCP_NODELAY` the small write at the end of each COPY waits for the acknowledgement of
//! the large one before it, which Linux delays by 40 ms: a load over TCP takes four times as long
//! as over a Unix socket, and each session with TLS takes 40 ms longer to open. sqlx sets it again
//! in what follows 0.9.0 (its pull request 4336); with a release that has it, this file can go. sqlx
//! opens its sockets itself and hands none out, so they are looked for among what this process has
//! open.

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use rustix::net::sockopt;

/// Where a system lists what a process has open: Linux, and others.
const OPEN: [&str; 2] = ["/proc/self/fd", "/dev/fd"];

/// A peer that is silent for so long is asked whether it is still there, then so often with so much
/// time between, and then the session is over: sooner than a firewall forgets a session that is
/// quiet (some after five minutes).
const SILENT: Duration = Duration::from_secs(60);
const BETWEEN: Duration = Duration::from_secs(15);
const TIMES: u32 = 4;

/// Steps of an opening in which the socket may come to be: the name is looked up, and each address
/// takes two. The thousands after them reckon the proof of the password.
const STEPS: usize = 16;

/// Waits for a session that is being opened, and has its socket send at once from its first message
/// on. A handshake of TLS ends with two small writes of ours, and the second one would wait for the
/// acknowledgement of the first: 40 ms for each session.
pub async fn opening<T>(opens: impl Future<Output = T>) -> T {
    let mut opens = pin!(opens);
    let mut steps = 0;
    std::future::poll_fn(|context| {
        let opened = opens.as_mut().poll(context);
        steps += 1;
        if steps <= STEPS || opened.is_ready() {
            send_at_once();
        }
        opened
    })
    .await
}

/// Has all TCP sockets of this process send what is written at once, and notice a peer that is
/// gone. The other ones that a process has (to the API, and of the page) are served by this too.
pub fn send_at_once() {
    for socket in open() {
        // Only of TCP sockets can it be asked.
        if matches!(sockopt::tcp_nodelay(&socket), Ok(false)) {
            let set = sockopt::set_tcp_nodelay(&socket, true)
                .and_then(|()| sockopt::set_socket_keepalive(&socket, true))
                .and_then(|()| sockopt::set_tcp_keepidle(&socket, SILENT))
                .and_then(|()| sockopt::set_tcp_keepintvl(&socket, BETWEEN))
                .and_then(|()| sockopt::set_tcp_keepcnt(&socket, TIMES));
            if let Err(error) = set {
                tracing::debug!(%error, "a socket's options could not be set");
            }
        }
    }
}

/// The sockets that this process has open, each a second time.
fn open() -> Vec<OwnedFd> {
    let listed = OPEN.iter().find_map(|place| std::fs::read_dir(place).ok());
    let entries = listed.into_iter().flatten().flatten();
    entries
        .filter(|entry| may_be_socket(&entry.path()))
        .filter_map(|entry| entry.file_name().to_str()?.parse::<RawFd>().ok())
        .filter_map(again)
        .collect()
}

/// Files are left alone where the system tells them apart: a second descriptor would keep a lock on
/// one for as long as it is there.
fn may_be_socket(entry: &Path) -> bool {
    match std::fs::read_link(entry) {
        Ok(target) => target.to_string_lossy().starts_with("socket:"),
        Err(_) => true,
    }
}

#[expect(
    unsafe_code,
    reason = "the standard library has no safe way from a number to a descriptor"
)]
fn again(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: the number is used for one call, which copies the descriptor. Another thread may have
    // closed it since it was listed: then the call fails, or copies another descriptor of this
    // process, which is as good.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    borrowed.try_clone_to_owned().ok()
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn a_socket_of_this_process_sends_at_once_and_notices_who_is_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let stream = TcpStream::connect(at).await.expect("a connection");
        assert!(!stream.nodelay().expect("an option"));
        send_at_once();
        assert!(stream.nodelay().expect("an option"));
        assert!(sockopt::socket_keepalive(&stream).expect("an option"));
    }

    #[tokio::test]
    async fn a_socket_sends_at_once_before_its_session_is_open() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let opens = async {
            let stream = TcpStream::connect(at).await.expect("a connection");
            tokio::task::yield_now().await;
            stream.nodelay().expect("an option")
        };
        assert!(opening(opens).await);
    }
}
