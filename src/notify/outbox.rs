//! A queue and a task per receiver: who hands an event over goes on, and hears later that it was
//! delivered. A receiver that is down keeps no other one waiting.

use futures::future::join_all;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::event::Notice;
use super::send::{Delivery, Sender};
use super::settings::Receiver;
use telemetry::field;

/// Events that may wait for one receiver; more than an hour of them is no news any more.
const QUEUE: usize = 100;

/// Where events are handed over.
#[derive(Debug)]
pub struct Outbox(Vec<Queue>);

#[derive(Debug)]
struct Queue {
    receiver: Receiver,
    events: mpsc::Sender<Waiting>,
    task: JoinHandle<()>,
}

/// An event that waits for its receiver, and who is to hear that it is delivered or given up.
#[derive(Debug)]
struct Waiting {
    notice: Notice,
    settled: oneshot::Sender<()>,
}

impl Outbox {
    /// Starts a task per receiver.
    pub fn open(sender: &Sender, receivers: Vec<Receiver>) -> Self {
        let queues = receivers.into_iter().map(|receiver| {
            let (events, waiting) = mpsc::channel(QUEUE);
            let task = tokio::spawn(work(sender.clone(), receiver.clone(), waiting));
            Queue {
                receiver,
                events,
                task,
            }
        });
        Self(queues.collect())
    }

    /// How many more events it takes now; none where nobody is to be told.
    pub fn room(&self) -> usize {
        let rooms = self.0.iter().map(|queue| queue.events.capacity());
        rooms.min().unwrap_or(0)
    }

    /// Hands an event to all who want its kind, without waiting. What is answered resolves when
    /// each of them has it or it was given up, and says whether that is so: not where a queue was
    /// full, or the outbox was closed before.
    pub fn post(&self, notice: &Notice) -> impl Future<Output = bool> + Send + use<> {
        let kind = notice.event.kind();
        let queues = self.0.iter();
        let wanted = queues.filter(|queue| queue.receiver.on.contains(&kind));
        let handed_over: Vec<_> = wanted
            .map(|queue| {
                let (settled, hears) = oneshot::channel();
                let notice = notice.clone();
                // Without room the other end hears that nobody will tell.
                let _ = queue.events.try_send(Waiting { notice, settled });
                hears
            })
            .collect();
        async move { join_all(handed_over).await.iter().all(Result::is_ok) }
    }

    /// Ends; what is not delivered yet is not delivered by this process.
    pub fn close(self) {
        for queue in self.0 {
            queue.task.abort();
        }
    }
}

async fn work(sender: Sender, receiver: Receiver, mut waiting: mpsc::Receiver<Waiting>) {
    while let Some(Waiting { notice, settled }) = waiting.recv().await {
        let (host, kind) = (receiver.address.host(), notice.event.kind());
        match sender.deliver(&receiver, &notice).await {
            Delivery::Done => {
                tracing::debug!({ field::HOST } = host, { field::KIND } = ?kind, "notified")
            }
            Delivery::Refused(status) => {
                tracing::warn!(
                    { field::HOST } = host, { field::KIND } = ?kind, { field::STATUS } = status,
                    "a notification was refused; check the receiver's address and secret"
                );
            }
            Delivery::OutOfTime(status) => {
                tracing::warn!(
                    { field::HOST } = host, { field::KIND } = ?kind, { field::STATUS } = status,
                    "a notification could not be delivered in time and is dropped"
                );
            }
        }
        // Nobody may want to hear it any more.
        let _ = settled.send(());
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use futures::FutureExt;

    use super::*;
    use crate::notify::Kind;
    use crate::notify::document::tests::{every_kind, notice};
    use crate::notify::send::Pace;
    use crate::notify::settings::Settings;
    use clock::Clock;

    #[tokio::test]
    async fn a_receiver_that_never_answers_holds_nobody_up() {
        // Takes connections and says nothing.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "url = 'http://{}/x'\non = ['failed', 'late']",
            listener.local_addr().unwrap()
        );
        let receiver = toml::from_str::<Settings>(&url)
            .unwrap()
            .receiver(&|_| None)
            .unwrap();
        let sender = Sender::new(Clock::system(), Pace::default()).unwrap();
        let outbox = Outbox::open(&sender, vec![receiver]);
        let begun = Instant::now();
        let mut posted = Vec::new();
        for _ in 0..QUEUE {
            for event in every_kind() {
                posted.push((event.kind(), outbox.post(&notice(event))));
            }
        }
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(outbox.room(), 0);
        let (wanted, others): (Vec<_>, Vec<_>) = posted
            .into_iter()
            .partition(|(kind, _)| matches!(kind, Kind::Failed | Kind::Late));
        for (kind, settled) in others {
            assert_eq!(settled.now_or_never(), Some(true), "{kind:?} is for nobody");
        }
        outbox.close();
        for (_, settled) in wanted {
            assert!(!settled.await, "nobody has it");
        }
    }
}
