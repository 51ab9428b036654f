//! Distance: what goes to Postgres and what comes back is handed on later.
//!
//! Threads and not tasks: a runtime's timer is as coarse as the shortest distance.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// Listens at a port of its own for as long as the process lives.
pub struct Forwarder {
    pub port: u16,
    round_trips: Arc<AtomicU64>,
}

impl Forwarder {
    /// In front of this port of 127.0.0.1.
    pub fn start(to: u16, round_trip: Duration) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let round_trips = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&round_trips);
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                // Who cannot be reached is not there for the client either.
                let _ = join(near, to, round_trip / 2, &counter);
            }
        });
        Ok(Self { port, round_trips })
    }

    /// How often a client had to wait for an answer, so far: it sent, the server had answered, and
    /// it sent again.
    pub fn round_trips(&self) -> u64 {
        self.round_trips.load(Ordering::Relaxed)
    }
}

fn join(
    near: TcpStream,
    to: u16,
    delay: Duration,
    round_trips: &Arc<AtomicU64>,
) -> std::io::Result<()> {
    let far = TcpStream::connect(("127.0.0.1", to))?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let has_answered = Arc::new(AtomicBool::new(true));
    let (answered, counter) = (Arc::clone(&has_answered), Arc::clone(round_trips));
    hand_on(near.try_clone()?, far.try_clone()?, delay, move || {
        if answered.swap(false, Ordering::Relaxed) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    hand_on(far, near, delay, move || {
        has_answered.store(true, Ordering::Relaxed);
    });
    Ok(())
}

fn hand_on(mut from: TcpStream, to: TcpStream, delay: Duration, seen: impl Fn() + Send + 'static) {
    let (sender, receiver) = channel();
    std::thread::spawn(move || write(to, &receiver));
    std::thread::spawn(move || read(&mut from, &sender, delay, seen));
}

fn read(
    from: &mut TcpStream,
    sender: &Sender<(Instant, Vec<u8>)>,
    delay: Duration,
    seen: impl Fn(),
) {
    let mut piece = vec![0; PIECE];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        seen();
        let bytes = piece.get(..length).unwrap_or_default().to_vec();
        if sender.send((Instant::now() + delay, bytes)).is_err() {
            return;
        }
    }
}

fn write(mut to: TcpStream, receiver: &Receiver<(Instant, Vec<u8>)>) {
    for (due, bytes) in receiver {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    // The other side ended, so this one does.
    let _ = to.shutdown(Shutdown::Both);
}
