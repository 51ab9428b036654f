//! Showing how something goes while it goes: a bar on a terminal, a log line every few seconds
//! elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::output;

/// How often people on a terminal see the bar move.
const BAR_INTERVAL: Duration = Duration::from_millis(100);

/// How often a log line says where something stands when nobody watches.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// Runs something to its end, and lets `show` move the bar or `log` write a line in the meantime.
pub async fn watched<T>(
    running: impl Future<Output = T>,
    prefix: &str,
    show: impl Fn(&ProgressBar),
    log: impl Fn(),
) -> T {
    let bar = output::is_watched().then(|| bar(prefix));
    let mut ticks = tokio::time::interval(if bar.is_some() {
        BAR_INTERVAL
    } else {
        LOG_INTERVAL
    });
    ticks.tick().await;
    tokio::pin!(running);
    loop {
        tokio::select! {
            ended = &mut running => {
                if let Some(bar) = bar {
                    bar.finish_and_clear();
                }
                return ended;
            }
            _ = ticks.tick() => match &bar {
                Some(bar) => show(bar),
                None => log(),
            }
        }
    }
}

fn bar(prefix: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:24} {pos}/{len} {per_sec} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::no_length()
        .with_style(style)
        .with_prefix(prefix.to_owned())
}
