//! A queue and a task per receiver: a run hands an event over and goes on, and a receiver that is down keeps no other one waiting.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::event::Notice;
use super::send::{Delivery, Sender};
use super::settings::Receiver;
use crate::telemetry::field;

/// Events that may wait for one receiver; more than an hour of them is no news any more.
const QUEUE: usize = 100;

/// Where events are handed over.
#[derive(Debug)]
pub struct Outbox(Vec<Queue>);

#[derive(Debug)]
struct Queue {
    receiver: Receiver,
    events: mpsc::Sender<Notice>,
    task: JoinHandle<()>,
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

    /// Hands an event to all who want its kind. Never waits: where the queue is full it is dropped, and that is logged.
    pub fn post(&self, notice: &Notice) {
        let kind = notice.event.kind();
        for queue in self
            .0
            .iter()
            .filter(|queue| queue.receiver.on.contains(&kind))
        {
            if queue.events.try_send(notice.clone()).is_err() {
                tracing::warn!(
                    { field::HOST } = queue.receiver.address.host(),
                    { field::KIND } = ?kind,
                    "a notification is dropped: too many wait for this receiver"
                );
            }
        }
    }

    /// Takes no more, and waits until what was handed over is delivered or given up, but no longer than this.
    pub async fn close(self, patience: Duration) {
        let tasks: Vec<_> = self.0.into_iter().map(|queue| queue.task).collect();
        let aborts: Vec<_> = tasks.iter().map(JoinHandle::abort_handle).collect();
        if tokio::time::timeout(patience, futures::future::join_all(tasks))
            .await
            .is_err()
        {
            tracing::warn!("stopping with notifications that were not delivered");
            for task in aborts {
                task.abort();
            }
        }
    }
}

async fn work(sender: Sender, receiver: Receiver, mut waiting: mpsc::Receiver<Notice>) {
    while let Some(notice) = waiting.recv().await {
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
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::clock::Clock;
    use crate::notify::document::tests::{every_kind, notice};
    use crate::notify::send::Pace;
    use crate::notify::settings::Settings;

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
        for _ in 0..QUEUE {
            for event in every_kind() {
                outbox.post(&notice(event));
            }
        }
        outbox.close(Duration::from_millis(200)).await;
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "{:?}",
            begun.elapsed()
        );
    }
}
