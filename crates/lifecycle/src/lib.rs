//! How a process is asked to stop: the first signal drains, a second one ends it at once.
//!
//! It decides when, and knows nothing of what is going on; whoever works asks [`Shutdown`] between
//! two steps.

// On times the operators panic where a type ends: `clock::time` has what does not.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use tokio::sync::watch;

/// How a second signal ends the process: interrupted (design section 4).
const INTERRUPTED: i32 = 130;

/// Tells whether the process was asked to stop. Clones tell the same.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Listens for SIGINT and SIGTERM.
    ///
    /// # Errors
    /// The signals cannot be listened for.
    pub fn on_signals() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (asked, receiver) = watch::channel(false);
        // Lives as long as the process: there is nothing to wait for when it ends.
        tokio::spawn(async move {
            let mut next = async || {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            };
            next().await;
            tracing::info!("stopping after what is under way; a second signal stops at once");
            let _ = asked.send(true);
            next().await;
            std::process::exit(INTERRUPTED);
        });
        Ok(Self(receiver))
    }

    /// Never asked: for what a signal ends at once, since there is nothing to save.
    pub fn never() -> Self {
        Self(watch::channel(false).1)
    }

    /// Whether it was asked.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves when it is asked.
    pub async fn requested(&self) {
        let mut receiver = self.0.clone();
        // Without a listener nobody can ask.
        if receiver.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
