//! Stopping well: a soft stop (finish what was taken, take nothing new) and a hard stop (give up now).
//!
//! The first SIGTERM or SIGINT begins the soft stop; a second one, or the deadline, turns it into a hard stop. A task that ends by
//! surprise begins a soft stop too, and the program then exits with a failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Longest time that a soft stop may take: what starts programs usually kills them 30 s after it told them to stop.
pub const SOFT_STOP_DEADLINE: Duration = Duration::from_secs(25);

/// Handed to every task; clones are the same stop.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    soft: CancellationToken,
    hard: CancellationToken,
    failed: Arc<AtomicBool>,
}

impl Shutdown {
    /// A stop that signals can trigger.
    pub fn on_signals() -> std::io::Result<Self> {
        let stop = Self::default();
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let listening = stop.clone();
        tokio::spawn(async move {
            let mut next =
                async || tokio::select! { _ = terminate.recv() => "SIGTERM", _ = interrupt.recv() => "SIGINT" };
            let name = tokio::select! { name = next() => name, () = listening.soft.cancelled() => "a failure" };
            tracing::info!(cause = name, "stopping: finishing what was taken");
            listening.soft.cancel();
            tokio::select! {
                name = next() => tracing::warn!(cause = name, "stopping now, at the second signal"),
                () = tokio::time::sleep(SOFT_STOP_DEADLINE) => tracing::error!("stopping now: the soft stop took too long"),
            }
            listening.hard.cancel();
        });
        Ok(stop)
    }

    /// Begins the soft stop.
    pub fn begin(&self) {
        self.soft.cancel();
    }

    /// Begins the soft stop and makes the program end with a failure.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
        self.soft.cancel();
    }

    /// Did something fail?
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Has the soft stop begun?
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Waits for the soft stop.
    pub async fn stopping(&self) {
        self.soft.cancelled().await;
    }

    /// Waits for the hard stop.
    pub async fn aborting(&self) {
        self.hard.cancelled().await;
    }

    /// Runs a task that must not end before the stop: if it does, by return or by panic, the program stops with a failure.
    pub fn supervise<F>(&self, name: &'static str, task: F) -> tokio::task::JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.clone();
        let running = tokio::spawn(task);
        tokio::spawn(async move {
            let result = running.await;
            if let Err(error) = &result {
                tracing::error!(task = name, %error, "a task failed");
                stop.fail();
            } else if !stop.is_stopping() {
                tracing::error!(task = name, "a task ended by surprise");
                stop.fail();
            }
        })
    }
}
